"""Cells of the tables in a summary: norms, entropies, shares, intervals, lags."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.report.text import count, marked

__all__ = [
    "MISSING",
    "intervals",
    "lag_text",
    "marked_cells",
    "milli",
    "nats",
    "nats_column",
    "one_milli",
    "percent",
]

MISSING = "-"


def one_milli(value: float) -> str:
    """A norm in units of 1e-3."""
    if not math.isfinite(value):
        return MISSING
    scaled = 1e3 * value
    return f"{scaled:.4f}" if scaled == 0 or abs(scaled) >= 1e-3 else f"{scaled:.1e}"


def milli(values: Iterable[float]) -> list[str]:
    return [one_milli(float(x)) for x in values]


def nats_column(values: NDArray[Any] | None) -> list[str]:
    """Cells of a column of entropies; empty if they were not computed."""
    return [] if values is None else [nats(x) for x in values]


def nats(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else MISSING


def percent(value: float) -> str:
    return f"{100 * value:.1f}%" if math.isfinite(value) else MISSING


def intervals(
    low: NDArray[Any] | None, high: NDArray[Any] | None, text: Callable[[float], str]
) -> list[str]:
    if low is None or high is None:
        return []
    pairs = zip(low, high, strict=True)
    return [
        f"[{text(float(a))}, {text(float(b))}]"
        if math.isfinite(a) and math.isfinite(b)
        else MISSING
        for a, b in pairs
    ]


def lag_text(value: float) -> str:
    return count(float(value)) if value >= 100 else f"{value:.3g}"


def marked_cells(cells: list[str], reportable: NDArray[np.bool_]) -> list[str]:
    """Cells of a column, in parentheses where they cannot be reported."""
    if not cells:
        return []
    return [
        cell if cell == MISSING else marked(cell, reportable=bool(ok))
        for cell, ok in zip(cells, reportable, strict=True)
    ]
