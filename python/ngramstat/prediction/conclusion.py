"""What follows from a measured corpus: prediction and answer, at the sizes that were asked for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ngramstat.errors import InputError
from ngramstat.prediction.answer import answer_of
from ngramstat.prediction.forecast import forecast
from ngramstat.prediction.learner_curves import LearnerCurves, best_learner
from ngramstat.prediction.model_size import model_size_fit
from ngramstat.prediction.predict import predict
from ngramstat.results import CurveTable, RunResult
from ngramstat.runtime.numbers import count_of
from ngramstat.runtime.text import shell_word

__all__ = ["concluded", "next_steps"]

# What `measure --train` is suggested with: without torch there is no estimate.
_DEFAULT_MINUTES, _MOST_MINUTES = 40, 120
# Losses that show a slope with an error.
_MIN_LOSSES = 4


def concluded(
    run: RunResult,
    *,
    tokens: Sequence[float] = (),
    losses: Sequence[tuple[float, float]] = (),
    context: int | None = None,
    learners: Sequence[LearnerCurves] = (),
    reader: LearnerCurves | None = None,
    next_steps: Sequence[str] = (),
    protocol: str = "default",
) -> RunResult:
    """The run with its prediction, its answer and its forecast.

    Parameters
    ----------
    run : RunResult
        With both halves; what it says so far of these is replaced.
    tokens, losses, context
        As for `predict`.
    learners : sequence of LearnerCurves
        Losses of models trained on this text; the best one's curves are analysed in full.
    reader : LearnerCurves, optional
        Losses of a pretrained model on this text.
    next_steps : sequence of str
        What would take the answer a rung higher, as commands.
    protocol : str
        ``paper`` adds the exponents by the paper's protocol to the prediction.

    Raises
    ------
    InputError
        A half of the run is missing, or an argument cannot be used.
    """
    if run.correlations is None or run.entropies is None:
        missing = "correlations" if run.correlations is None else "entropies"
        raise InputError(f"the run has no {missing}; `ngramstat measure` computes both halves")
    best = best_learner(learners)
    prediction = predict(
        run.correlations,
        run.entropies,
        tokens=tokens,
        losses=losses,
        context=context,
        curves=None if best is None else best.table,
        protocol=protocol,
    )
    answer = answer_of(
        run.correlations,
        run.entropies,
        limits=prediction.alpha,
        curves=[*learners, *_of_losses(losses, context)],
        reader=reader,
        next_steps=next_steps,
    )
    expected = forecast(
        run.correlations,
        run.entropies,
        tokens=tokens,
        losses=losses,
        curves=learners,
        reader=reader,
        answer=answer,
        context=context,
    )
    sizes = next((learner.sizes for learner in learners if learner.sizes is not None), None)
    return dataclasses.replace(
        run,
        prediction=prediction,
        answer=answer,
        forecast=expected.points,
        forecast_backtests=expected.backtests,
        model_size=None if sizes is None else model_size_fit(*sizes),
    )


def _of_losses(losses: Sequence[tuple[float, float]], context: int | None) -> list[LearnerCurves]:
    """Losses without their contexts show a slope, too, where there are enough for one."""
    if len(losses) < _MIN_LOSSES:
        return []
    tokens, values = np.array(sorted(losses), dtype=np.float64).T
    table = CurveTable(
        context=np.full(len(tokens), context or 1, dtype=np.int64),
        tokens=tokens,
        loss=values,
        replicates=np.ones(len(tokens), dtype=np.int64),
    )
    return [LearnerCurves("your models (--loss)", table)]


def next_steps(
    corpus: str,
    directory: Path | None,
    *,
    trained: bool,
    read: bool,
    enough: bool = True,
    training_seconds: float | None = None,
) -> tuple[str, ...]:
    """Commands that would take the answer a rung higher, with what each gives.

    Parameters
    ----------
    corpus : str
        The corpus as arguments of a command.
    directory : Path or None
        Where the run lies.
    trained, read : bool
        Whether there are losses of trained models, or of a pretrained one.
    enough : bool
        Whether the corpus has enough tokens to train models on.
    training_seconds : float, optional
        About how long a useful training takes here; None where torch is missing.
    """
    place = corpus
    run = shell_word("RUN" if directory is None else str(directory))
    if trained:
        return (
            f"ngramstat validate {place} -o VALIDATION --protocol paper (more models, sizes and "
            "contexts trained on this text)",
        )
    minutes, how_long = _DEFAULT_MINUTES, "needs the extra torch"
    if training_seconds is not None:
        minutes = min(max(5 * math.ceil(training_seconds / 300), 5), _MOST_MINUTES)
        about = max(round(training_seconds / 60), 1)
        how_long = f"five sizes take about {count_of(about, 'minute')} here"
    steps = []
    if enough:
        steps.append(
            f"ngramstat measure {place} -o {run} --train {minutes}m (small models trained on this "
            f"text, and gamma from their losses; {how_long})"
        )
    if not read:
        steps.append(
            f"ngramstat read MODEL {place} -o reader.csv && ngramstat predict {run} --reader "
            "reader.csv (a language model that you have reads this text)"
        )
    return tuple(steps)
