"""How a corpus is cut into the shards of its index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.index.manifest import MAX_SHARD_TOKENS
from ngramstat.index.shard import IndexSettings
from ngramstat.kernels.suffix_order import sorting_bytes
from ngramstat.kernels.tokens import dtype_holding, token_counts

__all__ = ["OVERLAP", "ShardPlan", "plan_shards", "settings_of", "stored_dtype"]

# Tokens after a shard in which matches may end, where suffixes are sorted to their ends.
OVERLAP = 4095
# Tokens counted at a time to find out how many a shard can hold.
_COUNTED = 1 << 20
_PIECE = 1 << 22


@dataclass(frozen=True)
class ShardPlan:
    """Part of a corpus that becomes a shard.

    Attributes
    ----------
    first, last : int
        Its tokens in the corpus.
    text_last : int
        Where the tokens end in which matches may end.
    first_document : int
        Documents that end before it.
    ends : (d,) int64
        Where documents end in it, in tokens of the corpus after `first`; the last one is its end.
    """

    first: int
    last: int
    text_last: int
    first_document: int
    ends: NDArray[np.int64]

    def stored_ends(self, settings: IndexSettings) -> NDArray[np.int64]:
        """`ends` in the tokens of the shard, after the inserted stop tokens."""
        inserted = np.arange(1, self.ends.size + 1) if settings.inserts_stops else 0
        return np.asarray(self.ends + inserted, np.int64)

    def n_stored(self, settings: IndexSettings) -> int:
        """Tokens of the shard, with inserted stop tokens."""
        inserted = self.ends.size if settings.inserts_stops else 0
        return self.text_last - self.first + inserted

    def pieces(self, corpus: Corpus, settings: IndexSettings) -> Iterator[NDArray[Any]]:
        """The tokens of the shard, a few million at a time."""
        dtype = stored_dtype(corpus, settings)
        for start in range(self.first, self.text_last, _PIECE):
            stop = min(start + _PIECE, self.text_last)
            piece = np.asarray(corpus.tokens[start:stop])
            if settings.inserts_stops:
                # A document that ends with the piece before has its stop token there.
                begin, end = np.searchsorted(
                    self.ends, [start - self.first, stop - self.first], side="right"
                )
                at = self.ends[begin:end] - (start - self.first)
                piece = np.insert(piece.astype(dtype), at, settings.vocab_size)
            yield np.ascontiguousarray(piece)


def stored_dtype(corpus: Corpus, settings: IndexSettings) -> np.dtype[Any]:
    """Type of the tokens in the index: that of the corpus, or one that holds the stop token."""
    if settings.inserts_stops:
        return dtype_holding(settings.vocab_size, corpus.dtype)
    return corpus.dtype


def settings_of(corpus: Corpus, depth: int | None, boundary: Boundary) -> IndexSettings:
    """Settings of the index of a corpus.

    Raises
    ------
    InputError
        N-grams are to stay inside documents, and the documents are unknown.
    """
    if boundary is Boundary.STREAM:
        return IndexSettings(corpus.vocab_size, depth, boundary, None)
    corpus.require_documents()
    stop = corpus.separator if _separators_end_documents(corpus) else None
    return IndexSettings(
        corpus.vocab_size, depth, boundary, corpus.vocab_size if stop is None else stop
    )


def _separators_end_documents(corpus: Corpus) -> bool:
    """Whether separators stand at the ends of all documents (but the last) and nowhere else."""
    ends, separator = corpus.document_ends, corpus.separator
    if separator is None or ends is None:
        return False
    found = 0
    for start in range(0, corpus.n_tokens, _PIECE):
        at = np.flatnonzero(corpus.tokens[start : start + _PIECE] == separator) + (start + 1)
        if not np.array_equal(at, ends[found : found + at.size]):
            return False
        found += at.size
    return found >= ends.size - 1


def plan_shards(
    corpus: Corpus,
    settings: IndexSettings,
    *,
    budget: int | None,
    shard_tokens: int | None,
    threads: int,
) -> list[ShardPlan]:
    """Cut a corpus into shards that can be sorted in `budget` bytes.

    Shards end at ends of documents, except where a document of an index of the whole stream does
    not fit one.

    Parameters
    ----------
    shard_tokens : int, optional
        Largest number of tokens of a shard, beside what the memory says.

    Raises
    ------
    InputError
        With boundary ``document``: a document does not fit.
    """
    ends = corpus.document_ends
    if ends is None:
        ends = np.array([corpus.n_tokens], np.int64)
    limits = _Limits(corpus, settings, ends, budget, shard_tokens, threads)
    plans: list[ShardPlan] = []
    first = 0
    while first < corpus.n_tokens:
        last = limits.last_of_shard(first)
        begin = int(np.searchsorted(ends, first, side="right"))
        whole = int(np.searchsorted(ends, last, side="right"))  # documents that end by then
        if last < corpus.n_tokens and whole > begin:
            last = int(ends[whole - 1])
        elif settings.boundary is Boundary.DOCUMENT and whole == begin:
            raise InputError(
                f"{corpus.name}: document {begin} has {int(ends[begin]) - first:,} tokens, and a "
                f"shard can hold {last - first:,}; raise --memory-limit or --shard-tokens"
            )
        inside = ends[begin:whole] - first
        if inside.size == 0 or int(inside[-1]) != last - first:
            inside = np.append(inside, last - first)
        text_last = last
        if settings.boundary is Boundary.STREAM:
            overlap = OVERLAP if settings.depth is None else settings.depth - 1
            text_last = min(last + overlap, corpus.n_tokens)
        plans.append(ShardPlan(first, last, text_last, begin, inside.astype(np.int64)))
        first = last
    return plans


class _Limits:
    """How far a shard can go."""

    def __init__(
        self,
        corpus: Corpus,
        settings: IndexSettings,
        ends: NDArray[np.int64],
        budget: int | None,
        shard_tokens: int | None,
        threads: int,
    ) -> None:
        self._corpus, self._settings, self._budget = corpus, settings, budget
        self._threads = threads
        # Half of the most leaves room for inserted stop tokens, of which none is without a token.
        most = MAX_SHARD_TOKENS // 2 if settings.inserts_stops else MAX_SHARD_TOKENS - OVERLAP
        self._most = min(most, shard_tokens or most)
        self._stops = settings.inserts_stops
        self._ends = ends

    def last_of_shard(self, first: int) -> int:
        """The last token, exclusive, of the longest shard that begins at `first`."""
        end = min(first + self._most, self._corpus.n_tokens)
        if self._budget is None or self._needs(end - first, end - first) <= self._budget:
            return end
        counts = np.zeros(self._settings.vocab_size, np.int64)
        last = first
        while last < end:
            step = min(last + _COUNTED, end)
            counts += token_counts(
                self._corpus.tokens[last:step], self._settings.vocab_size, threads=self._threads
            )
            if last > first and self._needs(step - first, int(counts.max())) > self._budget:
                return last
            last = step
        return end

    def _needs(self, n_tokens: int, largest_count: int) -> int:
        return sorting_bytes(
            n_tokens * (1 + self._stops),
            largest_count,
            self._settings.n_ids,
            self._settings.depth,
            self._threads,
        )
