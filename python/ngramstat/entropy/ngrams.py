"""Counts of counts of all n-grams of a corpus, by the folds and clusters of its design."""

from __future__ import annotations

from typing import Any

from ngramstat.errors import InputError
from ngramstat.kernels import NgramStatistics, Share, count_ngrams, suffix_cost
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign

__all__ = ["count_design_ngrams", "count_share_of_ngrams", "require_targets"]


def count_design_ngrams(
    design: SamplingDesign,
    *,
    max_context: int,
    workspace: Workspace | None = None,
    progress: Any = None,
) -> NgramStatistics:
    """Counts of counts of n-grams up to max_context + 1 tokens; every token is used.

    Raises
    ------
    InputError
        A token is not below the vocabulary's size, or no token has max_context tokens before it.
    """
    counts = count_share_of_ngrams(
        design, None, max_context=max_context, workspace=workspace, progress=progress
    )
    require_targets(design, counts)
    return counts


def count_share_of_ngrams(
    design: SamplingDesign,
    share: Share | None,
    *,
    max_context: int,
    workspace: Workspace | None = None,
    progress: Any = None,
) -> NgramStatistics:
    """Of the n-grams whose last token lies in one of several ranges; None: of all.

    Raises
    ------
    InputError
        A token is not below the vocabulary's size.
    """
    workspace = Workspace() if workspace is None else workspace
    corpus = design.corpus
    cost = suffix_cost(corpus.n_tokens, corpus.vocab_size, max_context + 1, counting_ngrams=True)
    with corpus.naming_large_ids():
        return count_ngrams(
            corpus.tokens,
            corpus.vocab_size,
            max_context=max_context,
            documents=design.documents,
            across=design.boundary.across,
            threads=workspace.threads,
            memory_limit=workspace.memory_budget(
                token_bytes=corpus.tokens.nbytes if cost.reads_text else 0
            ),
            progress=progress,
            backend=workspace.gpus,
            share=share,
        )


def require_targets(design: SamplingDesign, counts: NgramStatistics) -> None:
    """Refuse counts of all n-grams that are none.

    Raises
    ------
    InputError
        No token has max_context tokens before it.
    """
    if counts.whole.targets == 0:
        raise InputError(
            f"{design.corpus.name}: no token has {len(counts.whole.ngrams) - 1} tokens before it; "
            "use a smaller --max-context"
        )
