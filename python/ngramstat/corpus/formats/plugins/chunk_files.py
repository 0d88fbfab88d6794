"""Steps that the readers of chunked stores share: index.json, file names, and chunks of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.compressed import decompress_block
from ngramstat.corpus.formats.mapping import map_array
from ngramstat.corpus.formats.token_rows import Rows
from ngramstat.errors import InputError
from ngramstat.runtime.files import read_json, regular_file_size

__all__ = [
    "count_field",
    "inner_path",
    "load_chunk",
    "object_field",
    "read_object",
    "sample_bounds",
    "samples_to_rows",
]

_MAX_JSON_BYTES = 256 << 20
# Offsets in the chunks are uint32.
_MAX_CHUNK_BYTES = 1 << 32
_GROUP_TOKENS = 1 << 20


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object."""
    value = read_json(path, max_bytes=_MAX_JSON_BYTES)
    if not isinstance(value, dict):
        raise InputError(f"{path}: not a JSON object")
    return value


def object_field(value: Any, name: str, where: str) -> Any:
    """A field of a JSON object, which must be there."""
    if not isinstance(value, dict) or name not in value:
        raise InputError(f"{where}: the field {name!r} is missing")
    return value[name]


def count_field(value: Any, name: str, where: str, limit: int = 1 << 60) -> int:
    """A field of a JSON object that counts something."""
    number = object_field(value, name, where)
    if type(number) is not int or not 0 <= number < limit:
        raise InputError(f"{where}: {name} must be an integer from 0 to {limit - 1}")
    return number


def inner_path(directory: Path, name: Any, where: str) -> Path:
    """A file below a directory; a name that leads out of it is refused."""
    if not isinstance(name, str) or not name or "\0" in name or "\\" in name:
        raise InputError(f"{where}: {str(name)[:80]!r} is not a file name")
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise InputError(f"{where}: {name[:80]!r} leads out of the directory")
    return directory / relative


def load_chunk(path: Path, compression: str | None, size: int) -> NDArray[np.uint8]:
    """The bytes of a chunk, mapped, or decompressed into memory.

    Raises
    ------
    InputError
        The file is damaged, or has not the `size` bytes that the index counts.
    """
    if not 0 < size < _MAX_CHUNK_BYTES:
        raise InputError(f"{path}: the index counts {size} bytes; 1 to 2^32 - 1 are possible")
    if compression is not None:
        return np.frombuffer(decompress_block(path, compression, size), dtype=np.uint8)
    found = regular_file_size(path)
    if found != size:
        raise InputError(f"{path}: {found} bytes, but the index counts {size}; truncated?")
    return map_array(path, "u1", 0, size)


def sample_bounds(path: Path, data: NDArray[np.uint8], samples: int) -> NDArray[np.int64]:
    """The (samples + 1,) byte offsets that follow the count of samples in a chunk.

    Raises
    ------
    InputError
        The chunk counts other samples, or the offsets do not rise from the end of the header to
        the end of the chunk.
    """
    head = 4 * (samples + 2)
    if data.size < head or int(data[:4].view("<u4")[0]) != samples:
        raise InputError(f"{path}: does not begin with a table of {samples} samples")
    bounds = data[4:head].view("<u4").astype(np.int64)
    if int(bounds[0]) < head or int(bounds[-1]) != data.size or np.any(np.diff(bounds) < 0):
        raise InputError(f"{path}: its sample offsets do not rise from {head} to {data.size}")
    return bounds


def samples_to_rows(
    samples: Iterator[NDArray[np.uint8]], decode: Callable[[NDArray[np.uint8]], NDArray[Any]]
) -> Iterator[Rows]:
    """Groups of decoded samples, each sample a row."""
    parts: list[NDArray[Any]] = []
    tokens = 0
    for sample in samples:
        parts.append(decode(sample))
        tokens += parts[-1].size
        if tokens >= _GROUP_TOKENS or len(parts) >= _GROUP_TOKENS:
            yield _group(parts)
            parts, tokens = [], 0
    if parts:
        yield _group(parts)


def _group(parts: list[NDArray[Any]]) -> Rows:
    return Rows(np.concatenate(parts), np.array([part.size for part in parts], dtype=np.int64))
