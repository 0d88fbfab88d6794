"""What a run predicts: alpha_D with its conditions, horizons, thresholds and expected losses.

Cagnetta et al. 2026, eqs. 28-31 and 42. No prefactor of a loss curve and no absolute horizon of a
trained learner is predicted from the text alone: expected losses need two measured ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.prediction.alpha import (
    alpha_draws,
    alpha_error,
    alpha_exponent,
    paired_replicates,
)
from ngramstat.prediction.collapse import collapse
from ngramstat.prediction.gates import (
    context_gate,
    exponent_gates,
    fast_learning_gate,
    lag_gates,
    stage_gate,
)
from ngramstat.prediction.horizons import (
    Curve,
    alpha_of_stages,
    context_length,
    horizon,
    noise_constant,
    stages,
    thresholds,
)
from ngramstat.prediction.loss_curve import loss_curve
from ngramstat.prediction.user_curves import counted_curves, curve_limits, curves_result
from ngramstat.results import (
    Collapse,
    CorrelationResult,
    CurvesResult,
    CurveTable,
    EntropyResult,
    Exponent,
    LossFit,
    LossPoint,
    Prediction,
    StagePoint,
    ThresholdPoint,
)

__all__ = ["alpha_error", "alpha_exponent", "horizon", "noise_constant", "predict", "thresholds"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Alpha:
    """One of the two alphas, with draws that stand for its error."""

    name: str
    exponent: Exponent
    gamma: Exponent
    draws: Floats | None


def predict(
    correlations: CorrelationResult,
    entropies: EntropyResult,
    *,
    tokens: Sequence[float] = (),
    losses: Sequence[tuple[float, float]] = (),
    context: int | None = None,
    curves: CurveTable | None = None,
) -> Prediction:
    """alpha_D from both halves of a run, with its gates, horizons and thresholds.

    Parameters
    ----------
    correlations, entropies : CorrelationResult, EntropyResult
        Of the same corpus.
    tokens : sequence of float
        Numbers of training tokens P at which horizon, context length, stage and expected loss are
        wanted.
    losses : sequence of (float, float)
        (training tokens, loss in nats per token) of one's own models, two at least; the expected
        loss curve goes through them.
    context : int, optional
        Context T of those models, in tokens; else the largest context of `curves`.
    curves : CurveTable, optional
        Losses of one's own models by context and training tokens.

    Raises
    ------
    InputError
        If a number of tokens is not positive and finite, or losses cannot be used.
    """
    for number in tokens:
        if not (math.isfinite(number) and number > 0):
            raise InputError(f"tokens: needs positive numbers, got {number:g}")
    if context is not None and context < 1:
        raise InputError(f"context: needs at least 1, got {context}")
    asked = [float(p) for p in tokens]
    c = correlations
    kappa = noise_constant(c.noise_floor, c.pairs)
    usable = np.where(c.valid, c.best_norm, np.nan)
    needed = (
        thresholds(c.lags, usable, kappa) if kappa is not None else np.full(len(c.lags), np.nan)
    )
    alphas = [_alpha(c, entropies, name) for name in ("gamma", "gamma_finite")]
    # Of what can be reported first, and the limit's before the finite one.
    chosen = min(alphas, key=lambda a: (not a.exponent.reportable, a.exponent.value is None))
    known = _at_contexts(c, needed)
    counted = counted_curves(entropies)
    counted_fits = {} if counted is None else curve_limits(counted, known, level=c.beta.level)
    imported: CurvesResult | None = None
    gate_fits, gate_alpha = counted_fits, chosen.exponent
    if curves is not None:
        imported, gate_fits = curves_result(curves, c.beta, known, level=c.beta.level)
        theirs = [a for a in (imported.alpha, imported.alpha_finite) if a.value is not None]
        gate_alpha = min(theirs, key=lambda a: not a.reportable) if theirs else gate_alpha
        if context is None:
            context = int(imported.context.max())
    curve = None
    if kappa is not None:
        curve = Curve(
            c.lags, c.best_norm, c.valid, kappa, c.beta, norm_low=c.norm_low, norm_high=c.norm_high
        )
    horizons = tuple(curve.horizon(p) for p in asked) if curve is not None else ()
    lengths = tuple(context_length(curve, p) for p in asked) if curve is not None else ()
    by_stage = {i: _of_stage(chosen, beta, c.beta) for i, beta in enumerate(stages(c.beta))}
    stage = tuple(alpha_of_stages(curve, b.tokens, by_stage, b) for b in lengths if curve)
    points, fit = _losses(losses, chosen, asked, stage, c.beta)
    return Prediction(
        alpha=alphas[0].exponent,
        alpha_finite=alphas[1].exponent,
        gates=(
            *exponent_gates(c, entropies),
            *lag_gates(c),
            fast_learning_gate(gate_fits, gate_alpha, "counted" if curves is None else "imported"),
            context_gate(horizons, context),
            stage_gate(stage, c.beta),
        ),
        horizon=horizons,
        threshold=tuple(
            ThresholdPoint(lag=int(lag), tokens=None if math.isnan(p) else float(p))
            for lag, p in zip(c.lags, needed, strict=True)
        ),
        kappa=kappa,
        context_length=lengths,
        stage=stage,
        loss_curve=points,
        loss_fit=fit,
        collapse=tuple(
            _collapses(entropies.gamma, entropies.gamma_finite, c.beta, counted, "counted")
            + (
                []
                if imported is None
                else _collapses(imported.gamma, imported.gamma_finite, c.beta, curves, "imported")
            )
        ),
        curves=imported,
    )


_METHODS = {
    "gamma": "gamma / (2 beta), gamma of the limit curve",
    "gamma_finite": "gamma / (2 beta), gamma of the held-out curve at this corpus size",
}


def _alpha(correlations: CorrelationResult, entropies: EntropyResult, name: str) -> _Alpha:
    gamma: Exponent = getattr(entropies, name)
    pairs = paired_replicates(correlations, entropies, name)
    beta = correlations.beta
    return _Alpha(
        "alpha" if name == "gamma" else "alpha_finite",
        alpha_exponent(gamma, beta, method=_METHODS[name], replicates=pairs),
        gamma,
        alpha_draws(gamma, beta, replicates=pairs),
    )


def _of_stage(chosen: _Alpha, beta: Exponent, headline: Exponent) -> Exponent:
    """alpha with the beta of one stage; the headline's keeps its joint interval."""
    return chosen.exponent if beta is headline else alpha_exponent(chosen.gamma, beta)


def _at_contexts(correlations: CorrelationResult, needed: Floats) -> dict[int, float]:
    """P*_n at every n up to the last resolved lag, interpolated in log-log between the lags."""
    good = np.isfinite(needed)
    if not good.any():
        return {}
    lags = correlations.lags[good].astype(np.float64)
    n = np.arange(int(lags[0]), int(lags[-1]) + 1)
    values = np.exp(np.interp(np.log(n), np.log(lags), np.log(needed[good])))
    return dict(zip(n.tolist(), values.tolist(), strict=True))


def _losses(
    losses: Sequence[tuple[float, float]],
    chosen: _Alpha,
    tokens: Sequence[float],
    stage: Sequence[StagePoint],
    beta: Exponent,
) -> tuple[tuple[LossPoint, ...], LossFit | None]:
    if not losses:
        return (), None
    others = [p for p in stage if p.stage in ("first", "second") and p.beta != beta.value]
    doubts = []
    if others:
        listed = ", ".join(f"{p.tokens:.3g}" for p in others)
        doubts.append(
            f"at {listed} tokens the {others[0].stage} stage of the decay of ||C(t)|| holds, with "
            "an alpha of its own"
        )
    return loss_curve(
        losses, chosen.exponent, chosen.draws, tokens, name=chosen.name, doubts=doubts
    )


def _collapses(
    gamma: Exponent, finite: Exponent, beta: Exponent, table: CurveTable | None, source: str
) -> list[Collapse]:
    """The raw protocol with the slope at this P, and the shifted one where H_inf is identified."""
    if table is None or beta.value is None or beta.value <= 0:
        return []
    wanted = [(finite.value, 0.0)]
    for other in (*gamma.alternatives, *finite.alternatives):
        rate = other.get("entropy_rate")
        if other.get("identifiable") and other.get("value") and rate is not None and rate > 0:
            wanted.append((float(other["value"]), float(rate)))
            break
    found = []
    for value, rate in wanted:
        if value is None or value <= 0:
            continue
        result = collapse(
            table.context, table.tokens, table.loss, value, beta.value,
            entropy_rate=rate, source=source,
        )  # fmt: skip
        if result is not None:
            found.append(result)
    return found
