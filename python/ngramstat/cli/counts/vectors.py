"""The command that writes word vectors."""

from __future__ import annotations

from typing import Any

import click

from ngramstat.cli.command import command, under
from ngramstat.cli.console import echo_json
from ngramstat.cli.counts.pairs import window_options
from ngramstat.cli.options import (
    Globals,
    check_file,
    compose,
    corpus_options,
    json_option,
    shared_options,
)
from ngramstat.runtime.numbers import count_text

__all__ = ["vectors"]


@command(
    examples=[
        "ngramstat counts vectors corpus -o vectors.txt",
        "ngramstat counts vectors corpus --dimensions 300 --window 2 --shift 5 -o v.safetensors",
        "ngramstat counts vectors corpus --matrix matrix -o vectors.txt",
    ]
)
@corpus_options
@window_options
@compose(
    click.option(
        "--matrix",
        type=click.Path(),
        help="Take these counts of the corpus, a directory or .npz of `ngramstat counts pairs`, "
        "instead of counting pairs.  [default: --window 5 to both sides]",
    ),
    click.option(
        "--one-sided",
        is_flag=True,
        help="Count only the tokens after each token as its context, not those on both sides.",
    ),
    click.option(
        "--dimensions",
        type=click.IntRange(min=1),
        default=100,
        show_default=True,
        help="Of the vectors.",
    ),
    click.option(
        "--exponent",
        type=float,
        default=0.5,
        show_default=True,
        help="Exponent of the singular values in the vectors.",
    ),
    click.option(
        "--shift",
        type=float,
        default=1.0,
        show_default=True,
        help="Number of negative samples whose logarithm is subtracted from the PMI.",
    ),
    click.option(
        "--context-smoothing",
        type=float,
        default=0.75,
        show_default=True,
        help="Exponent of the counts of contexts; 1: none.",
    ),
    under(
        "Output",
        click.option(
            "-o",
            "--output",
            required=True,
            type=click.Path(),
            callback=check_file,
            help="File to write.",
        ),
        click.option(
            "--to",
            type=click.Choice(["word2vec", "safetensors"]),
            help="word2vec is text.  [default: as the name ends]",
        ),
    ),
)
@json_option
@shared_options("threads", "memory_limit", "quiet")
def vectors(
    common: Globals,
    store: dict[str, Any],
    matrix: str | None,
    one_sided: bool,
    output: str,
    to: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Write word vectors: singular vectors of the PPMI of co-occurring tokens."""
    from ngramstat.corpus import Corpus
    from ngramstat.counts.matrix_files import load_matrix
    from ngramstat.counts.vectors import word_vectors

    found = word_vectors(
        Corpus.open(**store),
        matrix=None if matrix is None else load_matrix(matrix),
        symmetric=not one_sided,
        **options,
        threads=common.threads,
        memory_limit=common.memory_limit,
        progress=not common.quiet,
    )
    found.save(output, to=to)
    assert found.singular_values is not None
    if as_json:
        n_tokens, dimensions = found.vectors.shape
        echo_json(
            {
                "path": output,
                "tokens": n_tokens,
                "dimensions": dimensions,
                "singular_values": found.singular_values.tolist(),
            }
        )
        return
    click.echo(
        f"{output}: {count_text(len(found))} tokens, {found.vectors.shape[1]} dimensions, singular "
        f"values {found.singular_values[0]:.4g} to {found.singular_values[-1]:.4g}"
    )
