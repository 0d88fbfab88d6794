"""The command that writes a corpus in the format of another program."""

from __future__ import annotations

from typing import Any

import click

from ngramstat.cli.command import command
from ngramstat.cli.options import Globals, corpus_options, shared_options

__all__ = ["convert"]


@command(
    examples=[
        "ngramstat convert corpus -o train.bin --to nanogpt",
        "ngramstat convert ids.parquet -o data/train --to megatron",
    ]
)
@corpus_options
@click.option(
    "-o", "--output", required=True, type=click.Path(), help="File, prefix or directory to write."
)
@click.option(
    "--to",
    required=True,
    metavar="FORMAT",
    help="nanogpt (.bin), megatron (.bin and .idx), npy, corpus, or the writer of a plugin.",
)
@click.option(
    "--output-dtype",
    type=click.Choice(["uint16", "uint32"]),
    help="Type of the tokens to write.  [default: the smaller one that holds the vocabulary]",
)
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
@shared_options("quiet")
def convert(
    common: Globals,
    store: dict[str, Any],
    output: str,
    to: str,
    output_dtype: str | None,
    overwrite: bool,
) -> None:
    """Write a corpus as nanoGPT, Megatron or NumPy tokens, or as a corpus directory.

    Documents are preserved, with the separator after each one. Where a corpus has documents but no
    separator, --separator names an id that becomes one; nanogpt and npy need one.
    """
    from ngramstat.corpus import Corpus
    from ngramstat.corpus.writers import convert as write

    written = write(Corpus.open(**store), output, to, dtype=output_dtype, overwrite=overwrite)
    click.echo(f"Wrote {', '.join(map(str, written))}")
