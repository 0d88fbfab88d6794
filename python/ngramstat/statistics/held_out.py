"""Held-out cross-entropy of interpolated modified Kneser-Ney models of every order.

Chen and Goodman (1999): discounts from counts of counts per order, continuation counts below the
highest order, recursion down to the uniform distribution over the vocabulary. With separators
between documents and boundary ``document`` this is KenLM's ``lmplz`` with the separator as sentence
start and end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.kernels import KneserNey
from ngramstat.statistics.documents import Units

__all__ = [
    "FALLBACK_DISCOUNTS",
    "HeldOut",
    "Split",
    "SplitTexts",
    "discounts",
    "held_out_losses",
    "split_texts",
    "split_units",
]

Floats = NDArray[np.float64]

# Where the counts of counts do not give discounts (tiny or artificial data): KenLM's fallback.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class Split:
    """Which documents are scored and which trained on.

    Attributes
    ----------
    training : Corpus and its document numbers, ascending
    held_out : Corpus and its document numbers, ascending
    """

    training: tuple[Corpus, Units, NDArray[np.int64]]
    held_out: tuple[Corpus, Units, NDArray[np.int64]]


@dataclass(frozen=True)
class HeldOut:
    """Losses of the models with contexts of n = 0 .. max_context tokens.

    Attributes
    ----------
    losses : (n_documents, n_contexts) float64
        Sum of -ln p over the scored tokens of each held-out document.
    tokens : (n_documents,) int64
        Scored tokens.
    training_tokens : int
        Tokens trained on, separators included.
    discounts : tuple of dict
        Per order: order, raw and lower discounts, counts of counts, and whether they are fallbacks.
    """

    losses: Floats
    tokens: NDArray[np.int64]
    training_tokens: int
    discounts: tuple[dict[str, Any], ...]


def split_units(corpus: Corpus, units: Units, *, share: float, seed: int) -> Split:
    """Random documents with about `share` of all documents (at least 2, at most half) held out.

    Raises
    ------
    InputError
        There are fewer than four documents, or share is not in (0, 0.5].
    """
    if not 0 < share <= 0.5:
        raise InputError(f"held-out share {share}: must lie over 0 and at most 0.5")
    n = len(units.spans)
    if n < 4:
        raise InputError(
            f"{corpus.path}: {n} documents are too few to hold some out; "
            "give a held-out corpus with --held-out PATH"
        )
    # Twenty documents at least, where that is not more than a fifth: fewer carry no interval.
    wanted = max(round(share * n), min(20, n // 5), 2)
    order = np.random.default_rng([seed, 4]).permutation(n)
    held_out, training = np.sort(order[:wanted]), np.sort(order[wanted:])
    return Split((corpus, units, training), (corpus, units, held_out))


def discounts(counts: NDArray[np.uint64]) -> tuple[Floats, bool]:
    """Modified Kneser-Ney discounts D1, D2, D3+ of one order (Chen and Goodman 1999, eq. 26).

    Parameters
    ----------
    counts : (>= 4,) integers
        Numbers of n-grams with counts 1, 2, 3, 4.

    Returns
    -------
    (3,) float64, bool
        The discounts, and whether they are FALLBACK_DISCOUNTS because the formula needs a number
        that is zero or leaves 0 < D_k <= k.
    """
    n1, n2, n3, n4 = (float(c) for c in counts[:4])
    if min(n1, n2, n3, n4) > 0:
        y = n1 / (n1 + 2 * n2)
        found = np.array([1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
        if np.all(found > 0) and np.all(found <= (1, 2, 3)):
            return found, False
    return np.array(FALLBACK_DISCOUNTS), True


def held_out_losses(
    split: Split,
    *,
    max_context: int,
    boundary: str,
    threads: int = 1,
    memory_limit: int | None = None,
    progress: Any = None,
) -> HeldOut:
    """Train on the one side of a split, score the other.

    With boundary ``document`` contexts reach back to the start of the document, which the separator
    before it marks (one that is never predicted is put in where the store has none); with
    ``stream`` they run across the concatenated documents. Separators of the store are predicted and
    scored like any token.

    Raises
    ------
    InputError
        The two corpora differ in vocabulary or separator, a token is not below the vocabulary's
        size, or one side is empty.
    """
    texts = split_texts(split, boundary=boundary)
    try:
        model = KneserNey(
            texts.held_out,
            texts.document,
            texts.vocab_size,
            order=max_context + 1,
            stop_token=texts.stop_token,
        )
        model.train(
            texts.training,
            first_event=texts.first_event,
            threads=threads,
            memory_limit=memory_limit,
            progress=progress,
        )
    except IndexError as error:
        raise InputError(f"{split.training[0].path}: {error} (of the split's text)") from error
    raw_counts, lower_counts = model.counts()
    table: list[dict[str, Any]] = []
    raw: list[Floats] = []
    lower: list[Floats] = []
    for m in range(max_context + 1):
        top, top_fallback = discounts(raw_counts[m])
        raw.append(top)
        row: dict[str, Any] = {
            "order": m + 1,
            "distinct": int(raw_counts[m][4]),
            "raw": top.tolist(),
            "raw_counts_of_counts": raw_counts[m][:4].tolist(),
            "raw_is_fallback": top_fallback,
        }
        if m < max_context:
            below, below_fallback = discounts(lower_counts[m])
            lower.append(below)
            row["lower"] = below.tolist()
            row["lower_counts_of_counts"] = lower_counts[m][:4].tolist()
            row["lower_is_fallback"] = below_fallback
        table.append(row)
    losses = model.score(
        np.stack(raw), np.array(lower, dtype=np.float64).reshape(-1, 3), threads=threads
    )
    return HeldOut(losses, texts.scored, texts.training_tokens, tuple(table))


@dataclass(frozen=True)
class SplitTexts:
    """Both sides of a split as contiguous texts.

    Attributes
    ----------
    training : (n,) uint16 or uint32
    training_document : (n,) int32
        Number of the document, counted over the training side; -1 only serves as context.
    held_out, document : the same of the held-out side
    vocab_size : int
    stop_token : int or None
        Contexts reach back to this token; vocab_size where the store has no separator.
    scored : (n_documents,) int64
        Held-out tokens to score.
    """

    training: NDArray[Any]
    training_document: NDArray[np.int32]
    held_out: NDArray[Any]
    document: NDArray[np.int32]
    vocab_size: int
    stop_token: int | None
    scored: NDArray[np.int64]

    @property
    def first_event(self) -> int:
        """Training tokens before it only serve as context."""
        return int(np.argmax(self.training_document >= 0))

    @property
    def training_tokens(self) -> int:
        """Tokens trained on."""
        return int(np.count_nonzero(self.training_document >= 0))


def split_texts(split: Split, *, boundary: str) -> SplitTexts:
    """The texts of a split; see `held_out_losses` for boundaries and errors."""
    training_corpus, held_out_corpus = split.training[0], split.held_out[0]
    vocab_size = training_corpus.vocab_size
    if held_out_corpus.vocab_size != vocab_size:
        raise InputError(
            f"{held_out_corpus.path}: its vocabulary has {held_out_corpus.vocab_size} types, that "
            f"of {training_corpus.path} {vocab_size}; tokenize both with the same tokenizer"
        )
    if held_out_corpus.separator != training_corpus.separator:
        raise InputError(
            f"{held_out_corpus.path}: its separator is {held_out_corpus.separator}, that of "
            f"{training_corpus.path} {training_corpus.separator}"
        )
    stop: int | None = None
    if boundary == "document":
        separator = training_corpus.separator
        stop = vocab_size if separator is None else separator
    wide = (stop or 0) > np.iinfo(np.uint16).max or any(
        corpus.tokens.dtype == np.uint32 for corpus in (training_corpus, held_out_corpus)
    )
    dtype = np.dtype(np.uint32 if wide else np.uint16)
    training, training_document = _text(split.training, stop, vocab_size, dtype)
    held_out, document = _text(split.held_out, stop, vocab_size, dtype)
    scored = np.bincount(document[document >= 0], minlength=len(split.held_out[2]))
    if not len(training) or not scored.sum():
        raise InputError(f"{training_corpus.path}: the held-out split leaves one side empty")
    return SplitTexts(
        training, training_document, held_out, document, vocab_size, stop, scored.astype(np.int64)
    )


def _text(
    side: tuple[Corpus, Units, NDArray[np.int64]],
    stop: int | None,
    vocab_size: int,
    dtype: np.dtype[Any],
) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """The documents one after the other, and the document of each token (-1: context only).

    With a stop token the text begins with one and every document's content is followed by one, so
    that it is the end of one document and the start of the next.
    """
    corpus, units, chosen = side
    spans = units.spans
    if stop is None:
        first, last = spans.starts[chosen], spans.ends[chosen]
    else:
        first, last = spans.content_starts[chosen], spans.content_ends[chosen]
    extra = 0 if stop is None else 1
    lengths = last - first + extra
    ends = np.cumsum(lengths) + extra
    text = np.empty(int(ends[-1]) if len(ends) else extra, dtype=dtype)
    document = np.repeat(np.arange(len(chosen), dtype=np.int32), lengths)
    if stop is not None:
        text[0] = stop
        document = np.concatenate([np.full(1, -1, np.int32), document])
    for begin, end, stop_at in zip(first.tolist(), last.tolist(), ends.tolist(), strict=True):
        at = stop_at - extra
        text[at - (end - begin) : at] = corpus.tokens[begin:end]
        if stop is not None:
            text[at] = stop
            if stop == vocab_size:
                document[at] = -1
    return text, document
