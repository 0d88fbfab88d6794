"""Whether pairs of the stream and pairs inside documents give the same curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.exponents.fit import slope_weights
from ngramstat.results import BoundaryEffect, Exponent

__all__ = ["boundary_effect"]

Floats = NDArray[np.float64]

# Norms that differ by more than this factor give another curve: in the stream, as many pairs cross
# documents as end the automatic window.
_MIN_FACTOR = 1.25
# A norm below this multiple of the noise floor is compared with nothing.
_MIN_RATIO = 1.5


def boundary_effect(
    lags: NDArray[np.int64],
    norm: Floats,
    other: Floats,
    floors: tuple[Floats, Floats],
    boundary: Boundary,
    beta: Exponent,
) -> BoundaryEffect | None:
    """Where the other boundary gives another curve; None where it does not, or is not known.

    Parameters
    ----------
    lags : (n,) int64
    norm, other : (n,) float64
        Plug-in norms with the boundary used and with the other one, NaN where not measured.
    floors : two (n,) float64
        What noise alone would show of each.
    boundary : Boundary
        The boundary used.
    beta : Exponent
        Fitted to the curve of `norm`; both are compared in its window.
    """
    known = np.isfinite(other) & (other > 0) & (norm > 0)
    # Where both are lost in the noise there is nothing to compare; where one is, it differs.
    above = (norm >= _MIN_RATIO * floors[0]) | (other >= _MIN_RATIO * floors[1])
    compared = known & above
    distance = np.zeros(len(lags))
    distance[compared] = np.abs(np.log(other[compared] / norm[compared]))
    # Each norm is raised by noise: a difference of the size of the floors is none.
    noise = np.maximum(*floors)
    differs = compared & (distance > np.log(_MIN_FACTOR)) & (np.abs(other - norm) > noise)
    if not differs.any():
        return None
    most = int(np.where(differs, distance, 0.0).argmax())
    exponents: tuple[float | None, float | None] = (None, None)
    if beta.window is not None:
        inside = (lags >= beta.window[0]) & (lags <= beta.window[1])
        if np.all(known[inside]) and beta.weights is not None and inside.sum() == beta.points:
            form = slope_weights(np.log(lags[inside].astype(np.float64)), beta.weights)
            exponents = (
                -float(form @ np.log(norm[inside])),
                -float(form @ np.log(other[inside])),
            )
    return BoundaryEffect(
        other=(Boundary.DOCUMENT if boundary.across else Boundary.STREAM).value,
        from_lag=int(lags[differs.argmax()]),
        lag=int(lags[most]),
        norm=float(norm[most]),
        other_norm=float(other[most]),
        exponent=exponents[0],
        other_exponent=exponents[1],
    )
