"""The losses that measured ones imply at more training tokens, with alpha where it can be reported.

The theory predicts only an exponent, in two forms that must not be mixed (docs/theory.md 2.3):
alpha from the gamma of the limits belongs to ``L(P) = L_inf + B P^-alpha``, alpha from the raw
gamma at one number of tokens to the raw slope, ``L(P) = B P^-alpha``, which drifts with P. Without
a reportable alpha, the losses alone are continued by their local slope.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.exponents.intervals import standard_error
from ngramstat.exponents.loss_extrapolation import (
    SLOPE_SPREAD,
    extrapolated_losses,
    sampled_wander,
)
from ngramstat.prediction.measured import checked_losses
from ngramstat.results import Exponent, LossFit, LossPoint

__all__ = ["loss_curve"]

Floats = NDArray[np.float64]

# A smaller exponent is a straight line in log P, a larger one a step.
_ALPHA_RANGE = (1e-6, 50.0)
_SEED = 34
# Single losses scatter at least by this, relative (benchmarks/loss_hindcast.py).
_LEAST_SCATTER = 0.005
# The losses contradict a predicted alpha if fewer of its draws than this are compatible with them.
_LEAST_COMPATIBLE = 0.01
# They do so too if they scatter about its best law by so many times what they scatter about the
# curve that they follow without it.
_MOST_SCATTER = 4.0
# What `benchmarks/loss_hindcast.py` tests of losses alone: prefixes of five sizes, up to 8 times.
_TESTED_SIZES = 5
_TESTED_FACTOR = 8.0


def loss_curve(
    measured: Sequence[tuple[float, float]],
    alpha: Exponent,
    draws: ArrayLike | None,
    tokens: Sequence[float],
    *,
    name: str = "alpha",
    caveats: Sequence[str] = (),
) -> tuple[tuple[LossPoint, ...], LossFit]:
    """Expected losses at `tokens`; the band is that of a newly measured loss.

    `alpha` is used where it is reportable, no caveat stands against it and the losses do not
    contradict it. One called ``alpha`` belongs to the law with a limit, which is fitted with
    ``0 <= L_inf <= smallest loss`` for every draw of alpha, compatible draws weighing more; a draw
    of the scatter (Student's t) and, beyond the measured sizes, of the wandering of the local slope
    is added. One called ``alpha_finite`` is a raw slope: it informs the local slope with which
    `extrapolated_losses` continues the curve. Otherwise the losses alone decide.

    Parameters
    ----------
    measured : sequence of (float, float)
        (training tokens, loss in nats per token), at least two, at different numbers of tokens.
    alpha : Exponent
        Value and level.
    draws : (n,) float64 or None
        Values of alpha that represent its error, see `alpha_draws`. Values of zero or less are
        treated as a loss that falls with log P.
    tokens : sequence of float
        Numbers of training tokens at which the loss is predicted.
    name : str
        Which exponent this is: ``alpha`` or ``alpha_finite``.
    caveats : sequence of str
        Reasons why alpha does not apply to these numbers of tokens.

    Returns
    -------
    points, fit
        No points where the losses do not fall. Without alpha, points are reportable with at least
        five losses, up to 8 times the largest size: what hindcasts have tested.

    Raises
    ------
    InputError
        For fewer than two losses, repeated numbers of tokens, or numbers that are not positive.
    """
    p, y = checked_losses(measured)
    goal = np.asarray(tokens, dtype=np.float64)
    raw_slope = -float(np.polyfit(np.log(p), np.log(y), 1)[0])
    if raw_slope <= 0:
        reason = "the measured losses do not fall with the number of tokens"
        return (), LossFit(tokens=p, loss=y, alpha=None, form="losses", reason=reason)
    against = [*([] if alpha.reportable else [f"alpha: {alpha.reason}"]), *caveats]
    if not against and name == "alpha":
        result = _shifted(p, y, goal, alpha, draws)
        if result is not None:
            return result
        against.append(
            f"alpha [{alpha.low:.3f}, {alpha.high:.3f}] does not describe losses that fall as "
            f"P^-{raw_slope:.3f}, with any limit between 0 and the smallest loss"
        )
    elif not against:
        return _local(p, y, goal, alpha, name)
    return _local(p, y, goal, alpha, None, against)


def _local(
    p: Floats,
    y: Floats,
    goal: Floats,
    alpha: Exponent,
    name: str | None,
    against: Sequence[str] = (),
) -> tuple[tuple[LossPoint, ...], LossFit]:
    """The curve continued by its local slope, informed by a raw alpha where `name` says so."""
    slope = None
    if name is not None and alpha.value is not None:
        assert alpha.low is not None
        assert alpha.high is not None
        error = standard_error(alpha.low, alpha.high, alpha.level)
        slope = (alpha.value, math.hypot(error, SLOPE_SPREAD))
    curve = extrapolated_losses(p, y, goal, level=alpha.level, slope=slope)
    reason = None
    if name is None and len(p) < _TESTED_SIZES:
        reason = f"{len(p)} losses, {_TESTED_SIZES} needed without a reportable alpha"
    points = []
    for target, loss, low, high in zip(goal, curve.loss, curve.low, curve.high, strict=True):
        why, factor = reason, float(target / p[-1])
        if why is None and factor > _TESTED_FACTOR:
            why = (
                f"{factor:.3g} times the largest measured size; bands are tested up to "
                f"{_TESTED_FACTOR:g} times"
            )
        points.append(
            LossPoint(
                tokens=float(target), loss=float(loss), low=float(low), high=float(high),
                reportable=why is None, reason=why,
            )
        )  # fmt: skip
    fit = LossFit(
        tokens=p,
        loss=y,
        alpha=name,
        form="losses" if name is None else "raw",
        slope=curve.slope,
        slope_low=curve.slope_low,
        slope_high=curve.slope_high,
        scatter=curve.scatter * float(y[-1]),
        reportable=reason is None,
        reason=reason,
        alpha_not_used="; ".join(against) or None,
    )
    return tuple(points), fit


def _shifted(
    p: Floats, y: Floats, goal: Floats, alpha: Exponent, draws: ArrayLike | None
) -> tuple[tuple[LossPoint, ...], LossFit] | None:
    """The law with a limit, 0 <= L_inf <= smallest loss; None where it does not fit."""
    assert alpha.value is not None
    x, targets = np.log(p / p[-1]), np.log(goal / p[-1])
    best = _constrained(x, y[None, :], np.array([alpha.value]))
    centre = best.at(targets)[0]
    alphas = np.array([alpha.value]) if draws is None else np.asarray(draws, dtype=np.float64)
    fits = _constrained(x, y[None, :], alphas)
    free = len(p) - 2
    noise = _LEAST_SCATTER * float(y.mean())
    spread = float(np.sqrt(fits.squares.min() / free)) if free > 0 else 0.0
    excess = fits.squares - fits.squares.min() * (free > 0)
    compatible = np.exp(-0.5 * excess / max(spread, noise) ** 2)
    if compatible.mean() < _LEAST_COMPATIBLE:
        return None
    if len(p) >= _TESTED_SIZES and spread > _MOST_SCATTER * max(_own_scatter(p, y), noise):
        return None
    rng = np.random.default_rng(_SEED)
    shape = (len(alphas), len(p))
    scale = np.full((len(alphas), 1), noise)
    if free > 0:
        # Student's t: the scatter is known from few residuals.
        scale = spread * np.sqrt(free / rng.chisquare(free, (len(alphas), 1)))
    again = _constrained(
        x, fits.at(x) + scale * rng.standard_normal(shape), alphas, ceiling=float(y.min())
    )
    values = again.at(targets) + scale * rng.standard_normal((len(alphas), 1))
    values = values * np.exp(sampled_wander(targets, rng.standard_normal((len(alphas), 1))))
    tails = [(1 - alpha.level) / 2, (1 + alpha.level) / 2]
    low, high = _weighted_quantiles(np.maximum(values, 0.0), compatible, tails)
    ends = _weighted_quantiles(again.limit[:, None], compatible, tails)[:, 0]
    points = [
        LossPoint(
            tokens=float(t), loss=float(v), low=float(min(a, v)), high=float(max(b, v)),
            reportable=True,
        )
        for t, v, a, b in zip(goal, centre, low, high, strict=True)
    ]  # fmt: skip
    limit = float(best.limit[0])
    return tuple(points), LossFit(
        tokens=p,
        loss=y,
        alpha="alpha",
        form="shifted",
        limit=limit,
        limit_low=min(float(ends[0]), limit),
        limit_high=max(float(ends[1]), limit),
        scatter=float(np.sqrt(best.squares[0] / free)) if free > 0 else None,
        reportable=True,
    )


@dataclass(frozen=True)
class _Laws:
    """``limit + scale P^-alpha`` of every alpha, with the sum of squared residuals; (n,) each."""

    alphas: Floats
    limit: Floats
    scale: Floats
    squares: Floats

    def at(self, x: Floats) -> Floats:
        """Losses at log(P / largest P) = x, (n, len(x))."""
        return self.limit[:, None] + self.scale[:, None] * _powers(self.alphas, x)


def _powers(alphas: Floats, x: Floats) -> Floats:
    # Beyond 700 an exponential overflows; such a term is a step far below the data.
    out: Floats = np.exp(np.minimum(-np.clip(alphas, *_ALPHA_RANGE)[:, None] * x, 700.0))
    return out


def _own_scatter(p: Floats, y: Floats) -> float:
    """Scatter of the losses about the curve that they follow without any alpha, nats."""
    return extrapolated_losses(p, y, p[-1:]).scatter * float(y.mean())


def _constrained(x: Floats, y: Floats, alphas: Floats, ceiling: float | None = None) -> _Laws:
    """Least squares with 0 <= limit <= ceiling (the smallest loss) and a scale of at least 0.

    The sum of squares is a convex function of the limit alone, so its minimum under the constraint
    is the free minimum clipped to the range.
    """
    basis = _powers(alphas, x)
    # Relative to the first size, so that steps stay finite.
    top = basis[:, :1].copy()
    basis = basis / top
    centred = basis - basis.mean(axis=1, keepdims=True)
    power = np.maximum((centred**2).sum(axis=1), 1e-300)
    mean = y.mean(axis=1)
    slope = (centred * (y - mean[:, None])).sum(axis=1) / power
    top_limit = y.min(axis=1) if ceiling is None else ceiling
    limit = np.clip(mean - slope * basis.mean(axis=1), 0.0, top_limit)
    above = y - limit[:, None]
    scale = np.maximum((basis * above).sum(axis=1) / (basis**2).sum(axis=1), 0.0)
    squares = ((above - scale[:, None] * basis) ** 2).sum(axis=1)
    return _Laws(alphas, limit, scale / top[:, 0], squares)


def _weighted_quantiles(values: Floats, weights: Floats, levels: Sequence[float]) -> Floats:
    """Quantiles of every column, (len(levels), n)."""
    out = []
    for column in values.T:
        order = np.argsort(column)
        total = np.cumsum(weights[order])
        rows = np.searchsorted(total, np.array(levels) * total[-1])
        out.append(column[order][np.minimum(rows, len(column) - 1)])
    return np.array(out).reshape(-1, len(levels)).T
