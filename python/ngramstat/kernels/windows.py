"""Rows of co-occurrence matrices: the tokens that stand near each token, summed over lags."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat._core import Documents
from ngramstat.kernels.tokens import Tokens, check_tokens, position_bytes

__all__ = ["WindowCounter", "window_counter_bytes", "window_position_bytes"]

Integers = NDArray[np.int64]
Rows = tuple[Integers, NDArray[np.int32], NDArray[np.uint64] | NDArray[np.float64]]


class WindowCounter:
    """Counts rows of co-occurrence matrices; makes an index of the positions of their tokens once.

    Parameters
    ----------
    tokens : (n,) uint16 or uint32
    vocab_size : int
        V, at most 2^31 - 1; every id must be below it.
    documents : Documents
    rows : (first, last)
        Tokens that may be rows: first .. last - 1.
    within_content : bool
        Only pairs inside the content of one document; otherwise all of the stream.
    both_sides : bool
        Count columns before and after the row's token; otherwise only after it.
    threads : int

    Raises
    ------
    IndexError
        A token is not below vocab_size.
    ValueError
        The last document does not end where the stream ends, or rows lie outside the vocabulary.
    """

    def __init__(
        self,
        tokens: Tokens,
        vocab_size: int,
        documents: Documents,
        rows: tuple[int, int],
        *,
        within_content: bool = False,
        both_sides: bool = False,
        threads: int = 1,
    ) -> None:
        check_tokens(tokens)
        if vocab_size > np.iinfo(np.int32).max:
            raise ValueError(f"vocab_size={vocab_size}: columns have 32 bits")
        self._threads = threads
        self._counter = _core.WindowCounter(
            tokens, vocab_size, documents, rows, within_content, both_sides, threads
        )

    def count(
        self,
        rows: tuple[int, int],
        lags: Sequence[int],
        weights: Sequence[float] | None = None,
        *,
        wide: bool = False,
    ) -> Rows:
        """The rows first .. last - 1 in compressed form: (row_start, columns, values).

        Parameters
        ----------
        rows : (first, last)
            Within those of the counter.
        lags : sequence of int
            Ascending, from 1 to 2^32 - 2.
        weights : sequence of float, optional
            One per lag. A value is then the sum, in the order of the lags, of weight times count,
            each product and each sum rounded to float64. Without weights values are sums of counts.
        wide : bool
            Use counters of 64 bits for each lag, as is done anyway where tokens are frequent enough
            to need them. The result is the same.

        Returns
        -------
        row_start : (last - first + 1,) int64
        columns : (entries,) int32
            Ascending within a row; only those with a pair.
        values : (entries,) uint64 or float64
        """
        if weights is None:
            return self._counter.sum(rows, list(lags), self._threads)
        return self._counter.weigh(rows, list(lags), list(weights), wide, self._threads)


def window_position_bytes(n_tokens: int, *, within_content: bool, both_sides: bool) -> int:
    """Bytes of the index for each position of the tokens that may be rows."""
    return position_bytes(n_tokens) + (4 + 4 * both_sides) * within_content


def window_counter_bytes(vocab_size: int, *, weighted: bool) -> int:
    """Bytes of the counters of one thread."""
    return vocab_size * (73 if weighted else 9)
