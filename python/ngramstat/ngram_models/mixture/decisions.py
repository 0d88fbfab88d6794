"""The binary decisions of scored tokens along one tree: inputs of the mixers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels.mixing import TokenTree, decision_states, path_lengths
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
    offsets : (targets + 1,) int64
        Decisions of target i are offsets[i] .. offsets[i + 1].
    n_tuning : int
        Targets of the tuning slice; they come first.
    """

    def __init__(self, n_patterns: int, piece: Piece, tree: TokenTree) -> None:
        self._tree, self._tokens = tree, piece.tokens[piece.targets]
        lengths = path_lengths(tree)
        self.n_tuning = piece.n_tuning
        self.offsets = np.concatenate(
            [np.zeros(1, np.int64), np.cumsum(lengths[self._tokens], dtype=np.int64)]
        )
        self.packed_logits = np.zeros((n_patterns, int(self.offsets[-1])), np.uint16)

    def states(self, threads: int = 1) -> NDArray[np.uint16]:
        """Selectors of the mixers, depth and inner node, (2, decisions): made where they are used.

        While the patterns are counted they would take memory.
        """
        return decision_states(
            self._tree,
            self._tokens,
            self.offsets,
            max_depth=MAX_DEPTH,
            max_nodes=MAX_NODES,
            threads=threads,
        )
