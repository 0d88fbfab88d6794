"""Pages of mapped files: what one pass over a large file leaves in memory."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["is_mapped", "mapping_source", "release_mapped_pages"]

# Smaller mappings may stay resident.
_MIN_BYTES = 64 << 20


def _mapping_of(array: Any) -> mmap.mmap | None:
    """The mapping whose bytes an array is a view of, or None if it is not a view of a file."""
    shares_the_file = False
    while array is not None and not isinstance(array, mmap.mmap):
        if isinstance(array, np.memmap):
            # With mode "c" (copy on write), changed pages exist in memory only.
            shares_the_file = array.mode in ("r", "r+", "w+")
        array = getattr(array, "base", None)
    return array if shares_the_file else None


def mapping_source(array: Any) -> np.memmap[Any, Any] | None:
    """The whole mapping of a file that an array is a view of; None without a file that has a name.

    Temporary files have none.
    """
    found = None
    while array is not None:
        if isinstance(array, np.memmap) and array.filename is not None:
            found = array
        array = getattr(array, "base", None)
    return found


def is_mapped(array: Any) -> bool:
    """Whether an array is a view of a mapped file that has a name."""
    return mapping_source(array) is not None


def release_mapped_pages(array: NDArray[Any]) -> None:
    """Let go of the resident pages of a large mapped file; its contents can be read again.

    Does nothing for arrays in memory. Without it a pass over a file makes the process as large as
    the file, until other processes need the memory.
    """
    mapping = _mapping_of(array)
    if mapping is None or len(mapping) < _MIN_BYTES or not hasattr(mmap, "MADV_DONTNEED"):
        return
    mapping.madvise(mmap.MADV_DONTNEED)
