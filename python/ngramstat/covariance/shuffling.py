"""The permutation null: pairs inside documents after the tokens of each document are shuffled.

The null value of the sequential covariance is its norm on a shuffled copy of the corpus, in which
every document has the same tokens and no sequence (docs/theory.md 4). One shuffle is one draw of
it, and draws differ by some 5 %, while the edge of the noise spectrum (`noise_edge`) follows from
the marginals alone. So the norm is drawn at a few lags only, the same in every run, and its mean
ratio to the edge carries it to all others.
"""

from __future__ import annotations

import numpy as np

from ngramstat.covariance.noise import noise_edge
from ngramstat.covariance.operators import Composition, PairStatistics
from ngramstat.covariance.shared_passes import leading_triplets
from ngramstat.kernels import Tokens, shuffle_documents
from ngramstat.linear_algebra.lanczos import TripletSearch
from ngramstat.sampling.design import SamplingDesign

__all__ = [
    "SHUFFLED_LAGS",
    "noise_edge_inside_documents",
    "shuffled_inside_documents",
    "shuffled_norm",
]

# Lags of the shuffled copy at which the null is drawn.
SHUFFLED_LAGS = (1, 2)

# The edge of a noise spectrum converges slowly, and a norm is only asked to exceed the floor by a
# factor of 1.5: a residual of the first number leaves an error of about its square, and after four
# steps it is known to some 1e-3.
_RESIDUAL, _TOLERANCE = 0.05, 0.02
_MAX_STEPS = 4


def shuffled_inside_documents(
    design: SamplingDesign, out: Tokens | None = None, *, threads: int = 1
) -> Tokens:
    """A copy of the tokens with the content of every document shuffled; separators stay in place.

    The shuffle depends on the design's seed alone and is the same for all lags. The result is
    written to `out`, (n_tokens,), if that is given.
    """
    (key,) = np.random.SeedSequence([design.seed, 7]).generate_state(1, np.uint64)
    tokens = design.corpus.tokens
    shuffled: Tokens = np.empty_like(tokens) if out is None else out
    shuffle_documents(
        tokens,
        design.documents,
        int(key),
        shuffled,
        first_position=0 if design.place is None else design.place.first_token,
        threads=threads,
    )
    return shuffled


def shuffled_norm(shuffled: PairStatistics, composition: Composition) -> float:
    """Norm of the shuffled joint inside documents minus its exact mean over all shuffles.

    Parameters
    ----------
    shuffled : PairStatistics
        Pairs of the tokens from `shuffled_inside_documents`.
    composition : Composition
        The mean: the composition of the corpus at this lag.
    """
    search = TripletSearch(1, _RESIDUAL, _TOLERANCE, max_steps=_MAX_STEPS)
    (noise,) = leading_triplets([shuffled.sequential(composition)], [search])
    return float(noise.values[0])


def noise_edge_inside_documents(pairs: PairStatistics) -> float:
    """The norm that the pairs inside documents would show if their tokens were independent."""
    p, q = pairs.within_marginals()
    if pairs.vocab_mask is not None:
        p, q = p[pairs.vocab_mask], q[pairs.vocab_mask]
    return noise_edge(p, q) / float(np.sqrt(pairs.within_pairs))
