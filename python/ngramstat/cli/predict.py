"""The commands that predict from a run: `predict`, `theories`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ngramstat.cli.command import command
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import (
    Globals,
    MeasuredLoss,
    Numbers,
    file_option,
    full_option,
    global_options,
    json_option,
    protocol_option,
    shared_options,
)
from ngramstat.cli.output import show, write_section

__all__ = ["predict", "theories"]


@command(
    examples=[
        "ngramstat predict run --tokens 1e9,1e12",
        "ngramstat predict run --loss 1e7:4.1 --loss 1e8:3.5 --tokens 1e9",
        "ngramstat predict run --curves losses.csv --reader reader.csv",
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
@click.option(
    "--context", type=click.IntRange(min=1), help="Context length of your models, in tokens."
)
@click.option(
    "--curves",
    type=click.Path(),
    help="Losses of your models: CSV or JSON with context, tokens, loss and, optionally, seed, "
    "error; or the output directory of `validate`.",
)
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
    **options: Any,
) -> None:
    """Predict alpha = gamma / (2 beta), horizons n*(P), thresholds and expected losses."""
    from ngramstat.api import predict_run

    result = predict_run(run, **options)
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
@click.option(
    "--curves",
    type=click.Path(),
    help="CSV or JSON of your models' losses, to compare with.",
)
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
    help="JSON file to write.  [default: theories.json in the run]",
)
@global_options
def theories(
    common: Globals,
    run: str,
    corpus: str | None,
    validation: str | None,
    curves: str | None,
    longest: int,
    as_json: bool,
    output: str | None,
) -> None:
    """Predict the exponent by other theories, to compare with alpha = gamma / (2 beta)."""
    from ngramstat.api import THEORIES_FILE
    from ngramstat.api import theories as run_all
    from ngramstat.report.theories import summarize_theories

    result = run_all(
        run,
        corpus=corpus,
        validation=validation,
        curves=curves,
        longest=longest,
        **common.of_run(),
    )
    path = Path(run)
    if output is None:
        output = str((path if path.is_dir() else path.parent) / THEORIES_FILE)
    result.save(output)
    if as_json:
        echo_json(result.to_dict())
    else:
        click.echo(f"{summarize_theories(result)}\nWrote {output}; `ngramstat report` includes it")
