"""``ngramstat model``: n-gram language models."""

from __future__ import annotations

import click

from ngramstat.cli.command import Group

__all__ = ["model"]


@click.group(cls=Group)
def model() -> None:
    """Train an n-gram language model, score and sample with it, and exchange ARPA files."""
