"""How text inputs are read, and what readers yield."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from ngramstat.errors import InputError

__all__ = ["DocumentUnit", "Kind", "OnError", "Piece", "TextFormat", "TextOptions"]

DocumentUnit = Literal["auto", "file", "line", "paragraph", "record"]
Kind = Literal["text", "jsonl", "json", "csv", "tsv", "parquet", "arrow", "tar", "zip"]
TextFormat = Literal[
    "auto", "text", "jsonl", "json", "csv", "tsv", "parquet", "arrow", "tar", "zip"
]
OnError = Literal["stop", "skip"]

# A record is in memory several times while it is read: as bytes, as characters (up to four bytes
# each) and as the text within it.
_MAX_RECORD_BYTES = 64 << 20


@dataclass(frozen=True)
class TextOptions:
    """How documents are found in text inputs.

    Attributes
    ----------
    text_field
        Field of a record, or column of a table, that holds the text. ``doc.text`` is the field
        ``text`` in the object ``doc``, unless there is a field of that very name.
    document
        What makes one document: "file", "line" or "paragraph" (between blank lines) of plain text,
        or "record" (of JSON lines, CSV, Parquet, Arrow); "auto" means the record where there are
        records, otherwise the file.
    format
        "auto" recognises what a file holds by its first bytes; any other value insists.
    split_on
        A marker, such as ``<|endoftext|>``, that also ends documents and belongs to none of them;
        where it stands alone on a line, the end of that line belongs to it.
    on_error
        "stop" raises an error at the first record that cannot be used; "skip" leaves such records
        out and lists them.
    max_record
        Largest record, in bytes: a longer line of JSON, row of CSV or line of text that is one
        document is an error.
    """

    text_field: str = "text"
    document: DocumentUnit = "auto"
    format: TextFormat = "auto"
    split_on: str | None = None
    on_error: OnError = "stop"
    max_record: int = _MAX_RECORD_BYTES

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("document", self.document, get_args(DocumentUnit)),
            ("format", self.format, get_args(TextFormat)),
            ("on_error", self.on_error, get_args(OnError)),
        ):
            if value not in choices:
                raise InputError(f"{name}={value!r}: must be one of {', '.join(choices)}")
        if self.split_on is not None and not (isinstance(self.split_on, str) and self.split_on):
            raise InputError("--split-on: must be a marker of at least one character")
        if self.split_on is not None and "\r" in self.split_on:
            raise InputError(
                "--split-on: must not hold a carriage return; line ends are read as \\n"
            )
        if isinstance(self.max_record, bool) or not isinstance(self.max_record, int):
            raise InputError(f"max_record={self.max_record!r}: must be a number of bytes")
        if not 1 <= self.max_record <= 1 << 40:
            raise InputError(f"max_record={self.max_record}: must lie between 1 and 2^40 bytes")


class Piece(NamedTuple):
    """A piece of a document.

    Attributes
    ----------
    text
        Characters that can be encoded as UTF-8.
    last
        Whether the document ends with this piece.
    record
        Where the piece comes from: the number of its line from 1, the number of its Parquet or
        Arrow row from 0, the number of the member of an archive or of the text between two markers
        from 1, or 0 for a whole file.
    """

    text: str
    last: bool
    record: int = 0
