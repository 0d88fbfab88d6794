"""The binary decisions of scored tokens along one tree: inputs of the mixers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels.mixing import Mixer, TokenTree, buckets_of, path_lengths
from ngramstat.ngram_models.mixture.context_patterns import Pattern
from ngramstat.ngram_models.mixture.tuning_slice import Piece

__all__ = ["Decisions", "MixerShape", "Selection"]

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
class MixerShape:
    """Arguments of the mixers for one length of context; sizes of selectors by mixer."""

    rows: list[int]
    parents: list[int]
    initial: list[float]
    sizes: tuple[list[int], ...]

    @classmethod
    def of(cls, used: Sequence[Pattern], n: int, n_nodes: int) -> MixerShape:
        """For contexts of n tokens, in a tree of n_nodes inner nodes."""
        rows = [i for i, pattern in enumerate(used) if pattern.length <= n]
        names = [used[i].name for i in rows]
        parents = [
            names.index(parent) if (parent := used[i].parent) is not None else -1 for i in rows
        ]
        initial = [1.0 if used[i].is_ngram else 0.0 for i in rows]
        sizes = [_MAX_DEPTH, 5 ** min(n, 3)]
        return cls(rows, parents, initial, (sizes, [*sizes, min(n_nodes, _MAX_NODES)]))

    def mixers(self) -> list[Mixer]:
        """Untrained ones, which are the Kneser-Ney chain."""
        return [Mixer(self.rows, self.parents, self.initial, sizes) for sizes in self.sizes]


@dataclass(frozen=True)
class Selection:
    """The mixers for one length of context, and the states of their selectors, by mixer."""

    shape: MixerShape
    states: tuple[NDArray[np.uint16], ...]


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
        shape = MixerShape.of(self._used, n, self._n_nodes)
        chain = [i for i in shape.rows if self._used[i].is_ngram]
        # One state by the coarse buckets of the contexts of 1, 2 and 3 tokens.
        seen = np.zeros(len(self._depth), np.uint16)
        for i in sorted(chain, key=lambda i: self._used[i].length)[1:4]:
            seen = seen * 5 + _COARSE_BUCKETS[buckets_of(self.packed_logits[i])]
        states = [self._depth, seen]
        return Selection(shape, (np.stack(states), np.stack([*states, self._node])))

    def fit(self, selection: Selection) -> tuple[list[Mixer], bool]:
        """Mixers trained on the tuning slice, and whether that helped on its second half."""
        middle, end = (int(self.offsets[k]) for k in (self.n_tuning // 2, self.n_tuning))
        second_half = self.offsets[self.n_tuning // 2 : self.n_tuning + 1]
        mixers, improved, untrained_loss = selection.shape.mixers(), False, 0.0
        for k, (mixer, rates) in enumerate(zip(mixers, _RATES, strict=True)):
            states = selection.states[k]
            if k == 0:  # the same for all of them: they start as the Kneser-Ney chain
                untrained = mixer.score(self.packed_logits, states, second_half)
                untrained_loss = float(untrained.sum())
            for j, rate in enumerate(rates):
                mixer.train(self.packed_logits, states, 0, middle, rate)
                loss = mixer.train(self.packed_logits, states, middle, end, rate)
                if j == 0:  # only in the first pass the second half is new to the mixer
                    improved |= loss < untrained_loss
        return mixers, improved

    def score(self, mixer: Mixer, selection: Selection, k: int) -> Floats:
        """-ln p of every held-out token of the piece, by mixer number k."""
        return mixer.score(self.packed_logits, selection.states[k], self.offsets[self.n_tuning :])


def _paths(
    tree: TokenTree, tokens: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Inner nodes on the path to each of some tokens, one path after the other; their starts."""
    leaf = tree.leaf_of[tokens].astype(np.int64)
    n = len(tokens)
    first, end = np.zeros(n, np.int64), np.full(n, len(tree.leaf_of))
    node, at_level = np.zeros(n, np.int64), np.arange(n)
    rows: list[NDArray[np.int64]] = []
    nodes: list[NDArray[np.int64]] = []
    while True:
        inner = end - first > 1
        if not inner.any():
            break
        leaf, first, end, node, at_level = (
            array[inner] for array in (leaf, first, end, node, at_level)
        )
        rows.append(at_level)
        nodes.append(node)
        split = tree.split[node].astype(np.int64)
        right = leaf >= split
        node = np.where(right, node + split - first, node + 1)
        first, end = np.where(right, split, first), np.where(right, end, split)
    row = np.concatenate([np.zeros(0, np.int64), *rows])
    order = np.argsort(row, kind="stable")  # of each token the root first
    begin = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n))]).astype(np.int64)
    return np.concatenate([np.zeros(0, np.int64), *nodes])[order], begin


def _decision_nodes(
    tree: TokenTree, tokens: NDArray[Any], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Depth (below _MAX_DEPTH) and inner node (modulo _MAX_NODES) of every decision."""
    depth = np.zeros(int(offsets[-1]), np.uint16)
    node = np.zeros(int(offsets[-1]), np.uint16)
    size = len(tree.leaf_of)
    occurs = np.zeros(size, bool)
    occurs[tokens] = True
    used = np.flatnonzero(occurs)
    number = np.zeros(size, np.int64)
    number[used] = np.arange(len(used))
    nodes, begin = _paths(tree, used)
    lengths = np.diff(begin)
    chunk = 1 << 20
    for start in range(0, len(tokens), chunk):
        part = number[tokens[start : start + chunk]]
        first, last = int(offsets[start]), int(offsets[start + len(part)])
        token = np.repeat(np.arange(len(part)), lengths[part])
        on_path = np.arange(last - first) - (offsets[start : start + len(part)] - first)[token]
        depth[first:last] = np.minimum(on_path, _MAX_DEPTH - 1)
        node[first:last] = nodes[begin[part][token] + on_path] % _MAX_NODES
    return depth, node
