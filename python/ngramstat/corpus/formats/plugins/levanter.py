"""Levanter's caches: shard_ledger.json, and per field two Zarr 3 arrays, ``offsets`` and ``data``.

Element 0 of the offsets is the number of rows, element i the end of row i in the data. The arrays
are far larger than what is written; both have sharded chunks that Blosc compresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.plugins.chunk_files import (
    count_field,
    object_field,
    read_object,
)
from ngramstat.corpus.formats.plugins.zarr3 import ZarrArray, open_zarr_array
from ngramstat.corpus.formats.token_rows import COLUMNS, RowCollector, Rows
from ngramstat.corpus.formats.token_store import Format, OpenOptions, TokenStore
from ngramstat.errors import InputError

__all__ = ["FORMAT"]

_LEDGER = "shard_ledger.json"
_MAX_ROWS = 1 << 40


def _recognises(path: Path, head: bytes) -> bool:
    return path.is_dir() and (path / _LEDGER).is_file()


def _open(path: Path, options: OpenOptions) -> TokenStore:
    ledger = read_object(path / _LEDGER)
    if ledger.get("is_finished") is not True:
        raise InputError(f"{path}: an unfinished cache; let Levanter finish it")
    rows = count_field(ledger, "total_num_rows", str(path / _LEDGER), _MAX_ROWS)
    field = _field(path, options.column)
    offsets = open_zarr_array(field / "offsets")
    data = open_zarr_array(field / "data")
    if offsets.dtype != np.dtype("<i8") or data.dtype.kind not in "iu":
        raise InputError(f"{field}: {data.dtype.name} data with {offsets.dtype.name} offsets")
    counted = int(next(offsets.pieces(0, 1))[0])
    if counted != rows or rows < 1:
        raise InputError(f"{field}: holds {counted} rows, but {_LEDGER} counts {rows}")
    last = int(next(offsets.pieces(rows, rows + 1))[0])
    expected = object_field(ledger, "field_counts", str(path / _LEDGER))
    if isinstance(expected, dict) and expected.get(field.name, last) != last:
        raise InputError(f"{field}: ends at token {last}, but {_LEDGER} counts other tokens")
    if last < 1 or last > data.size:
        raise InputError(f"{field}: its last row ends at token {last}, which cannot be")
    with RowCollector(path, options, expected_tokens=last) as collector:
        for batch in _rows(field, offsets, data, rows, last):
            collector.add(batch)
        return collector.finish(FORMAT.name, data.files(0, last))


FORMAT = Format("levanter", "Levanter cache", _recognises, _open, has_rows=True)


def _field(path: Path, stated: str | None) -> Path:
    candidates = COLUMNS if stated is None else (stated,)
    for name in candidates:
        # The name of a directory in this one, not a path to another.
        if Path(name).name == name and "\0" not in name and (path / name / "data").is_dir():
            return path / name
    raise InputError(
        f"{path}: has no field {' or '.join(repr(name)[:60] for name in candidates)}; name the "
        "field of ids with --column"
    )


def _rows(
    field: Path, offsets: ZarrArray, data: ZarrArray, rows: int, tokens: int
) -> Iterator[Rows]:
    """Complete rows; the ids of a row that goes on in the next piece of data are kept."""
    ends_of = _Ends(field, offsets, rows, tokens)
    kept: list[NDArray[Any]] = []
    start = done = 0
    for piece in data.pieces(0, tokens):
        done += piece.size
        ends = ends_of.up_to(done)
        if ends.size == 0:
            kept.append(piece)
            continue
        cut = piece.size - (done - int(ends[-1]))
        ids = np.concatenate([*kept, piece[:cut]])
        kept = [piece[cut:]]
        yield Rows(ids, np.diff(ends, prepend=start))
        start = int(ends[-1])


class _Ends:
    """The ends of the rows, read piece by piece and handed out in order."""

    def __init__(self, field: Path, offsets: ZarrArray, rows: int, tokens: int) -> None:
        self._field = field
        self._pieces = offsets.pieces(1, rows + 1)
        self._tokens = tokens
        self._waiting: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._previous = 0

    def up_to(self, position: int) -> NDArray[np.int64]:
        """All ends not handed out yet that are at most `position`."""
        while self._waiting.size == 0 or int(self._waiting[-1]) <= position:
            piece = next(self._pieces, None)
            if piece is None:
                break
            if np.any(np.diff(piece, prepend=self._previous) < 0) or piece[-1] > self._tokens:
                raise InputError(f"{self._field}: the ends of its rows do not rise to the last one")
            self._previous = int(piece[-1])
            self._waiting = np.concatenate([self._waiting, piece])
        count = int(np.searchsorted(self._waiting, position, side="right"))
        ends, self._waiting = self._waiting[:count], self._waiting[count:]
        return ends
