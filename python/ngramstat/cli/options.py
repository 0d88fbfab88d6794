"""Shared by all commands: global options, errors as one line, and types of options."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from ngramstat.cli.command import under
from ngramstat.cli.plain_numbers import in_plain_digits
from ngramstat.errors import InputError
from ngramstat.runtime.numbers import parse_count, parse_float, parse_integer

__all__ = [
    "GLOBALS",
    "Count",
    "Duration",
    "Globals",
    "HeldOut",
    "Lags",
    "ListOf",
    "MeasuredLoss",
    "Numbers",
    "PartOf",
    "Probabilities",
    "Window",
    "check_file",
    "compose",
    "corpus_options",
    "curve_options",
    "document_option",
    "file_option",
    "full_option",
    "global_options",
    "json_option",
    "option_decorators",
    "protocol_option",
    "shared_options",
    "singular_values_option",
    "statistics_options",
    "text_field_option",
    "token_ids",
]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Globals:
    """Options that every command takes, before or after its name."""

    threads: int | None = None
    memory_limit: str | None = None
    backend: str = "auto"
    gpu_memory: str | None = None
    seed: int = 0
    quiet: bool = False

    def updated(self, given: Mapping[str, Any]) -> Globals:
        """With the options that were given, which are neither None nor False."""
        return dataclasses.replace(
            self, **{k: v for k, v in given.items() if v is not None and v is not False}
        )

    def of_run(self) -> dict[str, Any]:
        """As keyword arguments of the functions that compute a run."""
        return {
            "threads": self.threads,
            "memory_limit": self.memory_limit,
            "backend": self.backend,
            "gpu_memory": self.gpu_memory,
            "seed": self.seed,
            "progress": not self.quiet,
        }


_ABOUT = {
    "threads": "Number of threads.  [default: the cores that this process may use]",
    "memory_limit": "Limit of main memory, such as 16G or 80%.  [default: 80%]",
    # The names of backends are repeated here, so that --help need not import numpy.
    "backend": "Compute backend; auto uses GPUs if there are any.  [default: auto]",
    "gpu_memory": "Memory limit on each GPU, such as 40G, or 50% of its free memory.",
    "seed": "Seed of all random draws.  [default: 0]",
    "quiet": "Show no progress on standard error.",
}
_FORMS: dict[str, dict[str, Any]] = {
    "threads": {"type": int},
    "memory_limit": {"metavar": "SIZE"},
    "backend": {"type": click.Choice(["auto", "cpu", "cuda"])},
    "gpu_memory": {"metavar": "SIZE"},
    "seed": {"type": click.IntRange(min=0)},
    "quiet": {"is_flag": True},
}
GLOBALS = tuple(_ABOUT)


def option_decorators(names: Sequence[str] = GLOBALS) -> list[Callable[[Any], Any]]:
    """The global options; those that are not named are accepted and not shown."""
    return [
        under(
            {"seed": "Statistics", "quiet": "Output"}.get(name, "Resources"),
            click.option(
                "--" + name.replace("_", "-"),
                help=_ABOUT[name],
                hidden=name not in names,
                **_FORMS[name],
            ),
        )
        for name in GLOBALS
    ]


def shared_options(*names: str) -> Callable[[F], F]:
    """Add the global options and pass them on as one `Globals`.

    Those that are not named have no effect on the command. They are accepted, so that a script may
    give all its commands the same ones, and are not shown in its help.
    """

    def apply(command: F) -> F:
        @functools.wraps(command)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            given = {name: kwargs.pop(name) for name in GLOBALS}
            # Options after the command's name take precedence over those before it.
            before = click.get_current_context().find_object(Globals) or Globals()
            return command(*args, before.updated(given), **kwargs)

        return compose(*option_decorators(names))(wrapped)  # type: ignore[return-value]

    return apply


def global_options(command: F) -> F:
    """Add all global options, for a command on which all of them have an effect."""
    return shared_options(*GLOBALS)(command)


def text_field_option(command: F) -> F:
    """Add --text-field, where a text stands in a record."""
    return click.option(
        "--text-field",
        default="text",
        show_default=True,
        help="Field of JSON (doc.text: in an object) or column of a table that holds the text.",
    )(command)


def document_option(what: str) -> Callable[[F], F]:
    """Add --document, whose help begins with `what`, such as "What one document is"."""
    return click.option(
        "--document",
        type=click.Choice(["auto", "file", "line", "paragraph", "record"]),
        default="auto",
        show_default=True,
        help=f"{what}; paragraphs stand between blank lines.",
    )


def token_ids(text: str, refusal: str) -> list[int]:
    """Token ids between commas or blanks.

    Raises
    ------
    InputError
        Something else stands there; the message is `refusal` with an example.
    """
    try:
        return [parse_integer(word) for word in text.replace(",", " ").split()]
    except ValueError as error:
        raise InputError(f"{refusal}, such as 17,4") from error


def compose(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    """One decorator that applies several, the first one outermost."""

    def apply(command: F) -> F:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


class Lags(click.ParamType):  # type: ignore[type-arg]
    """``1,2,4``, ``1:32`` (every lag) and ``1:512:20`` (20 lags, evenly spaced in their log)."""

    name = "lags"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Sorted tuple of lags without repeats."""
        lags: set[int] = set()
        for item in str(value).split(","):
            try:
                bounds = [parse_integer(part) for part in item.split(":")]
            except ValueError:
                self.fail(f"{item!r} is not a whole number, A:B or A:B:COUNT", param, ctx)
            if len(bounds) == 1:
                lags.add(bounds[0])
            elif len(bounds) in (2, 3) and 1 <= bounds[0] <= bounds[1]:
                if (bounds[2] if len(bounds) == 3 else bounds[1] - bounds[0]) > 1_000_000:
                    self.fail(f"{item!r}: more than a million lags", param, ctx)
                lags.update(self._range(*bounds))
            else:
                self.fail(f"{item!r}: expected A:B or A:B:COUNT with 1 <= A <= B", param, ctx)
            if len(bounds) == 3 and bounds[2] < 1:
                self.fail(f"{item!r}: COUNT has to be at least 1", param, ctx)
        if min(lags) < 1:
            self.fail(f"lag {min(lags)}: lags are at least 1", param, ctx)
        return tuple(sorted(lags))

    @staticmethod
    def _range(low: int, high: int, count: int | None = None) -> Any:
        if count is None:
            return range(low, high + 1)
        import numpy as np

        return np.round(np.geomspace(low, high, count)).astype(int).tolist()


class Window(click.ParamType):  # type: ignore[type-arg]
    """``LOW:HIGH``, both inclusive."""

    name = "low:high"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """(low, high)."""
        try:
            low, high = (parse_integer(part) for part in str(value).split(":"))
        except ValueError:
            self.fail(f"{value!r} is not LOW:HIGH", param, ctx)
        if not 1 <= low < high:
            self.fail(f"{value!r}: expected 1 <= LOW < HIGH", param, ctx)
        return low, high


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """Numbers of tokens, comma-separated, such as ``1e9,1e12`` or ``1G,1T``."""

    name = "numbers"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Tuple of floats."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(parse_count(part) for part in str(value).split(",") if part.strip())
        except ValueError:
            numbers = ()
        if not numbers:
            self.fail(f"{value!r} is not a list of numbers such as 1e9,1e12 or 1G", param, ctx)
        return numbers


class MeasuredLoss(click.ParamType):  # type: ignore[type-arg]
    """``TOKENS:LOSS``, the loss in nats per token, such as ``1e9:3.2`` or ``1G:3.2``."""

    name = "tokens:loss"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """(tokens, loss)."""
        if isinstance(value, tuple):
            return value
        try:
            count, nats = str(value).split(":")
            tokens, loss = parse_count(count), parse_float(nats)
        except ValueError:
            self.fail(f"{value!r} is not TOKENS:LOSS such as 1e9:3.2 or 1G:3.2", param, ctx)
        if not (0 < tokens < math.inf and 0 < loss < math.inf):
            self.fail(
                f"{value!r}: tokens and the loss in nats must be positive and finite", param, ctx
            )
        return tokens, loss


class HeldOut(click.ParamType):  # type: ignore[type-arg]
    """A fraction such as ``0.01``, or the path of a held-out corpus."""

    name = "fraction|path"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """float or str."""
        try:
            return parse_float(str(value))
        except ValueError:
            return str(value)


class Count(click.ParamType):  # type: ignore[type-arg]
    """A whole number, also as ``1e7``, ``10M``, ``2^20`` or ``1_000_000``."""

    name = "count"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """int."""
        try:
            number = parse_count(str(value))
            whole = round(number)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a count such as 1000000, 1e6, 1M or 2^20", param, ctx)
        if whole != number or not 1 <= whole <= 1 << 62:
            self.fail(f"{value!r}: must be a whole number from 1 to 2^62", param, ctx)
        return whole


class ListOf(click.ParamType):  # type: ignore[type-arg]
    """Comma-separated values of another type."""

    def __init__(self, of: click.ParamType) -> None:  # type: ignore[type-arg]
        self.of = in_plain_digits(of)
        self.name = f"{of.name},..."

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Tuple of converted values."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",") if part.strip()]
        return tuple(self.of.convert(part, param, ctx) for part in parts)


class PartOf(click.ParamType):  # type: ignore[type-arg]
    """``i/N``, with i from 1 to N, such as ``2/3``."""

    name = "i/n"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """(i, N)."""
        if isinstance(value, tuple):
            return value
        try:
            number, processes = (int(word) for word in str(value).split("/"))
        except ValueError:
            self.fail(f"{value!r} is not i/N, such as 2/3", param, ctx)
        if not 1 <= number <= processes <= 1_000_000:
            self.fail(f"{value!r}: expected i/N with 1 <= i <= N", param, ctx)
        return number, processes


class Duration(click.ParamType):  # type: ignore[type-arg]
    """``90s``, ``45m``, ``2h`` or a number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Seconds."""
        text = str(value).strip().lower()
        scale = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}.get(text[-1:], 0.0)
        try:
            seconds = parse_float(text[:-1]) * scale if scale else parse_float(text)
        except ValueError:
            self.fail(f"{value!r} is not a duration such as 90s, 45m or 2h", param, ctx)
        if not 0 < seconds < 1e9:
            self.fail(f"{value!r}: must be longer than 0 and shorter than 30 years", param, ctx)
        return seconds


class Probabilities(click.ParamType):  # type: ignore[type-arg]
    """Comma-separated probabilities."""

    name = "p,p,..."

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Tuple of floats."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(parse_float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 0.5,0.5", param, ctx)


def protocol_option(default: str | None) -> Callable[[F], F]:
    """The option --protocol; its names are repeated here, so that --help need not import numpy."""
    return click.option(
        "--protocol",
        type=click.Choice(["default", "paper"]),
        default=default,
        show_default=True if default else "that of the run",
        help="How exponents are fitted. paper: equal weights over lags 1..192 or --beta-window, "
        "errors by lags and by documents; raw slopes of losses.",
    )


_store_options = under(
    "Token store",
    click.argument("corpus", type=click.Path(), nargs=-1, required=True),
    click.option("--format", default="auto", show_default=True, help="Format of the token store."),
    click.option("--dtype", help="uint16 or uint32, if the file does not say."),
    click.option("--vocab-size", type=Count(), help="Vocabulary size V, if the file does not say."),
    click.option(
        "--separator", type=click.IntRange(min=0), help="Id of the token between documents."
    ),
    click.option(
        "--separator-position",
        type=click.Choice(["before", "after"]),
        help="Where the separator stands: before or after its document.  [default: as the data "
        "show]",
    ),
    click.option("--array", help="Array of token ids in an .npz file that holds several."),
    click.option(
        "--column",
        help="Column of token ids in Parquet, Arrow or JSON lines.  [default: input_ids or tokens]",
    ),
    click.option(
        "--rows",
        type=click.Choice(["auto", "documents", "packed"]),
        default="auto",
        show_default=True,
        help="What a row of such a table, or of an array with two dimensions, is: a document, or "
        "a block of a packed stream (auto: rows of one length are blocks).",
    ),
)


def corpus_options(command: F) -> F:
    """Add the options that describe a token store, and pass them on as one dict.

    Its "path" is one path, or several that are one corpus.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, corpus: tuple[str, ...], **kwargs: Any) -> Any:
        names = (
            "format", "dtype", "vocab_size", "separator", "separator_position", "column", "rows",
            "array",
        )  # fmt: skip
        path = corpus[0] if len(corpus) == 1 else corpus
        store = {"path": path, **{name: kwargs.pop(name) for name in names}}
        return command(*args, store=store, **kwargs)

    return _store_options(wrapped)  # type: ignore[return-value]


_curve_options = under(
    "Losses of your models",
    click.option(
        "--curves",
        type=click.Path(),
        multiple=True,
        help="Losses of your models: a table with context, tokens, loss and, optionally, seed and "
        "error; a log of W&B, MLflow, Hugging Face, Lightning or TensorBoard, or printed by a "
        "training program; or the output directory of `validate`. May be repeated.",
    ),
    click.option(
        "--tokens-per-step",
        type=Count(),
        help="Training tokens of one step, where --curves counts steps.",
    ),
    click.option(
        "--context",
        type=click.IntRange(min=1),
        help="Context length of your models, in tokens, where --curves does not say.",
    ),
    click.option("--loss-column", metavar="NAME", help="The losses in --curves."),
    click.option("--tokens-column", metavar="NAME", help="The training tokens in --curves."),
    click.option("--step-column", metavar="NAME", help="The count of steps in --curves."),
    click.option(
        "--loss-unit",
        type=click.Choice(["nats", "bits", "perplexity"]),
        help="Unit of the losses in --curves, per token.  [default: nats]",
    ),
)


def curve_options(command: F) -> F:
    """Add --curves and what describes it, and pass that on as one dict besides the paths."""

    @functools.wraps(command)
    def wrapped(*args: Any, curves: tuple[str, ...], **kwargs: Any) -> Any:
        columns = {role: kwargs.pop(f"{role}_column") for role in ("loss", "tokens", "step")}
        described = {
            "columns": {role: name for role, name in columns.items() if name is not None},
            "tokens_per_step": kwargs.pop("tokens_per_step"),
            "unit": kwargs.pop("loss_unit"),
        }
        described = {name: value for name, value in described.items() if value}
        if described and not curves:
            raise click.UsageError(
                "--tokens-per-step, --loss-column, --tokens-column, --step-column and --loss-unit "
                "describe --curves; give its files, too"
            )
        return command(*args, curves=(list(curves), described), **kwargs)

    return _curve_options(wrapped)  # type: ignore[return-value]


singular_values_option = click.option(
    "--singular-values",
    type=click.IntRange(1, 8),
    default=8,
    show_default=True,
    help="Leading singular values of C(t) to report.",
)

# What all statistics of a run share, under a heading.
statistics_options = (
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

json_option = under(
    "Output",
    click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
)


def check_file(ctx: click.Context, parameter: click.Parameter, path: str | None) -> str | None:
    """Callback of an option that names a file to write: refuses what cannot be, before the work."""
    from ngramstat.runtime.files import require_writable

    if path is not None and not ctx.resilient_parsing:
        require_writable(path)
    return path


file_option = under(
    "Output",
    click.option(
        "-o", "--output", type=click.Path(), callback=check_file, help="JSON file to write."
    ),
)
full_option = under(
    "Output",
    click.option(
        "--full", is_flag=True, help="Show all numbers and conditions, not only the answer."
    ),
)
