"""Next-token entropies H(n) as one result: brackets, learning curves, and gamma."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.entropy.bracket import Bracket, bracket_entropies, tokens_needed
from ngramstat.entropy.counts import chao_shen, miller_madow, plug_in
from ngramstat.entropy.kneser_ney import HeldOutLosses
from ngramstat.entropy.learning_curves import LearningPoint, PooledCurve, pooled_curve
from ngramstat.entropy.mixture import MixtureLosses
from ngramstat.entropy.options import EntropyOptions
from ngramstat.exponents.drop_decay import gamma_of_drops, replicate_drop_gammas
from ngramstat.exponents.entropy_decay import (
    LossesBySize,
    gamma_exponent,
    gamma_finite_exponent,
    replicate_gammas,
)
from ngramstat.exponents.learning_limit import LimitFit, learning_limit
from ngramstat.kernels import NgramStatistics
from ngramstat.results import (
    Alternative,
    AlternativeKind,
    EntropyResult,
    Exponent,
    LearningCurve,
    Replicates,
)
from ngramstat.sampling.design import SamplingDesign

__all__ = ["assemble_entropies"]

Floats = NDArray[np.float64]


def assemble_entropies(
    design: SamplingDesign,
    options: EntropyOptions,
    counts: NgramStatistics,
    held_out: HeldOutLosses,
    mixture: MixtureLosses | None = None,
    points: Sequence[LearningPoint] = (),
) -> EntropyResult:
    """One result from the counts and the held-out losses, with the fits of gamma.

    See `bracket_entropies` for what estimate, bracket and `resolved` are.
    """
    context = np.arange(options.max_context + 1)
    loss = _held_out_loss(design, options, held_out, mixture)
    curve = pooled_curve(held_out, list(points))
    fits = _learning_fits(curve, loss.half_width, options.level)
    bracket = bracket_entropies(
        counts,
        design.bootstrap,
        options.level,
        loss.mean,
        np.where(np.isfinite(loss.high), loss.high, loss.mean),
        fits,
    )
    needed = tokens_needed(bracket, fits)
    gamma, gammas = _gamma(context, bracket, options.level, needed)
    gamma_finite = gamma_finite_exponent(
        context,
        loss.mean,
        loss.replicates if len(held_out.tokens) > 1 else None,
        level=options.level,
        sizes=LossesBySize(curve.tokens, curve.losses, "Kneser-Ney"),
    )
    return EntropyResult(
        context=context,
        **_counted_columns(counts),
        held_out_kneser_ney=held_out.losses.sum(axis=0) / held_out.tokens.sum(),
        held_out=loss.mean,
        held_out_low=loss.low,
        held_out_high=loss.high,
        **_limit_columns(fits),
        limit=bracket.limit,
        limit_low=bracket.low,
        limit_high=bracket.high,
        resolved=bracket.resolved,
        tokens_needed=needed,
        mixture_used=loss.from_mixture,
        tuning_tokens=None if mixture is None else mixture.tuning_tokens,
        learning_curve=LearningCurve(
            tokens=curve.tokens,
            held_out=curve.losses,
            error=curve.errors,
            replicates=curve.replicates,
        ),
        gamma=gamma,
        gamma_finite=gamma_finite,
        bootstrap=_bootstrap(
            design, gammas, replicate_gammas(gamma_finite, context, loss.replicates)
        ),
        discounts=held_out.discounts,
        boundary=design.boundary.value,
        held_out_documents=len(held_out.tokens),
        held_out_tokens=int(held_out.tokens.sum()),
        training_tokens=held_out.training_tokens,
        documents_are_blocks=design.are_blocks,
    )


@dataclass(frozen=True)
class _HeldOutLoss:
    """The best counted predictor's loss by context, with its error; arrays of (n_contexts,)."""

    mean: Floats
    low: Floats
    high: Floats
    half_width: Floats
    replicates: Floats
    from_mixture: NDArray[np.bool_] | None


def _held_out_loss(
    design: SamplingDesign,
    options: EntropyOptions,
    held_out: HeldOutLosses,
    mixture: MixtureLosses | None,
) -> _HeldOutLoss:
    """Mean losses over the held-out documents, which are resampled by themselves."""
    losses, from_mixture = _best_losses(held_out, mixture)
    mean = losses.sum(axis=0) / held_out.tokens.sum()
    bootstrap = design.held_out_bootstrap(len(held_out.tokens))
    sums = bootstrap.sums(np.column_stack([losses, held_out.tokens]))
    # A replicate without a scored token says nothing.
    sums = sums[sums[:, -1] > 0]
    below, above = bootstrap.ratio_half_widths(
        bootstrap.grouped(losses),
        bootstrap.grouped(held_out.tokens[:, None])[:, 0],
        options.level,
    )
    return _HeldOutLoss(
        mean=mean,
        low=np.maximum(mean - below, 0.0),
        high=mean + above,
        half_width=(below + above) / 2,
        replicates=sums[:, :-1] / sums[:, -1:],
        from_mixture=from_mixture,
    )


def _best_losses(
    held_out: HeldOutLosses, mixture: MixtureLosses | None
) -> tuple[Floats, NDArray[np.bool_] | None]:
    """Losses of the mixture where it was better on its tuning slice, else of Kneser-Ney."""
    if mixture is None:
        return held_out.losses, None
    used = np.concatenate([[False], mixture.better])
    padded = np.column_stack([held_out.losses[:, :1], mixture.losses])
    return np.where(used, padded, held_out.losses), used


def _counted_columns(counts: NgramStatistics) -> dict[str, Any]:
    """Fields of the result that come from the counts of counts alone."""
    n_contexts = len(counts.whole.contexts)
    return {
        "targets": np.full(n_contexts, counts.whole.targets, dtype=np.uint64),
        "distinct": np.array([int(t[:, 1].sum()) for t in counts.whole.contexts], dtype=np.uint64),
        "plug_in": plug_in(counts.whole),
        "miller_madow": miller_madow(counts.whole),
        "chao_shen": chao_shen(counts.whole),
    }


def _learning_fits(curve: PooledCurve, half_width: Floats, level: float) -> list[LimitFit]:
    """The limit of each context's learning curve."""
    # `half_width` is about two standard errors over held-out documents, which all sizes share.
    common = np.where(np.isfinite(half_width), half_width, 0.0) / 2
    fits = []
    for n in range(curve.losses.shape[1]):
        errors = None if curve.errors is None else curve.errors[:, n]
        if errors is not None and not np.all(errors > 0):
            errors = None
        fits.append(
            learning_limit(
                curve.tokens,
                curve.losses[:, n],
                errors,
                common_error=float(common[n]),
                level=level,
            )
        )
    return fits


def _limit_columns(fits: list[LimitFit]) -> dict[str, Any]:
    """Fields of the result that come from the limits of the learning curves, NaN without one."""
    names = {
        "learning_limit": "limit",
        "learning_low": "low",
        "learning_high": "high",
        "delta": "delta",
        "delta_low": "delta_low",
        "delta_high": "delta_high",
    }
    columns = {}
    for field, attribute in names.items():
        values = [getattr(fit, attribute) if fit.identifiable else None for fit in fits]
        columns[field] = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    return columns


def _bootstrap(design: SamplingDesign, gammas: Floats, finite: Floats) -> Replicates | None:
    """Replicates of both exponents; held-out documents are resampled by themselves."""
    if len(gammas) == 0 or len(finite) != len(gammas):
        return None
    return Replicates(
        seed=design.seed,
        clusters=design.bootstrap.n_clusters,
        gamma=gammas,
        gamma_finite=finite,
    )


def _gamma(
    context: NDArray[np.int64], bracket: Bracket, level: float, needed: Floats
) -> tuple[Exponent, Floats]:
    """gamma from the drops where there are enough of them, else in the paper's raw form.

    With gamma of every bootstrap replicate, NaN where it has none.
    """
    drops = gamma_of_drops(
        context,
        bracket.limit,
        bracket.resolved,
        bracket.replicates,
        bracket.uncertainty,
        level=level,
    )
    raw = gamma_exponent(
        context,
        bracket.limit,
        bracket.low,
        bracket.high,
        bracket.resolved,
        drop_error=bracket.drop_error,
        level=level,
    )
    headline, other = (raw, drops) if drops.value is None else (drops, raw)
    gammas = (
        replicate_drop_gammas(drops, bracket.replicates)
        if headline is drops
        else replicate_gammas(raw, context, bracket.replicates)
    )
    headline = _with_tokens_needed(headline, bracket, needed)
    if other.value is None:
        return headline, gammas
    entry = Alternative(
        kind=AlternativeKind.OTHER_ESTIMATOR,
        method=other.method,
        value=other.value,
        low=other.low,
        high=other.high,
        window=other.window,
        points=other.points,
    )
    return dataclasses.replace(headline, alternatives=(*headline.alternatives, entry)), gammas


def _with_tokens_needed(exponent: Exponent, bracket: Bracket, needed: Floats) -> Exponent:
    """A refused exponent whose reason names the tokens that would resolve the first contexts."""
    missing = [n for n in range(1, len(needed)) if not bracket.resolved[n]][:2]
    if exponent.value is not None or not any(np.isfinite(needed[missing])):
        return exponent
    tokens = ", ".join(
        f"n = {n} from about {needed[n]:.1g} tokens on" for n in missing if needed[n] > 0
    )
    return dataclasses.replace(
        exponent,
        reason=f"{exponent.reason}; by the learning curves, held-out losses would resolve {tokens}",
    )
