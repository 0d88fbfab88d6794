"""Held-out cross-entropy of interpolated modified Kneser-Ney models of every order.

Chen and Goodman (1999): discounts from counts of counts per order, continuation counts below the
highest order, recursion down to the uniform distribution over the vocabulary. With separators
between documents and boundary ``document`` this is KenLM's ``lmplz`` with the separator as sentence
start and end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.kernels import KneserNey
from ngramstat.runtime.workspace import Workspace, release_pages_if_needed
from ngramstat.sampling.documents import Units

__all__ = [
    "FALLBACK_DISCOUNTS",
    "MAX_HELD_OUT",
    "HeldOut",
    "Split",
    "SplitTexts",
    "discounts",
    "held_out_losses",
    "held_out_size",
    "split_texts",
    "split_units",
]

Floats = NDArray[np.float64]

# A million tokens tell a loss to about 3e-3 nats; a share of a large corpus may be far more.
MAX_HELD_OUT = 1 << 20
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


def held_out_size(corpus: Corpus, held_out: float | str) -> int:
    """About how many tokens are held out, for plans."""
    if isinstance(held_out, str):
        return Corpus.open(held_out).n_tokens
    return min(round(held_out * corpus.n_tokens), MAX_HELD_OUT)


def split_units(corpus: Corpus, units: Units, *, share: float, seed: int) -> Split:
    """Random documents with about `share` of all documents (at least 2, at most half) held out.

    No more than MAX_HELD_OUT tokens, unless a few documents have more.

    Raises
    ------
    InputError
        There are fewer than four documents, or share is not in (0, 0.5].
    """
    if not 0 < share <= 0.5:
        raise InputError(f"held-out share {share}: must lie over 0 and at most 0.5")
    n = len(units.documents)
    if n < 4:
        raise InputError(
            f"{corpus.path}: {n} documents are too few to hold some out; "
            "give a held-out corpus with --held-out PATH"
        )
    # Twenty documents at least, where that is not more than a fifth: fewer carry no interval.
    least = max(min(20, n // 5), 2)
    order = np.random.default_rng([seed, 4]).permutation(n)
    # And no more than say anything new: memory and time of the models follow the held-out text.
    lengths = np.diff(units.documents.ends, prepend=0)[order]
    most = int(np.searchsorted(np.cumsum(lengths), MAX_HELD_OUT, side="right"))
    wanted = max(min(round(share * n), most), least)
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
    workspace: Workspace | None = None,
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
    workspace = Workspace() if workspace is None else workspace
    threads = workspace.threads
    with split_texts(split, boundary=boundary, workspace=workspace) as texts:
        scored, training_tokens = texts.scored, texts.training_tokens
        try:
            model = KneserNey(
                texts.held_out,
                texts.document,
                texts.vocab_size,
                order=max_context + 1,
                stop_token=texts.stop_token,
            )
            reads_text = model.cost(len(texts.training)).reads_text
            model.train(
                texts.training,
                first_event=texts.first_event,
                threads=threads,
                memory_limit=workspace.room(text_bytes=texts.training.nbytes if reads_text else 0),
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
    return HeldOut(losses, scored, training_tokens, tuple(table))


@dataclass(frozen=True)
class SplitTexts:
    """Both sides of a split as contiguous texts.

    Attributes
    ----------
    training : (n,) uint16 or uint32
    training_ends : (n_documents,) int64
        Where each training document ends, with the separator behind it that is an event.
    first_event : int
        Training tokens before it only serve as context.
    held_out : (n,) uint16 or uint32
    document : (n,) int32
        Held-out document of each token; -1 only serves as context.
    vocab_size : int
    stop_token : int or None
        Contexts reach back to this token; vocab_size where the store has no separator, and then it
        is no event.
    scored : (n_documents,) int64
        Held-out tokens to score.
    """

    training: NDArray[Any]
    training_ends: NDArray[np.int64]
    first_event: int
    held_out: NDArray[Any]
    document: NDArray[np.int32]
    vocab_size: int
    stop_token: int | None
    scored: NDArray[np.int64]

    @property
    def training_tokens(self) -> int:
        """Tokens trained on."""
        no_events = len(self.training_ends) if self.stop_token == self.vocab_size else 0
        return len(self.training) - self.first_event - no_events


@contextmanager
def split_texts(
    split: Split, *, boundary: str, workspace: Workspace | None = None
) -> Iterator[SplitTexts]:
    """The texts of a split, for as long as the context is open; see `held_out_losses`."""
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
    workspace = Workspace() if workspace is None else workspace
    (first, last), held_out_spans = _spans(split.training, stop), _spans(split.held_out, stop)
    with workspace.array(_size(first, last, stop), dtype) as training:
        ends = _write_text(training, split.training[0], first, last, stop)
        held_out = np.empty(_size(*held_out_spans, stop), dtype)
        held_out_ends = _write_text(held_out, split.held_out[0], *held_out_spans, stop)
        document = _documents(held_out_ends, len(held_out), stop, vocab_size)
        scored = np.bincount(document[document >= 0], minlength=len(split.held_out[2]))
        if not len(ends) or not len(training) or not scored.sum():
            raise InputError(f"{training_corpus.path}: the held-out split leaves one side empty")
        yield SplitTexts(
            training,
            ends,
            0 if stop is None else 1,
            held_out,
            document,
            vocab_size,
            stop,
            scored.astype(np.int64),
        )


def _spans(
    side: tuple[Corpus, Units, NDArray[np.int64]], stop: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the documents of one side lie in their corpus."""
    _, units, chosen = side
    spans = units.documents
    if stop is None:
        return spans.starts[chosen], spans.ends[chosen]
    return spans.content_starts[chosen], spans.content_ends[chosen]


def _size(first: NDArray[np.int64], last: NDArray[np.int64], stop: int | None) -> int:
    extra = 0 if stop is None else 1
    return int((last - first).sum()) + extra * (len(first) + 1)


def _write_text(
    text: NDArray[Any],
    corpus: Corpus,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    stop: int | None,
) -> NDArray[np.int64]:
    """Writes the documents one after the other, and returns where each ends.

    With a stop token the text begins with one and every document's content is followed by one, so
    that it is the end of one document and the start of the next.
    """
    extra = 0 if stop is None else 1
    ends = np.cumsum(last - first + extra) + extra
    if stop is not None:
        text[0] = stop
    for begin, end, stop_at in zip(first.tolist(), last.tolist(), ends.tolist(), strict=True):
        at = stop_at - extra
        text[at - (end - begin) : at] = corpus.tokens[begin:end]
        if stop is not None:
            text[at] = stop
        release_pages_if_needed()
    return ends.astype(np.int64)


def _documents(
    ends: NDArray[np.int64], size: int, stop: int | None, vocab_size: int
) -> NDArray[np.int32]:
    """The document of each token of a text; -1 where it is no event."""
    lengths = np.diff(ends, prepend=0 if stop is None else 1)
    document = np.repeat(np.arange(len(ends), dtype=np.int32), lengths)
    if stop is None:
        return document
    document = np.concatenate([np.full(size - len(document), -1, np.int32), document])
    if stop == vocab_size:
        document[ends - 1] = -1
    return document
