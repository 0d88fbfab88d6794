"""``ngramstat shards``: a corpus of shards that no single machine holds, in rounds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ngramstat.cli.command import Group, under
from ngramstat.cli.console import EXIT_INPUT, fail
from ngramstat.cli.options import (
    Globals,
    Lags,
    PartOf,
    compose,
    corpus_options,
    full_option,
    json_option,
    shared_options,
    singular_values_option,
    statistics_options,
)
from ngramstat.cli.output import finish

__all__ = ["shards"]

_resources = shared_options("threads", "memory_limit", "quiet")


@click.group(cls=Group)
def shards() -> None:
    """Measure a corpus of shards that no single machine holds, in rounds.

    \b
    shards plan    DIR     once: what is measured, and of how many shards
    shards describe DIR SHARD --number i     on the machine of shard i
    shards count   DIR SHARD --number i      after all are described
    shards merge   DIR --after count         on one machine
    shards sum     DIR SHARD --number i --round 1
    shards merge   DIR --after sums
    shards sum     DIR SHARD --number i --round 2
    shards assemble DIR -o RUN

    DIR holds the files that rounds leave for each other: on a file system of all machines, or
    copied between rounds. docs/scale.md tells what each round reads and writes.
    """


def _directory(command: Any) -> Any:
    return click.argument("directory", type=click.Path())(command)


_number_option = click.option(
    "--number",
    type=click.IntRange(min=1),
    required=True,
    help="Which shard of the plan this is, from 1 in the order of the corpus.",
)

_plan_options = compose(
    under("Statistics", *statistics_options),
    under(
        "C(t)",
        click.option(
            "--lags",
            type=Lags(),
            help="Lags t: 1,2,4 or 1:32 (every lag) or 1:512:20.  [default: 24 lags up to 512]",
        ),
        singular_values_option,
        click.option(
            "--sequential/--no-sequential",
            default=True,
            show_default=True,
            help="Also compute norms with document composition removed; the machine that merges "
            "then holds the token counts of every document.",
        ),
    ),
)
_entropy_options = under(
    "H(n)",
    click.option(
        "--max-context",
        type=click.IntRange(0, 254),
        default=5,
        show_default=True,
        help="Largest context n of H(n), in tokens; at most 15 with held-out losses.",
    ),
    click.option(
        "--predictor",
        type=click.Choice(["kneser-ney", "none"]),
        default="kneser-ney",
        show_default=True,
        help="Whose held-out losses are measured: without them there is no gamma and no alpha, "
        "and a third less goes between machines.",
    ),
    click.option(
        "--held-out",
        type=float,
        help="Fraction of the tokens to hold out.  [default: a hundredth, but at least 200,000 "
        "tokens and at most a tenth; never more than 2^20 tokens]",
    ),
    click.option(
        "--learning-sizes",
        type=click.IntRange(1, 20),
        default=7,
        show_default=True,
        help="Sizes of the training set on the learning curve, each half of the next.",
    ),
    click.option(
        "--ranges",
        type=click.IntRange(min=1),
        default=64,
        show_default=True,
        help="Ranges of token ids, about, whose n-grams are counted at a time.",
    ),
)


def _workspace(common: Globals, directory: str) -> Any:
    from ngramstat.runtime.resources import parse_memory_limit, resolve_threads
    from ngramstat.runtime.workspace import Workspace

    limit = parse_memory_limit(common.memory_limit)
    return Workspace(resolve_threads(common.threads), limit, directory)


def _rounds(common: Globals, directory: str) -> Any:
    from ngramstat.sharding.rounds import ShardRounds

    return ShardRounds(Path(directory), _workspace(common, directory))


def _plan(common: Globals, number: int, lags: Any, options: dict[str, Any]) -> Any:
    from ngramstat.covariance.options import DEFAULT_LAGS, CorrelationOptions
    from ngramstat.sharding.plan import ShardPlan

    names = ("max_context", "ranges", "predictor", "held_out", "learning_sizes")
    own = {name: options.pop(name) for name in names}
    chosen = CorrelationOptions(lags=tuple(lags or DEFAULT_LAGS), seed=common.seed, **options)
    return ShardPlan(shards=number, correlations=chosen, **own)


@shards.command(
    "plan", examples=["ngramstat shards plan rounds --shards 64 --lags 1:512:20 --no-sequential"]
)
@_directory
@click.option(
    "--shards", "number", type=click.IntRange(min=1), required=True, help="How many there are."
)
@_plan_options
@_entropy_options
@shared_options("seed", "quiet")
def plan(common: Globals, directory: str, number: int, lags: Any, **options: Any) -> None:
    """Write what all rounds follow, before the first of them."""
    _plan(common, number, lags, options).save(Path(directory))


def _of_shard(name: str, example: str) -> Callable[[Callable[..., None]], click.Command]:
    """A command for the machine of one shard."""

    def decorate(function: Callable[..., None]) -> click.Command:
        for decorator in (_resources, _number_option, corpus_options, _directory):
            function = decorator(function)
        return shards.command(name, examples=[example], resumes=True)(function)

    return decorate


@_of_shard("describe", "ngramstat shards describe rounds shard-3.bin --number 3")
def describe(common: Globals, directory: str, store: dict[str, Any], number: int) -> None:
    """Tell the other shards of this one: lengths of its documents, counts of its tokens, its edges.

    Several paths are one shard.
    """
    from ngramstat.corpus import Corpus

    _rounds(common, directory).describe(number - 1, Corpus.open(**store))


@_of_shard("count", "ngramstat shards count rounds shard-3.bin --number 3")
def count(common: Globals, directory: str, store: dict[str, Any], number: int) -> None:
    """Count the pairs of a shard, send its n-grams to their ranges, and tell what is held out."""
    from ngramstat.corpus import Corpus

    _rounds(common, directory).count(number - 1, Corpus.open(**store))


@shards.command("merge", examples=["ngramstat shards merge rounds --after count"], resumes=True)
@_directory
@click.option(
    "--after",
    type=click.Choice(["count", "sums"]),
    required=True,
    help="count: add up pairs and n-grams, for the singular vectors and the counts of counts; "
    "sums: add up the sums of round 1, for the vectors of round 2, and count the models.",
)
@click.option(
    "--part",
    type=PartOf(),
    default="1/1",
    show_default=True,
    metavar="i/N",
    help="The i-th of N shares of the lags and ranges, each on a machine of its own.",
)
@_resources
def merge(common: Globals, directory: str, after: str, part: tuple[int, int]) -> None:
    """Add up what all shards left, on one machine or a share of it on each of several."""
    _rounds(common, directory).merge(after, part)


@_of_shard("sum", "ngramstat shards sum rounds shard-3.bin --number 3 --round 1")
@click.option(
    "--round",
    "number_of_round",
    type=click.IntRange(1, 2),
    required=True,
    help="1: with the singular vectors; 2: with the vectors of the folds.",
)
def sum_(
    common: Globals, directory: str, store: dict[str, Any], number: int, number_of_round: int
) -> None:
    """Sum over the documents of a shard, with the vectors that `merge` left.

    Round 1 also sends the training tokens of held-out losses to their ranges.
    """
    from ngramstat.corpus import Corpus

    rounds = _rounds(common, directory)
    step = rounds.first_sums if number_of_round == 1 else rounds.second_sums
    step(number - 1, Corpus.open(**store))


@shards.command("assemble", examples=["ngramstat shards assemble rounds -o run"])
@_directory
@click.option("-o", "--output", required=True, type=click.Path(), help="Directory of the run.")
@json_option
@full_option
@_resources
def assemble(common: Globals, directory: str, output: str, as_json: bool, full: bool) -> None:
    """Put the sums of all shards together: run.json and report, as `ngramstat measure` makes them.

    With `--predictor none` in the plan there are no brackets of H(n), no gamma and no prediction,
    and entropies.json has the counted entropies.
    """
    finish(_rounds(common, directory).assemble(Path(output)), output, as_json, full)


@shards.command(
    "run",
    examples=["ngramstat shards run shard-1.bin shard-2.bin --dtype uint16 -o run"],
    resumes=True,
)
@corpus_options
@click.option("-o", "--output", required=True, type=click.Path(), help="Directory of the run.")
@_plan_options
@_entropy_options
@json_option
@full_option
@shared_options("seed", "threads", "memory_limit", "quiet")
def run(
    common: Globals,
    store: dict[str, Any],
    output: str,
    lags: Any,
    as_json: bool,
    full: bool,
    **options: Any,
) -> None:
    """All rounds on one machine, each path a shard: to try them, or for little memory."""
    from ngramstat.corpus import Corpus
    from ngramstat.sharding.rounds import measure_shards

    paths = store.pop("path")
    if isinstance(paths, str):
        fail(f"{paths}: is one shard; `ngramstat measure` takes it", EXIT_INPUT)
    corpora = [Corpus.open(path, **store) for path in paths]
    directory = Path(output) / "rounds"
    rounds = measure_shards(
        corpora,
        _plan(common, len(corpora), lags, options),
        directory,
        _workspace(common, output),
    )
    finish(rounds.assemble(Path(output)), output, as_json, full)
