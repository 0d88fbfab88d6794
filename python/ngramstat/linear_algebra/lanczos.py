"""Leading singular values of matrices that are known only by their products with vectors.

Block Golub-Kahan-Lanczos bidiagonalisation with full reorthogonalisation (Golub, Luk and Overton
1981). SciPy's `svds` multiplies one vector at a time. Products with count matrices are limited by
memory traffic, so eight vectors at once cost little more than one, and a block also resolves the
clusters of singular values that noise matrices have at their edge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
    "truncated_svd",
]

Floats = NDArray[np.float64]

# Matrices with at most this many rows or columns are written out and passed to LAPACK: exact, and
# cheaper than a Krylov space that would span the whole space anyway.
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
    """Orthonormal blocks of BLOCK_SIZE vectors, in the memory of a vector backend."""

    @property
    def last(self) -> Any:
        """The block added last."""

    def extend(self, x: Any, along_last: Floats | None = None) -> Floats:
        """Append the part of x orthogonal to the basis as the next block q; return r.

        That part of x is q r, with r of shape (BLOCK_SIZE, BLOCK_SIZE). `along_last` holds the
        coefficients of x along the last block, if they are known.
        """

    def combine(self, coefficients: Floats) -> Floats:
        """The first blocks times coefficients, (blocks * BLOCK_SIZE, k): vectors (n, k)."""


class VectorBackend(Protocol):
    """Where the vectors of an operator's Krylov space lie and its products are computed."""

    def block(self, x: Floats) -> Any:
        """Copy of a block of vectors from host memory."""

    def to_host(self, x: Any) -> Floats:
        """Copy of a block in host memory."""

    def multiply(self, x: Any) -> Any:
        """A x."""

    def multiply_transposed(self, x: Any) -> Any:
        """A^T x."""

    def basis(self, rng: np.random.Generator) -> Basis:
        """An empty basis."""


@runtime_checkable
class HasBackend(Protocol):
    """An operator that chooses where its products are computed."""

    def backend(self) -> VectorBackend:
        """The backend of its choice."""


@dataclass(frozen=True)
class HostBackend:
    """Vectors in host memory: blocks are arrays, (n, BLOCK_SIZE)."""

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
        """x minus its projection on the basis; twice, which removes what rounding left."""
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
        max(|A v - s u|, |A^T u - s v|) of the first triplet: a singular value lies within this
        distance of values[0] (Weyl). Computed from the matrix itself if `verified`, else from the
        recurrence.
    products : int
        Number of products with blocks.
    """

    values: Floats
    left: Floats
    right: Floats
    residual: float
    products: int


def as_block(*vectors: Floats) -> Floats:
    """At most BLOCK_SIZE vectors as the first columns of a block; the other columns are zero."""
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
        Stop when the residual of the first triplet is at most this, relative to the largest
        singular value, and a step changes none of the values by more than 1e-6 of the largest. The
        error of a singular value is of the order of the squared residual over its gap.
    value_tolerance : float
        If positive, stop also when two steps changed the largest value by at most this fraction of
        it. This is enough for noise, whose singular vectors are not needed and converge slowly.
    start : (columns, m) float64, optional
        Initial right vectors, for instance those of a similar matrix.
    max_steps : int
        Stop after this many steps, whatever the residual. The vectors at the edge of a pure noise
        spectrum converge slowly; its value is known much earlier.
    verified : bool
        Compute the residual from the result, with two more products.

    Raises
    ------
    ValueError
        k is not in 1 .. BLOCK_SIZE.
    """
    rows, columns = operator.shape
    backend = operator.backend() if isinstance(operator, HasBackend) else HostBackend(operator)
    if min(rows, columns) <= _DENSE_SIZE:
        return _dense(backend, operator.shape, min(k, rows, columns))
    if not 1 <= k <= BLOCK_SIZE:
        raise ValueError(f"k={k}: must lie in 1 .. {BLOCK_SIZE}")

    # A fixed seed, so that the same matrix gives the same numbers in every run.
    rng = np.random.default_rng(0)
    krylov = _Bidiagonalisation(backend, _initial_vectors(columns, start, rng), rng)
    history: list[Floats] = []
    for step in range(max_steps):
        krylov.extend()
        p, values, qt = krylov.svd()
        scale = max(float(values[0]), np.finfo(np.float64).tiny)
        residuals = krylov.residuals(p[:, :k]) / scale
        exhausted = (step + 2) * BLOCK_SIZE > min(rows, columns)
        history.append(values[:k].copy())
        converged = residuals[0] <= tolerance and _change(history, 1).max() <= 1e-6 * scale
        if value_tolerance > 0:
            converged = converged or bool(_change(history, 2)[0] <= value_tolerance * scale)
        if converged or step + 1 == max_steps or exhausted:
            break
    triplets_left = krylov.left.combine(p[:, :k])
    triplets_right = krylov.right.combine(qt[:k].T)
    residual = float(residuals[0]) * scale
    products = krylov.products
    if verified:
        residual = _residual(backend, values[0], triplets_left[:, 0], triplets_right[:, 0])
        products += 2
    return SingularTriplets(values[:k].copy(), triplets_left, triplets_right, residual, products)


def truncated_svd(
    operator: Operator,
    k: int,
    *,
    tolerance: float = 1e-6,
    on_step: Callable[[], None] = lambda: None,
) -> SingularTriplets:
    """The k largest singular values of an operator with their vectors, for any k.

    The Krylov space grows until all k triplets have converged: to some times k vectors on either
    side, each of which stays in memory. Vectors have their largest component positive.

    Parameters
    ----------
    operator : Operator
        Its vectors stay in host memory.
    k : int
        At least 1; at most min(rows, columns) triplets are returned.
    tolerance : float
        Stop when the residuals of all k triplets are at most this, relative to the largest singular
        value.
    on_step : callable
        Called after each step, for progress.

    Returns
    -------
    SingularTriplets
        Its residual is the largest one of the k.
    """
    rows, columns = operator.shape
    backend = HostBackend(operator)
    k = min(k, rows, columns)
    if min(rows, columns) <= max(_DENSE_SIZE, 2 * k):
        dense = _dense(backend, operator.shape, k)
        return _with_signs(dense)
    rng = np.random.default_rng(0)
    krylov = _Bidiagonalisation(backend, _initial_vectors(columns, None, rng), rng)
    next_check = -(-k // BLOCK_SIZE) + 1
    step = 0
    while True:
        krylov.extend()
        on_step()
        step += 1
        exhausted = (step + 1) * BLOCK_SIZE > min(rows, columns)
        if step < next_check and not exhausted:
            continue
        # The decomposition costs more than a step, so that there is not one for each.
        next_check = step + max(1, step // 8)
        p, values, qt = krylov.svd()
        scale = max(float(values[0]), np.finfo(np.float64).tiny)
        residual = float(krylov.residuals(p[:, :k]).max())
        if residual <= tolerance * scale or exhausted:
            break
    return _with_signs(
        SingularTriplets(
            values[:k].copy(),
            krylov.left.combine(p[:, :k]),
            krylov.right.combine(qt[:k].T),
            residual,
            krylov.products,
        )
    )


def _with_signs(triplets: SingularTriplets) -> SingularTriplets:
    """The same with the largest component of each left vector positive."""
    left = triplets.left
    largest = np.abs(left).argmax(axis=0)
    signs = np.where(left[largest, np.arange(left.shape[1])] < 0, -1.0, 1.0)
    return replace(triplets, left=left * signs, right=triplets.right * signs)


class _Bidiagonalisation:
    """Orthonormal bases U and V of Krylov spaces of A, in which A is block-bidiagonal.

    The projected matrix U^T A V is upper block-bidiagonal: blocks diagonal[j] on the diagonal,
    above[j] to the right of them.
    """

    def __init__(self, backend: VectorBackend, initial: Floats, rng: np.random.Generator) -> None:
        self._backend = backend
        self.left, self.right = backend.basis(rng), backend.basis(rng)
        self.right.extend(backend.block(initial))
        self._diagonal: list[Floats] = []
        # One more than is to the right of a diagonal block: the next step's.
        self._above: list[Floats] = []
        self.products = 0

    def extend(self) -> None:
        """One more block on either side, with a product each."""
        a_v = self._backend.multiply(self.right.last)
        along = self._above[-1] if self._above else None
        self._diagonal.append(self.left.extend(a_v, along))
        at_u = self._backend.multiply_transposed(self.left.last)
        self._above.append(self.right.extend(at_u, self._diagonal[-1].T).T)
        self.products += 2

    def svd(self) -> tuple[Floats, Floats, Floats]:
        """Singular value decomposition of the projected matrix: p, values, q^T."""
        return np.linalg.svd(_bidiagonal(self._diagonal, self._above[:-1]))

    def residuals(self, p: Floats) -> Floats:
        """|A^T u - s v| of triplets with left vectors U p; A v = s u holds exactly for them.

        A^T u - s v lies in the next block.
        """
        norms: Floats = np.linalg.norm(self._above[-1].T @ p[-BLOCK_SIZE:], axis=0)
        return norms


def _initial_vectors(columns: int, start: Floats | None, rng: np.random.Generator) -> Floats:
    """The vectors of `start`, filled up with random ones to a block."""
    vectors = rng.standard_normal((columns, BLOCK_SIZE))
    if start is not None:
        vectors[:, : min(start.shape[1], BLOCK_SIZE)] = start[:, :BLOCK_SIZE]
    return vectors


def _change(history: list[Floats], steps: int) -> Floats:
    """By how much the values changed over the last `steps` steps; infinite if there were fewer."""
    if len(history) <= steps:
        return np.full_like(history[-1], np.inf)
    return np.abs(history[-1] - history[-1 - steps])


def orthonormal_rows(
    rows: Floats,
    size: float,
    outside: Callable[[Floats], Floats],
    rng: np.random.Generator,
) -> Floats:
    """Make rows orthonormal in place; return r, (BLOCK_SIZE, BLOCK_SIZE), with old^T = new^T r.

    Gram-Schmidt with every projection done twice (Giraud et al. 2005); on these tall narrow blocks
    it is many times faster than LAPACK's QR. Matrices of low rank produce rows of which only
    rounding errors remain, relative to the norm `size` of the block. Normalised rounding errors
    could point anywhere, also into the basis, and singular values would then appear twice; such a
    row is replaced by a random direction with coefficient zero. `outside` subtracts from columns
    their projection on the basis.
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
    """The block-bidiagonal matrix as one array."""
    size = BLOCK_SIZE * len(diagonal)
    matrix = np.zeros((size, size))
    for j, part in enumerate(diagonal):
        matrix[j * BLOCK_SIZE : (j + 1) * BLOCK_SIZE, j * BLOCK_SIZE : (j + 1) * BLOCK_SIZE] = part
    for j, part in enumerate(above):
        matrix[
            j * BLOCK_SIZE : (j + 1) * BLOCK_SIZE, (j + 1) * BLOCK_SIZE : (j + 2) * BLOCK_SIZE
        ] = part
    return matrix


def _residual(backend: VectorBackend, value: float, u: Floats, v: Floats) -> float:
    """max(|A v - s u|, |A^T u - s v|) for the singular value s."""
    a_v = backend.to_host(backend.multiply(backend.block(as_block(v))))[:, 0]
    at_u = backend.to_host(backend.multiply_transposed(backend.block(as_block(u))))[:, 0]
    forward, backward = a_v - value * u, at_u - value * v
    return float(max(np.linalg.norm(forward), np.linalg.norm(backward)))


def _dense(backend: VectorBackend, shape: tuple[int, int], k: int) -> SingularTriplets:
    """Triplets of the matrix written out, by products with the unit vectors of its short side."""
    rows, columns = shape
    eye = (
        np.eye(rows, max(rows, BLOCK_SIZE))
        if rows < columns
        else np.eye(columns, max(columns, BLOCK_SIZE))
    )
    eye = np.concatenate([eye, np.zeros((len(eye), -eye.shape[1] % BLOCK_SIZE))], axis=1)
    product = backend.multiply_transposed if rows < columns else backend.multiply
    parts = [
        backend.to_host(product(backend.block(np.ascontiguousarray(eye[:, j : j + BLOCK_SIZE]))))
        for j in range(0, eye.shape[1], BLOCK_SIZE)
    ]
    matrix = np.concatenate(parts, axis=1)[:, : len(eye)]
    if rows < columns:
        matrix = matrix.T
    u, values, vt = np.linalg.svd(matrix, full_matrices=False)
    residual = _residual(backend, float(values[0]), u[:, 0], vt[0])
    return SingularTriplets(values[:k].copy(), u[:, :k], vt[:k].T, residual, len(parts) + 2)
