"""The longest match of every position of a new text in an indexed corpus."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.index.queries import damage_as_input_error
from ngramstat.index.shard import IndexSettings, Shard
from ngramstat.kernels.index_overlap import SortedText, common_lengths, longest_matches
from ngramstat.kernels.tokens import Tokens
from ngramstat.runtime.progress import Progress
from ngramstat.runtime.workspace import Workspace, release_pages_if_needed

__all__ = [
    "IndexedCorpus",
    "LongestMatches",
    "MatchSpans",
    "NewText",
    "SpanStep",
    "check_min_length",
    "find_matches",
    "find_spans",
    "new_text",
    "spans_at",
]

# Queries of one call of the kernel, per thread: about a second.
_QUERIES = 1 << 19
# Tokens checked or converted at once.
_CHECKED = 1 << 22


@dataclass(frozen=True)
class IndexedCorpus:
    """An index as the functions of this module need it.

    Attributes
    ----------
    settings : IndexSettings
    shards : tuple of Shard
    max_length : int or None
        Tokens of the longest match that is found for certain; None: any.
    name : str
        What messages call the index.
    """

    settings: IndexSettings
    shards: tuple[Shard, ...]
    max_length: int | None
    name: str = "the index"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the tokens in the index."""
        return self.shards[0].tokens.dtype if self.shards else np.dtype(np.uint16)

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """What may be mapped from files."""
        return [a for shard in self.shards for a in (shard.tokens, shard.suffixes)]

    @cached_property
    def document_ends(self) -> NDArray[np.int64]:
        """Where each document ends in the tokens of the corpus (exclusive)."""
        documents = max((s.first_document + s.document_ends.size for s in self.shards), default=0)
        result = np.zeros(documents, np.int64)
        for shard in self.shards:
            ends = shard.document_ends + shard.first_token
            if self.settings.inserts_stops:
                ends = ends - np.arange(1, ends.size + 1)
            # A document that goes on in the next shard ends there.
            result[shard.first_document : shard.first_document + ends.size] = ends
        return result

    def tokens_at(self, position: int, length: int) -> Tokens:
        """Tokens of the corpus; they must not hold the end of a document with an inserted stop."""
        firsts = [shard.first_token for shard in self.shards]
        shard = self.shards[bisect_right(firsts, position) - 1]
        place = position - shard.first_token
        if self.settings.inserts_stops:
            document = int(np.searchsorted(self.document_ends, position, side="right"))
            place += document - shard.first_document
        return shard.tokens[place : place + length]

    def sorted_text(self, shard: Shard) -> SortedText:
        """One shard for the kernels."""
        return SortedText(shard.tokens, shard.suffixes, shard.token_starts, self.max_length or 0)

    def corpus_places(
        self, shard: Shard, places: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions and documents in the corpus of places in a shard; -1 stays."""
        known = places >= 0
        document = np.searchsorted(shard.document_ends, places, side="right")
        inserted = document if self.settings.inserts_stops else 0
        return (
            np.where(known, places - inserted + shard.first_token, -1),
            np.where(known, document + shard.first_document, -1),
        )


@dataclass(frozen=True)
class NewText:
    """Token ids that are looked for.

    Attributes
    ----------
    tokens : (n,) of the type of the index
    starts, ends : (d,) int64
        The documents, ascending and disjoint; what is between them is not looked for.
    """

    tokens: Tokens
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


@dataclass(frozen=True)
class LongestMatches:
    """The longest match in a corpus for every position of a new text.

    Attributes
    ----------
    lengths : (n,) int64
        Tokens of the longest sequence that begins here, stays inside the document and occurs in
        the corpus; 0 where not even the first token does.
    occurrences : (n,) int64
        How often that sequence occurs in the corpus.
    positions : (n,) int64
        Where one of the occurrences begins, in tokens of the corpus; -1 where the length is 0.
    documents : (n,) int64
        The document of the corpus that it begins in; -1 where the length is 0.
    capped : (n,) bool
        Where the length is only the index's limit (`max_length`) and the text goes on: the
        longest match may be longer.
    max_length : int or None
        Tokens of the longest match that the index can find; None: any.
    """

    lengths: NDArray[np.int64]
    occurrences: NDArray[np.int64]
    positions: NDArray[np.int64]
    documents: NDArray[np.int64]
    capped: NDArray[np.bool_]
    max_length: int | None

    def __len__(self) -> int:
        return len(self.lengths)

    def covered(self, min_length: int) -> NDArray[np.bool_]:
        """Which tokens lie in a match of at least this many tokens, (n,) bool.

        Raises
        ------
        InputError
            The index cannot find matches of that length.
        """
        check_min_length(min_length, self.max_length)
        begins = np.flatnonzero(self.lengths >= min_length)
        steps = np.zeros(len(self.lengths) + 1, np.int64)
        np.add.at(steps, begins, 1)
        np.add.at(steps, begins + self.lengths[begins], -1)
        return np.cumsum(steps[:-1]) > 0


@dataclass(frozen=True)
class MatchSpans:
    """Stretches of a text that occur in a corpus, none inside another; one entry per stretch.

    Attributes
    ----------
    starts, lengths : (k,) int64
        Where each begins in the text, and its tokens.
    occurrences : (k,) int64
        In the corpus; where `capped`, of its first `max_length` tokens.
    positions, documents : (k,) int64
        Where one of the occurrences begins in the corpus, and its document.
    capped : (k,) bool
        The stretch is a real copy from `positions` on, and another place of the corpus may
        continue it.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    occurrences: NDArray[np.int64]
    positions: NDArray[np.int64]
    documents: NDArray[np.int64]
    capped: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.starts)


def new_text(
    index: IndexedCorpus,
    tokens: NDArray[Any],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    name: str,
) -> NewText:
    """A text for an index: ids checked, and in the index's type.

    Raises
    ------
    InputError
        An id is not in the vocabulary of the index.
    """
    vocab_size = index.settings.vocab_size
    for first in range(0, len(tokens), _CHECKED):
        piece = tokens[first : first + _CHECKED]
        if int(piece.max()) >= vocab_size:
            at = int(np.argmax(piece >= vocab_size))
            raise InputError(
                f"{name}: token {int(piece[at])} at position {first + at} is not in the vocabulary "
                f"of {index.name} (0 to {vocab_size - 1}); tokenize it with the tokenizer of the "
                "indexed corpus"
            )
        release_pages_if_needed()
    return NewText(np.ascontiguousarray(tokens, dtype=index.dtype), starts, ends)


def find_matches(
    index: IndexedCorpus, text: NewText, workspace: Workspace, bar: Progress
) -> LongestMatches:
    """The longest match of every position; 0 outside the documents.

    Raises
    ------
    InputError
        The arrays of the index contradict each other.
    """
    size = len(text.tokens)
    found = LongestMatches(
        np.zeros(size, np.int64), np.zeros(size, np.int64), np.full(size, -1, np.int64),
        np.full(size, -1, np.int64), np.zeros(size, bool), index.max_length,
    )  # fmt: skip
    for ranges in _query_ranges(index, text, _QUERIES * workspace.threads):
        best = _match_in_shards(index, text.tokens, ranges, workspace.threads)
        at = ranges[:, 0]
        found.lengths[at] = best.lengths
        found.occurrences[at] = best.occurrences
        found.positions[at] = best.positions
        found.documents[at] = best.documents
        found.capped[at] = best.capped
        bar.advance(len(ranges))
    return found


@dataclass(frozen=True)
class SpanStep:
    """Consecutive positions of a text, and the spans that begin there.

    Attributes
    ----------
    positions, lengths : (q,) int64
        With the longest match of each, which is at least as long where the index's limit is
        reached.
    spans : MatchSpans
    reached : int
        Where these spans and those before end.
    """

    positions: NDArray[np.int64]
    lengths: NDArray[np.int64]
    spans: MatchSpans
    reached: int


def find_spans(
    index: IndexedCorpus, text: NewText, min_length: int, workspace: Workspace, bar: Progress
) -> Iterator[SpanStep]:
    """Spans of at least this many tokens, in steps: the text may be larger than memory.

    Raises
    ------
    InputError
        The index cannot find matches of that length, or its arrays contradict each other.
    """
    check_min_length(min_length, index.max_length)
    reached = 0  # the end of the last span
    for ranges in _query_ranges(index, text, _QUERIES * workspace.threads):
        step = spans_at(index, text.tokens, ranges, min_length, reached, workspace.threads)
        reached = step.reached
        yield step
        bar.advance(len(ranges))


def spans_at(
    index: IndexedCorpus,
    tokens: Tokens,
    ranges: NDArray[np.int64],
    min_length: int,
    reached: int,
    threads: int,
    own: Shard | None = None,
) -> SpanStep:
    """The spans that begin at some positions and end after all spans before.

    Parameters
    ----------
    ranges : (q, 2) int64
        The positions, ascending, and where their matches end at the latest.
    reached : int
        Where the spans before end.
    own : Shard, optional
        The shard whose tokens these are; a place does not match itself.
    """
    best = _match_in_shards(index, tokens, ranges, threads, own)
    lengths = best.lengths
    if best.capped.any():
        lengths = _real_lengths(index, tokens, ranges, best)
    ends = ranges[:, 0] + lengths
    long = best.lengths >= min_length
    furthest = np.maximum.accumulate(np.where(long, ends, 0))
    before = np.maximum(np.concatenate([[0], furthest[:-1]]), reached)
    chosen = np.flatnonzero(long & (ends > before))
    spans = MatchSpans(
        ranges[chosen, 0], lengths[chosen], best.occurrences[chosen], best.positions[chosen],
        best.documents[chosen], best.capped[chosen],
    )  # fmt: skip
    return SpanStep(ranges[:, 0], lengths, spans, max(reached, int(furthest[-1])))


def check_min_length(min_length: int, max_length: int | None) -> None:
    """Refuse a length of matches that an index cannot find.

    Raises
    ------
    InputError
        It is below 1 or above `max_length`.
    """
    if min_length < 1:
        raise InputError(f"--min-length {min_length}: must be at least 1")
    if max_length is not None and min_length > max_length:
        raise InputError(
            f"--min-length {min_length}: the index finds matches of up to {max_length} tokens "
            "only; build one with a larger --depth, or to the full depth"
        )


def _positions_of(tokens: Tokens, token: int) -> NDArray[np.int64]:
    parts = [np.zeros(0, np.int64)]
    for first in range(0, len(tokens), _CHECKED):
        parts.append(np.flatnonzero(tokens[first : first + _CHECKED] == token) + first)
        release_pages_if_needed()
    return np.concatenate(parts)


def _query_ranges(index: IndexedCorpus, text: NewText, at_most: int) -> Iterator[NDArray[np.int64]]:
    """All positions inside documents with the ends of their matches, (q, 2) at a time."""
    stop = index.settings.stop_token
    stops = np.zeros(0, np.int64)
    if stop is not None and not index.settings.inserts_stops:
        stops = _positions_of(text.tokens, stop) + 1
    stops = np.append(stops, len(text.tokens))
    before = np.concatenate([[0], np.cumsum(text.ends - text.starts)])
    total = int(before[-1])
    for first in range(0, total, at_most):
        numbers = np.arange(first, min(first + at_most, total))
        document = np.searchsorted(before, numbers, side="right") - 1
        ranges = np.empty((len(numbers), 2), np.int64)
        ranges[:, 0] = text.starts[document] + numbers - before[document]
        stop_ends = stops[np.searchsorted(stops, ranges[:, 0], side="right")]
        ranges[:, 1] = np.minimum(text.ends[document], stop_ends)
        yield ranges


@dataclass(frozen=True)
class _Best:
    """The longest matches of some queries, over all shards."""

    lengths: NDArray[np.int64]
    occurrences: NDArray[np.int64]
    positions: NDArray[np.int64]
    documents: NDArray[np.int64]
    capped: NDArray[np.bool_]
    shards: NDArray[np.int64]
    places: NDArray[np.int64]


def _match_in_shards(
    index: IndexedCorpus,
    tokens: Tokens,
    ranges: NDArray[np.int64],
    threads: int,
    own: Shard | None = None,
) -> _Best:
    """The longest over the shards, with the occurrences in all shards that reach it.

    Parameters
    ----------
    own : Shard, optional
        The shard whose tokens are looked for; a place does not match itself.
    """
    size = len(ranges)
    lengths, occurrences = np.zeros(size, np.int64), np.zeros(size, np.int64)
    shards, places = np.full(size, -1, np.int64), np.full(size, -1, np.int64)
    positions, documents = np.full(size, -1, np.int64), np.full(size, -1, np.int64)
    for number, shard in enumerate(index.shards):
        with damage_as_input_error(index.name):
            found = longest_matches(
                index.sorted_text(shard), tokens, ranges, is_own=shard is own, threads=threads
            )
        equal = (found.lengths == lengths) & (lengths > 0)
        occurrences[equal] += found.occurrences[equal]
        longer = found.lengths > lengths
        lengths[longer] = found.lengths[longer]
        occurrences[longer] = found.occurrences[longer]
        shards[longer] = number
        places[longer] = found.places[longer]
        at, documents_at = index.corpus_places(shard, found.places[longer])
        positions[longer] = at
        documents[longer] = documents_at
    limit = index.max_length
    capped = np.zeros(size, bool)
    if limit is not None:
        capped = (lengths == limit) & (ranges[:, 1] - ranges[:, 0] > limit)
    return _Best(lengths, occurrences, positions, documents, capped, shards, places)


def _real_lengths(
    index: IndexedCorpus, tokens: Tokens, ranges: NDArray[np.int64], best: _Best
) -> NDArray[np.int64]:
    """Lengths of the matches with the places that were found, also beyond the index's limit."""
    lengths = best.lengths.copy()
    for number, shard in enumerate(index.shards):
        here = best.capped & (best.shards == number)
        if here.any():
            chosen = np.flatnonzero(here)
            with damage_as_input_error(index.name):
                lengths[chosen] = common_lengths(
                    index.sorted_text(shard), tokens, ranges[chosen], best.places[chosen]
                )
    return lengths
