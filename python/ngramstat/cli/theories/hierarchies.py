"""``ngramstat theories hierarchies``: learning curves of random hierarchies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ngramstat.cli.command import command
from ngramstat.cli.console import echo_json
from ngramstat.cli.figures import figures_can_be_drawn, hint_at_figures, save_figure
from ngramstat.cli.options import Count, Globals, ListOf, json_option, shared_options
from ngramstat.cli.output import lock_output

__all__ = ["hierarchies"]

_PARTS = ("labels", "uniform", "last-tokens")


@command(
    examples=[
        "ngramstat theories hierarchies -o hierarchies",
        "ngramstat theories hierarchies --parts labels --exponents 0.5,1 --depths 2,3 -o labels",
    ],
    resumes=True,
)
@click.option("-o", "--output", required=True, type=click.Path(), help="Directory of the curves.")
@click.option(
    "--parts",
    type=ListOf(click.Choice(_PARTS)),
    default=",".join(_PARTS),
    show_default=True,
    help="What is measured: labels of strings with power-law rules, labels with equally likely "
    "rules, last tokens.",
)
@click.option(
    "--exponents",
    type=ListOf(click.FloatRange(min=0, min_open=True)),
    default="0.5,1,2",
    show_default=True,
    help="a of the labels' rules, whose frequencies are ~ k^-(1+a).",
)
@click.option(
    "--depths",
    type=ListOf(click.IntRange(1, 8)),
    default="2,3,4",
    show_default=True,
    help="Levels L of the labels' hierarchies.",
)
@click.option(
    "--symbols",
    type=ListOf(click.IntRange(2, 64)),
    default="5,6,8",
    show_default=True,
    help="Symbols v of a level of the labels' hierarchies, and rules of a symbol above the lowest "
    "level.",
)
@click.option(
    "--bottom-rules",
    type=Count(),
    default="16384",
    show_default=True,
    help="Rules of a symbol on the lowest level.",
)
@click.option(
    "--most-strings",
    type=Count(),
    default="8388608",
    show_default=True,
    help="Leave out hierarchies that take more strings (120 bytes of memory each at four levels).",
)
@click.option(
    "--draws",
    type=click.IntRange(1, 100),
    default=4,
    show_default=True,
    help="Draws of rules and strings; intervals need two.",
)
@click.option(
    "--held-out",
    type=Count(),
    default="65536",
    show_default=True,
    help="Strings that errors and losses are measured on.",
)
@json_option
@shared_options("threads", "seed", "quiet")
def hierarchies(
    common: Globals,
    output: str,
    parts: tuple[str, ...],
    draws: int,
    held_out: int,
    as_json: bool,
    **labels: Any,
) -> None:
    """Measure how hierarchies with power-law rules are learned, without torch.

    Labels of strings: the error falls as P^-a/(1+a), and its scale grows exponentially with the
    depth. Last tokens: the slope does not depend on how skewed the lowest rules are. Takes some
    minutes on two cores; every curve is kept, and the same command resumes.
    """
    from ngramstat.report.hierarchies import summarize_hierarchies
    from ngramstat.results.hierarchies import HIERARCHIES_FILE
    from ngramstat.runtime.files import atomic_write
    from ngramstat.runtime.resources import resolve_threads
    from ngramstat.runtime.text import encoded
    from ngramstat.synthetic.hierarchy_experiment import (
        HierarchyTable,
        LabelSettings,
        LastTokenSettings,
        UniformSettings,
        measure_hierarchies,
    )

    table = HierarchyTable(
        LabelSettings(**labels) if "labels" in parts else None,
        UniformSettings() if "uniform" in parts else None,
        LastTokenSettings() if "last-tokens" in parts else None,
        draws=draws,
        held_out=held_out,
        seed=common.seed,
    )
    lock_output(output)
    result = measure_hierarchies(
        table, output, threads=resolve_threads(common.threads), progress=not common.quiet
    )
    directory = Path(output)
    text = summarize_hierarchies(result)
    written = [directory / HIERARCHIES_FILE, directory / "summary.txt"]
    result.save(written[0])
    with atomic_write(written[1]) as file:
        file.write(encoded(text))
    if figures_can_be_drawn() and (result.labels or result.last_tokens):
        from ngramstat.report.chart_plot import draw_chart
        from ngramstat.report.hierarchies import hierarchies_chart

        figure = draw_chart(hierarchies_chart(result))
        written.append(save_figure(figure, directory / "hierarchies.png"))
    if as_json:
        echo_json(result.to_dict())
    else:
        click.echo(text, nl=False)
    click.echo(f"Wrote {', '.join(map(str, written))}", err=True)
    hint_at_figures()
