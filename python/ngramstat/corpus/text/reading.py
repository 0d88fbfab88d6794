"""What a reader is given: a decompressed stream, where it comes from, and the options."""

from __future__ import annotations

import io
from dataclasses import dataclass

from ngramstat.corpus.text.findings import TextFindings
from ngramstat.corpus.text.options import DocumentUnit, Kind, TextOptions
from ngramstat.errors import InputError

__all__ = ["UNITS", "NoTextError", "Reading", "unit_of"]

#: What one document can be in each kind of file, the usual one first.
UNITS: dict[Kind, tuple[DocumentUnit, ...]] = {
    "text": ("file", "line", "paragraph"),
    "jsonl": ("record", "line"),
    "json": ("record",),
    "csv": ("record",),
    "tsv": ("record",),
    "parquet": ("record",),
    "arrow": ("record",),
}


def unit_of(kind: Kind, document: DocumentUnit, where: str) -> DocumentUnit:
    """What makes one document of a file of some kind.

    Archives keep the choice for their members.

    Raises
    ------
    InputError
        The file has no such documents.
    """
    if kind not in UNITS or document == "auto":
        return UNITS[kind][0] if kind in UNITS else document
    if document not in UNITS[kind]:
        raise InputError(
            f"{where}: {kind} input has no {document} documents; use --document "
            f"{' or '.join(UNITS[kind])}"
        )
    return document


class NoTextError(InputError):
    """A JSON object has no field of text, and need not have one."""


@dataclass
class Reading:
    """One file, or a member of an archive, while it is read.

    Attributes
    ----------
    stream
        Its decompressed bytes.
    where, name
        The file in messages, and in the metadata of the corpus.
    options, unit
        How documents are found, and what makes one.
    findings
        Collects what is found; None in a pass whose findings another pass collects.
    compressed
        Whether positions in the stream are not positions in the file.
    may_lack_text
        Whether an object without the field of the text is metadata of something else, as in
        collections of captioned images: then `NoTextError` is raised.
    """

    stream: io.BufferedReader
    where: str
    name: str
    options: TextOptions
    unit: DocumentUnit
    findings: TextFindings | None = None
    compressed: bool = False
    may_lack_text: bool = False

    def refuse(self, record: str, why: str) -> None:
        """Raise an error about one record or, if such records are to be skipped, list it.

        `record` names the record, such as ``12`` for a line or ``row 5``.
        """
        if self.options.on_error == "stop":
            gap = "" if record.isdigit() else " "
            raise InputError(f"{self.where}:{gap}{record}: {why}")
        if self.findings is not None:
            self.findings.skip(self.name, record, why)

    def checked(self, text: str, record: str) -> bool:
        """Whether a text can be encoded as UTF-8; otherwise its record is refused."""
        if text.isascii():
            return True
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            self.refuse(
                record,
                "the text holds half of a surrogate pair "
                f"(\\u{ord(text[error.start]):04x} at character {error.start}), which cannot be "
                "encoded as UTF-8; fix the record",
            )
            return False
        return True

    def not_utf8(self, offset: int) -> str:
        """Why bytes that are not UTF-8 are refused."""
        location = " of its decompressed contents" if self.compressed else ""
        return (
            f"not UTF-8 at byte {offset}{location}; convert it, for instance with "
            "iconv -f WINDOWS-1252 -t UTF-8"
        )
