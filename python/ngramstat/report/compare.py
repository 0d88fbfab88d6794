"""An HTML page that compares several runs: their exponents in one plane and in a table."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ngramstat.report.axes import COLOURS, GREY, LIGHT, MARKERS, new_figure
from ngramstat.report.exponent_rows import SYMBOLS
from ngramstat.report.markup import document, figure, number, section, table, text_of
from ngramstat.results import Exponent, RunResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_plane", "render_comparison"]

_CONTOURS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0)
_PADDING = 1.3


def _pairs(run: RunResult) -> list[tuple[str, Exponent, Exponent]]:
    """(kind, beta, gamma) of a run; gamma is that of the limits, or at the corpus's size."""
    if run.correlations is None or run.entropies is None:
        return []
    beta = run.correlations.beta
    return [
        ("limit", beta, run.entropies.gamma), ("finite", beta, run.entropies.gamma_finite)
    ]  # fmt: skip


def plot_plane(runs: Sequence[tuple[str, RunResult]]) -> Figure:
    """beta against gamma with lines of equal alpha = gamma / (2 beta).

    Filled markers are the gamma of the limits, open ones the gamma of the held-out curve at the
    corpus's size; the crosses are intervals. A pair is faint unless both exponents are reportable.

    Parameters
    ----------
    runs : sequence of (name, RunResult)

    Raises
    ------
    NgramstatError
        matplotlib is not installed.
    """
    drawing, (axes,) = new_figure(1)
    points: list[tuple[float, float]] = []
    for k, (name, run) in enumerate(runs):
        points += _draw_run(axes, name, run, COLOURS[k % 6], MARKERS[k % 6])
    xs, ys = [x for x, _ in points], [y for _, y in points]
    low_x, high_x = (min(xs) / _PADDING, max(xs) * _PADDING) if xs else (0.3, 2.0)
    low_y, high_y = (min(ys) / _PADDING, max(ys) * _PADDING) if ys else (0.1, 1.0)
    _draw_contours(axes, (low_x, high_x), (low_y, high_y))
    axes.set_xlim(low_x, high_x)
    axes.set_ylim(low_y, high_y)
    axes.set_xlabel(r"$\beta$: decay of correlations with distance")
    axes.set_ylabel(r"$\gamma$: decay of entropy with context")
    axes.set_title("filled: limits; open: at this corpus size; faint: not reportable", fontsize=9)
    if points:
        axes.legend(fontsize=7.5)
    return drawing


def _draw_run(
    axes: Axes, name: str, run: RunResult, colour: str, marker: str
) -> list[tuple[float, float]]:
    """Draw the pairs of exponents of a run; returns the points (beta, gamma) drawn."""
    points: list[tuple[float, float]] = []
    for kind, beta, gamma in _pairs(run):
        if beta.value is None or gamma.value is None or beta.value <= 0 or gamma.value <= 0:
            continue
        reportable = beta.reportable and gamma.reportable
        axes.errorbar(
            beta.value, gamma.value, xerr=_bars(beta), yerr=_bars(gamma), color=colour,
            marker=marker, markersize=7, capsize=2,
            markerfacecolor=colour if kind == "limit" else "white",
            alpha=1.0 if reportable else 0.45, label=None if points else name, zorder=3,
        )  # fmt: skip
        points.append((beta.value, gamma.value))
    return points


def _draw_contours(axes: Axes, x_range: tuple[float, float], y_range: tuple[float, float]) -> None:
    """Lines of equal alpha, labelled where they leave the plane."""
    x = np.linspace(*x_range, 50)
    for alpha in _CONTOURS:
        y = 2 * alpha * x
        inside = (y >= y_range[0]) & (y <= y_range[1])
        if not inside.any():
            continue
        axes.plot(x[inside], y[inside], color=LIGHT, linewidth=0.8, zorder=1)
        last = np.flatnonzero(inside)[-1]
        axes.annotate(rf"$\alpha = {alpha:g}$", (x[last], y[last]), fontsize=7, color=GREY,
                      ha="right", va="bottom")  # fmt: skip


def _bars(exponent: Exponent) -> list[list[float]] | None:
    if exponent.value is None or exponent.low is None or exponent.high is None:
        return None
    return [[max(exponent.value - exponent.low, 0.0)], [max(exponent.high - exponent.value, 0.0)]]


def render_comparison(runs: Sequence[tuple[str, RunResult]]) -> str:
    """The page that compares several runs.

    Parameters
    ----------
    runs : sequence of (name, RunResult)

    Returns
    -------
    str
        HTML without scripts or external resources.
    """
    rows = []
    for name, run in runs:
        exponents = run.exponents
        cells = [f"<b>{text_of(name)}</b>", number(run.corpus.get("tokens")),
                 number(run.corpus.get("vocab_size"))]  # fmt: skip
        cells += [_cell(exponents.get(symbol)) for symbol in SYMBOLS]
        rows.append(cells)
    head = ["run", "tokens", "vocabulary", *(symbol for symbol, _ in SYMBOLS.values())]
    reasons = [
        [text_of(name), SYMBOLS[symbol][0], text_of(exponent.reason)]
        for name, run in runs
        for symbol, exponent in run.exponents.items()
        if not exponent.reportable
    ]
    names = ", ".join(name for name, _ in runs)
    body = "\n".join(
        [
            section(
                "Exponents",
                figure(
                    functools.partial(plot_plane, runs),
                    "plane",
                    "Exponents beta and gamma of every run with their intervals, and lines of "
                    "equal alpha = gamma / (2 beta).",
                ),
                table(head, rows, stacked=True),
                lead="Losses fall slowly with data at the lower right, and fast at the upper left.",
            ),
            section("Not reportable", table(["run", "exponent", "reason"], reasons, stacked=True))
            if reasons
            else "",
        ]
    )
    return document(f"ngramstat: {names}", f"{len(runs)} runs", "ngramstat comparison", body)


def _cell(exponent: Exponent | None) -> str:
    if exponent is None or exponent.value is None:
        return "–"
    text = f"{exponent.value:.4g}"
    if exponent.low is not None and exponent.high is not None:
        text += f" <small>[{exponent.low:.4g}, {exponent.high:.4g}]</small>"
    return text if exponent.reportable else f"({text})"
