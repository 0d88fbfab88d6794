"""Exponents as rows of a table."""

from __future__ import annotations

from ngramstat.report.markup import text_of
from ngramstat.results import Exponent

__all__ = ["SYMBOLS", "exponent_row"]

SYMBOLS = {
    "beta": ("β", "‖C(t)‖ ~ t^−β: how fast correlations fall with distance"),
    "beta_sequential": ("β, sequential", "the same with the documents' composition removed"),
    "gamma": ("γ", "H(n) − H∞ ~ n^−γ: how fast the next token becomes predictable"),
    "gamma_finite": ("γ, finite", "slope of the held-out curve at this corpus size"),
    "alpha": ("α", "γ / (2β): how fast loss falls with training tokens"),
    "alpha_finite": ("α, finite", "from γ, finite"),
}


def exponent_row(name: str, exponent: Exponent) -> list[str]:
    symbol, meaning = SYMBOLS[name]
    value = "–" if exponent.value is None else f"{exponent.value:.4g}"
    interval = "–"
    if exponent.low is not None and exponent.high is not None:
        interval = f"{exponent.low:.4g} to {exponent.high:.4g}"
    status = '<span class="passed">reportable</span>'
    if not exponent.reportable:
        value = f"({value})" if exponent.value is not None else value
        status = f'<span class="failed">not reportable</span>: {text_of(exponent.reason)}'
    window = ""
    if exponent.window is not None:
        window = f"{exponent.window[0]:g} to {exponent.window[1]:g}"
    return [f"<b>{symbol}</b><br><small>{text_of(meaning)}</small>", f"<b>{value}</b>",
            interval, window, status]  # fmt: skip
