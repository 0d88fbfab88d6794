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

import itertools
import mmap
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat._core import CountedNgrams, Documents, KeyOrder, NgramBuckets, NgramPacking
from ngramstat.errors import InputError
from ngramstat.kernels.tokens import Tokens, check_tokens
from ngramstat.runtime.files import reason

__all__ = ["HashCost", "NgramBatch", "fits_hash", "hash_cost", "hashed_ngrams"]

NgramBatch = tuple[Tokens, NDArray[np.uint64]]

_MAX_KEY_BITS = 128
# N-grams of a bucket: their table fits the second-level cache.
_BUCKET = 1 << 15
_MAX_BUCKET_BITS = 14
# Bits that a bucket may have more than that so that an entry takes 4 or 8 bytes.
_SHORTER_ENTRY_BITS = 12
_LINE = 64
# Bytes of a table per entry of the largest bucket, and per entry of the buckets of one batch.
_TABLE_BYTES = 72
_BATCH_BYTES = 88
_MAX_BATCH = 1 << 20
# Positions of the stream that a thread goes through at a time.
_MIN_CHUNK, _MAX_CHUNK = 1 << 20, 1 << 24
_MAX_CHUNKS = 256
# Reading the tokens once more costs 2 to 3 ns per token, a run some 60 (docs/ngrams.md).
_MAX_ROUNDS = 24
# Runs that are merged at once, and the memory for the part of each that is read.
_MAX_FAN_IN = 128
_RUN_BYTES = 256 << 10
# Memory for a run where a bucket is too large although memory is not limited.
_RUN_MEMORY = 4 << 30
# Sorting by tokens, per n-gram of up to 64 bits and beyond.
_SORT_BYTES, _WIDE_SORT_BYTES = 40, 72
_MORE_SPACE = "free some disk space, name another directory, or raise --memory-limit"
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
    """Memory, rounds and disk space for the n-grams of `n_tokens` tokens."""
    packing = NgramPacking(vocab_size, n)
    whole = _Plan(n_tokens, packing, threads, None)
    plan = _Plan(n_tokens, packing, threads, memory_limit)
    if not plan.spills:
        return HashCost(whole.bytes, plan.rounds, 0)
    run = min(plan.capacity, n_tokens)
    disk = int(n_tokens * _core.run_bytes(packing.key_bits, run))
    # While runs are merged into longer ones, both are there.
    merged = plan.fan_in < -(-n_tokens // plan.capacity)
    return HashCost(whole.bytes, 1, disk * 2 if merged else disk)


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
        Bytes that this may allocate, beside the tokens.
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
    counter = _Counter(
        tokens,
        packing,
        Documents.single(len(tokens)) if documents is None else documents,
        across,
        threads,
        _Runs(directory, packing.key_bits),
        _Advance(len(tokens), progress),
    )
    # Half of the memory is for sorting.
    limit = memory_limit if memory_limit is None or not ordered else memory_limit // 2
    plan = _Plan(len(tokens), packing, threads, limit)
    counted = counter.count(plan, min_count)
    order = KeyOrder.hashed
    if ordered:
        order = KeyOrder.lexicographic
        counted = _sorted(counted, packing, plan, limit, _Runs(directory, packing.key_bits))
    for part in counted:
        for first in range(0, len(part), plan.batch):
            last = min(first + plan.batch, len(part))
            out = np.empty((last - first, n), tokens.dtype)
            part.unpack(packing, order, out, first, threads)
            yield out, part.counts(first, last)


class _Plan:
    """How much is done at a time, and how it is laid out in memory.

    Attributes
    ----------
    capacity : int
        Entries that are in memory at once.
    rounds : int
        Times that the tokens are read.
    spills : bool
        Whether there would be too many, so that runs are written.
    bucket_bits, entry_bytes, chunk : int
        The layout of the entries.
    batch : int
        N-grams that are handed out at once.
    fan_in : int
        Runs that are merged at once.
    """

    def __init__(
        self, n_tokens: int, packing: NgramPacking, threads: int, limit: int | None
    ) -> None:
        self.threads, self.limit = threads, limit
        self._key_bits = packing.key_bits
        self.batch, self.fan_in, largest = _MAX_BATCH, _MAX_FAN_IN, _BUCKET
        self.capacity = max(n_tokens, 1)
        if limit is not None:
            self.batch = min(max(limit // 6 // _BATCH_BYTES, 16), _MAX_BATCH)
            self.fan_in = min(max(limit // 4 // _RUN_BYTES, 2), _MAX_FAN_IN)
            largest = min(max(limit // 8 // (_TABLE_BYTES * threads), 64), _BUCKET)
        self._lay_out(n_tokens, largest)
        self.rounds, self.spills = 1, False
        if limit is None or self.bytes <= limit:
            return
        available = limit // 2
        entries = max(available - self._table_bytes(n_tokens), 0) // self.entry_bytes
        self.rounds = -(-n_tokens // max(entries, 1))
        if self.rounds <= _MAX_ROUNDS:
            # Buckets differ in size.
            self.capacity = entries
            return
        self.become_spilling(n_tokens)

    def become_spilling(self, n_tokens: int) -> None:
        """Plan for runs, each of as many positions as fit."""
        self.spills, self.rounds = True, 1
        available = (_RUN_MEMORY if self.limit is None else self.limit) // 2
        self.capacity = max(available // 24, 64)
        largest = min(max(self.capacity // 8, 64), _BUCKET)
        self._lay_out(self.capacity, largest)
        fixed = self._table_bytes(self.capacity) + self.threads * (_LINE << self.bucket_bits)
        self.capacity = min(
            max((available - fixed) // self.entry_bytes, self.capacity), max(n_tokens, 64), 1 << 31
        )
        self.chunk = min(self.chunk, self.capacity)

    entry_bytes: int
    chunk: int

    def _lay_out(self, n_entries: int, bucket: int) -> None:
        bits = self._key_bits
        self.bucket_bits = min(max(n_entries // bucket, 1).bit_length(), _MAX_BUCKET_BITS, bits)
        self.chunk = min(max(n_entries // _MAX_CHUNKS, _MIN_CHUNK), _MAX_CHUNK)
        # Twice the threads at least, as one of them may be slower.
        self.chunk = max(min(self.chunk, n_entries // (2 * self.threads)), 1)
        for entry_bytes in (4, 8, 16):
            self.entry_bytes = entry_bytes
            missing = bits - 8 * entry_bytes - self.bucket_bits
            more = self.bucket_bits + max(missing, 0)
            # Not if the sizes of the buckets take more than is saved.
            if missing <= 0 or (
                more <= _SHORTER_ENTRY_BITS and (_LINE + 8) << more <= 4 * self.chunk
            ):
                self.bucket_bits = more
                break
        if bits > 64:
            self.entry_bytes = max(self.entry_bytes, 8)

    def _table_bytes(self, n_entries: int) -> int:
        """Sizes of the buckets in each chunk, and half a line that is lost there."""
        return -(-n_entries // self.chunk) * ((8 + _LINE // 2) << self.bucket_bits)

    @property
    def bytes(self) -> int:
        """Memory for one round."""
        largest = max(self.capacity >> self.bucket_bits, 64)
        per_thread = (_LINE << self.bucket_bits) + _TABLE_BYTES * largest
        return (
            self.capacity * self.entry_bytes
            + self._table_bytes(self.capacity)
            + self.threads * per_thread
            + self.batch * _BATCH_BYTES
        )

    @property
    def layout(self) -> tuple[int, int, int]:
        return self.bucket_bits, self.entry_bytes, self.chunk

    def ranges(
        self, sizes: NDArray[np.int64], most: int, at_least: int = 1
    ) -> list[tuple[int, int]]:
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
        tokens: Tokens,
        packing: NgramPacking,
        documents: Documents,
        across: bool,
        threads: int,
        runs: _Runs,
        advance: _Advance,
    ) -> None:
        self._tokens, self._packing = tokens, packing
        self._documents, self._across = documents, across
        self._threads, self._runs, self._advance = threads, runs, advance
        self._group = CountedNgrams()  # what is counted at a time, in memory that is used again

    def count(self, plan: _Plan, min_count: int) -> Iterator[CountedNgrams]:
        if plan.spills:
            yield from self._by_runs(plan, min_count)
        else:
            yield from self._by_rounds(plan, min_count)
        self._advance.finish()

    def _buckets(self, plan: _Plan, first: int, last: int) -> NgramBuckets:
        return NgramBuckets(
            self._tokens, self._packing, self._documents, self._across, (first, last), plan.layout
        )

    def _through(
        self, step: Callable[[int, int, int], None], chunk: int, end: int, share: float
    ) -> None:
        """Calls step(first, last, threads) for all chunks, some at a time."""
        stride = max(_STEP // chunk, self._threads)
        for first in range(0, end, stride):
            last = min(first + stride, end)
            step(first, last, self._threads)
            self._advance(share * (last - first) / end)

    def _by_rounds(self, plan: _Plan, min_count: int) -> Iterator[CountedNgrams]:
        buckets = self._buckets(plan, 0, len(self._tokens))
        share = 0.2 if plan.rounds == 1 else 1 / (plan.rounds + 2)
        self._through(buckets.measure, plan.chunk, buckets.n_chunks, share)
        sizes = buckets.bucket_sizes()
        rounds = plan.ranges(sizes, plan.capacity)
        if int(sizes.max(initial=0)) > min(plan.capacity, (1 << 32) - 1):
            # One bucket, in which a few n-grams are most of the text, does not fit.
            plan.become_spilling(len(self._tokens))
            yield from self._by_runs(plan, min_count)
            return
        for first, last in rounds:
            buckets.start(first, last)
            self._through(buckets.fill, plan.chunk, buckets.n_chunks, 0.3 / len(rounds))
            yield from self._groups(buckets, plan, sizes, (first, last), min_count)

    def _groups(
        self,
        buckets: NgramBuckets,
        plan: _Plan,
        sizes: NDArray[np.int64],
        started: tuple[int, int],
        min_count: int,
    ) -> Iterator[CountedNgrams]:
        begin, end = started
        for first, last in plan.ranges(sizes[begin:end], plan.batch, self._threads):
            buckets.count(begin + first, begin + last, min_count, self._threads, self._group)
            yield self._group

    def _by_runs(self, plan: _Plan, min_count: int) -> Iterator[CountedNgrams]:
        n_tokens = len(self._tokens)
        for first in range(0, n_tokens, plan.capacity):
            last = min(first + plan.capacity, n_tokens)
            buckets = self._buckets(plan, first, last)
            buckets.measure(0, buckets.n_chunks, self._threads)
            sizes = buckets.bucket_sizes()
            buckets.start(0, len(sizes))
            buckets.fill(0, buckets.n_chunks, self._threads)
            groups = self._groups(buckets, plan, sizes, (0, len(sizes)), 1)
            self._runs.write(groups, plan.batch, remaining=(n_tokens - last) / (last - first))
            self._advance(0.7 * (last - first) / n_tokens)
        yield from self._runs.merged(plan.fan_in, plan.batch, min_count)


class _Runs:
    """Sorted runs in a temporary file that has no name, so that it vanishes with the process."""

    def __init__(self, directory: str | PathLike[str] | None, key_bits: int) -> None:
        self._directory = Path(tempfile.gettempdir() if directory is None else directory)
        self._key_bits = key_bits
        self._file: IO[bytes] | None = None
        self._ends = [0]

    def __len__(self) -> int:
        return len(self._ends) - 1

    def write(self, groups: Iterable[CountedNgrams], batch: int, *, remaining: float = 0.0) -> None:
        """Write a run; `remaining` runs of about the same size are to follow."""
        try:
            if self._file is None:
                self._directory.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=self._directory, buffering=0)  # noqa: SIM115
            start = end = self._ends[-1]
            encoder = _core.RunEncoder(self._key_bits)
            for group in groups:
                for first in range(0, len(group), batch):
                    data = encoder.encode(group, first, min(first + batch, len(group)))
                    self._write(data)
                    end += data.nbytes
            self._ends.append(end)
            self._require(int((end - start) * remaining))
        except OSError as error:
            self.close()
            raise InputError(
                f"{self._directory}: no room for a temporary file of more than {self._ends[-1]:,} "
                f"bytes ({reason(error)}); {_MORE_SPACE}"
            ) from error

    def _write(self, data: NDArray[np.uint8]) -> None:
        assert self._file is not None
        view = data.data
        while view.nbytes > 0:
            view = view[self._file.write(view) :]

    def _require(self, more: int) -> None:
        free = shutil.disk_usage(self._directory).free
        if more > free:
            self.close()
            raise InputError(
                f"{self._directory}: temporary files need about {more:,} bytes more, and "
                f"{free:,} are free; {_MORE_SPACE}"
            )

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def merged(self, fan_in: int, batch: int, min_count: int) -> Iterator[CountedNgrams]:
        """The n-grams of all runs, whose counts are added, if they add up to min_count."""
        runs = self
        while len(runs) > fan_in:
            longer = _Runs(self._directory, self._key_bits)
            for first in range(0, len(runs), fan_in):
                group = runs._merge(first, min(first + fan_in, len(runs)), batch, 1)
                longer.write(group, batch, remaining=max(len(runs) - first - fan_in, 0) / fan_in)
            runs.close()
            runs = longer
        yield from runs._merge(0, len(runs), batch, min_count)
        runs.close()

    def _merge(self, first: int, last: int, batch: int, min_count: int) -> Iterator[CountedNgrams]:
        begin, end = self._ends[first], self._ends[last]
        if begin == end:
            return
        assert self._file is not None
        mapping = mmap.mmap(self._file.fileno(), self._ends[-1], access=mmap.ACCESS_READ)
        data = np.frombuffer(mapping, np.uint8)
        bounds = self._ends[first : last + 1]
        parts = [data[a:b] for a, b in itertools.pairwise(bounds)]
        merger = _core.RunMerger(parts, self._key_bits)
        while len(merged := merger.next(batch, min_count)) > 0:
            yield merged
            if hasattr(mmap, "MADV_DONTNEED"):
                # What has been read stays in memory otherwise, as long as the system has room.
                mapping.madvise(mmap.MADV_DONTNEED)


def _sorted(
    counted: Iterator[CountedNgrams],
    packing: NgramPacking,
    plan: _Plan,
    limit: int | None,
    runs: _Runs,
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
