"""Text inputs: found, recognised by their first bytes, and read as streams of documents.

Nothing is skipped or repaired unasked. Text that is not UTF-8, a record without its text field, a
truncated file, or a file that holds no text raise errors that name the file and the position.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from ngramstat.corpus.text.archives import read_tar, read_zip
from ngramstat.corpus.text.delimited import read_delimited
from ngramstat.corpus.text.detect import detect
from ngramstat.corpus.text.findings import TextFindings
from ngramstat.corpus.text.inputs import InputFile, find_files
from ngramstat.corpus.text.json_records import read_json, read_json_lines
from ngramstat.corpus.text.layers import DAMAGE, HEAD_BYTES, peel
from ngramstat.corpus.text.markers import split_on
from ngramstat.corpus.text.options import (
    DocumentUnit,
    Kind,
    OnError,
    Piece,
    TextFormat,
    TextOptions,
)
from ngramstat.corpus.text.plain import read_plain
from ngramstat.corpus.text.reading import Reading, unit_of
from ngramstat.corpus.text.spool import Spooled
from ngramstat.corpus.text.tables import read_arrow, read_parquet
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason, sha256_file

__all__ = [
    "DocumentUnit",
    "OnError",
    "Piece",
    "Source",
    "TextFindings",
    "TextFormat",
    "TextOptions",
    "find_sources",
    "read_pieces",
]

# Progress is reported about once per this many characters of text.
_REPORT_CHARS = 1 << 20
# Longer pieces are cut.
_PIECE_CHARS = 1 << 22
# Archives in archives are read up to this depth.
_MAX_DEPTH = 3
_USUAL = TextOptions()
_COMPRESSION_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")


@dataclass(frozen=True)
class Source:
    """One input file.

    Attributes
    ----------
    path
        The file; for a pipe, its name.
    size
        Size of the file in bytes, before decompression.
    kind
        What it holds, decompressed.
    compression
        Suffixes of its compressions, outermost first: ".gz", ".xz", ".zst", ".bz2" or "".
    unit
        What makes one document: a "line", "paragraph", "record" or the whole "file"; for an
        archive the choice for its members, which may be "auto".
    name
        For metadata: without the directories above what the user named.
    spooled
        The contents of a pipe.
    """

    path: Path
    size: int
    kind: Kind
    compression: str
    unit: DocumentUnit
    name: str = ""
    spooled: Spooled | None = None

    def sha256(self) -> str:
        """Checksum of the file as it is, in hexadecimal."""
        if self.spooled is None:
            return sha256_file(self.path)
        digest = hashlib.sha256()
        with self.spooled.open() as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()


def find_sources(
    inputs: Sequence[str | PathLike[str]],
    options: TextOptions = _USUAL,
    findings: TextFindings | None = None,
    *,
    progress: bool = False,
) -> list[Source]:
    """Find the files that the inputs name, recognise each, and decide what makes a document.

    Parameters
    ----------
    inputs
        Files, directories, patterns, ``-``, pipes or URLs (see
        `ngramstat.corpus.text.inputs.find_files`). What a file holds is recognised by its first
        bytes, behind any compression.
    options
        How documents are found.
    findings
        Notes what was found.
    progress
        Show the progress of reading pipes and copying URLs.

    Raises
    ------
    InputError
        There is no input, an input cannot be read, is no text, or has no such documents.
    NgramstatError
        A package that reads the compression or scheme is not installed.
    """
    findings = TextFindings() if findings is None else findings
    files = find_files(inputs, findings, progress=progress)
    sources = []
    for file in files:
        try:
            sources.append(_classify(file, options, findings))
        except InputError as error:
            if file.directory is None:
                raise
            raise InputError(
                f"{error} (found in a directory; a pattern such as '{file.directory}/**/*.txt' "
                "leaves it out)"
            ) from error
    return sources


def _classify(file: InputFile, options: TextOptions, findings: TextFindings) -> Source:
    where = str(file.path)
    with _open(file.path, file.spooled) as raw:
        try:
            stream, layers = peel(raw, where)
            kind = _kind_of(stream, file.name, where, options, findings)
        except DAMAGE as error:
            raise _damaged(where, error) from error
    if kind in ("parquet", "arrow", "zip") and layers:
        raise InputError(
            f"{where}: a compressed {kind} file cannot be read, as one reads it from its end; "
            "decompress it first"
        )
    unit = unit_of(kind, options.document, where)
    return Source(file.path, file.size, kind, "".join(layers), unit, file.name, file.spooled)


def _kind_of(
    stream: io.BufferedReader,
    name: str,
    where: str,
    options: TextOptions,
    findings: TextFindings | None,
) -> Kind:
    if options.format in ("tar", "zip"):
        return options.format
    return _detected(stream, name, where, options, findings)


def _detected(
    stream: io.BufferedReader,
    name: str,
    where: str,
    options: TextOptions,
    findings: TextFindings | None,
) -> Kind:
    head = stream.peek(HEAD_BYTES)
    inner = name
    while inner.lower().endswith(_COMPRESSION_SUFFIXES):
        inner = inner.rpartition(".")[0]
    found = detect(head, inner, where, options, whole=len(head) < HEAD_BYTES)
    if found.surprise and findings is not None:
        findings.note_kind(found.surprise, name)
    return found.kind


def read_pieces(
    source: Source,
    options: TextOptions = _USUAL,
    *,
    report: Callable[[int], None] | None = None,
    findings: TextFindings | None = None,
) -> Iterator[Piece]:
    """Read a source's documents in order.

    Parameters
    ----------
    source
        The input.
    options
        How documents are found.
    report
        Called from time to time with the number of bytes of the file read so far.
    findings
        Collects what is found; to be given in one pass only.

    Yields
    ------
    Piece
        Documents of plain text, and long ones, come in several pieces.

    Raises
    ------
    InputError
        The file is damaged or not UTF-8, or a record has no text.
    NgramstatError
        A package that reads the format is not installed.
    """
    where = str(source.path)
    with _open(source.path, source.spooled) as raw:
        try:
            stream, _ = peel(raw, where)
            reading = Reading(
                stream, where, source.name or source.path.name, options, source.unit, findings,
                bool(source.compression),
            )  # fmt: skip
            pieces = _sliced(_read(reading, source.kind, 0, _fraction(report, source.size)))
            if findings is not None:
                pieces = findings.observe(pieces)
            unreported = 0
            for piece in pieces:
                yield piece
                unreported += len(piece.text)
                if report is not None and unreported >= _REPORT_CHARS:
                    if source.kind != "parquet":
                        report(raw.tell())
                    unreported = 0
        except DAMAGE as error:
            raise _damaged(where, error) from error


def _sliced(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Cut long pieces: a slice takes one byte per character unless it needs more itself."""
    for piece in pieces:
        if len(piece.text) <= _PIECE_CHARS:
            yield piece
            continue
        for start in range(0, len(piece.text), _PIECE_CHARS):
            yield Piece(piece.text[start : start + _PIECE_CHARS], False, piece.record)
        yield Piece("", piece.last, piece.record)


def _fraction(report: Callable[[int], None] | None, size: int) -> Callable[[float], None] | None:
    return None if report is None else lambda part: report(int(part * size))


def _read(
    reading: Reading, kind: Kind, depth: int, report: Callable[[float], None] | None = None
) -> Iterator[Piece]:
    """The documents of a stream of some kind, cut at markers if the options say so."""
    if kind == "tar" or kind == "zip":
        if depth == _MAX_DEPTH:
            raise InputError(f"{reading.where}: archives within archives within archives")
        read = read_tar if kind == "tar" else read_zip
        yield from read(reading, lambda *member: _read_member(*member, depth=depth + 1))
        return
    if kind == "parquet":
        pieces = read_parquet(reading, report)
    elif kind == "arrow":
        pieces = read_arrow(reading)
    elif kind == "jsonl":
        pieces = read_json_lines(reading)
    elif kind == "json":
        pieces = read_json(reading)
    elif kind == "csv" or kind == "tsv":
        pieces = read_delimited(reading, kind)
    else:
        pieces = read_plain(reading)
    marker = reading.options.split_on
    if marker is None:
        yield from pieces
        return

    def count(number: int) -> None:
        if reading.findings is not None:
            reading.findings.count_splits(marker, number)

    yield from split_on(pieces, marker, ordinal=reading.unit == "file", found=count)


def _read_member(
    archive: Reading, stream: io.BufferedReader, name: str, *, depth: int
) -> Iterator[Piece]:
    """The documents of a member of an archive."""
    where = f"{archive.where}/{name}"
    try:
        inner, _ = peel(stream, where)
        kind = _detected(inner, name, where, archive.options, archive.findings)
        if kind in ("parquet", "arrow", "zip"):
            raise InputError(f"{where}: {kind} within an archive is not read; extract it first")
        reading = replace(
            archive, stream=inner, where=where, name=f"{archive.name}/{name}", compressed=True,
            unit=unit_of(kind, archive.options.document, where),
            may_lack_text=name.lower().endswith(".json"),
        )  # fmt: skip
        yield from _read(reading, kind, depth)
    except DAMAGE as error:
        raise _damaged(where, error) from error


def _open(path: Path, spooled: Spooled | None) -> io.RawIOBase:
    if spooled is not None:
        return spooled.open()
    try:
        return open(path, "rb", buffering=0)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error


def _damaged(where: str, error: Exception) -> InputError:
    return InputError(f"{where}: damaged or truncated: {reason(error)}")
