"""What the commands of single theories share: the option of a figure, and how it is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ngramstat.cli.command import under
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import check_file
from ngramstat.errors import InputError

if TYPE_CHECKING:
    from ngramstat.report.chart import Chart
    from ngramstat.results import Result

__all__ = ["figure_option", "finish"]

_SUFFIXES = (".svg", ".png", ".pdf")


def _check(ctx: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    """Refuse what cannot be written as a figure, before the work."""
    if path is not None and Path(path).suffix not in _SUFFIXES:
        raise InputError(f"--figure {path}: needs a name that ends in {', '.join(_SUFFIXES)}")
    return check_file(ctx, parameter, path)


figure_option = under(
    "Output",
    click.option(
        "--figure",
        type=click.Path(),
        callback=_check,
        help="Figure to write, .svg, .png or .pdf (needs the extra plot).",
    ),
)


def finish(
    result: Result, summary: str, chart: Chart, *, as_json: bool, output: str | None,
    figure: str | None,
) -> None:  # fmt: skip
    """Write the files that were asked for, then show the result."""
    if output is not None:
        result.save(output)
    if figure is not None:
        from ngramstat.cli.figures import save_figure
        from ngramstat.report.chart_plot import draw_chart

        save_figure(draw_chart(chart), Path(figure))
    if as_json:
        echo_json(result.to_dict())
    else:
        click.echo(summary)
    written: list[Any] = [path for path in (output, figure) if path is not None]
    if written:
        click.echo(f"Wrote {', '.join(written)}", err=as_json)
