"""JSON lines with a field of token ids, compressed or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.arrow_rows import BATCH_TOKENS
from ngramstat.corpus.formats.compressed import open_decompressed
from ngramstat.corpus.formats.token_rows import (
    COLUMNS,
    MASK_COLUMN,
    RowCollector,
    Rows,
    choose_column,
)
from ngramstat.corpus.formats.token_store import Format, OpenOptions, TokenStore
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason

__all__ = ["FORMAT"]

_SUFFIXES = (".jsonl", ".ndjson", ".json")
_COMPRESSIONS = (".gz", ".xz", ".bz2", ".zst", ".zstd")
# A line is parsed as a whole, which takes some ten times its size.
_MAX_LINE_BYTES = 64 << 20


def _recognises(path: Path, head: bytes) -> bool:
    name = path.name.lower()
    for suffix in _COMPRESSIONS:
        name = name.removesuffix(suffix)
    if name.endswith(_SUFFIXES):
        return True
    return any(head.startswith(f'{{"{column}"'.encode()) for column in COLUMNS)


def _open(path: Path, options: OpenOptions) -> TokenStore:
    with RowCollector(path, options) as collector:
        for rows in _read_rows(path, options.column):
            collector.add(rows)
        return collector.finish(FORMAT.name)


FORMAT = Format("jsonl", "JSON lines of token ids", _recognises, _open, has_rows=True)


def _read_rows(path: Path, column: str | None) -> Iterator[Rows]:
    ids: list[NDArray[np.int64]] = []
    masks: list[NDArray[np.int64]] = []
    tokens = 0
    name: str | None = None
    masked = False
    for number, record, line in _records(path):
        where = f"{path}:{number}"
        if name is None:
            name = choose_column(path, list(record), column)
            masked = MASK_COLUMN in record and name != MASK_COLUMN
        if name not in record:
            raise InputError(f"{where}: has no field {name!r}, which the records before it have")
        if masked != (MASK_COLUMN in record and name != MASK_COLUMN):
            raise InputError(f"{where}: only some records have {MASK_COLUMN}")
        ids.append(_integers(record[name], name, where, line))
        if masked:
            masks.append(_integers(record[MASK_COLUMN], MASK_COLUMN, where, line))
            if masks[-1].size != ids[-1].size:
                raise InputError(
                    f"{where}: {ids[-1].size} tokens, but {masks[-1].size} values in {MASK_COLUMN}"
                )
        tokens += ids[-1].size
        if tokens >= BATCH_TOKENS or len(ids) >= BATCH_TOKENS:
            yield _rows(ids, masks)
            ids, masks, tokens = [], [], 0
    if ids:
        yield _rows(ids, masks)


def _rows(ids: list[NDArray[np.int64]], masks: list[NDArray[np.int64]]) -> Rows:
    lengths = np.array([part.size for part in ids], dtype=np.int64)
    return Rows(np.concatenate(ids), lengths, np.concatenate(masks) if masks else None)


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any], bytes]]:
    """The objects of the lines with their numbers and bytes; blank lines are skipped."""
    number = 0
    with open_decompressed(path) as stream:
        while line := stream.readline(_MAX_LINE_BYTES):
            number += 1
            if len(line) == _MAX_LINE_BYTES and not line.endswith(b"\n"):
                raise InputError(
                    f"{path}:{number}: a line of more than {_MAX_LINE_BYTES} bytes; split the "
                    "record, or write Parquet"
                )
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode("utf-8"), object_pairs_hook=_unique)
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"{path}:{number}: not a JSON object per line ({reason(error)[:120]}); text "
                    "needs `ngramstat tokenize` first"
                ) from error
            if not isinstance(record, dict):
                raise InputError(
                    f"{path}:{number}: not a JSON object; one object per line is needed, and text "
                    "needs `ngramstat tokenize` first"
                )
            yield number, record, line


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice[:60]!r} occurs twice")
    return record


def _integers(value: Any, name: str, where: str, line: bytes) -> NDArray[np.int64]:
    if not isinstance(value, list):
        kind = "null" if value is None else type(value).__name__
        raise InputError(
            f"{where}: the field {name!r} is {kind}, not a list of integers; name the field of ids "
            "with --column, or tokenize text with `ngramstat tokenize`"
        )
    if not value:
        return np.empty(0, dtype=np.int64)
    # NumPy takes true for 1; lines of plain ids do not spell it.
    has_booleans = (b"true" in line or b"false" in line) and any(
        isinstance(item, bool) for item in value
    )
    try:
        array = np.array(value)
    except (ValueError, OverflowError):
        array = np.array([])
    if has_booleans and name == MASK_COLUMN and array.dtype.kind in "bi":
        return array.astype(np.int64)
    if has_booleans or array.ndim != 1 or array.dtype != np.int64:
        raise InputError(f"{where}: the field {name!r} holds something else than integer ids")
    return array
