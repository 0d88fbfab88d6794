"""The file of one shard: a header with checksums, and named arrays that are mapped.

    offset  bytes  what
    0       8      magic, ``ngramidx``
    8       4      version
    12      4      length of the description
    16      8      XXH64 of the bytes 24 .. 8191
    24             description: JSON, then zeros
    8192           arrays, each at a multiple of 4096, zeros between them

All numbers are little-endian. The description holds ``build`` and ``shard`` (which must be those
that the manifest names), ``first_token``, ``first_document``, and ``sections``: name, dtype,
offset, count and checksum (XXH64) of each array, in the order of their offsets.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError, NgramstatError
from ngramstat.kernels.checksums import Checksum, checksum
from ngramstat.runtime.files import reason, regular_file_size

__all__ = ["ALIGNMENT", "HEADER_BYTES", "VERSION", "OpenShard", "Section", "ShardWriter"]

MAGIC = b"ngramidx"
VERSION = 1
HEADER_BYTES = 8192
ALIGNMENT = 4096
# Bytes written in one call.
_WRITTEN = 64 << 20
# Between two requests to write to the disk.
_FLUSH_SECONDS = 0.5
_PREFIX = struct.Struct("<8sIIQ")
_NAME = re.compile(r"[a-z][a-z0-9_.]{0,62}")
_DTYPES = {
    name: np.dtype(name)
    for name in (
        "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32",
        "float64",
    )
}  # fmt: skip
_REMEDY = "build the index again, or copy it again from where it is whole"


@dataclass(frozen=True)
class Section:
    """Where an array lies in the file of a shard.

    Attributes
    ----------
    name, dtype : str
    offset : int
        In bytes.
    count : int
        Items.
    checksum : str
        XXH64 of its bytes, 16 hexadecimal digits.
    """

    name: str
    dtype: str
    offset: int
    count: int
    checksum: str

    @property
    def n_bytes(self) -> int:
        """Size of the array."""
        return self.count * _DTYPES[self.dtype].itemsize

    @property
    def end(self) -> int:
        """Where the array ends, in bytes."""
        return self.offset + self.n_bytes


class ShardWriter:
    """Writes the file of a shard, array by array; the header, and with it validity, comes last.

    Parameters
    ----------
    path : Path
        A file that does not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sections: list[Section] = []
        self._file: IO[bytes] = open(path, "xb", buffering=0)  # noqa: SIM115
        self._file.write(b"\0" * HEADER_BYTES)
        self._offset = HEADER_BYTES
        self._flusher: threading.Thread | None = None
        self._finished = threading.Event()
        self._open: tuple[str, np.dtype[Any], int, Checksum] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_flushing()
        self._file.close()

    def begin(self, name: str, dtype: np.dtype[Any]) -> int:
        """Begin an array; returns its offset in the file."""
        self._end()
        if not _NAME.fullmatch(name) or dtype.name not in _DTYPES:
            raise ValueError(f"no array of an index: {name} of {dtype}")
        self._file.write(b"\0" * (-self._offset % ALIGNMENT))
        self._offset += -self._offset % ALIGNMENT
        self._open = (name, dtype, self._offset, Checksum())
        return self._offset

    def write(self, values: NDArray[Any]) -> None:
        """Append values to the array that was begun last."""
        assert self._open is not None
        name, dtype, _, digest = self._open
        if values.dtype != dtype or values.ndim != 1 or not values.flags.c_contiguous:
            raise ValueError(f"{name}: values of {values.dtype}, not a contiguous array of {dtype}")
        digest.update(values)
        rest = values.view(np.uint8)
        while rest.size:
            rest = rest[self._file.write(rest[:_WRITTEN].data) :]
        self._offset += values.nbytes

    def add(self, name: str, values: NDArray[Any]) -> None:
        """Write a whole array."""
        self.begin(name, values.dtype)
        self.write(values)

    def descriptor(self) -> int:
        """Of the file, for those who write the array that was begun last at its offset."""
        return self._file.fileno()

    def skip(self, count: int) -> None:
        """Go on after items of the array that others have written to the file."""
        assert self._open is not None
        _, dtype, _, digest = self._open
        if count:
            written = np.memmap(self.path, dtype, "r", offset=self._offset, shape=(count,))
            digest.update(written)
        self._offset += count * dtype.itemsize
        self._file.seek(self._offset)

    def flush_in_background(self) -> None:
        """From now on, let the system write what is there to the disk while other work goes on."""
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush, daemon=True)
            self._flusher.start()

    def _flush(self) -> None:
        while not self._finished.wait(_FLUSH_SECONDS):
            with contextlib.suppress(OSError):  # `finish` meets it again
                getattr(os, "fdatasync", os.fsync)(self._file.fileno())

    def _end_flushing(self) -> None:
        self._finished.set()
        if self._flusher is not None:
            self._flusher.join()

    def finish(self, **description: Any) -> str:
        """Write the header, and all to the disk; returns the checksum of the header."""
        self._end()
        text = json.dumps(
            {**description, "sections": [_record(section) for section in self.sections]},
            separators=(",", ":"),
        ).encode()
        if _PREFIX.size + len(text) > HEADER_BYTES:
            raise NgramstatError(f"{self.path}: has too many arrays for its header")
        body = text.ljust(HEADER_BYTES - _PREFIX.size, b"\0")
        digest = checksum(body)
        self._file.seek(0)
        self._file.write(_PREFIX.pack(MAGIC, VERSION, len(text), int(digest, 16)) + body)
        self._end_flushing()
        os.fsync(self._file.fileno())
        return digest

    def _end(self) -> None:
        if self._open is None:
            return
        name, dtype, offset, digest = self._open
        count = (self._offset - offset) // dtype.itemsize
        self.sections.append(Section(name, dtype.name, offset, count, digest.hexdigest()))
        self._open = None


def _record(section: Section) -> dict[str, Any]:
    return {
        "name": section.name,
        "dtype": section.dtype,
        "offset": section.offset,
        "count": section.count,
        "checksum": section.checksum,
    }


class OpenShard:
    """The file of a shard, opened: its header has been checked, its arrays are mapped.

    Parameters
    ----------
    path : Path
        Not trusted.

    Attributes
    ----------
    description : Mapping
        What the header holds beside the sections.
    sections : tuple of Section
    header_checksum : str
    size : int
        Bytes of the file.

    Raises
    ------
    InputError
        It is no file of a shard, of another version, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = regular_file_size(path)
        header = self._read_header()
        self.description, self.sections = self._parse(header)
        self._check_layout()
        self._bytes: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
        if self._bytes.size != self.size:
            raise self._damaged("its size changes while it is opened")

    def _read_header(self) -> bytes:
        try:
            with open(self.path, "rb") as file:
                header = file.read(HEADER_BYTES)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {reason(error)}") from error
        if header[:8] != MAGIC:
            raise InputError(
                f"{self.path}: does not begin with {MAGIC.decode()}, so it is no shard of an "
                f"index, or damaged; {_REMEDY}"
            )
        if len(header) < HEADER_BYTES:
            raise self._damaged(f"only {len(header)} bytes of the header are left")
        return header

    def _parse(self, header: bytes) -> tuple[Mapping[str, Any], tuple[Section, ...]]:
        _, version, length, recorded = _PREFIX.unpack_from(header)
        if version != VERSION:
            raise InputError(
                f"{self.path}: has version {version} of the format, and this program reads "
                f"version {VERSION}; build the index again with this program"
            )
        body = header[_PREFIX.size :]
        self.header_checksum = checksum(body)
        if int(self.header_checksum, 16) != recorded:
            raise self._damaged("the checksum of its header is wrong")
        if length > len(body) or body[length:].strip(b"\0") or body[:length].endswith(b"\0"):
            raise self._damaged("the length of its description is wrong")
        try:
            described = json.loads(body[:length])
            sections = tuple(Section(**record) for record in described.pop("sections"))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise self._damaged("its description cannot be read") from error
        return described, sections

    def _check_layout(self) -> None:
        end = HEADER_BYTES
        for section in self.sections:
            name = section.name
            if not (
                isinstance(name, str)
                and _NAME.fullmatch(name)
                and section.dtype in _DTYPES
                and isinstance(section.checksum, str)
                and all(
                    isinstance(number, int)
                    and not isinstance(number, bool)
                    and 0 <= number < 1 << 60
                    for number in (section.offset, section.count)
                )
            ):
                raise self._damaged("an array of its description is none")
            if section.offset % ALIGNMENT or not end <= section.offset < end + ALIGNMENT:
                raise self._damaged(f"its array {name} is not where the one before it ends")
            end = section.end
        if len({section.name for section in self.sections}) != len(self.sections):
            raise self._damaged("two of its arrays have the same name")
        if end != self.size:
            raise self._damaged(f"it has {self.size:,} bytes, not {end:,}")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name, read-only and mapped."""
        return {section.name: self._array(section) for section in self.sections}

    def verify(self) -> None:
        """Read all of the file, and compare the checksums.

        Raises
        ------
        InputError
            A byte has changed.
        """
        end = HEADER_BYTES
        for section in self.sections:
            if self._bytes[end : section.offset].any():
                raise self._damaged(f"bytes before its array {section.name} are not zero")
            if checksum(self._bytes[section.offset : section.end]) != section.checksum:
                raise self._damaged(f"the checksum of its array {section.name} is wrong")
            end = section.end

    def _array(self, section: Section) -> NDArray[Any]:
        values: NDArray[Any] = self._bytes[section.offset : section.end].view(
            _DTYPES[section.dtype]
        )
        return values

    def _damaged(self, why: str) -> InputError:
        return InputError(f"{self.path}: is damaged: {why}; {_REMEDY}")
