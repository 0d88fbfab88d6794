"""How commands show and write their results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ngramstat.cli.console import echo_json
from ngramstat.cli.figures import figures_can_be_drawn, hint_at_figures, save_figure

__all__ = ["finish", "lock_output", "show", "write_page", "write_section"]


def show(run: Any, as_json: bool, *, full: bool = True) -> None:
    """Print a result, as a summary or as JSON."""
    if as_json:
        echo_json(run.to_dict())
    else:
        from ngramstat.report.sparkline import sparklines
        from ngramstat.report.summary import summarize

        # Sparklines are for terminals, not for redirected output.
        curves = sparklines(run) if sys.stdout.isatty() and full else ""
        click.echo(curves + summarize(run, full=full))


def write_section(obj: dict[str, Any], output: str | None) -> None:
    """Write part of a result as JSON, if a file was named."""
    if output is not None:
        from ngramstat.runtime.files import write_json

        write_json(output, obj)
        click.echo(f"Wrote {output}", err=True)


def finish(result: Any, output: str, as_json: bool, full: bool) -> None:
    """Write summary, figures and page next to run.json, show the result, and name the files."""
    from ngramstat.report.summary import summarize
    from ngramstat.runtime.files import atomic_write
    from ngramstat.runtime.text import encoded

    directory = Path(output)
    written = [directory / "run.json", directory / "summary.txt"]
    with atomic_write(written[1]) as file:
        file.write(encoded(summarize(result) + "\n"))
    if figures_can_be_drawn():
        written.append(save_figure(result.plot(), directory / "figures.png"))
    written.append(directory / "report.html")
    write_page(result, written[-1])
    show(result, as_json, full=full)
    click.echo(f"Wrote {', '.join(map(str, written))}", err=as_json)
    if not (as_json or full):
        click.echo(f"All numbers: {written[1]}, or --full; pictures: {written[-1]}")
    hint_at_figures()


def lock_output(output: str) -> None:
    """Refuse others who write to a directory until the command has ended."""
    from ngramstat.runtime.locks import sole_writer

    click.get_current_context().with_resource(sole_writer(output))


def write_page(run: Any, path: Path, theories: Any = None) -> None:
    """Write the page of a run, with the predictions of other theories if there are any."""
    from ngramstat.report.page import render_page
    from ngramstat.runtime.files import atomic_write
    from ngramstat.runtime.text import encoded

    page = render_page(run, theories)
    with atomic_write(path) as file:
        file.write(encoded(page))
