"""Sorted suffixes, and n-grams of every order, counted in one sweep over them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat._core import Documents
from ngramstat.kernels.gpu_dispatch import devices_for, gpu_tokens, spread
from ngramstat.kernels.tokens import (
    Tokens,
    check_tokens,
    position_bytes,
    token_ranges,
)
from ngramstat.runtime.gpus import Backend, Gpus, open_gpus

__all__ = [
    "LEAST_STEP",
    "CutNgram",
    "Cuts",
    "NgramCounts",
    "NgramStatistics",
    "Share",
    "Steps",
    "SuffixCost",
    "SuffixRange",
    "add_statistics",
    "blocks_at_once",
    "count_ngrams",
    "mark_copies",
    "positions_that_fit",
    "statistics_of_steps",
    "step_tokens",
    "suffix_array",
    "suffix_cost",
]

# Fraction of a block, with the most frequent second tokens, that is copied while it is sorted.
_MOVED_FRACTION = 0.25
# Labels of a position in the block that is being counted.
_MEMBER_BYTES = 8
# Positions of a step that fit any memory: a token or n-gram that occurs as often is never cut.
LEAST_STEP = 1 << 16
# Maximum number of positions in a step of a GPU.
_GPU_STEP = 1 << 30


@dataclass(frozen=True)
class NgramCounts:
    """Counts of counts of n-grams over one set of targets; see `count_ngrams`.

    Attributes
    ----------
    targets : int
        Tokens that were counted as the last of an n-gram.
    ngrams, contexts : tuple of (k, 2) uint64
        For n = 0 .. max_context: rows (count c, number of distinct n-grams seen c times), of the
        (n+1)-grams that end at a target and of the n-grams just before one.
    """

    targets: int
    ngrams: tuple[NDArray[np.uint64], ...]
    contexts: tuple[NDArray[np.uint64], ...]


@dataclass(frozen=True)
class NgramStatistics:
    """N-grams of all targets and of subsets of them, and log losses by clusters of documents.

    Attributes
    ----------
    whole : NgramCounts
    halves, quarters : tuple of NgramCounts
        The same over the targets in two halves and four quarters of the documents.
    losses : (n_clusters, n_contexts) int64
        Sum over the targets in a cluster of documents of ln(occurrences of the context) -
        ln(occurrences of the n-gram), in units of 2^-LOSS_BITS; the context's part is missing
        for n = 0.
    group_targets : (n_clusters,) uint64
    """

    whole: NgramCounts
    halves: tuple[NgramCounts, ...]
    quarters: tuple[NgramCounts, ...]
    losses: NDArray[np.int64]
    group_targets: NDArray[np.uint64]

    @classmethod
    def sum_of(cls, parts: Sequence[NgramStatistics]) -> NgramStatistics:
        """Those of all n-grams from those of some of them each, such as a range of last tokens."""
        subsets = [(part.whole, *part.halves, *part.quarters) for part in parts]
        steps = [
            (
                [(list(s.ngrams), list(s.contexts), s.targets) for s in of_part],
                part.losses,
                part.group_targets,
            )
            for of_part, part in zip(subsets, parts, strict=True)
        ]
        n_clusters, n_contexts = parts[0].losses.shape
        return statistics_of_steps([(step, 0) for step in steps], n_contexts - 1, n_clusters)


def add_statistics(ranges: Sequence[NgramStatistics]) -> NgramStatistics:
    """What ranges of last tokens that partition the vocabulary add up to; see `count_ngrams`."""

    def added(subsets: Sequence[NgramCounts]) -> NgramCounts:
        tables = _SubsetTables(len(subsets[0].ngrams) - 1)
        for subset in subsets:
            tables.add(subset.ngrams, subset.contexts, subset.targets)
        return tables.counts()

    return NgramStatistics(
        added([part.whole for part in ranges]),
        tuple(map(added, zip(*(part.halves for part in ranges), strict=True))),
        tuple(map(added, zip(*(part.quarters for part in ranges), strict=True))),
        np.sum([part.losses for part in ranges], axis=0),
        np.sum([part.group_targets for part in ranges], axis=0, dtype=np.uint64),
    )


def step_tokens(n_tokens: int, threads: int) -> int:
    """Maximum number of tokens of a step over sorted suffixes, where memory allows it.

    A token takes some 70 ns per thread (2 cores of an EPYC, 2026-11), so that a step takes a second
    or two. Long streams have at most six steps or so, as each step reads the whole stream.
    """
    return max(24_000_000 * threads, n_tokens // 6)


@dataclass(frozen=True)
class SuffixCost:
    """Memory for sorted suffixes.

    Attributes
    ----------
    entry_bytes : int
        Per position in the range of a step.
    block_bytes : int
        In addition, per position of each block that a worker is sorting.
    reads_text : bool
        Whether the tokens are read at random, so that they should stay in memory.
    """

    entry_bytes: int
    block_bytes: int
    reads_text: bool


def suffix_cost(
    n_tokens: int,
    vocab_size: int,
    depth: int,
    *,
    counting_ngrams: bool = False,
    with_positions: bool = False,
) -> SuffixCost:
    """Memory for sorting by `depth` symbols, for Kneser-Ney or to count n-grams."""
    entry, reads_text = _core.suffix_packing(vocab_size, depth)
    common_prefix = 1
    members = _MEMBER_BYTES if counting_ngrams else 0
    with_positions |= counting_ngrams or reads_text
    positions = position_bytes(n_tokens) if with_positions else 0
    moved = entry + positions
    block = moved + common_prefix + members + math.ceil(_MOVED_FRACTION * moved)
    return SuffixCost(entry, block, reads_text)


def positions_that_fit(cost: SuffixCost, budget: int, largest_blocks: int) -> int:
    """Positions of a step's range within this many bytes, at least 1.

    Parameters
    ----------
    cost : SuffixCost
    budget : int
        Bytes.
    largest_blocks : int
        Positions of the largest blocks, those of the most frequent tokens, one for each worker.
        Workers are at these at worst, or at all of a small range.
    """
    beside_blocks = (budget - largest_blocks * cost.block_bytes) // cost.entry_bytes
    return max(beside_blocks, budget // (cost.entry_bytes + cost.block_bytes), 1)


def blocks_at_once(occurrences: NDArray[np.int64], threads: int) -> int:
    """Positions of the blocks that the workers sort at one time, at most.

    A block holds the positions of one token or, of a large vocabulary, of some consecutive ones.
    """
    tokens = _core.tokens_of_block(max(len(occurrences), 1))
    if tokens == 1:
        return int(np.sort(occurrences)[-threads:].sum())
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(occurrences)])
    # Wherever the first block begins.
    largest = int((before[tokens:] - before[:-tokens]).max())
    return min(threads * largest, int(before[-1]))


def suffix_array(
    tokens: Tokens,
    vocab_size: int,
    *,
    depth: int,
    backward: bool = False,
    stop_token: int | None = None,
    threads: int = 1,
    backend: Backend = "cpu",
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Positions sorted by their first `depth` symbols, and common prefixes of adjacent suffixes.

    Parameters
    ----------
    tokens : (n,) uint16 or uint32
    vocab_size : int
    depth : int
        Symbols compared, 1 .. 255. A suffix that ends sorts before its extensions; equal ones
        keep the order of their positions.
    backward : bool
        Read x[i], x[i-1], ... instead of x[i], x[i+1], ...
    stop_token : int, optional
        Sequences end after the first such token beyond their first symbol.
    backend : str or Gpus
        ``auto``, ``cpu``, ``cuda`` or open devices, of which the first sorts. The order is the
        same.

    Returns
    -------
    suffixes : (n,) int64
    lcp : (n,) uint8
        Symbols shared with the suffix before, at most depth; 0 for the first.

    Raises
    ------
    IndexError
        A token is not below vocab_size.
    ValueError
        For a depth outside 1 .. 255.
    """
    stop = -1 if stop_token is None else stop_token
    if gpus := open_gpus(backend):
        stream = gpu_tokens(tokens)
        gpu = devices_for(gpus, stream)[0]
        return gpu.suffix_array(stream, vocab_size, depth, backward, stop)
    check_tokens(tokens)
    return _core.suffix_array(tokens, vocab_size, depth, backward, stop, threads)


def mark_copies(
    scored: Tokens, documents: Documents, training: Tokens, *, length: int, threads: int = 1
) -> NDArray[np.bool_]:
    """Which tokens lie in a passage that also stands in another stream, (n,) bool.

    Parameters
    ----------
    scored : (n,) uint16 or uint32
    documents : Documents
        Of `scored`; a passage stays inside one of them.
    training : (m,) of the same dtype
        The stream to look in.
    length : int
        Consecutive tokens that make a passage, at least 1. A longer one consists of several.

    Raises
    ------
    TypeError
        The streams differ in dtype.
    ValueError
        For a length below 1, or documents that do not cover `scored`.
    """
    check_tokens(scored, "scored")
    check_tokens(training, "training")
    if scored.dtype != training.dtype:
        raise TypeError(f"training: has dtype {training.dtype}, but scored has {scored.dtype}")
    return _core.mark_copies(scored, documents, training, length, threads).view(np.bool_)


def _merge_tables(tables: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    stacked = np.concatenate([np.zeros((0, 2), np.uint64), *tables])
    counts, inverse = np.unique(stacked[:, 0], return_inverse=True)
    numbers = np.zeros(len(counts), np.uint64)
    np.add.at(numbers, inverse, stacked[:, 1])
    return np.stack([counts, numbers], axis=1)


@dataclass(frozen=True)
class SuffixRange:
    """N-grams of one step: those that end with a token of a range, or with that and a prefix.

    Attributes
    ----------
    first, last : int
        Range of the last token; with a prefix, of the token before the prefix.
    size : int
        Their positions.
    prefix : tuple of int
        Tokens that every n-gram of the step ends with, last token first.
    """

    first: int
    last: int
    size: int
    prefix: tuple[int, ...] = ()


@dataclass(frozen=True)
class CutNgram:
    """An n-gram too frequent for one step, whose extensions are counted in several.

    Attributes
    ----------
    tokens : tuple of int
        Last token first.
    before : (V + 1,) int64
        Its occurrences by the token before them: at the beginning of the stream, then after each
        token.
    """

    tokens: tuple[int, ...]
    before: NDArray[np.int64]


@dataclass(frozen=True)
class Cuts:
    """How n-grams that are too frequent for one step are cut by the token before them.

    Attributes
    ----------
    depth : int
        Tokens of the longest n-grams.
    stop_token : int
        Contexts extend back to this token and no further; -1: none.
    """

    depth: int
    stop_token: int = -1


@dataclass(frozen=True)
class Share:
    """One of several ranges of last tokens with about as many occurrences each.

    Attributes
    ----------
    number : int
        0 .. of - 1.
    of : int
    """

    number: int
    of: int

    def range_of(self, occurrences: NDArray[np.int64]) -> tuple[int, int]:
        """First token, and the one after the last; both are the same where it is empty.

        `occurrences` are those of each token id, of at least one.
        """
        after = np.cumsum(occurrences)
        # Cut after the token with which a multiple of the share is reached.
        shares = int(after[-1]) * np.arange(1, self.of) / self.of
        ends = [0, *(np.searchsorted(after, shares) + 1).tolist(), len(after)]
        return ends[self.number], ends[self.number + 1]

    def clip(
        self, ranges: Sequence[tuple[int, int]], occurrences: NDArray[np.int64]
    ) -> list[tuple[int, int]]:
        """The part of each range that lies in this one, where there is any."""
        first, last = self.range_of(occurrences)
        inside = ((max(start, first), min(end, last)) for start, end in ranges)
        return [(start, end) for start, end in inside if start < end]


class Steps:
    """Ranges of token ids for one sweep over sorted suffixes: bounded memory, seconds each.

    Tokens before `first_event` only serve as context. With `share` the sweep is over one range of
    the last tokens of n-grams.
    """

    def __init__(
        self,
        tokens: Tokens,
        vocab_size: int,
        threads: int,
        memory_limit: int | None,
        cost: SuffixCost,
        *,
        first_event: int = 0,
        share: Share | None = None,
    ) -> None:
        events = tokens[first_event:]
        budget = step_tokens(len(events), threads)
        self.occurrences = _core.token_counts(events, vocab_size, threads)
        self._tokens, self._vocab_size, self._threads = tokens, vocab_size, threads
        self._first_event = first_event
        # Positions that fit even where all of them are one block.
        self._largest = max(len(events), 1)
        if memory_limit is not None:
            # At worst, the workers sort the largest blocks, or all of a small range.
            largest_blocks = blocks_at_once(self.occurrences, threads)
            budget = min(budget, positions_that_fit(cost, memory_limit, largest_blocks))
            fits = positions_that_fit(cost, memory_limit, len(events))
            self._largest = max(fits, LEAST_STEP)
        self.ranges = token_ranges(self.occurrences, budget)
        if share is not None:
            self.ranges = share.clip(self.ranges, self.occurrences)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        for first, last in self.ranges:
            yield first, last, int(self.occurrences[first:last].sum())

    def cut(self, cuts: Cuts) -> Iterator[SuffixRange | CutNgram]:
        """Steps of bounded memory: tokens too frequent for one are cut by the token before.

        Each n-gram that is cut comes before the ranges of its extensions.
        """
        for first, last, size in self:
            # Ranges of several tokens fit; one of a single token is whatever that is.
            if last - first == 1 and size > self._largest:
                yield from self._cut((first,), cuts)
            elif size:
                yield SuffixRange(first, last, size)

    def _cut(self, ngram: tuple[int, ...], cuts: Cuts) -> Iterator[SuffixRange | CutNgram]:
        before = _core.tokens_before(
            self._tokens,
            self._vocab_size,
            self._first_event,
            len(self._tokens),
            ngram,
            self._threads,
        )
        yield CutNgram(ngram, before)
        stop = cuts.stop_token
        if len(ngram) == cuts.depth or (len(ngram) > 1 and ngram[-1] == stop):
            return
        after = before[1:]
        # Nothing precedes a stop token: what it begins is known from its occurrences.
        bounds = [0, len(after)] if stop < 0 else [0, stop, stop + 1, len(after)]
        for start, end in pairwise(bounds):
            for first, last in token_ranges(after[start:end], self._largest):
                size = int(after[start + first : start + last].sum())
                if size > self._largest or (size and start == stop):
                    yield from self._cut((*ngram, start + first), cuts)
                elif size:
                    yield SuffixRange(start + first, start + last, size, ngram)


def count_ngrams(
    tokens: Tokens,
    vocab_size: int,
    *,
    max_context: int,
    documents: Documents | None = None,
    across: bool = True,
    threads: int = 1,
    memory_limit: int | None = None,
    progress: Any = None,
    backend: Backend = "cpu",
    share: Share | None = None,
) -> NgramStatistics:
    """Counts of counts of all n-grams up to max_context + 1 tokens.

    Targets are the tokens with at least max_context tokens before them in the stream (with
    ``across=False``, in their document): one population for every n, so that H_n falls with n
    (docs/theory.md 13).

    Parameters
    ----------
    tokens : (n,) uint16 or uint32
    vocab_size : int
    max_context : int
        0 .. 254.
    documents : Documents, optional
        Their folds make the halves and quarters, their clusters the groups of the losses. By
        default the whole stream is one document of the first quarter.
    across : bool
        True: n-grams run across the whole stream. False: they stay inside documents, of which
        separators are a part.
    progress : object with ``advance(tokens)``, optional
    backend : str or Gpus
        ``auto``, ``cpu``, ``cuda`` or open devices, whose own memory limits apply; several devices
        divide the n-grams by their last token. The counts are the same.
    share : Share, optional
        Count only n-grams, and targets, whose last token lies in one of several ranges; those of
        all ranges add up (`add_statistics`).

    Raises
    ------
    IndexError
        A token is not below vocab_size.
    ValueError
        The last document does not end where the stream ends.
    """
    if documents is None:
        documents = Documents.single(len(tokens))
    if gpus := open_gpus(backend):
        steps = _steps_on_gpus(gpus, tokens, vocab_size, max_context, documents, across, share)
    else:
        steps = _steps_on_cpu(
            tokens, vocab_size, max_context, documents, across, threads, memory_limit, share
        )
    return statistics_of_steps(steps, max_context, documents.n_clusters, progress)


def statistics_of_steps(
    steps: Iterable[tuple[Any, int]], max_context: int, n_clusters: int, progress: Any = None
) -> NgramStatistics:
    """The sum of what the kernel counted in some steps, each with its number of tokens."""
    parts = [_SubsetTables(max_context) for _ in range(7)]
    losses = np.zeros((n_clusters, max_context + 1), np.int64)
    group_targets = np.zeros(n_clusters, np.uint64)
    for (subsets, more_losses, more_targets), size in steps:
        for part, more in zip(parts, subsets, strict=True):
            part.add(*more)
        losses += more_losses
        group_targets += more_targets
        if progress is not None:
            progress.advance(size)
    whole, *rest = (part.counts() for part in parts)
    return NgramStatistics(whole, tuple(rest[:2]), tuple(rest[2:]), losses, group_targets)


def _steps_on_cpu(
    tokens: Tokens,
    vocab_size: int,
    max_context: int,
    documents: Documents,
    across: bool,
    threads: int,
    memory_limit: int | None,
    share: Share | None,
) -> Iterator[tuple[Any, int]]:
    """The result of `_core.count_ngrams` for each range of last tokens, and the range's size."""
    check_tokens(tokens)
    depth = max_context + 1
    cost = suffix_cost(len(tokens), vocab_size, depth, counting_ngrams=True)
    steps = Steps(tokens, vocab_size, threads, memory_limit, cost, share=share)
    for step in steps.cut(Cuts(depth)):
        if isinstance(step, CutNgram):
            ngram = step.tokens
            yield _core.count_ngram(tokens, max_context, documents, across, ngram, threads), 0
            continue
        counted = _core.count_ngrams(
            tokens, vocab_size, max_context, documents, across, step.first, step.last, threads,
            step.prefix,
        )  # fmt: skip
        yield counted, step.size


def _steps_on_gpus(
    gpus: Gpus,
    tokens: Tokens,
    vocab_size: int,
    max_context: int,
    documents: Documents,
    across: bool,
    share: Share | None,
) -> Iterator[tuple[Any, int]]:
    stream = gpu_tokens(tokens)
    counters = [
        gpu.ngram_counter(stream, vocab_size, max_context, documents, across)
        for gpu in devices_for(gpus, stream)
    ]
    occurrences = counters[0].token_counts
    fits = min(counter.positions_that_fit for counter in counters)
    # Every device gets work, and every step takes a second at most.
    budget = min(fits, -(-len(stream) // len(counters)), _GPU_STEP)
    ranges = token_ranges(occurrences, max(budget, 1))
    if share is not None:
        ranges = share.clip(ranges, occurrences)

    def count(counter: _core.GpuNgramCounter, tokens: tuple[int, int]) -> tuple[Any, int]:
        first, last = tokens
        return counter.count(first, last), int(occurrences[first:last].sum())

    yield from spread(counters, ranges, count)


class _SubsetTables:
    """Tables of one subset of the targets, collected over the steps of a sweep."""

    def __init__(self, max_context: int) -> None:
        self._ngrams: list[list[NDArray[np.uint64]]] = [[] for _ in range(max_context + 1)]
        self._contexts: list[list[NDArray[np.uint64]]] = [[] for _ in range(max_context + 1)]
        self._targets = 0

    def add(
        self,
        ngrams: Sequence[NDArray[np.uint64]],
        contexts: Sequence[NDArray[np.uint64]],
        targets: int,
    ) -> None:
        for tables, more in ((self._ngrams, ngrams), (self._contexts, contexts)):
            for table, addition in zip(tables, more, strict=True):
                table.append(addition)
        self._targets += targets

    def counts(self) -> NgramCounts:
        n = self._targets
        # The empty context occurs once before every target.
        empty = np.array([[n, 1]] if n else np.zeros((0, 2)), dtype=np.uint64)
        return NgramCounts(
            n,
            tuple(_merge_tables(tables) for tables in self._ngrams),
            (empty, *(_merge_tables(tables) for tables in self._contexts[1:])),
        )
