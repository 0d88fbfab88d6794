"""Analytic noise floor of the operator norm of an estimated covariance (docs/theory.md 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ngramstat.exponents.minima import minimum_between

__all__ = ["noise_edge"]

Floats = NDArray[np.float64]

# Of a root, relative, and of the place of the minimum, where the edge is flat: it is then known to
# some 1e-6 of itself.
_ROOT_TOLERANCE, _PLACE_TOLERANCE = 1e-9, 1e-3
_MAX_STEPS = 50


def noise_edge(p: Floats, q: Floats) -> float:
    """kappa such that ||C_hat|| is about kappa / sqrt(pairs) for independent tokens.

    kappa^2 is the edge of the spectrum of the squared D_p^(1/2) G D_q^(1/2) with Gaussian G, by its
    deterministic equivalent: the smallest z for which m = sum q_j / (1 - q_j h),
    h = sum p_i / (z - p_i m) has a positive fixed point. The result is a few per cent too high on
    real unigram distributions.

    Parameters
    ----------
    p, q : (V,) float64
        Distributions of left and right tokens.
    """
    # Many rare tokens have equal counts: sums over distinct values are many times shorter.
    p, times_p = np.unique(p[p > 0], return_counts=True)
    q, times_q = np.unique(q[q > 0], return_counts=True)
    weighted = times_p * p

    def z_of(fraction: float) -> float:
        # h in (0, 1 / max q) parametrises the curve; z then solves h = sum p / (z - p m).
        h = fraction / q[-1]
        m = float(times_q @ (q / (1.0 - q * h)))
        # 1 / sum is concave in z, and at the start the term of the largest p alone makes the sum at
        # least h: Newton's steps stay on this side of the root, and inside the domain of the sum.
        z: float = float(p[-1]) * (m + 1.0 / h)
        tolerance = _ROOT_TOLERANCE * z
        for _ in range(_MAX_STEPS):
            gap = 1.0 / (z - p * m)
            terms = weighted * gap
            total = float(terms.sum())
            step: float = (1.0 / total - 1.0 / h) * total**2 / float(terms @ gap)
            z -= step
            if abs(step) <= tolerance:
                break
        return z

    _, edge = minimum_between(z_of, 1e-6, 1 - 1e-6, tolerance=_PLACE_TOLERANCE)
    return float(np.sqrt(edge))
