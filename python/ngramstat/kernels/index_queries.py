"""Questions to sorted suffixes: occurrences of n-grams, tokens after contexts, longest suffixes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat.kernels.tokens import Tokens, check_tokens

__all__ = ["NextTokens", "SortedShards", "SuffixCounts", "TokenSlices", "suffix_samples"]

# Queries of one call, which takes a second or so; an interrupt is noticed between calls.
_QUERIES_PER_STEP = 1 << 20
# Bytes from which memory is asked for in huge pages.
_LARGE = 1 << 22
_NO_SAMPLES = np.zeros(0, np.uint64)


@dataclass(frozen=True)
class TokenSlices:
    """Many sequences of tokens: number i is tokens[begins[i]:ends[i]].

    Attributes
    ----------
    tokens : (m,) uint32
    begins, ends : (k,) int64
        Slices may overlap.
    """

    tokens: NDArray[np.uint32]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return self.begins.size

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each, (k,) int64."""
        return self.ends - self.begins

    def steps(self, size: int) -> Iterator[tuple[slice, TokenSlices]]:
        """Parts of `size` sequences, and where they are."""
        for first in range(0, len(self), size):
            part = slice(first, min(first + size, len(self)))
            yield part, TokenSlices(self.tokens, self.begins[part], self.ends[part])


@dataclass(frozen=True)
class NextTokens:
    """Tokens that follow contexts, in rows without the zeros.

    Attributes
    ----------
    starts : (k + 1,) int64
        Context i has the entries starts[i] .. starts[i + 1].
    tokens : (entries,) uint32
        Ascending in each context.
    counts : (entries,) int64
        At least 1.
    """

    starts: NDArray[np.int64]
    tokens: NDArray[np.uint32]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class SuffixCounts:
    """The longest suffix of each context that occurs, and how often it does.

    Attributes
    ----------
    lengths : (k,) int64
        Tokens of this suffix.
    contexts : (k,) int64
        Its occurrences; all tokens for the empty one.
    ngrams : (k,) int64
        Its occurrences with the token after it.
    """

    lengths: NDArray[np.int64]
    contexts: NDArray[np.int64]
    ngrams: NDArray[np.int64]


class SortedShards:
    """The sorted suffixes of the parts of a corpus.

    Parameters
    ----------
    vocab_size : int
    depth : int or None
        Symbols by which suffixes are sorted; None: to their ends.
    stop_token : int or None
        Nothing is compared after it.

    Raises
    ------
    TypeError
        An array has another dtype than documented, or is not contiguous.
    ValueError
        The sizes of arrays do not fit together, or a query meets ranks or positions that do not.
    """

    def __init__(self, vocab_size: int, depth: int | None, stop_token: int | None) -> None:
        self.vocab_size = vocab_size
        self._options = (vocab_size, depth or 0, -1 if stop_token is None else stop_token)
        self._core: _core.IndexShards16 | _core.IndexShards32 | None = None

    def add(
        self,
        tokens: Tokens,
        suffixes: NDArray[np.uint32],
        token_starts: NDArray[np.int64],
        document_ends: NDArray[np.int64],
        samples: NDArray[np.uint64] | None = None,
        *,
        continues: bool = False,
    ) -> None:
        """Add the next shard, whose arrays `index.shard.Shard` describes.

        All shards have tokens of the same dtype. Nothing is copied.

        Parameters
        ----------
        continues : bool
            Whether its first document is the rest of the last one of the shard before.
        """
        check_tokens(tokens)
        if self._core is None:
            wide = tokens.dtype == np.uint32
            self._core = (_core.IndexShards32 if wide else _core.IndexShards16)(*self._options)
        samples = _NO_SAMPLES if samples is None else samples
        self._core.add(
            tokens,  # type: ignore[arg-type]
            suffixes,
            token_starts,
            document_ends,
            samples,
            continues,
        )

    @property
    def _shards(self) -> _core.IndexShards16 | _core.IndexShards32:
        if self._core is None:
            raise ValueError("an index needs at least one shard")
        return self._core

    def count(self, ngrams: TokenSlices, *, threads: int = 1) -> NDArray[np.int64]:
        """Occurrences of each n-gram, (k,) int64; of the empty one, all tokens."""
        counts = np.empty(len(ngrams), np.int64)
        for part, step in ngrams.steps(_QUERIES_PER_STEP):
            counts[part] = self._shards.count(step.tokens, step.begins, step.ends, threads)
        return counts

    def count_documents(self, ngrams: TokenSlices, *, threads: int = 1) -> NDArray[np.int64]:
        """Documents that hold each n-gram, (k,) int64. Reads every occurrence."""
        counts = np.empty(len(ngrams), np.int64)
        for part, step in ngrams.steps(1 << 14):
            counts[part] = self._shards.count_documents(
                step.tokens, step.begins, step.ends, threads
            )
        return counts

    def ranges(self, shard: int, ngrams: TokenSlices, *, threads: int = 1) -> NDArray[np.int64]:
        """First rank, and last rank plus 1, of the suffixes that begin with each n-gram, (k, 2)."""
        return self._shards.ranges(shard, ngrams.tokens, ngrams.begins, ngrams.ends, threads)

    def next_tokens(self, contexts: TokenSlices, *, threads: int = 1) -> NextTokens:
        """How often each token follows each context, without the zeros.

        The empty context is followed by every token of the corpus.
        """
        parts = [
            self._shards.next_tokens(step.tokens, step.begins, step.ends, threads)
            for _, step in contexts.steps(1 << 17)
        ]
        if len(parts) == 1:
            return NextTokens(*parts[0])
        starts = [np.zeros(1, np.int64)]
        for more, _, _ in parts:
            starts.append(more[1:] + starts[-1][-1])
        return NextTokens(
            np.concatenate(starts),
            np.concatenate([np.zeros(0, np.uint32), *(tokens for _, tokens, _ in parts)]),
            np.concatenate([np.zeros(0, np.int64), *(counts for _, _, counts in parts)]),
        )

    def count_next(self, contexts: TokenSlices, *, threads: int = 1) -> NDArray[np.int64]:
        """How often each token follows each context, (k, V) int64."""
        # Large ones in huge pages, whose memory is used again.
        large = len(contexts) * self.vocab_size * 8 >= _LARGE
        rows = (
            _core.zero_rows(len(contexts), self.vocab_size, threads)
            if large
            else np.zeros((len(contexts), self.vocab_size), np.int64)
        )
        for part, step in contexts.steps(1 << 14):
            self._shards.count_next(step.tokens, step.begins, step.ends, rows[part], threads)
        return rows

    def longest_suffixes(
        self,
        texts: TokenSlices,
        *,
        every_token: bool,
        max_context: int | None = None,
        threads: int = 1,
    ) -> SuffixCounts:
        """The longest suffix of each context that occurs, and its counts.

        Parameters
        ----------
        texts : TokenSlices
            A context is what stands before a token: the last one of each text, which is not empty,
            or with `every_token` each of its tokens, in their order. With a stop token, a context
            begins after the last stop in it.
        max_context : int, optional
            Tokens of a suffix at most.
        """
        found = [
            self._shards.longest_suffixes(
                step.tokens, step.begins, step.ends, every_token, max_context or 0, threads
            )
            for _, step in texts.steps(1 << 16)
        ]
        if len(found) == 1:
            return SuffixCounts(*found[0])
        empty = (np.zeros(0, np.int64),) * 3
        return SuffixCounts(*map(np.concatenate, zip(empty, *found, strict=True)))


def suffix_samples(
    tokens: Tokens,
    suffixes: NDArray[np.uint32],
    vocab_size: int,
    *,
    depth: int | None = None,
    stop_token: int | None = None,
    threads: int = 1,
) -> NDArray[np.uint64]:
    """Packed symbols of every 32nd suffix, which make searches shorter, (ceil(k / 32),) uint64.

    A sample holds as many symbols after the first as fit 64 bits, each as token + 1; 0 where the
    suffix has ended.

    Raises
    ------
    TypeError
        The tokens are not a contiguous array of uint16 or uint32.
    """
    check_tokens(tokens)
    stop = -1 if stop_token is None else stop_token
    return _core.suffix_samples(tokens, suffixes, vocab_size, depth or 0, stop, threads)
