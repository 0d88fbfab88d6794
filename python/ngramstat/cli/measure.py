"""The commands that measure: `measure`, its halves, `plan` and `quickstart`."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ngramstat.cli.command import command, under
from ngramstat.cli.console import EXIT_INPUT, echo_json, fail
from ngramstat.cli.options import (
    Count,
    Duration,
    Globals,
    HeldOut,
    Lags,
    Numbers,
    PartOf,
    Window,
    compose,
    corpus_options,
    file_option,
    full_option,
    global_options,
    json_option,
    protocol_option,
    shared_options,
    singular_values_option,
    statistics_options,
)
from ngramstat.cli.output import finish, lock_output, show, write_section

__all__ = ["correlations", "entropies", "measure", "measure_options", "plan", "quickstart"]

_statistics_options = under("Statistics", *statistics_options)
_pair_options = under(
    "C(t)",
    click.option(
        "--lags", type=Lags(), help="Lags t: 1,2,4 or 1:32 (every lag) or 1:512:20 (20 lags)."
    ),
    singular_values_option,
    click.option(
        "--vocab-top",
        type=Count(),
        help="Restrict C(t) to this many of the most frequent vocabulary items.  [default: all]",
    ),
    click.option(
        "--sequential/--no-sequential",
        default=True,
        show_default=True,
        help="Also compute norms with document composition removed (a third of the time).",
    ),
    click.option(
        "--matrix-free",
        is_flag=True,
        help="Compute norms without a table of pairs: little memory, more time. Needs "
        "--no-sequential.",
    ),
    click.option(
        "--beta-window", type=Window(), help="Lags to fit beta on.  [default: chosen from the data]"
    ),
    protocol_option("default"),
)
_entropy_options = under(
    "H(n)",
    click.option(
        "--max-context",
        type=int,
        default=5,
        show_default=True,
        help="Largest context n of H(n), in tokens.",
    ),
    click.option(
        "--held-out",
        type=HeldOut(),
        help="Fraction of the tokens to hold out, or the path of a held-out corpus.  "
        "[default: a hundredth, but at least 200,000 tokens and at most a tenth]",
    ),
    click.option(
        "--predictor",
        type=click.Choice(["mixture", "kneser-ney"]),
        default="mixture",
        show_default=True,
        help="Held-out predictor: a mixture of contexts, or Kneser-Ney alone.",
    ),
    click.option(
        "--learning-sizes",
        type=click.IntRange(1, 20),
        default=7,
        show_default=True,
        help="Number of training-set sizes on the learning curves; each is half of the next.",
    ),
)


# The options of `measure` that say what is measured, of which corpus, and where it goes.
measure_options = compose(
    corpus_options,
    _statistics_options,
    _pair_options,
    _entropy_options,
    click.option("-o", "--output", required=True, type=click.Path(), help="Directory of the run."),
    click.option(
        "--tokens",
        type=Numbers(),
        default=(),
        help="Training tokens to predict for, such as 1e9,1e12.  [default: as in the run so far]",
    ),
    click.option(
        "--overwrite",
        is_flag=True,
        help="Replace the result of another run in the output directory.",
    ),
)


@command(
    examples=[
        "ngramstat correlations corpus",
        "ngramstat correlations corpus --lags 1:512:20 --boundary document -o correlations.json",
        "ngramstat correlations train.bin --dtype uint16 --vocab-size 50257 --no-sequential",
    ]
)
@corpus_options
@_statistics_options
@_pair_options
@json_option
@file_option
@global_options
def correlations(
    common: Globals,
    store: dict[str, Any],
    as_json: bool,
    output: str | None,
    **options: Any,
) -> None:
    """Measure C(t): norms of the token covariances, their noise, and beta."""
    _run(common, store, as_json, output, entropies=False, **options)


@command(
    examples=[
        "ngramstat entropies corpus",
        "ngramstat entropies corpus --max-context 3 --held-out validation -o entropies.json",
    ]
)
@corpus_options
@_statistics_options
@_entropy_options
@json_option
@file_option
@global_options
def entropies(
    common: Globals,
    store: dict[str, Any],
    as_json: bool,
    output: str | None,
    **options: Any,
) -> None:
    """Measure H(n): next-token entropies, counted and held out, and gamma."""
    _run(common, store, as_json, output, correlations=False, **options)


def _run(
    common: Globals, store: dict[str, Any], as_json: bool, output: str | None, **options: Any
) -> None:
    from ngramstat.api import MeasureOptions, run
    from ngramstat.corpus import Corpus

    result = run(Corpus.open(**store), MeasureOptions(**common.of_run(), **options))
    write_section(result.to_dict(), output)
    show(result, as_json)


@command(
    examples=[
        "ngramstat measure corpus -o run",
        "ngramstat measure corpus --lags 1:512:20 --max-context 6 --tokens 1e9,1e12 -o run",
        "ngramstat measure corpus -o run --train 40m",
        "ngramstat measure corpus -o run --part 2/3",
    ],
    resumes=True,
)
@measure_options
@click.option(
    "--train",
    "training_seconds",
    type=Duration(),
    help="Also train small models on the text for at most this long, such as 40m, and take gamma "
    "from their losses (needs the extra torch). Resumes like the rest.",
)
@click.option(
    "--part",
    type=PartOf(),
    metavar="i/N",
    help="Compute only the i-th of N shares of the parts of a run, and then what no other process "
    "has begun. Processes on several machines may share the output directory; measure without "
    "--part puts the parts together.",
)
@click.option(
    "--ray",
    "ray_address",
    metavar="ADDRESS",
    help="Compute the parts on a Ray cluster: auto, HOST:PORT or ray://HOST:PORT (needs the extra "
    "ray). Every node has to read the corpus, and none but this one the output.",
)
@full_option
@json_option
@global_options
def measure(
    common: Globals,
    store: dict[str, Any],
    output: str,
    training_seconds: float | None,
    full: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure C(t), H(n) and the exponents, and predict alpha. Resumes after an interruption."""
    from ngramstat.api import RUN_FILE, MeasureOptions, run_on_ray
    from ngramstat.api import measure as run_all
    from ngramstat.corpus import Corpus

    corpus = Corpus.open(**store)
    part, ray_address = options.pop("part"), options.pop("ray_address")
    if part is not None:
        if training_seconds is not None or ray_address is not None:
            raise click.UsageError("--part goes neither with --train nor with --ray")
        _measure_share(common, corpus, part, as_json, output=output, **options)
        return
    lock_output(output)
    if training_seconds is not None:
        from ngramstat.lm.run import require_torch

        require_torch()  # refused now, not after the measurement
    # `measure CORPUS -o RUN --train 40m` continues a run, with whatever options it was measured.
    continues = training_seconds is not None and _all_by_default(options)
    if not (continues and (Path(output) / RUN_FILE).exists()):
        if ray_address is None:
            result = run_all(corpus, output=output, **common.of_run(), **options)
        else:
            chosen = MeasureOptions(output=output, **common.of_run(), **options)
            result = run_on_ray(store, chosen, ray_address)
    if training_seconds is not None:
        from ngramstat.validation import measure_trained

        result = measure_trained(
            corpus, output, training_seconds, threads=common.threads, seed=common.seed,
            progress=not common.quiet,
        )  # fmt: skip
    finish(result, output, as_json, full)


def _measure_share(
    common: Globals, corpus: Any, part: tuple[int, int], as_json: bool, **options: Any
) -> None:
    """Compute one share of the parts of a run, and say how far the run is."""
    from ngramstat.api import MeasureOptions, run_share

    done = run_share(corpus, MeasureOptions(**common.of_run(), **options), part)
    if as_json:
        echo_json(dataclasses.asdict(done))
        return
    number, processes = part
    left = "" if done.done == done.parts else ", others are being computed"
    click.echo(
        f"Share {number} of {processes}: computed {done.computed} parts; {done.done} of "
        f"{done.parts} parts of the run are done{left}. The same command without --part puts them "
        f"together: {_without_part(sys.argv)}"
    )


def _without_part(words: Sequence[str]) -> str:
    """A command line that is this one but for --part."""
    kept: list[str] = ["ngramstat"]
    follows = False
    for word in words[1:]:
        if not (follows or word == "--part" or word.startswith("--part=")):
            kept.append(word)
        follows = word == "--part"
    return shlex.join(kept)


@command(
    examples=[
        "ngramstat plan corpus",
        "ngramstat plan corpus --memory-limit 16G --predictor kneser-ney",
    ]
)
@corpus_options
@_statistics_options
@_pair_options
@_entropy_options
@json_option
@file_option
@shared_options("threads", "memory_limit", "seed")
def plan(
    common: Globals,
    store: dict[str, Any],
    as_json: bool,
    output: str | None,
    **options: Any,
) -> None:
    """Estimate what `measure` would need: passes over the corpus, memory, disk, time.

    The exit code is 2 if the memory limit is too small.
    """
    from ngramstat.api import plan as make
    from ngramstat.corpus import Corpus

    needs = make(
        Corpus.open(**store),
        threads=common.threads,
        memory_limit=common.memory_limit,
        seed=common.seed,
        **options,
    ).to_dict()
    write_section(needs, output)
    if as_json:
        echo_json(needs)
    else:
        from ngramstat.report.summary import plan_table

        click.echo(plan_table(needs))
    if needs["problems"]:
        fail("; ".join(needs["problems"]), EXIT_INPUT)


def _all_by_default(options: Mapping[str, Any]) -> bool:
    """Whether none of these options of the current command was given."""
    context = click.get_current_context()
    default = (ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP, None)
    return all(context.get_parameter_source(name) in default for name in options)


@command(
    examples=[
        "ngramstat quickstart",
        "ngramstat quickstart --full -o first",
    ],
    resumes=True,
)
@click.option(
    "-o",
    "--output",
    default="ngramstat-quickstart",
    show_default=True,
    type=click.Path(),
    help="Directory to write.",
)
@full_option
@json_option
@global_options
def quickstart(common: Globals, output: str, full: bool, as_json: bool) -> None:
    """Measure a world of known answer, then the sources of Python's standard library."""
    from ngramstat.corpus.tokenizing.engines import require_tokenizers
    from ngramstat.quickstart import known_values, standard_library_sources
    from ngramstat.quickstart import quickstart as run_all
    from ngramstat.report.known_values import known_values_table

    lock_output(output)
    if not (Path(output) / "corpus" / "corpus.json").exists():
        # Said before the minutes that the first part takes.
        require_tokenizers()
    rows = known_values(threads=common.threads, seed=common.seed)
    lines = known_values_table([(r.name, r.truth, r.low, r.high) for r in rows], level=0.95)
    click.echo("\n".join(lines) + "\n", err=as_json)
    sources, unreadable = standard_library_sources()
    if not common.quiet:
        click.echo(
            f"{len(sources)} files of the Python standard library, one document each", err=True
        )
        for path in unreadable:
            click.echo(f"skipped, not UTF-8: {path}", err=True)
    _, result = run_all(
        output,
        sources=sources,
        **common.of_run(),
    )
    finish(result, str(Path(output) / "run"), as_json, full)
