""".npy files of vectors whose length is known only once all of it is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.runtime.files import reason, regular_file_size

__all__ = ["HEADER_BYTES", "NpyStream", "map_vector"]

# The header of a vector of any length fits; the format pads it with blanks (NEP 1).
HEADER_BYTES = 128


def _header(dtype: np.dtype[Any], length: int) -> bytes:
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': ({length},), }}"
    body = text.ljust(HEADER_BYTES - 11) + "\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body.encode("ascii")


class NpyStream:
    """A vector that is appended to an open file, which it fills from its start.

    Parameters
    ----------
    file
        Open for writing in binary.
    dtype
        Of the vector, stored little-endian.
    """

    def __init__(self, file: IO[bytes], dtype: np.dtype[Any]) -> None:
        self._file = file
        self._dtype = dtype.newbyteorder("<")
        self.length = 0
        file.write(_header(self._dtype, 0))

    def append(self, values: NDArray[Any]) -> None:
        """Write more values."""
        self._file.write(np.ascontiguousarray(values, dtype=self._dtype).data)
        self.length += len(values)

    def finish(self, *, sync: bool = True) -> None:
        """Complete the header; with `sync` flush the file to disk."""
        self._file.seek(0)
        self._file.write(_header(self._dtype, self.length))
        self._file.flush()
        if sync:
            os.fsync(self._file.fileno())


def map_vector(path: Path, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    """Map a vector that `NpyStream` wrote, read-only.

    Raises
    ------
    InputError
        The file is missing, has another size, or does not begin with the header of such a vector.
    """
    stored = dtype.newbyteorder("<")
    size, needed = regular_file_size(path), HEADER_BYTES + length * stored.itemsize
    if size != needed:
        raise InputError(f"{path}: has {size} bytes where {needed} are needed; make it again")
    try:
        with open(path, "rb") as file:
            header = file.read(HEADER_BYTES)
        if header != _header(stored, length):
            raise InputError(f"{path}: is damaged (its header); make it again")
        if length == 0:  # nothing can be mapped
            return np.zeros(0, stored)
        return np.memmap(path, stored, "r", HEADER_BYTES, (length,))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
