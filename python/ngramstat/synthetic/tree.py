"""Exact statistics of strings of a tree of rules: covariances, n-grams, entropies.

A tree has levels l = 0 (root) .. L - 1; a symbol x of level l takes rule r with probability
q_l[x, r] and becomes the s symbols children_l[x, r] of the next level; those of level L are tokens.
Roots are uniform. Everything here follows from the tree by sums over levels; nothing grows with the
s^L tokens of a string (docs/theory.md 5.2 and 5.4; the recursion over lags is ours).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.synthetic.world import MAX_DENSE, block_entropy

__all__ = ["MAX_TREE_NGRAMS", "Tree"]

Floats = NDArray[np.float64]
Rules = NDArray[np.int64]
Edges = dict[int, Floats]

# Largest table of n-gram probabilities that is made for a tree (some of its size are needed).
MAX_TREE_NGRAMS = 1 << 21

# Beliefs that differ by less than this are one (they are the same up to rounding).
_BELIEF_DIGITS = 13


@dataclass(frozen=True)
class Tree:
    """A tree of rules; see the module.

    Attributes
    ----------
    children : sequence of (n_l, m_l, s) int64
        Rules of every level, the root's first.
    q : sequence of (n_l, m_l) float64
        Their probabilities; every row sums to one.
    n_tokens : int
        V, symbols of the leaves.
    """

    children: Sequence[Rules]
    q: Sequence[Floats]
    n_tokens: int

    @property
    def depth(self) -> int:
        """L."""
        return len(self.children)

    @property
    def branching(self) -> int:
        """s."""
        return int(self.children[0].shape[2])

    @property
    def length(self) -> int:
        """d = s^L, tokens of a string."""
        return int(self.branching**self.depth)

    def leaves(self, level: int) -> int:
        """Tokens under a node of this level."""
        return int(self.branching ** (self.depth - level))

    def symbols(self, level: int) -> int:
        """Symbols of this level; level L is the tokens."""
        return self.n_tokens if level == self.depth else int(self.children[level].shape[0])

    @cached_property
    def root(self) -> Floats:
        """Distribution of the root's symbol."""
        return np.full(self.symbols(0), 1.0 / self.symbols(0))

    @cached_property
    def transitions(self) -> list[Floats]:
        """T[l], (s, n_l, n_{l+1}): distribution of child c given its parent.

        Raises
        ------
        InputError
            There are too many symbols for dense matrices.
        """
        if self.n_tokens > MAX_DENSE:
            raise InputError(f"v={self.n_tokens}: needs matrices of v^2 numbers; use a smaller v")
        found = []
        for level in range(self.depth):
            t = np.zeros((self.branching, self.symbols(level), self.symbols(level + 1)))
            parents = np.arange(self.symbols(level))[:, None]
            for c in range(self.branching):
                np.add.at(t[c], (parents, self.children[level][:, :, c]), self.q[level])
            found.append(t)
        return found

    @cached_property
    def mean_marginals(self) -> list[Floats]:
        """Distribution of a random node's symbol, level 0 .. L."""
        found = [self.root]
        for level in range(self.depth):
            children = [self._child(level, c, found[-1]) for c in range(self.branching)]
            found.append(np.mean(children, axis=0))
        return found

    def _child(self, level: int, c: int, p: Floats) -> Floats:
        """Distribution of child c of a node of this level whose symbol has distribution p."""
        weights = (p[:, None] * self.q[level]).reshape(-1)
        symbols = self.children[level][:, :, c].reshape(-1)
        counts = np.bincount(symbols, weights, minlength=self.symbols(level + 1))
        return counts.astype(np.float64, copy=False)

    @cached_property
    def _leaf_sums(self) -> list[Floats]:
        """(n_l, V): expected number of each token under a symbol of level l."""
        found = [np.eye(self.n_tokens)]
        for t in reversed(self.transitions):
            found.append(t.sum(axis=0) @ found[-1])
        return found[::-1]

    def _siblings(self, level: int, a: int, b: int, p: Floats) -> Floats:
        """Joint of children a and b of a node of this level whose symbol has distribution p."""
        size = self.symbols(level + 1)
        joint = np.zeros((size, size))
        rules = self.children[level]
        np.add.at(joint, (rules[:, :, a], rules[:, :, b]), p[:, None] * self.q[level])
        return joint

    def _descend(self, spawned: Callable[[int], dict[int, Floats]]) -> Floats:
        """Joint of tokens from joints of nodes, (V, V).

        `spawned(level)` gives, by offset delta of leaves, the joint of pairs of nodes of this level
        whose leaves o and o' = o + delta are wanted for every o. Below such a pair at most two
        offsets of children occur, so two matrices a level carry all of it.
        """
        pending: dict[int, Floats] = {}
        for level in range(self.depth + 1):
            for delta, joint in spawned(level).items():
                pending[delta] = pending.get(delta, 0.0) + joint
            if level == self.depth:
                break
            t, size = self.transitions[level], self.leaves(level + 1)
            below: dict[int, Floats] = {}
            for delta, joint in pending.items():
                first = -(-(delta - size + 1) // size)
                for e in range(first, first + 2):
                    rest = delta - e * size
                    if abs(rest) >= size or abs(e) >= self.branching:
                        continue
                    moved = sum(
                        t[c].T @ joint @ t[c + e]
                        for c in range(max(0, -e), min(self.branching, self.branching - e))
                    )
                    below[rest] = below.get(rest, 0.0) + moved
            pending = below
        empty = np.zeros((self.n_tokens, self.n_tokens))
        return empty + pending.get(0, 0.0)

    def _pair_sum(self, lag: int) -> Floats:
        """Sum of the joints of all leaf pairs (i, i + lag) of a string."""

        def spawned(level: int) -> dict[int, Floats]:
            if level == 0:
                return {}
            found: dict[int, Floats] = {}
            size = self.leaves(level)
            nodes = float(self.branching ** (level - 1))
            p = self.mean_marginals[level - 1]
            for e in range(1, self.branching):
                delta = lag - e * size
                if abs(delta) >= size:
                    continue
                for a in range(self.branching - e):
                    more = nodes * self._siblings(level - 1, a, a + e, p)
                    found[delta] = found.get(delta, 0.0) + more
            return found

        return self._descend(spawned)

    def _independent_sum(self, delta: int) -> Floats:
        """Sum over leaves o of one string and o + delta of another, of the product of marginals."""
        if abs(delta) >= self.length:
            return np.zeros((self.n_tokens, self.n_tokens))
        product = np.outer(self.root, self.root)
        return self._descend(lambda level: {delta: product} if level == 0 else {})

    def first_leaves(self, n: int) -> Floats:
        """Expected number of each token among the first n of a string, (V,)."""
        total = np.zeros(self.n_tokens)
        p = self.root
        for level, t in enumerate(self.transitions):
            whole, n = divmod(n, self.leaves(level + 1))
            total += (p @ t[:whole]).sum(axis=0) @ self._leaf_sums[level + 1]
            if n == 0:
                return total
            p = p @ t[whole]
        return total

    def covariance(self, lag: int, boundary: str) -> Floats:
        """C(t), (V, V), over pairs inside strings or over the endless row of strings."""
        d = self.length
        if boundary == "document":
            if lag >= d:
                raise InputError(f"lag {lag}: a string has {d} tokens")
            pairs = d - lag
            left = self.first_leaves(pairs) / pairs
            right = (self._leaf_sums[0].T @ self.root - self.first_leaves(lag)) / pairs
            return self._pair_sum(lag) / pairs - np.outer(left, right)
        mean = self.mean_marginals[-1]
        joint = self._pair_sum(lag) if lag < d else np.zeros((self.n_tokens, self.n_tokens))
        # i + lag lies in another string: the next one, or for a whole number of strings more.
        offset = lag % d
        joint = joint + self._independent_sum(offset - d)
        if lag >= d:
            joint = joint + self._independent_sum(offset)
        return joint / d - np.outer(mean, mean)

    def sequential_covariance(self, lag: int) -> Floats:
        """Joint at a lag minus the mean over shuffles inside strings, (V, V) (docs/theory.md 4)."""
        d = self.length
        everything = np.zeros((self.n_tokens, self.n_tokens))
        for level in range(self.depth):
            below = self._leaf_sums[level + 1]
            p = self.mean_marginals[level]
            for a in range(self.branching):
                for b in range(self.branching):
                    if a != b:
                        joint = self._siblings(level, a, b, p)
                        everything += float(self.branching**level) * (below.T @ joint @ below)
        return self._pair_sum(lag) / (d - lag) - everything / d / (d - 1)

    def pair_covariance(self, i: int, j: int) -> Floats:
        """Covariance of the tokens at two positions of a string, i < j, (V, V)."""
        if not 0 <= i < j < self.length:
            raise InputError(f"positions {i}, {j}: need 0 <= i < j < {self.length}")
        p = self.root
        for level in range(self.depth):
            size = self.leaves(level + 1)
            (a, i), (b, j) = divmod(i, size), divmod(j, size)
            if a == b:
                p = p @ self.transitions[level][a]
                continue
            joint = self._siblings(level, a, b, p)
            u, v = self._path(level + 1, i), self._path(level + 1, j)
            joint = u.T @ joint @ v
            return joint - np.outer(joint.sum(axis=1), joint.sum(axis=0))
        raise AssertionError("two positions part at some level")

    def _path(self, level: int, leaf: int) -> Floats:
        """Distribution of a leaf under a node given the node's symbol, (n_l, V)."""
        u = np.eye(self.symbols(level))
        for below in range(level, self.depth):
            c, leaf = divmod(leaf, self.leaves(below + 1))
            u = u @ self.transitions[below][c]
        return u

    # --- n-grams ---------------------------------------------------------------------------------

    def stream_window(self, w: int) -> Floats:
        """Joint of w consecutive tokens of the endless row at a random phase, shape (V,) * w."""
        if w == 1:
            return self.mean_marginals[-1]
        return _Windows(self, w).stream()

    def document_window(self, w: int) -> Floats:
        """Joint of w consecutive tokens at a random place inside a string, shape (V,) * w."""
        if w > self.length:
            raise InputError(f"{w} tokens: a string has {self.length}")
        if w == 1:
            return self.mean_marginals[-1]
        return _Windows(self, w).inside()

    def position_averaged_entropies(self, max_context: int) -> Floats:
        """H(x_i | n tokens before it) with i known, averaged over the positions i >= n.

        The population changes with n, so the curve need not fall (docs/theory.md 5.5).

        Raises
        ------
        InputError
            There are too many positions and n-grams to go through.
        """
        if self.length * self.n_tokens ** (max_context + 1) > MAX_TREE_NGRAMS:
            raise InputError("position_averaged_entropies: too many positions and n-grams")
        found = []
        for n in range(max_context + 1):
            total = 0.0
            for start in range(self.length - n):
                joint = self._window_at(0, start, n + 1)
                joint = (self.root @ joint).reshape(-1, self.n_tokens)
                total += block_entropy(joint.reshape(-1)) - block_entropy(joint.sum(axis=1))
            found.append(total / (self.length - n))
        return np.array(found)

    def _window_at(self, level: int, start: int, length: int) -> Floats:
        """Leaves start .. start + length given a node's symbol, (n_l, V^length)."""
        if level == self.depth:
            return np.eye(self.n_tokens)
        size = self.leaves(level + 1)
        parts = []
        while length:
            child, offset = divmod(start, size)
            take = min(length, size - offset)
            parts.append((child, self._window_at(level + 1, offset, take)))
            start, length = start + take, length - take
        return self.joined(level, parts)

    def joined(self, level: int, parts: Sequence[tuple[int, Floats]]) -> Floats:
        """Joint of leaves of several children given the node's symbol, (n_l, V^...).

        `parts` holds children in ascending order, each with its leaves given its symbol.
        """
        if len(parts) == 1:
            child, part = parts[0]
            given: Floats = self.transitions[level][child] @ part
            return given
        rules, q = self.children[level], self.q[level]
        out = np.zeros((len(rules), math.prod(part.shape[1] for _, part in parts)))
        for r in range(rules.shape[1]):
            joint = q[:, r].reshape(-1, 1)
            for child, part in parts:
                leaves = part[rules[:, r, child]]
                joint = (joint[:, :, None] * leaves[:, None, :]).reshape(len(rules), -1)
            out += joint
        return out

    def staircase(self, levels: int, most_products: int = 1 << 22) -> Floats:
        """H(last token | the s^l - 1 before it), l = 0 .. levels; for unambiguous rules.

        Sibling blocks then tell their symbols, and what is left is a hidden Markov chain down the
        last children, whose histories with equal beliefs are one (docs/theory.md 5.4).

        Returns
        -------
        (levels + 1,) float64
            NaN from where one level of the chain needs more than `most_products` products of a
            belief and a rule.
        """
        from scipy.sparse import csr_array

        found = np.full(levels + 1, np.nan)
        last = [self.root]
        for level in range(self.depth):
            last.append(self._child(level, self.branching - 1, last[-1]))
        for height in range(min(levels, self.depth) + 1):
            beliefs, weights = csr_array(last[self.depth - height][None, :]), np.ones(1)
            for level in range(self.depth - height, self.depth):
                if beliefs.nnz * self.q[level].shape[1] > most_products:
                    return found
                beliefs, weights = self._reveal_siblings(level, beliefs, weights)
            terms = beliefs.copy()
            terms.data = -terms.data * np.log(terms.data)
            found[height] = float(weights @ terms.sum(axis=1))
        return found

    def _reveal_siblings(self, level: int, beliefs: Any, weights: Floats) -> tuple[Any, Floats]:
        """Beliefs about the last child, by what its siblings are; equal ones joined.

        Beliefs are sparse, (n, symbols), with the histories' total weights, (n,).
        """
        from scipy.sparse import csr_array

        size = self.symbols(level + 1)
        emit, n_siblings = self._emit(level)
        joint = (beliefs @ emit).tocoo()
        # A row for every belief and what the siblings are, of those that can happen together.
        row, last = joint.row.astype(np.int64) * n_siblings + joint.col // size, joint.col % size
        order = np.lexsort((last, row))
        row, last, share = row[order], last[order], joint.data[order]
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        total = np.add.reduceat(share, starts)
        weights = weights[row[starts] // n_siblings] * total
        share = np.round(share / np.repeat(total, np.diff(starts, append=len(row))), _BELIEF_DIGITS)
        row, last, share = row[share > 0], last[share > 0], share[share > 0]
        bounds = np.append(np.flatnonzero(np.diff(row, prepend=-1)), len(row))
        joined: dict[bytes, int] = {}
        number = np.empty(len(weights), np.int64)
        for k, (low, high) in enumerate(itertools.pairwise(bounds.tolist())):
            key = last[low:high].tobytes() + share[low:high].tobytes()
            number[k] = joined.setdefault(key, len(joined))
        mass: Floats = np.bincount(number, weights, minlength=len(joined)).astype(np.float64)
        _, kept = np.unique(number, return_index=True)
        lengths = np.diff(bounds)[kept]
        pointer = np.concatenate([[0], np.cumsum(lengths)])
        at = np.repeat(bounds[kept] - pointer[:-1], lengths) + np.arange(pointer[-1])
        return csr_array((share[at], last[at], pointer), shape=(len(kept), size)), mass

    def _emit(self, level: int) -> tuple[Any, int]:
        """P(siblings, last child | parent), sparse (n_l, siblings * n_{l+1}), and how many."""
        from scipy.sparse import csr_array

        rules, size = self.children[level], self.symbols(level + 1)
        siblings = rules[:, :, :-1].reshape(-1, self.branching - 1)
        distinct, number = np.unique(siblings, axis=0, return_inverse=True)
        columns = number.reshape(-1) * size + rules[:, :, -1].reshape(-1)
        parents = np.repeat(np.arange(len(rules)), rules.shape[1])
        entries = (self.q[level].reshape(-1), (parents, columns))
        return csr_array(entries, shape=(len(rules), len(distinct) * size)), len(distinct)

    def sampled_entropy(
        self, context: int, samples: int, rng: np.random.Generator
    ) -> tuple[float, float]:
        """(mean, standard error) of -ln P(x_i | `context` tokens before it, i), i >= context.

        Positions are drawn at random, strings from the tree; the probabilities are exact, by the
        inside pass over the nodes that the window touches (docs/theory.md 5.4).
        """
        if context >= self.length:
            raise InputError(f"context {context}: a string has {self.length} tokens")
        losses = np.empty(samples)
        for k in range(samples):
            i = int(rng.integers(context, self.length))
            tokens = self._sample_window(i - context, i + 1, rng)
            known = self._inside(i - context, tokens)
            losses[k] = math.log(self._inside(i - context, tokens[:-1])) - math.log(known)
        return float(losses.mean()), float(losses.std(ddof=1) / math.sqrt(samples))

    def _sample_window(self, start: int, end: int, rng: np.random.Generator) -> NDArray[np.int64]:
        symbols = np.array([rng.integers(self.symbols(0))])
        first = 0  # node number of symbols[0] at this level
        for level in range(self.depth):
            size = self.leaves(level + 1)
            cumulative = np.cumsum(self.q[level], axis=1)[symbols]
            rule = (rng.random((len(symbols), 1)) * cumulative[:, -1:] >= cumulative).sum(axis=1)
            made = self.children[level][symbols, rule].reshape(-1)
            low, high = start // size, (end - 1) // size + 1
            symbols = made[low - first * self.branching : high - first * self.branching]
            first = low
        found: NDArray[np.int64] = symbols
        return found

    def _inside(self, start: int, tokens: NDArray[np.int64]) -> float:
        """Probability of these tokens at start, start + 1, ... of a string."""
        if len(tokens) == 0:
            return 1.0
        messages = np.zeros((len(tokens), self.n_tokens))
        messages[np.arange(len(tokens)), tokens] = 1.0
        first = start
        for level in range(self.depth - 1, -1, -1):
            low = first // self.branching
            high = (first + len(messages) - 1) // self.branching + 1
            padded = np.ones(((high - low) * self.branching, messages.shape[1]))
            at = first - low * self.branching
            padded[at : at + len(messages)] = messages
            siblings = padded.reshape(high - low, self.branching, -1)
            rules = self.children[level]
            product = np.ones((high - low, *rules.shape[:2]))
            for c in range(self.branching):
                product *= siblings[:, c][:, rules[:, :, c]]
            messages = (product * self.q[level]).sum(axis=2)
            first = low
        return float(messages[0] @ self.root)


class _Windows:
    """Joint distributions of w consecutive leaves, by recursion over the levels (docs/theory.md 5.4).

    From the leaves up, of every level only the first and last j < w leaves given a node's symbol
    are needed: windows lie inside a child or are cut by edges between children.
    """

    def __init__(self, tree: Tree, w: int) -> None:
        if w < 2 or tree.n_tokens**w > MAX_TREE_NGRAMS:
            raise InputError(
                f"n-grams of {w} tokens over {tree.n_tokens} types: more than {MAX_TREE_NGRAMS}"
            )
        self.tree, self.w = tree, w
        size = tree.n_tokens
        # prefix[j], suffix[j]: the first, last j leaves given the node's symbol, (n_l, V^j).
        prefix, suffix = {1: np.eye(size)}, {1: np.eye(size)}
        self.inside_sum = np.zeros(size**w)
        for level in range(tree.depth - 1, -1, -1):
            self._add_cut_windows(level, prefix, suffix)
            n = tree.leaves(level)
            longest = range(1, min(w - 1, n) + 1)
            prefix, suffix = (
                {j: self._given(level, 0, j, prefix, suffix) for j in longest},
                {j: self._given(level, n - j, j, prefix, suffix) for j in longest},
            )
        self.prefix, self.suffix = prefix, suffix

    def _parts(
        self, level: int, start: int, length: int, prefix: Edges, suffix: Edges
    ) -> list[tuple[int, Floats]]:
        """(child, its leaves given its symbol) of the window's cuts by edges between children."""
        size = self.tree.leaves(level + 1)
        found: list[tuple[int, Floats]] = []
        while length:
            child, offset = divmod(start, size)
            take = min(length, size - offset)
            found.append((child, prefix[take] if offset == 0 else suffix[take]))
            start, length = start + take, length - take
        return found

    def _given(self, level: int, start: int, length: int, prefix: Edges, suffix: Edges) -> Floats:
        """Leaves start .. start + length given the node's symbol, (n_l, V^length)."""
        return self.tree.joined(level, self._parts(level, start, length, prefix, suffix))

    def _add_cut_windows(self, level: int, prefix: Edges, suffix: Edges) -> None:
        """Adds the windows that an edge between children of this level's nodes cuts."""
        tree, w = self.tree, self.w
        n, size = tree.leaves(level), tree.leaves(level + 1)
        p = tree.mean_marginals[level] * float(tree.branching**level)
        for edge in range(size, n, size):
            # The first edge in the window: its first token lies in the child before it.
            for before in range(1, min(size, w - 1) + 1):
                start = edge - before
                if start + w > n:
                    continue
                parts = self._parts(level, start, w, prefix, suffix)
                if len(parts) == 2:
                    (a, left), (b, right) = parts
                    siblings = tree._siblings(level, a, b, p)
                    self.inside_sum += (left.T @ siblings @ right).reshape(-1)
                else:
                    self.inside_sum += p @ self._given(level, start, w, prefix, suffix)

    def inside(self) -> Floats:
        """Mean over the windows inside a string."""
        mean = self.inside_sum / (self.tree.length - self.w + 1)
        return mean.reshape((self.tree.n_tokens,) * self.w)

    def stream(self) -> Floats:
        """Mean over all windows of the endless row of strings."""
        tree, w = self.tree, self.w
        d = tree.length
        total = self.inside_sum.copy()
        for before in range(1, min(d, w - 1) + 1):
            joint, left = tree.root @ self.suffix[before], w - before
            while left:
                take = min(left, d)
                joint = np.outer(joint, tree.root @ self.prefix[take]).reshape(-1)
                left -= take
            total += joint
        return (total / d).reshape((tree.n_tokens,) * w)
