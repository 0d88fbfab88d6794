"""Discounts of modified Kneser-Ney smoothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["FALLBACK_DISCOUNTS", "discounts"]

# Where the counts of counts do not give discounts (tiny or artificial data): KenLM's fallback.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


def discounts(counts: NDArray[np.uint64]) -> tuple[NDArray[np.float64], bool]:
    """Modified Kneser-Ney discounts D1, D2, D3+ of one order (Chen and Goodman 1999, eq. 26).

    Parameters
    ----------
    counts : (>= 4,) integers
        Numbers of n-grams with counts 1, 2, 3, 4.

    Returns
    -------
    (3,) float64, bool
        The discounts, and whether they are FALLBACK_DISCOUNTS because the formula needs a number
        that is zero or leaves 0 < D_k <= k.
    """
    n1, n2, n3, n4 = (float(c) for c in counts[:4])
    if min(n1, n2, n3, n4) > 0:
        y = n1 / (n1 + 2 * n2)
        values = np.array([1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
        if np.all(values > 0) and np.all(values <= (1, 2, 3)):
            return values, False
    return np.array(FALLBACK_DISCOUNTS), True
