"""The command `ngramstat`: its global options, and the commands in the order of its help."""

from __future__ import annotations

import click

from ngramstat.cli.convert import convert
from ngramstat.cli.corpora import inspect, tokenize
from ngramstat.cli.measure import correlations, entropies, measure, plan, quickstart
from ngramstat.cli.options import (
    Globals,
    Group,
    backend_option,
    gpu_memory_option,
    memory_limit_option,
    threads_option,
)
from ngramstat.cli.predict import predict, theories
from ngramstat.cli.read import read
from ngramstat.cli.report import compare, report
from ngramstat.cli.validate import validate
from ngramstat.cli.worlds import synthesize
from ngramstat.version import __version__

__all__ = ["main"]


@click.group(
    cls=Group,
    context_settings={"auto_envvar_prefix": "NGRAMSTAT", "help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="ngramstat")
@threads_option
@memory_limit_option
@backend_option(default="auto")
@gpu_memory_option
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of all random draws.",
)
@click.option("--quiet", is_flag=True, help="Show no progress on standard error.")
@click.pass_context
def main(
    ctx: click.Context,
    threads: int | None,
    memory_limit: str | None,
    backend: str,
    gpu_memory: str | None,
    seed: int,
    quiet: bool,
) -> None:
    """Predict how the loss of a language model falls with data, from its corpus alone.

    \b
    ngramstat quickstart                      all steps, on a corpus that you already have
    ngramstat tokenize text.jsonl -o corpus   text to tokens
    ngramstat measure corpus -o run           tokens to exponents
    """
    ctx.obj = Globals(threads, memory_limit, backend, gpu_memory, seed, quiet)


for command in (
    quickstart, tokenize, inspect, convert, plan, measure, correlations, entropies, predict, report, compare,
    theories, read, validate, synthesize,
):  # fmt: skip
    main.add_command(command)
