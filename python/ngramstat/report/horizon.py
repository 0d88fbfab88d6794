"""Figure of the lags that P tokens resolve; matplotlib is imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ngramstat.errors import InputError
from ngramstat.prediction.gates import HORIZON_GATE
from ngramstat.prediction.horizons import LEARNER_FACTORS
from ngramstat.report.axes import BLUE, GREEN, GREY, ORANGE, RED, logarithmic, new_figure
from ngramstat.results import HorizonPoint, Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_horizon"]


def plot_horizon(result: Prediction) -> Figure:
    """Tokens P*_n that resolve lag n, the range that a learner needs, and the requested sizes.

    Raises
    ------
    InputError
        No lag is resolved.
    NgramstatError
        matplotlib is not installed.
    """
    resolved = [(p.lag, p.tokens) for p in result.threshold if p.tokens is not None]
    if not resolved:
        raise InputError("result: no lag is resolved")
    lags, tokens = (np.array(column, dtype=np.float64) for column in zip(*resolved, strict=True))
    figure, (axes,) = new_figure(1)
    axes.plot(tokens, lags, color=BLUE, marker="o", markersize=4, label="counting, $P^*_n$")
    low, high = LEARNER_FACTORS
    axes.fill_betweenx(
        lags, low * tokens, high * tokens, color=ORANGE, alpha=0.25, linewidth=0,
        label=f"a learner: {low:g} to {high:g} times as many",
    )  # fmt: skip
    for k, point in enumerate(result.horizon):
        _draw_requested(axes, point, in_legend=k == 0)
    context_gate = next((g for g in result.gates if g.name == HORIZON_GATE), None)
    if context_gate is not None and context_gate.threshold is not None:
        axes.axhline(
            context_gate.threshold, color=GREEN, linewidth=1, linestyle="-.",
            label=f"half of your context of {2 * context_gate.threshold:g}",
        )  # fmt: skip
    logarithmic(axes)
    axes.set_xlabel("training tokens $P$")
    axes.set_ylabel("lag resolved, $n^*(P)$ (tokens)")
    axes.set_title("Horizons", fontsize=10)
    axes.legend(fontsize=7.5, loc="upper left")
    return figure


def _draw_requested(axes: Axes, point: HorizonPoint, *, in_legend: bool) -> None:
    """A requested number of tokens, and the horizon that it reaches."""
    axes.axvline(
        point.tokens, color=GREY, linewidth=1, linestyle="--",
        label="requested tokens" if in_legend else None,
    )  # fmt: skip
    if point.lag is None:
        return
    bars = None
    if point.low is not None and point.high is not None:
        bars = [[max(point.lag - point.low, 0.0)], [max(point.high - point.lag, 0.0)]]
    axes.errorbar(
        point.tokens, point.lag, yerr=bars, color=RED, marker="s", markersize=5, capsize=2,
        markerfacecolor="white" if point.at_least or point.extrapolated else RED,
        label="horizon (open: extrapolated or a bound)" if in_legend else None,
    )  # fmt: skip
