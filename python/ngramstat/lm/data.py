"""Splits a corpus into tokens for training, tuning and measuring: whole documents, shuffled.

In the random order the documents for tuning (when to stop, which settings) come first, then those
for measuring. Training sets of P tokens are made of the documents that follow, so a smaller
training set is part of every larger one. Documents are joined with their separators into one token
stream, as in the paper, and windows run across document ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError

__all__ = [
    "TARGETS",
    "DataSplit",
    "Windows",
    "append_classes",
    "document_length",
    "split_corpus",
    "windows_in_order",
    "windows_of_epoch",
]

Ints = NDArray[np.int64]

# What is predicted: every token; the last token of every document (in a hierarchy world, where all
# documents have one length); or the class of a document, appended as its last token.
TARGETS = ("all", "last", "class")
# A corpus without documents is cut into this many blocks.
_BLOCKS = 4096
_MIN_DOCUMENTS = 40
# Largest fraction of the corpus held out for tuning, and the same for measuring.
_MAX_HELD_OUT = 0.1
# Documents are resampled in at most this many groups.
_MAX_CLUSTERS = 200


@dataclass(frozen=True)
class Windows:
    """Windows of held-out tokens, and the group of documents that each belongs to.

    Attributes
    ----------
    tokens : (n_windows, T) integers, or (n_windows, T + 1) with `given`
    cluster : (n_windows,) int64
        Group of the document that contains the window's first token.
    n_clusters : int
    given : bool
        The first token of each row, which is also the last of the row before, is only context.
    """

    tokens: NDArray[Any]
    cluster: Ints
    n_clusters: int
    given: bool = False


@dataclass(frozen=True)
class DataSplit:
    """The documents of a corpus, split into tuning, measuring and training.

    Attributes
    ----------
    corpus : Corpus
    starts, ends : (n_documents,) int64
        In random order: tuning documents first, then measuring, then training.
    tuning, measuring : (int, int)
        First and last document (exclusive) of these parts.
    are_blocks : bool
        Equal blocks stand in for documents, because the store has too few.
    """

    corpus: Corpus
    starts: Ints
    ends: Ints
    tuning: tuple[int, int]
    measuring: tuple[int, int]
    are_blocks: bool

    @property
    def n_training_tokens(self) -> int:
        """Number of tokens in all training documents."""
        first = self.measuring[1]
        return int((self.ends[first:] - self.starts[first:]).sum())

    def training(self, tokens: int) -> NDArray[Any]:
        """The first training documents with at least this many tokens, or all of them.

        Raises
        ------
        InputError
            More than 5 % more tokens are requested than there are.
        """
        first = self.measuring[1]
        sizes = np.cumsum(self.ends[first:] - self.starts[first:])
        if tokens > sizes[-1] * 1.05:
            raise InputError(
                f"{self.corpus.name}: {tokens:,} training tokens were requested, but only "
                f"{int(sizes[-1]):,} are left after holding out; use smaller --sizes"
            )
        last = first + int(np.searchsorted(sizes, min(tokens, int(sizes[-1])))) + 1
        return self._joined(first, last)

    def windows(
        self,
        part: tuple[int, int],
        context: int,
        *,
        max_tokens: int,
        given: bool = False,
        overlap: int = 1,
    ) -> Windows:
        """Windows of the first `max_tokens` tokens of a part, T / `overlap` tokens apart.

        See `Windows.given`. Windows that overlap score each token after several contexts, so that
        losses by context depend less on which tokens happen to stand where.

        An incomplete last window is dropped, so that every position averages over the same windows.

        Raises
        ------
        InputError
            The part is shorter than one window.
        """
        first, last = part
        tokens = self._joined(first, last)[:max_tokens]
        stride = max(1, context // overlap)
        n = (len(tokens) - given - context) // stride + 1
        if n <= 0:
            raise InputError(
                f"{self.corpus.name}: {len(tokens)} held-out tokens are less than one context of "
                f"{context}; use a shorter --context or more data"
            )
        sizes = np.cumsum(self.ends[first:last] - self.starts[first:last])
        starts = np.arange(n) * stride
        document = np.searchsorted(sizes, starts, side="right")
        # Counted over the tokens, not over the windows, so that every T has the same groups.
        n_documents = int(np.searchsorted(sizes, len(tokens) - 1, side="right")) + 1
        clusters = min(n_documents, _MAX_CLUSTERS)
        rows = tokens[starts[:, None] + np.arange(context + given)]
        return Windows(rows, document % clusters, clusters, given)

    def _joined(self, first: int, last: int) -> NDArray[Any]:
        tokens = self.corpus.tokens
        parts = [
            tokens[start:end]
            for start, end in zip(self.starts[first:last], self.ends[first:last], strict=True)
        ]
        return np.concatenate(parts) if parts else np.empty(0, self.corpus.dtype)


def split_corpus(corpus: Corpus, *, tuning: int, measuring: int, seed: int) -> DataSplit:
    """Hold out about `tuning` and `measuring` tokens, each at most a tenth of the corpus.

    Raises
    ------
    InputError
        The corpus has too few documents, or a few documents hold most of its tokens.
    """
    ends, are_blocks = corpus.documents_or_blocks(n_blocks=_BLOCKS, min_documents=_MIN_DOCUMENTS)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    order = np.random.default_rng([seed, 11]).permutation(len(ends))
    starts, ends = starts[order], np.asarray(ends)[order]
    sizes = np.cumsum(ends - starts)
    max_tokens = int(corpus.n_tokens * _MAX_HELD_OUT)
    first = int(np.searchsorted(sizes, min(tuning, max_tokens))) + 1
    before = int(sizes[first - 1])
    last = int(np.searchsorted(sizes, before + min(measuring, max_tokens))) + 1
    if last >= len(ends) or sizes[last - 1] > corpus.n_tokens / 2:
        raise InputError(
            f"{corpus.name}: its {len(ends)} documents are too few or too unequal in length to "
            "hold some out and train on the others; use a smaller --held-out or more data"
        )
    return DataSplit(corpus, starts, ends, (0, first), (first, last), are_blocks)


def document_length(corpus: Corpus) -> int:
    """The common length of the corpus's documents, in tokens.

    Raises
    ------
    InputError
        The lengths differ, or there are too few documents.
    """
    ends = corpus.document_ends
    lengths = np.unique(np.diff(ends, prepend=0)) if ends is not None else np.zeros(0, np.int64)
    if len(lengths) != 1 or lengths[0] < 2 or corpus.n_documents < _MIN_DOCUMENTS:
        raise InputError(
            f"{corpus.name}: --targets last and class need at least {_MIN_DOCUMENTS} documents, "
            "all of the same length, as `ngramstat synthesize rhm` writes them"
        )
    return int(lengths[0])


def append_classes(corpus: Corpus) -> Corpus:
    """The corpus with the class of every document appended to it as one more token.

    Raises
    ------
    InputError
        There is no labels.npy in the corpus directory, or a class is not a token id.
    """
    length = document_length(corpus)
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
    """First positions of an epoch's windows, in random order.

    The `length` training tokens are treated as a ring that starts at a random token in every epoch.
    Every token is a target once; a few are targets twice, where the last window overlaps the first.
    Without `ring` the windows start at multiples of `context`.
    """
    rng = np.random.default_rng([seed, 12, epoch])
    first = int(rng.integers(length)) if ring else 0
    n = -(-length // context)
    starts: Ints = (first + rng.permutation(n) * context) % length
    return starts


def windows_in_order(
    tokens: NDArray[Any], context: int, length: int, first: int, batch: int
) -> NDArray[Any]:
    """Windows that follow one another as in the text, (B, `length`), from number `first` on.

    They start `context` tokens apart. `length` is T, or T + 1 with the token before the first
    target. A text that is shorter than one batch is repeated.
    """
    starts = (first + np.arange(batch)) * context
    windows: NDArray[Any] = tokens[(starts[:, None] + np.arange(length)) % len(tokens)]
    return windows
