"""Spectra of a corpus that theories of feature learning refer to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.exponents.fit import power_law
from ngramstat.kernels import CountMatrix, count_pairs, token_counts
from ngramstat.results import Exponent
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign

__all__ = ["Spectra", "measure_spectra"]

Floats = NDArray[np.float64]

# Ranks of the fitted eigenvalues: from below the most frequent tokens, which follow no power law,
# down to those that occur often enough for their rank to be reliable.
_FIRST = 10
_MIN_COUNT = 100
# Relative tolerance between the slopes of the two halves of the range, in log rank.
_STABLE = 0.15
# A context counts as a predictive state from this number of occurrences.
_MIN_STATE_COUNT = 100


@dataclass(frozen=True)
class Spectra:
    """Spectra and their decay exponents.

    Attributes
    ----------
    eigenvalues : (n,) float64
        Eigenvalues of the covariance of one-hot tokens, largest first.
    decay : Exponent
        s of lambda_i ~ i^-s.
    contributions : (n,) float64
        Probability times divergence of each context of one token, largest first, nats.
    tail : Exponent
        b - 1 of R(K) = sum of the contributions beyond the K-th ~ K^-(b-1).
    """

    eigenvalues: Floats
    decay: Exponent
    contributions: Floats
    tail: Exponent


def measure_spectra(design: SamplingDesign, *, workspace: Workspace | None = None) -> Spectra:
    """Spectra of single tokens and of contexts of one token, with errors from two halves."""
    workspace = Workspace() if workspace is None else workspace
    corpus = design.corpus
    counts = token_counts(corpus.tokens, corpus.vocab_size, threads=workspace.threads)
    (pairs,) = count_pairs(
        corpus.tokens,
        corpus.vocab_size,
        design.documents,
        [1],
        threads=workspace.threads,
        memory_limit=workspace.memory_budget(),
    )
    parts = [pairs.within, pairs.across] if design.boundary.across else [pairs.within]
    joined = [part for part in parts if isinstance(part, CountMatrix)]
    contributions = _contributions(joined, (1.0, 1.0))
    halves = [_contributions(joined, weights) for weights in ((1.0, 0.0), (0.0, 1.0))]
    eigenvalues = token_eigenvalues(counts)
    left = np.sum([part.row_sums() for part in joined], axis=0)
    half_values = [token_eigenvalues(left[half]) for half in (0, 1)]
    trusted = int(np.count_nonzero(counts >= _MIN_COUNT))
    return Spectra(
        eigenvalues,
        _decay(eigenvalues, half_values, trusted),
        contributions,
        _tail(contributions, halves),
    )


def token_eigenvalues(counts: NDArray[Any]) -> Floats:
    """Approximate eigenvalues of diag(p) - p p^T, the covariance of one-hot tokens, largest first.

    The i-th eigenvalue lies between the i-th and the next largest p (interlacing under a rank-one
    update). The upper bound is returned; its relative error is about p.
    """
    p = np.sort(counts[counts > 0].astype(np.float64))[::-1]
    return np.asarray(p / p.sum())


def _error(halves: list[float]) -> float:
    """Half-width of the 95 % interval: Student's t with one degree of freedom.

    Half the difference between the two halves is one draw of the error of their mean.
    """
    return 12.7 * abs(halves[0] - halves[1]) / 2


def _decay(values: Floats, halves: list[Floats], trusted: int) -> Exponent:
    method = f"least squares of log eigenvalue on log rank, ranks {_FIRST} to {trusted}"
    if trusted < 10 * _FIRST:
        return Exponent.refused(
            f"only {trusted} distinct tokens occur {_MIN_COUNT} times: less than a decade of ranks",
            method=method,
        )

    def slope(spectrum: Floats, first: int, last: int) -> float:
        ranks = np.unique(np.geomspace(first, last, 60).astype(np.int64))
        return power_law(ranks.astype(np.float64), spectrum[ranks - 1]).exponent

    value = slope(values, _FIRST, trusted)
    each = [slope(half, _FIRST, trusted) for half in halves]
    middle = int(np.sqrt(_FIRST * trusted))
    pieces = [slope(values, _FIRST, middle), slope(values, middle, trusted)]
    reason = None
    if abs(pieces[0] - pieces[1]) > _STABLE * value:
        reason = (
            f"not a single power law: {pieces[0]:.3f} up to rank {middle}, {pieces[1]:.3f} after"
        )
    elif value <= 1:
        reason = f"s = {value:.3f}, but the model needs s > 1: the eigenvalues fall too slowly"
    error = _error(each)
    return Exponent(
        value=value,
        low=value - error,
        high=value + error,
        window=(float(_FIRST), float(trusted)),
        points=60,
        method=f"{method}; error from the two document halves",
        reportable=reason is None,
        reason=reason,
    )


def _contributions(parts: list[CountMatrix], weights: tuple[float, float]) -> Floats:
    """Probability of each context times the divergence of its next-token distribution, debiased."""
    pieces = [part.to_coo() for part in parts]
    rows = np.concatenate([p[0] for p in pieces])
    columns = np.concatenate([p[1] for p in pieces])
    counts = np.concatenate([p[2].T @ np.array(weights) for p in pieces])
    size = parts[0].shape[0]
    positive = counts > 0
    key = rows[positive] * size + columns[positive]
    key, inverse = np.unique(key, return_inverse=True)
    n = np.bincount(inverse, weights=counts[positive])
    row, column = key // size, key % size
    left = np.bincount(row, weights=n, minlength=size)
    right = np.bincount(column, weights=n, minlength=size)
    total = n.sum()
    term = n * np.log(n * total / (left[row] * right[column])) / total
    divergence = np.bincount(row, weights=term, minlength=size)
    # Miller 1955: an empirical divergence is too large by (support - 1) / 2n.
    support = np.bincount(row, minlength=size)
    divergence -= np.maximum(support - 1, 0) / (2 * total)
    known = left >= _MIN_STATE_COUNT
    return np.sort(np.maximum(divergence[known], 0.0))[::-1]


def _tail(values: Floats, halves: list[Floats]) -> Exponent:
    method = "least squares of the log tail sum on log rank, the decade of ranks to a tenth of all"
    last = len(values) // 10
    if last < 100:
        return Exponent.refused(
            f"{len(values)} contexts occur {_MIN_STATE_COUNT} times, 1,000 needed", method=method
        )

    def slope(spectrum: Floats) -> float:
        beyond = np.cumsum(spectrum[::-1])[::-1]
        ranks = np.unique(np.geomspace(last // 10, last, 40).astype(np.int64))
        ranks = ranks[(ranks < len(beyond)) & (beyond[np.minimum(ranks, len(beyond) - 1)] > 0)]
        return power_law(ranks.astype(np.float64), beyond[ranks]).exponent

    value = slope(values)
    beyond = np.cumsum(values[::-1])[::-1]
    middle = int(last / np.sqrt(10))
    pieces = [
        float(-np.log(beyond[b] / beyond[a]) / np.log(b / a))
        for a, b in ((last // 10, middle), (middle, last))
    ]
    reason = None
    if not abs(pieces[0] - pieces[1]) <= _STABLE * abs(value):
        reason = (
            f"not a single power law: {pieces[0]:.3f} up to rank {middle}, {pieces[1]:.3f} after"
        )
    each = [slope(half) for half in halves]
    error = _error(each)
    return Exponent(
        value=value,
        low=value - error,
        high=value + error,
        window=(float(last // 10), float(last)),
        points=40,
        method=f"{method}; error from the two document halves",
        reportable=reason is None,
        reason=reason,
    )
