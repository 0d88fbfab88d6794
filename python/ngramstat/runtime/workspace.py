"""Threads, GPUs and memory of a run: how much a step may use, and where larger arrays go.

The memory limit counts resident memory (RSS). Results never depend on it: under a small limit a
step works in smaller parts, arrays that are read in order go to temporary files, and pages of
mapped files are released when too many of them are resident
(`ngramstat._core.set_releasable_mappings`).
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ngramstat import _core
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason
from ngramstat.runtime.gpus import CPU, Gpus
from ngramstat.runtime.resources import anonymous_bytes

__all__ = [
    "Workspace",
    "exit_when_mapped_files_shrink",
    "gather",
    "release_pages",
    "release_pages_if_needed",
]

# Python loops over mapped arrays call this between their parts, as the native kernels do between
# their tasks. It costs almost nothing while no mapped array is managed.
release_pages_if_needed = _core.release_pages_if_needed

# Releases them however much is resident: before code that allocates much and calls neither.
release_pages = _core.release_pages

# For programs of their own, not for a library: from now on the process ends by a sentence where a
# mapped file was truncated, instead of without a word.
exit_when_mapped_files_shrink = _core.exit_when_mapped_files_shrink

# Upper bound of the memory kept free while a step runs, for pages of mapped files that threads read
# between two checks of the RSS, and for what the allocator holds back.
_MAX_RESERVE = 384 << 20
# Pages of the program and its libraries, about.
_PROGRAM_BYTES = 64 << 20
# What a process comes to hold beside the work of a stage: stacks and buffers of threads, code that
# is run for the first time, results of the stages before.
_LATER_BYTES = 24 << 20
# Positions looked up between two checks of the RSS.
_GATHER_BLOCK = 512
# An array larger than this fraction of the limit goes to a file.
_MAX_ARRAY_FRACTION = 1 / 8
# Memory that a step on a large corpus takes at least, and the tokens up to which a corpus is small:
# then any number of steps is soon done.
_LEAST_WORK = 32 << 20
_SMALL_CORPUS = 1 << 16
# Fraction of a step's memory budget that pages of randomly accessed mapped tokens may fill.
_MAX_PAGES_FRACTION = 1 / 3
# Written at a time.
_BLOCK_BYTES = 1 << 24


def gather(array: NDArray[Any], positions: NDArray[np.int64]) -> NDArray[Any]:
    """``array[positions]``, releasing pages on the way where `array` is mapped from a file.

    Each position may bring a whole page (and its read-ahead) into memory.
    """
    values = np.empty(len(positions), array.dtype)
    for start in range(0, len(positions), _GATHER_BLOCK):
        block = slice(start, start + _GATHER_BLOCK)
        values[block] = array[positions[block]]
        release_pages_if_needed()
    return values


class Workspace:
    """Threads, GPUs, a limit on resident memory, and temporary files.

    Parameters
    ----------
    threads : int
    memory_limit : int, optional
        Resident bytes this process may have; None: no limit.
    directory : path, optional
        Where temporary files go (they are unlinked at once and vanish with the process); by default
        the system's directory for temporary files.
    gpus : Gpus
        Devices for the kernels that have a GPU version; empty: everything runs on the CPU.
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

    @property
    def _reserve(self) -> int:
        assert self.memory_limit is not None
        return min(_MAX_RESERVE, self.memory_limit // 8)

    @property
    def usable_bytes(self) -> int:
        """The memory limit without the reserve, in bytes."""
        assert self.memory_limit is not None
        return self.memory_limit - self._reserve

    @property
    def resident_without_pages(self) -> int:
        """Resident bytes that cannot be released: all but the pages of managed arrays.

        Those are released, and freed memory is returned. What is left includes libraries that are
        loaded on their first use.
        """
        self.trim_heap()
        release_pages()
        return _core.rss_bytes()

    @property
    def expected_resident(self) -> int:
        """`resident_without_pages` of a later stage of a measurement that begins now, about."""
        return self.resident_without_pages + _LATER_BYTES

    def limit_to_hold(self, size: int) -> int:
        """Smallest memory limit whose `usable_bytes` are at least `size`."""
        return min(size * 8 // 7 + 1, size + _MAX_RESERVE)

    def expected_peak(self, most: float, least: float) -> int:
        """Peak of work that takes `most` bytes where it may, and never less than `least`."""
        return int(min(most, max(self.usable_bytes, least)))

    def require_working_memory(self, n_tokens: int) -> None:
        """Refuse to work on so many tokens where the process itself takes the memory.

        Steps would be so small, and so many, that they do not end. A corpus of up to 65,536 tokens
        is worked on all the same.

        Raises
        ------
        InputError
            With a limit that suffices.
        """
        if self.memory_limit is None or n_tokens <= _SMALL_CORPUS:
            return
        resident = self.resident_without_pages
        least = self.limit_to_hold(resident + _LEAST_WORK)
        if self.memory_limit < least:
            # A little more, as not every run of a program takes exactly the same.
            enough = -(-(least + least // 20) // (10 << 20)) * 10
            raise InputError(
                f"--memory-limit: {self.memory_limit / (1 << 20):.4g}M is too little, as this "
                f"process already takes {resident / (1 << 20):.0f}M; give at least {enough}M"
            )

    def uses_disk(self, size: int) -> bool:
        """Whether `temporary_array` puts an array of `size` bytes in a temporary file."""
        return self.memory_limit is not None and size > self.memory_limit * _MAX_ARRAY_FRACTION

    def memory_budget(self, *, token_bytes: int = 0) -> int | None:
        """Bytes that the next step may allocate on top of what is resident; None: no limit.

        `token_bytes` is the size of the mapped tokens that the step accesses at random. Part of the
        memory is left to their pages; with fewer pages resident the step is slower.
        """
        if self.memory_limit is None:
            return None
        free = self.usable_bytes - self.resident_without_pages
        free -= self.bytes_left_to_pages(free, token_bytes)
        # With a budget of one byte a step still runs, in its smallest parts.
        return max(free, 1)

    def has_room(self, size: int) -> bool:
        """Whether `size` more bytes fit beside what is in memory; a look that releases nothing."""
        if self.memory_limit is None:
            return True
        return anonymous_bytes() + _PROGRAM_BYTES + size <= self.usable_bytes

    @staticmethod
    def bytes_left_to_pages(free: int, token_bytes: int) -> int:
        """Bytes of the free memory that a step leaves to pages of mapped tokens."""
        return min(token_bytes, int(max(free, 0) * _MAX_PAGES_FRACTION))

    def trim_heap(self) -> None:
        """Return freed memory to the system.

        The allocator keeps freed memory that lies between blocks still in use, and keeps more of it
        with every step.
        """
        _core.trim_heap()

    def trim_heap_if_short(self) -> None:
        """Return freed memory to the system where more than half of the memory limit is in use.

        Below that, and without a limit, it is kept for the next step: getting it anew takes time.
        """
        if self.memory_limit is not None and anonymous_bytes() > self.usable_bytes // 2:
            self.trim_heap()

    @contextmanager
    def temporary_array(
        self, shape: int | tuple[int, ...], dtype: DTypeLike
    ) -> Iterator[NDArray[Any]]:
        """An uninitialised array to write once and read in order; a temporary file if it is large.

        Raises
        ------
        InputError
            There is not enough disk space for it.
        """
        item_type = np.dtype(dtype)
        size = int(np.prod(shape, dtype=object)) * item_type.itemsize
        if not self.uses_disk(size):
            yield np.empty(shape, dtype=item_type)
            return
        directory = self._directory if self._directory is not None else Path(tempfile.gettempdir())
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory) as file:
                _allocate(file, size)
                # The mapping keeps the file alive after it is closed.
                array: NDArray[Any] = np.memmap(file, dtype=item_type, mode="r+", shape=shape)
        except OSError as error:
            raise InputError(
                f"{directory}: no room for a temporary file of {size:,} bytes ({reason(error)}); "
                "free some disk space, or raise --memory-limit"
            ) from error
        with self.managing(array):
            yield array

    @contextmanager
    def managing(self, *arrays: NDArray[Any]) -> Iterator[None]:
        """Release pages of the mapped arrays among `arrays` whenever memory runs short.

        Arrays in memory are ignored, and without a memory limit nothing is released.
        """
        if self.memory_limit is None:
            yield
            return
        with _MANAGED_LOCK:
            handles = [
                _MANAGED.add(array.ctypes.data, array.nbytes, self.usable_bytes)
                for array in arrays
                if _is_mapped(array)
            ]
        try:
            yield
        finally:
            with _MANAGED_LOCK:
                for handle in handles:
                    _MANAGED.remove(handle)


def _allocate(file: IO[bytes], size: int) -> None:
    """Take the disk space of a file now: writing to a mapping on a full disk kills the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    # macOS and Windows: what has been written has its space.
    block = bytes(min(size, _BLOCK_BYTES))
    for first in range(0, size, _BLOCK_BYTES):
        file.write(block[: size - first])
    file.flush()


def _is_mapped(array: Any) -> bool:
    """Whether an array is a view of a mapped file that holds all of its data."""
    while array is not None:
        if isinstance(array, np.memmap):
            # With mode "c" (copy on write), changed pages exist in memory only.
            return bool(array.mode in ("r", "r+", "w+"))
        array = getattr(array, "base", None)
    return False


class _ManagedMappings:
    """Mappings whose pages may be released, those of all workspaces of this process."""

    def __init__(self) -> None:
        self._mappings: dict[int, tuple[int, int, int]] = {}
        self._last_handle = 0

    def add(self, address: int, size: int, threshold: int) -> int:
        """Register a mapping; returns the handle with which to remove it."""
        self._last_handle += 1
        self._mappings[self._last_handle] = (address, size, threshold)
        self._update_core()
        return self._last_handle

    def remove(self, handle: int) -> None:
        del self._mappings[handle]
        self._update_core()

    def _update_core(self) -> None:
        mappings = list(self._mappings.values())
        threshold = min((threshold for *_, threshold in mappings), default=0)
        _core.set_releasable_mappings([(address, size) for address, size, _ in mappings], threshold)


_MANAGED_LOCK = threading.Lock()
_MANAGED = _ManagedMappings()
