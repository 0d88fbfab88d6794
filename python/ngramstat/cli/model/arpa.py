"""`ngramstat model export` and `import`: ARPA files."""

from __future__ import annotations

from typing import Any

import click

from ngramstat.cli.command import command
from ngramstat.cli.options import Count, Globals, check_file, shared_options

__all__ = ["export_model", "import_model"]


@command(
    "export",
    examples=[
        "ngramstat model export lm.kn -o lm.arpa",
        "ngramstat model export lm.kn -o lm.arpa.gz --words tokens",
    ],
)
@click.argument("model", type=click.Path())
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(),
    callback=check_file,
    help="ARPA file to write, compressed if its name ends with .gz.",
)
@click.option(
    "--words",
    type=click.Choice(["ids", "tokens"]),
    help="Write tokens as their ids, or as the tokenizer spells them.  [default: ids, but tokens "
    "where the model was imported with words]",
)
@shared_options("quiet")
def export_model(common: Globals, model: str, output: str, words: Any) -> None:
    """Write a model as an ARPA file, which KenLM, SRILM and others read."""
    from ngramstat.ngram_models.backoff_model import BackoffModel

    BackoffModel.load(model).write_arpa(output, words=words, progress=not common.quiet)
    click.echo(f"Wrote {output}")


@command(
    "import",
    examples=[
        "ngramstat model import lm.arpa.gz -o lm.kn",
        "ngramstat model import lm.arpa -o lm.kn --vocab-size 8192 --separator 0",
    ],
)
@click.argument("arpa", type=click.Path())
@click.option(
    "-o", "--output", required=True, type=click.Path(), callback=check_file, help="File to write."
)
@click.option(
    "--words",
    type=click.Choice(["auto", "ids", "tokens"]),
    default="auto",
    show_default=True,
    help="What words are: ids, or tokens that get ids in the order of the file (auto: ids, if all "
    "are numbers).",
)
@click.option(
    "--vocab-size",
    type=Count(),
    help="V where words are ids.  [default: what the file says, or the largest plus 1]",
)
@click.option(
    "--separator",
    type=click.IntRange(min=0),
    help="Id of <s> and </s> where words are ids.  [default: what the file says, or a new one]",
)
@shared_options("memory_limit", "quiet")
def import_model(
    common: Globals,
    arpa: str,
    output: str,
    words: Any,
    vocab_size: int | None,
    separator: int | None,
) -> None:
    """Read an ARPA file of KenLM, SRILM or others as a model to score and sample with."""
    from ngramstat.ngram_models.backoff_model import BackoffModel

    model = BackoffModel.read_arpa(
        arpa,
        words=words,
        vocab_size=vocab_size,
        separator=separator,
        memory_limit=common.memory_limit,
        progress=not common.quiet,
    )
    model.save(output)
    click.echo(f"{output}: {model!r}")
