"""How fast a training loss falls with training time (Liu et al. 2026: as tau^(-1/3)).

tau is the sum of the learning rates over steps. The law is about training time, not data; the two
are proportional only in a single epoch at a constant learning rate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.prediction.measured import alpha_of_losses
from ngramstat.results import Exponent

__all__ = ["time_exponent"]

Floats = NDArray[np.float64]


def time_exponent(
    rate_sum: ArrayLike,
    losses: ArrayLike,
    *,
    window: tuple[float, float] | None = None,
    level: float = 0.95,
) -> Exponent:
    """Minus the log-log slope of a training loss against tau.

    Parameters
    ----------
    rate_sum : (k,) float64
        tau after each loss, ascending.
    losses : (k,) float64
        Training losses, nats per token.
    window : (float, float), optional
        First and last tau to fit; by default the last decade, from the last loss before it, so that
        the losses span a decade if training does. A run is long enough if it has four losses there,
        the first of them after the warm-up of the rate.
    level : float

    Raises
    ------
    InputError
        For arrays of different lengths, or a tau that does not ascend.
    """
    tau, y = np.asarray(rate_sum, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if tau.ndim != 1 or tau.shape != y.shape:
        raise InputError(f"rate_sum and losses need one length, got {tau.shape} and {y.shape}")
    method = "OLS of log training loss on log of the summed learning rate"
    if len(tau) == 0:
        return Exponent.refused("no losses", method=method, level=level)
    low, high = _last_decade(tau) if window is None else window
    inside = (tau >= low) & (tau <= high)
    fit = alpha_of_losses(tau[inside], y[inside], level=level)
    return Exponent(
        value=fit.value, low=fit.low, high=fit.high, level=level, window=fit.window,
        points=fit.points, method=method, reportable=fit.reportable, reason=fit.reason,
    )  # fmt: skip


def _last_decade(tau: Floats) -> tuple[float, float]:
    """From the last tau that is at most a tenth of the final one, or else from the first."""
    before = np.flatnonzero(tau <= tau[-1] / 10)
    return float(tau[before[-1]] if len(before) else tau[0]), float(tau[-1])
