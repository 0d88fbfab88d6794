"""gamma of one learner at one number of training tokens: the raw slope of its losses by context.

Cagnetta et al. 2026 take gamma from the losses L_n(P) of a trained model at the largest P they
have: least squares of ``log L_n`` on ``log n`` for n = 1..15 (TinyStories) or 1..5 (WikiText-103),
without subtracting a limit. Such a slope belongs to that learner, that P and that window. Its
interval therefore holds the scatter about the line, the errors of the losses, and the range over
other windows that one might have chosen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.criteria import MIN_CONTEXTS, MIN_R2
from ngramstat.exponents.distributions import normal_quantile, student_quantile
from ngramstat.exponents.entropy_decay import LossesBySize, checked_contexts
from ngramstat.exponents.fit import power_law, slope_weights
from ngramstat.exponents.intervals import (
    needed_replicates,
    percentile_interval,
)
from ngramstat.exponents.paper_protocol import error_alternatives, quadrature
from ngramstat.exponents.point_errors import law_of_points
from ngramstat.results import Alternative, AlternativeKind, Exponent, IntervalParts

__all__ = ["GAMMA_WINDOW", "raw_gamma"]

Floats = NDArray[np.float64]

# The paper's contexts on TinyStories.
GAMMA_WINDOW = (1, 15)
# The paper moves the end of the window from 6 to 31 where it fits up to 15: by these factors.
_EARLIEST_END, _LATEST_END = 0.4, 31 / 15
# The window may begin later, too, but not beyond this fraction of its end.
_LATEST_START = 0.2
_METHOD = "raw OLS of log loss on log n at one number of training tokens (no limit subtracted)"


def raw_gamma(
    context: ArrayLike,
    losses: ArrayLike,
    *,
    errors: ArrayLike | None = None,
    replicates: ArrayLike | None = None,
    window: tuple[int, int] = GAMMA_WINDOW,
    level: float = 0.95,
    sizes: LossesBySize | None = None,
) -> Exponent:
    """Minus the log-log slope of the losses of one learner at one P over the first contexts.

    Parameters
    ----------
    context : (n,) integers
        Tokens of context, increasing; those below 1 are not fitted.
    losses : (n,) float64
        L_n(P), nats per token; NaN where unknown.
    errors : (n,) float64, optional
        Standard errors of the losses, taken as independent.
    replicates : (n_rep, n) float64, optional
        The losses of several seeds, or over resampled documents: errors that contexts share are
        right with these alone. They take precedence over `errors`.
    window : (int, int)
        First and last context, inclusive.
    level : float
        Confidence level of the interval.
    sizes : LossesBySize, optional
        The same learner at several P; its slope at each is among the alternatives.

    Returns
    -------
    Exponent
        The interval combines in quadrature the scatter about the line (the wider of Student's t and
        resampled contexts), the errors of the losses (`parts.documents`), and the range over
        windows that begin up to a fifth and end at two fifths to twice of the window's end
        (`parts.window`). Without a value below three contexts; not reportable if the interval
        reaches zero, or R^2 < 0.7.

    Raises
    ------
    InputError
        For arrays of different lengths, contexts that do not increase, or a window that is not a
        range of contexts of at least 1.
    """
    if not 1 <= window[0] < window[1]:
        raise InputError(f"window: needs 1 <= low < high, got {window[0]}..{window[1]}")
    curve = _losses(context, losses, errors, replicates)
    inside = curve.within(*window)
    others = [] if sizes is None else sizes.alternatives(context, window)
    if len(inside.n) < MIN_CONTEXTS:
        return Exponent.refused(
            f"losses of {len(inside.n)} context(s) in the window {window[0]}..{window[1]}, "
            f"{MIN_CONTEXTS} needed",
            method=_METHOD, level=level, alternatives=others,
        )  # fmt: skip
    law = law_of_points(inside.n, inside.loss, level=level)
    of_losses = inside.sampling_interval(level)
    scan = _scan(curve, window)
    slopes = [law.exponent, *(other.value for other in scan if other.value is not None)]
    of_windows = (min(slopes), max(slopes)) if scan else None
    low, high = quadrature(law.exponent, (law.widest, of_losses, of_windows))
    reasons = []
    if low <= 0:
        reasons.append("the interval reaches zero")
    if law.r2 < MIN_R2:
        reasons.append(f"a power law explains R^2 = {law.r2:.2f} of the fall, {MIN_R2} needed")
    return Exponent(
        value=law.exponent,
        low=low,
        high=high,
        level=level,
        window=law.window,
        points=law.points,
        method=f"{_METHOD}; interval: {_interval_note(of_losses, of_windows)}",
        reportable=not reasons,
        reason="; ".join(reasons) or None,
        parts=IntervalParts(documents=of_losses, lags=law.widest, window=of_windows),
        alternatives=(*error_alternatives(law, "contexts"), *scan, *others),
    )


@dataclass(frozen=True)
class _Losses:
    """Positive losses at contexts of at least 1, with what is known of their errors."""

    n: Floats
    loss: Floats
    errors: Floats | None
    replicates: Floats | None

    def within(self, low: float, high: float) -> _Losses:
        chosen = (self.n >= low) & (self.n <= high)
        return _Losses(
            self.n[chosen],
            self.loss[chosen],
            None if self.errors is None else self.errors[chosen],
            None if self.replicates is None else self.replicates[:, chosen],
        )

    def sampling_interval(self, level: float) -> tuple[float, float] | None:
        """What the errors of the losses make of the slope; None where they are not known.

        Many replicates give percentiles, few (seeds) an interval by Student's t.
        """
        weights = -slope_weights(np.log(self.n))
        value = float(weights @ np.log(self.loss))
        if self.replicates is not None:
            usable = np.all(np.isfinite(self.replicates) & (self.replicates > 0), axis=1)
            slopes = np.log(self.replicates[usable]) @ weights
            if len(slopes) >= needed_replicates(level):
                low, high = percentile_interval(slopes, level)
                return min(low, value), max(high, value)
            if len(slopes) >= 2:
                error = float(slopes.std(ddof=1)) / math.sqrt(len(slopes))
                half = student_quantile(level, len(slopes) - 1) * error
                return value - half, value + half
        if self.errors is None or not np.all(np.isfinite(self.errors)):
            return None
        half = normal_quantile(level) * float(np.linalg.norm(weights * self.errors / self.loss))
        return value - half, value + half


def _losses(
    context: ArrayLike,
    losses: ArrayLike,
    errors: ArrayLike | None,
    replicates: ArrayLike | None,
) -> _Losses:
    n, y = checked_contexts(context), np.asarray(losses, dtype=np.float64)
    if y.shape != n.shape:
        raise InputError(f"context and losses need one length, got {n.shape} and {y.shape}")
    sigma = None if errors is None else np.asarray(errors, dtype=np.float64)
    if sigma is not None and sigma.shape != n.shape:
        raise InputError(f"errors: needs {len(n)} numbers, got shape {sigma.shape}")
    rows = None if replicates is None else np.asarray(replicates, dtype=np.float64)
    if rows is not None and (rows.ndim != 2 or rows.shape[1] != len(n)):
        raise InputError(f"replicates: needs shape (n, {len(n)}), got {rows.shape}")
    usable = (n >= 1) & np.isfinite(y) & (y > 0)
    return _Losses(
        n[usable],
        y[usable],
        None if sigma is None else sigma[usable],
        None if rows is None else rows[:, usable],
    )


def _scan(curve: _Losses, window: tuple[int, int]) -> list[Alternative]:
    """The windows with another end, and those with a later beginning."""
    first, last = window
    used = curve.within(first, last).n
    ends = curve.within(_EARLIEST_END * last, _LATEST_END * last).n.tolist()
    starts = curve.within(first, max(_LATEST_START * last, first)).n.tolist()
    windows = [(used[0], end) for end in ends] + [(start, used[-1]) for start in starts]
    found = []
    for low, high in windows:
        part = curve.within(low, high)
        if (low, high) == (used[0], used[-1]) or len(part.n) < MIN_CONTEXTS:
            continue
        fit = power_law(part.n, part.loss)
        found.append(
            Alternative(
                kind=AlternativeKind.OTHER_WINDOW, method="another window", value=fit.exponent,
                window=(float(low), float(high)), points=len(part.n),
                extra={"standard_error": fit.standard_error},
            )
        )  # fmt: skip
    return found


def _interval_note(
    of_losses: tuple[float, float] | None, of_windows: tuple[float, float] | None
) -> str:
    parts = ["scatter about the line"]
    if of_losses is not None:
        parts.append("errors of the losses")
    if of_windows is not None:
        parts.append("range over other windows")
    return ", ".join(parts) + (" in quadrature" if len(parts) > 1 else "")
