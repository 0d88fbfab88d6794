"""The n-grams of a back-off model as a trie that extends into the past.

Level m holds the n-grams of m tokens, sorted by their last token, then the one before it, and so
on. The parent of an n-gram is the n-gram without its oldest token, so the children of one n-gram
are neighbours, in ascending order of the token that they add.

Level 1 has an entry for every id of the vocabulary, and one more for a stop token that is no part
of it. Every level below the highest has one more entry at its end, whose link is the number of
entries of the next level.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels.ngram_models import LEAF, NODE, make_guides

__all__ = ["LEAF", "MAX_ORDER", "NODE", "Batch", "NgramTrie"]

MAX_ORDER = 16

# (tokens (k, m), log_probs (k,), log_backoffs (k,) or None): n-grams with their oldest token first.
Batch = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64] | None]


@dataclass(frozen=True, eq=False)
class NgramTrie:
    """N-grams of orders 1 to `order` with their log probabilities and back-off weights.

    Attributes
    ----------
    vocab_size : int
        V.
    symbols : int
        V, or V + 1 where a stop token that is never predicted has the id V.
    levels : tuple of arrays
        Of m = 1 .. order, with dtype NODE; the last one, unless it is the first, with dtype LEAF.
        Natural logarithms.
    guides : tuple of (k,) uint32
        Of m = 2 .. order: where to begin among many siblings; see `make_guides`.
    """

    vocab_size: int
    symbols: int
    levels: tuple[NDArray[np.void], ...]
    guides: tuple[NDArray[np.uint32], ...] = ()

    @property
    def order(self) -> int:
        return len(self.levels)

    def with_guides(self, threads: int) -> NgramTrie:
        """The same trie, ready to be searched fast."""
        guides = make_guides(self.vocab_size, self.symbols, self.levels, threads=threads)
        return replace(self, guides=guides)

    @property
    def token_bits(self) -> int:
        """Bits of a link that hold the token."""
        return self.vocab_size.bit_length()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Entries of each level, without the one at the end."""
        return tuple(len(level) - (level.dtype == NODE) for level in self.levels)

    @property
    def _mask(self) -> np.uint64:
        return np.uint64((1 << self.token_bits) - 1)

    def own_tokens(self, m: int, entries: slice | NDArray[np.int64]) -> NDArray[np.int64]:
        """The oldest token of some n-grams of order m."""
        part = self.levels[m - 1][entries]
        if part.dtype == LEAF:
            return part["token"].astype(np.int64)
        return (part["link"] & self._mask).astype(np.int64)

    def first_children(self, m: int, entries: slice | NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the children of some n-grams of order m begin in the next level."""
        links = self.levels[m - 1][entries]["link"]
        return (links >> np.uint64(self.token_bits)).astype(np.int64)

    def all_tokens(self, m: int, start: int, stop: int) -> NDArray[np.int64]:
        """The n-grams of order m in entries start .. stop - 1, (stop - start, m), oldest first."""
        tokens = np.empty((stop - start, m), np.int64)
        # Row r of the result belongs to entry start + at[r] of the level.
        at = np.arange(stop - start)
        for j in range(m, 0, -1):
            tokens[:, m - j] = self.own_tokens(j, slice(start, stop))[at]
            if j == 1:
                break
            # The parents of neighbours are neighbours.
            first, last = self._parent(j, start), self._parent(j, stop - 1)
            ends = self.first_children(j - 1, slice(first + 1, last + 2))
            at = np.searchsorted(ends, start + at, side="right")
            start, stop = first, last + 1
        return tokens

    def _parent(self, m: int, entry: int) -> int:
        """The entry of level m - 1 whose child an entry of level m is."""
        links, bits = self.levels[m - 2]["link"], self.token_bits
        low, high = 0, len(links) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if int(links[middle]) >> bits <= entry:
                low = middle
            else:
                high = middle
        return low

    def find(
        self, m: int, parents: NDArray[np.int64], tokens: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Entries of level m + 1 below `parents` of level m that add `tokens`; -1 where none is."""
        known = parents >= 0
        at = np.where(known, parents, 0)
        low, end = self.first_children(m, at), self.first_children(m, at + 1)
        high = end.copy()
        size = self.sizes[m]
        while np.any(low < high):
            middle = np.minimum((low + high) // 2, size - 1)
            less = (self.own_tokens(m + 1, middle) < tokens) & (low < high)
            high = np.where(less | (low >= high), high, middle)
            low = np.where(less, middle + 1, low)
        found = known & (low < end)
        found[found] = self.own_tokens(m + 1, low[found]) == tokens[found]
        return np.where(found, low, -1)
