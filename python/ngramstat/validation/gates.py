"""Checks whether the losses are limited by the data, not by the training or the measurement."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ngramstat.lm.sweep import Record, Sweep, loss_of_run
from ngramstat.results import Gate
from ngramstat.validation.trained import MIN_CLUSTERS, TrainedGroup

__all__ = ["training_gates"]

# A larger model may gain at most this fraction of what doubling the data gains.
_MAX_GAIN = 0.25


def training_gates(sweep: Sweep, groups: Sequence[TrainedGroup]) -> list[Gate]:
    """Gates on the search of the settings, the held-out documents and the size of the model."""
    return [_search_gate(sweep, groups), _documents_gate(groups), _capacity_gate(sweep, groups)]


def _search_gate(sweep: Sweep, groups: Sequence[TrainedGroup]) -> Gate:
    settled = [sweep.settled.get((g.model, g.context, g.requested), False) for g in groups]
    return Gate(
        name="settings searched",
        passed=all(settled) or None,
        value=float(np.mean(settled)),
        threshold=1.0,
        meaning="fraction of the sizes where every neighbour of the best settings was tried",
    )


def _documents_gate(groups: Sequence[TrainedGroup]) -> Gate:
    clusters = min(g.clusters for g in groups)
    return Gate(
        name="held-out documents",
        passed=clusters >= MIN_CLUSTERS,
        value=float(clusters),
        threshold=float(MIN_CLUSTERS),
        meaning="enough groups of held-out documents to estimate how much documents vary",
    )


def _capacity_gate(sweep: Sweep, groups: Sequence[TrainedGroup]) -> Gate:
    larger = next((r for r in sweep.records if r.purpose == "capacity"), None)
    gain, outcome = None, "none was planned"
    if larger is not None:
        run = larger.run
        outcome = f"{run.model} {run.size}, T={run.context}, P={run.tokens:,}: {larger.status}"
        gain = _relative_gain(larger, groups)
    return Gate(
        name="capacity",
        passed=None if gain is None else gain <= _MAX_GAIN,
        value=gain,
        threshold=_MAX_GAIN,
        meaning=f"a larger model gains at most this fraction of what doubling the data gains "
        f"({outcome})",
    )


def _relative_gain(larger: Record, groups: Sequence[TrainedGroup]) -> float | None:
    """Gain of the larger model over the gain of doubling the data; None if it is not known."""
    run = larger.run
    same = [g for g in groups if (g.model, g.context) == (run.model, run.context)]
    at_size = next((g for g in same if g.requested == run.tokens), None)
    smaller = [g for g in same if g.requested < run.tokens]
    if larger.result is None or larger.status != "done" or at_size is None or not smaller:
        return None
    before = smaller[-1]
    fall = (before.loss - at_size.loss) / math.log2(at_size.tokens / before.tokens)
    if fall <= 0:
        return None
    return (at_size.loss - loss_of_run(run, larger.result)) / fall
