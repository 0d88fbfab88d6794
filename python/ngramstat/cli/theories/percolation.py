"""``ngramstat theories percolation``: clusters on a tree as the data of a learner."""

from __future__ import annotations

from typing import Any

import click

from ngramstat.cli.command import command
from ngramstat.cli.options import (
    Count,
    Globals,
    file_option,
    json_option,
    shared_options,
)
from ngramstat.cli.theories.figure_file import figure_option, finish

__all__ = ["percolation"]


@command(
    examples=[
        "ngramstat theories percolation --figure percolation.svg",
        "ngramstat theories percolation --draws 200 --json",
    ]
)
@click.option(
    "--clusters",
    type=Count(),
    default=1 << 16,
    show_default=True,
    help="Clusters of one draw of many.",
)
@click.option(
    "--sites", type=Count(), default=1 << 17, show_default=True, help="Sites of a giant cluster."
)
@click.option(
    "--draws",
    type=click.IntRange(2, 10_000),
    default=40,
    show_default=True,
    help="Draws of clusters and of giant clusters.",
)
@figure_option
@json_option
@file_option
@shared_options("seed", "quiet")
def percolation(
    common: Globals, figure: str | None, as_json: bool, output: str | None, **options: Any
) -> None:
    """Sample percolation clusters in their two regimes, and compare with the exact curves.

    Many clusters at the threshold, of which a learner remembers those it has seen; and one giant
    cluster, in which it answers with the nearest site that it knows.
    """
    from ngramstat.report.percolation import percolation_chart, summarize_percolation
    from ngramstat.theories.percolation_study import study_percolation

    result = study_percolation(seed=common.seed, progress=not common.quiet, **options)
    finish(
        result, summarize_percolation(result), percolation_chart(result),
        as_json=as_json, output=output, figure=figure,
    )  # fmt: skip
