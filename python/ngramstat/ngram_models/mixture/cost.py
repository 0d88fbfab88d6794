"""What a mixture takes in memory and passes over the training tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels.mixing import EVENT_BYTES, MAX_EVENTS
from ngramstat.ngram_models.mixture.context_patterns import n_patterns, n_patterns_of_tree
from ngramstat.ngram_models.mixture.trees import N_TREES
from ngramstat.ngram_models.mixture.tuning_slice import (
    MAX_SCORED,
    PIECE_TOKENS,
    tuning_tokens,
)

__all__ = [
    "MixtureCost",
    "bytes_per_decision",
    "context_counts_bytes",
    "events_at_once",
    "expected_depth",
    "mixture_cost",
    "packed_logits_bytes",
    "trees_at_once",
]

# Bytes of a decision besides its packed logits: fallback logits of a few patterns, and states. Room
# is kept for the first number; the second is what the peak of all trees together shows, since not
# every tree has all of it at that time.
_DECISION_BYTES, _USUAL_DECISION_BYTES = 16, 9
# The fraction of the memory budget for decisions at most; the rest is for counting.
_DECISIONS_FRACTION = 0.75
_MIN_EVENTS = 1 << 20
# Bytes of the counts of one pattern's contexts, by token whose context it is, about.
_SCORED_TOKEN_BYTES = 128
# Passes over the training tokens for one pattern, about, where memory does not limit them.
_MAX_PASSES = 8


def expected_depth(occurrences: NDArray[np.int64]) -> float:
    """Binary decisions from the root of a tree to a token, about, from how often each token occurs.

    A tree is bisected by occurrences, so that this is the entropy of the tokens in bits and some
    half to one more.
    """
    frequencies = occurrences[occurrences > 0] / max(int(occurrences.sum()), 1)
    return float(-frequencies @ np.log2(frequencies)) + 1


def packed_logits_bytes(decisions: float, n_patterns: int) -> int:
    """Expected memory of so many decisions in one tree with n_patterns patterns."""
    return int(decisions * bytes_per_decision(n_patterns))


def bytes_per_decision(n_patterns: int) -> int:
    return 2 * n_patterns + _DECISION_BYTES


def context_counts_bytes(scored_tokens: float) -> int:
    """Expected memory of the counts of one pattern for so many tokens, tuning ones included."""
    return int(_SCORED_TOKEN_BYTES * scored_tokens)


def trees_at_once(memory_budget: float | None, bytes_of_all_trees: float) -> int:
    """How many trees to interpolate and mix at a time, at least one.

    Each pattern is counted again for every group of trees.
    """
    if memory_budget is None:
        return N_TREES
    fitting = int(memory_budget * _DECISIONS_FRACTION * N_TREES / max(bytes_of_all_trees, 1.0))
    n_groups = math.ceil(N_TREES / min(max(fitting, 1), N_TREES))
    return math.ceil(N_TREES / n_groups)


def events_at_once(
    memory_budget: float | None, n_training: int, bytes_of_trees: float = 0.0
) -> int:
    """How many events to count at a time, beside the trees that are mixed at a time.

    Half of the memory that trees leave is for events, the other half for sorting them. Each pass
    over a long text should count a good part of it.
    """
    largest = max(MAX_EVENTS, n_training // _MAX_PASSES)
    if memory_budget is None:
        return largest
    left = max(memory_budget - bytes_of_trees, memory_budget * (1 - _DECISIONS_FRACTION))
    return int(min(largest, max(left / 2 // EVENT_BYTES, _MIN_EVENTS)))


@dataclass(frozen=True)
class MixtureCost:
    """What a mixture takes, as expected before it is run.

    Attributes
    ----------
    n_trees, n_patterns : int
    inputs : int
        Patterns used along each tree, summed over the trees.
    decisions : float
        Binary decisions in one tree, of tuning and held-out tokens.
    tree_bytes : int
        Memory of the decisions of one tree, for the largest piece that is scored at a time.
    all_trees_bytes : int
        The same of all trees at a time.
    counts_bytes : int
        Memory of the counts of one pattern's contexts.
    event_bytes : int
        Memory of the events of counting one pattern, where the budget does not limit them.
    """

    n_trees: int
    n_patterns: int
    inputs: int
    decisions: float
    tree_bytes: int
    all_trees_bytes: int
    counts_bytes: int
    event_bytes: int

    @property
    def min_budget(self) -> float:
        """The memory budget, in bytes, in which the decisions of one tree fit."""
        return self.tree_bytes / _DECISIONS_FRACTION

    def trees_at_once(self, memory_budget: float | None) -> int:
        """How many trees fit a memory budget."""
        return trees_at_once(memory_budget, self.n_trees * self.tree_bytes)

    def bytes_of_trees(self, number: int) -> float:
        """Memory of the decisions of so many trees at a time."""
        return max(self.tree_bytes, self.all_trees_bytes * number / self.n_trees)

    def training_passes(self, memory_budget: float | None) -> int:
        """How often the training tokens are read: by every pattern for each group of trees."""
        groups = -(-self.n_trees // self.trees_at_once(memory_budget))
        return self.n_patterns * groups


def mixture_cost(
    n_training: int,
    n_held_out: int,
    *,
    vocab_size: int,
    max_context: int,
    depth: float,
) -> MixtureCost:
    """The cost of `mixture_losses` for n_training training and n_held_out held-out tokens.

    `depth` are the binary decisions of a token along one tree, see `expected_depth`.
    """
    tokens = int(tuning_tokens(n_training)) + min(n_held_out, MAX_SCORED)
    used = n_patterns(max_context, vocab_size)
    of_tree = [n_patterns_of_tree(max_context, vocab_size, tree) for tree in range(N_TREES)]
    decisions = min(tokens, PIECE_TOKENS) * depth
    # Of a decision, where all trees are held together.
    saved = _DECISION_BYTES - _USUAL_DECISION_BYTES
    bytes_of = [packed_logits_bytes(decisions, n_patterns) for n_patterns in of_tree]
    return MixtureCost(
        n_trees=N_TREES,
        n_patterns=used,
        inputs=sum(of_tree),
        decisions=tokens * depth,
        tree_bytes=max(bytes_of),
        all_trees_bytes=sum(bytes_of) - int(N_TREES * decisions * saved),
        counts_bytes=context_counts_bytes(min(tokens, PIECE_TOKENS)),
        event_bytes=EVENT_BYTES * min(events_at_once(None, n_training), n_training),
    )
