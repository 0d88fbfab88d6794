"""The covariance matrices of token pairs as operators: counts stay sparse, centring is implicit.

C(t) = J - p q^T has no zeros, but its product with a vector is the product of the sparse joint
counts J minus a rank-one term. All matrices here are sums of sparse counts, a low-rank term and,
for the sequential covariance, the composition of the documents.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels import CountMatrix, GpuCounts, GpuTerm, PairCounts
from ngramstat.linear_algebra.gpu_backend import GpuBackend
from ngramstat.linear_algebra.lanczos import HostBackend, VectorBackend, as_block

__all__ = [
    "Composition",
    "CovarianceOperator",
    "Covariances",
    "MatrixTerm",
    "PairStatistics",
    "PairSums",
    "WeightedCounts",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Composition:
    """K = sum_d w_d (c_d c_d^T - diag c_d): the mean joint over all shuffles inside documents.

    w_d is the document's rate times the weight of its half.

    Attributes
    ----------
    counts : CountMatrix
        c, the token counts of the documents, (n_documents, V).
    rates : (n_documents,) float64
    halves : (n_documents,) uint8
        The half of each document.
    sums : (4, V) float64
        For either half, sums over its documents of rate_d c_d, then those of rate_d (L_d - 1) c_d.
    weights : (float, float)
        Of the two halves.
    threads : int
    """

    counts: CountMatrix
    rates: Floats
    halves: NDArray[np.uint8]
    sums: Floats = field(repr=False)
    weights: tuple[float, float] = (1.0, 1.0)
    threads: int = 1

    @classmethod
    def of(
        cls,
        counts: CountMatrix,
        rates: Floats,
        halves: NDArray[np.uint8] | None = None,
        *,
        threads: int = 1,
    ) -> Composition:
        """With weight one for both halves; without `halves`, all documents are of half 0."""
        if halves is None:
            halves = np.zeros(len(rates), np.uint8)
        lengths = counts.row_sums(threads)[0].astype(np.float64)
        columns = np.stack([rates, rates * (lengths - 1.0)])
        one, two = (np.where(halves == h, columns, 0.0) for h in (0, 1))
        # c^T x: the counts of all documents weighted by one value per document.
        block = as_block(one[0], two[0], one[1], two[1])
        sums = counts.multiply_transposed(block, 1.0, 0.0, threads)[:, :4]
        return cls(counts, rates, halves, np.ascontiguousarray(sums.T), threads=threads)

    def weighted(self, a: float, b: float) -> Composition:
        """The same documents with weights a and b of the two halves."""
        return replace(self, weights=(a, b))

    def diagonal(self) -> Floats:
        """sum_d w_d c_d, which K subtracts from its diagonal."""
        product: Floats = np.array(self.weights) @ self.sums[:2]
        return product

    def marginal(self) -> Floats:
        """Row (and column) sums of K."""
        product: Floats = np.array(self.weights) @ self.sums[2:]
        return product

    def multiply(self, x: Floats) -> Floats:
        """K x; K is symmetric."""
        weights = self.rates * np.array(self.weights)[self.halves]
        product = self.counts.multiply_gram(x, weights, self.threads)
        return product - self.diagonal()[:, None] * x


class MatrixTerm(Protocol):
    """A term of a sum of matrices, known by its products with blocks of BLOCK_SIZE vectors."""

    def multiply(self, x: Floats, threads: int) -> Floats:
        """A x."""

    def multiply_transposed(self, x: Floats, threads: int) -> Floats:
        """A^T x."""

    def gpu_term(self) -> GpuTerm | None:
        """The same term in the memory of a GPU; None if it lies on the host."""


@dataclass(frozen=True)
class WeightedCounts:
    """weights[0] A_0 + weights[1] A_1, the channels A_0 and A_1 of a count matrix.

    Attributes
    ----------
    counts : CountMatrix or GpuCounts
    weights : (float, float)
    """

    counts: CountMatrix | GpuCounts
    weights: tuple[float, float]

    def multiply(self, x: Floats, threads: int) -> Floats:
        """A x for x (n_cols, BLOCK_SIZE)."""
        return self.counts.multiply(x, *self.weights, threads)

    def multiply_transposed(self, x: Floats, threads: int) -> Floats:
        """A^T x for x (n_rows, BLOCK_SIZE)."""
        return self.counts.multiply_transposed(x, *self.weights, threads)

    def gpu_term(self) -> GpuTerm | None:
        """The weighted counts on the GPU that holds them."""
        return self.counts.weighted(*self.weights) if isinstance(self.counts, GpuCounts) else None


@dataclass(frozen=True)
class CovarianceOperator:
    """Sum of the terms - left right^T + sign * composition.

    Attributes
    ----------
    size : int
        V; the matrix is (V, V).
    terms : sequence of MatrixTerm
    left, right : (V, r) float64
        Low-rank term.
    composition : Composition, optional
    sign : float
    vocab_mask : (V,) bool, optional
        Vocabulary items whose principal submatrix this is; rows and columns of the others are zero.
    threads : int
    centres : (p, q), (V,) float64 each
        Distributions of left and right tokens. Products in single precision are computed of vectors
        whose mean over them has been taken off, so that they are not the small differences of large
        sums.
    row_sums, column_sums : (V,) float64, optional
        Of the matrix without its mask; None: zero.
    """

    size: int
    terms: Sequence[MatrixTerm]
    left: Floats
    right: Floats
    composition: Composition | None = None
    sign: float = 1.0
    vocab_mask: NDArray[np.bool_] | None = None
    threads: int = 1
    centres: tuple[Floats, Floats] | None = None
    row_sums: Floats | None = None
    column_sums: Floats | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(V, V)."""
        return self.size, self.size

    def backend(self) -> VectorBackend:
        """The GPU if all terms lie there and there is no composition, else the host."""
        if self.composition is not None:
            return HostBackend(self)
        gpu_parts = [part for term in self.terms if (part := term.gpu_term()) is not None]
        if not gpu_parts or len(gpu_parts) < len(self.terms):
            return HostBackend(self)
        gpu = gpu_parts[0].gpu
        vocab_mask = None if self.vocab_mask is None else self.vocab_mask.astype(np.uint8)
        low_rank = (as_block(*self.left.T), as_block(*self.right.T))
        return GpuBackend(gpu, gpu.covariance(gpu_parts, *low_rank, vocab_mask))

    def multiply(self, x: Floats) -> Floats:
        """A x for x (V, BLOCK_SIZE)."""
        x = self._masked(x)
        out = self.left @ (self.right.T @ x)
        np.negative(out, out=out)
        for term in self.terms:
            out += term.multiply(x, self.threads)
        return self._with_composition(out, x)

    def multiply_transposed(self, x: Floats) -> Floats:
        """A^T x for x (V, BLOCK_SIZE)."""
        x = self._masked(x)
        out = self.right @ (self.left.T @ x)
        np.negative(out, out=out)
        for term in self.terms:
            out += term.multiply_transposed(x, self.threads)
        return self._with_composition(out, x)

    def _with_composition(self, out: Floats, x: Floats) -> Floats:
        if self.composition is not None:
            out += self.sign * self.composition.multiply(x)
        return self._masked(out)

    def _masked(self, x: Floats) -> Floats:
        return x if self.vocab_mask is None else x * self.vocab_mask[:, None]


class Covariances(ABC):
    """Marginals and covariance operators of the pairs at one lag; subclasses supply the joint.

    Both marginals come from the same pairs as the joint, so rows and columns of C(t) sum to zero.

    Parameters
    ----------
    lag : int
    left, right : (2, V) uint64
        Number of pairs by left and by right token in each document half; a pair belongs to the half
        of its left token.
    threads : int
    vocab_mask : (V,) bool, optional
        Vocabulary items that the covariances are restricted to (principal submatrices). The
        marginals are those of the whole vocabulary.
    """

    def __init__(
        self,
        lag: int,
        left: NDArray[np.uint64],
        right: NDArray[np.uint64],
        *,
        threads: int = 1,
        vocab_mask: NDArray[np.bool_] | None = None,
    ) -> None:
        self.lag, self.vocab_mask, self.threads = lag, vocab_mask, threads
        self.size = left.shape[1]
        # half_pairs[h]: pairs whose left token lies in half h.
        self.half_pairs = (int(left[0].sum()), int(left[1].sum()))
        self.pairs = sum(self.half_pairs)
        self._left, self._right = left, right

    @abstractmethod
    def _joint(self, a: float, b: float) -> Sequence[MatrixTerm]:
        """a times the pairs of document half 0 plus b times those of half 1."""

    def marginals(self, half: int | None = None) -> tuple[Floats, Floats]:
        """(p, q), the distributions of left and right tokens, (V,) each; of one half or of both."""
        if half is None:
            return self._left.sum(axis=0) / self.pairs, self._right.sum(axis=0) / self.pairs
        n = self.half_pairs[half]
        return self._left[half] / n, self._right[half] / n

    def covariance(self, half: int | None = None) -> CovarianceOperator:
        """C(t) from all pairs, or from those of one document half."""
        p, q = self.marginals(half)
        a = 1.0 / (self.pairs if half is None else self.half_pairs[0]) if half != 1 else 0.0
        b = 1.0 / (self.pairs if half is None else self.half_pairs[1]) if half != 0 else 0.0
        return self._operator(a, b, p[:, None], q[:, None])

    def half_difference(self) -> CovarianceOperator:
        """(C_0 - C_1) / 2 of the document halves: noise of the same size as that in C(t)."""
        (pa, qa), (pb, qb) = self.marginals(0), self.marginals(1)
        return self._operator(
            0.5 / self.half_pairs[0],
            -0.5 / self.half_pairs[1],
            np.stack([0.5 * pa, -0.5 * pb], axis=1),
            np.stack([qa, qb], axis=1),
        )

    def _operator(self, a: float, b: float, left: Floats, right: Floats) -> CovarianceOperator:
        return CovarianceOperator(
            self.size,
            self._joint(a, b),
            left,
            right,
            vocab_mask=self.vocab_mask,
            threads=self.threads,
            centres=self.marginals(),
        )


def _inner_product(
    a: CountMatrix | GpuCounts,
    b: CountMatrix | GpuCounts,
    weights: tuple[float, float],
    threads: int,
) -> float:
    if isinstance(a, GpuCounts):
        assert isinstance(b, GpuCounts)
        return a.inner_product(b, weights, weights, threads)
    assert isinstance(b, CountMatrix)
    return a.inner_product(b, weights, weights, threads)


@dataclass(frozen=True)
class PairSums:
    """Pairs by left and by right token, in each document half.

    Attributes
    ----------
    rows, columns : (within, across), (2, V) uint64 each
    """

    rows: tuple[NDArray[np.uint64], NDArray[np.uint64]]
    columns: tuple[NDArray[np.uint64], NDArray[np.uint64]]

    @classmethod
    def of(cls, counts: PairCounts, threads: int = 1) -> PairSums:
        """The sums of rows and columns of both matrices."""
        return cls(
            (counts.within.row_sums(threads), counts.across.row_sums(threads)),
            (counts.within.column_sums(threads), counts.across.column_sums(threads)),
        )


class PairStatistics(Covariances):
    """Covariances from counts of all pairs.

    Parameters
    ----------
    counts : PairCounts
    across : bool
        Include the pairs that cross the end of a document or touch a separator (boundary
        ``stream``).
    threads : int
    vocab_mask : (V,) bool, optional
        Vocabulary items that the covariances are restricted to (principal submatrices). The
        marginals are those of the whole vocabulary.
    sums : PairSums, optional
        Of the counts, if they are known.
    """

    def __init__(
        self,
        counts: PairCounts,
        *,
        across: bool,
        threads: int = 1,
        vocab_mask: NDArray[np.bool_] | None = None,
        sums: PairSums | None = None,
    ) -> None:
        # An empty matrix is left out: it would cost a pass over its row pointers in every product.
        self._counts = [counts.within]
        if across and counts.across.nnz:
            self._counts.append(counts.across)
        sums = PairSums.of(counts, threads) if sums is None else sums
        rows, columns = sums.rows[: len(self._counts)], sums.columns[: len(self._counts)]
        # Pairs inside documents by left and by right token, (2, V) each.
        self._within_sums = rows[0], columns[0]
        within = rows[0].sum(axis=1)
        self.within_half_pairs = (int(within[0]), int(within[1]))
        self.within_pairs = sum(self.within_half_pairs)
        super().__init__(
            counts.lag,
            np.sum(rows, axis=0),
            np.sum(columns, axis=0),
            threads=threads,
            vocab_mask=vocab_mask,
        )

    def within_marginals(self) -> tuple[Floats, Floats]:
        """Distributions of left and right tokens of the pairs inside documents, (V,) each."""
        p, q = (sums.sum(axis=0) / self.within_pairs for sums in self._within_sums)
        return p, q

    def sequential(self, composition: Composition, half: int | None = None) -> CovarianceOperator:
        """Joint inside documents minus its mean over shuffles inside documents (docs/theory.md 4).

        `composition` is that of all documents, or of the documents of one half.
        """
        pairs = self.within_pairs if half is None else self.within_half_pairs[half]
        a, b = (1.0 / pairs if half in (None, h) else 0.0 for h in (0, 1))
        empty = np.zeros((self.size, 0))
        p, q = (a * sums[0] + b * sums[1] for sums in self._within_sums)
        return CovarianceOperator(
            self.size,
            [WeightedCounts(self._counts[0], (a, b))],
            empty,
            empty,
            composition=composition,
            sign=-1.0,
            vocab_mask=self.vocab_mask,
            threads=self.threads,
            centres=(p, q),
            row_sums=p - composition.marginal(),
            column_sums=q - composition.marginal(),
        )

    def frobenius(self) -> float:
        """Frobenius norm of C(t) over the whole vocabulary.

        |J - p q^T|^2 = |J|^2 - 2 p^T J q + |p|^2 |q|^2, so that no dense matrix is needed.
        """
        w = (1.0 / self.pairs, 1.0 / self.pairs)
        # J is a sum of count matrices: |J|^2 is the sum of their inner products.
        squares = 0.0
        for i, first in enumerate(self._counts):
            for j, second in enumerate(self._counts[i:], start=i):
                factor = 1.0 if i == j else 2.0
                squares += factor * _inner_product(first, second, w, self.threads)
        p, q = self.marginals()
        block = as_block(q)
        joint_q = np.zeros(self.size)
        for matrix in self._counts:
            joint_q += matrix.multiply(block, *w, self.threads)[:, 0]
        total = squares - 2.0 * float(p @ joint_q) + float(p @ p) * float(q @ q)
        # The difference of rounded sums may be slightly negative.
        return float(np.sqrt(max(total, 0.0)))

    def _joint(self, a: float, b: float) -> Sequence[MatrixTerm]:
        return [WeightedCounts(matrix, (a, b)) for matrix in self._counts]
