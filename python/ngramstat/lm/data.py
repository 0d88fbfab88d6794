"""Texts to train on, to stop by and to measure with: whole documents, in one random order.

The held-out documents come first in that order, one half of them to tune by (when to stop, which
settings), the other to measure; training sets of P tokens are what follows, so a smaller one is
part of every larger one. Documents stand one behind the other with their separators, as in the
paper, and windows run across them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError

__all__ = ["TARGETS", "Texts", "Windows", "labelled", "make_texts", "strings", "windows_of_epoch"]

Ints = NDArray[np.int64]

# What is predicted: every token; the last one of every document, as in a hierarchy world whose
# strings all have one length; or the class of a string, which stands behind it.
TARGETS = ("all", "last", "class")
# A corpus without documents is cut into this many blocks.
_BLOCKS = 4096
_MIN_DOCUMENTS = 40
# Held out at most, to tune by and to measure with, each.
_MAX_SHARE = 0.1
# Documents are resampled in this many groups at most.
_MAX_CLUSTERS = 200


@dataclass(frozen=True)
class Windows:
    """Windows of a text that is scored, and which group of documents each belongs to.

    Attributes
    ----------
    tokens : (n_windows, T) integers
    cluster : (n_windows,) int64
        Group of the document that its first token lies in.
    n_clusters : int
    """

    tokens: NDArray[Any]
    cluster: Ints
    n_clusters: int


@dataclass(frozen=True)
class Texts:
    """The parts of a corpus, by documents.

    Attributes
    ----------
    corpus : Corpus
    starts, ends : (n_documents,) int64
        In random order: those to tune by, those to measure with, those to train on.
    tuning, measuring : (int, int)
        First and last document (exclusive) of these parts.
    are_blocks : bool
        Equal blocks stand for documents, of which the store has too few.
    """

    corpus: Corpus
    starts: Ints
    ends: Ints
    tuning: tuple[int, int]
    measuring: tuple[int, int]
    are_blocks: bool

    @property
    def most_tokens(self) -> int:
        """Tokens of all training documents."""
        first = self.measuring[1]
        return int((self.ends[first:] - self.starts[first:]).sum())

    def training(self, tokens: int) -> NDArray[Any]:
        """The first training documents with at least so many tokens, or all of them.

        Raises
        ------
        InputError
            There are not nearly so many tokens.
        """
        first = self.measuring[1]
        sizes = np.cumsum(self.ends[first:] - self.starts[first:])
        if tokens > sizes[-1] * 1.05:
            raise InputError(
                f"{self.corpus.path}: {int(sizes[-1]):,} tokens are left to train on, {tokens:,} "
                "were asked for; use smaller --sizes"
            )
        last = first + int(np.searchsorted(sizes, min(tokens, int(sizes[-1])))) + 1
        return self._joined(first, last)

    def windows(self, part: tuple[int, int], context: int, *, most: int) -> Windows:
        """Windows of a part one after the other, the first `most` tokens of them.

        A last window that is not full is left out: no position may count more texts than another.
        """
        first, last = part
        text = self._joined(first, last)[:most]
        n = len(text) // context
        if n == 0:
            raise InputError(
                f"{self.corpus.path}: {len(text)} held-out tokens are less than one context of "
                f"{context}; use a shorter --context or more data"
            )
        sizes = np.cumsum(self.ends[first:last] - self.starts[first:last])
        document = np.searchsorted(sizes, np.arange(n) * context, side="right")
        # Of the text, not of its windows: the same groups for every T.
        clusters = min(int(np.searchsorted(sizes, len(text) - 1, side="right")) + 1, _MAX_CLUSTERS)
        return Windows(text[: n * context].reshape(n, context), document % clusters, clusters)

    def _joined(self, first: int, last: int) -> NDArray[Any]:
        tokens = self.corpus.tokens
        parts = [
            tokens[start:end]
            for start, end in zip(self.starts[first:last], self.ends[first:last], strict=True)
        ]
        return np.concatenate(parts) if parts else np.empty(0, self.corpus.dtype)


def make_texts(corpus: Corpus, *, tuning: int, measuring: int, seed: int) -> Texts:
    """Split a corpus; about so many tokens to tune by and to measure with, each a tenth at most.

    Raises
    ------
    InputError
        The corpus has too few documents for that, or a few that hold nearly all of it.
    """
    ends, are_blocks = corpus.documents_or_blocks(n_blocks=_BLOCKS, min_documents=_MIN_DOCUMENTS)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    order = np.random.default_rng([seed, 11]).permutation(len(ends))
    starts, ends = starts[order], np.asarray(ends)[order]
    sizes = np.cumsum(ends - starts)
    most = int(corpus.n_tokens * _MAX_SHARE)
    first = int(np.searchsorted(sizes, min(tuning, most))) + 1
    before = int(sizes[first - 1])
    last = int(np.searchsorted(sizes, before + min(measuring, most))) + 1
    if last >= len(ends) or sizes[last - 1] > corpus.n_tokens / 2:
        raise InputError(
            f"{corpus.path}: its {len(ends)} documents are too few or too unequal to hold some out "
            "and train on others; use a smaller --held-out or more data"
        )
    return Texts(corpus, starts, ends, (0, first), (first, last), are_blocks)


def strings(corpus: Corpus) -> int:
    """Length of the corpus's documents, which must have one.

    Raises
    ------
    InputError
        They differ, or are too few.
    """
    ends = corpus.document_ends
    lengths = np.unique(np.diff(ends, prepend=0)) if ends is not None else np.zeros(0, np.int64)
    if len(lengths) != 1 or lengths[0] < 2 or corpus.n_documents < _MIN_DOCUMENTS:
        raise InputError(
            f"{corpus.path}: its documents need one length, and to be {_MIN_DOCUMENTS} at "
            "least, for --targets last or class, as those of `ngramstat synthesize rhm`"
        )
    return int(lengths[0])


def labelled(corpus: Corpus) -> Corpus:
    """The corpus with the class of every document behind it, as one more token.

    Raises
    ------
    InputError
        There are no classes (labels.npy) beside the corpus, or more of them than types.
    """
    length = strings(corpus)
    path = Path(str(corpus.path)) / "labels.npy"
    try:
        labels = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: no classes to predict; `ngramstat synthesize rhm` writes them"
        ) from error
    if labels.shape != (corpus.n_documents,) or labels.dtype.kind not in "ui":
        raise InputError(
            f"{path}: needs one whole number for each of {corpus.n_documents} documents"
        )
    if int(labels.min()) < 0 or int(labels.max()) >= corpus.vocab_size:
        raise InputError(f"{path}: its classes must lie between 0 and {corpus.vocab_size - 1}")
    rows = np.asarray(corpus.tokens).reshape(-1, length)
    joined = np.column_stack([rows, labels.astype(rows.dtype)])
    ends = np.arange(1, len(rows) + 1) * (length + 1)
    return Corpus.from_arrays(
        joined.ravel(), vocab_size=corpus.vocab_size, document_ends=ends.astype(np.int64)
    )


def windows_of_epoch(
    length: int, context: int, *, seed: int, epoch: int, ring: bool = True
) -> Ints:
    """First positions of an epoch's windows, in random order, on a text closed to a ring.

    Every token is a target once (and a few twice, where the last window overlaps the first); the
    ring is cut elsewhere in every epoch. Without `ring` the windows stand one behind the other.
    """
    rng = np.random.default_rng([seed, 12, epoch])
    first = int(rng.integers(length)) if ring else 0
    n = -(-length // context)
    found: Ints = (first + rng.permutation(n) * context) % length
    return found
