"""The losses of the trained models: best settings, seeds averaged, lower envelope, curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.lm.protocol import protocol_of
from ngramstat.lm.run import Run, TrainingResult
from ngramstat.lm.sweep import Record, loss_of_run
from ngramstat.prediction.curve_files import read_curves
from ngramstat.prediction.measured import lower_envelope
from ngramstat.results import CurveTable
from ngramstat.runtime.files import write_csv
from ngramstat.sampling.bootstrap import cluster_weights

__all__ = ["MIN_CLUSTERS", "LossCurve", "TrainedGroup", "group_runs", "loss_curve", "write_curves"]

Floats = NDArray[np.float64]

# Groups of held-out documents that an interval needs.
MIN_CLUSTERS = 10
_REPLICATES = 999
# Contexts n of the curves L_n(P): every one up to here, then about four per factor of two.
_ALL_CONTEXTS = 16


@dataclass(frozen=True)
class TrainedGroup:
    """The runs of one model, context and training-set size with the best settings, one per seed.

    Attributes
    ----------
    model : str
    context : int
        T.
    requested : int
        P as requested.
    tokens : int
        P trained on: whole documents.
    records : list of Record
    """

    model: str
    context: int
    requested: int
    tokens: int
    records: list[Record]

    @property
    def kind(self) -> str:
        """Model and context, as in the names of the curve files."""
        return f"{self.model}-T{self.context}"

    @property
    def loss(self) -> float:
        """Mean over the seeds, nats per target."""
        return float(np.mean([loss_of_run(r.run, r.result) for r in self.records if r.result]))

    @property
    def error_rate(self) -> float:
        """Error rate of the last token, mean over the seeds."""
        return float(np.mean([r.error_rate for r in self._results]))

    @property
    def clusters(self) -> int:
        """Number of groups of held-out documents that have a window."""
        return int(np.count_nonzero(self._results[0].counts))

    @property
    def _results(self) -> list[TrainingResult]:
        return [r.result for r in self.records if r.result is not None]

    def replicates(self) -> Floats:
        """The loss over resampled groups of documents, (r,); the draws are the same for all."""
        last = self.records[0].run.only_last
        rows = [r.losses[:, -1] if last else r.losses.mean(axis=1) for r in self._results]
        return self._resampled(np.mean(rows, axis=0))

    def error_replicates(self) -> Floats:
        """The error rate over the same resampled groups, (r,)."""
        return self._resampled(np.mean([r.errors for r in self._results], axis=0))

    def _resampled(self, sums: Floats) -> Floats:
        counts = self._results[0].counts
        used = counts > 0
        draws = cluster_weights(int(used.sum()), _REPLICATES, np.random.default_rng(31))
        return np.concatenate([(w @ sums[used]) / (w @ counts[used]) for w in draws])


@dataclass(frozen=True)
class LossCurve:
    """Losses of all groups against P, and which of them are on the lower envelope.

    Attributes
    ----------
    groups : sequence of TrainedGroup
    tokens, losses : (n_groups,) float64
    envelope : (n_sizes,) integers
        The groups with the smallest loss at each P, by ascending P.
    replicates : (n_replicates, n_groups) float64 or None
        Losses over resampled held-out documents; None if there are too few documents.
    """

    groups: Sequence[TrainedGroup]
    tokens: Floats
    losses: Floats
    envelope: NDArray[np.int64]
    replicates: Floats | None

    @property
    def best(self) -> TrainedGroup:
        """The group with the smallest loss at the largest P."""
        return self.groups[int(self.envelope[-1])]

    @property
    def envelope_replicates(self) -> Floats | None:
        """The replicates of the groups on the envelope, (n_replicates, n_sizes)."""
        return None if self.replicates is None else self.replicates[:, self.envelope]

    def intervals(self, level: float) -> list[tuple[float | None, float | None]]:
        """Interval of the loss of every group, or (None, None) without replicates."""
        if self.replicates is None:
            return [(None, None)] * len(self.groups)
        low, high = np.quantile(self.replicates, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return list(zip(low.tolist(), high.tolist(), strict=True))


def group_runs(records: Sequence[Record]) -> list[TrainedGroup]:
    """For each model, context and P: the settings of smallest tuning loss, with all their seeds."""
    done = [r for r in records if r.status == "done" and r.purpose != "capacity"]
    cells: dict[tuple[str, int, int], list[Record]] = {}
    for record in done:
        run = record.run
        cells.setdefault((run.model, run.context, run.tokens), []).append(record)
    groups = []
    for (model, context, requested), members in sorted(cells.items()):
        searched = [r for r in members if r.purpose == "search"]
        if not searched:
            continue  # every setting diverged
        best = min(searched, key=lambda r: r.result.tuning_loss if r.result else math.inf)
        same = [r for r in members if r.run.settings == best.run.settings]
        assert best.result is not None
        groups.append(TrainedGroup(model, context, requested, best.result.tokens, same))
    return groups


def loss_curve(groups: Sequence[TrainedGroup]) -> LossCurve:
    """The losses with their lower envelope and, given enough documents, their replicates."""
    tokens = np.array([g.tokens for g in groups], float)
    losses = np.array([g.loss for g in groups])
    # A handful of documents does not show how much documents vary.
    enough = min(g.clusters for g in groups) >= MIN_CLUSTERS
    replicates = np.stack([g.replicates() for g in groups], axis=1) if enough else None
    return LossCurve(groups, tokens, losses, lower_envelope(tokens, losses), replicates)


def write_curves(
    groups: Sequence[TrainedGroup], directory: Path, targets: str
) -> dict[str, CurveTable]:
    """Write L_n(P) of every model and T, and read it back the way user curves are read.

    Returns an empty dict unless all tokens are targets: then there are no losses by context.
    """
    for stale in (*directory.glob("curves-*.csv"), *directory.glob("collapse-*.png")):
        stale.unlink()  # left over from a call with other options
    tables: dict[str, CurveTable] = {}
    if targets != "all":
        return tables
    by_kind: dict[str, list[TrainedGroup]] = {}
    for group in groups:
        by_kind.setdefault(group.kind, []).append(group)
    for kind, members in by_kind.items():
        path = directory / f"curves-{kind}.csv"
        rows = [
            row
            for group in members
            for record in group.records
            if record.result is not None
            for row in _curve_rows(group, record.run, record.result)
        ]
        write_csv(path, ("context", "tokens", "loss", "error", "seed"), rows)
        tables[kind] = read_curves(path)
    return tables


def _curve_rows(group: TrainedGroup, run: Run, result: TrainingResult) -> list[tuple[Any, ...]]:
    """L_n of one run at chosen contexts, with its standard error over held-out documents."""
    first = protocol_of(run.protocol).first_context
    losses, errors = result.by_context, result.errors_by_context
    return [
        (n, group.tokens, f"{losses[n - first]:.7f}", _shown(errors[n - first]), run.seed)
        for n in _curve_contexts(first, first + group.context - 1)
    ]


def _shown(error: float) -> str:
    return f"{error:.7f}" if math.isfinite(error) and error > 0 else ""


def _curve_contexts(first: int, last: int) -> list[int]:
    """Contexts from `first` to `last`, both included, that the curves are written at."""
    contexts = list(range(first, min(last, _ALL_CONTEXTS) + 1))
    scale = _ALL_CONTEXTS
    while scale < last:
        contexts += [n for n in range(scale + scale // 4, 2 * scale + 1, scale // 4) if n < last]
        scale *= 2
    return contexts if last in contexts else [*contexts, last]
