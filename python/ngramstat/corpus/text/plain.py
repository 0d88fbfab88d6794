"""Plain text: whole files, lines or paragraphs as documents, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ngramstat.corpus.text.lines import text_blocks
from ngramstat.corpus.text.options import Piece
from ngramstat.corpus.text.reading import Reading

__all__ = ["read_plain"]

# One or more lines of white space alone, after a line.
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*+\n)++")
_LEADING_BLANK_LINES = re.compile(r"(?:[^\S\n]*+\n)++")
# White space is held back up to here: it may begin a blank line.
_MAX_HELD = 1 << 20


def read_plain(reading: Reading) -> Iterator[Piece]:
    """The documents of a plain text.

    A byte order mark at the beginning is not text, and all line ends become ``\\n``, as Python
    reads text.
    """
    blocks = text_blocks(reading, translate=True)
    if reading.findings is not None and reading.options.split_on is None:
        blocks = _looked_through(blocks, reading)
    if reading.unit == "line":
        yield from _lines(blocks)
    elif reading.unit == "paragraph":
        yield from _paragraphs(blocks)
    else:
        if reading.findings is not None and reading.options.split_on is None:
            reading.findings.whole_files += 1
        for block in blocks:
            yield Piece(block, False)
        yield Piece("", True)


def _looked_through(blocks: Iterator[str], reading: Reading) -> Iterator[str]:
    assert reading.findings is not None
    for block in blocks:
        reading.findings.count_markers(block, reading.name)
        yield block


def _lines(blocks: Iterator[str]) -> Iterator[Piece]:
    number, unfinished = 1, False
    for block in blocks:
        *lines, rest = block.split("\n")
        for line in lines:
            yield Piece(line, True, number)
            number += 1
        if lines:
            unfinished = False
        if rest:
            yield Piece(rest, False, number)
            unfinished = True
    if unfinished:
        yield Piece("", True, number)


def _paragraphs(blocks: Iterator[str]) -> Iterator[Piece]:
    held = ""
    number = first = 1  # line being read, first line of the paragraph
    inside = False
    for block in blocks:
        text = held + block
        body = text.rstrip()
        held = text[len(body) :]
        if len(held) > _MAX_HELD:
            body, held = _release(body, held)
        at = 0
        if not inside and body:
            blank = _LEADING_BLANK_LINES.match(body)
            if blank is not None:
                at = blank.end()
                number += blank.group().count("\n")
            first = number
        for gap in _BLANK_LINES.finditer(body, at):
            part = body[at : gap.start()]
            yield Piece(part, True, first)
            number += part.count("\n") + gap.group().count("\n")
            first, at, inside = number, gap.end(), False
        if at < len(body):
            yield Piece(body[at:], False, first)
            number += body.count("\n", at)
            inside = True
    if inside:
        yield Piece(held.split("\n")[0], True, first)


def _release(body: str, held: str) -> tuple[str, str]:
    """Shorten white space that is held back."""
    lines = held.split("\n")
    if len(lines) == 1:
        return body + held[:-1], held[-1]  # a long run of blanks within a line
    if len(lines) == 2:
        return body + lines[0] + "\n" + lines[1][:-1], lines[1][-1:]
    return body, lines[0] + "\n\n" + lines[-1][-1:]  # the paragraph has ended
