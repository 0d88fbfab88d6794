"""Next-token entropies H(n) of a corpus: bracketed by counts below and held-out losses above."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.exponents.drop_decay import gamma_of_drops
from ngramstat.exponents.entropy_decay import gamma_exponent, gamma_finite_exponent
from ngramstat.kernels import MAX_ORDER, NgramStatistics, NgramUnits, count_ngrams
from ngramstat.results import EntropyResult, Exponent, LearningCurve
from ngramstat.statistics.counts_entropy import (
    ROUNDING,
    chao_shen,
    extrapolate,
    group_losses,
    miller_madow,
    plug_in,
)
from ngramstat.statistics.documents import (
    PORTIONS,
    DocumentBootstrap,
    check_seed,
    statistical_units,
)
from ngramstat.statistics.held_out import HeldOut, Split, held_out_losses, split_units

__all__ = [
    "EntropyOptions",
    "assemble_entropies",
    "measure_held_out",
    "measure_ngrams",
]

Floats = NDArray[np.float64]

# A context is resolved where the bracket is at most this share of the drop H_{n-1} - H_n.
RESOLVED_SHARE = 0.25


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
    replicates : int
        Bootstrap replicates over documents.
    level : float
    seed : int
    """

    max_context: int = 5
    boundary: str = "stream"
    held_out: float | str = 0.01
    replicates: int = 999
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.max_context < MAX_ORDER:
            raise InputError(f"max_context={self.max_context}: must lie in 0 .. {MAX_ORDER - 1}")
        if not 0.5 <= self.level < 1:
            raise InputError(f"level={self.level}: must be at least 0.5 and below 1, such as 0.95")
        check_seed(self.seed)


def measure_ngrams(
    corpus: Corpus,
    options: EntropyOptions,
    *,
    threads: int = 1,
    memory_limit: int | None = None,
    progress: Any = None,
) -> NgramStatistics:
    """Counts of counts of all n-grams of the corpus; every token is used, nothing is held out."""
    units = statistical_units(corpus, boundary=options.boundary, seed=options.seed)
    n = corpus.n_tokens
    ends = units.spans.ends if options.boundary == "document" else np.array([n], dtype=np.int64)
    bootstrap = DocumentBootstrap(len(units.spans), options.replicates, options.seed)
    try:
        counts = count_ngrams(
            corpus.tokens,
            corpus.vocab_size,
            max_context=options.max_context,
            document_ends=ends,
            units=NgramUnits(
                units.spans.ends,
                units.portions // (PORTIONS // 4),
                bootstrap.cluster_of.astype(np.uint32),
                bootstrap.n_clusters,
            ),
            threads=threads,
            memory_limit=memory_limit,
            progress=progress,
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
    threads: int = 1,
    memory_limit: int | None = None,
    progress: Any = None,
) -> HeldOut:
    """Held-out losses of the Kneser-Ney models of every order."""
    return held_out_losses(
        _split(corpus, options),
        max_context=options.max_context,
        boundary=options.boundary,
        threads=threads,
        memory_limit=memory_limit,
        progress=progress,
    )


def assemble_entropies(
    corpus: Corpus, options: EntropyOptions, counts: NgramStatistics, held_out: HeldOut
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
    loss = held_out.losses.sum(axis=0) / tokens
    bootstrap = DocumentBootstrap(len(held_out.tokens), options.replicates, options.seed)
    sums = bootstrap.sums(np.column_stack([held_out.losses, held_out.tokens]))
    # A replicate without a scored token says nothing.
    sums = sums[sums[:, -1] > 0]
    replicates = sums[:, :-1] / sums[:, -1:]
    below, above = bootstrap.ratio_reach(
        bootstrap.grouped(held_out.losses),
        bootstrap.grouped(held_out.tokens[:, None])[:, 0],
        options.level,
    )
    loss_low, loss_high = np.maximum(loss - below, 0.0), loss + above
    bracket = _bracket(
        counts, options, len(units.spans), loss, np.where(np.isfinite(loss_high), loss_high, loss)
    )
    gamma = _gamma(context, bracket, options.level)
    return EntropyResult(
        context=context,
        targets=np.full(len(context), counts.whole.targets, dtype=np.uint64),
        distinct=np.array([int(t[:, 1].sum()) for t in counts.whole.contexts], dtype=np.uint64),
        plug_in=plug_in(counts.whole),
        miller_madow=miller_madow(counts.whole),
        chao_shen=chao_shen(counts.whole),
        held_out_kneser_ney=loss,
        held_out=loss,
        held_out_low=loss_low,
        held_out_high=loss_high,
        limit=bracket.limit,
        limit_low=bracket.low,
        limit_high=bracket.high,
        resolved=bracket.resolved,
        learning_curve=LearningCurve(
            tokens=np.array([held_out.training_tokens], dtype=np.int64), held_out=loss[None, :]
        ),
        gamma=gamma,
        gamma_finite=gamma_finite_exponent(
            context,
            loss,
            replicates if len(held_out.tokens) > 1 else None,
            level=options.level,
        ),
        discounts=held_out.discounts,
        boundary=options.boundary,
        held_out_documents=len(held_out.tokens),
        held_out_tokens=int(tokens),
        training_tokens=held_out.training_tokens,
        documents_are_blocks=units.are_blocks,
    )


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
    resolved = (width <= RESOLVED_SHARE * drops) & (drops > ROUNDING)
    # `spread` is the half-width of an interval, about two standard errors.
    drop_error = np.hypot(spread, np.where(trusted, found.doubt, np.inf)) / 2
    doubt = np.where(trusted, found.doubt, (high - low) / 2)
    return _Bracket(limit, low, high, doubt, resolved, limit + deviations, drop_error)


def _gamma(context: NDArray[np.int64], bracket: _Bracket, level: float) -> Exponent:
    """From the drops where there are enough of them, else in the paper's raw form."""
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
    if other.value is None:
        return headline
    entry = {
        name: getattr(other, name) for name in ("method", "value", "low", "high", "points")
    } | {"window": None if other.window is None else list(other.window)}
    return dataclasses.replace(headline, alternatives=(*headline.alternatives, entry))
