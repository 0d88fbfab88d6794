"""``ngramstat counts``: co-occurrence matrices, word vectors and n-gram tables in files."""

from __future__ import annotations

import click

from ngramstat.cli.command import Group
from ngramstat.cli.counts.ngrams import collocations, ngrams
from ngramstat.cli.counts.pairs import pairs
from ngramstat.cli.counts.vectors import vectors

__all__ = ["counts"]


@click.group(cls=Group)
def counts() -> None:
    """Write the counts of a corpus: pairs of tokens, or n-grams."""


for command in (pairs, vectors, ngrams, collocations):
    counts.add_command(command)
