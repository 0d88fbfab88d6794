"""Whether the files that a corpus is mapped from still hold what they held when work on it began.

Mapped pages are read again and again in the course of hours, so that a file that is changed in
place would give results of no one text. Size and time of a file are looked at often; where they
differ, or have not been seen yet, all bytes are compared by a checksum.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.runtime.files import sha256_array
from ngramstat.runtime.mapped import mapping_source

__all__ = ["ChangeWatch"]


class _FileState(NamedTuple):
    device: int
    inode: int
    size: int
    changed_ns: int


class ChangeWatch:
    """Watches the bytes of some arrays, which may be mapped from files.

    Parameters
    ----------
    name : str
        What they are, for messages.
    arrays : sequence of arrays
    recorded : str or None
        SHA-256 of the first array when it was written, where that is known.
    """

    def __init__(self, name: str, arrays: Sequence[NDArray[Any]], recorded: str | None) -> None:
        self._name, self._arrays, self._recorded = name, tuple(arrays), recorded
        self._states: list[_FileState | None] | None = None
        self._digests: list[str] = []

    @property
    def digests(self) -> list[str]:
        """SHA-256 of the bytes of every array, when they were first looked at."""
        if self._states is None:
            self.require_unchanged()
        return self._digests

    def require_unchanged(self) -> None:
        """Refuse bytes that have changed since this was first called, or since they were written.

        Raises
        ------
        InputError
            They have.
        """
        states = [_state(array) for array in self._arrays]
        if states == self._states:
            return
        for array, state in zip(self._arrays, states, strict=True):
            self._require_whole(array, state)
        digests = [sha256_array(np.asarray(array)) for array in self._arrays]
        if self._states is None:
            if self._recorded not in (None, digests[0]):
                raise InputError(
                    f"{self._name}: its tokens have changed since they were written (checksum); "
                    "write the corpus again"
                )
            self._digests = digests
        if digests != self._digests or states != [_state(array) for array in self._arrays]:
            raise self._changed("has changed")
        self._states = states

    def _require_whole(self, array: NDArray[Any], state: _FileState | None) -> None:
        """Refuse a file that was cut off, whose missing pages cannot be read."""
        source = mapping_source(array)
        if source is None or state is None or self._states is None:
            return
        before = next((s for s in self._states if s is not None and s[:2] == state[:2]), None)
        if before is not None and state.size < source.offset + source.nbytes:
            raise self._changed("was truncated")

    def _changed(self, what: str) -> InputError:
        return InputError(
            f"{self._name}: {what} since the work on it began; put it back as it was, and run the "
            "command again (finished parts of a run are kept)"
        )


def _state(array: NDArray[Any]) -> _FileState | None:
    """Of the file that an array is mapped from; None in memory, or where the file is gone.

    A file that was removed or replaced stays as it was for those who have mapped it.
    """
    source = mapping_source(array)
    if source is None:
        return None
    try:
        status = os.stat(str(source.filename))
    except OSError:
        return None
    return _FileState(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
