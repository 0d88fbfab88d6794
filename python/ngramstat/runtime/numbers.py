"""Numbers as people write them: counts with a suffix, both ways.

One style for every text that people read: up to four digits exactly, above with three significant
digits and k (10^3), M (10^6), G (10^9) or T (10^12). JSON and CSV hold all digits.
"""

from __future__ import annotations

import math
import re
from typing import Any

__all__ = ["count_of", "count_text", "number_text", "parse_count", "parse_float", "parse_integer"]

_SUFFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}
# Smaller counts are written in full.
_EXACT = 10_000
# Groups of digits have three, as in 1_000_000 and 1,000,000.
_GROUPED = r"[0-9]{1,3}(?:_[0-9]{3})+|[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+"
_COUNT = re.compile(
    rf"((?:{_GROUPED})(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?|\.[0-9]+)\s*([kmgbt]?)", re.ASCII
)
_POWER = re.compile(r"([0-9]+)\s*(?:\^|\*\*)\s*([0-9]+)")


def count_text(value: Any) -> str:
    """A count such as 8,192, 40 k, 1.23 M or 1.5 G; anything but a number as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if not math.isfinite(value) or abs(value) < _EXACT:
        return f"{value:,.0f}"
    return _with_suffix(value)


def count_of(value: int, noun: str) -> str:
    """A count with its noun, such as 1 document or 40 k documents."""
    return f"{count_text(value)} {noun}{'s' * (value != 1)}"


def number_text(value: float) -> str:
    """A number with three significant digits: 0.0123, 1.5, 137, 12.3 k, 2.1e-7."""
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.3g}"
    if abs(float(text)) >= _EXACT:
        return _with_suffix(value)
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        return text
    # 1,234 in three digits is 1.23e+03.
    return f"{mantissa}e{int(exponent)}" if abs(value) < 1 else f"{float(text):.0f}"


def _with_suffix(value: float) -> str:
    # Rounded first, so that 999,999 is 1 M.
    rounded = float(f"{value:.3g}")
    if abs(rounded) >= 1e15:
        mantissa, _, exponent = f"{rounded:.2e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    for scale, suffix in _SUFFIXES:
        if abs(rounded) >= scale:
            return f"{rounded / scale:g} {suffix}"
    raise AssertionError(value)


def parse_integer(text: str) -> int:
    """A whole number in the digits 0 to 9 and nothing else, but for blanks around it and a sign.

    Unlike `int`, which takes 3_0_0 for 300 and the digits of every script.

    Raises
    ------
    ValueError
        The text is something else.
    """
    return int(_plain(text, "_"))


def parse_float(text: str) -> float:
    """A number, in ASCII and without underscores; otherwise like `float`.

    Raises
    ------
    ValueError
        The text is something else.
    """
    return float(_plain(text, "_"))


def _plain(text: str, refused: str = "") -> str:
    text = text.strip()
    if not text.isascii() or (refused and refused in text):
        raise ValueError(f"{text!r} is not a number in plain digits")
    return text


def parse_count(text: str) -> float:
    """The number that ``1000``, ``1e9``, ``2.5M``, ``40k``, ``1G`` or ``2^20`` stands for.

    Raises
    ------
    ValueError
        The text is something else, or not finite.
    """
    # Checked first: the lower case of the Kelvin sign is k.
    text = _plain(text).lower()
    if match := _POWER.fullmatch(text):
        base, exponent = int(match[1]), int(match[2])
        if exponent > 64 or base > 1 << 32:
            raise ValueError(f"{text!r} is too large")
        return float(base**exponent)
    match = _COUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a count")
    number = float(match[1].replace("_", "").replace(",", "")) * _SCALES[match[2]]
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is too large")
    # 2.3M is 2,300,000 and not 2,299,999.9999999995.
    whole = round(number)
    return float(whole) if abs(number - whole) <= 1e-9 * abs(number) else number
