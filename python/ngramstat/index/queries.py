"""Counts of n-grams and of the tokens after contexts, in the shards of an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.corpus.arrays import host_array
from ngramstat.errors import InputError, InputTypeError
from ngramstat.index.ngram_arguments import NgramReader, NgramsLike, Queries
from ngramstat.index.shard import IndexSettings, Shard
from ngramstat.kernels.index_queries import SortedShards, TokenSlices
from ngramstat.runtime.arguments import optional_integer_within
from ngramstat.runtime.resources import parse_memory_limit, resolve_threads

__all__ = [
    "NextCounts",
    "NextProbabilities",
    "Searcher",
    "TokenProbabilities",
    "count",
    "count_documents",
    "count_next",
    "damage_as_input_error",
    "next_counts",
    "next_distribution",
    "next_distribution_rows",
    "probabilities",
    "ratios",
    "suffixes_that_occur",
]


class Searcher:
    """The shards of an index, ready to be searched.

    Parameters
    ----------
    settings : IndexSettings
    shards : sequence of Shard
    max_query_length : int or None
        Tokens of the longest n-gram whose matches are all found; None: any.
    encode : callable, optional
        From text to ids.
    decode : callable, optional
        From ids to text.
    name : str
        Of the index, for messages.
    """

    def __init__(
        self,
        settings: IndexSettings,
        shards: Sequence[Shard],
        *,
        max_query_length: int | None,
        encode: Callable[[str], NDArray[np.uint32]] | None = None,
        decode: Callable[[ArrayLike], str] | None = None,
        name: str = "index",
    ) -> None:
        self.settings = settings
        self.shards = tuple(shards)
        self.decode = decode
        self.name = name
        self.reader = NgramReader(settings.vocab_size, max_query_length, encode)

    @cached_property
    def sorted(self) -> SortedShards:
        """The kernels' view of the shards."""
        shards = SortedShards(
            self.settings.vocab_size, self.settings.depth, self.settings.stop_token
        )
        with damage_as_input_error(self.name):
            for s, before in zip(self.shards, self.continued, strict=True):
                shards.add(
                    s.tokens,
                    s.suffixes,
                    s.token_starts,
                    s.document_ends,
                    s.extra.get("samples"),
                    continues=before > 0,
                )
        return shards

    @cached_property
    def continued(self) -> tuple[int, ...]:
        """Tokens that the first document of each shard has in the shards before."""
        result: list[int] = []
        for number, shard in enumerate(self.shards):
            before = 0
            if number:
                last = self.shards[number - 1]
                ends = last.document_ends
                if shard.first_document < last.first_document + ends.size:
                    # A shard of one document may be a middle part of it.
                    before = int(ends[-1] - ends[-2]) if ends.size > 1 else (
                        int(ends[-1]) + result[-1])  # fmt: skip
            result.append(before)
        return tuple(result)

    def context_limit(self, max_context: int | None, longest: int) -> int | None:
        """Tokens of a context that are looked at: all of them where the index can find these.

        Raises
        ------
        InputError
            Contexts are longer than the index can find, and no limit was given; or the limit is
            beyond what it can find.
        """
        max_context = optional_integer_within("max_context", max_context, 1, 1 << 40)
        most = self.reader.max_length
        if most is None:
            return max_context
        if most < 2:
            raise InputError(f"{self.name}: finds single tokens alone, and no contexts of tokens")
        remedy = f"give --max-context {most - 1} or less, or build an index without --depth"
        if max_context is None and longest >= most:
            raise InputError(
                f"{self.name}: finds n-grams of at most {most} tokens, and a context has {longest} "
                f"before the token after it; {remedy}"
            )
        if max_context is not None and max_context >= most:
            raise InputError(
                f"--max-context {max_context}: this index finds n-grams of at most {most} tokens; "
                f"{remedy}"
            )
        return max_context


@contextmanager
def damage_as_input_error(name: str) -> Iterator[None]:
    """Arrays of an index that contradict each other are an error of the input."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name}: {error}; build it again") from error


def _answer(queries: Queries, values: NDArray[Any]) -> Any:
    """An array, or its one value as a number of Python."""
    return values[0].item() if queries.single else values


def count(searcher: Searcher, ngrams: NgramsLike, threads: int | None = None) -> Any:
    """Occurrences of each n-gram; see `NgramIndex.count`."""
    queries = searcher.reader.ngrams("ngrams", ngrams)
    with damage_as_input_error(searcher.name):
        counts = searcher.sorted.count(queries.slices, threads=resolve_threads(threads))
    return _answer(queries, counts)


def count_documents(searcher: Searcher, ngrams: NgramsLike, threads: int | None = None) -> Any:
    """Documents that hold each n-gram; see `NgramIndex.count_documents`."""
    queries = searcher.reader.ngrams("ngrams", ngrams)
    with damage_as_input_error(searcher.name):
        counts = searcher.sorted.count_documents(queries.slices, threads=resolve_threads(threads))
    return _answer(queries, counts)


@dataclass(frozen=True, eq=False)
class NextCounts:
    """How often tokens follow contexts, without the zeros.

    Attributes
    ----------
    starts : (k + 1,) int64
        Context i has the entries starts[i] .. starts[i + 1].
    tokens : (entries,) uint32
        Tokens that follow; in each context ascending, or after `top` the most frequent first.
    counts : (entries,) int64
        At least 1.
    vocab_size : int
    """

    starts: NDArray[np.int64]
    tokens: NDArray[np.uint32]
    counts: NDArray[np.int64]
    vocab_size: int

    def __len__(self) -> int:
        return self.starts.size - 1

    def __getitem__(self, i: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Tokens and counts after one context."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"context {i}: there are {len(self)}")
        first, last = self.starts[i % len(self)], self.starts[i % len(self) + 1]
        return self.tokens[first:last], self.counts[first:last]

    @property
    def rows(self) -> NDArray[np.int64]:
        """The context of each entry, (entries,) int64."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    @property
    def totals(self) -> NDArray[np.int64]:
        """Tokens after each context together, (k,) int64."""
        sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.counts)])
        return np.diff(sums[self.starts])

    def top(self, n: int) -> NextCounts:
        """The n most frequent tokens after each context; of equal ones the lowest ids."""
        rows = self.rows
        order = np.lexsort((self.tokens, -self.counts, rows))
        kept = order[np.arange(order.size) - self.starts[rows] < n]
        sizes = np.minimum(np.diff(self.starts), n)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        return NextCounts(starts, self.tokens[kept], self.counts[kept], self.vocab_size)

    def to_csr(self) -> Any:
        """A `scipy.sparse.csr_array` of shape (k, V)."""
        from scipy.sparse import csr_array

        return csr_array(
            (self.counts, self.tokens.astype(np.int64), self.starts),
            shape=(len(self), self.vocab_size),
        )


def _refuse_large_rows(n: int, vocab_size: int, memory_limit: str | int | None) -> None:
    needed = n * vocab_size * 8
    limit = parse_memory_limit(memory_limit)
    if needed > limit:
        raise InputError(
            f"contexts: {n:,} rows of {vocab_size:,} numbers need {needed:,} bytes, but the memory "
            f"limit is {limit:,}; ask for sparse=True, or fewer contexts at a time"
        )


def count_next(
    searcher: Searcher,
    contexts: NgramsLike,
    *,
    sparse: bool = False,
    threads: int | None = None,
    memory_limit: str | int | None = None,
) -> NDArray[np.int64] | NextCounts:
    """How often each token follows each context; see `NgramIndex.count_next`."""
    queries = searcher.reader.contexts("contexts", contexts)
    n_threads = resolve_threads(threads)
    if not sparse:
        _refuse_large_rows(len(queries.slices), searcher.settings.vocab_size, memory_limit)
        with damage_as_input_error(searcher.name):
            rows = searcher.sorted.count_next(queries.slices, threads=n_threads)
        return rows[0] if queries.single else rows
    return next_counts(searcher, queries.slices, n_threads)


def next_counts(searcher: Searcher, contexts: TokenSlices, threads: int) -> NextCounts:
    """Tokens after each context, without the zeros."""
    with damage_as_input_error(searcher.name):
        found = searcher.sorted.next_tokens(contexts, threads=threads)
    return NextCounts(found.starts, found.tokens, found.counts, searcher.settings.vocab_size)


@dataclass(frozen=True, eq=False)
class TokenProbabilities:
    """Probabilities of tokens after contexts, as ratios of counts.

    Attributes
    ----------
    probabilities : (k,) float64
        counts / context_counts; NaN where the context does not occur.
    counts : (k,) int64
        Occurrences of the context with the token.
    context_counts : (k,) int64
        Occurrences of the context, or of its suffix; of the empty one, all tokens.
    suffix_lengths : (k,) int64
        Tokens of the context that were used: all, or with back-off those of the longest suffix
        that occurs. The effective n of the infinity-gram is one more.
    """

    probabilities: NDArray[np.float64]
    counts: NDArray[np.int64]
    context_counts: NDArray[np.int64]
    suffix_lengths: NDArray[np.int64]


def ratios(counts: NDArray[np.int64], totals: NDArray[np.int64]) -> NDArray[np.float64]:
    """counts / totals, NaN where the total is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(totals > 0, counts / totals, np.nan)


def probabilities(
    searcher: Searcher,
    contexts: NgramsLike,
    tokens: ArrayLike,
    *,
    backoff: bool = False,
    max_context: int | None = None,
    threads: int | None = None,
) -> TokenProbabilities:
    """Probability of a token after each context; see `NgramIndex.prob`."""
    reader = searcher.reader
    read = reader.texts("contexts", contexts)
    following = _tokens_of(searcher, tokens, len(read.slices))
    n_threads = resolve_threads(threads)
    if not backoff:
        read = reader.contexts("contexts", contexts)
    joined = _with_last(read.slices, following)
    with damage_as_input_error(searcher.name):
        if backoff:
            limit = searcher.context_limit(max_context, _longest(read.slices))
            found = searcher.sorted.longest_suffixes(
                joined, every_token=False, max_context=limit, threads=n_threads
            )
            lengths, totals, counts = found.lengths, found.contexts, found.ngrams
        else:
            counts = searcher.sorted.count(joined, threads=n_threads)
            before = TokenSlices(joined.tokens, joined.begins, joined.ends - 1)
            totals = searcher.sorted.count(before, threads=n_threads)
            lengths = read.slices.lengths
    return TokenProbabilities(ratios(counts, totals), counts, totals, lengths)


def _longest(slices: TokenSlices) -> int:
    return int(slices.lengths.max(initial=0))


def _tokens_of(searcher: Searcher, tokens: ArrayLike, n: int) -> NDArray[np.uint32]:
    array = np.atleast_1d(
        host_array(tokens) if hasattr(tokens, "__array__") else np.asarray(tokens)
    )
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise InputTypeError("tokens: needs one token id per context")
    if array.size == 1 and n != 1:
        array = np.repeat(array, n)
    if array.size != n:
        raise InputError(f"tokens: {array.size} tokens for {n} contexts; give one for each")
    vocab_size = searcher.settings.vocab_size
    if array.size and not 0 <= int(array.min()) <= int(array.max()) < vocab_size:
        bad = array[(array < 0) | (array >= vocab_size)][0]
        raise InputError(f"tokens: the id {bad} is not in the vocabulary (0 to {vocab_size - 1})")
    return array.astype(np.uint32)


def _with_last(slices: TokenSlices, last: NDArray[np.uint32]) -> TokenSlices:
    """Each sequence with one more token."""
    lengths = slices.lengths
    ends = np.cumsum(lengths + 1)
    tokens = np.empty(int(ends[-1]) if ends.size else 0, np.uint32)
    own = np.ones(tokens.size, bool)
    own[ends - 1] = False
    tokens[ends - 1] = last
    # Slices may overlap or leave tokens out, so that each token is looked up.
    places = np.arange(own.sum()) + np.repeat(
        slices.begins - (np.cumsum(lengths) - lengths), lengths
    )
    tokens[own] = slices.tokens[places]
    return TokenSlices(tokens, ends - lengths - 1, ends)


@dataclass(frozen=True, eq=False)
class NextProbabilities:
    """Distributions of the next token, as ratios of counts.

    Attributes
    ----------
    next_counts : NextCounts
        The counts, without the zeros.
    context_counts : (k,) int64
        Occurrences of each context, or of its suffix. Those at the end of the corpus, or of a
        document where n-grams stay inside, are followed by no token, so that the probabilities of
        the context sum to less than 1.
    suffix_lengths : (k,) int64
        Tokens of the context that were used.
    """

    next_counts: NextCounts
    context_counts: NDArray[np.int64]
    suffix_lengths: NDArray[np.int64]

    @property
    def tokens(self) -> NDArray[np.uint32]:
        """Token of each entry."""
        return self.next_counts.tokens

    @property
    def starts(self) -> NDArray[np.int64]:
        """Context i has the entries starts[i] .. starts[i + 1]."""
        return self.next_counts.starts

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Probability of each entry, (entries,) float64."""
        return self.next_counts.counts / self.context_counts[self.next_counts.rows]

    def top(self, n: int) -> NextProbabilities:
        """The n most probable tokens after each context; of equal ones the lowest ids."""
        return NextProbabilities(self.next_counts.top(n), self.context_counts, self.suffix_lengths)


def next_distribution(
    searcher: Searcher,
    contexts: NgramsLike,
    *,
    backoff: bool = False,
    max_context: int | None = None,
    threads: int | None = None,
) -> tuple[NextProbabilities, bool]:
    """Sparse distributions of the next token, and whether there was one context by itself."""
    n_threads = resolve_threads(threads)
    reader = searcher.reader
    if backoff:
        queries = reader.texts("contexts", contexts)
        limit = searcher.context_limit(max_context, _longest(queries.slices))
        slices, totals = suffixes_that_occur(searcher, queries.slices, limit, n_threads)
    else:
        queries = reader.contexts("contexts", contexts)
        slices = queries.slices
        with damage_as_input_error(searcher.name):
            totals = searcher.sorted.count(slices, threads=n_threads)
    counts = next_counts(searcher, slices, n_threads)
    return NextProbabilities(counts, totals, slices.lengths), queries.single


def suffixes_that_occur(
    searcher: Searcher, contexts: TokenSlices, limit: int | None, threads: int
) -> tuple[TokenSlices, NDArray[np.int64]]:
    """The longest suffix of each context that occurs, and its occurrences."""
    # Any token may stand after them: only what is before it counts.
    joined = _with_last(contexts, np.zeros(len(contexts), np.uint32))
    with damage_as_input_error(searcher.name):
        found = searcher.sorted.longest_suffixes(
            joined, every_token=False, max_context=limit, threads=threads
        )
    slices = TokenSlices(contexts.tokens, contexts.ends - found.lengths, contexts.ends)
    return slices, found.contexts


def next_distribution_rows(
    found: NextProbabilities, single: bool, memory_limit: str | int | None = None
) -> NDArray[np.float64]:
    """The same as rows of V probabilities; NaN where a context does not occur."""
    counts = found.next_counts
    _refuse_large_rows(len(counts), counts.vocab_size, memory_limit)
    rows = np.zeros((len(counts), counts.vocab_size))
    rows[counts.rows, counts.tokens] = found.probabilities
    rows[found.context_counts == 0] = np.nan
    return rows[0] if single else rows
