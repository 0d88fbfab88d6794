"""``ngramstat theories one-third``: the toy of the one-third law of training time."""

from __future__ import annotations

from typing import Any

import click

from ngramstat.cli.command import command
from ngramstat.cli.options import Globals, file_option, json_option, shared_options
from ngramstat.cli.theories.figure_file import figure_option, finish

__all__ = ["one_third"]

# Learning rates for which neither optimizer diverges.
_RATES = {"sgd": 100.0, "adam": 3e-3}


@command(
    examples=[
        "ngramstat theories one-third --figure one-third.svg",
        "ngramstat theories one-third --optimizer adam --steps 50000",
    ]
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0, min_open=True),
    default=1e-4,
    show_default=True,
    help="Of the teacher, whose logits have variance 1 at temperature 1.",
)
@click.option(
    "--optimizer",
    type=click.Choice(["sgd", "adam"]),
    default="sgd",
    show_default=True,
    help="Of the student: gradient descent, for which the law is, or Adam.",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Learning rate.  [default: 100 with sgd, 0.003 with adam]",
)
@click.option(
    "--steps",
    type=click.IntRange(min=200),
    default=12_800,
    show_default=True,
    help="Steps of training; the last 99 % of them are fitted.",
)
@click.option(
    "--batch", type=click.IntRange(min=1), default=1024, show_default=True, help="Inputs per step."
)
@figure_option
@json_option
@file_option
@shared_options("seed", "quiet")
def one_third(
    common: Globals,
    rate: float | None,
    optimizer: Any,
    as_json: bool,
    output: str | None,
    figure: str | None,
    **options: Any,
) -> None:
    """Train a student on peaked targets, and fit its loss against the summed learning rate.

    Teacher and student are linear maps from 32 normalised inputs to 128 tokens; the law is that
    the loss falls as the summed learning rate to the power -1/3.
    """
    from ngramstat.report.one_third import one_third_chart, summarize_one_third
    from ngramstat.theories.one_third import TeacherStudent, measure_one_third

    setup = TeacherStudent(
        optimizer=optimizer, rate=_RATES[optimizer] if rate is None else rate, seed=common.seed,
        **options,
    )  # fmt: skip
    result = measure_one_third(setup, progress=not common.quiet)
    finish(
        result, summarize_one_third(result), one_third_chart(result),
        as_json=as_json, output=output, figure=figure,
    )  # fmt: skip
