"""What every reader of a layout gives: named columns, and rows with their places in the file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ngramstat.errors import InputError
from ngramstat.runtime.files import reason, regular_file_size

__all__ = ["MAX_BYTES", "LossFile", "Row", "in_memory", "is_empty", "read_text"]

# A place, such as "losses.csv: line 3", and the cells by the names of their columns.
Row = tuple[str, Mapping[str, Any]]

# More than any table of losses needs, and small enough to be read into memory.
MAX_BYTES = 1 << 26


@dataclass(frozen=True)
class LossFile:
    """A file of losses, before its columns are understood.

    Attributes
    ----------
    path : str
    layout : str
        What the file is, in words: "metrics.csv of Lightning".
    names : tuple of str
        Its columns, as the file spells them; unnamed ones are left out.
    rows : callable
        The rows, with at least the cells of the columns asked for. A missing cell is absent, None
        or blank.
    place : str
        Where the columns are named, as errors say it.
    is_log : bool
        Whether it tells of one training run, rather than of finished models.
    decimal_comma : bool
        Whether its cells may have decimal commas, because something else separates them.
    """

    path: str
    layout: str
    names: tuple[str, ...]
    rows: Callable[[Collection[str]], list[Row]]
    place: str
    is_log: bool = False
    decimal_comma: bool = False


def in_memory(rows: list[Row]) -> Callable[[Collection[str]], list[Row]]:
    """`LossFile.rows` of rows that are in memory."""
    return lambda names: rows


def is_empty(cell: Any) -> bool:
    return cell is None or not str(cell).strip()


def read_text(path: Path) -> str:
    """The whole of a text file, without a byte order mark.

    Raises
    ------
    InputError
        The file is missing, too large or not UTF-8.
    """
    size = regular_file_size(path)
    if size > MAX_BYTES:
        raise InputError(
            f"{path}: {size} bytes, more than the {MAX_BYTES} of a table of losses; keep the "
            "lines with losses"
        )
    try:
        with open(path, "rb") as file:
            # One byte more than allowed detects a file that has grown since.
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: grew while it was read; read it once it is finished")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    if "\0" in text:
        raise InputError(
            f"{path}: has a NUL byte, so it is no text; losses are read from CSV, TSV, JSON, JSON "
            "lines, Parquet, TensorBoard events, MLflow metrics and printed training logs"
        )
    return text
