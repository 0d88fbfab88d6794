"""How much a decay exponent hangs on choices: windows, breaks, single lags, local peaks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.exponents.decay_curve import MODEL_MISFIT, DecayCurve
from ngramstat.exponents.fit import power_law, slope_weights

__all__ = [
    "BREAK_RANGE",
    "DOCUMENT_JACKKNIFE",
    "JACKKNIFE",
    "MIN_RATIO",
    "WINDOW_RANGE",
    "break_range",
    "document_jackknife",
    "lag_jackknife",
    "local_peaks",
    "window_range",
    "without_peaks",
]

Floats = NDArray[np.float64]

# Names of the alternatives that say how much the choice of points moves the exponent.
JACKKNIFE = "leave-one-lag-out jackknife interval"
BREAK_RANGE = "range over where the first stage may end"
WINDOW_RANGE = "range over reasonable windows"
# The sampling error once more, from a few large folds of the documents.
DOCUMENT_JACKKNIFE = "document jackknife"

# A window shorter than a decade cannot tell a power law from anything else that falls.
MIN_RATIO = 10.0
# A window may as well end this much later: about one lag of three an octave.
_LATER_END = 1.3
# Fewer points than this say nothing about how much one of them moves the fit.
_MIN_POINTS = 4


def window_range(valid: DecayCurve, window: DecayCurve) -> dict[str, Any] | None:
    """Least and largest exponent over the windows of a decade or more that could have been chosen.

    From any lag of the window to any later one, or to the next valid lag beyond its end, with at
    least four lags.

    Parameters
    ----------
    valid : DecayCurve
        All lags of the valid window, both stages.
    window : DecayCurve
        The window of the headline.
    """
    first, last = float(window.lags[0]), float(window.lags[-1])
    pool = valid.within(first, _LATER_END * last)
    found: list[tuple[float, float, float]] = []
    for start in window.lags.tolist():
        for end in pool.lags.tolist():
            part = pool.within(start, end)
            if end >= MIN_RATIO * start and len(part.lags) >= _MIN_POINTS:
                found.append((part.fit.exponent, start, end))
    if len(found) < 2:
        return None
    smallest, largest = min(found), max(found)
    return {
        "method": WINDOW_RANGE,
        "value": window.fit.exponent,
        "low": min(smallest[0], window.fit.exponent),
        "high": max(largest[0], window.fit.exponent),
        "window": [first, last],
        "points": len(window.lags),
        "windows": len(found),
        "window_of_low": list(smallest[1:]),
        "window_of_high": list(largest[1:]),
    }


def break_range(whole: DecayCurve, headline: DecayCurve, earliest: float) -> dict[str, Any] | None:
    """First-stage exponents over ends from the best hinge to the start of the second stage.

    None where there is one end only, or too few lags for a range to mean anything.
    """
    first, last = float(whole.lags[0]), float(headline.lags[-1])
    ends = [float(lag) for lag in headline.lags if lag >= earliest and lag > first]
    if len(ends) < 2 or len(headline.lags) < _MIN_POINTS:
        return None
    slopes = [whole.within(first, end).fit.exponent for end in ends]
    return {
        "method": BREAK_RANGE,
        "value": headline.fit.exponent,
        "low": min(slopes),
        "high": max(slopes),
        "window": [first, last],
        "points": len(headline.lags),
        "breaks": ends,
    }


def lag_jackknife(curve: DecayCurve) -> dict[str, Any] | None:
    """Leave-one-lag-out interval: sensitivity to single lags, not sampling error.

    None below four lags.
    """
    n = len(curve.lags)
    if n < _MIN_POINTS:
        return None
    from scipy.stats import norm as normal

    def slope(keep: Sequence[int]) -> float:
        kept = list(keep)
        return power_law(curve.lags[kept], curve.norm[kept], curve.weights[kept]).exponent

    full = slope(range(n))
    left_out = np.array([slope([i for i in range(n) if i != j]) for j in range(n)])
    error = math.sqrt((n - 1) / n * float(np.sum((left_out - left_out.mean()) ** 2)))
    half_width = float(normal.ppf((1 + curve.level) / 2)) * error
    return {
        "method": JACKKNIFE,
        "value": full,
        "low": full - half_width,
        "high": full + half_width,
        "window": [float(curve.lags[0]), float(curve.lags[-1])],
        "points": n,
    }


def document_jackknife(
    curve: DecayCurve, left_out: Floats, bootstrap_error: float | None
) -> dict[str, Any] | None:
    """Interval from norms with one fold of the documents left out at all lags.

    A check of the bootstrap, which holds the singular vectors fixed and adds the noise of every lag
    on its own: here what the lags share is left out together, and the vectors' noise with it.

    Parameters
    ----------
    curve : DecayCurve
        The window of the headline.
    left_out : (n_folds, n) float64
        At the lags of `curve`. The folds make two halves of equal number, each of which stands
        for itself.
    bootstrap_error : float or None
        Standard error of the bootstrap, to be compared with.

    Returns
    -------
    dict or None
        With `standard_error` and `ratio`, that to the bootstrap's; None if a norm is not positive.
    """
    if len(left_out) < 4 or not np.all(left_out > 0):
        return None
    from scipy.stats import t as student

    value = curve.fit.exponent
    others = -np.log(left_out) @ slope_weights(np.log(curve.lags), curve.weights)
    halves = others.reshape(2, -1)
    m = halves.shape[1]
    error = math.sqrt((m - 1) / m * float(np.sum((halves - value) ** 2)))
    reach = float(student.ppf((1 + curve.level) / 2, 2 * (m - 1))) * error
    return {
        "method": DOCUMENT_JACKKNIFE,
        "value": value,
        "low": value - reach,
        "high": value + reach,
        "window": [float(curve.lags[0]), float(curve.lags[-1])],
        "points": len(curve.lags),
        "standard_error": error,
        "ratio": error / bootstrap_error if bootstrap_error else None,
    }


def local_peaks(curve: DecayCurve) -> list[tuple[int, float]]:
    """Lags whose norm stands above the power law between its two neighbours.

    By more than three standard errors, those of the neighbours included, and by more than MODEL_MISFIT:
    such as lag 10 of the paper's WikiText-103, a distance at which something repeats. The curve
    bends up where a slower stage sets in, never down, so that no break looks like a peak.

    Returns
    -------
    list of (int, float)
        Lag, and by which share its norm exceeds the interpolation.
    """
    log_x, log_y, errors = np.log(curve.lags), np.log(curve.norm), curve.errors
    found = []
    for k in range(1, len(curve.lags) - 1):
        share = (log_x[k] - log_x[k - 1]) / (log_x[k + 1] - log_x[k - 1])
        excess = float(log_y[k] - (1 - share) * log_y[k - 1] - share * log_y[k + 1])
        error = math.hypot(errors[k], (1 - share) * errors[k - 1], share * errors[k + 1])
        if excess > max(3 * error, MODEL_MISFIT):
            found.append((int(curve.lags[k]), math.expm1(excess)))
    return found


def without_peaks(curve: DecayCurve, peaks: Sequence[tuple[int, float]]) -> dict[str, Any] | None:
    """The fit with the local peaks left out; None without peaks or with too few lags left."""
    kept = ~np.isin(curve.lags, [lag for lag, _ in peaks])
    if not peaks or int(kept.sum()) < _MIN_POINTS:
        return None
    entry = curve.where(kept).alternative("without local peaks")
    return None if entry is None else entry | {"peaks": [lag for lag, _ in peaks]}
