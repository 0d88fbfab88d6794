"""alpha_D = gamma / (2 beta), with the joint error of its parts.

Cagnetta et al. 2026, eqs. 42 (exponent) and 56 (propagated error). beta and gamma come from the
same documents, so their errors are joint: where both halves of a run store the exponents of their
bootstrap replicates, alpha is computed in every replicate. Otherwise eq. 56 is used, which assumes
independent and small errors, and the method says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.exponents.criteria import MIN_USABLE
from ngramstat.exponents.distributions import normal_quantile, normal_scores
from ngramstat.exponents.intervals import (
    needed_replicates,
    percentile_interval,
    standard_error,
)
from ngramstat.results import CorrelationResult, EntropyResult, Exponent, Replicates

__all__ = ["alpha_draws", "alpha_error", "alpha_exponent", "paired_replicates", "part_reasons"]

Floats = NDArray[np.float64]

_SEED = 56


def alpha_error(gamma: float, d_gamma: float, beta: float, d_beta: float) -> float:
    """Standard error of gamma / (2 beta) from those of its parts (Cagnetta et al. 2026, eq. 56)."""
    return math.hypot(d_gamma / (2 * beta), gamma * d_beta / (2 * beta**2))


def paired_replicates(
    correlations: CorrelationResult, entropies: EntropyResult, name: str
) -> tuple[Floats, Floats] | None:
    """Replicates of the gamma called `name` and of beta, row by row; None if either is missing.

    Rows of different resamplings (another seed, other clusters, another number of rows) are
    independent of each other: those of gamma are then put in random order.
    """
    first, second = correlations.bootstrap, entropies.bootstrap
    if first is None or second is None or first.beta is None:
        return None
    gammas: Floats | None = getattr(second, name)
    if gammas is None or len(gammas) == 0 or len(first.beta) == 0:
        return None
    if name != "gamma" or not _same_draws(first, second, len(gammas), len(first.beta)):
        generator = np.random.default_rng(_SEED)
        gammas = gammas[generator.permutation(np.arange(len(first.beta)) % len(gammas))]
    return gammas, first.beta


def _same_draws(first: Replicates, second: Replicates, rows: int, others: int) -> bool:
    return (first.seed, first.clusters, others) == (second.seed, second.clusters, rows)


@dataclass(frozen=True)
class _Joint:
    """alpha of the usable replicates, out of `total`; infinite in the `negative` with beta <= 0."""

    draws: Floats
    total: int
    negative: int

    @property
    def description(self) -> str:
        words = f"{self.total} joint bootstrap replicates of both parts"
        missing = self.total - len(self.draws)
        if missing:
            words += f", {missing} of them without one of the two"
        if self.negative:
            words += f", {self.negative} with beta <= 0 counted as no upper bound"
        return words


def _joint(
    gamma: Exponent, beta: Exponent, replicates: tuple[ArrayLike, ArrayLike] | None
) -> _Joint | None:
    """alpha of every replicate, or None where they cannot be used."""
    if replicates is None or gamma.value is None or beta.value is None:
        return None
    gammas, betas = (np.asarray(r, dtype=np.float64) for r in replicates)
    if gammas.ndim != 1 or gammas.shape != betas.shape:
        return None
    usable = np.isfinite(gammas) & np.isfinite(betas)
    if len(gammas) < needed_replicates(beta.level) or usable.mean() < MIN_USABLE:
        return None
    g, b = stretched(gammas[usable], gamma), stretched(betas[usable], beta)
    falls = b > 0
    draws = np.full(len(b), np.inf)
    draws[falls] = g[falls] / (2 * b[falls])
    return _Joint(draws, len(gammas), int((~falls).sum()))


def stretched(replicates: Floats, exponent: Exponent) -> Floats:
    """Replicates whose percentiles are at least as wide as the exponent's own interval.

    An interval may include more than sampling error: uncertainty from bias, which resampling does
    not show. Deviations from the value are then stretched to the interval, each side by its own
    factor. The order of the rows stays, and with it their correlation with other exponents.
    """
    value = exponent.value
    assert value is not None
    deviations = replicates - value
    low, high = percentile_interval(replicates, exponent.level)
    out = deviations.copy()
    if exponent.low is not None and low < value and exponent.low < low:
        out[deviations < 0] *= (value - exponent.low) / (value - low)
    if exponent.high is not None and high > value and exponent.high > high:
        out[deviations > 0] *= (exponent.high - value) / (high - value)
    return value + out


def alpha_exponent(
    gamma: Exponent,
    beta: Exponent,
    *,
    method: str = "gamma / (2 beta)",
    replicates: tuple[ArrayLike, ArrayLike] | None = None,
) -> Exponent:
    """The data-scaling exponent from its two parts.

    With replicates of both parts the interval is the percentile interval of their ratio. Without
    them, the intervals are read as central normal ones at their own levels, converted to standard
    errors, combined by `alpha_error`, and converted back to an interval at the level of `beta`.

    Parameters
    ----------
    gamma, beta : Exponent
        If either is not reportable, neither is alpha, with the reasons of both. Its value is
        given nevertheless where both values exist and beta is positive.
    method : str
        Name of this combination.
    replicates : ((n,) float64, (n,) float64), optional
        Gamma and beta of the same resamplings, see `paired_replicates`. A replicate with a beta
        that is not positive counts as an infinite alpha.
    """
    reasons = part_reasons(gamma, beta)
    if gamma.value is None or beta.value is None or beta.value <= 0:
        if not reasons:
            reasons.append("beta: is not positive")
        return Exponent.refused("; ".join(reasons), method=method, level=beta.level)
    value = gamma.value / (2 * beta.value)
    joint = _joint(gamma, beta, replicates)
    low: float | None = None
    high: float | None = None
    if joint is not None:
        tails = [(1 - beta.level) / 2, (1 + beta.level) / 2]
        low, high = (float(q) for q in np.quantile(joint.draws, tails, method="inverted_cdf"))
        low, high = min(low, value), max(high, value)
        method += f", percentile interval of {joint.description}"
        if not math.isfinite(high):
            low = high = None
            reasons.append("too many replicates of beta are not positive, so no interval")
    else:
        d_gamma, d_beta = _standard_error(gamma), _standard_error(beta)
        if d_gamma is not None and d_beta is not None:
            half = alpha_error(gamma.value, d_gamma, beta.value, d_beta)
            half *= normal_quantile(beta.level)
            low, high = value - half, value + half
            method += ", errors combined by eq. 56"
    if low is not None and low <= 0:
        reasons.append("the interval includes zero")
    return Exponent(
        value=value,
        low=low,
        high=high,
        level=beta.level,
        method=method,
        reportable=not reasons,
        reason="; ".join(reasons) or None,
    )


def alpha_draws(
    gamma: Exponent,
    beta: Exponent,
    *,
    replicates: tuple[ArrayLike, ArrayLike] | None = None,
    number: int = 999,
) -> Floats | None:
    """Values of alpha that represent its error: those of the replicates, else normal quantiles.

    Returns
    -------
    (n,) float64
        Infinite where beta is not positive. None where alpha has no interval.
    """
    joint = _joint(gamma, beta, replicates)
    if joint is not None:
        return joint.draws
    alpha = alpha_exponent(gamma, beta)
    error = _standard_error(alpha)
    if alpha.value is None or error is None:
        return None
    draws: Floats = alpha.value + error * normal_scores(number)
    return draws


def _standard_error(exponent: Exponent) -> float | None:
    if exponent.low is None or exponent.high is None:
        return None
    return standard_error(exponent.low, exponent.high, exponent.level)


def part_reasons(gamma: Exponent, beta: Exponent) -> list[str]:
    """Why what is made of both cannot be reported: the reasons of each that cannot."""
    return [
        f"{name}: {part.reason}"
        for name, part in (("gamma", gamma), ("beta", beta))
        if not part.reportable
    ]
