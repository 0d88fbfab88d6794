"""Sorted runs of counted n-grams on disk, and their merge."""

from __future__ import annotations

import itertools
import mmap
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat._core import CountedNgrams
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason

__all__ = ["SortedRuns"]

_MORE_SPACE = "free some disk space, name another directory, or raise --memory-limit"


class SortedRuns:
    """Sorted runs in a temporary file that has no name, so that it vanishes with the process."""

    def __init__(self, directory: str | PathLike[str] | None, key_bits: int) -> None:
        self._directory = Path(tempfile.gettempdir() if directory is None else directory)
        self._key_bits = key_bits
        self._file: IO[bytes] | None = None
        self._ends = [0]

    def __len__(self) -> int:
        return len(self._ends) - 1

    def write(self, groups: Iterable[CountedNgrams], batch: int, *, following: float = 0.0) -> None:
        """Write a run; `following` runs of about the same size are to follow."""
        try:
            if self._file is None:
                self._directory.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115
            start = end = self._ends[-1]
            encoder = _core.RunEncoder(self._key_bits)
            for group in groups:
                for first in range(0, len(group), batch):
                    data = encoder.encode(group, first, min(first + batch, len(group)))
                    self._write(data)
                    end += data.nbytes
            self._ends.append(end)
            self._require(int((end - start) * following))
        except OSError as error:
            self.close()
            raise InputError(
                f"{self._directory}: no room for a temporary file of more than {self._ends[-1]:,} "
                f"bytes ({reason(error)}); {_MORE_SPACE}"
            ) from error

    def _write(self, data: NDArray[np.uint8]) -> None:
        assert self._file is not None
        view = data.data
        while view.nbytes > 0:
            view = view[self._file.write(view) :]

    def _require(self, more: int) -> None:
        free = shutil.disk_usage(self._directory).free
        if more > free:
            self.close()
            raise InputError(
                f"{self._directory}: temporary files need about {more:,} bytes more, and "
                f"{free:,} are free; {_MORE_SPACE}"
            )

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def merged(self, fan_in: int, batch: int, min_count: int) -> Iterator[CountedNgrams]:
        """The n-grams of all runs, whose counts are added, if they add up to min_count."""
        runs = self
        try:
            while len(runs) > fan_in:
                longer = SortedRuns(self._directory, self._key_bits)
                self._lengthen(runs, longer, fan_in, batch)
                runs.close()
                runs = longer
            yield from runs._merge(0, len(runs), batch, min_count)
        finally:
            runs.close()

    @staticmethod
    def _lengthen(runs: SortedRuns, longer: SortedRuns, fan_in: int, batch: int) -> None:
        """Make every so many runs one."""
        for first in range(0, len(runs), fan_in):
            last = min(first + fan_in, len(runs))
            merged = runs._merge(first, last, batch, 1)
            longer.write(merged, batch, following=(len(runs) - last) / (last - first))

    def _merge(self, first: int, last: int, batch: int, min_count: int) -> Iterator[CountedNgrams]:
        begin, end = self._ends[first], self._ends[last]
        if begin == end:
            return
        assert self._file is not None
        mapping = mmap.mmap(self._file.fileno(), self._ends[-1], access=mmap.ACCESS_READ)
        data = np.frombuffer(mapping, np.uint8)
        bounds = self._ends[first : last + 1]
        parts = [data[a:b] for a, b in itertools.pairwise(bounds)]
        merger = _core.RunMerger(parts, self._key_bits)
        while len(merged := merger.next(batch, min_count)) > 0:
            yield merged
            if hasattr(mmap, "MADV_DONTNEED"):
                # What has been read stays in memory otherwise, as long as the system has room.
                mapping.madvise(mmap.MADV_DONTNEED)
