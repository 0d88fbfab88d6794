"""The tables and the figure of the sources without power laws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.graphs.refusals import EXPONENTS

__all__ = ["draw_figure", "markdown"]

Rows = Sequence[dict[str, Any]]


def markdown(curves: Rows, models: Rows, refusals: Rows) -> str:
    """The page with all tables."""
    lines = [
        "# Exponents without power laws in the data",
        "",
        "Made by `python -m benchmarks.graphs --work DIR --text CORPUS`. Walks on random graphs of "
        "the sizes of Barkeshli et al. (arXiv 2601.10684), nodes and edges, and n-gram languages "
        "of a real text: C(t) falls exponentially, H(n) is constant from n = k - 1 on, and both "
        "are known exactly. The biased walk is on a Barabási–Albert graph and goes to the r-th "
        "neighbour, in an order drawn for every node, with probability ~ 1/r.",
        "",
        "![Learning curves without power laws in the data](graphs.png)",
        "",
        "## Learning curves",
        "",
        "Loss above the exact entropy rate against training tokens. The exponent is fitted from "
        "where a tenth of what there is to learn has been learned to where a twentieth of it is "
        "left; its interval is that of the scatter of seeds, each with a graph of its own. Local "
        "slopes, from the first to the last doubling in the window, say how far the curve is from "
        "a power law.",
        "",
        "| source | learner | tokens | exponent (95 %) | local slopes |",
        "|---|---|---|---|---|",
    ]
    lines += [_curve_row(row) for row in (*curves, *models)]
    lines += _untrained(curves, models)
    lines += [
        "",
        "## Exponents that are refused",
        "",
        "`measure` on draws of 200,000 tokens, lags 1 to 12, contexts to 5: share of draws in "
        "which an exponent is refused, and the raw slope of the counted learner's own losses that "
        "the answer shows in its place (mean over draws, and from the least to the largest).",
        "",
        "| source | draws | β refused | β, composition removed | γ refused | α refused | "
        "slope shown |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_refusal_row(row) for row in refusals]
    return "\n".join(lines) + "\n"


def _untrained(curves: Rows, models: Rows) -> list[str]:
    """What the transformers were not trained on, and why."""
    lines = []
    for row in models:
        if row["left_out"]:
            sizes = ", ".join(f"{p:,}" for p in row["left_out"])
            lines += [
                "",
                f"{row['case']}: the transformer was not trained on {sizes} tokens, which did not "
                f"fit {row['budget_seconds']:.0f} s of training on two cores.",
            ]
    trained = {row["case"] for row in models}
    untrained = [row["case"] for row in curves if row["case"] not in trained]
    if untrained:
        lines += [
            "",
            "No transformer was trained on: " + "; ".join(untrained) + ". `--steps models` trains "
            "them on graphs of 1,000 nodes and on the languages, as far as its budget goes.",
        ]
    return lines


def _curve_row(row: dict[str, Any]) -> str:
    if row["exponent"] is None:
        return f"| {row['case']} | {row['learner']} | – | too few sizes in the window | – |"
    first, last = row["window"]
    local = row["local"]
    return (
        f"| {row['case']} | {row['learner']} | {_tokens(first)} to {_tokens(last)} | "
        f"{row['exponent']:.3f} [{row['low']:.3f}, {row['high']:.3f}] | "
        f"{local[0]:.2f} to {local[-1]:.2f} |"
    )


def _tokens(number: float) -> str:
    return f"2^{np.log2(number):.0f}"


def _refusal_row(row: dict[str, Any]) -> str:
    draws = row["draws"]
    n = len(draws)
    refused = [
        f"{100 * sum(not d['reported'][name] for d in draws) / n:.0f} %" for name in EXPONENTS
    ]
    slopes = [s["value"] for d in draws for s in d["shown"] if s["rung"] == "counted"]
    shown = "none"
    if slopes:
        shown = (
            f"{np.mean(slopes):.3f} ({min(slopes):.3f} to {max(slopes):.3f}), {len(slopes)} draws"
        )
    return f"| {row['case']} | {n} | {' | '.join(refused)} | {shown} |"


def _plain_tick(value: float, _: float) -> str:
    """The number where its first digit is 1, 2 or 5, nothing elsewhere."""
    return f"{value:g}" if f"{value:.0e}"[0] in "125" else ""


def draw_figure(curves: Rows, models: Rows, path: Path) -> None:
    """Losses above the entropy rate: one panel per family, counted learner and transformer."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    families = list(dict.fromkeys(row["family"] for row in curves))
    figure = Figure(figsize=(12, 6.4), layout="constrained")
    axes = figure.subplots(2, 3, squeeze=False).reshape(-1)
    for ax, family in zip(axes, families, strict=False):
        for rows, style in ((curves, "o-"), (models, "s--")):
            for row in (r for r in rows if r["family"] == family):
                excess = np.array(row["excess"])
                kind = row["learner"].split(",")[0]
                short = row["case"].removeprefix(family).strip(", ")
                exponent = "" if row["exponent"] is None else f", exponent {row['exponent']:.2f}"
                label = f"{short + ', ' if short else ''}{kind}{exponent}"
                ax.loglog(row["tokens"], excess.mean(axis=0), style, ms=3, lw=1, label=label)
        ax.set_title(family, fontsize=10)
        ax.set_xlabel("training tokens P")
        ax.set_ylabel("loss above the entropy rate, nats")
        for formatter in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
            formatter(FuncFormatter(_plain_tick))
        # Curves fall: there is room below their beginnings.
        ax.set_ylim(bottom=ax.get_ylim()[0] / 1.7 ** len(ax.lines))  # room for the legend
        ax.legend(fontsize=7, loc="lower left")
    for ax in axes[len(families) :]:
        ax.remove()
    figure.savefig(path, dpi=90)
