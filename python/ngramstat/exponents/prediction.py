"""alpha_D = gamma / (2 beta), with its error, its conditions, and what P tokens can resolve.

Cagnetta et al. 2026, eqs. 28-31 (thresholds and horizon), 42 (exponent) and 56 (error). No
prefactor of a loss curve and no absolute horizon of a trained learner is predicted: horizons here
are those of counting, in the units of the measured noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.decay import BREAK_RANGE, JACKKNIFE
from ngramstat.results import (
    CorrelationResult,
    EntropyResult,
    Exponent,
    Gate,
    HorizonPoint,
    Prediction,
    ThresholdPoint,
)

__all__ = ["alpha_error", "alpha_exponent", "horizon", "noise_constant", "predict", "thresholds"]

Floats = NDArray[np.float64]

# A horizon is continued at most this far beyond the last resolved lag; farther, it is a bound.
_MOST_EXTRAPOLATION = 100.0
_LEAST_DECADES = 1.0
# Exponents from raw and composition-free norms should agree within this, or within the interval.
_MOST_DIFFERENCE = 0.1
# Relative error of beta from the choice of lags; alpha inherits it. The paper's own, a bootstrap
# over lags, is 17% on WikiText-103 and 7% on TinyStories.
_MOST_SENSITIVITY = 0.15


def alpha_error(gamma: float, d_gamma: float, beta: float, d_beta: float) -> float:
    """Standard error of gamma / (2 beta) from those of its parts (Cagnetta et al. 2026, eq. 56)."""
    return math.hypot(d_gamma / (2 * beta), gamma * d_beta / (2 * beta**2))


def alpha_exponent(
    gamma: Exponent, beta: Exponent, *, method: str = "gamma / (2 beta)"
) -> Exponent:
    """The data-scaling exponent from its two parts.

    Intervals are read as central normal ones at their own levels, turned into standard errors,
    combined by `alpha_error`, and turned back into an interval at the level of `beta`.

    Parameters
    ----------
    gamma, beta : Exponent
        Either may be unreportable; alpha then is too, with the reasons of both. Its value is
        still given where both values exist and beta is positive.
    method : str
        What to call this combination.
    """
    reasons = [
        f"{name}: {part.reason}"
        for name, part in (("gamma", gamma), ("beta", beta))
        if not part.reportable
    ]
    if gamma.value is None or beta.value is None or beta.value <= 0:
        if not reasons:
            reasons.append("beta: is not positive")
        return Exponent.refused("; ".join(reasons), method=method, level=beta.level)
    value = gamma.value / (2 * beta.value)
    d_gamma, d_beta = _standard_error(gamma), _standard_error(beta)
    low = high = None
    if d_gamma is not None and d_beta is not None:
        half = alpha_error(gamma.value, d_gamma, beta.value, d_beta) * _normal_quantile(beta.level)
        low, high = value - half, value + half
        method += ", errors combined by eq. 56"
        if low <= 0:
            reasons.append("the interval includes zero")
    return Exponent(
        value=value,
        low=low,
        high=high,
        level=beta.level,
        method=method,
        reportable=not reasons,
        reason="; ".join(reasons) or None,
    )


def _normal_quantile(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))


def _standard_error(exponent: Exponent) -> float | None:
    if exponent.low is None or exponent.high is None:
        return None
    return (exponent.high - exponent.low) / (2 * _normal_quantile(exponent.level))


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


def horizon(
    tokens: float,
    lags: ArrayLike,
    norm: ArrayLike,
    valid: ArrayLike,
    kappa: float,
    beta: Exponent,
) -> HorizonPoint:
    """The largest lag whose norm exceeds the noise ``kappa / sqrt(tokens)``.

    Between valid lags the norm is interpolated in log-log; beyond the last one it is continued
    with `beta` (if reportable), and marked. A horizon below the first lag is None. Marked
    `at_least`, being lower bounds only, are horizons that would lie more than a factor 100 beyond
    the last lag, that have no reportable beta to go by, or that start from lags beyond the window
    of beta, where the measured decay is slower.

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
        return HorizonPoint(tokens=tokens, lag=float(xs[i] * (xs[i + 1] / xs[i]) ** share))
    last = float(xs[i])
    if not beta.reportable or beta.value is None:
        return HorizonPoint(tokens=tokens, lag=last, at_least=True)
    excess = math.log(ys[i] / level)

    def reach(exponent: float | None) -> float | None:
        if exponent is None or exponent <= 0:
            return None
        return last * math.exp(min(excess / exponent, math.log(_MOST_EXTRAPOLATION)))

    lag = reach(beta.value)
    slower = beta.window is not None and last > beta.window[1]
    at_least = excess > 0 and (slower or excess / beta.value >= math.log(_MOST_EXTRAPOLATION))
    return HorizonPoint(
        tokens=tokens,
        lag=lag,
        low=reach(beta.high),  # a faster decay is lost in the noise earlier
        high=None if at_least else reach(beta.low),
        extrapolated=excess > 0,
        at_least=at_least,
    )


def predict(
    correlations: CorrelationResult, entropies: EntropyResult, *, tokens: Sequence[float] = ()
) -> Prediction:
    """alpha_D from both halves of a run, with its gates, horizons and thresholds.

    Parameters
    ----------
    correlations, entropies : CorrelationResult, EntropyResult
        Of the same corpus.
    tokens : sequence of float
        Numbers of training tokens at which the horizon is wanted.

    Raises
    ------
    InputError
        If a number of tokens is not positive and finite.
    """
    for number in tokens:
        if not (math.isfinite(number) and number > 0):
            raise InputError(f"tokens: needs positive numbers, got {number:g}")
    c = correlations
    beta = c.beta
    kappa = noise_constant(c.noise_floor, c.pairs)
    norm = c.best_norm
    usable = np.where(c.valid, norm, np.nan)
    needed = (
        thresholds(c.lags, usable, kappa) if kappa is not None else np.full(len(c.lags), np.nan)
    )
    return Prediction(
        alpha=alpha_exponent(
            entropies.gamma, beta, method="gamma / (2 beta), gamma of the limit curve"
        ),
        alpha_finite=alpha_exponent(
            entropies.gamma_finite,
            beta,
            method="gamma / (2 beta), gamma of the held-out curve at this corpus size",
        ),
        gates=tuple(_gates(correlations, entropies)),
        horizon=tuple(horizon(float(p), c.lags, norm, c.valid, kappa, beta) for p in tokens)
        if kappa is not None
        else (),
        threshold=tuple(
            ThresholdPoint(lag=int(lag), tokens=None if math.isnan(p) else float(p))
            for lag, p in zip(c.lags, needed, strict=True)
        ),
        kappa=kappa,
    )


def _gates(correlations: CorrelationResult, entropies: EntropyResult) -> list[Gate]:
    beta, sequential = correlations.beta, correlations.beta_sequential
    gates = [
        Gate(
            name=name,
            passed=exponent.reportable,
            value=exponent.value,
            meaning="its fit passes every check"
            if exponent.reportable
            else f"its fit must pass every check, but: {exponent.reason}",
        )
        for name, exponent in (
            ("beta", beta),
            ("gamma", entropies.gamma),
            ("gamma_finite", entropies.gamma_finite),
        )
    ]
    decades = None if beta.window is None else math.log10(beta.window[1] / beta.window[0])
    gates.append(
        Gate(
            name="decades of lags",
            passed=decades is not None and decades >= _LEAST_DECADES,
            value=decades,
            threshold=_LEAST_DECADES,
            meaning="the power law of ||C(t)|| holds over at least one decade of lags",
        )
    )
    gates.append(_stability_gate(beta))
    difference = allowed = None
    if sequential is not None and sequential.value is not None and beta.value is not None:
        difference = abs(sequential.value - beta.value)
        allowed = _MOST_DIFFERENCE
        if beta.low is not None and beta.high is not None:
            allowed = max(allowed, (beta.high - beta.low) / 2)
    gates.append(
        Gate(
            name="document composition",
            passed=None if difference is None or allowed is None else difference <= allowed,
            value=difference,
            threshold=allowed,
            meaning="beta is the same with the composition of documents removed from C(t)",
        )
    )
    gates.append(
        Gate(
            name="fast learning",
            passed=None,
            meaning="alpha_D is the smaller of delta and gamma / (2 beta); delta, the speed at "
            "which a learner gains within its horizon, cannot be read from counts",
        )
    )
    return gates


def _stability_gate(beta: Exponent) -> Gate:
    """Whether beta hangs on single lags or on where exactly its window ends."""
    moves = [
        (other["high"] - other["low"]) / 2
        for other in beta.alternatives
        if other["method"] in (BREAK_RANGE, JACKKNIFE)
        and other.get("low") is not None
        and other.get("high") is not None
    ]
    known = bool(moves) and beta.value is not None and beta.value > 0
    move = max(moves) / beta.value if known and beta.value is not None else None
    return Gate(
        name="choice of lags",
        passed=None if move is None else move <= _MOST_SENSITIVITY,
        value=move,
        threshold=_MOST_SENSITIVITY,
        meaning="beta moves by a small share of its value when single lags are left out or the "
        "break is moved; its interval holds the sampling error alone",
    )
