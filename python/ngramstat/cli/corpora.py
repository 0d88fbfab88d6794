"""The commands that make and describe token stores: `tokenize`, `inspect`."""

from __future__ import annotations

import json
from typing import Any

import click

from ngramstat.cli.options import (
    Count,
    Globals,
    corpus_options,
    file_option,
    global_options,
    json_option,
)
from ngramstat.cli.output import write_section
from ngramstat.runtime.numbers import count_text

__all__ = ["inspect", "tokenize"]


@click.command()
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
    help="Field of JSON (doc.text: in an object) or column of a table that holds the text.",
)
@click.option(
    "--document",
    type=click.Choice(["auto", "file", "line", "paragraph", "record"]),
    default="auto",
    show_default=True,
    help="What one document is; paragraphs stand between blank lines.",
)
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
@global_options
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
    from ngramstat.corpus.text.findings import text_notes
    from ngramstat.corpus.unknown import unknown_finding
    from ngramstat.runtime.resources import parse_size

    corpus = make(
        inputs,
        output,
        vocab_size=vocab_size,
        tokenizer=tokenizer,
        pre_tokenizer=pre_tokenizer,
        separator=separator,
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
    unknown = unknown_finding(corpus.tokenization)
    for note in [*([] if unknown is None else [unknown]), *text_notes(corpus.tokenization)]:
        click.echo(f"Note: {note}", err=True)
    if as_json:
        click.echo(json.dumps({**corpus.info(), "tokenization": corpus.tokenization}, indent=2))
    else:
        click.echo(
            f"{output}: {count_text(corpus.n_tokens)} tokens, {count_text(corpus.n_documents)} "
            f"documents, vocabulary {count_text(corpus.vocab_size)}, {corpus.dtype.name}"
        )


@click.command()
@corpus_options
@json_option
@file_option
@global_options
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
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
        click.echo(f"{name:<{width}}  {'unknown' if value is None else text}")
