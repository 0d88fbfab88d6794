"""What the covariance at one lag takes from the tokens, once its singular vectors are known.

Singular vectors follow from the counts of pairs. The errors, the debiased norms and the shares of
documents do not: they go back to the tokens, twice. All that comes from there are sums by document
or by fold, so those of the shards of a corpus are put together by `LagSums.joined` and
`FoldForms.sum_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ngramstat.covariance.fold_passes import FoldForms, FoldProducts, HalfVectors, ShuffledPairs
from ngramstat.covariance.position import PositionPairs, count_tokens_by_position
from ngramstat.covariance.sequential import pairs_per_ordered_pair
from ngramstat.kernels import CountMatrix, sum_pairs_by_document
from ngramstat.runtime.workspace import gather
from ngramstat.sampling.design import SamplingDesign

__all__ = ["LagSums", "LagVectors", "TokenPasses"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LagVectors:
    """Singular vectors of the covariances at one lag: of C(t), then of the sequential one if any.

    Attributes
    ----------
    lag : int
    left, right : (k, V) float64
        Leading singular vectors u, v of all documents; k is 1 or 2.
    halves : tuple of HalfVectors
        Of either half of the documents, k of them.
    """

    lag: int
    left: Floats
    right: Floats
    halves: tuple[HalfVectors, ...]

    @property
    def with_sequential(self) -> bool:
        """Whether the sequential covariance is measured."""
        return len(self.halves) > 1


@dataclass(frozen=True)
class LagSums:
    """What the first pass over the tokens gives.

    Attributes
    ----------
    of_documents : (n_documents, 4) float64
        For each document its pairs, and the sums of u v, u and v over them.
    inside : (n_documents,) float64
        Sums over the pairs inside each document, with the vectors of the sequential covariance; no
        entries where that is not measured.
    projected : (n_documents, 3) float64
        The documents' token counts times these u, v and u v; likewise.
    products : FoldProducts
    positions : PositionPairs
    separator_pairs : int
        Pairs of the stream that touch a separator.
    """

    of_documents: Floats
    inside: Floats
    projected: Floats
    products: FoldProducts
    positions: PositionPairs
    separator_pairs: int

    @classmethod
    def joined(cls, parts: Sequence[LagSums]) -> LagSums:
        """Those of a corpus from those of its shards, in the order of the documents."""
        return cls(
            np.concatenate([part.of_documents for part in parts]),
            np.concatenate([part.inside for part in parts]),
            np.concatenate([part.projected for part in parts]),
            FoldProducts.sum_of([part.products for part in parts]),
            PositionPairs.sum_of([part.positions for part in parts]),
            sum(part.separator_pairs for part in parts),
        )


class TokenPasses:
    """Both passes over the tokens of a corpus, or of one shard of it.

    Parameters
    ----------
    design : SamplingDesign
    document_counts : CountMatrix, optional
        Tokens of the documents, (n_documents, V), for the sequential covariance.
    threads : int
    """

    def __init__(
        self, design: SamplingDesign, document_counts: CountMatrix | None, threads: int
    ) -> None:
        self._design, self._document_counts, self._threads = design, document_counts, threads

    @cached_property
    def _tokens_by_position(self) -> NDArray[np.uint64] | None:
        """None where pairs are summed on a GPU."""
        if self._design.gpu is not None:
            return None
        return count_tokens_by_position(self._design, threads=self._threads)

    def first(self, vectors: LagVectors) -> LagSums:
        """Sums by document, and the products of the folds with the vectors of the other half."""
        design, lag = self._design, vectors.lag
        shuffled, projected = None, np.zeros((0, 3))
        if vectors.with_sequential:
            u, v = vectors.left[1], vectors.right[1]
            shuffled, projected = self._shuffled(lag).products(vectors.halves[1], u, v, u * v)
        products = FoldProducts.of(
            design.pairs_at(lag),
            design.documents,
            vectors.halves,
            shuffled,
            across=design.boundary.across,
            threads=self._threads,
        )
        pairs, product, left, right = sum_pairs_by_document(
            design.pairs_at(lag),
            vectors.left,
            vectors.right,
            design.documents,
            across=design.boundary.across,
            threads=self._threads,
        )
        return LagSums(
            np.stack([pairs[0], product[0], left, right], axis=1, dtype=np.float64),
            product[1] if vectors.with_sequential else np.zeros(0),
            projected,
            products,
            PositionPairs.of(
                design, lag, tokens_by_position=self._tokens_by_position, threads=self._threads
            ),
            self._separator_pairs(lag),
        )

    def second(self, lag: int, weighted: NDArray[np.float32], sums: LagSums) -> FoldForms:
        """The third moments of the folds.

        Parameters
        ----------
        lag : int
        weighted : (2, n_kinds, 2, V, BLOCK_SIZE) float32
            Of `CrossFitting`.
        sums : LagSums
            Of the first pass over the same tokens.
        """
        design = self._design
        shuffled = None
        if sums.products.shuffled.size:
            shuffled = self._shuffled(lag), sums.products.shuffled[2]
        return FoldForms.of(
            design.pairs_at(lag),
            design.documents,
            weighted,
            shuffled,
            across=design.boundary.across,
            threads=self._threads,
        )

    def _shuffled(self, lag: int) -> ShuffledPairs:
        assert self._document_counts is not None
        return ShuffledPairs(
            self._document_counts,
            pairs_per_ordered_pair(self._design, lag),
            self._design.documents.folds,
            self._threads,
        )

    def _separator_pairs(self, lag: int) -> int:
        """Pairs of the stream that touch a separator; those inside documents do not."""
        design = self._design
        if not design.boundary.across:
            return 0
        tokens, positions = design.corpus.tokens, design.separator_positions
        first, n = (
            (0, len(tokens))
            if design.place is None
            else (design.place.first_token, design.place.n_tokens)
        )
        as_left = positions[positions + first + lag < n]
        as_right = positions[positions + first >= lag]
        right = as_left + lag
        inside = right < len(tokens)
        found = gather(tokens, right[inside])
        if design.place is not None:
            found = np.append(found, design.place.following[right[~inside] - len(tokens)])
        both = int(np.count_nonzero(found == design.corpus.separator))
        return len(as_left) + len(as_right) - both
