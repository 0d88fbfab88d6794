"""``ngramstat theories percolation``: clusters on a tree as the data of a learner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ngramstat.cli.command import command, under
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import (
    Count,
    Globals,
    check_file,
    file_option,
    json_option,
    shared_options,
)
from ngramstat.errors import InputError

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
@under(
    "Output",
    click.option(
        "--figure",
        type=click.Path(),
        callback=check_file,
        help="Figure to write, .svg, .png or .pdf (needs the extra plot).",
    ),
)
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

    if figure is not None and Path(figure).suffix not in (".svg", ".png", ".pdf"):
        raise InputError(f"--figure {figure}: needs a name that ends in .svg, .png or .pdf")
    result = study_percolation(seed=common.seed, progress=not common.quiet, **options)
    if output is not None:
        result.save(output)
    if figure is not None:
        from ngramstat.cli.figures import save_figure
        from ngramstat.report.chart_plot import draw_chart

        save_figure(draw_chart(percolation_chart(result)), Path(figure))
    if as_json:
        echo_json(result.to_dict())
    else:
        click.echo(summarize_percolation(result))
    written = ", ".join(path for path in (output, figure) if path is not None)
    if written:
        click.echo(f"Wrote {written}", err=as_json)
