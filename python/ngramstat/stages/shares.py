"""How processes share the parts of a run: who begins with which, and which parts are divided.

Every process that is told the same number of processes gets the same shares, without asking the
others. What decides in the end is who claims a part first (`ngramstat.stages.claims`), so that the
shares need not be exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ngramstat.stages.stage import Division, Part, Parts, Stage

__all__ = ["Batch", "batches_of", "share_of"]


@dataclass(frozen=True)
class Batch:
    """Parts that one process computes together.

    Attributes
    ----------
    source : Parts
        The stage, or the division of one of its parts.
    parts : tuple of Part
    whole : (Stage, Part), optional
        The part of which these are pieces.
    """

    source: Parts[Any]
    parts: tuple[Part, ...]
    whole: tuple[Stage[Any], Part] | None = None

    @property
    def seconds(self) -> float:
        """On one core, about."""
        return sum(part.seconds for part in self.parts)


def batches_of(stages: Sequence[Stage[Any]], processes: int) -> list[Batch]:
    """All the work of a run, the longest first.

    A part is divided where so many processes finish sooner with its pieces.
    """
    batches = [Batch(stage, tuple(parts)) for stage in stages for parts in stage.batches()]
    total = sum(batch.seconds for batch in batches)
    for batch in sorted(batches, key=lambda batch: -batch.seconds):
        pieces = _pieces(batch)
        longest = max((piece.seconds for piece in pieces), default=0.0)
        divided = total - batch.seconds + sum(piece.seconds for piece in pieces)
        # The last process ends when the longest batch does, or when all have done their share.
        ends, ends_divided = (
            max(batch.seconds, total / processes),
            max(longest, divided / processes),
        )
        if pieces and ends_divided < ends:
            batches.remove(batch)
            batches += pieces
            total = divided
    return sorted(batches, key=lambda batch: -batch.seconds)


def share_of(batches: Sequence[Batch], number: int, processes: int) -> list[Batch]:
    """The batches with which a process begins, 0 .. processes - 1; together they are all batches.

    The longest first, each goes to the process that has the least so far.
    """
    shares: list[list[Batch]] = [[] for _ in range(processes)]
    seconds = [0.0] * processes
    for batch in batches:
        least = seconds.index(min(seconds))
        shares[least].append(batch)
        seconds[least] += batch.seconds
    return shares[number]


def _pieces(batch: Batch) -> list[Batch]:
    """Of a batch that is one part of a stage; none where that cannot be divided."""
    if not isinstance(batch.source, Stage) or len(batch.parts) != 1:
        return []
    (part,) = batch.parts
    division: Division[Any, Any] | None = batch.source.division(part)
    if division is None:
        return []
    return [Batch(division, tuple(parts), (batch.source, part)) for parts in division.batches()]
