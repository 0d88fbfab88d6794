"""The commands that write pages of finished runs: `report`, `compare`."""

from __future__ import annotations

from pathlib import Path

import click

from ngramstat.cli.command import command
from ngramstat.cli.console import fail_by_interruption
from ngramstat.cli.figures import save_figure
from ngramstat.cli.options import Globals, shared_options
from ngramstat.cli.output import write_page
from ngramstat.errors import InputError

__all__ = ["compare", "report"]


@command(
    examples=[
        "ngramstat report run",
        "ngramstat report run --figures figures --format pdf",
    ]
)
@click.argument("run", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="HTML file to write.  [default: report.html in the run]",
)
@click.option(
    "--figures",
    type=click.Path(),
    help="Also write every figure as a file into this directory (needs the extra plot).",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["png", "svg", "pdf"]),
    default="png",
    show_default=True,
    help="File format of --figures.",
)
@shared_options()
def report(common: Globals, run: str, output: str | None, figures: str | None, kind: str) -> None:
    """Write a run as one self-contained HTML page, which opens offline and on a phone."""
    from ngramstat.api import THEORIES_FILE, load_run
    from ngramstat.results import TheoriesResult

    path = Path(run)
    loaded = load_run(path)
    directory = path if path.is_dir() else path.parent
    if output is None:
        output = str(directory / "report.html")
    path_of_theories = directory / THEORIES_FILE
    panel = TheoriesResult.load(path_of_theories) if path_of_theories.exists() else None
    written = [Path(output)]
    write_page(loaded, written[0], panel)
    if figures is not None:
        from ngramstat.report.figure_index import figures_of

        directory = Path(figures)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{directory}: cannot be created: {error.strerror}; give another --figures"
            ) from error
        try:
            for name, draw in figures_of(loaded).items():
                written.append(save_figure(draw(), directory / f"{name}.{kind}"))
        except KeyboardInterrupt as error:
            fail_by_interruption(
                error,
                f"Wrote {', '.join(map(str, written))}; run the same command again for the rest",
            )
    click.echo(f"Wrote {', '.join(map(str, written))}")


@command(
    examples=[
        "ngramstat compare run-a run-b -o comparison.html",
    ]
)
@click.argument("runs", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o",
    "--output",
    default="comparison.html",
    show_default=True,
    type=click.Path(),
    help="HTML file to write.",
)
@shared_options()
def compare(common: Globals, runs: tuple[str, ...], output: str) -> None:
    """Write one HTML page of several runs: beta and gamma with lines of equal alpha."""
    from ngramstat.api import load_run
    from ngramstat.report.compare import render_comparison
    from ngramstat.runtime.files import atomic_write
    from ngramstat.runtime.text import encoded

    page = render_comparison([(path, load_run(path)) for path in runs])
    with atomic_write(output) as file:
        file.write(encoded(page))
    click.echo(f"Wrote {output}")
