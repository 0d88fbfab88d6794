"""``ngramstat index``: build an index of a corpus, and ask it."""

from __future__ import annotations

import click

from ngramstat.cli.command import Group, Member

__all__ = ["index"]

_COMMANDS = {
    "build": Member(
        "ngramstat.cli.index.build:build",
        "Sort all suffixes of a corpus into an index, in which n-grams of any length are found.",
    ),
    "info": Member(
        "ngramstat.cli.index.build:info",
        "Print what an index holds: sizes, settings, shards, and its corpus.",
    ),
    "verify": Member(
        "ngramstat.cli.index.build:verify",
        "Read a whole index, and check its checksums and the order of its suffixes.",
    ),
    "count": Member(
        "ngramstat.cli.index.queries:count", "Print how often n-grams occur in a corpus."
    ),
    "next": Member(
        "ngramstat.cli.index.queries:next_tokens",
        "Print the tokens that follow contexts most often: count, probability, token.",
    ),
    "find": Member(
        "ngramstat.cli.index.queries:find",
        "Print where an n-gram occurs, with the text around it: document, offset, text.",
    ),
    "score": Member(
        "ngramstat.cli.index.queries:score",
        "Print infinity-gram probabilities of texts, which have no smoothing.",
    ),
    "sample": Member(
        "ngramstat.cli.index.queries:sample",
        "Print text drawn from the counts of a corpus, without smoothing.",
    ),
    "overlap": Member(
        "ngramstat.cli.index.overlap:overlap",
        "Find the spans of a new text that stand in the indexed corpus.",
    ),
    "duplicates": Member(
        "ngramstat.cli.index.duplicates:duplicates",
        "Find sequences of tokens that occur several times in the indexed corpus.",
    ),
}


@click.group(cls=Group, members=_COMMANDS)
def index() -> None:
    """Build an index of all n-grams of a corpus, and look up counts, matches and next tokens."""
