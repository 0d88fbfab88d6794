"""Numbers of options in plain digits: click takes 3_0_0 for 300, and the digits of every script."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import click

from ngramstat.runtime.numbers import parse_float, parse_integer

__all__ = ["in_plain_digits"]


def in_plain_digits(kind: click.ParamType) -> click.ParamType:  # type: ignore[type-arg]
    """The same type, which refuses numbers in other digits; any other type as it is."""
    parse: Callable[[str], Any]
    number: Callable[[Any], Any]
    if isinstance(kind, click.types.IntParamType):
        parse, number = parse_integer, int
    elif isinstance(kind, click.types.FloatParamType):
        parse, number = parse_float, float
    else:
        return kind

    def convert(value: Any) -> Any:
        return parse(value) if isinstance(value, str) else number(value)

    strict = copy.copy(kind)
    # What click itself calls with a value; a test sees that it still does.
    setattr(strict, "_number_class", convert)  # noqa: B010
    return strict
