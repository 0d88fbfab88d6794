"""beta, the decay exponent of the token covariance: ``||C(t)|| ~ t**-beta``.

Cagnetta et al. 2026, eq. 29. The window is chosen from the validity of the lags alone, a second
stage of the decay is split off where the data insist on it, and everything that could have been
chosen otherwise is kept in `Exponent.alternatives`.

Lags count by their precision: ``1 / (error^2 + scatter^2)``, with the relative errors of the norms
from the replicates and the scatter of the curve about the law, at least MODEL_MISFIT. With equal weights
the last, weakest lags decide, and with the errors alone the first two.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.bootstrap import needed_replicates
from ngramstat.exponents.decay_curve import MODEL_MISFIT, DecayCurve
from ngramstat.exponents.decay_sensitivity import (
    BREAK_RANGE,
    DOCUMENT_JACKKNIFE,
    JACKKNIFE,
    MIN_RATIO,
    WINDOW_RANGE,
    break_range,
    document_jackknife,
    lag_jackknife,
    local_peaks,
    window_range,
    without_peaks,
)
from ngramstat.exponents.fit import (
    BrokenPowerLaw,
    broken_power_law,
    exponential_law_bic,
    power_law,
)
from ngramstat.results import Exponent

__all__ = [
    "BREAK_RANGE",
    "DOCUMENT_JACKKNIFE",
    "FIRST_STAGE",
    "JACKKNIFE",
    "METHOD",
    "SECOND_STAGE",
    "WINDOW_RANGE",
    "beta_exponent",
    "replicate_exponents",
    "scaling_window",
]

# Names of the alternatives that hold the two stages of a broken decay; the headline is the first.
FIRST_STAGE = "first stage"
SECOND_STAGE = "second stage"
METHOD = "least squares of log {} on log lag, weighted by errors and scatter"

Floats = NDArray[np.float64]

_MIN_R2 = 0.7
# "Very strong" evidence on the usual scale of BIC differences.
_DECISIVE_BIC = 10.0
_MIN_STAGE_POINTS = 4
# The paper's own window on WikiText-103 and TinyStories' first stage.
_PAPER_WINDOW = (1, 32)
# Share of replicates that must allow a fit; below it the interval would be that of a selection.
_MIN_USABLE = 0.9
# A jackknife over 16 folds has a fifth of relative error: this ratio is no chance.
_WIDE_JACKKNIFE = 1.5


def scaling_window(
    lags: ArrayLike, valid: ArrayLike, missing: ArrayLike | None = None
) -> tuple[int, int] | None:
    """Range of lags whose norms stand clear of the noise, from their validity alone.

    From the first valid lag to the last valid one before the first run of three or more
    consecutive invalid lags (two with fewer than 12 lags, one with fewer than 8). Single invalid
    lags inside are kept: leaving out the low points of a noisy curve would flatten it. A lag
    without a norm at all cannot be kept, and ends the window for the same reason.

    Parameters
    ----------
    lags : (n,) integers
        Increasing.
    valid : (n,) bool
        Whether each norm stands clear of its floor.
    missing : (n,) bool, optional
        Whether no positive norm is known.

    Returns
    -------
    (int, int) or None
        First and last lag, inclusive; None if no lag is valid.
    """
    marks = np.asarray(valid, dtype=bool)
    points = np.asarray(lags)
    gone = np.zeros(len(marks), bool) if missing is None else np.asarray(missing, dtype=bool)
    marks = marks & ~gone
    if not marks.any():
        return None
    run_length = 3 if len(marks) >= 12 else 2 if len(marks) >= 8 else 1
    first = last = int(marks.argmax())
    run = 0
    for i in range(first, len(marks)):
        if marks[i]:
            last, run = i, 0
        else:
            run += 1
            if run == run_length or gone[i]:
                break
    return int(points[first]), int(points[last])


def beta_exponent(
    lags: ArrayLike,
    norm: ArrayLike,
    valid: ArrayLike,
    *,
    replicates: ArrayLike | None = None,
    floor: ArrayLike | None = None,
    window: tuple[float, float] | None = None,
    level: float = 0.95,
    min_points: int = 4,
    quantity: str = "norm",
    longest: tuple[float, str] | None = None,
    left_out: ArrayLike | None = None,
) -> Exponent:
    """Fit ``norm ~ lag**-beta`` and say whether the answer can be reported.

    The window is `scaling_window`, or the one given. Natural text decays in two stages: a steep one
    over tens of tokens, and a slow one where topics take over. In the automatic window a second
    stage is split off where (a) a broken power law beats the single one by more than 10 in BIC with
    a slower second slope, and (b) some tail of a decade or more follows one power law to within its
    own noise. The headline is then the part before the longest such
    tail; tail and single law become alternatives. A hinge alone does not place the break: where the
    first stage is rough it prefers the roughness of the first few lags to the end of the stage.

    Both stages are alternatives named FIRST_STAGE and SECOND_STAGE, each with value, interval,
    window, points and its own `reportable` and `reason`.

    The interval is the sampling error over documents in that window: every replicate is fitted with
    the weights of the headline. How much the choice of lags moves the exponent is often more, and
    stands in the alternatives: WINDOW_RANGE over all windows of a decade or more, leaving out
    single lags, moving the break, equal weights. Local peaks are named in the method.

    Parameters
    ----------
    lags : (n,) integers
        Increasing, at least 1, in tokens.
    norm : (n,) float64
        ||C(t)||. Norms that are zero, negative or NaN have no logarithm; the automatic window ends
        before the first of them, and a given window that holds one is not reportable.
    valid : (n,) bool
        Whether each norm stands clear of its noise floor.
    replicates : (n_rep, n) float64, optional
        Document-cluster bootstrap replicates of `norm`, coherent over lags. The window stays fixed.
    floor : (n,) float64, optional
        For plug-in norms: the norm that noise alone would show. It raises a norm by about
        floor^2 / (2 norm), which is then no second stage.
    window : (low, high), optional
        First and last lag to use, inclusive; taken as given, but the gates still apply.
    level : float
        Confidence level of the percentile interval.
    min_points : int
        Fewest valid lags in the window.
    quantity : str
        What `norm` is called in the method.
    longest : (lag, str), optional
        Largest lag of the automatic window, and what is wrong with larger ones.
    left_out : (n_folds, n) float64, optional
        Norms with one fold of the documents left out, for the document jackknife.

    Returns
    -------
    Exponent
        Not reportable, with the reason, if: fewer than `min_points` valid lags; window under one
        decade; R^2 < 0.7; an exponential fits better by more than 10 in BIC; no (or too few)
        replicates; or an interval that reaches zero.

    Raises
    ------
    InputError
        For arrays of different lengths, lags that do not increase, or a window that is no range.
    """
    xs, ys, marks, reps = _checked(lags, norm, valid, replicates)
    if not 0 < level < 1:
        raise InputError(f"level: needs a number in (0, 1), got {level:g}")
    if window is not None and not window[0] <= window[1]:
        raise InputError(f"window: needs low <= high, got {window[0]:g}..{window[1]:g}")
    fitted = METHOD.format(quantity)
    has_log = np.isfinite(ys) & (ys > 0)
    allowed = xs <= (math.inf if longest is None else longest[0])
    automatic = scaling_window(xs[allowed], marks[allowed], ~has_log[allowed])
    chosen = automatic if window is None else window
    if chosen is None:
        reason = "no lag stands clear of the noise floor"
        if longest is not None and np.any(marks & ~allowed):
            reason += f" up to lag {longest[0]:g}; {longest[1]}"
        return Exponent.refused(reason, method=fitted, level=level)
    noise = None if floor is None else np.asarray(floor, dtype=np.float64)
    if noise is not None and noise.shape != xs.shape:
        raise InputError(f"floor: needs one value per lag, got shape {noise.shape}")
    everything = DecayCurve(xs, ys, reps, noise, marks, level).where(has_log)
    whole = everything.within(*chosen)
    if len(whole.lags) < 2:
        return Exponent.refused(
            f"{len(whole.lags)} lag(s) with a positive norm in the window "
            f"{chosen[0]:g}..{chosen[1]:g}, {min_points} needed",
            method=fitted,
            level=level,
        )

    broken = broken_power_law(whole.lags, whole.norm, whole.smooth_weights)
    if broken is not None and broken.delta_bic <= _DECISIVE_BIC:
        broken = None
    headline = whole
    cut: float | None = None
    if broken is not None and window is None and broken.second < broken.first:
        cut = _late_stage_start(whole)
        if cut is not None:
            headline = whole.within(whole.lags[0], cut)
    low, high, _ = headline.interval(headline.weights)
    span = (float(headline.lags[0]), float(headline.lags[-1]))

    method = [fitted]
    if window is not None:
        method.append("window as given")
    if broken is not None and cut is not None:
        method.append(
            f"{FIRST_STAGE}: from lag {cut:g} on another power law holds (a broken law is better "
            f"by {broken.delta_bic:.0f} in BIC)"
        )
    # Whether a longer window could have been had but for `longest`.
    shortened = (
        window is None
        and longest is not None
        and bool(np.any(marks & ~allowed))
        and chosen[1] == xs[allowed][-1]
    )
    if shortened and longest is not None:
        method.append(f"lags beyond {longest[0]:g} left out: {longest[1]}")
    kept = int(np.sum(~headline.valid))
    if kept > 0:
        method.append(f"{kept} lag(s) under the validity threshold inside the window kept")
    peaks = local_peaks(whole)
    if peaks:
        method.append(
            "local peak at lag " + ", ".join(f"{t} ({100 * excess:+.0f} %)" for t, excess in peaks)
        )
    if low is not None:
        method.append("percentile interval of document-bootstrap replicates, window fixed")

    jackknife = None
    if left_out is not None:
        folds = np.asarray(left_out, dtype=np.float64)
        if folds.ndim != 2 or folds.shape[1] != len(xs):
            raise InputError(f"left_out: needs shape (n, {len(xs)}), got {folds.shape}")
        inside = has_log & (xs >= span[0]) & (xs <= span[1])
        jackknife = document_jackknife(headline, folds[:, inside], headline.bootstrap_error)
        ratio = None if jackknife is None else jackknife["ratio"]
        if ratio is not None and ratio > _WIDE_JACKKNIFE:
            method.append(
                f"the {DOCUMENT_JACKKNIFE}'s error is {ratio:.1f} times the bootstrap's: the "
                "interval may be too narrow"
            )

    reasons = _reasons(headline, min_points)
    absent = int(np.sum(~has_log & (xs >= span[0]) & (xs <= span[1])))
    if absent:
        reasons.append(f"{absent} lag(s) inside the window have no positive norm")
    if reasons and shortened and longest is not None and span[1] == chosen[1]:
        reasons.append(f"lags beyond {longest[0]:g} are left out, as {longest[1]}")
    found = [
        *_stages(whole, headline, broken, cut, min_points),
        window_range(whole, headline),
        *_alternatives(everything, headline, automatic, window),
        without_peaks(headline, [p for p in peaks if span[0] <= p[0] <= span[1]]),
        lag_jackknife(headline),
        jackknife,
    ]
    return Exponent(
        value=headline.fit.exponent,
        low=low,
        high=high,
        level=level,
        window=span,
        points=len(headline.lags),
        method="; ".join(method),
        reportable=not reasons,
        reason="; ".join(reasons) or None,
        weights=headline.weights,
        alternatives=tuple(entry for entry in found if entry is not None),
    )


def replicate_exponents(
    fitted: Exponent, lags: ArrayLike, norm: ArrayLike, replicates: ArrayLike
) -> Floats:
    """The exponent of every replicate of a curve, in the window and with the weights of its fit.

    Parameters
    ----------
    fitted : Exponent
        What `beta_exponent` made of the curve.
    lags : (n,) integers
    norm : (n,) float64
    replicates : (n_rep, n) float64
        Of the norms.

    Returns
    -------
    (n_rep,) float64
        In the order of the replicates; NaN where a norm in the window is not positive, and
        everywhere if there was no fit or lags without a norm lie in its window.
    """
    xs, ys, reps = (np.asarray(a, dtype=np.float64) for a in (lags, norm, replicates))
    if reps.ndim != 2 or reps.shape[1] != len(xs):
        raise InputError(f"replicates: needs shape (n, {len(xs)}), got {reps.shape}")
    nothing: Floats = np.full(len(reps), np.nan)
    if fitted.window is None or fitted.weights is None:
        return nothing
    inside = (xs >= fitted.window[0]) & (xs <= fitted.window[1])
    if int(inside.sum()) != len(fitted.weights):
        return nothing
    curve = DecayCurve(xs[inside], ys[inside], reps[:, inside], None, inside[inside], fitted.level)
    return curve.replicate_exponents(np.asarray(fitted.weights))


def _late_stage_start(curve: DecayCurve) -> float | None:
    """First lag of the longest tail that is one power law over a decade; None if that is all."""
    # Noise of size r = floor / norm lifts the norm by about r^2 / 2.
    lifted = 0.0 if curve.floor is None else (curve.floor / curve.norm) ** 2 / 2
    # A tail is one stage while no lag strays from its power law by more than three standard errors
    # or the ripple.
    allowed = np.maximum(3 * curve.errors, MODEL_MISFIT) + lifted
    last = float(curve.lags[-1])
    for j, start in enumerate(curve.lags.tolist()):
        if len(curve.lags) - j < _MIN_STAGE_POINTS or last < MIN_RATIO * start:
            return None
        tail = power_law(curve.lags[j:], curve.norm[j:], curve.smooth_weights[j:])
        if np.all(np.abs(tail.residuals) <= allowed[j:]):
            return start if j > 0 else None
    return None


def _checked(
    lags: ArrayLike, norm: ArrayLike, valid: ArrayLike, replicates: ArrayLike | None
) -> tuple[Floats, Floats, NDArray[np.bool_], Floats | None]:
    xs = np.asarray(lags, dtype=np.float64)
    ys = np.asarray(norm, dtype=np.float64)
    marks = np.asarray(valid)
    if marks.dtype != np.bool_:
        raise InputError(f"valid: needs bool, got {marks.dtype}")
    if xs.ndim != 1 or ys.shape != xs.shape or marks.shape != xs.shape:
        raise InputError(
            f"lags, norm and valid need one length, got {xs.shape}, {ys.shape}, {marks.shape}"
        )
    if np.any(xs < 1) or np.any(np.diff(xs) <= 0):
        raise InputError("lags: must be increasing and at least 1")
    if replicates is None:
        return xs, ys, marks, None
    reps = np.asarray(replicates, dtype=np.float64)
    if reps.ndim != 2 or reps.shape[1] != len(xs):
        raise InputError(f"replicates: needs shape (n, {len(xs)}), got {reps.shape}")
    return xs, ys, marks, reps


def _reasons(curve: DecayCurve, min_points: int) -> list[str]:
    """Why this curve in this window is no measured power law."""
    fit, weights = curve.fit, curve.smooth_weights
    low, high, usable = curve.interval(curve.weights)
    reasons = []
    valid = int(np.sum(curve.valid))
    if valid < min_points:
        reasons.append(
            f"{valid} valid lag(s) in the window {curve.lags[0]:g}..{curve.lags[-1]:g}, "
            f"{min_points} needed"
        )
    ratio = float(curve.lags[-1] / curve.lags[0])
    if ratio < MIN_RATIO:
        reasons.append(
            f"the window {curve.lags[0]:g}..{curve.lags[-1]:g} spans "
            f"{math.log10(ratio):.2f} decades, 1 needed"
        )
    if fit.r2 < _MIN_R2:
        reasons.append(f"a power law explains R^2 = {fit.r2:.2f} of the decay, {_MIN_R2} needed")
    if len(curve.lags) >= 3:
        power = power_law(curve.lags, curve.norm, weights)
        advantage = power.bic - exponential_law_bic(curve.lags, curve.norm, weights)
        if advantage > _DECISIVE_BIC:
            reasons.append(
                f"not a power law: exponential decay fits better (BIC by {advantage:.0f})"
            )
    if high is not None and high <= 0:
        reasons.append("the norm rises over the window")
    elif fit.exponent <= 0:
        reasons.append("the norm does not fall over the window")
    return reasons + _interval_reasons(curve.replicates, usable, low, high, curve.level)


def _interval_reasons(
    replicates: Floats | None,
    usable: float,
    low: float | None,
    high: float | None,
    level: float,
) -> list[str]:
    """Why there is no interval to report, or why it does not exclude zero."""
    if replicates is None or len(replicates) == 0:
        return ["no bootstrap replicates, so no interval"]
    reasons = []
    needed = needed_replicates(level)
    if len(replicates) < needed:
        reasons.append(
            f"{len(replicates)} bootstrap replicates, {needed} needed for {100 * level:g}%"
        )
    if usable < _MIN_USABLE:
        reasons.append(
            f"only {100 * usable:.0f}% of the bootstrap replicates have positive norms "
            "in the whole window"
        )
    if low is not None and high is not None and low <= 0 < high:
        reasons.append("the interval includes zero")
    return reasons


def _stages(
    whole: DecayCurve,
    headline: DecayCurve,
    broken: BrokenPowerLaw | None,
    cut: float | None,
    min_points: int,
) -> list[dict[str, Any] | None]:
    """Both stages of a broken decay, or what a break would have given, and the single law."""
    if broken is None:
        return []
    first, last = float(whole.lags[0]), float(whole.lags[-1])
    if cut is None:
        before = whole.within(first, broken.break_at).alternative("before the best break")
        after = whole.within(broken.break_at, last).alternative("after the best break")
        return [before, None if after is None else after | {"delta_bic": broken.delta_bic}]
    found: list[dict[str, Any] | None] = []
    for name, stage in ((FIRST_STAGE, headline), (SECOND_STAGE, whole.within(cut, last))):
        entry = stage.alternative(name)
        if entry is not None:
            why = "; ".join(_reasons(stage, min_points)) or None
            entry |= {"delta_bic": broken.delta_bic, "reportable": why is None, "reason": why}
        found.append(entry)
    found.append(break_range(whole, headline, min(broken.break_at, cut)))
    found.append(whole.alternative("single power law over the whole valid window"))
    return found


def _alternatives(
    everything: DecayCurve,
    headline: DecayCurve,
    automatic: tuple[int, int] | None,
    given: tuple[float, float] | None,
) -> list[dict[str, Any] | None]:
    """Other windows and weights."""
    found: list[dict[str, Any] | None] = []
    if given is not None and automatic is not None:
        found.append(
            everything.within(*automatic).alternative("single power law, automatic window")
        )
    low, high = float(headline.lags[0]), float(headline.lags[-1])
    if np.ptp(headline.weights) > 0:
        found.append(headline.alternative("equal weights, as in the paper", equal_weights=True))
    half = headline.within(low, math.sqrt(low * high))
    if 3 <= len(half.lags) < len(headline.lags):
        found.append(half.alternative("first half of the window (in log lag)"))
    paper = everything.within(*_PAPER_WINDOW)
    covered = len(paper.lags) >= 3 and everything.lags[-1] >= _PAPER_WINDOW[1]
    if covered and (low, high) != (paper.lags[0], paper.lags[-1]):
        found.append(
            paper.alternative(
                "the paper's window on WikiText-103, lags 1..32, equal weights", equal_weights=True
            )
        )
    return found
