"""The commands that make an index, check it and describe it: `build`, `verify`, `info`."""

from __future__ import annotations

from typing import Any

import click

from ngramstat.cli.command import command, under
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import Count, Globals, corpus_options, json_option, shared_options
from ngramstat.runtime.numbers import count_text

__all__ = ["build", "info", "verify"]


@command(
    examples=[
        "ngramstat index build corpus -o corpus.index",
        "ngramstat index build shard-*.npy --separator 0 --boundary document -o documents.index",
        "ngramstat index build corpus -o corpus.index --memory-limit 8G --overwrite",
    ]
)
@corpus_options
@under(
    "Output",
    click.option("-o", "--output", required=True, type=click.Path(), help="Directory to write."),
    click.option(
        "--overwrite",
        is_flag=True,
        help="Replace an index, which stays until the new one is whole.",
    ),
)
@click.option(
    "--boundary",
    type=click.Choice(["stream", "document"]),
    default="stream",
    show_default=True,
    help="Whether n-grams run across documents or stay inside one.",
)
@click.option(
    "--depth",
    type=click.IntRange(1, 255),
    help="Sort by this many tokens, the length of the longest n-gram that can be found.  "
    "[default: whole suffixes]",
)
@click.option(
    "--shard-tokens",
    type=Count(),
    help="Largest number of tokens of a shard.  [default: as --memory-limit allows]",
)
@json_option
@shared_options("threads", "memory_limit", "quiet")
def build(
    common: Globals,
    store: dict[str, Any],
    output: str,
    overwrite: bool,
    boundary: Any,
    depth: int | None,
    shard_tokens: int | None,
    as_json: bool,
) -> None:
    """Sort all suffixes of a corpus into an index, in which n-grams of any length are found."""
    from ngramstat.corpus import Corpus
    from ngramstat.index.ngram_index import NgramIndex

    index = NgramIndex.build(
        Corpus.open(**store),
        output,
        depth=depth,
        boundary=boundary,
        shard_tokens=shard_tokens,
        threads=common.threads,
        memory_limit=common.memory_limit,
        progress=not common.quiet,
        overwrite=overwrite,
    )
    _show(index, as_json)


@command(examples=["ngramstat index info corpus.index", "ngramstat index info corpus.index --json"])
@click.argument("index", type=click.Path())
@json_option
@shared_options()
def info(common: Globals, index: str, as_json: bool) -> None:
    """Print what an index holds: sizes, settings, shards, and its corpus."""
    from ngramstat.index.ngram_index import NgramIndex

    _show(NgramIndex.open(index), as_json)


@command(examples=["ngramstat index verify corpus.index"])
@click.argument("index", type=click.Path())
@shared_options("threads", "memory_limit", "quiet")
def verify(common: Globals, index: str) -> None:
    """Read a whole index, and check its checksums and the order of its suffixes."""
    from ngramstat.index.ngram_index import NgramIndex

    opened = NgramIndex.open(index)
    opened.verify(
        threads=common.threads, memory_limit=common.memory_limit, progress=not common.quiet
    )
    click.echo(f"{index}: all {opened.n_tokens:,} suffixes are in order, all checksums right")


def _show(index: Any, as_json: bool) -> None:
    described = index.info()
    if as_json:
        echo_json(described)
        return
    rows = {
        "index": described["path"],
        "tokens": f"{described['tokens']:,}",
        "documents": f"{described['documents']:,}",
        "vocabulary": f"{described['vocab_size']:,}",
        "boundary": described["boundary"],
        "depth": described["depth"] or "whole suffixes",
        "longest n-gram": described["max_query_length"] or "any",
        "size": f"{count_text(described['bytes'])}B",
        "shards": len(described["shards"]),
        "tokenizer": "yes" if described["tokenizer"] else "none: queries are token ids",
        "corpus": described["corpus"]["path"] or "in memory",
    }
    for name, value in rows.items():
        click.echo(f"{name:<15} {value}")
