"""The covariance that position in the document alone makes among pairs inside documents.

Tokens at the start of a document are not distributed as those later on. Two tokens that know
nothing of each other but their positions i and i + t then have the joint distribution
sum_b w_b p_b q_b^T, b the positions, and so the covariance

    sum_b w_b (p_b - p) (q_b - q)^T,

which no longer text makes smaller. Positions are taken in bins that double in length. p_b comes
from one half of the documents and q_b from the other: within a document its composition, which is
no matter of position, would count as well.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.kernels import N_POSITION_BINS, PairLabel, multiply_pairs_by_class
from ngramstat.sampling.documents import Units

__all__ = ["BINS", "position_norm"]

Floats = NDArray[np.float64]

# Positions 0, 1, 2-3, 4-7, ..., and one bin for those of 8192 and more.
BINS = N_POSITION_BINS


def position_norm(
    corpus: Corpus,
    units: Units,
    lag: int,
    *,
    kept: NDArray[np.bool_] | None = None,
    threads: int = 1,
) -> tuple[float, float]:
    """Norm of the position covariance at one lag, and the noise in it.

    The two estimates that the halves give, left tokens from the one and right tokens from the
    other, have their mean's norm taken; half their difference has the size of the mean's noise.

    Parameters
    ----------
    corpus : Corpus
    units : Units
    lag : int
    kept : (V,) bool, optional
        Types that the covariance is restricted to.
    threads : int

    Returns
    -------
    norm, floor : float
        NaN where a half has no pairs inside documents.
    """
    zeros = np.zeros((1, corpus.vocab_size))
    _, _, left, right = multiply_pairs_by_class(
        corpus.tokens,
        corpus.vocab_size,
        lag,
        zeros,
        zeros,
        units.documents,
        across=False,
        by=PairLabel.half_and_position,
        threads=threads,
    )
    shape = (2, BINS, corpus.vocab_size)
    left_counts, right_counts = (c.reshape(shape).astype(np.float64) for c in (left, right))
    pairs = left_counts.sum(axis=2)
    # A bin that one of the halves lacks says nothing about the other's.
    both = np.all(pairs > 0, axis=0)
    if not both.any():
        return float("nan"), float("nan")
    pairs = pairs[:, both]
    weights = pairs.sum(axis=0) / pairs.sum()
    p, q = (c[:, both] / pairs[:, :, None] for c in (left_counts, right_counts))
    p, q = (part - np.einsum("b,hbv->hv", weights, part)[:, None] for part in (p, q))
    if kept is not None:
        p, q = p * kept, q * kept
    half = weights[:, None] / 2
    columns = np.concatenate([q[1], q[0]])
    return (
        _norm(np.concatenate([half * p[0], half * p[1]]), columns),
        _norm(np.concatenate([half * p[0], -half * p[1]]), columns),
    )


def _norm(rows: Floats, columns: Floats) -> float:
    """Largest singular value of rows^T columns, (r, V) each: its square is an eigenvalue of the
    product of the two small Gram matrices.
    """
    squares = np.linalg.eigvals((rows @ rows.T) @ (columns @ columns.T))
    return float(np.sqrt(max(float(squares.real.max()), 0.0)))
