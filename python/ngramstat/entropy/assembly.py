"""Next-token entropies H(n) of a corpus: bracketed by counts below and held-out losses above."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.entropy.counts import (
    ROUNDING,
    chao_shen,
    extrapolate,
    group_losses,
    miller_madow,
    plug_in,
)
from ngramstat.entropy.kneser_ney import (
    HeldOut,
    Split,
    held_out_losses,
    split_texts,
    split_units,
)
from ngramstat.entropy.learning_curves import (
    LearningPoint,
    PooledCurve,
    Subset,
    nested_subsets,
    pooled_curve,
    subset_losses,
)
from ngramstat.entropy.mixture import MixtureLosses, mixture_losses, tuning_split
from ngramstat.errors import InputError
from ngramstat.exponents.criteria import RESOLVED_FRACTION
from ngramstat.exponents.drop_decay import gamma_of_drops, replicate_drop_gammas
from ngramstat.exponents.entropy_decay import (
    gamma_exponent,
    gamma_finite_exponent,
    replicate_gammas,
)
from ngramstat.exponents.learning_limit import LimitFit, learning_limit
from ngramstat.kernels import MAX_ORDER, NgramStatistics, NgramUnits, count_ngrams, suffix_cost
from ngramstat.results import (
    Alternative,
    AlternativeKind,
    EntropyResult,
    Exponent,
    LearningCurve,
    Replicates,
)
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.documents import (
    FOLDS,
    DocumentBootstrap,
    check_seed,
    statistical_units,
)

__all__ = [
    "EntropyOptions",
    "assemble_entropies",
    "learning_subsets",
    "measure_held_out",
    "measure_mixture",
    "measure_ngrams",
    "measure_subset",
]

Floats = NDArray[np.float64]

PREDICTORS = ("mixture", "kneser-ney")


@dataclass(frozen=True, kw_only=True)
class EntropyOptions:
    """Resolved options of the entropies; all of them shape the result.

    Attributes
    ----------
    max_context : int
        Contexts of 0 .. max_context tokens.
    boundary : str
        ``stream`` or ``document``.
    held_out : float or str
        Share of documents to hold out, or the path of a held-out corpus.
    predictor : str
        Best predictor to look for: ``mixture``, or ``kneser-ney`` alone.
    learning_sizes : int
        Sizes of the training set on the learning curve, each half of the next.
    replicates : int
        Bootstrap replicates over documents.
    level : float
    seed : int
    """

    max_context: int = 5
    boundary: str = "stream"
    held_out: float | str = 0.01
    predictor: str = "mixture"
    learning_sizes: int = 7
    replicates: int = 999
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.predictor not in PREDICTORS:
            raise InputError(f"predictor={self.predictor!r}: expected {' or '.join(PREDICTORS)}")
        if not 1 <= self.learning_sizes <= 20:
            raise InputError(f"learning_sizes={self.learning_sizes}: must lie in 1 .. 20")
        if not 0 <= self.max_context < MAX_ORDER:
            raise InputError(f"max_context={self.max_context}: must lie in 0 .. {MAX_ORDER - 1}")
        if not 0.5 <= self.level < 1:
            raise InputError(f"level={self.level}: must be at least 0.5 and below 1, such as 0.95")
        check_seed(self.seed)


def measure_ngrams(
    corpus: Corpus,
    options: EntropyOptions,
    *,
    workspace: Workspace | None = None,
    progress: Any = None,
) -> NgramStatistics:
    """Counts of counts of all n-grams of the corpus; every token is used, nothing is held out."""
    workspace = Workspace() if workspace is None else workspace
    units = statistical_units(corpus, boundary=options.boundary, seed=options.seed)
    n = corpus.n_tokens
    ends = units.spans.ends if options.boundary == "document" else np.array([n], dtype=np.int64)
    bootstrap = DocumentBootstrap(len(units.spans), options.replicates, options.seed)
    cost = suffix_cost(n, corpus.vocab_size, options.max_context + 1, counting_ngrams=True)
    try:
        counts = count_ngrams(
            corpus.tokens,
            corpus.vocab_size,
            max_context=options.max_context,
            document_ends=ends,
            units=NgramUnits(
                units.spans.ends,
                units.folds // (FOLDS // 4),
                bootstrap.cluster_of.astype(np.uint32),
                bootstrap.n_clusters,
            ),
            threads=workspace.threads,
            memory_limit=workspace.room(text_bytes=corpus.tokens.nbytes if cost.reads_text else 0),
            progress=progress,
            backend=workspace.gpus,
        )
    except IndexError as error:
        raise InputError(f"{corpus.path}: {error}; check --dtype and --vocab-size") from error
    if counts.whole.targets == 0:
        raise InputError(
            f"{corpus.path}: no token has {options.max_context} tokens before it; "
            "use a smaller --max-context"
        )
    return counts


def _split(corpus: Corpus, options: EntropyOptions) -> Split:
    units = statistical_units(corpus, boundary=options.boundary, seed=options.seed)
    if not isinstance(options.held_out, str):
        return split_units(corpus, units, share=options.held_out, seed=options.seed)
    other = Corpus.open(Path(options.held_out))
    other_units = statistical_units(other, boundary=options.boundary, seed=options.seed)
    return Split(
        (corpus, units, np.arange(len(units.spans))),
        (other, other_units, np.arange(len(other_units.spans))),
    )


def measure_held_out(
    corpus: Corpus,
    options: EntropyOptions,
    *,
    workspace: Workspace | None = None,
    progress: Any = None,
) -> HeldOut:
    """Held-out losses of the Kneser-Ney models of every order."""
    return held_out_losses(
        _split(corpus, options),
        max_context=options.max_context,
        boundary=options.boundary,
        workspace=workspace,
        progress=progress,
    )


def measure_mixture(
    corpus: Corpus,
    options: EntropyOptions,
    *,
    workspace: Workspace | None = None,
    progress: Any = None,
) -> MixtureLosses:
    """Held-out losses of the mixture of contexts, on the split of `measure_held_out`."""
    workspace = Workspace() if workspace is None else workspace
    split = _split(corpus, options)
    with (
        split_texts(split, boundary=options.boundary, workspace=workspace) as texts,
        tuning_split(texts, options.seed, workspace) as text,
    ):
        losses, better = mixture_losses(
            text,
            max_context=options.max_context,
            n_documents=len(texts.scored),
            workspace=workspace,
            progress=progress,
        )
        return MixtureLosses(losses, better, int(np.count_nonzero(text.tuning_document >= 0)))


def learning_subsets(corpus: Corpus, options: EntropyOptions) -> list[Subset]:
    """Training sets of the learning curve, without the whole one."""
    split = _split(corpus, options)
    return list(nested_subsets(split, sizes=options.learning_sizes, seed=options.seed))


def measure_subset(
    corpus: Corpus,
    options: EntropyOptions,
    subset: Subset,
    *,
    workspace: Workspace | None = None,
    progress: Any = None,
) -> LearningPoint:
    """One point of the learning curve."""
    return subset_losses(
        _split(corpus, options),
        subset,
        max_context=options.max_context,
        boundary=options.boundary,
        workspace=workspace,
        progress=progress,
    )


def assemble_entropies(
    corpus: Corpus,
    options: EntropyOptions,
    counts: NgramStatistics,
    held_out: HeldOut,
    mixture: MixtureLosses | None = None,
    points: Sequence[LearningPoint] = (),
) -> EntropyResult:
    """One result from the counts and the held-out losses, with the fits of gamma.

    Where the bias of counting is under control (`extrapolate`), H_n is the extrapolated estimate,
    and its bracket the sampling error over documents and the doubt about the bias in quadrature,
    capped by the held-out loss. Elsewhere the bracket runs from the first-order estimate below to
    the upper end of the held-out interval above (a cross-entropy is never below the entropy), and
    `limit` is midway between the two estimates.
    """
    units = statistical_units(corpus, boundary=options.boundary, seed=options.seed)
    context = np.arange(options.max_context + 1)
    tokens = held_out.tokens.sum()
    kneser_ney = held_out.losses.sum(axis=0) / tokens
    losses, used = _best_losses(held_out, mixture)
    loss = losses.sum(axis=0) / tokens
    bootstrap = DocumentBootstrap(len(held_out.tokens), options.replicates, options.seed)
    sums = bootstrap.sums(np.column_stack([losses, held_out.tokens]))
    # A replicate without a scored token says nothing.
    sums = sums[sums[:, -1] > 0]
    replicates = sums[:, :-1] / sums[:, -1:]
    below, above = bootstrap.ratio_reach(
        bootstrap.grouped(losses),
        bootstrap.grouped(held_out.tokens[:, None])[:, 0],
        options.level,
    )
    loss_low, loss_high = np.maximum(loss - below, 0.0), loss + above
    curve = pooled_curve(held_out, list(points))
    fits = _learning_fits(curve, (below + above) / 2, options.level)
    bracket = _bracket(
        counts,
        options,
        len(units.spans),
        loss,
        np.where(np.isfinite(loss_high), loss_high, loss),
        fits,
    )
    needed = _tokens_needed(bracket, fits)
    gamma, gammas = _gamma(context, bracket, options.level, needed)
    gamma_finite = gamma_finite_exponent(
        context, loss, replicates if len(held_out.tokens) > 1 else None, level=options.level
    )

    def column(name: str) -> Floats:
        values = [getattr(fit, name) if fit.identifiable else None for fit in fits]
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)

    return EntropyResult(
        context=context,
        targets=np.full(len(context), counts.whole.targets, dtype=np.uint64),
        distinct=np.array([int(t[:, 1].sum()) for t in counts.whole.contexts], dtype=np.uint64),
        plug_in=plug_in(counts.whole),
        miller_madow=miller_madow(counts.whole),
        chao_shen=chao_shen(counts.whole),
        held_out_kneser_ney=kneser_ney,
        held_out=loss,
        held_out_low=loss_low,
        held_out_high=loss_high,
        learning_limit=column("limit"),
        learning_low=column("low"),
        learning_high=column("high"),
        delta=column("delta"),
        delta_low=column("delta_low"),
        delta_high=column("delta_high"),
        limit=bracket.limit,
        limit_low=bracket.low,
        limit_high=bracket.high,
        resolved=bracket.resolved,
        tokens_needed=needed,
        mixture_used=used,
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
            gammas,
            replicate_gammas(gamma_finite, context, replicates),
            DocumentBootstrap(len(units.spans), options.replicates, options.seed),
            options.seed,
        ),
        discounts=held_out.discounts,
        boundary=options.boundary,
        held_out_documents=len(held_out.tokens),
        held_out_tokens=int(tokens),
        training_tokens=held_out.training_tokens,
        documents_are_blocks=units.are_blocks,
    )


def _bootstrap(
    gammas: Floats, finite: Floats, bootstrap: DocumentBootstrap, seed: int
) -> Replicates | None:
    """Replicates of both exponents; held-out documents are resampled on their own."""
    if len(gammas) == 0 or len(finite) != len(gammas):
        return None
    return Replicates(seed=seed, clusters=bootstrap.n_clusters, gamma=gammas, gamma_finite=finite)


def _best_losses(
    held_out: HeldOut, mixture: MixtureLosses | None
) -> tuple[Floats, NDArray[np.bool_] | None]:
    """Losses of the mixture where it proved itself on its tuning slice, else of Kneser-Ney."""
    if mixture is None:
        return held_out.losses, None
    used = np.concatenate([[False], mixture.better])
    padded = np.column_stack([held_out.losses[:, :1], mixture.losses])
    return np.where(used, padded, held_out.losses), used


def _learning_fits(curve: PooledCurve, half_width: Floats, level: float) -> list[LimitFit]:
    """The limit of each context's learning curve."""
    # `half_width` is about two standard errors over held-out documents, which all sizes share.
    common = np.where(np.isfinite(half_width), half_width, 0.0) / 2
    return [
        learning_limit(
            curve.tokens,
            curve.losses[:, n],
            None if curve.errors is None or not np.all(curve.errors[:, n] > 0)
            else curve.errors[:, n],
            common_error=float(common[n]),
            level=level,
        )
        for n in range(curve.losses.shape[1])
    ]  # fmt: skip


def _tokens_needed(bracket: _Bracket, fits: list[LimitFit]) -> Floats:
    """Tokens at which the excess of the held-out loss is the share that resolves a context."""
    needed = np.full(len(fits), np.nan)
    for n in range(1, len(fits)):
        drop = bracket.limit[n - 1] - bracket.limit[n]
        if bracket.resolved[n] or not (drop > ROUNDING and fits[n].limit is not None):
            continue
        reached = fits[n].tokens_to_reach(RESOLVED_FRACTION * drop)
        if reached is not None and np.isfinite(reached[0]):
            needed[n] = reached[0]
    return needed


@dataclass(frozen=True)
class _Bracket:
    """Estimates of H_n with all that the fits of gamma need; arrays of (n_contexts,)."""

    limit: Floats
    low: Floats
    high: Floats
    doubt: Floats
    resolved: NDArray[np.bool_]
    replicates: Floats
    drop_error: Floats


def _bracket(
    counts: NgramStatistics,
    options: EntropyOptions,
    n_units: int,
    loss: Floats,
    loss_high: Floats,
    fits: list[LimitFit],
) -> _Bracket:
    found = extrapolate(counts)
    bootstrap = DocumentBootstrap(n_units, options.replicates, options.seed)
    sums = bootstrap.cluster_sums(
        np.column_stack([group_losses(counts), counts.group_targets.astype(np.float64)])
    )
    sums = sums[sums[:, -1] > 0]
    deviations = sums[:, :-1] / sums[:, -1:] - plug_in(counts.whole)
    losses, targets = group_losses(counts), counts.group_targets.astype(np.float64)
    below, above = bootstrap.ratio_reach(losses, targets, options.level)
    trusted = found.trusted
    with np.errstate(invalid="ignore"):
        # Noise may lift the first-order estimate above the loss, which is never below H_n.
        low = np.where(
            trusted,
            found.estimate - np.hypot(below, found.doubt),
            np.fmin(found.lower, loss) - below,
        )
        high = np.where(
            trusted,
            np.minimum(
                found.estimate + np.hypot(above, found.doubt), np.fmax(loss_high, found.estimate)
            ),
            np.fmax(loss_high, low),
        )
        limit = np.where(trusted, found.estimate, np.fmax((found.lower + loss) / 2, low))
    for n in np.flatnonzero(~trusted):
        # The limit of the learning curve joins, where it has an interval that meets the bracket.
        fit = fits[n]
        if fit.identifiable and fit.low is not None and fit.high is not None:
            if fit.low < high[n] and fit.high > low[n]:
                low[n], high[n] = max(low[n], fit.low), min(high[n], fit.high)
            if fit.limit is not None:
                limit[n] = min(max(fit.limit, low[n]), high[n])
    low = np.maximum(low, 0.0)
    limit, high = np.fmax(limit, low), np.maximum(high, low)
    drops = limit[:-1] - limit[1:]
    # H_0 has no context before it: it is known where the drop from or to it is.
    types = max(int(counts.whole.ngrams[0][:, 1].sum()), 1)
    largest = max(np.log(types) - limit[0], drops[0] if len(drops) else 0.0)
    drops = np.concatenate([[largest], drops])
    # What H_n and H_{n-1} share of their sampling error cancels in the drop.
    steps = bootstrap.ratio_reach(np.diff(losses, axis=1), targets, options.level)
    spread = np.append((below + above)[:1], sum(steps)) / 2
    with np.errstate(invalid="ignore"):
        width = np.where(trusted, np.hypot(spread, found.doubt), high - low)
    # Without a drop, as after the end of a period, there is nothing that the width is small beside.
    resolved = (width <= RESOLVED_FRACTION * drops) & (drops > ROUNDING)
    # `spread` is the half-width of an interval, about two standard errors.
    drop_error = np.hypot(spread, np.where(trusted, found.doubt, np.inf)) / 2
    doubt = np.where(trusted, found.doubt, (high - low) / 2)
    return _Bracket(limit, low, high, doubt, resolved, limit + deviations, drop_error)


def _gamma(
    context: NDArray[np.int64], bracket: _Bracket, level: float, needed: Floats
) -> tuple[Exponent, Floats]:
    """From the drops where there are enough of them, else in the paper's raw form.

    With gamma of every bootstrap replicate, NaN where it has none.
    """
    drops = gamma_of_drops(
        context,
        bracket.limit,
        bracket.resolved,
        bracket.replicates,
        bracket.doubt,
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
    from_drops = headline is drops
    missing = [n for n in range(1, len(needed)) if not bracket.resolved[n]][:2]
    if headline.value is None and any(np.isfinite(needed[missing])):
        tokens = ", ".join(
            f"n = {n} from about {needed[n]:.1g} tokens on" for n in missing if needed[n] > 0
        )
        headline = dataclasses.replace(
            headline,
            reason=f"{headline.reason}; by the learning curves, held-out losses would resolve "
            f"{tokens}",
        )
    gammas = (
        replicate_drop_gammas(drops, bracket.replicates)
        if from_drops
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
