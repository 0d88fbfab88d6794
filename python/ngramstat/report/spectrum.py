"""Figure of the leading singular values of C(t) over lags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ngramstat.errors import InputError
from ngramstat.report.chart import (
    Area,
    Axis,
    Chart,
    Curve,
    Mark,
    Panel,
    curve_colour,
    curve_marker,
)
from ngramstat.report.chart_plot import draw_panel
from ngramstat.results import CorrelationResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_spectrum", "spectrum_chart"]

# Curves that a page shows at first.
_FIRST = 2


def spectrum_chart(result: CorrelationResult) -> Chart:
    """Singular values 1, 2, ... against lag, on logarithmic axes, with the noise floor.

    Raises
    ------
    InputError
        The result has no singular values.
    """
    if result.singular_values is None:
        raise InputError("result: has no singular values")
    values = np.where(result.singular_values > 0, result.singular_values, np.nan)
    floor = np.where(result.noise_floor > 0, result.noise_floor, np.nan)
    lags = result.lags.astype(np.float64)
    marks: list[Mark] = [
        Area(name="noise alone, first value", colour="grey", x=lags, low=floor / 1e3, high=floor)
    ]
    marks += [
        Curve(
            name=f"singular value {k + 1}", colour=curve_colour(k),
            marker=curve_marker(k), shown=k < _FIRST, x=lags, y=values[:, k],
        )
        for k in range(values.shape[1])
    ]  # fmt: skip
    known = np.concatenate([values[np.isfinite(values)], floor[np.isfinite(floor)]])
    limits = (0.6 * float(known.min()), 1.6 * float(known.max())) if len(known) else None
    return Chart(
        title="The strongest patterns of correlation",
        description="Leading singular values of C(t) at every lag. They come from all pairs, so "
        "near the noise (shaded) they are biased up.",
        panels=(
            Panel(
                x=Axis(label="distance between the tokens (lag t)"),
                y=Axis(label="singular value of C(t) (probability)", limits=limits),
                marks=marks,
            ),
        ),
    )


def plot_spectrum(result: CorrelationResult, ax: Axes | None = None) -> Axes:
    """Singular values 1, 2, ... against lag, on logarithmic axes, with the noise floor.

    Raises
    ------
    InputError
        The result has no singular values.
    NgramstatError
        matplotlib is not installed.
    """
    return draw_panel(spectrum_chart(result), ax)
