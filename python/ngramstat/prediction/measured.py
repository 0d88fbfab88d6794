"""alpha measured on trained models: how fast their loss falls with training tokens.

The paper (Cagnetta et al. 2026, sec. 5) takes the lower envelope of L(P) over context lengths and
fits its first m points for every m. Raw losses (H_inf = 0) bend because the entropy rate is not
zero: their slopes are too small, and increasingly so towards the limit (docs/theory.md 2.3). So
there are three protocols: raw, with the limit fitted, and with the limit known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.criteria import MAX_BEND, MIN_SPAN
from ngramstat.exponents.distributions import normal_quantile, student_quantile
from ngramstat.exponents.learning_limit import learning_limit
from ngramstat.results import Alternative, AlternativeKind, CurveTable, Exponent

__all__ = [
    "alpha_of_losses",
    "alpha_with_limit",
    "checked_losses",
    "losses_of_all_contexts",
    "lower_envelope",
]

Floats = NDArray[np.float64]

_MIN_POINTS = 4
# Minimum number of points of the alternative fits to the first ones.
_MIN_FIRST_POINTS = 3


def checked_losses(
    measured: Sequence[tuple[float, float]], *, needed: int = 2
) -> tuple[Floats, Floats]:
    """(P, loss) in order of P, both (k,), of (training tokens, loss in nats per token).

    Raises
    ------
    InputError
        For fewer than `needed` losses, repeated numbers of tokens, or numbers that are not
        positive.
    """
    if len(measured) < needed:
        raise InputError(f"loss: {len(measured)} measured loss(es), at least {needed} needed")
    for pair in measured:
        for number, unit in zip(pair, ("tokens", "nats per token"), strict=True):
            if not (math.isfinite(number) and number > 0):
                raise InputError(f"loss: needs positive numbers of {unit}, got {number:g}")
    p, y = np.array(sorted(measured), dtype=np.float64).T
    if np.any(np.diff(p) <= 0):
        at = float(p[:-1][np.diff(p) <= 0][0])
        raise InputError(f"loss: two losses at {at:g} tokens; give their mean")
    return p, y


def lower_envelope(tokens: ArrayLike, losses: ArrayLike) -> NDArray[np.int64]:
    """Rows with the smallest loss of each number of tokens, by tokens ascending."""
    p, y = np.asarray(tokens, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    order = np.lexsort((y, p))
    first = np.concatenate([[True], np.diff(p[order]) > 0]) if len(p) else np.zeros(0, bool)
    rows: NDArray[np.int64] = order[first]
    return rows


def losses_of_all_contexts(table: CurveTable) -> tuple[Floats, Floats]:
    """(P, loss) of every number of training tokens that has the losses of all contexts.

    The loss is the mean over the positions 0 .. T - 1 of a window, as models are trained on;
    between contexts that the table does not have it is interpolated.
    """
    contexts = np.unique(table.context)
    sizes, counts = np.unique(table.tokens, return_counts=True)
    sizes = sizes[counts == len(contexts)]
    positions = np.arange(contexts[0], contexts[-1] + 1)
    means = []
    for tokens in sizes.tolist():
        rows = table.tokens == tokens
        means.append(np.interp(positions, table.context[rows], table.loss[rows]).mean())
    return sizes, np.array(means, dtype=np.float64)


def alpha_of_losses(
    tokens: ArrayLike,
    losses: ArrayLike,
    *,
    entropy_rate: float = 0.0,
    replicates: ArrayLike | None = None,
    level: float = 0.95,
) -> Exponent:
    """Minus the log-log slope of the losses above `entropy_rate`, by least squares.

    Parameters
    ----------
    tokens, losses : (k,) float64
        P ascending, and the loss at each, nats per token.
    entropy_rate : float
        0 for the raw protocol, or the known limit.
    replicates : (r, k) float64, optional
        Losses over resampled held-out documents.
    level : float

    Returns
    -------
    Exponent
        The interval combines in quadrature the scatter about the line (Student's t), which includes
        training noise and curvature, and the sampling of held-out documents. The fits of the first
        m points are among the alternatives. Not reportable with fewer than 4 points, less than a
        decade of tokens, or a line that bends.

    Raises
    ------
    InputError
        For arrays of different lengths, or tokens that do not ascend.
    """
    p, y = np.asarray(tokens, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if p.ndim != 1 or p.shape != y.shape:
        raise InputError(f"tokens and losses need one length, got {p.shape} and {y.shape}")
    if np.any(np.diff(p) <= 0) or np.any(p <= 0):
        raise InputError("tokens: must be positive and ascend")
    protocol = (
        "raw (H_inf = 0)" if entropy_rate == 0 else f"above the known limit {entropy_rate:.4g}"
    )
    method = f"OLS of log loss on log P, {protocol}"
    excess = y - entropy_rate
    if np.any(~np.isfinite(excess) | (excess <= 0)):
        return Exponent.refused(
            f"a loss is not above the limit {entropy_rate:.4g}", method=method, level=level
        )
    sampled: Floats | None = None
    if replicates is not None and np.size(replicates):
        sampled = np.asarray(replicates, dtype=np.float64) - entropy_rate
    alternatives = _first_points(p, excess, sampled, method, level)
    if len(p) < _MIN_POINTS:
        return Exponent.refused(
            f"{len(p)} training-set sizes, {_MIN_POINTS} needed",
            method=method, level=level, alternatives=alternatives,
        )  # fmt: skip
    value, low, high = _fit(p, excess, sampled, level)
    reasons = _reasons(p, excess, low)
    return Exponent(
        value=value,
        low=low,
        high=high,
        level=level,
        window=(float(p[0]), float(p[-1])),
        points=len(p),
        method=method,
        reportable=not reasons,
        reason="; ".join(reasons) or None,
        alternatives=tuple(alternatives),
    )


def _first_points(
    p: Floats, excess: Floats, sampled: Floats | None, method: str, level: float
) -> list[Alternative]:
    """The fits of the first m points, for every m below their number."""
    alternatives = []
    for m in range(_MIN_FIRST_POINTS, len(p)):
        value, low, high = _fit(
            p[:m], excess[:m], None if sampled is None else sampled[:, :m], level
        )
        alternatives.append(
            Alternative(
                kind=AlternativeKind.FIRST_POINTS, method=f"{method}, first {m} points",
                value=value, low=low, high=high, window=(float(p[0]), float(p[m - 1])), points=m,
            )
        )  # fmt: skip
    return alternatives


def _reasons(p: Floats, excess: Floats, low: float | None) -> list[str]:
    """Why the losses do not show one power law."""
    reasons = []
    if p[-1] < MIN_SPAN * p[0]:
        reasons.append(f"sizes span a factor {p[-1] / p[0]:.3g}, {MIN_SPAN:g} needed")
    if low is None or low <= 0:
        reasons.append("the interval reaches zero")
    bend = _bend(p, excess)
    if bend > MAX_BEND:
        reasons.append(
            f"the slope changes by a factor {bend:.2g} over the sizes, {MAX_BEND:g} allowed"
        )
    return reasons


def alpha_with_limit(
    tokens: ArrayLike,
    losses: ArrayLike,
    *,
    level: float = 0.95,
) -> Exponent:
    """alpha of ``L(P) = H + A P^-alpha`` with H fitted; see `learning_limit` for its interval.

    Raises
    ------
    InputError
        For arrays of different lengths.
    """
    p = np.asarray(tokens, dtype=np.float64)
    fit = learning_limit(p, losses, level=level)
    method = "L(P) = H + A P^-alpha, H fitted"
    if fit.delta is None or fit.delta_low is None or fit.delta_high is None:
        return Exponent.refused(fit.reason or "no fit", method=method, level=level)
    return Exponent(
        value=fit.delta,
        low=fit.delta_low,
        high=fit.delta_high,
        level=level,
        window=fit.window,
        points=fit.points,
        method=method,
        reportable=fit.identifiable,
        reason=fit.reason if not fit.identifiable else None,
    )


def _fit(
    p: Floats, y: Floats, replicates: Floats | None, level: float
) -> tuple[float, float | None, float | None]:
    """Minus the slope, and its interval; two points give no interval."""
    x = np.log(p) - np.log(p).mean()
    weights = x / (x @ x)
    log_y = np.log(y)
    slope = float(weights @ log_y)
    free = len(p) - 2
    if free < 1:
        return -slope, None, None
    residuals = log_y - log_y.mean() - slope * x
    scatter = math.sqrt(float(residuals @ residuals) / free * float(weights @ weights))
    half = student_quantile(level, free) * scatter
    if replicates is not None:
        usable = np.all(replicates > 0, axis=1)
        if usable.sum() > 2:
            sampled = float(np.std(np.log(replicates[usable]) @ weights, ddof=1))
            half = math.hypot(half, normal_quantile(level) * sampled)
    return -slope, -slope - half, -slope + half


def _bend(p: Floats, y: Floats) -> float:
    """Ratio of the slopes of the first and the last half of the points, at least 1."""
    m = (len(p) + 1) // 2
    first = _fit(p[:m], y[:m], None, 0.95)[0]
    last = _fit(p[-m:], y[-m:], None, 0.95)[0]
    if min(first, last) <= 0:
        return math.inf
    return max(first / last, last / first)
