"""The commands: each reads its options, calls one library function and shows what came out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from ngramstat.cli.figures import hint_at_pictures, pictures_can_be_drawn, save_figure
from ngramstat.cli.options import (
    EXIT_INPUT,
    Globals,
    Group,
    HeldOut,
    Lags,
    MeasuredLoss,
    Numbers,
    Window,
    backend_option,
    compose,
    corpus_options,
    fail,
    global_options,
    gpu_memory_option,
    json_option,
)
from ngramstat.cli.validate import validate
from ngramstat.cli.worlds import synthesize
from ngramstat.errors import InputError
from ngramstat.version import __version__

__all__ = ["main"]

_statistics_options = compose(
    click.option(
        "--boundary",
        type=click.Choice(["stream", "document"]),
        default="stream",
        show_default=True,
        help="Pairs and contexts run across documents, or stay inside.",
    ),
    click.option("--replicates", type=click.IntRange(min=0), default=999, show_default=True),
    click.option("--level", type=float, default=0.95, show_default=True, help="Of the intervals."),
)
_pair_options = compose(
    click.option("--lags", type=Lags(), help="Such as 1,2,4 or 1:32 or 1:512:20."),
    click.option("--singular-values", type=click.IntRange(1, 8), default=8, show_default=True),
    click.option(
        "--vocab-top",
        type=click.IntRange(1),
        help="Restrict C(t) to this many of the most frequent types.  [default: all]",
    ),
    click.option(
        "--sequential/--no-sequential",
        default=True,
        show_default=True,
        help="Also with the documents' composition removed, which takes two thirds of the time.",
    ),
    click.option(
        "--matrix-free",
        is_flag=True,
        help="Count no pairs: little memory at any vocabulary, more time. With --no-sequential.",
    ),
    click.option("--beta-window", type=Window(), help="Lags to fit beta on [default: found]."),
)
_entropy_options = compose(
    click.option("--max-context", type=int, default=5, show_default=True),
    click.option(
        "--held-out",
        type=HeldOut(),
        default=0.01,
        show_default=True,
        help="Share of documents to hold out, or a held-out corpus.",
    ),
    click.option(
        "--predictor",
        type=click.Choice(["mixture", "kneser-ney"]),
        default="mixture",
        show_default=True,
        help="Best held-out predictor to count: contexts mixed, or Kneser-Ney alone.",
    ),
    click.option(
        "--learning-sizes",
        type=click.IntRange(1, 20),
        default=7,
        show_default=True,
        help="Training-set sizes on the learning curve, each half of the next.",
    ),
)
_file_option = click.option("-o", "--output", type=click.Path(), help="JSON file to write.")


@click.group(
    cls=Group,
    context_settings={"auto_envvar_prefix": "NGRAMSTAT", "help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="ngramstat")
@click.option("--threads", type=int, help="Threads [default: the cores this process may use].")
@click.option("--memory-limit", metavar="SIZE", help="Such as 80% (the default) or 16G.")
@backend_option(default="auto")
@gpu_memory_option
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
@click.pass_context
def main(
    ctx: click.Context,
    threads: int | None,
    memory_limit: str | None,
    backend: str,
    gpu_memory: str | None,
    seed: int,
    quiet: bool,
) -> None:
    """How language-model loss will fall with data, from the text alone.

    \b
    ngramstat quickstart                      the whole job on a text you already have
    ngramstat tokenize text.jsonl -o corpus   text to tokens
    ngramstat measure corpus -o run           tokens to exponents
    """
    ctx.obj = Globals(threads, memory_limit, backend, gpu_memory, seed, quiet)


def _show(run: Any, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(run.to_dict(), indent=2, allow_nan=False))
    else:
        from ngramstat.report.sparkline import sparklines
        from ngramstat.report.summary import summarize

        # Pictures in a line are for eyes, not for files.
        glance = sparklines(run) if sys.stdout.isatty() else ""
        click.echo(glance + summarize(run))


def _write(obj: dict[str, Any], output: str | None) -> None:
    if output is not None:
        from ngramstat.runtime.files import write_json

        write_json(output, obj)
        click.echo(f"Wrote {output}", err=True)


@main.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(), help="Corpus directory to write.")
@click.option(
    "--vocab-size",
    type=int,
    default=8192,
    show_default=True,
    help="Types of the byte-level BPE to train.",
)
@click.option("--tokenizer", type=click.Path(), help="A tokenizer.json to use instead.")
@click.option("--separator", type=click.IntRange(min=0), help="Its id between documents.")
@click.option("--text-field", default="text", show_default=True, help="Of JSONL and Parquet.")
@click.option(
    "--document",
    type=click.Choice(["auto", "line", "record", "file"]),
    default="auto",
    show_default=True,
    help="What one document is.",
)
@click.option("--overwrite", is_flag=True, help="Replace a corpus that is there.")
@json_option
@global_options
def tokenize(
    common: Globals,
    inputs: tuple[str, ...],
    output: str,
    vocab_size: int,
    tokenizer: str | None,
    separator: int | None,
    text_field: str,
    document: Any,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make a corpus directory from text, JSONL (also .gz, .xz, .zst) or Parquet."""
    from ngramstat.corpus import tokenize as make

    corpus = make(
        inputs,
        output,
        vocab_size=vocab_size,
        tokenizer=tokenizer,
        separator=separator,
        text_field=text_field,
        document=document,
        threads=common.threads,
        overwrite=overwrite,
        progress=not common.quiet,
    )
    if as_json:
        click.echo(json.dumps(corpus.info(), indent=2))
    else:
        click.echo(
            f"{output}: {corpus.n_tokens:,} tokens, {corpus.n_documents:,} documents, "
            f"vocabulary {corpus.vocab_size:,}, {corpus.dtype.name}"
        )


@main.command()
@corpus_options
@json_option
@_file_option
@global_options
def inspect(
    common: Globals,
    store: dict[str, Any],
    as_json: bool,
    output: str | None,
) -> None:
    """What a token store is: format, tokens, documents, vocabulary, separators.

    What looks wrong is listed under `problems`; the exit code is 0 all the same.
    """
    from ngramstat.corpus import inspect as look

    found = look(**store).to_dict()
    _write(found, output)
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    width = max(map(len, found))
    for name, value in found.items():
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
        click.echo(f"{name:<{width}}  {'unknown' if value is None else text}")


@main.command()
@corpus_options
@_statistics_options
@_pair_options
@json_option
@_file_option
@global_options
def correlations(
    common: Globals,
    store: dict[str, Any],
    as_json: bool,
    output: str | None,
    **options: Any,
) -> None:
    """C(t): norms of the token covariances, their noise, and beta."""
    _run(common, store, as_json, output, entropies=False, **options)


@main.command()
@corpus_options
@_statistics_options
@_entropy_options
@json_option
@_file_option
@global_options
def entropies(
    common: Globals,
    store: dict[str, Any],
    as_json: bool,
    output: str | None,
    **options: Any,
) -> None:
    """H(n): next-token entropies, counted and held out, and gamma."""
    _run(common, store, as_json, output, correlations=False, **options)


def _run(
    common: Globals, store: dict[str, Any], as_json: bool, output: str | None, **options: Any
) -> None:
    from ngramstat.api import run
    from ngramstat.corpus import Corpus

    result = run(
        Corpus.open(**store),
        **common.of_run(),
        **options,
    )
    _write(result.to_dict(), output)
    _show(result, as_json)


@main.command()
@corpus_options
@_statistics_options
@_pair_options
@_entropy_options
@click.option("-o", "--output", required=True, type=click.Path(), help="Directory of the run.")
@click.option("--tokens", type=Numbers(), default=(), help="Training tokens, such as 1e9,1e12.")
@click.option("--overwrite", is_flag=True, help="Replace another run's result in the output.")
@json_option
@global_options
def measure(
    common: Globals,
    store: dict[str, Any],
    output: str,
    as_json: bool,
    **options: Any,
) -> None:
    """C(t), H(n), the exponents and the prediction. Goes on where it was interrupted."""
    from ngramstat.api import measure as run_all
    from ngramstat.corpus import Corpus

    result = run_all(
        Corpus.open(**store),
        output=output,
        **common.of_run(),
        **options,
    )
    _finish(result, output, as_json)


@main.command()
@corpus_options
@_statistics_options
@_pair_options
@_entropy_options
@json_option
@_file_option
@global_options
def plan(
    common: Globals,
    store: dict[str, Any],
    as_json: bool,
    output: str | None,
    **options: Any,
) -> None:
    """What `measure` would take, before any of it: passes, memory, disk, time.

    Exit code 2 where the memory limit is too small.
    """
    from ngramstat.api import plan as make
    from ngramstat.corpus import Corpus

    found = make(
        Corpus.open(**store),
        threads=common.threads,
        memory_limit=common.memory_limit,
        seed=common.seed,
        **options,
    ).to_dict()
    _write(found, output)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        from ngramstat.report.summary import plan_table

        click.echo(plan_table(found))
    if found["problems"]:
        fail("; ".join(found["problems"]), EXIT_INPUT)


def _finish(result: Any, output: str, as_json: bool) -> None:
    """Writes the summary and the pictures beside run.json, shows the result and says where."""
    from ngramstat.report.summary import summarize
    from ngramstat.runtime.files import atomic_write

    directory = Path(output)
    written = [directory / "run.json", directory / "summary.txt"]
    with atomic_write(written[1]) as file:
        file.write((summarize(result) + "\n").encode())
    if pictures_can_be_drawn():
        written.append(save_figure(result.plot(), directory / "figures.png"))
    written.append(directory / "report.html")
    _write_page(result, written[-1])
    _show(result, as_json)
    click.echo(f"Wrote {', '.join(map(str, written))}", err=as_json)
    hint_at_pictures()


def _write_page(run: Any, path: Path, theories: Any = None) -> None:
    from ngramstat.report.page import render_page
    from ngramstat.runtime.files import atomic_write

    page = render_page(run, theories)
    with atomic_write(path) as file:
        file.write(page.encode())


@main.command()
@click.argument("run", type=click.Path())
@click.option("-o", "--output", type=click.Path(), help="HTML file [default: in the run].")
@click.option(
    "--figures",
    type=click.Path(),
    help="Directory for the figures as files of their own, too (extra plot).",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["png", "svg", "pdf"]),
    default="png",
    show_default=True,
    help="Of these files.",
)
@global_options
def report(common: Globals, run: str, output: str | None, figures: str | None, kind: str) -> None:
    """One self-contained HTML page of a run: opens offline, light and dark, on a phone."""
    from ngramstat.api import THEORIES_FILE, load_run
    from ngramstat.results import TheoriesResult

    path = Path(run)
    loaded = load_run(path)
    directory = path if path.is_dir() else path.parent
    if output is None:
        output = str(directory / "report.html")
    panel = directory / THEORIES_FILE
    found = TheoriesResult.load(panel) if panel.exists() else None
    written = [Path(output)]
    _write_page(loaded, written[0], found)
    if figures is not None:
        from ngramstat.report.figure_index import figures_of

        directory = Path(figures)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{directory}: cannot be made: {error.strerror}") from error
        for name, draw in figures_of(loaded).items():
            written.append(save_figure(draw(), directory / f"{name}.{kind}"))
    click.echo(f"Wrote {', '.join(map(str, written))}")


@main.command()
@click.argument("run", type=click.Path())
@click.option("--corpus", type=click.Path(), help="Its corpus [default: where the run found it].")
@click.option("--validation", type=click.Path(), help="A finished run of `validate`.")
@click.option("--curves", type=click.Path(), help="CSV or JSON of your models' losses.")
@click.option(
    "--longest",
    type=click.IntRange(1, 16),
    default=4,
    show_default=True,
    help="k-grams of up to so many tokens are counted.",
)
@json_option
@click.option("-o", "--output", type=click.Path(), help="JSON file [default: in the run].")
@global_options
def theories(
    common: Globals,
    run: str,
    corpus: str | None,
    validation: str | None,
    curves: str | None,
    longest: int,
    as_json: bool,
    output: str | None,
) -> None:
    """Other theories of scaling on the same corpus, beside alpha = gamma / (2 beta)."""
    from ngramstat.api import THEORIES_FILE
    from ngramstat.api import theories as run_all
    from ngramstat.report.theories import summarize_theories

    result = run_all(
        run,
        corpus=corpus,
        validation=validation,
        curves=curves,
        longest=longest,
        **common.of_run(),
    )
    path = Path(run)
    if output is None:
        output = str((path if path.is_dir() else path.parent) / THEORIES_FILE)
    result.save(output)
    click.echo(
        json.dumps(result.to_dict(), indent=2) if as_json
        else f"{summarize_theories(result)}\nWrote {output}; `ngramstat report` shows it, too"
    )  # fmt: skip


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", default="comparison.html", show_default=True, type=click.Path())
@global_options
def compare(common: Globals, runs: tuple[str, ...], output: str) -> None:
    """Several runs on one page: beta and gamma in one plane with lines of equal alpha."""
    from ngramstat.api import load_run
    from ngramstat.report.compare import render_comparison
    from ngramstat.runtime.files import atomic_write

    page = render_comparison([(path, load_run(path)) for path in runs])
    with atomic_write(output) as file:
        file.write(page.encode())
    click.echo(f"Wrote {output}")


@main.command()
@click.argument("run", type=click.Path())
@click.option("--tokens", type=Numbers(), default=(), help="Training tokens, such as 1e9,1e12.")
@click.option(
    "--loss",
    "losses",
    type=MeasuredLoss(),
    multiple=True,
    help="A measured loss in nats per token, such as 1e9:3.2; two or more give a loss curve.",
)
@click.option("--context", type=click.IntRange(min=1), help="Context of your models, in tokens.")
@click.option(
    "--curves",
    type=click.Path(),
    help="CSV or JSON of your models' losses: context, tokens, loss and, if any, seed, error.",
)
@json_option
@_file_option
@global_options
def predict(
    common: Globals,
    run: str,
    tokens: tuple[float, ...],
    losses: tuple[tuple[float, float], ...],
    context: int | None,
    curves: str | None,
    as_json: bool,
    output: str | None,
) -> None:
    """alpha = gamma / (2 beta) with its gates, horizons n*(P), thresholds and expected losses."""
    import dataclasses

    from ngramstat.api import load_run
    from ngramstat.prediction.curve_files import read_curves
    from ngramstat.prediction.predict import predict as make

    table = None if curves is None else read_curves(curves)
    path = Path(run)
    loaded = load_run(path)
    if loaded.correlations is None or loaded.entropies is None:
        missing = "correlations" if loaded.correlations is None else "entropies"
        raise InputError(f"{path}: has no {missing}; `ngramstat measure` computes both halves")
    prediction = make(
        loaded.correlations,
        loaded.entropies,
        tokens=tokens,
        losses=losses,
        context=context,
        curves=table,
    )
    result = dataclasses.replace(loaded, prediction=prediction)
    _write(result.to_dict(), output)
    _show(result, as_json)


@main.command()
@click.option(
    "-o",
    "--output",
    default="ngramstat-quickstart",
    show_default=True,
    type=click.Path(),
    help="Directory to write.",
)
@json_option
@global_options
def quickstart(common: Globals, output: str, as_json: bool) -> None:
    """The main job on the sources of this Python's standard library."""
    from ngramstat.quickstart import quickstart as run_all
    from ngramstat.quickstart import standard_library_sources

    sources, unreadable = standard_library_sources()
    if not common.quiet:
        click.echo(
            f"{len(sources)} files of the Python standard library, one document each", err=True
        )
        for path in unreadable:
            click.echo(f"left out, not UTF-8: {path}", err=True)
    _, result = run_all(
        output,
        sources=sources,
        **common.of_run(),
    )
    _finish(result, str(Path(output) / "run"), as_json)


main.add_command(synthesize)
main.add_command(validate)
