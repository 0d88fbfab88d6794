"""Text inputs: plain text, JSON lines and Parquet, compressed or not, read as a stream.

Nothing is skipped or repaired. Text that is not UTF-8, a record without its text field and a
truncated file raise errors that name the file and the position.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.files import reason, regular_file_size

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["DocumentUnit", "Piece", "Source", "TextOptions", "find_sources", "read_pieces"]

DocumentUnit = Literal["auto", "line", "record", "file"]
_Kind = Literal["text", "json", "parquet"]

_COMPRESSIONS = (".gz", ".xz", ".zst")
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")

# A whole text file is read in pieces of this many bytes, so memory does not grow with its size.
_PIECE_BYTES = 1 << 22
# A record must fit in memory several times. A longer line is not a record but an error, such as a
# small compressed file that expands without end.
_MAX_RECORD_BYTES = 1 << 30
# Compressed zstd bytes read at a time. A zstd block can expand 4 bytes to 128 KiB, so one step
# allocates at most 128 MiB.
_ZSTD_STEP_BYTES = 1 << 12
_PARQUET_ROWS = 256
# Progress is reported about once per this many characters of text.
_REPORT_BYTES = 1 << 20

# Exceptions of the decompressors for damaged or truncated data.
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class TextOptions:
    """How documents are found in text inputs.

    Attributes
    ----------
    text_field
        Field of a JSON record, or column of a Parquet file, that holds the text.
    document
        What makes one document: "line", "record" (of JSON lines or Parquet) or "file" (plain text);
        "auto" means the record where there are records, otherwise the file.
    """

    text_field: str = "text"
    document: DocumentUnit = "auto"


class Piece(NamedTuple):
    """A piece of a document.

    Attributes
    ----------
    text
        Characters that can be encoded as UTF-8.
    last
        Whether the document ends with this piece.
    record
        Where the piece comes from: the number of its line from 1, the number of its Parquet row
        from 0, or 0 for a whole file.
    """

    text: str
    last: bool
    record: int = 0


@dataclass(frozen=True)
class Source:
    """One input file.

    Attributes
    ----------
    path
        The file.
    size
        Size of the file in bytes, before decompression.
    kind
        "text", "json" (JSON lines) or "parquet", from the file name.
    compression
        ".gz", ".xz", ".zst" or "".
    unit
        What makes one document: a "line", a "record" or the whole "file".
    """

    path: Path
    size: int
    kind: _Kind
    compression: str
    unit: DocumentUnit


def find_sources(
    inputs: Sequence[str | PathLike[str]], options: TextOptions = TextOptions()
) -> list[Source]:
    """Classify the inputs by name, and decide what makes one document in each.

    Parameters
    ----------
    inputs
        Files. The suffix determines the kind: ``.jsonl``, ``.ndjson``, ``.json`` or ``.parquet``,
        otherwise plain text; ``.gz``, ``.xz`` or ``.zst`` may follow.
    options
        What makes one document.

    Raises
    ------
    InputError
        There is no input, an input cannot be read or is a directory, or has no such documents.
    """
    if isinstance(inputs, str | PathLike):
        inputs = [inputs]
    if not inputs:
        raise InputError("no inputs: name at least one text, JSON lines or Parquet file")
    if options.document not in get_args(DocumentUnit):
        raise InputError(f"document {options.document!r}: must be auto, line, record or file")
    return [_classify(Path(path), options.document) for path in inputs]


def _classify(path: Path, document: DocumentUnit) -> Source:
    if path.is_dir():
        raise InputError(f"{path}: is a directory; pass the files in it")
    size = regular_file_size(path)
    name = path.name.lower()
    compression = next((suffix for suffix in _COMPRESSIONS if name.endswith(suffix)), "")
    name = name.removesuffix(compression)
    kind: _Kind = "text"
    if name.endswith(_JSON_SUFFIXES):
        kind = "json"
    elif name.endswith(".parquet"):
        kind = "parquet"
    if kind == "parquet" and compression:
        raise InputError(f"{path}: a Parquet file cannot be read compressed; decompress it first")
    allowed: dict[_Kind, tuple[DocumentUnit, ...]] = {
        "text": ("file", "line"),
        "json": ("record", "line"),
        "parquet": ("record",),
    }
    unit = allowed[kind][0] if document == "auto" else document
    if unit not in allowed[kind]:
        raise InputError(
            f"{path}: {kind} input has no {unit} documents; use --document "
            f"{' or '.join(allowed[kind])}"
        )
    return Source(path=path, size=size, kind=kind, compression=compression, unit=unit)


def read_pieces(
    source: Source,
    options: TextOptions = TextOptions(),
    *,
    report: Callable[[int], None] | None = None,
) -> Iterator[Piece]:
    """Read a source's documents in order.

    Parameters
    ----------
    source
        The input.
    options
        Where the text is.
    report
        Called from time to time with the number of bytes of the file read so far.

    Yields
    ------
    Piece
        Only documents that are whole files are split into several pieces.

    Raises
    ------
    InputError
        The file is damaged or not UTF-8, or a record has no text.
    NgramstatError
        A package that reads the format is not installed.
    """
    if source.kind == "parquet":
        yield from _read_parquet(source, options.text_field, report)
        return
    try:
        raw = open(source.path, "rb", buffering=1 << 16)  # noqa: SIM115
    except OSError as error:
        raise InputError(f"{source.path}: cannot be read: {reason(error)}") from error
    reader = _read_lines if source.unit != "file" else _read_file
    unreported = 0
    try:
        with raw, _decompressed(raw, source) as stream:
            for piece in reader(stream, source, options.text_field):
                yield piece
                unreported += len(piece.text)
                if report is not None and unreported >= _REPORT_BYTES:
                    report(raw.tell())
                    unreported = 0
    except _DAMAGE as error:
        raise InputError(f"{source.path}: damaged or truncated: {reason(error)}") from error


def _read_file(stream: IO[bytes], source: Source, text_field: str) -> Iterator[Piece]:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    offset = lines = 0
    while True:
        block = stream.read(_PIECE_BYTES)
        undecoded = len(decoder.getstate()[0])
        try:
            piece = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            line = lines + error.object.count(b"\n", 0, error.start) + 1
            raise _not_utf8(source, line, offset - undecoded + error.start) from error
        yield Piece(piece, not block)
        if not block:
            return
        offset += len(block)
        lines += piece.count("\n")


def _read_lines(stream: IO[bytes], source: Source, text_field: str) -> Iterator[Piece]:
    offset = number = 0
    while raw := stream.readline(_MAX_RECORD_BYTES):
        number += 1
        if len(raw) == _MAX_RECORD_BYTES and not raw.endswith(b"\n"):
            raise InputError(f"{source.path}:{number}: a line of more than {len(raw)} bytes")
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _not_utf8(source, number, offset + error.start) from error
        offset += len(raw)
        if source.kind == "text":
            yield Piece(line.removesuffix("\n"), True, number)
        elif line.strip():  # skips blank lines
            where = f"{source.path}:{number}"
            text = _record_text(line.removeprefix("\ufeff"), text_field, where)
            yield Piece(text, True, number)


def _record_text(line: str, text_field: str, where: str) -> str:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{where}: not valid JSON ({error}); one object per line is needed"
        ) from error
    if not isinstance(record, dict):
        raise InputError(f"{where}: not a JSON object; one object per line is needed")
    if text_field not in record:
        present = ", ".join(repr(key)[:60] for key in list(record)[:20]) or "none"
        raise InputError(
            f"{where}: no field {text_field!r}; its fields are {present}; "
            "name one with --text-field"
        )
    return _checked_text(record[text_field], text_field, where)


def _checked_text(value: Any, text_field: str, where: str) -> str:
    if not isinstance(value, str):
        type_name = "null" if value is None else type(value).__name__
        raise InputError(f"{where}: the field {text_field!r} is {type_name}, not a string")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(
                f"{where}: the text holds half of a surrogate pair "
                f"(\\u{ord(value[error.start]):04x} at character {error.start}), which cannot be "
                "encoded as UTF-8; fix the record"
            ) from error
    return value


def _not_utf8(source: Source, line: int, offset: int) -> InputError:
    location = " of its decompressed contents" if source.compression else ""
    return InputError(
        f"{source.path}:{line}: not UTF-8 at byte {offset}{location}; convert it, for instance "
        "with iconv"
    )


def _read_parquet(
    source: Source, text_field: str, report: Callable[[int], None] | None
) -> Iterator[Piece]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise NgramstatError(
            f"{source.path}: reading Parquet needs pyarrow: pip install 'ngramstat[parquet]'"
        ) from error
    path = source.path
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if names.count(text_field) != 1:
                present = ", ".join(repr(name)[:60] for name in names[:20]) or "none"
                raise InputError(
                    f"{path}: no column {text_field!r}; its columns are {present}: name one with "
                    "--text-field"
                )
            column_type = file.schema_arrow.field(text_field).type
            if pa.types.is_dictionary(column_type):
                column_type = column_type.value_type
            if not (pa.types.is_string(column_type) or pa.types.is_large_string(column_type)):
                raise InputError(
                    f"{path}: the column {text_field!r} is {column_type}, not a string"
                )
            row, rows = 0, max(1, file.metadata.num_rows)
            for batch in file.iter_batches(_PARQUET_ROWS, columns=[text_field], use_threads=False):
                for value in batch.column(0).to_pylist():
                    text = _checked_text(value, text_field, f"{path}: row {row}")
                    yield Piece(text, True, row)
                    row += 1
                if report is not None:
                    report(source.size * row // rows)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: damaged Parquet: {reason(error)}") from error


def _decompressed(raw: IO[bytes], source: Source) -> IO[bytes]:
    if source.compression == ".gz":
        return io.BufferedReader(gzip.GzipFile(fileobj=raw), 1 << 20)
    if source.compression == ".xz":
        return io.BufferedReader(lzma.LZMAFile(raw), 1 << 20)
    if source.compression == ".zst":
        return io.BufferedReader(_ZstdReader(raw, source.path), 1 << 20)
    return raw


class _ZstdReader(io.RawIOBase):
    """Decompresses zstd frames and, unlike the reader of zstandard, detects truncation."""

    def __init__(self, raw: IO[bytes], path: Path) -> None:
        try:
            import zstandard
        except ImportError as error:
            raise NgramstatError(
                f"{path}: reading .zst needs zstandard: pip install 'ngramstat[zstd]'"
            ) from error
        self._raw = raw
        self._decompressor = zstandard.ZstdDecompressor()
        self._error = zstandard.ZstdError
        self._frame: Any = None
        self._output = memoryview(b"")
        self._input = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        while not self._output:
            block = self._input or self._raw.read(_ZSTD_STEP_BYTES)
            self._input = b""
            if not block:
                if self._frame is not None:
                    raise EOFError("the last zstd frame is incomplete")
                return 0
            if self._frame is None:
                self._frame = self._decompressor.decompressobj()
            try:
                self._output = memoryview(self._frame.decompress(block))
            except self._error as error:
                raise OSError(str(error)) from error
            if self._frame.eof:
                self._input = self._frame.unused_data
                self._frame = None
        count = min(len(target), len(self._output))
        target[:count] = self._output[:count]
        self._output = self._output[count:]
        return count
