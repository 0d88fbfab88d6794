"""A measured decay curve with its replicates: weighted power-law fits of it and of its parts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.exponents.bootstrap import percentile_interval
from ngramstat.exponents.fit import PowerLaw, power_law, scatter_weights, slope_weights

__all__ = ["MODEL_MISFIT", "DecayCurve"]

Floats = NDArray[np.float64]

# No curve of ours is a power law to better than this share of the norm, however precisely it is
# measured: its points are never weighted as if it were, and no less is called a second stage or a
# peak.
MODEL_MISFIT = 0.05


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
        What noise alone would show, for plug-in norms.
    valid : (n,) bool
    level : float
        Of the intervals.
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

    def where(self, kept: NDArray[np.bool_]) -> DecayCurve:
        """The marked lags."""
        return DecayCurve(
            self.lags[kept],
            self.norm[kept],
            None if self.replicates is None else self.replicates[:, kept],
            None if self.floor is None else self.floor[kept],
            self.valid[kept],
            self.level,
        )

    @cached_property
    def errors(self) -> Floats:
        """Relative standard errors of the norms from the replicates, 0 where there are none."""
        if self.replicates is None or len(self.replicates) < 2:
            return np.zeros(len(self.lags))
        with np.errstate(invalid="ignore", over="ignore"):
            found: Floats = self.replicates.std(axis=0, ddof=1) / self.norm
        return np.where(np.isfinite(found), found, 0.0)

    @property
    def smooth_weights(self) -> Floats:
        """Weights for comparing laws: errors and ripple, whatever the curve looks like."""
        return 1.0 / (self.errors**2 + MODEL_MISFIT**2)

    @cached_property
    def weights(self) -> Floats:
        """Weights of the fit, of mean 1: errors and the scatter about the law, at least MODEL_MISFIT."""
        return scatter_weights(self.lags, self.norm, self.errors * self.norm, least=MODEL_MISFIT)

    @cached_property
    def fit(self) -> PowerLaw:
        """The weighted power law."""
        return power_law(self.lags, self.norm, self.weights)

    def replicate_exponents(self, weights: Floats) -> Floats:
        """Exponent of every replicate, NaN where a norm is not positive; (n_rep,).

        The slope is linear in the log norms, so all replicates are fitted by one product, with the
        weights of the fit. They are centred on the exponent of the norms: replicates are noisier
        than what they were made of, and the logarithm of a noisy norm lies low on average.
        """
        if self.replicates is None or len(self.lags) < 2:
            return np.full(self.replicates_count, np.nan)
        usable = np.all(np.isfinite(self.replicates) & (self.replicates > 0), axis=1)
        found = np.full(len(usable), np.nan)
        if usable.any():
            logs = np.log(self.replicates[usable])
            centred = logs - logs.mean(axis=0) + np.log(self.norm)
            found[usable] = -centred @ slope_weights(np.log(self.lags), weights)
        return found

    @property
    def bootstrap_error(self) -> float | None:
        """Standard error of the exponent over replicates; None without two of them."""
        found = self.replicate_exponents(self.weights)
        found = found[np.isfinite(found)]
        return float(found.std(ddof=1)) if len(found) > 1 else None

    def interval(self, weights: Floats) -> tuple[float | None, float | None, float]:
        """Percentile interval of the exponent here, and the share of usable replicates."""
        found = self.replicate_exponents(weights)
        usable = int(np.isfinite(found).sum())
        share = usable / len(found) if len(found) else 0.0
        if usable == 0:
            return None, None, share
        low, high = percentile_interval(found, self.level)
        return low, high, share

    @property
    def replicates_count(self) -> int:
        """Number of replicates, usable or not."""
        return 0 if self.replicates is None else len(self.replicates)

    def alternative(self, method: str, *, equal_weights: bool = False) -> dict[str, Any] | None:
        """This window's fit as an entry of `Exponent.alternatives`; None below two lags."""
        if len(self.lags) < 2:
            return None
        weights = np.ones(len(self.lags)) if equal_weights else self.weights
        fit = power_law(self.lags, self.norm, weights)
        low, high, _ = self.interval(weights)
        return {
            "method": method,
            "value": fit.exponent,
            "low": low,
            "high": high,
            "window": [float(self.lags[0]), float(self.lags[-1])],
            "points": len(self.lags),
            "r2": fit.r2,
        }
