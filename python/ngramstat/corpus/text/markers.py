"""Markers within a text that stand between documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ngramstat.corpus.text.options import Piece

__all__ = ["split_on"]

# White space after a marker is held back up to here: a rest of white space is no document.
_MAX_HELD = 1 << 20


def split_on(
    pieces: Iterable[Piece],
    marker: str,
    *,
    ordinal: bool,
    found: Callable[[int], None] | None = None,
) -> Iterator[Piece]:
    """End documents also at a marker, which belongs to none of them.

    A marker alone on its line takes the end of that line along. Before a marker at the very
    beginning there is no document, nor after the last one if only white space follows; between two
    markers in a row there is an empty one.

    Parameters
    ----------
    pieces
        Of documents; markers may be cut by the pieces.
    marker
        At least one character.
    ordinal
        Whether to number the new documents from 1 on, instead of giving each the number of the
        record it comes from.
    found
        Called at the end with the number of markers.
    """
    splitter = _Splitter(marker)
    number = 0
    for text, last, record in pieces:
        for part, ended in splitter.feed(text, last):
            yield Piece(part, ended, number + 1 if ordinal else record)
            number += ended
    if found is not None:
        found(splitter.found)


class _Splitter:
    def __init__(self, marker: str) -> None:
        self._marker = marker
        self.found = 0
        self._begin()

    def _begin(self) -> None:
        self._held = ""
        self._before = "\n"  # the character before the held text
        self._seen = False  # whether this document had a marker
        self._open = False  # whether some of the current part has been given

    def feed(self, text: str, last: bool) -> Iterator[tuple[str, bool]]:
        """Parts of a document whose next piece is `text`, and whether they end a document."""
        data = self._held + text
        start = 0
        while (at := self._find(data, start, last)) >= 0:
            if self._open or self._seen or at > start:
                yield data[start:at], True
            start = self._pass_marker(data, start, at)
        if last:
            rest = data[start:]
            if self._open or not self._seen or rest.strip():
                yield rest, True
            self._begin()
            return
        cut = max(start, len(data) - len(self._marker))
        known = data[start:cut]
        if known and (self._open or not self._seen or known.strip() or len(known) > _MAX_HELD):
            yield known, False
            self._open, self._before = True, known[-1]
            self._held = data[cut:]
        else:
            self._held = data[start:]

    def _find(self, data: str, start: int, last: bool) -> int:
        """The next marker, if the character after it is known, which decides on its line end."""
        at = data.find(self._marker, start)
        return at if last or at + len(self._marker) < len(data) else -1

    def _pass_marker(self, data: str, start: int, at: int) -> int:
        """Where the text after the marker at `at` begins; `start` is where the text before did."""
        self.found += 1
        self._open, self._seen = False, True
        end = at + len(self._marker)
        before = data[at - 1] if at > start else self._before
        alone = before == "\n" and data[end : end + 1] in ("", "\n")
        self._before = self._marker[-1]
        if alone and end < len(data):
            self._before = "\n"
            end += 1
        return end
