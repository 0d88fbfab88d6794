"""Learning curves of the counted learner: Kneser-Ney losses on nested subsets of the documents.

The training documents are laid on a circle in random order. Replicate r starts at its own place and
takes 1/2, 1/4, 1/8 ... of the tokens from there, so its subsets are nested, and the small subsets
of different replicates share no document. Every subset is scored on the same held-out documents, at
all orders in one pass.

The documents are written out as one stream in the order of the circle, in which every subset is a
range. A subset, or all documents, and the subsets inside it are counted in one sweep over sorted
suffixes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.entropy.copies import copied_tokens
from ngramstat.entropy.kneser_ney import (
    HeldOutLosses,
    held_out_model,
    naming_corpus,
    scored_losses,
)
from ngramstat.kernels import CountsOfRange, KneserNey, Share
from ngramstat.ngram_models.split_streams import SplitStreams, split_streams
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.split import HeldOutSplit

__all__ = [
    "LearningPoint",
    "PooledCurve",
    "Subset",
    "batches",
    "circle_order",
    "learning_point",
    "nested_subsets",
    "pooled_curve",
    "subset_losses",
    "whole",
    "whole_counts",
    "whole_losses",
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
    """Some of the training documents: consecutive ones of the circle.

    Attributes
    ----------
    halvings : int
        The subset holds about 1 / 2^halvings of the training tokens; 0: all.
    replicate : int
    first, last : int
        Places on the circle, in `circle_order`: documents first .. last - 1.
    """

    halvings: int
    replicate: int
    first: int
    last: int

    def holds(self, other: Subset) -> bool:
        """Whether all documents of another subset are in this one."""
        return self.first <= other.first and other.last <= self.last


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


def circle_order(split: HeldOutSplit, *, seed: int) -> NDArray[np.int64]:
    """Indices in the training selection in the order of the circle."""
    order: NDArray[np.int64] = np.random.default_rng([seed, 6]).permutation(len(split.training))
    return order


def nested_subsets(split: HeldOutSplit, *, sizes: int, seed: int) -> list[Subset]:
    """Subsets of half the training tokens, a quarter, ...: `sizes` - 1 sizes.

    They go around the circle, each before those inside it.
    """
    lengths = split.training.lengths
    total = int(lengths.sum())
    ends = np.cumsum(lengths[circle_order(split, seed=seed)])
    subsets = []
    for halvings in range(1, sizes):
        size = total / 2**halvings
        replicates = _replicates(halvings)
        for replicate in range(replicates):
            start = total * replicate / replicates
            first, last = np.searchsorted(ends, [start, start + size], side="right").tolist()
            tokens = int(ends[last - 1] - (ends[first - 1] if first else 0)) if last > first else 0
            has_size = size / _MAX_RATIO <= tokens <= size * _MAX_RATIO
            if tokens >= _MIN_TOKENS and last - first >= _MIN_DOCUMENTS and has_size:
                subsets.append(Subset(halvings, replicate, first, last))
    return sorted(subsets, key=lambda s: (s.replicate / _replicates(s.halvings), s.halvings))


def whole(split: HeldOutSplit) -> Subset:
    """All training documents."""
    return Subset(0, 0, 0, len(split.training))


def subset_losses(
    split: HeldOutSplit,
    subsets: Sequence[Subset],
    *,
    seed: int,
    max_context: int,
    boundary: Boundary,
    workspace: Workspace | None = None,
    progress: Any = None,
) -> Iterator[HeldOutLosses]:
    """Train on each of some subsets, and score the held-out side; see `held_out_losses`.

    Losses come when a subset and those inside it have been counted together. With boundary
    ``stream`` contexts run into the document before on the circle, also from a subset's first
    document. Copies of training text are looked for where a subset is the whole.

    Parameters
    ----------
    split : HeldOutSplit
    subsets : sequence of Subset
        `whole` first, then in the order of `nested_subsets`.
    """
    workspace = Workspace() if workspace is None else workspace
    with _circle_streams(split, seed, max_context, boundary, workspace) as streams:
        copied = None
        if any(subset.halvings == 0 for subset in subsets):
            copied = copied_tokens(streams, workspace.threads)
        ends = streams.training_ends
        starts = np.concatenate([[streams.first_event], ends[:-1]])
        with naming_corpus(split):
            model = held_out_model(streams, max_context)
            for batch in batches(subsets, model.models_that_fit(workspace.memory_budget())):
                parts = [
                    (int(starts[s.first]), int(streams.training_ends[s.last - 1])) for s in batch
                ]
                _train(model, streams, parts, max_context, workspace, progress)
                for number, (subset, (first, last)) in enumerate(zip(batch, parts, strict=True)):
                    tokens = last - first - streams.no_events(subset.last - subset.first)
                    yield scored_losses(
                        model,
                        number,
                        streams,
                        training_tokens=tokens,
                        copied=copied if subset.halvings == 0 else None,
                        threads=workspace.threads,
                    )


def whole_counts(
    split: HeldOutSplit,
    shares: Sequence[Share],
    *,
    seed: int,
    max_context: int,
    boundary: Boundary,
    workspace: Workspace | None = None,
    progress: Any = None,
) -> Iterator[CountsOfRange]:
    """What models trained on all documents count of some ranges of last tokens.

    `whole_losses` makes of those of all ranges what `subset_losses` gives of `whole`, which it
    describes with the other arguments.
    """
    workspace = Workspace() if workspace is None else workspace
    with _circle_streams(split, seed, max_context, boundary, workspace) as streams:
        everything = (streams.first_event, int(streams.training_ends[-1]))
        with naming_corpus(split):
            model = held_out_model(streams, max_context)
            for share in shares:
                _train(model, streams, [everything], max_context, workspace, progress, share)
                yield model.counts_of_range()


def whole_losses(
    split: HeldOutSplit,
    counted: Iterable[CountsOfRange],
    *,
    seed: int,
    max_context: int,
    boundary: Boundary,
    workspace: Workspace | None = None,
) -> HeldOutLosses:
    """Losses of the models trained on all documents, from `whole_counts` of all ranges."""
    workspace = Workspace() if workspace is None else workspace
    with _circle_streams(split, seed, max_context, boundary, workspace) as streams:
        model = held_out_model(streams, max_context)
        for counts in counted:
            model.add_counts(counts)
        ends = streams.training_ends
        return scored_losses(
            model,
            0,
            streams,
            training_tokens=int(ends[-1]) - streams.first_event - streams.no_events(len(ends)),
            copied=copied_tokens(streams, workspace.threads),
            threads=workspace.threads,
        )


@contextmanager
def _circle_streams(
    split: HeldOutSplit, seed: int, max_context: int, boundary: Boundary, workspace: Workspace
) -> Iterator[SplitStreams]:
    """Both sides of a split, the training documents in the order of the circle."""
    circle = dataclasses.replace(
        split, training=split.training.select(circle_order(split, seed=seed))
    )
    with split_streams(
        circle, boundary=boundary, max_context=max_context, workspace=workspace
    ) as streams:
        yield streams


def _train(
    model: KneserNey,
    streams: SplitStreams,
    parts: Sequence[tuple[int, int]],
    max_context: int,
    workspace: Workspace,
    progress: Any,
    share: Share | None = None,
) -> None:
    """Train on nested parts of the stream, of which only the first and its contexts are read."""
    first, last = parts[0]
    begin = max(first - max_context, 0)
    stream = streams.training[begin:last]
    reads_tokens = model.cost(len(stream)).reads_text
    model.reset(len(parts), threads=workspace.threads)  # before the budget is what is left
    model.train_parts(
        stream,
        [(first - begin, last - begin) for first, last in parts],
        threads=workspace.threads,
        memory_limit=workspace.memory_budget(token_bytes=stream.nbytes if reads_tokens else 0),
        backend=workspace.gpus,
        progress=progress,
        share=share,
    )


def batches(subsets: Sequence[Subset], most: int) -> Iterator[list[Subset]]:
    """Subsets to count together: one, and up to `most` - 1 of those that it holds."""
    batch: list[Subset] = []
    for subset in subsets:
        if batch and (len(batch) == most or not batch[0].holds(subset)):
            yield batch
            batch = []
        batch.append(subset)
    if batch:
        yield batch


def learning_point(held_out: HeldOutLosses, halvings: int) -> LearningPoint:
    """Mean losses after training on a subset."""
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
    all_tokens: HeldOutLosses, points: list[LearningPoint], *, full_context: bool = False
) -> PooledCurve:
    """Means over the replicates of each size, and their errors.

    The variance between replicates goes as one over their tokens; its constant is pooled over all
    sizes, because two or four replicates alone say little about their own spread, and the largest
    size has one. With `full_context` the losses are those of tokens like the targets of H_n.
    """
    all_points = [*points, learning_point(all_tokens, 0)]
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
