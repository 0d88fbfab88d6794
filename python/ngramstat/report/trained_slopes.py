"""Figure of the raw slopes of trained models: gamma by training tokens, and alpha beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ngramstat.report.chart import (
    Area,
    Axis,
    Chart,
    Curve,
    Floats,
    Mark,
    Panel,
    curve_colour,
    curve_marker,
    floats,
)
from ngramstat.report.chart_plot import draw_chart
from ngramstat.results import Exponent, LearnerSlopes, ValidationResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_slopes", "slopes_chart"]


def slopes_chart(result: ValidationResult) -> Chart:
    """gamma of every learner at every P, and the predicted alpha beside the local slope."""
    return Chart(
        title="Raw slopes of trained models",
        description="Left: γ, the slope of the losses by context, at every number of training "
        "tokens; bars hold the errors of the losses and other windows. Right: γ / (2β), with its "
        "interval as an area, beside the slope of the mean losses between one size and the next. "
        "No limit is subtracted anywhere.",
        panels=(_gammas(result.slopes), _alphas(result.slopes)),
    )


def plot_slopes(result: ValidationResult) -> Figure:
    """gamma of every learner at every P, and the predicted alpha beside the local slope.

    Raises
    ------
    NgramstatError
        matplotlib is not installed.
    """
    return draw_chart(slopes_chart(result))


def _gammas(learners: Sequence[LearnerSlopes]) -> Panel:
    marks: list[Mark] = []
    ends: list[Floats] = []
    for k, learner in enumerate(learners):
        low, high = _ends([size.gamma for size in learner.sizes])
        ends += [low, high]
        marks.append(
            Curve(
                name=_name(learner),
                colour=curve_colour(k),
                marker=curve_marker(k),
                x=floats([size.tokens for size in learner.sizes]),
                y=_values([size.gamma for size in learner.sizes]),
                low=low,
                high=high,
            )
        )
    return Panel(
        title="γ by training tokens",
        x=Axis(label="training tokens"),
        y=Axis(label="γ, slope of the losses by context", log=False, limits=_limits(ends)),
        marks=marks,
    )


def _alphas(learners: Sequence[LearnerSlopes]) -> Panel:
    marks: list[Mark] = []
    for k, learner in enumerate(learners):
        colour = curve_colour(k)
        marker = curve_marker(k)
        tokens = floats([size.tokens for size in learner.sizes])
        name = _name(learner)
        predicted = f"{name}: predicted, γ / (2β)"
        low, high = _ends([size.predicted for size in learner.sizes])
        marks += [
            Area(colour=colour, group=predicted, x=tokens, low=low, high=high),
            Curve(
                name=predicted,
                colour=colour,
                x=tokens,
                y=_values([size.predicted for size in learner.sizes]),
                marker="",
                stroke="dashed",
            ),
            Curve(
                name=f"{name}: slope of the losses",
                colour=colour,
                marker=marker,
                x=floats(
                    [
                        math.sqrt(one.tokens * two.tokens)
                        for one, two in zip(learner.sizes, learner.sizes[1:], strict=False)
                    ]
                ),
                y=floats([math.nan if s.local is None else s.local for s in learner.sizes[1:]]),
            ),
        ]
    return Panel(
        title="Predicted α and local slopes",
        x=Axis(label="training tokens"),
        y=Axis(label="exponent", log=False),
        marks=marks,
    )


def _limits(ends: Sequence[Floats]) -> tuple[float, float] | None:
    """Limits that hold all bars."""
    known = np.concatenate(ends) if ends else np.empty(0)
    known = known[np.isfinite(known)]
    if not len(known):
        return None
    return min(0.0, float(known.min())), 1.05 * float(known.max())


def _name(learner: LearnerSlopes) -> str:
    return f"{learner.model}, contexts of {learner.context}"


def _values(exponents: Sequence[Exponent]) -> Floats:
    return floats([math.nan if e.value is None else e.value for e in exponents])


def _ends(exponents: Sequence[Exponent]) -> tuple[Floats, Floats]:
    low = floats([math.nan if e.low is None else e.low for e in exponents])
    high = floats([math.nan if e.high is None else e.high for e in exponents])
    return low, high
