"""Next-token entropies from counts of counts: the plug-in estimate and corrections of its bias.

All inputs are (k, 2) integer tables of (count c, number of distinct n-grams seen c times); all
results are in nats per token. The conditional entropy given n tokens is the block entropy of
(n+1)-grams minus that of their contexts, both counted over the same targets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels import LOSS_BITS, NgramCounts, NgramStatistics

__all__ = [
    "Extrapolation",
    "chao_shen",
    "extrapolate",
    "group_losses",
    "miller_madow",
    "plug_in",
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
        First-order estimate. Beyond first order the bias is downward while contexts are
        undersampled, so this is a lower bound up to sampling error. The plug-in entropy where the
        subsamples are too unequal.
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
    counts are worth fewer independent ones. Where the bias falls more slowly than 1/T, as it does
    while new n-grams keep appearing, it is extrapolated with the power of T that is observed.
    Subsamples are weighted by their targets, which keeps the first-order term correct whatever
    their sizes; the higher orders are not used where sizes differ much, as with one very long
    document.
    """
    whole = plug_in(statistics.whole)
    targets = statistics.whole.targets
    half, quarter = _mean(statistics.halves), _mean(statistics.quarters)
    unknown = np.zeros(len(whole), dtype=bool)
    if half is None:  # one document: no subsample shows the bias, which is downward
        return Extrapolation(whole, np.full(len(whole), np.inf), unknown, whole)

    # First order: halving the sample doubles the bias, so the difference is the bias itself.
    near = whole - half
    balanced = _balanced(statistics)
    first = whole + near
    # In a very small subsample the bias is not first-order, and would lift the estimate too far.
    lower = first if balanced else whole
    # Few n-grams, each seen often: the bias is too small for its noise to give a useful ratio.
    distinct = [_distinct(ngrams) for ngrams in statistics.whole.ngrams]
    ample = np.array(distinct) * _AMPLE_COUNTS <= targets

    # Second order where the bias behaves as 1/T, else the observed power of T.
    regular = powers = unknown
    estimate = first
    if quarter is not None and balanced:
        far = half - quarter
        # No visible bias means no correction, but only with ample counts: contexts that were all
        # seen once show no bias either.
        unbiased = np.abs(near) <= ROUNDING
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(unbiased, 0.0, far / near)
            second = (8 * whole - 6 * half + quarter) / 3
            powered = whole + near / (ratio - 1)
        regular = (ratio >= _REGULAR_RATIO) | (unbiased & ample)
        powers = (ratio >= _MIN_RATIO) & ~regular
        estimate = np.where(regular, second, np.where(powers, powered, first))
    trusted = regular | powers | ample
    return Extrapolation(
        estimate=estimate,
        uncertainty=np.where(
            trusted,
            np.maximum(
                np.where(regular | powers, np.abs(estimate - first), np.abs(near)),
                _MIN_UNCERTAINTY * np.abs(estimate - whole),
            ),
            np.inf,
        ),
        trusted=trusted,
        lower=np.minimum(lower, estimate),
    )


def _mean(samples: tuple[NgramCounts, ...]) -> Floats | None:
    """Mean plug-in entropies of the samples, weighted by targets; None if a sample is empty."""
    targets = np.array([sample.targets for sample in samples], dtype=np.float64)
    if targets.min() == 0:
        return None
    mean: Floats = np.average([plug_in(sample) for sample in samples], axis=0, weights=targets)
    return mean


def _balanced(statistics: NgramStatistics) -> bool:
    """Whether no half and no quarter is too small for the second-order term."""
    return all(
        sample.targets * len(samples) >= _MIN_BALANCE * statistics.whole.targets
        for samples in (statistics.halves, statistics.quarters)
        for sample in samples
    )
