"""Quantiles behind intervals, without SciPy.

SciPy's distributions take a second to import, several times as long as the fits of a finished run.
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["normal_cdf", "normal_quantile", "normal_scores", "student_quantile"]

Floats = NDArray[np.float64]

_NORMAL = NormalDist()
# Halvings of an angle after which neighbouring floats are left.
_HALVINGS = 60
# Beyond the last node the probability is 0 or 1 in double precision relative to 1.
_LAST_NODE, _NODES_PER_UNIT = 9, 64


def normal_quantile(level: float) -> float:
    """Half the width of a central interval at `level`, in standard errors of a normal variable.

    Its square is the quantile of chi^2 with one degree of freedom.
    """
    return _NORMAL.inv_cdf((1 + level) / 2)


def normal_scores(count: int) -> Floats:
    """Standard normal values at the middles of `count` equal parts of probability, ascending."""
    lower = [_NORMAL.inv_cdf((k + 0.5) / count) for k in range(count // 2)]
    middle = [0.0] * (count % 2)
    return np.array([*lower, *middle, *(-value for value in reversed(lower))])


def normal_cdf(x: ArrayLike) -> Floats:
    """Probability that a standard normal variable is below x, of the shape of x."""
    values = np.clip(np.asarray(x, dtype=np.float64), -_LAST_NODE, _LAST_NODE)
    nearest = np.rint(values * _NODES_PER_UNIT).astype(np.int64)
    z = nearest / _NODES_PER_UNIT
    d = values - z
    below, density = _normal_nodes()
    at = nearest + _LAST_NODE * _NODES_PER_UNIT
    # Taylor series from the nearest node: derivatives of the density are Hermite polynomials.
    square = z * z
    series = z * (3 - square) + d / 5 * (square * (square - 6) + 3)
    series = d * (1 + d / 2 * (d / 3 * (square - 1 + d / 4 * series) - z))
    out: Floats = below[at] + density[at] * series
    return out


@functools.cache
def _normal_nodes() -> tuple[Floats, Floats]:
    """Probability below, and density, at the nodes of `normal_cdf`."""
    z = np.arange(-_LAST_NODE * _NODES_PER_UNIT, _LAST_NODE * _NODES_PER_UNIT + 1) / _NODES_PER_UNIT
    below = np.array([0.5 * math.erfc(-v) for v in (z * math.sqrt(0.5)).tolist()])
    return below, np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def student_quantile(level: float, freedom: int) -> float:
    """Half the width of a central interval at `level`, in standard errors of Student's t.

    Its square is the quantile of F(1, freedom).

    Parameters
    ----------
    level : float
        In (0, 1).
    freedom : int
        Degrees of freedom, at least 1.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        angle = (low + high) / 2
        if _student_within(angle, freedom) < level:
            low = angle
        else:
            high = angle
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _student_within(angle: float, freedom: int) -> float:
    """Probability of Student's t between -t and t, where tan(angle) = t / sqrt(freedom).

    Abramowitz and Stegun (1964), 26.7.3 and 26.7.4: finite series, as `freedom` is whole.
    """
    sine, square, odd = math.sin(angle), math.cos(angle) ** 2, freedom % 2
    term = total = math.cos(angle) if odd else 1.0
    for k in range(2 + odd, freedom - 1, 2):
        term *= square * (k - 1) / k
        total += term
    if not odd:
        return sine * total
    return 2 / math.pi * (angle + (sine * total if freedom > 1 else 0.0))
