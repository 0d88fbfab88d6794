"""Tokens written without blanks, as words of a file."""

from __future__ import annotations

import re

__all__ = ["escaped", "unescaped"]

# Words that mean something else in ARPA files.
_RESERVED = {"<s>", "</s>", "<unk>", "<UNK>"}
_EMPTY = "\\e"
# Characters that some program takes for the end of a word, and the one that begins escapes.
_UNSAFE = re.compile(r"[\s\x00-\x1f\x7f-\xa0\\\u200b\ufeff]")
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4}))")


def escaped(token: str) -> str:
    """A token as a word: without blanks, not empty, and none that has a meaning of its own.

    Blanks, control characters and backslashes become ``\\xNN`` or ``\\uNNNN``; `unescaped` takes
    that back.
    """
    if not token:
        return _EMPTY
    if token in _RESERVED:
        return _escape(token[0]) + token[1:]
    return _UNSAFE.sub(lambda match: _escape(match.group()), token)


def unescaped(word: str) -> str:
    """The token that `escaped` wrote as this word."""
    if word == _EMPTY:
        return ""
    return _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), word)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
