"""Least-squares fits of decaying power laws: single, broken and shifted.

Exponents are positive for decay: ``y = A x**-exponent``. Single and broken laws are fitted to
``log y`` on ``log x``: with equal weights, as the paper does (Cagnetta et al. 2026;
docs/theory.md 3), or weighted by the errors of the points and the scatter of the curve about the
law (`scatter_weights`). Intervals come from replicates of the curve
(`ngramstat.exponents.intervals`): points of one corpus share their documents, so they are not
independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.distributions import student_quantile
from ngramstat.exponents.minima import minimum_between
from ngramstat.exponents.roots import root_between

__all__ = [
    "BrokenPowerLaw",
    "PowerLaw",
    "ShiftedPowerLaw",
    "bic",
    "broken_power_law",
    "exponential_law_bic",
    "power_law",
    "scatter_weights",
    "shifted_power_law",
    "slope_weights",
]

Floats = NDArray[np.float64]

# Root-mean-square residuals below this are rounding. Without this floor the BIC of data that follow
# a law exactly would be minus infinity, and two exact laws could not be compared.
_ROUNDING = 1e-12

# Iterations of fitting law and weights; further ones change no printed digit of an exponent.
_REWEIGHTINGS = 4
# Maximum distance, in log y, of a law below a point; see `scatter_weights`.
_MAX_RESIDUAL = 5.0

# Range of exponents searched by the shifted fit. On the contexts n of this package, a slower decay
# cannot be distinguished from a constant, and a faster one not from a single drop.
_SHIFTED_RANGE = (1e-3, 20.0)


@dataclass(frozen=True)
class PowerLaw:
    """``y = amplitude * x**-exponent``.

    Attributes
    ----------
    exponent, amplitude : float
        Fitted parameters.
    standard_error : float
        Of the exponent, from the scatter of the points taken as independent; NaN for two points.
    r2 : float
        Fraction of the variance of log y explained; 0 for a constant curve.
    residuals : (n,) float64
        log y minus the fit.
    bic : float
        Bayesian information criterion, 2 parameters.
    """

    exponent: float
    amplitude: float
    standard_error: float
    r2: float
    residuals: Floats
    bic: float

    def __call__(self, x: ArrayLike) -> Floats:
        """The fitted curve at `x`."""
        return self.amplitude * np.asarray(x, dtype=np.float64) ** -self.exponent


@dataclass(frozen=True)
class BrokenPowerLaw:
    """Two power laws that meet at a break (a continuous hinge in log-log).

    Attributes
    ----------
    first, second : float
        Exponents before and after the break.
    break_at : float
        The x of the break, one of the data points.
    bic : float
        4 parameters: intercept, two slopes, break.
    delta_bic : float
        BIC of the single law minus that of the broken one: positive where the latter is preferred.
    scan : tuple of (float, float)
        Every break tried, with its BIC.
    """

    first: float
    second: float
    break_at: float
    bic: float
    delta_bic: float
    scan: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class ShiftedPowerLaw:
    """``y = limit + amplitude * n**-exponent`` with ``limit >= 0``.

    Attributes
    ----------
    limit, amplitude, exponent : float
        Fitted parameters.
    low, high : float
        Profile interval of the exponent; NaN for an end outside the range of the search.
    identifiable : bool
        Whether the profile interval is bounded on both sides. False means that the data cannot
        tell the exponent from the limit.
    r2 : float
        Fraction of the variance of y explained, with relative weights.
    """

    limit: float
    amplitude: float
    exponent: float
    low: float
    high: float
    identifiable: bool
    r2: float


def bic(rss: float, points: int, parameters: int) -> float:
    """Gaussian BIC from a residual sum of squares, floored at rounding error."""
    return points * math.log(max(rss / points, _ROUNDING**2)) + parameters * math.log(points)


def slope_weights(log_x: Floats, weights: Floats | None = None) -> Floats:
    """w with ``slope = w @ log_y`` for the (weighted) least-squares line: the slope is linear."""
    if weights is None:
        weights = np.ones(len(log_x))
    centred = log_x - float(weights @ log_x) / float(weights.sum())
    slope: Floats = weights * centred / float(weights @ centred**2)
    return slope


def scatter_weights(x: ArrayLike, y: ArrayLike, errors: ArrayLike, *, min_scatter: float) -> Floats:
    """Weights ``1 / (error^2 + scatter^2)`` of the points of a power law, of mean 1.

    Errors and scatter are relative to the law, not to the points: otherwise points raised by noise
    would seem more precise than points lowered by it, and flatten the law. The law and the weights
    therefore depend on each other and are fitted alternately (iteratively reweighted least
    squares).

    The scatter is the deviation of the points from the law beyond their errors: the smallest, not
    below `min_scatter`, at which the weighted sum of squared residuals does not exceed its
    expectation (Paule and Mandel 1982). Without it, a curve that is not an exact power law would be
    fitted by its most precise points alone.

    Parameters
    ----------
    x, y : (n,) positive numbers
        n >= 2, x increasing.
    errors : (n,) float64
        Standard errors of y, at least 0.
    min_scatter : float
        Smallest scatter, as a fraction of the law; above 0.
    """
    xs, ys = _checked(x, y, 2)
    deviations = np.asarray(errors, dtype=np.float64)
    if deviations.shape != xs.shape or not np.all(np.isfinite(deviations)):
        raise InputError("errors: needs one finite number per point")
    log_x, log_y = np.log(xs), np.log(ys)
    weights = 1.0 / ((deviations / ys) ** 2 + min_scatter**2)
    for _ in range(_REWEIGHTINGS):
        _, residuals = _line(log_x, log_y, weights)
        # A point far above the law would otherwise lose all its weight.
        law = ys * np.exp(-np.minimum(residuals, _MAX_RESIDUAL))
        squares = (deviations / law) ** 2
        weights = 1.0 / (squares + _scatter(ys / law - 1.0, squares, min_scatter) ** 2)
    scaled: Floats = weights / weights.mean()
    return scaled


def _scatter(residuals: Floats, squares: Floats, min_scatter: float) -> float:
    """Smallest scatter, not below `min_scatter`, at which the squared residuals are as expected."""
    freedom = len(residuals) - 2

    def excess(scatter: float) -> float:
        return float(np.sum(residuals**2 / (squares + scatter**2))) - freedom

    if freedom < 1 or excess(min_scatter) <= 0:
        return min_scatter
    # This scatter would suffice if the points had no errors.
    sufficient = math.sqrt(float(residuals @ residuals) / freedom) + min_scatter
    return root_between(excess, min_scatter, sufficient)


def _line(x: Floats, y: Floats, weights: Floats) -> tuple[float, Floats]:
    """Slope and residuals of the weighted least-squares line."""
    slope = float(slope_weights(x, weights) @ y)
    total = float(weights.sum())
    residuals: Floats = y - float(weights @ y) / total - slope * (x - float(weights @ x) / total)
    return slope, residuals


def _checked(x: ArrayLike, y: ArrayLike, min_points: int) -> tuple[Floats, Floats]:
    xs = np.asarray(x, dtype=np.float64)
    ys = np.asarray(y, dtype=np.float64)
    if xs.ndim != 1 or xs.shape != ys.shape:
        raise InputError(f"x and y need one common length, got shapes {xs.shape} and {ys.shape}")
    if len(xs) < min_points:
        raise InputError(f"the fit needs at least {min_points} points, got {len(xs)}")
    if not (np.all(np.isfinite(xs)) and np.all(np.isfinite(ys))):
        raise InputError("x and y must be finite")
    if np.any(xs <= 0) or np.any(ys <= 0):
        raise InputError("x and y must be positive: their logarithms are fitted")
    if np.any(np.diff(xs) <= 0):
        raise InputError("x must be increasing")
    return xs, ys


def _mean_one(weights: ArrayLike | None, points: int) -> Floats:
    if weights is None:
        return np.ones(points)
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (points,) or not (np.all(np.isfinite(values)) and np.all(values > 0)):
        raise InputError("weights: needs one positive number per point")
    scaled: Floats = values / values.mean()
    return scaled


def power_law(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> PowerLaw:
    """Least squares of ``log y`` on ``log x``.

    Parameters
    ----------
    x, y : (n,) positive numbers
        n >= 2, x increasing.
    weights : (n,) positive numbers, optional
        Of the squared residuals; their scale does not matter. Equal by default.

    Raises
    ------
    InputError
        For fewer points, or numbers whose logarithm does not exist.
    """
    xs, ys = _checked(x, y, 2)
    n = len(xs)
    w = _mean_one(weights, n)
    log_x, log_y = np.log(xs), np.log(ys)
    slope, residuals = _line(log_x, log_y, w)
    centre = float(w @ log_x) / n
    intercept = float(w @ log_y) / n - slope * centre
    rss = float(w @ residuals**2)
    total = float(w @ (log_y - float(w @ log_y) / n) ** 2)
    # A curve that is constant up to rounding has no variance to explain, and no decay either.
    r2 = 1 - rss / total if total > n * _ROUNDING**2 else 0.0
    spread = float(w @ (log_x - centre) ** 2)
    error = math.sqrt(rss / (n - 2) / spread) if n > 2 else math.nan
    with np.errstate(over="ignore", under="ignore"):
        amplitude = float(np.exp(intercept))  # infinite for extreme slopes only
    return PowerLaw(
        exponent=-slope,
        amplitude=amplitude,
        standard_error=error,
        r2=r2,
        residuals=residuals,
        bic=bic(rss, n, 2),
    )


def exponential_law_bic(x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> float:
    """BIC of ``y = A exp(-x / scale)``: a line of log y in x, 2 parameters, as `PowerLaw.bic`.

    To be compared with a `PowerLaw` of the same weights.
    """
    xs, ys = _checked(x, y, 2)
    w = _mean_one(weights, len(xs))
    _, residuals = _line(xs, np.log(ys), w)
    return bic(float(w @ residuals**2), len(xs), 2)


def broken_power_law(
    x: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None, *, side_points: int = 3
) -> BrokenPowerLaw | None:
    """The best continuous hinge in log-log, its break scanned over the interior points.

    Parameters
    ----------
    x, y : (n,) positive numbers
        x increasing.
    weights : (n,) positive numbers, optional
        Of the squared residuals; equal by default.
    side_points : int
        Minimum number of points at or before the break, and after it.

    Returns
    -------
    BrokenPowerLaw or None
        None where there are too few points for a break.
    """
    xs, ys = _checked(x, y, 2)
    n = len(xs)
    w = _mean_one(weights, n)
    root = np.sqrt(w)
    log_x, log_y = np.log(xs), np.log(ys)
    best: tuple[float, Floats, float] | None = None
    scan: list[tuple[float, float]] = []
    for j in range(side_points - 1, n - side_points):
        hinge = np.maximum(log_x - log_x[j], 0.0)
        design = np.column_stack([np.ones(n), log_x - log_x[j], hinge])
        coefficients, *_ = np.linalg.lstsq(design * root[:, None], log_y * root, rcond=None)
        residuals = log_y - design @ coefficients
        value = bic(float(w @ residuals**2), n, 4)
        scan.append((float(xs[j]), value))
        if best is None or value < best[0]:
            best = (value, coefficients, float(xs[j]))
    if best is None:
        return None
    value, coefficients, break_at = best
    return BrokenPowerLaw(
        first=-float(coefficients[1]),
        second=-float(coefficients[1] + coefficients[2]),
        break_at=break_at,
        bic=value,
        delta_bic=power_law(xs, ys, w).bic - value,
        scan=tuple(scan),
    )


def shifted_power_law(n: ArrayLike, y: ArrayLike, *, level: float = 0.95) -> ShiftedPowerLaw:
    """Fit ``y = limit + amplitude * n**-exponent`` by profiling.

    For every exponent the other two parameters are linear and solved exactly, with weights 1/y^2
    (relative errors, as in the log fits) and ``limit >= 0``, ``amplitude >= 0``. The interval of
    the exponent holds every value whose residual is within the F threshold of the best one.

    Parameters
    ----------
    n, y : (m,) positive numbers
        m >= 3, n increasing. Three points are fitted exactly and are never `identifiable`.
    level : float
        Confidence level of the profile interval.

    Raises
    ------
    InputError
        For fewer points, or numbers that are not positive.
    """
    ns, ys = _checked(n, y, 3)
    points = len(ns)
    # Dividing n by its geometric mean keeps n**-g within range for every g searched.
    log_n = np.log(ns) - float(np.log(ns).mean())

    def solve(log_g: float) -> tuple[float, float, float]:
        """(rss, limit, amplitude) at one exponent."""
        decay = np.exp(-math.exp(log_g) * log_n)
        design = np.column_stack([1 / ys, decay / ys])
        target = np.ones(points)
        (limit, amplitude), *_ = np.linalg.lstsq(design, target, rcond=None)
        if limit < 0:
            column = design[:, 1]
            limit, amplitude = 0.0, float(column @ target / (column @ column))
        if amplitude < 0:
            column = design[:, 0]
            limit, amplitude = float(column @ target / (column @ column)), 0.0
        residuals = target - design @ np.array([limit, amplitude])
        return float(residuals @ residuals), float(limit), float(amplitude)

    grid = np.linspace(math.log(_SHIFTED_RANGE[0]), math.log(_SHIFTED_RANGE[1]), 300)
    profile = np.array([solve(g)[0] for g in grid])
    k = int(profile.argmin())
    bounds = (float(grid[max(k - 1, 0)]), float(grid[min(k + 1, len(grid) - 1)]))
    refined, residual = minimum_between(lambda g: solve(g)[0], *bounds, tolerance=1e-12)
    best = refined if residual <= profile[k] else float(grid[k])
    rss, limit, amplitude = solve(best)

    low = high = math.nan
    free = points - 3
    if free > 0:
        floor = points * _ROUNDING**2
        allowed = max(rss, floor) * (1 + student_quantile(level, free) ** 2 / free)

        def excess(log_g: float) -> float:
            return solve(log_g)[0] - allowed

        low = _crossing(excess, grid[grid < best], best)
        high = _crossing(excess, grid[grid > best][::-1], best)
    spread = ys - ys.mean()
    total = float((spread / ys) @ (spread / ys))
    exponent = math.exp(best)
    return ShiftedPowerLaw(
        limit=limit,
        amplitude=amplitude * math.exp(exponent * float(np.log(ns).mean())),
        exponent=exponent,
        low=low,
        high=high,
        identifiable=amplitude > 0 and math.isfinite(low) and math.isfinite(high),
        r2=1 - rss / total if total > points * _ROUNDING**2 else 0.0,
    )


def _crossing(excess: Callable[[float], float], inward: Floats, best: float) -> float:
    """Where `excess` of log exponent first falls to zero on the way in from the search's edge.

    Returns the exponent there, or NaN if it is not above zero at the edge: unbounded on that side.
    """
    outside = best
    for point in inward:
        if excess(float(point)) <= 0:
            return (
                math.nan
                if outside == best
                else math.exp(root_between(excess, outside, float(point)))
            )
        outside = float(point)
    return math.nan if outside == best else math.exp(root_between(excess, outside, best))
