"""The covariance matrices of token pairs as operators: counts stay sparse, centring is implicit.

C(t) = J - p q^T has no zeros, but its product with a vector is that of the sparse joint counts
minus a rank-one term. All matrices here are sums of sparse counts, a low-rank term and, for the
sequential covariance, the composition of the documents.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ngramstat._core import GpuPart
from ngramstat.kernels import CountMatrix, GpuCounts, PairCounts
from ngramstat.linear_algebra.gpu_backend import GpuBackend
from ngramstat.linear_algebra.lanczos import HostBackend, VectorBackend, as_block

__all__ = ["Composition", "CovarianceOperator", "Covariances", "PairStatistics", "Part"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Composition:
    """K = sum_d w_d (c_d c_d^T - diag c_d): what shuffling inside documents leaves of the joint.

    Attributes
    ----------
    counts : CountMatrix
        c, (n_documents, V).
    weights : (n_documents,) float64
        w.
    """

    counts: CountMatrix
    weights: Floats
    threads: int = 1
    _diagonal: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        diagonal = self._spread(self.weights)[:, None]
        object.__setattr__(self, "_diagonal", diagonal)

    def _spread(self, per_document: Floats) -> Floats:
        """c^T x for one value per document."""
        block = as_block(per_document)
        return self.counts.multiply_transposed(block, 1.0, 0.0, self.threads)[:, 0]

    def multiply(self, x: Floats) -> Floats:
        """K x; K is symmetric."""
        product = self.counts.multiply_gram(x, self.weights, self.threads)
        return product - self._diagonal * x

    def marginal(self) -> Floats:
        """Row (and column) sums of K."""
        lengths = self.counts.row_sums()[0].astype(np.float64)
        return self._spread(self.weights * (lengths - 1.0))


class Part(Protocol):
    """A matrix known by its products with blocks of BLOCK_SIZE vectors, on so many threads."""

    def multiply(self, x: Floats, threads: int) -> Floats:
        """A x."""

    def multiply_transposed(self, x: Floats, threads: int) -> Floats:
        """A^T x."""

    def gpu_part(self) -> GpuPart | None:
        """The same on a GPU, for those that live there."""


@dataclass(frozen=True)
class WeightedCounts:
    """first * weights[0] + second * weights[1] of a count matrix, and its transpose if at hand."""

    counts: CountMatrix | GpuCounts
    weights: tuple[float, float]
    transpose: CountMatrix | None = None

    def multiply(self, x: Floats, threads: int) -> Floats:
        """A x for x (n_cols, BLOCK_SIZE)."""
        return self.counts.multiply(x, *self.weights, threads)

    def multiply_transposed(self, x: Floats, threads: int) -> Floats:
        """A^T x for x (n_rows, BLOCK_SIZE)."""
        if self.transpose is None:
            return self.counts.multiply_transposed(x, *self.weights, threads)
        return self.transpose.multiply(x, *self.weights, threads)

    def gpu_part(self) -> GpuPart | None:
        """The counts' own, where they lie on a GPU."""
        return self.counts.weighted(*self.weights) if isinstance(self.counts, GpuCounts) else None


@dataclass(frozen=True)
class CovarianceOperator:
    """Sum of weighted counts - left right^T + sign * composition.

    Attributes
    ----------
    size : int
        V; the matrix is (V, V).
    parts : sequence of Part
    left, right : (V, r) float64
        Low-rank term.
    composition : Composition, optional
    sign : float
    kept : (V,) bool, optional
        Types whose principal submatrix this is; rows and columns of the others are zero.
    threads : int
    """

    size: int
    parts: Sequence[Part]
    left: Floats
    right: Floats
    composition: Composition | None = None
    sign: float = 1.0
    kept: NDArray[np.bool_] | None = None
    threads: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """(V, V)."""
        return self.size, self.size

    def space(self) -> VectorBackend:
        """On the GPU where all parts live there and nothing else is needed."""
        found = [part.gpu_part() for part in self.parts] if self.composition is None else []
        parts = [part for part in found if part is not None]
        if not parts or len(parts) < len(found):
            return HostBackend(self)
        gpu = parts[0].gpu
        kept = None if self.kept is None else self.kept.astype(np.uint8)
        columns = (as_block(*self.left.T), as_block(*self.right.T))
        return GpuBackend(gpu, gpu.covariance(parts, *columns, kept))

    def multiply(self, x: Floats) -> Floats:
        """A x for x (V, BLOCK_SIZE)."""
        x = self._masked(x)
        out = self.left @ (self.right.T @ x)
        np.negative(out, out=out)
        for part in self.parts:
            out += part.multiply(x, self.threads)
        return self._with_composition(out, x)

    def multiply_transposed(self, x: Floats) -> Floats:
        """A^T x for x (V, BLOCK_SIZE)."""
        x = self._masked(x)
        out = self.right @ (self.left.T @ x)
        np.negative(out, out=out)
        for part in self.parts:
            out += part.multiply_transposed(x, self.threads)
        return self._with_composition(out, x)

    def _with_composition(self, out: Floats, x: Floats) -> Floats:
        if self.composition is not None:
            out += self.sign * self.composition.multiply(x)
        return self._masked(out)

    def _masked(self, x: Floats) -> Floats:
        return x if self.kept is None else x * self.kept[:, None]


class Covariances(ABC):
    """Marginals and covariance operators of the pairs at one lag, from whatever counts them.

    Both marginals come from the same pairs as the joint, so rows and columns of C(t) sum to zero.

    Parameters
    ----------
    lag : int
    left, right : (2, V) uint64
        Pairs by left and by right token, of each document half (that of the left token).
    threads : int
    kept : (V,) bool, optional
        Types that the covariances are restricted to: principal submatrices. The marginals are
        those of all types.
    """

    def __init__(
        self,
        lag: int,
        left: NDArray[np.uint64],
        right: NDArray[np.uint64],
        *,
        threads: int = 1,
        kept: NDArray[np.bool_] | None = None,
    ) -> None:
        self.lag, self.kept, self.threads = lag, kept, threads
        self.size = left.shape[1]
        # Integer sums per half: halves[h] pairs whose left token lies in half h.
        self.half_pairs = (int(left[0].sum()), int(left[1].sum()))
        self.pairs = sum(self.half_pairs)
        self._left, self._right = left, right

    @abstractmethod
    def _parts(self, a: float, b: float) -> Sequence[Part]:
        """a times the pairs of the first half of the documents and b times those of the second."""

    def marginals(self, half: int | None = None) -> tuple[Floats, Floats]:
        """(p, q), the distributions of left and right tokens, (V,) each; of one half or of all."""
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
        """(C_A - C_B) / 2 over the document halves: noise of the size that C(t) carries."""
        (pa, qa), (pb, qb) = self.marginals(0), self.marginals(1)
        return self._operator(
            0.5 / self.half_pairs[0],
            -0.5 / self.half_pairs[1],
            np.stack([0.5 * pa, -0.5 * pb], axis=1),
            np.stack([qa, qb], axis=1),
        )

    def _operator(self, a: float, b: float, left: Floats, right: Floats) -> CovarianceOperator:
        return CovarianceOperator(
            self.size, self._parts(a, b), left, right, kept=self.kept, threads=self.threads
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


class PairStatistics(Covariances):
    """Covariances from counts of all pairs.

    Parameters
    ----------
    counts : PairCounts
    across : bool
        Include the pairs that cross a document's end or touch a separator (boundary ``stream``).
    threads : int
    kept : (V,) bool, optional
        Types that the covariances are restricted to: principal submatrices. The marginals are
        those of all types.
    transpose : bool
        Keep transposes of the counts, too: worth their making for more than a few products.
    """

    def __init__(
        self,
        counts: PairCounts,
        *,
        across: bool,
        threads: int = 1,
        kept: NDArray[np.bool_] | None = None,
        transpose: bool = False,
    ) -> None:
        # A matrix without entries costs a pass over its row pointers in every product.
        self.parts = [counts.within]
        if across and counts.across.nnz:
            self.parts.append(counts.across)
        # Those that lie on a GPU have theirs.
        self._transposes = [
            part.transposed(threads) if transpose and isinstance(part, CountMatrix) else None
            for part in self.parts
        ]
        rows = [part.row_sums() for part in self.parts]
        columns = [part.column_sums() for part in self.parts]
        within = rows[0].sum(axis=1)
        self.within_half_pairs = (int(within[0]), int(within[1]))
        self.within_pairs = sum(self.within_half_pairs)
        super().__init__(
            counts.lag, np.sum(rows, axis=0), np.sum(columns, axis=0), threads=threads, kept=kept
        )

    def sequential(self, composition: Composition, half: int | None = None) -> CovarianceOperator:
        """Joint inside documents minus its mean over shuffles inside documents (docs/theory.md 4).

        `composition` is that of all documents, or of those of one half.
        """
        pairs = self.within_pairs if half is None else self.within_half_pairs[half]
        a, b = (1.0 / pairs if half in (None, h) else 0.0 for h in (0, 1))
        empty = np.zeros((self.size, 0))
        return CovarianceOperator(
            self.size,
            [WeightedCounts(self.parts[0], (a, b), self._transposes[0])],
            empty,
            empty,
            composition=composition,
            sign=-1.0,
            kept=self.kept,
            threads=self.threads,
        )

    def frobenius(self) -> float:
        """Frobenius norm of C(t) over all types, from sums over counts."""
        w = (1.0 / self.pairs, 1.0 / self.pairs)
        squares = 0.0
        for i, first in enumerate(self.parts):
            for j, second in enumerate(self.parts[i:], start=i):
                factor = 1.0 if i == j else 2.0
                squares += factor * _inner_product(first, second, w, self.threads)
        p, q = self.marginals()
        block = as_block(q)
        joint = np.zeros(self.size)
        for part in self.parts:
            joint += part.multiply(block, *w, self.threads)[:, 0]
        total = squares - 2.0 * float(p @ joint) + float(p @ p) * float(q @ q)
        return float(np.sqrt(max(total, 0.0)))

    def _parts(self, a: float, b: float) -> Sequence[Part]:
        return [
            WeightedCounts(part, (a, b), transpose)
            for part, transpose in zip(self.parts, self._transposes, strict=True)
        ]
