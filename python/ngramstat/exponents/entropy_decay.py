"""gamma, the decay exponent of the conditional entropies: ``H_n - H_inf ~ n**-gamma``.

Cagnetta et al. 2026, eq. 21. There are two protocols: the limit curve (brackets of H_n), and the
held-out curve at one corpus size, which only bounds the limit from above. The headline is the raw
log-log slope (H_inf = 0), which is what the paper uses as far as its figures show; the shifted fit
is among the alternatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.criteria import MAX_BEND, MIN_CONTEXTS, MIN_R2
from ngramstat.exponents.fit import power_law, shifted_power_law, slope_weights
from ngramstat.exponents.intervals import percentile_interval, replicates_missing
from ngramstat.results import Alternative, AlternativeKind, Exponent, IntervalParts

__all__ = [
    "LossesBySize",
    "checked_contexts",
    "gamma_exponent",
    "gamma_finite_exponent",
    "replicate_gammas",
    "shifted_alternative",
]

Floats = NDArray[np.float64]

# Fraction of H_n by which it must fall. With a smaller fall any H_inf fits: at 10^5 tokens and a
# fall of 2 %, "gamma = .016" was reported in four draws of five, and at 10^6 tokens in none.
_MIN_FALL = 0.1
# A drop contradicts the law only if it deviates by more than this fraction, whatever its error.
_DROP_TOLERANCE = 0.1
# The slope at one P has settled if it changes by at most this per doubling, over so many last
# sizes. Counted learners of natural text: 15 to 40% (docs/estimators.md); the paper's GPT-2 on
# TinyStories, 3.5% over its last doubling.
_MAX_DRIFT = 0.05
_DRIFT_SIZES = 3


def gamma_exponent(
    context: ArrayLike,
    limit: ArrayLike,
    limit_low: ArrayLike,
    limit_high: ArrayLike,
    resolved: ArrayLike,
    *,
    drop_error: ArrayLike | None = None,
    level: float = 0.95,
) -> Exponent:
    """Raw log-log slope of the resolved limits of H_n, with the extremes its brackets allow.

    The least-squares slope is linear in the log entropies, so its largest and smallest values over
    all curves inside the brackets are exact: each point is at the end of its bracket given by the
    sign of its weight.

    Parameters
    ----------
    context : (n,) integers
        Number of tokens conditioned on, increasing; contexts below 1 are not fitted.
    limit, limit_low, limit_high : (n,) float64
        Estimate of H_n and its bracket, nats per token. NaN where not computed.
    resolved : (n,) bool
        Whether the bracket is narrow enough to use.
    drop_error : (n,) float64, optional
        Standard error of H_{n-1} - H_n, its uncertainty from bias included; often far smaller than
        the brackets, which share their sampling error.
    level : float
        Level of the brackets, and of the profile interval of the shifted alternative.

    Returns
    -------
    Exponent
        Without a value below three resolved contexts; not reportable if the brackets allow a slope
        of zero, the entropy falls by less than a tenth, R^2 < 0.7, consecutive local slopes differ
        by more than a factor 2, or the drops contradict H_inf = 0.

    Raises
    ------
    InputError
        For arrays of different lengths or contexts that do not increase.
    """
    method = "raw OLS of log H_n on log n (H_inf = 0), extremes over the brackets"
    limits = _limit_curve(context, limit, limit_low, limit_high, resolved, drop_error)
    fitted = limits.where(limits.usable)
    names = ", ".join(str(int(n)) for n in fitted.n)
    if len(fitted.n) < MIN_CONTEXTS:
        which = f"context(s) {names}" if names else "no context"
        return Exponent.refused(
            f"{which} of n >= 1 resolved, {MIN_CONTEXTS} needed", method=method, level=level
        )
    fit = power_law(fitted.n, fitted.value)
    smallest, largest = _extreme_slopes(fitted)
    reasons = [
        *_fall_reasons(fitted, smallest, fit.r2),
        *_curvature_reasons(limits, fitted),
    ]
    return Exponent(
        value=fit.exponent,
        low=min(smallest, fit.exponent),
        high=max(largest, fit.exponent),
        level=level,
        window=(float(fitted.n[0]), float(fitted.n[-1])),
        points=len(fitted.n),
        method=f"{method}; contexts {names}",
        reportable=not reasons,
        reason="; ".join(reasons) or None,
        alternatives=(shifted_alternative(fitted.n, fitted.value, level),),
    )


@dataclass(frozen=True)
class _LimitCurve:
    """Estimates of H_n with their brackets; `drop_error` is None where nothing is known of it."""

    n: Floats
    value: Floats
    low: Floats
    high: Floats
    usable: NDArray[np.bool_]
    drop_error: Floats | None

    def where(self, selected: NDArray[np.bool_]) -> _LimitCurve:
        return _LimitCurve(
            self.n[selected],
            self.value[selected],
            self.low[selected],
            self.high[selected],
            self.usable[selected],
            None if self.drop_error is None else self.drop_error[selected],
        )


def _limit_curve(
    context: ArrayLike,
    limit: ArrayLike,
    limit_low: ArrayLike,
    limit_high: ArrayLike,
    resolved: ArrayLike,
    drop_error: ArrayLike | None,
) -> _LimitCurve:
    n = checked_contexts(context)
    y, low, high = (np.asarray(a, dtype=np.float64) for a in (limit, limit_low, limit_high))
    marks = np.asarray(resolved)
    if marks.dtype != np.bool_:
        raise InputError(f"resolved: needs bool, got {marks.dtype}")
    if any(a.shape != n.shape for a in (y, low, high, marks)):
        raise InputError("context, limit, limit_low, limit_high and resolved need one length")
    errors = None if drop_error is None else np.asarray(drop_error, dtype=np.float64)
    if errors is not None and errors.shape != n.shape:
        raise InputError(f"drop_error: needs {len(n)} numbers, got shape {errors.shape}")
    with np.errstate(invalid="ignore"):
        usable = marks & (n >= 1) & (low > 0) & (low <= y) & (y <= high) & np.isfinite(high)
    return _LimitCurve(n, y, low, high, usable, errors)


def _extreme_slopes(limits: _LimitCurve) -> tuple[float, float]:
    """Smallest and largest slope of any curve inside the brackets."""
    weights = -slope_weights(np.log(limits.n))
    smallest = float(weights @ np.log(np.where(weights > 0, limits.low, limits.high)))
    largest = float(weights @ np.log(np.where(weights > 0, limits.high, limits.low)))
    return smallest, largest


def _fall_reasons(limits: _LimitCurve, smallest: float, r2: float) -> list[str]:
    """Whether the entropy falls, by enough, and along a line in log-log."""
    n, y = limits.n, limits.value
    reasons = []
    if smallest <= 0:
        reasons.append("the brackets allow a slope of zero or growth")
    fall = 1 - float(y[-1] / y[0])
    if fall < _MIN_FALL:
        reasons.append(
            f"the entropy falls by {100 * fall:.1f}% from n = {n[0]:g} to {n[-1]:g}, "
            f"{100 * _MIN_FALL:g}% needed: so small a fall is consistent with any H_inf"
        )
    if r2 < MIN_R2:
        reasons.append(f"a power law explains R^2 = {r2:.2f} of the decay, {MIN_R2} needed")
    return reasons


def _curvature_reasons(limits: _LimitCurve, fitted: _LimitCurve) -> list[str]:
    """Whether the curve bends, or its drops contradict the law: H_inf is then not zero."""
    bend = _bend(fitted.n, fitted.value)
    if bend is not None:
        return [
            f"the curve bends: local slope {bend.before:.3f} before n = {bend.at:g}, "
            f"{bend.after:.3f} after it, so H_inf is not 0"
        ]
    contradiction = _contradicting_drop(limits, fitted)
    return [] if contradiction is None else [contradiction]


def shifted_alternative(n: Floats, y: Floats, level: float) -> Alternative:
    """The fit with a free H_inf; without interval where the data cannot tell the two apart."""
    fit = shifted_power_law(n, y, level=level)
    method = "shifted: H_n = H_inf + A n^-gamma"
    if fit.identifiable:
        method += ", profile interval"
    else:
        method += " (not identifiable: exponent and H_inf trade off)"
    return Alternative(
        kind=AlternativeKind.SHIFTED,
        method=method,
        value=fit.exponent if fit.identifiable else None,
        low=fit.low if fit.identifiable else None,
        high=fit.high if fit.identifiable else None,
        window=(float(n[0]), float(n[-1])),
        points=len(n),
        extra={
            "entropy_rate": fit.limit if fit.identifiable else None,
            "identifiable": fit.identifiable,
        },
    )


@dataclass(frozen=True)
class LossesBySize:
    """Held-out losses of one learner after training on several numbers of tokens.

    Attributes
    ----------
    tokens : (k,) float64
        P, ascending.
    losses : (k, n_contexts) float64
        L_n(P), nats per token; NaN where unknown.
    learner : str
        Whose losses these are.
    """

    tokens: ArrayLike
    losses: ArrayLike
    learner: str

    def slopes(self, context: ArrayLike, window: tuple[int, int]) -> list[tuple[float, float]]:
        """(P, minus the log-log slope over the window) of every size with all of its losses."""
        n = checked_contexts(context)
        inside = (n >= window[0]) & (n <= window[1])
        p, y = np.asarray(self.tokens, dtype=np.float64), np.asarray(self.losses, dtype=np.float64)
        if y.shape != (len(p), len(n)):
            raise InputError(f"losses: needs shape ({len(p)}, {len(n)}), got {y.shape}")
        if np.any(np.diff(p) <= 0):
            raise InputError("tokens: must ascend")
        if inside.sum() < MIN_CONTEXTS:
            return []
        weights = -slope_weights(np.log(n[inside]))
        return [
            (float(tokens), float(weights @ np.log(row)))
            for tokens, row in zip(p, y[:, inside], strict=True)
            if np.all(np.isfinite(row) & (row > 0))
        ]

    def alternatives(self, context: ArrayLike, window: tuple[int, int]) -> list[Alternative]:
        """The slope at every size with all of its losses, to stand beside an exponent."""
        n = checked_contexts(context)
        return [
            Alternative(
                kind=AlternativeKind.AT_SIZE,
                method=f"slope of {self.learner} at {tokens:.4g} training tokens",
                value=slope,
                window=(float(window[0]), float(window[1])),
                points=int(np.count_nonzero((n >= window[0]) & (n <= window[1]))),
                extra={"tokens": tokens},
            )
            for tokens, slope in self.slopes(n, window)
        ]


def gamma_finite_exponent(
    context: ArrayLike,
    held_out: ArrayLike,
    replicates: ArrayLike | None,
    *,
    level: float = 0.95,
    window: tuple[int, int] = (1, 3),
    sizes: LossesBySize | None = None,
) -> Exponent:
    """Log-log slope of the held-out curve over the first contexts, at this corpus size.

    The default window is the paper's protocol on WikiText-103 (its first three points). The slope
    is a function of P and of the learner: it is given at every size of the learning curve, and
    reported only where it has settled.

    Parameters
    ----------
    context : (n,) integers
        Number of tokens conditioned on, increasing.
    held_out : (n,) float64
        Held-out cross-entropy L_n(P), nats per token.
    replicates : (n_rep, n) float64 or None
        Replicates of `held_out` over held-out documents.
    level : float
        Confidence level of the percentile interval.
    window : (int, int)
        First and last context, inclusive.
    sizes : LossesBySize, optional
        The learning curve, at the same contexts.

    Returns
    -------
    Exponent
        Every local slope, a longer window and the slope at every size are among the alternatives.
        Not reportable if the slope changes by more than 5% per doubling of P over the last three
        sizes, or no two sizes show whether it does; if consecutive local slopes in the window
        differ by more than a factor 2; without enough replicates; or if the interval reaches zero.

    Raises
    ------
    InputError
        For arrays of different lengths, contexts that do not increase, or a window that is not a
        range of contexts of at least 1.
    """
    if not 1 <= window[0] < window[1]:
        raise InputError(f"window: needs 1 <= low < high, got {window[0]}..{window[1]}")
    method = "OLS of log held-out entropy on log n at this corpus size (H_inf = 0)"
    curve = _held_out_curve(context, held_out, replicates)
    inside = curve.within(*window)
    by_size = [] if sizes is None else sizes.slopes(context, window)
    alternatives = _local_slopes(curve, level)
    if sizes is not None:
        alternatives += sizes.alternatives(context, window)
    if len(inside.n) < MIN_CONTEXTS:
        few = f"{len(inside.n)} context(s) in the window {window[0]}..{window[1]}"
        return Exponent.refused(
            f"{few}, {MIN_CONTEXTS} needed", method=method, level=level, alternatives=alternatives
        )
    if curve.n[-1] > window[1]:
        alternatives.append(
            curve.within(window[0], curve.n[-1]).alternative(
                AlternativeKind.LONGER_WINDOW, "longer window", level
            )
        )
    value, (low, high) = inside.slope(), inside.interval(level)
    reasons = [*_drift_reasons(by_size), *_finite_reasons(inside, value, low, level)]
    return Exponent(
        value=value,
        low=low,
        high=high,
        level=level,
        window=(float(inside.n[0]), float(inside.n[-1])),
        points=len(inside.n),
        method=method + ("" if low is None else "; percentile interval of document replicates"),
        parts=IntervalParts(documents=None if low is None or high is None else (low, high)),
        reportable=not reasons,
        reason="; ".join(reasons) or None,
        alternatives=tuple(alternatives),
    )


def _drift_reasons(by_size: list[tuple[float, float]]) -> list[str]:
    """Whether the slope still changes with the number of training tokens."""
    last = by_size[-_DRIFT_SIZES:]
    if len(last) < 2:
        return [
            "the slope is a function of the number of training tokens, and without losses at two "
            "sizes it is not known whether it has settled"
        ]
    (tokens, slope), (fewer, before) = last[-1], last[-2]
    if min(value for _, value in last) <= 0:
        return []  # refused as a slope that is not above zero, or one that bends
    p, values = (np.log2(np.array(column)) for column in zip(*last, strict=True))
    change = float(2 ** (slope_weights(p) @ values) - 1)
    if abs(change) <= _MAX_DRIFT:
        return []
    direction = "rises" if change > 0 else "falls"
    return [
        f"this slope belongs to {tokens:.3g} training tokens of this learner: it was "
        f"{before:.3f} at {fewer:.3g} tokens, is {slope:.3f} at {tokens:.3g}, and still "
        f"{direction} by {100 * abs(change):.0f}% per doubling ({100 * _MAX_DRIFT:g}% allowed)"
    ]


@dataclass(frozen=True)
class _HeldOutCurve:
    """Positive held-out losses by context, with their replicates."""

    n: Floats
    loss: Floats
    replicates: Floats | None

    def where(self, selected: NDArray[np.bool_] | slice) -> _HeldOutCurve:
        reps = None if self.replicates is None else self.replicates[:, selected]
        return _HeldOutCurve(self.n[selected], self.loss[selected], reps)

    def within(self, low: float, high: float) -> _HeldOutCurve:
        return self.where((self.n >= low) & (self.n <= high))

    def slope(self) -> float:
        """Minus the log-log slope."""
        return float(-slope_weights(np.log(self.n)) @ np.log(self.loss))

    def interval(self, level: float) -> tuple[float | None, float | None]:
        """Percentile interval of the slope over the replicates that are positive everywhere."""
        if self.replicates is None:
            return None, None
        positive = np.all(np.isfinite(self.replicates) & (self.replicates > 0), axis=1)
        if not positive.any():
            return None, None
        logs = np.log(self.replicates[positive])
        return percentile_interval(logs @ -slope_weights(np.log(self.n)), level)

    def alternative(self, kind: AlternativeKind, method: str, level: float) -> Alternative:
        low, high = self.interval(level)
        return Alternative(
            kind=kind,
            method=method,
            value=self.slope(),
            low=low,
            high=high,
            window=(float(self.n[0]), float(self.n[-1])),
            points=len(self.n),
        )


def _held_out_curve(
    context: ArrayLike, held_out: ArrayLike, replicates: ArrayLike | None
) -> _HeldOutCurve:
    n = checked_contexts(context)
    y = np.asarray(held_out, dtype=np.float64)
    if y.shape != n.shape:
        raise InputError(f"context and held_out need one length, got {n.shape} and {y.shape}")
    reps = None if replicates is None else np.asarray(replicates, dtype=np.float64)
    if reps is not None and (reps.ndim != 2 or reps.shape[1] != len(n)):
        raise InputError(f"replicates: needs shape (n, {len(n)}), got {reps.shape}")
    return _HeldOutCurve(n, y, reps).where((n >= 1) & np.isfinite(y) & (y > 0))


def _local_slopes(curve: _HeldOutCurve, level: float) -> list[Alternative]:
    """The slope between every two consecutive contexts."""
    return [
        curve.where(slice(i, i + 2)).alternative(
            AlternativeKind.LOCAL_SLOPE,
            f"local slope {curve.n[i]:g} -> {curve.n[i + 1]:g}",
            level,
        )
        for i in range(len(curve.n) - 1)
    ]


def _finite_reasons(
    inside: _HeldOutCurve, value: float, low: float | None, level: float
) -> list[str]:
    """Why the slope of the held-out curve cannot be reported."""
    reasons = []
    bend = _bend(inside.n, inside.loss)
    if bend is not None:
        cause = (
            f"the counted learner is short of data beyond n = {bend.at:g}"
            if bend.after < bend.before
            else "it does not follow one power law"
        )
        reasons.append(
            f"the held-out curve bends: local slope {bend.before:.3f} before n = {bend.at:g}, "
            f"{bend.after:.3f} after it: {cause}"
        )
    missing = replicates_missing(0 if inside.replicates is None else len(inside.replicates), level)
    if missing is not None:
        reasons.append(missing)
    elif low is None:
        reasons.append("no bootstrap replicate is positive over the whole window")
    if (low is not None and low <= 0) or value <= 0:
        reasons.append("the slope is not significantly above zero")
    return reasons


def replicate_gammas(fitted: Exponent, context: ArrayLike, replicates: ArrayLike) -> Floats:
    """Raw slope of every replicate of a curve over the window of its fit, (n_rep,).

    NaN where a replicate is not positive there, and everywhere without a fit.
    """
    n, reps = checked_contexts(context), np.asarray(replicates, dtype=np.float64)
    if fitted.window is None:
        return np.full(len(reps), np.nan)
    inside = (n >= fitted.window[0]) & (n <= fitted.window[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        slopes: Floats = np.log(reps[:, inside]) @ -slope_weights(np.log(n[inside]))
    return np.where(np.isfinite(slopes), slopes, np.nan)


def checked_contexts(context: ArrayLike) -> Floats:
    """Numbers of tokens of context as float64; refused unless increasing and at least 0."""
    n = np.asarray(context, dtype=np.float64)
    if n.ndim != 1 or np.any(n < 0) or np.any(np.diff(n) <= 0):
        raise InputError("context: must be one-dimensional, increasing and at least 0")
    return n


def _contradicting_drop(limits: _LimitCurve, fitted: _LimitCurve) -> str | None:
    """The first drop between neighbouring contexts that is not that of A n^-gamma, or None."""
    if limits.drop_error is None:
        return None
    fit = power_law(fitted.n, fitted.value)
    n, y, usable = limits.n, limits.value, limits.usable
    for i in range(1, len(n)):
        error = limits.drop_error[i]
        if not (usable[i - 1] and usable[i] and np.isfinite(error)):
            continue
        drop = float(y[i - 1] - y[i])
        before, after = fit(n[i - 1 : i + 1])
        expected = float(before - after)
        if abs(drop - expected) > max(3 * error, _DROP_TOLERANCE * expected):
            return (
                f"from n = {n[i - 1]:g} to {n[i]:g} the entropy falls by {drop:.4g}, where "
                f"H_inf = 0 with this slope requires {expected:.4g}: H_inf is not 0"
            )
    return None


@dataclass(frozen=True)
class _Bend:
    """The first context at which the local slope in log-log changes too much."""

    before: float
    after: float
    at: float


def _bend(n: Floats, y: Floats) -> _Bend | None:
    """The first bend in log-log; None on a straight line."""
    slopes: Sequence[float] = (-np.diff(np.log(y)) / np.diff(np.log(n))).tolist()
    for i in range(len(slopes) - 1):
        smaller, larger = sorted((slopes[i], slopes[i + 1]))
        # Two slopes of zero or below are no bend; the interval already refuses them.
        if larger <= 0 or (smaller > 0 and larger <= MAX_BEND * smaller):
            continue
        return _Bend(slopes[i], slopes[i + 1], float(n[i + 1]))
    return None
