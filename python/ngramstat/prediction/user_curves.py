"""Learning curves that the user brings: limits, delta, gamma and alpha of the user's own models.

They are fitted and checked like those of the counted learners: limits by `learning_limit`, the
paper's raw slope at one P by `raw_gamma`, the slope of the limits by `gamma_exponent`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ngramstat.exponents.criteria import MIN_CONTEXTS, RESOLVED_FRACTION
from ngramstat.exponents.entropy_decay import gamma_exponent, shifted_alternative
from ngramstat.exponents.learning_limit import LimitFit, learning_limit
from ngramstat.exponents.raw_gamma import GAMMA_WINDOW
from ngramstat.prediction.alpha import alpha_exponent
from ngramstat.prediction.paper import gammas_of_curves
from ngramstat.results import CurvesResult, CurveTable, EntropyResult, Exponent

__all__ = [
    "counted_curves",
    "curve_limits",
    "curves_result",
    "gamma_at_largest",
]

Floats = NDArray[np.float64]

# Above this multiple of P*_n the loss approaches the limit by the power law of delta_n (from the
# paper).
_ABOVE_THRESHOLD = 10.0


def counted_curves(entropies: EntropyResult) -> CurveTable | None:
    """The learning curves of the counted learner, one loss per row; None for a single size."""
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
    fits = {}
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
        fits[n] = fit
    return fits


def curves_result(
    table: CurveTable, beta: Exponent, thresholds: Mapping[int, float], *, level: float = 0.95
) -> tuple[CurvesResult, dict[int, LimitFit]]:
    """Limits and exponents of the user's curves, with the beta of the corpus.

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
    gamma = gamma_exponent(
        context, limit, low, high, resolved, drop_error=_drop_errors(low, high), level=level
    )
    largest, finite = gamma_at_largest(table, level=level)
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
            gamma, beta, method="gamma / (2 beta), gamma of the limits of the user's curves"
        ),
        alpha_finite=alpha_exponent(
            finite, beta, method="gamma / (2 beta), gamma of the user's curves at their largest P"
        ),
        table=table,
    ), fits


def _resolved(limit: Floats, width: Floats) -> NDArray[np.bool_]:
    """Whether each interval is small compared with the drop from the context before it.

    The first context has none before it and is compared with the drop to the next one.
    """
    if len(limit) < 2:
        return np.zeros(len(limit), dtype=bool)
    drops = limit[:-1] - limit[1:]
    drops = np.append(drops[:1], drops)
    with np.errstate(invalid="ignore"):
        resolved: NDArray[np.bool_] = (width <= RESOLVED_FRACTION * drops) & (drops > 0)
    return resolved


def _drop_errors(low: Floats, high: Floats) -> Floats:
    """Standard errors of the drops between limits; their errors are independent."""
    # An interval is about four standard errors wide.
    error = (high - low) / 4
    return np.append(np.nan, np.hypot(error[:-1], error[1:]))


def gamma_at_largest(table: CurveTable, *, level: float = 0.95) -> tuple[float | None, Exponent]:
    """The largest P with at least three contexts n >= 1, and gamma of the raw losses there."""
    found = gammas_of_curves(table, level=level)
    if not found:
        return None, Exponent.refused(
            f"no number of tokens with losses of {MIN_CONTEXTS} contexts in "
            f"{GAMMA_WINDOW[0]}..{GAMMA_WINDOW[1]}",
            method="raw OLS of log loss on log n at one number of training tokens",
            level=level,
        )
    tokens, gamma = found[0].tokens, found[0].gamma
    rows = (table.context >= 1) & (table.tokens == tokens)
    n, y = table.context[rows], table.loss[rows]
    if len(n) > MIN_CONTEXTS:
        shifted = shifted_alternative(n.astype(np.float64), y, level)
        gamma = dataclasses.replace(gamma, alternatives=(*gamma.alternatives, shifted))
    return tokens, gamma
