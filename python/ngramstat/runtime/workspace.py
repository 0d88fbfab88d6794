"""Threads, GPUs and memory of a run: what a step may still take, and where the rest goes.

The limit is one of resident memory. Results never depend on it: steps are cut smaller, arrays that
are read in order go to temporary files, and pages of mapped files are let go of when there are too
many (`ngramstat._core.set_releasable_mappings`).
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ngramstat import _core
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason
from ngramstat.runtime.gpus import CPU, Gpus
from ngramstat.runtime.resources import anonymous_bytes

__all__ = ["Workspace", "release_pages_if_needed", "take"]

# For loops over mapped arrays in Python, what kernels do between their tasks: next to free.
release_pages_if_needed = _core.release_pages_if_needed

# Kept free of a step's own memory, at most: mapped text that workers read between two looks at
# what is resident, and what the allocator holds back.
_RESERVE = 384 << 20
# Positions looked up between two looks at what is resident.
_TAKEN = 512
# An array of more than this share of the limit goes to a file.
_LARGEST_SHARE = 1 / 8
# Of a step's room, what mapped text that is read in no order may fill.
_TEXT_SHARE = 1 / 3


def take(array: NDArray[Any], positions: NDArray[np.int64]) -> NDArray[Any]:
    """array[positions], of an array that may be mapped: a position each brings in many pages."""
    found = np.empty(len(positions), array.dtype)
    for start in range(0, len(positions), _TAKEN):
        part = slice(start, start + _TAKEN)
        found[part] = array[positions[part]]
        release_pages_if_needed()
    return found


class Workspace:
    """Threads, GPUs, a limit of resident memory, and temporary files.

    Parameters
    ----------
    threads : int
    memory_limit : int, optional
        Resident bytes this process may have; None: no limit.
    directory : path, optional
        Where temporary files go (they have no name, and vanish with the process); by default where
        the system puts them.
    gpus : Gpus
        Devices that count what they have kernels for; none: the CPU does.
    """

    def __init__(
        self,
        threads: int = 1,
        memory_limit: int | None = None,
        directory: str | os.PathLike[str] | None = None,
        gpus: Gpus = CPU,
    ) -> None:
        self.threads = threads
        self.gpus = gpus
        self.memory_limit = memory_limit
        self._directory = None if directory is None else Path(directory)
        # Pages of the program and its libraries, which stay.
        self._program = max(_core.rss_bytes() - anonymous_bytes(), 0)

    @property
    def _reserve(self) -> int:
        assert self.memory_limit is not None
        return min(_RESERVE, self.memory_limit // 8)

    @property
    def usable(self) -> int:
        """Bytes that may be resident, without the reserve."""
        assert self.memory_limit is not None
        return self.memory_limit - self._reserve

    @property
    def resident_now(self) -> int:
        """Resident bytes without pages of text, which can go."""
        return anonymous_bytes() + self._program

    def limit_for(self, size: int) -> int:
        """The least limit under which so many bytes may be resident."""
        return min(size * 8 // 7 + 1, size + _RESERVE)

    def goes_to_disk(self, size: int) -> bool:
        """Whether `array` makes a temporary file of so many bytes."""
        return self.memory_limit is not None and size > self.memory_limit * _LARGEST_SHARE

    def room(self, *, text_bytes: int = 0) -> int | None:
        """Bytes that the next step may add to what this process holds now; None: any number.

        `text_bytes` is the size of the mapped text that the step reads in no order, which needs
        room too; less of it makes the step slower.
        """
        if self.memory_limit is None:
            return None
        self.trim_heap()
        left = self.usable - self.resident_now
        left -= min(text_bytes, int(max(left, 0) * _TEXT_SHARE))
        # A step told of no room at all still takes its smallest parts.
        return max(left, 1)

    def trim_heap(self) -> None:
        """Gives freed memory back to the system, where a limit counts it.

        The allocator keeps what lies between pieces that are still in use, more of it in every
        round of work.
        """
        if self.memory_limit is not None:
            _core.trim_heap()

    @contextmanager
    def array(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> Iterator[NDArray[Any]]:
        """An array to write once and read in order: of memory, or of a temporary file if large.

        Raises
        ------
        InputError
            The disk has no room for it.
        """
        kind = np.dtype(dtype)
        size = int(np.prod(shape, dtype=object)) * kind.itemsize
        if not self.goes_to_disk(size):
            yield np.empty(shape, dtype=kind)
            return
        where = self._directory if self._directory is not None else Path(tempfile.gettempdir())
        try:
            where.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=where) as file:
                # Room is taken now: a full disk could only kill the process later.
                os.posix_fallocate(file.fileno(), 0, size)
                # The mapping keeps the file.
                array: NDArray[Any] = np.memmap(file, dtype=kind, mode="r+", shape=shape)
        except OSError as error:
            raise InputError(
                f"{where}: no room for a temporary file of {size:,} bytes ({reason(error)}); free "
                "some, or raise --memory-limit"
            ) from error
        with self.watching(array):
            yield array

    @contextmanager
    def watching(self, *arrays: NDArray[Any]) -> Iterator[None]:
        """Lets pages of arrays that are mapped from files go where memory runs short."""
        if self.memory_limit is None:
            yield
            return
        threshold = self.usable
        with _WATCH:
            mine = [
                _WATCHED.add(array.ctypes.data, array.nbytes, threshold)
                for array in arrays
                if _is_mapped(array)
            ]
        try:
            yield
        finally:
            with _WATCH:
                for number in mine:
                    _WATCHED.remove(number)


def _is_mapped(array: Any) -> bool:
    """Whether an array is a view of a mapped file that holds all of its data."""
    while array is not None:
        if isinstance(array, np.memmap):
            # Pages of mode "c" that were written to are in no file.
            return bool(array.mode in ("r", "r+", "w+"))
        array = getattr(array, "base", None)
    return False


class _Watched:
    """The mappings that may be let go of, of all workspaces of this process."""

    def __init__(self) -> None:
        self._mappings: dict[int, tuple[int, int, int]] = {}
        self._next = 0

    def add(self, address: int, size: int, threshold: int) -> int:
        self._next += 1
        self._mappings[self._next] = (address, size, threshold)
        self._tell()
        return self._next

    def remove(self, number: int) -> None:
        del self._mappings[number]
        self._tell()

    def _tell(self) -> None:
        mappings = list(self._mappings.values())
        least = min((threshold for *_, threshold in mappings), default=0)
        _core.set_releasable_mappings([(address, size) for address, size, _ in mappings], least)


_WATCH = threading.Lock()
_WATCHED = _Watched()
