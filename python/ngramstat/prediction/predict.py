"""What a run predicts: alpha_D with its conditions, horizons, thresholds and expected losses.

Cagnetta et al. 2026, eqs. 28-31 and 42. The corpus alone predicts neither the prefactor of a loss
curve nor the absolute horizon of a trained learner: expected losses need two measured ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError, check_positive
from ngramstat.exponents.learning_limit import LimitFit
from ngramstat.prediction.alpha import alpha_draws, alpha_exponent, paired_replicates
from ngramstat.prediction.collapse import collapse_of_table
from ngramstat.prediction.gates import (
    composition_reasons,
    context_gate,
    copies_gate,
    exponent_gates,
    fast_learning_gate,
    lag_gates,
    stage_gate,
)
from ngramstat.prediction.horizons import (
    Curve,
    alpha_of_stages,
    context_length,
    noise_constant,
    stages,
    thresholds,
)
from ngramstat.prediction.loss_curve import loss_curve
from ngramstat.prediction.paper import PAPER, paper_protocol
from ngramstat.prediction.user_curves import counted_curves, curve_limits, curves_result
from ngramstat.results import (
    AlternativeKind,
    Collapse,
    ContextPoint,
    CorrelationResult,
    CurvesResult,
    CurveTable,
    EntropyResult,
    Exponent,
    HorizonPoint,
    LossFit,
    LossPoint,
    Prediction,
    StagePoint,
    ThresholdPoint,
)

__all__ = ["predict"]

Floats = NDArray[np.float64]


def predict(
    correlations: CorrelationResult,
    entropies: EntropyResult,
    *,
    tokens: Sequence[float] = (),
    losses: Sequence[tuple[float, float]] = (),
    context: int | None = None,
    curves: CurveTable | None = None,
    protocol: str = "default",
) -> Prediction:
    """alpha_D from both halves of a run, with its gates, horizons and thresholds.

    Parameters
    ----------
    correlations, entropies : CorrelationResult, EntropyResult
        Of the same corpus.
    tokens : sequence of float
        Numbers of training tokens P at which horizon, context length, stage and expected loss are
        computed.
    losses : sequence of (float, float)
        (training tokens, loss in nats per token) of the user's own models, at least two; the
        expected loss curve is fitted to them.
    context : int, optional
        Context T of those models, in tokens; by default the largest context of `curves`.
    curves : CurveTable, optional
        Losses of the user's own models by context and training tokens.
    protocol : str
        ``paper`` adds the exponents by the paper's protocol.

    Raises
    ------
    InputError
        If a number of tokens is not positive and finite, or losses cannot be used.
    """
    check_positive("tokens", tokens)
    if context is not None and context < 1:
        raise InputError(f"context: needs at least 1, got {context}")
    requested = [float(p) for p in tokens]
    c = correlations
    kappa = noise_constant(c.noise_floor, c.pairs)
    needed = _tokens_needed(c, kappa)
    alphas = [_alpha(c, entropies, name) for name in ("gamma", "gamma_finite")]
    # A reportable alpha is preferred, and among equals the limit's to that at this corpus size.
    best = min(alphas, key=lambda a: (not a.exponent.reportable, a.exponent.value is None))
    learning = _learning(c, entropies, curves, _at_contexts(c, needed), best.exponent)
    if context is None and learning.user is not None:
        context = int(learning.user.context.max())
    reach = _reach(c, kappa, requested, best)
    points, fit = _losses(losses, best, requested, reach.stage, c.beta)
    return Prediction(
        alpha=alphas[0].exponent,
        alpha_finite=alphas[1].exponent,
        gates=(
            *exponent_gates(c, entropies),
            copies_gate(entropies),
            *lag_gates(c),
            fast_learning_gate(learning.fits, learning.alpha, learning.source),
            context_gate(reach.horizons, context),
            stage_gate(reach.stage, c.beta, reach.context_lengths, max(c.lags[c.valid], default=0)),
        ),
        horizon=reach.horizons,
        threshold=tuple(
            ThresholdPoint(lag=int(lag), tokens=None if math.isnan(p) else float(p))
            for lag, p in zip(c.lags, needed, strict=True)
        ),
        kappa=kappa,
        context_length=reach.context_lengths,
        stage=reach.stage,
        loss_curve=points,
        loss_fit=fit,
        collapse=_collapses(c.beta, entropies, learning),
        curves=learning.user,
        paper=paper_protocol(c, curves) if protocol == PAPER else None,
    )


def _tokens_needed(correlations: CorrelationResult, kappa: float | None) -> Floats:
    """P*_n of every lag, NaN where the lag is not valid or there is no noise floor."""
    if kappa is None:
        return np.full(len(correlations.lags), np.nan)
    valid_norm = np.where(correlations.valid, correlations.best_norm, np.nan)
    return thresholds(correlations.lags, valid_norm, kappa)


def _at_contexts(correlations: CorrelationResult, needed: Floats) -> dict[int, float]:
    """P*_n at every n up to the last resolved lag, interpolated in log-log between the lags."""
    good = np.isfinite(needed)
    if not good.any():
        return {}
    lags = correlations.lags[good].astype(np.float64)
    n = np.arange(int(lags[0]), int(lags[-1]) + 1)
    values = np.exp(np.interp(np.log(n), np.log(lags), np.log(needed[good])))
    return dict(zip(n.tolist(), values.tolist(), strict=True))


# --- alpha -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Alpha:
    """One of the two alphas, with draws that represent its error."""

    name: str
    exponent: Exponent
    gamma: Exponent
    draws: Floats | None


_METHODS = {
    "gamma": "gamma / (2 beta), gamma of the limit curve",
    "gamma_finite": "gamma / (2 beta), gamma of the held-out curve at this corpus size",
}


def _alpha(correlations: CorrelationResult, entropies: EntropyResult, name: str) -> _Alpha:
    gamma: Exponent = getattr(entropies, name)
    pairs = paired_replicates(correlations, entropies, name)
    beta = correlations.beta
    alpha = alpha_exponent(gamma, beta, method=_METHODS[name], replicates=pairs)
    failed = composition_reasons(correlations)
    if failed:
        reasons = [*([] if alpha.reason is None else [alpha.reason]), *failed]
        alpha = replace(alpha, reportable=False, reason="; ".join(reasons))
    return _Alpha(
        "alpha" if name == "gamma" else "alpha_finite",
        alpha,
        gamma,
        alpha_draws(gamma, beta, replicates=pairs),
    )


# --- learning curves -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Learning:
    """Learning curves of the counted learner and of the user's models.

    `fits`, `alpha` and `source` are those by which the gate of fast learning is decided: the user's
    where there are curves of the user.
    """

    counted_table: CurveTable | None
    user_table: CurveTable | None
    user: CurvesResult | None
    fits: Mapping[int, LimitFit]
    alpha: Exponent
    source: str


def _learning(
    correlations: CorrelationResult,
    entropies: EntropyResult,
    curves: CurveTable | None,
    known: Mapping[int, float],
    alpha: Exponent,
) -> _Learning:
    """Fit the limits of all learning curves; `known` is P*_n by context."""
    beta = correlations.beta
    counted = counted_curves(entropies)
    if curves is None:
        fits = {} if counted is None else curve_limits(counted, known, level=beta.level)
        return _Learning(counted, None, None, fits, alpha, "counted")
    user, fits = curves_result(curves, beta, known, level=beta.level)
    with_value = [a for a in (user.alpha, user.alpha_finite) if a.value is not None]
    if with_value:
        alpha = min(with_value, key=lambda a: not a.reportable)
    return _Learning(counted, curves, user, fits, alpha, "user's")


def _collapses(
    beta: Exponent, entropies: EntropyResult, learning: _Learning
) -> tuple[Collapse, ...]:
    """Collapses of the counted curves, and of the user's."""
    collapses = _collapses_of(
        learning.counted_table, entropies.gamma, entropies.gamma_finite, beta, "counted"
    )
    if learning.user is not None:
        user = learning.user
        collapses += _collapses_of(
            learning.user_table, user.gamma, user.gamma_finite, beta, "imported"
        )
    return tuple(collapses)


def _collapses_of(
    table: CurveTable | None, gamma: Exponent, finite: Exponent, beta: Exponent, source: str
) -> list[Collapse]:
    """The raw protocol with the slope at this P, and the shifted one where H_inf is identified."""
    if table is None:
        return []
    found = [collapse_of_table(table, finite, beta, source=source)]
    found += [
        collapse_of_table(table, fit, beta, value=value, entropy_rate=entropy_rate, source=source)
        for value, entropy_rate, fit in _shifted_law(gamma, finite)
    ]
    return [result for result in found if result is not None]


def _shifted_law(gamma: Exponent, finite: Exponent) -> list[tuple[float, float, Exponent]]:
    """(gamma, H_inf, fit) of the first shifted law that the data identify, if there is one."""
    for fit in (gamma, finite):
        for other in fit.alternatives_of(AlternativeKind.SHIFTED):
            rate = other.entropy_rate
            if other.identifiable and other.value and rate is not None and rate > 0:
                return [(other.value, rate, fit)]
    return []


# --- horizons and losses ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Reach:
    """What the requested numbers of tokens resolve; empty without a noise floor."""

    horizons: tuple[HorizonPoint, ...] = ()
    context_lengths: tuple[ContextPoint, ...] = ()
    stage: tuple[StagePoint, ...] = ()


def _reach(
    correlations: CorrelationResult, kappa: float | None, tokens: Sequence[float], best: _Alpha
) -> _Reach:
    if kappa is None:
        return _Reach()
    c = correlations
    curve = Curve(
        c.lags, c.best_norm, c.valid, kappa, c.beta, norm_low=c.norm_low, norm_high=c.norm_high,
        documents_end=c.document_reach,
    )  # fmt: skip
    lengths = tuple(context_length(curve, p) for p in tokens)
    by_stage = {i: _of_stage(best, beta, c.beta) for i, beta in enumerate(stages(c.beta))}
    return _Reach(
        horizons=tuple(curve.horizon(p) for p in tokens),
        context_lengths=lengths,
        stage=tuple(alpha_of_stages(curve, band.tokens, by_stage, band) for band in lengths),
    )


def _of_stage(best: _Alpha, beta: Exponent, headline: Exponent) -> Exponent:
    """alpha with the beta of one stage; that of the headline keeps its joint interval."""
    return best.exponent if beta is headline else alpha_exponent(best.gamma, beta)


def _losses(
    losses: Sequence[tuple[float, float]],
    best: _Alpha,
    tokens: Sequence[float],
    stage: Sequence[StagePoint],
    beta: Exponent,
) -> tuple[tuple[LossPoint, ...], LossFit | None]:
    """The expected loss curve; without alpha where the alpha of another stage would be needed."""
    if not losses:
        return (), None
    others = [p for p in stage if p.stage in ("first", "second") and p.beta != beta.value]
    caveats = []
    if others:
        listed = ", ".join(f"{p.tokens:.3g}" for p in others)
        caveats.append(
            f"at {listed} tokens the {others[0].stage} stage of the decay of ||C(t)|| holds, with "
            "an alpha of its own"
        )
    return loss_curve(losses, best.exponent, best.draws, tokens, name=best.name, caveats=caveats)
