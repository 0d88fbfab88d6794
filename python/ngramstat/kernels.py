"""Typed, checked front of the C++ kernels: integer counts of pairs, n-grams and documents.

Everything here returns exact integers; all floats are made in `ngramstat.statistics`. Work comes
in steps of about a second, so that the caller can show progress and be interrupted; steps add up
to the same counts whatever their size, as they do for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat._core import CountMatrix, PairRoom
from ngramstat.errors import InputError

__all__ = [
    "LANES",
    "LOSS_BITS",
    "MAX_ORDER",
    "ClassedDocuments",
    "CountMatrix",
    "DocumentSpans",
    "KneserNey",
    "NgramCounts",
    "NgramStatistics",
    "NgramUnits",
    "PairCounts",
    "PairRoom",
    "SuffixCost",
    "bilinear_sums_by_class",
    "build_info",
    "count_document_tokens",
    "count_ngrams",
    "count_pairs",
    "cuda_devices",
    "multiply_pairs",
    "multiply_pairs_by_class",
    "pair_bytes",
    "pair_tables_fit",
    "simd_level",
    "step_tokens",
    "suffix_array",
    "suffix_cost",
    "sum_pairs_by_document",
    "token_counts",
]

LANES = _core.LANES
LOSS_BITS = _core.LOSS_BITS
MAX_ORDER = _core.MAX_ORDER
build_info = _core.build_info
cuda_devices = _core.cuda_devices
pair_tables_fit = _core.pair_tables_fit
simd_level = _core.simd_level

Tokens = NDArray[np.uint16] | NDArray[np.uint32]

# Bytes a counted pair takes in a CountMatrix, column and two counts: where ids fit 16 bits so do
# nearly all counts.
_PAIR_BYTES = 6
_WIDE_PAIR_BYTES = 12
# Of a block, the part with the most frequent second tokens is held twice while it is sorted.
_MOVED_SHARE = 0.25
# What counting n-grams knows of a position in the block at work.
_MEMBER_BYTES = 8
# Lags counted in one go share the cache lines of the stream; more than this many gain nothing.
_LAG_GROUP = 4


@dataclass(frozen=True)
class DocumentSpans:
    """Where the documents of a stream lie, and which half each belongs to.

    Attributes
    ----------
    ends : (n_documents,) int64
        Exclusive ends in the stream, strictly increasing; the last is the number of tokens.
    content_starts, content_ends : (n_documents,) int64
        The document without its separator.
    halves : (n_documents,) uint8
        0 or 1.
    """

    ends: NDArray[np.int64]
    content_starts: NDArray[np.int64]
    content_ends: NDArray[np.int64]
    halves: NDArray[np.uint8]

    @property
    def starts(self) -> NDArray[np.int64]:
        """Inclusive starts in the stream."""
        return np.concatenate([np.zeros(1, np.int64), self.ends[:-1]])

    def __len__(self) -> int:
        return len(self.ends)


@dataclass(frozen=True)
class PairCounts:
    """Pairs at one lag, (V, V) with rows for the left token and channels for document halves.

    Attributes
    ----------
    lag : int
    within : CountMatrix
        Both tokens lie in the content of one document.
    across : CountMatrix
        All other pairs of the stream: they cross a document's end or touch a separator.
    """

    lag: int
    within: CountMatrix
    across: CountMatrix


@dataclass(frozen=True)
class NgramUnits:
    """Units of the stream (documents or blocks) for sampling errors and for bias by subsampling.

    Attributes
    ----------
    ends : (n_units,) int64
        Exclusive ends in the stream, strictly increasing; the last is the number of tokens.
    quarters : (n_units,) uint8
        0 .. 3; quarters 0 and 1 make the first half.
    groups : (n_units,) uint32
        Units that are resampled together, numbered below n_groups.
    n_groups : int
    """

    ends: NDArray[np.int64]
    quarters: NDArray[np.uint8]
    groups: NDArray[np.uint32]
    n_groups: int

    @classmethod
    def one(cls, n_tokens: int) -> NgramUnits:
        """The whole stream as one unit, for counts alone."""
        return cls(np.array([n_tokens], np.int64), np.zeros(1, np.uint8), np.zeros(1, np.uint32), 1)


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
    """N-grams of all targets and of subsets of them, and their surprise by groups of units.

    Attributes
    ----------
    whole : NgramCounts
    halves, quarters : tuple of NgramCounts
        The same over the targets of two halves and four quarters of the units.
    losses : (n_groups, n_contexts) int64
        Sum over a group's targets of ln(occurrences of the context) - ln(occurrences of the
        n-gram), in units of 2^-LOSS_BITS; without the context's part for n = 0.
    group_targets : (n_groups,) uint64
    """

    whole: NgramCounts
    halves: tuple[NgramCounts, ...]
    quarters: tuple[NgramCounts, ...]
    losses: NDArray[np.int64]
    group_targets: NDArray[np.uint64]


def _check_tokens(tokens: object, name: str = "tokens") -> None:
    if not isinstance(tokens, np.ndarray):
        raise TypeError(f"{name}: expected a NumPy array, got {type(tokens).__name__}")
    if tokens.dtype not in (np.dtype(np.uint16), np.dtype(np.uint32)):
        raise TypeError(
            f"{name}: expected dtype uint16 or uint32 in native byte order, got "
            f"{tokens.dtype.str}; convert it with .astype(np.uint32)"
        )
    if tokens.ndim != 1 or not tokens.flags.c_contiguous:
        raise TypeError(
            f"{name}: expected a contiguous one-dimensional array; "
            "use np.ascontiguousarray(x).reshape(-1)"
        )


def _int64(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.ascontiguousarray(values, dtype=np.int64)


def token_counts(tokens: Tokens, vocab_size: int, *, threads: int = 1) -> NDArray[np.int64]:
    """Occurrences of each token id, (V,) int64.

    Raises
    ------
    IndexError
        A token is not below vocab_size; the message gives its position.
    """
    _check_tokens(tokens)
    return _core.token_counts(tokens, vocab_size, threads)


def _token_ranges(counts: NDArray[np.int64], budget: int) -> list[tuple[int, int]]:
    """Contiguous ranges of token ids, each with at most `budget` occurrences (but one id)."""
    ranges: list[tuple[int, int]] = []
    start, held = 0, 0
    for token, count in enumerate(counts.tolist()):
        if token > start and held + count > budget:
            ranges.append((start, token))
            start, held = token, 0
        held += count
    ranges.append((start, len(counts)))
    return ranges


def _position_bytes(n_tokens: int) -> int:
    return 4 if n_tokens <= 1 << 32 else 8


def pair_bytes(vocab_size: int) -> int:
    """Bytes of a counted pair of types in a CountMatrix."""
    return _PAIR_BYTES if vocab_size <= 1 << 16 else _WIDE_PAIR_BYTES


def step_tokens(n_tokens: int, threads: int) -> int:
    """Tokens that a step over sorted suffixes takes at most, where memory allows it.

    Some 70 ns each and thread (2 cores of an EPYC, 2026-11): a second or two, but of a long text a
    sixth, as each step reads all of it.
    """
    return max(24_000_000 * threads, n_tokens // 6)


@dataclass(frozen=True)
class SuffixCost:
    """Memory that sorted suffixes take.

    Attributes
    ----------
    entry_bytes : int
        Of each position of the range of a step.
    block_bytes : int
        Beside that, of each position of the block that a worker is at.
    reads_text : bool
        Whether the text is read in no order, and so wants to stay in memory.
    """

    entry_bytes: int
    block_bytes: int
    reads_text: bool


def suffix_cost(
    n_tokens: int, vocab_size: int, depth: int, *, counting_ngrams: bool = False
) -> SuffixCost:
    """What sorting by `depth` symbols takes, for Kneser-Ney or to count n-grams."""
    entry, reads_text = _core.suffix_packing(vocab_size, depth)
    common_prefix = 1
    members = _MEMBER_BYTES if counting_ngrams else 0
    positions = _position_bytes(n_tokens) if counting_ngrams or reads_text else 0
    moved = entry + positions
    block = moved + common_prefix + members + math.ceil(_MOVED_SHARE * moved)
    return SuffixCost(entry, block, reads_text)


def count_pairs(
    tokens: Tokens,
    vocab_size: int,
    documents: DocumentSpans,
    lags: Sequence[int],
    *,
    threads: int = 1,
    memory_limit: int | None = None,
    tables: bool = True,
    room: PairRoom | None = None,
) -> Iterator[PairCounts]:
    """Count the pairs (x_i, x_{i+lag}), one lag after the other.

    Parameters
    ----------
    tokens : (n,) uint16 or uint32
    vocab_size : int
        V; every id must be below it.
    documents : DocumentSpans
    lags : sequence of int
        At least 1 each, in tokens.
    threads : int
    memory_limit : int, optional
        Bytes that the pairs written out (or the index of positions) and the counts may take
        together; where all do not fit, ranges of rows are counted one after the other.
    tables : bool
        Count small vocabularies in tables of the cache's size; larger ones, and all where False,
        row by row. The counts are the same.
    room : PairRoom, optional
        Memory to write pairs to, which several streams may share.

    Yields
    ------
    PairCounts
        In the order of `lags`.

    Raises
    ------
    IndexError
        A token is not below vocab_size.
    ValueError
        The documents do not partition the stream, or a lag is below 1.
    """
    _check_tokens(tokens)
    n = len(tokens)
    # Entries of 8 bytes, or a position and what is left of its document.
    per_position = max(_position_bytes(n) + 4, 8)
    budget = memory_limit if memory_limit is not None else 1 << 62
    table = min(n, vocab_size * vocab_size) * pair_bytes(vocab_size)
    group = max(1, min(_LAG_GROUP, budget // 4 // max(table, 1)))
    room = PairRoom() if room is None else room
    arrays = (
        _int64(documents.ends),
        _int64(documents.content_starts),
        _int64(documents.content_ends),
        np.ascontiguousarray(documents.halves, dtype=np.uint8),
    )

    def counter(first: int, last: int) -> _core.PairCounter:
        return _core.PairCounter(tokens, vocab_size, *arrays, first, last, tables, threads)

    if n * per_position <= budget // 2:
        ranges = [(0, vocab_size)]
    else:
        occurrences = _core.token_counts(tokens, vocab_size, threads)
        ranges = _token_ranges(occurrences, max(budget // 2 // per_position, 1))
    wanted = [int(lag) for lag in lags]
    whole = counter(0, vocab_size) if len(ranges) == 1 else None
    for start in range(0, len(wanted), group):
        chunk = wanted[start : start + group]
        joined = [
            (CountMatrix(vocab_size, vocab_size), CountMatrix(vocab_size, vocab_size))
            for _ in chunk
        ]
        for first, last in ranges:
            part = whole if whole is not None else counter(first, last)
            for (within, across), (more_within, more_across) in zip(
                joined, part.count(chunk, room, threads), strict=True
            ):
                within.take(more_within)
                across.take(more_across)
        # Popped one by one, so that a lag's table is free once the caller is done with it.
        joined.reverse()
        for lag in chunk:
            yield PairCounts(lag, *joined.pop())


def count_document_tokens(
    tokens: Tokens, vocab_size: int, documents: DocumentSpans, *, threads: int = 1
) -> CountMatrix:
    """Token counts of every document's content, (n_documents, V), in the first channel."""
    _check_tokens(tokens)
    return _core.document_token_counts(
        tokens,
        vocab_size,
        _int64(documents.content_starts),
        _int64(documents.content_ends),
        threads,
    )


def sum_pairs_by_document(
    tokens: Tokens,
    vocab_size: int,
    lag: int,
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    right_limits: NDArray[np.int64],
    *,
    threads: int = 1,
) -> tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Per-document sums over the pairs at one lag: (pairs, sum u v, sum u, sum v).

    A pair belongs to the document [starts, ends) that holds its left token; its right token lies
    below that document's right limit. Each result is (n_documents,).
    """
    _check_tokens(tokens)
    return _core.sum_pairs_by_document(
        tokens,
        vocab_size,
        lag,
        np.ascontiguousarray(u, dtype=np.float64),
        np.ascontiguousarray(v, dtype=np.float64),
        _int64(starts),
        _int64(ends),
        _int64(right_limits),
        threads,
    )


@dataclass(frozen=True)
class ClassedDocuments:
    """Documents whose pairs are added up by class; see `sum_pairs_by_document` for which pairs.

    Attributes
    ----------
    starts, ends, right_limits : (n_documents,) int64
    classes : (n_documents,) uint8
    n_classes : int
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    right_limits: NDArray[np.int64]
    classes: NDArray[np.uint8]
    n_classes: int

    def _arrays(
        self,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8], int]:
        return (
            _int64(self.starts),
            _int64(self.ends),
            _int64(self.right_limits),
            np.ascontiguousarray(self.classes, dtype=np.uint8),
            self.n_classes,
        )


def multiply_pairs_by_class(
    tokens: Tokens,
    vocab_size: int,
    lag: int,
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    documents: ClassedDocuments,
    *,
    threads: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint64], NDArray[np.uint64]]:
    """The pairs of each class times a vector: (J v, J^T u, pairs by left, pairs by right token).

    Parameters
    ----------
    u, v : (n_sets, V) float64
        Classes use the sets in order, equally many each.

    Returns
    -------
    four arrays of shape (n_classes, V)
    """
    _check_tokens(tokens)
    return _core.multiply_pairs_by_class(
        tokens,
        vocab_size,
        lag,
        np.ascontiguousarray(u, dtype=np.float64),
        np.ascontiguousarray(v, dtype=np.float64),
        *documents._arrays(),
        threads,
    )


def bilinear_sums_by_class(
    tokens: Tokens,
    vocab_size: int,
    lag: int,
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    documents: ClassedDocuments,
    *,
    threads: int = 1,
) -> NDArray[np.float64]:
    """Bilinear forms of the pairs of each class, (n_classes, 5, LANES).

    For every lane k: a_k^T J b_k, (sum_j a_j)^T J b_k, a_k^T J (sum_j b_j), a_c^T J b_k and
    a_k^T J b_c, with c the number of the class within its set.

    Parameters
    ----------
    a, b : (n_sets, V, LANES) float32
        Classes use the sets in order, equally many each, at most LANES.
    """
    _check_tokens(tokens)
    return _core.bilinear_sums_by_class(
        tokens,
        vocab_size,
        lag,
        np.ascontiguousarray(a, dtype=np.float32),
        np.ascontiguousarray(b, dtype=np.float32),
        *documents._arrays(),
        threads,
    )


def multiply_pairs(
    tokens: Tokens,
    vocab_size: int,
    lag: int,
    x: NDArray[np.float64],
    class_weights: NDArray[np.float64],
    documents: ClassedDocuments,
    *,
    transposed: bool = False,
    threads: int = 1,
) -> NDArray[np.float64]:
    """The pairs of all documents times a block of vectors, (V, LANES), without a table of pairs.

    Parameters
    ----------
    x : (V, LANES) float64
        By right token; with `transposed`, by left token.
    class_weights : (n_classes,) float64
        What a pair counts, by the class of its document.
    """
    _check_tokens(tokens)
    return _core.multiply_pairs(
        tokens,
        vocab_size,
        lag,
        np.ascontiguousarray(x, dtype=np.float64),
        np.ascontiguousarray(class_weights, dtype=np.float64),
        *documents._arrays(),
        transposed,
        threads,
    )


def suffix_array(
    tokens: Tokens,
    vocab_size: int,
    *,
    depth: int,
    backward: bool = False,
    stop_token: int | None = None,
    threads: int = 1,
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Positions sorted by their first `depth` symbols, with the common prefix of neighbours.

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
    _check_tokens(tokens)
    stop = -1 if stop_token is None else stop_token
    return _core.suffix_array(tokens, vocab_size, depth, backward, stop, threads)


def _merge_tables(tables: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    stacked = np.concatenate([np.zeros((0, 2), np.uint64), *tables])
    counts, inverse = np.unique(stacked[:, 0], return_inverse=True)
    numbers = np.zeros(len(counts), np.uint64)
    np.add.at(numbers, inverse, stacked[:, 1])
    return np.stack([counts, numbers], axis=1)


class _Steps:
    """Ranges of token ids for one sweep over sorted suffixes: bounded memory, seconds each."""

    def __init__(
        self,
        tokens: Tokens,
        vocab_size: int,
        threads: int,
        memory_limit: int | None,
        cost: SuffixCost,
    ) -> None:
        budget = step_tokens(len(tokens), threads)
        self.occurrences = _core.token_counts(tokens, vocab_size, threads)
        if memory_limit is not None:
            entry, of_block = cost.entry_bytes, cost.block_bytes
            # Workers are at the largest blocks at worst, or at all of a small range.
            largest = int(np.sort(self.occurrences)[-threads:].sum()) * of_block
            fits = max((memory_limit - largest) // entry, memory_limit // (entry + of_block), 1)
            budget = min(budget, fits)
        self.ranges = _token_ranges(self.occurrences, budget)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        for first, last in self.ranges:
            yield first, last, int(self.occurrences[first:last].sum())


def count_ngrams(
    tokens: Tokens,
    vocab_size: int,
    *,
    max_context: int,
    document_ends: NDArray[np.int64],
    units: NgramUnits | None = None,
    threads: int = 1,
    memory_limit: int | None = None,
    progress: Any = None,
) -> NgramStatistics:
    """Counts of counts of all n-grams up to max_context + 1 tokens.

    Targets are the tokens with at least max_context tokens before them in their document: one
    population for every n, so that H_n falls with n (THEORY 10.4).

    Parameters
    ----------
    tokens : (n,) uint16 or uint32
    vocab_size : int
    max_context : int
        0 .. 254.
    document_ends : (n_documents,) int64
        n-grams stay inside documents; ``[n]`` lets them run across the stream.
    units : NgramUnits, optional
        By default the whole stream is one unit of the first quarter.
    progress : object with ``advance(tokens)``, optional

    Raises
    ------
    IndexError
        A token is not below vocab_size.
    ValueError
        The documents or units do not partition the stream.
    """
    _check_tokens(tokens)
    ends = _int64(document_ends)
    if units is None:
        units = NgramUnits.one(len(tokens)) if len(tokens) else NgramUnits(
            np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, np.uint32), 0
        )  # fmt: skip
    parts = [_SubsetTables(max_context) for _ in range(7)]
    losses = np.zeros((units.n_groups, max_context + 1), np.int64)
    group_targets = np.zeros(units.n_groups, np.uint64)
    cost = suffix_cost(len(tokens), vocab_size, max_context + 1, counting_ngrams=True)
    for first, last, size in _Steps(tokens, vocab_size, threads, memory_limit, cost):
        subsets, more_losses, more_targets = _core.count_ngrams(
            tokens,
            vocab_size,
            max_context,
            ends,
            _int64(units.ends),
            np.ascontiguousarray(units.quarters, dtype=np.uint8),
            np.ascontiguousarray(units.groups, dtype=np.uint32),
            units.n_groups,
            first,
            last,
            threads,
        )
        for part, more in zip(parts, subsets, strict=True):
            part.add(*more)
        losses += more_losses
        group_targets += more_targets
        if progress is not None:
            progress.advance(size)
    whole, *rest = (part.counts() for part in parts)
    return NgramStatistics(whole, tuple(rest[:2]), tuple(rest[2:]), losses, group_targets)


class _SubsetTables:
    """Tables of one subset of the targets, collected over the steps of a sweep."""

    def __init__(self, max_context: int) -> None:
        self._ngrams: list[list[NDArray[np.uint64]]] = [[] for _ in range(max_context + 1)]
        self._contexts: list[list[NDArray[np.uint64]]] = [[] for _ in range(max_context + 1)]
        self._targets = 0

    def add(
        self, ngrams: list[NDArray[np.uint64]], contexts: list[NDArray[np.uint64]], targets: int
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


class KneserNey:
    """Interpolated modified Kneser-Ney models of orders 1 .. order, counted for one held-out text.

    Parameters
    ----------
    held_out : (n,) uint16 or uint32
        Text to score with the contexts before it.
    document : (n,) int32
        Document in which each token is scored, ascending from 0; -1: serves as context only.
    vocab_size : int
        V; probabilities sum to one over it. The id V itself may stand for a separator that is
        never predicted.
    order : int
        Highest n-gram order, 1 .. 16: contexts of 0 .. order - 1 tokens.
    stop_token : int, optional
        Contexts reach back to this token and no further.
    """

    def __init__(
        self,
        held_out: Tokens,
        document: NDArray[np.int32],
        vocab_size: int,
        *,
        order: int,
        stop_token: int | None = None,
    ) -> None:
        _check_tokens(held_out, "held_out")
        model: Any = _core.KneserNey16 if held_out.dtype == np.uint16 else _core.KneserNey32
        self._stop = -1 if stop_token is None else stop_token
        self._vocab_size = vocab_size
        self._order = order
        self._dtype = held_out.dtype
        self._document = np.ascontiguousarray(document, dtype=np.int32)
        self._model = model(held_out, self._document, vocab_size, order, self._stop)

    @property
    def _symbols(self) -> int:
        """Ids that occur in a text: the separator may be one more."""
        return self._vocab_size + (self._stop == self._vocab_size)

    def cost(self, n_tokens: int) -> SuffixCost:
        """Memory that training on so many tokens takes."""
        return suffix_cost(n_tokens, self._symbols, self._order)

    def train(
        self,
        training: Tokens,
        *,
        first_event: int = 0,
        threads: int = 1,
        memory_limit: int | None = None,
        progress: Any = None,
    ) -> None:
        """Count the training text, whose dtype must be that of the held-out text.

        Tokens before `first_event` serve as context only.
        """
        _check_tokens(training, "training")
        if training.dtype != self._dtype:
            raise InputError(
                f"training: dtype {training.dtype} differs from the held-out text's {self._dtype}"
            )
        cost = self.cost(len(training))
        for first, last, size in _Steps(training, self._symbols, threads, memory_limit, cost):
            events = min(last, self._vocab_size)
            if first < events:
                self._model.add_training(training, first_event, first, events, threads)
            if progress is not None:
                progress.advance(size)

    def counts(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """(raw, lower) numbers of n-grams per order with counts 1, 2, 3, 4, and distinct ones.

        raw is (order, 5); lower, of continuation counts, (order - 1, 5).
        """
        raw, lower = self._model.counts()
        return raw, lower

    def score(
        self, raw: NDArray[np.float64], lower: NDArray[np.float64], *, threads: int = 1
    ) -> NDArray[np.float64]:
        """Sum of -ln p over each document, (n_documents, order), nats; column n: context n.

        raw (order, 3) and lower (order - 1, 3) are the discounts D1, D2, D3+ of every order as the
        highest of its model and below.
        """
        n_documents = int(self._document.max(initial=-1)) + 1
        losses: NDArray[np.float64] = self._model.score(
            np.ascontiguousarray(raw, dtype=np.float64).reshape(-1, 3),
            np.ascontiguousarray(lower, dtype=np.float64).reshape(-1, 3),
            n_documents,
            threads,
        )
        return losses
