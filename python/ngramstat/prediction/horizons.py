"""What P tokens resolve: thresholds P*_n, horizons n*(P), and what of it a learner reaches.

Cagnetta et al. 2026, eqs. 28-31. The theory predicts no prefactor: horizons are those of counting,
in units of the measured noise. A learner needs more tokens for the same lag, between 10 and 1000
times as many where it was measured (docs/theory.md 4), so it has a band.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.results import ContextPoint, Exponent, HorizonPoint, StagePoint

__all__ = [
    "LEARNER_FACTORS",
    "Curve",
    "alpha_of_stages",
    "context_length",
    "horizon",
    "noise_constant",
    "stages",
    "thresholds",
]

Floats = NDArray[np.float64]

# A horizon is continued at most this far beyond the last resolved lag; farther, it is a bound.
_MAX_EXTRAPOLATION = 100.0
# Tokens a learner needs for a lag, in units of those that counting needs.
LEARNER_FACTORS = (10.0, 1000.0)


def noise_constant(noise_floor: ArrayLike, pairs: ArrayLike) -> float | None:
    """kappa of ``floor = kappa / sqrt(pairs)``: the median over lags, None without a floor."""
    values = np.asarray(noise_floor, dtype=np.float64) * np.sqrt(
        np.asarray(pairs, dtype=np.float64)
    )
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.median(values)) if len(values) else None


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

    The headline may be either stage; both stand in its alternatives by name.
    """
    for other in beta.alternatives:
        name = next((n for n in ("first", "second") if other["method"].startswith(n)), None)
        if name is None or not other["method"].startswith(f"{name} stage"):
            continue
        if other.get("value") is None or other.get("window") is None or beta.window is None:
            continue
        if tuple(other["window"]) == tuple(beta.window):  # the headline itself, listed by name
            continue
        doubt = None if beta.reportable else beta.reason
        known = other.get("low") is not None and other.get("high") is not None
        if not known:
            doubt = "no interval"
        found = Exponent(
            value=other["value"],
            low=other.get("low"),
            high=other.get("high"),
            level=beta.level,
            window=other["window"],
            points=other.get("points") or 0,
            method=other["method"],
            reportable=doubt is None,
            reason=doubt,
        )
        return (beta, found) if name == "second" else (found, beta)
    return (beta,)


@dataclass(frozen=True)
class Curve:
    """The measured norms, and what continues them.

    Attributes
    ----------
    lags, norm, valid : (n,) arrays
        Lags that are not valid are not used.
    kappa : float
        Noise constant, see `noise_constant`.
    beta : Exponent
        Decay, with its other stage among the alternatives.
    norm_low, norm_high : (n,) arrays or None
        Interval of the norms.
    """

    lags: ArrayLike
    norm: ArrayLike
    valid: ArrayLike
    kappa: float
    beta: Exponent
    norm_low: ArrayLike | None = None
    norm_high: ArrayLike | None = None

    def horizon(self, tokens: float) -> HorizonPoint:
        """n*(P), see `horizon`."""
        return horizon(
            tokens, self.lags, self.norm, self.valid, self.kappa, self.beta,
            norm_low=self.norm_low, norm_high=self.norm_high,
        )  # fmt: skip


def horizon(
    tokens: float,
    lags: ArrayLike,
    norm: ArrayLike,
    valid: ArrayLike,
    kappa: float,
    beta: Exponent,
    *,
    norm_low: ArrayLike | None = None,
    norm_high: ArrayLike | None = None,
) -> HorizonPoint:
    """The largest lag whose norm exceeds the noise ``kappa / sqrt(tokens)``.

    Between valid lags the norm is interpolated in log-log; beyond the last one it is continued
    with the stage of `beta` that holds there (if reportable), and marked. A horizon below the first
    lag is None. Marked `at_least`, being lower bounds only, are horizons that would lie more than a
    factor 100 beyond the last lag, that have no reportable beta to go by, or that start from lags
    beyond the window of every stage of beta, where the measured decay is slower.

    Parameters
    ----------
    tokens : float
        Training tokens P > 0.
    lags, norm, valid : (n,) arrays
        The measured curve; lags that are not valid are not used.
    kappa : float
        Noise constant, see `noise_constant`.
    beta : Exponent
        Decay beyond the measured lags.
    norm_low, norm_high : (n,) arrays, optional
        Interval of the norms: where the horizon lies within the measured lags, its own interval is
        where these two curves cross the noise.

    Raises
    ------
    InputError
        If `tokens` or `kappa` is not a positive finite number.
    """
    for name, number in (("tokens", tokens), ("kappa", kappa)):
        if not (math.isfinite(number) and number > 0):
            raise InputError(f"{name}: needs a positive number, got {number:g}")
    ys = np.asarray(norm, dtype=np.float64)
    good = np.asarray(valid, dtype=bool) & np.isfinite(ys) & (ys > 0)
    xs, ys = np.asarray(lags, dtype=np.float64)[good], ys[good]
    level = kappa / math.sqrt(tokens)
    above = np.flatnonzero(ys >= level)
    if len(above) == 0:
        return HorizonPoint(tokens=tokens)
    i = int(above[-1])
    if i + 1 < len(xs):
        share = math.log(ys[i] / level) / math.log(ys[i] / ys[i + 1])
        lag = float(xs[i] * (xs[i + 1] / xs[i]) ** share)
        ends = [
            None if other is None else horizon(tokens, lags, other, valid, kappa, beta).lag
            for other in (norm_low, norm_high)
        ]
        low, high = ends
        return HorizonPoint(
            tokens=tokens,
            lag=lag,
            low=None if low is None else min(low, lag),
            high=None if high is None else max(high, lag),
        )
    last = float(xs[i])
    if not beta.reportable or beta.value is None:
        return HorizonPoint(tokens=tokens, lag=last, at_least=True)
    excess = math.log(ys[i] / level)
    # The stage that holds at the last lag goes on; beyond every window the nearest one is steeper.
    parts = stages(beta)
    stage = next((s for s in parts if s.window is not None and last <= s.window[1]), parts[-1])
    if stage.value is None or stage.value <= 0:
        return HorizonPoint(tokens=tokens, lag=last, at_least=True)

    def reach(exponent: float | None) -> float | None:
        if exponent is None or exponent <= 0:
            return None
        return last * math.exp(min(excess / exponent, math.log(_MAX_EXTRAPOLATION)))

    slower = stage.window is not None and last > stage.window[1]
    at_least = excess > 0 and (slower or excess / stage.value >= math.log(_MAX_EXTRAPOLATION))
    return HorizonPoint(
        tokens=tokens,
        lag=reach(stage.value),
        low=reach(stage.high),  # a faster decay is lost in the noise earlier
        high=None if at_least else reach(stage.low),
        extrapolated=excess > 0,
        at_least=at_least,
    )


def context_length(curve: Curve, tokens: float) -> ContextPoint:
    """Context lengths that a learner with `tokens` training tokens can use; see `ContextPoint`."""
    least, most = LEARNER_FACTORS
    low, high, limit = (curve.horizon(tokens / factor) for factor in (most, least, 1.0))
    return ContextPoint(
        tokens=tokens,
        low=low.lag,
        high=high.lag,
        limit=limit.lag,
        extrapolated=limit.extrapolated or high.extrapolated,
        at_least=limit.at_least or high.at_least,
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
    name, here = "single", 0
    if len(parts) == 2:
        assert parts[1].window is not None
        border = parts[1].window[0]
        first = band.high is None or (band.high <= border and not band.at_least)
        second = band.low is not None and band.low >= border
        name = "first" if first else "second" if second else "indeterminate"
        here = int(second)
    one, other = alphas[here], alphas[1 - here] if len(parts) == 2 else None
    return StagePoint(
        tokens=tokens,
        stage=name,
        beta=parts[here].value,
        alpha=one.value,
        alpha_low=one.low,
        alpha_high=one.high,
        other_beta=None if other is None else parts[1 - here].value,
        other_alpha=None if other is None else other.value,
        other_low=None if other is None else other.low,
        other_high=None if other is None else other.high,
    )
