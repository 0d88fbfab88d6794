"""Checksums that recognise damage, at the speed of memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core

__all__ = ["Checksum", "checksum"]

# Bytes between two looks at signals, and at the resident memory.
_STEP = 64 << 20


class Checksum:
    """XXH64 of arrays that arrive one after the other."""

    def __init__(self) -> None:
        self._state = _core.Checksum()

    def update(self, array: NDArray[Any]) -> None:
        """Add the bytes of a contiguous array."""
        data = array.reshape(-1).view(np.uint8)
        for start in range(0, data.size, _STEP):
            self._state.update(data[start : start + _STEP])
            _core.release_pages_if_needed()

    def hexdigest(self) -> str:
        """Of all bytes so far, as 16 hexadecimal digits."""
        return f"{self._state.value():016x}"


def checksum(data: bytes | NDArray[Any]) -> str:
    """XXH64 of bytes or of a contiguous array, as 16 hexadecimal digits."""
    whole = Checksum()
    whole.update(np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data)
    return whole.hexdigest()
