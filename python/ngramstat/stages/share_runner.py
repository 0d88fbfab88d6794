"""Computes one process's share of the parts of a run, and then what no other has claimed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ngramstat.runtime.progress import Progress
from ngramstat.stages.computing import PartComputer
from ngramstat.stages.shares import Batch, batches_of, share_of
from ngramstat.stages.stage import Part, Parts, Stage

__all__ = ["ShareDone", "ShareRunner"]


@dataclass(frozen=True)
class ShareDone:
    """How far a run is when a process has done its share.

    Attributes
    ----------
    computed : int
        Parts that this process has computed.
    done : int
        Parts of the run that are there.
    parts : int
        All parts of the run.
    """

    computed: int
    done: int
    parts: int


class ShareRunner:
    """Computes shares of runs.

    Parameters
    ----------
    computer : PartComputer
    progress : bool
        Show progress on standard error.
    """

    def __init__(self, computer: PartComputer, *, progress: bool) -> None:
        self._computer, self._progress = computer, progress

    def run(self, stages: Sequence[Stage[Any]], number: int, processes: int) -> ShareDone:
        """Compute the share of a process, 0 .. processes - 1, and what else is left."""
        batches = batches_of(stages, processes)
        own = share_of(batches, number, processes)
        computed = 0
        for source in dict.fromkeys(batch.source for batch in own):
            computed += self._compute([batch for batch in own if batch.source is source])
        while left := [batch for batch in batches if self._is_left(batch)]:
            alike = [batch for batch in left if batch.source is left[0].source]
            # Some at once, since what comes before the first of them takes time; but the others,
            # which may be as far, get theirs.
            computed += self._compute(alike[: math.ceil(len(alike) / processes)])
        done = sum(len(batch.parts) for batch in batches if self._is_done(batch))
        return ShareDone(computed, done, sum(len(batch.parts) for batch in batches))

    def _compute(self, batches: Sequence[Batch]) -> int:
        """Compute those of some batches of one source that are left; returns how many parts."""
        source = batches[0].source
        parts = source.parts()
        left = [part.key for batch in batches if self._is_left(batch) for part in batch.parts]
        missing = [part for part in parts if part.key in left]
        others = _Others(self._computer, source, parts)
        total = sum(part.work for part in parts)
        computed = 0
        with Progress(total, source.name, unit=source.unit, enabled=self._progress) as bar:
            bar.skip(others.more())
            for part, _ in self._computer.compute(source, missing, bar):
                others.leave_out(part)
                bar.skip(others.more())
                computed += 1
        self._computer.workspace.trim_heap()
        return computed

    def _is_done(self, batch: Batch) -> bool:
        computer = self._computer
        if batch.whole is not None and computer.is_there(*batch.whole):
            return True
        return all(computer.is_there(batch.source, part) for part in batch.parts)

    def _is_left(self, batch: Batch) -> bool:
        """Whether it is neither done nor being computed."""
        computer = self._computer
        if self._is_done(batch) or (batch.whole is not None and computer.is_taken(*batch.whole)):
            return False
        return not any(computer.is_taken(batch.source, part) for part in batch.parts)


class _Others:
    """The parts of a source that other processes compute, for the progress."""

    def __init__(self, computer: PartComputer, source: Parts[Any], parts: Sequence[Part]) -> None:
        self._computer, self._source, self._parts = computer, source, list(parts)

    def leave_out(self, part: Part) -> None:
        """Of this process itself."""
        self._parts.remove(part)

    def more(self) -> float:
        """Work of the parts that have come since the last look."""
        there = [part for part in self._parts if self._computer.is_there(self._source, part)]
        for part in there:
            self._parts.remove(part)
        return sum(part.work for part in there)
