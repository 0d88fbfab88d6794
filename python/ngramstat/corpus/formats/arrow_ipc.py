"""Arrow files and streams with a column of token ids, as Hugging Face datasets writes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ngramstat.corpus.formats.arrow_rows import (
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

__all__ = ["FORMAT", "read_arrow_rows"]

_FILE_MAGIC = b"ARROW1\0\0"
_OLD_FEATHER_MAGIC = b"FEA1"
_CONTINUATION = b"\xff\xff\xff\xff"
_END_OF_STREAM = _CONTINUATION + bytes(4)
_SUFFIXES = (".arrow", ".arrows", ".ipc", ".feather")


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(_FILE_MAGIC) or (
        path.suffix.lower() in _SUFFIXES and head.startswith((_CONTINUATION, _OLD_FEATHER_MAGIC))
    )


def _open(path: Path, options: OpenOptions) -> TokenStore:
    with RowCollector(path, options) as collector:
        for rows in read_arrow_rows(path, options.column):
            collector.add(rows)
        return collector.finish(FORMAT.name)


FORMAT = Format("arrow", "Arrow or Feather file of token ids", _recognises, _open, has_rows=True)


def read_arrow_rows(path: Path, column: str | None) -> Iterator[Rows]:
    """The rows of an Arrow file or stream in order, in bounded memory.

    Raises
    ------
    InputError
        The file is damaged or truncated, or has no column of ids.
    NgramstatError
        pyarrow is not installed.
    """
    pa = require_pyarrow(path)
    is_file = _is_file_format(path)
    open_it = pa.ipc.open_file if is_file else pa.ipc.open_stream
    with refusing_damage(path, "Arrow data"), pa.memory_map(str(path)) as source:
        with open_it(source) as reader:
            schema = reader.schema
        name, mask_name = check_schema(path, schema, column)
        indices = [schema.get_field_index(name)]
        if mask_name is not None:
            indices.append(schema.get_field_index(mask_name))
        source.seek(0)
        # Other columns, such as the text, are neither read nor decompressed.
        options = pa.ipc.IpcReadOptions(included_fields=sorted(indices), use_threads=False)
        row = 0
        with open_it(source, options=options) as reader:
            for batch in _batches(reader, is_file):
                mask = None if mask_name is None else batch.column(mask_name)
                yield from batch_rows(path, row, batch.column(name), mask)
                row += batch.num_rows


def _batches(reader: Any, is_file: bool) -> Iterator[Any]:
    if not is_file:
        yield from reader
        return
    for index in range(reader.num_record_batches):
        yield reader.get_batch(index)


def _is_file_format(path: Path) -> bool:
    """Whether it is an Arrow file, which has an index at its end, and not a stream.

    Raises
    ------
    InputError
        It is neither, or a stream without its end.
    """
    size = regular_file_size(path)
    head = read_bytes(path, 0, min(8, size))
    if head == _FILE_MAGIC:
        return True
    if head.startswith(_OLD_FEATHER_MAGIC):
        raise InputError(f"{path}: a Feather file of version 1; write it again as version 2")
    if not head.startswith(_CONTINUATION):
        raise InputError(f"{path}: is neither an Arrow file nor an Arrow stream")
    # Between its messages a stream can be cut without any other trace.
    if size < 16 or read_bytes(path, size - 8, 8) != _END_OF_STREAM:
        raise InputError(
            f"{path}: an Arrow stream without its end mark: truncated, or its writer was not closed"
        )
    return False
