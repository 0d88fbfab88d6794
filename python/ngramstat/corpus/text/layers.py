"""Compression, recognised by its first bytes and taken off as the file is read."""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from ngramstat.corpus.text.zstd import SKIPPABLE_MAGICS, ZSTD_MAGIC, ZstdReader
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["DAMAGE", "HEAD_BYTES", "peel"]

#: Exceptions of the decompressors for damaged or truncated data.
DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)

#: Bytes at the beginning of a stream that can be looked at without reading them.
HEAD_BYTES = 1 << 16

_MAX_LAYERS = 4
_READ_BYTES = 1 << 16
_STEP_BYTES = 1 << 20
# An .xz file states how much memory its decompression takes; `xz -9` takes 65 MiB.
_XZ_MEMORY = 512 << 20

# Compression that is recognised to be refused: first bytes, name, and what decompresses it.
_REFUSED = (
    (b"\x04\x22\x4d\x18", "LZ4", "lz4 -d"),
    (b"\x1f\x9d", "compress (.Z)", "uncompress"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip", "7z x"),
    (b"Rar!\x1a\x07", "RAR", "unrar x"),
    (b"LZIP", "lzip", "lzip -d"),
    (b"\xff\x06\x00\x00sNaPpY", "Snappy", "snzip -d"),
)


def peel(stream: Any, where: str) -> tuple[io.BufferedReader[Any], tuple[str, ...]]:
    """Take all compression off a stream.

    Parameters
    ----------
    stream
        The bytes of a file, at their beginning.
    where
        Name for messages.

    Returns
    -------
    stream
        The decompressed bytes, of which `HEAD_BYTES` can be peeked at.
    layers
        The compressions taken off, outermost first, such as ``(".gz",)``.

    Raises
    ------
    InputError
        The compression is of a kind that is not read.
    NgramstatError
        A package is missing.
    """
    layers: list[str] = []
    buffered: io.BufferedReader[Any] = io.BufferedReader(stream, HEAD_BYTES)
    while True:
        head = buffered.peek(16)[:16]
        layer: str
        inner: io.RawIOBase
        if head.startswith(b"\x1f\x8b\x08"):
            # 31: a gzip header and trailer, which are checked.
            layer, inner = ".gz", _Reader(buffered, lambda: _Zlib(31), "gzip", b"\x1f\x8b")
        elif head.startswith(b"\xfd7zXZ\x00"):
            layer, inner = ".xz", _Reader(buffered, _xz, "xz", b"\xfd7zXZ\x00")
        elif head[:3] == b"BZh" and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
            layer, inner = ".bz2", _Reader(buffered, bz2.BZ2Decompressor, "bzip2", b"BZh")
        elif head[:4] == ZSTD_MAGIC or head[:4] in SKIPPABLE_MAGICS:
            layer, inner = ".zst", ZstdReader(buffered, where)
        else:
            for magic, name, command in _REFUSED:
                if head.startswith(magic):
                    raise InputError(
                        f"{where}: is compressed with {name}, which is not read; decompress it "
                        f"with {command}, or compress it as .gz, .xz, .bz2 or .zst"
                    )
            return buffered, tuple(layers)
        layers.append(layer)
        if len(layers) > _MAX_LAYERS:
            raise InputError(f"{where}: is compressed more than {_MAX_LAYERS} times over")
        buffered = io.BufferedReader(inner, HEAD_BYTES)


class _Zlib:
    """zlib's decompressor with the interface of those of `lzma` and `bz2`."""

    def __init__(self, wbits: int) -> None:
        self._inner = zlib.decompressobj(wbits)
        self._full = False  # whether there may be more output without more input

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail and not self._full

    def decompress(self, data: bytes, max_length: int) -> bytes:
        output = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self._full = len(output) == max_length
        return output


def _xz() -> Any:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


class _Reader(io.RawIOBase):
    """Decompresses streams in a row, with zero bytes between and after them.

    Truncation and other bytes after the end are errors. Memory does not depend on the data.
    """

    def __init__(self, raw: IO[bytes], new: Callable[[], Any], name: str, magic: bytes) -> None:
        self._raw = raw
        self._new = new
        self._name = name
        self._magic = magic
        self._current: Any = None
        self._input = b""
        self._any = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        # Filled in full, so that a look at the first bytes sees them all.
        target = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(target):
            output = self._next(len(target) - filled)
            if not output:
                break
            target[filled : filled + len(output)] = output
            filled += len(output)
        return filled

    def _next(self, size: int) -> bytes:
        """The next bytes, at most `size`; none at the end."""
        while True:
            if self._current is None and not self._begin():
                return b""
            current = self._current
            block = b""
            if current.needs_input:
                block = self._input or self._raw.read(_READ_BYTES)
                self._input = b""
                if not block:
                    raise EOFError(f"the {self._name} data end in the middle")
            try:
                output: bytes = current.decompress(block, min(size, _STEP_BYTES))
            except (zlib.error, lzma.LZMAError, OSError, ValueError) as error:
                text = reason(error)
                if "memory usage limit" in text.lower():
                    text = f"needs more than {_XZ_MEMORY >> 20} MiB to decompress; do it with xz -d"
                raise OSError(text) from error
            if current.eof:
                self._input = current.unused_data
                self._current = None
            if output:
                return output

    def _begin(self) -> bool:
        """Start the next stream; False at the end of the data."""
        while True:
            if not self._input:
                self._input = self._raw.read(_READ_BYTES)
            if not self._input:
                return False
            if self._any:
                self._input = self._input.lstrip(b"\0")  # padding
                if not self._input:
                    continue
            while len(self._input) < len(self._magic):
                more = self._raw.read(len(self._magic) - len(self._input))
                if not more:
                    break
                self._input += more
            if not self._input.startswith(self._magic):
                raise OSError(f"other bytes follow the end of the {self._name} data")
            self._current = self._new()
            self._any = True
            return True
