"""``ngramstat theories solvable``: ridge regression on random features of latents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ngramstat.cli.command import command
from ngramstat.cli.options import Globals, file_option, json_option, shared_options
from ngramstat.cli.theories.figure_file import figure_option, finish
from ngramstat.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["solvable"]

_MAPS = ("linear", "relu", "tanh")
# The spectrum of one-hot tokens among those of theories.json.
_OF_TOKENS = "one-hot tokens"


@command(
    examples=[
        "ngramstat theories solvable --figure solvable.svg",
        "ngramstat theories solvable --alpha 1 --shift 16 --latents 32 --map relu",
        "ngramstat theories solvable --run run --json",
    ]
)
@click.option(
    "--run",
    type=click.Path(),
    help="A run with theories.json: latents are those of its tokens.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(min=0, min_open=True),
    help="Variances of the latents fall as (I + shift)^-(1 + alpha).  [default: 0.5]",
)
@click.option(
    "--shift",
    type=click.FloatRange(min=0),
    help="With 0 a few latents dominate, which planar theory excludes.  [default: 8]",
)
@click.option(
    "--latents",
    type=click.IntRange(4, 1024),
    default=64,
    show_default=True,
    help="Number of latents, M.",
)
@click.option(
    "--features",
    type=click.IntRange(32, 4096),
    default=256,
    show_default=True,
    help="Number of features, N, more than twice the latents.",
)
@click.option(
    "--map",
    "maps",
    type=click.Choice(_MAPS),
    multiple=True,
    help="Map of the features; may be given several times.  [default: all]",
)
@click.option(
    "--draws",
    type=click.IntRange(2, 1000),
    default=6,
    show_default=True,
    help="Simulations of each spectrum and loss.",
)
@figure_option
@json_option
@file_option
@shared_options("seed", "quiet")
def solvable(
    common: Globals,
    maps: tuple[Any, ...],
    figure: str | None,
    as_json: bool,
    output: str | None,
    **options: Any,
) -> None:
    """Simulate the solvable model with linear and nonlinear features, and compare with theory.

    Ridge regression on N random features of M latents from T samples: the spectrum of the
    features beyond M, test losses with and without ridge, and the best use of a budget N T.
    """
    from ngramstat.report.solvable import solvable_chart, summarize_solvable
    from ngramstat.theories.feature_study import study_features

    eigenvalues, source = _latents(
        *(options.pop(name) for name in ("run", "alpha", "shift", "latents"))
    )
    result = study_features(
        eigenvalues, maps=maps or _MAPS, source=source, seed=common.seed,
        progress=not common.quiet, **options,
    )  # fmt: skip
    finish(
        result, summarize_solvable(result), solvable_chart(result),
        as_json=as_json, output=output, figure=figure,
    )  # fmt: skip


def _latents(
    run: str | None, alpha: float | None, shift: float | None, latents: int
) -> tuple[NDArray[np.float64], str]:
    """Their variances, and where these are from, in words."""
    import numpy as np

    from ngramstat.results import THEORIES_FILE, TheoriesResult

    if run is None:
        alpha, shift = 0.5 if alpha is None else alpha, 8.0 if shift is None else shift
        ranks = np.arange(1, latents + 1, dtype=np.float64)
        return (ranks + shift) ** -(1 + alpha), f"variances (I + {shift:g})^-{1 + alpha:g}"
    if alpha is not None or shift is not None:
        raise click.UsageError(
            "--alpha and --shift describe a power law; leave them out with --run"
        )
    path = Path(run)
    path = path / THEORIES_FILE if path.is_dir() else path
    if not path.exists():
        raise InputError(f"{path}: does not exist; `ngramstat theories {run}` writes it")
    panel = TheoriesResult.load(path)
    found = [table.value for table in panel.spectra if _OF_TOKENS in table.of]
    if not found or np.count_nonzero(found[0] > 0) < latents:
        raise InputError(f"{path}: has no spectrum of {latents} tokens; measure its corpus again")
    return found[0][:latents], f"the {latents} most frequent tokens of {run}"
