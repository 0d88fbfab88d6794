"""Next-token entropies H(n) of a corpus: bracketed by counts below and held-out losses above."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.exponents.bootstrap import percentile_interval
from ngramstat.exponents.entropy_decay import gamma_exponent, gamma_finite_exponent
from ngramstat.kernels import MAX_ORDER, NgramCounts, count_ngrams
from ngramstat.results import EntropyResult, LearningCurve
from ngramstat.statistics.counts_entropy import chao_shen, miller_madow, plug_in
from ngramstat.statistics.documents import DocumentBootstrap, statistical_units
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
        Bootstrap replicates over held-out documents.
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


def measure_ngrams(
    corpus: Corpus,
    options: EntropyOptions,
    *,
    threads: int = 1,
    memory_limit: int | None = None,
    progress: Any = None,
) -> NgramCounts:
    """Counts of counts of all n-grams of the corpus; every token is used, nothing is held out."""
    units = statistical_units(corpus, boundary=options.boundary, seed=options.seed)
    n = corpus.n_tokens
    ends = units.spans.ends if options.boundary == "document" else np.array([n], dtype=np.int64)
    try:
        counts = count_ngrams(
            corpus.tokens,
            corpus.vocab_size,
            max_context=options.max_context,
            document_ends=ends,
            threads=threads,
            memory_limit=memory_limit,
            progress=progress,
        )
    except IndexError as error:
        raise InputError(f"{corpus.path}: {error}; check --dtype and --vocab-size") from error
    if counts.targets == 0:
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
    corpus: Corpus, options: EntropyOptions, counts: NgramCounts, held_out: HeldOut
) -> EntropyResult:
    """One result from the counts and the held-out losses, with the fits of gamma.

    The bracket of H_n: below, the Miller-Madow estimate (its remaining bias is downward wherever
    contexts are undersampled); above, the upper end of the held-out interval (a cross-entropy is
    never below the entropy). `limit` is midway between the two estimates.
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
    enough = len(held_out.tokens) > 1
    intervals = np.array(
        [
            percentile_interval(r, options.level) if enough else (np.nan, np.nan)
            for r in replicates.T
        ]
    )
    corrected = miller_madow(counts)
    low = corrected
    high = np.fmax(np.where(np.isfinite(intervals[:, 1]), intervals[:, 1], loss), low)
    limit = np.fmax((low + loss) / 2, low)
    above = np.concatenate([[np.log(corpus.vocab_size)], limit[:-1]])
    resolved = (high - low) <= RESOLVED_SHARE * (above - limit)
    return EntropyResult(
        context=context,
        targets=np.full(len(context), counts.targets, dtype=np.uint64),
        distinct=np.array([int(t[:, 1].sum()) for t in counts.contexts], dtype=np.uint64),
        plug_in=plug_in(counts),
        miller_madow=corrected,
        chao_shen=chao_shen(counts),
        held_out_kneser_ney=loss,
        held_out=loss,
        held_out_low=intervals[:, 0],
        held_out_high=intervals[:, 1],
        limit=limit,
        limit_low=low,
        limit_high=high,
        resolved=resolved,
        learning_curve=LearningCurve(
            tokens=np.array([held_out.training_tokens], dtype=np.int64), held_out=loss[None, :]
        ),
        gamma=gamma_exponent(context, limit, low, high, resolved, level=options.level),
        gamma_finite=gamma_finite_exponent(
            context, loss, replicates if enough else None, level=options.level
        ),
        discounts=held_out.discounts,
        boundary=options.boundary,
        held_out_documents=len(held_out.tokens),
        held_out_tokens=int(tokens),
        training_tokens=held_out.training_tokens,
        documents_are_blocks=units.are_blocks,
    )
