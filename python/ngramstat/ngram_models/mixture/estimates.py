"""The estimates of all patterns at all decisions: counting, then interpolation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels import Gpu
from ngramstat.kernels.mixing import (
    ContextCounts,
    ContextPattern,
    Discounts,
    FallbackLogits,
    GpuTraining,
    TokenTree,
)
from ngramstat.ngram_models.discounts import discounts
from ngramstat.ngram_models.mixture.context_patterns import CLASSES, Pattern, patterns_of_tree
from ngramstat.ngram_models.mixture.decisions import Decisions
from ngramstat.ngram_models.mixture.tuning_slice import MixtureSplit, Piece

__all__ = ["Estimator"]


@dataclass(frozen=True)
class _Parent:
    """What a pattern needs of the one that it falls back on.

    Attributes
    ----------
    logits : dict
        By number of the tree; none: the uniform distribution.
    known : NDArray or None
        Training tokens after contexts of the parent that the scored tokens have, as bits; after all
        others, the pattern's contexts cannot be those of scored tokens. None: all tokens.
    """

    logits: dict[int, FallbackLogits | None]
    known: NDArray[np.uint64] | None


class Estimator:
    """Estimates of all patterns at all decisions of a piece, along every tree."""

    def __init__(
        self,
        split: MixtureSplit,
        used: Sequence[Pattern],
        class_maps: NDArray[np.uint32],
        discounts: dict[str, Discounts],
        *,
        max_events: int,
        threads: int,
        gpu: Gpu | None = None,
    ) -> None:
        """`discounts` by pattern are used; those that it lacks are estimated and added.

        They are estimated from the contexts of the tuning slice, which the first piece holds: what
        is scored changes no estimate. With `gpu` patterns are counted there.
        """
        self._split, self._used, self._class_maps = split, used, class_maps
        self._training: NDArray[Any] | GpuTraining = split.training
        if gpu is not None:
            self._training = GpuTraining(split.training, split.vocabulary, gpu)
        self._max_events, self._threads = max_events, threads
        self._discounts = discounts

    def estimate(
        self, piece: Piece, trees: Mapping[int, TokenTree], advance: Callable[[], None]
    ) -> dict[int, Decisions]:
        """Counts and interpolates every pattern that the trees use, each after its parent.

        Trees and decisions are by number of the tree.
        """
        rows = {number: patterns_of_tree(self._used, number) for number in trees}
        decisions = {
            number: Decisions(len(rows[number]), piece, tree) for number, tree in trees.items()
        }
        children: dict[str | None, list[int]] = {}
        for i in sorted(set().union(*rows.values())):
            children.setdefault(self._used[i].parent, []).append(i)
        # The fallback logits that children need are large. Of siblings, the one with the most
        # descendants comes last, when the parent's are no longer needed.
        descendants = [0] * len(self._used)
        for i in reversed(range(len(self._used))):
            descendants[i] = sum(1 + descendants[j] for j in children.get(self._used[i].name, []))
        # Depth first. By pattern: its parent, and whether it is its last child.
        waiting: list[tuple[int, _Parent, bool]] = [(0, _Parent({}, None), True)]
        while waiting:
            i, parent, last_user = waiting.pop()
            own_children = sorted(
                children.get(self._used[i].name, []), key=lambda j: -descendants[j]
            )
            counts, known = self._count(
                self._used[i], piece, parent.known, has_children=bool(own_children)
            )
            logits: dict[int, FallbackLogits | None] = {}
            for number, tree in trees.items():
                if i not in rows[number]:
                    continue
                logits[number] = self._interpolate(
                    i,
                    counts,
                    tree,
                    decisions[number],
                    decisions[number].packed_logits[rows[number].index(i)],
                    parent.logits.get(number),
                )
                if last_user:  # memory for the next tree
                    parent.logits.pop(number, None)
            own = _Parent(logits, known)
            waiting += [(j, own, j == own_children[0]) for j in own_children]
            advance()
        return decisions

    def _count(
        self,
        pattern: Pattern,
        piece: Piece,
        candidates: NDArray[np.uint64] | None,
        *,
        has_children: bool,
    ) -> tuple[ContextCounts, NDArray[np.uint64] | None]:
        """Counts of one pattern, and what other patterns need of them if they fall back on it."""
        split = self._split
        rows = [list(CLASSES).index(letter) if letter else -1 for letter in pattern.letters]
        counts = ContextCounts(
            piece.tokens,
            piece.targets,
            vocabulary=split.vocabulary,
            pattern=ContextPattern(pattern.offsets, rows, self._class_maps),
            n_leave_one_out=piece.n_tuning,
            second_stream=piece.held_out,
            threads=self._threads,
        )
        known = counts.count(
            self._training,
            first_event=split.first_event,
            first_leave_one_out=split.first_tuning if piece.n_tuning else None,
            continuation_offset=pattern.continuation_offset if has_children else 0,
            max_events=self._max_events,
            threads=self._threads,
            candidates=candidates,
        )
        if pattern.name not in self._discounts:
            self._discounts[pattern.name] = self._discounts_of(counts)
        return counts, known

    def _discounts_of(self, counts: ContextCounts) -> Discounts:
        """From the contexts of the tuning slice."""
        raw, continuation = (
            discounts(
                counts.counts_of_counts(continuation=lower, left_out=True, threads=self._threads)
            )[0].tolist()
            for lower in (False, True)
        )
        return Discounts(raw, continuation)

    def _interpolate(
        self,
        i: int,
        counts: ContextCounts,
        tree: TokenTree,
        decisions: Decisions,
        packed_logits: NDArray[np.uint16],
        parent_logits: FallbackLogits | None,
    ) -> FallbackLogits | None:
        """Writes the packed logits of pattern i along one tree; returns its fallback logits."""
        _, fallback_logits = counts.interpolate(
            tree,
            decisions.offsets,
            parent_logits,
            discounts=self._discounts[self._used[i].name],
            out=packed_logits,
            threads=self._threads,
        )
        return fallback_logits
