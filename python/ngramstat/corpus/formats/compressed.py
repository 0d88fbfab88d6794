"""Compressed token stores: streams recognised by their first bytes, and whole blocks."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.files import reason, regular_file_size

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["decompress_block", "open_decompressed"]

_GZIP, _XZ, _BZIP2, _ZSTD = b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh", b"\x28\xb5\x2f\xfd"
# Compressed bytes read at a time. A zstd block can expand 4 bytes to 128 KiB.
_STEP_BYTES = 1 << 12
_BLOCK_BYTES = 1 << 20
# Exceptions of the decompressors for damaged or truncated data.
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)


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
    regular_file_size(path)
    try:
        with open(path, "rb", buffering=1 << 16) as raw:
            head = raw.read(6)
            raw.seek(0)
            stream: IO[bytes] = raw
            if head.startswith(_GZIP):
                stream = io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 20)
            elif head.startswith(_XZ):
                stream = io.BufferedReader(lzma.LZMAFile(raw), 1 << 20)  # noqa: SIM115
            elif head.startswith(_BZIP2):
                stream = io.BufferedReader(bz2.BZ2File(raw), 1 << 20)
            elif head.startswith(_ZSTD):
                stream = io.BufferedReader(_ZstdReader(raw, path), 1 << 20)
            yield stream
    except _DAMAGE as error:
        raise InputError(f"{path}: damaged or truncated: {reason(error)}") from error


def decompress_block(path: Path, kind: str, size: int) -> bytes:
    """The contents of a small compressed file, which must have exactly `size` bytes.

    Parameters
    ----------
    path
        The file.
    kind
        "zstd", "gz" or "bz2", with an optional level such as "zstd:7".
    size
        Bytes of the contents; more are never allocated.

    Raises
    ------
    InputError
        The kind is unknown, the file is damaged, or it has another size.
    NgramstatError
        It is zstd, and zstandard is not installed.
    """
    name = kind.partition(":")[0]
    if name not in ("zstd", "gz", "bz2"):
        raise InputError(f"{path}: compressed with {kind[:40]!r}; zstd, gz and bz2 can be read")
    with open_decompressed(path) as stream:
        parts = bytearray()
        # In steps: a forged size allocates nothing.
        while len(parts) <= size and (block := stream.read(_BLOCK_BYTES)):
            parts += block
    if len(parts) != size:
        raise InputError(f"{path}: its contents are not the {size} bytes that the index counts")
    return bytes(parts)


class _ZstdReader(io.RawIOBase):
    """Decompresses zstd frames and, unlike the reader of zstandard, detects truncation."""

    def __init__(self, raw: IO[bytes], path: Path) -> None:
        try:
            import zstandard
        except ImportError as error:
            raise NgramstatError(
                f"{path}: reading zstd needs zstandard: pip install 'ngramstat[zstd]'"
            ) from error
        self._raw = raw
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 31)
        self._error = zstandard.ZstdError
        self._frame: Any = None
        self._output = memoryview(b"")
        self._input = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        while not self._output:
            block = self._input or self._raw.read(_STEP_BYTES)
            self._input = b""
            if not block:
                if self._frame is not None:
                    raise EOFError("the last zstd frame is incomplete")
                return 0
            if self._frame is None:
                self._frame = self._decompressor.decompressobj()
            try:
                self._output = memoryview(self._frame.decompress(block))
            except self._error as error:
                raise OSError(str(error)) from error
            if self._frame.eof:
                self._input = self._frame.unused_data
                self._frame = None
        count = min(len(target), len(self._output))
        target[:count] = self._output[:count]
        self._output = self._output[count:]
        return count
