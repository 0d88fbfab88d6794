"""Pipes as files: what can be read only once is kept in a temporary file without a name."""

from __future__ import annotations

import io
import os
import tempfile
import threading
import weakref
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.files import reason

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Spooled"]

_BLOCK_BYTES = 1 << 20
_seeking = threading.Lock()


def _read_at(descriptor: int, size: int, offset: int) -> bytes:
    """At most `size` bytes of an open file, whatever other threads read of it."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    with _seeking:  # Windows: a descriptor has one position
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)


class Spooled:
    """The contents of a pipe, which any number of readers can read.

    Parameters
    ----------
    pipe
        Read to its end.
    name
        In messages.
    report
        Called with the number of bytes read so far.

    Attributes
    ----------
    size
        In bytes.
    """

    def __init__(
        self, pipe: IO[bytes], name: str, report: Callable[[int], None] | None = None
    ) -> None:
        self.size = 0
        try:
            # Unlinked at once: it vanishes with the process.
            self._file = tempfile.TemporaryFile()  # noqa: SIM115
        except OSError as error:
            raise NgramstatError(f"{name}: no temporary file: {reason(error)}") from error
        weakref.finalize(self, self._file.close)
        while True:
            try:
                block = pipe.read(_BLOCK_BYTES)
            except (OSError, ValueError) as error:
                raise InputError(f"{name}: cannot be read: {reason(error)}") from error
            if not block:
                break
            try:
                self._file.write(block)
            except OSError as error:
                raise NgramstatError(
                    f"{name}: {self.size} bytes of it do not fit into the temporary directory "
                    f"{tempfile.gettempdir()} ({reason(error)}); set TMPDIR to a larger one"
                ) from error
            self.size += len(block)
            if report is not None:
                report(self.size)
        self._file.flush()

    def open(self) -> io.RawIOBase:
        """The contents from the beginning; closing it closes nothing else."""
        return _View(self, self._file.fileno(), self.size)


class _View(io.RawIOBase):
    """Reads an open file with a position of its own."""

    def __init__(self, owner: Spooled, descriptor: int, size: int) -> None:
        self._owner = owner  # keeps the file open
        self._descriptor = descriptor
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        data = _read_at(self._descriptor, len(target), self._at)
        target[: len(data)] = data
        self._at += len(data)
        return len(data)
