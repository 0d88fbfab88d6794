"""The commands that make and describe token stores: `tokenize`, `inspect`."""

from __future__ import annotations

import json
from typing import Any

import click

from ngramstat.cli.command import command
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import (
    Count,
    Globals,
    corpus_options,
    file_option,
    json_option,
    shared_options,
)
from ngramstat.cli.output import write_section
from ngramstat.runtime.numbers import count_text

__all__ = ["inspect", "tokenize"]


@command(
    examples=[
        "ngramstat tokenize text.jsonl -o corpus",
        "ngramstat tokenize shard-*.parquet --text-field content --vocab-size 32k -o corpus",
        "ngramstat tokenize book.txt --document line --tokenizer tokenizer.json -o corpus",
    ]
)
@click.argument("inputs", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(), help="Corpus directory to write.")
@click.option(
    "--vocab-size",
    type=Count(),
    default=8192,
    show_default=True,
    help="Vocabulary size of the BPE to train.",
)
@click.option(
    "--pre-tokenizer",
    type=click.Choice(["byte-level", "whitespace"]),
    default="byte-level",
    show_default=True,
    help="Of the BPE to train. whitespace: as in the paper, which loses white space.",
)
@click.option(
    "--tokenizer", type=click.Path(), help="Use this tokenizer.json instead of training one."
)
@click.option(
    "--separator",
    type=click.IntRange(min=0),
    help="Id of the token between documents, with --tokenizer.",
)
@click.option(
    "--text-field",
    default="text",
    show_default=True,
    help="Field of JSONL or column of Parquet that holds the text.",
)
@click.option(
    "--document",
    type=click.Choice(["auto", "line", "record", "file"]),
    default="auto",
    show_default=True,
    help="What one document is.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing corpus.")
@json_option
@shared_options("threads", "quiet")
def tokenize(
    common: Globals,
    inputs: tuple[str, ...],
    output: str,
    vocab_size: int,
    pre_tokenizer: Any,
    tokenizer: str | None,
    separator: int | None,
    text_field: str,
    document: Any,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make a corpus directory from text, JSONL (also .gz, .xz, .zst) or Parquet."""
    from ngramstat.corpus import tokenize as make
    from ngramstat.corpus.unknown import unknown_finding

    corpus = make(
        inputs,
        output,
        vocab_size=vocab_size,
        tokenizer=tokenizer,
        pre_tokenizer=pre_tokenizer,
        separator=separator,
        text_field=text_field,
        document=document,
        threads=common.threads,
        overwrite=overwrite,
        progress=not common.quiet,
    )
    unknown = unknown_finding(corpus.tokenization)
    if unknown is not None:
        click.echo(f"Note: {unknown}", err=True)
    if as_json:
        echo_json({**corpus.info(), "tokenization": corpus.tokenization})
    else:
        click.echo(
            f"{output}: {count_text(corpus.n_tokens)} tokens, {count_text(corpus.n_documents)} "
            f"documents, vocabulary {count_text(corpus.vocab_size)}, {corpus.dtype.name}"
        )


@command(
    examples=[
        "ngramstat inspect corpus",
        "ngramstat inspect train.bin --dtype uint16 --separator 50256 --json",
    ]
)
@corpus_options
@json_option
@file_option
@shared_options()
def inspect(
    common: Globals,
    store: dict[str, Any],
    as_json: bool,
    output: str | None,
) -> None:
    """Describe a token store: format, tokens, documents, vocabulary, separators.

    Probable mistakes are listed under `problems`; they do not change the exit code.
    """
    from ngramstat.corpus import inspect as inspect_store

    facts = inspect_store(**store).to_dict()
    write_section(facts, output)
    if as_json:
        echo_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
        click.echo(f"{name:<{width}}  {'unknown' if value is None else text}")
