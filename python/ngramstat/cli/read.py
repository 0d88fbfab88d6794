"""`ngramstat read`: losses of a pretrained model by tokens of context."""

from __future__ import annotations

from typing import Any

import click

from ngramstat.cli.command import command
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import (
    Count,
    Globals,
    check_file,
    corpus_options,
    json_option,
    shared_options,
)

__all__ = ["read"]


@command(
    examples=[
        "ngramstat tokenize text.jsonl --tokenizer MODEL/tokenizer.json -o corpus",
        "ngramstat read MODEL corpus -o reader.csv",
    ],
    resumes=True,
)
@click.argument("model", type=click.Path())
@corpus_options
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(),
    callback=check_file,
    help="CSV file to write.",
)
@click.option(
    "--context",
    type=click.IntRange(min=2),
    help="T: contexts are 0 .. T - 1 tokens.  [default: what the model was made for, at most 1024]",
)
@click.option("--tokens", type=Count(), help="Tokens to read.  [default: 1 M]")
@click.option("--windows", type=Count(), help="Windows of T tokens to read, instead of --tokens.")
@click.option(
    "--boundary",
    type=click.Choice(["stream", "document"]),
    default="stream",
    show_default=True,
    help="Whether windows run across document ends (stream) or end with their document.",
)
@click.option(
    "--trained-on", type=Count(), help="Tokens that the model was trained on, if you know it."
)
@click.option("--learner", help="Name of the model in the output.  [default: its directory's]")
@click.option(
    "--empty-context/--no-empty-context",
    default=True,
    show_default=True,
    help="Put the model's start-of-text token, if it has one, before each window.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    help="Windows in one pass.  [default: as memory and speed suggest]",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Of the model's computations; auto is bfloat16 on GPUs that have it, else float32.",
)
@click.option("--device", help="cpu, cuda or cuda:1.  [default: a GPU if there is one]")
@json_option
@shared_options("threads", "memory_limit", "seed", "quiet")
def read(
    common: Globals,
    model: str,
    store: dict[str, Any],
    output: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure how much a trained model loses on a corpus after 0, 1, 2, ... tokens of context.

    MODEL is a directory with a Hugging Face causal language model (config.json and safetensors),
    or one run of `ngramstat validate`. CORPUS must be tokenized with the model's own tokenizer:
    ngramstat tokenize text -o corpus --tokenizer MODEL/tokenizer.json

    Needs the extra `reader` (pip install 'ngramstat[reader]'). Resumes after an interruption.
    """
    from ngramstat.corpus import Corpus
    from ngramstat.lm.reading import read_losses
    from ngramstat.report.reading import summarize_reading

    result = read_losses(
        model,
        Corpus.open(**store),
        output=output,
        seed=common.seed,
        threads=common.threads,
        memory_limit=common.memory_limit,
        progress=not common.quiet,
        **options,
    )
    if as_json:
        echo_json(result.to_dict())
    else:
        click.echo(summarize_reading(result))
    click.echo(f"Wrote {output}", err=True)
