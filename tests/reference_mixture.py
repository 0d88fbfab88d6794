"""Slow, simple versions of the kernels behind the mixture of contexts."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np


def random_tree(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(leaf_of, split in preorder) of a random binary tree."""
    split: list[int] = []

    def grow(a: int, b: int) -> None:
        if b - a > 1:
            m = int(rng.integers(a + 1, b))
            split.append(m)
            grow(a, m)
            grow(m, b)

    grow(0, size)
    return rng.permutation(size).astype(np.uint32), np.array(split, np.uint32)


def path(leaf: int, split: Sequence[int], size: int) -> list[tuple[int, int, int, bool]]:
    """(a, m, b, went right) at every decision on the way to a leaf."""
    out, node, a, b = [], 0, 0, size
    while b - a > 1:
        m = int(split[node])
        right = leaf >= m
        out.append((a, m, b, right))
        node, a, b = (node + m - a, m, b) if right else (node + 1, a, m)
    return out


@dataclass
class Nodes:
    """Counts of one pattern: context -> token -> count, and the distinct continuation tokens.

    Events without a continuation token are counted one by one, as `uncontinued`.
    """

    offsets: Sequence[int]
    maps: Sequence[int]
    class_maps: np.ndarray
    stop: int
    counts: dict = field(default_factory=lambda: defaultdict(Counter))
    continuations: dict = field(default_factory=lambda: defaultdict(set))
    uncontinued: Counter = field(default_factory=Counter)

    def history(self, tokens, i: int) -> int:
        """Number of tokens before i, back to the last stop token."""
        stops = [j for j in range(i) if tokens[j] == self.stop]
        return i - stops[-1] if stops else i

    def context(self, tokens, i: int):
        if self.history(tokens, i) < max(self.offsets, default=0):
            return None
        return tuple(
            int(tokens[i - k]) if m < 0 else int(self.class_maps[m][tokens[i - k]])
            for k, m in zip(self.offsets, self.maps, strict=True)
        )

    def count(self, training, first_event: int, continuation_offset: int, vocab_size: int) -> None:
        for i in range(first_event, len(training)):
            context = self.context(training, i)
            if context is None or training[i] >= vocab_size:
                continue
            token = int(training[i])
            self.counts[context][token] += 1
            if continuation_offset and self.history(training, i) >= continuation_offset:
                self.continuations[context, token].add(int(training[i - continuation_offset]))
            else:
                self.uncontinued[context, token] += 1

    def continuation(self, context) -> Counter:
        return Counter(
            {w: len(self.continuations[context, w]) + self.uncontinued[context, w]
             for w in self.counts[context]}
        )  # fmt: skip

    def distribution(self, context, counts: Counter, discounts, parent: np.ndarray) -> np.ndarray:
        """Interpolated absolute discounting over the whole vocabulary."""
        total = sum(counts.values())
        if context is None or total == 0:
            return parent
        freed = {w: min(discounts[min(c, 3) - 1], c) for w, c in counts.items()}
        out = sum(freed.values()) * parent / total
        for w, c in counts.items():
            out[w] += (c - freed[w]) / total
        return out


def bucket(taken: int, sibling: int, seen: bool) -> int:
    n = taken + sibling
    if n == 0:
        return 16 if seen else 0
    last = [1, 2, 3, 5, 8, 12, 20, 36, 70, 150, 400, 1500, 8000, 60000]
    size = 1 + sum(n > x for x in last)
    return size + (16 if taken == 0 or sibling == 0 else 0)


def seen_class(bucket: int) -> int:
    """How often a context was seen: never (0), ... often (4)."""
    return sum(bucket % 16 >= first for first in (1, 3, 6, 10))


def inverse_root(x: float) -> float:
    """1 / sqrt(x), about: of the single-precision float, from its bits."""
    bits = np.float32(x).view(np.int32)
    return float(np.int32(0x5F37642F - (int(bits) >> 1)).view(np.float32))


class Mixer:
    """Logistic mixing in double precision, one binary decision after the other."""

    def __init__(
        self, parents, initial, chain, sizes, n_inputs: int, n_chain: int, n_selectors: int
    ) -> None:
        self.parents, self.chain, self.n_inputs = parents, chain[:n_chain], n_inputs
        self.own = [[w] * 32 for w in initial]
        self.own_squares = [[1e-2] * 32 for _ in initial]
        states = [5**n_chain, *sizes[:n_selectors]]
        self.tables = [np.zeros((size, n_inputs)) for size in states]
        self.squares = [np.full((size, n_inputs), 1e-2) for size in states]

    def inputs(self, logits, t: int) -> list[float]:
        pairs = zip(logits[: self.n_inputs, t], self.parents, strict=False)
        return [v if p < 0 else v - logits[p, t] for v, p in pairs]

    def rows(self, buckets, states, t: int) -> list[int]:
        """The state of every table."""
        seen = 0
        for i in self.chain:
            seen = seen * 5 + seen_class(buckets[i, t])
        return [seen, *(int(states[s, t]) for s in range(len(self.tables) - 1))]

    def mixed_logit(self, logits, buckets, states, t: int) -> float:
        rows = self.rows(buckets, states, t)
        return sum(
            r * (self.own[i][buckets[i, t]]
                 + sum(table[k, i] for table, k in zip(self.tables, rows, strict=True)))
            for i, r in enumerate(self.inputs(logits, t))
        )  # fmt: skip

    def train(self, logits, buckets, states, first: int, last: int, rate: float) -> float:
        loss = 0.0
        for t in range(first, last):
            z = self.mixed_logit(logits, buckets, states, t)
            loss += math.log1p(math.exp(-z))
            rows = self.rows(buckets, states, t)
            for i, r in enumerate(self.inputs(logits, t)):
                g = r / (1 + math.exp(z))
                b = buckets[i, t]
                self.own_squares[i][b] += g * g
                self.own[i][b] += rate * g * inverse_root(self.own_squares[i][b])
                for table, squares, k in zip(self.tables, self.squares, rows, strict=True):
                    squares[k, i] += g * g
                    table[k, i] += rate * g * inverse_root(squares[k, i])
        return loss

    def score(self, logits, buckets, states, offsets) -> list[float]:
        return [
            sum(math.log1p(math.exp(-self.mixed_logit(logits, buckets, states, t)))
                for t in range(a, b))
            for a, b in pairwise(offsets)
        ]  # fmt: skip
