"""Checks of the arguments of public functions: one sentence that names the argument.

Numbers of NumPy count as numbers of Python; True and False are no numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from os import PathLike
from typing import Any

from ngramstat.errors import InputError, InputTypeError

__all__ = [
    "as_flag",
    "as_integer",
    "as_integers",
    "as_number",
    "as_numbers",
    "as_path",
    "as_seed",
    "as_word",
    "integer_within",
    "optional_integer_within",
]

# A generator that is given for a seed draws one below this.
_SEEDS = 1 << 32


def as_integer(name: str, value: Any) -> int:
    """A whole number, which may be a float of a whole value, such as 1e6."""
    if _is_number(value) and (isinstance(value, Integral) or float(value).is_integer()):
        return int(value)
    raise _mismatch(name, value, "a whole number")


def as_number(name: str, value: Any) -> float:
    """A finite number as a float."""
    if not _is_number(value):
        raise _mismatch(name, value, "a finite number")
    if not math.isfinite(value):
        raise InputTypeError(f"{name}={value}: must be a finite number")
    return float(value)


def as_flag(name: str, value: Any) -> bool:
    """True or False."""
    # NumPy's truth values are no bool, and called bool or bool_.
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):
        raise _mismatch(name, value, "True or False")
    return bool(value)


def as_word(name: str, value: Any) -> str:
    """A string; whether it is one that is known is checked where it is used."""
    if not isinstance(value, str):
        raise _mismatch(name, value, "a string")
    return value


def as_path(name: str, value: Any) -> str | PathLike[str]:
    """A path."""
    if not isinstance(value, str | PathLike):
        raise _mismatch(name, value, "a path")
    return value


def as_integers(name: str, value: Any) -> tuple[int, ...]:
    """Whole numbers, or a single one."""
    return tuple(as_integer(name, item) for item in _items(name, value, "whole numbers"))


def as_numbers(name: str, value: Any) -> tuple[float, ...]:
    """Numbers, or a single one."""
    return tuple(as_number(name, item) for item in _items(name, value, "numbers"))


def as_seed(seed: Any, rng: Any) -> int:
    """The seed, from either of the two arguments.

    Parameters
    ----------
    seed : int
    rng : int, numpy.random.Generator or None
        A seed by another name; or a generator, from which a seed is drawn.
    """
    if rng is None:
        return as_integer("seed", seed)
    if seed != 0:
        raise InputError(f"seed={seed!r} and rng={rng!r:.60}: are two seeds; give one of them")
    if isinstance(rng, Real):
        return as_integer("rng", rng)
    if not hasattr(rng, "integers"):
        raise _mismatch("rng", rng, "an integer or a numpy.random.Generator")
    return int(rng.integers(_SEEDS))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _items(name: str, value: Any, what: str) -> Iterable[Any]:
    if isinstance(value, Real):
        return (value,)
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise _mismatch(name, value, what)
    return value


def _mismatch(name: str, value: Any, what: str) -> InputTypeError:
    return InputTypeError(f"{name}={value!r:.60}: must be {what}, not {type(value).__name__}")


def integer_within(name: str, value: Any, low: int, high: int) -> int:
    """A whole number of an integer type from low to high."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"{name}={value!r}: must be an integer")
    if not low <= int(value) <= high:
        raise InputError(f"{name}={value}: must lie between {low} and {high}")
    return int(value)


def optional_integer_within(name: str, value: Any, low: int, high: int) -> int | None:
    """The same, or None."""
    return None if value is None else integer_within(name, value, low, high)
