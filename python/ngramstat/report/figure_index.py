"""Index of the figures of a run by name, for the HTML page and for figure files."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ngramstat.prediction.user_curves import counted_curves
from ngramstat.report.collapse import plot_collapse
from ngramstat.report.figures import plot_correlations, plot_entropies
from ngramstat.report.horizon import plot_horizon
from ngramstat.report.learning import plot_learning
from ngramstat.report.residuals import plot_residuals
from ngramstat.report.spectrum import plot_spectrum
from ngramstat.results import RunResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figures_of"]


def figures_of(run: RunResult) -> dict[str, Callable[[], Figure]]:
    """Functions that draw the figures of a run, by name, in reading order.

    They raise NgramstatError if matplotlib is not installed.
    """
    figures: dict[str, Callable[[], Figure]] = {}
    correlations, entropies, prediction = run.correlations, run.entropies, run.prediction
    if correlations is not None:
        figures["correlations"] = _of_axes(plot_correlations, correlations)
        if correlations.beta.value is not None and correlations.beta.window is not None:
            figures["residuals"] = _of_axes(plot_residuals, correlations)
        if correlations.singular_values is not None:
            figures["spectrum"] = _of_axes(plot_spectrum, correlations)
    if entropies is not None:
        figures["entropies"] = _of_axes(plot_entropies, entropies)
        curve = entropies.learning_curve
        if curve is not None and len(curve.tokens) > 1:
            figures["learning"] = _of_axes(plot_learning, entropies)
    if prediction is not None:
        if any(point.tokens is not None for point in prediction.threshold):
            figures["horizon"] = functools.partial(plot_horizon, prediction)
        tables = {"imported": None if prediction.curves is None else prediction.curves.table}
        if entropies is not None:
            tables["counted"] = counted_curves(entropies)
        for collapse in prediction.collapse:
            table = tables.get(collapse.source)
            if table is not None:
                name = f"collapse-{collapse.source}-{collapse.protocol}"
                figures[name] = functools.partial(plot_collapse, table, collapse)
    return figures


def _of_axes(plot: Callable[[Any], Axes], result: Any) -> Callable[[], Figure]:
    def draw() -> Figure:
        return plot(result).get_figure(root=True)  # type: ignore[return-value]

    return draw
