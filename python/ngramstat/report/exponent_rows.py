"""Exponents as rows of a table."""

from __future__ import annotations

import re

from ngramstat.report.markup import text_of
from ngramstat.report.notes import interval_parts
from ngramstat.report.text import marked, slope_by_size
from ngramstat.results import Exponent

__all__ = ["SYMBOLS", "exponent_row", "value_and_interval"]

SYMBOLS = {
    "beta": ("β", "‖C(t)‖ ~ t^−β: how fast correlations fall with distance"),
    "beta_sequential": ("β, sequential", "the same with document composition removed"),
    "gamma": ("γ", "H(n) − H∞ ~ n^−γ: how fast the next token becomes predictable"),
    "gamma_finite": ("γ, finite", "slope of the held-out curve at this corpus size"),
    "alpha": ("α", "γ / (2β): how fast loss falls with training tokens"),
    "alpha_finite": ("α, finite", "from γ, finite"),
}


def value_and_interval(exponent: Exponent) -> tuple[str, str]:
    """Value and interval as text: dashes if missing, parentheses if not reportable."""
    value = "–" if exponent.value is None else f"{exponent.value:.4g}"
    if exponent.value is not None and not exponent.reportable:
        value = f"({value})"
    interval = "–"
    if exponent.low is not None and exponent.high is not None:
        interval = marked(
            f"{exponent.low:.4g} to {exponent.high:.4g}", reportable=exponent.reportable
        )
    return value, interval


def exponent_row(name: str, exponent: Exponent) -> list[str]:
    """Cells of HTML: symbol and meaning, value, interval, window, status."""
    symbol, meaning = SYMBOLS[name]
    value, interval = value_and_interval(exponent)
    status = '<span class="passed">reportable</span>'
    if not exponent.reportable:
        status = f'<span class="failed">not reportable</span>: {text_of(exponent.reason)}'
    sizes = slope_by_size(exponent)
    if sizes:
        status += f"<br><small>{text_of(sizes)}</small>"
    window = ""
    if exponent.window is not None:
        window = f"{exponent.window[0]:g} to {exponent.window[1]:g}"
    parts = interval_parts(exponent)
    if parts is not None:
        shown = text_of(marked(parts, reportable=exponent.reportable))
        interval += f"<br><small>{shown}</small>"
    words = re.sub(r"\^(−?\w+)", r"<sup>\1</sup>", text_of(meaning))
    return [f"<b>{symbol}</b><br><small>{words}</small>", f"<b>{value}</b>",
            interval, window, status]  # fmt: skip
