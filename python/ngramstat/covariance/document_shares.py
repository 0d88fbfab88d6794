"""Which documents carry the norm of C(t): the share of each in u^T C v."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["DocumentShares"]

Floats = NDArray[np.float64]

# Documents that are named at a lag.
_NAMED = 5


@dataclass(frozen=True)
class DocumentShares:
    """The documents that carry most of the norm at one lag.

    With the leading singular vectors u, v, and a pair (i, j) in the document of its left token,

        norm = u^T C v = sum over documents of [sum over its pairs of (u_i - u') (v_j - v')] / pairs

    where u' and v' are the means over all pairs. Shares add up to one; some can be negative.

    Attributes
    ----------
    documents : (k,) int64
        Numbers of the documents with the largest shares, from 0; largest share first.
    shares : (k,) float64
    for_half : float
        Smallest fraction of the documents that carries half of the norm; NaN where that is zero.
    """

    documents: NDArray[np.int64]
    shares: Floats
    for_half: float

    @classmethod
    def of(cls, sums: Floats) -> DocumentShares:
        """From the sums of `sum_pairs_by_document` for u and v, (n_documents, 4)."""
        pairs, product, left, right = sums.T
        total = max(float(pairs.sum()), 1.0)
        u, v = left.sum() / total, right.sum() / total
        parts = product - u * right - v * left + u * v * pairs
        norm = float(parts.sum())
        # Of equal parts the documents with the smaller numbers.
        order = np.argsort(-parts, kind="stable")
        named = order[:_NAMED]
        if not norm > 0:
            return cls(named, np.full(len(named), np.nan), float("nan"))
        half = int(np.searchsorted(np.cumsum(parts[order]), norm / 2)) + 1
        return cls(named, parts[named] / norm, min(half, len(parts)) / len(parts))
