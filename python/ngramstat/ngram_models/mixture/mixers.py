"""The mixers of all trees and lengths of context, trained on the tuning slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels.mixing import MAX_MIXERS, MixerGroup, MixerShape, logits_of
from ngramstat.ngram_models.mixture.context_patterns import Pattern, patterns_of_tree
from ngramstat.ngram_models.mixture.decisions import MAX_DEPTH, MAX_NODES, Decisions

__all__ = ["Mixers", "TreeMixers"]

Floats = NDArray[np.float64]

# Learning rates of the two passes over the tuning slice.
_FIRST_RATE, _LAST_RATE = 0.02, 0.01
# The weights are the means of those after so many parts of the last pass: the steps' noise is
# averaged out (Polyak and Juditsky 1992), which is worth a third more tokens to learn from.
_AVERAGED = 16


class TreeMixers:
    """The mixers along one tree of one run of lengths of context; untrained, a Kneser-Ney chain.

    Parameters
    ----------
    used : sequence of Pattern
        By length: the inputs of a shorter length are the first ones.
    lengths : sequence of int
    n_nodes : int
        Inner nodes of the tree.
    """

    def __init__(self, used: Sequence[Pattern], lengths: Sequence[int], n_nodes: int) -> None:
        inputs = [pattern for pattern in used if pattern.length <= max(lengths)]
        names = [pattern.name for pattern in inputs]
        ngrams = [i for i, pattern in enumerate(inputs) if pattern.is_ngram]
        self.lengths, self.n_inputs = tuple(lengths), len(inputs)
        self._last_of_chain = [ngrams[n] for n in lengths]
        self.group = MixerGroup(
            [-1 if p.parent is None else names.index(p.parent) for p in inputs],
            [float(p.is_ngram) for p in inputs],
            ngrams[1:4],
            [MAX_DEPTH, min(n_nodes, MAX_NODES)],
            [MixerShape(sum(p.length <= n for p in inputs), min(n, 3), 2) for n in lengths],
        )

    def fit(self, decisions: Decisions, states: NDArray[np.uint16]) -> NDArray[np.bool_]:
        """Learn from the tuning slice; by length, whether that helped on its second half."""
        packed_logits = decisions.packed_logits[: self.n_inputs]
        half = decisions.n_tuning // 2
        middle, end = (int(decisions.offsets[k]) for k in (half, decisions.n_tuning))

        def train(first: int, last: int, rate: float) -> Floats:
            rates = [rate] * len(self.lengths)
            return self.group.train(packed_logits, states, first, last, rates)

        train(0, middle, _FIRST_RATE)
        # Only in the first pass the second half is new to the mixers.
        learned = train(middle, end, _FIRST_RATE)
        untrained = [_loss(packed_logits[i, middle:end]) for i in self._last_of_chain]
        cuts = [end * k // _AVERAGED for k in range(_AVERAGED + 1)]
        self._train_averaged(
            lambda first, last: train(first, last, _LAST_RATE), list(pairwise(cuts))
        )
        better: NDArray[np.bool_] = learned < untrained
        return better

    def _train_averaged(
        self, train: Callable[[int, int], Floats], parts: Sequence[tuple[int, int]]
    ) -> None:
        """Learn from one part after the other, and keep the mean of the weights after each."""
        sums: list[list[NDArray[np.float32]]] = []
        for first, last in parts:
            train(first, last)
            weights = [self.group.weights(mixer) for mixer in range(len(self.lengths))]
            if not sums:
                sums = weights
                continue
            for running, array in zip(chain(*sums), chain(*weights), strict=True):
                running += array
        for mixer, arrays in enumerate(sums):
            self.group.set_weights(mixer, [array / np.float32(len(parts)) for array in arrays])

    def score(self, decisions: Decisions, states: NDArray[np.uint16]) -> Floats:
        """-ln p of every held-out token of a piece, (lengths, n)."""
        return self.group.score(
            decisions.packed_logits[: self.n_inputs],
            states,
            decisions.offsets[decisions.n_tuning :],
        )


class Mixers:
    """The mixers of all trees and some lengths of context, trained on the first piece.

    Parameters
    ----------
    used : sequence of Pattern
    lengths : sequence of int
        Lengths of context, ascending.

    Attributes
    ----------
    trained : dict
        Mixers by tree, in runs of lengths.
    better : (n_lengths,) bool
        As in `MixtureLosses`.
    """

    def __init__(self, used: Sequence[Pattern], lengths: Sequence[int]) -> None:
        self._used, self.lengths = used, tuple(lengths)
        self.trained: dict[int, list[TreeMixers]] = {}
        self.better = np.zeros(len(self.lengths), bool)

    def untrained(self, tree: int, n_nodes: int) -> list[TreeMixers]:
        """Of a tree by number, with this number of inner nodes."""
        inputs = [self._used[i] for i in patterns_of_tree(self._used, tree)]
        return [
            TreeMixers(inputs, self.lengths[k : k + MAX_MIXERS], n_nodes)
            for k in range(0, len(self.lengths), MAX_MIXERS)
        ]

    def score(
        self, decisions: dict[int, Decisions], n_nodes: int, threads: int
    ) -> Iterator[Floats]:
        """-ln p of every held-out token along each tree, (lengths, n).

        Longer contexts come first, as they take longer.
        """
        learn = [tree for tree in decisions if tree not in self.trained]
        for tree in learn:
            self.trained[tree] = self.untrained(tree, n_nodes)
        jobs = [(tree, part) for tree in decisions for part in reversed(self.trained[tree])]

        def work(job: tuple[int, TreeMixers]) -> tuple[TreeMixers, NDArray[np.bool_], Floats]:
            tree, mixers = job
            better = np.zeros(len(mixers.lengths), bool)
            states = decisions[tree].states()
            if tree in learn:
                better = mixers.fit(decisions[tree], states)
            return mixers, better, mixers.score(decisions[tree], states)

        parts: list[Floats] = []
        for mixers, better, scored in _in_threads(work, jobs, threads):
            first = self.lengths.index(mixers.lengths[0])
            self.better[first : first + len(better)] |= better
            parts.insert(0, scored)
            if first == 0:  # the last part of a tree
                yield np.concatenate(parts)
                parts = []


def _loss(packed_logits: NDArray[np.uint16]) -> float:
    """The sum of -ln p of the branches taken."""
    values = np.arange(1 << 16, dtype=np.uint16)
    return float(
        np.bincount(packed_logits, minlength=1 << 16) @ np.logaddexp(0, -logits_of(values))
    )


def _in_threads(work: Callable[[Any], Any], jobs: Sequence[Any], threads: int) -> Iterator[Any]:
    """Results in the order of the jobs; jobs that have not begun are dropped on an interrupt."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(work, jobs)
    finally:
        pool.shutdown(cancel_futures=True)
