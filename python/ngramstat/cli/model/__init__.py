"""``ngramstat model``: n-gram language models."""

from __future__ import annotations

import click

from ngramstat.cli.command import Group
from ngramstat.cli.model.arpa import export_model, import_model
from ngramstat.cli.model.sample import sample
from ngramstat.cli.model.score import score
from ngramstat.cli.model.train import train
from ngramstat.cli.model.verify import verify

__all__ = ["model"]


@click.group(cls=Group)
def model() -> None:
    """Train an n-gram language model, score and sample with it, and exchange ARPA files."""


for command in (train, score, sample, verify, export_model, import_model):
    model.add_command(command)
