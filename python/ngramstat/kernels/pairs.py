"""Counts of token pairs at a lag, and sums over pairs that need no counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat._core import (
    CountMatrix,
    Documents,
    Gpu,
    GpuCounts,
    GpuPairStream,
    GpuPairSummer,
    PairBuffer,
    PairLabel,
)
from ngramstat.kernels.gpu_dispatch import devices_for, gpu_tokens, spread
from ngramstat.kernels.pairs_beyond import PairsBeyond
from ngramstat.kernels.tokens import (
    Tokens,
    check_tokens,
    position_bytes,
    token_ranges,
)
from ngramstat.runtime.gpus import Backend, Gpus, open_gpus

__all__ = [
    "Documents",
    "PairCounts",
    "PairLabel",
    "PairMemory",
    "PairsAtLag",
    "bilinear_forms_by_class",
    "count_document_tokens",
    "count_document_tokens_on",
    "count_pairs",
    "count_pairs_by_class",
    "count_tokens_by_class",
    "multiply_pairs",
    "multiply_pairs_by_class",
    "pair_bytes",
    "shuffle_documents",
    "stream_pairs",
    "sum_counts",
    "sum_pairs_by_document",
]

# Bytes of a counted pair in a CountMatrix, for its column and two counts: where ids fit 16 bits,
# nearly all counts do as well.
_PAIR_BYTES = 6
_WIDE_PAIR_BYTES = 12
# Lags counted in one pass share the cache lines of the stream; more than these gain nothing.
_LAG_GROUP = 4


@dataclass(frozen=True)
class PairCounts:
    """Pairs at one lag, (V, V) with rows for the left token and channels for document halves.

    Attributes
    ----------
    lag : int
    within : CountMatrix or GpuCounts
        Both tokens lie in the content of one document. GpuCounts stay in the memory of the GPU that
        counted them; ``to_host`` copies them to a CountMatrix.
    across : CountMatrix or GpuCounts
        All other pairs of the stream: they cross a document's end or touch a separator.
    """

    lag: int
    within: CountMatrix | GpuCounts
    across: CountMatrix | GpuCounts


def sum_counts(matrices: Sequence[CountMatrix], *, threads: int = 1) -> CountMatrix:
    """The sum of count matrices of one shape, such as those of the shards of a corpus.

    Raises
    ------
    OverflowError
        A sum needs more than 32 bits.
    ValueError
        There are none, or their shapes differ.
    """
    return _core.sum_of_matrices(list(matrices), threads)


def pair_bytes(vocab_size: int) -> int:
    """Bytes of a counted pair in a CountMatrix."""
    return _PAIR_BYTES if vocab_size <= 1 << 16 else _WIDE_PAIR_BYTES


class PairMemory:
    """Memory that counting pairs takes, and what fits into a budget of it.

    Half of a budget is for pairs that are written out or the index of positions, a quarter for the
    counts of the lags at hand, the rest for those of the ranges before.

    Parameters
    ----------
    n_tokens, vocab_size : int

    Attributes
    ----------
    uses_tables : bool
        Pairs are written out and counted in tables of the cache's size, not by an index.
    position_bytes : int
        Of each token position of the range at work: an entry of 8 bytes, or a position and what is
        left of its document.
    peak_position_bytes : int
        The same while an index is made.
    """

    def __init__(self, n_tokens: int, vocab_size: int) -> None:
        self.uses_tables = _core.pair_tables_fit(vocab_size)
        self.position_bytes = max(position_bytes(n_tokens) + 4, 8)
        self.peak_position_bytes = self.position_bytes + (0 if self.uses_tables else 4)
        self._largest_counts = min(n_tokens, vocab_size * vocab_size) * pair_bytes(vocab_size)

    def positions_that_fit(self, budget: float) -> int:
        """Token positions of a range within this many bytes, at least 1."""
        return max(int(budget // 2 // self.position_bytes), 1)

    def lags_that_fit(self, budget: float) -> int:
        """Lags counted at a time within this many bytes, at least 1."""
        return max(1, min(_LAG_GROUP, int(budget // 4 // max(self._largest_counts, 1))))


def count_pairs(
    tokens: Tokens,
    vocab_size: int,
    documents: Documents,
    lags: Sequence[int],
    *,
    threads: int = 1,
    memory_limit: int | None = None,
    tables: bool = True,
    buffer: PairBuffer | None = None,
    following: Tokens | None = None,
    backend: Backend = "cpu",
) -> Iterator[PairCounts]:
    """Count the pairs (x_i, x_{i+lag}), one lag after the other.

    Parameters
    ----------
    tokens : (n,) uint16 or uint32
        With GPUs also a tensor on one of them (DLPack: torch, CuPy, JAX), of uint16, uint32 or
        int32; it is not copied.
    vocab_size : int
        V; every id must be below it.
    documents : Documents
    lags : sequence of int
        At least 1 each, in tokens.
    threads : int
    memory_limit : int, optional
        Bytes for the buffered pairs (or the index of positions) and the counts together; where they
        do not fit, ranges of rows are counted one after the other.
    tables : bool
        Count small vocabularies in tables that fit the cache. Larger ones, and all if False, are
        counted row by row. The counts are the same.
    buffer : PairBuffer, optional
        Memory for the buffered pairs, which several streams may share.
    following : (k,) uint16 or uint32, optional
        The text after the stream: right tokens may lie there, too. On the CPU only.
    backend : str or Gpus
        ``auto``, ``cpu``, ``cuda``, or open devices (`open_gpus`), whose own memory limits apply;
        several devices divide the lags among them. The counts are the same.

    Yields
    ------
    PairCounts
        In the order of `lags`.

    Raises
    ------
    IndexError
        A token is not below vocab_size.
    ValueError
        The last document does not end where the stream ends, a lag is below 1, or there is text
        after a stream that GPUs count.
    """
    if gpus := open_gpus(backend):
        if following is not None:
            raise ValueError("following: pairs with the text after a stream are counted on the CPU")
        return _count_on_gpus(gpus, tokens, vocab_size, documents, lags)
    counted = _count_on_cpu(
        tokens, vocab_size, documents, lags, threads, memory_limit, tables, buffer
    )
    if following is None:
        return counted
    return _with_following(counted, tokens, following, vocab_size, documents, threads)


def _with_following(
    counted: Iterator[PairCounts],
    tokens: Tokens,
    following: Tokens,
    vocab_size: int,
    documents: Documents,
    threads: int,
) -> Iterator[PairCounts]:
    """The counts with the pairs whose right tokens lie in the text after the stream."""
    for counts in counted:
        assert isinstance(counts.across, CountMatrix)
        beyond = PairsBeyond.at_lag(tokens, following, vocab_size, documents, counts.lag)
        across = sum_counts([counts.across, beyond.counts(vocab_size)], threads=threads)
        yield PairCounts(counts.lag, counts.within, across)


def stream_pairs(
    tokens: Tokens, vocab_size: int, documents: Documents, gpu: Gpu, *, across: bool
) -> GpuPairStream:
    """The pairs of a stream on a GPU, for products without a table of counts.

    Uses memory for the tokens and 12 bytes per position, and 24 while it is created.

    Parameters
    ----------
    tokens : (n,) uint16 or uint32
        Or a tensor on the GPU; see `count_pairs`.
    across : bool
        Include the pairs that are not inside the content of one document.

    Raises
    ------
    DeviceMemoryError
        The GPU does not have that much memory.
    """
    return gpu.pair_stream(gpu_tokens(tokens), vocab_size, documents, across)


def _count_on_gpus(
    gpus: Gpus, tokens: Tokens, vocab_size: int, documents: Documents, lags: Sequence[int]
) -> Iterator[PairCounts]:
    stream = gpu_tokens(tokens)
    counters = [
        gpu.pair_counter(stream, vocab_size, documents) for gpu in devices_for(gpus, stream)
    ]
    all_lags = [int(lag) for lag in lags]
    group = min(counter.lags_at_once for counter in counters)
    groups = [all_lags[start : start + group] for start in range(0, len(all_lags), group)]

    def count(counter: _core.GpuPairCounter, lags: list[int]) -> Iterator[PairCounts]:
        try:
            counted = counter.count(lags)
        except _core.DeviceMemoryError:
            if len(lags) == 1:
                raise
            # The counts of several lags may not fit the memory, where those of one do.
            for lag in lags:
                yield PairCounts(lag, *counter.count([lag])[0])
            return
        # Popped one by one, so that a lag's counts are free once the caller is done with them.
        counted.reverse()
        for lag in lags:
            yield PairCounts(lag, *counted.pop())

    if len(counters) == 1:
        for lags in groups:
            yield from count(counters[0], lags)
        return
    for counted in spread(counters, groups, lambda counter, lags: list(count(counter, lags))):
        counted.reverse()
        while counted:
            yield counted.pop()


def _count_on_cpu(
    tokens: Tokens,
    vocab_size: int,
    documents: Documents,
    lags: Sequence[int],
    threads: int,
    memory_limit: int | None,
    tables: bool,
    buffer: PairBuffer | None,
) -> Iterator[PairCounts]:
    check_tokens(tokens)
    n = len(tokens)
    memory = PairMemory(n, vocab_size)
    budget = memory_limit if memory_limit is not None else 1 << 62
    group, positions = memory.lags_that_fit(budget), memory.positions_that_fit(budget)
    buffer = PairBuffer() if buffer is None else buffer

    def counter(first: int, last: int) -> _core.PairCounter:
        return _core.PairCounter(tokens, vocab_size, documents, first, last, tables, threads)

    occurrences = None
    ranges = [(0, vocab_size)]
    if n > positions:
        occurrences = _core.token_counts(tokens, vocab_size, threads)
        ranges = token_ranges(occurrences, positions)
    all_lags = [int(lag) for lag in lags]
    only_counter = counter(0, vocab_size) if len(ranges) == 1 else None

    def count(first: int, last: int, lags: list[int]) -> list[tuple[CountMatrix, CountMatrix]]:
        if only_counter is not None:
            return only_counter.count(lags, buffer, threads)
        assert occurrences is not None
        if last - first == 1 and occurrences[first] > positions:
            return _core.count_pairs_of_token(tokens, vocab_size, documents, first, lags, threads)
        return counter(first, last).count(lags, buffer, threads)

    for start in range(0, len(all_lags), group):
        chunk = all_lags[start : start + group]
        joined = [
            (CountMatrix(vocab_size, vocab_size), CountMatrix(vocab_size, vocab_size))
            for _ in chunk
        ]
        for first, last in ranges:
            for (within, across), (more_within, more_across) in zip(
                joined, count(first, last, chunk), strict=True
            ):
                within.append(more_within)
                across.append(more_across)
        # Popped one by one, so that a lag's table is free once the caller is done with it.
        joined.reverse()
        for lag in chunk:
            yield PairCounts(lag, *joined.pop())


def count_document_tokens(
    tokens: Tokens, vocab_size: int, documents: Documents, *, threads: int = 1
) -> CountMatrix:
    """Token counts of every document's content, (n_documents, V), in the first channel."""
    check_tokens(tokens)
    return _core.count_document_tokens(tokens, vocab_size, documents, threads)


def shuffle_documents(
    tokens: Tokens,
    documents: Documents,
    key: int,
    out: Tokens,
    *,
    first_position: int = 0,
    threads: int = 1,
) -> None:
    """Copy a stream with the content of every document in random order.

    Separators stay in place. The copy follows from the key alone, whatever the threads.

    Parameters
    ----------
    tokens : (n,) uint16 or uint32
    documents : Documents
    key : int
        Of the random words, in 0 .. 2^64 - 1.
    out : (n,) of the same type
        Where the copy goes.
    first_position : int
        Where the stream begins, if it is a part of a longer one: the copy is that part of its copy.
    """
    check_tokens(tokens)
    _core.shuffle_documents(tokens, documents, key, first_position, out, threads)


def count_document_tokens_on(
    gpu: Gpu, tokens: Tokens, vocab_size: int, documents: Documents
) -> GpuCounts:
    """The same, counted on a GPU; the counts stay in its memory.

    Raises
    ------
    DeviceMemoryError
        The tokens, or the counts beside them, do not fit its memory.
    """
    return gpu.count_document_tokens(gpu_tokens(tokens), vocab_size, documents)


@dataclass(frozen=True)
class PairsAtLag:
    """The pairs (x_i, x_{i+lag}) of a stream, for sums and products that need no counts of them.

    Attributes
    ----------
    tokens : (n,) uint16 or uint32
    vocab_size : int
        V; every id must be below it.
    lag : int
        In tokens, at least 1.
    summer : GpuPairSummer, optional
        The same tokens on a GPU (`pair_summer`): sums by document and by class are computed there,
        with the same counts, and the same sums but for the order of their additions.
    following : (k,) uint16 or uint32, optional
        The text after the stream: where pairs run across documents, right tokens may lie there.
    """

    tokens: Tokens
    vocab_size: int
    lag: int
    summer: GpuPairSummer | None = None
    following: Tokens | None = None

    def __post_init__(self) -> None:
        check_tokens(self.tokens)

    @property
    def arguments(self) -> tuple[Tokens, int, int]:
        """(tokens, vocab_size, lag), as the kernels take them."""
        return self.tokens, self.vocab_size, self.lag

    def summer_for(self, documents: Documents) -> GpuPairSummer | None:
        """The tokens on a GPU, which sum over the documents that were given with them.

        Raises
        ------
        ValueError
            They were given with other documents.
        """
        if self.summer is not None and self.summer.documents is not documents:
            raise ValueError("documents: must be those that the pair summer was made with")
        return self.summer

    def beyond(self, documents: Documents, *, across: bool) -> PairsBeyond | None:
        """The pairs with the text after the stream; None where there are none to count."""
        if self.following is None or not across:
            return None
        return PairsBeyond.at_lag(self.tokens, self.following, self.vocab_size, documents, self.lag)


def pair_summer(tokens: Tokens, vocab_size: int, documents: Documents, gpu: Gpu) -> GpuPairSummer:
    """A stream on a GPU, for sums over its pairs; see `PairsAtLag`.

    Uses memory for the tokens and 10 bytes per position.

    Parameters
    ----------
    tokens : (n,) uint16 or uint32
        Or a tensor on the GPU; see `count_pairs`.

    Raises
    ------
    DeviceMemoryError
        The GPU does not have that much memory.
    IndexError
        A token is not below vocab_size.
    """
    return gpu.pair_summer(gpu_tokens(tokens), vocab_size, documents)


def _kinds(
    left: NDArray[Any], right: NDArray[Any], across: bool
) -> Iterator[tuple[NDArray[Any], NDArray[Any], bool]]:
    """Vectors of each kind of pairs for a GPU, and `across`, which is only of the first kind."""
    for kind, (u, v) in enumerate(zip(left, right, strict=True)):
        yield np.ascontiguousarray(u), np.ascontiguousarray(v), across and kind == 0


def sum_pairs_by_document(
    pairs: PairsAtLag,
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    documents: Documents,
    *,
    across: bool,
    threads: int = 1,
) -> tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Per-document sums over the pairs at one lag: (pairs, sum u v, sum u, sum v).

    A pair belongs to the document that holds its left token.

    Parameters
    ----------
    pairs : PairsAtLag
    u, v : (V,) or (2, V) float64
        Values of the left and of the right token. Those of a second row are summed over the pairs
        inside documents, whatever `across`.
    documents : Documents
    across : bool
        True: the right token may lie anywhere in the stream, and separators count as tokens.
        False: only pairs inside the content of one document.

    Returns
    -------
    pairs, product : (n_documents,) or (2, n_documents)
    left, right : (n_documents,)
        Of the first row.
    """
    u, v = np.ascontiguousarray(u, dtype=np.float64), np.ascontiguousarray(v, dtype=np.float64)
    if summer := pairs.summer_for(documents):
        rows = [
            summer.sum_by_document(pairs.lag, left_values, right_values, across_kind)
            for left_values, right_values, across_kind in _kinds(
                np.atleast_2d(u), np.atleast_2d(v), across
            )
        ]
        of_pairs, product = (np.concatenate([row[k] for row in rows]) for k in (0, 1))
        left, right = rows[0][2:]
    else:
        of_pairs, product, left, right = _core.sum_pairs_by_document(
            *pairs.arguments, u, v, documents, across, threads
        )
    shape = (*u.shape[:-1], len(documents))
    of_pairs, product = of_pairs.reshape(shape), product.reshape(shape)
    if beyond := pairs.beyond(documents, across=across):
        first = tuple(np.atleast_2d(array)[0] for array in (of_pairs, product))
        beyond.add_to_document_sums(
            np.atleast_2d(u)[0], np.atleast_2d(v)[0], (first[0], first[1], left, right)
        )
    return of_pairs, product, left, right


def count_tokens_by_class(
    tokens: Tokens,
    vocab_size: int,
    documents: Documents,
    *,
    across: bool,
    by: PairLabel,
    threads: int = 1,
) -> NDArray[np.uint64]:
    """The tokens that may be the left ones of a class's pairs, (n_classes, V).

    Parameters
    ----------
    tokens, vocab_size, documents
        See `count_pairs`.
    across, by
        See `count_pairs_by_class`.
    """
    check_tokens(tokens)
    return _core.count_tokens_by_class(tokens, vocab_size, documents, across, by, threads)


def count_pairs_by_class(
    pairs: PairsAtLag,
    documents: Documents,
    *,
    across: bool,
    by: PairLabel,
    tokens_by_class: NDArray[np.uint64] | None = None,
    threads: int = 1,
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The pairs of each class by their left and by their right token, (n_classes, V) each.

    Parameters
    ----------
    pairs : PairsAtLag
    documents : Documents
    across : bool
        Which pairs: see `sum_pairs_by_document`.
    by : PairLabel
        The class of a pair: the half or the fold of its left token's document, or half *
        N_POSITION_BINS + the bin of the left token's position in the content (0, 1, 2-3, 4-7, ...;
        the last bin from 8192 on), which is for pairs inside documents only.
    tokens_by_class : (n_classes, V) uint64, optional
        `count_tokens_by_class` of the same tokens, documents and classes. Of these all but the
        tokens near the ends of a class's pieces are left or right tokens of its pairs: at small
        lags few are counted again. Not used with a summer of the pairs.
    """
    if summer := pairs.summer_for(documents):
        zeros = np.zeros((1, pairs.vocab_size))
        left, right = summer.multiply_by_class(pairs.lag, zeros, zeros, across, by)[2:]
    else:
        left, right = _core.count_pairs_by_class(
            *pairs.arguments, documents, across, by, tokens_by_class, threads
        )
    if beyond := pairs.beyond(documents, across=across):
        beyond.add_to_class_counts(by, left, right)
    return left, right


def multiply_pairs_by_class(
    pairs: PairsAtLag,
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    documents: Documents,
    *,
    across: bool,
    by: PairLabel,
    threads: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint64], NDArray[np.uint64]]:
    """The pairs of each class times a vector: (J v, J^T u, pairs by left, pairs by right token).

    Parameters
    ----------
    pairs : PairsAtLag
    u, v : (n_kinds, n_sets, V) float64
        Classes use the sets in order, equally many each. Those of a second kind multiply the pairs
        inside documents, whatever `across`.
    documents, across, by
        See `count_pairs_by_class`.

    Returns
    -------
    four arrays of shape (n_kinds, n_classes, V)
    """
    if summer := pairs.summer_for(documents):
        u, v = u.astype(np.float64), v.astype(np.float64)
        kinds = [
            summer.multiply_by_class(pairs.lag, of_left, of_right, across_kind, by)
            for of_left, of_right, across_kind in _kinds(u, v, across)
        ]
        joint_v, joint_u, left, right = (np.stack(arrays) for arrays in zip(*kinds, strict=True))
    else:
        joint_v, joint_u, left, right = _core.multiply_pairs_by_class(
            *pairs.arguments,
            len(u),
            np.ascontiguousarray(np.moveaxis(u, 0, -1), dtype=np.float64),
            np.ascontiguousarray(np.moveaxis(v, 0, -1), dtype=np.float64),
            documents,
            across,
            by,
            threads,
        )
    if beyond := pairs.beyond(documents, across=across):
        beyond.add_to_class_products(by, u[0], v[0], joint_v[0], joint_u[0])
        beyond.add_to_class_counts(by, left[0], right[0])
    return joint_v, joint_u, left, right


def bilinear_forms_by_class(
    pairs: PairsAtLag,
    a: NDArray[np.float32],
    b: NDArray[np.int16],
    documents: Documents,
    *,
    across: bool,
    by: PairLabel,
    threads: int = 1,
) -> NDArray[np.float64]:
    """a_c^T J b_k of the pairs of each class, (n_kinds, n_classes, BLOCK_SIZE, BLOCK_SIZE).

    Parameters
    ----------
    pairs : PairsAtLag
    a : (n_kinds, n_sets, V, BLOCK_SIZE) float32
        Kinds and sets as of `multiply_pairs_by_class`.
    b : (n_kinds, n_sets, V, BLOCK_SIZE) int16
        Sums of integers are fast, and do not depend on where the text is cut.
    documents, across, by
        See `count_pairs_by_class`.
    """
    if summer := pairs.summer_for(documents):
        kinds = _kinds(a.astype(np.float32), b.astype(np.float32), across)
        forms = np.stack(
            [
                summer.bilinear_forms_by_class(pairs.lag, of_left, of_right, across_kind, by)
                for of_left, of_right, across_kind in kinds
            ]
        )
    else:
        forms = _core.bilinear_forms_by_class(
            *pairs.arguments,
            len(a),
            np.ascontiguousarray(np.moveaxis(a, 0, -2), dtype=np.float32),
            np.ascontiguousarray(np.moveaxis(b, 0, -2), dtype=np.int16),
            documents,
            across,
            by,
            threads,
        )
    if beyond := pairs.beyond(documents, across=across):
        beyond.add_to_class_forms(by, a[0], b[0], forms[0])
    return forms


def multiply_pairs(
    pairs: PairsAtLag,
    x: NDArray[np.float64],
    class_weights: NDArray[np.float64],
    documents: Documents,
    *,
    across: bool,
    by: PairLabel,
    transposed: bool = False,
    threads: int = 1,
) -> NDArray[np.float64]:
    """The pairs of all documents times a block of vectors, (V, BLOCK_SIZE); no pairs are stored.

    Parameters
    ----------
    pairs : PairsAtLag
    x : (V, BLOCK_SIZE) float64
        By right token; with `transposed`, by left token.
    class_weights : (n_classes,) float64
        The weight of a pair, by its class.
    documents, across, by
        See `count_pairs_by_class`.
    """
    product = _core.multiply_pairs(
        *pairs.arguments,
        np.ascontiguousarray(x, dtype=np.float64),
        np.ascontiguousarray(class_weights, dtype=np.float64),
        documents,
        across,
        by,
        transposed,
        threads,
    )
    if beyond := pairs.beyond(documents, across=across):
        beyond.add_to_product(by, x, class_weights, product, transposed=transposed)
    return product
