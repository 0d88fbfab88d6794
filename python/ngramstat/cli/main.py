"""The commands: each reads its options, calls one library function and shows the result."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ngramstat.cli.figures import figures_can_be_drawn, hint_at_figures, save_figure
from ngramstat.cli.options import (
    EXIT_INPUT,
    Count,
    Duration,
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
    memory_limit_option,
    protocol_option,
    threads_option,
)
from ngramstat.cli.read import read
from ngramstat.cli.validate import validate
from ngramstat.cli.worlds import synthesize
from ngramstat.errors import InputError
from ngramstat.runtime.numbers import count_text
from ngramstat.version import __version__

__all__ = ["main"]

_statistics_options = compose(
    click.option(
        "--boundary",
        type=click.Choice(["stream", "document"]),
        default="stream",
        show_default=True,
        help="Whether pairs and contexts run across document ends (stream) or not (document).",
    ),
    click.option(
        "--replicates",
        type=click.IntRange(min=0),
        default=999,
        show_default=True,
        help="Bootstrap replicates behind the intervals.",
    ),
    click.option(
        "--level",
        type=float,
        default=0.95,
        show_default=True,
        help="Confidence level of the intervals.",
    ),
)
_pair_options = compose(
    click.option(
        "--lags", type=Lags(), help="Lags t: 1,2,4 or 1:32 (every lag) or 1:512:20 (20 lags)."
    ),
    click.option(
        "--singular-values",
        type=click.IntRange(1, 8),
        default=8,
        show_default=True,
        help="Leading singular values of C(t) to report.",
    ),
    click.option(
        "--vocab-top",
        type=Count(),
        help="Restrict C(t) to this many of the most frequent vocabulary items.  [default: all]",
    ),
    click.option(
        "--sequential/--no-sequential",
        default=True,
        show_default=True,
        help="Also compute norms with document composition removed (two thirds of the time).",
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
_entropy_options = compose(
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
_full_option = click.option(
    "--full", is_flag=True, help="Show all numbers and conditions, not only the answer."
)
_file_option = click.option("-o", "--output", type=click.Path(), help="JSON file to write.")


@click.group(
    cls=Group,
    context_settings={"auto_envvar_prefix": "NGRAMSTAT", "help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="ngramstat")
@threads_option
@memory_limit_option
@backend_option(default="auto")
@gpu_memory_option
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of all random draws.",
)
@click.option("--quiet", is_flag=True, help="Show no progress on standard error.")
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
    """Predict how the loss of a language model falls with data, from its corpus alone.

    \b
    ngramstat quickstart                      all steps, on a corpus that you already have
    ngramstat tokenize text.jsonl -o corpus   text to tokens
    ngramstat measure corpus -o run           tokens to exponents
    """
    ctx.obj = Globals(threads, memory_limit, backend, gpu_memory, seed, quiet)


def _show(run: Any, as_json: bool, *, full: bool = True) -> None:
    if as_json:
        click.echo(json.dumps(run.to_dict(), indent=2, allow_nan=False))
    else:
        from ngramstat.report.sparkline import sparklines
        from ngramstat.report.summary import summarize

        # Sparklines are for terminals, not for redirected output.
        curves = sparklines(run) if sys.stdout.isatty() and full else ""
        click.echo(curves + summarize(run, full=full))


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
    type=Count(),
    default=8192,
    show_default=True,
    help="Vocabulary size of the BPE to train.",
)
@click.option(
    "--pre-tokenizer",
    type=click.Choice(["byte-level", "whitespace"]),
    default="byte-level",
    show_default=True,
    help="Of the BPE to train. whitespace: as in the paper, which loses white space.",
)
@click.option(
    "--tokenizer",
    type=click.Path(),
    help="Use this instead of training one: a tokenizer.json, a directory that holds one, a "
    ".tiktoken file, or the name of a model on the Hugging Face Hub.",
)
@click.option(
    "--separator",
    type=click.IntRange(min=0),
    help="Id of the token between documents, with --tokenizer.",
)
@click.option(
    "--special-tokens",
    type=click.Choice(["text", "keep", "error"]),
    default="text",
    show_default=True,
    help="What a text becomes that spells a special token: ordinary text, that token, an error.",
)
@click.option(
    "--train-bytes",
    metavar="SIZE",
    help="Text to train on at most, such as 64M, spread evenly over the inputs, or all."
    "  [default: 16M]",
)
@click.option(
    "--tiktoken-pattern",
    metavar="NAME|REGEX",
    help="How a .tiktoken file splits text, if its name does not tell: gpt2, cl100k, o200k, "
    "llama3, qwen, or a regular expression.",
)
@click.option(
    "--allow-download",
    is_flag=True,
    help="Fetch a --tokenizer that is named like a model of the Hugging Face Hub.",
)
@click.option(
    "--text-field",
    default="text",
    show_default=True,
    help="Field of JSONL or column of Parquet that holds the text.",
)
@click.option(
    "--document",
    type=click.Choice(["auto", "line", "record", "file"]),
    default="auto",
    show_default=True,
    help="What one document is.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing corpus.")
@json_option
@global_options
def tokenize(
    common: Globals,
    inputs: tuple[str, ...],
    output: str,
    vocab_size: int,
    pre_tokenizer: Any,
    tokenizer: str | None,
    separator: int | None,
    special_tokens: Any,
    train_bytes: str | None,
    tiktoken_pattern: str | None,
    allow_download: bool,
    text_field: str,
    document: Any,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make a corpus directory from text, JSONL (also .gz, .xz, .zst) or Parquet."""
    from ngramstat.corpus import tokenize as make
    from ngramstat.corpus.tokenization import tokenization_facts, tokenization_problems

    corpus = make(
        inputs,
        output,
        vocab_size=vocab_size,
        tokenizer=tokenizer,
        pre_tokenizer=pre_tokenizer,
        separator=separator,
        special_tokens=special_tokens,
        train_bytes=train_bytes,
        tiktoken_pattern=tiktoken_pattern,
        allow_download=allow_download,
        text_field=text_field,
        document=document,
        threads=common.threads,
        overwrite=overwrite,
        progress=not common.quiet,
    )
    notes = tokenization_problems(corpus.tokenization)
    if not common.quiet:
        notes += tokenization_facts(corpus.tokenization)
    for sentence in notes:
        click.echo(f"Note: {sentence}", err=True)
    if as_json:
        click.echo(json.dumps({**corpus.info(), "tokenization": corpus.tokenization}, indent=2))
    else:
        click.echo(
            f"{output}: {count_text(corpus.n_tokens)} tokens, {count_text(corpus.n_documents)} "
            f"documents, vocabulary {count_text(corpus.vocab_size)}, {corpus.dtype.name}"
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
    """Describe a token store: format, tokens, documents, vocabulary, separators.

    Probable mistakes are listed under `problems`; they do not change the exit code.
    """
    from ngramstat.corpus import inspect as inspect_store

    facts = inspect_store(**store).to_dict()
    _write(facts, output)
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
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
    """Measure C(t): norms of the token covariances, their noise, and beta."""
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
    """Measure H(n): next-token entropies, counted and held out, and gamma."""
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
@click.option(
    "--tokens",
    type=Numbers(),
    default=(),
    help="Training tokens to predict for, such as 1e9,1e12.  [default: as in the run so far]",
)
@click.option(
    "--overwrite", is_flag=True, help="Replace the result of another run in the output directory."
)
@click.option(
    "--train",
    "training_seconds",
    type=Duration(),
    help="Also train small models on the text for at most this long, such as 40m, and take gamma "
    "from their losses (needs the extra torch). Resumes like the rest.",
)
@_full_option
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
    from ngramstat.api import RUN_FILE
    from ngramstat.api import measure as run_all
    from ngramstat.corpus import Corpus

    corpus = Corpus.open(**store)
    if training_seconds is not None:
        from ngramstat.lm.run import require_torch

        require_torch()  # refused now, not after the measurement
    # `measure CORPUS -o RUN --train 40m` continues a run, with whatever options it was measured.
    continues = training_seconds is not None and _all_by_default(options)
    if not (continues and (Path(output) / RUN_FILE).exists()):
        result = run_all(corpus, output=output, **common.of_run(), **options)
    if training_seconds is not None:
        from ngramstat.validation import measure_trained

        result = measure_trained(
            corpus, output, training_seconds, threads=common.threads, seed=common.seed,
            progress=not common.quiet,
        )  # fmt: skip
    _finish(result, output, as_json, full)


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
    _write(needs, output)
    if as_json:
        click.echo(json.dumps(needs, indent=2))
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


def _finish(result: Any, output: str, as_json: bool, full: bool) -> None:
    """Write summary, figures and page next to run.json, show the result, and name the files."""
    from ngramstat.report.summary import summarize
    from ngramstat.runtime.files import atomic_write

    directory = Path(output)
    written = [directory / "run.json", directory / "summary.txt"]
    with atomic_write(written[1]) as file:
        file.write((summarize(result) + "\n").encode())
    if figures_can_be_drawn():
        written.append(save_figure(result.plot(), directory / "figures.png"))
    written.append(directory / "report.html")
    _write_page(result, written[-1])
    _show(result, as_json, full=full)
    click.echo(f"Wrote {', '.join(map(str, written))}", err=as_json)
    if not (as_json or full):
        click.echo(f"All numbers: {written[1]}, or --full; pictures: {written[-1]}")
    hint_at_figures()


def _write_page(run: Any, path: Path, theories: Any = None) -> None:
    from ngramstat.report.page import render_page
    from ngramstat.runtime.files import atomic_write

    page = render_page(run, theories)
    with atomic_write(path) as file:
        file.write(page.encode())


@main.command()
@click.argument("run", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="HTML file to write.  [default: report.html in the run]",
)
@click.option(
    "--figures",
    type=click.Path(),
    help="Also write every figure as a file into this directory (needs the extra plot).",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["png", "svg", "pdf"]),
    default="png",
    show_default=True,
    help="File format of --figures.",
)
@global_options
def report(common: Globals, run: str, output: str | None, figures: str | None, kind: str) -> None:
    """Write a run as one self-contained HTML page, which opens offline and on a phone."""
    from ngramstat.api import THEORIES_FILE, load_run
    from ngramstat.results import TheoriesResult

    path = Path(run)
    loaded = load_run(path)
    directory = path if path.is_dir() else path.parent
    if output is None:
        output = str(directory / "report.html")
    path_of_theories = directory / THEORIES_FILE
    panel = TheoriesResult.load(path_of_theories) if path_of_theories.exists() else None
    written = [Path(output)]
    _write_page(loaded, written[0], panel)
    if figures is not None:
        from ngramstat.report.figure_index import figures_of

        directory = Path(figures)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{directory}: cannot be created: {error.strerror}; give another --figures"
            ) from error
        for name, draw in figures_of(loaded).items():
            written.append(save_figure(draw(), directory / f"{name}.{kind}"))
    click.echo(f"Wrote {', '.join(map(str, written))}")


@main.command()
@click.argument("run", type=click.Path())
@click.option(
    "--corpus",
    type=click.Path(),
    help="Corpus of the run.  [default: the path recorded in the run]",
)
@click.option(
    "--validation", type=click.Path(), help="A finished run of `validate` to compare with."
)
@click.option(
    "--curves",
    type=click.Path(),
    help="CSV or JSON of your models' losses, to compare with.",
)
@click.option(
    "--longest",
    type=click.IntRange(1, 16),
    default=4,
    show_default=True,
    help="Largest k of the k-grams that are counted.",
)
@json_option
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    help="JSON file to write.  [default: theories.json in the run]",
)
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
    """Predict the exponent by other theories, to compare with alpha = gamma / (2 beta)."""
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
        else f"{summarize_theories(result)}\nWrote {output}; `ngramstat report` includes it"
    )  # fmt: skip


@main.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path())
@click.option(
    "-o",
    "--output",
    default="comparison.html",
    show_default=True,
    type=click.Path(),
    help="HTML file to write.",
)
@global_options
def compare(common: Globals, runs: tuple[str, ...], output: str) -> None:
    """Write one HTML page of several runs: beta and gamma with lines of equal alpha."""
    from ngramstat.api import load_run
    from ngramstat.report.compare import render_comparison
    from ngramstat.runtime.files import atomic_write

    page = render_comparison([(path, load_run(path)) for path in runs])
    with atomic_write(output) as file:
        file.write(page.encode())
    click.echo(f"Wrote {output}")


@main.command()
@click.argument("run", type=click.Path())
@click.option(
    "--tokens", type=Numbers(), default=(), help="Training tokens to predict for, such as 1e9,1e12."
)
@click.option(
    "--loss",
    "losses",
    type=MeasuredLoss(),
    multiple=True,
    help="A measured loss in nats per token, as TOKENS:LOSS, such as 1e9:3.2; give two "
    "or more for a loss curve.",
)
@click.option(
    "--context", type=click.IntRange(min=1), help="Context length of your models, in tokens."
)
@click.option(
    "--curves",
    type=click.Path(),
    help="Losses of your models: CSV or JSON with context, tokens, loss and, optionally, seed, "
    "error; or the output directory of `validate`.",
)
@click.option(
    "--reader",
    type=click.Path(),
    help="Losses of a pretrained model on this text, as `ngramstat read` writes them.",
)
@_full_option
@protocol_option(None)
@json_option
@_file_option
@global_options
def predict(
    common: Globals,
    run: str,
    full: bool,
    as_json: bool,
    output: str | None,
    **options: Any,
) -> None:
    """Predict alpha = gamma / (2 beta), horizons n*(P), thresholds and expected losses."""
    from ngramstat.api import predict_run

    result = predict_run(run, **options)
    _write(result.to_dict(), output)
    if as_json:
        _show(result, as_json)
    else:
        from ngramstat.report.summary import summarize_prediction

        click.echo(summarize_prediction(result, full=full))


@main.command()
@click.option(
    "-o",
    "--output",
    default="ngramstat-quickstart",
    show_default=True,
    type=click.Path(),
    help="Directory to write.",
)
@_full_option
@json_option
@global_options
def quickstart(common: Globals, output: str, full: bool, as_json: bool) -> None:
    """Measure a world of known answer, then the sources of Python's standard library."""
    from ngramstat.corpus.engines import require_tokenizers
    from ngramstat.quickstart import known_values, standard_library_sources
    from ngramstat.quickstart import quickstart as run_all
    from ngramstat.report.known_values import known_values_table

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
    _finish(result, str(Path(output) / "run"), as_json, full)


main.add_command(read)
main.add_command(synthesize)
main.add_command(validate)
