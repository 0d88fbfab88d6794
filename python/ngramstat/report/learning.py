"""Figure of learning curves with their limits; matplotlib is imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ngramstat.errors import InputError
from ngramstat.report.figures import new_figure
from ngramstat.results import EntropyResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_learning"]

# Okabe and Ito's palette, as in the other figures.
_COLOURS = ("#7f7f7f", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
_MARKERS = "osD^vP"


def plot_learning(result: EntropyResult, ax: Axes | None = None) -> Axes:
    """L_n(P) against P for every context, with the limit of each and its interval.

    Bars at the points are two standard errors between training sets. At the right edge stands the
    limit where it is identifiable, with its interval; stars are the mixture at the largest P, and
    the grey bar beside them the bracket of H_n.

    Raises
    ------
    InputError
        The result has no learning curve of at least two sizes.
    NgramstatError
        matplotlib is not installed.
    """
    curve = result.learning_curve
    if curve is None or len(curve.tokens) < 2:
        raise InputError("result: has no learning curve of at least two sizes")
    axes = new_figure(1)[1][0] if ax is None else ax
    tokens = curve.tokens.astype(np.float64)
    edge, bracket = tokens[-1] * 6, tokens[-1] * 1.6
    for k, n in enumerate(result.context.tolist()):
        colour, marker = _COLOURS[k % 6], _MARKERS[k % 6]
        axes.errorbar(
            tokens,
            curve.held_out[:, k],
            yerr=None if curve.error is None else 2 * curve.error[:, k],
            color=colour,
            marker=marker,
            markersize=4,
            linewidth=1,
            label=f"n = {n}",
        )
        if (
            result.mixture_used is not None
            and result.mixture_used[k]
            and result.held_out is not None
        ):
            axes.plot(tokens[-1], result.held_out[k], marker="*", markersize=10, color=colour)
        if result.limit_low is not None and result.limit_high is not None:
            axes.plot(
                [bracket * 1.12**k] * 2,
                [result.limit_low[k], result.limit_high[k]],
                color="#b8b8b8",
                linewidth=3,
            )
        limits = (result.learning_limit, result.learning_low, result.learning_high)
        if all(v is not None and np.isfinite(v[k]) for v in limits):
            limit, low, high = (float(v[k]) for v in limits if v is not None)
            axes.errorbar(
                edge, limit, yerr=[[limit - low], [high - limit]], color=colour, marker=marker,
                markerfacecolor="white", capsize=3,
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel("training tokens P   (grey: bracket of H_n; open: limit at infinite P)")
    axes.set_ylabel("held-out loss L_n(P), nats per token")
    axes.set_title("Learning curves of Kneser-Ney; stars: the mixture of contexts", fontsize=10)
    axes.legend(fontsize=8, ncols=2)
    return axes
