"""Several runs on one page: their exponents in one plane, and side by side."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ngramstat.report.exponent_rows import SYMBOLS
from ngramstat.report.figures import new_figure
from ngramstat.report.markup import document, figure, number, section, table, text_of
from ngramstat.results import Exponent, RunResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_plane", "render_comparison"]

# Okabe and Ito's palette, as in the other figures.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = "osD^vP"
_CONTOURS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0)
_PADDING = 1.3


def _pairs(run: RunResult) -> list[tuple[str, Exponent, Exponent]]:
    """(kind, beta, gamma) of a run: gamma of the limits, and at this corpus size."""
    if run.correlations is None or run.entropies is None:
        return []
    beta = run.correlations.beta
    return [
        ("limit", beta, run.entropies.gamma), ("finite", beta, run.entropies.gamma_finite)
    ]  # fmt: skip


def plot_plane(runs: Sequence[tuple[str, RunResult]]) -> Figure:
    """beta against gamma with lines of equal alpha = gamma / (2 beta).

    Filled marks are the gamma of the limits, open ones that of the held-out curve at the corpus's
    size; crosses are intervals. Pairs of which one is not reportable are faint.

    Parameters
    ----------
    runs : sequence of (name, RunResult)

    Raises
    ------
    NgramstatError
        matplotlib is not installed.
    """
    drawing, (axes,) = new_figure(1)
    xs: list[float] = []
    ys: list[float] = []
    for k, (name, run) in enumerate(runs):
        labelled = False
        for kind, beta, gamma in _pairs(run):
            if beta.value is None or gamma.value is None or beta.value <= 0 or gamma.value <= 0:
                continue
            xs.append(beta.value)
            ys.append(gamma.value)
            sure = beta.reportable and gamma.reportable
            axes.errorbar(
                beta.value, gamma.value, xerr=_bars(beta), yerr=_bars(gamma),
                color=_COLOURS[k % 6], marker=_MARKERS[k % 6], markersize=7, capsize=2,
                markerfacecolor=_COLOURS[k % 6] if kind == "limit" else "white",
                alpha=1.0 if sure else 0.45, label=None if labelled else name, zorder=3,
            )  # fmt: skip
            labelled = True
    low_x, high_x = (min(xs) / _PADDING, max(xs) * _PADDING) if xs else (0.3, 2.0)
    low_y, high_y = (min(ys) / _PADDING, max(ys) * _PADDING) if ys else (0.1, 1.0)
    x = np.linspace(low_x, high_x, 50)
    for alpha in _CONTOURS:
        y = 2 * alpha * x
        inside = (y >= low_y) & (y <= high_y)
        if not inside.any():
            continue
        axes.plot(x[inside], y[inside], color="#b8b8b8", linewidth=0.8, zorder=1)
        last = np.flatnonzero(inside)[-1]
        axes.annotate(rf"$\alpha = {alpha:g}$", (x[last], y[last]), fontsize=7, color="#7f7f7f",
                      ha="right", va="bottom")  # fmt: skip
    axes.set_xlim(low_x, high_x)
    axes.set_ylim(low_y, high_y)
    axes.set_xlabel(r"$\beta$: decay of correlations with distance")
    axes.set_ylabel(r"$\gamma$: decay of entropy with context")
    axes.set_title("filled: limits; open: at this corpus size; faint: not reportable", fontsize=9)
    if xs:
        axes.legend(fontsize=7.5)
    return drawing


def _bars(exponent: Exponent) -> list[list[float]] | None:
    if exponent.value is None or exponent.low is None or exponent.high is None:
        return None
    return [[max(exponent.value - exponent.low, 0.0)], [max(exponent.high - exponent.value, 0.0)]]


def render_comparison(runs: Sequence[tuple[str, RunResult]]) -> str:
    """One page of several runs.

    Parameters
    ----------
    runs : sequence of (name, RunResult)

    Returns
    -------
    str
        HTML without scripts and without anything to fetch.
    """
    rows = []
    for name, run in runs:
        found = run.exponents
        cells = [f"<b>{text_of(name)}</b>", number(run.corpus.get("tokens")),
                 number(run.corpus.get("vocab_size"))]  # fmt: skip
        cells += [_cell(found.get(symbol)) for symbol in SYMBOLS]
        rows.append(cells)
    head = ["run", "tokens", "types", *(symbol for symbol, _ in SYMBOLS.values())]
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
                lead="The lower right falls slowly with data, the upper left fast.",
            ),
            section("Not reportable", table(["run", "exponent", "why"], reasons, stacked=True))
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
