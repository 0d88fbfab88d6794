"""The commands that predict from a run: `predict`, `theories`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ngramstat.cli.command import command
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import (
    Globals,
    MeasuredLoss,
    Numbers,
    check_file,
    curve_options,
    file_option,
    full_option,
    global_options,
    json_option,
    protocol_option,
    shared_options,
)
from ngramstat.cli.output import show, write_section

if TYPE_CHECKING:
    from ngramstat.prediction.learner_curves import LearnerCurves

__all__ = ["predict", "theories"]


def _learners(
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


@command(
    examples=[
        "ngramstat predict run --tokens 1e9,1e12",
        "ngramstat predict run --loss 1e7:4.1 --loss 1e8:3.5 --tokens 1e9",
        "ngramstat predict run --curves losses.csv --reader reader.csv",
        "ngramstat predict run --curves main.log --tokens-per-step 524288 --context 1024",
    ]
)
@click.argument("run", type=click.Path())
@click.option(
    "--tokens", type=Numbers(), default=(), help="Training tokens to predict for, such as 1e9,1e12."
)
@click.option(
    "--loss",
    "losses",
    type=MeasuredLoss(),
    multiple=True,
    help="A measured loss in nats per token, as TOKENS:LOSS, such as 1e9:3.2; give two "
    "or more for a loss curve.",
)
@curve_options
@click.option(
    "--reader",
    type=click.Path(),
    help="Losses of a pretrained model on this text, as `ngramstat read` writes them.",
)
@full_option
@protocol_option(None)
@json_option
@file_option
@shared_options()
def predict(
    common: Globals,
    run: str,
    full: bool,
    as_json: bool,
    output: str | None,
    curves: tuple[list[str], dict[str, Any]],
    context: int | None,
    **options: Any,
) -> None:
    """Predict alpha = gamma / (2 beta), horizons n*(P), thresholds and expected losses."""
    from ngramstat.api import predict_run

    result = predict_run(run, curves=_learners(curves, context), context=context, **options)
    write_section(result.to_dict(), output)
    if as_json:
        show(result, as_json)
    else:
        from ngramstat.report.summary import summarize_prediction

        click.echo(summarize_prediction(result, full=full))


@command(
    examples=[
        "ngramstat theories run",
        "ngramstat theories run --curves losses.csv --longest 6",
    ]
)
@click.argument("run", type=click.Path())
@click.option(
    "--corpus",
    type=click.Path(),
    help="Corpus of the run.  [default: the path recorded in the run]",
)
@click.option(
    "--validation", type=click.Path(), help="A finished run of `validate` to compare with."
)
@curve_options
@click.option(
    "--longest",
    type=click.IntRange(1, 16),
    default=4,
    show_default=True,
    help="Largest k of the k-grams that are counted.",
)
@json_option
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    callback=check_file,
    help="JSON file to write.  [default: theories.json in the run]",
)
@global_options
def theories(
    common: Globals,
    run: str,
    curves: tuple[list[str], dict[str, Any]],
    context: int | None,
    as_json: bool,
    output: str | None,
    **options: Any,
) -> None:
    """Predict the exponent by other theories, to compare with alpha = gamma / (2 beta)."""
    from ngramstat.api import THEORIES_FILE
    from ngramstat.api import theories as run_all
    from ngramstat.report.theories import summarize_theories

    learners = _learners(curves, context)
    result = run_all(
        run, curves=learners[0].table if learners else None, **options, **common.of_run()
    )
    path = Path(run)
    if output is None:
        output = str((path if path.is_dir() else path.parent) / THEORIES_FILE)
    result.save(output)
    if as_json:
        echo_json(result.to_dict())
    else:
        click.echo(f"{summarize_theories(result)}\nWrote {output}; `ngramstat report` includes it")
