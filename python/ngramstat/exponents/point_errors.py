"""Equal-weight power laws with the two errors that the paper gives: of the fit, and of resampling.

Cagnetta et al. 2026 fit every exponent by least squares of the logarithms with equal weights, and
quote the standard error from the scatter about the line or from a bootstrap of the points. Both
take the points as independent, which points of one corpus are not: the errors of documents belong
beside them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.distributions import student_quantile
from ngramstat.exponents.fit import power_law
from ngramstat.exponents.intervals import percentile_interval

__all__ = ["RESAMPLES", "PointLaw", "law_of_points"]

Floats = NDArray[np.float64]

# The paper's number of resamples for beta and alpha, and its seed.
RESAMPLES = 1000
_SEED = 42
# With fewer points most resamples repeat one or two of them.
_MIN_POINTS = 3


@dataclass(frozen=True)
class PointLaw:
    """A power law ``y = amplitude * x**-exponent`` fitted to points of equal weight.

    Attributes
    ----------
    exponent, log_amplitude : float
    error, log_amplitude_error : float
        Standard errors from the scatter of the points about the line.
    low, high : float
        Interval of the exponent by Student's t.
    resampled_error : float
        Standard deviation of the exponent over resamples of the points.
    resampled_low, resampled_high : float
        Percentile interval over them.
    r2 : float
    points : int
    level : float
    window : (float, float)
        First and last x.
    """

    exponent: float
    log_amplitude: float
    error: float
    log_amplitude_error: float
    low: float
    high: float
    resampled_error: float
    resampled_low: float
    resampled_high: float
    r2: float
    points: int
    level: float
    window: tuple[float, float]

    @property
    def widest(self) -> tuple[float, float]:
        """On each side the farther end of both intervals."""
        return (
            min(self.low, self.resampled_low, self.exponent),
            max(self.high, self.resampled_high, self.exponent),
        )

    def __str__(self) -> str:
        first, last = self.window
        return f"{self.exponent:.3f} +- {self.error:.3f} on {first:g}..{last:g}"


def law_of_points(
    x: ArrayLike, y: ArrayLike, *, level: float = 0.95, resamples: int = RESAMPLES
) -> PointLaw:
    """Least squares of ``log y`` on ``log x`` with equal weights, and both errors of it.

    Parameters
    ----------
    x, y : (n,) positive numbers
        n >= 3, x increasing.
    level : float
        Confidence level of both intervals.
    resamples : int
        Resamples of the n points, with replacement; those of one repeated point have no slope and
        are left out. They are always the same ones.

    Raises
    ------
    InputError
        For fewer points, numbers without a logarithm, or a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise InputError(f"level: needs a number in (0, 1), got {level:g}")
    fit = power_law(x, y)
    xs = np.asarray(x, dtype=np.float64)
    log_x, log_y = np.log(xs), np.log(np.asarray(y, dtype=np.float64))
    n = len(xs)
    if n < _MIN_POINTS:
        raise InputError(f"errors of a fit need at least {_MIN_POINTS} points, got {n}")
    half = student_quantile(level, n - 2) * fit.standard_error
    slopes = _resampled_slopes(log_x, log_y, resamples)
    low, high = percentile_interval(-slopes, level)
    usable = slopes[np.isfinite(slopes)]
    return PointLaw(
        exponent=fit.exponent,
        log_amplitude=float(log_y.mean() + fit.exponent * log_x.mean()),
        error=fit.standard_error,
        log_amplitude_error=fit.standard_error * math.sqrt(float(np.mean(log_x**2))),
        low=fit.exponent - half,
        high=fit.exponent + half,
        resampled_error=float(usable.std(ddof=1)),
        resampled_low=low,
        resampled_high=high,
        r2=fit.r2,
        points=n,
        level=level,
        window=(float(xs[0]), float(xs[-1])),
    )


def _resampled_slopes(log_x: Floats, log_y: Floats, resamples: int) -> Floats:
    """Slope of every resample of the points; NaN where all of its points are the same one."""
    generator = np.random.default_rng(_SEED)
    rows = generator.integers(0, len(log_x), size=(resamples, len(log_x)))
    xs = log_x[rows]
    xs -= xs.mean(axis=1, keepdims=True)
    squares = np.sum(xs**2, axis=1)
    several = np.ptp(rows, axis=1) > 0
    slopes: Floats = np.full(resamples, np.nan)
    slopes[several] = np.sum(xs * log_y[rows], axis=1)[several] / squares[several]
    return slopes
