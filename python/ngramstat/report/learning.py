"""Figure of learning curves with their limits; matplotlib is imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ngramstat.errors import InputError
from ngramstat.report.axes import BLUE, GREEN, GREY, LIGHT, MARKERS, ORANGE, PURPLE, RED, new_axes
from ngramstat.results import EntropyResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_learning"]

# The unigram is grey.
_COLOURS = (GREY, BLUE, RED, GREEN, PURPLE, ORANGE)
# Horizontal positions of the brackets and of the limits, as factors of the largest P.
_BRACKET_AT, _LIMIT_AT = 1.6, 6


def plot_learning(result: EntropyResult, ax: Axes | None = None) -> Axes:
    """L_n(P) against P for every context, with the limit of each and its interval.

    Bars at the points are two standard errors between training sets. The limit, where it is
    identifiable, is drawn at the right edge with its interval. Stars are the mixture of contexts at
    the largest P, and the grey bars beside them are the brackets of H_n.

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
    axes = new_axes(ax)
    tokens = curve.tokens.astype(np.float64)
    for k, n in enumerate(result.context.tolist()):
        axes.errorbar(
            tokens, curve.held_out[:, k],
            yerr=None if curve.error is None else 2 * curve.error[:, k],
            color=_COLOURS[k % 6], marker=MARKERS[k % 6], markersize=4, linewidth=1,
            label=f"n = {n}",
        )  # fmt: skip
        _draw_estimates(axes, result, k, tokens[-1])
    axes.set_xscale("log")
    axes.set_xlabel("training tokens P   (grey: bracket of H_n; open: limit at infinite P)")
    axes.set_ylabel("held-out loss L_n(P), nats per token")
    axes.set_title("Learning curves of Kneser-Ney; stars: the mixture of contexts", fontsize=10)
    axes.legend(fontsize=8, ncols=2)
    return axes


def _draw_estimates(axes: Axes, result: EntropyResult, k: int, largest: float) -> None:
    """The mixture, the bracket and the limit of the k-th context, right of its curve."""
    colour = _COLOURS[k % 6]
    if result.mixture_used is not None and result.mixture_used[k] and result.held_out is not None:
        axes.plot(largest, result.held_out[k], marker="*", markersize=10, color=colour)
    if result.low is not None and result.high is not None:
        axes.plot(
            [largest * _BRACKET_AT * 1.12**k] * 2, [result.low[k], result.high[k]],
            color=LIGHT, linewidth=3,
        )  # fmt: skip
    limits = (result.limit, result.limit_low, result.limit_high)
    if all(v is not None and np.isfinite(v[k]) for v in limits):
        limit, low, high = (float(v[k]) for v in limits if v is not None)
        axes.errorbar(
            largest * _LIMIT_AT, limit, yerr=[[limit - low], [high - limit]], color=colour,
            marker=MARKERS[k % 6], markerfacecolor="white", capsize=3,
        )  # fmt: skip
