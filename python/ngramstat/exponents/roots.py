"""Zeros of functions of one number, without SciPy, whose import takes longer than all fits."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["root_between"]

_EPSILON = 2.0**-52


def root_between(
    function: Callable[[float], float], low: float, high: float, *, tolerance: float = 2e-12
) -> float:
    """A zero of a continuous function whose values at the two ends differ in sign.

    Inverse quadratic interpolation where it is safe, else bisection (Chandrupatla 1997, Advances
    in Engineering Software 28, 145).

    Raises
    ------
    ValueError
        The values at the ends have the same sign.
    """
    a, b = low, high
    at_a, at_b = function(a), function(b)
    if at_a == 0 or at_b == 0:
        return a if at_a == 0 else b
    if (at_a > 0) == (at_b > 0):
        raise ValueError(f"the function has one sign at {low:g} and {high:g}")
    fraction = 0.5
    while True:
        x = a + fraction * (b - a)
        at_x = function(x)
        # The zero lies between a, the newest point, and b; c is the point before.
        if (at_x > 0) == (at_a > 0):
            c, at_c = a, at_a
        else:
            c, at_c, b, at_b = b, at_b, a, at_a
        a, at_a = x, at_x
        best, at_best = (a, at_a) if abs(at_a) < abs(at_b) else (b, at_b)
        least = (2 * _EPSILON * abs(best) + tolerance) / abs(b - a)
        if at_best == 0 or least > 0.5 or not math.isfinite(at_best):
            return best
        xi, phi = (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
        fraction = 0.5
        if phi**2 < xi and (1 - phi) ** 2 < 1 - xi:
            fraction = at_a / (at_b - at_a) * at_c / (at_b - at_c)
            fraction += (c - a) / (b - a) * at_a / (at_c - at_a) * at_b / (at_c - at_b)
        fraction = min(max(fraction, least), 1 - least)
