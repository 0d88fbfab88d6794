"""Figures of trained models against the prediction, in the paper's forms; extra ``plot``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ngramstat.report.axes import (
    COLOURS,
    GREY,
    LIGHT,
    MARKERS,
    RED,
    WINDOW,
    logarithmic,
    new_figure,
)
from ngramstat.report.collapse import plot_collapse
from ngramstat.results import Comparison, CurveTable, Exponent, TrainedLoss, ValidationResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_validation", "plot_validation_collapse"]

Floats = NDArray[np.float64]


def plot_validation(result: ValidationResult) -> Figure:
    """Losses with their envelope and both alphas, and L_n against n for every P.

    Bars are intervals over held-out documents. The dashed line has the predicted slope and passes
    through the middle of the fitted points; the fan around it is the interval of the slope. A
    prediction that is not reportable is grey.

    Raises
    ------
    NgramstatError
        matplotlib is not installed.
    """
    curves = result.prediction.curves
    figure, axes = new_figure(1 if curves is None else 2)
    _draw_envelope(axes[0], result)
    if curves is not None:
        _draw_contexts(axes[1], curves.table, curves.gamma_finite)
    return figure


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


def _draw_envelope(ax: Axes, result: ValidationResult) -> None:
    """All losses, their lower envelope, and the power laws with the two alphas."""
    _draw_losses(ax, result)
    best = sorted(
        (point for point in result.losses if point.on_envelope), key=lambda point: point.tokens
    )
    p = np.array([point.tokens for point in best])
    y = np.array([point.loss for point in best])
    ax.plot(p, y, color="black", linewidth=1.6, label="lower envelope", zorder=5)
    for comparison in result.comparisons:
        if comparison.name in ("raw", "known limit"):
            _draw_comparison(ax, p, y, comparison, result)
    _draw_staircase(ax, result)
    _log_axes(ax)
    ax.set_xlabel("training tokens $P$")
    ax.set_ylabel("held-out loss $L(P)$ (nats per token)")
    ax.set_title(f"{result.outcome}: {result.comparisons[0].name}", fontsize=10)
    ax.legend(fontsize=7.5)


def _draw_losses(ax: Axes, result: ValidationResult) -> None:
    """Losses with their intervals, one line for every model and context."""
    by_model: dict[tuple[str, int], list[TrainedLoss]] = {}
    for point in result.losses:
        by_model.setdefault((point.model, point.context), []).append(point)
    for k, ((model, context), points) in enumerate(sorted(by_model.items())):
        y = np.array([point.loss for point in points])
        bars = None
        if all(point.low is not None and point.high is not None for point in points):
            low = np.array([point.low for point in points], dtype=np.float64)
            high = np.array([point.high for point in points], dtype=np.float64)
            bars = np.maximum([y - low, high - y], 0.0)
        ax.errorbar(
            np.array([point.tokens for point in points]), y, yerr=bars, color=COLOURS[k % 6],
            marker=MARKERS[k % 6], markersize=4, linewidth=0.8, elinewidth=1, capsize=2,
            label=f"{model}, T = {context}",
        )  # fmt: skip


def _draw_comparison(
    ax: Axes, p: Floats, y: Floats, comparison: Comparison, result: ValidationResult
) -> None:
    """The measured and the predicted power law on the window of the measured one."""
    is_known = comparison.name == "known limit"
    limit = float(result.known["staircase"]["entropy"][-1]) if is_known else 0.0
    window = comparison.measured.window or (p[0], p[-1])
    used = (p >= window[0]) & (p <= window[1])
    label = f"window {window[0]:,.0f} to {window[1]:,.0f}"
    ax.axvspan(*window, color=WINDOW, zorder=0, label=label)
    for name, exponent, colour, style in (
        ("measured", comparison.measured, "#000000", ":"),
        ("predicted", comparison.predicted, RED, "--"),
    ):
        _draw_law(ax, p[used], y[used], limit, exponent, name, colour, style)


def _log_axes(ax: Axes) -> None:
    """Logarithmic axes, with losses as plain numbers."""
    from matplotlib.ticker import ScalarFormatter

    logarithmic(ax)
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_formatter(ScalarFormatter())


def _draw_staircase(ax: Axes, result: ValidationResult) -> None:
    """A hierarchy world's entropies by level, and the tokens that resolve each level."""
    steps = result.known.get("staircase")
    if not isinstance(steps, dict):
        return
    best = [point.loss for point in result.losses if point.on_envelope]
    tokens = [point.tokens for point in result.losses]
    for k, entropy in enumerate(steps["entropy"]):
        label = "known entropies by level" if k == 0 else None
        ax.axhline(entropy, color=GREY, linewidth=0.8, linestyle="-.", label=label, zorder=1)
    shown = [p for p in steps["tokens"] if tokens and min(tokens) / 2 < p < 2 * max(tokens)]
    for k, p in enumerate(shown):
        label = "known thresholds $P^*_l$" if k == 0 else None
        ax.axvline(p, color=LIGHT, linewidth=0.8, linestyle=":", label=label, zorder=1)
    if best:
        ax.set_ylim(0.8 * min(*best, *steps["entropy"]), 1.25 * max(*best, *steps["entropy"]))


def _draw_law(
    ax: Axes,
    p: Floats,
    y: Floats,
    limit: float,
    exponent: Exponent,
    name: str,
    colour: str,
    style: str,
) -> None:
    """limit + A P^-alpha through the middle of the points, with its interval as a fan."""
    if exponent.value is None or len(p) < 2 or np.any(y <= limit):
        return
    x = np.geomspace(p[0], p[-1], 60)
    middle_x, middle_y = math.exp(np.log(p).mean()), math.exp(np.log(y - limit).mean())

    def law(alpha: float) -> Floats:
        loss: Floats = limit + middle_y * (x / middle_x) ** -alpha
        return loss

    shown = colour if exponent.reportable else GREY
    label = rf"{name}: $\alpha = {exponent.value:.3f}$"
    if exponent.low is not None and exponent.high is not None:
        label += f" [{exponent.low:.3f}, {exponent.high:.3f}]"
        low, high = law(exponent.low), law(exponent.high)
        ax.fill_between(
            x, np.minimum(low, high), np.maximum(low, high), color=shown, alpha=0.12, linewidth=0
        )
    label += "" if exponent.reportable else " (not reportable)"
    ax.plot(x, law(exponent.value), color=shown, linestyle=style, linewidth=1.3, label=label)


def _draw_contexts(ax: Axes, table: CurveTable, gamma: Exponent) -> None:
    """L_n against n, one line for every P, with the raw slope at the largest P."""
    from matplotlib import colormaps

    sizes = np.unique(table.tokens)
    colours = colormaps["viridis_r"](np.linspace(0.1, 1, len(sizes)))
    for p, colour in zip(sizes, colours, strict=True):
        rows = (table.tokens == p) & (table.context >= 1)
        bars = None if table.error is None else 2 * np.nan_to_num(table.error[rows])
        ax.errorbar(
            table.context[rows], table.loss[rows], yerr=bars, color=colour, marker="o",
            markersize=3, linewidth=1, label=f"P = {p:,.0f}",
        )  # fmt: skip
    if gamma.value is not None and gamma.window is not None:
        rows = (table.tokens == sizes[-1]) & (table.context >= 1)
        n, y = table.context[rows].astype(np.float64), table.loss[rows]
        used = (n >= gamma.window[0]) & (n <= gamma.window[1])
        x = np.geomspace(n[used][0], n[-1], 40)
        middle_x, middle_y = math.exp(np.log(n[used]).mean()), math.exp(np.log(y[used]).mean())
        label = rf"$\gamma = {gamma.value:.3f}$ (raw, n = {n[used][0]:g}..{n[used][-1]:g})"
        ax.plot(
            x, middle_y * (x / middle_x) ** -gamma.value, color=RED, linestyle="--",
            linewidth=1.2, label=label + ("" if gamma.reportable else ", not reportable"),
        )  # fmt: skip
    _log_axes(ax)
    ax.set_xlabel("context $n$ (tokens)")
    ax.set_ylabel("held-out loss $L_n(P)$ (nats per token)")
    ax.set_title("losses by context", fontsize=10)
    ax.legend(fontsize=7.5)
