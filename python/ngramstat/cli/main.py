"""The command `ngramstat`: its global options, and the commands in the order of its help."""

from __future__ import annotations

from typing import Any

import click

from ngramstat.cli.command import Group
from ngramstat.cli.config import config_option
from ngramstat.cli.convert import convert
from ngramstat.cli.corpora import inspect, tokenize
from ngramstat.cli.counts import counts
from ngramstat.cli.index import index
from ngramstat.cli.measure import correlations, entropies, measure, plan, quickstart
from ngramstat.cli.model import model
from ngramstat.cli.options import Globals, compose, option_decorators
from ngramstat.cli.predict import predict, theories
from ngramstat.cli.read import read
from ngramstat.cli.report import compare, report
from ngramstat.cli.validate import validate
from ngramstat.cli.worlds import synthesize
from ngramstat.version import __version__

__all__ = ["main"]


@click.group(
    cls=Group,
    context_settings={
        "auto_envvar_prefix": "NGRAMSTAT",
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
    epilog="Options may also come from variables of the environment (NGRAMSTAT_THREADS, "
    "NGRAMSTAT_MEASURE_LAGS) and from the file of --config; docs/command-line.md tells how, and "
    "how the shell completes commands and options.",
)
@click.version_option(__version__, "-V", "--version", prog_name="ngramstat")
@config_option
@compose(*option_decorators())
@click.pass_context
def main(ctx: click.Context, /, config: str | None, **given: Any) -> None:
    """Predict how the loss of a language model falls with data, from its corpus alone.

    \b
    ngramstat quickstart                      all steps, on a corpus that you already have
    ngramstat tokenize text.jsonl -o corpus   text to tokens
    ngramstat measure corpus -o run           tokens to exponents
    """
    ctx.obj = Globals().updated(given)


for command in (
    quickstart, tokenize, inspect, convert, plan, measure, correlations, entropies, predict, report,
    compare, theories, read, validate, synthesize, counts, index, model,
):  # fmt: skip
    main.add_command(command)
