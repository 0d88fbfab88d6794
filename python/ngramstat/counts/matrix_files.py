"""Co-occurrence matrices in files: rows are counted, written and forgotten."""

from __future__ import annotations

import contextlib
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.counts.cooccurrence import BoundaryName
from ngramstat.counts.mapped_matrix import (
    MappedMatrix,
    check_directory,
    open_cooccurrence,
    write_mapped,
)
from ngramstat.counts.pair_counting import CooccurrenceRows, PairCounting, counting
from ngramstat.counts.token_names import token_names, token_texts
from ngramstat.counts.windows import PairWindow, Weights
from ngramstat.errors import InputError, NgramstatError, check_choice
from ngramstat.runtime.arguments import as_path
from ngramstat.runtime.files import atomic_write, read_arrays, reason, require_writable
from ngramstat.runtime.text import encoded

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["FORMATS", "format_of", "load_matrix", "save_cooccurrence"]

#: What `save_cooccurrence` writes, and the ends of names that imply it.
FORMATS = {"npz": ".npz", "parquet": ".parquet", "arrow": ".arrow", "glove": ".bin", "mapped": ""}

_GLOVE_RECORD = np.dtype([("row", "<i4"), ("column", "<i4"), ("value", "<f8")])
# Entries of a table's row group, and those converted at a time.
_BLOCK = 1 << 20


def format_of(path: str | PathLike[str], to: str | None) -> str:
    """The format to write: the given one, or what the name's end implies.

    Raises
    ------
    InputError
        There is no such format, or the name does not tell.
    """
    if to is not None:
        check_choice("--to", to, FORMATS)
        return to
    suffix = Path(path).suffix.lower()
    for name, end in FORMATS.items():
        if end == suffix:
            return name
    raise InputError(f"{path}: its name does not tell the format; give --to {'|'.join(FORMATS)}")


def save_cooccurrence(
    corpus: CorpusLike,
    path: str | PathLike[str],
    *,
    to: str | None = None,
    lags: int | Iterable[int] | None = None,
    window: int | None = None,
    weights: Weights = "uniform",
    symmetric: bool = False,
    boundary: BoundaryName = "stream",
    rows: Sequence[int] | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    progress: bool | None = None,
) -> dict[str, Any]:
    """Write a co-occurrence matrix to a file, which appears when all of it is written.

    Rows are counted and written in pieces, so that the matrix need not fit the memory.

    Parameters
    ----------
    corpus
        Whatever holds tokens or text; see `ngramstat.correlations`.
    path
        The file, or with ``mapped`` the directory.
    to : str, optional
        By default what the end of `path` implies.

        - ``npz``: for `scipy.sparse.load_npz`.
        - ``parquet``, ``arrow``: columns ``row``, ``column`` and ``count``, sorted by row and
          column (needs the extra ``arrow``).
        - ``glove`` (.bin): the file of GloVe's ``cooccur``, from which ``shuffle`` and ``glove`` go
          on. The word number of token i is i + 1; the vocabulary file that names the words
          (escaped where they hold blanks) is written beside it, as ``PATH.vocab.txt``.
        - ``mapped`` (no end): a directory of .npy files, which `open_cooccurrence` maps.
    lags, window, weights, symmetric, boundary, rows
        As for `cooccurrence`. The files name tokens, whatever the range of rows; the matrices of
        ``npz`` and ``mapped`` have last - first rows.
    overwrite : bool
        Whether a directory that holds a matrix may be replaced. Files are replaced as they are.
    threads, memory_limit, progress
        As for `cooccurrence`.

    Returns
    -------
    dict
        ``path``, ``to``, ``shape``, ``entries``, ``total`` (the sum of all entries) and the window.

    Raises
    ------
    InputError
        An option, the corpus or the path cannot be used as given.
    NgramstatError
        Writing failed, or pyarrow is not installed.
    """
    chosen = PairWindow.of(
        lags=lags, window=window, weights=weights, symmetric=symmetric, boundary=boundary
    )
    kind = format_of(as_path("path", path), to)
    target = Path(path)
    if kind == "mapped":
        check_directory(target, overwrite=overwrite)
    else:
        require_writable(target)
    if kind in ("parquet", "arrow"):
        _require_pyarrow(target)
    counted = counting(as_corpus(corpus), chosen, rows, threads, memory_limit, progress)
    if kind == "glove" and not _fits_glove(counted):
        raise InputError(f"{target}: GloVe numbers words with 32 bits; use --to mapped")
    about = {
        "shape": [counted.n_rows, counted.corpus.vocab_size],
        "first_row": counted.rows[0],
        "dtype": counted.value_type.name,
        "window": chosen.to_dict(),
    }
    tally = _Tally(counted.pieces(), counted.value_type)
    if kind == "mapped":
        write_mapped(target, tally, about, overwrite=overwrite)
    else:
        with atomic_write(target) as file:
            _WRITERS[kind](file, target, tally, about)
    if kind == "glove":
        _write_vocabulary(Path(f"{target}.vocab.txt"), counted.corpus, counted.occurrences)
    return {
        "path": str(path),
        "to": kind,
        "shape": about["shape"],
        "entries": tally.entries,
        "total": tally.total,
        **chosen.to_dict(),
    }


def load_matrix(path: str | PathLike[str]) -> MappedMatrix | csr_array:
    """A matrix that `save_cooccurrence` wrote as ``mapped`` or ``npz``.

    Raises
    ------
    InputError
        There is none, or it is damaged.
    """
    if Path(path).suffix.lower() != ".npz":
        return open_cooccurrence(path)
    from scipy.sparse import csr_array

    arrays = read_arrays(path)
    try:
        if arrays["format"].item() not in (b"csr", "csr"):
            raise InputError(f"{path}: is no matrix in compressed rows (csr)")
        shape = [int(n) for n in arrays["shape"]]
        matrix = csr_array((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        matrix.check_format(full_check=True)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is no sparse matrix of scipy ({reason(error)})") from error
    return matrix


class _Tally:
    """Pieces that are counted as they pass."""

    def __init__(self, pieces: Iterable[CooccurrenceRows], dtype: np.dtype[Any]) -> None:
        self._pieces = pieces
        self.entries = 0
        self.total: int | float = dtype.type(0).item()

    def __iter__(self) -> Iterator[CooccurrenceRows]:
        for piece in self._pieces:
            yield piece
            self.entries += len(piece.columns)
            self.total += piece.values.sum().item()


def _fits_glove(counted: PairCounting) -> bool:
    return counted.corpus.vocab_size < np.iinfo(np.int32).max


def _blocks(piece: CooccurrenceRows) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """(rows, columns, values) of a piece, some entries at a time."""
    for start in range(0, len(piece.columns), _BLOCK):
        end = min(start + _BLOCK, len(piece.columns))
        first, last = np.searchsorted(piece.row_start, [start, end - 1], side="right") - 1
        offsets = np.clip(piece.row_start[first : last + 2], start, end)
        numbers = np.arange(piece.first + first, piece.first + last + 1, dtype=np.int32)
        rows = np.repeat(numbers, np.diff(offsets))
        yield rows, piece.columns[start:end], piece.values[start:end]


def _write_glove(
    file: IO[bytes],
    target: Path,
    pieces: Iterable[CooccurrenceRows],
    about: Mapping[str, Any],
) -> None:
    for piece in pieces:
        for rows, columns, values in _blocks(piece):
            records = np.empty(len(rows), _GLOVE_RECORD)
            records["row"], records["column"], records["value"] = rows + 1, columns + 1, values
            file.write(records.data)


def _write_vocabulary(path: Path, corpus: Corpus, occurrences: NDArray[np.int64]) -> None:
    names = token_names(token_texts(corpus), corpus.vocab_size)
    lines = [f"{name} {n}\n" for name, n in zip(names, occurrences.tolist(), strict=True)]
    with atomic_write(path) as file:
        file.write(encoded("".join(lines)))


def _require_pyarrow(path: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise NgramstatError(
            f"{path}: writing Arrow and Parquet needs pyarrow: pip install 'ngramstat[arrow]'"
        ) from error
    return pyarrow


def _write_table(
    file: IO[bytes],
    target: Path,
    pieces: Iterable[CooccurrenceRows],
    about: Mapping[str, Any],
    open_writer: Callable[[Any, Any, Any], Any],
) -> None:
    pa = _require_pyarrow(target)
    value = pa.uint64() if about["dtype"] == "uint64" else pa.float64()
    schema = pa.schema(
        [("row", pa.int32()), ("column", pa.int32()), ("count", value)],
        metadata={"ngramstat": json.dumps(dict(about))},
    )
    try:
        with open_writer(pa, file, schema) as writer:
            for piece in pieces:
                for block in _blocks(piece):
                    arrays = [pa.array(values) for values in block]
                    writer.write_batch(pa.record_batch(arrays, schema=schema))
    except pa.ArrowException as error:
        raise NgramstatError(f"{target}: writing failed: {reason(error)}") from error


def _write_parquet(
    file: IO[bytes],
    target: Path,
    pieces: Iterable[CooccurrenceRows],
    about: Mapping[str, Any],
) -> None:
    _write_table(
        file, target, pieces, about, lambda pa, to, schema: pa.parquet.ParquetWriter(to, schema)
    )


def _write_arrow(
    file: IO[bytes],
    target: Path,
    pieces: Iterable[CooccurrenceRows],
    about: Mapping[str, Any],
) -> None:
    def open_writer(pa: Any, to: IO[bytes], schema: Any) -> Any:
        return pa.ipc.new_file(to, schema)

    _write_table(file, target, pieces, about, open_writer)


def _write_npz(
    file: IO[bytes],
    target: Path,
    pieces: Iterable[CooccurrenceRows],
    about: Mapping[str, Any],
) -> None:
    """The layout of `scipy.sparse.save_npz`; the number of entries is known only at the end."""
    with contextlib.ExitStack() as stack:
        column_file, value_file = (
            stack.enter_context(tempfile.TemporaryFile(dir=target.parent)) for _ in range(2)
        )
        offsets = [np.zeros(1, np.int64)]
        entries = 0
        for piece in pieces:
            column_file.write(np.ascontiguousarray(piece.columns).data)
            value_file.write(np.ascontiguousarray(piece.values).data)
            offsets.append(piece.row_start[1:] + entries)
            entries += len(piece.columns)
        # Offsets and columns of scipy have one type.
        index_type = np.dtype(np.int32 if entries < 1 << 31 else np.int64)
        row_start = np.concatenate(offsets).astype(index_type)
        archive = stack.enter_context(zipfile.ZipFile(file, "w", allowZip64=True))
        write_entry = _NpzWriter(archive)
        write_entry("indices", [entries], index_type, _read(column_file, np.dtype(np.int32)))
        write_entry("indptr", [len(row_start)], index_type, [row_start])
        write_entry("format", [], np.dtype("S3"), [np.array(b"csr")])
        write_entry("shape", [2], np.dtype(np.int64), [np.array(about["shape"], np.int64)])
        value_type = np.dtype(about["dtype"])
        write_entry("data", [entries], value_type, _read(value_file, value_type))
        write_entry("_is_array", [], np.dtype(np.bool_), [np.array(True)])


class _NpzWriter:
    """Adds arrays to an archive, in pieces."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def __call__(
        self,
        name: str,
        shape: Sequence[int],
        dtype: np.dtype[Any],
        pieces: Iterable[NDArray[Any]],
    ) -> None:
        # The date of this entry is a fixed one, so that equal matrices make equal files.
        info = zipfile.ZipInfo(f"{name}.npy")
        with self._archive.open(info, "w", force_zip64=True) as file:
            header = {"descr": dtype.str, "fortran_order": False, "shape": tuple(shape)}
            np.lib.format.write_array_header_1_0(file, header)
            for piece in pieces:
                file.write(np.ascontiguousarray(piece, dtype=dtype).tobytes())


def _read(file: IO[bytes], dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    file.seek(0)
    while data := file.read(_BLOCK * dtype.itemsize):
        yield np.frombuffer(data, dtype)


_Writer = Callable[[IO[bytes], Path, Iterable[CooccurrenceRows], Mapping[str, Any]], None]
_WRITERS: dict[str, _Writer] = {
    "npz": _write_npz,
    "parquet": _write_parquet,
    "arrow": _write_arrow,
    "glove": _write_glove,
}
