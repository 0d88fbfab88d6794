"""Pairs whose right token lies beyond the end of a stream, in the text that follows it.

A shard of a corpus counts the pairs of its own left tokens. At lag t, the last t of them have their
right tokens in the next shards. They are few, and cross a document's end, since shards hold whole
documents: NumPy adds them to what the kernels found inside the stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat._core import CountMatrix, Documents, PairLabel
from ngramstat.kernels.tokens import Tokens

__all__ = ["PairsBeyond"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class PairsBeyond:
    """The pairs of a stream with the text after it, at one lag; arrays are (k,).

    Attributes
    ----------
    left, right : int64
        Tokens.
    document : int64
        The document of each left token.
    documents : Documents
        Of the stream.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    document: NDArray[np.int64]
    documents: Documents

    @classmethod
    def at_lag(
        cls, tokens: Tokens, following: Tokens, vocab_size: int, documents: Documents, lag: int
    ) -> PairsBeyond:
        """The pairs (x_i, x_(i + lag)) with x_i in `tokens` and the other one in `following`.

        Raises
        ------
        IndexError
            A token is not below vocab_size.
        """
        n = len(tokens)
        left = np.arange(max(n - lag, 0), min(n, n - lag + len(following)))
        found = cls(
            np.asarray(tokens[left], np.int64),
            np.asarray(following[left + lag - n], np.int64),
            np.searchsorted(documents.ends, left, side="right"),
            documents,
        )
        largest = max(found.left.max(initial=0), found.right.max(initial=0))
        if largest >= vocab_size:
            raise IndexError(f"token {largest} is not below the vocabulary's size, {vocab_size}")
        return found

    def counts(self, vocab_size: int) -> CountMatrix:
        """(V, V), with the document halves as channels."""
        cells, inverse = np.unique(self.left * vocab_size + self.right, return_inverse=True)
        both = np.zeros((2, len(cells)), np.uint32)
        np.add.at(both, (self.documents.halves[self.document], inverse), 1)
        rows = np.bincount(cells // vocab_size, minlength=vocab_size)
        row_start = np.concatenate([np.zeros(1, np.int64), np.cumsum(rows, dtype=np.int64)])
        column = (cells % vocab_size).astype(np.uint32)
        return CountMatrix.from_rows(vocab_size, vocab_size, row_start, column, both[0], both[1])

    def add_to_document_sums(
        self,
        u: NDArray[np.float64],
        v: NDArray[np.float64],
        sums: tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]],
    ) -> None:
        """Add to (pairs, sum u v, sum u, sum v) by document, (n_documents,) each; u, v are (V,)."""
        x, y = u[self.left], v[self.right]
        one = np.ones(len(x), np.uint64)
        for target, values in zip(sums, (one, x * y, x, y), strict=True):
            np.add.at(target, self.document, values)

    def _by_class(
        self, by: PairLabel
    ) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
        """Each class that has pairs, with their left and right tokens."""
        labels = self.documents.halves if by == PairLabel.half else self.documents.folds
        classes = labels[self.document]
        for label in np.unique(classes).tolist():
            members = classes == label
            yield label, self.left[members], self.right[members]

    def add_to_class_counts(
        self, by: PairLabel, left_counts: NDArray[np.uint64], right_counts: NDArray[np.uint64]
    ) -> None:
        """Add to the pairs of each class by left and by right token, (n_classes, V) each."""
        one = np.uint64(1)
        for label, left, right in self._by_class(by):
            np.add.at(left_counts[label], left, one)
            np.add.at(right_counts[label], right, one)

    def add_to_class_products(
        self,
        by: PairLabel,
        u: NDArray[np.float64],
        v: NDArray[np.float64],
        joint_v: NDArray[np.float64],
        joint_u: NDArray[np.float64],
    ) -> None:
        """Add to J v and J^T u of each class, (n_classes, V) each, for u, v (n_sets, V)."""
        per_set = len(joint_v) // len(u)
        for label, left, right in self._by_class(by):
            np.add.at(joint_v[label], left, v[label // per_set, right])
            np.add.at(joint_u[label], right, u[label // per_set, left])

    def add_to_class_forms(
        self,
        by: PairLabel,
        a: NDArray[np.float32],
        b: NDArray[np.float32],
        forms: NDArray[np.float64],
    ) -> None:
        """Add to a_c^T J b_k of each class, for a, b (n_sets, V, BLOCK_SIZE)."""
        per_set = len(forms) // len(a)
        for label, left, right in self._by_class(by):
            x, y = a[label // per_set, left], b[label // per_set, right]
            forms[label] += x.T.astype(np.float64) @ y.astype(np.float64)

    def add_to_product(
        self,
        by: PairLabel,
        x: NDArray[np.float64],
        class_weights: NDArray[np.float64],
        out: NDArray[np.float64],
        *,
        transposed: bool,
    ) -> None:
        """Add to the weighted pairs of all classes times a block of vectors, (V, BLOCK_SIZE)."""
        for label, left, right in self._by_class(by):
            to, of = (right, left) if transposed else (left, right)
            np.add.at(out, to, class_weights[label] * x[of])
