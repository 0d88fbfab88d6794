"""Next-token entropies from counts of counts: the plug-in estimate and corrections of its bias.

All inputs are (k, 2) integer tables of (count c, number of distinct n-grams seen c times); all
results are in nats per token. The conditional entropy given n tokens is the block entropy of
(n+1)-grams minus that of their contexts, both counted over the same targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.exponents.distributions import digamma
from ngramstat.kernels import LOSS_BITS, NgramCounts, NgramStatistics

__all__ = [
    "Extrapolation",
    "chao_shen",
    "extrapolate",
    "group_losses",
    "miller_madow",
    "plug_in",
    "zhang",
]

Floats = NDArray[np.float64]
Table = NDArray[np.uint64]


def _block_entropy(table: Table, total: int) -> float:
    counts = table[:, 0].astype(np.float64)
    numbers = table[:, 1].astype(np.float64)
    return float(np.log(total) - np.sum(numbers * counts * np.log(counts)) / total)


def _distinct(table: Table) -> int:
    return int(table[:, 1].sum())


def plug_in(counts: NgramCounts) -> Floats:
    """Entropy of the observed frequencies, (n_contexts,).

    Biased downwards: by about (distinct n-grams - distinct contexts) / (2 targets) while that is
    small, and all the way to zero where most contexts were seen once.
    """
    return np.array(
        [
            _block_entropy(ngrams, counts.targets) - _block_entropy(contexts, counts.targets)
            for ngrams, contexts in zip(counts.ngrams, counts.contexts, strict=True)
        ]
    )


def miller_madow(counts: NgramCounts) -> Floats:
    """Plug-in entropy plus its first-order bias (Miller 1955), (n_contexts,)."""
    missing = [
        _distinct(ngrams) - _distinct(contexts)
        for ngrams, contexts in zip(counts.ngrams, counts.contexts, strict=True)
    ]
    return plug_in(counts) + np.array(missing, dtype=np.float64) / (2 * counts.targets)


def zhang(counts: NgramCounts) -> Floats:
    """Entropy of the counts up to the terms that they determine (Zhang 2012), (n_contexts,).

    H = sum over v >= 1 of E[(1 - p)^v] / v, where p is the probability of the next token. For a
    context seen c times the first c - 1 terms have unbiased estimates, whose sum is the mean of
    psi(c) - psi(count of the n-gram). All terms are positive: for independent draws the expectation
    is below H_n whatever the distribution, yet above that of the plug-in entropy.
    """
    return np.array(
        [
            (_sum_digamma(contexts) - _sum_digamma(ngrams)) / counts.targets
            for ngrams, contexts in zip(counts.ngrams, counts.contexts, strict=True)
        ]
    )


def _sum_digamma(table: Table) -> float:
    """Sum of c psi(c) over n-grams that occur c times."""
    counts = table[:, 0].astype(np.float64)
    return float(np.sum(table[:, 1].astype(np.float64) * counts * digamma(counts)))


def chao_shen(counts: NgramCounts) -> Floats:
    """Difference of the coverage-adjusted block entropies (Chao and Shen 2003), (n_contexts,).

    Each block entropy is corrected for the probability of unseen blocks, estimated from singletons
    (Good-Turing). Where nearly every block is a singleton the two corrections no longer cancel and
    the difference is meaningless; `EntropyResult` has bounds that hold there.
    """
    return np.array(
        [
            _coverage_entropy(ngrams, counts.targets) - _coverage_entropy(contexts, counts.targets)
            for ngrams, contexts in zip(counts.ngrams, counts.contexts, strict=True)
        ]
    )


def _coverage_entropy(table: Table, total: int) -> float:
    counts = table[:, 0].astype(np.float64)
    numbers = table[:, 1].astype(np.float64)
    singletons = float(numbers[counts == 1].sum())
    if singletons >= total:  # all seen once: the usual correction keeps the coverage above zero
        singletons = total - 1.0
    p = (1.0 - singletons / total) * counts / total
    if np.any(p <= 0.0):  # a single observation
        return 0.0
    # 1 - (1 - p)^total, without losing small p.
    with np.errstate(divide="ignore"):  # p = 1: certainly seen
        seen = -np.expm1(total * np.log1p(-p))
    return float(-np.sum(numbers * p * np.log(p) / seen))


def group_losses(statistics: NgramStatistics) -> Floats:
    """Per group of units, the sum of -ln(observed frequency given n tokens) over its targets.

    Returns
    -------
    (n_groups, n_contexts) float64
        Nats. The sum over groups divided by the number of targets is the plug-in entropy, up to
        rounding by 2^-LOSS_BITS per target.
    """
    losses = statistics.losses.astype(np.float64) / 2.0**LOSS_BITS
    losses[:, 0] += statistics.group_targets * np.log(max(statistics.whole.targets, 1))
    return losses


@dataclass(frozen=True)
class Extrapolation:
    """The plug-in entropy with its bias removed by subsampling; arrays of (n_contexts,).

    Attributes
    ----------
    estimate : float64
        Best estimate of H_n.
    uncertainty : float64
        By how much the estimate may still be biased: the size of the last correction, but at least
        a tenth of the whole correction. Infinite where the estimate is not trusted.
    trusted : bool
        Whether the bias falls with the size of the sample as the estimate assumes.
    lower : float64
        A lower bound of H_n up to sampling error; see `_lower_end`.
    """

    estimate: Floats
    uncertainty: Floats
    trusted: NDArray[np.bool_]
    lower: Floats


# The bias is seen in the differences of the entropies of the whole sample, its halves and its
# quarters. Ratio of the second difference to the first: 2 where the bias is inversely proportional
# to the size of the sample, near 1 where new n-grams keep appearing at any size.
_MIN_RATIO = 1.5
_REGULAR_RATIO = 1.9
# Bounds of the ratio of one gain per doubling to that before it: a half where a bias is inversely
# proportional to the size of the sample, and more as long as it falls more slowly.
_GAIN_RATIOS = 0.5, 1.0
# Counts per n-gram above which terms beyond the first-order correction are negligible.
_AMPLE_COUNTS = 30
# Smallest uncertainty, as a fraction of the correction. (With about thirty counts per n-gram, the
# correction was wrong by a sixteenth on clustered documents.)
_MIN_UNCERTAINTY = 0.1
# The second-order term assumes subsamples of about equal size: each must have this fraction of an
# equal share of the targets.
_MIN_BALANCE = 0.5
# Differences below this are rounding errors, in nats.
ROUNDING = 1e-12


def extrapolate(statistics: NgramStatistics) -> Extrapolation:
    """Remove the bias of the plug-in entropy, estimated from halves and quarters of the units.

    With entropies H_1, H_2, H_4 of the whole sample, its halves and its quarters and a bias of
    a/T + b/T^2 for T targets (Miller 1955; Harris 1975), (8 H_1 - 6 H_2 + H_4) / 3 has neither
    term. Unlike counting n-grams (`miller_madow`) this also holds for clustered documents, whose
    counts are worth fewer independent ones. Where the bias falls more slowly than 1/T, it is
    extrapolated with the power of T that is observed, and the uncertainty reaches back to the
    first order; where it hardly falls, as while new n-grams keep appearing, nothing is trusted.
    Subsamples are weighted by their targets, which keeps the first-order term correct whatever
    their sizes; the higher orders are not used where sizes differ much, as with one very long
    document.
    """
    whole = plug_in(statistics.whole)
    targets = statistics.whole.targets
    half, quarter = _mean(plug_in, statistics.halves), _mean(plug_in, statistics.quarters)
    unknown = np.zeros(len(whole), dtype=bool)
    lower = _lower_end(statistics)
    if half is None:  # one document: no subsample shows the bias, which is downward
        return Extrapolation(whole, np.full(len(whole), np.inf), unknown, lower)

    # First order: halving the sample doubles the bias, so the difference is the bias itself.
    near = whole - half
    first = whole + near
    # Few n-grams, each seen often: the bias is too small for its noise to give a useful ratio.
    distinct = [_distinct(ngrams) for ngrams in statistics.whole.ngrams]
    ample = np.array(distinct) * _AMPLE_COUNTS <= targets

    # Second order where the bias behaves as 1/T, else the observed power of T.
    regular = powers = unknown
    estimate = first
    if quarter is not None and _balanced(statistics):
        # No visible bias means no correction, but only with ample counts: contexts that were all
        # seen once show no bias either.
        unbiased = np.abs(near) <= ROUNDING
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(unbiased, 0.0, (half - quarter) / near)
            powered = whole + near / (ratio - 1)
        regular = (ratio >= _REGULAR_RATIO) | (unbiased & ample)
        powers = (ratio >= _MIN_RATIO) & ~regular
        second = (8 * whole - 6 * half + quarter) / 3
        estimate = np.where(regular, second, np.where(powers, powered, first))
    trusted = regular | powers | ample
    estimate = np.where(trusted, estimate, np.maximum(first, lower))
    size_of_correction = np.where(regular | powers, np.abs(estimate - first), np.abs(near))
    uncertainty = np.maximum(size_of_correction, _MIN_UNCERTAINTY * np.abs(estimate - whole))
    return Extrapolation(
        estimate=estimate,
        uncertainty=np.where(trusted, uncertainty, np.inf),
        trusted=trusted,
        lower=np.minimum(lower, np.where(trusted, estimate, np.inf)),
    )


def _lower_end(statistics: NgramStatistics) -> Floats:
    """Zhang's estimate plus the gain that further documents are bound to bring, (n_contexts,).

    The estimate grows with the sample, and what it gains with the next doubling is at least half of
    what it gained with the last: the terms it adds fall no faster than 1/T while there are n-grams
    still to be seen. The ratio of gains itself falls slowly from one doubling to the next, so half
    of the way from the observed ratio to 1/2 is granted for the next gain, and 1/2 after it. Held
    against worlds whose H_n is known in docs/estimators.md.
    """
    whole = zhang(statistics.whole)
    half, quarter = _mean(zhang, statistics.halves), _mean(zhang, statistics.quarters)
    # In a very small subsample the estimate is too low, which would seem a gain.
    if half is None or quarter is None or not _balanced(statistics):
        return whole
    gain = np.maximum(whole - half, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.clip(np.nan_to_num(gain / (half - quarter)), *_GAIN_RATIOS)
    # gain * (ratio + 1/2) / 2 with the next doubling, and as much again with all later ones.
    lower: Floats = whole + gain * (ratio + _GAIN_RATIOS[0])
    return lower


def _mean(
    estimator: Callable[[NgramCounts], Floats], samples: tuple[NgramCounts, ...]
) -> Floats | None:
    """Mean of an estimate over the samples, weighted by targets; None if a sample is empty."""
    targets = np.array([sample.targets for sample in samples], dtype=np.float64)
    if targets.min() == 0:
        return None
    mean: Floats = np.average([estimator(sample) for sample in samples], axis=0, weights=targets)
    return mean


def _balanced(statistics: NgramStatistics) -> bool:
    """Whether no half and no quarter is too small for the second-order term."""
    return all(
        sample.targets * len(samples) >= _MIN_BALANCE * statistics.whole.targets
        for samples in (statistics.halves, statistics.quarters)
        for sample in samples
    )
