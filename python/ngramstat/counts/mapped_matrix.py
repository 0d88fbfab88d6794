"""Sparse matrices in a directory of .npy files that are mapped, so that they need no memory.

``matrix.json`` describes the matrix; ``indptr.npy`` (int64), ``indices.npy`` (int32) and
``data.npy`` (uint64 or float64) hold its rows in compressed form, as scipy names their arrays.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.counts.npy_stream import NpyStream, map_vector
from ngramstat.counts.pair_counting import CooccurrenceRows
from ngramstat.errors import InputError
from ngramstat.runtime.arguments import integer_within
from ngramstat.runtime.files import atomic_directory, read_json, reason, write_json
from ngramstat.version import __version__

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["MATRIX_FILE", "MappedMatrix", "check_directory", "open_cooccurrence", "write_mapped"]

SCHEMA = "ngramstat.cooccurrence/1"
MATRIX_FILE = "matrix.json"
_FILES = ("indptr.npy", "indices.npy", "data.npy")
_MAX_ENTRIES = 1 << 48
_MAX_SIZE = (1 << 31) - 1
_TYPES = {"uint64": np.dtype(np.uint64), "float64": np.dtype(np.float64)}
# Entries of a piece when rows are read one after the other.
_PIECE_ENTRIES = 1 << 22


@dataclass(frozen=True, eq=False)
class MappedMatrix:
    """A sparse matrix whose entries stay in its files; rows are read on demand.

    Attributes
    ----------
    path : Path
        The directory.
    shape : (int, int)
        Rows and columns.
    first_row : int
        The token of the first row.
    window : mapping
        ``lags``, ``weights``, ``symmetric`` and ``boundary`` of the pairs.
    row_start : (rows + 1,) int64
        Offsets into the entries, in memory.
    columns : (entries,) int32, mapped
    values : (entries,) uint64 or float64, mapped
    """

    path: Path
    shape: tuple[int, int]
    first_row: int
    window: Mapping[str, Any]
    row_start: NDArray[np.int64] = field(repr=False)
    columns: NDArray[np.int32] = field(repr=False)
    values: NDArray[Any] = field(repr=False)

    @property
    def nnz(self) -> int:
        """Stored entries."""
        return len(self.values)

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint64 or float64."""
        return self.values.dtype

    def rows(self, first: int = 0, last: int | None = None) -> csr_array:
        """The rows first .. last - 1, by default all, as a matrix over the mapped entries.

        Nothing is copied but the offsets, unless there are 2^31 entries or more: then scipy copies
        the columns.

        Raises
        ------
        InputError
            There are no such rows, or a column does not lie in the matrix: the files are damaged.
        """
        from scipy.sparse import csr_array

        n_rows, n_columns = self.shape
        last = n_rows if last is None else integer_within("last", last, 0, n_rows)
        first = integer_within("first", first, 0, last)
        begin, end = int(self.row_start[first]), int(self.row_start[last])
        columns = self.columns[begin:end]
        if end > begin and not 0 <= int(columns.min()) <= int(columns.max()) < n_columns:
            raise InputError(f"{self.path / 'indices.npy'}: is damaged (columns); make it again")
        index_type = np.int32 if end - begin < 1 << 31 else np.int64
        offsets = (self.row_start[first : last + 1] - begin).astype(index_type)
        arrays = (self.values[begin:end], columns.astype(index_type, copy=False), offsets)
        return csr_array(arrays, shape=(last - first, n_columns), copy=False)

    def __iter__(self) -> Iterator[tuple[int, csr_array]]:
        """(first row, rows) in order, some million entries at a time."""
        first, n_rows = 0, self.shape[0]
        while first < n_rows:
            goal = self.row_start[first] + _PIECE_ENTRIES
            last = int(np.searchsorted(self.row_start, goal, side="right")) - 1
            last = min(max(last, first + 1), n_rows)
            yield first, self.rows(first, last)
            first = last


def open_cooccurrence(path: str | PathLike[str]) -> MappedMatrix:
    """Open a matrix that was saved as ``mapped``; its entries stay in the files.

    Raises
    ------
    InputError
        The directory holds no such matrix, or its files are damaged.
    """
    directory = Path(path)
    place = directory / MATRIX_FILE
    if not place.is_file():
        raise InputError(
            f"{path}: is no directory with a {MATRIX_FILE}; save one with --to mapped, and read "
            ".npz with scipy.sparse.load_npz"
        )
    about = read_json(place, max_bytes=1 << 28)
    if not isinstance(about, dict) or about.get("schema") != SCHEMA:
        raise InputError(f"{place}: has another schema than {SCHEMA}; make the matrix again")
    try:
        entries = integer_within("entries", about["entries"], 0, _MAX_ENTRIES)
        n_rows, n_columns = (integer_within("shape", n, 1, _MAX_SIZE) for n in about["shape"])
        first_row = integer_within("first_row", about["first_row"], 0, _MAX_SIZE)
        dtype, window = _TYPES[about["dtype"]], dict(about["window"])
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{place}: is damaged ({reason(error)}); make the matrix again") from error
    row_start = np.array(map_vector(directory / _FILES[0], np.dtype(np.int64), n_rows + 1))
    if row_start[0] != 0 or row_start[-1] != entries or (np.diff(row_start) < 0).any():
        raise InputError(f"{directory / _FILES[0]}: is damaged (offsets); make the matrix again")
    return MappedMatrix(
        path=directory,
        shape=(n_rows, n_columns),
        first_row=first_row,
        window=window,
        row_start=row_start,
        columns=map_vector(directory / _FILES[1], np.dtype(np.int32), entries),
        values=map_vector(directory / _FILES[2], dtype, entries),
    )


def check_directory(path: Path, *, overwrite: bool) -> None:
    """Refuse a directory that `write_mapped` could or should not make, before the work.

    Raises
    ------
    InputError
        It is a file, holds something else, or a matrix without `overwrite`; or the directory
        around it is missing or not writable.
    """
    parent = Path(os.path.abspath(path)).parent
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        raise InputError(f"{path}: cannot be written: {parent} is no directory to write to")
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_dir():
        raise InputError(f"{path}: is no directory; the output would replace it")
    names = {entry.name for entry in path.iterdir()}
    if names - {MATRIX_FILE, *_FILES}:
        raise InputError(f"{path}: holds other files; name a new or an empty directory")
    if names and not overwrite:
        raise InputError(f"{path}: holds a matrix; give --overwrite to replace it")


def write_mapped(
    path: Path,
    pieces: Iterable[CooccurrenceRows],
    about: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> int:
    """Write consecutive rows as a directory that appears when all of it is written.

    Parameters
    ----------
    path
        The directory.
    pieces
        In order.
    about
        ``shape``, ``first_row``, ``dtype`` and ``window``.
    overwrite
        Whether a matrix may be replaced.

    Returns
    -------
    int
        Entries written.

    Raises
    ------
    InputError
        The directory cannot be made (`check_directory`).
    NgramstatError
        Writing failed.
    """
    check_directory(path, overwrite=overwrite)
    with atomic_directory(path) as directory:
        entries = _write_files(directory, pieces, np.dtype(about["dtype"]))
        described = {
            "schema": SCHEMA,
            **about,
            "entries": entries,
            "created_by": f"ngramstat {__version__}",
        }
        write_json(directory / MATRIX_FILE, described)
    return entries


def _write_files(directory: Path, pieces: Iterable[CooccurrenceRows], dtype: np.dtype[Any]) -> int:
    with contextlib.ExitStack() as stack:
        types: tuple[np.dtype[Any], ...] = (np.dtype(np.int64), np.dtype(np.int32), dtype)
        offsets, columns, values = (
            NpyStream(stack.enter_context(open(directory / name, "xb")), of)
            for name, of in zip(_FILES, types, strict=True)
        )
        offsets.append(np.zeros(1, np.int64))
        for piece in pieces:
            offsets.append(piece.row_start[1:] + columns.length)
            columns.append(piece.columns)
            values.append(piece.values)
        for stream in (offsets, columns, values):
            stream.finish()
        return columns.length
