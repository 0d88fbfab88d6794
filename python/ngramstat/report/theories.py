"""The panel of theories as text, as a figure, and as a section of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ngramstat.report.chart import Axis, Chart, Curve, Mark, Panel, Rule, Window, floats
from ngramstat.report.chart_plot import draw_panel
from ngramstat.report.exponent_rows import value_and_interval
from ngramstat.report.markup import section, table, text_of
from ngramstat.report.text import count, estimate, exponent_number, plain, wrap
from ngramstat.report.text import table as text_table
from ngramstat.results import Exponent, TheoriesResult, TheoryRow
from ngramstat.theories.bottom_line import family_of
from ngramstat.theories.missing_mass import missing_mass_exponents, quanta_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_theories", "summarize_theories", "theories_chart", "theories_section"]


def summarize_theories(result: TheoriesResult) -> str:
    """The panel as plain text."""
    lines = ["DATA EXPONENTS BY THEORY  of the loss against training tokens"]
    if result.bottom_line:
        lines += [*wrap(plain(result.bottom_line), indent=2), ""]
    width = max(len(row.name) for row in result.rows)
    said = None
    for row in result.rows:
        mark = f"  {row.agreement}" if row.agreement else ""
        lines.append(f"  {row.name:<{width}}  {estimate(row.exponent):<24}{mark}".rstrip())
        reason = row.exponent.reason
        if reason:
            words = "as the row above" if reason == said else plain(reason)
            lines += wrap(f"not reportable: {words}", indent=6)
        said = reason
    lines.append("")
    lines.append("ASSUMPTIONS, AND WHAT WOULD REFUTE THEM")
    lines += _assumption_lines(result.rows)
    lines += _quanta_lines(result)
    return "\n".join(lines) + "\n"


def _assumption_lines(rows: Sequence[TheoryRow]) -> list[str]:
    """Every assumption with its falsifier once, though rows of several k or sizes share it."""
    assumptions: dict[str, set[str]] = {}
    for row in rows:
        assumptions.setdefault(family_of(row), set()).add(row.assumption)
    lines: list[str] = []
    seen: set[str] = set()
    for row in rows:
        family = family_of(row)
        name = family if len(assumptions[family]) == 1 else row.name
        if name in seen:
            continue
        seen.add(name)
        lines += wrap(f"{name} ({row.source}): {row.formula}", indent=2)
        lines += wrap(f"assumes: {row.assumption}", indent=6)
        lines += wrap(f"refuted by: {row.falsifier}", indent=6)
    return lines


_QUANTA = "exponent of the k-grams not seen yet (missing mass), on each doubling of the tokens"


def _quanta_columns(result: TheoriesResult) -> list[tuple[str, list[str]]]:
    """Missing-mass exponents by k, a row for each doubling; empty without k-grams."""
    if not result.kgrams:
        return []
    columns = [("tokens", [count(round(x)) for x in result.kgrams[0].tokens[1:]])]
    for kgram in result.kgrams:
        exponents = missing_mass_exponents(kgram)
        cells = [exponent_number(x) if np.isfinite(x) else "-" for x in exponents]
        columns.append((f"k = {kgram.k}", cells))
    return columns


def _quanta_lines(result: TheoriesResult) -> list[str]:
    columns = _quanta_columns(result)
    if not columns:
        return []
    return [
        "",
        f"QUANTA BY K-GRAMS  {_QUANTA}",
        *text_table(columns),
        *wrap(quanta_in_words(result.kgrams), indent=2),
    ]


def theories_chart(result: TheoriesResult) -> Chart:
    """Every exponent with its interval; measured ones also as lines across all theories."""
    shown = [row for row in result.rows if row.exponent.value is not None]
    marks: list[Mark] = [Rule(at=0.0, colour="grey", stroke="solid"), *_measured(shown)]
    for reportable, words in ((True, "reportable"), (False, "not reportable")):
        for measured, kind in ((False, "exponent of a theory"), (True, "measured exponent")):
            rows = [
                (k, row.exponent)
                for k, row in enumerate(shown)
                if row.exponent.reportable == reportable and (row.kind == "measured") == measured
            ]
            if rows:
                marks.append(
                    _points(rows, f"{kind}, {words}", reportable=reportable, measured=measured)
                )
    compared = (
        "The lines are those of trained models."
        if any(row.kind == "measured" for row in shown)
        else "No measured exponent is known to compare them with: give theories the option "
        "--validation or --curves."
    )
    return Chart(
        title="What other theories predict",
        description="Exponent of the loss against training tokens by every theory, with its "
        "interval.",
        notes=(compared,),
        panels=(
            Panel(
                x=Axis(label="exponent of the loss against training tokens", log=False),
                y=Axis(label="", log=False, names=tuple(row.name for row in shown)),
                marks=marks,
            ),
        ),
    )


def _measured(rows: Sequence[TheoryRow]) -> list[Mark]:
    """Exponents of trained models as lines across all rows, with their intervals."""
    marks: list[Mark] = []
    for row in rows:
        exponent = row.exponent
        if row.kind != "measured" or exponent.value is None:
            continue
        name = f"measured: {row.name}"
        if exponent.low is not None and exponent.high is not None:
            marks.append(Window(group=name, colour="red", low=exponent.low, high=exponent.high))
        marks.append(Rule(name=name, colour="red", at=exponent.value))
    return marks


def _points(
    rows: Sequence[tuple[int, Exponent]], name: str, *, reportable: bool, measured: bool
) -> Curve:
    """Exponents of several rows with their intervals, where known."""
    value, low, high = (
        floats([np.nan if v is None else v for v in column])
        for column in (
            [e.value for _, e in rows], [e.low for _, e in rows], [e.high for _, e in rows],
        )
    )  # fmt: skip
    return Curve(
        name=name, colour="red" if measured else "blue", filled=reportable, stroke="",
        x=value, y=floats([k for k, _ in rows]), left=low, right=high,
    )  # fmt: skip


def plot_theories(result: TheoriesResult, ax: Axes | None = None) -> Axes:
    """Every exponent with its interval; open markers are not reportable.

    Raises
    ------
    NgramstatError
        matplotlib is not installed.
    """
    return draw_panel(theories_chart(result), ax)


def theories_section(result: TheoriesResult, figure: str = "") -> str:
    """The panel as a section of the report, with a figure that is HTML already."""
    bottom_line = f"<p><b>{text_of(result.bottom_line)}</b></p>" if result.bottom_line else ""
    return section(
        "Other theories",
        bottom_line,
        figure,
        table(
            ["theory", "data exponent", "interval", "assumes", "refuted by"],
            [_cells(row) for row in result.rows],
            stacked=True,
        ),
        *_quanta_markup(result),
        lead="What other theories predict from the same corpus, and the exponents of trained "
        "models, if given. Values in parentheses are not reportable, for the reason given.",
    )


def _quanta_markup(result: TheoriesResult) -> list[str]:
    columns = _quanta_columns(result)
    if not columns:
        return []
    return [
        table(
            [name for name, _ in columns],
            list(zip(*(cells for _, cells in columns), strict=True)),
            caption=f"Quanta by k-grams: {_QUANTA}",
        ),
        f"<p>{text_of(quanta_in_words(result.kgrams))}</p>",
    ]


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
