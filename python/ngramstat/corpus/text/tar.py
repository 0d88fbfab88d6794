"""The members of a tar file, read as a stream; headers are checked and bounded."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, NamedTuple

from ngramstat.errors import InputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["TarMember", "is_tar", "tar_members"]

_BLOCK = 512
# A member's long name, or its extended header.
_MAX_HEADER_BYTES = 1 << 20
_REGULAR = (b"0", b"\0", b"7")
_KINDS = {
    b"1": "hard links", b"2": "symbolic links", b"3": "devices", b"4": "devices", b"6": "pipes",
}  # fmt: skip


class TarMember(NamedTuple):
    """A file in an archive; `stream` is valid until the next member is asked for.

    The stream is None for links and devices, which `kind` names.
    """

    name: bytes
    stream: io.BufferedReader | None
    kind: str


def is_tar(head: bytes) -> bool:
    """Whether a file begins with the header of a tar member."""
    return len(head) >= _BLOCK and any(head[:_BLOCK]) and _checksum_is_right(head[:_BLOCK])


def tar_members(stream: IO[bytes], where: str) -> Iterator[TarMember]:
    """Files of a tar archive in order; directories are passed over.

    Raises
    ------
    InputError
        The archive is damaged or truncated, or holds sparse files.
    """
    given: dict[bytes, bytes] = {}  # what extended headers say about the next member
    while header := _next_header(stream, where):
        kind, size = header[156:157], _number(header[124:136], where)
        if kind in (b"L", b"K", b"x", b"g"):
            fields = _extended(stream, kind, size, where)
            if any(key.startswith(b"GNU.sparse") for key in fields):
                kind = b"S"
            given.update(fields if kind != b"g" else {})
        if kind == b"S":
            raise InputError(f"{where}: holds sparse files, which are not read; extract it first")
        if kind in (b"L", b"K", b"x", b"g"):
            continue
        name = given.get(b"path", _name(header))
        if b"size" in given:
            size = _decimal(given[b"size"], where)
        given = {}
        if kind in _REGULAR and not name.endswith(b"/"):
            member = _Member(stream, size, where)
            yield TarMember(name, io.BufferedReader(member, 1 << 16), "")
            member.skip_rest()
            _exactly(stream, -size % _BLOCK, where)
        elif kind in _KINDS:
            yield TarMember(name, None, _KINDS[kind])
        elif kind not in (b"5", b"0", b"\0", b"7"):
            raise InputError(f"{where}: a tar member of unknown kind {kind!r}; extract it first")


def _next_header(stream: IO[bytes], where: str) -> bytes:
    """The header of the next member, or nothing at the end."""
    header = _exactly(stream, _BLOCK, where)
    if any(header):
        if not _checksum_is_right(header):
            raise InputError(f"{where}: a damaged tar file: a header with a wrong checksum")
        return header
    second = stream.read(_BLOCK)  # what follows the end mark of two blocks is padding
    if any(second):
        raise InputError(f"{where}: a damaged tar file: something follows a block of zeros")
    return b""


def _extended(stream: IO[bytes], kind: bytes, size: int, where: str) -> dict[bytes, bytes]:
    """Read an extended header."""
    if size > _MAX_HEADER_BYTES:
        raise InputError(f"{where}: a damaged tar file: a header of {size} bytes")
    data = _exactly(stream, size, where)
    _exactly(stream, -size % _BLOCK, where)
    if kind == b"L":
        return {b"path": data.rstrip(b"\0")}
    return _pax(data, where) if kind == b"x" else {}


def _checksum_is_right(header: bytes) -> bool:
    try:
        stated = int(header[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return stated == sum(header) - sum(header[148:156]) + 8 * 32


def _number(field: bytes, where: str) -> int:
    """A size: octal digits, or binary after a set bit."""
    if field[0] == 0x80:
        size = int.from_bytes(field[1:], "big")
    else:
        try:
            size = int(field.strip(b" \0") or b"0", 8)
        except ValueError:
            size = -1
    if not 0 <= size < 1 << 62:
        raise InputError(f"{where}: a damaged tar file: a bad size {field!r}")
    return size


def _decimal(field: bytes, where: str) -> int:
    if not field.isdigit() or len(field) > 19:
        raise InputError(f"{where}: a damaged tar file: a bad size {field[:30]!r}")
    return int(field)


def _name(header: bytes) -> bytes:
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _pax(data: bytes, where: str) -> dict[bytes, bytes]:
    """Fields of an extended header: "LENGTH KEY=VALUE\\n", where LENGTH is of all of it."""
    fields = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        digits = data[at:space] if space >= 0 else b""
        length = int(digits) if digits.isdigit() else 0
        key, equals, value = data[space + 1 : at + length - 1].partition(b"=")
        if not equals or length < 5 or at + length > len(data):
            raise InputError(f"{where}: a damaged tar file: a bad extended header")
        fields[key] = value
        at += length
    return fields


def _exactly(stream: IO[bytes], size: int, where: str) -> bytes:
    data = stream.read(size) if size else b""
    if len(data) < size:
        raise InputError(f"{where}: a truncated tar file")
    return data


class _Member(io.RawIOBase):
    """So many bytes of a stream."""

    def __init__(self, stream: IO[bytes], size: int, where: str) -> None:
        self._stream = stream
        self._left = size
        self._where = where

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        data = self._read(min(len(target), self._left))
        target[: len(data)] = data
        return len(data)

    def skip_rest(self) -> None:
        """Read what nobody has read."""
        while self._left:
            self._read(min(self._left, 1 << 20))

    def _read(self, size: int) -> bytes:
        data = self._stream.read(size) if size else b""
        if len(data) < size:
            raise InputError(f"{self._where}: a truncated tar file")
        self._left -= len(data)
        return data
