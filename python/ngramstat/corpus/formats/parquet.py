"""Parquet files with a column of token ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ngramstat.corpus.formats.arrow_rows import (
    BATCH_TOKENS,
    batch_rows,
    check_schema,
    refusing_damage,
    require_pyarrow,
)
from ngramstat.corpus.formats.mapping import read_bytes
from ngramstat.corpus.formats.token_rows import RowCollector, Rows
from ngramstat.corpus.formats.token_store import Format, OpenOptions, TokenStore
from ngramstat.errors import InputError
from ngramstat.runtime.files import regular_file_size

__all__ = ["FORMAT"]

_MAGIC = b"PAR1"
_MAX_BATCH_ROWS = 1 << 12


def _recognises(path: Path, head: bytes) -> bool:
    if not head.startswith(_MAGIC):
        return False
    size = regular_file_size(path)
    # The four bytes could begin a file of tokens; there, they do not also end it.
    return path.suffix == ".parquet" or read_bytes(path, size - 4, 4) == _MAGIC


def _open(path: Path, options: OpenOptions) -> TokenStore:
    size = regular_file_size(path)
    if size < 12 or not read_bytes(path, 0, 4) == read_bytes(path, size - 4, 4) == _MAGIC:
        raise InputError(f"{path}: not a complete Parquet file (it begins and ends with PAR1)")
    require_pyarrow(path)
    with refusing_damage(path, "Parquet data"):
        import pyarrow.parquet as pq

        # Mapped and not buffered ahead, so that memory does not grow with the row groups.
        with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
            name, mask = check_schema(path, file.schema_arrow, options.column)
            with RowCollector(path, options) as collector:
                for rows in _read_rows(path, file, name, mask):
                    collector.add(rows)
                return collector.finish(FORMAT.name)


FORMAT = Format("parquet", "Parquet file of token ids", _recognises, _open, has_rows=True)


def _rows_at_once(file: Any) -> int:
    """Rows of about `BATCH_TOKENS` tokens of 8 bytes, if no other column takes space.

    The metadata of columns would tell it better, but where they are damaged pyarrow (26) ends the
    process when it is asked for them.
    """
    metadata = file.metadata
    groups = range(metadata.num_row_groups)
    size = sum(max(0, int(metadata.row_group(group).total_byte_size)) for group in groups)
    rows = max(1, int(metadata.num_rows))
    return min(max(1, 8 * BATCH_TOKENS * rows // max(1, size)), _MAX_BATCH_ROWS)


def _read_rows(path: Path, file: Any, name: str, mask: str | None) -> Iterator[Rows]:
    columns = [name] if mask is None else [name, mask]
    row = 0
    for batch in file.iter_batches(_rows_at_once(file), columns=columns, use_threads=False):
        masks = None if mask is None else batch.column(batch.schema.get_field_index(mask))
        ids = batch.column(batch.schema.get_field_index(name))
        yield from batch_rows(path, row, ids, masks)
        row += batch.num_rows
    if row != file.metadata.num_rows:
        raise InputError(f"{path}: its metadata count {file.metadata.num_rows} rows, not {row}")
