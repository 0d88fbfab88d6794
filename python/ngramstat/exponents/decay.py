"""beta, the decay exponent of the token covariance: ``||C(t)|| ~ t**-beta``.

Cagnetta et al. 2026, eq. 29. The window is chosen from the validity of the lags alone, a second
stage of the decay is split off where the data insist on it, and everything that could have been
chosen otherwise is kept in `Exponent.alternatives`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.bootstrap import needed_replicates, percentile_interval
from ngramstat.exponents.fit import (
    BrokenPowerLaw,
    PowerLaw,
    broken_power_law,
    exponential_law_bic,
    power_law,
    slope_weights,
)
from ngramstat.results import Exponent

__all__ = ["BREAK_RANGE", "JACKKNIFE", "beta_exponent", "scaling_window"]

# Names of the alternatives that say how much the choice of points moves the exponent.
JACKKNIFE = "leave-one-lag-out jackknife interval"
BREAK_RANGE = "range over where the first stage may end"

Floats = NDArray[np.float64]

# A window shorter than a decade cannot tell a power law from anything else that falls.
_LEAST_RATIO = 10.0
_LEAST_R2 = 0.7
# "Very strong" evidence on the usual scale of BIC differences.
_DECISIVE_BIC = 10.0
# A tail is one stage while no lag strays from its power law by more than three standard errors, or
# by this share where the corpus is so large that every ripple is significant.
_RIPPLE = 0.05
_LEAST_STAGE_POINTS = 4
# The paper's own window on WikiText-103 and TinyStories' first stage.
_PAPER_WINDOW = (1, 32)
# Share of replicates that must allow a fit; below it the interval would be that of a selection.
_LEAST_USABLE = 0.9


@dataclass(frozen=True)
class _Curve:
    """The measured curve at the lags whose norm has a logarithm."""

    lags: Floats
    norm: Floats
    replicates: Floats | None
    floor: Floats | None
    level: float

    def within(self, low: float, high: float) -> _Curve:
        return self.where((self.lags >= low) & (self.lags <= high))

    def where(self, kept: NDArray[np.bool_]) -> _Curve:
        return _Curve(
            self.lags[kept],
            self.norm[kept],
            None if self.replicates is None else self.replicates[:, kept],
            None if self.floor is None else self.floor[kept],
            self.level,
        )

    def interval(self) -> tuple[float | None, float | None, float]:
        """Percentile interval of the exponent in this window, and the share of usable replicates.

        The slope is linear in the log norms, so all replicates are fitted by one product.
        """
        if self.replicates is None or len(self.replicates) == 0 or len(self.lags) < 2:
            return None, None, 0.0
        usable = np.all(np.isfinite(self.replicates) & (self.replicates > 0), axis=1)
        share = float(usable.mean())
        if not usable.any():
            return None, None, share
        exponents = -np.log(self.replicates[usable]) @ slope_weights(np.log(self.lags))
        low, high = percentile_interval(exponents, self.level)
        return low, high, share

    def alternative(self, method: str) -> dict[str, Any] | None:
        """This window's fit as an entry of `Exponent.alternatives`."""
        if len(self.lags) < 2:
            return None
        fit = power_law(self.lags, self.norm)
        low, high, _ = self.interval()
        return {
            "method": method,
            "value": fit.exponent,
            "low": low,
            "high": high,
            "window": [float(self.lags[0]), float(self.lags[-1])],
            "points": len(self.lags),
            "r2": fit.r2,
        }


def scaling_window(lags: ArrayLike, valid: ArrayLike) -> tuple[int, int] | None:
    """Range of lags whose norms stand clear of the noise, from their validity alone.

    From the first valid lag to the last valid one before the first run of three or more
    consecutive invalid lags (two with fewer than 12 lags, one with fewer than 8). Single invalid
    lags inside are kept: leaving out the low points of a noisy curve would flatten it.

    Parameters
    ----------
    lags : (n,) integers
        Increasing.
    valid : (n,) bool
        Whether each norm stands clear of its floor.

    Returns
    -------
    (int, int) or None
        First and last lag, inclusive; None if no lag is valid.
    """
    marks = np.asarray(valid, dtype=bool)
    points = np.asarray(lags)
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
            if run == run_length:
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
) -> Exponent:
    """Fit ``norm ~ lag**-beta`` and say whether the answer can be reported.

    The window is `scaling_window`, or the one given. Natural text decays in two stages: a steep one
    over tens of tokens, and a slow one where topics take over. In the automatic window a second
    stage is split off where (a) a broken power law beats the single one by more than 10 in BIC with
    a slower second slope, and (b) some tail of a decade or more follows one power law to within its
    own noise. The headline is then the part before the longest such
    tail; tail and single law become alternatives. A hinge alone does not place the break: where the
    first stage is rough it prefers the roughness of the first few lags to the end of the stage.

    The interval is the sampling error over documents in that window. How much the choice of lags
    moves the exponent is often more, and stands in the alternatives: other windows, leaving out
    single lags, moving the break.

    Parameters
    ----------
    lags : (n,) integers
        Increasing, at least 1, in tokens.
    norm : (n,) float64
        ||C(t)||. Norms that are zero, negative or NaN have no logarithm and are left out.
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
    fitted = f"OLS of log {quantity} on log lag"
    automatic = scaling_window(xs, marks)
    chosen = automatic if window is None else window
    if chosen is None:
        return Exponent.refused(
            "no lag stands clear of the noise floor", method=fitted, level=level
        )
    has_log = np.isfinite(ys) & (ys > 0)
    noise = None if floor is None else np.asarray(floor, dtype=np.float64)
    if noise is not None and noise.shape != xs.shape:
        raise InputError(f"floor: needs one value per lag, got shape {noise.shape}")
    everything = _Curve(xs, ys, reps, noise, level).where(has_log)
    whole = everything.within(*chosen)
    if len(whole.lags) < 2:
        return Exponent.refused(
            f"{len(whole.lags)} lag(s) with a positive norm in the window "
            f"{chosen[0]:g}..{chosen[1]:g}, {min_points} needed",
            method=fitted,
            level=level,
        )

    broken = broken_power_law(whole.lags, whole.norm)
    if broken is not None and broken.delta_bic <= _DECISIVE_BIC:
        broken = None
    headline = whole
    cut: float | None = None
    if broken is not None and window is None and broken.second < broken.first:
        cut = _late_stage_start(whole)
        if cut is not None:
            headline = whole.within(whole.lags[0], cut)
    fit = power_law(headline.lags, headline.norm)
    low, high, usable = headline.interval()
    span = (float(headline.lags[0]), float(headline.lags[-1]))
    valid_inside = int(np.sum(marks & has_log & (xs >= span[0]) & (xs <= span[1])))

    method = [fitted]
    if window is not None:
        method.append("window as given")
    if broken is not None and cut is not None:
        method.append(
            f"first stage: from lag {cut:g} on another power law holds (a broken law is better "
            f"by {broken.delta_bic:.0f} in BIC)"
        )
    kept = len(headline.lags) - valid_inside
    if kept > 0:
        method.append(f"{kept} lag(s) under the validity threshold inside the window kept")
    dropped = int(np.sum(~has_log & (xs >= span[0]) & (xs <= span[1])))
    if dropped:
        method.append(f"{dropped} lag(s) without a positive norm left out")
    if low is not None:
        method.append("percentile interval of document-bootstrap replicates, window fixed")

    reasons = [
        *_shape_reasons(headline, fit, valid_inside, min_points),
        *_interval_reasons(reps, usable, low, level),
    ]
    others = _alternatives(everything, whole, headline, broken, cut, automatic, window)
    return Exponent(
        value=fit.exponent,
        low=low,
        high=high,
        level=level,
        window=span,
        points=len(headline.lags),
        method="; ".join(method),
        reportable=not reasons,
        reason="; ".join(reasons) or None,
        alternatives=tuple(others),
    )


def _late_stage_start(curve: _Curve) -> float | None:
    """First lag of the longest tail that is one power law over a decade; None if that is all."""
    errors = np.zeros(len(curve.lags))
    if curve.replicates is not None and len(curve.replicates) > 1:
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.log(curve.replicates).std(axis=0, ddof=1)
        errors = np.where(np.isfinite(spread), spread, 0.0)
    # Noise of size r = floor / norm lifts the norm by about r^2 / 2.
    lifted = 0.0 if curve.floor is None else (curve.floor / curve.norm) ** 2 / 2
    allowed = np.maximum(3 * errors, _RIPPLE) + lifted
    last = float(curve.lags[-1])
    for j, start in enumerate(curve.lags.tolist()):
        if len(curve.lags) - j < _LEAST_STAGE_POINTS or last < _LEAST_RATIO * start:
            return None
        tail = power_law(curve.lags[j:], curve.norm[j:])
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


def _shape_reasons(curve: _Curve, fit: PowerLaw, valid_inside: int, min_points: int) -> list[str]:
    """Why this curve in this window is no measured power law."""
    reasons = []
    if valid_inside < min_points or len(curve.lags) < min_points:
        reasons.append(
            f"{valid_inside} valid lag(s) in the window "
            f"{curve.lags[0]:g}..{curve.lags[-1]:g}, {min_points} needed"
        )
    ratio = float(curve.lags[-1] / curve.lags[0])
    if ratio < _LEAST_RATIO:
        reasons.append(
            f"the window {curve.lags[0]:g}..{curve.lags[-1]:g} spans "
            f"{math.log10(ratio):.2f} decades, 1 needed"
        )
    if fit.r2 < _LEAST_R2:
        reasons.append(f"a power law explains R^2 = {fit.r2:.2f} of the decay, {_LEAST_R2} needed")
    if len(curve.lags) >= 3:
        advantage = fit.bic - exponential_law_bic(curve.lags, curve.norm)
        if advantage > _DECISIVE_BIC:
            reasons.append(
                f"not a power law: exponential decay fits better (BIC by {advantage:.0f})"
            )
    if fit.exponent <= 0:
        reasons.append("the norm does not fall over the window")
    return reasons


def _interval_reasons(
    replicates: Floats | None, usable: float, low: float | None, level: float
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
    if usable < _LEAST_USABLE:
        reasons.append(
            f"only {100 * usable:.0f}% of the bootstrap replicates have positive norms "
            "in the whole window"
        )
    if low is not None and low <= 0:
        reasons.append("the interval includes zero or growth")
    return reasons


def _alternatives(
    everything: _Curve,
    whole: _Curve,
    headline: _Curve,
    broken: BrokenPowerLaw | None,
    cut: float | None,
    automatic: tuple[int, int] | None,
    given: tuple[float, float] | None,
) -> list[dict[str, Any]]:
    """What other reasonable choices would have given."""
    found: list[dict[str, Any] | None] = []
    if broken is not None:
        stage = whole.within(broken.break_at if cut is None else cut, whole.lags[-1])
        second = stage.alternative("second stage" if cut is not None else "after the best break")
        if second is not None:
            found.append(second | {"delta_bic": broken.delta_bic})
        if cut is None:
            before = whole.within(whole.lags[0], broken.break_at)
            found.append(before.alternative("before the best break"))
    if broken is not None and cut is not None:
        found.append(_break_range(whole, headline, min(broken.break_at, cut)))
        found.append(whole.alternative("single power law over the whole valid window"))
    if given is not None and automatic is not None:
        found.append(
            everything.within(*automatic).alternative("single power law, automatic window")
        )
    low, high = float(headline.lags[0]), float(headline.lags[-1])
    half = headline.within(low, math.sqrt(low * high))
    if 3 <= len(half.lags) < len(headline.lags):
        found.append(half.alternative("first half of the window (in log lag)"))
    paper = everything.within(*_PAPER_WINDOW)
    covered = len(paper.lags) >= 3 and everything.lags[-1] >= _PAPER_WINDOW[1]
    if covered and (low, high) != (paper.lags[0], paper.lags[-1]):
        found.append(paper.alternative("the paper's window on WikiText-103, lags 1..32"))
    if len(headline.lags) >= 4:
        found.append(_jackknife(headline))
    return [entry for entry in found if entry is not None]


def _break_range(whole: _Curve, headline: _Curve, earliest: float) -> dict[str, Any]:
    """First-stage exponents over ends from the best hinge to the start of the second stage."""
    first, last = float(whole.lags[0]), float(headline.lags[-1])
    ends = [float(lag) for lag in headline.lags if lag >= earliest and lag > first]
    stages = [whole.within(first, end) for end in ends]
    slopes = [power_law(stage.lags, stage.norm).exponent for stage in stages]
    return {
        "method": BREAK_RANGE,
        "value": power_law(headline.lags, headline.norm).exponent,
        "low": min(slopes),
        "high": max(slopes),
        "window": [first, last],
        "points": len(headline.lags),
        "breaks": ends,
    }


def _jackknife(curve: _Curve) -> dict[str, Any]:
    """Leave-one-lag-out interval: sensitivity to single lags, not sampling error."""
    from scipy.stats import norm as normal

    def slope(keep: Sequence[int]) -> float:
        return power_law(curve.lags[list(keep)], curve.norm[list(keep)]).exponent

    n = len(curve.lags)
    full = slope(range(n))
    left_out = np.array([slope([i for i in range(n) if i != j]) for j in range(n)])
    error = math.sqrt((n - 1) / n * float(np.sum((left_out - left_out.mean()) ** 2)))
    half_width = float(normal.ppf((1 + curve.level) / 2)) * error
    return {
        "method": JACKKNIFE,
        "value": full,
        "low": full - half_width,
        "high": full + half_width,
        "window": [float(curve.lags[0]), float(curve.lags[-1])],
        "points": n,
    }
