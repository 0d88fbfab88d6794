"""What reading text brought to light: empty, repeated and skipped documents, and notes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ngramstat.corpus.text.options import Piece
from ngramstat.runtime.files import atomic_write
from ngramstat.runtime.numbers import count_of, count_text
from ngramstat.runtime.text import readable

__all__ = [
    "DOCUMENT_MARKERS", "SKIPPED_FILE", "TextFindings", "printable_name", "text_facts",
    "text_notes",
]  # fmt: skip

#: File in a corpus directory that lists the records that were left out, as JSON lines.
SKIPPED_FILE = "skipped.jsonl"

#: Strings that stand between documents in text files that were written for training.
DOCUMENT_MARKERS = (
    "<|endoftext|>", "<|end_of_text|>", "<|eos|>", "<eos>", "</s>", "[EOS]", "<|begin_of_text|>",
)  # fmt: skip

_HASH_BYTES = 8
# Hashes kept at most; beyond that, the documents of every second hash value are counted, then of
# every fourth, and so on, and their share stands for that of all.
_MAX_HASHES = 1 << 24
_LISTED = 20
# With fewer documents, nothing can be estimated from their scatter.
_FEW_DOCUMENTS = 30


class TextFindings:
    """Collects facts about documents and records while they are read.

    Parameters
    ----------
    markers
        Strings to look for in plain text: they may stand between documents.
    """

    def __init__(self, markers: Iterable[str] = DOCUMENT_MARKERS) -> None:
        self.documents = 0
        self.empty = 0
        self.skipped = 0
        self.whole_files = 0
        self.markers: Counter[str] = Counter()
        self._marker_stems: dict[str, str] = {}
        self.look_for(markers)
        self._kept: frozenset[str] = frozenset()
        self._kept_separator: str | None = None
        self._marker_places: dict[str, str] = {}
        self._split_marker: str | None = None
        self._splits = 0
        self._hashes = bytearray()
        self._keep_mask = 0
        self._open: Any = None  # hash of the document that is being read
        self._listed: list[str] = []
        self._all_skipped: IO[str] | None = None
        self._notes: list[str] = []
        self._facts: list[str] = []
        self._kinds: dict[str, tuple[int, str]] = {}
        self._unread: Counter[str] = Counter()

    def look_for(self, markers: Iterable[str]) -> None:
        """Also look for these markers."""
        for marker in markers:
            if len(marker) > 1:
                self._marker_stems[marker] = "<|" if marker.startswith("<|") else marker

    def keep(self, special: Iterable[str], separator: str | None) -> None:
        """Texts that spell one of these become that token; `separator` then ends a document."""
        self._kept = frozenset(special)
        self._kept_separator = separator

    # --- while reading ---------------------------------------------------------------------------

    def observe(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """The same pieces, counted."""
        for piece in pieces:
            self._count(piece.text.encode("utf-8"), piece.last)
            yield piece

    def _count(self, data: bytes, last: bool) -> None:
        if last and self._open is None:
            self._end(_digest(data) if data else None)
            return
        if self._open is None:
            self._open = (_digest(), False)
        digest, any_text = self._open
        digest.update(data)
        any_text = any_text or bool(data)
        self._open = (digest, any_text)
        if last:
            self._open = None
            self._end(digest if any_text else None)

    def _end(self, digest: Any) -> None:
        self.documents += 1
        if digest is None:
            self.empty += 1
            return
        value = digest.digest()[:_HASH_BYTES]
        if value[0] & self._keep_mask:
            return
        self._hashes += value
        if len(self._hashes) >= _MAX_HASHES * _HASH_BYTES and self._keep_mask != 0xFF:
            self._keep_mask = self._keep_mask << 1 | 1
            rows = np.frombuffer(bytes(self._hashes), np.uint8).reshape(-1, _HASH_BYTES)
            self._hashes = bytearray(rows[rows[:, 0] & self._keep_mask == 0].tobytes())

    def count_markers(self, text: str, name: str) -> None:
        """Count the markers in a piece of plain text of the file `name`."""
        absent = {stem for stem in dict.fromkeys(self._marker_stems.values()) if stem not in text}
        for marker, stem in self._marker_stems.items():
            if stem not in absent:
                found = text.count(marker)
                if found:
                    self.markers[marker] += found
                    self._marker_places.setdefault(marker, name)

    def count_splits(self, marker: str, number: int) -> None:
        """Count how often the marker that documents are split on has been found."""
        self._split_marker = marker
        self._splits += number

    def skip(self, name: str, record: str, why: str) -> None:
        """List a record that is left out."""
        self.skipped += 1
        if len(self._listed) < _LISTED:
            gap = "" if record.isdigit() else " "
            self._listed.append(f"{name}:{gap}{record}: {why}"[:500])
        if self._all_skipped is None:
            self._all_skipped = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
            weakref.finalize(self, self._all_skipped.close)
        json.dump({"source": name, "record": record, "reason": why}, self._all_skipped)
        self._all_skipped.write("\n")

    def note(self, sentence: str) -> None:
        """Keep a sentence about what may be a mistake."""
        if sentence not in self._notes:
            self._notes.append(sentence)

    def note_fact(self, sentence: str) -> None:
        """Keep a sentence about what was read."""
        self._facts.append(sentence)

    def note_kind(self, description: str, name: str) -> None:
        """Count a file that is read as its contents, and not its name, suggest."""
        number, first = self._kinds.get(description, (0, name))
        self._kinds[description] = (number + 1, first)

    def leave_unread(self, what: str) -> None:
        """Count something in an archive or directory that holds no text."""
        self._unread[what] += 1

    # --- afterwards ------------------------------------------------------------------------------

    def duplicates(self) -> tuple[int, float, bool]:
        """Documents that repeat an earlier one, their share, and whether every one was counted."""
        values = np.frombuffer(bytes(self._hashes), "<u8")
        repeated = values.size - np.unique(values).size
        share = repeated / values.size if values.size else 0.0
        full = self.documents - self.empty
        if self._keep_mask == 0:
            return repeated, repeated / self.documents if self.documents else 0.0, True
        estimate = round(share * full)
        return estimate, estimate / self.documents, False

    def notes(self) -> list[str]:
        """Sentences about what may be a mistake."""
        return [*self._notes, *self._notes_on_files(), *self._notes_on_documents()]

    def facts(self) -> list[str]:
        """Sentences about what was read."""
        facts = list(self._facts)
        for description, (number, first) in self._kinds.items():
            names = first if number == 1 else f"{count_text(number)} files, {first} the first,"
            verb = "is" if number == 1 else "are"
            facts.append(
                f"{names} {verb} read as {description}, which the contents are; "
                "--format text reads them as plain text"
            )
        if self._unread:
            parts = ", ".join(f"{count_text(n)} {what}" for what, n in self._unread.most_common(8))
            facts.append(f"not read, as they hold no text: {parts}")
        return facts

    def _notes_on_files(self) -> Iterator[str]:
        said = set()
        for marker, number in self.markers.most_common():
            kept = marker in self._kept
            if kept in said:
                continue  # only the most frequent one of those read alike
            said.add(kept)
            found = (
                f"the text spells {marker} {count_of(number, 'time')} (first in "
                f"{self._marker_places[marker]}), which "
            )
            if kept:
                ends = " and ends a document" if marker == self._kept_separator else ""
                yield f"{found}becomes that token{ends}, by --special-tokens keep"
            else:
                yield (
                    f"{found}is read as text; if it stands between documents, "
                    f"give --split-on '{marker}'"
                )
        if self._split_marker is not None and self._splits == 0:
            yield f"the marker {self._split_marker!r} of --split-on does not occur in the text"

    def _notes_on_documents(self) -> Iterator[str]:
        ended_inside = self._kept_separator is not None and self.markers[self._kept_separator]
        if self.whole_files and 0 < self.documents < _FEW_DOCUMENTS and not ended_inside:
            files = "a file" if self.whole_files == 1 else f"{self.whole_files} files"
            yield (
                f"{files} of plain text became one document{' each' * (self.whole_files > 1)}; "
                "intervals need many: --document paragraph (between blank lines), --document line "
                "or --split-on MARKER finds the documents in a file"
            )
        documents = count_text(self.documents)
        if self.empty:
            yield f"{count_text(self.empty)} of {documents} documents are empty"
        number, share, exact = self.duplicates()
        if number:
            about = "" if exact else "about "
            yield (
                f"{about}{count_text(number)} of {documents} documents ({share:.1%}) repeat an "
                "earlier one exactly"
            )
        if self.skipped:
            yield (
                f"{count_of(self.skipped, 'record')} could not be used "
                f"and {'were' if self.skipped > 1 else 'was'} skipped, listed in {SKIPPED_FILE}; "
                f"the first: {self._listed[0]}"
            )

    def to_dict(self) -> dict[str, Any]:
        """For `Corpus.tokenization`; JSON values."""
        number, share, exact = self.duplicates()
        found: dict[str, Any] = {
            "empty_documents": self.empty,
            "duplicate_documents": number,
            "duplicate_share": share,
            "duplicates_counted_exactly": exact,
            "skipped": self.skipped,
        }
        if self.skipped:
            found["skipped_records"] = list(self._listed)
        if self.markers:
            found["markers"] = dict(self.markers)
        found["inputs"] = self.facts()
        found["notes"] = self.notes()
        return found

    def write_skipped(self, directory: Path) -> None:
        """Write the list of skipped records into a corpus directory, or remove an older one."""
        target = directory / SKIPPED_FILE
        if self._all_skipped is None:
            target.unlink(missing_ok=True)
            return
        self._all_skipped.flush()
        self._all_skipped.seek(0)
        with atomic_write(target) as file:
            while block := self._all_skipped.read(1 << 20):
                file.write(block.encode("utf-8"))
        self._all_skipped.close()
        self._all_skipped = None


def _digest(data: bytes = b"") -> Any:
    # The fastest one of which eight bytes are as good as random.
    return hashlib.sha1(data, usedforsecurity=False)


def text_notes(tokenization: Any) -> list[str]:
    """What may be wrong with its text, by the metadata of a corpus; empty if not recorded."""
    return _sentences(tokenization, "notes")


def text_facts(tokenization: Any) -> list[str]:
    """What was read, by the metadata of a corpus; empty if not recorded."""
    return _sentences(tokenization, "inputs")


def _sentences(tokenization: Any, name: str) -> list[str]:
    sentences = tokenization.get(name) if isinstance(tokenization, dict) else None
    return [str(sentence) for sentence in sentences] if isinstance(sentences, list) else []


def printable_name(name: str | bytes | os.PathLike[str]) -> str:
    r"""A file name as text that can be encoded: bytes that are not UTF-8 become ``\xff``."""
    return readable(os.fsdecode(name))
