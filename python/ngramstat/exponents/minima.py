"""Minima of functions of one number, without SciPy, whose import takes longer than all fits."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["minimum_between"]

_GOLDEN = (3 - math.sqrt(5)) / 2
_ROOT_EPSILON = 2.0**-26
_MAX_STEPS = 500


def minimum_between(
    function: Callable[[float], float], low: float, high: float, *, tolerance: float
) -> tuple[float, float]:
    """Place and value of a local minimum of a continuous function inside (low, high).

    Parabolas through three points where they converge, else golden sections (Brent 1973,
    Algorithms for Minimization without Derivatives, chapter 5).

    Parameters
    ----------
    function : callable
    low, high : float
    tolerance : float
        Of the place, absolute; at least some 1e-8 of it, as a minimum is flat.
    """
    best = second = third = low + _GOLDEN * (high - low)
    at_best = at_second = at_third = function(best)
    step = step_before = 0.0
    for _ in range(_MAX_STEPS):
        middle = (low + high) / 2
        least = _ROOT_EPSILON * abs(best) + tolerance / 3
        if abs(best - middle) <= 2 * least - (high - low) / 2:
            break
        r, q = (best - second) * (at_best - at_third), (best - third) * (at_best - at_second)
        to_vertex = _ratio((best - third) * q - (best - second) * r, 2 * (r - q))
        converges = least < abs(step_before) and abs(to_vertex) < abs(step_before) / 2
        if converges and low < best + to_vertex < high:
            step, step_before = to_vertex, step
            if min(best + step - low, high - best - step) < 2 * least:
                step = math.copysign(least, middle - best)
        else:
            step_before = (low if best >= middle else high) - best
            step = _GOLDEN * step_before
        x = best + math.copysign(max(abs(step), least), step)
        at_x = function(x)
        better = at_x <= at_best
        inner, outer = (best, x) if better else (x, best)
        low, high = (inner, high) if outer >= inner else (low, inner)
        if better:
            third, at_third, second, at_second = second, at_second, best, at_best
            best, at_best = x, at_x
        elif at_x <= at_second or second == best:
            third, at_third, second, at_second = second, at_second, x, at_x
        elif at_x <= at_third or third in (best, second):
            third, at_third = x, at_x
    return best, at_best


def _ratio(numerator: float, denominator: float) -> float:
    """Infinite where a parabola is a line."""
    return numerator / denominator if denominator else math.inf
