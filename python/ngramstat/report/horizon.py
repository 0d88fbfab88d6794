"""Figure of what P tokens resolve; matplotlib is imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ngramstat.errors import InputError
from ngramstat.prediction.gates import HORIZON_GATE
from ngramstat.prediction.horizons import LEARNER_FACTORS
from ngramstat.report.figures import logarithmic, new_figure
from ngramstat.results import Prediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_horizon"]


def plot_horizon(result: Prediction) -> Figure:
    """Tokens P*_n that resolve lag n, the band that a learner needs, and the sizes asked for.

    Raises
    ------
    InputError
        No lag is resolved.
    NgramstatError
        matplotlib is not installed.
    """
    found = [(p.lag, p.tokens) for p in result.threshold if p.tokens is not None]
    if not found:
        raise InputError("result: no lag is resolved")
    lags, tokens = (np.array(column, dtype=np.float64) for column in zip(*found, strict=True))
    figure, (axes,) = new_figure(1)
    axes.plot(tokens, lags, color="#0072B2", marker="o", markersize=4, label="counting, $P^*_n$")
    least, most = LEARNER_FACTORS
    axes.fill_betweenx(
        lags, least * tokens, most * tokens, color="#E69F00", alpha=0.25, linewidth=0,
        label=f"a learner: {least:g} to {most:g} times as many",
    )  # fmt: skip
    for k, point in enumerate(result.horizon):
        axes.axvline(
            point.tokens, color="#7f7f7f", linewidth=1, linestyle="--",
            label="asked for" if k == 0 else None,
        )  # fmt: skip
        if point.lag is not None:
            bars = None
            if point.low is not None and point.high is not None:
                bars = [[max(point.lag - point.low, 0.0)], [max(point.high - point.lag, 0.0)]]
            axes.errorbar(
                point.tokens, point.lag, yerr=bars, color="#D55E00", marker="s", markersize=5,
                markerfacecolor="white" if point.at_least or point.extrapolated else "#D55E00",
                capsize=2, label="horizon (open: extrapolated or a bound)" if k == 0 else None,
            )  # fmt: skip
    inside = next((g for g in result.gates if g.name == HORIZON_GATE), None)
    if inside is not None and inside.threshold is not None:
        axes.axhline(
            inside.threshold, color="#009E73", linewidth=1, linestyle="-.",
            label=f"half of your context of {2 * inside.threshold:g}",
        )  # fmt: skip
    logarithmic(axes)
    axes.set_xlabel("training tokens $P$")
    axes.set_ylabel("lag resolved, $n^*(P)$ (tokens)")
    axes.set_title("Horizons", fontsize=10)
    axes.legend(fontsize=7.5, loc="upper left")
    return figure
