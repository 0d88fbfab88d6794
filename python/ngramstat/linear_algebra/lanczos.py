"""Leading singular values of matrices that are only known by their products.

Block Golub-Kahan-Lanczos bidiagonalisation with full reorthogonalisation (Golub, Luk and Overton
1981). SciPy's `svds` multiplies one vector at a time; the count matrices are bound by memory
traffic, so eight vectors at once cost little more than one, and a block also settles the clusters
of singular values that noise matrices have at their edge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels import BLOCK_SIZE

__all__ = [
    "Basis",
    "HasBackend",
    "HostBackend",
    "Operator",
    "SingularTriplets",
    "VectorBackend",
    "as_block",
    "leading_singular_triplets",
    "orthonormal_rows",
]

Floats = NDArray[np.float64]

# Up to this many rows and columns the matrix is written out and handed to LAPACK: exact, and
# cheaper than a Krylov space that would fill the whole space anyway.
_DENSE_SIZE = 192


class Operator(Protocol):
    """A real (rows, columns) matrix known by its products with blocks of BLOCK_SIZE vectors."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""

    def multiply(self, x: Floats) -> Floats:
        """A x, for x of shape (columns, BLOCK_SIZE)."""

    def multiply_transposed(self, x: Floats) -> Floats:
        """A^T x, for x of shape (rows, BLOCK_SIZE)."""


class Basis(Protocol):
    """Orthonormal blocks of BLOCK_SIZE vectors, wherever they are kept."""

    @property
    def last(self) -> Any:
        """The block that came last."""

    def extend(self, x: Any, along_last: Floats | None = None) -> Floats:
        """Takes the part of x outside of the basis as its next block q: x = q r up to that part.

        `along_last` is the known part of x along the last block. Returns r, (BLOCK_SIZE, BLOCK_SIZE).
        """

    def combine(self, coefficients: Floats) -> Floats:
        """The first blocks times coefficients, (blocks BLOCK_SIZE, k): vectors (n, k)."""


class VectorBackend(Protocol):
    """Where the products with an operator and the vectors of its Krylov space are made."""

    def block(self, x: Floats) -> Any:
        """A block of vectors from host memory."""

    def to_host(self, x: Any) -> Floats:
        """A block in host memory."""

    def multiply(self, x: Any) -> Any:
        """A x."""

    def multiply_transposed(self, x: Any) -> Any:
        """A^T x."""

    def basis(self, rng: np.random.Generator) -> Basis:
        """A basis without blocks."""


@runtime_checkable
class HasBackend(Protocol):
    """An operator that knows a better place for its products than host memory."""

    def space(self) -> VectorBackend:
        """That place."""


@dataclass(frozen=True)
class HostBackend:
    """Blocks are arrays, (n, BLOCK_SIZE)."""

    operator: Operator

    def block(self, x: Floats) -> Floats:
        return x

    def to_host(self, x: Floats) -> Floats:
        return x

    def multiply(self, x: Floats) -> Floats:
        return self.operator.multiply(np.ascontiguousarray(x))

    def multiply_transposed(self, x: Floats) -> Floats:
        return self.operator.multiply_transposed(np.ascontiguousarray(x))

    def basis(self, rng: np.random.Generator) -> Basis:
        return _HostBasis(rng)


class _HostBasis:
    def __init__(self, rng: np.random.Generator) -> None:
        self._blocks: list[Floats] = []
        self._rng = rng

    @property
    def last(self) -> Floats:
        return self._blocks[-1]

    def extend(self, x: Floats, along_last: Floats | None = None) -> Floats:
        if along_last is not None:
            x = x - self.last @ along_last
        size = float(np.linalg.norm(x))
        rows = np.ascontiguousarray(self._outside(x).T)
        r = orthonormal_rows(rows, size, self._outside, self._rng)
        self._blocks.append(np.ascontiguousarray(rows.T))
        return r

    def combine(self, coefficients: Floats) -> Floats:
        blocks = self._blocks[: len(coefficients) // BLOCK_SIZE]
        return np.concatenate(blocks, axis=1) @ coefficients

    def _outside(self, x: Floats) -> Floats:
        """x minus its part in the basis."""
        for _ in range(2):
            for q in self._blocks:
                x = x - q @ (q.T @ x)
        return x


@dataclass(frozen=True)
class SingularTriplets:
    """The k leading singular triplets, largest first.

    Attributes
    ----------
    values : (k,) float64
    left, right : (rows, k), (columns, k) float64
        Unit vectors.
    residual : float
        max(|A v - s u|, |A^T u - s v|) of the first triplet: a singular value lies within it of
        values[0] (Weyl). Computed from the matrix itself where `verified` was asked for, else what
        the recurrence says.
    products : int
        Multiplications with blocks that were spent.
    """

    values: Floats
    left: Floats
    right: Floats
    residual: float
    products: int


def as_block(*vectors: Floats) -> Floats:
    """At most BLOCK_SIZE vectors as the first columns of a block, the others zero."""
    block = np.zeros((len(vectors[0]), BLOCK_SIZE))
    for column, vector in enumerate(vectors):
        block[:, column] = vector
    return block


def leading_singular_triplets(
    operator: Operator,
    k: int,
    *,
    tolerance: float = 1e-8,
    value_tolerance: float = 0.0,
    start: Floats | None = None,
    max_steps: int = 60,
    verified: bool = False,
) -> SingularTriplets:
    """The k largest singular values of an operator, with their vectors.

    Parameters
    ----------
    operator : Operator
    k : int
        At most BLOCK_SIZE (8), or the size of a small matrix if that is less.
    tolerance : float
        Residual wanted for the first triplet, relative to the largest singular value. The error of
        a singular value is of the order of the squared residual over its gap. The other values end
        when a step changes none of them by 1e-6 of the largest.
    value_tolerance : float
        Instead, end when two steps changed the largest value by less than this share of it: enough
        for noise, whose vectors nobody needs and take long to settle.
    start : (columns, m) float64, optional
        Right vectors to begin with, for instance those of a similar matrix.
    max_steps : int
        Steps of the recurrence after which it ends with the residual it has. The edge of a pure
        noise spectrum takes long to settle; its value is known much earlier.
    verified : bool
        Spend two more products on the residual of the result.
    """
    rows, columns = operator.shape
    space = operator.space() if isinstance(operator, HasBackend) else HostBackend(operator)
    if min(rows, columns) <= _DENSE_SIZE:
        return _dense(space, operator.shape, min(k, rows, columns))
    if not 1 <= k <= BLOCK_SIZE:
        raise ValueError(f"k={k}: must lie in 1 .. {BLOCK_SIZE}")

    # A fixed seed: the same matrix gives the same numbers in every run.
    rng = np.random.default_rng(0)
    first = rng.standard_normal((columns, BLOCK_SIZE))
    if start is not None:
        first[:, : min(start.shape[1], BLOCK_SIZE)] = start[:, :BLOCK_SIZE]
    left, right = space.basis(rng), space.basis(rng)
    right.extend(space.block(first))
    # The projected matrix U^T A V is upper block-bidiagonal: diagonal blocks[j], upper above[j].
    diagonal: list[Floats] = []
    above: list[Floats] = []
    products = 0
    history: list[Floats] = []
    for step in range(max_steps):
        diagonal.append(left.extend(space.multiply(right.last), above[-1] if above else None))
        r = right.extend(space.multiply_transposed(left.last), diagonal[-1].T)
        products += 2
        projected = _bidiagonal(diagonal, above)
        p, values, qt = np.linalg.svd(projected)
        scale = max(float(values[0]), np.finfo(np.float64).tiny)
        # A v = s u holds exactly in the space; A^T u - s v is what the next block adds.
        residuals = np.linalg.norm(r @ p[-BLOCK_SIZE:, :k], axis=0) / scale
        space_full = (step + 2) * BLOCK_SIZE > min(rows, columns)
        history.append(values[:k].copy())
        settled = residuals[0] <= tolerance and _change(history, 1).max() <= 1e-6 * scale
        if value_tolerance > 0:
            settled = settled or bool(_change(history, 2)[0] <= value_tolerance * scale)
        if settled or step + 1 == max_steps or space_full:
            break
        above.append(r.T)
    triplets_left = left.combine(p[:, :k])
    triplets_right = right.combine(qt[:k].T)
    residual = float(residuals[0]) * scale
    if verified:
        residual = _residual(space, values[0], triplets_left[:, 0], triplets_right[:, 0])
        products += 2
    return SingularTriplets(values[:k].copy(), triplets_left, triplets_right, residual, products)


def _change(history: list[Floats], steps: int) -> Floats:
    """By how much the values changed in the last steps; infinite before there were as many."""
    if len(history) <= steps:
        return np.full_like(history[-1], np.inf)
    return np.abs(history[-1] - history[-1 - steps])


def orthonormal_rows(
    rows: Floats,
    size: float,
    outside: Callable[[Floats], Floats],
    rng: np.random.Generator,
) -> Floats:
    """Makes rows orthonormal in place; returns r, (BLOCK_SIZE, BLOCK_SIZE), with before^T = after^T r.

    Gram-Schmidt, everything twice (Giraud et al. 2005); on these tall narrow blocks it is many
    times quicker than LAPACK's QR. A row with nothing left of the `size` that the block had, as a
    matrix of low rank gives, is replaced by a new direction with coefficient zero: normalised
    rounding errors would lie anywhere, also in the basis, and bring singular values in twice.
    `outside` takes from columns their part in the basis.
    """
    r = np.zeros((BLOCK_SIZE, BLOCK_SIZE))
    for j, row in enumerate(rows):
        for _ in range(2):
            overlap = rows[:j] @ row
            row -= overlap @ rows[:j]
            r[:j, j] += overlap
        length = float(np.linalg.norm(row))
        if length > 1e-13 * size:
            r[j, j] = length
            row /= length
            continue
        row[:] = rng.standard_normal(len(row))
        for _ in range(2):
            row[:] = outside(row[:, None])[:, 0]
            row -= (rows[:j] @ row) @ rows[:j]
            row /= np.linalg.norm(row)
    return r


def _bidiagonal(diagonal: list[Floats], above: list[Floats]) -> Floats:
    size = BLOCK_SIZE * len(diagonal)
    matrix = np.zeros((size, size))
    for j, part in enumerate(diagonal):
        matrix[j * BLOCK_SIZE : (j + 1) * BLOCK_SIZE, j * BLOCK_SIZE : (j + 1) * BLOCK_SIZE] = part
    for j, part in enumerate(above):
        matrix[
            j * BLOCK_SIZE : (j + 1) * BLOCK_SIZE, (j + 1) * BLOCK_SIZE : (j + 2) * BLOCK_SIZE
        ] = part
    return matrix


def _residual(space: VectorBackend, value: float, u: Floats, v: Floats) -> float:
    forward = space.to_host(space.multiply(space.block(as_block(v))))[:, 0] - value * u
    backward = space.to_host(space.multiply_transposed(space.block(as_block(u))))[:, 0] - value * v
    return float(max(np.linalg.norm(forward), np.linalg.norm(backward)))


def _dense(space: VectorBackend, shape: tuple[int, int], k: int) -> SingularTriplets:
    rows, columns = shape
    eye = (
        np.eye(rows, max(rows, BLOCK_SIZE))
        if rows < columns
        else np.eye(columns, max(columns, BLOCK_SIZE))
    )
    eye = np.concatenate([eye, np.zeros((len(eye), -eye.shape[1] % BLOCK_SIZE))], axis=1)
    product = space.multiply_transposed if rows < columns else space.multiply
    parts = [
        space.to_host(product(space.block(np.ascontiguousarray(eye[:, j : j + BLOCK_SIZE]))))
        for j in range(0, eye.shape[1], BLOCK_SIZE)
    ]
    matrix = np.concatenate(parts, axis=1)[:, : len(eye)]
    if rows < columns:
        matrix = matrix.T
    u, values, vt = np.linalg.svd(matrix, full_matrices=False)
    residual = _residual(space, float(values[0]), u[:, 0], vt[0])
    return SingularTriplets(values[:k].copy(), u[:, :k], vt[:k].T, residual, len(parts) + 2)
