"""`ngramstat model train`."""

from __future__ import annotations

from typing import Any

import click

from ngramstat.cli.command import command
from ngramstat.cli.options import Globals, ListOf, check_file, corpus_options, shared_options

__all__ = ["train"]


@command(
    examples=[
        "ngramstat model train corpus -o lm.kn --order 5",
        "ngramstat model train corpus -o small.kn --min-counts 1,1,2",
    ]
)
@corpus_options
@click.option(
    "-o", "--output", required=True, type=click.Path(), callback=check_file, help="File to write."
)
@click.option(
    "--order",
    type=click.IntRange(1, 16),
    default=5,
    show_default=True,
    help="Tokens of the longest n-grams; contexts have one less.",
)
@click.option(
    "--boundary",
    type=click.Choice(["stream", "document"]),
    help="Whether contexts run across documents or stay inside, with the ends of documents "
    "predicted.  [default: document, where the corpus has documents]",
)
@click.option(
    "--min-counts",
    type=ListOf(click.IntRange(1)),
    metavar="N,...",
    help="Keep n-grams of 1, 2, ... tokens that occur this often; the last number holds for all "
    "longer ones.  [default: all]",
)
@shared_options("threads", "memory_limit", "quiet")
def train(
    common: Globals,
    store: dict[str, Any],
    output: str,
    order: int,
    boundary: str | None,
    min_counts: tuple[int, ...] | None,
) -> None:
    """Train an interpolated modified Kneser-Ney model on a corpus."""
    from ngramstat.corpus import Corpus
    from ngramstat.ngram_models.kneser_ney import KneserNeyModel

    model = KneserNeyModel.train(
        Corpus.open(**store),
        order,
        boundary=boundary,
        min_counts=min_counts,
        threads=common.threads,
        memory_limit=common.memory_limit,
        progress=not common.quiet,
    )
    model.save(output)
    click.echo(f"{output}: {model!r}")
