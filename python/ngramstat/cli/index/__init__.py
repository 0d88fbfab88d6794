"""``ngramstat index``: build an index of a corpus, and ask it."""

from __future__ import annotations

import click

from ngramstat.cli.command import Group
from ngramstat.cli.index.duplicates import duplicates
from ngramstat.cli.index.overlap import overlap

__all__ = ["index"]


@click.group(cls=Group)
def index() -> None:
    """Build an index of all n-grams of a corpus, and look up counts, matches and next tokens."""


index.add_command(overlap)
index.add_command(duplicates)
