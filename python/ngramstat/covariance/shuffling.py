"""The permutation null: pairs inside documents after the tokens of each document are shuffled.

The null value of the sequential covariance is its norm on a shuffled copy of the corpus, in which
every document has the same tokens and no sequence (docs/theory.md 4).
"""

from __future__ import annotations

import numpy as np

from ngramstat.covariance.operators import Composition, PairStatistics
from ngramstat.covariance.shared_passes import leading_triplets
from ngramstat.kernels import Tokens
from ngramstat.linear_algebra.lanczos import TripletSearch
from ngramstat.runtime.workspace import release_pages_if_needed
from ngramstat.sampling.design import SamplingDesign

__all__ = ["permutation_floor", "shuffled_inside_documents"]

# The edge of a noise spectrum converges slowly, and a norm is only asked to exceed the floor by a
# factor of 1.5.
_TOLERANCE = 0.02
_MAX_STEPS = 5


def shuffled_inside_documents(design: SamplingDesign, out: Tokens | None = None) -> Tokens:
    """A copy of the tokens with the content of every document shuffled; separators stay in place.

    The shuffle depends on the design's seed alone and is the same for all lags. The result is
    written to `out`, (n_tokens,), if that is given.
    """
    rng = np.random.default_rng([design.seed, 7])
    tokens, documents = design.corpus.tokens, design.documents
    shuffled: Tokens = np.empty_like(tokens) if out is None else out
    for document, start, end in zip(
        map(slice, documents.starts.tolist(), documents.ends.tolist()),
        documents.content_starts.tolist(),
        documents.content_ends.tolist(),
        strict=True,
    ):
        shuffled[document] = tokens[document]
        rng.shuffle(shuffled[start:end])
        release_pages_if_needed()
    return shuffled


def permutation_floor(shuffled: PairStatistics, composition: Composition) -> float:
    """Norm of the shuffled joint inside documents minus its exact mean over all shuffles.

    Parameters
    ----------
    shuffled : PairStatistics
        Pairs of the tokens from `shuffled_inside_documents`.
    composition : Composition
        The mean: the composition of the corpus at this lag.

    Returns
    -------
    float
        NaN if no document is longer than the lag.
    """
    if shuffled.within_pairs == 0:
        return float("nan")
    search = TripletSearch(value_tolerance=_TOLERANCE, max_steps=_MAX_STEPS)
    (noise,) = leading_triplets([shuffled.sequential(composition)], [search])
    return float(noise.values[0])
