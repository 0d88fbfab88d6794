"""Building an index: the suffixes of a corpus in order, shard by shard."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.index.shard import IndexSettings, Shard
from ngramstat.kernels.suffix_order import SuffixSorter

__all__ = ["build_in_memory", "settings_of", "with_stops"]


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
    sorter = SuffixSorter(
        tokens,
        settings.vocab_size + 1,
        depth=depth,
        stop_token=settings.stop_token,
        document_ends=ends,
        threads=threads,
    )
    starts = np.zeros(settings.vocab_size + 2, np.int64)
    np.cumsum(sorter.occurrences, out=starts[1:])
    suffixes = np.empty(len(tokens), np.uint32)
    for part in sorter:
        suffixes[starts[part.first_token] : starts[part.last_token]] = part.suffixes
    return settings, Shard(tokens, suffixes, starts, ends, 0, 0)
