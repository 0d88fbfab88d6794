"""gamma from the drops of the entropy curve, with H_inf free: ``H_{n-1} - H_n ~ n**-(gamma+1)``.

Drops do not contain H_inf, and most of the sampling error of H_n is shared by all contexts and
cancels in them. At the short contexts that can be counted the law still needs a correction,
log drop = a - (gamma+1) log(n - 1/2) + c/n. A free c costs precision and leaving c out costs bias,
so c has a prior at zero of standard deviation 1/2, and the interval includes the fits with a free c
and without c.
On the run process with gamma = 1.7, 2 and 3, exact drops of n = 4 .. 12 give a gamma that is too
low by at most .04 without c, too high by at most .05 with a free one, and within .01 with the
prior.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.criteria import DECISIVE_BIC, MIN_USABLE
from ngramstat.exponents.intervals import percentile_interval, replicates_missing
from ngramstat.results import Alternative, AlternativeKind, Exponent, IntervalParts

__all__ = ["MIN_DROPS", "gamma_of_drops", "replicate_drop_gammas"]

Floats = NDArray[np.float64]

# Twice the number of parameters, so that three points remain that can contradict the law. With five
# drops, of n = 2 .. 6, gamma = 3 was estimated as 2.78, with intervals that contained 3 in half of
# the draws.
MIN_DROPS = 6
# Prior standard deviation of the correction's coefficient.
_CORRECTION = 0.5
# Scatters of the log drops beyond sampling error, tried in turn. The first with which a power law
# or an exponential fits is used, so that a rough curve is not weighted as if it were smooth.
_SCATTERS = (0.01, 0.03, 0.1, 0.3)
# The next drop contradicts the law if its upper bound is below this fraction of the predicted drop.
_CONTRADICTION = 0.5


@dataclass(frozen=True)
class _Law:
    """A weighted least-squares line through log drops; `linear` maps log drops to gamma."""

    gamma: float
    chi2: float
    parameters: int
    coefficients: Floats
    linear: Floats


def _fit(design: Floats, log_drop: Floats, weights: Floats, prior: float = 0.0) -> _Law:
    """Least squares; `prior` is the precision of a prior at zero of the third coefficient."""
    precision = np.zeros(design.shape[1])
    precision[2:] = prior
    normal = (design.T * weights) @ design + np.diag(precision)
    solve = np.linalg.solve(normal, design.T * weights)
    coefficients = solve @ log_drop
    residuals = log_drop - design @ coefficients
    return _Law(
        gamma=float(coefficients[1]) - 1.0,
        chi2=float(weights @ residuals**2 + precision @ coefficients**2),
        parameters=design.shape[1],
        coefficients=coefficients,
        linear=solve[1],
    )


def _plain(n: Floats) -> Floats:
    # The drop from n - 1 to n is the slope half-way between the two.
    return np.column_stack([np.ones(len(n)), -np.log(n - 0.5)])


def _corrected(n: Floats) -> Floats:
    return np.column_stack([_plain(n), 1.0 / n])


def _power_law(n: Floats, log_drop: Floats, weights: Floats) -> _Law:
    return _fit(_corrected(n), log_drop, weights, _CORRECTION**-2)


def gamma_of_drops(
    context: ArrayLike,
    limit: ArrayLike,
    resolved: ArrayLike,
    replicates: ArrayLike | None,
    uncertainty: ArrayLike,
    *,
    level: float = 0.95,
) -> Exponent:
    """gamma of ``H_n - H_inf ~ n**-gamma`` from the drops of resolved contexts.

    Fitted over the upper two thirds of the longest run of resolved contexts: if it ends at N, over
    those drops of n = max(2, N/3) .. N that lie in the run.

    Parameters
    ----------
    context : (k,) integers
        0, 1, 2, ...
    limit : (k,) float64
        Estimates of H_n, nats per token.
    resolved : (k,) bool
        Whether the drop to H_n is known well enough.
    replicates : (n_rep, k) float64 or None
        Document-bootstrap replicates of `limit`, coherent over contexts.
    uncertainty : (k,) float64
        How far bias may shift each estimate, about two standard errors; infinite where unknown,
        which ends the run of contexts.
    level : float
        Confidence level.

    Returns
    -------
    Exponent
        Without a value below six drops. Not reportable where an exponential law is decisively
        better, where the next drop contradicts the law, or where the interval is wider than gamma.

    Raises
    ------
    InputError
        For arrays of different lengths, or contexts that do not count up from 0.
    """
    method = "weighted fit of log(H_{n-1} - H_n) = a - (gamma+1) log(n-1/2) + c/n (H_inf free)"
    drops = _Drops(context, limit, resolved, replicates, uncertainty)
    first, last = drops.fit_range()
    refusal = _refusal(drops, first, last)
    if refusal is not None:
        return Exponent.refused(refusal, method=method, level=level)
    fits = _fit_laws(drops, first, last)
    low, high, usable = drops.interval(first, last, (fits.law, fits.uncorrected), level)
    if low is not None and high is not None:
        low, high = min(low, fits.free.gamma), max(high, fits.free.gamma)
    reasons = [
        *_law_reasons(drops, fits, last),
        *_interval_reasons(drops.count, usable, (low, high), fits.law.gamma, level),
    ]
    return Exponent(
        value=fits.law.gamma,
        low=None if low is None else min(low, fits.law.gamma),
        high=None if high is None else max(high, fits.law.gamma),
        level=level,
        window=(float(first), float(last)),
        points=fits.points,
        method=method + "; percentile interval over documents, with and without c, and a free c",
        weights=fits.weights,
        parts=IntervalParts(documents=_documents(drops, fits, first, last, level)),
        reportable=not reasons,
        reason="; ".join(reasons) or None,
        alternatives=tuple(_alternatives(fits)),
    )


def _documents(
    drops: _Drops, fits: _Fits, first: int, last: int, level: float
) -> tuple[float, float] | None:
    """The part of the interval that one law has over resampled documents."""
    low, high, _ = drops.interval(first, last, (fits.law,), level)
    if low is None or high is None:
        return None
    return min(low, fits.law.gamma), max(high, fits.law.gamma)


def _refusal(drops: _Drops, first: int, last: int) -> str | None:
    """Why the drops of this range cannot be fitted, or None."""
    points = last - first + 1
    if points < MIN_DROPS:
        return f"{max(points, 0)} drop(s) between resolved contexts, {MIN_DROPS} needed"
    falls = drops.value[first - 1 : last] > 0
    if np.all(falls):
        return None
    flat = first + int(np.argmin(falls))
    return f"the entropy does not fall from n = {flat - 1} to {flat}"


@dataclass(frozen=True)
class _Fits:
    """The laws fitted to the log drops of contexts `n`, all with the same weights."""

    n: Floats
    log_drop: Floats
    weights: Floats
    law: _Law
    exponential: _Law
    uncorrected: _Law
    free: _Law

    @property
    def points(self) -> int:
        return len(self.n)


def _fit_laws(drops: _Drops, first: int, last: int) -> _Fits:
    n, drop = np.arange(first, last + 1, dtype=np.float64), drops.value[first - 1 : last]
    relative = drops.spread[first - 1 : last] / drop
    log_drop = np.log(drop)
    for scatter in _SCATTERS:
        weights = 1.0 / (relative**2 + scatter**2)
        law = _power_law(n, log_drop, weights)
        exponential = _fit(np.column_stack([np.ones(len(n)), -n]), log_drop, weights)
        if min(law.chi2, exponential.chi2) <= len(n) - 2:
            break
    return _Fits(
        n=n,
        log_drop=log_drop,
        weights=weights,
        law=law,
        exponential=exponential,
        uncorrected=_fit(_plain(n), log_drop, weights),
        free=_fit(_corrected(n), log_drop, weights),
    )


def _law_reasons(drops: _Drops, fits: _Fits, last: int) -> list[str]:
    """Why the drops are not those of a power law."""
    reasons = []
    best = min(_bic(fits.law, fits.points), _bic(fits.uncorrected, fits.points))
    advantage = best - _bic(fits.exponential, fits.points)
    if advantage > DECISIVE_BIC:
        reasons.append(f"not a power law: exponential drops fit better (BIC by {advantage:.0f})")
    contradiction = drops.contradiction(last, fits.law)
    if contradiction:
        reasons.append(contradiction)
    return reasons


def _interval_reasons(
    count: int,
    usable: float,
    interval: tuple[float | None, float | None],
    gamma: float,
    level: float,
) -> list[str]:
    """Why there is no interval to report, or why it is too wide."""
    reasons = []
    missing = replicates_missing(count, level)
    if missing is not None:
        reasons.append(missing)
    elif usable < MIN_USABLE:
        reasons.append(
            f"only {100 * usable:.0f}% of the bootstrap replicates fall at every context"
        )
    low, high = interval
    if low is not None and high is not None:
        if low <= 0:
            reasons.append("the interval includes zero or growth")
        elif high - low > gamma:
            reasons.append(f"the interval {low:.2f} .. {high:.2f} is wider than gamma itself")
    return reasons


def replicate_drop_gammas(fitted: Exponent, replicates: ArrayLike) -> Floats:
    """gamma of every replicate of the entropies, in the window and with the weights of its fit.

    Parameters
    ----------
    fitted : Exponent
        The result of `gamma_of_drops` for this curve, with a value.
    replicates : (n_rep, k) float64
        Of the entropies of n = 0, 1, 2, ...

    Returns
    -------
    (n_rep,) float64
        NaN where the entropy does not fall at every context of the window.
    """
    reps = np.asarray(replicates, dtype=np.float64)
    assert fitted.window is not None
    assert fitted.weights is not None
    first, last = (int(n) for n in fitted.window)
    m = np.arange(first, last + 1, dtype=np.float64)
    linear = _power_law(m, np.zeros(len(m)), np.asarray(fitted.weights)).linear
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(reps[:, first - 1 : last] - reps[:, first : last + 1])
        gammas: Floats = logs @ linear - 1.0
    return np.where(np.isfinite(gammas), gammas, np.nan)


def _longest_run(marks: NDArray[np.bool_]) -> tuple[int, int]:
    """First and last of the longest run of resolved contexts n >= 1; (1, 0) without any."""
    best, first = (1, 0), 1
    for n in range(1, len(marks)):
        if not marks[n]:
            first = n + 1
        elif n - first > best[1] - best[0]:
            best = (first, n)
    return best


def _bic(law: _Law, points: int) -> float:
    return law.chi2 + law.parameters * math.log(points)


def _alternatives(fits: _Fits) -> Iterator[Alternative]:
    """Without and with a free correction, and with either end of the window left out."""

    def entry(kind: AlternativeKind, method: str, law: _Law, n: Floats) -> Alternative:
        window = (float(n[0]), float(n[-1]))
        return Alternative(kind=kind, method=method, value=law.gamma, window=window, points=len(n))

    kinds = AlternativeKind
    yield entry(kinds.WITHOUT_CORRECTION, "without the correction c/n", fits.uncorrected, fits.n)
    yield entry(kinds.FREE_CORRECTION, "with a free correction c/n", fits.free, fits.n)
    if fits.points <= MIN_DROPS:
        return
    for kind, name, part in (
        (kinds.WITHOUT_FIRST_DROP, "first", slice(1, None)),
        (kinds.WITHOUT_LAST_DROP, "last", slice(None, -1)),
    ):
        law = _power_law(fits.n[part], fits.log_drop[part], fits.weights[part])
        yield entry(kind, f"without the {name} drop", law, fits.n[part])


class _Drops:
    """The drops H_{n-1} - H_n, n = 1 .., with their replicates and uncertainties."""

    def __init__(
        self,
        context: ArrayLike,
        limit: ArrayLike,
        resolved: ArrayLike,
        replicates: ArrayLike | None,
        uncertainty: ArrayLike,
    ) -> None:
        n = np.asarray(context, dtype=np.float64)
        y, bias = np.asarray(limit, np.float64), np.asarray(uncertainty, np.float64)
        marks = np.asarray(resolved, dtype=bool)
        if n.ndim != 1 or not np.array_equal(n, np.arange(len(n))):
            raise InputError("context: must count up from 0")
        if y.shape != n.shape or marks.shape != n.shape or bias.shape != n.shape:
            raise InputError("context, limit, resolved and uncertainty need one length")
        reps = np.zeros((0, len(n))) if replicates is None else np.asarray(replicates, np.float64)
        if reps.ndim != 2 or reps.shape[1] != len(n):
            raise InputError(f"replicates: needs shape (n, {len(n)}), got {reps.shape}")
        self.value = y[:-1] - y[1:]
        self.count = len(reps)
        self._usable = marks & np.isfinite(bias)
        sampled = reps[:, :-1] - reps[:, 1:]
        # The uncertainty is about two standard errors of a bias of unknown sign at every context.
        rng = np.random.default_rng(0)
        known = np.where(np.isfinite(bias[1:]), bias[1:], 0.0) / 2
        self._replicates = sampled + known * rng.standard_normal(sampled.shape)
        sampling = sampled.std(axis=0, ddof=1) if self.count > 1 else np.zeros(len(self.value))
        self.spread: Floats = np.hypot(sampling, known)
        self._uncertainty = bias[1:]

    def fit_range(self) -> tuple[int, int]:
        """First and last context whose drop is fitted; the last is smaller without any."""
        start, last = _longest_run(self._usable)
        return max(2, start, math.ceil(last / 3)), last

    def interval(
        self, first: int, last: int, laws: tuple[_Law, ...], level: float
    ) -> tuple[float | None, float | None, float]:
        """Hull of the laws' percentile intervals, and the fraction of usable replicates."""
        reps = self._replicates[:, first - 1 : last]
        good = np.all(np.isfinite(reps) & (reps > 0), axis=1)
        fraction = float(good.mean()) if len(good) else 0.0
        if not good.any():
            return None, None, fraction
        logs = np.log(reps[good])
        ends = [percentile_interval(logs @ law.linear - 1.0, level) for law in laws]
        return min(low for low, _ in ends), max(high for _, high in ends), fraction

    def contradiction(self, last: int, law: _Law) -> str | None:
        """Why the drop after the last resolved context contradicts the law, or None."""
        if last >= len(self.value):
            return None
        bound = self.value[last] + 2 * self.spread[last]
        if not (math.isfinite(self._uncertainty[last]) and math.isfinite(bound)):
            return None
        n = np.array([last + 1.0])
        expected = float(np.exp((_corrected(n) @ law.coefficients)[0]))
        if bound >= _CONTRADICTION * expected:
            return None
        return (
            f"not a power law: H_n falls by at most {max(bound, 0.0):.2g} from n = {last} to "
            f"{last + 1}, where the law predicts {expected:.2g}"
        )
