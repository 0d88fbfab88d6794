"""``ngramstat counts``: co-occurrence matrices, word vectors and n-gram tables in files."""

from __future__ import annotations

import click

from ngramstat.cli.command import Group, Member

__all__ = ["counts"]

_COMMANDS = {
    "pairs": Member(
        "ngramstat.cli.counts.pairs:pairs", "Write how often tokens stand near each other."
    ),
    "vectors": Member(
        "ngramstat.cli.counts.vectors:vectors",
        "Write word vectors: singular vectors of the PPMI of co-occurring tokens.",
    ),
    "ngrams": Member("ngramstat.cli.counts.ngrams:ngrams", "Count the n-grams of a corpus."),
    "collocations": Member(
        "ngramstat.cli.counts.ngrams:collocations",
        "List the bigrams that occur more often than independent tokens would.",
    ),
}


@click.group(cls=Group, members=_COMMANDS)
def counts() -> None:
    """Write the counts of a corpus: pairs of tokens, or n-grams."""
