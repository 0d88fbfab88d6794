"""A measured decay curve with its replicates: weighted power-law fits of it and of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.fit import PowerLaw, power_law, scatter_weights, slope_weights
from ngramstat.exponents.intervals import percentile_interval
from ngramstat.results import Alternative, AlternativeKind

__all__ = ["MODEL_MISFIT", "DecayCurve", "MeasuredDecay"]

Floats = NDArray[np.float64]

# Real curves deviate from a power law by about this fraction of the norm, however precisely they
# are measured. It is therefore the smallest scatter in the weights, and a smaller deviation is not
# called a second stage or a peak.
MODEL_MISFIT = 0.05


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

    def curve(self, level: float) -> DecayCurve:
        """The lags whose norm has a logarithm, to be fitted with intervals at `level`."""
        every = DecayCurve(self.lags, self.norm, self.replicates, self.floor, self.valid, level)
        return every.where(self.has_log)


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
    """

    lags: Floats
    norm: Floats
    replicates: Floats | None
    floor: Floats | None
    valid: NDArray[np.bool_]
    level: float

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
        return scatter_weights(
            self.lags, self.norm, self.errors * self.norm, min_scatter=MODEL_MISFIT
        )

    @cached_property
    def fit(self) -> PowerLaw:
        """The weighted power law."""
        return power_law(self.lags, self.norm, self.weights)

    def replicate_exponents(self, weights: Floats) -> Floats:
        """Exponent of every replicate, NaN where a norm is not positive; (n_rep,).

        The slope is linear in the log norms, so one product fits all replicates with the weights of
        the fit. The log replicates are centred on the log norms: replicates are noisier than the
        norms, and the logarithm of a noisy norm is too low on average.
        """
        if self.replicates is None or len(self.lags) < 2:
            return np.full(self.replicates_count, np.nan)
        usable = np.all(np.isfinite(self.replicates) & (self.replicates > 0), axis=1)
        exponents = np.full(len(usable), np.nan)
        if usable.any():
            logs = np.log(self.replicates[usable])
            centred = logs - logs.mean(axis=0) + np.log(self.norm)
            exponents[usable] = -centred @ slope_weights(np.log(self.lags), weights)
        return exponents

    @property
    def bootstrap_error(self) -> float | None:
        """Standard error of the exponent over replicates; None for fewer than two of them."""
        exponents = self.replicate_exponents(self.weights)
        exponents = exponents[np.isfinite(exponents)]
        return float(exponents.std(ddof=1)) if len(exponents) > 1 else None

    def interval(self, weights: Floats) -> tuple[float | None, float | None, float]:
        """Percentile interval of the exponent, and the fraction of usable replicates."""
        exponents = self.replicate_exponents(weights)
        usable = int(np.isfinite(exponents).sum())
        fraction = usable / len(exponents) if len(exponents) else 0.0
        if usable == 0:
            return None, None, fraction
        low, high = percentile_interval(exponents, self.level)
        return low, high, fraction

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
        low, high, _ = self.interval(weights)
        return Alternative(
            kind=kind,
            method=method,
            value=fit.exponent,
            low=low,
            high=high,
            window=(float(self.lags[0]), float(self.lags[-1])),
            points=len(self.lags),
            extra={"r2": fit.r2} | dict(extra or {}),
        )
