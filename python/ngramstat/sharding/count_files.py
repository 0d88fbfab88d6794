"""Count matrices as arrays that go into files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels import CountMatrix, PairCounts, sum_counts

__all__ = ["StoredCounts", "StoredPairs"]

# Matrices that are added up at a time: adding them to a sum one by one would read that many times.
_AT_ONCE = 8


@dataclass(frozen=True)
class StoredCounts:
    """A count matrix, row after row, in the narrowest types that hold it.

    Attributes
    ----------
    n_columns : int
    row_start : (n_rows + 1,) int64
    column : (k,) unsigned
    first, second : (k,) unsigned
        Counts of both channels; no second ones where all are zero.
    """

    n_columns: int
    row_start: NDArray[np.int64]
    column: NDArray[Any]
    first: NDArray[Any]
    second: NDArray[Any]

    @classmethod
    def of(cls, matrix: CountMatrix) -> StoredCounts:
        """The arrays of a matrix."""
        row_start, *entries = matrix.to_rows()
        column, first, second = (
            values.astype(np.min_scalar_type(int(values.max(initial=0)))) for values in entries
        )
        return cls(matrix.shape[1], row_start, column, first, second)

    def matrix(self) -> CountMatrix:
        """The matrix again.

        Raises
        ------
        ValueError
            The arrays are not those of a matrix.
        """
        column, first, second = (
            values.astype(np.uint32) for values in (self.column, self.first, self.second)
        )
        return CountMatrix.from_rows(
            len(self.row_start) - 1, self.n_columns, self.row_start, column, first, second
        )


@dataclass(frozen=True)
class StoredPairs:
    """Pairs at one lag; see `PairCounts`."""

    lag: int
    within: StoredCounts
    across: StoredCounts

    @classmethod
    def of(cls, counts: PairCounts) -> StoredPairs:
        """Of counts in host memory."""
        assert isinstance(counts.within, CountMatrix)
        assert isinstance(counts.across, CountMatrix)
        return cls(counts.lag, StoredCounts.of(counts.within), StoredCounts.of(counts.across))

    def counts(self) -> PairCounts:
        """The counts again."""
        return PairCounts(self.lag, self.within.matrix(), self.across.matrix())

    @classmethod
    def sum_of(cls, parts: Iterable[StoredPairs], *, threads: int = 1) -> PairCounts:
        """The counts of a corpus from those of its shards, of which a few are held at a time.

        Raises
        ------
        OverflowError
            A count does not fit 32 bits.
        """
        lag, within, across = 0, list[CountMatrix](), list[CountMatrix]()
        for part in parts:
            lag = part.lag
            for total, counts in ((within, part.within), (across, part.across)):
                total.append(counts.matrix())
                if len(total) == _AT_ONCE:
                    total[:] = [sum_counts(total, threads=threads)]
        return PairCounts(
            lag, sum_counts(within, threads=threads), sum_counts(across, threads=threads)
        )
