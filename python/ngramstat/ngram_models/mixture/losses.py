"""Train a mixture and score the held-out tokens with it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels.mixing import Discounts, TokenTree, path_lengths
from ngramstat.ngram_models.mixture.context_patterns import (
    Pattern,
    has_classes,
    patterns,
    patterns_of_tree,
)
from ngramstat.ngram_models.mixture.cost import (
    bytes_per_decision,
    context_counts_bytes,
    events_at_once,
    trees_at_once,
)
from ngramstat.ngram_models.mixture.estimates import Estimator
from ngramstat.ngram_models.mixture.mixers import Mixers
from ngramstat.ngram_models.mixture.trees import N_TREES, grow_trees
from ngramstat.ngram_models.mixture.tuning_slice import MixtureSplit, Piece, pieces_of
from ngramstat.ngram_models.split_streams import content_positions
from ngramstat.runtime.workspace import Workspace

__all__ = [
    "Mixture",
    "MixtureLosses",
    "TreeLosses",
    "losses_of_trees",
    "mixture_losses",
    "tree_losses",
]

Floats = NDArray[np.float64]

# Relative times for the progress: of a training token that a pattern counts, and of a decision of
# one tree that it interpolates or that is mixed for context 0 (measured on 400,000 tokens of
# Wikipedia, in microseconds).
_COUNTED_TOKEN, _INTERPOLATED_DECISION, _MIXED_DECISION = 0.05, 0.03, 0.03

# Bytes of the mapped training tokens that may become resident before they are let go again.
_TOKEN_PAGES_BYTES = 256 << 20


@dataclass(frozen=True)
class MixtureLosses:
    """Held-out losses of the mixture for contexts of n = 1 .. max_context tokens.

    Attributes
    ----------
    losses : (n_documents, max_context) float64
        Sum of -ln p over the scored tokens of each held-out document; column n - 1 is context n.
        Zero for documents that are not scored.
    losses_at_starts : like losses
        The part of it that belongs to the first tokens of documents; see `HeldOutLosses`.
    better : (max_context,) bool
        Whether the mixture beat its own starting point, a Kneser-Ney model, on the second half of
        the tuning slice, before it had learned from it.
    tuning_tokens : int
        Tokens of the slice.
    scored : (n_documents,) bool
        Held-out documents that were scored: all, or a random sample of whole ones.
    """

    losses: Floats
    losses_at_starts: Floats
    better: NDArray[np.bool_]
    tuning_tokens: int
    scored: NDArray[np.bool_]


@dataclass(frozen=True)
class TreeLosses:
    """What the mixers along one of the trees find, before the trees are averaged.

    Attributes
    ----------
    losses : (max_context, n) float64
        -ln p of every held-out token that is scored; row n - 1 is context n.
    better : (max_context,) bool
        As in `MixtureLosses`.
    """

    losses: Floats
    better: NDArray[np.bool_]


def mixture_losses(
    split: MixtureSplit,
    *,
    max_context: int,
    workspace: Workspace | None = None,
    progress: Any = None,
) -> MixtureLosses:
    """Train a mixture for contexts of n = 1 .. max_context tokens, and score the held-out tokens.

    Parameters
    ----------
    split : MixtureSplit
    max_context : int
        At least 1.
    workspace : Workspace, optional
        Does not change the result. Where its memory budget does not hold the packed logits of all
        trees, the trees are evaluated one after the other.
    progress : object with ``advance(fraction)``, optional
        Told the fractions of the work as they are done; they sum to one.
    """
    workspace = Workspace() if workspace is None else workspace
    if split.vocab_size == 1:  # nothing to predict
        nothing = np.zeros((max_context, len(split.targets)))
        return _by_document(nothing, split, np.ones(max_context, bool))
    mixture = Mixture.new(split, max_context, range(1, max_context + 1), workspace)
    by_token = mixture.losses(split, list(pieces_of(split)), workspace, progress)
    return _by_document(by_token, split, mixture.mixers.better)


def tree_losses(
    split: MixtureSplit,
    tree: int,
    *,
    max_context: int,
    workspace: Workspace | None = None,
    progress: Any = None,
) -> TreeLosses:
    """Those of one tree, 0 .. N_TREES - 1; see `mixture_losses`.

    All trees together take longer than `mixture_losses`, which counts a pattern once for several.
    """
    workspace = Workspace() if workspace is None else workspace
    mixture = Mixture.new(split, max_context, range(1, max_context + 1), workspace)
    by_token = mixture.losses(split, list(pieces_of(split)), workspace, progress, trees=[tree])
    return TreeLosses(by_token, mixture.mixers.better)


def losses_of_trees(split: MixtureSplit, of_trees: Sequence[TreeLosses]) -> MixtureLosses:
    """What `mixture_losses` gives, from `tree_losses` of all trees in their order."""
    better = np.any([tree.better for tree in of_trees], axis=0)
    return _by_document(_average([tree.losses for tree in of_trees]), split, better)


@dataclass
class Mixture:
    """What a mixture has beside the counts of its training tokens.

    Attributes
    ----------
    trees : list of TokenTree
    class_maps : (maps, symbols) uint32
    max_context : int
        Tokens of the longest pattern.
    discounts : dict
        By pattern; empty before the tuning slice is counted.
    mixers : Mixers
        Of some lengths of context; untrained before the tuning slice is scored.
    """

    trees: list[TokenTree]
    class_maps: NDArray[np.uint32]
    max_context: int
    discounts: dict[str, Discounts]
    mixers: Mixers

    @classmethod
    def new(
        cls,
        split: MixtureSplit,
        max_context: int,
        lengths: Sequence[int],
        workspace: Workspace,
    ) -> Mixture:
        """One that learns from the tuning slice when the first piece of `losses` holds it."""
        used = patterns(max_context, classed=has_classes(split.vocab_size))
        return cls(*grow_trees(split, workspace), max_context, {}, Mixers(used, lengths))

    def losses(
        self,
        split: MixtureSplit,
        pieces: Sequence[Piece],
        workspace: Workspace,
        progress: Any = None,
        *,
        trees: Sequence[int] = range(N_TREES),
    ) -> Floats:
        """-ln p of the targets of all pieces but the tuning ones, (n_lengths, n).

        Of `split`, the training tokens are counted. The probabilities along `trees` are averaged.
        See `mixture_losses` for the other arguments.
        """
        lengths = self.mixers.lengths
        used = patterns(self.max_context, classed=has_classes(split.vocab_size))
        memory_budget = workspace.memory_budget(
            token_bytes=min(split.training.nbytes, _TOKEN_PAGES_BYTES)
        )
        if memory_budget is not None:
            memory_budget -= context_counts_bytes(max(len(piece.targets) for piece in pieces))
            memory_budget = max(memory_budget, 1)
        inputs = max(len(patterns_of_tree(used, k)) for k in range(N_TREES))
        largest = _max_decisions(pieces, self.trees) * bytes_per_decision(inputs)
        together = min(trees_at_once(memory_budget, largest), len(trees))
        groups = [trees[k : k + together] for k in range(0, len(trees), together)]
        work = _Work(split, pieces, self.trees, used, groups)
        total = sum(work.of_piece(piece, lengths) for piece in pieces)

        def advance(seconds: float) -> None:
            if progress is not None:
                progress.advance(seconds / total)

        estimator = Estimator(
            split,
            used,
            self.class_maps,
            self.discounts,
            max_events=events_at_once(
                memory_budget, len(split.training), largest * together / N_TREES
            ),
            threads=workspace.threads,
            gpu=workspace.gpus.devices[0] if workspace.gpus else None,
        )
        # -ln p of the held-out tokens, by piece.
        losses: list[Floats] = []
        for piece in pieces:
            of_trees: list[Floats] = []
            for group in groups:
                counted = work.of_pattern(piece, len(group))
                decisions = estimator.estimate(
                    piece, {k: self.trees[k] for k in group}, functools.partial(advance, counted)
                )
                # What counting leaves for its next use would stand beside the mixing.
                workspace.trim_heap()
                n_nodes = len(self.trees[0].split)
                for scored in self.mixers.score(decisions, n_nodes, workspace.threads):
                    of_trees.append(scored)
                    advance(sum(work.of_mixing(piece, n) for n in lengths))
                del decisions  # before the next group takes memory
            losses.append(_average(of_trees))
        return np.concatenate(losses, axis=1)


class _Work:
    """What the steps take, relative to each other.

    A pattern is counted over the training tokens and interpolated at the decisions of its trees;
    mixers of context n add up the more patterns the larger n is.
    """

    def __init__(
        self,
        split: MixtureSplit,
        pieces: Sequence[Piece],
        trees: Sequence[TokenTree],
        used: Sequence[Pattern],
        groups: Sequence[Sequence[int]],
    ) -> None:
        self._tokens = len(split.training)
        # Of each group of trees: how many there are, and how many patterns they use.
        self._groups = [
            (len(group), len(set().union(*(patterns_of_tree(used, k) for k in group))))
            for group in groups
        ]
        self._decisions = {
            id(piece): _max_decisions([piece], trees) / len(trees) for piece in pieces
        }

    def of_pattern(self, piece: Piece, n_trees: int) -> float:
        interpolated = n_trees * self._decisions[id(piece)]
        return _COUNTED_TOKEN * self._tokens + _INTERPOLATED_DECISION * interpolated

    def of_mixing(self, piece: Piece, n: int) -> float:
        """Of one tree."""
        return _MIXED_DECISION * (2 + n) * self._decisions[id(piece)]

    def of_piece(self, piece: Piece, lengths: Sequence[int]) -> float:
        mixing = sum(self.of_mixing(piece, n) for n in lengths)
        return sum(
            n_patterns * self.of_pattern(piece, n_trees) + n_trees * mixing
            for n_trees, n_patterns in self._groups
        )


def _by_document(by_token: Floats, split: MixtureSplit, better: NDArray[np.bool_]) -> MixtureLosses:
    in_sample = split.in_sample[split.scored.part]
    by_piece = _by_piece(by_token, np.where(in_sample, split.scored.tokens, 0))
    return MixtureLosses(
        losses=split.scored.totals(by_piece),
        losses_at_starts=split.scored.totals_at_starts(by_piece),
        better=better,
        tuning_tokens=len(content_positions(split.tuning_documents)),
        scored=split.in_sample,
    )


def _average(members: Sequence[Floats]) -> Floats:
    """Losses of the mean of the members' probabilities, (lengths, n), from those of each."""
    stacked = np.stack(members)
    # The mean of probabilities, in a form that does not underflow.
    smallest = stacked.min(axis=0)
    mean: Floats = smallest - np.log(np.exp(smallest - stacked).mean(axis=0))
    return mean


def _by_piece(by_token: Floats, sizes: NDArray[np.int64]) -> Floats:
    """Sums over the tokens of each piece, (n_pieces, n_lengths)."""
    piece = np.repeat(np.arange(len(sizes)), sizes)
    sums = [np.bincount(piece, weights=row, minlength=len(sizes)) for row in by_token]
    return np.stack(sums, axis=1)


def _max_decisions(pieces: Sequence[Piece], trees: Sequence[TokenTree]) -> int:
    """Decisions of the largest piece, summed over the trees."""
    return max(
        sum(int(path_lengths(tree)[piece.tokens[piece.targets]].sum()) for tree in trees)
        for piece in pieces
    )
