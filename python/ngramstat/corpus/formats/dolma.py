"""Headerless .npy files of dolma and OLMo, with the document ranges in a .csv.gz beside them."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.mapping import dtype_from_count, map_tokens
from ngramstat.corpus.formats.token_store import (
    Format,
    OpenOptions,
    TokenStore,
    stated_or_assumed_dtype,
)
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason, regular_file_size
from ngramstat.runtime.numbers import parse_integer

__all__ = ["FORMAT"]

_MAX_CSV_LINE = 1 << 20
# Bytes.
_SMALLEST_TOKEN = 2


def _recognises(path: Path, head: bytes) -> bool:
    # Files with a .npy header are recognised before this format is tried.
    return path.suffix == ".npy"


def _open(path: Path, options: OpenOptions) -> TokenStore:
    size = regular_file_size(path)
    ranges = path.with_suffix(".csv.gz")
    ends = _document_ends(ranges, size) if ranges.exists() else None
    if ends is not None:
        dtype: np.dtype[Any] | None = dtype_from_count(path, size, int(ends[-1]), options.dtype)
    else:
        dtype = stated_or_assumed_dtype(options)
    if dtype is None:
        raise InputError(
            f"{path}: has no .npy header and no {ranges.name} beside it (a dolma file?); "
            "give --dtype uint16|uint32"
        )
    return TokenStore(
        format=FORMAT.name, path=path, tokens=map_tokens(path, dtype), document_ends=ends
    )


FORMAT = Format("dolma", "dolma / OLMo headerless .npy", _recognises, _open)


def _document_ends(path: Path, token_bytes: int) -> NDArray[np.int64]:
    """Document ends from rows ``start,end,id,src,loc``, where each range must follow the last.

    Reading stops at the first row beyond `token_bytes`, the size of the file of tokens: a small
    .csv.gz can hold rows without end.
    """
    regular_file_size(path)
    # Eight bytes each, of which a list would take five times as many.
    ends = array("q")
    most_tokens = token_bytes // _SMALLEST_TOKEN
    previous = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.reader(_bounded_lines(file)), 1):
                if number == 1 and row[:2] == ["start", "end"]:
                    continue  # column names, which some tools add
                start, end = _range_of(row, f"{path}:{number}", previous)
                if end > most_tokens or number > 2 * most_tokens + 2:
                    raise InputError(
                        f"{path}:{number}: goes on beyond the {token_bytes} bytes of tokens; the "
                        "ranges belong to another file, or the tokens are truncated"
                    )
                if end > start:
                    ends.append(end)
                previous = end
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: damaged: {reason(error)}") from error
    if not ends:
        raise InputError(f"{path}: names no documents")
    return np.array(ends, dtype=np.int64)


def _range_of(row: list[str], where: str, previous: int) -> tuple[int, int]:
    """First and last token of a row, of which the first has to be the end of the row before."""
    try:
        start, end = (parse_integer(cell[:20]) for cell in (row[0], row[1]))
    except (IndexError, ValueError) as error:
        raise InputError(f"{where}: not a `start,end,...` row") from error
    if start > 0 and previous == 0:
        raise InputError(
            f"{where}: the first document begins at token {start}, not 0; the ranges belong to "
            "another file, or to one that was cut up"
        )
    if start != previous or end < start or end >= 1 << 62:
        raise InputError(f"{where}: the range {start} to {end} does not follow {previous}")
    return start, end


def _bounded_lines(file: io.TextIOBase) -> Iterator[str]:
    while line := file.readline(_MAX_CSV_LINE):
        if len(line) == _MAX_CSV_LINE:
            raise csv.Error(f"a line of more than {_MAX_CSV_LINE} characters")
        yield line
