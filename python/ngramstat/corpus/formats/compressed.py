"""Compressed token stores: streams recognised by their first bytes, and whole blocks."""

from __future__ import annotations

import bz2
import contextlib
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ngramstat.corpus.text.layers import DAMAGE, peel
from ngramstat.corpus.text.zstd import ZstdReader
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason, regular_file_size

__all__ = ["decompress_block", "open_decompressed"]

_BLOCK_BYTES = 1 << 20


@contextlib.contextmanager
def open_decompressed(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, decompressed if it is gzip, xz, bzip2 or zstd.

    Raises
    ------
    InputError
        The file cannot be read, or, while it is read, is damaged or truncated.
    NgramstatError
        It is zstd, and zstandard is not installed.
    """
    with _open(path) as raw:
        yield peel(raw, str(path))[0]


def decompress_block(path: Path, kind: str, size: int) -> bytes:
    """The contents of a small compressed file, which must have exactly `size` bytes.

    Parameters
    ----------
    path
        The file.
    kind
        "zstd", "gz" or "bz2", with an optional level such as "zstd:7".
    size
        Bytes of the contents; not more than these and one step are ever held.

    Raises
    ------
    InputError
        The kind is unknown, the file is damaged, or it has another size.
    NgramstatError
        It is zstd, and zstandard is not installed.
    """
    parts = bytearray()
    with _open(path) as raw:
        stream: Any
        name = kind.partition(":")[0]
        if name == "zstd":
            stream = ZstdReader(raw, str(path))
        elif name == "gz":
            stream = gzip.GzipFile(fileobj=raw)
        elif name == "bz2":
            stream = bz2.BZ2File(raw)
        else:
            raise InputError(f"{path}: compressed with {kind[:40]!r}; zstd, gz, bz2 can be read")
        # In steps: a forged size allocates nothing.
        while len(parts) <= size and (block := stream.read(_BLOCK_BYTES)):
            parts += block
    if len(parts) != size:
        raise InputError(f"{path}: its contents are not the {size} bytes that the index counts")
    return bytes(parts)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    regular_file_size(path)
    try:
        with open(path, "rb", buffering=0) as raw:
            yield raw
    except DAMAGE as error:
        raise InputError(f"{path}: damaged or truncated: {reason(error)}") from error
