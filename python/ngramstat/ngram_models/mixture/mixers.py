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
    """The mixers of all trees and lengths of context, trained on the first piece.

    Attributes
    ----------
    better : (max_context,) bool
        As in `MixtureLosses`.
    """

    def __init__(self, max_context: int, threads: int) -> None:
        self._threads = threads
        self._trained: dict[tuple[int, int], list[Mixer]] = {}
        self.better = np.zeros(max_context, bool)

    def score(self, decisions: dict[int, Decisions]) -> Iterator[tuple[int, list[Floats]]]:
        """(n, -ln p of every held-out token by each mixer) of each tree and n.

        Longer contexts come first, as they take longer.
        """
        jobs = [(tree, n) for n in range(len(self.better), 0, -1) for tree in decisions]

        def work(job: tuple[int, int]) -> tuple[list[Mixer], bool, list[Floats]]:
            tree, n = job
            selection = decisions[tree].select(n)
            mixers, improved = self._trained.get(job, []), False
            if not mixers:
                mixers, improved = decisions[tree].fit(selection)
            scored = [decisions[tree].score(mixer, selection, k) for k, mixer in enumerate(mixers)]
            return mixers, improved, scored

        results = _in_threads(work, jobs, self._threads)
        for job, (mixers, improved, scored) in zip(jobs, results, strict=True):
            self._trained[job] = mixers
            self.better[job[1] - 1] |= improved
            yield job[1], scored


def _in_threads(work: Callable[[Any], Any], jobs: Sequence[Any], threads: int) -> Iterator[Any]:
    """Results in the order of the jobs; jobs that have not begun are dropped on an interrupt."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(work, jobs)
    finally:
        pool.shutdown(cancel_futures=True)
