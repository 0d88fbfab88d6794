"""beta, the decay exponent of the token covariance: ``||C(t)|| ~ t**-beta``.

Cagnetta et al. 2026, eq. 29. The window depends only on the validity of the lags, a second stage of
the decay is split off where the data demand it, and the results of all other choices are kept in
`Exponent.alternatives`.

Lags are weighted by their precision: ``1 / (error^2 + scatter^2)``, with the relative errors of the
norms from the replicates and the scatter of the curve about the law, at least MODEL_MISFIT. With
equal weights the last, weakest lags decide, and with the errors alone the first two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.criteria import DECISIVE_BIC, MIN_SPAN
from ngramstat.exponents.decay_curve import MODEL_MISFIT, DecayCurve, MeasuredDecay, TotalInterval
from ngramstat.exponents.decay_sensitivity import (
    break_range,
    document_jackknife,
    lag_jackknife,
    local_peaks,
    window_range,
    without_peaks,
)
from ngramstat.exponents.decay_verdict import lag_choice_reason, reasons_not_to_report
from ngramstat.exponents.distributions import normal_quantile, normal_scores
from ngramstat.exponents.fit import BrokenPowerLaw, broken_power_law, power_law
from ngramstat.exponents.intervals import percentile_interval
from ngramstat.results import Alternative, AlternativeKind, Exponent, IntervalParts

__all__ = [
    "METHOD",
    "beta_exponent",
    "replicate_exponents",
    "scaling_window",
]

METHOD = "least squares of log {} on log lag, weighted by errors and scatter"

Floats = NDArray[np.float64]

_MIN_STAGE_POINTS = 4
# The paper's own window on WikiText-103 and for the first stage of TinyStories.
_PAPER_WINDOW = (1, 32)
# The error of a jackknife over 16 folds has a relative error of a fifth, so a ratio to the error of
# the bootstrap above this one is not chance.
_WIDE_JACKKNIFE = 1.5
# Of the order of the deviations that stand for the choice of lags in the replicates.
_LAG_SEED = 11


def scaling_window(
    lags: ArrayLike, valid: ArrayLike, missing: ArrayLike | None = None
) -> tuple[int, int] | None:
    """Range of lags whose norms exceed the noise floor, from their validity alone.

    From the first valid lag to the last valid one before the first run of three or more
    consecutive invalid lags (two with fewer than 12 lags, one with fewer than 8). Single invalid
    lags inside the range are used: leaving out the low points of a noisy curve would flatten it. A
    lag without a norm cannot be used, and therefore ends the window.

    Parameters
    ----------
    lags : (n,) integers
        Increasing.
    valid : (n,) bool
        Whether each norm exceeds its noise floor.
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
    decay: MeasuredDecay,
    *,
    window: tuple[float, float] | None = None,
    level: float = 0.95,
    min_points: int = 4,
    quantity: str = "norm",
    longest: tuple[float, str] | None = None,
) -> Exponent:
    """Fit ``norm ~ lag**-beta`` and decide whether the exponent can be reported.

    The window is `scaling_window`, or the given one. Natural text decays in two stages: a steep one
    over tens of tokens, and a slow one where topics dominate. In the automatic window a second
    stage is split off where (a) a broken power law beats the single one by more than 10 in BIC with
    a slower second slope, and (b) some tail of a decade or more follows one power law to within its
    own noise. The headline is then the part before the longest such tail. The hinge of the broken
    law is not used as the border: where the first stage is rough, the best hinge follows the
    roughness of the first few lags and not the end of the stage.

    Both stages are among the alternatives, each with value, interval, window, points and its own
    `reportable` and `reason`, and so is the single law.

    The interval is the total of two parts in quadrature: the sampling error over documents in that
    window (every replicate is fitted with the weights of the headline; the jackknife over documents
    where it is wider), and what leaving out single lags changes beyond their sampling errors.
    Beside them `parts` holds the range over all windows of a decade or more. Other choices are
    among the alternatives: the break moved, equal weights. Local peaks are named in the method.

    Parameters
    ----------
    decay : MeasuredDecay
        The automatic window ends before the first norm without a logarithm. Noise raises a norm
        by about floor^2 / (2 norm) where a floor is given, which does not count as a second stage.
    window : (low, high), optional
        First and last lag to use, inclusive. It is used as given, but the gates still apply: a
        window that holds a norm without a logarithm is not reportable.
    level : float
        Confidence level of the interval.
    min_points : int
        Minimum number of valid lags in the window.
    quantity : str
        What `norm` is called in the method.
    longest : (lag, str), optional
        Largest lag of the automatic window, and what is wrong with larger ones.

    Returns
    -------
    Exponent
        Not reportable, with the reason, if: fewer than `min_points` valid lags; window under one
        decade; R^2 < 0.7; an exponential fits better by more than 10 in BIC; the halves of the
        window disagree, or one of them does not fall; no (or too few) replicates; an interval that
        reaches zero or farther than MAX_HALF_WIDTH; or a choice of lags that changes it by more.

    Raises
    ------
    InputError
        For a level outside (0, 1), or a window whose low end is above its high end.
    """
    if not 0 < level < 1:
        raise InputError(f"level: needs a number in (0, 1), got {level:g}")
    if window is not None and not window[0] <= window[1]:
        raise InputError(f"window: needs low <= high, got {window[0]:g}..{window[1]:g}")
    fit_method = METHOD.format(quantity)
    selection = _select_window(decay, window, longest)
    if selection is None:
        return Exponent.refused(_no_valid_lag(decay, longest), method=fit_method, level=level)
    selected = decay.curve(level).within(*selection.window)
    if len(selected.lags) < 2:
        return Exponent.refused(
            f"{len(selected.lags)} lag(s) with a positive norm in the window "
            f"{selection.window[0]:g}..{selection.window[1]:g}, {min_points} needed",
            method=fit_method,
            level=level,
        )
    stages = _split_stages(selected, may_split=not selection.is_given)
    return _assessed_fit(decay, selection, stages, fit_method, min_points)


def _assessed_fit(
    decay: MeasuredDecay, selection: _Selection, stages: _Stages, fit_method: str, min_points: int
) -> Exponent:
    """The exponent of the headline's window, with its alternatives and reasons not to report it."""
    selected, headline = stages.selected, stages.headline
    total = headline.interval(headline.weights)
    value = headline.fit.exponent
    peaks = local_peaks(selected)
    jackknife = document_jackknife(headline)
    windows = window_range(selected, headline)
    found = [
        *_stage_alternatives(stages, min_points),
        windows,
        *_other_windows(decay.curve(headline.level), headline, selection),
        without_peaks(headline, [peak for peak in peaks if _in_window(headline, peak[0])]),
        lag_jackknife(headline),
        jackknife,
    ]
    alternatives = tuple(entry for entry in found if entry is not None)
    method = [
        fit_method,
        *_window_notes(selection, stages),
        *_point_notes(headline, peaks),
        *_interval_notes(total, jackknife),
    ]
    reasons = reasons_not_to_report(headline, min_points) + _missing_lags(decay, headline)
    by_lags = lag_choice_reason(value, alternatives)
    if by_lags is not None:
        reasons.append(by_lags)
    if reasons and selection.shortened_by and headline.lags[-1] == selection.window[1]:
        reasons.append("lags beyond {:g} are left out, as {}".format(*selection.shortened_by))
    of_windows = None
    if windows is not None and windows.low is not None and windows.high is not None:
        of_windows = (windows.low, windows.high)
    return Exponent(
        value=value,
        low=total.low,
        high=total.high,
        level=headline.level,
        window=(float(headline.lags[0]), float(headline.lags[-1])),
        points=len(headline.lags),
        method="; ".join(method),
        reportable=not reasons,
        reason="; ".join(reasons) or None,
        weights=headline.weights,
        parts=IntervalParts(documents=total.documents, lags=total.lags, window=of_windows),
        alternatives=alternatives,
    )


def replicate_exponents(
    fitted: Exponent, lags: ArrayLike, norm: ArrayLike, replicates: ArrayLike
) -> Floats:
    """The exponent of every replicate of a curve, in the window and with the weights of its fit.

    Its spread is that of the total interval. The deviations of a replicate, which it shares with
    other exponents of the same resampling, are stretched to the part of the documents; an
    independent normal deviation of each, always the same one, adds the part of the lags.

    Parameters
    ----------
    fitted : Exponent
        The result of `beta_exponent` for this curve.
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
    without_fit: Floats = np.full(len(reps), np.nan)
    if fitted.window is None or fitted.weights is None:
        return without_fit
    inside = (xs >= fitted.window[0]) & (xs <= fitted.window[1])
    if int(inside.sum()) != len(fitted.weights):
        return without_fit
    curve = DecayCurve(xs[inside], ys[inside], reps[:, inside], None, inside[inside], fitted.level)
    exponents = curve.replicate_exponents(np.asarray(fitted.weights))
    return exponents if fitted.parts is None else _with_total_spread(exponents, fitted)


def _with_total_spread(exponents: Floats, fitted: Exponent) -> Floats:
    """Replicates of the exponent whose percentiles are its total interval."""
    value, parts = fitted.value, fitted.parts
    if value is None or parts is None or not np.isfinite(exponents).any():
        return exponents
    spread = exponents - value
    if parts.documents is not None:
        low, high = percentile_interval(spread, fitted.level)
        for side, edge, measured_edge in (
            (spread < 0, low, parts.documents[0] - value),
            (spread > 0, high, parts.documents[1] - value),
        ):
            if edge * measured_edge > 0:
                spread[side] *= measured_edge / edge
    if parts.lags is not None:
        normal = normal_scores(len(spread))
        deviations = np.random.default_rng(_LAG_SEED).permutation(normal)
        error = (parts.lags[1] - value) / normal_quantile(fitted.level)
        spread += error * deviations
    return value + spread


# --- the window ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Selection:
    """The window of lags, before a second stage is split off.

    `shortened_by` is `longest` (lag, reason) where the automatic window would reach farther
    without it.
    """

    window: tuple[float, float]
    automatic: tuple[int, int] | None
    is_given: bool
    shortened_by: tuple[float, str] | None


def _select_window(
    decay: MeasuredDecay,
    window: tuple[float, float] | None,
    longest: tuple[float, str] | None,
) -> _Selection | None:
    """The given window, else `scaling_window` up to the longest lag; None if no lag is valid."""
    allowed = decay.lags <= (math.inf if longest is None else longest[0])
    automatic = scaling_window(decay.lags[allowed], decay.valid[allowed], ~decay.has_log[allowed])
    if window is not None:
        return _Selection(window, automatic, True, None)
    if automatic is None:
        return None
    shortened = bool(np.any(decay.valid & ~allowed)) and automatic[1] == decay.lags[allowed][-1]
    return _Selection(automatic, automatic, False, longest if shortened else None)


def _no_valid_lag(decay: MeasuredDecay, longest: tuple[float, str] | None) -> str:
    reason = "no lag exceeds the noise floor"
    if longest is not None and np.any(decay.valid & (decay.lags > longest[0])):
        reason += f" up to lag {longest[0]:g}; {longest[1]}"
    return reason


# --- two stages ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stages:
    """The valid window and its headline, which is all of it unless a second stage was split off.

    `broken` is the broken power law where it is decisively better than the single one;
    `second_start` is the first lag of the second stage where one was split off.
    """

    selected: DecayCurve
    headline: DecayCurve
    broken: BrokenPowerLaw | None
    second_start: float | None


def _split_stages(selected: DecayCurve, *, may_split: bool) -> _Stages:
    broken = broken_power_law(selected.lags, selected.norm, selected.smooth_weights)
    if broken is None or broken.delta_bic <= DECISIVE_BIC:
        return _Stages(selected, selected, None, None)
    start = _late_stage_start(selected) if may_split and broken.second < broken.first else None
    headline = selected if start is None else selected.within(selected.lags[0], start)
    return _Stages(selected, headline, broken, start)


def _late_stage_start(curve: DecayCurve) -> float | None:
    """First lag of the longest tail that is one power law over a decade; None if that is all."""
    # Noise of size r = floor / norm raises the norm by about r^2 / 2.
    raised = 0.0 if curve.floor is None else (curve.floor / curve.norm) ** 2 / 2
    # A tail is one stage if no lag deviates from its power law by more than three standard errors
    # or MODEL_MISFIT.
    allowed = np.maximum(3 * curve.errors, MODEL_MISFIT) + raised
    last = float(curve.lags[-1])
    for j, start in enumerate(curve.lags.tolist()):
        if len(curve.lags) - j < _MIN_STAGE_POINTS or last < MIN_SPAN * start:
            return None
        tail = power_law(curve.lags[j:], curve.norm[j:], curve.smooth_weights[j:])
        if np.all(np.abs(tail.residuals) <= allowed[j:]):
            return start if j > 0 else None
    return None


# --- what the method says ---------------------------------------------------------------------


def _window_notes(selection: _Selection, stages: _Stages) -> Iterator[str]:
    """How the window was chosen."""
    if selection.is_given:
        yield "window as given"
    if stages.broken is not None and stages.second_start is not None:
        yield (
            f"first stage: from lag {stages.second_start:g} on another power law holds (a broken "
            f"law is better by {stages.broken.delta_bic:.0f} in BIC)"
        )
    if selection.shortened_by is not None:
        yield "lags beyond {:g} left out: {}".format(*selection.shortened_by)


def _point_notes(headline: DecayCurve, peaks: list[tuple[int, float]]) -> Iterator[str]:
    """Lags that a reader may want to leave out."""
    invalid = int(np.sum(~headline.valid))
    if invalid > 0:
        yield f"{invalid} lag(s) under the validity threshold inside the window are used"
    if peaks:
        yield "local peak at lag " + ", ".join(
            f"{lag} ({100 * excess:+.0f} %)" for lag, excess in peaks
        )


def _interval_notes(total: TotalInterval, jackknife: Alternative | None) -> Iterator[str]:
    """What the interval consists of, and whether the document jackknife supports the bootstrap."""
    if total.low is not None:
        yield (
            "interval: resampled documents in quadrature with what leaving out single lags changes "
            "beyond sampling, window fixed"
        )
    ratio = None if jackknife is None else jackknife.extra["ratio"]
    if ratio is not None and ratio > _WIDE_JACKKNIFE:
        yield (
            f"the document jackknife's error is {ratio:.1f} times the bootstrap's: resampling "
            "documents alone would understate it"
        )


# --- whether it can be reported ---------------------------------------------------------------


def _in_window(curve: DecayCurve, lag: float) -> bool:
    return bool(curve.lags[0] <= lag <= curve.lags[-1])


def _missing_lags(decay: MeasuredDecay, headline: DecayCurve) -> list[str]:
    """Whether lags inside the window have no norm that can be fitted."""
    inside = (decay.lags >= headline.lags[0]) & (decay.lags <= headline.lags[-1])
    absent = int(np.sum(~decay.has_log & inside))
    return [f"{absent} lag(s) inside the window have no positive norm"] if absent else []


# --- the alternatives -------------------------------------------------------------------------


def _stage_alternatives(stages: _Stages, min_points: int) -> list[Alternative | None]:
    """Both stages of a broken decay, or the sides of a break not split off, and the single law."""
    selected, broken, start = stages.selected, stages.broken, stages.second_start
    if broken is None:
        return []
    first, last = float(selected.lags[0]), float(selected.lags[-1])
    delta_bic = {"delta_bic": broken.delta_bic}
    if start is None:
        before = selected.within(first, broken.break_at)
        after = selected.within(broken.break_at, last)
        return [
            before.alternative(AlternativeKind.BEFORE_BREAK, "before the best break"),
            after.alternative(AlternativeKind.AFTER_BREAK, "after the best break", extra=delta_bic),
        ]

    def stage(kind: AlternativeKind, method: str, curve: DecayCurve) -> Alternative | None:
        why = "; ".join(reasons_not_to_report(curve, min_points)) or None
        return curve.alternative(
            kind, method, extra=delta_bic | {"reportable": why is None, "reason": why}
        )

    return [
        stage(AlternativeKind.FIRST_STAGE, "first stage", stages.headline),
        stage(AlternativeKind.SECOND_STAGE, "second stage", selected.within(start, last)),
        break_range(selected, stages.headline, min(broken.break_at, start)),
        selected.alternative(
            AlternativeKind.SINGLE_LAW, "single power law over the whole valid window"
        ),
    ]


def _other_windows(
    measured: DecayCurve, headline: DecayCurve, selection: _Selection
) -> list[Alternative | None]:
    """Other windows and weights."""
    alternatives: list[Alternative | None] = []
    if selection.is_given and selection.automatic is not None:
        alternatives.append(
            measured.within(*selection.automatic).alternative(
                AlternativeKind.AUTOMATIC_WINDOW, "single power law, automatic window"
            )
        )
    low, high = float(headline.lags[0]), float(headline.lags[-1])
    if np.ptp(headline.weights) > 0:
        alternatives.append(
            headline.alternative(
                AlternativeKind.EQUAL_WEIGHTS, "equal weights, as in the paper", equal_weights=True
            )
        )
    half = headline.within(low, math.sqrt(low * high))
    if 3 <= len(half.lags) < len(headline.lags):
        alternatives.append(
            half.alternative(AlternativeKind.HALF_WINDOW, "first half of the window (in log lag)")
        )
    paper = measured.within(*_PAPER_WINDOW)
    covered = len(paper.lags) >= 3 and measured.lags[-1] >= _PAPER_WINDOW[1]
    if covered and (low, high) != (paper.lags[0], paper.lags[-1]):
        alternatives.append(
            paper.alternative(
                AlternativeKind.PAPER_WINDOW,
                "the paper's window on WikiText-103, lags 1..32, equal weights",
                equal_weights=True,
            )
        )
    return alternatives
