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
        "ngramstat model train corpus -o lm.mixture --kind mixture",
    ]
)
@corpus_options
@click.option(
    "-o", "--output", required=True, type=click.Path(), callback=check_file, help="File to write."
)
@click.option(
    "--kind",
    type=click.Choice(["kneser-ney", "mixture"]),
    default="kneser-ney",
    show_default=True,
    help="mixture: many contexts mixed, which predicts better and scores far more slowly.",
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
@shared_options("threads", "memory_limit", "seed", "quiet")
def train(
    common: Globals,
    store: dict[str, Any],
    output: str,
    kind: str,
    order: int,
    boundary: str | None,
    min_counts: tuple[int, ...] | None,
) -> None:
    """Train a language model on a corpus: interpolated modified Kneser-Ney, or a mixture.

    The file of a mixture holds what was fitted; its counts are made again from the corpus, which
    has to stay where it is.
    """
    from ngramstat.corpus import Corpus
    from ngramstat.ngram_models.kneser_ney import KneserNeyModel
    from ngramstat.ngram_models.mixture.model import MixtureModel

    options: dict[str, Any] = {
        "boundary": boundary,
        "threads": common.threads,
        "memory_limit": common.memory_limit,
        "progress": not common.quiet,
    }
    corpus = Corpus.open(**store)
    model: KneserNeyModel | MixtureModel
    if kind == "mixture":
        if min_counts is not None:
            raise click.UsageError("--min-counts: a mixture keeps all n-grams")
        model = MixtureModel.train(corpus, order, seed=common.seed, **options)
    else:
        model = KneserNeyModel.train(corpus, order, min_counts=min_counts, **options)
    model.save(output)
    click.echo(f"{output}: {model!r}")
