"""Lines of bytes and blocks of characters, with the line ends of every system."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

from ngramstat.corpus.text.reading import Reading
from ngramstat.errors import InputError

__all__ = ["BLOCK_BYTES", "Line", "byte_lines", "text_blocks"]

#: Text is decoded in blocks of this many bytes, so memory does not grow with the size of a file.
BLOCK_BYTES = 1 << 22
_LINE_BLOCK_BYTES = 1 << 20
_ENDS = re.compile(rb"\r\n|\r|\n")
_BOM = "\ufeff"


class Line(NamedTuple):
    """A line without its end, the number of the line from 1, and its first byte's offset.

    The data of a line beyond the limit are None.
    """

    data: bytes | None
    number: int
    offset: int


def byte_lines(stream: io.BufferedReader, limit: int) -> Iterator[Line]:
    r"""Lines that end in ``\n``, ``\r\n`` or ``\r``, each of at most `limit` bytes.

    A longer line is given without data as soon as it exceeds the limit, and the rest of it passed
    over, so memory is bounded by the limit.
    """
    parts: list[bytes] = []
    size = start = 0  # of the line that is being read
    number, offset = 1, 0
    after_cr = False
    while block := stream.read(_LINE_BLOCK_BYTES):
        if after_cr and block.startswith(b"\n"):
            block = block[1:]
            offset += 1
            start += 1
        after_cr = block.endswith(b"\r")
        for data, length, ended in _split(block):
            was_too_long = size > limit
            size += len(data)
            parts.append(data)
            if size > limit:
                parts.clear()
                if not was_too_long:
                    yield Line(None, number, start)
            offset += length
            if ended:
                if size <= limit:
                    yield Line(_take(parts), number, start)
                number += 1
                size, start = 0, offset
    if 0 < size <= limit:
        yield Line(_take(parts), number, start)


def _take(parts: list[bytes]) -> bytes:
    """Join the parts, and keep none of them."""
    whole = parts[0] if len(parts) == 1 else b"".join(parts)
    parts.clear()
    return whole


def _split(block: bytes) -> Iterator[tuple[bytes, int, bool]]:
    """Lines of a block, their lengths with their ends, and whether they have an end."""
    if b"\r" not in block:
        *lines, rest = block.split(b"\n")
        for line in lines:
            yield line, len(line) + 1, True
    else:
        start = 0
        for end in _ENDS.finditer(block):
            yield block[start : end.start()], end.end() - start, True
            start = end.end()
        rest = block[start:]
    if rest:
        yield rest, len(rest), False


def text_blocks(
    reading: Reading, *, translate: bool, block_bytes: int | None = None
) -> Iterator[str]:
    r"""Decode a stream in blocks, without a byte order mark at its beginning.

    Parameters
    ----------
    reading
        What to read.
    translate
        Whether ``\r\n`` and ``\r`` become ``\n``. If not, no block ends between the two.
    block_bytes
        Bytes decoded in one step.

    Raises
    ------
    InputError
        The text is not UTF-8, or holds NUL characters and its format was not insisted on.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    newlines = io.IncrementalNewlineDecoder(None, translate=translate)
    nul_allowed = reading.options.format not in ("auto", "tar", "zip")
    offset = lines = 0
    first = True
    while True:
        block = reading.stream.read(block_bytes or BLOCK_BYTES)
        undecoded = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode("utf-8")
            before = newlines.decode(before, final=True)
            line = lines + before.count("\n") + 1
            at = offset - undecoded + error.start
            raise InputError(f"{reading.where}:{line}: {reading.not_utf8(at)}") from error
        offset += len(block)
        if first and text:
            text = text.removeprefix(_BOM)
            first = False
        text = newlines.decode(text, final=not block)
        if not nul_allowed and "\0" in text:
            line = lines + text.count("\n", 0, text.index("\0")) + 1
            raise InputError(
                f"{reading.where}:{line}: holds a NUL character, which text does not; is it a "
                "binary file? --format text reads it as text all the same"
            )
        lines += text.count("\n")
        if text:
            yield text
        if not block:
            return
