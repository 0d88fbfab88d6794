"""How strongly tokens are associated: pointwise mutual information of their co-occurrences."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.counts.mapped_matrix import MappedMatrix
from ngramstat.errors import InputError, InputTypeError
from ngramstat.runtime.arguments import as_number

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["as_csr", "ppmi"]

# Entries at a time: what is made of each takes some times its memory.
_BLOCK = 1 << 20


def as_csr(matrix: Any, name: str = "matrix") -> csr_array:
    """A sparse matrix of scipy, or a mapped one, as compressed rows; not copied if it is that.

    Raises
    ------
    InputError
        It is neither, or holds a value that is negative or not finite.
    """
    from scipy.sparse import csr_array, issparse

    if isinstance(matrix, MappedMatrix):
        matrix = matrix.rows()
    if not issparse(matrix) or len(matrix.shape) != 2:
        raise InputTypeError(
            f"{name}: needs a sparse matrix of scipy or a mapped one (`open_cooccurrence`), not "
            f"{type(matrix).__name__}"
        )
    rows = csr_array(matrix)
    if rows.nnz and rows.dtype.kind not in "iufb":
        raise InputTypeError(f"{name}: holds {rows.dtype}, not real numbers")
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    for start in range(0, rows.nnz, _BLOCK):
        values = rows.data[start : start + _BLOCK]
        if not (np.isfinite(values).all() and values.min() >= 0):
            raise InputError(f"{name}: has a value that is negative or not finite")
    return rows


def ppmi(matrix: Any, *, shift: float = 1.0, context_smoothing: float = 1.0) -> csr_array:
    r"""Positive pointwise mutual information of a co-occurrence matrix, shifted if requested.

    The entry of row a and column b, with n the counts, is

        max(0, log [ n(a, b) / (n(a, .) p(b)) ] - log(shift)),   p(b) = n(., b)^s / sum_c n(., c)^s

    with s the context smoothing. Only positive entries are stored.

    Parameters
    ----------
    matrix : scipy.sparse matrix or array, or MappedMatrix
        Counts, such as from `cooccurrence`; not negative.
    shift : float
        The number k of negative samples whose logarithm is subtracted, at least 1 (1: nothing). The
        matrix is then the one that word2vec with k negative samples factorises (Levy and Goldberg,
        NeurIPS 2014).
    context_smoothing : float
        The exponent s of the column's counts, over 0 and at most 1 (1: none). With 0.75 rare
        contexts are less favoured (Levy, Goldberg and Dagan, TACL 2015).

    Returns
    -------
    scipy.sparse.csr_array
        float64, in nats, of the same shape.

    Raises
    ------
    InputError
        The matrix or an option cannot be used.
    """
    from scipy.sparse import csr_array

    shift = as_number("shift", shift)
    smoothing = as_number("context_smoothing", context_smoothing)
    if not shift >= 1:
        raise InputError(f"shift={shift:g}: must be at least 1")
    if not 0 < smoothing <= 1:
        raise InputError(f"context_smoothing={smoothing:g}: must be over 0 and at most 1")
    counts = as_csr(matrix)
    row_log, column_log = _logs_of_sums(counts, smoothing)
    threshold = math.log(shift)
    columns: list[NDArray[Any]] = [counts.indices[:0]]
    values = [np.zeros(0)]
    offsets = [np.zeros(1, np.int64)]
    kept = 0
    for first, last in _row_blocks(counts.indptr):
        start, end = counts.indptr[first], counts.indptr[last]
        with np.errstate(divide="ignore"):  # a stored zero is not positive
            information = np.log(counts.data[start:end].astype(np.float64))
        lengths = np.diff(counts.indptr[first : last + 1])
        information -= np.repeat(row_log[first:last] + threshold, lengths)
        information -= column_log[counts.indices[start:end]]
        positive = information > 0
        columns.append(counts.indices[start:end][positive])
        values.append(information[positive])
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(positive)])
        offsets.append(kept + before[counts.indptr[first + 1 : last + 1] - start])
        kept += int(before[-1])
    indices = np.concatenate(columns)
    arrays = (np.concatenate(values), indices, np.concatenate(offsets).astype(indices.dtype))
    return csr_array(arrays, shape=counts.shape, copy=False)


def _row_blocks(offsets: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Runs of rows with about _BLOCK entries."""
    first, n_rows = 0, len(offsets) - 1
    while first < n_rows:
        last = int(np.searchsorted(offsets, int(offsets[first]) + _BLOCK, side="right")) - 1
        last = min(max(last, first + 1), n_rows)
        yield first, last
        first = last


def _logs_of_sums(
    counts: csr_array, smoothing: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logarithms of the row sums, and of the columns' smoothed shares.

    Those of empty rows and columns are minus infinity; nothing refers to them.
    """
    n_rows, n_columns = counts.shape
    column_sums = np.zeros(n_columns)
    row_sums = np.zeros(n_rows)
    for first, last in _row_blocks(counts.indptr):
        start, end = counts.indptr[first], counts.indptr[last]
        values = counts.data[start:end].astype(np.float64)
        column_sums += np.bincount(counts.indices[start:end], values, n_columns)
        rows = np.repeat(np.arange(last - first), np.diff(counts.indptr[first : last + 1]))
        row_sums[first:last] = np.bincount(rows, values, last - first)
    shares = column_sums**smoothing
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(row_sums), np.log(shares / shares.sum())
