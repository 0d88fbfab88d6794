"""Suffixes in order, to their ends or to a depth, one range of first tokens after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat.kernels.suffixes import SuffixCost, positions_that_fit, suffix_cost
from ngramstat.kernels.tokens import Tokens, check_tokens, token_counts, token_ranges

__all__ = ["SortedRange", "SuffixSorter", "check_suffixes", "sorting_bytes"]

# Symbols after which suffixes are compared by reading them, or by the ranks of a sample.
_SAMPLE_DEPTH = 64
# Of a token of the stream, while the ranks of a sample are made.
_RANK_BYTES = 4
# Of a position of a step, for its place in the result.
_SUFFIX_BYTES = 4
# Positions of a step for each thread: some three seconds. Every step reads the whole stream.
_STEP_POSITIONS = 50_000_000


@dataclass(frozen=True)
class SortedRange:
    """Suffixes that begin with the tokens of a range.

    Attributes
    ----------
    first_token, last_token : int
        The range is first_token .. last_token - 1.
    suffixes : (k,) uint32
        Their positions in suffix order; valid until the next range is asked for.
    """

    first_token: int
    last_token: int
    suffixes: NDArray[np.uint32]


def _cost(n_tokens: int, vocab_size: int, depth: int | None) -> SuffixCost:
    cost = suffix_cost(n_tokens, vocab_size, depth or _SAMPLE_DEPTH)
    return replace(cost, entry_bytes=cost.entry_bytes + _SUFFIX_BYTES)


def sorting_bytes(
    n_tokens: int, largest_count: int, vocab_size: int, depth: int | None, threads: int
) -> int:
    """Smallest budget, in bytes, within which `SuffixSorter` sorts any stream like this.

    Parameters
    ----------
    n_tokens : int
    largest_count : int
        Occurrences of the most frequent token.
    vocab_size, depth, threads
        As for `SuffixSorter`.
    """
    cost = _cost(n_tokens, vocab_size, depth)
    return largest_count * (cost.entry_bytes + cost.block_bytes) + (
        0 if depth is not None else n_tokens * _RANK_BYTES
    )


class SuffixSorter:
    """Sorts the suffixes of a stream; iterate over it for the ranges in order.

    A suffix that ends sorts before its extensions; equal ones (up to the depth, or in two
    documents) keep the order of their positions.

    Parameters
    ----------
    tokens : (n,) uint16 or uint32
        At most 2^32 - 1.
    vocab_size : int
    depth : int, optional
        Symbols compared, 1 .. 255; by default suffixes are sorted to their ends.
    stop_token : int, optional
        Ends every document but perhaps the last, and occurs nowhere else; nothing is compared
        after it.
    document_ends : (d,) int64
        With a stop token: where documents end, exclusive; strictly increasing.
    threads : int
    memory_limit : int, optional
        Bytes that may be allocated; at least `sorting_bytes`, or more will be.

    Attributes
    ----------
    occurrences : (V,) int64
        How often each token occurs.

    Raises
    ------
    IndexError
        A token is not below vocab_size.
    ValueError
        For a stream that is too long, or documents that do not end with the stop token.
    """

    def __init__(
        self,
        tokens: Tokens,
        vocab_size: int,
        *,
        depth: int | None = None,
        stop_token: int | None = None,
        document_ends: NDArray[np.int64] | None = None,
        threads: int = 1,
        memory_limit: int | None = None,
    ) -> None:
        check_tokens(tokens)
        kind: Any = _core.SuffixText16 if tokens.dtype == np.uint16 else _core.SuffixText32
        ends = np.zeros(0, np.int64)
        if stop_token is not None and document_ends is not None:
            ends = np.ascontiguousarray(document_ends, np.int64)
        self._text = kind(
            tokens, vocab_size, depth or 0, -1 if stop_token is None else stop_token, ends
        )
        self._n_tokens = len(tokens)
        self._threads = threads
        self._ranks: _core.SampleRanks | None = None
        if memory_limit is not None and depth is None:
            memory_limit = max(memory_limit - _RANK_BYTES * len(tokens), 1)
        cost = _cost(len(tokens), vocab_size, depth)
        self.occurrences = token_counts(tokens, vocab_size, threads=threads)
        budget = _STEP_POSITIONS * threads
        if memory_limit is not None:
            # At worst, the workers sort the largest blocks, or all of a small range.
            largest_blocks = int(np.sort(self.occurrences)[-threads:].sum())
            budget = min(budget, positions_that_fit(cost, memory_limit, largest_blocks))
        self._ranges = token_ranges(self.occurrences, budget)

    def __iter__(self) -> Iterator[SortedRange]:
        sizes = [self._size(first, last) for first, last in self._ranges]
        buffer = np.empty(max(sizes, default=0), np.uint32)
        for (first, last), size in zip(self._ranges, sizes, strict=True):
            suffixes = buffer[:size]
            if not self._text.sort(first, last, self._ranks, suffixes, self._threads):
                self._ranks = self._sample_ranks()
                self._text.sort(first, last, self._ranks, suffixes, self._threads)
            yield SortedRange(first, last, suffixes)

    def write(self, file: int, offset: int) -> Iterator[int]:
        """Write all suffixes to an open file, as the threads sort them.

        Parameters
        ----------
        file : int
            Descriptor.
        offset : int
            Of the first suffix, in bytes.

        Yields
        ------
        int
            Suffixes that have been written since.

        Raises
        ------
        OSError
            Writing failed.
        """
        for first, last in self._ranges:
            if not self._text.sort_to_file(first, last, self._ranks, file, offset, self._threads):
                self._ranks = self._sample_ranks()
                self._text.sort_to_file(first, last, self._ranks, file, offset, self._threads)
            size = self._size(first, last)
            offset += size * _SUFFIX_BYTES
            yield size

    def _size(self, first: int, last: int) -> int:
        return int(self.occurrences[first:last].sum())

    def _sample_ranks(self) -> _core.SampleRanks:
        """For a stream that repeats itself: ranks that decide between long equal suffixes."""
        ranks = _core.SampleRanks(self._n_tokens)
        for first, last in self._ranges:
            ranks.sort(self._text, first, last, self._threads)
        while not ranks.refine(self._text):
            pass
        return ranks


def check_suffixes(
    tokens: Tokens,
    suffixes: NDArray[np.uint32],
    ranks: NDArray[np.uint32],
    *,
    depth: int | None = None,
    stop_token: int | None = None,
    threads: int = 1,
) -> str | None:
    """What is wrong with suffixes in order; None if nothing.

    Parameters
    ----------
    tokens : (m,) uint16 or uint32
        Any; nothing is compared after the stop token.
    suffixes : (k,) uint32
        Should be the positions below k <= m, sorted as by `SuffixSorter`.
    ranks : (k,) uint32
        Memory that is written to.
    """
    check_tokens(tokens)
    stop = -1 if stop_token is None else stop_token
    kind, rank = _core.check_suffixes(tokens, depth or 0, stop, suffixes, ranks, threads)
    if kind == 0:
        return None
    position = int(suffixes[rank])
    if kind == 1:
        return f"suffix {rank} is at position {position}, of {len(suffixes)}"
    if kind == 2:
        return f"position {position} stands in them twice"
    return f"suffix {rank} is not in order"
