"""Figure of a scaling collapse: measured and rescaled curves, and how sharp the exponents are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ngramstat.prediction.collapse import collapse_members, rescaled
from ngramstat.report.figures import logarithmic, new_figure
from ngramstat.results import Collapse, CurveTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_collapse"]


def plot_collapse(table: CurveTable, found: Collapse) -> Figure:
    """Losses against tokens, the rescaled curves, and the quality over (gamma, beta).

    Error bars are two standard errors where they are known; losses that the collapse leaves out
    (context 0, and contexts with too few sizes) are grey and open.

    Parameters
    ----------
    table : CurveTable
        The losses that `found` was made of.
    found : Collapse

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    NgramstatError
        If matplotlib is not installed.
    """
    figure, (before, after, grid) = new_figure(3)
    used = collapse_members(table.context, table.loss, found.entropy_rate)
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
            found.gamma, found.beta, found.entropy_rate,
        )  # fmt: skip
        scale = float(n) ** found.gamma
        after.errorbar(x, y, yerr=None if bars is None else bars * scale, **style)
    if (~used).any():
        before.plot(
            table.tokens[~used], table.loss[~used], "o", color="#7f7f7f", markerfacecolor="white",
            markersize=4, label="left out",
        )  # fmt: skip
    for ax in (before, after):
        logarithmic(ax)
    before.set_xlabel("training tokens $P$")
    before.set_ylabel("loss $L_n(P)$ (nats per token)")
    before.set_title(f"{found.source} curves", fontsize=10)
    before.legend(fontsize=7.5)
    after.set_xlabel(r"$P / n^{2\beta}$")
    rate = "" if found.entropy_rate == 0 else rf" - {found.entropy_rate:.3g}"
    after.set_ylabel(rf"$(L_n{rate})\, n^\gamma$" if rate else r"$L_n\, n^\gamma$")
    quality = "unknown" if found.quality is None else f"{found.quality:.2f}"
    after.set_title(
        rf"{found.protocol}: $\gamma = {found.gamma:.3f}$, $\beta = {found.beta:.3f}$, "
        f"distance {quality} of the unscaled",
        fontsize=10,
    )
    _draw_grid(grid, found)
    return figure


def _draw_grid(ax: Axes, found: Collapse) -> None:
    """The quality over the grid; pairs without enough overlap stay white."""
    values = np.ma.masked_invalid(found.grid_quality)
    mesh = ax.pcolormesh(
        found.grid_beta, found.grid_gamma, values, cmap="cividis_r", shading="nearest"
    )
    ax.figure.colorbar(mesh, ax=ax, label="distance after / before rescaling")
    ax.plot(found.beta, found.gamma, "o", color="white", markeredgecolor="black", label="estimate")
    if found.best_beta is not None and found.best_gamma is not None:
        ax.plot(
            found.best_beta, found.best_gamma, "*", color="white", markeredgecolor="black",
            markersize=12, label="best collapse",
        )  # fmt: skip
    ax.set_xlabel(r"$\beta$")
    ax.set_ylabel(r"$\gamma$")
    ax.set_title("sensitivity", fontsize=10)
    ax.legend(fontsize=7.5)
