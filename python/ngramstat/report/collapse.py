"""Figure of a scaling collapse: measured and rescaled curves, and its quality by exponents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ngramstat.prediction.collapse import collapse_members, rescaled
from ngramstat.report.axes import GREY, logarithmic, new_figure
from ngramstat.report.text import CURVE_SOURCES
from ngramstat.results import Collapse, CurveTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_collapse"]


def plot_collapse(table: CurveTable, collapse: Collapse) -> Figure:
    """Losses against tokens, the rescaled curves, and the quality over (gamma, beta).

    Error bars are two standard errors, where known. Losses that the collapse does not use (context
    0, and contexts with too few sizes) are drawn open and in grey.

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
    figure, (before, after, grid) = new_figure(3)
    used = collapse_members(table.context, table.loss, collapse.entropy_rate)
    from matplotlib import colormaps

    contexts = np.unique(table.context[used])
    colours = colormaps["viridis"](np.linspace(0, 0.9, max(len(contexts), 1)))
    for n, colour in zip(contexts, colours, strict=False):
        rows = used & (table.context == n)
        bars = None if table.error is None else 2 * np.nan_to_num(table.error[rows])
        style = {"marker": "o", "markersize": 4, "color": colour, "linewidth": 1, "elinewidth": 1}
        before.errorbar(table.tokens[rows], table.loss[rows], yerr=bars, label=f"n = {n}", **style)
        x, y = rescaled(
            table.context[rows], table.tokens[rows], table.loss[rows],
            collapse.gamma, collapse.beta, collapse.entropy_rate,
        )  # fmt: skip
        scale = float(n) ** collapse.gamma
        after.errorbar(x, y, yerr=None if bars is None else bars * scale, **style)
    if (~used).any():
        before.plot(
            table.tokens[~used], table.loss[~used], "o", color=GREY, markerfacecolor="white",
            markersize=4, label="left out",
        )  # fmt: skip
    for ax in (before, after):
        logarithmic(ax)
    before.set_xlabel("training tokens $P$")
    before.set_ylabel("loss $L_n(P)$ (nats per token)")
    before.set_title(f"{CURVE_SOURCES[collapse.source]} curves", fontsize=10)
    before.legend(fontsize=7.5)
    after.set_xlabel(r"$P / n^{2\beta}$")
    rate = "" if collapse.entropy_rate == 0 else rf" - {collapse.entropy_rate:.3g}"
    after.set_ylabel(rf"$(L_n{rate})\, n^\gamma$" if rate else r"$L_n\, n^\gamma$")
    quality = "unknown" if collapse.quality is None else f"{collapse.quality:.2f}"
    after.set_title(
        rf"{collapse.protocol}: $\gamma = {collapse.gamma:.3f}$, $\beta = {collapse.beta:.3f}$, "
        f"relative distance {quality}" + ("" if collapse.reportable else " (not reportable)"),
        fontsize=10,
    )
    _draw_grid(grid, collapse)
    return figure


def _draw_grid(ax: Axes, collapse: Collapse) -> None:
    """The quality over the grid; pairs of exponents without enough overlap stay white."""
    values = np.ma.masked_invalid(collapse.grid_quality)
    mesh = ax.pcolormesh(
        collapse.grid_beta, collapse.grid_gamma, values, cmap="cividis_r", shading="nearest"
    )
    ax.figure.colorbar(mesh, ax=ax, label="distance after / before rescaling")
    ax.plot(
        collapse.beta, collapse.gamma, "o", color="white", markeredgecolor="black", label="estimate"
    )
    if collapse.best_beta is not None and collapse.best_gamma is not None:
        ax.plot(
            collapse.best_beta, collapse.best_gamma, "*", color="white", markeredgecolor="black",
            markersize=12, label="best collapse",
        )  # fmt: skip
    ax.set_xlabel(r"$\beta$")
    ax.set_ylabel(r"$\gamma$")
    ax.set_title("sensitivity", fontsize=10)
    ax.legend(fontsize=7.5)
