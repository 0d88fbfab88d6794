"""What a measured run says: its answer, from counts and from the losses of models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ngramstat.api.corpus_of_run import as_arguments
from ngramstat.lm.budget import enough_to_train, expected_seconds
from ngramstat.prediction.conclusion import concluded, next_steps
from ngramstat.prediction.curve_files import Paths
from ngramstat.prediction.learner_curves import LearnerCurves, read_learners, read_reader
from ngramstat.results import CurveTable, RunResult
from ngramstat.runtime.log import note
from ngramstat.runtime.numbers import count_text

__all__ = ["TRAIN", "concluded_run"]

# Folder of a run with the models that were trained for it.
TRAIN = "train"


def concluded_run(
    run: RunResult,
    directory: Path | None,
    *,
    curves: Paths | CurveTable | Sequence[LearnerCurves] | None = None,
    reader: str | PathLike[str] | None = None,
    **options: Any,
) -> RunResult:
    """`concluded`, with the learners of these files, or those trained in the run's directory."""
    if curves is None and directory is not None and any((directory / TRAIN).glob("curves-*.csv")):
        curves = directory / TRAIN
    learners = _learners(curves)
    of_reader = None if reader is None else read_reader(reader)
    n_tokens, vocab_size = (int(run.corpus.get(name) or 0) for name in ("tokens", "vocab_size"))
    for learner in learners:
        _note_on_unit(learner.name, learner.table.loss, vocab_size, "; --loss-unit says so")
    _note_on_unit("losses given by --loss", [y for _, y in options.get("losses", ())], vocab_size)
    enough = enough_to_train(n_tokens)
    # Timing takes a moment, and is of use only where a training is suggested.
    timed = enough and vocab_size > 0 and not learners
    return concluded(
        run,
        learners=learners,
        reader=of_reader,
        next_steps=next_steps(
            as_arguments(run.corpus),
            directory,
            trained=bool(learners),
            read=of_reader is not None,
            enough=enough,
            training_seconds=expected_seconds(n_tokens, vocab_size) if timed else None,
        ),
        **options,
    )


def _note_on_unit(whose: str, losses: ArrayLike, vocab_size: int, remedy: str = "") -> None:
    """Say so where most losses are larger than that of guessing each token at random."""
    values = np.asarray(losses, dtype=np.float64)
    if vocab_size < 2 or len(values) == 0:
        return
    typical, guessing = float(np.median(values)), math.log(vocab_size)
    if typical > guessing:
        note(
            f"{whose}: half of the losses are {typical:.3g} or more, above ln V = {guessing:.3g} "
            f"nats of guessing among the {count_text(vocab_size)} tokens of the vocabulary: they "
            f"may be of another tokenizer, or perplexities or bits and not nats{remedy}"
        )


def _learners(
    curves: Paths | CurveTable | Sequence[LearnerCurves] | None,
) -> list[LearnerCurves]:
    """Learners of curves that were read already, or are read now."""
    if curves is None:
        return []
    if isinstance(curves, CurveTable):
        whose = "your training run" if curves.of_one_run else "your models"
        return [LearnerCurves(curves.learner or whose, curves)]
    if not isinstance(curves, str | PathLike):
        learners = [one for one in curves if isinstance(one, LearnerCurves)]
        if learners:
            return learners
        curves = [one for one in curves if isinstance(one, str | PathLike)]
    return read_learners(curves)
