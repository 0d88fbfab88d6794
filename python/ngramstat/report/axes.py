"""Figures, axes and colours that all plots share. matplotlib is imported on first use."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ngramstat.errors import NgramstatError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "COLOURS",
    "GREEN",
    "GREY",
    "LIGHT",
    "MARKERS",
    "ORANGE",
    "PURPLE",
    "RED",
    "WINDOW",
    "add_legend",
    "integer_ticks",
    "logarithmic",
    "new_axes",
    "new_figure",
    "plain_ticks",
]

# Okabe and Ito's palette: distinguishable with every common form of colour blindness, and in grey.
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
GREY, LIGHT = "#7f7f7f", "#b8b8b8"
WINDOW = "#f7f3e6"
# Colours and markers of several curves in one plot, in this order.
COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, "#56B4E9")
MARKERS = "osD^vP"
_LABEL_SIZE = 8.5


def new_figure(panels: int) -> tuple[Figure, list[Axes]]:
    """A figure of panels side by side that belongs to no window.

    Raises
    ------
    NgramstatError
        If matplotlib is not installed.
    """
    # Without pyplot: no global list of open figures, no backend, no display.
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NgramstatError(
            "figures need matplotlib, which is not installed: pip install 'ngramstat[plot]'"
        ) from error
    figure = Figure(figsize=(6.2 * panels, 4.8), layout="constrained", dpi=120)
    axes = figure.subplots(1, panels, squeeze=False)
    return figure, list(axes[0])


def new_axes(ax: Axes | None) -> Axes:
    """The given axes, or new ones in a figure that belongs to no window."""
    return new_figure(1)[1][0] if ax is None else ax


def logarithmic(ax: Axes) -> None:
    """Logarithmic scales on both axes, with a faint grid."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.grid(True, which="major", color="#dddddd", linewidth=0.5)


def integer_ticks(ax: Axes, ticks: list[tuple[float, str]]) -> None:
    """Label every context on the axis, leaving out labels that would overlap."""
    from matplotlib.ticker import NullLocator

    kept: list[tuple[float, str]] = []
    for x, label in ticks:
        if not kept or x >= 1.18 * kept[-1][0]:
            kept.append((x, label))
    ax.set_xticks([x for x, _ in kept], [label for _, label in kept])
    ax.xaxis.set_minor_locator(NullLocator())


def plain_ticks(ax: Axes) -> None:
    """Plain numbers on a logarithmic y axis; below two decades, powers of ten are too few."""
    from matplotlib.ticker import NullLocator

    low, high = ax.get_ylim()
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    for steps in ((1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9), (1, 2, 3, 4, 6, 8), (1, 2, 5), (1,)):
        ticks = [s * 10.0**d for d in decades for s in steps if low <= s * 10.0**d <= high]
        if len(ticks) <= 10:
            break
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.yaxis.set_minor_locator(NullLocator())


def add_legend(ax: Axes) -> None:
    """A grid, small tick labels and a legend in the lower left, which falling curves leave free."""
    ax.grid(True, which="major", color="#dddddd", linewidth=0.5, zorder=0)
    ax.tick_params(labelsize=_LABEL_SIZE)
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        ax.legend(handles, labels, loc="lower left", fontsize=7.5, framealpha=0.9)
