"""`ngramstat predict`: exponents, horizons and losses that a run lets one expect."""

from __future__ import annotations

from typing import Any

import click

from ngramstat.cli.command import command
from ngramstat.cli.curves import learners_given
from ngramstat.cli.options import (
    Globals,
    MeasuredLoss,
    Numbers,
    curve_options,
    file_option,
    full_option,
    json_option,
    protocol_option,
    shared_options,
)
from ngramstat.cli.output import show, write_section

__all__ = ["predict"]


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

    result = predict_run(run, curves=learners_given(curves, context), context=context, **options)
    write_section(result.to_dict(), output)
    if as_json:
        show(result, as_json)
    else:
        from ngramstat.report.summary import summarize_prediction

        click.echo(summarize_prediction(result, full=full))
