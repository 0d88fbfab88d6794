"""Learning curves from elsewhere: limits, delta, gamma and alpha of a user's own models.

The same fits and gates as for our counted learners: limits by `learning_limit`, the paper's raw
slope at one P by `gamma_finite_exponent`, the slope of the limits by `gamma_exponent`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ngramstat.exponents.entropy_decay import (
    gamma_exponent,
    gamma_finite_exponent,
    shifted_alternative,
)
from ngramstat.exponents.learning_limit import LimitFit, learning_limit
from ngramstat.prediction.alpha import alpha_exponent
from ngramstat.results import CurvesResult, CurveTable, EntropyResult, Exponent

__all__ = ["counted_curves", "curve_limits", "curves_result"]

Floats = NDArray[np.float64]

# Above this multiple of P*_n the approach to the limit is the power law of delta_n (the paper's).
_ABOVE_THRESHOLD = 10.0
# A context is resolved where the interval of its limit is at most this share of the drop to it.
_RESOLVED_SHARE = 0.25
_MIN_CONTEXTS = 3
_REPLICATES = 999
_SEED = 21


def counted_curves(entropies: EntropyResult) -> CurveTable | None:
    """The learning curves of the counted learner, one loss a row; None without several."""
    curve = entropies.learning_curve
    if curve is None or len(curve.tokens) < 2:
        return None
    n, p = np.meshgrid(entropies.context, curve.tokens.astype(np.float64), indexing="ij")
    y = curve.held_out.T
    good = np.isfinite(y) & (y > 0) & (n >= 1)
    if not good.any():
        return None
    replicates = np.ones(len(curve.tokens), np.int64)
    if curve.replicates is not None:
        replicates = curve.replicates
    return CurveTable(
        context=n[good],
        tokens=p[good],
        loss=y[good],
        error=None if curve.error is None else curve.error.T[good],
        replicates=np.broadcast_to(replicates, y.shape)[good],
    )


def curve_limits(
    table: CurveTable, thresholds: Mapping[int, float], *, level: float = 0.95
) -> dict[int, LimitFit]:
    """The limit of every context's curve, from its sizes of at least 10 P*_n.

    Parameters
    ----------
    table : CurveTable
    thresholds : mapping of context to tokens
        P*_n, where known; contexts without one keep all sizes.
    level : float
    """
    found = {}
    for n in np.unique(table.context).tolist():
        rows = table.context == n
        needed = thresholds.get(n)
        if needed is not None:
            rows &= table.tokens >= _ABOVE_THRESHOLD * needed
        errors = None if table.error is None else table.error[rows]
        if errors is not None and not np.all(np.isfinite(errors) & (errors > 0)):
            errors = None
        fit = learning_limit(table.tokens[rows], table.loss[rows], errors, level=level)
        left_out = int((table.context == n).sum()) - len(table.tokens[rows])
        if needed is not None and left_out and fit.limit is None:
            reason = f"{fit.reason} ({left_out} below 10 P*_n = {10 * needed:.3g} tokens left out)"
            fit = dataclasses.replace(fit, reason=reason)
        found[n] = fit
    return found


def curves_result(
    table: CurveTable, beta: Exponent, thresholds: Mapping[int, float], *, level: float = 0.95
) -> tuple[CurvesResult, dict[int, LimitFit]]:
    """Everything that imported curves say, with the beta of the corpus.

    Parameters
    ----------
    table : CurveTable
    beta : Exponent
        Of the corpus the models were trained on.
    thresholds : mapping of context to tokens
        P*_n of that corpus, where known.
    level : float
    """
    fits = curve_limits(table, thresholds, level=level)
    context = np.array(list(fits), dtype=np.int64)

    def column(name: str) -> Floats:
        values = [getattr(fit, name) for fit in fits.values()]
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)

    limit, low, high = column("limit"), column("low"), column("high")
    identifiable = np.array([fit.identifiable for fit in fits.values()], dtype=bool)
    resolved = identifiable & _resolved(limit, high - low)
    gamma = gamma_exponent(context, limit, low, high, resolved, level=level)
    largest, finite = _at_largest(table, level)
    return CurvesResult(
        context=context,
        limit=limit,
        limit_low=low,
        limit_high=high,
        identifiable=identifiable,
        delta=column("delta"),
        delta_low=column("delta_low"),
        delta_high=column("delta_high"),
        points=np.array([fit.points for fit in fits.values()], dtype=np.int64),
        reasons=tuple(fit.reason or "" for fit in fits.values()),
        largest_tokens=largest,
        gamma=gamma,
        gamma_finite=finite,
        alpha=alpha_exponent(
            gamma, beta, method="gamma / (2 beta), gamma of the imported curves' limits"
        ),
        alpha_finite=alpha_exponent(
            finite, beta, method="gamma / (2 beta), gamma of the imported curves at their largest P"
        ),
        table=table,
    ), fits


def _resolved(limit: Floats, width: Floats) -> NDArray[np.bool_]:
    """Whether each interval is small beside the drop from the context before (or to the next)."""
    if len(limit) < 2:
        return np.zeros(len(limit), dtype=bool)
    drops = limit[:-1] - limit[1:]
    drops = np.append(drops[:1], drops)
    with np.errstate(invalid="ignore"):
        found: NDArray[np.bool_] = (width <= _RESOLVED_SHARE * drops) & (drops > 0)
    return found


def _at_largest(table: CurveTable, level: float) -> tuple[float | None, Exponent]:
    """gamma of the raw losses at the largest P that has three contexts of at least 1."""
    used = table.context >= 1
    sizes, counts = np.unique(table.tokens[used], return_counts=True)
    enough = sizes[counts >= _MIN_CONTEXTS]
    if len(enough) == 0:
        most = int(counts.max()) if len(counts) else 0
        return None, Exponent.refused(
            f"no number of tokens with losses of {_MIN_CONTEXTS} contexts, {most} at most",
            method="OLS of log loss on log n at one number of tokens (H_inf = 0)",
            level=level,
        )
    tokens = float(enough[-1])
    rows = used & (table.tokens == tokens)
    n, y = table.context[rows], table.loss[rows]
    replicates = None
    errors = None if table.error is None else table.error[rows]
    if errors is not None and np.all(np.isfinite(errors) & (errors > 0)):
        generator = np.random.default_rng(_SEED)
        replicates = y + errors * generator.standard_normal((_REPLICATES, len(y)))
    window = (int(n[0]), int(n[_MIN_CONTEXTS - 1]))
    found = gamma_finite_exponent(n, y, replicates, level=level, window=window)
    if len(n) > _MIN_CONTEXTS:
        others = (*found.alternatives, *shifted_alternative(n.astype(np.float64), y, level))
        found = dataclasses.replace(found, alternatives=others)
    return tokens, found
