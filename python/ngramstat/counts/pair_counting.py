"""Counting co-occurrence matrices row by row, in pieces that fit the memory.

A row is counted at once, from all positions of its token, so rows can be had in ranges and the
whole matrix need never be in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.counts.ngram_source import unit_documents
from ngramstat.counts.windows import PairWindow
from ngramstat.errors import InputError, InputTypeError
from ngramstat.kernels import Documents, token_counts
from ngramstat.kernels.windows import (
    WindowCounter,
    window_counter_bytes,
    window_position_bytes,
)
from ngramstat.runtime.arguments import integer_within
from ngramstat.runtime.progress import Progress, shows_progress
from ngramstat.runtime.resources import parse_memory_limit, resolve_threads
from ngramstat.runtime.workspace import Workspace

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "CooccurrenceRows",
    "PairCounting",
    "counting",
    "csr_of_pieces",
]

# Bytes of an entry: a column and a value.
_ENTRY_BYTES = 12
# Pairs counted in one call of the kernel: about a second.
_PAIRS_PER_STEP = 1 << 28
# The kernel's columns have 32 bits.
_MAX_VOCAB = (1 << 31) - 1


@dataclass(frozen=True)
class CooccurrenceRows:
    """Consecutive rows of a matrix in compressed form.

    Attributes
    ----------
    first : int
        The token of the first row.
    row_start : (rows + 1,) int64
        Offsets into the entries, from 0.
    columns : (entries,) int32
        Ascending within each row.
    values : (entries,) uint64 or float64
    """

    first: int
    row_start: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.uint64] | NDArray[np.float64]

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self.row_start) - 1


class PairCounting:
    """Counts the rows of one co-occurrence matrix of a corpus, piece by piece.

    Parameters
    ----------
    corpus : Corpus
    window : PairWindow
    rows : (first, last), optional
        Tokens whose rows are counted: first .. last - 1; by default all.
    workspace : Workspace
    progress : bool

    Raises
    ------
    InputError
        The corpus has no documents to stay inside, or an id is not below its vocabulary's size.
    """

    def __init__(
        self,
        corpus: Corpus,
        window: PairWindow,
        *,
        rows: Sequence[int] | None = None,
        workspace: Workspace | None = None,
        progress: bool = False,
    ) -> None:
        if corpus.vocab_size > _MAX_VOCAB:
            raise InputError(
                f"{corpus.name}: its vocabulary has {corpus.vocab_size} items; matrices have at "
                f"most {_MAX_VOCAB} columns"
            )
        self.corpus = corpus
        self.window = window
        self.rows = _row_range(rows, corpus.vocab_size)
        self.workspace = Workspace() if workspace is None else workspace
        self._progress = progress
        self._counter: tuple[tuple[int, int], WindowCounter] | None = None
        with corpus.naming_large_ids():
            self.occurrences = token_counts(
                corpus.tokens, corpus.vocab_size, threads=self.workspace.threads
            )
        self._budget = self.workspace.memory_budget(token_bytes=corpus.tokens.nbytes)

    @property
    def n_rows(self) -> int:
        """Rows that are counted."""
        return self.rows[1] - self.rows[0]

    @property
    def value_type(self) -> np.dtype[Any]:
        """uint64, or float64 with weights."""
        return np.dtype(np.uint64 if self.window.weights is None else np.float64)

    @property
    def budget(self) -> int | None:
        """Bytes that counting may take; None: no limit."""
        return self._budget

    def pieces(self, lags: Sequence[int] | None = None) -> Iterator[CooccurrenceRows]:
        """The rows in order, in pieces that fit the memory budget; of some of the lags alone.

        Raises
        ------
        InputError
            The files of the corpus change meanwhile.
        """
        window = self.window
        chosen = window.lags if lags is None else tuple(lags)
        weights = window.weights if lags is None else None
        pairs = self.occurrences * (len(chosen) * (2 if window.symmetric else 1))
        total = int(pairs[self.rows[0] : self.rows[1]].sum())
        with (
            self.corpus.unchanged(),
            self.workspace.managing(self.corpus.tokens),
            Progress(total, "co-occurrences", unit="pairs", enabled=self._progress) as bar,
        ):
            for index_range in self._index_ranges():
                counter = self._counter_of(index_range)
                for first, last in self._steps(index_range, pairs):
                    row_start, columns, values = counter.count((first, last), chosen, weights)
                    yield CooccurrenceRows(first, row_start, columns, values)
                    bar.advance(int(pairs[first:last].sum()))

    def _counter_of(self, rows: tuple[int, int]) -> WindowCounter:
        """The counter of a range of rows, which is kept until another one is needed."""
        if self._counter is None or self._counter[0] != rows:
            self._counter = None  # frees its memory
            counter = WindowCounter(
                self.corpus.tokens,
                self.corpus.vocab_size,
                self._documents,
                rows,
                within_content=self.window.within_content,
                both_sides=self.window.symmetric,
                threads=self._threads,
            )
            self._counter = (rows, counter)
        return self._counter[1]

    @cached_property
    def _documents(self) -> Documents:
        corpus = self.corpus
        if not self.window.within_content:
            return Documents.single(corpus.n_tokens)
        corpus.require_documents()
        return unit_documents(corpus)

    @cached_property
    def _threads(self) -> int:
        """Threads whose counters fit an eighth of the budget, at least one."""
        if self._budget is None:
            return self.workspace.threads
        each = window_counter_bytes(
            self.corpus.vocab_size, weighted=self.window.weights is not None
        )
        return max(1, min(self.workspace.threads, self._budget // 8 // each))

    def _index_ranges(self) -> list[tuple[int, int]]:
        """Ranges of rows whose index of positions fits half of the budget."""
        if self._budget is None:
            return [self.rows]
        each = window_position_bytes(
            self.corpus.n_tokens,
            within_content=self.window.within_content,
            both_sides=self.window.symmetric,
        )
        positions = max(self._budget // 2 // each, 1)
        return _cut(self.rows, self.occurrences / positions)

    def _steps(self, rows: tuple[int, int], pairs: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Ranges of rows that are counted in about a second, and whose entries fit."""
        shares = pairs / (_PAIRS_PER_STEP * self._threads)
        if self._budget is not None:
            # They exist twice: in the runs of the kernel, and as arrays. The rest of the budget is
            # for the pieces that a caller keeps.
            entries = np.minimum(pairs, self.corpus.vocab_size)
            shares = np.maximum(shares, entries * _ENTRY_BYTES / max(self._budget // 16, 1))
        return _cut(rows, shares)


def _cut(rows: tuple[int, int], shares: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Runs of rows of a total share of 1 at most, or of a single row."""
    first, last = rows
    before = np.concatenate([np.zeros(1), np.cumsum(shares[first:last])])
    cuts: list[tuple[int, int]] = []
    start = 0
    while start < last - first:
        end = int(np.searchsorted(before, before[start] + 1.0, side="right")) - 1
        end = max(end, start + 1)
        cuts.append((first + start, first + end))
        start = end
    return cuts


def _row_range(rows: Any, vocab_size: int) -> tuple[int, int]:
    if rows is None:
        return 0, vocab_size
    if isinstance(rows, slice):
        rows = rows.indices(vocab_size)[:2] if rows.step in (None, 1) else ()
    if isinstance(rows, str) or not isinstance(rows, Sequence | np.ndarray) or len(rows) != 2:
        raise InputTypeError(f"rows={rows!r:.60}: needs (first, last), where last is excluded")
    first, last = (integer_within("rows", row, 0, vocab_size) for row in rows)
    if first >= last:
        raise InputError(f"rows=({first}, {last}): holds no row; last is excluded")
    return first, last


def csr_of_pieces(
    pieces: Iterable[CooccurrenceRows],
    n_columns: int,
    dtype: np.dtype[Any],
    *,
    limit: int | None = None,
) -> csr_array:
    """Consecutive pieces as one matrix of scipy.

    Raises
    ------
    InputError
        Its entries take more than `limit` bytes.
    """
    from scipy.sparse import csr_array

    kept: list[CooccurrenceRows] = []
    entries = 0
    for piece in pieces:
        entries += len(piece.columns)
        if limit is not None and entries * _ENTRY_BYTES > limit:
            raise InputError(
                f"the matrix takes more than {limit >> 20:,} MB, which is what --memory-limit "
                "leaves for it; write it to a file with --to mapped (`ngramstat counts pairs` or "
                "save_cooccurrence), or take fewer rows"
            )
        kept.append(piece)
    # Offsets and columns of scipy have one type.
    index_type = np.int32 if entries < 1 << 31 else np.int64
    if len(kept) == 1:
        piece = kept[0]
        arrays = (piece.values, piece.columns.astype(index_type, copy=False))
        offsets = piece.row_start.astype(index_type)
        return csr_array((*arrays, offsets), shape=(piece.n_rows, n_columns), copy=False)
    values = np.empty(entries, dtype)
    columns = np.empty(entries, index_type)
    offsets = np.zeros(1 + sum(piece.n_rows for piece in kept), index_type)
    row = start = 0
    kept.reverse()
    while kept:  # each piece is freed once it is copied
        piece = kept.pop()
        size = len(piece.columns)
        values[start : start + size] = piece.values
        columns[start : start + size] = piece.columns
        offsets[row + 1 : row + 1 + piece.n_rows] = piece.row_start[1:] + start
        row, start = row + piece.n_rows, start + size
    return csr_array((values, columns, offsets), shape=(row, n_columns), copy=False)


def counting(
    corpus: Corpus,
    window: PairWindow,
    rows: Sequence[int] | None,
    threads: int | None,
    memory_limit: str | int | None,
    progress: bool | None,
) -> PairCounting:
    """The counting of a window under the limits that a public function was given."""
    workspace = Workspace(resolve_threads(threads), parse_memory_limit(memory_limit))
    workspace.require_working_memory(corpus.n_tokens)
    return PairCounting(
        corpus, window, rows=rows, workspace=workspace, progress=shows_progress(progress)
    )
