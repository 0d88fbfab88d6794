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
    document_option,
    file_option,
    json_option,
    shared_options,
    text_field_option,
)
from ngramstat.cli.output import write_section
from ngramstat.runtime.numbers import count_of, count_text

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
    help="Vocabulary size of the BPE to train; not with --tokenizer.  [default: 8192]",
)
@click.option(
    "--pre-tokenizer",
    type=click.Choice(["byte-level", "whitespace"]),
    help="Of the BPE to train; not with --tokenizer. whitespace: as in the paper, which loses "
    "white space.  [default: byte-level]",
)
@click.option(
    "--tokenizer",
    type=click.Path(),
    help="Use this instead of training one: a tokenizer.json, a directory that holds one, a "
    ".tiktoken file, or the name of a model on the Hugging Face Hub.",
)
@click.option(
    "--separator",
    type=click.IntRange(min=0),
    help="Id of the token between documents, with --tokenizer.",
)
@click.option(
    "--special-tokens",
    type=click.Choice(["text", "keep", "error"]),
    default="text",
    show_default=True,
    help="What a text becomes that spells a special token: ordinary text, that token, an error.",
)
@click.option(
    "--train-bytes",
    metavar="SIZE",
    help="Text to train on at most, such as 64M, spread evenly over the inputs, or all."
    "  [default: 16M]",
)
@click.option(
    "--tiktoken-pattern",
    metavar="NAME|REGEX",
    help="How a .tiktoken file splits text, if its name does not tell: gpt2, cl100k, o200k, "
    "llama3, qwen, or a regular expression.",
)
@click.option(
    "--allow-download",
    is_flag=True,
    help="Fetch a --tokenizer that is named like a model of the Hugging Face Hub.",
)
@text_field_option
@document_option("What one document is")
@click.option(
    "--split-on",
    metavar="MARKER",
    help="Text between documents, such as '<|endoftext|>', which belongs to none.",
)
@click.option(
    "--format",
    type=click.Choice(
        ["auto", "text", "jsonl", "json", "csv", "tsv", "parquet", "arrow", "tar", "zip"]
    ),
    default="auto",
    show_default=True,
    help="What the inputs are; auto recognises each by its first bytes.",
)
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="At a record that cannot be used: stop, or skip it and list it in skipped.jsonl.",
)
@click.option(
    "--max-record",
    metavar="SIZE",
    default="64M",
    show_default=True,
    help="Largest record, such as a line of JSON.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing corpus.")
@json_option
@shared_options("threads", "quiet")
def tokenize(
    common: Globals,
    inputs: tuple[str, ...],
    output: str,
    vocab_size: int | None,
    pre_tokenizer: Any,
    tokenizer: str | None,
    separator: int | None,
    special_tokens: Any,
    train_bytes: str | None,
    tiktoken_pattern: str | None,
    allow_download: bool,
    text_field: str,
    document: Any,
    split_on: str | None,
    format: Any,
    on_error: Any,
    max_record: str,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make a corpus directory from text.

    INPUTS are files of plain text, JSON lines, JSON, CSV, TSV, Parquet or Arrow, tar and zip
    archives of these, all also as .gz, .xz, .bz2 or .zst; directories of such files, quoted
    patterns ('data/**/*.jsonl'), pipes, - for standard input, and URLs.
    """
    from ngramstat.corpus import tokenize as make
    from ngramstat.corpus.text.findings import text_facts, text_notes
    from ngramstat.corpus.tokenizing.tokenization import tokenization_facts, tokenization_problems
    from ngramstat.runtime.resources import parse_size

    corpus = make(
        inputs,
        output,
        vocab_size=vocab_size,
        tokenizer=tokenizer,
        pre_tokenizer=pre_tokenizer,
        separator=separator,
        special_tokens=special_tokens,
        train_bytes=train_bytes,
        tiktoken_pattern=tiktoken_pattern,
        allow_download=allow_download,
        text_field=text_field,
        document=document,
        split_on=split_on,
        format=format,
        on_error=on_error,
        max_record=parse_size(max_record, 1 << 30, "--max-record"),
        threads=common.threads,
        overwrite=overwrite,
        progress=not common.quiet,
    )
    notes = [*tokenization_problems(corpus.tokenization), *text_notes(corpus.tokenization)]
    if not common.quiet:
        notes += text_facts(corpus.tokenization)
        notes += tokenization_facts(corpus.tokenization)
    for sentence in notes:
        click.echo(f"Note: {sentence}", err=True)
    if as_json:
        echo_json({**corpus.info(), "tokenization": corpus.tokenization})
    else:
        click.echo(
            f"{output}: {count_of(corpus.n_tokens, 'token')}, "
            f"{count_of(corpus.n_documents, 'document')}, vocabulary "
            f"{count_text(corpus.vocab_size)}, {corpus.dtype.name}"
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
