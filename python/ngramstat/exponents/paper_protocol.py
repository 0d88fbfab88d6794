"""beta as the paper takes it: equal weights over a fixed set of lags, with errors by lags.

Cagnetta et al. 2026 fit ``log ||C(t)||`` on ``log t`` over 15 lags from 1 to 192 (TinyStories;
"almost all stories have less than 200 tokens") or up to 32 (WikiText-103), with equal weights, and
quote the error from the scatter of the lags. That window may hold two stages of the decay. On
request it is used as it is; what speaks against one power law in it stands beside the value.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.criteria import DECISIVE_BIC
from ngramstat.exponents.decay import beta_exponent
from ngramstat.exponents.decay_curve import DecayCurve, MeasuredDecay, TotalInterval
from ngramstat.exponents.decay_sensitivity import window_range
from ngramstat.exponents.decay_verdict import law_reasons, usable_reasons, width_reasons
from ngramstat.exponents.fit import broken_power_law
from ngramstat.exponents.point_errors import PointLaw, law_of_points
from ngramstat.results import Alternative, AlternativeKind, Exponent, IntervalParts

__all__ = [
    "PAPER_LAGS",
    "PAPER_WINDOW",
    "error_alternatives",
    "is_paper_beta",
    "paper_beta",
    "quadrature",
]

Floats = NDArray[np.float64]

PAPER_LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)
PAPER_WINDOW = (1.0, 192.0)
# The paper's window on WikiText-103.
_SHORT_WINDOW = (1.0, 32.0)
_MIN_LAGS = 4
_PROTOCOL = "the paper's protocol"
_METHOD = f"{_PROTOCOL}: least squares of log {{}} on log lag, equal weights"


def paper_beta(
    decay: MeasuredDecay,
    *,
    window: tuple[float, float] | None = None,
    level: float = 0.95,
    quantity: str = "norm",
    longest: tuple[float, str] | None = None,
) -> Exponent:
    """beta by the paper's protocol, with the errors of lags and of documents beside each other.

    Parameters
    ----------
    decay : MeasuredDecay
        Without replicates the interval is that of the lags alone, as in the paper.
    window : (low, high), optional
        First and last lag, inclusive; 1..192 by default.
    level : float
        Confidence level of the intervals.
    quantity : str
        What `norm` is called in the method.
    longest : (lag, str), optional
        Largest lag of the default protocol, and what is wrong with larger ones.

    Returns
    -------
    Exponent
        `low` and `high` hold both parts in quadrature: `parts.documents` (resampled documents) and
        `parts.lags` (the scatter of the lags: on each side the farther end of the interval of the
        fit and of that of resampled lags). They count the sampling error of single lags twice.
        `parts.window` is the range over windows of a decade or more. The value is given wherever
        it can be computed; where the window holds no single power law, it is not reportable and
        the reason says what it holds.

    Raises
    ------
    InputError
        For a level outside (0, 1), or a window whose low end is above its high end.
    """
    low, high = PAPER_WINDOW if window is None else window
    if not low <= high:
        raise InputError(f"window: needs low <= high, got {low:g}..{high:g}")
    method = _METHOD.format(quantity)
    curve = decay.curve(level, equal_weights=True).within(low, high)
    if len(curve.lags) < _MIN_LAGS:
        return Exponent.refused(
            f"{len(curve.lags)} lag(s) with a positive norm in the window {low:g}..{high:g}, "
            f"{_MIN_LAGS} needed",
            method=method,
            level=level,
        )
    law = law_of_points(curve.lags, curve.norm, level=level)
    total = _total(curve, law)
    reasons = _reasons(decay, curve, law, total, longest)
    windows = window_range(curve, curve)
    of_windows = None
    if windows is not None and windows.low is not None and windows.high is not None:
        of_windows = (windows.low, windows.high)
    default = beta_exponent(decay, level=level, quantity=quantity, longest=longest)
    errors = "fit and resampled lags"
    if total.documents is not None:
        errors += ", in quadrature with resampled documents"
    return Exponent(
        value=law.exponent,
        low=total.low,
        high=total.high,
        level=level,
        window=law.window,
        points=law.points,
        method=f"{method}; interval: {errors}",
        reportable=not reasons,
        reason="; ".join(reasons) or None,
        weights=np.ones(law.points),
        parts=IntervalParts(documents=total.documents, lags=total.lags, window=of_windows),
        alternatives=(
            *error_alternatives(law, "lags"),
            *_windows_of(curve),
            *(() if windows is None else (windows,)),
            *_default_alternative(default),
        ),
    )


def is_paper_beta(beta: Exponent) -> bool:
    """Whether an exponent was fitted by `paper_beta`, by what its method says."""
    return beta.method.startswith(_PROTOCOL)


def quadrature(value: float, parts: tuple[tuple[float, float] | None, ...]) -> tuple[float, float]:
    """Intervals about one value as one: each side is the root of the sum of squared widths."""
    known = [part for part in parts if part is not None]
    below = math.hypot(*(max(value - low, 0.0) for low, _ in known))
    above = math.hypot(*(max(high - value, 0.0) for _, high in known))
    return value - below, value + above


def _total(curve: DecayCurve, law: PointLaw) -> TotalInterval:
    by_documents = curve.interval(curve.weights)
    low, high = quadrature(law.exponent, (by_documents.documents, law.widest))
    return TotalInterval(low, high, by_documents.documents, law.widest, by_documents.usable)


def _reasons(
    decay: MeasuredDecay,
    curve: DecayCurve,
    law: PointLaw,
    total: TotalInterval,
    longest: tuple[float, str] | None,
) -> list[str]:
    """What speaks against one measured power law in this window."""
    first, last = law.window
    reasons = [*_stage_reasons(curve), *law_reasons(curve, _MIN_LAGS)]
    inside = (decay.lags >= first) & (decay.lags <= last)
    absent = int(np.sum(~decay.has_log & inside))
    if absent:
        reasons.append(f"{absent} lag(s) inside the window have no positive norm")
    if longest is not None and last > longest[0]:
        reasons.append(
            f"the window goes beyond lag {longest[0]:g}, where the default protocol stops: "
            f"{longest[1]}"
        )
    if curve.replicates_count:
        reasons += usable_reasons(total)
    return reasons + width_reasons(law.exponent, total)


def _stage_reasons(curve: DecayCurve) -> list[str]:
    """Whether two power laws describe the window decisively better than one."""
    broken = broken_power_law(curve.lags, curve.norm, curve.smooth_weights)
    if broken is None or broken.delta_bic <= DECISIVE_BIC:
        return []
    first, last = float(curve.lags[0]), float(curve.lags[-1])
    before = curve.within(first, broken.break_at)
    after = curve.within(broken.break_at, last)
    sides = " and ".join(
        str(law_of_points(part.lags, part.norm, level=curve.level, resamples=2))
        for part in (before, after)
    )
    return [
        f"one law through two stages: {sides} (a broken law is better by {broken.delta_bic:.0f} "
        "in BIC)"
    ]


def error_alternatives(law: PointLaw, points: str) -> list[Alternative]:
    """Both errors of the paper, each as an interval about the value; `points` names the points."""
    rows = (
        (AlternativeKind.FIT_ERROR, "scatter about the fit, Student's t", law.low, law.high,
         law.error),
        (AlternativeKind.RESAMPLED_POINTS, f"resampled {points}, percentiles", law.resampled_low,
         law.resampled_high, law.resampled_error),
    )  # fmt: skip
    return [
        Alternative(
            kind=kind, method=method, value=law.exponent, low=low, high=high,
            window=law.window, points=law.points, extra={"standard_error": error, "r2": law.r2},
        )
        for kind, method, low, high, error in rows
    ]  # fmt: skip


def _windows_of(curve: DecayCurve) -> list[Alternative]:
    """The first decades of the window, as the paper's on WikiText-103, and the second half."""
    first, last = float(curve.lags[0]), float(curve.lags[-1])
    middle = math.sqrt(first * last)
    rows = (
        (AlternativeKind.PAPER_WINDOW, "the paper's window on WikiText-103", _SHORT_WINDOW),
        (AlternativeKind.SECOND_HALF, "second half of the window (in log lag)", (middle, last)),
    )
    found = []
    for kind, method, (low, high) in rows:
        part = curve.within(low, high)
        if not _MIN_LAGS <= len(part.lags) < len(curve.lags):
            continue
        law = law_of_points(part.lags, part.norm, level=curve.level)
        low, high = quadrature(law.exponent, (part.interval(part.weights).documents, law.widest))
        found.append(
            Alternative(
                kind=kind, method=f"{method}, equal weights", value=law.exponent, low=low,
                high=high, window=law.window, points=law.points,
                extra={"standard_error": law.error, "r2": law.r2},
            )
        )  # fmt: skip
    return found


def _default_alternative(default: Exponent) -> list[Alternative]:
    """What the default protocol makes of the same norms."""
    if default.value is None:
        return []
    verdict = "" if default.reportable else f", not reportable: {default.reason}"
    return [
        Alternative(
            kind=AlternativeKind.DEFAULT_PROTOCOL,
            method="the default protocol on the same norms" + verdict,
            value=default.value,
            low=default.low,
            high=default.high,
            window=default.window,
            points=default.points,
            extra={"reportable": default.reportable},
        )
    ]
