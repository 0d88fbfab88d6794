"""Runs the stages of a measurement: what the cache does not hold is computed and kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, TypeVar

from ngramstat.covariance.assembly import assemble_correlations
from ngramstat.covariance.options import CorrelationOptions
from ngramstat.entropy.assembly import assemble_entropies
from ngramstat.entropy.options import EntropyOptions
from ngramstat.results import CorrelationResult, EntropyResult
from ngramstat.runtime.progress import Progress
from ngramstat.runtime.usage import UsageLog
from ngramstat.sampling.design import SamplingDesign
from ngramstat.stages.computing import PartComputer
from ngramstat.stages.correlations import LagStage
from ngramstat.stages.entropies import HeldOutStage, MixtureStage, NgramStage
from ngramstat.stages.stage import Part, Parts, Stage

__all__ = ["Runner", "stages_of"]

Value = TypeVar("Value")

# Seconds between two looks at parts that other processes compute.
_LOOK_SECONDS = 1.0


def stages_of(
    design: SamplingDesign,
    correlations: CorrelationOptions | None,
    entropies: EntropyOptions | None,
) -> list[Stage[Any]]:
    """The stages of a measurement in the order they run; None leaves out that half."""
    stages: list[Stage[Any]] = []
    if correlations is not None:
        stages.append(LagStage(design, correlations))
    if entropies is not None:
        stages += [NgramStage(design, entropies), HeldOutStage(design, entropies)]
        if entropies.uses_mixture:
            stages.append(MixtureStage(design, entropies))
    return stages


class Runner:
    """Runs stages and puts their values together.

    Other processes may compute parts of the same run meanwhile: what they have claimed is waited
    for, and what they have computed is read.

    Parameters
    ----------
    computer : PartComputer
    usage : UsageLog
        Told what each stage takes, and each assembly of a result.
    progress : bool
        Show progress on standard error.
    """

    def __init__(self, computer: PartComputer, usage: UsageLog, *, progress: bool) -> None:
        self._computer, self._usage, self._progress = computer, usage, progress

    def run(self, stage: Stage[Value]) -> list[Value]:
        """The values of all parts of a stage, from the cache or computed and kept there."""
        with self._usage.record(stage.name):
            values = self._run(stage)
            self._computer.workspace.trim_heap()
            return values

    def _run(self, source: Parts[Value]) -> list[Value]:
        parts = source.parts()
        values: dict[int, Value] = {}
        self._load(source, parts, values)
        if len(values) < len(parts):
            total = sum(part.work for part in parts)
            with Progress(total, source.name, unit=source.unit, enabled=self._progress) as bar:
                bar.skip(sum(parts[i].work for i in values))
                self._complete(source, parts, values, bar)
        return [values[i] for i in range(len(parts))]

    def _load(self, source: Parts[Value], parts: Sequence[Part], values: dict[int, Value]) -> float:
        """Add the parts that are there to the values; returns their work."""
        work = 0.0
        for i, part in enumerate(parts):
            if i not in values and (value := self._computer.load(source, part)) is not None:
                values[i] = value
                work += part.work
        return work

    def _complete(
        self, source: Parts[Value], parts: Sequence[Part], values: dict[int, Value], bar: Progress
    ) -> None:
        """Add all parts that are missing: from their pieces, computed, or by other processes."""
        numbers = {id(part): i for i, part in enumerate(parts)}
        while True:
            missing = [part for i, part in enumerate(parts) if i not in values]
            for part in missing:
                value = self._from_pieces(source, part)
                if value is not None:
                    values[numbers[id(part)]] = value
                    bar.skip(part.work)
            missing = [part for part in missing if numbers[id(part)] not in values]
            for part, value in self._computer.compute(source, missing, bar):
                values[numbers[id(part)]] = value
            bar.skip(self._load(source, parts, values))
            n_left = len(parts) - len(values)
            if n_left == 0:
                return
            bar.show_value(f"{n_left} computed by other processes")
            time.sleep(_LOOK_SECONDS)

    def _from_pieces(self, source: Parts[Value], part: Part) -> Value | None:
        """The value of a part of which there are pieces; None where there are none."""
        division = source.division(part) if isinstance(source, Stage) else None
        computer = self._computer
        if division is None or not any(
            computer.is_there(division, piece) or computer.is_taken(division, piece)
            for piece in division.parts()
        ):
            return None
        if not computer.claim(source, part):
            return None
        try:
            value = computer.load(source, part)  # another process may have been faster
            if value is None:
                value = division.combine(self._run(division), computer.workspace)
                computer.keep(source, part, value)
            for piece in division.parts():
                computer.remove(division, piece)
        finally:
            computer.release(source, part)
        return value

    def correlations(
        self, design: SamplingDesign, options: CorrelationOptions
    ) -> CorrelationResult:
        """C(t) at all lags, and beta."""
        lags = self.run(LagStage(design, options))
        with self._usage.record("C(t) fits"):
            return assemble_correlations(design, options, lags)

    def entropies(self, design: SamplingDesign, options: EntropyOptions) -> EntropyResult:
        """H(n) for all contexts, and gamma."""
        (counts,) = self.run(NgramStage(design, options))
        stage = HeldOutStage(design, options)
        losses = self.run(stage)
        mixtures: Sequence[Any] = []
        if options.uses_mixture:
            mixtures = self.run(MixtureStage(design, options))
        with self._usage.record("H(n) fits"):
            return assemble_entropies(
                design,
                options,
                counts,
                losses[0],
                mixtures[0] if mixtures else None,
                stage.learning_points(losses),
            )
