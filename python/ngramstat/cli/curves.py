"""What commands read of --curves: losses that the user measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ngramstat.prediction.learner_curves import LearnerCurves

__all__ = ["learners_given"]


def learners_given(
    curves: tuple[list[str], dict[str, Any]], context: int | None
) -> list[LearnerCurves] | None:
    """The learners of --curves, after saying what was read of it; None without it."""
    from ngramstat.prediction.curve_files import CurveOptions
    from ngramstat.prediction.learner_curves import read_learners

    paths, described = curves
    if not paths:
        return None
    learners = read_learners(paths, CurveOptions(context=context, **described))
    for note in dict.fromkeys(note for learner in learners for note in learner.table.notes):
        click.echo(f"Note: {note}", err=True)
    return learners
