"""Exact statistics of the strings that a tree of rules generates: covariances, n-grams, entropies.

A tree has levels l = 0 (root) .. L - 1. A symbol x of level l takes rule r with probability
q_l[x, r] and becomes the s symbols children_l[x, r] of the next level; the symbols of level L are
tokens. Roots are uniform. All results are sums over levels, so the cost does not grow with the s^L
tokens of a string (docs/theory.md 5.2 and 5.4; the recursion over lags is our own).
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

from ngramstat.boundary import Boundary
from ngramstat.errors import InputError
from ngramstat.synthetic.world import MAX_DENSE, block_entropy

__all__ = ["MAX_TREE_NGRAMS", "Tree"]

Floats = NDArray[np.float64]
Rules = NDArray[np.int64]
Edges = dict[int, Floats]

# Largest table of n-gram probabilities for a tree; several of this size are needed at once.
MAX_TREE_NGRAMS = 1 << 21

# Beliefs that agree to this many digits are equal up to rounding.
_BELIEF_DIGITS = 13


@dataclass(frozen=True)
class Tree:
    """A tree of rules, as described in the module.

    Attributes
    ----------
    children : sequence of (n_l, m_l, s) int64
        Rules of every level, the root's first.
    q : sequence of (n_l, m_l) float64
        Their probabilities; every row sums to one.
    n_tokens : int
        V, number of leaf symbols.
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
        """Number of tokens under a node of this level."""
        return int(self.branching ** (self.depth - level))

    def symbols(self, level: int) -> int:
        """Number of symbols of this level; those of level L are the tokens."""
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
        transitions = []
        for level in range(self.depth):
            t = np.zeros((self.branching, self.symbols(level), self.symbols(level + 1)))
            parents = np.arange(self.symbols(level))[:, None]
            for c in range(self.branching):
                np.add.at(t[c], (parents, self.children[level][:, :, c]), self.q[level])
            transitions.append(t)
        return transitions

    @cached_property
    def mean_marginals(self) -> list[Floats]:
        """Distribution of the symbol of a random node of each level 0 .. L."""
        marginals = [self.root]
        for level in range(self.depth):
            children = [self._child(level, c, marginals[-1]) for c in range(self.branching)]
            marginals.append(np.mean(children, axis=0))
        return marginals

    def _child(self, level: int, c: int, p: Floats) -> Floats:
        """Distribution of child c of a node of this level whose symbol has distribution p."""
        weights = (p[:, None] * self.q[level]).reshape(-1)
        symbols = self.children[level][:, :, c].reshape(-1)
        counts = np.bincount(symbols, weights, minlength=self.symbols(level + 1))
        return counts.astype(np.float64, copy=False)

    @cached_property
    def _leaf_sums(self) -> list[Floats]:
        """(n_l, V): expected number of each token under a symbol of level l."""
        sums = [np.eye(self.n_tokens)]
        for t in reversed(self.transitions):
            sums.append(t.sum(axis=0) @ sums[-1])
        return sums[::-1]

    def sibling_joint(self, level: int, a: int, b: int, p: Floats) -> Floats:
        """Joint distribution of children a and b of a node whose symbol has distribution p."""
        size = self.symbols(level + 1)
        joint = np.zeros((size, size))
        rules = self.children[level]
        np.add.at(joint, (rules[:, :, a], rules[:, :, b]), p[:, None] * self.q[level])
        return joint

    def _descend(self, node_pairs: Callable[[int], dict[int, Floats]]) -> Floats:
        """Sum of the joint distributions of pairs of leaves under pairs of nodes, (V, V).

        ``node_pairs(level)`` holds, by offset delta, the joint distribution of a pair of nodes of
        this level; the sum runs over all leaves o of the first node and o + delta of the second.
        Under such a pair at most two offsets between children occur, so that two matrices per level
        suffice.
        """
        pending: dict[int, Floats] = {}
        for level in range(self.depth + 1):
            for delta, joint in node_pairs(level).items():
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
        """Sum of the joint distributions of all leaf pairs (i, i + lag) of a string."""

        def sibling_pairs(level: int) -> dict[int, Floats]:
            if level == 0:
                return {}
            pairs: dict[int, Floats] = {}
            size = self.leaves(level)
            nodes = float(self.branching ** (level - 1))
            p = self.mean_marginals[level - 1]
            for e in range(1, self.branching):
                delta = lag - e * size
                if abs(delta) >= size:
                    continue
                for a in range(self.branching - e):
                    joint = nodes * self.sibling_joint(level - 1, a, a + e, p)
                    pairs[delta] = pairs.get(delta, 0.0) + joint
            return pairs

        return self._descend(sibling_pairs)

    def _independent_sum(self, delta: int) -> Floats:
        """Sum of the products of marginals of leaves o of one string and o + delta of another."""
        if abs(delta) >= self.length:
            return np.zeros((self.n_tokens, self.n_tokens))
        product = np.outer(self.root, self.root)
        return self._descend(lambda level: {delta: product} if level == 0 else {})

    def first_leaves(self, n: int) -> Floats:
        """Expected number of each token among the first n of a string, (V,)."""
        total = np.zeros(self.n_tokens)
        p = self.root
        for level, t in enumerate(self.transitions):
            full_children, n = divmod(n, self.leaves(level + 1))
            total += (p @ t[:full_children]).sum(axis=0) @ self._leaf_sums[level + 1]
            if n == 0:
                return total
            p = p @ t[full_children]
        return total

    def covariance(self, lag: int, boundary: str) -> Floats:
        """C(t), (V, V), over pairs inside strings or over the endless stream of strings."""
        d = self.length
        if boundary == Boundary.DOCUMENT:
            if lag >= d:
                raise InputError(f"lag {lag}: a string has {d} tokens")
            pairs = d - lag
            left = self.first_leaves(pairs) / pairs
            right = (self._leaf_sums[0].T @ self.root - self.first_leaves(lag)) / pairs
            return self._pair_sum(lag) / pairs - np.outer(left, right)
        mean = self.mean_marginals[-1]
        joint = self._pair_sum(lag) if lag < d else np.zeros((self.n_tokens, self.n_tokens))
        # Where i + lag lies in another string, the two tokens are independent.
        offset = lag % d
        joint = joint + self._independent_sum(offset - d)
        if lag >= d:
            joint = joint + self._independent_sum(offset)
        return joint / d - np.outer(mean, mean)

    def sequential_covariance(self, lag: int) -> Floats:
        """Joint distribution at a lag minus its mean over shuffles of each string, (V, V).

        See docs/theory.md 4.
        """
        d = self.length
        all_pairs = np.zeros((self.n_tokens, self.n_tokens))
        for level in range(self.depth):
            below = self._leaf_sums[level + 1]
            p = self.mean_marginals[level]
            for a in range(self.branching):
                for b in range(self.branching):
                    if a != b:
                        joint = self.sibling_joint(level, a, b, p)
                        all_pairs += float(self.branching**level) * (below.T @ joint @ below)
        return self._pair_sum(lag) / (d - lag) - all_pairs / d / (d - 1)

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
            joint = self.sibling_joint(level, a, b, p)
            u, v = self._path(level + 1, i), self._path(level + 1, j)
            joint = u.T @ joint @ v
            return joint - np.outer(joint.sum(axis=1), joint.sum(axis=0))
        raise AssertionError("two different positions have a lowest common ancestor")

    def _path(self, level: int, leaf: int) -> Floats:
        """Distribution of a leaf under a node given the node's symbol, (n_l, V)."""
        u = np.eye(self.symbols(level))
        for below in range(level, self.depth):
            c, leaf = divmod(leaf, self.leaves(below + 1))
            u = u @ self.transitions[below][c]
        return u

    # --- n-grams ---------------------------------------------------------------------------------

    def stream_window(self, w: int) -> Floats:
        """Joint of w consecutive tokens at a random phase of the endless stream, shape (V,) * w."""
        if w == 1:
            return self.mean_marginals[-1]
        return _Windows(self, w).stream()

    def document_window(self, w: int) -> Floats:
        """Joint of w consecutive tokens at a random position in a string, shape (V,) * w."""
        if w > self.length:
            raise InputError(f"{w} tokens: a string has {self.length}")
        if w == 1:
            return self.mean_marginals[-1]
        return _Windows(self, w).inside()

    def position_averaged_entropies(self, max_context: int) -> Floats:
        """H(x_i | n tokens before it, i), averaged over the positions i >= n.

        The population depends on n, so the curve need not decrease (docs/theory.md 5.5).

        Raises
        ------
        InputError
            There are too many positions and n-grams.
        """
        if self.length * self.n_tokens ** (max_context + 1) > MAX_TREE_NGRAMS:
            raise InputError("position_averaged_entropies: too many positions and n-grams")
        entropies = []
        for n in range(max_context + 1):
            total = 0.0
            for start in range(self.length - n):
                joint = self._window_at(0, start, n + 1)
                joint = (self.root @ joint).reshape(-1, self.n_tokens)
                total += block_entropy(joint.reshape(-1)) - block_entropy(joint.sum(axis=1))
            entropies.append(total / (self.length - n))
        return np.array(entropies)

    def _window_at(self, level: int, start: int, length: int) -> Floats:
        """Leaves start .. start + length given a node's symbol, (n_l, V^length)."""
        if level == self.depth:
            return np.eye(self.n_tokens)
        size = self.leaves(level + 1)
        parts = []
        while length:
            child, offset = divmod(start, size)
            count = min(length, size - offset)
            parts.append((child, self._window_at(level + 1, offset, count)))
            start, length = start + count, length - count
        return self.joined(level, parts)

    def joined(self, level: int, parts: Sequence[tuple[int, Floats]]) -> Floats:
        """Joint of leaves of several children given the node's symbol, (n_l, V^...).

        `parts` holds the children in ascending order, each with the distribution of its leaves
        given its symbol.
        """
        if len(parts) == 1:
            child, part = parts[0]
            conditional: Floats = self.transitions[level][child] @ part
            return conditional
        rules, q = self.children[level], self.q[level]
        out = np.zeros((len(rules), math.prod(part.shape[1] for _, part in parts)))
        for r in range(rules.shape[1]):
            joint = q[:, r].reshape(-1, 1)
            for child, part in parts:
                leaves = part[rules[:, r, child]]
                joint = (joint[:, :, None] * leaves[:, None, :]).reshape(len(rules), -1)
            out += joint
        return out

    def staircase(self, levels: int, max_products: int = 1 << 22) -> Floats:
        """H(last token | the s^l - 1 before it), l = 0 .. levels; for unambiguous rules.

        Sibling blocks then determine their symbols. What remains is a hidden Markov chain along the
        last children, in which histories with equal beliefs are merged (docs/theory.md 5.4).

        Returns
        -------
        (levels + 1,) float64
            NaN from where one level of the chain needs more than `max_products` products of a
            belief and a rule.
        """
        from scipy.sparse import csr_array

        entropies = np.full(levels + 1, np.nan)
        last = [self.root]
        for level in range(self.depth):
            last.append(self._child(level, self.branching - 1, last[-1]))
        for height in range(min(levels, self.depth) + 1):
            beliefs, weights = csr_array(last[self.depth - height][None, :]), np.ones(1)
            for level in range(self.depth - height, self.depth):
                if beliefs.nnz * self.q[level].shape[1] > max_products:
                    return entropies
                beliefs, weights = self._reveal_siblings(level, beliefs, weights)
            terms = beliefs.copy()
            terms.data = -terms.data * np.log(terms.data)
            entropies[height] = float(weights @ terms.sum(axis=1))
        return entropies

    def _reveal_siblings(self, level: int, beliefs: Any, weights: Floats) -> tuple[Any, Floats]:
        """Beliefs about the last child given its siblings, with equal beliefs merged.

        Beliefs are distributions of a symbol, sparse (n, symbols); weights, (n,), are the total
        probabilities of their histories.
        """
        from scipy.sparse import csr_array

        size = self.symbols(level + 1)
        emit, n_siblings = self._emit(level)
        joint = (beliefs @ emit).tocoo()
        # One row for every possible pair of a belief and a tuple of siblings.
        row, last = joint.row.astype(np.int64) * n_siblings + joint.col // size, joint.col % size
        order = np.lexsort((last, row))
        row, last, p = row[order], last[order], joint.data[order]
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        total = np.add.reduceat(p, starts)
        weights = weights[row[starts] // n_siblings] * total
        p = np.round(p / np.repeat(total, np.diff(starts, append=len(row))), _BELIEF_DIGITS)
        row, last, p = row[p > 0], last[p > 0], p[p > 0]
        bounds = np.append(np.flatnonzero(np.diff(row, prepend=-1)), len(row))
        merged: dict[bytes, int] = {}
        number = np.empty(len(weights), np.int64)
        for k, (low, high) in enumerate(itertools.pairwise(bounds.tolist())):
            key = last[low:high].tobytes() + p[low:high].tobytes()
            number[k] = merged.setdefault(key, len(merged))
        mass: Floats = np.bincount(number, weights, minlength=len(merged)).astype(np.float64)
        _, representatives = np.unique(number, return_index=True)
        lengths = np.diff(bounds)[representatives]
        pointer = np.concatenate([[0], np.cumsum(lengths)])
        at = np.repeat(bounds[representatives] - pointer[:-1], lengths) + np.arange(pointer[-1])
        return csr_array((p[at], last[at], pointer), shape=(len(representatives), size)), mass

    def _emit(self, level: int) -> tuple[Any, int]:
        """P(siblings, last child | parent), sparse (n_l, siblings * n_{l+1}), and `siblings`."""
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
        """Mean and standard error of -ln P(x_i | `context` tokens before it, i), i >= context.

        Positions are drawn uniformly and strings from the tree. The probabilities are exact: the
        inside algorithm runs over the nodes above the window (docs/theory.md 5.4).
        """
        if context >= self.length:
            raise InputError(f"context {context}: a string has {self.length} tokens")
        losses = np.empty(samples)
        for k in range(samples):
            i = int(rng.integers(context, self.length))
            tokens = self._sample_window(i - context, i + 1, rng)
            with_target = self._inside(i - context, tokens)
            losses[k] = math.log(self._inside(i - context, tokens[:-1])) - math.log(with_target)
        return float(losses.mean()), float(losses.std(ddof=1) / math.sqrt(samples))

    def _sample_window(self, start: int, end: int, rng: np.random.Generator) -> NDArray[np.int64]:
        symbols = np.array([rng.integers(self.symbols(0))])
        first = 0  # node number of symbols[0] at this level
        for level in range(self.depth):
            size = self.leaves(level + 1)
            cumulative = np.cumsum(self.q[level], axis=1)[symbols]
            rule = (rng.random((len(symbols), 1)) * cumulative[:, -1:] >= cumulative).sum(axis=1)
            produced = self.children[level][symbols, rule].reshape(-1)
            low, high = start // size, (end - 1) // size + 1
            symbols = produced[low - first * self.branching : high - first * self.branching]
            first = low
        tokens: NDArray[np.int64] = symbols
        return tokens

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
    """Joint distributions of w consecutive leaves, by recursion (docs/theory.md 5.4).

    A window lies inside one child or crosses edges between children. From the leaves up, every
    level therefore needs only the distributions of the first and last j < w leaves of a node.
    """

    def __init__(self, tree: Tree, w: int) -> None:
        if w < 2 or tree.n_tokens**w > MAX_TREE_NGRAMS:
            raise InputError(
                f"n-grams of {w} tokens, vocabulary {tree.n_tokens}: more than {MAX_TREE_NGRAMS}"
            )
        self.tree, self.w = tree, w
        size = tree.n_tokens
        # prefix[j], suffix[j]: distribution of the first and last j leaves given the node's symbol,
        # (n_l, V^j).
        prefix, suffix = {1: np.eye(size)}, {1: np.eye(size)}
        self.inside_sum = np.zeros(size**w)
        for level in range(tree.depth - 1, -1, -1):
            self._add_crossing_windows(level, prefix, suffix)
            n = tree.leaves(level)
            longest = range(1, min(w - 1, n) + 1)
            prefix, suffix = (
                {j: self._conditional(level, 0, j, prefix, suffix) for j in longest},
                {j: self._conditional(level, n - j, j, prefix, suffix) for j in longest},
            )
        self.prefix, self.suffix = prefix, suffix

    def _parts(
        self, level: int, start: int, length: int, prefix: Edges, suffix: Edges
    ) -> list[tuple[int, Floats]]:
        """The window cut at the edges between children: (child, its leaves given its symbol)."""
        size = self.tree.leaves(level + 1)
        parts: list[tuple[int, Floats]] = []
        while length:
            child, offset = divmod(start, size)
            count = min(length, size - offset)
            parts.append((child, prefix[count] if offset == 0 else suffix[count]))
            start, length = start + count, length - count
        return parts

    def _conditional(
        self, level: int, start: int, length: int, prefix: Edges, suffix: Edges
    ) -> Floats:
        """Leaves start .. start + length given the node's symbol, (n_l, V^length)."""
        return self.tree.joined(level, self._parts(level, start, length, prefix, suffix))

    def _add_crossing_windows(self, level: int, prefix: Edges, suffix: Edges) -> None:
        """Add the windows that cross an edge between children of this level's nodes."""
        tree, w = self.tree, self.w
        n, size = tree.leaves(level), tree.leaves(level + 1)
        p = tree.mean_marginals[level] * float(tree.branching**level)
        for edge in range(size, n, size):
            # `edge` is the first edge in the window: the window begins in the child before it.
            for before in range(1, min(size, w - 1) + 1):
                start = edge - before
                if start + w > n:
                    continue
                parts = self._parts(level, start, w, prefix, suffix)
                if len(parts) == 2:
                    (a, left), (b, right) = parts
                    siblings = tree.sibling_joint(level, a, b, p)
                    self.inside_sum += (left.T @ siblings @ right).reshape(-1)
                else:
                    self.inside_sum += p @ self._conditional(level, start, w, prefix, suffix)

    def inside(self) -> Floats:
        """Mean joint distribution of the windows inside a string."""
        mean = self.inside_sum / (self.tree.length - self.w + 1)
        return mean.reshape((self.tree.n_tokens,) * self.w)

    def stream(self) -> Floats:
        """Mean joint distribution of all windows of the endless stream of strings."""
        tree, w = self.tree, self.w
        d = tree.length
        total = self.inside_sum.copy()
        for before in range(1, min(d, w - 1) + 1):
            joint, remaining = tree.root @ self.suffix[before], w - before
            while remaining:
                count = min(remaining, d)
                joint = np.outer(joint, tree.root @ self.prefix[count]).reshape(-1)
                remaining -= count
            total += joint
        return (total / d).reshape((tree.n_tokens,) * w)
