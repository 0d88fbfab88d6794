"""What a measurement will take before any of it is done: passes, memory, disk and time.

Memory follows from sizes and from a sample of the corpus (distinct pairs, distinct tokens of a
document); time from running steps on the beginning of the corpus for some seconds. Each stage knows
its own cost; a plan puts them together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.runtime.workspace import Workspace
from ngramstat.stages.sample import CorpusSample
from ngramstat.stages.stage import Cost, Stage

# Bytes of a vocabulary item in the arrays of every stage: counts, their order and their sums.
_COUNTS_ITEM_BYTES = 40
_LITTLE = 64 << 20
# What the report of a run takes at the end, most of it for the libraries that draw it.
_REPORT_BYTES = 64 << 20

__all__ = ["MeasurementPlan", "make_plan", "require_memory"]


@dataclass(frozen=True)
class MeasurementPlan:
    """The costs of all stages of a measurement.

    Attributes
    ----------
    stages : tuple of Cost
        Times are those of cores that do nothing else.
    memory_limit_bytes : int
    threads : int
    """

    stages: tuple[Cost, ...]
    memory_limit_bytes: int
    threads: int

    @property
    def problems(self) -> list[str]:
        """What does not fit the memory limit, with the limit that would do."""
        return [
            f"{stage.name} needs {_size(stage.least_memory_bytes)} of memory, the limit is "
            f"{_size(self.memory_limit_bytes)}"
            for stage in self.stages
            if stage.least_memory_bytes > self.memory_limit_bytes
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `ngramstat plan --json` prints them."""
        stages = [asdict(stage) for stage in self.stages]
        for stage in stages:
            stage["seconds"] = _rounded(stage["seconds"])
        return {
            "memory_limit_bytes": self.memory_limit_bytes,
            "threads": self.threads,
            "fits": not self.problems,
            "problems": self.problems,
            "memory_bytes": max((s.memory_bytes for s in self.stages), default=0),
            "disk_bytes": max((s.disk_bytes for s in self.stages), default=0),
            "seconds": _rounded(sum(stage.seconds for stage in self.stages)),
            "stages": stages,
        }


def _rounded(seconds: float) -> float | None:
    return None if math.isnan(seconds) else round(seconds, 1)


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1_000_000_000 else f"{size / 1e6:.0f} MB"


def make_plan(
    corpus: Corpus, stages: Sequence[Stage[Any]], workspace: Workspace, *, timed: bool = True
) -> MeasurementPlan:
    """The costs of some stages within the limit of the workspace, which has to have one.

    Parameters
    ----------
    corpus : Corpus
    stages : sequence of Stage
    workspace : Workspace
    timed : bool
        Run steps on the beginning of the corpus for the time, some seconds.

    Raises
    ------
    InputError
        A token is not below the vocabulary's size.
    """
    assert workspace.memory_limit is not None
    with corpus.naming_large_ids(), workspace.managing(corpus.tokens):
        _require_counts(corpus, workspace)
        sample = CorpusSample(corpus, workspace.threads, timed=timed)
        least = workspace.limit_to_hold(workspace.resident_without_pages + _REPORT_BYTES)
        costs = tuple(_at_least(stage.cost(sample, workspace), least) for stage in stages)
    return MeasurementPlan(costs, workspace.memory_limit, workspace.threads)


def _at_least(cost: Cost, least: int) -> Cost:
    """A cost whose smallest limit is not below this one."""
    return replace(cost, least_memory_bytes=max(cost.least_memory_bytes, least))


def _require_counts(corpus: Corpus, workspace: Workspace) -> None:
    """Refuse, before any of it is allocated, a vocabulary whose counts alone are too much."""
    needed = _COUNTS_ITEM_BYTES * corpus.vocab_size
    if needed < _LITTLE:  # then the stages say what they need
        return
    least = workspace.limit_to_hold(workspace.resident_without_pages + needed)
    if workspace.memory_limit is not None and least > workspace.memory_limit:
        raise InputError(
            f"{corpus.name}: counts of a vocabulary of {corpus.vocab_size:,} items need "
            f"{_size(least)} of memory, the limit is {_size(workspace.memory_limit)}; check "
            "--vocab-size and --dtype, or raise --memory-limit"
        )


def require_memory(corpus: Corpus, stages: Sequence[Stage[Any]], workspace: Workspace) -> None:
    """Refuses a measurement whose smallest steps do not fit the memory limit.

    Raises
    ------
    InputError
        With the stage and the number.
    """
    if workspace.memory_limit is None:
        return
    problems = make_plan(corpus, stages, workspace, timed=False).problems
    if problems:
        raise InputError(
            f"{'; '.join(problems)}; raise --memory-limit, or see `ngramstat plan` for what takes "
            "it (--predictor kneser-ney, fewer --max-context and a smaller --held-out take less)"
        )
