"""``ngramstat model``: n-gram language models."""

from __future__ import annotations

import click

from ngramstat.cli.command import Group, Member

__all__ = ["model"]

_COMMANDS = {
    "train": Member(
        "ngramstat.cli.model.train:train",
        "Train a language model on a corpus: interpolated modified Kneser-Ney, or a mixture.",
    ),
    "score": Member(
        "ngramstat.cli.model.score:score",
        "Measure how well a model predicts a corpus or a text: perplexity, losses by token.",
    ),
    "sample": Member(
        "ngramstat.cli.model.sample:sample", "Print text drawn from a model, token by token."
    ),
    "verify": Member(
        "ngramstat.cli.model.verify:verify", "Read a whole model file, and check its checksums."
    ),
    "export": Member(
        "ngramstat.cli.model.arpa:export_model",
        "Write a model as an ARPA file, which KenLM, SRILM and others read.",
    ),
    "import": Member(
        "ngramstat.cli.model.arpa:import_model",
        "Read an ARPA file of KenLM, SRILM or others as a model to score and sample with.",
    ),
}


@click.group(cls=Group, members=_COMMANDS)
def model() -> None:
    """Train an n-gram language model, score and sample with it, and exchange ARPA files."""
