"""Building an index: the suffixes of a corpus in order, shard by shard."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.index.shard import IndexSettings, Shard
from ngramstat.kernels.suffixes import suffix_array
from ngramstat.kernels.tokens import token_counts

__all__ = ["build_in_memory", "settings_of", "with_stops"]

_SORTED_BY_KERNEL = 255


def settings_of(corpus: Corpus, depth: int | None, boundary: Boundary) -> IndexSettings:
    """Settings of the index of a corpus.

    Raises
    ------
    InputError
        N-grams are to stay inside documents, and the documents are unknown.
    """
    if boundary is Boundary.STREAM:
        return IndexSettings(corpus.vocab_size, depth, boundary, None)
    if corpus.document_ends is None:
        raise InputError(
            f"{corpus.name}: has no documents, in which n-grams could stay; give --separator, or "
            "--boundary stream"
        )
    stop = corpus.separator if _separators_end_documents(corpus) else corpus.vocab_size
    return IndexSettings(corpus.vocab_size, depth, boundary, stop)


def _separators_end_documents(corpus: Corpus) -> bool:
    """Whether separators stand at the ends of all documents (but the last) and nowhere else."""
    ends, separator = corpus.document_ends, corpus.separator
    if separator is None or ends is None:
        return False
    at = np.flatnonzero(corpus.tokens == separator) + 1
    return np.array_equal(at, ends) or np.array_equal(at, ends[:-1])


def with_stops(corpus: Corpus, settings: IndexSettings) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Tokens and document ends of a corpus, with the stop tokens that it lacks."""
    ends = corpus.document_ends
    if ends is None:
        ends = np.array([corpus.n_tokens], np.int64)
    if not settings.inserts_stops:
        return corpus.tokens, ends
    stop = settings.vocab_size
    dtype = np.uint16 if stop < 1 << 16 and corpus.dtype == np.uint16 else np.uint32
    tokens = np.insert(corpus.tokens.astype(dtype), ends, stop)
    return tokens, ends + np.arange(1, ends.size + 1)


def build_in_memory(
    corpus: Corpus, *, depth: int | None, boundary: Boundary, threads: int
) -> tuple[IndexSettings, Shard]:
    """Settings and the one shard of an index in memory."""
    settings = settings_of(corpus, depth, boundary)
    tokens, ends = with_stops(corpus, settings)
    suffixes = _sorted(tokens, settings, threads)
    starts = np.zeros(settings.vocab_size + 2, np.int64)
    np.cumsum(token_counts(tokens, settings.vocab_size + 1, threads=threads), out=starts[1:])
    return settings, Shard(tokens, suffixes, starts, ends, 0, 0)


def _sorted(tokens: NDArray[Any], settings: IndexSettings, threads: int) -> NDArray[np.uint32]:
    depth = settings.depth or _SORTED_BY_KERNEL
    stop = settings.stop_token
    order, lcp = suffix_array(
        tokens, settings.vocab_size + 1, depth=depth, stop_token=stop, threads=threads
    )
    if stop is not None:
        # What begins with the stop token is this one symbol.
        begins = tokens[order] == stop
        order[begins] = np.sort(order[begins])
        lcp[begins] = 1
    if settings.depth is None and (lcp == depth).any():
        order = _to_the_end(tokens, order, lcp, stop)
    return order.astype(np.uint32)


def _to_the_end(
    tokens: NDArray[Any], order: NDArray[np.int64], lcp: NDArray[np.uint8], stop: int | None
) -> NDArray[np.int64]:
    """Suffixes sorted to their ends, from suffixes sorted by 255 symbols, by doubling ranks."""
    size = len(tokens)
    end = np.full(size, size, np.int64)  # of each suffix
    if stop is not None:
        stops = np.append(np.flatnonzero(tokens == stop) + 1, size)
        end = stops[np.searchsorted(stops, np.arange(size), side="right")]
    full = np.minimum(end[order] - order, np.iinfo(np.int64).max)
    equal = np.zeros(size, bool)
    equal[1:] = (lcp[1:] == _SORTED_BY_KERNEL) | ((full[1:] == full[:-1]) & (lcp[1:] == full[1:]))
    rank = np.empty(size, np.int64)
    rank[order] = np.maximum.accumulate(np.where(equal, 0, np.arange(size)))
    length = _SORTED_BY_KERNEL
    while True:
        after = np.arange(size) + length
        second = np.where(after < end, rank[np.minimum(after, size - 1)], -1)
        order = np.lexsort((np.arange(size), second, rank))
        differs = np.ones(size, bool)
        differs[1:] = (np.diff(rank[order]) != 0) | (np.diff(second[order]) != 0)
        new = np.empty(size, np.int64)
        new[order] = np.maximum.accumulate(np.where(differs, np.arange(size), 0))
        if np.array_equal(new, rank):
            return order
        rank, length = new, 2 * length
