"""Steps that readers share: reading headers, mapping tokens, and settling their type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.token_store import chunks
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason, regular_file_size

__all__ = [
    "as_unsigned",
    "check_dtype",
    "dtype_from_count",
    "map_array",
    "map_tokens",
    "read_bytes",
]


def read_bytes(path: Path, offset: int, count: int) -> bytes:
    """Exactly `count` bytes of a file from `offset` on."""
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read(count)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    if len(data) != count:
        raise InputError(f"{path}: ends after {offset + len(data)} bytes, truncated")
    return data


def map_array(path: Path, dtype: str | np.dtype[Any], offset: int, count: int) -> NDArray[Any]:
    """Map `count` items; the caller has checked the count against the file's size."""
    item_type = np.dtype(dtype)
    if offset % item_type.itemsize:
        raise InputError(
            f"{path}: tokens start at byte {offset}, not a multiple of {item_type.itemsize}; "
            "save the array again with numpy.save"
        )
    try:
        return np.memmap(path, dtype=item_type, mode="r", offset=offset, shape=(count,))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be mapped: {reason(error)}") from error


def map_tokens(path: Path, dtype: str | np.dtype[Any], offset: int = 0) -> NDArray[Any]:
    """Map everything after the first `offset` bytes of a file as little-endian tokens."""
    size = regular_file_size(path) - offset
    item_type = np.dtype(dtype).newbyteorder("<")
    if size <= 0:
        raise InputError(f"{path}: holds no tokens")
    if size % item_type.itemsize:
        raise InputError(
            f"{path}: {size} bytes of tokens are not a multiple of {item_type.itemsize}, so the "
            f"file is truncated or not {item_type.name}"
        )
    return map_array(path, item_type, offset, size // item_type.itemsize)


def as_unsigned(tokens: NDArray[Any], path: Path) -> NDArray[Any]:
    """View int16 or int32 tokens as unsigned after checking that none is negative."""
    for start, chunk in chunks(tokens):
        if int(chunk.min()) < 0:
            at = start + int(np.argmax(chunk < 0))
            raise InputError(f"{path}: token {at} is negative ({int(tokens[at])})")
    return tokens.view(f"<u{tokens.itemsize}")


def check_dtype(path: Path, recorded: np.dtype[Any], stated: np.dtype[Any] | None) -> None:
    """Refuse a dtype stated by the user that is not the one the file records."""
    if stated is not None and stated != recorded:
        raise InputError(
            f"{path}: its tokens are {recorded.name}, not {stated.name}; leave out --dtype"
        )


def dtype_from_count(
    path: Path, size: int, tokens: int, stated: np.dtype[Any] | None = None
) -> np.dtype[Any]:
    """Token type of a headerless file of `size` bytes whose index counts `tokens` tokens."""
    for dtype in (np.dtype(np.uint16), np.dtype(np.uint32)):
        if tokens > 0 and size == tokens * dtype.itemsize:
            check_dtype(path, dtype, stated)
            return dtype
    raise InputError(
        f"{path}: its index counts {tokens} tokens, which do not fill {size} bytes as uint16 "
        "or uint32; the file and the index do not belong together"
    )
