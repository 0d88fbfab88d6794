"""A chart drawn with matplotlib (extra ``plot``), for figure files and notebooks.

matplotlib is imported on first use, without pyplot: no global list of open figures, no backend, no
display.
"""

from __future__ import annotations

import io
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ngramstat.errors import NgramstatError
from ngramstat.report.chart import (
    Area,
    Axis,
    Chart,
    Curve,
    Floats,
    Heat,
    Label,
    Panel,
    Rule,
    Window,
)
from ngramstat.report.chart_ticks import minor_ticks, ticks
from ngramstat.report.style import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_chart", "draw_panel", "new_figure"]

_MARKERS = {
    "": "", "circle": "o", "square": "s", "diamond": "D", "up": "^", "down": "v", "plus": "P",
    "star": "*",
}  # fmt: skip
_STROKES: dict[str, Any] = {
    "": "", "solid": "-", "dashed": (0, (5, 3)), "dotted": ":", "dashdot": "-.",
}  # fmt: skip
_TEXT, _SMALL = 10, 8.5
# Inches of one panel without its legend, and of a line of the legend.
_WIDTH, _HEIGHT, _LINE = 6.2, 4.2, 0.18
# Entries of a legend stand in two columns if none has more characters.
_SHORT = 30


def new_figure(panels: int, height: float = _HEIGHT) -> tuple[Figure, list[Axes]]:
    """A figure of panels side by side that belongs to no window, `height` inches high.

    Notebooks show it, and also each of its axes as the figure.

    Raises
    ------
    NgramstatError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NgramstatError(
            "figures need matplotlib, which is not installed: pip install 'ngramstat[plot]'"
        ) from error
    figure = Figure(figsize=(_WIDTH * panels, height), layout="constrained", dpi=120)
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for shown in (figure, *axes):
        # Without pyplot, notebooks have no formatter of their own for figures.
        setattr(shown, "_repr_png_", partial(_png, figure))  # noqa: B010
    return figure, axes


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def draw_chart(chart: Chart) -> Figure:
    """All marks of all panels, side by side, with the legends below.

    Raises
    ------
    NgramstatError
        If matplotlib is not installed.
    """
    figure, axes = new_figure(len(chart.panels), _height(chart))
    for panel, ax in zip(chart.panels, axes, strict=True):
        _draw(panel, ax, panel.title or chart.title, outside=True)
    return figure


def draw_panel(chart: Chart, ax: Axes | None = None) -> Axes:
    """The only panel of a chart on the given axes, or on new ones in a figure of their own.

    On given axes the legend stands inside, as below them there may be no room.

    Raises
    ------
    NgramstatError
        If matplotlib is not installed.
    """
    (panel,) = chart.panels
    target = new_figure(1, _height(chart))[1][0] if ax is None else ax
    _draw(panel, target, panel.title or chart.title, outside=ax is None)
    return target


def _columns(panel: Panel) -> int:
    """Columns of the legend."""
    return 2 if all(len(mark.name) <= _SHORT for mark in panel.marks) else 1


def _height(chart: Chart) -> float:
    """Inches that the highest panel needs with its legend."""
    entries = [len({m.name for m in p.marks if m.name}) / _columns(p) for p in chart.panels]
    return _HEIGHT + _LINE * math.ceil(max(entries, default=0))


def _draw(panel: Panel, ax: Axes, title: str, *, outside: bool) -> None:
    (left, right), (bottom, top) = panel.limits()
    if panel.x.log:
        ax.set_xscale("log")
    if panel.y.log and not panel.y.names:
        ax.set_yscale("log")
    ax.grid(True, which="major", color="#dddddd", linewidth=0.5, zorder=0)
    ax.set_axisbelow(True)
    for order, mark in enumerate(panel.marks):
        # What accompanies a curve that pages hide at first would cover the others.
        if mark.shown or mark.name:
            _DRAW[type(mark)](ax, mark, order + 2)
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    _set_ticks(ax, panel, (left, right), (bottom, top))
    ax.set_xlabel(panel.x.label, fontsize=_TEXT)
    ax.set_ylabel(panel.y.label, fontsize=_TEXT)
    ax.set_title(title, fontsize=_TEXT)
    ax.tick_params(labelsize=_SMALL)
    if any(mark.name for mark in panel.marks):
        place: dict[str, Any] = {"loc": "best"}
        if outside:
            place = {"loc": "upper left", "bbox_to_anchor": (0, -0.15), "borderaxespad": 0}
        ax.legend(fontsize=_SMALL, ncols=_columns(panel), frameon=not outside, **place)


def _set_ticks(
    ax: Axes, panel: Panel, x_limits: tuple[float, float], y_limits: tuple[float, float]
) -> None:
    """Ticks with the same labels as on the pages; lengths are those of a panel in points."""
    from matplotlib.ticker import NullFormatter

    def chosen(axis: Axis, limits: tuple[float, float], length: float, *, along: bool) -> Any:
        found = ticks(axis, limits, length, text=_SMALL, along=along)
        return [value for value, _ in found], [label for _, label in found]

    ax.set_xticks(*chosen(panel.x, x_limits, 60 * _WIDTH, along=True))
    ax.set_xticks(minor_ticks(panel.x, x_limits), minor=True)
    if panel.y.names:
        ax.set_yticks(range(len(panel.y.names)), panel.y.names)
    else:
        ax.set_yticks(*chosen(panel.y, y_limits, 45 * _HEIGHT, along=False))
        ax.set_yticks(minor_ticks(panel.y, y_limits), minor=True)
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_minor_formatter(NullFormatter())


def _shown(values: Floats, *, log: bool) -> Floats:
    """NaN for what the axis cannot show."""
    with np.errstate(invalid="ignore"):
        out: Floats = np.where(
            np.isfinite(values) & (~np.bool_(log) | (values > 0)), values, np.nan
        )
    return out


def _draw_curve(ax: Axes, mark: Curve, order: int) -> None:
    x = _shown(mark.x, log=ax.get_xscale() == "log")
    y = _shown(mark.y, log=ax.get_yscale() == "log")
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        return
    colour = LIGHT[mark.colour]
    ax.errorbar(
        x[known],
        y[known],
        xerr=_bars(x, mark.left, mark.right, known),
        yerr=_bars(y, mark.low, mark.high, known),
        color=colour,
        linestyle=_STROKES[mark.stroke],
        linewidth=1.3,
        elinewidth=1,
        capsize=2,
        marker=_MARKERS[mark.marker],
        markersize=8 if mark.marker == "star" else 5,
        markerfacecolor=colour if mark.filled else "white",
        alpha=0.5 if mark.faint else 1.0,
        label=mark.name or None,
        zorder=order,
    )


def _bars(middle: Floats, low: Floats | None, high: Floats | None, known: Any) -> Any:
    if low is None or high is None:
        return None
    bars = np.vstack([middle - low, high - middle])[:, known]
    return np.nan_to_num(np.maximum(bars, 0.0))


def _draw_area(ax: Axes, mark: Area, order: int) -> None:
    fill = ax.fill_betweenx if mark.across else ax.fill_between
    fill(
        mark.x, mark.low, mark.high, color=LIGHT[mark.colour], alpha=0.2, linewidth=0,
        label=mark.name or None, zorder=order,
    )  # fmt: skip


def _draw_window(ax: Axes, mark: Window, order: int) -> None:
    span = ax.axhspan if mark.horizontal else ax.axvspan
    alpha = 1.0 if mark.colour == "window" else 0.2
    span(
        mark.low, mark.high, color=LIGHT[mark.colour], alpha=alpha, linewidth=0,
        label=mark.name or None, zorder=0 if mark.colour == "window" else order,
    )  # fmt: skip


def _draw_rule(ax: Axes, mark: Rule, order: int) -> None:
    line = ax.axhline if mark.horizontal else ax.axvline
    line(
        mark.at, color=LIGHT[mark.colour], linewidth=1.1, linestyle=_STROKES[mark.stroke],
        label=mark.name or None, zorder=order,
    )  # fmt: skip


def _draw_label(ax: Axes, mark: Label, order: int) -> None:
    ax.text(
        mark.x, mark.y, mark.text, fontsize=_SMALL, color=LIGHT[mark.colour], clip_on=True,
        ha="right" if mark.end else "left", va="bottom", zorder=order,
    )  # fmt: skip


def _draw_heat(ax: Axes, mark: Heat, order: int) -> None:
    values = np.ma.masked_invalid(mark.values)
    mesh = ax.pcolormesh(mark.x, mark.y, values, cmap="cividis_r", shading="nearest", zorder=order)
    ax.figure.colorbar(mesh, ax=ax, label=mark.scale)


_DRAW: dict[Any, Any] = {
    Curve: _draw_curve,
    Area: _draw_area,
    Window: _draw_window,
    Rule: _draw_rule,
    Label: _draw_label,
    Heat: _draw_heat,
}
