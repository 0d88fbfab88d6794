"""One JSON object, of which only one text is kept: time and memory are linear in the text.

`json.loads` makes objects of everything, up to thirty times the size of the text, which matters for
large records alone.
"""

from __future__ import annotations

import functools
import re
from json import JSONDecodeError
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

__all__ = ["NotKept", "Repeated", "scan_object"]

_MAX_KEYS = 1000
# The parser of the standard library refuses about as many levels, too.
_MAX_DEPTH = 1000

_WS = r"[ \t\n\r]*+"
_STRING = r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
_LITERAL = (
    r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][-+]?+[0-9]++)?+"
    r"|true|false|null|NaN|-?Infinity"
)


def _containers(value: str) -> str:
    """A pattern of arrays and objects of some values."""
    member = f"{_STRING}{_WS}:{_WS}{value}"
    return (
        rf"\[{_WS}(?:{value}{_WS}(?:,{_WS}{value}{_WS})*+)?+\]"
        rf"|\{{{_WS}(?:{member}{_WS}(?:,{_WS}{member}{_WS})*+)?+\}}"
    )


# Values of at most two levels are matched whole, deeper ones step by step.
_VALUE = rf"(?:{_STRING}|{_LITERAL})"
_VALUE = rf"(?:{_VALUE}|{_containers(_VALUE)})"
_VALUE = rf"(?:{_VALUE}|{_containers(_VALUE)})"


@functools.cache
def _pattern(name: str) -> re.Pattern[str]:
    """One of the patterns; compiled when the first large record is met."""
    return re.compile(
        {
            "space": _WS,
            "value": _VALUE,
            "elements": rf"(?:{_WS}{_VALUE}{_WS},)*+",
            "members": rf"(?:{_WS}{_STRING}{_WS}:{_WS}{_VALUE}{_WS},)*+",
            "key": rf"{_WS}{_STRING}{_WS}:",
        }[name]
    )


class Repeated(dict[str, Any]):
    """An object in which the keys `keys_repeated` occur more than once."""

    def __init__(self, found: dict[str, Any], keys_repeated: set[str]) -> None:
        super().__init__(found)
        self.keys_repeated = keys_repeated


class NotKept:
    """Stands for a value that was checked and not kept; `kind` says what it is."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


def scan_object(text: str, start: int, field: str) -> tuple[dict[str, Any], int]:
    """Read the JSON object that begins at `start`.

    Parameters
    ----------
    text, start
        Where ``{`` stands.
    field
        The field whose text is kept: a key, or keys of nested objects joined by dots.

    Returns
    -------
    found : dict
        Strings of the fields that `field` can mean; `NotKept` for other values, of which those
        beyond the first thousand keys are left out; `Repeated` if a key that matters occurs twice.
    end : int
        Behind the closing brace.

    Raises
    ------
    JSONDecodeError
        The text is not valid JSON, or ends before the object does.
    """
    found: dict[str, Any] = {}
    repeated: set[str] = set()
    at = _end_of_space(text, start + 1)
    if text.startswith("}", at):
        return found, at + 1
    while True:
        key, at = _key(text, at)
        nested = field.startswith(key + ".")
        value: Any
        if key == field and text.startswith('"', at):
            value, at = scanstring(text, at + 1, True)
        elif nested and text.startswith("{", at):
            value, at = scan_object(text, at, field[len(key) + 1 :])
        else:
            value, at = _skip(text, at)
        if key == field or nested:
            if key in found:
                repeated.add(key)
            found[key] = value
        elif len(found) < _MAX_KEYS:
            found.setdefault(key[:100], value)
        at = _end_of_space(text, at)
        if text.startswith("}", at):
            return (Repeated(found, repeated) if repeated else found), at + 1
        if not text.startswith(",", at):
            raise JSONDecodeError("Expecting ',' delimiter", text, at)
        at = _end_of_space(text, at + 1)


def _key(text: str, at: int) -> tuple[str, int]:
    """The key at `at`, and where its value begins."""
    if not text.startswith('"', at):
        raise JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
    key, at = scanstring(text, at + 1, True)
    at = _end_of_space(text, at)
    if not text.startswith(":", at):
        raise JSONDecodeError("Expecting ':' delimiter", text, at)
    return key, _end_of_space(text, at + 1)


def _skip(text: str, at: int) -> tuple[NotKept | None, int]:
    """Check the value at `at`; what it is, and where it ends."""
    scalar = _pattern("value").match(text, at)
    if scalar is not None:
        first = text[at]
        kinds = {'"': "str", "{": "dict", "[": "list", "t": "bool", "f": "bool"}
        return (None if first == "n" else NotKept(kinds.get(first, "number"))), scalar.end()
    if at >= len(text) or text[at] not in "[{":
        raise JSONDecodeError("Expecting value", text, at)
    return NotKept("dict" if text[at] == "{" else "list"), _end_of_container(text, at)


def _end_of_container(text: str, at: int) -> int:
    """Where the array or object at `at`, which is not empty, ends; nested ones are no recursion."""
    open_ones = bytearray()  # opening brackets
    while True:
        # Here a value is due that begins with a bracket and is deep, or wrong.
        opening = text[at] if at < len(text) else ""
        if opening not in ("[", "{") or not opening:
            raise JSONDecodeError("Expecting value", text, at)
        open_ones.append(ord(opening))
        if len(open_ones) > _MAX_DEPTH:
            raise JSONDecodeError("Nested too deeply", text, at)
        at += 1
        value_due = True
        while value_due or open_ones:
            if value_due:
                at = _to_value(text, at, open_ones[-1] == ord("{"))
                scalar = _pattern("value").match(text, at)
                if scalar is None:
                    break  # a container
                at = scalar.end()
                value_due = False
            at = _end_of_space(text, at)
            following = text[at] if at < len(text) else ""
            if following == ",":
                value_due = True
            elif following != ("}" if open_ones[-1] == ord("{") else "]"):
                raise JSONDecodeError("Expecting ',' delimiter", text, at)
            else:
                open_ones.pop()
            at += 1
        if not open_ones:
            return at


def _to_value(text: str, at: int, in_object: bool) -> int:
    """Past flat elements that have a comma after them, to the next value."""
    run = _pattern("members" if in_object else "elements").match(text, at)
    at = at if run is None else run.end()
    if in_object:
        key = _pattern("key").match(text, at)
        if key is None:
            at = _end_of_space(text, at)
            raise JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
        at = key.end()
    return _end_of_space(text, at)


def _end_of_space(text: str, at: int) -> int:
    space = _pattern("space").match(text, at)
    return at if space is None else space.end()
