"""The mixers of all trees and lengths of context, trained on the tuning slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels.mixing import Mixer
from ngramstat.ngram_models.mixture.decisions import Decisions

__all__ = ["Mixers"]

Floats = NDArray[np.float64]


class Mixers:
    """The mixers of all trees and some lengths of context, trained on the first piece.

    Parameters
    ----------
    lengths : sequence of int
        Lengths of context, ascending.

    Attributes
    ----------
    trained : dict
        Mixers by tree and length.
    better : (n_lengths,) bool
        As in `MixtureLosses`.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = tuple(lengths)
        self.trained: dict[tuple[int, int], list[Mixer]] = {}
        self.better = np.zeros(len(self.lengths), bool)

    def score(
        self, decisions: dict[int, Decisions], threads: int
    ) -> Iterator[tuple[int, list[Floats]]]:
        """(n, -ln p of every held-out token by each mixer) of each tree and n.

        Longer contexts come first, as they take longer.
        """
        jobs = [(tree, n) for n in reversed(self.lengths) for tree in decisions]

        def work(job: tuple[int, int]) -> tuple[list[Mixer], bool, list[Floats]]:
            tree, n = job
            selection = decisions[tree].select(n)
            mixers, improved = self.trained.get(job, []), False
            if not mixers:
                mixers, improved = decisions[tree].fit(selection)
            scored = [decisions[tree].score(mixer, selection, k) for k, mixer in enumerate(mixers)]
            return mixers, improved, scored

        results = _in_threads(work, jobs, threads)
        for job, (mixers, improved, scored) in zip(jobs, results, strict=True):
            self.trained[job] = mixers
            self.better[self.lengths.index(job[1])] |= improved
            yield job[1], scored


def _in_threads(work: Callable[[Any], Any], jobs: Sequence[Any], threads: int) -> Iterator[Any]:
    """Results in the order of the jobs; jobs that have not begun are dropped on an interrupt."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(work, jobs)
    finally:
        pool.shutdown(cancel_futures=True)
