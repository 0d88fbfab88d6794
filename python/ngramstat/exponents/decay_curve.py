"""A measured decay curve with its replicates: weighted power-law fits of it and of its parts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.distributions import normal_quantile, student_quantile
from ngramstat.exponents.fit import PowerLaw, power_law, scatter_weights, slope_weights
from ngramstat.exponents.intervals import percentile_interval
from ngramstat.results import Alternative, AlternativeKind, IntervalParts

__all__ = ["MIN_JACKKNIFE_LAGS", "MODEL_MISFIT", "DecayCurve", "MeasuredDecay", "TotalInterval"]

Floats = NDArray[np.float64]

# Real curves deviate from a power law by about this fraction of the norm, however precisely they
# are measured. It is therefore the smallest scatter in the weights, and a smaller deviation is not
# called a second stage or a peak.
MODEL_MISFIT = 0.05

# With fewer points, leaving one out does not show how much one point moves the fit.
MIN_JACKKNIFE_LAGS = 4
# Folds of the documents, from which a jackknife over both halves of them has two degrees of freedom
# or more.
_MIN_FOLDS = 4


class MeasuredDecay:
    """Norms of C(t) at all measured lags, with what shows their uncertainty.

    Attributes
    ----------
    lags : (n,) float64
        Increasing, at least 1, in tokens.
    norm : (n,) float64
        ||C(t)||. Norms that are zero, negative or NaN have no logarithm and cannot be fitted.
    valid : (n,) bool
        Whether each norm exceeds its noise floor.
    replicates : (n_rep, n) float64 or None
        Document-cluster bootstrap replicates of `norm`, coherent over lags.
    floor : (n,) float64 or None
        For plug-in norms: the norm that noise alone would show.
    left_out : (n_folds, n) float64 or None
        Norms with one fold of the documents left out, for the document jackknife.

    Raises
    ------
    InputError
        For arrays of different lengths, lags that do not increase, or `valid` that is not bool.
    """

    def __init__(
        self,
        lags: ArrayLike,
        norm: ArrayLike,
        valid: ArrayLike,
        *,
        replicates: ArrayLike | None = None,
        floor: ArrayLike | None = None,
        left_out: ArrayLike | None = None,
    ) -> None:
        self.lags: Floats = np.asarray(lags, dtype=np.float64)
        self.norm: Floats = np.asarray(norm, dtype=np.float64)
        self.valid: NDArray[np.bool_] = np.asarray(valid)
        if self.valid.dtype != np.bool_:
            raise InputError(f"valid: needs bool, got {self.valid.dtype}")
        shape = self.lags.shape
        if self.lags.ndim != 1 or self.norm.shape != shape or self.valid.shape != shape:
            raise InputError(
                "lags, norm and valid need one length, "
                f"got {shape}, {self.norm.shape}, {self.valid.shape}"
            )
        if np.any(self.lags < 1) or np.any(np.diff(self.lags) <= 0):
            raise InputError("lags: must be increasing and at least 1")
        self.replicates = self._rows("replicates", replicates)
        self.left_out = self._rows("left_out", left_out)
        self.floor = None if floor is None else np.asarray(floor, dtype=np.float64)
        if self.floor is not None and self.floor.shape != shape:
            raise InputError(f"floor: needs one value per lag, got shape {self.floor.shape}")

    def _rows(self, name: str, values: ArrayLike | None) -> Floats | None:
        if values is None:
            return None
        rows = np.asarray(values, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.lags):
            raise InputError(f"{name}: needs shape (n, {len(self.lags)}), got {rows.shape}")
        return rows

    @property
    def has_log(self) -> NDArray[np.bool_]:
        """Whether each norm is known and positive; (n,)."""
        positive: NDArray[np.bool_] = np.isfinite(self.norm) & (self.norm > 0)
        return positive

    def curve(self, level: float, *, equal_weights: bool = False) -> DecayCurve:
        """The lags whose norm has a logarithm, to be fitted with intervals at `level`."""
        every = DecayCurve(
            self.lags,
            self.norm,
            self.replicates,
            self.floor,
            self.valid,
            level,
            self.left_out,
            equal_weights,
        )
        return every.where(self.has_log)


@dataclass(frozen=True)
class TotalInterval:
    """The interval of an exponent from all that is known of its error.

    Attributes
    ----------
    low, high : float or None
        Documents and choice of lags in quadrature, each side by itself; None without replicates.
    documents, lags : (float, float) or None
        Both parts as intervals around the value.
    usable : float
        Fraction of the replicates that can be fitted.
    """

    low: float | None
    high: float | None
    documents: tuple[float, float] | None
    lags: tuple[float, float] | None
    usable: float

    @property
    def parts(self) -> IntervalParts:
        """The parts, for results."""
        return IntervalParts(documents=self.documents, lags=self.lags)


@dataclass(frozen=True)
class DecayCurve:
    """The measured curve at lags whose norm has a logarithm.

    Attributes
    ----------
    lags, norm : (n,) float64
        Increasing lags; positive norms.
    replicates : (n_rep, n) float64 or None
        Document-bootstrap replicates of the norms.
    floor : (n,) float64 or None
        The norm that noise alone would show, for plug-in norms.
    valid : (n,) bool
    level : float
        Confidence level of the intervals.
    left_out : (n_folds, n) float64 or None
        Norms with one fold of the documents left out. The first and the last half of the folds are
        two jackknives, each over one half of the documents.
    """

    lags: Floats
    norm: Floats
    replicates: Floats | None
    floor: Floats | None
    valid: NDArray[np.bool_]
    level: float
    left_out: Floats | None = None
    equal_weights: bool = False

    def within(self, low: float, high: float) -> DecayCurve:
        """The lags from `low` to `high`, inclusive."""
        return self.where((self.lags >= low) & (self.lags <= high))

    def where(self, selected: NDArray[np.bool_]) -> DecayCurve:
        """The marked lags."""
        return DecayCurve(
            self.lags[selected],
            self.norm[selected],
            None if self.replicates is None else self.replicates[:, selected],
            None if self.floor is None else self.floor[selected],
            self.valid[selected],
            self.level,
            None if self.left_out is None else self.left_out[:, selected],
            self.equal_weights,
        )

    @cached_property
    def errors(self) -> Floats:
        """Relative standard errors of the norms from the replicates, 0 where there are none."""
        if self.replicates is None or len(self.replicates) < 2:
            return np.zeros(len(self.lags))
        with np.errstate(invalid="ignore", over="ignore"):
            relative: Floats = self.replicates.std(axis=0, ddof=1) / self.norm
        return np.where(np.isfinite(relative), relative, 0.0)

    @property
    def smooth_weights(self) -> Floats:
        """Weights for comparing laws: errors and MODEL_MISFIT, without the scatter about a law."""
        return 1.0 / (self.errors**2 + MODEL_MISFIT**2)

    @cached_property
    def weights(self) -> Floats:
        """Weights of the fit, mean 1: from errors and scatter about the law (>= MODEL_MISFIT)."""
        if self.equal_weights:
            return np.ones(len(self.lags))
        return scatter_weights(
            self.lags, self.norm, self.errors * self.norm, min_scatter=MODEL_MISFIT
        )

    @cached_property
    def fit(self) -> PowerLaw:
        """The weighted power law."""
        return power_law(self.lags, self.norm, self.weights)

    @cached_property
    def log_deviations(self) -> Floats:
        """Log replicates less their mean, (n_usable, n); those with a norm of zero or less not."""
        if self.replicates is None or len(self.lags) == 0:
            return np.zeros((0, len(self.lags)))
        logs = np.log(self.replicates[self._usable])
        return logs - logs.mean(axis=0) if len(logs) else logs

    @cached_property
    def _usable(self) -> NDArray[np.bool_]:
        """Replicates in which every norm is positive."""
        assert self.replicates is not None
        usable: NDArray[np.bool_] = np.all(
            np.isfinite(self.replicates) & (self.replicates > 0), axis=1
        )
        return usable

    def replicate_exponents(self, weights: Floats) -> Floats:
        """Exponent of every replicate, NaN where a norm is not positive; (n_rep,).

        The slope is linear in the log norms, so one product fits all replicates with the weights of
        the fit. The log replicates are centred on the log norms: replicates are noisier than the
        norms, and the logarithm of a noisy norm is too low on average.
        """
        if self.replicates is None or len(self.lags) < 2:
            return np.full(self.replicates_count, np.nan)
        exponents = np.full(len(self.replicates), np.nan)
        centred = self.log_deviations + np.log(self.norm)
        exponents[self._usable] = -centred @ slope_weights(np.log(self.lags), weights)
        return exponents

    @property
    def bootstrap_error(self) -> float | None:
        """Standard error of the exponent over replicates; None for fewer than two of them."""
        exponents = self.replicate_exponents(self.weights)
        exponents = exponents[np.isfinite(exponents)]
        return float(exponents.std(ddof=1)) if len(exponents) > 1 else None

    def interval(self, weights: Floats) -> TotalInterval:
        """The total interval of the exponent with these weights of the lags.

        Documents: percentiles of the replicates, or the jackknife over folds of documents where it
        is wider. Lags: see `lag_variance`, as a normal interval.
        """
        exponents = self.replicate_exponents(weights)
        usable = int(np.isfinite(exponents).sum())
        fraction = usable / len(exponents) if len(exponents) else 0.0
        if len(self.lags) < 2:
            return TotalInterval(None, None, None, None, fraction)
        log_lags = np.log(self.lags)
        value = -float(slope_weights(log_lags, weights) @ np.log(self.norm))
        lags: tuple[float, float] | None = None
        by_lags = 0.0
        if len(self.lags) >= 3:  # two cannot be left one out
            whole, noise = self.lag_variance(
                lambda rows: -slope_weights(log_lags[rows], weights[rows])
            )
            by_lags = normal_quantile(self.level) * math.sqrt(max(whole - noise, 0.0))
            lags = (value - by_lags, value + by_lags)
        if usable == 0:
            return TotalInterval(None, None, None, lags, fraction)
        jackknife = self.jackknife_error(weights)
        least = 0.0 if jackknife is None else jackknife[1]
        low, high = percentile_interval(exponents, self.level)
        below, above = max(value - low, least, 0.0), max(high - value, least, 0.0)
        return TotalInterval(
            value - math.hypot(below, by_lags),
            value + math.hypot(above, by_lags),
            (value - below, value + above),
            lags,
            fraction,
        )

    def lag_variance(
        self, linear_form: Callable[[NDArray[np.int64]], Floats]
    ) -> tuple[float, float]:
        """Leave-one-lag-out variance of a statistic, and what sampling errors contribute to it.

        A law that holds exactly has the second alone: sampling errors of the single lags, which the
        replicates show too. Only the difference is an effect of the choice of lags.

        Parameters
        ----------
        linear_form : callable
            Takes the indices of the lags used, (m,), and returns the coefficients of their log
            norms, (m,).

        Returns
        -------
        (float, float)
            (n - 1) / n sum_j (s_j - mean s)^2 over the statistics s_j without lag j, and its mean
            over the replicates' deviations from the curve, 0 without replicates.
        """
        n = len(self.lags)
        matrix = np.zeros((n, n))
        for j in range(n):
            rows = np.delete(np.arange(n), j)
            matrix[j, rows] = linear_form(rows)
        matrix -= matrix.mean(axis=0)
        matrix *= math.sqrt((n - 1) / n)
        variance = float(np.sum((matrix @ np.log(self.norm)) ** 2))
        deviations = self.log_deviations
        if len(deviations) < 2:
            return variance, 0.0
        noise = float(np.sum((deviations @ matrix.T) ** 2)) / (len(deviations) - 1)
        return variance, noise

    def jackknife_error(self, weights: Floats) -> tuple[float, float] | None:
        """Standard error of the exponent by leaving out folds of documents, and its half width.

        The half width is at `level`, by Student's t. None without folds or with norms that are not
        positive.
        """
        left_out = self.left_out
        if left_out is None or len(left_out) < _MIN_FOLDS or not np.all(left_out > 0):
            return None
        slope = slope_weights(np.log(self.lags), weights)
        value = -float(slope @ np.log(self.norm))
        halves = (-np.log(left_out) @ slope).reshape(2, -1)
        m = halves.shape[1]
        error = math.sqrt((m - 1) / m * float(np.sum((halves - value) ** 2)))
        return error, student_quantile(self.level, 2 * (m - 1)) * error

    @property
    def replicates_count(self) -> int:
        """Number of replicates, usable or not."""
        return 0 if self.replicates is None else len(self.replicates)

    def alternative(
        self,
        kind: AlternativeKind,
        method: str,
        *,
        equal_weights: bool = False,
        extra: Mapping[str, Any] | None = None,
    ) -> Alternative | None:
        """The fit of these lags as an entry of `Exponent.alternatives`; None below two lags."""
        if len(self.lags) < 2:
            return None
        weights = np.ones(len(self.lags)) if equal_weights else self.weights
        fit = power_law(self.lags, self.norm, weights)
        total = self.interval(weights)
        return Alternative(
            kind=kind,
            method=method,
            value=fit.exponent,
            low=total.low,
            high=total.high,
            window=(float(self.lags[0]), float(self.lags[-1])),
            points=len(self.lags),
            parts=total.parts,
            extra={"r2": fit.r2} | dict(extra or {}),
        )
