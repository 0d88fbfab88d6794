"""Losses of trained models by context and training tokens, named, from files or directories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ngramstat.prediction.curve_files import (
    CurveOptions,
    Paths,
    read_curves_and_sizes,
    read_reader_curve,
)
from ngramstat.prediction.measured import losses_of_all_contexts
from ngramstat.results import CurveTable

__all__ = ["LearnerCurves", "best_learner", "rank", "read_learners", "read_reader"]

Floats = NDArray[np.float64]

_PREFIX = "curves-"


@dataclass(frozen=True)
class LearnerCurves:
    """Losses of one learner by context and training tokens.

    Attributes
    ----------
    name : str
        What learned, in words.
    table : CurveTable
        For a reader at one size, whose number of tokens may be unknown.
    sizes : (parameters, tokens, losses) or None
        Losses by model size, where the file gives it.
    """

    name: str
    table: CurveTable
    sizes: tuple[Floats, Floats, Floats] | None = None


def read_learners(path: Paths, options: CurveOptions | None = None) -> list[LearnerCurves]:
    """The learners of files of losses, or of a directory that `validate` has written.

    Parameters
    ----------
    path
        A file, a directory or several as `read_curves` reads them: one learner. Or a directory with
        files ``curves-MODEL-T.csv``: one learner each.
    options
        What the user says about them.

    Raises
    ------
    InputError
        A file cannot be read, or the directory has no losses.
    """
    paths = [Path(path)] if isinstance(path, str | PathLike) else [Path(one) for one in path]
    if len(paths) == 1:
        files = sorted(paths[0].glob(f"{_PREFIX}*.csv")) if paths[0].is_dir() else []
        if files:
            return [
                LearnerCurves(_trained_name(file), *read_curves_and_sizes(file, options))
                for file in files
            ]
        name = paths[0].name
    else:
        name = f"{len(paths)} files"
    table, sizes = read_curves_and_sizes(paths, options)
    whose = "your training run" if table.of_one_run else "your models"
    return [LearnerCurves(f"{whose} ({name})", table, sizes)]


def _trained_name(path: Path) -> str:
    model, _, context = path.stem.removeprefix(_PREFIX).rpartition("-T")
    return f"models trained on this text ({model}, {context} tokens of context)"


def rank(learner: LearnerCurves) -> tuple[float, float]:
    """Order of learners: the most training tokens first, and among those the smallest loss."""
    tokens, losses = losses_of_all_contexts(learner.table)
    if not len(tokens):
        tokens, losses = learner.table.tokens, learner.table.loss
    largest = float(tokens.max())
    return -largest, float(losses[tokens == largest].min())


def best_learner(learners: Sequence[LearnerCurves]) -> LearnerCurves | None:
    """The first learner by `rank`; None of none."""
    return min(learners, key=rank, default=None)


def read_reader(path: str | PathLike[str]) -> LearnerCurves:
    """The losses of a pretrained model, as `ngramstat read` writes them.

    Raises
    ------
    InputError
        The file cannot be read, or holds several sizes or learners.
    """
    table = read_reader_curve(path)
    return LearnerCurves(f"a pretrained model ({table.learner})", table)
