"""``ngramstat index overlap``: which documents of a new text are in the indexed corpus."""

from __future__ import annotations

from typing import Any

import click

from ngramstat.cli.command import command, under
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import (
    Globals,
    check_file,
    document_option,
    json_option,
    shared_options,
    text_field_option,
)
from ngramstat.runtime.numbers import count_of

__all__ = ["overlap"]


@command(
    examples=[
        "ngramstat index overlap INDEX benchmark.jsonl --text-field question --min-length 13",
        "ngramstat index overlap INDEX held-out -o report.json",
        "ngramstat index overlap INDEX generated.txt --document line -o spans.csv",
    ]
)
@click.argument("index", type=click.Path())
@click.argument("inputs", nargs=-1, required=True, type=click.Path())
@click.option(
    "--min-length",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Tokens of the shortest span that counts.",
)
@click.option(
    "--min-share",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of its tokens in spans from which on a document counts as contaminated.",
)
@click.option(
    "--tokens",
    "holds_tokens",
    is_flag=True,
    help="JSON lines, Parquet and Arrow hold token ids, not text.",
)
@text_field_option
@document_option("What one document of text is")
@click.option(
    "--separator",
    type=click.IntRange(min=0),
    help="Id of the token between documents, if the tokenizer of the index has no end of text.",
)
@under(
    "Output",
    click.option(
        "-o",
        "--output",
        type=click.Path(),
        callback=check_file,
        help="File to write. .json: everything; .jsonl: a line per document with spans; .csv, "
        ".parquet: a row per span.",
    ),
)
@json_option
@shared_options("threads", "memory_limit", "quiet")
def overlap(
    common: Globals,
    index: str,
    inputs: tuple[str, ...],
    min_length: int,
    min_share: float,
    holds_tokens: bool,
    text_field: str,
    document: Any,
    separator: int | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Find the spans of a new text that stand in the indexed corpus.

    INDEX is the directory of an index. INPUTS are files of text as `tokenize` takes them, encoded
    by the tokenizer of the indexed corpus, or a token store. Each line of plain text with
    --document line, or each record, is a document.
    """
    from ngramstat.index.new_texts import corpus_of_inputs
    from ngramstat.index.ngram_index import NgramIndex
    from ngramstat.index.overlap_report import require_report_name

    if output is not None:
        require_report_name(output)
    opened = NgramIndex.open(index)
    show = not common.quiet
    with corpus_of_inputs(
        inputs,
        opened.tokenizer,
        holds_tokens=holds_tokens,
        text_field=text_field,
        document=document,
        separator=separator,
        threads=common.threads,
        progress=show,
    ) as corpus:
        result = opened.overlap(
            corpus,
            min_length=min_length,
            min_share=min_share,
            threads=common.threads,
            memory_limit=common.memory_limit,
            progress=show,
        )
        if output is not None:
            result.save(output)
            click.echo(f"Wrote {output}", err=True)
        if as_json:
            echo_json(result.to_dict())
            return
    _show(result)


def _show(result: Any) -> None:
    facts = result.summary()
    documents = count_of(facts["documents"], "document")
    click.echo(
        f"{facts['contaminated_documents']:,} of {documents} ({facts['contaminated_share']:.1%}) "
        f"share {result.min_length} tokens or more in a row with the corpus"
        + (f", and {result.min_share:.0%} of their tokens" if result.min_share else "")
    )
    click.echo(
        f"{facts['covered_tokens']:,} of {count_of(facts['tokens'], 'token')} "
        f"({facts['share']:.1%}) lie in {count_of(facts['spans'], 'span')}; the longest match has "
        f"{count_of(facts['longest_match'], 'token')}"
    )
    if facts["capped_spans"]:
        click.echo(
            f"{count_of(facts['capped_spans'], 'span')} reach the limit of {result.max_length} "
            "tokens up to which the index compares: another place may match further"
        )
