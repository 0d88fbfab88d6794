"""Duplicates in an indexed corpus: stretches of tokens that occur several times in it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.index.overlap import IndexedCorpus, MatchSpans, check_min_length, spans_at
from ngramstat.index.queries import damage_as_input_error
from ngramstat.index.shard import Shard
from ngramstat.index.span_tables import write_table
from ngramstat.index.tokenizer import IndexTokenizer
from ngramstat.kernels.index_overlap import mark_duplicates
from ngramstat.kernels.tokens import token_ranges
from ngramstat.results.tables import optional_package
from ngramstat.runtime.progress import Progress
from ngramstat.runtime.workspace import Workspace, release_pages_if_needed

__all__ = ["DuplicateSpans", "Duplicates", "find_duplicates"]

# Suffixes of one call of the kernel, per thread: a second or so.
_SUFFIXES = 1 << 24
# Positions whose marks are read at once, a multiple of 8, and of these the repeated ones whose
# longest matches are looked for at once, per thread.
_POSITIONS = 1 << 23
_QUERIES = 1 << 19


@dataclass(frozen=True)
class DuplicateSpans:
    """Repeated stretches of a corpus, none inside another; one entry per stretch.

    Attributes
    ----------
    positions, documents, starts : (k,) int64
        Where each begins: in the tokens of the corpus, in which document, and in tokens from the
        beginning of that.
    lengths : (k,) int64
        In tokens, at least `Duplicates.min_length`.
    occurrences : (k,) int64
        Of the stretch in the corpus, itself included; where `capped`, of its first tokens, as
        many as the index compares.
    other_positions, other_documents : (k,) int64
        Where one of the other occurrences begins.
    capped : (k,) bool
        It is longer than what the index compares: the other occurrence is a real copy, and yet
        another one may be longer.
    """

    positions: NDArray[np.int64]
    documents: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    occurrences: NDArray[np.int64]
    other_positions: NDArray[np.int64]
    other_documents: NDArray[np.int64]
    capped: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.positions)


_COLUMNS = (
    "document", "start", "position", "length", "occurrences", "other_document", "other_position",
    "capped",
)  # fmt: skip


@dataclass(frozen=True)
class Duplicates:
    """The tokens of a corpus that lie in a sequence of `min_length` tokens which occurs twice.

    Attributes
    ----------
    min_length : int
    keep_first : bool
        Whether the first occurrence of each sequence is left out, so that removing the ranges
        leaves one.
    ranges : (r, 2) int64
        Begin and end (exclusive) in tokens of the corpus of the stretches that such sequences
        cover, disjoint and ascending. A stretch as a whole need not occur twice.
    document_tokens, document_repeated : (d,) int64
        For each document its tokens, and those in ranges.
    """

    min_length: int
    keep_first: bool
    ranges: NDArray[np.int64]
    document_tokens: NDArray[np.int64]
    document_repeated: NDArray[np.int64]
    _index: IndexedCorpus = field(repr=False)
    _marks: list[NDArray[np.uint8]] = field(repr=False)
    _workspace: Workspace = field(repr=False)
    _tokenizer: IndexTokenizer | None = field(repr=False)
    _shows_progress: bool = field(repr=False)

    @property
    def tokens(self) -> int:
        """Tokens of the corpus."""
        return int(self.document_tokens.sum())

    @property
    def repeated(self) -> int:
        """Tokens in ranges."""
        return int((self.ranges[:, 1] - self.ranges[:, 0]).sum())

    @property
    def share(self) -> float:
        """Share of the corpus's tokens that lie in ranges."""
        return self.repeated / self.tokens if self.tokens else 0.0

    @cached_property
    def windows(self) -> int:
        """Sequences of `min_length` tokens that occur twice, counted at every occurrence."""
        return sum(int(np.bitwise_count(bits).sum()) for bits in self._marks)

    def token_marks(self) -> NDArray[np.bool_]:
        """Which tokens of the corpus lie in ranges, (tokens,) bool."""
        steps = np.zeros(self.tokens + 1, np.int8)
        steps[self.ranges[:, 0]] += 1
        np.subtract.at(steps, self.ranges[:, 1], 1)
        marks: NDArray[np.bool_] = np.cumsum(steps[:-1], dtype=np.int8) > 0
        return marks

    def spans(self) -> Iterator[DuplicateSpans]:
        """The longest repeated stretches, in batches and in the order of the corpus.

        Each is found with its occurrences and another place. In a bounded amount of memory; takes
        about a microsecond per repeated token and thread.

        Raises
        ------
        InputError
            The index is damaged.
        """
        with (
            self._workspace.managing(*self._index.arrays),
            Progress(
                self.windows, "Locate duplicates", unit="tok", enabled=self._shows_progress
            ) as bar,
        ):
            reached = 0
            for shard, bits in zip(self._index.shards, self._marks, strict=True):
                reached = yield from self._spans_in(shard, bits, reached, bar)

    def _spans_in(
        self, shard: Shard, bits: NDArray[np.uint8], reached: int, bar: Progress
    ) -> Generator[DuplicateSpans, None, int]:
        """The spans that begin in a shard; `reached` is where those before and these end."""
        index, threads = self._index, self._workspace.threads
        crosses = index.settings.stop_token is None
        reached = max(reached - shard.first_token, 0) if crosses else 0
        for marked in _marked_positions(bits):
            for first in range(0, len(marked), _QUERIES * threads):
                places = marked[first : first + _QUERIES * threads]
                ranges = np.stack([places, _own_ends(index, shard, places)], axis=1)
                step = spans_at(
                    index, shard.tokens, ranges, self.min_length, reached, threads, shard
                )
                reached = step.reached
                yield self._described(shard, step.spans)
                bar.advance(len(places))
                release_pages_if_needed()
        return reached + shard.first_token

    def _described(self, shard: Shard, spans: MatchSpans) -> DuplicateSpans:
        positions, documents = self._index.corpus_places(shard, spans.starts)
        begins = np.concatenate([[0], np.cumsum(self.document_tokens)])
        return DuplicateSpans(
            positions=positions,
            documents=documents,
            starts=positions - begins[documents],
            lengths=spans.lengths,
            occurrences=spans.occurrences + 1,
            other_positions=spans.positions,
            other_documents=spans.documents,
            capped=spans.capped,
        )

    def summary(self) -> dict[str, Any]:
        """The numbers of the whole; JSON values."""
        whole = self.document_repeated == self.document_tokens
        return {
            "schema": "ngramstat.duplicates/1",
            "min_length": self.min_length,
            "keep_first": self.keep_first,
            "tokens": self.tokens,
            "repeated_tokens": self.repeated,
            "share": self.share,
            "windows": self.windows,
            "ranges": len(self.ranges),
            "documents": len(self.document_tokens),
            "documents_with_duplicates": int((self.document_repeated > 0).sum()),
            "documents_repeated_whole": int((whole & (self.document_tokens > 0)).sum()),
        }

    def save_spans(self, path: str | PathLike[str]) -> int:
        """Write `spans`, atomically; returns their number.

        Parameters
        ----------
        path
            ``.jsonl``, ``.csv`` or ``.parquet``: one row per stretch, with its text if the corpus
            has a tokenizer.

        Raises
        ------
        InputError
            The file's name has another ending, or its directory is missing.
        NgramstatError
            Writing failed, or pyarrow is not installed.
        """
        columns = _COLUMNS if self._tokenizer is None else (*_COLUMNS, "text")
        return write_table(path, columns, map(self._columns_of, self.spans()))

    def save_ranges(self, path: str | PathLike[str]) -> int:
        """Write `ranges` with the document in which each begins; otherwise as `save_spans`."""
        begins = np.concatenate([[0], np.cumsum(self.document_tokens)])
        first = self.ranges[:, 0]
        document = np.searchsorted(begins, first, side="right") - 1
        table = {
            "document": document,
            "start": first - begins[document],
            "position": first,
            "length": self.ranges[:, 1] - first,
        }
        return write_table(path, list(table), [table])

    def to_pandas(self) -> Any:
        """One row per stretch of `spans`; NgramstatError if pandas is not installed."""
        pd = optional_package("pandas", "pandas", "to_pandas")

        return pd.concat(
            [pd.DataFrame(self._columns_of(batch)) for batch in self.spans()]
            or [pd.DataFrame(columns=list(_COLUMNS))],
            ignore_index=True,
        )

    def _columns_of(self, spans: DuplicateSpans) -> dict[str, Any]:
        values = (
            spans.documents, spans.starts, spans.positions, spans.lengths, spans.occurrences,
            spans.other_documents, spans.other_positions, spans.capped,
        )  # fmt: skip
        table: dict[str, Any] = dict(zip(_COLUMNS, values, strict=True))
        if self._tokenizer is not None:
            table["text"] = [
                self._tokenizer.decode(self._index.tokens_at(int(position), int(length)))
                for position, length in zip(spans.positions, spans.lengths, strict=True)
            ]
        return table


def find_duplicates(
    index: IndexedCorpus,
    *,
    min_length: int,
    keep_first: bool,
    tokenizer: IndexTokenizer | None,
    workspace: Workspace,
    shows_progress: bool,
) -> Duplicates:
    """Mark the sequences of `min_length` tokens that occur several times.

    One pass over the suffixes of all shards, with a bit per token in memory.

    Raises
    ------
    InputError
        The index cannot find matches of that length, or is damaged.
    """
    check_min_length(min_length, index.max_length)
    sorted_texts = [index.sorted_text(shard) for shard in index.shards]
    marks = [np.zeros((shard.suffixes.size + 7) // 8, np.uint8) for shard in index.shards]
    counts = sum((np.diff(shard.token_starts) for shard in index.shards), np.zeros(1, np.int64))
    total = int(counts.sum())
    with (
        workspace.managing(*index.arrays),
        Progress(total, "Find duplicates", unit="tok", enabled=shows_progress) as bar,
    ):
        for first, last in token_ranges(counts, _SUFFIXES * workspace.threads):
            ranks = np.array(
                [(shard.token_starts[first], shard.token_starts[last]) for shard in index.shards],
                np.int64,
            ).reshape(-1, 2)
            with damage_as_input_error(index.name):
                mark_duplicates(
                    sorted_texts,
                    marks,
                    ranks,
                    length=min_length,
                    stop_token=index.settings.stop_token,
                    later_only=keep_first,
                    threads=workspace.threads,
                )
            bar.advance(int(counts[first:last].sum()))
    ranges = _ranges(index, marks, min_length)
    ends = index.document_ends
    tokens = np.diff(ends, prepend=0)
    repeated = np.diff(_covered_before(ranges, ends), prepend=0)
    return Duplicates(
        min_length, keep_first, ranges, tokens, repeated, index, marks, workspace, tokenizer,
        shows_progress,
    )  # fmt: skip


def _marked_positions(bits: NDArray[np.uint8]) -> Iterator[NDArray[np.int64]]:
    """The positions whose bits are set, ascending, in batches."""
    step = _POSITIONS // 8
    for first in range(0, len(bits), step):
        piece = np.unpackbits(bits[first : first + step], bitorder="little")
        yield np.flatnonzero(piece) + 8 * first


def _own_ends(index: IndexedCorpus, shard: Shard, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where a stretch that begins at a place of a shard ends at the latest."""
    stop = index.settings.stop_token
    if stop is None:
        return np.full(len(places), shard.tokens.size, np.int64)
    document = np.searchsorted(shard.document_ends, places, side="right")
    ends: NDArray[np.int64] = shard.document_ends[document] - index.settings.inserts_stops
    return ends


def _ranges(index: IndexedCorpus, marks: list[NDArray[np.uint8]], length: int) -> NDArray[np.int64]:
    """What sequences that begin at the marks cover, (r, 2)."""
    parts: list[NDArray[np.int64]] = []
    last: int | None = None  # where the last sequence begins
    begin = 0
    for shard, bits in zip(index.shards, marks, strict=True):
        for places in _marked_positions(bits):
            if not len(places):
                continue
            begins, _ = index.corpus_places(shard, places)
            before = np.concatenate([[begins[0] - length if last is None else last], begins[:-1]])
            new = np.flatnonzero(begins - before >= length)
            # The range that was open ends before the first new one.
            starts = begins[new]
            ends = before[new] + length
            if last is None:
                ends, opened = ends[1:], starts[:-1]
            else:
                opened = np.concatenate([[begin], starts[:-1]])[: len(ends)]
            parts.append(np.stack([opened, ends], axis=1))
            if len(starts):
                begin = int(starts[-1])
            last = int(begins[-1])
    if last is not None:
        parts.append(np.array([[begin, last + length]], np.int64))
    return np.concatenate([np.zeros((0, 2), np.int64), *parts])


def _covered_before(ranges: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Tokens in ranges before each of some positions."""
    lengths = np.concatenate([[0], np.cumsum(ranges[:, 1] - ranges[:, 0])])
    whole = np.searchsorted(ranges[:, 1], places, side="right")
    starts = np.append(ranges[:, 0], np.iinfo(np.int64).max)
    covered: NDArray[np.int64] = lengths[whole] + np.maximum(places - starts[whole], 0)
    return covered
