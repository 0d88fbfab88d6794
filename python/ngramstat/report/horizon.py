"""Figure of the lags that P tokens resolve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ngramstat.errors import InputError
from ngramstat.prediction.gates import HORIZON_GATE
from ngramstat.prediction.horizons import LEARNER_FACTORS
from ngramstat.report.chart import Area, Axis, Chart, Curve, Mark, Panel, Rule, floats
from ngramstat.report.chart_plot import draw_chart
from ngramstat.results import HorizonPoint, Prediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["horizon_chart", "plot_horizon"]


def horizon_chart(result: Prediction) -> Chart:
    """Tokens P*_n that resolve lag n, the range that a learner needs, and the requested sizes.

    Raises
    ------
    InputError
        No lag is resolved.
    """
    resolved = [(p.lag, p.tokens) for p in result.threshold if p.tokens is not None]
    if not resolved:
        raise InputError("result: no lag is resolved")
    lags, tokens = (np.array(column, dtype=np.float64) for column in zip(*resolved, strict=True))
    low, high = LEARNER_FACTORS
    marks: list[Mark] = [
        Area(name=f"a learner needs {low:g} to {high:g} times as many", colour="orange", x=lags,
             low=low * tokens, high=high * tokens, across=True),
        Curve(name="counting", x=tokens, y=lags),
    ]  # fmt: skip
    for point in result.horizon:
        marks += _requested(point)
    gate = next((g for g in result.gates if g.name == HORIZON_GATE), None)
    if gate is not None and gate.threshold is not None:
        marks.append(
            Rule(name=f"half of your context of {2 * gate.threshold:g}", colour="green",
                 stroke="dashdot", at=gate.threshold, horizontal=True)
        )  # fmt: skip
    return Chart(
        title="How far back so many training tokens can see",
        description="The largest distance at which pairs of tokens are told from noise by "
        "counting, and the training tokens that a learner needs for it.",
        panels=(
            Panel(
                x=Axis(label="training tokens"),
                y=Axis(label="largest distance resolved (tokens)"),
                marks=marks,
            ),
        ),
    )


def _requested(point: HorizonPoint) -> list[Mark]:
    """A requested number of tokens, and the horizon that it reaches."""
    group = "requested"
    marks: list[Mark] = [Rule(name="requested tokens", group=group, colour="grey", at=point.tokens)]
    if point.lag is not None:
        bound = point.at_least or point.extrapolated
        known = point.low is not None and point.high is not None
        marks.append(
            Curve(
                name="their horizon, extrapolated or a bound" if bound else "their horizon",
                group=group, colour="red", marker="square", filled=not bound, stroke="",
                x=floats(point.tokens), y=floats(point.lag),
                low=floats(point.low) if known else None,  # type: ignore[arg-type]
                high=floats(point.high) if known else None,  # type: ignore[arg-type]
            )
        )  # fmt: skip
    return marks


def plot_horizon(result: Prediction) -> Figure:
    """Tokens P*_n that resolve lag n, the range that a learner needs, and the requested sizes.

    Raises
    ------
    InputError
        No lag is resolved.
    NgramstatError
        matplotlib is not installed.
    """
    return draw_chart(horizon_chart(result))
