"""Counts of counts of all n-grams of a corpus, by the folds and clusters of its design."""

from __future__ import annotations

from typing import Any

from ngramstat.errors import InputError
from ngramstat.kernels import NgramStatistics, count_ngrams, suffix_cost
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign

__all__ = ["count_design_ngrams"]


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
    workspace = Workspace() if workspace is None else workspace
    corpus = design.corpus
    cost = suffix_cost(corpus.n_tokens, corpus.vocab_size, max_context + 1, counting_ngrams=True)
    with corpus.naming_large_ids():
        counts = count_ngrams(
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
        )
    if counts.whole.targets == 0:
        raise InputError(
            f"{corpus.name}: no token has {max_context} tokens before it; "
            "use a smaller --max-context"
        )
    return counts
