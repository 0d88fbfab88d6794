"""`ngramstat model verify`."""

from __future__ import annotations

import click

from ngramstat.cli.command import command
from ngramstat.cli.options import Globals, shared_options

__all__ = ["verify"]


@command(examples=["ngramstat model verify lm.kn"])
@click.argument("model", type=click.Path())
@shared_options()
def verify(common: Globals, model: str) -> None:
    """Read a whole model file, and check its checksums.

    Of a mixture, also that its corpus is there and has not changed.
    """
    from ngramstat.ngram_models.loading import load_model

    loaded = load_model(model, verify=True)
    click.echo(f"{model}: all checksums are right: {loaded!r}")
