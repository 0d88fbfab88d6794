"""Mosaic's MDS directories: index.json and shards of samples with named columns.

A shard is a uint32 count of samples, count + 1 uint32 byte offsets, its configuration as JSON, and
the samples; it may be compressed as a whole. A sample is the uint32 sizes of its columns of
variable size, and the columns' values. Nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
from ngramstat.corpus.formats.token_rows import RowCollector, Rows, choose_column
from ngramstat.corpus.formats.token_store import Format, OpenOptions, TokenStore
from ngramstat.errors import InputError

__all__ = ["FORMAT"]

_INDEX = "index.json"
_INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
# First byte of an array whose type the column does not state.
_TYPE_CODES = {
    8: "uint8", 9: "int8", 16: "uint16", 17: "int16", 32: "uint32", 33: "int32", 64: "uint64",
    65: "int64",
}  # fmt: skip


@dataclass(frozen=True)
class _Column:
    """Where the ids of a sample are.

    Attributes
    ----------
    position
        Number of the column of ids.
    sizes
        Bytes of each column; None where each sample states them.
    decode
        Ids from the column's bytes; the text says where, for messages.
    """

    position: int
    sizes: tuple[int | None, ...]
    decode: Callable[[NDArray[np.uint8], str], NDArray[Any]]


def _recognises(path: Path, head: bytes) -> bool:
    index = path / _INDEX
    if not path.is_dir() or not index.is_file():
        return False
    try:
        shards = read_object(index).get("shards")
    except InputError:
        return False
    return isinstance(shards, list) and bool(shards) and isinstance(shards[0], dict)


def _open(path: Path, options: OpenOptions) -> TokenStore:
    index_path = path / _INDEX
    index = read_object(index_path)
    shards = object_field(index, "shards", str(index_path))
    if index.get("version") != 2 or not isinstance(shards, list) or not shards:
        raise InputError(f"{index_path}: not an index of version 2 with some shards")
    # Raw bytes do not record their type, which --dtype states; the result is as narrow as it can.
    stated = options.dtype
    collected = OpenOptions(
        vocab_size=options.vocab_size, separator=options.separator, rows=options.rows
    )
    files = []
    with RowCollector(path, collected) as collector:
        for number, shard in enumerate(shards):
            where = f"{index_path}: shard {number}"
            column = _find_column(path, shard, options.column, stated, where)
            file, compression = _shard_file(path, shard, where)
            files.append(file)
            for rows in _read_shard(file, compression, shard, column, where):
                collector.add(rows)
        return collector.finish(FORMAT.name, files)


FORMAT = Format("mds", "Mosaic MDS directory", _recognises, _open, has_rows=True)


def _shard_file(path: Path, shard: Any, where: str) -> tuple[Path, str | None]:
    """The file of a shard, and how it is compressed."""
    if object_field(shard, "format", where) != "mds" or shard.get("version") != 2:
        raise InputError(f"{where}: its format is not mds of version 2")
    raw, compressed = object_field(shard, "raw_data", where), shard.get("zip_data")
    file = inner_path(path, object_field(raw, "basename", where), where)
    if compressed is None or file.is_file():
        return file, None  # users may have decompressed a shard
    file = inner_path(path, object_field(compressed, "basename", where), where)
    return file, str(shard.get("compression"))


def _read_shard(
    file: Path, compression: str | None, shard: Any, column: _Column, where: str
) -> Iterator[Rows]:
    size = count_field(object_field(shard, "raw_data", where), "bytes", where)
    data = load_chunk(file, compression, size)
    bounds = sample_bounds(file, data, count_field(shard, "samples", where, 1 << 30))
    samples = (data[low:high] for low, high in pairwise(bounds))
    yield from samples_to_rows(samples, lambda sample: _decode_sample(sample, column, str(file)))


def _find_column(
    path: Path, shard: Any, stated: str | None, dtype: np.dtype[Any] | None, where: str
) -> _Column:
    names, encodings, sizes = (
        object_field(shard, f"column_{what}", where) for what in ("names", "encodings", "sizes")
    )
    if not (
        all(isinstance(values, list) for values in (names, encodings, sizes))
        and len(names) == len(encodings) == len(sizes)
        and all(isinstance(text, str) for text in [*names, *encodings])
        and all(size is None or (type(size) is int and 0 <= size < 1 << 32) for size in sizes)
    ):
        raise InputError(f"{where}: its column names, encodings and sizes do not fit together")
    name = choose_column(path, names, stated)
    encoding = encodings[names.index(name)]
    decode = _decoder(name, encoding, dtype, where)
    # A size of 0 means a variable one, as in the package's own reader.
    return _Column(names.index(name), tuple(size or None for size in sizes), decode)


def _decoder(
    name: str, encoding: str, dtype: np.dtype[Any] | None, where: str
) -> Callable[[NDArray[np.uint8], str], NDArray[Any]]:
    """How the bytes of a column of ids become ids."""
    kind, _, details = encoding.partition(":")
    if kind == "bytes":
        raw_type = np.dtype(np.int64 if dtype is None else dtype).newbyteorder("<")
        return _bytes_decoder(raw_type, stated=dtype is not None)
    if kind != "ndarray":
        raise InputError(
            f"{where}: the column {name!r} is {encoding[:40]!r}; bytes and ndarray can be read"
        )
    value_type, _, shape = details.partition(":")
    if value_type and value_type not in _INTEGERS:
        raise InputError(f"{where}: the column {name!r} is {encoding[:40]!r}, not integers")
    if dtype is not None and value_type and value_type != dtype.name:
        raise InputError(f"{where}: its tokens are {value_type}; leave out --dtype")
    return _array_decoder(value_type, has_shape=bool(shape))


def _decode_sample(sample: NDArray[np.uint8], column: _Column, where: str) -> NDArray[Any]:
    variable = sum(size is None for size in column.sizes)
    head = 4 * variable
    if sample.size < head:
        raise InputError(f"{where}: a sample is shorter than its list of sizes")
    stated = iter(sample[:head].view("<u4").tolist())
    sizes = [next(stated) if size is None else size for size in column.sizes]
    if head + sum(sizes) != sample.size:
        raise InputError(f"{where}: the sizes of a sample's columns do not add up to its bytes")
    start = head + sum(sizes[: column.position])
    return column.decode(sample[start : start + sizes[column.position]], where)


def _bytes_decoder(
    dtype: np.dtype[Any], *, stated: bool
) -> Callable[[NDArray[np.uint8], str], NDArray[Any]]:
    def decode(data: NDArray[np.uint8], where: str) -> NDArray[Any]:
        if data.size % dtype.itemsize:
            raise InputError(f"{where}: {data.size} bytes of tokens are not whole {dtype.name}")
        ids = _view(data, dtype)
        if not stated and ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < 1 << 32:
            raise InputError(
                f"{where}: its bytes are no int64 ids, as they are if nothing says otherwise; "
                "give --dtype uint16|uint32"
            )
        return ids

    return decode


def _array_decoder(
    value_type: str, *, has_shape: bool
) -> Callable[[NDArray[np.uint8], str], NDArray[Any]]:
    def decode(data: NDArray[np.uint8], where: str) -> NDArray[Any]:
        at, name = 0, value_type
        if not name:
            name = _TYPE_CODES.get(int(data[0]), "") if data.size else ""
            at = 1
        if not name:
            raise InputError(f"{where}: an array is not of integers")
        dims: list[int] | None = None
        if not has_shape:
            if data.size <= at:
                raise InputError(f"{where}: an array has no shape")
            count, width = int(data[at]) >> 2, 1 << (int(data[at]) % 4)
            shape = data[at + 1 : at + 1 + count * width]
            if shape.size != count * width:
                raise InputError(f"{where}: an array's shape is cut off")
            dims = _view(shape, np.dtype(f"<u{width}")).tolist()
            at += 1 + count * width
        dtype = np.dtype(name).newbyteorder("<")
        if (data.size - at) % dtype.itemsize:
            raise InputError(f"{where}: an array has no whole number of {name}")
        ids = _view(data[at:], dtype)
        if dims is not None and (len(dims) != 1 or dims[0] != ids.size):
            raise InputError(f"{where}: an array of shape {dims[:8]} has {ids.size} values")
        return ids

    return decode


def _view(data: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.frombuffer(data.tobytes(), dtype=dtype)
