"""Percolation clusters as text and as a figure."""

from __future__ import annotations

from ngramstat.report.chart import Axis, Chart, Curve, Panel
from ngramstat.report.text import estimate, table, wrap
from ngramstat.results.percolation import PercolationRegime, PercolationResult

__all__ = ["percolation_chart", "summarize_percolation"]


def summarize_percolation(result: PercolationResult) -> str:
    """Both regimes and what is refused, as plain text."""
    lines = ["PERCOLATION CLUSTERS ON A TREE  exponents of the loss against data"]
    for regime in result.regimes:
        lines += ["", *wrap(f"{regime.name.upper()}  {regime.formula}", indent=0)]
        lines += wrap(f"The learner {regime.learner}; its loss is {regime.loss_is}.", indent=2)
        lines += table([
            ("predicted", [f"{regime.predicted:.3f}"]),
            ("exact curve, same data", [f"{regime.exact_slope:.3f}"]),
            ("sampled learners", [estimate(regime.sampled)]),
        ])  # fmt: skip
        lines += wrap(f"assumes: {regime.assumption}", indent=6)
        lines += wrap(f"refuted by: {regime.falsifier}", indent=6)
    lines += ["", "NOT COMPUTED"]
    for sentence in result.refused:
        lines += wrap(sentence, indent=2)
    return "\n".join(lines) + "\n"


def percolation_chart(result: PercolationResult) -> Chart:
    """The exact and the sampled loss of both regimes."""
    return Chart(
        title="Percolation clusters",
        description="Loss against data: many clusters, and one giant cluster.",
        panels=tuple(_panel(regime) for regime in result.regimes),
    )


def _panel(regime: PercolationRegime) -> Panel:
    return Panel(
        title=regime.name,
        x=Axis(label="data P"),
        y=Axis(label="loss"),
        marks=[
            Curve(name="exact", colour="ink", x=regime.tokens, y=regime.exact, marker=""),
            Curve(
                name="sampled learners, 95 %", colour="blue", stroke="", marker="circle",
                x=regime.tokens, y=regime.loss,
                low=regime.loss - 2 * regime.error, high=regime.loss + 2 * regime.error,
            ),
        ],
    )  # fmt: skip
