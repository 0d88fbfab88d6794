"""``ngramstat index duplicates``: what occurs several times in the indexed corpus."""

from __future__ import annotations

from typing import Any

import click

from ngramstat.cli.command import command, under
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import Globals, check_file, json_option, shared_options
from ngramstat.runtime.numbers import count_of

__all__ = ["duplicates"]


@command(
    examples=[
        "ngramstat index duplicates INDEX --min-length 50",
        "ngramstat index duplicates INDEX -o spans.parquet",
        "ngramstat index duplicates INDEX --keep-first --ranges remove.csv",
    ]
)
@click.argument("index", type=click.Path())
@click.option(
    "--min-length",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Tokens of a sequence that counts as repeated if it occurs twice.",
)
@click.option(
    "--keep-first",
    is_flag=True,
    help="Leave out the first occurrence of each sequence.",
)
@under(
    "Output",
    click.option(
        "-o",
        "--output",
        type=click.Path(),
        callback=check_file,
        help="File of the repeated stretches, each with its document, occurrences and another "
        "place: .jsonl, .csv or .parquet.",
    ),
    click.option(
        "--ranges",
        type=click.Path(),
        callback=check_file,
        help="File of the ranges of tokens that repeated sequences cover, none overlapping "
        "another: .jsonl, .csv or .parquet.",
    ),
)
@json_option
@shared_options("threads", "memory_limit", "quiet")
def duplicates(
    common: Globals,
    index: str,
    min_length: int,
    keep_first: bool,
    output: str | None,
    ranges: str | None,
    as_json: bool,
) -> None:
    """Find sequences of tokens that occur several times in the indexed corpus.

    INDEX is the directory of an index.
    """
    from ngramstat.index.ngram_index import NgramIndex
    from ngramstat.index.span_tables import require_table_name

    for path in (output, ranges):
        if path is not None:
            require_table_name(path)
    found = NgramIndex.open(index).duplicates(
        min_length,
        keep_first=keep_first,
        threads=common.threads,
        memory_limit=common.memory_limit,
        progress=not common.quiet,
    )
    if ranges is not None:
        found.save_ranges(ranges)
        click.echo(f"Wrote {ranges}", err=True)
    if output is not None:
        count = found.save_spans(output)
        click.echo(f"Wrote {output}: {count_of(count, 'span')}", err=True)
    if as_json:
        echo_json(found.summary())
    else:
        _show(found.summary())


def _show(facts: dict[str, Any]) -> None:
    later = ", but for the first occurrence of each" if facts["keep_first"] else ""
    click.echo(
        f"{facts['repeated_tokens']:,} of {count_of(facts['tokens'], 'token')} "
        f"({facts['share']:.1%}) lie in sequences of {facts['min_length']} tokens that occur "
        f"several times{later}: {count_of(facts['ranges'], 'range')} in "
        f"{facts['documents_with_duplicates']:,} of {count_of(facts['documents'], 'document')}, "
        f"of which {facts['documents_repeated_whole']:,} are repeated as a whole"
    )
