"""Quantiles behind intervals, and the digamma function, without SciPy.

SciPy's distributions take a second to import, several times as long as the fits of a finished run,
and 60 MB of memory, a quarter of the smallest memory limits.
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["digamma", "normal_cdf", "normal_quantile", "normal_scores", "student_quantile"]

Floats = NDArray[np.float64]

_NORMAL = NormalDist()
# Halvings of an angle after which neighbouring floats are left.
_HALVINGS = 60
# Beyond the last node the probability is 0 or 1 in double precision relative to 1.
_LAST_NODE, _NODES_PER_UNIT = 9, 64
# Of a continued fraction, which takes about as many terms as the root of the degrees of freedom.
_MAX_TERMS, _EPSILON = 10_000, 2.0**-52
# Up to here digamma is summed; beyond, the first term left out of its series is below 1e-18.
_LAST_SUMMED = 200


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


def student_quantile(level: float, freedom: float) -> float:
    """Half the width of a central interval at `level`, in standard errors of Student's t.

    Its square is the quantile of F(1, freedom).

    Parameters
    ----------
    level : float
        In (0, 1).
    freedom : float
        Degrees of freedom, at least 1.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        angle = (low + high) / 2
        if _student_outside(angle, freedom) > 1 - level:
            low = angle
        else:
            high = angle
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _student_outside(angle: float, freedom: float) -> float:
    """Probability of Student's t below -t or above t, where tan(angle) = t / sqrt(freedom).

    Abramowitz and Stegun (1964), 26.7.1: an incomplete beta function.
    """
    a, b, x = freedom / 2, 0.5, math.cos(angle) ** 2
    if x < (a + 1) / (a + b + 2):
        return _incomplete_beta(a, b, x)
    return 1 - _incomplete_beta(b, a, math.sin(angle) ** 2)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b), for x below (a + 1) / (a + b + 2), where the continued fraction is short.

    Abramowitz and Stegun (1964), 26.5.8, evaluated by Lentz's method.
    """
    if x <= 0:
        return 0.0
    fraction, c, d = 1.0, 1.0, 0.0
    for k in range(1, _MAX_TERMS):
        m = k // 2
        if k % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + term * d)
        c = 1 + term / c
        fraction *= c * d
        if abs(c * d - 1) < _EPSILON:
            break
    log_factor = a * math.log(x) + b * math.log1p(-x) - _log_beta(a, b) - math.log(a)
    return math.exp(log_factor) / fraction


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def digamma(n: ArrayLike) -> Floats:
    """psi(n) of whole numbers from 1 on, of the shape of n.

    Abramowitz and Stegun (1964): 6.3.2 for small ones, 6.3.18 for the others.
    """
    values = np.asarray(n, dtype=np.float64)
    whole = np.minimum(values, _LAST_SUMMED).astype(np.int64)
    summed = np.concatenate([np.zeros(1), np.cumsum(1 / np.arange(1.0, _LAST_SUMMED))])
    inverse = 1 / values**2
    series = inverse * (1 / 12 - inverse * (1 / 120 - inverse / 252))
    asymptotic = np.log(values) - 0.5 / values - series
    out: Floats = np.where(values <= _LAST_SUMMED, summed[whole - 1] - np.euler_gamma, asymptotic)
    return out
