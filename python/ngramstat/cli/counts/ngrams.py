"""The commands that count n-grams: `counts ngrams`, `counts collocations`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ngramstat.cli.command import command
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import (
    Count,
    Globals,
    ListOf,
    corpus_options,
    json_option,
    shared_options,
)
from ngramstat.runtime.numbers import count_of

if TYPE_CHECKING:
    from ngramstat.counts.collocations import CollocationTable
    from ngramstat.counts.ngram_table import NgramTable

__all__ = ["collocations", "ngrams"]

# Rows that are printed where no file and no number is given.
_SHOWN = 20


@command(
    examples=[
        "ngramstat counts ngrams corpus -n 3 --top 50",
        "ngramstat counts ngrams corpus -n 5 --min-count 2 -o ngrams.parquet",
        "ngramstat counts ngrams corpus -n 1,2,3 --with documents -o 'ngrams-{n}.npz'",
    ]
)
@corpus_options
@click.option(
    "-n",
    "orders",
    required=True,
    type=ListOf(click.IntRange(1, 255)),
    metavar="N,...",
    help="Tokens of an n-gram, 1 .. 255; several orders are counted in one sweep.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="File to write: .npz, .parquet, .arrow, .csv, .tsv, or without suffix a directory of .npy "
    "files; with {n} in its name for several orders.  [default: print the most frequent]",
)
@click.option(
    "--min-count", type=Count(), default=1, show_default=True, help="Leave out rarer ones."
)
@click.option("--top", type=Count(), help="Only this many of the most frequent, of each order.")
@click.option(
    "--sort",
    type=click.Choice(["tokens", "count"]),
    help="Lexicographic order of the ids, or the most frequent first.  [default: tokens; count "
    "with --top]",
)
@click.option(
    "--with",
    "facts",
    type=ListOf(click.Choice(["followers", "predecessors", "documents"])),
    default=(),
    metavar="NAME,...",
    help="Also count of each n-gram the distinct tokens after it (followers), before it "
    "(predecessors), or the documents in which it begins (documents).",
)
@click.option(
    "--boundary",
    type=click.Choice(["stream", "document"]),
    default="stream",
    show_default=True,
    help="Whether n-grams run across documents or stay inside.",
)
@click.option(
    "--method",
    type=click.Choice(["auto", "suffixes", "hash"]),
    default="auto",
    show_default=True,
    help="By sorted suffixes, or by hashing n-grams that fit 16 bytes; the result is the same.",
)
@click.option("--decode", is_flag=True, help="Also write what each n-gram spells.")
@json_option
@shared_options("threads", "memory_limit", "quiet")
def ngrams(
    common: Globals,
    store: dict[str, Any],
    orders: tuple[int, ...],
    output: str | None,
    min_count: int,
    top: int | None,
    sort: Any,
    facts: tuple[str, ...],
    boundary: str,
    method: str,
    decode: bool,
    as_json: bool,
) -> None:
    """Count the n-grams of a corpus.

    A table has a column per position of the n-grams, with ids of tokens, and columns of counts.
    Without -o the most frequent are printed.
    """
    from ngramstat.corpus import Corpus
    from ngramstat.counts.ngrams import ngrams as count
    from ngramstat.counts.ngrams import write_ngrams

    options: dict[str, Any] = {
        "min_count": min_count,
        "sort": sort,
        **dict.fromkeys(facts, True),
        "boundary": boundary,
        "method": method,
        "threads": common.threads,
        "memory_limit": common.memory_limit,
        "progress": not common.quiet,
    }
    corpus = Corpus.open(**store)
    if output is not None:
        written = write_ngrams(corpus, output, orders, top=top, text=decode, **options)
        if as_json:
            echo_json({"files": written})
        else:
            for path, rows in written.items():
                click.echo(f"Wrote {path}: {count_of(rows, 'n-gram')}")
        return
    decode = decode or corpus.tokenizer_path is not None
    tables = count(corpus, orders, top=_SHOWN if top is None else top, **options)
    if as_json:
        echo_json({str(order): _as_lists(table, decode) for order, table in tables.items()})
        return
    for table in tables.values():
        click.echo(_as_text(table, decode))


@command(
    examples=[
        "ngramstat counts collocations corpus --top 50",
        "ngramstat counts collocations corpus --measure pmi --min-count 20 -o pmi.csv --decode",
    ]
)
@corpus_options
@click.option(
    "--measure",
    type=click.Choice(["log-likelihood", "pmi", "npmi", "t-score", "chi-square", "dice"]),
    default="log-likelihood",
    show_default=True,
    help="Measure of association; docs/ngrams.md has the formulas.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="File to write, as for `counts ngrams`.  [default: print the first 20]",
)
@click.option(
    "--min-count", type=Count(), default=5, show_default=True, help="Leave out rarer ones."
)
@click.option("--top", type=Count(), help="Only this many with the highest scores.")
@click.option("--decode", is_flag=True, help="Also write what each bigram spells.")
@json_option
@shared_options("threads", "memory_limit", "quiet")
def collocations(
    common: Globals,
    store: dict[str, Any],
    measure: str,
    output: str | None,
    min_count: int,
    top: int | None,
    decode: bool,
    as_json: bool,
) -> None:
    """List the bigrams that occur more often than independent tokens would.

    Bigrams are adjacent tokens of one document; separators are left out.
    """
    from ngramstat.corpus import Corpus
    from ngramstat.counts.collocations import collocations as find
    from ngramstat.counts.table_files import check_table_path

    corpus = Corpus.open(**store)
    if output is not None:
        check_table_path(output, text=decode)
        if decode:
            corpus.decode([])
    table = find(
        corpus,
        measure=measure,
        min_count=min_count,
        top=_SHOWN if top is None and output is None else top,
        threads=common.threads,
        memory_limit=common.memory_limit,
        progress=not common.quiet,
    )
    if output is not None:
        table.save(output, text=decode)
        if as_json:
            echo_json({"files": {output: len(table)}})
        else:
            click.echo(f"Wrote {output}: {count_of(len(table), 'bigram')}")
        return
    decode = decode or corpus.tokenizer_path is not None
    if as_json:
        echo_json({"measure": measure, "total": table.total, **_as_lists(table, decode)})
    else:
        click.echo(_as_text(table, decode))


def _as_lists(table: NgramTable | CollocationTable, decode: bool) -> dict[str, Any]:
    """The columns for JSON."""
    columns = table.columns(text=decode)
    return {
        name: values if isinstance(values, list) else values.tolist()
        for name, values in columns.items()
    }


def _as_text(table: NgramTable | CollocationTable, decode: bool) -> str:
    """The columns of counts, then the ids, then the text, aligned."""
    columns = _as_lists(table, decode)
    ids = [columns.pop(name) for name in list(columns) if name.startswith("token_")]
    texts = columns.pop("text", None)
    shown = {name: [_number(value) for value in values] for name, values in columns.items()}
    shown["tokens"] = [" ".join(map(str, gram)) for gram in zip(*ids, strict=True)]
    if texts is not None:
        shown["text"] = [repr(text) for text in texts]
    lines = []
    widths = {name: max(map(len, [name, *cells])) for name, cells in shown.items()}
    for row in [list(shown), *map(list, zip(*shown.values(), strict=True))]:
        cells = [
            cell.ljust(width) if name in ("tokens", "text") else cell.rjust(width)
            for cell, (name, width) in zip(row, widths.items(), strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"
