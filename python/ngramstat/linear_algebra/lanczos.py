"""Leading singular values of matrices that are known only by their products with vectors.

Block Golub-Kahan-Lanczos bidiagonalisation with full reorthogonalisation (Golub, Luk and Overton
1981). SciPy's `svds` multiplies one vector at a time. Products with count matrices are limited by
memory traffic, so eight vectors at once cost little more than one, and a block also resolves the
clusters of singular values that noise matrices have at their edge.

Several matrices of one shape can be searched in turns, step by step, so that one pass over what
they share gives the products of all (`leading_triplets_together`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    "OperatorFamily",
    "SingularTriplets",
    "TripletSearch",
    "VectorBackend",
    "Vectors",
    "as_block",
    "is_small",
    "leading_singular_triplets",
    "leading_triplets_together",
    "orthonormal_rows",
    "truncated_svd",
]

Floats = NDArray[np.float64]
# Vectors of a Krylov space have the precision of its products.
Vectors = NDArray[np.floating[Any]]

# Matrices with at most this many rows or columns are written out and passed to LAPACK: exact, and
# cheaper than a Krylov space that would span the whole space anyway.
_DENSE_SIZE = 192
# Vectors of a Krylov space whose memory is taken at a time.
_ROWS = 64
# A vector that keeps this part of its length is orthogonal after one projection (Kahan's
# criterion; Parlett 1998, section 6.9).
_KEPT = 0.7


class Operator(Protocol):
    """A real (rows, columns) matrix known by its products with blocks of BLOCK_SIZE vectors."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""

    def multiply(self, x: Floats) -> Floats:
        """A x, for x of shape (columns, BLOCK_SIZE)."""

    def multiply_transposed(self, x: Floats) -> Floats:
        """A^T x, for x of shape (rows, BLOCK_SIZE)."""


class OperatorFamily(Protocol):
    """Real (rows, columns) matrices, multiplied together with one block of vectors each."""

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""

    def multiply(
        self, members: Sequence[int], blocks: Sequence[Vectors], *, transposed: bool
    ) -> list[Vectors]:
        """A_m x, or A_m^T x, for each member m and its block x of some vectors, (n, width)."""


class Basis(Protocol):
    """Orthonormal blocks of some vectors each, in the memory of a vector backend."""

    @property
    def last(self) -> Any:
        """The block added last."""

    def extend(self, x: Any, along_last: Floats | None = None) -> Floats:
        """Append the part of x orthogonal to the basis as the next block q; return r.

        That part of x is q r, with r of shape (width, width). `along_last` holds the coefficients
        of x along the last block, if they are known.
        """

    def combine(self, coefficients: Floats) -> Floats:
        """The first blocks times coefficients, (blocks * width, k): vectors (n, k)."""


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
    """Rows of arrays with room for _ROWS vectors each."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._arrays: list[Vectors] = []
        self._size = 0
        self._rng = rng
        self._last: Vectors

    @property
    def last(self) -> Vectors:
        return self._last

    def extend(self, x: Vectors, along_last: Floats | None = None) -> Floats:
        if along_last is not None:
            x = x - self._last @ along_last.astype(x.dtype)
        size = float(np.linalg.norm(x))
        rows = self._outside_of_rows(np.ascontiguousarray(x.T))
        r = orthonormal_rows(rows, size, self._outside, self._rng)
        self._append(rows)
        self._last = np.ascontiguousarray(rows.T)
        return r

    def combine(self, coefficients: Floats) -> Floats:
        parts, start = [], 0
        for rows in self._rows():
            used = coefficients[start : start + len(rows)]
            parts.append(rows[: len(used)].T @ used.astype(rows.dtype))
            start += len(rows)
        total: Floats = np.sum(parts, axis=0, dtype=np.float64)
        return total

    def _append(self, rows: Vectors) -> None:
        for row in rows:
            at = self._size % _ROWS
            if at == 0:
                self._arrays.append(np.empty((_ROWS, rows.shape[1]), rows.dtype))
            self._arrays[-1][at] = row
            self._size += 1

    def _rows(self) -> list[Vectors]:
        """The arrays as far as they are filled."""
        sizes = [min(_ROWS, self._size - k * _ROWS) for k in range(len(self._arrays))]
        return [array[:size] for array, size in zip(self._arrays, sizes, strict=True)]

    def _outside(self, x: Vectors) -> Vectors:
        """Columns minus their projections on the basis."""
        return self._outside_of_rows(np.ascontiguousarray(x.T)).T

    def _outside_of_rows(self, x: Vectors) -> Vectors:
        """Rows minus their projections on the basis.

        Twice where a row loses much of its length, which removes what rounding left of it.
        """
        for _ in range(2):
            before = np.linalg.norm(x, axis=1)
            for rows in self._rows():
                x = x - (x @ rows.T) @ rows
            if np.all(np.linalg.norm(x, axis=1) > _KEPT * before):
                break
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
        distance of values[0] (Weyl). Computed from the matrix itself if `verified`, else a bound
        from the recurrence.
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


@dataclass(frozen=True)
class TripletSearch:
    """What is searched of one matrix, and how exactly.

    Attributes
    ----------
    k : int
        Triplets, at most `width`.
    tolerance, value_tolerance, start, max_steps, value_change
        As of `leading_singular_triplets`.
    width : int
        Vectors of a block, at most BLOCK_SIZE.
    angle : float
        If positive, stop also when the residual of the first triplet is at most this part of the
        distance to the next singular value, which bounds the angle between its vectors and the true
        ones, in radians.
    """

    k: int = 1
    tolerance: float = 1e-8
    value_tolerance: float = 0.0
    start: Floats | None = None
    max_steps: int = 60
    width: int = BLOCK_SIZE
    angle: float = 0.0
    value_change: float = 1e-6


def is_small(shape: tuple[int, int]) -> bool:
    """Whether a matrix is decomposed as a whole, so that no Krylov space is needed."""
    return min(shape) <= _DENSE_SIZE


def leading_singular_triplets(
    operator: Operator,
    k: int,
    *,
    tolerance: float = 1e-8,
    value_tolerance: float = 0.0,
    start: Floats | None = None,
    max_steps: int = 60,
    value_change: float = 1e-6,
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
        singular value, and `value_change` is met. The error of a singular value is of the order of
        the squared residual over its gap.
    value_tolerance : float
        If positive, stop also when two steps changed the largest value by at most this fraction of
        it. This is enough for noise, whose singular vectors are not needed and converge slowly.
    start : (columns, m) float64, optional
        Initial right vectors, for instance those of a similar matrix.
    max_steps : int
        Stop after this many steps, whatever the residual. The vectors at the edge of a pure noise
        spectrum converge slowly; its value is known much earlier.
    value_change : float
        For k > 1, by how much of the largest value the last step may have changed any of the
        values; what they still lack is a small part of that. Infinite: the residual alone decides.
    verified : bool
        Compute the residual from the result, with two more products.

    Raises
    ------
    ValueError
        k is not in 1 .. BLOCK_SIZE.
    """
    backend = operator.backend() if isinstance(operator, HasBackend) else HostBackend(operator)
    if is_small(operator.shape):
        return _dense(backend, operator.shape, min(k, *operator.shape))
    search = TripletSearch(
        k, tolerance, value_tolerance, start, max_steps, value_change=value_change
    )
    krylov = _Krylov(backend, operator.shape, search)
    while not krylov.converged:
        krylov.extend_left(backend.multiply(krylov.right_block))
        krylov.extend_right(backend.multiply_transposed(krylov.left_block))
    triplets = krylov.triplets()
    if not verified:
        return triplets
    residual = _residual(backend, triplets.values[0], triplets.left[:, 0], triplets.right[:, 0])
    return replace(triplets, residual=residual, products=triplets.products + 2)


def leading_triplets_together(
    family: OperatorFamily, searches: Sequence[TripletSearch]
) -> list[SingularTriplets]:
    """The largest singular values of several matrices, which advance step by step.

    Parameters
    ----------
    family : OperatorFamily
        Its products, and so all vectors, may be of single precision; residuals below some 1e-5 of
        the largest value are then not reached.
    searches : sequence of TripletSearch
        One for each member of the family.
    """
    basis_of = _FamilyBasis()
    krylovs = [_Krylov(basis_of, family.shape, search) for search in searches]
    while active := [m for m, krylov in enumerate(krylovs) if not krylov.converged]:
        products = family.multiply(
            active, [krylovs[m].right_block for m in active], transposed=False
        )
        for m, product in zip(active, products, strict=True):
            krylovs[m].extend_left(product)
        blocks = [krylovs[m].left_block for m in active]
        products = family.multiply(active, blocks, transposed=True)
        for m, product in zip(active, products, strict=True):
            krylovs[m].extend_right(product)
    return [krylov.triplets() for krylov in krylovs]


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
    krylov = _Bidiagonalisation(backend, _initial_vectors(columns, None, BLOCK_SIZE, rng), rng)
    next_check = -(-k // BLOCK_SIZE) + 1
    step = 0
    while True:
        krylov.extend_left(backend.multiply(krylov.right.last))
        krylov.extend_right(backend.multiply_transposed(krylov.left.last))
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

    def __init__(self, backend: _BasisMaker, initial: Floats, rng: np.random.Generator) -> None:
        self.left, self.right = backend.basis(rng), backend.basis(rng)
        self.right.extend(backend.block(initial))
        self._diagonal: list[Floats] = []
        # One more than is to the right of a diagonal block: the next step's.
        self._above: list[Floats] = []
        self.products = 0

    def extend_left(self, a_v: Any) -> None:
        """One more block of left vectors, from A times the last right ones."""
        along = self._above[-1] if self._above else None
        self._diagonal.append(self.left.extend(a_v, along))
        self.products += 1

    def extend_right(self, at_u: Any) -> None:
        """One more block of right vectors, from A^T times the last left ones."""
        self._above.append(self.right.extend(at_u, self._diagonal[-1].T).T)
        self.products += 1

    def svd(self) -> tuple[Floats, Floats, Floats]:
        """Singular value decomposition of the projected matrix: p, values, q^T."""
        return np.linalg.svd(_bidiagonal(self._diagonal, self._above[:-1]))

    def svd_with_last_block(self) -> tuple[Floats, Floats, Floats]:
        """The same with the last right block, whose product with A is not known yet.

        A^T u = s v is exact for these triplets, which are nearer to those of A by half a step that
        has been paid for. The next product would tell A v - s u: for the first triplet it is at
        most `residuals`.
        """
        wide = _bidiagonal(self._diagonal, self._above)
        return np.linalg.svd(wide, full_matrices=False)

    def residuals(self, p: Floats) -> Floats:
        """|A^T u - s v| of triplets with left vectors U p; A v = s u holds exactly for them.

        A^T u - s v lies in the next block.
        """
        above = self._above[-1]
        norms: Floats = np.linalg.norm(above.T @ p[-len(above) :], axis=0)
        return norms


class _BasisMaker(Protocol):
    """What a Krylov space needs of a vector backend beside products."""

    def block(self, x: Floats) -> Any:
        """Copy of a block of vectors from host memory."""

    def basis(self, rng: np.random.Generator) -> Basis:
        """An empty basis."""


class _FamilyBasis:
    """Bases in host memory, in single precision."""

    def block(self, x: Floats) -> NDArray[np.float32]:
        return x.astype(np.float32)

    def basis(self, rng: np.random.Generator) -> Basis:
        return _HostBasis(rng)


class _Krylov:
    """The search for the leading triplets of one matrix, from step to step."""

    def __init__(self, backend: _BasisMaker, shape: tuple[int, int], search: TripletSearch) -> None:
        if not 1 <= search.k <= search.width <= BLOCK_SIZE:
            raise ValueError(f"k={search.k}: must lie in 1 .. {search.width}")
        self._size, self._search = min(shape), search
        # A fixed seed, so that the same matrix gives the same numbers in every run.
        rng = np.random.default_rng(0)
        initial = _initial_vectors(shape[1], search.start, search.width, rng)
        self._space = _Bidiagonalisation(backend, initial, rng)
        self._history: list[Floats] = []
        self.converged = False

    @property
    def right_block(self) -> Any:
        """The block whose product with A is next."""
        return self._space.right.last

    @property
    def left_block(self) -> Any:
        """The block whose product with A^T is next, after `extend_left`."""
        return self._space.left.last

    def extend_left(self, a_v: Any) -> None:
        """Take A times the last right block."""
        self._space.extend_left(a_v)

    def extend_right(self, at_u: Any) -> None:
        """Take A^T times the last left block, and see whether that is enough."""
        self._space.extend_right(at_u)
        search = self._search
        p, values, _ = self._space.svd()
        self._history.append(values[: search.k].copy())
        scale = max(float(values[0]), np.finfo(np.float64).tiny)
        residual = float(self._space.residuals(p[:, :1])[0])
        gap = float(values[0] - values[1]) if len(values) > 1 else 0.0
        converged = residual <= max(search.tolerance * scale, search.angle * gap)
        if search.k > 1:
            change = float(_change(self._history, 1).max())
            converged = converged and change <= search.value_change * scale
        if search.value_tolerance > 0:
            converged = converged or bool(
                _change(self._history, 2)[0] <= search.value_tolerance * scale
            )
        steps = len(self._history)
        exhausted = (steps + 1) * search.width > self._size
        self.converged = converged or steps == search.max_steps or exhausted

    def triplets(self) -> SingularTriplets:
        """The leading triplets of the space, with the last right block in it."""
        k = self._search.k
        p, values, qt = self._space.svd_with_last_block()
        return SingularTriplets(
            values[:k].copy(),
            self._space.left.combine(p[:, :k]),
            self._space.right.combine(qt[:k].T),
            float(self._space.residuals(p[:, :1])[0]),
            self._space.products,
        )


def _initial_vectors(
    columns: int, start: Floats | None, width: int, rng: np.random.Generator
) -> Floats:
    """The vectors of `start`, filled up with random ones to a block."""
    vectors = rng.standard_normal((columns, width))
    if start is not None:
        vectors[:, : min(start.shape[1], width)] = start[:, :width]
    return vectors


def _change(history: list[Floats], steps: int) -> Floats:
    """By how much the values changed over the last `steps` steps; infinite if there were fewer."""
    if len(history) <= steps:
        return np.full_like(history[-1], np.inf)
    return np.abs(history[-1] - history[-1 - steps])


def orthonormal_rows(
    rows: Vectors,
    size: float,
    outside: Callable[[Vectors], Vectors],
    rng: np.random.Generator,
) -> Floats:
    """Make rows orthonormal in place; return r, square, with old^T = new^T r.

    Gram-Schmidt with every projection done twice (Giraud et al. 2005); on these tall narrow blocks
    it is many times faster than LAPACK's QR. Matrices of low rank produce rows of which only
    rounding errors remain, relative to the norm `size` of the block. Normalised rounding errors
    could point anywhere, also into the basis, and singular values would then appear twice; such a
    row is replaced by a random direction with coefficient zero. `outside` subtracts from columns
    their projection on the basis.
    """
    r = np.zeros((len(rows), len(rows)))
    rounding = 1e-13 if rows.dtype == np.float64 else 1e-5
    for j, row in enumerate(rows):
        for _ in range(2):
            overlap = rows[:j] @ row
            row -= overlap @ rows[:j]
            r[:j, j] += overlap
        length = float(np.linalg.norm(row))
        if length > rounding * size:
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
    """The block-bidiagonal matrix as one array; wider than high with as many blocks above."""
    width = len(diagonal[0])
    matrix = np.zeros((width * len(diagonal), width * max(len(diagonal), len(above) + 1)))
    for j, part in enumerate(diagonal):
        matrix[j * width : (j + 1) * width, j * width : (j + 1) * width] = part
    for j, part in enumerate(above):
        matrix[j * width : (j + 1) * width, (j + 1) * width : (j + 2) * width] = part
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
