"""How much a decay exponent depends on choices: windows, breaks, single lags, local peaks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ngramstat.exponents.criteria import MIN_SPAN
from ngramstat.exponents.decay_curve import MIN_JACKKNIFE_LAGS, MODEL_MISFIT, DecayCurve
from ngramstat.exponents.distributions import normal_quantile
from ngramstat.exponents.fit import slope_weights
from ngramstat.results import Alternative, AlternativeKind

__all__ = [
    "break_range",
    "document_jackknife",
    "lag_jackknife",
    "local_peaks",
    "raised_lags",
    "window_range",
    "without_peaks",
]

# A window may equally well end this much later: by about one lag more at three lags an octave.
_LATER_END = 1.3


def window_range(valid: DecayCurve, window: DecayCurve) -> Alternative | None:
    """Smallest and largest exponent over the windows of a decade or more that could be chosen.

    They start at any lag of the window and end at any later one, or at the next valid lag beyond
    the window, and hold at least four lags.

    Parameters
    ----------
    valid : DecayCurve
        All lags of the valid window, both stages.
    window : DecayCurve
        The window of the headline.
    """
    first, last = float(window.lags[0]), float(window.lags[-1])
    pool = valid.within(first, _LATER_END * last)
    fits: list[tuple[float, float, float]] = []
    for start in window.lags.tolist():
        for end in pool.lags.tolist():
            part = pool.within(start, end)
            if end >= MIN_SPAN * start and len(part.lags) >= MIN_JACKKNIFE_LAGS:
                fits.append((part.fit.exponent, start, end))
    if len(fits) < 2:
        return None
    smallest, largest = min(fits), max(fits)
    return Alternative(
        kind=AlternativeKind.WINDOW_RANGE,
        method="range over reasonable windows",
        value=window.fit.exponent,
        low=min(smallest[0], window.fit.exponent),
        high=max(largest[0], window.fit.exponent),
        window=(first, last),
        points=len(window.lags),
        extra={
            "windows": len(fits),
            "window_of_low": list(smallest[1:]),
            "window_of_high": list(largest[1:]),
        },
    )


def break_range(selected: DecayCurve, headline: DecayCurve, earliest: float) -> Alternative | None:
    """First-stage exponents for all ends from the best hinge to the start of the second stage.

    None where there is only one end, or where there are fewer than four lags.
    """
    first, last = float(selected.lags[0]), float(headline.lags[-1])
    ends = [float(lag) for lag in headline.lags if lag >= earliest and lag > first]
    if len(ends) < 2 or len(headline.lags) < MIN_JACKKNIFE_LAGS:
        return None
    slopes = [selected.within(first, end).fit.exponent for end in ends]
    return Alternative(
        kind=AlternativeKind.BREAK_RANGE,
        method="range over where the first stage may end",
        value=headline.fit.exponent,
        low=min(slopes),
        high=max(slopes),
        window=(first, last),
        points=len(headline.lags),
        extra={"breaks": ends},
    )


def lag_jackknife(curve: DecayCurve) -> Alternative | None:
    """Leave-one-lag-out interval: sensitivity to single lags, their sampling errors included.

    None below four lags.
    """
    n = len(curve.lags)
    if n < MIN_JACKKNIFE_LAGS:
        return None
    log_lags, weights = np.log(curve.lags), curve.weights
    variance, _ = curve.lag_variance(lambda rows: -slope_weights(log_lags[rows], weights[rows]))
    half_width = normal_quantile(curve.level) * math.sqrt(variance)
    value = curve.fit.exponent
    return Alternative(
        kind=AlternativeKind.LAG_JACKKNIFE,
        method="leave-one-lag-out jackknife interval",
        value=value,
        low=value - half_width,
        high=value + half_width,
        window=(float(curve.lags[0]), float(curve.lags[-1])),
        points=n,
    )


def document_jackknife(curve: DecayCurve) -> Alternative | None:
    """Interval from norms with one fold of the documents left out at all lags.

    It checks the bootstrap, which keeps the singular vectors fixed and adds the noise of every lag
    independently: a fold is left out at all lags together, and from the vectors as well.

    Returns
    -------
    Alternative or None
        With `standard_error` and its `ratio` to that of the bootstrap; None without folds, or if a
        norm is not positive.
    """
    found = curve.jackknife_error(curve.weights)
    if found is None:
        return None
    error, half_width = found
    value, bootstrap_error = curve.fit.exponent, curve.bootstrap_error
    return Alternative(
        kind=AlternativeKind.DOCUMENT_JACKKNIFE,
        method="document jackknife",
        value=value,
        low=value - half_width,
        high=value + half_width,
        window=(float(curve.lags[0]), float(curve.lags[-1])),
        points=len(curve.lags),
        extra={
            "standard_error": error,
            "ratio": error / bootstrap_error if bootstrap_error else None,
        },
    )


def local_peaks(curve: DecayCurve) -> list[tuple[int, float]]:
    """Lags whose norm exceeds the power law through its two neighbours.

    By more than three standard errors, those of the neighbours included, and by more than
    MODEL_MISFIT. An example is lag 10 of the paper's WikiText-103, a distance at which something
    repeats. Where a slower stage begins the curve bends upwards, so a break never looks like a
    peak.

    Returns
    -------
    list of (int, float)
        Lag, and the fraction by which its norm exceeds the interpolation.
    """
    log_x, log_y, errors = np.log(curve.lags), np.log(curve.norm), curve.errors
    peaks = []
    for k in range(1, len(curve.lags) - 1):
        between = (log_x[k] - log_x[k - 1]) / (log_x[k + 1] - log_x[k - 1])
        excess = float(log_y[k] - (1 - between) * log_y[k - 1] - between * log_y[k + 1])
        error = math.hypot(errors[k], (1 - between) * errors[k - 1], between * errors[k + 1])
        if excess > max(3 * error, MODEL_MISFIT):
            peaks.append((int(curve.lags[k]), math.expm1(excess)))
    return peaks


def raised_lags(curve: DecayCurve, marked: NDArray[np.bool_]) -> list[int]:
    """Marked lags that are local peaks, and of the marked ones the first largest if it is a rise.

    A broad peak has no lag that stands above both neighbours. But its norm exceeds that of some
    smaller lag that is not marked, by more than three standard errors and MODEL_MISFIT.
    """
    raised = {lag for lag, _ in local_peaks(curve)} & set(curve.lags[marked].astype(int).tolist())
    if marked.any():
        top = int(np.where(marked, curve.norm, -np.inf).argmax())
        before = np.flatnonzero(~marked[:top])
        if len(before):
            low = int(before[curve.norm[before].argmin()])
            rise = float(np.log(curve.norm[top] / curve.norm[low]))
            error = math.hypot(float(curve.errors[top]), float(curve.errors[low]))
            if rise > max(3 * error, MODEL_MISFIT):
                raised.add(int(curve.lags[top]))
    return sorted(raised)


def without_peaks(curve: DecayCurve, peaks: Sequence[tuple[int, float]]) -> Alternative | None:
    """The fit with the local peaks left out; None without peaks or with too few lags left."""
    smooth = ~np.isin(curve.lags, [lag for lag, _ in peaks])
    if not peaks or int(smooth.sum()) < MIN_JACKKNIFE_LAGS:
        return None
    return curve.where(smooth).alternative(
        AlternativeKind.WITHOUT_PEAKS,
        "without local peaks",
        extra={"peaks": [lag for lag, _ in peaks]},
    )
