"""Text that leaves the program: every character of it can be written, whatever the encoding.

File names are bytes. Python carries those that are not UTF-8 as lone surrogates (U+DC80 to U+DCFF),
which no encoding can write. Here such a byte is written as ``\\xe9``, and a character that an
encoding lacks as ``\\u03b3``: readable, and never a reason to lose a result.
"""

from __future__ import annotations

import codecs
import os
import re
import shlex

__all__ = ["ESCAPED", "encoded", "readable", "reason", "shell_word", "without_controls"]

# The name of the error handler, for `codecs` and `TextIOWrapper.reconfigure`.
ESCAPED = "ngramstat.escaped"

_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF
# Control characters (C0, DEL, C1), and those that turn or isolate the direction of writing.
_CONTROLS = re.compile(
    r"(?!\A\r)[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_escaped, error.object[error.start : error.end])), error.end


def _escaped(character: str) -> str:
    code = ord(character)
    if _FIRST_BYTE <= code <= _LAST_BYTE:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


codecs.register_error(ESCAPED, _escape)


def encoded(text: str) -> bytes:
    """UTF-8 of a text for people, with bytes of file names that are not UTF-8 as ``\\xe9``."""
    return text.encode("utf-8", ESCAPED)


def readable(text: str) -> str:
    """The text of `encoded`."""
    return encoded(text).decode("utf-8")


def reason(error: BaseException) -> str:
    """The message of an error on one line, without the path that OSError adds."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


def without_controls(text: str) -> str:
    """Text for a terminal: control characters as ``\\u001b``, which also is JSON's escape.

    Line ends and tabs stay, and a carriage return that begins the text, as progress bars write it.
    """
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shell_word(name: str) -> str:
    """A file name as one word of a shell's command line."""
    word = shlex.quote(name)
    if readable(word) == word:
        return word
    try:
        name_bytes = os.fsencode(name)
    except UnicodeEncodeError:  # no file of this system has that name
        return shlex.quote(readable(name))
    # ANSI-C quoting can name any byte.
    plain = {byte for byte in range(32, 127)} - set(b"'\\")
    return "$'" + "".join(chr(b) if b in plain else f"\\x{b:02x}" for b in name_bytes) + "'"
