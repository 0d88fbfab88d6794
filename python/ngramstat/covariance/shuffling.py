"""What pairs inside documents show once the order of the tokens in every document is destroyed.

The null of the sequential covariance: its value on a shuffled copy of the corpus, which has the
same documents and no sequence (docs/theory.md 4).
"""

from __future__ import annotations

import numpy as np

from ngramstat.corpus import Corpus
from ngramstat.covariance.operators import Composition, PairStatistics
from ngramstat.kernels import Tokens
from ngramstat.linear_algebra.lanczos import leading_singular_triplets
from ngramstat.runtime.workspace import release_pages_if_needed
from ngramstat.sampling.documents import Units

__all__ = ["permutation_floor", "shuffled_inside_documents"]

# The edge of a noise spectrum settles slowly, and the floor is compared with a factor of 1.5.
_TOLERANCE = 0.02
_MAX_STEPS = 5


def shuffled_inside_documents(
    corpus: Corpus, units: Units, seed: int, out: Tokens | None = None
) -> Tokens:
    """A copy of the tokens with every unit's content in random order; separators stay.

    One shuffle by `seed`, whatever the lags. `out`, (n,), is filled and returned where given.
    """
    rng = np.random.default_rng([seed, 7])
    shuffled: Tokens = np.empty_like(corpus.tokens) if out is None else out
    spans = units.documents
    for document, start, end in zip(
        map(slice, spans.starts.tolist(), spans.ends.tolist()),
        spans.content_starts.tolist(),
        spans.content_ends.tolist(),
        strict=True,
    ):
        shuffled[document] = corpus.tokens[document]
        rng.shuffle(shuffled[start:end])
        release_pages_if_needed()
    return shuffled


def permutation_floor(shuffled: PairStatistics, composition: Composition) -> float:
    """Norm of the shuffled pairs inside documents less their exact mean over all shuffles.

    Parameters
    ----------
    shuffled : PairStatistics
        Of the tokens of `shuffled_inside_documents`.
    composition : Composition
        The mean, that of the corpus at this lag.
    """
    if shuffled.within_pairs == 0:
        return float("nan")
    found = leading_singular_triplets(
        shuffled.sequential(composition),
        1,
        value_tolerance=_TOLERANCE,
        max_steps=_MAX_STEPS,
    )
    return float(found.values[0])
