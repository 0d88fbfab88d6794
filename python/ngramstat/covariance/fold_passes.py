"""What the cross-fits take from the documents: sums over the pairs of every fold.

Two passes over the tokens, each a sum over documents: those of the shards of a corpus add up to
those of the whole. The first multiplies the pairs of a fold by the singular vectors of the other
half (`FoldProducts`), the second multiplies them by the products of all folds of its own half
(`fold_forms`). Mean pairs over all shuffles inside documents, which the sequential covariance
subtracts, are summed in the same way over the documents' token counts (`ShuffledPairs`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels import (
    BLOCK_SIZE,
    CountMatrix,
    Documents,
    PairLabel,
    PairsAtLag,
    bilinear_forms_by_class,
    multiply_pairs_by_class,
)
from ngramstat.linear_algebra.lanczos import SingularTriplets, as_block
from ngramstat.sampling.design import FOLDS

__all__ = [
    "FOLDS_PER_HALF",
    "FoldForms",
    "FoldProducts",
    "HalfVectors",
    "ShuffledPairs",
    "rounded_to_16_bits",
]

Floats = NDArray[np.float64]

FOLDS_PER_HALF = FOLDS // 2

# The vectors of the folds of a half are the columns of one block.
assert FOLDS_PER_HALF <= BLOCK_SIZE


@dataclass(frozen=True)
class HalfVectors:
    """Leading singular vectors of a covariance from each half of the documents.

    Attributes
    ----------
    left, right : (2, V) float64
        Of length 1; zero at vocabulary items that C(t) leaves out.
    norm : float
        The plug-in norm, which bounds the debiased one; infinite: it is not bounded.
    """

    left: Floats
    right: Floats
    norm: float = math.inf

    @property
    def of_other_half(self) -> tuple[Floats, Floats]:
        """(left, right) for the folds of each half: those of the other, independent of it."""
        return self.left[::-1], self.right[::-1]

    @classmethod
    def of(cls, halves: Sequence[SingularTriplets], norm: float) -> HalfVectors:
        """The leading vectors of two halves."""
        return cls(
            np.stack([half.left[:, 0] for half in halves]),
            np.stack([half.right[:, 0] for half in halves]),
            norm,
        )


@dataclass(frozen=True)
class ShuffledPairs:
    """Mean pair counts over all shuffles inside documents, fold by fold (docs/theory.md 4).

    K_b = sum over documents d of fold b of rate_d (c_d c_d^T - diag c_d), with c_d the token counts
    of document d. Shuffling keeps the composition of a document and destroys its sequence.

    Attributes
    ----------
    counts : CountMatrix
        c, (n_documents, V).
    rates : (n_documents,) float64
        Pairs at the lag divided by all ordered pairs, L (L - 1) for L tokens.
    folds : (n_documents,) uint8
    threads : int
    """

    counts: CountMatrix
    rates: Floats
    folds: NDArray[np.uint8]
    threads: int = 1

    def products(self, vectors: HalfVectors, *others: Floats) -> tuple[Floats, Floats]:
        """Sums over the documents of every fold, and c^T x for some other vectors x.

        Parameters
        ----------
        vectors : HalfVectors
            u, v of either half.
        *others : (V,) float64 each

        Returns
        -------
        products : (3, FOLDS, V) float64
            K v and K u, without the diagonal's part, and the diagonal, the sum of rate_d c_d.
        projected : (n_documents, k) float64
            The counts of the documents times the other vectors.
        """
        block = as_block(*vectors.left[::-1], *vectors.right[::-1], *others)
        projected = self.counts.multiply(block, 1.0, 0.0, self.threads)
        rows, halves = np.arange(len(self.rates)), self.folds // FOLDS_PER_HALF
        of_rows = np.zeros((len(self.rates), 4))
        of_rows[:, 0] = self.rates * projected[rows, 2 + halves]
        of_rows[:, 1] = self.rates * projected[rows, halves]
        of_rows[:, 2] = self.rates
        sums = self.counts.multiply_transposed_by_class(of_rows, self.folds, FOLDS, self.threads)
        products = np.ascontiguousarray(np.moveaxis(sums[:, :, :3], 2, 0))
        return products, projected[:, 4 : 4 + len(others)]

    def bilinear(self, a: Floats, b: Floats, diagonals: Floats) -> Floats:
        """a_c^T K b_k of every fold, (FOLDS, BLOCK_SIZE, BLOCK_SIZE), for a, b (2, V, BLOCK_SIZE).

        Projections of documents are of single precision, as a and b are.
        """
        out = np.zeros((FOLDS, BLOCK_SIZE, BLOCK_SIZE))
        both = np.concatenate([a, b], axis=2, dtype=np.float32)
        halves = self.folds // np.uint8(FOLDS_PER_HALF)
        projected = self.counts.multiply_rows_single(both, halves, self.threads)
        for fold in range(FOLDS):
            h, members = fold // FOLDS_PER_HALF, self.folds == fold
            x, y = np.split(projected[members].astype(np.float64), 2, axis=1)
            out[fold] = (x * self.rates[members, None]).T @ y
            out[fold] -= (a[h] * diagonals[fold][:, None]).T @ b[h]
        return out


@dataclass(frozen=True)
class FoldProducts:
    """The pairs of every fold times the vectors of the other half, for one or two kinds of pairs.

    The first kind are the pairs of C(t), the second those inside documents, for the sequential
    covariance.

    Attributes
    ----------
    joint_v, joint_u : (n_kinds, FOLDS, V) float64
        J_b v and J_b^T u, with J_b the pairs of fold b, not divided by their number.
    left_counts, right_counts : (n_kinds, FOLDS, V) uint64
        Its pairs by left and by right token.
    shuffled : (3, FOLDS, V) float64
        Of `ShuffledPairs.products`; no entries where the sequential covariance is not measured.
    """

    joint_v: Floats
    joint_u: Floats
    left_counts: NDArray[np.uint64]
    right_counts: NDArray[np.uint64]
    shuffled: Floats

    @classmethod
    def of(
        cls,
        pairs: PairsAtLag,
        documents: Documents,
        kinds: Sequence[HalfVectors],
        shuffled: Floats | None,
        *,
        across: bool,
        threads: int,
    ) -> FoldProducts:
        """One pass over the tokens.

        Parameters
        ----------
        pairs : PairsAtLag
        documents : Documents
        kinds : sequence of HalfVectors
            Of C(t), and of the sequential covariance if that is measured.
        shuffled : (3, FOLDS, V) float64 or None
            Products of what the latter subtracts.
        across : bool
            Count pairs across the ends of the documents for C(t).
        threads : int
        """
        joint_v, joint_u, left_counts, right_counts = multiply_pairs_by_class(
            pairs,
            np.stack([kind.of_other_half[0] for kind in kinds]),
            np.stack([kind.of_other_half[1] for kind in kinds]),
            documents,
            across=across,
            by=PairLabel.fold,
            threads=threads,
        )
        if shuffled is None:
            shuffled = np.zeros((3, 0, 0))
        return cls(joint_v, joint_u, left_counts, right_counts, shuffled)

    @classmethod
    def sum_of(cls, parts: Sequence[FoldProducts]) -> FoldProducts:
        """Those of a corpus from those of its shards."""
        return cls(
            *(
                np.sum([getattr(part, name) for part in parts], axis=0)
                for name in ("joint_v", "joint_u", "left_counts", "right_counts", "shuffled")
            )
        )

    @property
    def pairs(self) -> Floats:
        """The pairs of every fold, (n_kinds, FOLDS)."""
        pairs: Floats = self.left_counts.sum(axis=2).astype(np.float64)
        return pairs


def _units_of_16_bits(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Powers of two, of which 16-bit integers are vectors (.., V, k); (.., 1, k)."""
    _, exponent = np.frexp(np.abs(vectors).max(axis=-2, keepdims=True))
    units: NDArray[np.float32] = np.ldexp(np.float32(1.0), exponent - 15)
    return units


def rounded_to_16_bits(vectors: Floats) -> NDArray[np.float32]:
    """Vectors (.., V, k) as multiples of a power of two, at most 2^15 of them.

    Rounding adds noise of some 1e-5 of a vector's largest entry to each entry, and less than that
    to its product with another vector of similar size.
    """
    units = _units_of_16_bits(vectors)
    # The unit stays the same where the largest entry is rounded.
    steps = np.clip(np.rint(vectors / units), -32767, 32767)
    rounded: NDArray[np.float32] = (steps * units).astype(np.float32)
    return rounded


@dataclass(frozen=True)
class FoldForms:
    """a_c^T J_b b_k of the pairs of every fold b, for a and b of its half.

    Attributes
    ----------
    joint : (n_kinds, FOLDS, BLOCK_SIZE, BLOCK_SIZE) float64
        Kinds as of `FoldProducts`.
    shuffled : (FOLDS, BLOCK_SIZE, BLOCK_SIZE) float64
        Of the pairs that the sequential covariance subtracts; no entries where it is not measured.
    """

    joint: Floats
    shuffled: Floats

    @classmethod
    def of(
        cls,
        pairs: PairsAtLag,
        documents: Documents,
        weighted: NDArray[np.float32],
        shuffled: tuple[ShuffledPairs, Floats] | None,
        *,
        across: bool,
        threads: int,
    ) -> FoldForms:
        """One pass over the tokens.

        Parameters
        ----------
        pairs, documents, across, threads
            As of `FoldProducts.of`.
        weighted : (2, n_kinds, 2, V, BLOCK_SIZE) float32
            a and b of each kind and half, b as of `rounded_to_16_bits`.
        shuffled : (ShuffledPairs, (FOLDS, V) float64) or None
            With the diagonals of its `products`.
        """
        units = _units_of_16_bits(weighted[1])
        joint = bilinear_forms_by_class(
            pairs,
            weighted[0],
            (weighted[1] / units).astype(np.int16),
            documents,
            across=across,
            by=PairLabel.fold,
            threads=threads,
        )
        joint *= np.repeat(units, FOLDS_PER_HALF, axis=1)
        if shuffled is None:
            return cls(joint, np.zeros((0, BLOCK_SIZE, BLOCK_SIZE)))
        expected, diagonals = shuffled
        a, b = weighted[:, 1].astype(np.float64)
        return cls(joint, expected.bilinear(a, b, diagonals))

    @classmethod
    def sum_of(cls, parts: Sequence[FoldForms]) -> FoldForms:
        """Those of a corpus from those of its shards."""
        return cls(
            np.sum([part.joint for part in parts], axis=0),
            np.sum([part.shuffled for part in parts], axis=0),
        )
