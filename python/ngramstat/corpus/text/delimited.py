"""CSV and TSV with a header: one document per row."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator
from typing import Literal

from ngramstat.corpus.text.lines import text_blocks
from ngramstat.corpus.text.options import Piece
from ngramstat.corpus.text.reading import Reading
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason

__all__ = ["read_delimited"]

# In the order of preference; the first with which the header holds the field of the text.
_DELIMITERS = {"csv": ",;\t|", "tsv": "\t"}
_ENDS = re.compile(r"\r\n|\r|\n")


def read_delimited(reading: Reading, kind: Literal["csv", "tsv"]) -> Iterator[Piece]:
    """The documents of a table whose first row names its columns.

    Quoted cells may hold delimiters, line ends and doubled quotes; their line ends stay as they
    are. CSV may also have semicolons, tabs or bars between its cells.
    """
    options = reading.options
    # The only way to allow long cells; it holds for the process and is never lowered.
    csv.field_size_limit(max(csv.field_size_limit(), options.max_record))
    lines = _Lines(reading)
    first = next(lines, "")
    rows = csv.reader(
        itertools.chain([first], lines), delimiter=_delimiter(first, kind, reading), strict=True
    )
    header = _next_row(rows, lines, reading, skip=False)
    if header is None:
        return
    column = _column(header, reading)
    while True:
        number = lines.row = rows.line_num + 1
        lines.size = 0
        row = _next_row(rows, lines, reading, skip=True)
        if row is None:
            return
        if not row:
            continue  # an empty line, or a row that was skipped
        place = _place(number, rows.line_num)
        if len(row) != len(header):
            cells = "cell" if len(row) == 1 else "cells"
            why = f"{len(row)} {cells}, but the header has {len(header)}; quote cells with commas"
            reading.refuse(place, why)
        elif reading.checked(row[column], place):
            yield Piece(row[column], True, number)


def _delimiter(header: str, kind: Literal["csv", "tsv"], reading: Reading) -> str:
    for delimiter in _DELIMITERS[kind]:
        try:
            if reading.options.text_field in next(csv.reader([header], delimiter=delimiter), []):
                return delimiter
        except csv.Error:
            continue
    return _DELIMITERS[kind][0]


def _next_row(
    rows: Iterator[list[str]], lines: _Lines, reading: Reading, *, skip: bool
) -> list[str] | None:
    """The next row; None at the end, and empty if it was refused and may be skipped.

    A quote that is open at the end of the file is never skipped: all rows after it are in its cell.
    """
    try:
        return next(rows, None)
    except csv.Error as error:
        last = rows.line_num  # type: ignore[attr-defined]
        if lines.ended:
            raise InputError(
                f"{reading.where}:{lines.row}: not a valid row: a quote opened in the row that "
                "begins here is never closed, so the rest of the file is in its cell; close the "
                "quote, or give --format text and --document line for one document per line"
            ) from error
        place = _place(lines.row, last)
        why = f"not a valid row ({reason(error)}); is a quote unbalanced?"
        if not skip:
            gap = "" if place.isdigit() else " "
            raise InputError(f"{reading.where}:{gap}{place}: {why}") from error
        reading.refuse(place, why)
        return []


def _place(first: int, last: int) -> str:
    """Names a row by its line, or by its first and last line."""
    return str(first) if last <= first else f"lines {first} to {last}"


def _column(header: list[str], reading: Reading) -> int:
    field = reading.options.text_field
    if header.count(field) == 1:
        return header.index(field)
    if field in header:
        raise InputError(
            f"{reading.where}: {header.count(field)} columns are named {field!r}; rename one"
        )
    present = ", ".join(repr(name)[:60] for name in header[:20]) or "none"
    raise InputError(
        f"{reading.where}: no column {field!r}; its columns are {present}: name one with "
        "--text-field"
    )


class _Lines:
    """Lines with their ends, as the csv module takes them.

    Attributes
    ----------
    row, size
        The first line of the row that is being read, from 1, and its characters so far.
    ended
        Whether a line after the last one was asked for.
    """

    def __init__(self, reading: Reading) -> None:
        self.row = 1
        self.size = 0
        self.ended = False
        self._reading = reading
        self._lines = self._split()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        try:
            return next(self._lines)
        except StopIteration:
            self.ended = True
            raise

    def _split(self) -> Iterator[str]:
        parts: list[str] = []
        for block in text_blocks(self._reading, translate=False):
            start = 0
            for end in _ENDS.finditer(block):
                parts.append(block[start : end.end()])
                start = end.end()
                line = "".join(parts)
                parts.clear()
                yield self._counted(line)
            if start < len(block):
                parts.append(self._counted(block[start:]))
        if parts:
            yield "".join(parts)

    def _counted(self, text: str) -> str:
        self.size += len(text)
        limit = self._reading.options.max_record
        if self.size > limit:
            raise InputError(
                f"{self._reading.where}:{self.row}: a row of more than {limit} characters, as "
                "after an unbalanced quote; --max-record allows longer ones"
            )
        return text
