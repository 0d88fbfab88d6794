"""Directories that litdata's ``optimize`` writes: index.json and chunk files of token arrays.

A chunk is a uint32 count of items, count + 1 uint32 byte offsets, and the items; it may be
compressed as a whole. With litdata's TokensLoader an item is its tokens and the index counts them
as ``dim``; otherwise each item begins with the uint32 size of its only leaf.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.plugins.chunk_files import (
    count_field,
    inner_path,
    load_chunk,
    object_field,
    read_object,
    sample_bounds,
    samples_to_rows,
)
from ngramstat.corpus.formats.token_rows import RowCollector, Rows
from ngramstat.corpus.formats.token_store import Format, OpenOptions, TokenStore
from ngramstat.errors import InputError

__all__ = ["FORMAT"]

_INDEX = "index.json"
# The numbers of litdata's two tables of types, as far as they are integers.
_TORCH = {
    11: "u1", 12: "i1", 13: "<i2", 14: "<i2", 15: "<i4", 16: "<i4", 17: "<i8", 18: "<i8",
}  # fmt: skip
_NUMPY = {
    0: "i1", 1: "<i2", 2: "<i4", 3: "<i8", 4: "u1", 5: "<u2", 6: "<u4", 7: "<u8",
}  # fmt: skip
_TABLES = {"no_header_tensor": _TORCH, "no_header_numpy": _NUMPY}


def _recognises(path: Path, head: bytes) -> bool:
    index = path / _INDEX
    if not path.is_dir() or not index.is_file():
        return False
    try:
        value = read_object(index)
    except InputError:
        return False
    return "chunks" in value and "config" in value


def _open(path: Path, options: OpenOptions) -> TokenStore:
    index_path = path / _INDEX
    index = read_object(index_path)
    config = object_field(index, "config", str(index_path))
    chunks = object_field(index, "chunks", str(index_path))
    if not isinstance(config, dict) or not isinstance(chunks, list) or not chunks:
        raise InputError(f"{index_path}: config must be an object, and chunks a list of some")
    if config.get("encryption") is not None:
        raise InputError(f"{path}: is encrypted; decrypt it first")
    if config.get("compression_level") not in (None, "chunk"):
        raise InputError(
            f"{path}: its chunks are compressed item by item; only whole chunks can be read "
            "(compression_level='chunk')"
        )
    compression = config.get("compression")
    if compression is not None and not isinstance(compression, str):
        raise InputError(f"{index_path}: compression must be a name or null")
    dtype = _item_type(config.get("data_format"), path)
    files = []
    with RowCollector(path, options) as collector:
        for number, chunk in enumerate(chunks):
            where = f"{index_path}: chunk {number}"
            files.append(inner_path(path, object_field(chunk, "filename", where), where))
            for rows in _read_chunk(files[-1], chunk, compression, dtype, where):
                collector.add(rows)
        return collector.finish(FORMAT.name, files)


FORMAT = Format(
    "litdata", "litdata directory", _recognises, _open, has_rows=True, has_columns=False
)


def _item_type(data_format: Any, path: Path) -> np.dtype[Any]:
    if not isinstance(data_format, list) or len(data_format) != 1:
        count = len(data_format) if isinstance(data_format, list) else 0
        raise InputError(f"{path}: its items have {count} leaves; one array of tokens is needed")
    name, _, code = str(data_format[0]).partition(":")
    table = _TABLES.get(name, {})
    if not (code.isascii() and code.isdigit() and len(code) < 4 and int(code) in table):
        raise InputError(
            f"{path}: its items are {str(data_format[0])[:40]!r}, not one-dimensional arrays of "
            "integers"
        )
    return np.dtype(table[int(code)])


def _read_chunk(
    file: Path, chunk: Any, compression: str | None, dtype: np.dtype[Any], where: str
) -> Iterator[Rows]:
    items = count_field(chunk, "chunk_size", where, 1 << 30)
    data = load_chunk(file, compression, count_field(chunk, "chunk_bytes", where))
    bounds = sample_bounds(file, data, items)
    dim = chunk.get("dim")
    has_size = dim is None

    def decode(item: NDArray[np.uint8]) -> NDArray[Any]:
        content = item
        if has_size:
            if item.size < 4 or int(item[:4].view("<u4")[0]) != item.size - 4:
                raise InputError(f"{file}: an item's size does not match its {item.size} bytes")
            content = item[4:]
        if content.size % dtype.itemsize:
            raise InputError(f"{file}: an item has {content.size} bytes, not whole {dtype.name}")
        return content.view(dtype)

    tokens = 0
    samples = (data[low:high] for low, high in pairwise(bounds))
    for rows in samples_to_rows(samples, decode):
        tokens += rows.ids.size
        yield rows
    if not has_size and dim != tokens:
        raise InputError(f"{file}: holds {tokens} tokens, but the index counts {str(dim)[:40]}")
