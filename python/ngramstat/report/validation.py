"""Figures of trained models against the prediction, in the paper's forms."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ngramstat.report.chart import (
    Area,
    Axis,
    Chart,
    Colour,
    Curve,
    Floats,
    Mark,
    Panel,
    Rule,
    Stroke,
    Window,
    curve_colour,
    curve_marker,
    floats,
)
from ngramstat.report.chart_plot import draw_chart
from ngramstat.report.collapse import plot_collapse
from ngramstat.results import Comparison, CurveTable, Exponent, TrainedLoss, ValidationResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_validation", "plot_validation_collapse", "validation_chart"]


def validation_chart(result: ValidationResult) -> Chart:
    """Losses with their envelope and both alphas, and L_n against n for every P.

    Bars are intervals over held-out documents. The dashed line has the predicted slope and passes
    through the middle of the fitted points; the fan around it is the interval of the slope. A
    prediction that is not reportable is grey.
    """
    panels = [_envelope(result)]
    curves = result.prediction.curves
    if curves is not None:
        panels.append(_contexts(curves.table, curves.gamma_finite))
    return Chart(
        title="Trained models against the prediction",
        description="Held-out losses of trained models, their lower envelope, and the power laws "
        "with the measured and the predicted α.",
        panels=tuple(panels),
    )


def plot_validation(result: ValidationResult) -> Figure:
    """Losses with their envelope and both alphas, and L_n against n for every P.

    Raises
    ------
    NgramstatError
        matplotlib is not installed.
    """
    return draw_chart(validation_chart(result))


def plot_validation_collapse(result: ValidationResult) -> list[Figure]:
    """The scaling collapses of the trained curves, raw and shifted; empty without curves."""
    curves = result.prediction.curves
    if curves is None:
        return []
    return [
        plot_collapse(curves.table, collapse)
        for collapse in result.prediction.collapse
        if collapse.source == "imported"
    ]


# --- losses against training tokens -----------------------------------------------------------


def _envelope(result: ValidationResult) -> Panel:
    """All losses, their lower envelope, and the power laws with the two alphas."""
    best = sorted(
        (point for point in result.losses if point.on_envelope), key=lambda point: point.tokens
    )
    p = floats([point.tokens for point in best])
    y = floats([point.loss for point in best])
    staircase, limits = _staircase(result)
    marks: list[Mark] = [*staircase]
    for comparison in result.comparisons:
        if comparison.name in ("raw", "known limit"):
            marks += _comparison(p, y, comparison, result)
    marks += _losses(result)
    marks.append(Curve(name="lower envelope", colour="ink", x=p, y=y, marker=""))
    return Panel(
        title=f"{result.outcome}: {result.comparisons[0].name}",
        x=Axis(label="training tokens"),
        y=Axis(label="held-out loss (nats per token)", limits=limits),
        marks=marks,
    )


def _losses(result: ValidationResult) -> list[Mark]:
    """Losses with their intervals, one line for every model and context."""
    by_model: dict[tuple[str, int], list[TrainedLoss]] = {}
    for point in result.losses:
        by_model.setdefault((point.model, point.context), []).append(point)
    marks: list[Mark] = []
    for k, ((model, context), points) in enumerate(sorted(by_model.items())):
        known = all(point.low is not None and point.high is not None for point in points)
        low, high = ([getattr(point, end) for point in points] for end in ("low", "high"))
        marks.append(
            Curve(
                name=f"{model}, contexts of {context}",
                colour=curve_colour(k),
                marker=curve_marker(k),
                x=floats([point.tokens for point in points]),
                y=floats([point.loss for point in points]),
                low=floats(low) if known else None,
                high=floats(high) if known else None,
            )
        )
    return marks


def _comparison(
    p: Floats, y: Floats, comparison: Comparison, result: ValidationResult
) -> list[Mark]:
    """The measured and the predicted power law on the window of the measured one."""
    is_known = comparison.name == "known limit"
    limit = float(result.known["staircase"]["entropy"][-1]) if is_known else 0.0
    window = comparison.measured.window or (p[0], p[-1])
    used = (p >= window[0]) & (p <= window[1])
    name = f"window {window[0]:,.0f} to {window[1]:,.0f}"
    marks: list[Mark] = [Window(name=name, low=window[0], high=window[1])]
    laws: tuple[tuple[str, Exponent, Colour, Stroke], ...] = (
        ("measured", comparison.measured, "ink", "dotted"),
        ("predicted", comparison.predicted, "red", "dashed"),
    )
    for words, exponent, colour, stroke in laws:
        marks += _law(p[used], y[used], limit, exponent, (words, colour, stroke))
    return marks


def _staircase(result: ValidationResult) -> tuple[list[Mark], tuple[float, float] | None]:
    """A hierarchy world's entropies by level, the tokens that resolve each level, and limits."""
    steps = result.known.get("staircase")
    if not isinstance(steps, dict):
        return [], None
    best = [point.loss for point in result.losses if point.on_envelope]
    tokens = [point.tokens for point in result.losses]
    marks: list[Mark] = [
        Rule(name="known entropies by level", colour="grey", stroke="dashdot", at=entropy,
             horizontal=True)
        for entropy in steps["entropy"]
    ]  # fmt: skip
    marks += [
        Rule(name="known thresholds of the levels", colour="grey", stroke="dotted", at=p)
        for p in steps["tokens"]
        if tokens and min(tokens) / 2 < p < 2 * max(tokens)
    ]
    if not best:
        return marks, None
    ends = [*best, *steps["entropy"]]
    return marks, (0.8 * min(ends), 1.25 * max(ends))


def _law(
    p: Floats, y: Floats, limit: float, exponent: Exponent, look: tuple[str, Colour, Stroke]
) -> list[Mark]:
    """limit + A P^-alpha through the middle of the points, with its interval as a fan."""
    if exponent.value is None or len(p) < 2 or np.any(y <= limit):
        return []
    words, colour, stroke = look
    x = np.geomspace(p[0], p[-1], 60)
    middle_x, middle_y = math.exp(np.log(p).mean()), math.exp(np.log(y - limit).mean())

    def law(alpha: float) -> Floats:
        loss: Floats = limit + middle_y * (x / middle_x) ** -alpha
        return loss

    shown: Colour = colour if exponent.reportable else "grey"
    name = f"{words}: α = {exponent.value:.3f}"
    marks: list[Mark] = []
    if exponent.low is not None and exponent.high is not None:
        name += f" [{exponent.low:.3f}, {exponent.high:.3f}]"
    name += "" if exponent.reportable else " (not reportable)"
    if exponent.low is not None and exponent.high is not None:
        ends = law(exponent.low), law(exponent.high)
        marks.append(
            Area(colour=shown, group=name, x=x, low=np.minimum(*ends), high=np.maximum(*ends))
        )
    marks.append(
        Curve(name=name, colour=shown, x=x, y=law(exponent.value), marker="", stroke=stroke)
    )
    return marks


# --- losses against context -------------------------------------------------------------------


def _contexts(table: CurveTable, gamma: Exponent) -> Panel:
    """L_n against n, one line for every P, with the raw slope at the largest P."""
    sizes = np.unique(table.tokens)
    marks: list[Mark] = []
    for k, p in enumerate(sizes):
        rows = (table.tokens == p) & (table.context >= 1)
        y = table.loss[rows]
        bar = None if table.error is None else 2 * np.nan_to_num(table.error[rows])
        marks.append(
            Curve(
                name=f"{p:,.0f} tokens",
                colour=curve_colour(k),
                marker=curve_marker(k),
                x=floats(table.context[rows]),
                y=floats(y),
                low=None if bar is None else y - bar,
                high=None if bar is None else y + bar,
            )
        )
    if gamma.value is not None and gamma.window is not None:
        rows = (table.tokens == sizes[-1]) & (table.context >= 1)
        n, y = table.context[rows].astype(np.float64), table.loss[rows]
        used = (n >= gamma.window[0]) & (n <= gamma.window[1])
        x = np.geomspace(n[used][0], n[-1], 40)
        middle_x, middle_y = math.exp(np.log(n[used]).mean()), math.exp(np.log(y[used]).mean())
        name = f"γ = {gamma.value:.3f} (raw, n = {n[used][0]:g} to {n[used][-1]:g})"
        marks.append(
            Curve(
                name=name + ("" if gamma.reportable else ", not reportable"),
                colour="red",
                x=x,
                y=middle_y * (x / middle_x) ** -gamma.value,
                marker="",
                stroke="dashed",
            )
        )
    return Panel(
        title="Losses by context",
        x=Axis(label="tokens of context, n"),
        y=Axis(label="held-out loss (nats per token)"),
        marks=marks,
    )
