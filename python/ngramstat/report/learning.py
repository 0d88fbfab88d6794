"""Figure of learning curves with their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ngramstat.errors import InputError
from ngramstat.report.chart import (
    Axis,
    Chart,
    Curve,
    Mark,
    Panel,
    Rule,
    Window,
    curve_colour,
    curve_marker,
    floats,
)
from ngramstat.report.chart_plot import draw_panel
from ngramstat.results import EntropyResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["learning_chart", "plot_learning"]


def learning_chart(result: EntropyResult) -> Chart:
    """L_n(P) against P for every context, with the bracket and the limit of each.

    Bars at the points are two standard errors between training sets. What holds at any number of
    training tokens has no place along the axis: the bracket of H(n) is a band across, and the
    limit, where it is identifiable, a line across. Stars are the mixture of contexts at the
    largest P.

    Raises
    ------
    InputError
        The result has no learning curve of at least two sizes.
    """
    curve = result.learning_curve
    if curve is None or len(curve.tokens) < 2:
        raise InputError("result: has no learning curve of at least two sizes")
    tokens = curve.tokens.astype(np.float64)
    contexts = result.context.tolist()
    ends = {min((n for n in contexts if n >= 1), default=contexts[0]), contexts[-1]}
    marks: list[Mark] = []
    for k, n in enumerate(contexts):
        y = curve.held_out[:, k]
        bar = None if curve.error is None else 2 * curve.error[:, k]
        # The unigram has the last colour, grey.
        colour = curve_colour(k - 1)
        marker = curve_marker(k - 1)
        marks += _of_limit(result, k, f"context {n}", shown=n in ends)
        marks.append(
            Curve(
                name=f"context {n}", colour=colour, marker=marker,
                shown=n in ends, x=tokens, y=y, low=None if bar is None else y - bar,
                high=None if bar is None else y + bar,
            )
        )  # fmt: skip
        mixed = result.mixture_used is not None and bool(result.mixture_used[k])
        if mixed and result.held_out is not None:
            marks.append(
                Curve(group=f"context {n}", colour=colour, marker="star",
                      shown=n in ends, x=tokens[-1:], y=floats(result.held_out[k]))
            )  # fmt: skip
    return Chart(
        title="How losses fall with training tokens, by context",
        description="Held-out losses of a counting learner (Kneser-Ney) that sees so many tokens of"
        " context. Bands are the brackets of H(n), dashed lines the extrapolated limits, stars the "
        "mixture of contexts at the largest size.",
        panels=(
            Panel(
                x=Axis(label="training tokens"),
                y=Axis(label="held-out loss (nats per token)", log=False),
                marks=marks,
            ),
        ),
    )


def _of_limit(result: EntropyResult, k: int, group: str, *, shown: bool) -> list[Mark]:
    """The bracket and the extrapolated limit of the k-th context."""
    colour = curve_colour(k - 1)
    marks: list[Mark] = []
    if result.low is not None and result.high is not None:
        low, high = float(result.low[k]), float(result.high[k])
        if np.isfinite(low) and np.isfinite(high):
            marks.append(Window(colour=colour, group=group, shown=shown, low=low, high=high,
                                horizontal=True))  # fmt: skip
    if result.limit is not None and np.isfinite(result.limit[k]):
        marks.append(Rule(colour=colour, group=group, shown=shown, at=float(result.limit[k]),
                          horizontal=True))  # fmt: skip
    return marks


def plot_learning(result: EntropyResult, ax: Axes | None = None) -> Axes:
    """L_n(P) against P for every context, with the bracket and the limit of each.

    Raises
    ------
    InputError
        The result has no learning curve of at least two sizes.
    NgramstatError
        matplotlib is not installed.
    """
    return draw_panel(learning_chart(result), ax)
