"""Options that every statistic of a run shares: how the corpus is cut and resampled."""

from __future__ import annotations

from dataclasses import dataclass

from ngramstat.boundary import Boundary
from ngramstat.errors import InputError

__all__ = ["SamplingOptions"]


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """Resolved options of the sampling design; all of them shape the result.

    Attributes
    ----------
    boundary : Boundary
        ``stream`` or ``document``; a string of that name is converted.
    replicates : int
        Bootstrap replicates over documents.
    level : float
        Confidence level of the intervals, at least 0.5 and below 1.
    seed : int
        Seed of everything that is drawn, not negative.
    """

    boundary: Boundary = Boundary.STREAM
    replicates: int = 999
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "boundary", Boundary.parse(self.boundary))
        if not 0.5 <= self.level < 1:
            raise InputError(f"level={self.level}: must be at least 0.5 and below 1, such as 0.95")
        if self.replicates < 0:
            raise InputError(f"replicates={self.replicates}: cannot be negative")
        # NumPy's generators take no negative seeds.
        if self.seed < 0:
            raise InputError(f"seed={self.seed}: cannot be negative")
