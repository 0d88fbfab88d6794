"""Where a fitted power law lies among its points, for the plots that draw it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fitted_points", "middle_of_fit"]

Floats = NDArray[np.float64]


def fitted_points(
    x: Floats, y: Floats, window: tuple[float, float], valid: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Which of the points (x, y) a fit on this window used, (points,).

    `valid` marks the points that a fit may use; by default all finite, positive ones.
    """
    low, high = window
    with np.errstate(invalid="ignore"):
        used = (x >= low) & (x <= high) & (y > 0) & np.isfinite(y)
    return used if valid is None else used & valid


def middle_of_fit(x: Floats, y: Floats, weights: Floats | None = None) -> tuple[float, float]:
    """The point that a fitted line passes through: the mean of the fitted points in log-log.

    Parameters
    ----------
    x, y : (points,) float64
        The fitted points.
    weights : float64, optional
        Weights of the fit; ignored unless there is one for every point.
    """
    if weights is not None and len(weights) != len(x):
        weights = None
    return (
        float(np.exp(np.average(np.log(x), weights=weights))),
        float(np.exp(np.average(np.log(y), weights=weights))),
    )
