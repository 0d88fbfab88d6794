"""Index of the figures of a run by name: as charts for the page, drawn for figure files."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from ngramstat.prediction.user_curves import counted_curves
from ngramstat.report.chart import Chart
from ngramstat.report.chart_plot import draw_chart
from ngramstat.report.collapse import collapse_chart
from ngramstat.report.figures import correlations_chart, entropies_chart
from ngramstat.report.horizon import horizon_chart
from ngramstat.report.learning import learning_chart
from ngramstat.report.residuals import residuals_chart
from ngramstat.report.spectrum import spectrum_chart
from ngramstat.results import RunResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["charts_of", "figures_of"]


def charts_of(run: RunResult) -> dict[str, Chart]:
    """The figures of a run, by name, in reading order."""
    charts: dict[str, Chart] = {}
    correlations, entropies, prediction = run.correlations, run.entropies, run.prediction
    if correlations is not None:
        charts["correlations"] = correlations_chart(correlations)
        if correlations.beta.value is not None and correlations.beta.window is not None:
            charts["residuals"] = residuals_chart(correlations)
        if correlations.singular_values is not None:
            charts["spectrum"] = spectrum_chart(correlations)
    if entropies is not None:
        charts["entropies"] = entropies_chart(entropies)
        curve = entropies.learning_curve
        if curve is not None and len(curve.tokens) > 1:
            charts["learning"] = learning_chart(entropies)
    if prediction is not None:
        if any(point.tokens is not None for point in prediction.threshold):
            charts["horizon"] = horizon_chart(prediction)
        tables = {"imported": None if prediction.curves is None else prediction.curves.table}
        if entropies is not None:
            tables["counted"] = counted_curves(entropies)
        for collapse in prediction.collapse:
            table = tables.get(collapse.source)
            if table is not None:
                name = f"collapse-{collapse.source}-{collapse.protocol}"
                charts[name] = collapse_chart(table, collapse)
    return charts


def figures_of(run: RunResult) -> dict[str, Callable[[], Figure]]:
    """Functions that draw the figures of a run with matplotlib, by name, in reading order.

    They raise NgramstatError if matplotlib is not installed.
    """
    return {name: functools.partial(draw_chart, chart) for name, chart in charts_of(run).items()}
