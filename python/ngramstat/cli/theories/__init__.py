"""``ngramstat theories``: the panel of theories for a run, and single theories without a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ngramstat.cli.command import GroupWithDefault, Member, names_too
from ngramstat.cli.console import echo_json
from ngramstat.cli.curves import learners_given
from ngramstat.cli.options import (
    Globals,
    check_file,
    curve_options,
    global_options,
    json_option,
)

__all__ = ["theories"]

# One theory each, which needs no run: a module of this folder.
_COMMANDS: dict[str, Member] = {
    "percolation": Member(
        "ngramstat.cli.theories.percolation:percolation",
        "Sample percolation clusters in their two regimes, and compare with the exact curves.",
    ),
    "hierarchies": Member(
        "ngramstat.cli.theories.hierarchies:hierarchies",
        "Measure how hierarchies with power-law rules are learned, without torch.",
    ),
    "solvable": Member(
        "ngramstat.cli.theories.solvable:solvable",
        "Simulate the solvable model with linear and nonlinear features, and compare with theory.",
    ),
    "one-third": Member(
        "ngramstat.cli.theories.one_third:one_third",
        "Train a student on peaked targets, and fit its loss against the summed learning rate.",
    ),
}


@click.command(
    cls=GroupWithDefault,
    members=_COMMANDS,
    examples=[
        "ngramstat theories run",
        "ngramstat theories run --curves losses.csv --longest 6",
    ],
)
@click.argument("run", type=click.Path(), shell_complete=names_too)
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
    "--limit",
    type=float,
    help="Loss in nats per token that the curves approach, where it is known.  "
    "[default: it is fitted]",
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

    learners = learners_given(curves, context)
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
