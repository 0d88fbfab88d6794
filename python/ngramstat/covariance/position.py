"""The covariance of pairs inside documents that comes from position in the document alone.

Tokens at the start of a document are distributed differently from those further on. Two tokens
that are independent given their positions i and i + t have the joint distribution
sum_b w_b p_b q_b^T over positions b, and so the covariance

    sum_b w_b (p_b - p) (q_b - q)^T,

which does not vanish with more data. Positions are grouped in bins that double in length. p_b comes
from one half of the documents and q_b from the other: with both from the same documents, the
composition of the documents, which does not depend on position, would contribute as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels import (
    N_POSITION_BINS,
    PairLabel,
    count_pairs_by_class,
    count_tokens_by_class,
)
from ngramstat.sampling.design import SamplingDesign

__all__ = ["PositionPairs", "count_tokens_by_position", "position_norm"]

Floats = NDArray[np.float64]


def count_tokens_by_position(design: SamplingDesign, *, threads: int = 1) -> NDArray[np.uint64]:
    """Tokens of either half at the positions of each bin, from which all lags are counted."""
    corpus = design.corpus
    return count_tokens_by_class(
        corpus.tokens,
        corpus.vocab_size,
        design.documents,
        across=False,
        by=PairLabel.half_and_position,
        threads=threads,
    )


@dataclass(frozen=True)
class PositionPairs:
    """Pairs inside documents of either half, by the bin of the left token's position.

    Attributes
    ----------
    left, right : (2 * N_POSITION_BINS, V) uint64
        By left and by right token.
    """

    left: NDArray[np.uint64]
    right: NDArray[np.uint64]

    @classmethod
    def of(
        cls,
        design: SamplingDesign,
        lag: int,
        *,
        tokens_by_position: NDArray[np.uint64] | None = None,
        threads: int = 1,
    ) -> PositionPairs:
        """One pass over the tokens, shorter with those of `count_tokens_by_position`."""
        left, right = count_pairs_by_class(
            design.pairs_at(lag),
            design.documents,
            across=False,
            by=PairLabel.half_and_position,
            tokens_by_class=tokens_by_position,
            threads=threads,
        )
        return cls(left, right)

    @classmethod
    def sum_of(cls, parts: Sequence[PositionPairs]) -> PositionPairs:
        """Those of a corpus from those of its shards."""
        return cls(
            np.sum([part.left for part in parts], axis=0),
            np.sum([part.right for part in parts], axis=0),
        )


def position_norm(
    pairs: PositionPairs, *, vocab_mask: NDArray[np.bool_] | None = None
) -> tuple[float, float]:
    """Norm of the position covariance at one lag, and the noise in it.

    There are two estimates: left tokens from one half of the documents and right tokens from the
    other, and the reverse. The norm is that of their mean; half their difference has the size of
    the noise in that mean.

    Parameters
    ----------
    pairs : PositionPairs
    vocab_mask : (V,) bool, optional
        Vocabulary items that the covariance is restricted to.

    Returns
    -------
    norm, floor : float
        NaN where a half has no pairs inside documents.
    """
    left, right = pairs.left, pairs.right
    shape = (2, N_POSITION_BINS, left.shape[1])
    left_counts, right_counts = (c.reshape(shape).astype(np.float64) for c in (left, right))
    numbers = left_counts.sum(axis=2)
    # Each product takes its two factors from different halves: a bin needs pairs in both.
    both = np.all(numbers > 0, axis=0)
    if not both.any():
        return float("nan"), float("nan")
    numbers = numbers[:, both]
    weights = numbers.sum(axis=0) / numbers.sum()
    p, q = (c[:, both] / numbers[:, :, None] for c in (left_counts, right_counts))
    # p_b - p and q_b - q of each half, (2, bins, V).
    p, q = (d - np.einsum("b,hbv->hv", weights, d)[:, None] for d in (p, q))
    if vocab_mask is not None:
        p, q = p * vocab_mask, q * vocab_mask
    # Mean and half difference of p[0]^T W q[1] and p[1]^T W q[0], as products of stacked factors.
    half_weights = weights[:, None] / 2
    swapped_q = np.concatenate([q[1], q[0]])
    return (
        _product_norm(np.concatenate([half_weights * p[0], half_weights * p[1]]), swapped_q),
        _product_norm(np.concatenate([half_weights * p[0], -half_weights * p[1]]), swapped_q),
    )


def _product_norm(rows: Floats, columns: Floats) -> float:
    """Largest singular value of rows^T columns, for two matrices (r, V) with few rows.

    Its square is the largest eigenvalue of the product of the two (r, r) Gram matrices.
    """
    squares = np.linalg.eigvals((rows @ rows.T) @ (columns @ columns.T))
    return float(np.sqrt(max(float(squares.real.max()), 0.0)))
