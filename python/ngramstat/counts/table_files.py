"""Files of tables of n-grams, written batch by batch, so that a table may exceed the memory."""

from __future__ import annotations

import csv
import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError, NgramstatError
from ngramstat.results.tables import optional_package
from ngramstat.runtime.files import (
    atomic_directory,
    atomic_write,
    read_arrays,
    reason,
    require_writable,
)

__all__ = ["ColumnSpool", "Columns", "check_table_path", "read_table", "table_writer"]

# A list holds texts.
Columns: TypeAlias = "dict[str, NDArray[Any] | list[str]]"
Write = Callable[[Mapping[str, Any]], None]

_ARRAYS = (".npz", "")
_ARROW = (".arrow", ".feather")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_FORMATS = (
    ".npz, .parquet, .arrow, .feather, .csv, .tsv, or no suffix for a directory of .npy files"
)
# Rows made into text at a time.
_ROWS = 1 << 16


def check_table_path(path: str | PathLike[str], *, text: bool) -> str:
    """The suffix, after checks of what can be known before the work.

    Raises
    ------
    InputError
        An unknown suffix, texts for a format of numbers, or a file that cannot be written.
    NgramstatError
        The format needs a package that is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (*_ARRAYS, *_ARROW, *_DELIMITERS, ".parquet"):
        raise InputError(f"{path}: unknown suffix; a table is written as {_FORMATS}")
    if text and suffix in _ARRAYS:
        raise InputError(
            f"{path}: holds numbers alone, no decoded text; write .csv, .tsv, .parquet or .arrow"
        )
    if suffix == "":
        if Path(path).exists():
            raise InputError(f"{path}: exists; remove it, or choose another name")
        require_writable(Path(path) if Path(path).name else Path(path).resolve())
    else:
        require_writable(path)
    if suffix == ".parquet" or suffix in _ARROW:
        optional_package("pyarrow", "arrow", f"{path}: a file of this format")
    return suffix


@contextmanager
def table_writer(path: str | PathLike[str], n: int, *, text: bool = False) -> Iterator[Write]:
    """Yields a function that appends columns to the table; the file appears when the block ends.

    Parameters
    ----------
    path
        Its suffix says the format, see `NgramTable.save`.
    n
        Columns ``token_0`` .. ``token_{n-1}``.
    text
        Whether the columns will hold texts.

    Raises
    ------
    InputError, NgramstatError
        As for `check_table_path`, or writing failed.
    """
    suffix = check_table_path(path, text=text)
    if suffix in _DELIMITERS:
        with atomic_write(path) as file, _text_writer(file, _DELIMITERS[suffix]) as write:
            yield write
    elif suffix in _ARRAYS:
        with ColumnSpool(Path(path).absolute().parent) as spool:
            yield spool.write
            if suffix == ".npz":
                with atomic_write(path) as file:
                    _write_npz(file, spool, n)
            else:
                _write_npy_files(Path(path), spool, n)
    else:
        with atomic_write(path) as file, _arrow_writer(file, suffix) as write:
            yield write


def read_table(path: str | PathLike[str]) -> dict[str, NDArray[Any]]:
    """The arrays of a table: ``tokens`` (k, n), ``counts`` and others.

    Raises
    ------
    InputError
        The file is missing or damaged, or has another format.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        arrays = read_arrays(path)
    elif Path(path).is_dir():
        arrays = _read_npy_files(Path(path))
    elif suffix in _ARROW or suffix == ".parquet":
        arrays = _read_arrow(path, suffix)
    elif suffix in _DELIMITERS:
        arrays = _read_text(path, _DELIMITERS[suffix])
    else:
        raise InputError(f"{path}: is no table of n-grams ({_FORMATS})")
    if "tokens" not in arrays:
        names = [name for name in arrays if name.startswith("token_")]
        if not names or names != [f"token_{i}" for i in range(len(names))]:
            raise InputError(f"{path}: is no table of n-grams: it has no column token_0")
        arrays["tokens"] = np.stack([arrays.pop(name) for name in names]).T
    return arrays


class ColumnSpool:
    """Columns in temporary files of one directory, which vanish with it; a context manager.

    Raises
    ------
    NgramstatError
        Writing failed, for instance because the disk is full.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[str, IO[bytes]] = {}
        self._dtypes: dict[str, np.dtype[Any]] = {}
        self.rows = 0

    def __enter__(self) -> ColumnSpool:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    @property
    def names(self) -> list[str]:
        """Of the columns, in the order of the first batch."""
        return list(self._files)

    def write(self, columns: Mapping[str, Any]) -> None:
        """Append a batch; all batches have the same columns."""
        try:
            for name, values in columns.items():
                if name not in self._files:
                    self._files[name] = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115
                    self._dtypes[name] = values.dtype
                assert values.dtype == self._dtypes[name]
                self._files[name].write(np.ascontiguousarray(values).data)
        except OSError as error:
            raise NgramstatError(
                f"{self._directory}: writing a temporary file failed: {reason(error)}"
            ) from error
        self.rows += len(next(iter(columns.values())))

    def dtype(self, name: str) -> np.dtype[Any]:
        """Type of a column."""
        return self._dtypes[name]

    def column(self, name: str) -> NDArray[Any]:
        """A column, mapped from its file."""
        self._files[name].flush()
        if self.rows == 0:
            return np.empty(0, self._dtypes[name])
        return np.memmap(self._files[name], self._dtypes[name], "r", shape=(self.rows,))

    def copy(self, name: str, target: IO[bytes]) -> None:
        """Append a column's bytes to a file."""
        self._files[name].seek(0)
        shutil.copyfileobj(self._files[name], target, 1 << 20)


def _arrays_of(spool: ColumnSpool, n: int) -> dict[str, list[str]]:
    """Names of the arrays, and the columns that make up each."""
    tokens = [f"token_{i}" for i in range(n)]
    return {"tokens": tokens} | {name: [name] for name in spool.names if name not in tokens}


def _write_array(file: IO[bytes], spool: ColumnSpool, columns: list[str], *, matrix: bool) -> None:
    """Write columns as one array in the format of NumPy."""
    shape = (spool.rows, len(columns)) if matrix else (spool.rows,)
    header = {
        "descr": np.lib.format.dtype_to_descr(spool.dtype(columns[0])),
        "fortran_order": matrix,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(file, header)
    for column in columns:
        spool.copy(column, file)


def _write_npz(file: IO[bytes], spool: ColumnSpool, n: int) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, columns in _arrays_of(spool, n).items():
            # A fixed date: the same table makes the same file.
            member = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            with archive.open(member, "w", force_zip64=True) as part:
                _write_array(part, spool, columns, matrix=name == "tokens")


def _write_npy_files(path: Path, spool: ColumnSpool, n: int) -> None:
    with atomic_directory(path) as directory:
        for name, columns in _arrays_of(spool, n).items():
            with open(directory / f"{name}.npy", "wb") as file:
                _write_array(file, spool, columns, matrix=name == "tokens")
                file.flush()
                os.fsync(file.fileno())


def _read_npy_files(path: Path) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    try:
        for file in sorted(path.glob("*.npy")):
            arrays[file.stem] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: damaged: {reason(error)}") from error
    return arrays


@contextmanager
def _text_writer(file: IO[bytes], delimiter: str) -> Iterator[Write]:
    started = False

    def write(columns: Mapping[str, Any]) -> None:
        nonlocal started
        if not started:
            file.write((delimiter.join(columns) + "\n").encode())
            started = True
        for start in range(0, len(next(iter(columns.values()))), _ROWS):
            parts = [values[start : start + _ROWS] for values in columns.values()]
            lists = [part.tolist() if isinstance(part, np.ndarray) else part for part in parts]
            text = io.StringIO()
            rows = zip(*lists, strict=True)
            csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
            file.write(text.getvalue().encode("utf-8"))

    yield write


def _read_text(path: str | PathLike[str], delimiter: str) -> dict[str, NDArray[Any]]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            header = next(reader, [])
            columns = list(zip(*reader, strict=True)) or [()] * len(header)
        return {
            name: np.array(values, dtype=np.int64)
            for name, values in zip(header, columns, strict=True)
            if name != "text"
        }
    except (OSError, ValueError, OverflowError, csv.Error) as error:
        raise InputError(f"{path}: is no table of n-grams: {reason(error)}") from error


@contextmanager
def _arrow_writer(file: IO[bytes], suffix: str) -> Iterator[Write]:
    arrow = optional_package("pyarrow", "arrow", "a file of this format")
    ipc, parquet = import_module("pyarrow.ipc"), import_module("pyarrow.parquet")
    writer: Any = None

    def write(columns: Mapping[str, Any]) -> None:
        nonlocal writer
        batch = arrow.record_batch(dict(columns))
        if writer is None:
            kind = parquet.ParquetWriter if suffix == ".parquet" else ipc.new_file
            writer = kind(file, batch.schema)
        writer.write_batch(batch)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


def _read_arrow(path: str | PathLike[str], suffix: str) -> dict[str, NDArray[Any]]:
    arrow = optional_package("pyarrow", "arrow", f"{path}: a file of this format")
    try:
        if suffix == ".parquet":
            table = import_module("pyarrow.parquet").read_table(path)
        else:
            with import_module("pyarrow.ipc").open_file(path) as reader:
                table = reader.read_all()
        return {
            name: table.column(name).to_numpy() for name in table.column_names if name != "text"
        }
    except (OSError, ValueError, TypeError, arrow.ArrowException) as error:
        raise InputError(f"{path}: damaged: {reason(error)}") from error
