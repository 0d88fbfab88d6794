"""gamma, the decay exponent of the conditional entropies: ``H_n - H_inf ~ n**-gamma``.

Cagnetta et al. 2026, eq. 21. Two protocols, kept apart: the limit curve (brackets of H_n) and the
held-out curve at one corpus size, which only bounds the limit from above. The headline is the raw
log-log slope (H_inf = 0), the paper's own form as far as its figures tell; the shifted fit stands
beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.bootstrap import needed_replicates, percentile_interval
from ngramstat.exponents.fit import power_law, shifted_power_law, slope_weights
from ngramstat.results import Exponent

__all__ = ["gamma_exponent", "gamma_finite_exponent", "replicate_gammas", "shifted_alternative"]

Floats = NDArray[np.float64]

_MIN_CONTEXTS = 3
_MIN_R2 = 0.7
# Neighbouring local slopes of one power law agree; beyond this ratio the curve bends.
_MAX_BEND = 2.0
# Share of H_n that it must fall by. Below, any H_inf fits: at 10^5 tokens and a fall of 2 %
# "gamma = .016" was reported in four draws of five, and at 10^6 in none.
_MIN_FALL = 0.1
# Drops may be this far from the law before their errors are asked.
_DROP_RIPPLE = 0.1


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
    all curves inside the brackets are exact: each point at the end of its bracket that the sign of
    its weight asks for.

    Parameters
    ----------
    context : (n,) integers
        Number of tokens conditioned on, increasing; contexts below 1 are not fitted.
    limit, limit_low, limit_high : (n,) float64
        Estimate of H_n and its bracket, nats per token. NaN where not computed.
    resolved : (n,) bool
        Whether the bracket is narrow enough to use.
    drop_error : (n,) float64, optional
        Standard error of H_{n-1} - H_n, its doubt about bias included; often far smaller than the
        brackets, which share their sampling error.
    level : float
        Level of the brackets, and of the profile interval of the shifted alternative.

    Returns
    -------
    Exponent
        Without a value below three resolved contexts; not reportable if the slope is not clear of
        zero, the entropy falls by less than a tenth, R^2 < 0.7, consecutive local slopes differ by
        more than a factor 2, or the drops contradict H_inf = 0.

    Raises
    ------
    InputError
        For arrays of different lengths or contexts that do not increase.
    """
    method = "raw OLS of log H_n on log n (H_inf = 0), extremes over the brackets"
    n = _contexts(context)
    curves = [np.asarray(a, dtype=np.float64) for a in (limit, limit_low, limit_high)]
    marks = np.asarray(resolved)
    if marks.dtype != np.bool_:
        raise InputError(f"resolved: needs bool, got {marks.dtype}")
    if any(a.shape != n.shape for a in (*curves, marks)):
        raise InputError("context, limit, limit_low, limit_high and resolved need one length")
    y, low, high = curves
    with np.errstate(invalid="ignore"):
        usable = marks & (n >= 1) & (low > 0) & (low <= y) & (y <= high) & np.isfinite(high)
    names = ", ".join(str(int(c)) for c in n[usable])
    if usable.sum() < _MIN_CONTEXTS:
        which = f"context(s) {names}" if names else "no context"
        return Exponent.refused(
            f"{which} of n >= 1 resolved, {_MIN_CONTEXTS} needed", method=method, level=level
        )
    errors = None if drop_error is None else np.asarray(drop_error, dtype=np.float64)
    if errors is not None and errors.shape != usable.shape:
        raise InputError(f"drop_error: needs {len(usable)} numbers, got shape {errors.shape}")
    contradiction = None if errors is None else _contradicted(n, y, usable, errors)
    n, y, low, high = n[usable], y[usable], low[usable], high[usable]
    fit = power_law(n, y)
    weights = -slope_weights(np.log(n))
    smallest = float(weights @ np.log(np.where(weights > 0, low, high)))
    largest = float(weights @ np.log(np.where(weights > 0, high, low)))
    reasons = []
    if smallest <= 0:
        reasons.append("the brackets allow a slope of zero or growth")
    fall = 1 - float(y[-1] / y[0])
    if fall < _MIN_FALL:
        reasons.append(
            f"the entropy falls by {100 * fall:.1f}% from n = {n[0]:g} to {n[-1]:g}, "
            f"{100 * _MIN_FALL:g}% needed: so little is consistent with any H_inf"
        )
    if fit.r2 < _MIN_R2:
        reasons.append(f"a power law explains R^2 = {fit.r2:.2f} of the decay, {_MIN_R2} needed")
    bend = _bend(n, y)
    if bend is not None:
        here, there, at = bend
        reasons.append(
            f"the curve bends: local slope {here:.3f} before n = {at:g}, {there:.3f} after it, so "
            "H_inf is not 0 here"
        )
    elif contradiction is not None:
        reasons.append(contradiction)
    return Exponent(
        value=fit.exponent,
        low=min(smallest, fit.exponent),
        high=max(largest, fit.exponent),
        level=level,
        window=(float(n[0]), float(n[-1])),
        points=len(n),
        method=f"{method}; contexts {names}",
        reportable=not reasons,
        reason="; ".join(reasons) or None,
        alternatives=tuple(shifted_alternative(n, y, level)),
    )


def shifted_alternative(n: Floats, y: Floats, level: float) -> list[dict[str, Any]]:
    """The fit with a free H_inf; without interval where the data cannot tell the two apart."""
    fit = shifted_power_law(n, y, level=level)
    method = "shifted: H_n = H_inf + A n^-gamma"
    if fit.identifiable:
        method += ", profile interval"
    else:
        method += " (not identifiable: exponent and H_inf trade off)"
    return [
        {
            "method": method,
            "value": fit.exponent if fit.identifiable else None,
            "low": fit.low if fit.identifiable else None,
            "high": fit.high if fit.identifiable else None,
            "window": [float(n[0]), float(n[-1])],
            "points": len(n),
            "entropy_rate": fit.limit if fit.identifiable else None,
            "identifiable": fit.identifiable,
        }
    ]


def gamma_finite_exponent(
    context: ArrayLike,
    held_out: ArrayLike,
    replicates: ArrayLike | None,
    *,
    level: float = 0.95,
    window: tuple[int, int] = (1, 3),
) -> Exponent:
    """Log-log slope of the held-out curve over the first contexts, at this corpus size.

    The default window is the paper's protocol on WikiText-103 (its first three points).

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

    Returns
    -------
    Exponent
        Every local slope and a longer window are among the alternatives. Not reportable if
        consecutive local slopes inside the window differ by more than a factor 2 (the curve bends),
        without enough replicates, or if the interval reaches zero.

    Raises
    ------
    InputError
        For arrays of different lengths, contexts that do not increase, or a window that is no
        range of contexts of at least 1.
    """
    if not 1 <= window[0] < window[1]:
        raise InputError(f"window: needs 1 <= low < high, got {window[0]}..{window[1]}")
    method = "OLS of log held-out entropy on log n at this corpus size (H_inf = 0)"
    n = _contexts(context)
    y = np.asarray(held_out, dtype=np.float64)
    if y.shape != n.shape:
        raise InputError(f"context and held_out need one length, got {n.shape} and {y.shape}")
    reps = None if replicates is None else np.asarray(replicates, dtype=np.float64)
    if reps is not None and (reps.ndim != 2 or reps.shape[1] != len(n)):
        raise InputError(f"replicates: needs shape (n, {len(n)}), got {reps.shape}")

    usable = (n >= 1) & np.isfinite(y) & (y > 0)
    n, y = n[usable], y[usable]
    reps = None if reps is None else reps[:, usable]
    inside = (n >= window[0]) & (n <= window[1])
    others = _local_slopes(n, y, reps, level)
    if inside.sum() < _MIN_CONTEXTS:
        return Exponent.refused(
            f"{int(inside.sum())} context(s) in the window {window[0]}..{window[1]}, "
            f"{_MIN_CONTEXTS} needed",
            method=method,
            level=level,
            alternatives=others,
        )
    if n[-1] > window[1]:
        longer = n >= window[0]
        entry = _slope(n[longer], y[longer], None if reps is None else reps[:, longer], level)
        others.append({"method": "longer window"} | entry)

    entry = _slope(n[inside], y[inside], None if reps is None else reps[:, inside], level)
    low, high = entry["low"], entry["high"]
    reasons = []
    bend = _bend(n[inside], y[inside])
    if bend is not None:
        here, there, at = bend
        cause = (
            f"the counted learner is short of data beyond n = {at:g}"
            if there < here
            else "it does not follow one power law"
        )
        reasons.append(
            f"the held-out curve bends: local slope {here:.3f} before n = {at:g}, {there:.3f} "
            f"after it: {cause}"
        )
    if reps is None or len(reps) == 0:
        reasons.append("no bootstrap replicates, so no interval")
    elif len(reps) < needed_replicates(level):
        reasons.append(
            f"{len(reps)} bootstrap replicates, {needed_replicates(level)} needed "
            f"for {100 * level:g}%"
        )
    elif low is None:
        reasons.append("no bootstrap replicate is positive over the whole window")
    if (low is not None and low <= 0) or entry["value"] <= 0:
        reasons.append("the slope is not clear of zero")
    return Exponent(
        value=entry["value"],
        low=low,
        high=high,
        level=level,
        window=(float(n[inside][0]), float(n[inside][-1])),
        points=int(inside.sum()),
        method=method + ("" if low is None else "; percentile interval of document replicates"),
        reportable=not reasons,
        reason="; ".join(reasons) or None,
        alternatives=tuple(others),
    )


def replicate_gammas(fitted: Exponent, context: ArrayLike, replicates: ArrayLike) -> Floats:
    """Raw slope of every replicate of a curve over the window of its fit, (n_rep,).

    NaN where a replicate is not positive there, and everywhere without a fit.
    """
    n, reps = _contexts(context), np.asarray(replicates, dtype=np.float64)
    if fitted.window is None:
        return np.full(len(reps), np.nan)
    inside = (n >= fitted.window[0]) & (n <= fitted.window[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.log(reps[:, inside]) @ -slope_weights(np.log(n[inside]))
    return np.where(np.isfinite(found), found, np.nan)


def _contexts(context: ArrayLike) -> Floats:
    n = np.asarray(context, dtype=np.float64)
    if n.ndim != 1 or np.any(n < 0) or np.any(np.diff(n) <= 0):
        raise InputError("context: must be one-dimensional, increasing and at least 0")
    return n


def _slope(n: Floats, y: Floats, reps: Floats | None, level: float) -> dict[str, Any]:
    weights = -slope_weights(np.log(n))
    low: float | None = None
    high: float | None = None
    if reps is not None:
        good = reps[np.all(np.isfinite(reps) & (reps > 0), axis=1)]
        if len(good):
            low, high = percentile_interval(np.log(good) @ weights, level)
    return {
        "value": float(weights @ np.log(y)),
        "low": low,
        "high": high,
        "window": [float(n[0]), float(n[-1])],
        "points": len(n),
    }


def _local_slopes(n: Floats, y: Floats, reps: Floats | None, level: float) -> list[dict[str, Any]]:
    found = []
    for i in range(len(n) - 1):
        pair = slice(i, i + 2)
        entry = _slope(n[pair], y[pair], None if reps is None else reps[:, pair], level)
        found.append({"method": f"local slope {n[i]:g} -> {n[i + 1]:g}"} | entry)
    return found


def _contradicted(n: Floats, y: Floats, usable: NDArray[np.bool_], errors: Floats) -> str | None:
    """Why the drops between neighbouring contexts are not those of A n^-gamma, or None."""
    fit = power_law(n[usable], y[usable])
    for i in range(1, len(n)):
        if not (usable[i - 1] and usable[i] and np.isfinite(errors[i])):
            continue
        found = float(y[i - 1] - y[i])
        before, after = fit(n[i - 1 : i + 1])
        expected = float(before - after)
        if abs(found - expected) > max(3 * errors[i], _DROP_RIPPLE * expected):
            return (
                f"from n = {n[i - 1]:g} to {n[i]:g} the entropy falls by {found:.4g}, where "
                f"H_inf = 0 with this slope asks for {expected:.4g}: H_inf is not 0 here"
            )
    return None


def _bend(n: Floats, y: Floats) -> tuple[float, float, float] | None:
    """(slope before, slope after, where) of the first bend in log-log; None on a straight line."""
    slopes: Sequence[float] = (-np.diff(np.log(y)) / np.diff(np.log(n))).tolist()
    for i in range(len(slopes) - 1):
        here, there = slopes[i], slopes[i + 1]
        smaller, larger = sorted((here, there))
        # Slopes that are both zero or negative are refused by the interval, not called a bend.
        if larger <= 0 or (smaller > 0 and larger <= _MAX_BEND * smaller):
            continue
        return here, there, float(n[i + 1])
    return None
