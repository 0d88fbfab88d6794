"""The exponent of a learning curve from the scatter of its seeds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ngramstat.exponents.distributions import student_quantile
from ngramstat.exponents.fit import power_law

__all__ = ["exponent_over_seeds"]

Floats = NDArray[np.float64]

_LEVEL = 0.95


def exponent_over_seeds(sizes: Floats, losses: Floats) -> dict[str, object]:
    """Mean of the seeds' slopes, the interval of their scatter, and how straight the curve is.

    Parameters
    ----------
    sizes : (n,) float64
    losses : (seeds, n) float64
        Above what no learner can do without.

    Returns
    -------
    dict
        exponent, low, high: with the 95 % interval of Student's t; local: slopes between
        neighbouring sizes of the mean curve.
    """
    slopes = np.array([power_law(sizes, row).exponent for row in losses])
    half = student_quantile(_LEVEL, len(slopes) - 1) * slopes.std(ddof=1) / np.sqrt(len(slopes))
    local = -np.diff(np.log(losses.mean(axis=0))) / np.diff(np.log(sizes))
    return {
        "exponent": float(slopes.mean()),
        "low": float(slopes.mean() - half),
        "high": float(slopes.mean() + half),
        "local": local.tolist(),
    }
