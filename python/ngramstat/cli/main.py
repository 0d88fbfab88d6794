"""The command `ngramstat`: its global options, and the commands in the order of its help."""

from __future__ import annotations

from typing import Any

import click

from ngramstat.cli.command import Group, Member
from ngramstat.cli.config import config_option
from ngramstat.cli.options import Globals, compose, option_decorators
from ngramstat.version import __version__

__all__ = ["main"]

_COMMANDS = {
    "quickstart": Member(
        "ngramstat.cli.measure:quickstart",
        "Measure a world of known answer, then the sources of Python's standard library.",
    ),
    "tokenize": Member("ngramstat.cli.corpora:tokenize", "Make a corpus directory from text."),
    "inspect": Member(
        "ngramstat.cli.corpora:inspect",
        "Describe a token store: format, tokens, documents, vocabulary, separators.",
    ),
    "convert": Member(
        "ngramstat.cli.convert:convert",
        "Write a corpus as nanoGPT, Megatron or NumPy tokens, or as a corpus directory.",
    ),
    "plan": Member(
        "ngramstat.cli.measure:plan",
        "Estimate what `measure` would need: passes over the corpus, memory, disk, time.",
    ),
    "measure": Member(
        "ngramstat.cli.measure:measure",
        "Measure C(t), H(n) and the exponents, and predict alpha.",
    ),
    "slurm": Member(
        "ngramstat.cli.slurm:slurm",
        "Write a script that submits a run to Slurm: its parts as an array job, then their "
        "assembly.",
    ),
    "correlations": Member(
        "ngramstat.cli.measure:correlations",
        "Measure C(t): norms of the token covariances, their noise, and beta.",
    ),
    "entropies": Member(
        "ngramstat.cli.measure:entropies",
        "Measure H(n): next-token entropies, counted and held out, and gamma.",
    ),
    "shards": Member(
        "ngramstat.cli.shards:shards",
        "Measure a corpus of shards that no single machine holds, in rounds.",
    ),
    "predict": Member(
        "ngramstat.cli.predict:predict",
        "Predict alpha = gamma / (2 beta), horizons n*(P), thresholds and expected losses.",
    ),
    "report": Member(
        "ngramstat.cli.report:report",
        "Write a run as one self-contained HTML page, which opens offline and on a phone.",
    ),
    "compare": Member(
        "ngramstat.cli.report:compare",
        "Write one HTML page of several runs: beta and gamma with lines of equal alpha.",
    ),
    "theories": Member(
        "ngramstat.cli.theories:theories",
        "Predict the exponent by other theories, to compare with alpha = gamma / (2 beta).",
    ),
    "read": Member(
        "ngramstat.cli.read:read",
        "Measure how much a trained model loses on a corpus after 0, 1, 2, ... tokens of context.",
    ),
    "validate": Member(
        "ngramstat.cli.validate:validate",
        "Train transformers on growing parts of the corpus and compare alpha with its prediction.",
    ),
    "synthesize": Member(
        "ngramstat.cli.worlds:synthesize",
        "Write a synthetic corpus with its exact C(t), H(n) and exponents.",
    ),
    "counts": Member(
        "ngramstat.cli.counts:counts",
        "Write the counts of a corpus: pairs of tokens, or n-grams.",
    ),
    "index": Member(
        "ngramstat.cli.index:index",
        "Build an index of all n-grams of a corpus, and look up counts, matches and next tokens.",
    ),
    "model": Member(
        "ngramstat.cli.model:model",
        "Train an n-gram language model, score and sample with it, and exchange ARPA files.",
    ),
}


@click.group(
    cls=Group,
    members=_COMMANDS,
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
