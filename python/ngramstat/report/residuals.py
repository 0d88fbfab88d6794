"""Figure of what the fit of beta leaves over; matplotlib is imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ngramstat.errors import InputError
from ngramstat.report.figures import middle_of_fit, new_figure
from ngramstat.results import CorrelationResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_residuals"]


def plot_residuals(result: CorrelationResult, ax: Axes | None = None) -> Axes:
    """Norms over the fitted law at every lag, with their intervals, and the window of the fit.

    Raises
    ------
    InputError
        beta has no value, so there is no law.
    NgramstatError
        matplotlib is not installed.
    """
    beta = result.beta
    if beta.value is None or beta.window is None:
        raise InputError("result: beta has no value, so nothing is left over")
    axes = new_figure(1)[1][0] if ax is None else ax
    lags, norm = result.lags.astype(np.float64), result.best_norm
    low, high = beta.window
    fitted = result.valid & (lags >= low) & (lags <= high) & (norm > 0)
    middle_lag, middle_norm = middle_of_fit(lags[fitted], norm[fitted], beta.weights)
    law = middle_norm * (lags / middle_lag) ** -beta.value
    axes.axvspan(low, high, color="#f0e6c8", alpha=0.6, linewidth=0, label="window of the fit")
    axes.axhline(1.0, color="#7f7f7f", linewidth=1)
    for keep, colour, face, label in (
        (fitted, "#0072B2", "#0072B2", "fitted"),
        (~fitted & (norm > 0), "#7f7f7f", "white", "not fitted"),
    ):
        if not keep.any():
            continue
        bars = None
        if result.norm_low is not None and result.norm_high is not None:
            ends = (norm - result.norm_low, result.norm_high - norm)
            bars = np.stack([np.maximum(end[keep] / law[keep], 0.0) for end in ends])
        axes.errorbar(
            lags[keep], norm[keep] / law[keep], yerr=bars, fmt="o", markersize=4, color=colour,
            markerfacecolor=face, capsize=2, linewidth=1, label=label,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("lag $t$ (tokens)")
    axes.set_ylabel("norm over the fitted law")
    axes.set_title(f"What $t^{{-{beta.value:.2f}}}$ leaves over", fontsize=10)
    axes.legend(fontsize=7.5)
    return axes
