"""Documents as statistical units: content, halves, and groups for the bootstrap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.exponents.bootstrap import (
    cluster_weights,
    needed_replicates,
    percentile_interval,
)
from ngramstat.kernels import DocumentSpans
from ngramstat.runtime.workspace import gather

__all__ = [
    "BOUNDARIES",
    "FOLDS",
    "DocumentBootstrap",
    "Units",
    "check_seed",
    "separator_positions",
    "statistical_units",
]

Floats = NDArray[np.float64]

BOUNDARIES = ("stream", "document")

# Fewer documents than this say nothing about their own spread; a stream is then cut into blocks.
_MIN_DOCUMENTS = 20
_BLOCKS = 200
# Documents are resampled in at most this many random groups: the spread of a sum over many
# thousands of documents does not need them one by one, and the weights stay small.
_MAX_CLUSTERS = 4096


# Replicates of fewer documents often hold one or two of them alone, many times.
_MIN_CLUSTERS = 8
# Share of the replicates that must have a spread of their own, and what spread is none.
_MIN_TELLING = 0.9
_ROUNDING = 1e-6

# Random folds of about equal numbers of tokens, for halves, quarters and the jackknife.
FOLDS = 16


@dataclass(frozen=True)
class Units:
    """The documents of a corpus, or equal blocks where it has none.

    Attributes
    ----------
    spans : DocumentSpans
    are_blocks : bool
        The store has no document ends (or too few for resampling), and equal blocks stand in.
    folds : (n_units,) uint8
        0 .. FOLDS - 1, of about equal numbers of tokens; the first FOLDS / 2 make half 0.
    """

    spans: DocumentSpans
    are_blocks: bool
    folds: NDArray[np.uint8]

    @property
    def content_lengths(self) -> NDArray[np.int64]:
        """Tokens of each unit without its separators, (n_units,)."""
        lengths: NDArray[np.int64] = self.spans.content_ends - self.spans.content_starts
        return lengths

    def crossing_pairs(self, lag: int) -> int:
        """Pairs of the stream at this lag whose tokens lie in different units."""
        lengths = np.diff(self.spans.ends, prepend=0)
        total = int(self.spans.ends[-1]) if len(self.spans) else 0
        return max(total - lag, 0) - int(np.maximum(lengths - lag, 0).sum())


def statistical_units(corpus: Corpus, *, boundary: str, seed: int) -> Units:
    """Documents with their halves, drawn by whole documents to about equal numbers of tokens.

    Raises
    ------
    InputError
        The corpus is empty, or boundary ``document`` is asked of a store without documents.
    """
    if boundary not in BOUNDARIES:
        raise InputError(f"boundary={boundary!r}: expected stream or document")
    n = corpus.n_tokens
    if n < 2:
        raise InputError(f"{corpus.path}: holds {n} tokens; at least 2 are needed")
    known = corpus.document_ends
    if boundary == "document" and (known is None or len(known) < 2):
        raise InputError(
            f"{corpus.path}: has no documents to stay inside; use --boundary stream, or give the "
            "separator's id with --separator"
        )
    ends, are_blocks = corpus.documents_or_blocks(
        n_blocks=_BLOCKS, min_documents=2 if boundary == "document" else _MIN_DOCUMENTS
    )
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    content_starts, content_ends = starts.copy(), ends.copy()
    separator = corpus.separator
    if separator is not None and not are_blocks:
        content_ends -= gather(corpus.tokens, ends - 1) == separator
        content_starts += (gather(corpus.tokens, starts) == separator) & (
            content_starts < content_ends
        )
    folds = _assign_folds(ends - starts, seed)
    halves = (folds >= FOLDS // 2).astype(np.uint8)
    return Units(DocumentSpans(ends, content_starts, content_ends, halves), are_blocks, folds)


def check_seed(seed: int) -> None:
    """Refuse a seed that NumPy's generators do not take."""
    if seed < 0:
        raise InputError(f"seed={seed}: cannot be negative")


def separator_positions(corpus: Corpus) -> NDArray[np.int64]:
    """Positions of the separators, which stand at the ends or starts of documents."""
    if corpus.separator is None or corpus.document_ends is None:
        return np.zeros(0, np.int64)
    ends = np.asarray(corpus.document_ends)
    edges = np.unique(np.concatenate([np.zeros(1, np.int64), ends[:-1], ends - 1]))
    found: NDArray[np.int64] = edges[gather(corpus.tokens, edges) == corpus.separator]
    return found


def _assign_folds(lengths: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
    """The fold of each document: random documents fill one after the other with tokens."""
    order = np.random.default_rng([seed, 1]).permutation(len(lengths))
    # By its middle: so both halves have documents as soon as there are two.
    middle = 2 * np.cumsum(lengths[order]) - lengths[order]
    folds = np.empty(len(lengths), np.uint8)
    folds[order] = middle * (FOLDS // 2) // int(lengths.sum())
    return folds


class DocumentBootstrap:
    """Resampling of documents, the same draws for every statistic (coherent over lags).

    Parameters
    ----------
    n_documents : int
    replicates : int
    seed : int

    Attributes
    ----------
    cluster_of : (n_documents,) int64
        The random group that a document is resampled with.
    n_clusters : int
    """

    def __init__(self, n_documents: int, replicates: int, seed: int) -> None:
        self.replicates = replicates
        self.n_clusters = min(n_documents, _MAX_CLUSTERS)
        self._seed = seed
        order = np.random.default_rng([seed, 2]).permutation(n_documents)
        self.cluster_of = np.empty(n_documents, np.int64)
        self.cluster_of[order] = np.arange(n_documents) % self.n_clusters

    @cached_property
    def _weights(self) -> list[Floats]:
        generator = np.random.default_rng([self._seed, 3])
        return [
            chunk.astype(np.float32)
            for chunk in cluster_weights(self.n_clusters, self.replicates, generator)
        ]

    def sums(self, per_document: Floats) -> Floats:
        """Resampled sums of per-document values (n_documents, k): (replicates, k)."""
        return self.cluster_sums(self.grouped(per_document))

    def grouped(self, per_document: NDArray[Any]) -> Floats:
        """Sums over clusters of per-document values, (n_clusters, k)."""
        values = np.asarray(per_document, dtype=np.float64)
        return np.stack(
            [
                np.bincount(self.cluster_of, weights=column, minlength=self.n_clusters).astype(
                    np.float64
                )
                for column in values.T
            ],
            axis=1,
        )

    def cluster_sums(self, grouped: Floats) -> Floats:
        """Resampled sums of values that are summed over clusters already, (n_clusters, k)."""
        rows = [chunk.astype(np.float64) @ grouped for chunk in self._chunks()]
        return np.concatenate([np.zeros((0, grouped.shape[1])), *rows], axis=0)

    def ratio_reach(
        self, numerators: Floats, denominators: Floats, level: float
    ) -> tuple[Floats, Floats]:
        """How far the intervals of sum(numerators) / sum(denominators) reach below and above.

        Studentised bootstrap (Efron and Tibshirani 1993, ch. 12): replicates in units of their own
        standard error, which holds where documents are few or unequal and percentiles do not. With
        too few clusters for replicates to have an error of their own, or too few replicates,
        Student's t.

        Parameters
        ----------
        numerators : (n_clusters, k) float64
        denominators : (n_clusters,) float64
        level : float

        Returns
        -------
        below, above : (k,) float64
            NaN with a single cluster.
        """
        from scipy.stats import t as student

        k = numerators.shape[1]
        clusters, total = int(np.count_nonzero(denominators)), denominators.sum()
        if clusters < 2:
            return np.full(k, np.nan), np.full(k, np.nan)
        centred = numerators - denominators[:, None] * (numerators.sum(axis=0) / total)
        errors = np.sqrt((centred**2).sum(axis=0) * clusters / (clusters - 1)) / total
        reach = float(student.isf((1 - level) / 2, clusters - 1)) * errors
        below, above = reach.copy(), reach.copy()
        if clusters < _MIN_CLUSTERS or self.replicates < needed_replicates(level):
            return below, above
        sums = self.cluster_sums(
            np.concatenate(
                [
                    denominators[:, None],
                    denominators[:, None] ** 2,
                    centred,
                    centred * denominators[:, None],
                    centred**2,
                ],
                axis=1,
            )
        )
        sums = sums[sums[:, 0] > 0]
        weight, squared = sums[:, :1], sums[:, 1:2]
        first, cross, second = (sums[:, 2 + j * k : 2 + (j + 1) * k] for j in range(3))
        shift = first / weight
        spread = np.sqrt(np.maximum(second - 2 * shift * cross + shift**2 * squared, 0.0)) / weight
        # A replicate of equal values has a spread of rounding alone, and says nothing.
        telling = spread > _ROUNDING * errors
        for j in np.flatnonzero(telling.mean(axis=0) >= _MIN_TELLING):
            t = shift[telling[:, j], j] / spread[telling[:, j], j]
            low, high = percentile_interval(t, level)
            below[j], above[j] = max(high, 0.0) * errors[j], max(-low, 0.0) * errors[j]
        return below, above

    def _chunks(self) -> Iterator[Floats]:
        for chunk in self._weights:
            # A product over all rows at once would make a large temporary of doubles.
            for start in range(0, len(chunk), 128):
                yield chunk[start : start + 128]
