"""The binary decisions of scored tokens along one tree: inputs of the mixers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels.mixing import TokenTree, path_lengths
from ngramstat.ngram_models.mixture.tuning_slice import Piece

__all__ = ["MAX_DEPTH", "MAX_NODES", "Decisions"]

# Decisions deeper than this share a state.
MAX_DEPTH = 32
# Inner nodes have weights by their number modulo this.
MAX_NODES = 1 << 16


class Decisions:
    """Inputs of the mixers at the binary decisions of one piece along one tree.

    Attributes
    ----------
    packed_logits : (patterns, decisions) uint16
        Written by the estimates.
    states : (2, decisions) uint16
        Selectors of the mixers: depth and inner node.
    offsets : (targets + 1,) int64
        Decisions of target i are offsets[i] .. offsets[i + 1].
    n_tuning : int
        Targets of the tuning slice; they come first.
    """

    def __init__(self, n_patterns: int, piece: Piece, tree: TokenTree) -> None:
        tokens = piece.tokens[piece.targets]
        lengths = path_lengths(tree)
        self.n_tuning = piece.n_tuning
        self.offsets = np.concatenate(
            [np.zeros(1, np.int64), np.cumsum(lengths[tokens], dtype=np.int64)]
        )
        self.packed_logits = np.zeros((n_patterns, int(self.offsets[-1])), np.uint16)
        self.states = _depths_and_nodes(tree, tokens, self.offsets)


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


def _depths_and_nodes(
    tree: TokenTree, tokens: NDArray[Any], offsets: NDArray[np.int64]
) -> NDArray[np.uint16]:
    """Depth (below MAX_DEPTH) and inner node (modulo MAX_NODES) of every decision, (2, n)."""
    states = np.zeros((2, int(offsets[-1])), np.uint16)
    depth, node = states
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
        depth[first:last] = np.minimum(on_path, MAX_DEPTH - 1)
        node[first:last] = nodes[begin[part][token] + on_path] % MAX_NODES
    return states
