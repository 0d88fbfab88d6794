"""The n-grams of a back-off model as a trie that extends into the past.

Level m holds the n-grams of m tokens, sorted by their last token, then the one before it, and so
on. The parent of an n-gram is the n-gram without its oldest token, so the children of one n-gram
are neighbours, in ascending order of the token that they add.

Level 1 has an entry for every id of the vocabulary, and one more for a stop token that is no part
of it. Every level below the highest has one more entry at its end, whose link is the number of
entries of the next level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAF", "MAX_ORDER", "NODE", "Batch", "NgramTrie"]

MAX_ORDER = 16
# The link holds the entry's first child in the next level above `token_bits` bits with its oldest
# token.
NODE = np.dtype([("link", "<u8"), ("log_prob", "<f4"), ("log_backoff", "<f4")])
# Of the highest level.
LEAF = np.dtype([("token", "<u4"), ("log_prob", "<f4")])

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
    """

    vocab_size: int
    symbols: int
    levels: tuple[NDArray[np.void], ...]

    @property
    def order(self) -> int:
        return len(self.levels)

    @property
    def token_bits(self) -> int:
        """Bits of a link that hold the token."""
        return self.vocab_size.bit_length()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Entries of each level, without the one at the end."""
        return tuple(len(level) - (level.dtype == NODE) for level in self.levels)

    def tokens(self, m: int) -> NDArray[np.int64]:
        """The oldest token of every n-gram of order m, (sizes[m - 1],)."""
        level = self.levels[m - 1]
        if level.dtype == LEAF:
            return level["token"].astype(np.int64)
        mask = np.uint64((1 << self.token_bits) - 1)
        return (level["link"][:-1] & mask).astype(np.int64)

    def first_children(self, m: int) -> NDArray[np.int64]:
        """Where the children of every n-gram of order m begin, and the end, (sizes[m - 1] + 1,)."""
        return (self.levels[m - 1]["link"] >> np.uint64(self.token_bits)).astype(np.int64)

    def find(
        self, m: int, parents: NDArray[np.int64], tokens: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Entries of level m + 1 below `parents` of level m that add `tokens`; -1 where none is."""
        known = parents >= 0
        first = self.first_children(m)
        at = np.where(known, parents, 0)
        low, end = first[at], first[at + 1]
        high = end.copy()
        below = self.tokens(m + 1)
        while np.any(low < high):
            middle = np.minimum((low + high) // 2, max(len(below) - 1, 0))
            less = (below[middle] < tokens) & (low < high)
            high = np.where(less | (low >= high), high, middle)
            low = np.where(less, middle + 1, low)
        found = known & (low < end)
        found[found] = below[low[found]] == tokens[found]
        return np.where(found, low, -1)
