"""Learning curves: the loss against training tokens, ``L(P) = H + A P^-delta``, and its limit H.

The limit lies outside the data, at infinite P, so it depends on the assumption that delta is
constant. Real curves bend slowly. The fit therefore lets delta drift as ``delta (P / P_0)^k``, with
P_0 the middle of the window and a normal prior at zero for k, and takes the interval of the limit
over all curves that the data and the prior allow. The width of the prior was measured on curves of
real text (see `DRIFT`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.criteria import MIN_SPAN
from ngramstat.exponents.distributions import normal_quantile, student_quantile

__all__ = ["DRIFT", "LimitFit", "allow_for_misfit", "learning_limit", "refuse_contradicted"]

Floats = NDArray[np.float64]

_METHOD = "L = H + A P^-delta, delta drifting slowly, profile interval"

# Standard deviation of k, the relative drift of delta per factor e of tokens (6 % per decade).
# Kneser-Ney curves of English Wikipedia, 1.7 to 105 M tokens
# (tests/test_exponents_learning_limit.py): delta of windows of a decade moves by 3 to 8 % per
# decade, up at context 1, down at context 4. With this prior the limits at contexts 1 to 3 agree
# with what counting finds independently.
DRIFT = 0.025
# The logarithm of the true excess of the last loss over the limit, less that of the fit: mean and
# standard deviation over Kneser-Ney curves of languages whose H_n is known (docs/estimators.md).
# Contexts saturate one after the other, so delta rises with P more than its prior allows, and half
# of the excess of a fit is not there.
_MISFIT_MEAN, _MISFIT_SPREAD = -0.6, 0.25
_MIN_SIZES = 4
# Minimum span of the shorter windows, without the smallest sizes, that extend the interval.
_MIN_SUBWINDOW_SPAN = 7.5
# A limit is not known if its interval is wider than this multiple of the observed fall.
_MAX_WIDTH = 1.0
# Exponents searched. A slower decay than the first is flat, a faster one than the last is one step.
_DELTA_RANGE = (2e-3, 8.0)
# Drifts searched, in standard deviations of the prior.
_DRIFT_RANGE = 4.0
_DELTAS, _DRIFTS, _ZOOMS = 49, 33, 40
# Residuals below this fraction of the loss are rounding.
_ROUNDING = 1e-12
# Beyond the last size the drift continues for one decade; from there on delta is constant.
_DRIFT_CONTINUES = math.log(10.0)


@dataclass(frozen=True)
class _Grid:
    """Curves that the data allow: one (delta, k) per row, with the linear parameters solved.

    In one row the loss is linear in (H, A), so a value h of a linear functional f = H + A e costs
    ``(h - f)^2 / v`` more than the best curve of the row; `spare` is the cost that is left up to
    the threshold.
    """

    delta: Floats
    drift: Floats
    limit: Floats
    amplitude: Floats
    spare: Floats
    mean: Floats
    spread: Floats
    weight: float

    def extremes(self, decay: Floats) -> tuple[Floats, Floats]:
        """Lowest and highest ``H + A decay`` of each row."""
        middle = self.limit + self.amplitude * decay
        half = np.sqrt(self.spare * (1 / self.weight + (decay - self.mean) ** 2 / self.spread))
        return middle - half, middle + half

    def amplitudes(self) -> tuple[Floats, Floats]:
        """Lowest and highest amplitude of each row, not below zero."""
        half = np.sqrt(self.spare / self.spread)
        return np.maximum(self.amplitude - half, 0.0), self.amplitude + half


@dataclass(frozen=True)
class LimitFit:
    """The limit of one learning curve, with an interval that allows for a drifting exponent.

    Attributes
    ----------
    limit : float or None
        H, the loss at infinite P, nats per token. None if the fit was refused outright.
    low, high : float or None
        Its interval at `level`.
    delta, delta_low, delta_high : float or None
        Exponent at the middle of the window (in log P), and its interval.
    amplitude : float or None
        A of ``A P^-delta`` at the middle of the window.
    window : (float, float) or None
        Smallest and largest training set, tokens.
    points : int
        Sizes fitted.
    level : float
        Confidence level of the intervals.
    identifiable : bool
        Whether the data determine the limit. Where they do not, `low` and `high` are no bounds: a
        curve far from its limit may still fall faster and faster, which the prior of k excludes.
    method : str
        How it was fitted.
    reason : str or None
        Why it is not identifiable.
    """

    limit: float | None
    low: float | None
    high: float | None
    delta: float | None
    delta_low: float | None
    delta_high: float | None
    amplitude: float | None
    window: tuple[float, float] | None
    points: int
    level: float
    identifiable: bool
    method: str
    reason: str | None = None
    _middle: float = field(default=0.0, repr=False)
    _bounds: tuple[float, float] = field(default=(0.0, math.inf), repr=False)
    _common: float = field(default=0.0, repr=False)
    _best: tuple[_Best, ...] = field(default=(), repr=False)
    _grid: _Grid | None = field(default=None, repr=False)

    def at(self, tokens: float) -> tuple[float, float, float] | None:
        """The curve at `tokens` training tokens: (loss, low, high), nats per token.

        The band is that of the expected loss, at `level`; single measured losses scatter more. None
        if the fit was refused.

        Raises
        ------
        InputError
            If `tokens` is not a positive finite number.
        """
        x = _log(tokens, "tokens") - self._middle
        if self._grid is None:
            return None
        end = self._log_end
        decay = _decay(x, self._grid.delta, self._grid.drift, end)
        below, above = self._grid.extremes(decay)
        values = [b.at(x, end) for b in self._best]
        value = values[0]
        low = value - math.hypot(value - min(float(below.min()), *values), self._common)
        high = value + math.hypot(max(float(above.max()), *values) - value, self._common)
        return value, max(low, self._bounds[0]), high

    def tokens_to_reach(self, excess: float) -> tuple[float, float, float] | None:
        """Training tokens at which the loss is within `excess` of the limit: (tokens, low, high).

        Infinite where the excess is never that small, or only beyond 1e300 tokens. None if the fit
        was refused.

        Raises
        ------
        InputError
            If `excess` is not a positive finite number.
        """
        target = _log(excess, "excess")
        if self._grid is None:
            return None
        end = self._log_end
        smallest, largest = self._grid.amplitudes()
        ends = [
            _invert(np.log(np.maximum(a, 1e-300)) - target, self._grid.delta, self._grid.drift, end)
            for a in (smallest, largest)
        ]
        values = [b.tokens(target, end) for b in self._best]
        low, high = min(float(ends[0].min()), *values), max(float(ends[1].max()), *values)
        return _exp(self._middle + values[0]), _exp(self._middle + low), _exp(self._middle + high)

    @property
    def _log_end(self) -> float:
        assert self.window is not None
        return math.log(self.window[1]) - self._middle + _DRIFT_CONTINUES


@dataclass(frozen=True)
class _Best:
    """The best curve of one window.

    `shift` is the distance in log P from the middle of the whole window to that of this one.
    """

    delta: float
    drift: float
    limit: float
    amplitude: float
    shift: float

    def at(self, x: float, end: float) -> float:
        args = np.array([self.delta]), np.array([self.drift])
        decay = _decay(x - self.shift, *args, end - self.shift)
        return self.limit + self.amplitude * float(decay[0])

    def tokens(self, target: float, end: float) -> float:
        args = np.array([self.delta]), np.array([self.drift])
        level = np.array([math.log(self.amplitude) - target])
        return float(_invert(level, *args, end - self.shift)[0]) + self.shift


def _log(number: float, name: str) -> float:
    if not (math.isfinite(number) and number > 0):
        raise InputError(f"{name}: needs a positive number, got {number:g}")
    return math.log(number)


def _exp(value: float) -> float:
    return math.exp(value) if value < 690 else math.inf


def _path(x: ArrayLike, drift: Floats) -> Floats:
    """Integral of exp(k x) from 0, which is x for k = 0."""
    xs = np.asarray(x, dtype=np.float64)
    steep = np.abs(drift) > 1e-9
    safe = np.where(steep, drift, 1.0)
    out: Floats = np.where(steep, np.expm1(safe * xs) / safe, xs)
    return out


def _decay(x: ArrayLike, delta: Floats, drift: Floats, end: float) -> Floats:
    """``A(P) / A``: exp of minus the integral of delta(P) over log P, the drift ending at `end`."""
    xs = np.asarray(x, dtype=np.float64)
    inside = np.minimum(xs, end)
    path = _path(inside, drift) + np.exp(drift * end) * (xs - inside)
    out: Floats = np.exp(-delta * path)
    return out


def _invert(level: Floats, delta: Floats, drift: Floats, end: float) -> Floats:
    """x at which ``-log decay`` is `level`."""
    path = level / delta
    last = _path(end, drift)
    steep = np.abs(drift) > 1e-9
    safe = np.where(steep, drift, 1.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        inside = np.where(steep, np.log1p(np.maximum(safe * path, -1.0)) / safe, path)
        beyond = end + (path - last) * np.exp(-drift * end)
    out: Floats = np.where(path <= last, inside, beyond)
    return out


def learning_limit(
    tokens: ArrayLike,
    losses: ArrayLike,
    errors: ArrayLike | None = None,
    *,
    lower: float | None = None,
    upper: float | None = None,
    common_error: float = 0.0,
    level: float = 0.95,
) -> LimitFit:
    """Fit ``L(P) = H + A P^-delta`` with a slowly drifting delta.

    For every (delta, k) the other parameters are linear and solved exactly, so the interval of the
    limit is the exact hull of all limits whose misfit, the prior of k included, is within the
    threshold: F(1, points - 3) times the observed scatter without errors, and chi^2(1) with errors,
    which are first scaled up to the observed scatter where they are smaller. The interval is then
    extended to the estimates of the shorter windows that leave out the smallest sizes.

    Parameters
    ----------
    tokens : (k,) numbers
        Training tokens P, increasing.
    losses : (k,) numbers
        Losses L(P), nats per token.
    errors : (k,) numbers, optional
        Standard errors of the losses that are independent between sizes (as from replicates of the
        training sets).
    lower, upper : float, optional
        Known bounds of the limit; by default zero, and no upper bound.
    common_error : float
        Standard error that all sizes share, such as that of the held-out documents; widens the
        intervals in quadrature.
    level : float
        Confidence level.

    Returns
    -------
    LimitFit
        Without values for fewer than 4 sizes, less than a decade of tokens or losses that do not
        fall. Not identifiable, with values, where the interval reaches `lower` or is wider than the
        fall of the losses within the window.

    Raises
    ------
    InputError
        For arrays of different lengths, tokens that do not increase, and numbers that are not
        finite or out of range.
    """
    p, y, sigma = _checked(tokens, losses, errors)
    bounds = 0.0 if lower is None else float(lower), math.inf if upper is None else float(upper)
    if not bounds[0] < bounds[1]:
        raise InputError(f"lower: must be below upper, got {bounds[0]:g} and {bounds[1]:g}")
    if not (math.isfinite(common_error) and common_error >= 0):
        raise InputError(f"common_error: needs a number of at least 0, got {common_error:g}")
    if not 0 < level < 1:
        raise InputError(f"level: needs a number in (0, 1), got {level:g}")
    refusal = _too_few_losses(p, y)
    if refusal is not None:
        return _refused(refusal, p, level)
    return _profile_fit(p, y, sigma, bounds, common_error, level)


def allow_for_misfit(fit: LimitFit, first: float, last: float) -> LimitFit:
    """The limit of a counted learner, with what its law has been seen to be off by.

    The interval of `learning_limit` assumes the law; how far Kneser-Ney curves are from it was
    measured on languages of known H_n, in the logarithm of the excess of the last loss over the
    limit, and is added in quadrature.

    Parameters
    ----------
    fit : LimitFit
    first, last : float
        Losses at the smallest and the largest size, nats per token.

    Returns
    -------
    LimitFit
        With another limit and interval, and identifiable only if they still are.
    """
    if fit.limit is None or fit.low is None or fit.high is None or fit.limit >= last:
        return fit
    z = normal_quantile(fit.level)
    excess = last - fit.limit
    centre = math.log(excess) + _MISFIT_MEAN
    larger = math.hypot(math.log((last - fit.low) / excess), z * _MISFIT_SPREAD)
    # An interval that reaches the last loss has no smallest excess.
    smallest = (last - fit.high) / excess
    smaller = math.hypot(math.log(smallest), z * _MISFIT_SPREAD) if smallest > 0 else math.inf
    low = max(last - math.exp(centre + larger), fit._bounds[0])
    high = last - math.exp(centre - smaller)
    reasons = _unidentifiable(low, high, fit._bounds[0], fit.window or (0.0, 0.0), first - last)
    if not fit.identifiable and fit.reason:
        reasons.insert(0, fit.reason)
    return dataclasses.replace(
        fit,
        limit=max(last - math.exp(centre), low),
        low=low,
        high=high,
        identifiable=not reasons,
        method=f"{fit.method}; widened by the misfit of such curves on languages of known entropy",
        reason="; ".join(reasons) or None,
    )


def refuse_contradicted(
    fits: Sequence[LimitFit], low: ArrayLike, last: ArrayLike
) -> list[LimitFit]:
    """The fits of contexts n = 0, 1, ..., refused from the first that is contradicted on.

    Where the interval of a limit lies below what counts prove of H_n, the curve bends in a way that
    the fit does not allow for; with more context it is farther from its limit, and bends more.
    Where one more token of context does not lower the loss at the largest size, the learner does
    not use it yet, and its curve says nothing about the limit.

    Parameters
    ----------
    fits : sequence of LimitFit
        By context.
    low : (n_contexts,) numbers
        Lower ends of H_n, from counts.
    last : (n_contexts,) numbers
        Losses at the largest size.
    """
    bounds, losses = np.asarray(low, dtype=np.float64), np.asarray(last, dtype=np.float64)
    kept: list[LimitFit] = []
    reason = None
    for n, fit in enumerate(fits):
        if reason is None and fit.high is not None and fit.identifiable and fit.high < bounds[n]:
            reason = (
                f"the limit at n = {n}, at most {fit.high:.3f}, contradicts the counts, by which "
                f"H_{n} is at least {bounds[n]:.3f}"
            )
        if reason is None and n > 0 and not losses[n] < losses[n - 1]:
            reason = (
                f"{n} tokens of context give no smaller loss than {n - 1} at the largest size, so "
                "the curve is far from its limit"
            )
        kept.append(
            fit if reason is None else dataclasses.replace(fit, identifiable=False, reason=reason)
        )
    return kept


def _refused(reason: str, p: Floats, level: float) -> LimitFit:
    """A fit without values."""
    return LimitFit(
        limit=None,
        low=None,
        high=None,
        delta=None,
        delta_low=None,
        delta_high=None,
        amplitude=None,
        window=(float(p[0]), float(p[-1])) if len(p) else None,
        points=len(p),
        level=level,
        identifiable=False,
        method=_METHOD,
        reason=reason,
    )


def _too_few_losses(p: Floats, y: Floats) -> str | None:
    """Why no limit can be fitted to these losses, or None."""
    if len(p) < _MIN_SIZES:
        return f"{len(p)} size(s) of training set, {_MIN_SIZES} needed"
    if p[-1] < MIN_SPAN * p[0]:
        return (
            f"the sizes span a factor {p[-1] / p[0]:.3g}, {MIN_SPAN:g} needed: too little to "
            "tell the limit from the exponent"
        )
    if y[0] - y[-1] <= 0:
        return "the loss does not fall with the number of training tokens"
    return None


def _profile_fit(
    p: Floats,
    y: Floats,
    sigma: Floats | None,
    bounds: tuple[float, float],
    common_error: float,
    level: float,
) -> LimitFit:
    """The fit of all sizes, its interval extended to the shorter windows and the common error."""
    fit = _fit(p, y, sigma, bounds, level)
    if fit is None:
        return _refused("no falling curve within the bounds of the limit fits the losses", p, level)
    best, grid, interval = fit
    middle = float(np.log(p).mean())
    every = [best, *_shorter_windows(p, y, sigma, bounds, level)]
    common = common_error * normal_quantile(level)
    low, high = _limit_interval(every, interval, bounds, common)
    reasons = _unidentifiable(low, high, bounds[0], (p[0], p[-1]), float(y[0] - y[-1]))
    method = _METHOD
    if len(every) > 1:
        method += f", hull with the estimates of {len(every) - 1} shorter window(s)"
    return LimitFit(
        limit=best.limit,
        low=low,
        high=high,
        delta=best.delta,
        delta_low=float(grid.delta.min()),
        delta_high=float(grid.delta.max()),
        amplitude=_exp(math.log(best.amplitude) + best.delta * middle),
        window=(float(p[0]), float(p[-1])),
        points=len(p),
        level=level,
        identifiable=not reasons,
        method=method,
        reason="; ".join(reasons) or None,
        _middle=middle,
        _bounds=bounds,
        _common=common,
        _best=tuple(every),
        _grid=grid,
    )


def _shorter_windows(
    p: Floats, y: Floats, sigma: Floats | None, bounds: tuple[float, float], level: float
) -> list[_Best]:
    """The best curves of the windows that leave out the smallest sizes."""
    middle = float(np.log(p).mean())
    curves = []
    for start in range(1, len(p) - _MIN_SIZES + 1):
        if p[-1] < _MIN_SUBWINDOW_SPAN * p[start]:
            break
        errors = None if sigma is None else sigma[start:]
        fit = _fit(p[start:], y[start:], errors, bounds, level)
        if fit is not None:
            shift = float(np.log(p[start:]).mean()) - middle
            curves.append(dataclasses.replace(fit[0], shift=shift))
    return curves


def _limit_interval(
    every: list[_Best],
    interval: tuple[float, float],
    bounds: tuple[float, float],
    common: float,
) -> tuple[float, float]:
    """The interval extended to all windows' limits and widened by the common error."""
    best = every[0].limit
    low = min(interval[0], *(curve.limit for curve in every))
    high = max(interval[1], *(curve.limit for curve in every))
    return (
        max(best - math.hypot(best - low, common), bounds[0]),
        min(best + math.hypot(high - best, common), bounds[1]),
    )


def _unidentifiable(
    low: float, high: float, lower: float, window: tuple[float, float], fall: float
) -> list[str]:
    """Why the data do not determine the limit."""
    reasons = []
    if low <= lower + _ROUNDING:
        reasons.append(f"the interval of the limit reaches {lower:g}, its smallest possible value")
    if high - low > _MAX_WIDTH * fall:
        reasons.append(
            f"the limit may lie anywhere in {low:.3g}..{high:.3g}, a wider range than the "
            f"{fall:.3g} by which the loss falls from {window[0]:.3g} to {window[1]:.3g} tokens"
        )
    return reasons


def _checked(
    tokens: ArrayLike, losses: ArrayLike, errors: ArrayLike | None
) -> tuple[Floats, Floats, Floats | None]:
    p, y = np.asarray(tokens, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if p.ndim != 1 or p.shape != y.shape:
        raise InputError(f"tokens and losses need one length, got {p.shape} and {y.shape}")
    if not (np.all(np.isfinite(p)) and np.all(p > 0) and np.all(np.diff(p) > 0)):
        raise InputError("tokens: must be positive, finite and increasing")
    if not np.all(np.isfinite(y)):
        raise InputError("losses: must be finite")
    if errors is None:
        return p, y, None
    sigma = np.asarray(errors, dtype=np.float64)
    if sigma.shape != p.shape:
        raise InputError(f"errors: needs {len(p)} numbers, got shape {sigma.shape}")
    if not (np.all(np.isfinite(sigma)) and np.all(sigma > 0)):
        raise InputError("errors: must be positive and finite")
    return p, y, sigma


def _fit(
    p: Floats, y: Floats, sigma: Floats | None, bounds: tuple[float, float], level: float
) -> tuple[_Best, _Grid, tuple[float, float]] | None:
    """Best curve, allowed curves, and the interval of the limit, of one window."""
    x = np.log(p) - float(np.log(p).mean())
    w = np.ones(len(p)) if sigma is None else sigma**-2.0
    without_drift = _Curves(x, y, w, bounds, 0.0).allowed(np.zeros(1), 0.0)
    if without_drift is None:
        return None
    scatter = max(without_drift.cost, float(w @ (_ROUNDING * y) ** 2)) / (len(p) - 3)
    if sigma is None:
        threshold = scatter * student_quantile(level, len(p) - 3) ** 2
    else:
        scatter = max(1.0, scatter)
        threshold = scatter * normal_quantile(level) ** 2
    curves = _Curves(x, y, w, bounds, scatter / DRIFT**2)
    low, high = -_DRIFT_RANGE * DRIFT, _DRIFT_RANGE * DRIFT
    allowed = None
    for _ in range(_ZOOMS):
        drifts = np.linspace(low, high, _DRIFTS)
        allowed = curves.allowed(drifts, threshold)
        if allowed is None:
            return None
        rows = np.flatnonzero(np.isin(drifts, allowed.grid.drift))
        if len(rows) > _DRIFTS // 3:
            break
        step = float(drifts[1] - drifts[0])
        low = max(float(drifts[rows[0]]) - step, low)
        high = min(float(drifts[rows[-1]]) + step, high)
    assert allowed is not None
    below, above = allowed.grid.extremes(np.zeros(len(allowed.grid.delta)))
    ends = max(float(below.min()), bounds[0]), min(float(above.max()), bounds[1])
    return allowed.best, allowed.grid, ends


@dataclass(frozen=True)
class _Allowed:
    """The minimum cost, its curve, and all curves within the threshold of it."""

    cost: float
    best: _Best
    grid: _Grid


class _Curves:
    """Misfits of ``H + A decay(delta, k)``, with H and A solved exactly."""

    def __init__(
        self, x: Floats, y: Floats, w: Floats, bounds: tuple[float, float], penalty: float
    ) -> None:
        self.x, self.w, self.bounds, self.penalty = x, w, bounds, penalty
        self.total = float(w.sum())
        self.mean_y = float(w @ y) / self.total
        self.y = y - self.mean_y

    def allowed(self, drifts: Floats, threshold: float) -> _Allowed | None:
        """Everything within `threshold` of the best; None if no curve falls.

        Every drift has its own grid of delta, zoomed until the allowed values fill it: delta and
        drift trade off, and a common box around both would be nearly empty.
        """
        low, high = (np.full(len(drifts), math.log(d)) for d in _DELTA_RANGE)
        fraction = np.linspace(0.0, 1.0, _DELTAS)
        row = np.arange(len(drifts))
        for _ in range(_ZOOMS):
            logs = low[:, None] + (high - low)[:, None] * fraction
            cost, free, solved = self._solve(np.exp(logs), drifts[:, None])
            with np.errstate(invalid="ignore"):
                near = cost <= cost.min(axis=1, keepdims=True) + threshold
            first = np.maximum(near.argmax(axis=1) - 1, 0)
            last = np.minimum(_DELTAS - near[:, ::-1].argmax(axis=1), _DELTAS - 1)
            if np.all(last - first > _DELTAS // 2) or np.all(high - low < _ROUNDING):
                break
            low, high = logs[row, first], logs[row, last]
        best = float(cost.min())
        if not math.isfinite(best):
            return None
        at = np.unravel_index(int(cost.argmin()), cost.shape)
        allowed = cost <= best + threshold
        limit, amplitude, mean, spread = solved
        deltas = np.exp(logs)
        grid = _Grid(
            delta=deltas[allowed],
            drift=np.broadcast_to(drifts[:, None], cost.shape)[allowed],
            limit=limit[allowed],
            amplitude=amplitude[allowed],
            spare=best + threshold - free[allowed],
            mean=mean[allowed],
            spread=spread[allowed],
            weight=self.total,
        )
        bounded = min(max(float(limit[at]), self.bounds[0]), self.bounds[1])
        moved = (bounded - float(limit[at])) * float(mean[at]) * self.total
        # The least-squares amplitude once the limit is fixed at its bound.
        height = float(amplitude[at]) - moved / (
            float(spread[at]) + self.total * float(mean[at]) ** 2
        )
        if height <= 0:
            return None
        best_curve = _Best(float(deltas[at]), float(drifts[at[0]]), bounded, height, 0.0)
        return _Allowed(best, best_curve, grid)

    def _solve(self, delta: Floats, drift: Floats) -> tuple[Floats, Floats, tuple[Floats, ...]]:
        """(cost, cost with H unbounded, (H, A, mean and spread of the decay)) of each pair."""
        decay = np.exp(-delta[..., None] * _path(self.x, drift[..., None]))
        mean = decay @ self.w / self.total
        centred = decay - mean[..., None]
        spread = centred**2 @ self.w
        amplitude = centred @ (self.w * self.y) / spread
        limit = self.mean_y - amplitude * mean
        misfit = (self.y - amplitude[..., None] * centred) ** 2 @ self.w
        free = np.where(amplitude > 0, misfit + self.penalty * drift**2, np.inf)
        held = np.clip(limit, *self.bounds) - limit
        cost = free + held**2 / (1 / self.total + mean**2 / spread)
        return cost, free, (limit, amplitude, mean, spread)
