"""The binary decisions of scored tokens along one tree: inputs of the mixers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.entropy.mixture.context_patterns import Pattern
from ngramstat.entropy.mixture.tuning_slice import Piece
from ngramstat.kernels.mixing import Mixer, TokenTree, buckets_of, path_lengths

__all__ = ["Decisions", "Selection"]

Floats = NDArray[np.float64]

# Learning rates of the passes over the tuning slice: of the mixer without weights by node, and of
# the one with them.
_RATES = ((0.02, 0.01), (0.02,))
_MAX_DEPTH = 32
# Inner nodes have weights by their number modulo this.
_MAX_NODES = 1 << 16
# Buckets merged into five states: no count, a few, ... many.
_COARSE_BUCKETS = np.tile(np.repeat(np.arange(5, dtype=np.uint16), (1, 2, 3, 4, 6)), 2)


@dataclass(frozen=True)
class Selection:
    """Arguments of the mixers for one length of context; states and sizes by mixer."""

    rows: list[int]
    parents: list[int]
    initial: list[float]
    states: tuple[NDArray[np.uint16], ...]
    sizes: tuple[list[int], ...]


class Decisions:
    """Inputs of the mixers at the binary decisions of one piece along one tree."""

    def __init__(self, used: Sequence[Pattern], piece: Piece, tree: TokenTree) -> None:
        tokens = piece.tokens[piece.targets]
        lengths = path_lengths(tree)
        self._used, self.n_tuning = used, piece.n_tuning
        self.offsets = np.concatenate(
            [np.zeros(1, np.int64), np.cumsum(lengths[tokens], dtype=np.int64)]
        )
        self._n_nodes = len(tree.split)  # of the tree, not of the piece: mixers serve all pieces
        self.packed_logits = np.zeros((len(used), int(self.offsets[-1])), np.uint16)
        self._depth, self._node = _decision_nodes(tree, tokens, self.offsets)

    def select(self, n: int) -> Selection:
        """The patterns and selectors of the mixers with contexts of n tokens."""
        rows = [i for i, pattern in enumerate(self._used) if pattern.length <= n]
        names = [self._used[i].name for i in rows]
        chain = [i for i in rows if self._used[i].is_ngram]
        parents = [
            names.index(parent) if (parent := self._used[i].parent) is not None else -1
            for i in rows
        ]
        # One state by the coarse buckets of the contexts of 1, 2 and 3 tokens.
        seen = np.zeros(len(self._depth), np.uint16)
        for i in sorted(chain, key=lambda i: self._used[i].length)[1:4]:
            seen = seen * 5 + _COARSE_BUCKETS[buckets_of(self.packed_logits[i])]
        states = [self._depth, seen]
        sizes = [_MAX_DEPTH, 5 ** min(n, 3)]
        return Selection(
            rows,
            parents,
            [1.0 if i in chain else 0.0 for i in rows],
            (np.stack(states), np.stack([*states, self._node])),
            (sizes, [*sizes, min(self._n_nodes, _MAX_NODES)]),
        )

    def fit(self, selection: Selection) -> tuple[list[Mixer], bool]:
        """Mixers trained on the tuning slice, and whether that helped on its second half."""
        middle, end = (int(self.offsets[k]) for k in (self.n_tuning // 2, self.n_tuning))
        second_half = self.offsets[self.n_tuning // 2 : self.n_tuning + 1]
        mixers, improved, untrained_loss = [], False, 0.0
        for k, rates in enumerate(_RATES):
            states = selection.states[k]
            mixer = Mixer(selection.rows, selection.parents, selection.initial, selection.sizes[k])
            if k == 0:  # the same for all of them: they start as the Kneser-Ney chain
                untrained = mixer.score(self.packed_logits, states, second_half)
                untrained_loss = float(untrained.sum())
            for j, rate in enumerate(rates):
                mixer.train(self.packed_logits, states, 0, middle, rate)
                loss = mixer.train(self.packed_logits, states, middle, end, rate)
                if j == 0:  # only in the first pass the second half is new to the mixer
                    improved |= loss < untrained_loss
            mixers.append(mixer)
        return mixers, improved

    def score(self, mixer: Mixer, selection: Selection, k: int) -> Floats:
        """-ln p of every held-out token of the piece, by mixer number k."""
        return mixer.score(self.packed_logits, selection.states[k], self.offsets[self.n_tuning :])


def _paths(tree: TokenTree) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Inner nodes on the path to every token, one path after the other, and where each begins."""
    size = len(tree.leaf_of)
    paths: list[list[int]] = [[] for _ in range(size)]
    stack: list[tuple[int, int, int, list[int]]] = [(0, 0, size, [])] if size > 1 else []
    token_of = np.empty(size, np.int64)
    token_of[tree.leaf_of] = np.arange(size)
    while stack:
        node, first, end, above = stack.pop()
        if end - first == 1:
            paths[int(token_of[first])] = above
            continue
        at = int(tree.split[node])
        path = [*above, node]
        stack.append((node + 1, first, at, path))
        stack.append((node + at - first, at, end, path))
    nodes = np.array([node for path in paths for node in path], np.int64)
    begin = np.concatenate([[0], np.cumsum([len(path) for path in paths])]).astype(np.int64)
    return nodes, begin


def _decision_nodes(
    tree: TokenTree, tokens: NDArray[Any], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Depth (below _MAX_DEPTH) and inner node (modulo _MAX_NODES) of every decision."""
    depth = np.zeros(int(offsets[-1]), np.uint16)
    node = np.zeros(int(offsets[-1]), np.uint16)
    nodes, begin = _paths(tree)
    lengths = np.diff(begin)
    chunk = 1 << 20
    for start in range(0, len(tokens), chunk):
        part = tokens[start : start + chunk]
        first, last = int(offsets[start]), int(offsets[start + len(part)])
        token = np.repeat(np.arange(len(part)), lengths[part])
        on_path = np.arange(last - first) - (offsets[start : start + len(part)] - first)[token]
        depth[first:last] = np.minimum(on_path, _MAX_DEPTH - 1)
        node[first:last] = nodes[begin[part][token] + on_path] % _MAX_NODES
    return depth, node
