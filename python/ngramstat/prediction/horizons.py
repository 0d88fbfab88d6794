"""What P tokens resolve: thresholds P*_n, horizons n*(P), and the lags that a learner reaches.

Cagnetta et al. 2026, eqs. 28-31. The theory predicts no prefactor: horizons are those of counting,
in units of the measured noise. A learner needs more tokens for the same lag, between 10 and 1000
times as many in measurements (docs/theory.md 4), so its horizon is a band.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.results import (
    AlternativeKind,
    ContextPoint,
    Exponent,
    HorizonPoint,
    StagePoint,
)

__all__ = [
    "LEARNER_FACTORS",
    "Curve",
    "alpha_of_stages",
    "context_length",
    "noise_constant",
    "stages",
    "thresholds",
]

Floats = NDArray[np.float64]

# exp of more than this is no number of tokens.
_LARGEST_LOG = 600.0
# Tokens that a learner needs for a lag, as multiples of those that counting needs.
LEARNER_FACTORS = (10.0, 1000.0)


def noise_constant(noise_floor: ArrayLike, pairs: ArrayLike) -> float | None:
    """kappa of ``floor = kappa / sqrt(pairs)``: the median over lags, None without a floor."""
    values = np.asarray(noise_floor, dtype=np.float64) * np.sqrt(
        np.asarray(pairs, dtype=np.float64)
    )
    values = values[np.isfinite(values) & (values > 0)]
    # np.median would import numpy.ma, a tenth of the time of a prediction.
    return float(median(values.tolist())) if len(values) else None


def thresholds(lags: ArrayLike, norm: ArrayLike, kappa: float) -> Floats:
    """Tokens needed to resolve each lag, ``P*_n = (kappa / norm)^2`` (eq. 28).

    Returns
    -------
    (n,) float64
        NaN where the norm is not positive.
    """
    ys = np.asarray(norm, dtype=np.float64)
    if ys.shape != np.asarray(lags).shape:
        raise InputError("lags and norm need one length")
    out = np.full(ys.shape, np.nan)
    good = np.isfinite(ys) & (ys > 0)
    out[good] = (kappa / ys[good]) ** 2
    return out


def stages(beta: Exponent) -> tuple[Exponent, ...]:
    """The stages of the decay, nearest lags first: one or two exponents with their windows.

    The headline may be either stage; the alternatives hold both.
    """
    for other in beta.alternatives_of(AlternativeKind.FIRST_STAGE, AlternativeKind.SECOND_STAGE):
        if other.value is None or other.window is None or beta.window is None:
            continue
        if other.window == beta.window:  # the headline itself
            continue
        reason = None if beta.reportable else beta.reason
        if other.low is None or other.high is None:
            reason = "no interval"
        stage = Exponent(
            value=other.value,
            low=other.low,
            high=other.high,
            level=beta.level,
            window=other.window,
            points=other.points or 0,
            method=other.method,
            reportable=reason is None,
            reason=reason,
        )
        is_second = other.kind is AlternativeKind.SECOND_STAGE
        return (beta, stage) if is_second else (stage, beta)
    return (beta,)


@dataclass(frozen=True)
class Curve:
    """The measured norms, with the noise and the decay beyond them.

    Attributes
    ----------
    lags, norm, valid : (n,) arrays
        Lags that are not valid are not used.
    kappa : float
        Noise constant, see `noise_constant`.
    beta : Exponent
        Decay beyond the measured lags, with its other stage among the alternatives.
    norm_low, norm_high : (n,) arrays or None
        Interval of the norms: where the horizon lies within the measured lags, its own interval is
        where these two curves cross the noise.
    documents_end : float or None
        Lag at which documents end; no horizon lies beyond it. None where it is not known.
    """

    lags: ArrayLike
    norm: ArrayLike
    valid: ArrayLike
    kappa: float
    beta: Exponent
    norm_low: ArrayLike | None = None
    norm_high: ArrayLike | None = None
    documents_end: float | None = None

    def horizon(self, tokens: float) -> HorizonPoint:
        """The largest lag whose norm exceeds the noise ``kappa / sqrt(tokens)``.

        Between valid lags the norm is interpolated in log-log; beyond the last one it is
        extrapolated with the stage of `beta` that holds there (if reportable), and marked, up to
        the lag at which documents end. A horizon below the first lag is None. Marked `at_least`,
        because they are only lower bounds, are horizons without a reportable beta to extrapolate
        with, and those that start from lags beyond the window of every stage of beta, where the
        measured decay is slower.

        Raises
        ------
        InputError
            If `tokens` or `kappa` is not a positive finite number.
        """
        return _inside_tokens(self._inside_documents(self._of_norms(tokens)))

    def _inside_documents(self, point: HorizonPoint) -> HorizonPoint:
        """The horizon, but no farther than documents reach."""
        end = self.documents_end
        if end is None or point.lag is None or point.lag < end:
            if end is None or point.high is None:
                return point
            return replace(point, high=min(point.high, end))
        return replace(
            point,
            lag=end,
            low=None if point.low is None else min(point.low, end),
            high=None if point.high is None else end,
            at_least=False,
            at_documents=True,
            reason=None,
        )

    def _of_norms(self, tokens: float) -> HorizonPoint:
        """The horizon without regard to where documents end."""
        for name, number in (("tokens", tokens), ("kappa", self.kappa)):
            if not (math.isfinite(number) and number > 0):
                raise InputError(f"{name}: needs a positive number, got {number:g}")
        norm = np.asarray(self.norm, dtype=np.float64)
        usable = np.asarray(self.valid, dtype=bool) & np.isfinite(norm) & (norm > 0)
        lags, norm = np.asarray(self.lags, dtype=np.float64)[usable], norm[usable]
        noise = self.kappa / math.sqrt(tokens)
        resolved = np.flatnonzero(norm >= noise)
        if len(resolved) == 0:
            return HorizonPoint(tokens=tokens)
        last = int(resolved[-1])
        if last + 1 < len(lags):
            fraction = math.log(norm[last] / noise) / math.log(norm[last] / norm[last + 1])
            lag = float(lags[last] * (lags[last + 1] / lags[last]) ** fraction)
            return self._with_interval(tokens, lag)
        return self._extrapolated(tokens, float(lags[last]), math.log(norm[last] / noise))

    def _with_interval(self, tokens: float, lag: float) -> HorizonPoint:
        """A horizon within the measured lags, with the interval that the norms' gives it."""
        low, high = (
            None if norm is None else self._with_norm(norm).horizon(tokens).lag
            for norm in (self.norm_low, self.norm_high)
        )
        return HorizonPoint(
            tokens=tokens,
            lag=lag,
            low=None if low is None else min(low, lag),
            high=None if high is None else max(high, lag),
        )

    def _with_norm(self, norm: ArrayLike) -> Curve:
        return replace(self, norm=norm, norm_low=None, norm_high=None, documents_end=None)

    def _extrapolated(self, tokens: float, last: float, excess: float) -> HorizonPoint:
        """A horizon beyond the last lag, whose log norm exceeds the noise by `excess`."""
        bound = HorizonPoint(
            tokens=tokens,
            lag=last,
            at_least=True,
            reason=f"beyond the last valid lag beta is needed, which is not reportable: "
            f"{self.beta.reason}",
        )
        if not self.beta.reportable or self.beta.value is None:
            return bound
        # The stage that holds at the last lag continues. Beyond every window the nearest stage is
        # steeper than the decay, so it gives a bound.
        parts = stages(self.beta)
        stage = next((s for s in parts if s.window is not None and last <= s.window[1]), parts[-1])
        if stage.value is None or stage.value <= 0:
            return bound

        def lag_at_noise(exponent: float | None) -> float | None:
            if exponent is None or exponent <= 0:
                return None
            return last * math.exp(min(excess / exponent, _LARGEST_LOG))

        slower = stage.window is not None and last > stage.window[1]
        at_least = excess > 0 and slower
        return HorizonPoint(
            tokens=tokens,
            lag=lag_at_noise(stage.value),
            low=lag_at_noise(stage.high),  # a faster decay reaches the noise at a smaller lag
            high=None if at_least else lag_at_noise(stage.low),
            extrapolated=excess > 0,
            at_least=at_least,
            reason="beyond the window of every stage of beta, where the decay is slower"
            if at_least
            else None,
        )


def _inside_tokens(point: HorizonPoint) -> HorizonPoint:
    """No lag exceeds the number of tokens, whatever an extrapolation says."""
    if point.lag is None or point.lag <= point.tokens or not point.extrapolated:
        return point
    return replace(
        point,
        lag=point.tokens,
        low=None if point.low is None else min(point.low, point.tokens),
        high=None if point.high is None else point.tokens,
        at_least=False,
        reason="no lag exceeds the number of training tokens; where documents end is not known",
    )


def context_length(curve: Curve, tokens: float) -> ContextPoint:
    """Context lengths that a learner with `tokens` training tokens can use; see `ContextPoint`."""
    smallest, largest = LEARNER_FACTORS
    low, high, limit = (curve.horizon(tokens / factor) for factor in (largest, smallest, 1.0))
    return ContextPoint(
        tokens=tokens,
        low=low.lag,
        high=high.lag,
        limit=limit.lag,
        extrapolated=limit.extrapolated or high.extrapolated,
        at_least=limit.at_least or high.at_least,
        at_documents=limit.at_documents or high.at_documents,
    )


def alpha_of_stages(
    curve: Curve, tokens: float, alphas: dict[int, Exponent], band: ContextPoint
) -> StagePoint:
    """Which stage holds over a learner's `band` of horizons, with the alpha of both.

    Parameters
    ----------
    curve : Curve
    tokens : float
    alphas : dict of int to Exponent
        alpha by the index of the stage.
    band : ContextPoint
        Of the same number of tokens.
    """
    parts = stages(curve.beta)
    name, index = "single", 0
    if len(parts) == 2:
        assert parts[1].window is not None
        border = parts[1].window[0]
        first = band.high is None or (band.high <= border and not band.at_least)
        second = band.low is not None and band.low >= border
        name = "first" if first else "second" if second else "indeterminate"
        index = int(second)
    alpha, other = alphas[index], alphas[1 - index] if len(parts) == 2 else None
    return StagePoint(
        tokens=tokens,
        stage=name,
        beta=parts[index].value,
        alpha=alpha.value,
        alpha_low=alpha.low,
        alpha_high=alpha.high,
        other_beta=None if other is None else parts[1 - index].value,
        other_alpha=None if other is None else other.value,
        other_low=None if other is None else other.low,
        other_high=None if other is None else other.high,
        reportable=alpha.reportable,
        reason=alpha.reason,
        other_reportable=other is not None and other.reportable,
        other_reason=None if other is None else other.reason,
    )
