"""One-dimensional Zarr 3 arrays on disk, read from front to back.

Covers what token caches use: regular chunks, with or without the ``sharding_indexed`` codec, whose
inner chunks are little-endian integers, plain or compressed by blosc, zstd or gzip.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.mapping import map_array
from ngramstat.corpus.formats.plugins.chunk_files import object_field, read_object
from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.files import reason, regular_file_size

__all__ = ["ZarrArray", "open_zarr_array"]

_INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
_MAX_INNER_BYTES = 1 << 28
_MAX_INNER_CHUNKS = 1 << 20
_MISSING = (1 << 64) - 1


@dataclass(frozen=True)
class ZarrArray:
    """Metadata of an array.

    Attributes
    ----------
    path
        Its directory.
    dtype
        Little-endian type of the elements.
    size
        Number of elements, written or not.
    chunk
        Elements of a chunk, which is one file.
    inner
        Elements of an inner chunk of a shard; equal to `chunk` without shards.
    sharded
        Whether a chunk file is a shard with an index.
    compressor
        "blosc", "zstd", "gzip" or None.
    checksums
        Number of CRC-32C checksums (4 bytes each) behind the index of a shard.
    index_first
        Whether the index of a shard is at its start.
    fill
        Value of elements of inner chunks that are not stored.
    separator
        Between "c" and the chunk's number in the name of its file.
    """

    path: Path
    dtype: np.dtype[Any]
    size: int
    chunk: int
    inner: int
    sharded: bool
    compressor: str | None
    checksums: int
    index_first: bool
    fill: int
    separator: str

    def pieces(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Elements from `start` to `stop`, one inner chunk (or a part of it) at a time.

        Raises
        ------
        InputError
            A chunk's file is missing, damaged or truncated.
        NgramstatError
            A package that decompresses is not installed.
        """
        if not 0 <= start < stop <= self.size:
            raise InputError(f"{self.path}: has no elements {start} to {stop}")
        for number in range(start // self.chunk, (stop - 1) // self.chunk + 1):
            base = number * self.chunk
            low, high = max(start, base) - base, min(stop, base + self.chunk) - base
            for first, values in self._inner_chunks(number, low, high):
                yield values[max(low - first, 0) : high - first]

    def files(self, start: int, stop: int) -> list[Path]:
        """The files that hold the elements from `start` to `stop`."""
        numbers = range(start // self.chunk, (stop - 1) // self.chunk + 1)
        return [self._file(number) for number in numbers]

    def _file(self, number: int) -> Path:
        return self.path / f"c{self.separator}{number}"

    def _inner_chunks(self, number: int, low: int, high: int) -> Iterator[tuple[int, NDArray[Any]]]:
        file = self._file(number)
        size = regular_file_size(file)
        if size == 0:
            raise InputError(f"{file}: is empty")
        data = map_array(file, "u1", 0, size)
        if not self.sharded:
            yield 0, self._decode(data, file)
            return
        index = self._shard_index(data, file)
        for inner in range(low // self.inner, (high - 1) // self.inner + 1):
            offset, length = (int(value) for value in index[inner])
            if offset == length == _MISSING:
                yield inner * self.inner, np.full(self.inner, self.fill, dtype=self.dtype)
                continue
            if length == 0 or offset > size or length > size - offset:
                raise InputError(f"{file}: inner chunk {inner} lies outside the file; truncated?")
            yield inner * self.inner, self._decode(data[offset : offset + length], file)

    def _shard_index(self, data: NDArray[np.uint8], file: Path) -> NDArray[np.uint64]:
        """(inner chunks, 2) offsets and lengths in bytes."""
        entries = self.chunk // self.inner
        length = 16 * entries + 4 * self.checksums
        if data.size < length:
            raise InputError(f"{file}: {data.size} bytes, shorter than the index of a shard")
        raw = (data[:length] if self.index_first else data[data.size - length :]).tobytes()
        for end in range(16 * entries, length, 4):
            if int.from_bytes(raw[end : end + 4], "little") != _crc32c(raw[:end]):
                raise InputError(f"{file}: the checksum of its index is wrong; damaged")
        return np.frombuffer(raw[: 16 * entries], dtype="<u8").reshape(entries, 2)

    def _decode(self, data: NDArray[np.uint8], file: Path) -> NDArray[Any]:
        size = self.inner * self.dtype.itemsize
        raw = _DECODERS[self.compressor](data.tobytes(), size, file)
        if len(raw) != size:
            raise InputError(f"{file}: a chunk of {len(raw)} bytes instead of {size}; damaged")
        return np.frombuffer(raw, dtype=self.dtype)


def open_zarr_array(path: Path) -> ZarrArray:
    """Read the metadata of a one-dimensional array of integers.

    Raises
    ------
    InputError
        The metadata are missing or damaged, or describe something else.
    """
    where = str(path / "zarr.json")
    meta = read_object(path / "zarr.json")
    if meta.get("zarr_format") != 3 or meta.get("node_type") != "array":
        raise InputError(f"{where}: not a Zarr array of version 3")
    if meta.get("data_type") not in _INTEGERS:
        raise InputError(f"{where}: its elements are {str(meta.get('data_type'))[:40]!r}")
    dtype = np.dtype(meta["data_type"]).newbyteorder("<")
    grid = object_field(meta, "chunk_grid", where)
    chunk = _single(_configuration(grid, "regular", where).get("chunk_shape"), where)
    keys = object_field(meta, "chunk_key_encoding", where)
    separator = _configuration(keys, "default", where).get("separator", "/")
    if separator not in ("/", "."):
        raise InputError(f"{where}: unknown names of chunks")
    codecs = object_field(meta, "codecs", where)
    shard = _sharding(codecs)
    inner, checksums, index_first = chunk, 0, False
    if shard is not None:
        inner = _single(shard.get("chunk_shape"), where)
        codecs = shard.get("codecs")
        checksums = _index_checksums(shard.get("index_codecs"), where)
        index_first = shard.get("index_location", "end") == "start"
    if chunk % inner or chunk // inner > _MAX_INNER_CHUNKS:
        raise InputError(f"{where}: inner chunks of {inner} in chunks of {chunk}")
    if inner * dtype.itemsize > _MAX_INNER_BYTES:
        raise InputError(f"{where}: chunks of {inner * dtype.itemsize} bytes are too large to read")
    fill = meta.get("fill_value")
    if type(fill) is not int or not np.iinfo(dtype).min <= fill <= np.iinfo(dtype).max:
        raise InputError(f"{where}: its fill value is not an integer of its type")
    return ZarrArray(
        path, dtype, _single(meta.get("shape"), where), chunk, inner, shard is not None,
        _compressor(codecs, where), checksums, index_first, fill, separator,
    )  # fmt: skip


def _configuration(value: Any, name: str, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or value.get("name") != name:
        found = value.get("name") if isinstance(value, dict) else value
        raise InputError(f"{where}: {str(found)[:40]!r} cannot be read, only {name!r}")
    configuration = value.get("configuration", {})
    if not isinstance(configuration, dict):
        raise InputError(f"{where}: the configuration of {name!r} is not an object")
    return configuration


def _single(shape: Any, where: str) -> int:
    if not (
        isinstance(shape, list) and len(shape) == 1 and type(shape[0]) is int
        and 1 <= shape[0] <= 1 << 60
    ):  # fmt: skip
        raise InputError(f"{where}: the shape {str(shape)[:40]}; one dimension is needed")
    return shape[0]


def _sharding(codecs: Any) -> dict[str, Any] | None:
    if isinstance(codecs, list) and len(codecs) == 1 and isinstance(codecs[0], dict):
        configuration = codecs[0].get("configuration")
        if codecs[0].get("name") == "sharding_indexed" and isinstance(configuration, dict):
            return configuration
    return None


def _compressor(codecs: Any, where: str) -> str | None:
    """The one compressor behind the codec that makes bytes of the elements."""
    if not isinstance(codecs, list) or not codecs:
        raise InputError(f"{where}: lists no codecs")
    endian = _configuration(codecs[0], "bytes", where).get("endian", "little")
    names = [codec.get("name") if isinstance(codec, dict) else None for codec in codecs[1:]]
    if endian != "little" or len(names) > 1 or (names and names[0] not in _DECODERS):
        listed = ", ".join(str(name)[:40] for name in names)
        raise InputError(f"{where}: the codecs bytes ({str(endian)[:20]}), {listed} cannot be read")
    return names[0] if names else None


def _index_checksums(codecs: Any, where: str) -> int:
    names = [codec.get("name") for codec in codecs or () if isinstance(codec, dict)]
    if not isinstance(codecs, list) or names[:1] != ["bytes"] or set(names[1:]) - {"crc32c"}:
        raise InputError(f"{where}: unknown codecs of the shards' index")
    return len(names) - 1


def _plain(data: bytes, size: int, file: Path) -> bytes:
    return data


def _gunzip(data: bytes, size: int, file: Path) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(data, size + 1)
    except zlib.error as error:
        raise InputError(f"{file}: a damaged chunk: {reason(error)}") from error


def _unzstd(data: bytes, size: int, file: Path) -> bytes:
    try:
        import zstandard
    except ImportError as error:
        raise NgramstatError(
            f"{file}: reading zstd needs zstandard: pip install 'ngramstat[zstd]'"
        ) from error
    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            return bytes(reader.read(size + 1))
    except zstandard.ZstdError as error:
        raise InputError(f"{file}: a damaged chunk: {reason(error)}") from error


def _unblosc(data: bytes, size: int, file: Path) -> bytes:
    # A header of 16 bytes states the sizes of the contents, of a block, and of all that is stored.
    sizes = [int.from_bytes(data[at : at + 4], "little") for at in (4, 8, 12)]
    if len(data) < 16 or sizes[0] != size or sizes[2] != len(data):
        raise InputError(f"{file}: a damaged chunk: not {size} bytes compressed by Blosc")
    try:
        from numcodecs.blosc import decompress
    except ImportError as error:
        raise NgramstatError(
            f"{file}: reading Levanter's caches needs numcodecs: pip install 'ngramstat[levanter]'"
        ) from error
    try:
        return bytes(decompress(data))
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{file}: a damaged chunk: {reason(error)}") from error


_DECODERS = {None: _plain, "gzip": _gunzip, "zstd": _unzstd, "blosc": _unblosc}


def _crc32c_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC32C = _crc32c_table()


def _crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC32C[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
