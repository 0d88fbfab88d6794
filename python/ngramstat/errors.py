"""The public exceptions, and checks that many modules share.

A message is one line that names the file or argument, the cause and the remedy. Messages are
written with the options of the command line (``--vocab-size``), which prints them unchanged after
``Error:``. Everywhere else they read in the terms of Python (``vocab_size``).
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterable, Iterator

__all__ = [
    "InputError",
    "InputTypeError",
    "NgramstatError",
    "check_choice",
    "check_positive",
    "options_as_typed",
]

# Whether messages are for the command line, in this process.
_typed = False
# Options that are True or False, and values that are words.
_FLAGS = {"allow-download", "capacity", "full", "matrix-free", "overwrite", "sequential"}
_VALUES = {
    *("after", "all", "auto", "before", "bits", "byte-level", "class", "cpu", "cuda", "document"),
    *("documents", "error", "file", "keep", "kneser-ney", "last", "line", "mixture", "nats"),
    *("arrow", "glove", "mapped", "npz", "parquet", "safetensors", "uniform", "word2vec"),
    "harmonic",
    *("packed", "paper", "paragraph", "perplexity", "raw", "record", "skip", "stop", "stream"),
    *("text", "uint16", "uint32", "whitespace"),
}
_RENAMED = {
    "loss": "losses",
    "loss-unit": "unit",
    **{f"{role}-column": f"columns[{role!r}]" for role in ("loss", "tokens", "step")},
}
# A command in backquotes stays as it is; so does everything that is no option.
_OPTION = re.compile(
    r"`(?:ngramstat|pip|hf) [^`]*`|(?<![\w-])--(no-)?([a-z][a-z0-9]*(?:-[a-z0-9]+)*)"
    r"(?: ([a-z0-9][a-z0-9-]*(?:(?:\|| or )[a-z0-9][a-z0-9-]*)*)(?![\w-]))?"
)
_SEPARATORS = re.compile(r"(\|| or )")


class NgramstatError(Exception):
    """A computation failed (exit code 1): disk full, out of memory, a missing extra."""

    def __str__(self) -> str:
        text = super().__str__()
        return text if _typed else _in_python(text)


class InputError(NgramstatError, ValueError):
    """An argument or an input file is invalid (exit code 2)."""


class InputTypeError(InputError, TypeError):
    """An argument has a type that cannot be used."""


@contextlib.contextmanager
def options_as_typed() -> Iterator[None]:
    """Messages name the options of the command line as they are typed there."""
    global _typed
    before, _typed = _typed, True
    try:
        yield
    finally:
        _typed = before


def _in_python(text: str) -> str:
    """A message with keyword arguments for the options of the command line."""
    return _OPTION.sub(_argument, text) if "--" in text else text


def _argument(match: re.Match[str]) -> str:
    negated, name, following = match.groups()
    if name is None:
        return match.group()
    argument = _RENAMED.get(name, name.replace("-", "_"))
    if negated or name in _FLAGS:
        rest = "" if following is None else f" {following}"
        return f"{argument}={not negated}{rest}"
    if following is None:
        return argument
    # Known values become strings of Python: "cpu", "uint16|uint32", "file or line".
    values: list[str] = []
    parts = _SEPARATORS.split(following)
    while parts and parts[0] in _VALUES:
        values.append(repr(parts.pop(0)))
        between = parts.pop(0) if parts else ""
    if not values:
        return f"{argument} {following}"
    return f"{argument}={' or '.join(values)}" + between * bool(parts) + "".join(parts)


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise InputError unless the argument `name` has one of the allowed values."""
    choices = tuple(choices)
    if value not in choices:
        raise InputError(f"{name} {value!r}: expected one of {', '.join(choices)}")


def check_positive(name: str, numbers: Iterable[float]) -> None:
    """Raise InputError unless all numbers are positive and finite."""
    for number in numbers:
        if not (math.isfinite(number) and number > 0):
            raise InputError(f"{name}: needs positive numbers, got {number:g}")
