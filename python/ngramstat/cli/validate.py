"""`ngramstat validate`: compares trained transformers with the prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ngramstat.cli.command import command
from ngramstat.cli.console import echo_json
from ngramstat.cli.figures import figures_can_be_drawn, hint_at_figures, save_figure
from ngramstat.cli.options import (
    Count,
    Duration,
    Globals,
    ListOf,
    corpus_options,
    global_options,
    json_option,
)
from ngramstat.cli.output import lock_output

__all__ = ["validate"]


@command(
    examples=[
        "ngramstat validate corpus --budget 45m -o validation",
        "ngramstat validate corpus --models gpt2,llama --measured run -o validation",
    ],
    resumes=True,
)
@corpus_options
@click.option("-o", "--output", required=True, type=click.Path(), help="Directory of the runs.")
@click.option(
    "--models",
    type=ListOf(click.Choice(["gpt2", "gpt2-rotary", "llama"])),
    default="gpt2",
    show_default=True,
    help="Architectures, comma-separated: gpt2, gpt2-rotary, llama.",
)
@click.option(
    "--size",
    type=click.Choice(["0.1M", "0.3M", "1M", "3M", "10M", "30M", "85M", "100M"]),
    default="0.1M",
    show_default=True,
    help="Number of parameters without embeddings.",
)
@click.option(
    "--contexts",
    type=ListOf(Count()),
    default=None,
    help="Context lengths T, such as 32,64.  [default: 64]",
)
@click.option(
    "--sizes",
    type=ListOf(Count()),
    default=None,
    help="Training-set sizes P in tokens, such as 1e5,2e5,4e5.  [default: doubling from 1e5]",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 20),
    default=1,
    show_default=True,
    help="Trainings with the best settings of every size.",
)
@click.option(
    "--trials",
    type=click.IntRange(1, 100),
    default=6,
    show_default=True,
    help="Maximum number of settings (learning rate, weight decay, epochs, batch) per size.",
)
@click.option(
    "--capacity/--no-capacity",
    default=True,
    show_default=True,
    help="Also train a larger model once, to check that it gains nothing.",
)
@click.option(
    "--targets",
    type=click.Choice(["all", "last", "class"]),
    default="all",
    show_default=True,
    help="Predict all tokens, the last token of every document, or its class (the last two for "
    "hierarchy worlds).",
)
@click.option(
    "--protocol",
    type=click.Choice(["default", "paper"]),
    default="default",
    show_default=True,
    help="How to train and to fit; paper: as Cagnetta et al. (windows in order, no weight decay, "
    "small batches, 4 epochs; lags 1..192, raw slopes).",
)
@click.option(
    "--held-out",
    type=Count(),
    default="262144",
    show_default=True,
    help="Held-out tokens that losses are measured on.",
)
@click.option(
    "--tuning",
    type=Count(),
    default="32768",
    show_default=True,
    help="Held-out tokens that settings are tuned on.",
)
@click.option(
    "--budget",
    type=Duration(),
    help="Limit of training time over all calls, such as 45m, 2h or 900s.",
)
@click.option(
    "--measured",
    type=click.Path(),
    help="A finished run of `measure` on this corpus.  [default: measure it now]",
)
@click.option("--device", help="cpu, cuda or cuda:1.  [default: a GPU if there is one]")
@click.option(
    "--level",
    type=float,
    default=0.95,
    show_default=True,
    help="Confidence level of the intervals.",
)
@json_option
@global_options
def validate(
    common: Globals,
    store: dict[str, Any],
    output: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Train transformers on growing parts of the corpus and compare alpha with its prediction.

    Needs torch (pip install 'ngramstat[torch]'). Resumes after an interruption.
    """
    from ngramstat.corpus import Corpus
    from ngramstat.report.validation_summary import summarize_validation
    from ngramstat.runtime.files import atomic_write
    from ngramstat.runtime.text import encoded
    from ngramstat.validation import validate as run

    for name in ("sizes", "contexts"):
        options[name] = options[name] or ()
    corpus = Corpus.open(**store)
    lock_output(output)
    result = run(
        corpus,
        output=output,
        **common.of_run(),
        **options,
    )
    directory = Path(output)
    text = summarize_validation(result)
    written = [directory / "validation.json", directory / "runs.csv", directory / "summary.txt"]
    with atomic_write(written[2]) as file:
        file.write(encoded(text))
    if figures_can_be_drawn():
        from ngramstat.report.trained_slopes import plot_slopes
        from ngramstat.report.validation import plot_validation, plot_validation_collapse

        written.append(save_figure(plot_validation(result), directory / "losses.png"))
        if result.slopes:
            written.append(save_figure(plot_slopes(result), directory / "slopes.png"))
        for k, figure in enumerate(plot_validation_collapse(result), start=1):
            written.append(save_figure(figure, directory / f"collapse-{k}.png"))
    if as_json:
        echo_json(result.to_dict())
    else:
        click.echo(text)
    click.echo(f"Wrote {', '.join(map(str, written))}", err=True)
    hint_at_figures()
