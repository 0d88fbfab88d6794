"""The two public exceptions, and the check that most modules share.

A message is one line that names the file or argument, the cause and the mend, because the
command line prints it as it stands behind ``Error:``.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["InputError", "NgramstatError", "check_choice"]


class NgramstatError(Exception):
    """A computation failed (exit code 1): disk full, out of memory, a missing extra."""


class InputError(NgramstatError, ValueError):
    """An argument or an input file cannot be used as given (exit code 2)."""


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raises InputError unless an argument of that name is one of the choices."""
    choices = tuple(choices)
    if value not in choices:
        raise InputError(f"{name} {value!r}: expected one of {', '.join(choices)}")
