"""Documents in segments of bounded length, cut where that changes no token."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ngramstat.corpus.sources import Piece
from ngramstat.corpus.tokenizing.engines import Engine

if TYPE_CHECKING:
    from ngramstat.corpus.sources import Source

__all__ = ["Segment", "Segmenter", "place"]

# Longer documents are cut into segments of about this many characters, which are encoded in
# parallel, where a check shows that the cut does not change the tokens.
_SEGMENT_CHARS = 1 << 19
# A stretch of this many characters in which no such place is found is cut at its end all the same:
# otherwise memory and the time of one call would grow with it, some tokenizers' more than linearly.
_STRETCH_CHARS = 1 << 20
# Characters on either side of a cut that are encoded for the check, and places tried.
_WINDOW_CHARS = 512
_MAX_CUT_TRIES = 64
# All common pre-tokenizers split between a letter and a blank that is followed by a letter; many
# split before other blanks and after line ends, which matters for scripts without blanks.
_CUTS = (
    re.compile(r"(?<=[^\W\d_])(?=[ \n][^\W\d_])"),
    re.compile(r"(?<=\S)(?=[ \n]\S)|(?<=\n)(?=\S)"),
)
# Normalizers that change a character by its neighbours at most.
_LOCAL_NORMALIZERS = {
    "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "BertNormalizer", "Strip", "Prepend",
    "ByteLevel", "Precompiled", "Nmt",
}  # fmt: skip


# A token that joins a letter and a blank, as SentencePiece models spell it.
_JOINS_WORDS = re.compile(r"[^\W\d_][ \u2581]")


class Segment(NamedTuple):
    """A part of a document that is encoded on its own.

    Attributes
    ----------
    text
        The characters.
    last
        Whether the document ends with it.
    source, record, start
        Where it comes from: the number of the input, the record (see `Piece`), and the characters
        of the document before it.
    """

    text: str
    last: bool
    source: int
    record: int
    start: int


def place(source: Source, record: int, character: int | None = None) -> str:
    """A place in the inputs, for messages."""
    where = str(source.path)
    if source.unit != "file":
        where += f": row {record}" if source.kind == "parquet" else f":{record}"
    return where if character is None else f"{where}: character {character}"


class Segmenter:
    """Cuts long documents.

    Parameters
    ----------
    engine
        Encodes the surroundings of a cut for the check.
    description
        The tokenizer.json, as the tokenizers library writes it.
    unbroken
        Finds spellings that a cut must not break, or None.

    Attributes
    ----------
    forced : int
        Stretches that were cut although no place was found where that changes no token.
    first_forced : Segment or None
        What precedes the first such cut.
    """

    def __init__(
        self, engine: Engine, description: dict[str, Any], unbroken: re.Pattern[str] | None = None
    ) -> None:
        self._engine = engine
        self._local = splits_locally(description)
        self._words = not self._local and words_are_independent(description)
        self._unbroken = unbroken
        self.forced = 0
        self.first_forced: Segment | None = None

    def segments(self, pieces: Iterator[tuple[int, Piece]]) -> Iterator[Segment]:
        """The segments of documents that come as pieces, with the number of their input."""
        pending: list[str] = []
        length = start = 0
        for source, (piece, last, record) in pieces:
            if last and not pending and len(piece) <= 2 * _SEGMENT_CHARS:
                yield Segment(piece, True, source, record, start)
                start = 0
                continue
            pending.append(piece)
            length += len(piece)
            if not last and length <= 2 * _STRETCH_CHARS:
                continue
            text, done = "".join(pending), 0
            for at, end in self._parts(text, last):
                ends = last and end == len(text)
                segment = Segment(text[at:end], ends, source, record, start + at)
                if self.forced and self.first_forced is None:
                    self.first_forced = segment
                yield segment
                done = end
            pending = [text[done:]] if done < len(text) else []
            start, length = (0, 0) if last else (start + done, len(text) - done)

    def _parts(self, text: str, complete: bool) -> Iterator[tuple[int, int]]:
        """Bounds of the segments of a text.

        If more text follows, what is left after the last cut is not among them.
        """
        start = 0
        while len(text) - start > 2 * _SEGMENT_CHARS:
            limit = start + _STRETCH_CHARS
            cut = self._find_cut(text, start + _SEGMENT_CHARS, limit)
            if cut is None:
                if len(text) <= limit + _WINDOW_CHARS:
                    break
                end = self._forced_cut(text, limit)
                cut = end, end
                self.forced += 1
            yield start, cut[0]
            start = cut[1]
        if complete:
            yield start, len(text)

    def _find_cut(self, text: str, start: int, limit: int) -> tuple[int, int] | None:
        """The end of a segment and the start of the next, where that changes no token."""
        if not self._local and not self._words:
            return None
        end = min(limit, len(text) - _WINDOW_CHARS)
        for pattern in _CUTS if self._local else _CUTS[:1]:
            for tries, match in enumerate(pattern.finditer(text, start, end)):
                if tries == _MAX_CUT_TRIES:
                    break
                at = match.start()
                # Only blanks are known to part words where no regular expression does.
                if self._breaks(text, at) or (self._words and text[at] != " "):
                    continue
                if self._changes_nothing(text, at, at):
                    return at, at
                # A tokenizer that puts a blank before every text puts back one that is left out.
                if text[at] == " " and self._changes_nothing(text, at, at + 1):
                    return at, at + 1
        return None

    def _changes_nothing(self, text: str, at: int, following: int) -> bool:
        left, right = text[at - _WINDOW_CHARS : at], text[at : at + _WINDOW_CHARS]
        ids, lengths = self._engine.encode([left + right, left, right[following - at :]])
        return 2 * int(lengths[0]) == ids.size and np.array_equal(
            ids[: lengths[0]], ids[lengths[0] :]
        )

    def _forced_cut(self, text: str, limit: int) -> int:
        """The last place before `limit` that does the least harm: a line end or a blank."""
        near = text[limit - _WINDOW_CHARS : limit]
        for mark in ("\n", " "):
            at = near.rfind(mark)
            if at > 0 and not self._breaks(text, limit - _WINDOW_CHARS + at):
                return limit - _WINDOW_CHARS + at
        at = limit
        while self._breaks(text, at):
            at -= 1
        return at

    def _breaks(self, text: str, at: int) -> bool:
        """Whether a cut would break a spelling that must stay whole."""
        if self._unbroken is None:
            return False
        start = max(0, at - _WINDOW_CHARS)
        window = text[start : at + _WINDOW_CHARS]
        return any(
            match.start() < at - start < match.end() for match in self._unbroken.finditer(window)
        )


def splits_locally(description: dict[str, Any]) -> bool:
    """Whether nearby text alone decides on the tokens at a blank.

    That is so if the text is split by a regular expression or at white space, after a normalizer
    that looks at nearby characters only. Without a pre-tokenizer, as in SentencePiece models, a
    merge may depend on distant text, and a local check does not prove a cut.
    """
    if not _normalizes_locally(description):
        return False
    return any(
        step["type"] in ("Split", "Whitespace", "WhitespaceSplit", "BertPreTokenizer")
        or (step["type"] == "ByteLevel" and step.get("use_regex", True))
        for step in _steps(description["pre_tokenizer"], "pretokenizers")
    )


def words_are_independent(description: dict[str, Any]) -> bool:
    """Whether a BPE or Unigram model has no token that joins a letter and the blank after it.

    What stands before such a blank then has no influence on the tokens after it.
    """
    model = description["model"]
    if model["type"] not in ("BPE", "Unigram") or not _normalizes_locally(description):
        return False
    known = {"Metaspace", "Split"}
    if any(s["type"] not in known for s in _steps(description["pre_tokenizer"], "pretokenizers")):
        return False
    vocabulary = model["vocab"]
    words = vocabulary if isinstance(vocabulary, dict) else (word for word, _ in vocabulary)
    return not any(map(_JOINS_WORDS.search, words))


def _normalizes_locally(description: dict[str, Any]) -> bool:
    """Whether the normalizer looks at nearby characters only."""
    for step in _steps(description["normalizer"], "normalizers"):
        if step["type"] == "Replace":
            pattern = step["pattern"]
            if pattern != {"Regex": " {2,}"} and len(pattern.get("String", "  ")) != 1:
                return False
        elif step["type"] not in _LOCAL_NORMALIZERS:
            return False
    return True


def _steps(step: dict[str, Any] | None, name: str) -> list[dict[str, Any]]:
    if step is None:
        return []
    if step["type"] == "Sequence":
        return [inner for each in step[name] for inner in _steps(each, name)]
    return [step]
