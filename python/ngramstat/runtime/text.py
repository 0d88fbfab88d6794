"""Text that leaves the program: every character of it can be written, whatever the encoding.

File names are bytes. Python carries those that are not UTF-8 as lone surrogates (U+DC80 to U+DCFF),
which no encoding can write. Here such a byte is written as ``\\xe9``, and a character that an
encoding lacks as ``\\u03b3``: readable, and never a reason to lose a result.
"""

from __future__ import annotations

import codecs
import os
import shlex

__all__ = ["ESCAPED", "encoded", "readable", "shell_word"]

# The name of the error handler, for `codecs` and `TextIOWrapper.reconfigure`.
ESCAPED = "ngramstat.escaped"

_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF


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
