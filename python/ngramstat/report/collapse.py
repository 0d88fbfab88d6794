"""Figure of a scaling collapse: measured and rescaled curves, and its quality by exponents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ngramstat.prediction.collapse import collapse_members, rescaled
from ngramstat.report.chart import (
    Axis,
    Chart,
    Curve,
    Heat,
    Mark,
    Panel,
    curve_colour,
    curve_marker,
    floats,
)
from ngramstat.report.chart_plot import draw_chart
from ngramstat.report.text import CURVE_SOURCES, marked
from ngramstat.results import Collapse, CurveTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["collapse_chart", "plot_collapse"]

_PROTOCOLS = {"raw": "no limit subtracted", "shifted": "above their limit"}


def collapse_chart(table: CurveTable, collapse: Collapse) -> Chart:
    """Losses against tokens, the rescaled curves, and the quality over (gamma, beta).

    Error bars are two standard errors, where known. Losses that the collapse does not use (context
    0, and contexts with too few sizes) are open and grey.

    Parameters
    ----------
    table : CurveTable
        The losses that `collapse` was computed from.
    collapse : Collapse
    """
    before, after = _curves(table, collapse)
    exponents = marked(
        f"γ = {collapse.gamma:.3f} and β = {collapse.beta:.3f}", reportable=collapse.reportable
    )
    quality = "an unknown part"
    if collapse.quality is not None:
        quality = marked(f"{collapse.quality:.2f}", reportable=collapse.reportable)
    source = CURVE_SOURCES[collapse.source]
    rate = "" if collapse.entropy_rate == 0 else f" − {collapse.entropy_rate:.3g}"
    loss = f"(loss{rate})" if rate else "loss"
    return Chart(
        title=f"Do the curves of all contexts fall onto one? ({source} curves, "
        f"{_PROTOCOLS.get(collapse.protocol, collapse.protocol)})",
        description=f"Losses by context as measured; the same rescaled with {exponents}; and how "
        "near the rescaled curves are to each other for other exponents (small is good). Their "
        f"distance after rescaling is {quality} of that before.",
        panels=(
            Panel(
                title="As measured",
                x=Axis(label="training tokens P"),
                y=Axis(label="loss (nats per token)"),
                marks=before,
            ),
            Panel(
                title="Rescaled",
                x=Axis(label="P / n²ᵝ"),
                y=Axis(label=f"{loss} · nᵞ"),
                marks=after,
            ),
            _grid(collapse),
        ),
    )


def _curves(table: CurveTable, collapse: Collapse) -> tuple[list[Mark], list[Mark]]:
    """The curves of every context, before and after rescaling."""
    used = collapse_members(table.context, table.loss, collapse.entropy_rate)
    contexts = np.unique(table.context[used])
    before: list[Mark] = []
    after: list[Mark] = []
    for k, n in enumerate(contexts.tolist()):
        rows = used & (table.context == n)
        rows = np.flatnonzero(rows)[np.argsort(table.tokens[rows])]
        y = table.loss[rows]
        bar = None if table.error is None else 2 * np.nan_to_num(table.error[rows])
        scale = float(n) ** collapse.gamma
        x, z = rescaled(
            table.context[rows], table.tokens[rows], y, collapse.gamma, collapse.beta,
            collapse.entropy_rate,
        )  # fmt: skip
        for marks, at, height, half in (
            (before, table.tokens[rows], y, bar),
            (after, x, z, None if bar is None else bar * scale),
        ):
            marks.append(
                Curve(
                    name=f"context {n}", colour=curve_colour(k),
                    marker=curve_marker(k),
                    shown=n in (contexts[0], contexts[-1]), x=floats(at), y=floats(height),
                    low=None if half is None else height - half,
                    high=None if half is None else height + half,
                )
            )  # fmt: skip
    if (~used).any():
        before.append(
            Curve(name="left out", colour="grey", filled=False, stroke="", shown=False,
                  x=floats(table.tokens[~used]), y=floats(table.loss[~used]))
        )  # fmt: skip
    return before, after


def _grid(collapse: Collapse) -> Panel:
    """The quality over the grid; pairs of exponents without enough overlap stay empty."""
    marks: list[Mark] = [
        Heat(x=collapse.grid_beta, y=collapse.grid_gamma, values=collapse.grid_quality,
             scale="distance after / before rescaling"),
        Curve(name="the estimate", colour="red", x=floats(collapse.beta), y=floats(collapse.gamma),
              stroke="", filled=False),
    ]  # fmt: skip
    if collapse.best_beta is not None and collapse.best_gamma is not None:
        marks.append(
            Curve(name="where the curves are nearest", colour="red", marker="star", filled=False,
                  stroke="", x=floats(collapse.best_beta), y=floats(collapse.best_gamma))
        )  # fmt: skip
    return Panel(
        title="Other exponents",
        x=Axis(label="β", log=False),
        y=Axis(label="γ", log=False),
        marks=marks,
    )


def plot_collapse(table: CurveTable, collapse: Collapse) -> Figure:
    """Losses against tokens, the rescaled curves, and the quality over (gamma, beta).

    Parameters
    ----------
    table : CurveTable
        The losses that `collapse` was computed from.
    collapse : Collapse

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    NgramstatError
        If matplotlib is not installed.
    """
    return draw_chart(collapse_chart(table, collapse))
