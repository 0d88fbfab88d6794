"""Singular triplets of several covariances from shared passes over their counts.

The covariance of all documents, those of both halves, their difference and the sequential ones are
weighted sums of the same few count matrices. A product costs the reading of the counts, whatever
the number of vectors: the searches advance step by step, and each pass serves all of them. Products
are of single precision, with vectors centred before: their error is some 1e-6 of the norm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.covariance.operators import Composition, CovarianceOperator, WeightedCounts
from ngramstat.kernels import SINGLE_BLOCK_SIZE, CountMatrix
from ngramstat.linear_algebra.lanczos import (
    SingularTriplets,
    TripletSearch,
    Vectors,
    is_small,
    leading_singular_triplets,
    leading_triplets_together,
)

__all__ = ["CovarianceFamily", "leading_triplets"]


@dataclass(frozen=True)
class CovarianceFamily:
    """Covariances that share counts: one pass over these gives the products of all, in float32.

    Attributes
    ----------
    members : sequence of CovarianceOperator
        With `centres`; their terms are counts in host memory.
    """

    members: Sequence[CovarianceOperator]

    @staticmethod
    def can_hold(operators: Sequence[CovarianceOperator]) -> bool:
        """Whether all of these have their counts in host memory."""
        on_host = all(
            isinstance(term, WeightedCounts) and isinstance(term.counts, CountMatrix)
            for operator in operators
            for term in operator.terms
        )
        return on_host and all(operator.centres is not None for operator in operators)

    @property
    def shape(self) -> tuple[int, int]:
        """(V, V)."""
        return self.members[0].shape

    def multiply(
        self, members: Sequence[int], blocks: Sequence[Vectors], *, transposed: bool
    ) -> list[Vectors]:
        """A_m x, or A_m^T x, for each member m and its block x, (V, width) float32."""
        operators = [self.members[m] for m in members]
        pairs = zip(operators, blocks, strict=True)
        centred = [_centred(operator, x, transposed) for operator, x in pairs]
        vectors = [x for x, _ in centred]
        products = [
            _rest_of_product(operator, *of_operator, transposed)
            for operator, of_operator in zip(operators, centred, strict=True)
        ]
        for counts, users in _users_of_counts(operators):
            x, weights = _stacked(users, vectors)
            product = counts.multiply_transposed_single if transposed else counts.multiply_single
            _add_columns(products, users, product(x, weights, operators[0].threads))
        for composition, users in _users_of_compositions(operators):
            x, weights = _stacked(users, vectors)
            gram = composition.counts.multiply_gram_single(
                x, weights, composition.rates, composition.halves, composition.threads
            )
            _add_columns(products, users, gram)
        return [
            product if operator.vocab_mask is None else product * operator.vocab_mask[:, None]
            for operator, product in zip(operators, products, strict=True)
        ]


# The place of an operator among the members, and the weights of both channels of what it shares.
_User = tuple[int, tuple[float, float]]


def _centred(operator: CovarianceOperator, x: Vectors, transposed: bool) -> tuple[Vectors, Vectors]:
    """x without its mean over the tokens it multiplies, and that mean, (width,)."""
    if operator.vocab_mask is not None:
        x = x * operator.vocab_mask[:, None]
    assert operator.centres is not None
    mean = operator.centres[0 if transposed else 1].astype(np.float32) @ x
    return x - mean, mean


def _rest_of_product(
    operator: CovarianceOperator, x: Vectors, mean: Vectors, transposed: bool
) -> Vectors:
    """A product without its counts: the low-rank term, the diagonal of K, and that of the mean."""
    left, right = operator.left, operator.right
    if transposed:
        left, right = right, left
    product: Vectors = -(left.astype(np.float32) @ (right.astype(np.float32).T @ x))
    if operator.composition is not None:
        diagonal = operator.sign * operator.composition.diagonal()
        product -= diagonal.astype(np.float32)[:, None] * x
    sums = operator.column_sums if transposed else operator.row_sums
    if sums is not None:
        product += np.outer(sums.astype(np.float32), mean)
    return product


def _users_of_counts(
    operators: Sequence[CovarianceOperator],
) -> Iterator[tuple[CountMatrix, list[_User]]]:
    """Each count matrix with the operators that it is a term of."""
    users: dict[int, tuple[CountMatrix, list[_User]]] = {}
    for place, operator in enumerate(operators):
        for term in operator.terms:
            assert isinstance(term, WeightedCounts)
            assert isinstance(term.counts, CountMatrix)
            of_counts = users.setdefault(id(term.counts), (term.counts, []))[1]
            of_counts.append((place, term.weights))
    yield from users.values()


def _users_of_compositions(
    operators: Sequence[CovarianceOperator],
) -> Iterator[tuple[Composition, list[_User]]]:
    """Compositions of one set of documents with the operators that contain them."""
    users: dict[int, tuple[Composition, list[_User]]] = {}
    for place, operator in enumerate(operators):
        composition = operator.composition
        if composition is not None:
            a, b = composition.weights
            of_documents = users.setdefault(id(composition.sums), (composition, []))[1]
            of_documents.append((place, (operator.sign * a, operator.sign * b)))
    yield from users.values()


def _stacked(
    users: Sequence[_User], blocks: Sequence[Vectors]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The users' vectors as blocks of SINGLE_BLOCK_SIZE, and the weights of all columns."""
    n_columns = sum(blocks[place].shape[1] for place, _ in users)
    n_blocks = -(-n_columns // SINGLE_BLOCK_SIZE)
    x = np.zeros((n_blocks, len(blocks[users[0][0]]), SINGLE_BLOCK_SIZE), np.float32)
    weights = np.zeros((n_blocks, 2, SINGLE_BLOCK_SIZE), np.float32)
    column = 0
    for place, of_channels in users:
        for vector in blocks[place].T:
            k, at = divmod(column, SINGLE_BLOCK_SIZE)
            x[k, :, at] = vector
            weights[k, :, at] = of_channels
            column += 1
    return x, weights


def _add_columns(
    products: list[Vectors], users: Sequence[_User], stacked: NDArray[np.float32]
) -> None:
    """Add the columns of blocks that `_stacked` ordered to the products of their users."""
    column = 0
    for place, _ in users:
        for target in products[place].T:
            k, at = divmod(column, SINGLE_BLOCK_SIZE)
            target += stacked[k, :, at]
            column += 1


def leading_triplets(
    operators: Sequence[CovarianceOperator], searches: Sequence[TripletSearch]
) -> list[SingularTriplets]:
    """The leading singular triplets of several covariances, as exact as single precision allows.

    Operators on a GPU, without counts, and small ones are searched one by one in double precision.
    """
    if not operators:
        return []
    if CovarianceFamily.can_hold(operators) and not is_small(operators[0].shape):
        return leading_triplets_together(CovarianceFamily(operators), searches)
    return [
        leading_singular_triplets(
            operator,
            search.k,
            tolerance=search.tolerance,
            value_tolerance=search.value_tolerance,
            start=search.start,
            max_steps=search.max_steps,
            value_change=search.value_change,
        )
        for operator, search in zip(operators, searches, strict=True)
    ]
