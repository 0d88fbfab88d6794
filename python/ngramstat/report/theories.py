"""The panel of theories as text, as a figure, and as a section of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ngramstat.report.axes import new_axes
from ngramstat.report.exponent_rows import value_and_interval
from ngramstat.report.markup import section, table, text_of
from ngramstat.report.text import estimate, plain, wrap
from ngramstat.results import TheoriesResult, TheoryRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_theories", "summarize_theories", "theories_section"]


def summarize_theories(result: TheoriesResult) -> str:
    """The panel as plain text."""
    lines = ["DATA EXPONENTS BY THEORY  of the loss against training tokens"]
    width = max(len(row.name) for row in result.rows)
    for row in result.rows:
        mark = f"  {row.agreement}" if row.agreement else ""
        lines.append(f"  {row.name:<{width}}  {estimate(row.exponent):<24}{mark}".rstrip())
        if row.exponent.reason:
            lines += wrap(f"not reportable: {plain(row.exponent.reason)}", indent=6)
    lines.append("")
    lines.append("ASSUMPTIONS, AND WHAT WOULD REFUTE THEM")
    seen: set[str] = set()
    for row in result.rows:
        family = row.name.split(",")[0]
        if family in seen:
            continue
        seen.add(family)
        lines += wrap(f"{family} ({row.source}): {row.formula}", indent=2)
        lines += wrap(f"assumes: {row.assumption}", indent=6)
        lines += wrap(f"refuted by: {row.falsifier}", indent=6)
    return "\n".join(lines) + "\n"


def plot_theories(result: TheoriesResult, ax: Axes | None = None) -> Axes:
    """Every exponent with its interval; open markers are not reportable.

    Raises
    ------
    NgramstatError
        matplotlib is not installed.
    """
    axes = new_axes(ax)
    shown = [row for row in result.rows if row.exponent.value is not None]
    for height, row in enumerate(reversed(shown)):
        exponent = row.exponent
        assert exponent.value is not None
        colour = "#d55e00" if row.kind == "measured" else "#0072b2"
        if exponent.low is not None and exponent.high is not None:
            axes.plot([exponent.low, exponent.high], [height, height], color=colour, lw=1.5)
        axes.plot(
            [exponent.value], [height], "o", color=colour,
            markerfacecolor=colour if exponent.reportable else "none",
        )  # fmt: skip
    axes.set_yticks(range(len(shown)), [row.name for row in reversed(shown)], fontsize=8)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.axvline(0, color="#9aa1ab", lw=0.8)
    axes.set_xlabel("exponent of the loss against training tokens")
    axes.set_title("Theories (open: not reportable)", fontsize=10)
    return axes


def theories_section(result: TheoriesResult, figure: str = "") -> str:
    """The panel as a section of the report, with a figure that is HTML already."""
    return section(
        "Other theories",
        figure,
        table(
            ["theory", "data exponent", "interval", "assumes", "refuted by"],
            [_cells(row) for row in result.rows],
            stacked=True,
        ),
        lead="What other theories predict from the same corpus, and the exponents of trained "
        "models, if given. Values in parentheses are not reportable, for the reason given.",
    )


def _cells(row: TheoryRow) -> list[str]:
    exponent = row.exponent
    value, interval = value_and_interval(exponent)
    if row.agreement:
        value += f"<br><small>{text_of(row.agreement)}</small>"
    if exponent.reason:
        interval += f"<br><small>{text_of(exponent.reason)}</small>"
    name = (
        f"<b>{text_of(row.name)}</b><br><small>{text_of(row.formula)}; "
        f"{text_of(row.source)}</small>"
    )
    return [name, f"<b>{value}</b>", interval, text_of(row.assumption), text_of(row.falsifier)]
