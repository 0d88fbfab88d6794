"""The two public exceptions, and checks that many modules share.

A message is one line that names the file or argument, the cause and the remedy. The command line
prints it unchanged after ``Error:``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["InputError", "NgramstatError", "check_choice", "check_positive"]


class NgramstatError(Exception):
    """A computation failed (exit code 1): disk full, out of memory, a missing extra."""


class InputError(NgramstatError, ValueError):
    """An argument or an input file is invalid (exit code 2)."""


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
