"""Counts of all n-grams of one order, by hashing: without sorting the suffixes.

An n-gram is one integer, its tokens side by side in ceil(log2(V)) bits each, as long as that fits
16 bytes (`fits_hash`). Its hash is a bijection of these integers, so that the hashes alone are
kept, divided into buckets that are counted one by one in an open-addressing table in the cache.

Under a memory limit the tokens are read several times, for some of the buckets each time; nothing
but the tokens is read or written then. Where that would take too many rounds, parts of the tokens
are counted one after the other, and what was found goes to a temporary file as a sorted run; the
runs are merged in the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat._core import CountedNgrams, Documents, KeyOrder, NgramBuckets, NgramPacking
from ngramstat.kernels.sorted_runs import SortedRuns
from ngramstat.kernels.tokens import Tokens, check_tokens

__all__ = ["HashCost", "NgramBatch", "fits_hash", "hash_cost", "hashed_ngrams"]

NgramBatch = tuple[Tokens, NDArray[np.uint64]]

_MAX_KEY_BITS = 128
# Entries of a bucket, on average: their table fits the second-level cache.
_BUCKET, _MIN_BUCKET = 1 << 15, 64
_MAX_BUCKET_BITS = 14
# More buckets than that calls for, if an entry then takes 4 or 8 bytes.
_SHORTER_ENTRY_BITS = 12
_LINE = 64
# Bytes of a table per entry of the largest bucket, and per entry of the buckets of one batch.
_TABLE_BYTES = 72
_BATCH_BYTES = 88
_MIN_BATCH, _MAX_BATCH = 16, 1 << 20
# Positions of the stream that a thread goes through at a time.
_MIN_CHUNK, _MAX_CHUNK = 1 << 20, 1 << 24
_MAX_CHUNKS = 256
# More rounds than this are slower than runs: a round costs 3 to 6 ns per token, and runs 45 to 110
# beyond the first round (11 M tokens of Wikipedia, n-grams of 3 to 9 tokens, 2026-11).
_MAX_ROUNDS = 16
# Positions of a run, whose counts take 32 bits.
_MAX_RUN = (1 << 32) - 1
# Runs that are merged at once, and memory for the pages of each that are read.
_MAX_FAN_IN = 128
_RUN_BYTES = 256 << 10
# Sorting by tokens, per n-gram of up to 64 bits and beyond.
_SORT_BYTES, _WIDE_SORT_BYTES = 40, 72
# Without a limit: fresh memory costs more than another round.
_DEFAULT_MEMORY = 4 << 30
# Positions between two looks at whether the user wants to stop.
_STEP = 1 << 26


@dataclass(frozen=True)
class HashCost:
    """What counting by hashes takes.

    Attributes
    ----------
    memory_bytes : int
        With all n-grams in memory at once.
    rounds : int
        How many times the tokens are read under the memory limit, after once for the sizes.
    disk_bytes : int
        Temporary files, at most; 0 where the rounds need none. Those for `ordered` are not counted:
        they hold the n-grams that occur often enough.
    """

    memory_bytes: int
    rounds: int
    disk_bytes: int


def fits_hash(vocab_size: int, n: int) -> bool:
    """Whether n-grams over this vocabulary fit 16 bytes: ceil(log2(vocab_size)) * n <= 128."""
    return n >= 1 and (vocab_size - 1).bit_length() * n <= _MAX_KEY_BITS


def hash_cost(
    n_tokens: int, vocab_size: int, n: int, *, threads: int = 1, memory_limit: int | None = None
) -> HashCost:
    """Memory, rounds and disk space for the n-grams of `n_tokens` tokens.

    Parameters
    ----------
    memory_limit : int, optional
        As in `hashed_ngrams`.
    """
    packing = NgramPacking(vocab_size, n)
    whole = _plan(n_tokens, packing, threads, 1 << 62)
    plan = _plan(n_tokens, packing, threads, _limit(memory_limit))
    if not plan.spills:
        return HashCost(whole.bytes, plan.rounds, 0)
    runs = -(-n_tokens // plan.capacity)
    ngrams = min(plan.capacity, 1 << packing.key_bits)
    disk = int(runs * ngrams * _core.run_bytes(packing.key_bits, ngrams))
    # While runs are merged into longer ones, both are there.
    return HashCost(whole.bytes, 1, disk * 2 if runs > plan.fan_in else disk)


def hashed_ngrams(
    tokens: Tokens,
    vocab_size: int,
    n: int,
    *,
    min_count: int = 1,
    documents: Documents | None = None,
    across: bool = True,
    ordered: bool = False,
    threads: int = 1,
    memory_limit: int | None = None,
    directory: str | PathLike[str] | None = None,
    progress: Any = None,
) -> Iterator[NgramBatch]:
    """All n-grams that occur at least `min_count` times, in batches of bounded size.

    Parameters
    ----------
    tokens : (T,) uint16 or uint32
    vocab_size : int
    n : int
        Tokens of an n-gram; `fits_hash` says whether they fit.
    min_count : int
        At least 1.
    documents : Documents, optional
        By default the whole stream is one document.
    across : bool
        True: n-grams run across the whole stream. False: they stay inside documents, of which
        separators are a part.
    ordered : bool
        In lexicographic order of the token ids. Otherwise in the order of their hashes, which is
        the same for any tokens, threads and memory limit.
    memory_limit : int, optional
        Bytes that this may allocate, beside the tokens; by default 4 GB (and for `ordered` all
        that is found).
    directory : path, optional
        Where temporary files go; by default the system's directory for them.
    progress : object with ``advance(tokens)``, optional

    Yields
    ------
    tokens : (k, n) of the dtype of `tokens`
    counts : (k,) uint64

    Raises
    ------
    IndexError
        A token is not below vocab_size.
    ValueError
        For n-grams that do not fit, a `min_count` below 1, or documents that do not cover the
        tokens.
    InputError
        There is not enough disk space for temporary files.
    """
    check_tokens(tokens)
    packing = NgramPacking(vocab_size, n)
    if min_count < 1:
        raise ValueError(f"min_count={min_count}: must be at least 1")
    if documents is None:
        documents = Documents.single(len(tokens))
    if documents.n_tokens != len(tokens):
        raise ValueError(
            f"documents: end at {documents.n_tokens:,}, but there are {len(tokens):,} tokens"
        )
    # Half of the memory is for sorting.
    limit = _limit(memory_limit) // (2 if ordered else 1)
    plan = _plan(len(tokens), packing, threads, limit)
    counter = _Counter(
        (tokens, packing, documents, across),
        plan,
        limit,
        SortedRuns(directory, packing.key_bits),
        _Advance(len(tokens), progress),
    )
    counted = counter.count(min_count)
    if ordered:
        runs = SortedRuns(directory, packing.key_bits)
        counted = _sorted(counted, packing, plan, None if memory_limit is None else limit, runs)
    order = KeyOrder.lexicographic if ordered else KeyOrder.hashed
    return _batches(counted, tokens.dtype, packing, order, plan)


def _batches(
    counted: Iterator[CountedNgrams],
    dtype: np.dtype[Any],
    packing: NgramPacking,
    order: KeyOrder,
    plan: _Plan,
) -> Iterator[NgramBatch]:
    for part in counted:
        for first in range(0, len(part), plan.batch):
            last = min(first + plan.batch, len(part))
            tokens = np.empty((last - first, packing.n), dtype)
            part.unpack(packing, order, tokens, first, plan.threads)
            yield tokens, part.counts(first, last)


def _limit(memory_limit: int | None) -> int:
    return _DEFAULT_MEMORY if memory_limit is None else memory_limit


@dataclass(frozen=True)
class _Layout:
    """How entries lie in memory: see BucketLayout in the C++ core."""

    bucket_bits: int
    entry_bytes: int
    chunk: int

    def overhead(self, n_entries: int, threads: int) -> int:
        """Bytes beside so many entries: sizes of the buckets, what is lost at line ends, tables."""
        per_chunk = (8 + _LINE // 2) << self.bucket_bits
        largest = max(2 * n_entries >> self.bucket_bits, _MIN_BUCKET)
        per_thread = (_LINE << self.bucket_bits) + _TABLE_BYTES * largest
        return -(-n_entries // self.chunk) * per_chunk + threads * per_thread


def _layout(n_entries: int, key_bits: int, bucket: int, threads: int) -> _Layout:
    """For so many entries, in buckets of at most that many on average."""
    bits = min(max(n_entries // bucket, 1).bit_length(), _MAX_BUCKET_BITS, key_bits)
    chunk = min(max(n_entries // _MAX_CHUNKS, _MIN_CHUNK), _MAX_CHUNK)
    # Twice the threads at least, as one of them may be slower.
    chunk = max(min(chunk, n_entries // (2 * threads)), 1)
    for entry_bytes in (4, 8) if key_bits <= 64 else (8,):
        needed = max(key_bits - 8 * entry_bytes, bits)
        # Not if the sizes of the buckets take more than is saved.
        few = needed <= _SHORTER_ENTRY_BITS and (_LINE + 8) << needed <= 4 * chunk
        if needed == bits or few:
            return _Layout(needed, entry_bytes, chunk)
    return _Layout(bits, 8 if key_bits <= 64 else 16, chunk)


@dataclass(frozen=True)
class _Plan:
    """How much is done at a time.

    Attributes
    ----------
    layout : _Layout
    capacity : int
        Entries that are in memory at once.
    rounds : int
        Times that the tokens are read.
    spills : bool
        Whether that would be too often, so that runs of `capacity` positions are written.
    batch : int
        N-grams that are handed out at once.
    fan_in : int
        Runs that are merged at once.
    threads : int
    """

    layout: _Layout
    capacity: int
    rounds: int
    spills: bool
    batch: int
    fan_in: int
    threads: int

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return (
            self.capacity * self.layout.entry_bytes
            + self.layout.overhead(self.capacity, self.threads)
            + self.batch * _BATCH_BYTES
        )


def _plan(n_tokens: int, packing: NgramPacking, threads: int, limit: int) -> _Plan:
    """In one round or several, or else by runs."""
    batch = min(max(limit // 6 // _BATCH_BYTES, _MIN_BATCH), _MAX_BATCH)
    fan_in = min(max(limit // 4 // _RUN_BYTES, 2), _MAX_FAN_IN)
    bucket = min(max(limit // 16 // (_TABLE_BYTES * threads), _MIN_BUCKET), _BUCKET)
    layout = _layout(n_tokens, packing.key_bits, bucket, threads)
    whole = _Plan(layout, max(n_tokens, 1), 1, False, batch, fan_in, threads)
    if whole.bytes <= limit:
        return whole
    available = limit - batch * _BATCH_BYTES - layout.overhead(n_tokens, threads)
    capacity = max(available * 7 // 8, 0) // layout.entry_bytes
    # Buckets differ in size, so that a round is seldom full.
    rounds = math.ceil(1.1 * max(n_tokens, 1) / max(capacity, 1))
    if rounds <= _MAX_ROUNDS:
        return replace(whole, capacity=capacity, rounds=rounds)
    return _plan_of_runs(whole, n_tokens, packing.key_bits, limit)


def _plan_of_runs(plan: _Plan, n_tokens: int, key_bits: int, limit: int) -> _Plan:
    """The same plan with runs, each of as many positions as fit."""
    available = limit - plan.batch * _BATCH_BYTES
    # With a limit that is too small for anything, a run still has some positions.
    capacity = min(max(available // 2 // 20, _MIN_BUCKET), max(n_tokens, 1), _MAX_RUN)
    bucket = min(max(capacity // 8, _MIN_BUCKET), _BUCKET)
    layout = _layout(capacity, key_bits, bucket, plan.threads)
    fits = (available - layout.overhead(capacity, plan.threads)) * 7 // 8 // layout.entry_bytes
    # The overhead grows with the capacity, if not as fast.
    capacity = min(max(fits // 2, capacity), max(n_tokens, 1), _MAX_RUN)
    return replace(plan, layout=layout, capacity=capacity, rounds=1, spills=True)


def _ranges(sizes: NDArray[np.int64], most: int, at_least: int = 1) -> list[tuple[int, int]]:
    """Ranges of buckets with at most so many entries, unless they are `at_least` buckets."""
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    ranges: list[tuple[int, int]] = []
    start = 0
    while start < len(sizes):
        end = int(np.searchsorted(before, before[start] + most, side="right")) - 1
        end = min(max(end, start + at_least), len(sizes))
        ranges.append((start, end))
        start = end
    return ranges


class _Advance:
    """Reports the work that is done as tokens, of which there are fewer than parts of the work."""

    def __init__(self, n_tokens: int, progress: Any) -> None:
        self._n_tokens, self._progress = n_tokens, progress
        self._done, self._reported = 0.0, 0

    def __call__(self, share: float) -> None:
        self._done += share
        tokens = min(int(self._done * self._n_tokens), self._n_tokens)
        if self._progress is not None and tokens > self._reported:
            self._progress.advance(tokens - self._reported)
            self._reported = tokens

    def finish(self) -> None:
        self(2.0)


class _Counter:
    """Counts the n-grams of a stream, in the order of their hashes."""

    def __init__(
        self,
        stream: tuple[Tokens, NgramPacking, Documents, bool],
        plan: _Plan,
        limit: int,
        runs: SortedRuns,
        advance: _Advance,
    ) -> None:
        self._stream, self._plan, self._limit = stream, plan, limit
        self._runs, self._advance = runs, advance
        self._n_tokens = len(stream[0])
        self._group = CountedNgrams()  # what is counted at a time, in memory that is used again

    def count(self, min_count: int) -> Iterator[CountedNgrams]:
        """Groups of n-grams; each is valid until the next."""
        if not self._plan.spills:
            buckets = self._buckets(self._plan, 0, self._n_tokens)
            self._through(buckets, buckets.measure, 0.2 / self._plan.rounds)
            sizes = buckets.bucket_sizes()
            # A few n-grams may be most of the text, and one bucket too large for a round.
            if int(sizes.max(initial=0)) <= min(self._plan.capacity, _MAX_RUN):
                yield from self._by_rounds(buckets, sizes, min_count)
                self._advance.finish()
                return
            del buckets
        yield from self._by_runs(min_count)
        self._advance.finish()

    def _buckets(self, plan: _Plan, first: int, last: int) -> NgramBuckets:
        tokens, packing, documents, across = self._stream
        layout = plan.layout
        return NgramBuckets(
            tokens,
            packing,
            documents,
            across,
            (first, last),
            (layout.bucket_bits, layout.entry_bytes, layout.chunk),
        )

    def _through(
        self, buckets: NgramBuckets, step: Callable[[int, int, int], None], share: float
    ) -> None:
        """Call step(first, last, threads) for all chunks, some at a time."""
        threads, end = self._plan.threads, buckets.n_chunks
        stride = max(_STEP // self._plan.layout.chunk, threads)
        for first in range(0, end, stride):
            last = min(first + stride, end)
            step(first, last, threads)
            self._advance(share * (last - first) / end)

    def _by_rounds(
        self, buckets: NgramBuckets, sizes: NDArray[np.int64], min_count: int
    ) -> Iterator[CountedNgrams]:
        rounds = _ranges(sizes, self._plan.capacity)
        for first, last in rounds:
            buckets.start(first, last)
            self._through(buckets, buckets.fill, 0.3 / len(rounds))
            share = 0.5 / len(sizes)
            yield from self._groups(buckets, sizes, first, last, min_count, share)

    def _groups(
        self,
        buckets: NgramBuckets,
        sizes: NDArray[np.int64],
        begin: int,
        end: int,
        min_count: int,
        share: float,
    ) -> Iterator[CountedNgrams]:
        threads = self._plan.threads
        for first, last in _ranges(sizes[begin:end], self._plan.batch, threads):
            buckets.count(begin + first, begin + last, min_count, threads, self._group)
            yield self._group
            self._advance(share * (last - first))

    def _by_runs(self, min_count: int) -> Iterator[CountedNgrams]:
        plan, n_tokens = self._plan, self._n_tokens
        if not plan.spills:
            plan = _plan_of_runs(plan, n_tokens, self._stream[1].key_bits, self._limit)
        for first in range(0, n_tokens, plan.capacity):
            last = min(first + plan.capacity, n_tokens)
            buckets = self._buckets(plan, first, last)
            buckets.measure(0, buckets.n_chunks, plan.threads)
            sizes = buckets.bucket_sizes()
            buckets.start(0, len(sizes))
            buckets.fill(0, buckets.n_chunks, plan.threads)
            share = 0.7 * (last - first) / n_tokens / len(sizes)
            groups = self._groups(buckets, sizes, 0, len(sizes), 1, share)
            self._runs.write(groups, plan.batch, following=(n_tokens - last) / (last - first))
            del buckets, groups
        yield from self._runs.merged(plan.fan_in, plan.batch, min_count)


def _sorted(
    counted: Iterator[CountedNgrams],
    packing: NgramPacking,
    plan: _Plan,
    limit: int | None,
    runs: SortedRuns,
) -> Iterator[CountedNgrams]:
    """In lexicographic order, by sorted runs where not all fit the limit."""
    item = _SORT_BYTES if packing.key_bits <= 64 else _WIDE_SORT_BYTES
    most = None if limit is None else max(limit // item, 16)
    parts: list[CountedNgrams] = []
    size = 0
    for part in counted:
        if most is not None and size > 0 and size + len(part) > most:
            runs.write([_core.sort_ngrams(parts, packing, plan.threads)], plan.batch)
            parts, size = [], 0
        parts.append(CountedNgrams(part))
        size += len(part)
    last = _core.sort_ngrams(parts, packing, plan.threads)
    del parts
    if len(runs) == 0:
        yield last
        return
    runs.write([last], plan.batch)
    del last
    yield from runs.merged(plan.fan_in, plan.batch, 1)
