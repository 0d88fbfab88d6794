"""Learning curves of random hierarchies as text and as a figure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ngramstat.report.chart import (
    CURVE_COLOURS,
    Axis,
    Chart,
    Colour,
    Curve,
    Mark,
    Panel,
    curve_marker,
    floats,
)
from ngramstat.report.text import count, estimate, table, wrap
from ngramstat.results.hierarchies import (
    DepthLaw,
    HierarchiesResult,
    LabelCurve,
    LastTokenCurve,
    SampleComplexity,
)
from ngramstat.theories.hierarchy_curves import mean_difference

__all__ = ["hierarchies_chart", "summarize_hierarchies"]

Floats = NDArray[np.float64]

_SKEWED = {
    "none": "equally likely rules",
    "bottom": "power law on the lowest level",
    "all": "power law on all levels",
}


def summarize_hierarchies(result: HierarchiesResult) -> str:
    """The curves in plain words and tables."""
    lines = ["LEARNING CURVES OF RANDOM HIERARCHIES, by a learner that only counts"]
    if result.labels:
        lines += ["", *_labels_text(result.labels)]
    if result.depth_laws:
        lines += ["", *_depth_text(result.depth_laws)]
    if result.uniform is not None:
        lines += ["", *_uniform_text(result.uniform)]
    if result.last_tokens:
        lines += ["", *_last_tokens_text(result.last_tokens)]
    return "\n".join(lines) + "\n"


def _labels_text(curves: tuple[LabelCurve, ...]) -> list[str]:
    lines = ["LABELS OF STRINGS  rules of the lowest level have frequencies ~ k^-(1+a)"]
    lines += wrap(
        "The error of one tuple falls as P^-a/(1+a), P the number of training strings: rare rules "
        "are learned last. The slope of the theory's curve in the window differs from a/(1+a) as "
        "rules are finite in number. A string is wrong if any of its tuples is, so that errors of "
        "strings fall less steeply until they are small.",
        indent=2,
    )
    columns = [
        ("v", [str(c.symbols) for c in curves]),
        ("depth", [str(c.depth) for c in curves]),
        ("a", [_number(c.zipf_a) for c in curves]),
        ("strings", [_window(c) for c in curves]),
        ("one tuple", [estimate(c.exponent) for c in curves]),
        ("a/(1+a)", [_exponent(c.theory) for c in curves]),
        ("curve", [_exponent(c.theory_in_window) for c in curves]),
        ("string", [_exponent(c.string_exponent.value) for c in curves]),
        ("P0", [_scale(c) for c in curves]),
    ]
    return lines + table(columns)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _exponent(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _window(curve: LabelCurve | LastTokenCurve) -> str:
    if curve.exponent.window is None:
        return "-"
    low, high = curve.exponent.window
    return f"{count(int(low))} to {count(int(high))}"


def _scale(curve: LabelCurve) -> str:
    if curve.scale is None:
        return "-"
    if curve.scale_low is None or curve.scale_high is None:
        return f"{curve.scale:.3g}"
    return f"{curve.scale:.3g} [{curve.scale_low:.3g}, {curve.scale_high:.3g}]"


def _depth_text(laws: tuple[DepthLaw, ...]) -> list[str]:
    lines = ["DEPTH  every level of the hierarchy multiplies P0 by one factor"]
    columns = [
        ("v", [str(law.symbols) for law in laws]),
        ("a", [_number(law.zipf_a) for law in laws]),
        ("depths", [f"{law.depths[0]} to {law.depths[-1]}" for law in laws]),
        ("factor", [f"{law.factor:.2f}" for law in laws]),
        ("R^2 of ln P0", [f"{law.r2:.4f}" for law in laws]),
    ]
    return lines + table(columns)


def _uniform_text(uniform: SampleComplexity) -> list[str]:
    lines = ["EQUALLY LIKELY RULES  strings with which half of the chance error is left"]
    columns = [
        ("v", [str(v) for v in uniform.symbols]),
        ("m", [str(m) for m in uniform.rules]),
        ("depth", [str(depth) for depth in uniform.depth]),
        ("n_c m^L", [count(int(n)) for n in uniform.theory]),
        ("strings", [count(round(n)) for n in uniform.measured]),
    ]
    lines += table(columns)
    return lines + wrap(
        f"They grow as (n_c m^L)^{uniform.exponent:.2f} (theory: 1; R^2 {uniform.r2:.3f}) and are "
        f"{uniform.factor:.2g} times n_c m^L.",
        indent=2,
    )


def _last_tokens_text(curves: tuple[LastTokenCurve, ...]) -> list[str]:
    first = curves[0]
    lines = [f"LAST TOKENS  v = {first.symbols}, m = {first.rules}, depth {first.depth}"]
    lines += wrap(
        "The loss above its limit falls in steps, one for each level of context; over steps as "
        "P^-alpha. Measured: the line through the steps. Exact: the same of the exact entropies of "
        "these levels and of the strings that each takes in theory. Many levels: gamma/(2 beta).",
        indent=2,
    )
    columns = [
        ("rules", [_skewed(c) for c in curves]),
        ("strings", [_window(c) for c in curves]),
        ("alpha", [estimate(c.exponent) for c in curves]),
        ("exact", [_exponent(_mean(c.exact)) for c in curves]),
        ("measured - exact", [_difference(c) for c in curves]),
        ("many levels", [_theory(c) for c in curves]),
    ]
    return lines + table(columns)


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _difference(curve: LastTokenCurve) -> str:
    if len(curve.exponents) < 2:
        return "-"
    value, half = mean_difference(curve)
    return f"{value:+.3f} [{value - half:+.3f}, {value + half:+.3f}]"


def _skewed(curve: LastTokenCurve) -> str:
    return _SKEWED[curve.skewed] + ("" if curve.zipf_a is None else f", a = {curve.zipf_a:g}")


def _theory(curve: LastTokenCurve) -> str:
    if curve.theory is not None:
        return _exponent(curve.theory)
    return f"{_exponent(curve.theory_low)} to {_exponent(curve.theory_high)}"


def hierarchies_chart(result: HierarchiesResult) -> Chart:
    """Labels against P / P0, P0 against the depth, and last tokens, as far as they were measured.

    Raises
    ------
    ValueError
        Nothing of these was measured.
    """
    panels = []
    scaled = [curve for curve in result.labels if curve.scale is not None]
    if scaled:
        panels += [_labels_panel(scaled), _depth_panel(scaled)]
    if result.last_tokens:
        panels.append(_last_tokens_panel(result.last_tokens))
    if not panels:
        raise ValueError("no curve to draw")
    return Chart(
        title="Learning curves of random hierarchies",
        description="Errors of labels against training strings in units of P0, P0 against the "
        "depth of the hierarchy, and losses of the last token above their limit.",
        panels=tuple(panels),
    )


def _colours(curves: list[LabelCurve]) -> dict[float | None, int]:
    return {a: k for k, a in enumerate(dict.fromkeys(curve.zipf_a for curve in curves))}


def _labels_panel(curves: list[LabelCurve]) -> Panel:
    """All curves of one a on one line: P0 is all that differs."""
    colours, marks, named = _colours(curves), [], set()
    hierarchies = list(dict.fromkeys((curve.symbols, curve.depth) for curve in curves))
    for curve in curves:
        assert curve.scale is not None
        assert curve.theory_errors is not None
        colour = CURVE_COLOURS[colours[curve.zipf_a] % len(CURVE_COLOURS)]
        group, x = f"a = {_number(curve.zipf_a)}", floats(curve.sizes / curve.scale)
        if group not in named:
            theory = Curve(
                name=group, group=group, colour=colour, x=x, y=curve.theory_errors, marker=""
            )
            marks.append(theory)
            named.add(group)
        k = hierarchies.index((curve.symbols, curve.depth))
        marks.append(
            Curve(
                group=group, colour=colour, x=x, y=curve.tuple_errors.mean(axis=1), stroke="",
                marker=curve_marker(k), filled=k % 2 == 0,
            )
        )  # fmt: skip
    return Panel(
        title="Labels: all hierarchies on the theory's curves",
        x=Axis(label="training strings / P0"),
        y=Axis(label="share of unknown tuples"),
        marks=marks,
    )


def _depth_panel(curves: list[LabelCurve]) -> Panel:
    colours, marks = _colours(curves), []
    for k, v in enumerate(dict.fromkeys(curve.symbols for curve in curves)):
        for a, colour in colours.items():
            mine = [c for c in curves if (c.symbols, c.zipf_a) == (v, a)]
            marks.append(
                Curve(
                    name=f"v = {v}, a = {_number(a)}",
                    colour=CURVE_COLOURS[colour % len(CURVE_COLOURS)],
                    x=floats([c.depth for c in mine]),
                    y=floats([c.scale or np.nan for c in mine]),
                    low=floats([c.scale_low or np.nan for c in mine]),
                    high=floats([c.scale_high or np.nan for c in mine]),
                    stroke="dashed" if k else "solid",
                    marker=curve_marker(k),
                )
            )
    return Panel(
        title="P0 grows by one factor with every level",
        x=Axis(label="depth of the hierarchy", log=False),
        y=Axis(label="P0, strings"),
        marks=marks,
    )


def _last_tokens_panel(curves: tuple[LastTokenCurve, ...]) -> Panel:
    marks: list[Mark] = []
    for k, curve in enumerate(curves):
        excess = curve.losses - curve.entropies[-1]
        colour = CURVE_COLOURS[k % len(CURVE_COLOURS)]
        marks.append(
            Curve(
                name=_skewed(curve), colour=colour, x=floats(curve.sizes),
                y=excess.mean(axis=1), marker=curve_marker(k),
            )
        )  # fmt: skip
        marks += _law(curve, colour)
    return Panel(
        title="Last token: loss above its limit, and the line through its steps",
        x=Axis(label="training strings"),
        y=Axis(label="loss - limit, nats"),
        marks=marks,
    )


def _law(curve: LastTokenCurve, colour: Colour) -> list[Mark]:
    """The line of the mean exponent through the middle of the steps."""
    window, exponent = curve.exponent.window, curve.exponent.value
    if window is None or exponent is None:
        return []
    excess = curve.entropies - curve.entropies[-1]
    middles = np.sqrt(excess[:-2] * excess[1:-1])
    taken = np.all(np.isfinite(curve.steps), axis=1)
    level = np.mean(np.log(middles[taken]) + exponent * np.log(curve.steps[taken]))
    x = floats(window)
    return [
        Curve(
            group=_skewed(curve), colour=colour, x=x, y=np.exp(level - exponent * np.log(x)),
            marker="", stroke="dashed",
        )
    ]  # fmt: skip
