"""Ticks of axes: round numbers whose labels do not touch each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ngramstat.report.chart import Axis
from ngramstat.report.text import count

__all__ = ["minor_ticks", "tick_label", "ticks"]

# Steps within a decade, the densest first.
_STEPS = (tuple(range(1, 10)), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# Below this ratio of its ends, a logarithmic axis has evenly spaced numbers.
_FEW_STEPS = 4.0
_MOST = 9


def tick_label(value: float) -> str:
    """The number as in the text: 0.05, 500, 20,000, 5 M; powers of ten where those get long."""
    size = abs(value)
    if size == 0:
        return "0"
    if 1e-3 <= size < 1e6:
        return f"{value:,.6g}" if size < 1e3 else f"{value:,.0f}"
    if 1e6 <= size < 1e15:
        return count(float(value))
    power = math.floor(math.log10(size) + 1e-9)
    factor = value / 10.0**power
    ten = f"10{str(power).translate(_SUPERSCRIPTS)}"
    return ten if abs(factor - 1) < 1e-9 else f"{factor:.3g}·{ten}"


def ticks(
    axis: Axis, limits: tuple[float, float], length: float, *, text: float, along: bool
) -> list[tuple[float, str]]:
    """Values with labels.

    Parameters
    ----------
    axis : Axis
    limits : (low, high)
    length : float
        Of the axis, in the units of `text`.
    text : float
        Size of the labels.
    along : bool
        Whether labels stand beside each other along the axis, and not above each other.
    """
    low, high = min(limits), max(limits)

    def place(value: float) -> float:
        if axis.log:
            return length * math.log(value / low) / math.log(high / low)
        return length * (value - low) / (high - low)

    def fits(values: Sequence[float]) -> bool:
        return len(values) <= _MOST and len(_thinned(values, place, text, along)) == len(values)

    if axis.at:
        inside = [v for v in axis.at if low <= v <= high]
        chosen = _thinned(inside, place, text, along)
    else:
        candidates = _candidates(axis, low, high)
        fitting = (values for values in candidates if len(values) >= 2 and fits(values))
        # Where no set of at least two fits, as many of the dense one as do.
        chosen = next(fitting, _thinned(candidates[0], place, text, along))
    return [(value, tick_label(value)) for value in chosen]


def minor_ticks(axis: Axis, limits: tuple[float, float]) -> list[float]:
    """Positions of short ticks without labels, between those of decades."""
    low, high = min(limits), max(limits)
    if not axis.log or axis.at or high / low < _FEW_STEPS or high / low > 1e10:
        return []
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [k * 10.0**d for d in decades for k in range(1, 10) if low <= k * 10.0**d <= high]


def _thinned(
    values: Sequence[float], place: Callable[[float], float], text: float, along: bool
) -> list[float]:
    """The values whose labels do not touch that of the one before."""
    kept: list[float] = []
    end = -math.inf
    for value in values:
        half = 0.3 * text * len(tick_label(value)) + 0.35 * text if along else 0.9 * text
        if place(value) - half >= end:
            kept.append(value)
            end = place(value) + half
    return kept


def _candidates(axis: Axis, low: float, high: float) -> list[list[float]]:
    """Sets of round numbers within the limits, dense ones first."""
    if not axis.log or high / low < _FEW_STEPS:
        return [_even(low, high, most) for most in range(_MOST, 1, -1)]
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    out = [
        [k * 10.0**d for d in range(first, last + 1) for k in steps if low <= k * 10.0**d <= high]
        for steps in _STEPS
    ]
    out += [
        [10.0**d for d in range(first, last + 1) if low <= 10.0**d <= high and d % stride == 0]
        for stride in (2, 3, 4, 5, 10, 20)
    ]
    return [values for values in out if len(values) >= 2] or [_even(low, high, 3)]


def _even(low: float, high: float, most: int) -> list[float]:
    """At most so many round numbers at equal distances."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(k * power for k in (1, 2, 2.5, 5, 10) if k * power >= rough * (1 - 1e-9))
    digits = max(0, 2 - math.floor(math.log10(step)))
    return [
        round(k * step, digits) + 0.0
        for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ]
