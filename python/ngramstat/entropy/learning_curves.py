"""Learning curves of the counted learner: Kneser-Ney losses on nested subsets of the documents.

The training documents are laid on a circle in random order. Replicate r starts at its own place and
takes 1/2, 1/4, 1/8 ... of the tokens from there, so its subsets are nested, and the small subsets
of different replicates share no document. Every subset is scored on the same held-out documents, at
all orders in one pass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.entropy.kneser_ney import HeldOutLosses, held_out_losses
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.split import HeldOutSplit

__all__ = [
    "LearningPoint",
    "PooledCurve",
    "Subset",
    "nested_subsets",
    "pooled_curve",
    "relative_work",
    "subset_losses",
]

Floats = NDArray[np.float64]

# Smaller subsets say nothing about the approach to a limit.
_MIN_TOKENS = 2_000
_MIN_DOCUMENTS = 8
# A subset is left out where it has more or fewer tokens than it should by this factor: a few long
# documents cannot make every size.
_MAX_RATIO = 1.25


@dataclass(frozen=True)
class Subset:
    """Some of the training documents.

    Attributes
    ----------
    halvings : int
        The subset holds about 1 / 2^halvings of the training tokens.
    replicate : int
    parts : (k,) int64
        Their indices in the training selection, ascending.
    """

    halvings: int
    replicate: int
    parts: NDArray[np.int64]


@dataclass(frozen=True)
class LearningPoint:
    """Mean losses after training on one subset.

    Attributes
    ----------
    halvings : int
    tokens : int
        Trained on.
    losses, full_context : (n_contexts,) float64
        Nats per token: over all held-out tokens, and over those that have as many tokens before
        them in their document as the longest context, like the targets of H_n.
    """

    halvings: int
    tokens: int
    losses: Floats
    full_context: Floats


def _replicates(halvings: int) -> int:
    """Subsets of one size: two while they are a half or a quarter of all, then four."""
    return (1, 2, 2, 4)[min(halvings, 3)]


def relative_work(sizes: int) -> float:
    """Training tokens of all subsets of `nested_subsets`, relative to the whole training set."""
    return sum(_replicates(halvings) * 0.5**halvings for halvings in range(1, sizes))


def nested_subsets(split: HeldOutSplit, *, sizes: int, seed: int) -> Iterator[Subset]:
    """Subsets of half the training tokens, a quarter, ...: `sizes` - 1 sizes, largest first."""
    training = split.training
    lengths = training.lengths
    order = np.random.default_rng([seed, 6]).permutation(len(training))
    total = int(lengths.sum())
    ends = np.cumsum(lengths[order])
    for halvings in range(1, sizes):
        size = total / 2**halvings
        replicates = _replicates(halvings)
        for replicate in range(replicates):
            start = total * replicate / replicates
            first, last = np.searchsorted(ends, [start, start + size], side="right")
            chosen = order[first:last]
            tokens = int(lengths[chosen].sum())
            has_size = size / _MAX_RATIO <= tokens <= size * _MAX_RATIO
            if tokens < _MIN_TOKENS or len(chosen) < _MIN_DOCUMENTS or not has_size:
                continue
            yield Subset(halvings, replicate, np.sort(chosen))


def subset_losses(
    split: HeldOutSplit,
    subset: Subset,
    *,
    max_context: int,
    boundary: Boundary,
    workspace: Workspace | None = None,
    progress: Any = None,
) -> LearningPoint:
    """Train on the subset, score the held-out side."""
    losses = held_out_losses(
        dataclasses.replace(split, training=split.training.select(subset.parts)),
        max_context=max_context,
        boundary=boundary,
        find_copies=False,
        workspace=workspace,
        progress=progress,
    )
    return _point(losses, subset.halvings)


def _point(held_out: HeldOutLosses, halvings: int) -> LearningPoint:
    return LearningPoint(
        halvings,
        held_out.training_tokens,
        held_out.losses.sum(axis=0) / held_out.tokens.sum(),
        held_out.full_context_loss,
    )


@dataclass(frozen=True)
class PooledCurve:
    """One loss per size, smallest first.

    Attributes
    ----------
    tokens : (k,) int64
        Mean over replicates.
    losses : (k, n_contexts) float64
    errors : (k, n_contexts) float64 or None
        Standard error from the spread of replicates; None without any.
    replicates : (k,) int64
    """

    tokens: NDArray[np.int64]
    losses: Floats
    errors: Floats | None
    replicates: NDArray[np.int64]


def pooled_curve(
    whole: HeldOutLosses, points: list[LearningPoint], *, full_context: bool = False
) -> PooledCurve:
    """Means over the replicates of each size, and their errors.

    The variance between replicates goes as one over their tokens; its constant is pooled over all
    sizes, because two or four replicates alone say little about their own spread, and the largest
    size has one. With `full_context` the losses are those of tokens like the targets of H_n.
    """
    all_points = [*points, _point(whole, 0)]
    halvings = sorted({point.halvings for point in all_points}, reverse=True)
    groups = [[p for p in all_points if p.halvings == h] for h in halvings]
    replicates = np.array([len(group) for group in groups], dtype=np.int64)
    tokens = np.array([np.mean([p.tokens for p in group]) for group in groups])

    def loss(point: LearningPoint) -> Floats:
        return point.full_context if full_context else point.losses

    losses = np.array([np.mean([loss(p) for p in group], axis=0) for group in groups])
    freedom = int((replicates - 1).sum())
    errors = None
    if freedom > 0:
        squares = sum(
            np.sum([(loss(p) - mean) ** 2 for p in group], axis=0) * size
            for group, mean, size in zip(groups, losses, tokens, strict=True)
        )
        errors = np.sqrt(squares / freedom / (tokens * replicates)[:, None])
    return PooledCurve(np.rint(tokens).astype(np.int64), losses, errors, replicates)
