"""Runs the stages of a measurement: what the cache does not hold is computed and kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from ngramstat.covariance.assembly import assemble_correlations
from ngramstat.covariance.options import CorrelationOptions
from ngramstat.entropy.assembly import assemble_entropies
from ngramstat.entropy.options import EntropyOptions
from ngramstat.results import CorrelationResult, EntropyResult
from ngramstat.runtime.progress import Progress
from ngramstat.runtime.usage import UsageLog
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.stages.cache import PartCache
from ngramstat.stages.correlations import LagStage
from ngramstat.stages.entropies import HeldOutStage, MixtureStage, NgramStage
from ngramstat.stages.stage import Stage

__all__ = ["Runner", "stages_of"]

Value = TypeVar("Value")


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

    Parameters
    ----------
    cache : PartCache
    workspace : Workspace
    usage : UsageLog
        Told what each stage takes, and each assembly of a result.
    progress : bool
        Show progress on standard error.
    """

    def __init__(
        self, cache: PartCache, workspace: Workspace, usage: UsageLog, *, progress: bool
    ) -> None:
        self._cache, self._workspace, self._usage = cache, workspace, usage
        self._progress = progress

    def run(self, stage: Stage[Value]) -> list[Value]:
        """The values of all parts of a stage, from the cache or computed and kept there."""
        with self._usage.record(stage.name):
            values = self._run(stage)
            self._workspace.trim_heap()
            return values

    def _run(self, stage: Stage[Value]) -> list[Value]:
        parts = stage.parts()
        values: dict[int, Value] = {}
        for i, part in enumerate(parts):
            value = self._cache.load(stage.kind, stage.version, part.key, stage.value)
            if value is not None:
                values[i] = value
        missing = [i for i in range(len(parts)) if i not in values]
        total = sum(part.work for part in parts)
        if missing:
            with Progress(total, stage.name, unit=stage.unit, enabled=self._progress) as bar:
                bar.skip(sum(parts[i].work for i in values))
                computed = stage.compute([parts[i] for i in missing], self._workspace, bar)
                for i, value in zip(missing, computed, strict=True):
                    self._cache.save(stage.kind, stage.version, parts[i].key, value)
                    values[i] = value
        return [values[i] for i in range(len(parts))]

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
