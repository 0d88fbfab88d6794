"""Next-token entropies H(n) as one result: brackets, learning curves, and gamma."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.entropy.bracket import Bracket, bracket_entropies
from ngramstat.entropy.counts import chao_shen, miller_madow, plug_in
from ngramstat.entropy.kneser_ney import HeldOutLosses
from ngramstat.entropy.learning_curves import LearningPoint, PooledCurve, pooled_curve
from ngramstat.entropy.options import EntropyOptions
from ngramstat.exponents.criteria import MAX_COPIES
from ngramstat.exponents.drop_decay import gamma_of_drops, replicate_drop_gammas
from ngramstat.exponents.entropy_decay import (
    LossesBySize,
    gamma_exponent,
    gamma_finite_exponent,
    replicate_gammas,
)
from ngramstat.exponents.learning_limit import (
    LimitFit,
    allow_for_misfit,
    learning_limit,
    refuse_contradicted,
)
from ngramstat.kernels import NgramStatistics
from ngramstat.ngram_models.mixture import MixtureLosses
from ngramstat.results import (
    Alternative,
    AlternativeKind,
    EntropyResult,
    Exponent,
    LearningCurve,
    Replicates,
)
from ngramstat.sampling.design import SamplingDesign

__all__ = ["assemble_entropies", "with_unscored"]

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
    copies = held_out.copied_fraction
    bracket = bracket_entropies(
        counts,
        design.bootstrap,
        options.level,
        loss.bracket_mean,
        np.where(np.isfinite(loss.bracket_high), loss.bracket_high, loss.bracket_mean),
        copies,
    )
    comparable = pooled_curve(held_out, list(points), full_context=True)
    fits = refuse_contradicted(
        _learning_fits(comparable, loss.half_width, options.level),
        bracket.low,
        comparable.losses[-1],
    )
    gamma, gammas = _gamma(context, bracket, options.level)
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
        estimate=bracket.estimate,
        low=bracket.low,
        high=bracket.high,
        resolved=bracket.resolved,
        held_out_copies=copies,
        copy_tokens=held_out.copy_tokens,
        mixture_used=loss.from_mixture,
        tuning_tokens=None if mixture is None else mixture.tuning_tokens,
        learning_curve=LearningCurve(
            tokens=curve.tokens,
            held_out=curve.losses,
            error=curve.errors,
            replicates=curve.replicates,
        ),
        gamma=_with_held_out_text(gamma, held_out, other_text=bracket.other_text),
        gamma_finite=_with_held_out_text(gamma_finite, held_out, other_text=bracket.other_text),
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
    """The best counted predictor's loss by context, with its error; arrays of (n_contexts,).

    `bracket_mean` and `bracket_high` are over targets like those of the counts: tokens with as many
    tokens before them in their document as the longest context has. At the start of a document
    tokens are easier to predict.
    """

    mean: Floats
    low: Floats
    high: Floats
    half_width: Floats
    bracket_mean: Floats
    bracket_high: Floats
    replicates: Floats
    from_mixture: NDArray[np.bool_] | None


def _held_out_loss(
    design: SamplingDesign,
    options: EntropyOptions,
    held_out: HeldOutLosses,
    mixture: MixtureLosses | None,
) -> _HeldOutLoss:
    """Mean losses over the held-out documents, which are resampled by themselves."""
    losses, at_starts, from_mixture = _best_losses(held_out, mixture)
    tokens = held_out.tokens
    bootstrap = design.held_out_bootstrap(len(tokens))

    def interval(sums: Floats, numbers: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
        mean = sums.sum(axis=0) / max(int(numbers.sum()), 1)
        below, above = bootstrap.ratio_half_widths(
            bootstrap.grouped(sums), bootstrap.grouped(numbers[:, None])[:, 0], options.level
        )
        return mean, below, above

    mean, below, above = interval(losses, tokens)
    bracket_mean, _, bracket_above = mean, below, above
    if held_out.tokens_at_starts.any() and (tokens > held_out.tokens_at_starts).any():
        bracket_mean, _, bracket_above = interval(
            losses - at_starts, tokens - held_out.tokens_at_starts
        )
    sums = bootstrap.sums(np.column_stack([losses, tokens]))
    # A replicate without a scored token says nothing.
    sums = sums[sums[:, -1] > 0]
    return _HeldOutLoss(
        mean=mean,
        low=np.maximum(mean - below, 0.0),
        high=mean + above,
        half_width=(below + above) / 2,
        bracket_mean=bracket_mean,
        bracket_high=bracket_mean + bracket_above,
        replicates=sums[:, :-1] / sums[:, -1:],
        from_mixture=from_mixture,
    )


def _best_losses(
    held_out: HeldOutLosses, mixture: MixtureLosses | None
) -> tuple[Floats, Floats, NDArray[np.bool_] | None]:
    """Losses of the mixture where it was better on its tuning slice, else of Kneser-Ney.

    All of them, and those of the tokens at the starts of documents.
    """
    if mixture is None:
        return held_out.losses, held_out.losses_at_starts, None
    used = np.concatenate([[False], mixture.better])

    def chosen(mixed: Floats, counted: Floats, tokens: NDArray[np.int64]) -> Floats:
        mixed = with_unscored(mixed, counted[:, 1:], tokens, mixture.scored)
        return np.where(used, np.column_stack([counted[:, :1], mixed]), counted)

    return (
        chosen(mixture.losses, held_out.losses, held_out.tokens),
        chosen(mixture.losses_at_starts, held_out.losses_at_starts, held_out.tokens_at_starts),
        used,
    )


def with_unscored(
    mixed: Floats, counted: Floats, tokens: NDArray[np.int64], scored: NDArray[np.bool_]
) -> Floats:
    """Losses of the mixture by document where only a random sample of them was scored.

    Kneser-Ney's losses, which are known of all documents, are the control variate: their sum and
    the sample's mean difference per token give the sum for all documents. Each document's row is
    what it adds to that sum to first order, so that resampling documents gives the error of both
    (Särndal, Swensson, Wretman, Model Assisted Survey Sampling, 1992, section 6.4, the difference
    estimator with the ratio to tokens).

    Parameters
    ----------
    mixed, counted : (n_documents, k) float64
        Sums of -ln p of the mixture, ignored where not scored, and of Kneser-Ney.
    tokens : (n_documents,) int64
    scored : (n_documents,) bool
    """
    in_sample = int(tokens[scored].sum())
    if scored.all() or not in_sample:
        return np.where(scored[:, None], mixed, counted)
    difference = np.where(scored[:, None], mixed - counted, 0.0)
    expected = difference.sum(axis=0) / in_sample * tokens[:, None]
    factor = int(tokens.sum()) / in_sample
    residual = np.where(scored[:, None], difference - expected, 0.0)
    result: Floats = counted + expected + factor * residual
    return result


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
        losses = curve.losses[:, n]
        fit = learning_limit(
            curve.tokens, losses, errors, common_error=float(common[n]), level=level
        )
        fits.append(allow_for_misfit(fit, float(losses[0]), float(losses[-1])))
    return fits


def _limit_columns(fits: list[LimitFit]) -> dict[str, Any]:
    """Fields of the result that come from the limits of the learning curves, NaN without one."""
    names = {
        "limit": "limit",
        "limit_low": "low",
        "limit_high": "high",
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


def _gamma(context: NDArray[np.int64], bracket: Bracket, level: float) -> tuple[Exponent, Floats]:
    """gamma from the drops where there are enough of them, else in the paper's raw form.

    With gamma of every bootstrap replicate, NaN where it has none.
    """
    drops = gamma_of_drops(
        context,
        bracket.estimate,
        bracket.resolved,
        bracket.replicates,
        bracket.uncertainty,
        level=level,
    )
    raw = gamma_exponent(
        context,
        bracket.estimate,
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


def _with_held_out_text(
    exponent: Exponent, held_out: HeldOutLosses, *, other_text: bool
) -> Exponent:
    """An exponent that is refused, with the reason, where held-out losses bound nothing."""
    copies = held_out.copied_fraction
    if other_text:
        reason = (
            "the held-out text is of another kind: its loss without context is below H_0 of the "
            "corpus; hold out text like the rest"
        )
    elif copies > MAX_COPIES:
        reason = (
            f"{100 * copies:.2g} % of the held-out tokens stand in the training text, in passages "
            f"of {held_out.copy_tokens} tokens or more ({100 * MAX_COPIES:g} % are allowed), so "
            "held-out losses are too low; remove duplicate documents and repeated passages"
        )
    else:
        return exponent
    if exponent.reason:
        reason = f"{reason}; {exponent.reason}"
    return dataclasses.replace(exponent, reportable=False, reason=reason)
