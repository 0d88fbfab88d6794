"""beta of two curves of the same corpus compared, on the same lags."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ngramstat.exponents.decay_curve import MODEL_MISFIT, DecayCurve, MeasuredDecay
from ngramstat.exponents.fit import slope_weights
from ngramstat.results import ExponentDifference

__all__ = ["exponent_difference"]

Floats = NDArray[np.float64]


def exponent_difference(
    first: MeasuredDecay,
    second: MeasuredDecay,
    window: tuple[float, float],
    *,
    longest: float | None = None,
    level: float = 0.95,
) -> ExponentDifference | None:
    """The exponent of one curve less that of another, both fitted to the lags that both have.

    The ratio of two power laws is a power law whose exponent is the difference, so its interval is
    that of any exponent: resampled documents, the same ones for both curves, and single lags left
    out.

    Parameters
    ----------
    first, second : MeasuredDecay
        At the same lags, with replicates of the same resamplings.
    window : (low, high)
        Lags that the comparison is about, inclusive.
    longest : float, optional
        Largest lag at which the second curve can be used.
    level : float
        Confidence level of the interval.

    Returns
    -------
    ExponentDifference or None
        None with fewer than two lags in the window at which both norms are valid.
    """
    valid = first.valid & first.has_log & second.valid & second.has_log
    valid &= (first.lags >= window[0]) & (first.lags <= window[1])
    if longest is not None:
        valid &= first.lags <= longest
    if int(valid.sum()) < 2:
        return None
    curves = [decay.curve(level).where(valid[decay.has_log]) for decay in (first, second)]
    weights = 1.0 / (curves[0].errors ** 2 + curves[1].errors ** 2 + MODEL_MISFIT**2)
    ratio = DecayCurve(
        curves[0].lags,
        curves[0].norm / curves[1].norm,
        _ratio(curves[0].replicates, curves[1].replicates),
        None,
        curves[0].valid,
        level,
        _ratio(curves[0].left_out, curves[1].left_out),
    )
    form = slope_weights(np.log(ratio.lags), weights)
    exponents = [-float(form @ np.log(curve.norm)) for curve in curves]
    total = ratio.interval(weights)
    return ExponentDifference(
        first=exponents[0],
        second=exponents[1],
        difference=exponents[0] - exponents[1],
        low=total.low,
        high=total.high,
        level=level,
        window=(float(ratio.lags[0]), float(ratio.lags[-1])),
        points=len(ratio.lags),
    )


def _ratio(first: Floats | None, second: Floats | None) -> Floats | None:
    """Of the rows; NaN where either is not positive."""
    if first is None or second is None or first.shape != second.shape:
        return None
    positive = (first > 0) & (second > 0)
    out = np.full(first.shape, np.nan)
    np.divide(first, second, out=out, where=positive)
    return out
