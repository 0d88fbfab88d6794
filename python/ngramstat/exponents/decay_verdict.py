"""Whether a decay curve in a window is a measured power law: reasons not to report its exponent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.exponents.criteria import (
    DECISIVE_BIC,
    MAX_BEND,
    MAX_HALF_WIDTH,
    MIN_R2,
    MIN_SPAN,
    MIN_USABLE,
)
from ngramstat.exponents.decay_curve import DecayCurve, TotalInterval
from ngramstat.exponents.distributions import normal_quantile
from ngramstat.exponents.fit import exponential_law_bic, power_law, slope_weights
from ngramstat.exponents.intervals import replicates_missing
from ngramstat.results import Alternative, AlternativeKind, IntervalParts

__all__ = [
    "Halves",
    "lag_choice",
    "lag_choice_reason",
    "law_reasons",
    "local_exponents",
    "reasons_not_to_report",
    "usable_reasons",
    "width_reasons",
]

Floats = NDArray[np.float64]

# The choice of lags makes the exponents of halves of three or four lags very uncertain, so that
# hardly any two would disagree. Beyond this ratio it is no excuse. Of the first stage on Wikipedia
# (11 M tokens) the ratio is 2.0 to 2.4, of both stages taken as one 3.0.
_CERTAIN_BEND = 2.5
# Lags that each half of a window needs for an error from leaving one out.
_MIN_HALF_LAGS = 3
# Distance in log lag below which a lag is the middle of the window.
_SAME_LAG = 1e-9


def reasons_not_to_report(curve: DecayCurve, min_points: int) -> list[str]:
    """Why this curve in this window is not a measured power law; empty if it is one."""
    return [*law_reasons(curve, min_points), *_interval_reasons(curve)]


def law_reasons(curve: DecayCurve, min_points: int) -> list[str]:
    """Why this curve in this window is not one power law, whatever its interval; empty if it is."""
    return [
        *_range_reasons(curve, min_points),
        *_law_reasons(curve),
        *_bend_reasons(curve),
    ]


def _range_reasons(curve: DecayCurve, min_points: int) -> list[str]:
    """Whether the window holds enough lags over enough decades."""
    first, last = float(curve.lags[0]), float(curve.lags[-1])
    reasons = []
    valid = int(np.sum(curve.valid))
    if valid < min_points:
        reasons.append(
            f"{valid} valid lag(s) in the window {first:g}..{last:g}, {min_points} needed"
        )
    if last / first < MIN_SPAN:
        reasons.append(
            f"the window {first:g}..{last:g} spans {math.log10(last / first):.2f} decades, 1 needed"
        )
    return reasons


def _law_reasons(curve: DecayCurve) -> list[str]:
    """Whether the norm falls, and as a power law."""
    fit = curve.fit
    reasons = []
    if fit.r2 < MIN_R2:
        reasons.append(f"a power law explains R^2 = {fit.r2:.2f} of the decay, {MIN_R2} needed")
    if len(curve.lags) >= 3:
        power = power_law(curve.lags, curve.norm, curve.smooth_weights)
        advantage = power.bic - exponential_law_bic(curve.lags, curve.norm, curve.smooth_weights)
        if advantage > DECISIVE_BIC:
            reasons.append(
                f"not a power law: exponential decay fits better (BIC by {advantage:.0f})"
            )
    high = curve.interval(curve.weights).high
    if high is not None and high <= 0:
        reasons.append("the norm rises over the window")
    elif fit.exponent <= 0:
        reasons.append("the norm does not fall over the window")
    return reasons


# --- the halves of the window -----------------------------------------------------------------


@dataclass(frozen=True)
class Halves:
    """Local exponents of the two halves of a window, in log lag.

    Attributes
    ----------
    middle : float
        The geometric mean of the ends; a lag there belongs to both halves.
    first, second : float
        Their exponents, each a weighted power law of its own.
    disagree : bool or None
        Whether their ratio is above MAX_BEND beyond their errors, from the documents and the choice
        of lags as for beta, or above _CERTAIN_BEND beyond those from documents. None with fewer
        than three lags in a half.
    """

    middle: float
    first: float
    second: float
    disagree: bool | None


def local_exponents(curve: DecayCurve) -> Halves | None:
    """The exponents of both halves; None if one of them has a single lag.

    The middle is not searched for, so nothing is selected.
    """
    log_lags, log_norm = np.log(curve.lags), np.log(curve.norm)
    middle = (log_lags[0] + log_lags[-1]) / 2
    sides = (log_lags <= middle + _SAME_LAG, log_lags >= middle - _SAME_LAG)
    weights = curve.smooth_weights

    def slope(rows: NDArray[np.int64], side: int) -> Floats:
        """Of the log norms of these lags, those of one half used; (m,)."""
        form = np.zeros(len(rows))
        inside = sides[side][rows]
        form[inside] = -slope_weights(log_lags[rows][inside], weights[rows][inside])
        return form

    fewest = min(int(side.sum()) for side in sides)
    if fewest < 2:
        return None
    every = np.arange(len(log_lags))
    first, second = (float(slope(every, side) @ log_norm) for side in (0, 1))
    steep, flat = (0, 1) if first >= second else (1, 0)

    disagree: bool | None = None
    if fewest >= _MIN_HALF_LAGS:

        def excess(ratio: float) -> Callable[[NDArray[np.int64]], Floats]:
            return lambda rows: slope(rows, steep) - ratio * slope(rows, flat)

        disagree = _is_positive(curve, excess(MAX_BEND), by_lags=True) or _is_positive(
            curve, excess(_CERTAIN_BEND), by_lags=False
        )
    return Halves(middle=math.exp(middle), first=first, second=second, disagree=disagree)


def _is_positive(
    curve: DecayCurve, form: Callable[[NDArray[np.int64]], Floats], *, by_lags: bool
) -> bool:
    """Whether a linear form of the log norms is above 0 beyond its error."""
    every = np.arange(len(curve.lags))
    deviations = curve.log_deviations @ form(every)
    variance = float(deviations.var(ddof=1)) if len(deviations) > 1 else 0.0
    if by_lags:
        whole, noise = curve.lag_variance(form)
        variance += max(whole - noise, 0.0)
    quantile = normal_quantile(curve.level)
    return float(form(every) @ np.log(curve.norm)) > quantile * math.sqrt(variance)


def _bend_reasons(curve: DecayCurve) -> list[str]:
    """Whether both halves of the window fall, and alike."""
    halves = local_exponents(curve)
    if halves is None:
        return []
    first, last = float(curve.lags[0]), float(curve.lags[-1])
    slopes = (
        f"{halves.first:.3f} on {first:g}..{halves.middle:.3g} and {halves.second:.3f} on "
        f"{halves.middle:.3g}..{last:g}"
    )
    if min(halves.first, halves.second) <= 0 < max(halves.first, halves.second):
        return [f"the local slope changes its sign: {slopes}"]
    if halves.disagree:
        return [
            f"the halves of the window disagree: {slopes}, a ratio of more than {MAX_BEND:g} "
            "beyond their errors"
        ]
    return []


# --- the interval -----------------------------------------------------------------------------


def _interval_reasons(curve: DecayCurve) -> list[str]:
    """Whether there is an interval to report, whether it excludes zero, and how wide it is."""
    total = curve.interval(curve.weights)
    missing = replicates_missing(curve.replicates_count, curve.level)
    reasons = [] if missing is None else [missing]
    if curve.replicates_count == 0:
        return reasons
    return reasons + usable_reasons(total) + width_reasons(curve.fit.exponent, total)


def usable_reasons(total: TotalInterval) -> list[str]:
    """Whether too few replicates can be fitted for an interval of documents."""
    if total.usable >= MIN_USABLE:
        return []
    return [
        f"only {100 * total.usable:.0f}% of the bootstrap replicates have positive norms "
        "in the whole window"
    ]


def width_reasons(value: float, total: TotalInterval) -> list[str]:
    """Whether the interval includes zero, or is too wide to call the exponent measured."""
    if total.low is None or total.high is None:
        return []
    if total.low <= 0 < total.high:
        return ["the interval includes zero"]
    if value > 0 and (total.high - total.low) / 2 > MAX_HALF_WIDTH * value:
        return [_width_reason(value, total)]
    return []


def _width_reason(value: float, total: TotalInterval) -> str:
    parts = {"documents": total.documents, "choice of lags": total.lags}
    widths = ", ".join(
        f"{(part[1] - part[0]) / 2:.3f} by {name}"
        for name, part in parts.items()
        if part is not None
    )
    assert total.low is not None
    assert total.high is not None
    return (
        f"the interval reaches {(total.high - total.low) / 2:.3f} to either side ({widths}), more "
        f"than {100 * MAX_HALF_WIDTH:.0f} % of the value"
    )


def lag_choice(
    value: float | None, parts: IntervalParts | None, alternatives: Sequence[Alternative]
) -> float | None:
    """How much the choice of lags changes an exponent, as a fraction of its value.

    The larger of two half widths: of the interval's part of the lags (of the whole jackknife over
    lags where the parts are not known), and of the range over the ends of the first stage. None
    where neither is known.
    """
    kinds = {AlternativeKind.BREAK_RANGE}
    if parts is None:
        kinds.add(AlternativeKind.LAG_JACKKNIFE)
    ranges = [
        (other.low, other.high)
        for other in alternatives
        if other.kind in kinds and other.low is not None and other.high is not None
    ]
    if parts is not None and parts.lags is not None:
        ranges.append(parts.lags)
    if not ranges or value is None or value <= 0:
        return None
    return max(high - low for low, high in ranges) / 2 / value


def lag_choice_reason(value: float, alternatives: Sequence[Alternative]) -> str | None:
    """Why the end of the first stage decides too much of the exponent; None if it does not."""
    change = lag_choice(value, IntervalParts(), alternatives)
    if change is None or change <= MAX_HALF_WIDTH:
        return None
    return (
        f"moving the end of the first stage changes it by {100 * change:.0f} % of its value, "
        f"{100 * MAX_HALF_WIDTH:.0f} % allowed"
    )
