"""Figure of the residuals of the fit of beta; matplotlib is imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ngramstat.errors import InputError
from ngramstat.report.axes import BLUE, GREY, new_axes
from ngramstat.report.fits import fitted_points, middle_of_fit
from ngramstat.results import CorrelationResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_residuals"]


def plot_residuals(result: CorrelationResult, ax: Axes | None = None) -> Axes:
    """Norms divided by the fitted power law, with their intervals, and the window of the fit.

    Raises
    ------
    InputError
        beta has no value.
    NgramstatError
        matplotlib is not installed.
    """
    beta = result.beta
    if beta.value is None or beta.window is None:
        raise InputError("result: beta has no value, so there are no residuals")
    axes = new_axes(ax)
    lags, norm = result.lags.astype(np.float64), result.best_norm
    low, high = beta.window
    fitted = fitted_points(lags, norm, beta.window, result.valid)
    middle_lag, middle_norm = middle_of_fit(lags[fitted], norm[fitted], beta.weights)
    law = middle_norm * (lags / middle_lag) ** -beta.value
    axes.axvspan(low, high, color="#f0e6c8", alpha=0.6, linewidth=0, label="window of the fit")
    axes.axhline(1.0, color=GREY, linewidth=1)
    for keep, colour, face, label in (
        (fitted, BLUE, BLUE, "fitted"),
        (~fitted & (norm > 0), GREY, "white", "not fitted"),
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
    axes.set_ylabel("norm / fitted power law")
    axes.set_title(f"Residuals of $t^{{-{beta.value:.2f}}}$", fontsize=10)
    axes.legend(fontsize=7.5)
    return axes
