"""Analytic noise floor of the operator norm of an estimated covariance (docs/theory.md 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["noise_edge"]

Floats = NDArray[np.float64]


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
    from scipy.optimize import minimize_scalar, newton

    # Many rare tokens have equal counts: sums over distinct values are many times shorter.
    p, times_p = np.unique(p[p > 0], return_counts=True)
    q, times_q = np.unique(q[q > 0], return_counts=True)

    def z_of(fraction: float) -> float:
        # h in (0, 1 / max q) parametrises the curve; z then solves h = sum p / (z - p m).
        h = fraction / q[-1]
        m = float(times_q @ (q / (1.0 - q * h)))

        def sums(z: float) -> tuple[float, float]:
            gap = 1.0 / (z - p * m)
            weighted = times_p * p * gap
            return float(weighted.sum()), float(weighted @ gap)

        # 1 / sum is concave in z, and at the start the term of the largest p alone makes the sum at
        # least h: Newton's steps stay on this side of the root, and inside the domain of the sum.
        start = float(p[-1]) * (m + 1.0 / h)
        return float(
            newton(
                lambda z: 1.0 / sums(z)[0] - 1.0 / h,
                start,
                fprime=lambda z: sums(z)[1] / sums(z)[0] ** 2,
                tol=1e-9 * start,
            )
        )

    edge = minimize_scalar(z_of, bounds=(1e-6, 1 - 1e-6), method="bounded")
    return float(np.sqrt(edge.fun))
