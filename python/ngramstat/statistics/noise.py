"""Analytic noise floor of an estimated covariance in operator norm (THEORY 1.5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["noise_edge"]

Floats = NDArray[np.float64]


def noise_edge(p: Floats, q: Floats) -> float:
    """kappa, so that ||C_hat|| is about kappa / sqrt(pairs) for independent tokens.

    The edge of the spectrum of D_p^(1/2) G D_q^(1/2) with Gaussian G, by its deterministic
    equivalent: the least z for which m = sum q_j / (1 - q_j h), h = sum p_i / (z - p_i m) has a
    positive fixed point; kappa = sqrt(z). A few per cent high on real unigram distributions.

    Parameters
    ----------
    p, q : (V,) float64
        Distributions of left and right tokens.
    """
    from scipy.optimize import brentq, minimize_scalar

    p = p[p > 0]
    q = q[q > 0]

    def z_of(share: float) -> float:
        # h in (0, 1/max q) parametrises the curve; z then solves h = sum p / (z - p m).
        h = share / q.max()
        m = float(np.sum(q / (1.0 - q * h)))
        low = float(p.max()) * m
        # The sum falls from infinity at `low`, and is at most 1 / (z - low), as the p sum to one.
        return float(
            brentq(lambda z: float(np.sum(p / (z - p * m))) - h, low * (1 + 1e-13), low + 2.0 / h)
        )

    found = minimize_scalar(z_of, bounds=(1e-6, 1 - 1e-6), method="bounded")
    return float(np.sqrt(found.fun))
