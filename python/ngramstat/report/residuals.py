"""Figure of the residuals of the fit of beta."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ngramstat.errors import InputError
from ngramstat.report.chart import Axis, Chart, Curve, Mark, Panel, Rule, Window
from ngramstat.report.chart_plot import draw_panel
from ngramstat.report.fits import fitted_points, middle_of_fit
from ngramstat.report.text import marked
from ngramstat.results import CorrelationResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_residuals", "residuals_chart"]


def residuals_chart(result: CorrelationResult) -> Chart:
    """Norms divided by the fitted power law, with their intervals, and the window of the fit.

    Raises
    ------
    InputError
        beta has no value.
    """
    beta = result.beta
    if beta.value is None or beta.window is None:
        raise InputError("result: beta has no value, so there are no residuals")
    lags, norm = result.lags.astype(np.float64), result.best_norm
    low, high = beta.window
    fitted = fitted_points(lags, norm, beta.window, result.valid)
    middle_lag, middle_norm = middle_of_fit(lags[fitted], norm[fitted], beta.weights)
    law = middle_norm * (lags / middle_lag) ** -beta.value
    law_name = marked(f"t^−{beta.value:.2f}", reportable=beta.reportable)
    marks: list[Mark] = [
        Window(name=f"window of the fit, {low:g} to {high:g}", low=low, high=high),
        Rule(at=1.0, horizontal=True, colour="grey", stroke="solid"),
    ]
    for keep, is_fitted in ((fitted, True), (~fitted & (norm > 0), False)):
        if not keep.any():
            continue
        ends = None
        if result.norm_low is not None and result.norm_high is not None:
            ends = result.norm_low[keep] / law[keep], result.norm_high[keep] / law[keep]
        marks.append(
            Curve(
                name="fitted" if is_fitted else "not fitted",
                colour="blue" if is_fitted else "grey", filled=is_fitted, stroke="",
                x=lags[keep], y=norm[keep] / law[keep],
                low=None if ends is None else ends[0], high=None if ends is None else ends[1],
            )
        )  # fmt: skip
    return Chart(
        title="How far the norms are from the fitted power law",
        description=f"Norms divided by the fitted law {law_name}, with their intervals. Points "
        "scattered around 1 fit; a bend means that one power law is not enough.",
        panels=(
            Panel(
                x=Axis(label="distance between the tokens (lag t)"),
                y=Axis(label="norm / fitted law"),
                marks=marks,
            ),
        ),
    )


def plot_residuals(result: CorrelationResult, ax: Axes | None = None) -> Axes:
    """Norms divided by the fitted power law, with their intervals, and the window of the fit.

    Raises
    ------
    InputError
        beta has no value.
    NgramstatError
        matplotlib is not installed.
    """
    return draw_panel(residuals_chart(result), ax)
