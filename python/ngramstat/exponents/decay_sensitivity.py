"""How much a decay exponent depends on choices: windows, breaks, single lags, local peaks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ngramstat.exponents.criteria import MIN_SPAN
from ngramstat.exponents.decay_curve import MODEL_MISFIT, DecayCurve
from ngramstat.exponents.fit import power_law, slope_weights
from ngramstat.results import Alternative, AlternativeKind

__all__ = [
    "break_range",
    "document_jackknife",
    "lag_jackknife",
    "local_peaks",
    "window_range",
    "without_peaks",
]

Floats = NDArray[np.float64]

# A window may equally well end this much later: by about one lag more at three lags an octave.
_LATER_END = 1.3
# With fewer points, leaving one out does not show how much one point moves the fit.
_MIN_POINTS = 4


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
            if end >= MIN_SPAN * start and len(part.lags) >= _MIN_POINTS:
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
    if len(ends) < 2 or len(headline.lags) < _MIN_POINTS:
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
    """Leave-one-lag-out interval: sensitivity to single lags, not sampling error.

    None below four lags.
    """
    n = len(curve.lags)
    if n < _MIN_POINTS:
        return None
    from scipy.stats import norm as normal

    def slope(lag_indices: Sequence[int]) -> float:
        rows = list(lag_indices)
        return power_law(curve.lags[rows], curve.norm[rows], curve.weights[rows]).exponent

    full = slope(range(n))
    left_out = np.array([slope([i for i in range(n) if i != j]) for j in range(n)])
    error = math.sqrt((n - 1) / n * float(np.sum((left_out - left_out.mean()) ** 2)))
    half_width = float(normal.ppf((1 + curve.level) / 2)) * error
    return Alternative(
        kind=AlternativeKind.LAG_JACKKNIFE,
        method="leave-one-lag-out jackknife interval",
        value=full,
        low=full - half_width,
        high=full + half_width,
        window=(float(curve.lags[0]), float(curve.lags[-1])),
        points=n,
    )


def document_jackknife(
    curve: DecayCurve, left_out: Floats, bootstrap_error: float | None
) -> Alternative | None:
    """Interval from norms with one fold of the documents left out at all lags.

    It checks the bootstrap, which keeps the singular vectors fixed and adds the noise of every lag
    independently: a fold is left out at all lags together, and from the vectors as well.

    Parameters
    ----------
    curve : DecayCurve
        The window of the headline.
    left_out : (n_folds, n) float64
        At the lags of `curve`. The first and the last half of the folds are two jackknives, each
        over one half of the documents.
    bootstrap_error : float or None
        Standard error of the bootstrap, to be compared with.

    Returns
    -------
    Alternative or None
        With `standard_error` and its `ratio` to that of the bootstrap; None if a norm is not
        positive.
    """
    if len(left_out) < 4 or not np.all(left_out > 0):
        return None
    from scipy.stats import t as student

    value = curve.fit.exponent
    others = -np.log(left_out) @ slope_weights(np.log(curve.lags), curve.weights)
    halves = others.reshape(2, -1)
    m = halves.shape[1]
    error = math.sqrt((m - 1) / m * float(np.sum((halves - value) ** 2)))
    half_width = float(student.ppf((1 + curve.level) / 2, 2 * (m - 1))) * error
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


def without_peaks(curve: DecayCurve, peaks: Sequence[tuple[int, float]]) -> Alternative | None:
    """The fit with the local peaks left out; None without peaks or with too few lags left."""
    smooth = ~np.isin(curve.lags, [lag for lag, _ in peaks])
    if not peaks or int(smooth.sum()) < _MIN_POINTS:
        return None
    return curve.where(smooth).alternative(
        AlternativeKind.WITHOUT_PEAKS,
        "without local peaks",
        extra={"peaks": [lag for lag, _ in peaks]},
    )
