"""The command that writes co-occurrence matrices."""

from __future__ import annotations

from typing import Any

import click

from ngramstat.cli.command import command, under
from ngramstat.cli.console import echo_json
from ngramstat.cli.options import (
    Globals,
    Lags,
    compose,
    corpus_options,
    json_option,
    shared_options,
)
from ngramstat.runtime.numbers import count_text, parse_float, parse_integer

__all__ = ["RowRange", "WeightsType", "pairs", "window_options"]


class WeightsType(click.ParamType):  # type: ignore[type-arg]
    """``uniform``, ``harmonic``, or numbers such as ``1,0.5,0.25``."""

    name = "weights"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """A name, or a tuple of floats."""
        if isinstance(value, tuple) or value in ("uniform", "harmonic"):
            return value
        try:
            return tuple(parse_float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(
                f"{value!r} is neither uniform nor harmonic nor numbers such as 1,0.5", param, ctx
            )


class RowRange(click.ParamType):  # type: ignore[type-arg]
    """``FIRST:LAST``, where LAST is excluded."""

    name = "first:last"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """(first, last)."""
        if isinstance(value, tuple):
            return value
        try:
            first, last = (parse_integer(part) for part in str(value).split(":"))
        except ValueError:
            self.fail(f"{value!r} is not FIRST:LAST", param, ctx)
        return first, last


window_options = under(
    "Pairs",
    click.option("--lags", type=Lags(), help="Separations in tokens, such as 1,2,4 or 1:32."),
    click.option("--window", type=int, help="Instead of --lags: 10 for the lags 1 to 10."),
    click.option(
        "--weights",
        type=WeightsType(),
        default="uniform",
        show_default=True,
        metavar="NAME|W,W,...",
        help="Weight of a pair by its lag: uniform, harmonic (1/lag, as in GloVe), or one number "
        "for each lag.",
    ),
    click.option(
        "--boundary",
        type=click.Choice(["stream", "document"]),
        default="stream",
        show_default=True,
        help="Whether pairs run across document ends (stream) or not (document).",
    ),
)


@command(
    examples=[
        "ngramstat counts pairs corpus --lags 1 -o bigrams.parquet",
        "ngramstat counts pairs corpus --window 10 --weights harmonic --symmetric -o glove.bin",
        "ngramstat counts pairs corpus --window 5 --boundary document --to mapped -o matrix",
    ]
)
@corpus_options
@window_options
@under(
    "Pairs",
    click.option(
        "--symmetric",
        is_flag=True,
        help="Count each pair also with its tokens exchanged, as GloVe does by default; otherwise "
        "rows are the left tokens and columns the right ones.",
    ),
)
@compose(
    under(
        "Output",
        click.option(
            "-o", "--output", required=True, type=click.Path(), help="File or directory to write."
        ),
        click.option(
            "--to",
            type=click.Choice(["npz", "parquet", "arrow", "glove", "mapped"]),
            help="npz (of scipy), parquet or arrow (row, column, count), glove (the .bin of its "
            "cooccur), mapped (a directory of .npy files).  [default: as the name ends]",
        ),
        click.option(
            "--row-range",
            type=RowRange(),
            metavar="FIRST:LAST",
            help="Only the rows of the tokens FIRST to LAST - 1.",
        ),
        click.option("--overwrite", is_flag=True, help="Replace a directory with a matrix."),
    )
)
@json_option
@shared_options("threads", "memory_limit", "quiet")
def pairs(
    common: Globals,
    store: dict[str, Any],
    output: str,
    row_range: tuple[int, int] | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Write how often tokens stand near each other.

    An entry sums the pairs of two tokens over the lags of --lags or --window, with a weight for
    each lag. Counts are exact, and rows are written as they are counted: the matrix need not fit
    the memory.
    """
    from ngramstat.corpus import Corpus
    from ngramstat.counts.matrix_files import save_cooccurrence

    written = save_cooccurrence(
        Corpus.open(**store),
        output,
        **options,
        rows=row_range,
        threads=common.threads,
        memory_limit=common.memory_limit,
        progress=not common.quiet,
    )
    if as_json:
        echo_json(written)
        return
    n_rows, n_columns = written["shape"]
    click.echo(
        f"{output}: {count_text(n_rows)} x {count_text(n_columns)}, "
        f"{count_text(written['entries'])} entries, sum {written['total']:,.15g}"
    )
