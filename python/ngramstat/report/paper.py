"""The exponents by the paper's protocol as text, with the paper's own values beside them."""

from __future__ import annotations

from ngramstat.report.text import count, estimate, exponent_number, scope, table, wrap
from ngramstat.results import Exponent, IntervalParts, PaperProtocol, PaperValue

__all__ = ["paper_lines"]

_QUANTITIES = {
    "beta": "beta",
    "gamma": "gamma",
    "alpha_predicted": "alpha predicted",
    "alpha": "alpha measured",
}


def paper_lines(paper: PaperProtocol) -> list[str]:
    """A block of the summary: beta, gamma, alpha by number of sizes, and the paper's values."""
    lines = ["", "THE PAPER'S PROTOCOL  raw slopes, equal weights, at finite P (arXiv:2602.07488)"]
    lines += _exponent("beta", paper.beta)
    for item in paper.gamma:
        lines += _exponent("gamma", item.gamma, f"at P = {count(item.tokens)} tokens")
    if paper.alpha is not None:
        lines += _exponent("alpha predicted", paper.alpha)
    if paper.alpha_measured is not None:
        lines += _exponent("alpha measured", paper.alpha_measured)
    if paper.alpha_of_first:
        lines += ["", "  alpha of the smallest loss at each size, first m sizes"]
        lines += _alpha_table(paper)
    for text in paper.missing:
        lines += wrap(text, indent=2)
    lines += ["", "  The paper's own values (its corpora and models, not these)"]
    lines += _values_table(paper.paper)
    return lines


def _exponent(name: str, exponent: Exponent, where: str = "") -> list[str]:
    row = f"  {name:<17} {estimate(exponent):<23} {scope(exponent):<19} {where}"
    lines = [row.rstrip()]
    if not exponent.reportable:
        lines += wrap(f"not reportable: {exponent.reason}", indent=20)
    parts = _parts(exponent.parts)
    if parts:
        lines += wrap(parts, indent=20)
    return lines


def _parts(parts: IntervalParts | None) -> str:
    """The parts of an interval, in words."""
    if parts is None:
        return ""
    named = (
        ("points", parts.lags),
        ("documents or seeds", parts.documents),
        ("windows", parts.window),
    )
    return ", ".join(
        f"{name} [{exponent_number(part[0])}, {exponent_number(part[1])}]"
        for name, part in named
        if part is not None
    )


def _alpha_table(paper: PaperProtocol) -> list[str]:
    rows = paper.alpha_of_first
    return table(
        [
            ("m", [str(row.points) for row in rows]),
            ("tokens", [count(row.tokens) for row in rows]),
            ("context", [str(row.context) for row in rows]),
            ("loss", [f"{row.loss:.4f}" for row in rows]),
            ("alpha", [f"{row.alpha:.4f}" for row in rows]),
            ("+-", [f"{row.error:.4f}" for row in rows]),
            ("resampled", [f"[{row.resampled_low:.4f}, {row.resampled_high:.4f}]" for row in rows]),
        ]
    )


def _values_table(values: tuple[PaperValue, ...]) -> list[str]:
    def window(value: PaperValue) -> str:
        if value.window is None:
            return "-"
        return f"{count(value.window[0])}..{count(value.window[1])}"

    return table(
        [
            ("quantity", [_QUANTITIES.get(v.quantity, v.quantity) for v in values]),
            ("corpus", [v.corpus for v in values]),
            ("value", [f"{v.value:.4g}" for v in values]),
            ("+-", ["-" if v.error is None else f"{v.error:.4g}" for v in values]),
            ("window", [window(v) for v in values]),
            ("tokens", ["-" if v.tokens is None else count(v.tokens) for v in values]),
        ]
    )
