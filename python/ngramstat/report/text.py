"""Plain text for terminals: wrapped lines, tables, exponents and gates."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from ngramstat.results import AlternativeKind, Exponent, Gate
from ngramstat.runtime.numbers import count_text, number_text
from ngramstat.runtime.text import readable

__all__ = [
    "CURVE_SOURCES",
    "GATE_MARKS",
    "WIDTH",
    "count",
    "estimate",
    "exponent_number",
    "gate_text",
    "marked",
    "plain",
    "scope",
    "slope_by_size",
    "table",
    "wrap",
]

# Maximum width of a line.
WIDTH = 100

# The field `source` of a collapse, in words.
CURVE_SOURCES = {"counted": "counted", "imported": "user"}

GATE_MARKS = {True: "passed ", False: "FAILED ", None: "unknown"}


def plain(text: str) -> str:
    """The text without control characters, which text from files may contain."""
    return "".join(c if c == "\n" or c.isprintable() else "?" for c in readable(text))


def estimate(exponent: Exponent) -> str:
    """Value and interval; in parentheses if they are not reportable."""
    if exponent.value is None:
        return "not reportable"
    text = exponent_number(exponent.value)
    if exponent.low is not None and exponent.high is not None:
        text += f" [{exponent_number(exponent.low)}, {exponent_number(exponent.high)}]"
    return text if exponent.reportable else f"({text})"


def marked(text: str, *, reportable: bool) -> str:
    """The text, in parentheses if what it says cannot be reported."""
    return text if reportable or not text else f"({text})"


def slope_by_size(exponent: Exponent) -> str:
    """The slope at every size of the learning curve, in one sentence; empty without any."""
    sizes = exponent.alternatives_of(AlternativeKind.AT_SIZE)
    slopes = [
        f"{exponent_number(other.value)} at {count(float(other.extra['tokens']))}"
        for other in sizes
        if other.value is not None
    ]
    if not slopes:
        return ""
    listed = marked(", ".join(slopes), reportable=exponent.reportable)
    return f"a function of the training tokens of one learner: {listed} tokens"


def exponent_number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.2g}"


def scope(exponent: Exponent) -> str:
    """Window and number of points of the fit."""
    if exponent.window is None:
        return ""
    low, high = exponent.window
    return f"{low:g}..{high:g}, {exponent.points} points"


def gate_text(gate: Gate) -> str:
    """What a gate requires, with its value and threshold."""
    if gate.value is None or gate.threshold is None:
        return gate.meaning
    return f"{gate.meaning} ({number_text(gate.value)}, threshold {number_text(gate.threshold)})"


def table(columns: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Right-aligned columns; columns that do not fit continue in a second table below."""
    widths = [max(len(head), *(len(cell) for cell in cells), 0) for head, cells in columns]
    groups: list[list[int]] = [[0]]
    used = widths[0]
    for i in range(1, len(columns)):
        if 2 + used + 2 + widths[i] > WIDTH:
            groups.append([0])
            used = widths[0]
        groups[-1].append(i)
        used += 2 + widths[i]
    lines: list[str] = []
    for group in groups:
        lines.append("  " + "  ".join(columns[i][0].rjust(widths[i]) for i in group))
        for row in range(len(columns[0][1])):
            cells = (columns[i][1][row].rjust(widths[i]) for i in group)
            lines.append("  " + "  ".join(cells))
    return lines


# The one style of counts in everything that people read.
count = count_text


def wrap(text: str, *, indent: int, hang: int = 0) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hang),
        break_on_hyphens=False,
    )
