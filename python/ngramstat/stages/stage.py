"""What a stage of a measurement is: a step that knows its options, its parts and its cost.

A measurement is a list of stages. Each owns its name, its version, the options that determine it,
the independent parts its work falls into, how a part is computed, and what it costs. The runner
(`ngramstat.stages.runner`) computes the parts that the cache does not hold, and a plan
(`ngramstat.stages.plan`) adds up the costs; neither knows what a stage computes. Parts are
independent of each other, so any of them may be computed by itself, in any order, by any process.
Where many processes share a run, a large part is divided into smaller ones, which take more time
in all (`Division`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from ngramstat.runtime.workspace import Workspace
from ngramstat.stages.sample import CorpusSample

__all__ = ["Cost", "Division", "Part", "Parts", "ProgressBar", "Stage"]

Value = TypeVar("Value")
Piece = TypeVar("Piece")


class ProgressBar(Protocol):
    """Shows how much of a stage's work is done."""

    def advance(self, amount: float = 1) -> Any:
        """This much more is done, in the stage's unit."""


@dataclass(frozen=True)
class Part:
    """An independent piece of a stage's work.

    Attributes
    ----------
    key : dict
        JSON values that, with the corpus, determine the part's value.
    work : float
        How much of the stage's work it is, in the stage's unit.
    seconds : float
        About how long it takes on one core. Processes share the parts of a run by it, so it must
        be the same in all of them: it follows from sizes, and nothing is timed.
    """

    key: dict[str, Any]
    work: float
    seconds: float


@dataclass(frozen=True)
class Cost:
    """What a stage takes, or `ngramstat plan` expects it to.

    Attributes
    ----------
    name : str
        Of the stage.
    passes : int
        How often all tokens are read.
    memory_bytes : int
        Peak resident memory of the whole process, mapped tokens included.
    least_memory_bytes : int
        Memory limit below which the stage cannot work. A part of every limit is kept free, so that
        this is more than the peak under it.
    disk_bytes : int
        Temporary files.
    seconds : float
        Expected on cores that do nothing else; NaN where nothing was timed.
    """

    name: str
    passes: int
    memory_bytes: int
    least_memory_bytes: int
    disk_bytes: int
    seconds: float


class Parts(ABC, Generic[Value]):
    """Independent parts of one kind.

    Attributes
    ----------
    name : str
        Shown beside their progress and in plans.
    kind : str
        Begins the names of their files in the cache.
    version : int
        Raised with every change of what a finished part holds or means: parts of another version
        are computed again.
    unit : str
        Of their work: ``tok`` or ``lags``.
    value : type
        The dataclass that a part's value is.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    version: ClassVar[int]
    unit: ClassVar[str] = "tok"
    value: type[Value]

    @abstractmethod
    def parts(self) -> Sequence[Part]:
        """All parts, in the order of the results."""

    @abstractmethod
    def compute(
        self, parts: Sequence[Part], workspace: Workspace, bar: ProgressBar
    ) -> Iterator[Value]:
        """The values of some parts, in the order of `parts`; `bar` is told of the work done."""

    def batches(self) -> list[list[Part]]:
        """All parts, those together that take much less time together than one by one."""
        return [[part] for part in self.parts()]


class Division(Parts[Piece], Generic[Piece, Value]):
    """A part of a stage as smaller parts: its pieces."""

    @abstractmethod
    def combine(self, pieces: Sequence[Piece], workspace: Workspace) -> Value:
        """The value of the part from those of all its pieces; equal to the one computed whole."""


class Stage(Parts[Value]):
    """One stage of a measurement."""

    @abstractmethod
    def cost(self, sample: CorpusSample, workspace: Workspace) -> Cost:
        """What all parts take, from a sample of the corpus and the memory that is left."""

    def division(self, part: Part) -> Division[Any, Value] | None:
        """A part as pieces; None where it has none."""
        return None
