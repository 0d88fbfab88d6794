"""``ngramstat index``: build an index of a corpus, and ask it."""

from __future__ import annotations

import click

from ngramstat.cli.command import Group
from ngramstat.cli.index.build import build, info, verify
from ngramstat.cli.index.duplicates import duplicates
from ngramstat.cli.index.overlap import overlap
from ngramstat.cli.index.queries import count, find, next_tokens, sample, score

__all__ = ["index"]


@click.group(cls=Group)
def index() -> None:
    """Build an index of all n-grams of a corpus, and look up counts, matches and next tokens."""


for command in (
    build, info, verify, count, next_tokens, find, score, sample, overlap, duplicates
):  # fmt: skip
    index.add_command(command)
