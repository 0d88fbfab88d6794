"""Puts the result together: prediction, comparisons, gates, and the verdict from them."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ngramstat.corpus import Corpus
from ngramstat.errors import NgramstatError
from ngramstat.lm.sweep import Record, Sweep
from ngramstat.prediction.measured import alpha_of_losses
from ngramstat.prediction.paper import alpha_of_first_points
from ngramstat.prediction.predict import predict
from ngramstat.prediction.training_time import time_exponent
from ngramstat.prediction.verdict import conclude
from ngramstat.results import (
    CorrelationResult,
    Exponent,
    LearnerSlopes,
    PaperProtocol,
    Prediction,
    RunResult,
    TrainedLoss,
    ValidationResult,
)
from ngramstat.validation.comparison import (
    compare_classification,
    compare_last,
    compare_losses,
)
from ngramstat.validation.gates import training_gates
from ngramstat.validation.known import known_values
from ngramstat.validation.slopes import learner_slopes
from ngramstat.validation.trained import LossCurve, group_runs, loss_curve, write_curves

__all__ = ["assemble"]


def assemble(
    corpus: Corpus,
    run: RunResult,
    sweep: Sweep,
    settings: dict[str, Any],
) -> ValidationResult:
    """The result of a finished sweep, without its provenance.

    Parameters
    ----------
    corpus : Corpus
    run : RunResult
        The corpus's statistics.
    sweep : Sweep
        After its runs.
    settings : dict
        The resolved options of `validate`.

    Raises
    ------
    NgramstatError
        No run reached a finite loss.
    """
    level, targets = settings["level"], settings["targets"]
    groups = group_runs(sweep.records)
    if not groups:
        raise NgramstatError(
            f"{sweep.directory}: no run reached a finite loss; give a larger --budget or smaller "
            "--sizes"
        )
    tables = write_curves(groups, sweep.directory, targets)
    curve = loss_curve(groups)
    best = curve.best
    known, entropies = known_values(corpus, targets)
    assert run.correlations is not None
    assert run.entropies is not None
    prediction = predict(
        run.correlations, run.entropies,
        tokens=[float(p) for p in curve.tokens[curve.envelope]],
        context=best.context, curves=tables.get(best.kind), protocol=settings["protocol"],
    )  # fmt: skip
    if prediction.paper is not None:
        prediction = dataclasses.replace(
            prediction, paper=_with_measured_alpha(prediction.paper, curve, level)
        )
    gates = training_gates(sweep, groups)
    if targets == "class":
        comparisons = compare_classification(curve, known, level)
    elif targets == "last":
        comparisons = compare_last(curve, known, entropies, level)
    else:
        comparisons = compare_losses(curve, prediction, level)
        # The known exponents above are exact; this prediction holds only if its gates pass.
        gates = [*prediction.gates, *gates]
    outcome, meaning = conclude(comparisons, gates)
    log = sweep.directory / "runs" / best.records[0].run.key / "log.csv"
    return ValidationResult(
        corpus=corpus.info(),
        settings=settings,
        provenance={},
        runs=_count_runs(sweep.records),
        losses=_losses(curve, level),
        curves=best.kind if best.kind in tables else None,
        prediction=prediction,
        comparisons=tuple(comparisons),
        outcome=outcome,
        meaning=meaning,
        gates=tuple(gates),
        known=known,
        time_exponent=_time_exponent(log, level),
        documents_are_blocks=sweep.split.are_blocks,
        slopes=_slopes(curve, prediction, run.correlations, level) if targets == "all" else (),
    )


def _with_measured_alpha(paper: PaperProtocol, curve: LossCurve, level: float) -> PaperProtocol:
    """alpha of the mean losses of all positions, by the lower envelope over models and contexts."""
    rows = curve.envelope
    tokens, losses = curve.tokens[rows], curve.losses[rows]
    contexts = np.array([curve.groups[i].context for i in rows])
    return dataclasses.replace(
        paper,
        alpha_measured=alpha_of_losses(
            tokens, losses, replicates=curve.envelope_replicates, level=level
        ),
        alpha_of_first=alpha_of_first_points(tokens, losses, contexts, level=level),
    )


def _slopes(
    curve: LossCurve, prediction: Prediction, correlations: CorrelationResult, level: float
) -> tuple[LearnerSlopes, ...]:
    paper = prediction.paper
    beta = correlations.beta if paper is None else paper.beta
    return learner_slopes(curve.groups, beta, level)


def _losses(curve: LossCurve, level: float) -> tuple[TrainedLoss, ...]:
    return tuple(
        TrainedLoss(
            tokens=float(group.tokens), loss=group.loss, low=low, high=high,
            model=group.model, context=group.context, seeds=len(group.records),
            on_envelope=bool(i in curve.envelope),
        )
        for i, (group, (low, high)) in enumerate(
            zip(curve.groups, curve.intervals(level), strict=True)
        )
    )  # fmt: skip


def _count_runs(records: Sequence[Record]) -> dict[str, Any]:
    left_out = [r for r in records if r.status == "left out"]
    return {
        "done": sum(r.status == "done" for r in records),
        "diverged": sum(r.status == "diverged" for r in records),
        "left_out": len(left_out),
        "left_out_seconds": round(sum(r.expected_seconds for r in left_out)),
        "left_out_sizes": sorted({r.run.tokens for r in left_out}),
    }


def _time_exponent(log: Path, level: float) -> Exponent | None:
    """Exponent of the training loss against the summed learning rate, from the log of a run."""
    if not log.is_file():
        return None
    with open(log, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    tau = np.array([float(row["rate_sum"]) for row in rows])
    losses = np.array([float(row["training_loss"]) for row in rows])
    rising = np.concatenate([[True], np.diff(tau) > 0]) if len(tau) else np.zeros(0, bool)
    return time_exponent(tau[rising], losses[rising], level=level)
