"""JSON: one object per line, or one array of objects (or objects in a row) of any layout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ngramstat.corpus.text.json_scan import NotKept, Repeated, scan_object
from ngramstat.corpus.text.lines import Line, byte_lines, text_blocks
from ngramstat.corpus.text.options import Piece
from ngramstat.corpus.text.reading import NoTextError, Reading
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason

__all__ = ["parse_object", "read_json", "read_json_lines", "text_of"]

# Larger records are scanned for their text instead of being made into objects.
_LARGE_CHARS = 4 << 20
# Blocks of an array, in which records are found that are smaller than the block.
_BLOCK_BYTES = 1 << 18
_MISSING = object()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    twice = {key for key, _ in pairs if key in seen or seen.add(key)}  # type: ignore[func-returns-value]
    return Repeated(found, twice)


# Numbers are of no interest; as floats, they may have any number of digits.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=float)


def read_json_lines(reading: Reading) -> Iterator[Piece]:
    """The documents of JSON lines; lines of white space alone are none."""
    for line in byte_lines(reading.stream, reading.options.max_record):
        number, document = line.number, _document(line, reading)
        del line  # as large as the document
        if document is not None:
            yield Piece(document, True, number)


def _document(line: Line, reading: Reading) -> str | None:
    """The text of a line; None if it is blank, or refused and may be skipped."""
    record = str(line.number)
    if line.data is None:
        reading.refuse(record, _too_long(reading.options.max_record))
        return None
    try:
        text = line.data.decode("utf-8")
    except UnicodeDecodeError as error:
        reading.refuse(record, reading.not_utf8(line.offset + error.start))
        return None
    # Files that were joined have a byte order mark at the beginning of each.
    text = text.removeprefix("\ufeff")
    if not text or text.isspace():
        return None
    try:
        found = parse_object(text, reading.options.text_field)
    except (ValueError, RecursionError) as error:
        why = f"not valid JSON ({reason(error)}); one object per line is needed"
        reading.refuse(record, why)
        return None
    if not isinstance(found, dict):
        reading.refuse(record, "not a JSON object; one object per line is needed")
        return None
    return text_of(found, record, reading)


def read_json(reading: Reading) -> Iterator[Piece]:
    """The documents of an array of objects, or of objects in a row, in any layout."""
    buffer = _Buffer(text_blocks(reading, translate=False, block_bytes=_BLOCK_BYTES), reading)
    array = buffer.skip_space() == "["
    if array:
        buffer.advance(1)
        if buffer.skip_space() == "]":
            buffer.advance(1)
            buffer.end()
            return
    number = 0
    while buffer.skip_space() != "":
        number += 1
        found = buffer.next_object(number)
        document = text_of(found, f"record {number}", reading)
        if document is not None:
            yield Piece(document, True, number)
        following = buffer.skip_space()
        if array:
            if following not in (",", "]"):
                raise InputError(
                    f"{reading.where}: after record {number}: the JSON array "
                    + ("ends in the middle" if not following else "has no comma")
                )
            buffer.advance(1)
            if following == "]":
                break
            if buffer.skip_space() == "":
                raise InputError(f"{reading.where}: the JSON array ends in the middle")
    buffer.end()


def parse_object(text: str, field: str) -> Any:
    """The value of a JSON text; of a large object, only what may be the field.

    Raises
    ------
    ValueError, RecursionError
        The text is not valid JSON, or nested too deeply.
    """
    if len(text) < _LARGE_CHARS:
        return _DECODER.decode(text)
    start = len(text) - len(text.lstrip(" \t\n\r"))
    if not text.startswith("{", start):
        raise ValueError("not an object")
    found, end = scan_object(text, start, field)
    if text[end:].strip(" \t\n\r"):
        raise json.JSONDecodeError("Extra data", text, end)
    return found


def text_of(found: dict[str, Any], record: str, reading: Reading) -> str | None:
    """The text of a record; None if the record is refused and may be skipped."""
    field = reading.options.text_field
    value = _look_up(found, field)
    if isinstance(value, str):
        return value if reading.checked(value, record) else None
    if value is _MISSING:
        present = ", ".join(repr(key)[:60] for key in _field_names(found)[:20]) or "none"
        why = f"no field {field!r}; its fields are {present}; name one with --text-field"
        if reading.may_lack_text:
            raise NoTextError(f"{reading.where}: {why}")
        if reading.options.format == "auto":
            why += ", or give --format text if it is prose"
        reading.refuse(record, why)
    elif isinstance(value, _Twice):
        reading.refuse(record, f"the field {field!r} occurs twice")
    else:
        reading.refuse(record, f"the field {field!r} is {_type_name(value)}, not a string")
    return None


class _Twice:
    """Stands for the value of a key that occurs twice."""


def _look_up(found: dict[str, Any], field: str) -> Any:
    """The value of the key `field` or, failing that, of nested keys joined by dots."""
    if field in found:
        return _value(found, field)
    at = field.find(".")
    while at >= 0:
        outer = found.get(field[:at])
        if isinstance(outer, dict):
            if isinstance(_value(found, field[:at]), _Twice):
                return _Twice()
            value = _look_up(outer, field[at + 1 :])
            if value is not _MISSING:
                return value
        at = field.find(".", at + 1)
    return _MISSING


def _value(found: dict[str, Any], key: str) -> Any:
    twice = isinstance(found, Repeated) and key in found.keys_repeated
    return _Twice() if twice else found[key]


def _field_names(found: dict[str, Any]) -> list[str]:
    names = []
    for key, value in found.items():
        names.append(key)
        if isinstance(value, dict):
            names += [f"{key}.{inner}" for inner, text in value.items() if isinstance(text, str)]
    return names


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, NotKept):
        return value.kind
    return "a number" if isinstance(value, float) else type(value).__name__


def _too_long(limit: int) -> str:
    return f"a line of more than {limit} bytes; --max-record allows longer ones"


class _Buffer:
    """A part of a JSON text that is long enough for one object."""

    def __init__(self, blocks: Iterator[str], reading: Reading) -> None:
        self._blocks = blocks
        self._reading = reading
        self._text = ""
        self._at = 0
        self._ended = False

    def skip_space(self) -> str:
        """Go to the next character that is not white space; it, or "" at the end."""
        while True:
            while self._at < len(self._text):
                rest = self._text[self._at : self._at + 256]
                stripped = rest.lstrip(" \t\n\r")
                self._at += len(rest) - len(stripped)
                if stripped:
                    return stripped[0]
            if not self._more():
                return ""

    def advance(self, count: int) -> None:
        """Go past some characters."""
        self._at += count

    def end(self) -> None:
        """Refuse anything but white space."""
        if self.skip_space():
            raise InputError(f"{self._reading.where}: other text follows the end of the JSON array")

    def next_object(self, number: int) -> dict[str, Any]:
        """The object that begins here."""
        where, limit = self._reading.where, self._reading.options.max_record
        if self._text[self._at] != "{":
            raise InputError(f"{where}: record {number}: not a JSON object")
        while True:
            try:
                if len(self._text) - self._at < _LARGE_CHARS:
                    found, self._at = _DECODER.raw_decode(self._text, self._at)
                else:
                    found, self._at = scan_object(
                        self._text, self._at, self._reading.options.text_field
                    )
                return found  # type: ignore[no-any-return]
            except (ValueError, RecursionError) as error:
                size = len(self._text) - self._at
                # Twice as much each time, so the total cost stays proportional to the text.
                if size <= limit:
                    self._more(size)
                if len(self._text) - self._at == size:
                    larger = "" if self._ended else f", or larger than --max-record {limit}"
                    raise InputError(
                        f"{where}: record {number}: not valid JSON ({reason(error)}){larger}"
                    ) from error

    def _more(self, size: int = 1) -> bool:
        """Read so many characters more; False at the end of the text."""
        parts = [self._text[self._at :]]
        while size > 0:
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
                break
            parts.append(block)
            size -= len(block)
        self._text, self._at = "".join(parts), 0
        return len(parts) > 1
