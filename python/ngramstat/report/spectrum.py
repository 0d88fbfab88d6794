"""Figure of the leading singular values of C(t) over lags; matplotlib is imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ngramstat.errors import InputError
from ngramstat.report.axes import LIGHT, logarithmic, new_axes
from ngramstat.results import CorrelationResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_spectrum"]


def plot_spectrum(result: CorrelationResult, ax: Axes | None = None) -> Axes:
    """Singular values 1, 2, ... against lag, on logarithmic axes, with the noise floor.

    Raises
    ------
    InputError
        The result has no singular values.
    NgramstatError
        matplotlib is not installed.
    """
    if result.singular_values is None:
        raise InputError("result: has no singular values")
    axes = new_axes(ax)
    from matplotlib import colormaps

    values = np.where(result.singular_values > 0, result.singular_values, np.nan)
    colours = colormaps["viridis"](np.linspace(0.05, 0.85, values.shape[1]))
    for k, colour in enumerate(colours):
        axes.plot(
            result.lags, values[:, k], color=colour, marker="o", markersize=3, linewidth=1,
            label=f"{k + 1}",
        )  # fmt: skip
    floor = np.where(result.noise_floor > 0, result.noise_floor, np.nan)
    axes.fill_between(
        result.lags, np.nanmin(floor) / 3, floor, color=LIGHT, alpha=0.35, linewidth=0,
        label="noise floor of the first",
    )  # fmt: skip
    logarithmic(axes)
    axes.set_xlabel("lag $t$ (tokens)")
    axes.set_ylabel("singular values of $C(t)$, plug-in")
    axes.set_title("Spectrum (biased up near the floor)", fontsize=10)
    axes.legend(fontsize=7.5, ncols=3)
    return axes
