"""The bootstrap over documents: which are drawn how often, the same draws for every statistic.

Tokens of one document are dependent, so documents are resampled, not tokens, lags or contexts.
Every lag or context has the same weights, so that the points of a replicate curve vary together.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.distributions import student_quantile
from ngramstat.exponents.intervals import (
    needed_replicates,
    percentile_interval,
)

__all__ = ["DocumentBootstrap", "assign_clusters", "cluster_weights", "ratio_of_sums"]

Floats = NDArray[np.float64]

# Documents are resampled in at most this many random clusters: the spread of a sum over many
# thousands of documents does not need them one by one, and the weights stay small.
_MAX_CLUSTERS = 4096
# Replicates of fewer clusters often hold one or two of them alone, many times.
_MIN_CLUSTERS = 8
# Fraction of the replicates that must have a standard error of their own, and the standard error
# (relative to that of the sample) below which it is rounding.
_MIN_INFORMATIVE = 0.9
_ROUNDING = 1e-6


def ratio_of_sums(numerators: Floats, denominators: NDArray[Any]) -> tuple[Floats, Floats]:
    """sum(numerators) / sum(denominators) over clusters, and its standard error.

    The error is that of a ratio estimator, to first order in the sizes of the clusters (Cochran
    1977, ch. 6).

    Parameters
    ----------
    numerators : (n_clusters, k) float64
    denominators : (n_clusters,) or (n_clusters, k) numbers
        Clusters without any are left out.

    Returns
    -------
    ratio, error : (k,) float64
        The error is NaN with fewer than two clusters.
    """
    sizes = denominators if denominators.ndim == 2 else denominators[:, None]
    total, clusters = sizes.sum(axis=0), np.count_nonzero(sizes, axis=0)
    ratio = numerators.sum(axis=0) / total
    squares = ((numerators - sizes * ratio) ** 2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.sqrt(squares * clusters / (clusters - 1)) / total
    return ratio, np.where(clusters > 1, errors, np.nan)


def cluster_weights(
    clusters: int,
    replicates: int,
    generator: np.random.Generator,
    *,
    chunk_elements: int = 1 << 22,
) -> Iterator[NDArray[np.int64]]:
    """Multinomial resampling weights, in chunks of bounded memory.

    Parameters
    ----------
    clusters : int
        Number of clusters of documents; every row of weights sums to it.
    replicates : int
        Total number of rows over all chunks.
    generator : numpy.random.Generator
        Source of randomness. The rows do not depend on the chunk size.
    chunk_elements : int
        Maximum number of weights in memory at once (but at least one row).

    Yields
    ------
    (rows, clusters) int64
        How often each cluster is drawn.

    Raises
    ------
    InputError
        For fewer than one cluster or a negative number of replicates.
    """
    if clusters < 1:
        raise InputError(f"clusters: needs at least 1, got {clusters}")
    if replicates < 0:
        raise InputError(f"replicates: cannot be negative, got {replicates}")
    rows = max(1, chunk_elements // clusters)
    for start in range(0, replicates, rows):
        weights = np.empty((min(rows, replicates - start), clusters), dtype=np.int64)
        for row in weights:
            drawn = generator.integers(0, clusters, size=clusters)
            row[:] = np.bincount(drawn, minlength=clusters)
        yield weights


def assign_clusters(n_documents: int, seed: int) -> NDArray[np.uint32]:
    """The random cluster that each document is resampled with, (n_documents,)."""
    order = np.random.default_rng([seed, 2]).permutation(n_documents)
    cluster_of = np.empty(n_documents, np.uint32)
    cluster_of[order] = np.arange(n_documents) % min(n_documents, _MAX_CLUSTERS)
    return cluster_of


class DocumentBootstrap:
    """Resampling of documents, the same draws for every statistic.

    Statistics of several lags or contexts that are resampled together keep what their errors share.

    Parameters
    ----------
    clusters : (n_documents,) integers
        The cluster that each document is resampled with, as of `assign_clusters`.
    replicates : int
        Number of resamplings.
    seed : int

    Attributes
    ----------
    n_clusters : int
    """

    def __init__(self, clusters: NDArray[Any], replicates: int, seed: int) -> None:
        self.replicates = replicates
        self.n_clusters = int(clusters.max()) + 1 if len(clusters) else 0
        self._clusters = clusters
        self._seed = seed

    @classmethod
    def of_documents(cls, n_documents: int, replicates: int, seed: int) -> DocumentBootstrap:
        """The bootstrap of n documents in random clusters."""
        return cls(assign_clusters(n_documents, seed), replicates, seed)

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
        columns = [
            np.bincount(self._clusters, weights=column, minlength=self.n_clusters)
            for column in values.T
        ]
        return np.stack(columns, axis=1).astype(np.float64)

    def cluster_sums(self, grouped: Floats) -> Floats:
        """Resampled sums of values that are summed over clusters already, (n_clusters, k)."""
        rows = [chunk.astype(np.float64) @ grouped for chunk in self._chunks()]
        return np.concatenate([np.zeros((0, grouped.shape[1])), *rows], axis=0)

    def ratio_half_widths(
        self, numerators: Floats, denominators: Floats, level: float
    ) -> tuple[Floats, Floats]:
        """Half-widths, below and above, of the intervals of sum(numerators) / sum(denominators).

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
        k = numerators.shape[1]
        clusters = int(np.count_nonzero(denominators))
        if clusters < 2:
            return np.full(k, np.nan), np.full(k, np.nan)
        ratio, errors = ratio_of_sums(numerators, denominators)
        centred = numerators - denominators[:, None] * ratio
        half_width = student_quantile(level, clusters - 1) * errors
        below, above = half_width.copy(), half_width.copy()
        if clusters < _MIN_CLUSTERS or self.replicates < needed_replicates(level):
            return below, above
        shift, spread = self._replicates_of_ratio(centred, denominators)
        # A replicate of equal values has a spread of rounding alone, and is not informative.
        informative = spread > _ROUNDING * errors
        for j in np.flatnonzero(informative.mean(axis=0) >= _MIN_INFORMATIVE):
            t = shift[informative[:, j], j] / spread[informative[:, j], j]
            low, high = percentile_interval(t, level)
            below[j], above[j] = max(high, 0.0) * errors[j], max(-low, 0.0) * errors[j]
        return below, above

    def _replicates_of_ratio(self, centred: Floats, denominators: Floats) -> tuple[Floats, Floats]:
        """Deviation of every replicate's ratio and its own standard error, (replicates, k) each.

        `centred` are the numerators less the ratio times the denominators, (n_clusters, k).
        """
        k = centred.shape[1]
        # First and second moments, from which the error of a replicate follows without a loop.
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
        variance = np.maximum(second - 2 * shift * cross + shift**2 * squared, 0.0)
        return shift, np.sqrt(variance) / weight

    def _chunks(self) -> Iterator[Floats]:
        for chunk in self._weights:
            # A product over all rows at once would make a large temporary of doubles.
            for start in range(0, len(chunk), 128):
                yield chunk[start : start + 128]
