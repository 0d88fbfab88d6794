"""Tar and zip archives whose members are texts, records or further archives."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from ngramstat.corpus.text.findings import printable_name
from ngramstat.corpus.text.layers import DAMAGE
from ngramstat.corpus.text.options import Piece
from ngramstat.corpus.text.reading import NoTextError, Reading
from ngramstat.corpus.text.tar import tar_members
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason

__all__ = ["ReadMember", "read_tar", "read_zip"]

# Members that accompany texts and hold none, as in collections of captioned images.
_NO_TEXT = frozenset(
    [
        "jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "svg", "ico",
        "mp3", "wav", "flac", "ogg", "opus", "m4a", "mp4", "webm", "avi", "mkv", "mov",
        "npy", "npz", "pt", "pth", "pkl", "pickle", "cls", "index", "safetensors", "ten",
    ]
)  # fmt: skip
_MAX_FIRST_ERROR = 500


# Reads one member: its stream and its name within the archive.
ReadMember = Callable[[Reading, io.BufferedReader, str], Iterator[Piece]]


def read_tar(reading: Reading, read_member: ReadMember) -> Iterator[Piece]:
    """The documents of all members, in the order of the archive."""
    members = (
        (printable_name(member.name), member.stream, member.kind)
        for member in tar_members(reading.stream, reading.where)
    )
    yield from _read_members(reading, members, read_member)


def read_zip(reading: Reading, read_member: ReadMember) -> Iterator[Piece]:
    """The documents of all members, in the order of the archive."""
    try:
        with zipfile.ZipFile(reading.stream) as archive:
            _refuse_documents(archive, reading.where)
            yield from _read_members(reading, _zip_members(archive, reading.where), read_member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error) as error:
        raise InputError(f"{reading.where}: a zip file that cannot be read: {reason(error)}") from (
            error
        )
    except (*DAMAGE, ValueError, OverflowError, IndexError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{reading.where}: a damaged zip file: {reason(error)}") from error


def _zip_members(
    archive: zipfile.ZipFile, where: str
) -> Iterator[tuple[str, io.BufferedReader | None, str]]:
    for member in archive.infolist():
        if member.filename.endswith("/"):
            continue
        if member.flag_bits & 1:
            raise InputError(f"{where}: {member.filename} is encrypted; extract it first")
        with archive.open(member) as stream:
            name = member.filename.encode("utf-8", "surrogateescape")
            raw: Any = stream
            yield printable_name(name), io.BufferedReader(raw, 1 << 16), ""


def _refuse_documents(archive: zipfile.ZipFile, where: str) -> None:
    """Refuse files of other programs that are zip archives inside."""
    names = set(archive.namelist())
    kinds = (
        ("[Content_Types].xml", "an Office document (docx, xlsx, pptx)"),
        ("META-INF/container.xml", "an e-book (EPUB)"),
        ("content.xml", "an OpenDocument file"),
    )
    for name, kind in kinds:
        if name in names:
            raise InputError(f"{where}: is {kind}; convert it to text, for instance with pandoc")
    if any(name.endswith("data.pkl") for name in names):
        raise InputError(f"{where}: is a file of PyTorch, which holds no text")
    if names and all(name.endswith(".npy") for name in names):
        raise InputError(
            f"{where}: holds NumPy arrays (.npz), not text; if they are tokens, measure the file "
            "as it is"
        )


def _read_members(reading: Reading, members: Any, read_member: ReadMember) -> Iterator[Piece]:
    number = 0
    texts = metadata = 0
    first_error = ""
    findings = reading.findings
    for name, stream, kind in members:
        what = _no_text(name, kind)
        if what:
            if findings is not None:
                findings.leave_unread(what)
            continue
        try:
            for piece in read_member(reading, stream, name):
                texts += piece.last
                yield piece._replace(record=number + 1)
                number += piece.last
        except NoTextError as error:
            # Metadata of a text beside it, as in captioned images; an error if there is no text.
            metadata += 1
            first_error = first_error or str(error)[:_MAX_FIRST_ERROR]
            if findings is not None:
                findings.leave_unread(".json members without the text field")
    if metadata and not texts:
        raise InputError(first_error)


def _no_text(name: str, kind: str) -> str:
    """What a member is, in the plural, if it is no text; otherwise empty."""
    if kind:
        return kind
    parts = name.split("/")
    if any(re.match(r"\.(?!\.?$)", part) for part in parts) or "__MACOSX" in parts:
        return "hidden members"
    suffix = parts[-1].rpartition(".")[2].lower() if "." in parts[-1] else ""
    return f".{suffix} members" if suffix in _NO_TEXT else ""
