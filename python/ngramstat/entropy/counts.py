"""Entropies of next tokens from counts of counts: plug-in, and two corrections of its bias.

All inputs are (k, 2) integer tables of (count c, number of distinct n-grams seen c times); all
results are nats per token. The conditional entropy given n tokens is the difference of the block
entropies of (n+1)-grams and of their contexts, counted over the same targets.
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

    Biased low, by about (distinct n-grams - distinct contexts) / (2 targets) while that is small,
    and down to nothing where most contexts were seen once.
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
    """Coverage-adjusted entropy (Chao and Shen 2003) of the blocks, as a difference, (n_contexts,).

    Each block entropy is corrected for the probability of unseen blocks, estimated from singletons
    (Good-Turing). Where nearly every block is a singleton the two corrections no longer cancel, and
    the difference means nothing; see the bracket in `EntropyResult` for what can be trusted.
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
    if singletons >= total:  # all seen once: the usual guard keeps the coverage above zero
        singletons = total - 1.0
    p = (1.0 - singletons / total) * counts / total
    if np.any(p <= 0.0):  # a single observation
        return 0.0
    # 1 - (1 - p)^total, without losing small p.
    with np.errstate(divide="ignore"):  # p = 1: seen for certain
        seen = -np.expm1(total * np.log1p(-p))
    return float(-np.sum(numbers * p * np.log(p) / seen))


def group_losses(statistics: NgramStatistics) -> Floats:
    """Per group of units: sum of -ln(observed frequency given n tokens) over its targets.

    Returns
    -------
    (n_groups, n_contexts) float64
        Nats. The sum over groups divided by the targets is the plug-in entropy, up to the
        rounding of 2^-LOSS_BITS per target.
    """
    losses = statistics.losses.astype(np.float64) / 2.0**LOSS_BITS
    losses[:, 0] += statistics.group_targets * np.log(max(statistics.whole.targets, 1))
    return losses


@dataclass(frozen=True)
class Extrapolation:
    """The plug-in entropy with its bias taken off by subsampling; arrays of (n_contexts,).

    Attributes
    ----------
    estimate : float64
        Best estimate of H_n.
    doubt : float64
        How far the estimate may still be off for bias: the size of the last correction, at least
        a tenth of all of it.
    trusted : bool
        Whether the bias falls with the sample's size as it must for the estimate to hold.
    lower : float64
        First-order estimate. Beyond first order the bias is downward while contexts are
        undersampled, so this is a lower bound but for sampling error. The plug-in entropy where
        the parts are too unequal.
    """

    estimate: Floats
    doubt: Floats
    trusted: NDArray[np.bool_]
    lower: Floats


# Ratio of the bias between half and quarter to that between whole and half: 2 where the bias is
# inverse to the sample's size, near 1 where new n-grams never cease to come.
_MIN_RATIO = 1.5
_REGULAR_RATIO = 1.9
# Counts per n-gram at which the first-order correction is all there is to correct.
_AMPLE_COUNTS = 30
# No correction is trusted beyond a tenth of itself (where counts are about thirty to an n-gram, it
# was off by a sixteenth on clustered documents).
_MIN_DOUBT = 0.1
# The second-order term supposes parts of about equal size: each has this share of its fair one.
_MIN_BALANCE = 0.5
# Differences below this are rounding.
ROUNDING = 1e-12


def extrapolate(statistics: NgramStatistics) -> Extrapolation:
    """Take the plug-in entropy's bias off by what halves and quarters of the units show of it.

    With whole, half and quarter samples H_1, H_2, H_4 and bias a/T + b/T^2 for T targets (Miller
    1955; Harris 1975), (8 H_1 - 6 H_2 + H_4) / 3 has neither term. Unlike counting n-grams
    (`miller_madow`) this holds for clustered documents too, whose counts are worth fewer
    independent ones. Where the bias falls more slowly than 1/T, as it does while new n-grams keep
    coming, its observed power is continued instead. Parts count by their targets, which keeps the
    first-order term in place whatever their sizes; the others are dropped where sizes differ much,
    as with one very long document.
    """
    whole = plug_in(statistics.whole)
    targets = statistics.whole.targets
    half, quarter = _mean(statistics.halves), _mean(statistics.quarters)
    unknown = np.zeros(len(whole), dtype=bool)
    if half is None:  # one document: nothing shows the bias, and counting is biased down
        return Extrapolation(whole, np.full(len(whole), np.inf), unknown, whole)
    near = whole - half
    balanced = _balanced(statistics)
    # A small part may have no first order left: its bias is all there is, and lifts the estimate.
    first = whole + near
    lower = first if balanced else whole
    # Few n-grams, each seen often: the bias is far below what its noise lets the ratio show.
    seen = [int(t[:, 1].sum()) for t in statistics.whole.ngrams]
    ample = np.array(seen) * _AMPLE_COUNTS <= targets
    regular = powers = unknown
    estimate = first
    if quarter is not None and balanced:
        far = half - quarter
        # Without any bias all is settled; but contexts that were all seen once show none either.
        settled = np.abs(near) <= ROUNDING
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(settled, 0.0, far / near)
            second = (8 * whole - 6 * half + quarter) / 3
            powered = whole + near / (ratio - 1)
        regular = (ratio >= _REGULAR_RATIO) | (settled & ample)
        powers = (ratio >= _MIN_RATIO) & ~regular
        estimate = np.where(regular, second, np.where(powers, powered, first))
    trusted = regular | powers | ample
    return Extrapolation(
        estimate=estimate,
        doubt=np.where(
            trusted,
            np.maximum(
                np.where(regular | powers, np.abs(estimate - first), np.abs(near)),
                _MIN_DOUBT * np.abs(estimate - whole),
            ),
            np.inf,
        ),
        trusted=trusted,
        lower=np.minimum(lower, estimate),
    )


def _mean(parts: tuple[NgramCounts, ...]) -> Floats | None:
    """Plug-in entropies of the parts, weighted by their targets; None if one of them is empty."""
    targets = np.array([part.targets for part in parts], dtype=np.float64)
    if targets.min() == 0:
        return None
    found: Floats = np.average([plug_in(part) for part in parts], axis=0, weights=targets)
    return found


def _balanced(statistics: NgramStatistics) -> bool:
    return all(
        part.targets * len(parts) >= _MIN_BALANCE * statistics.whole.targets
        for parts in (statistics.halves, statistics.quarters)
        for part in parts
    )
