"""zstd: frames in a row, long windows, skippable frames; truncation is detected."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING, Any

from ngramstat.errors import NgramstatError
from ngramstat.runtime.numbers import count_text
from ngramstat.runtime.resources import available_memory_bytes

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["SKIPPABLE_MAGICS", "ZSTD_MAGIC", "ZstdReader"]

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
SKIPPABLE_MAGICS = frozenset(bytes([0x50 + i, 0x2A, 0x4D, 0x18]) for i in range(16))

# Compressed bytes read at a time. A zstd block can expand 4 bytes to 128 KiB, so one step allocates
# at most 128 MiB.
_STEP_BYTES = 1 << 12
# The longest distance of a repetition, as `zstd --long=31` writes it. A frame takes as much memory
# as its own window, and only what has been read of it.
_MAX_WINDOW = 1 << 31
_LONGEST_HEADER = 18
# Windows up to this size need no look at the memory.
_SMALL_WINDOW = 1 << 27


class ZstdReader(io.RawIOBase):
    """Decompresses zstd frames and, unlike the reader of zstandard, detects truncation."""

    def __init__(self, raw: IO[bytes], where: str) -> None:
        try:
            import zstandard
        except ImportError as error:
            raise NgramstatError(
                f"{where}: reading .zst needs zstandard: pip install 'ngramstat[zstd]'"
            ) from error
        self._zstandard = zstandard
        self._raw = raw
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._frame: Any = None
        self._output = memoryview(b"")
        self._input = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        # Filled in full, so that a look at the first bytes sees them all.
        target = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(target) and (self._output or self._decompress()):
            count = min(len(target) - filled, len(self._output))
            target[filled : filled + count] = self._output[:count]
            self._output = self._output[count:]
            filled += count
        return filled

    def _decompress(self) -> bool:
        """Get more output; False at the end of the data."""
        while not self._output:
            block = self._input or self._raw.read(_STEP_BYTES)
            self._input = b""
            if not block:
                if self._frame is not None:
                    raise EOFError("the last zstd frame is incomplete")
                return False
            if self._frame is None:
                block = self._begin(block)
            try:
                self._output = memoryview(self._frame.decompress(block))
            except self._zstandard.ZstdError as error:
                raise OSError(str(error)) from error
            if self._frame.eof:
                self._input = self._frame.unused_data
                self._frame = None
        return True

    def _begin(self, block: bytes) -> bytes:
        """Start a frame whose memory is there; its first bytes, at least the header."""
        while len(block) < _LONGEST_HEADER:
            more = self._raw.read(_STEP_BYTES)
            if not more:
                break
            block += more
        if block[:4] == ZSTD_MAGIC:
            try:
                window = self._zstandard.get_frame_parameters(block[:_LONGEST_HEADER]).window_size
            except self._zstandard.ZstdError as error:
                raise OSError(f"a bad zstd frame header ({error})") from error
            if window > _SMALL_WINDOW and window > available_memory_bytes():
                raise OSError(
                    f"this zstd frame needs a window of {count_text(window)} bytes, more memory "
                    "than there is"
                )
        elif block[:4] not in SKIPPABLE_MAGICS:
            raise OSError("other bytes follow the end of the zstd data")
        self._frame = self._decompressor.decompressobj()
        return block
