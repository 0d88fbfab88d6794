"""Charts: round ticks, limits, marks in both layouts, and the same marks with matplotlib."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ngramstat.report.chart import (
    Area,
    Axis,
    Chart,
    Curve,
    Label,
    Mark,
    Panel,
    Rule,
    Window,
    floats,
    side_by_side,
)
from ngramstat.report.chart_plot import draw_chart, draw_panel
from ngramstat.report.chart_svg import NARROW, WIDE, chart_figure
from ngramstat.report.chart_ticks import minor_ticks, tick_label, ticks
from ngramstat.report.figures import correlations_chart, entropies_chart
from ngramstat.report.learning import learning_chart
from ngramstat.report.notes import sequential_rise
from ngramstat.report.style import MOST_GROUPS
from ngramstat.report.theories import theories_chart
from ngramstat.results import LearningCurve, TheoriesResult
from test_report import planted_correlations, planted_entropies
from test_report_page import Page, theory_row


@pytest.mark.parametrize(
    ("value", "label"),
    [(0, "0"), (0.05, "0.05"), (500, "500"), (20_000, "20,000"), (5e6, "5 M"), (1e12, "1 T"),
     (1e-4, "10⁻⁴"), (2e-5, "2·10⁻⁵"), (1e18, "10¹⁸"), (-0.1, "-0.1"), (2.5, "2.5")],
)  # fmt: skip
def test_labels_of_ticks_are_the_numbers_of_the_text(value: float, label: str) -> None:
    assert tick_label(value) == label


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("length", [200.0, 320.0, 680.0])
def test_labels_of_ticks_do_not_touch_and_lie_inside(log: bool, length: float) -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        low = 10.0 ** rng.uniform(-9, 9)
        high = low * 10.0 ** rng.choice([rng.uniform(0.02, 1), rng.uniform(1, 12)])
        axis = Axis(label="x", log=log)
        found = ticks(axis, (low, high), length, text=13.0, along=True)
        assert len(found) >= 2
        values = np.array([value for value, _ in found])
        assert values.min() >= low - 1e-6 * (high - low)
        assert values.max() <= high + 1e-6 * (high - low)
        at = np.log(values / low) / np.log(high / low) if log else (values - low) / (high - low)
        halves = np.array([0.3 * 13 * len(label) for _, label in found])
        assert (np.diff(at) * length >= halves[1:] + halves[:-1]).all()
        labels = [label for _, label in found]
        assert len(set(labels)) == len(labels)


def test_given_ticks_are_kept_as_far_as_they_fit() -> None:
    axis = Axis(label="n", at=(1, 2, 3, 4, 5, 6))
    assert [v for v, _ in ticks(axis, (0.9, 6.6), 600, text=13, along=True)] == [1, 2, 3, 4, 5, 6]
    few = [v for v, _ in ticks(axis, (0.9, 6.6), 60, text=13, along=True)]
    assert set(few) < {1, 2, 3, 4, 5, 6}
    assert minor_ticks(axis, (0.9, 6.6)) == []
    assert minor_ticks(Axis(label="t"), (1, 20)) == [*range(1, 10), 10, 20]


def marks() -> list[Mark]:
    x = floats([1, 10, 100, np.nan, 0])
    return [
        Window(name="window", low=2, high=20),
        Area(name="noise", colour="grey", x=x, low=x / 1e3, high=x / 100),
        Rule(name="limit", colour="green", at=30, horizontal=True, shown=False),
        Curve(name="loss", x=x, y=50 - x / 3, low=40 - x / 3, high=60 - x / 3),
        Curve(group="loss", x=floats(3), y=floats(5), marker="star", stroke=""),
        Label(x=5, y=5, text="a <b>"),
    ]


def chart() -> Chart:
    panel = Panel(x=Axis(label="distance"), y=Axis(label="strength"), marks=marks())
    return Chart(title="A & B", description="What it shows.", panels=(panel,), notes=("Note.",))


def test_a_figure_has_a_layout_for_wide_screens_and_one_for_phones() -> None:
    text = chart_figure(chart(), "name")
    page = Page(text)
    drawings = {str(a["class"]): a for tag, a in page.tags if tag == "svg" and "viewbox" in a}
    assert list(drawings) == ["plot wide", "plot narrow"]
    for screen in (WIDE, NARROW):
        drawing = drawings[f"plot {screen.name}"]
        assert str(drawing["viewbox"]).startswith(f"0 0 {screen.width} ")
        # A phone of 375 pixels shows the narrow one at full size.
        assert float(str(drawing["font-size"])) >= 11
    assert "nan" not in text.lower().replace("nanosecond", "")
    assert "inf" not in text
    shown = "".join(page.text)
    for words in ("A & B", "What it shows.", "Note.", "a <b>", "distance", "strength"):
        assert words in shown
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids)) == 3


def test_boxes_switch_the_groups_and_what_is_hidden_at_first_is_folded() -> None:
    text = chart_figure(chart(), "name")
    page = Page(text)
    boxes = [a for tag, a in page.tags if tag == "input"]
    assert [(a["class"], "checked" in a) for a in boxes] == [
        ("t0", True), ("t1", True), ("t3", True), ("t2", False),
    ]  # fmt: skip
    assert "<summary>More to show (1)</summary>" in text
    # Marks of a group are shown and hidden together, in both layouts.
    assert len(re.findall(r'<g class="c-blue g3">', text)) == 4
    assert len(re.findall(r'<g class="c-green g2">', text)) == 2
    alone = Chart(
        title="t", description="d",
        panels=(Panel(x=Axis(label="x"), y=Axis(label="y"), marks=marks()[:1]),),
    )  # fmt: skip
    assert "<input" not in chart_figure(alone, "alone")


def test_matplotlib_draws_the_same_marks() -> None:
    pytest.importorskip("matplotlib")
    axes = draw_panel(chart())
    assert set(axes.get_legend_handles_labels()[1]) == {"window", "noise", "limit", "loss"}
    assert axes.get_xscale() == axes.get_yscale() == "log"
    figure = draw_chart(side_by_side([chart(), chart()]))
    assert [ax.get_title() for ax in figure.axes] == ["A & B", "A & B"]
    figure.canvas.draw()


def test_at_most_two_curves_are_shown_at_first() -> None:
    curve = LearningCurve(
        tokens=np.array([10**5, 10**6]),
        held_out=np.stack([np.linspace(7, 5, 7), np.linspace(6.9, 4, 7)]),
    )
    for drawn in (
        correlations_chart(planted_correlations(two_stages=True)),
        entropies_chart(planted_entropies()),
        learning_chart(planted_entropies(learning_curve=curve)),
    ):
        for panel in drawn.panels:
            shown = {m.key for m in panel.marks if isinstance(m, Curve) and m.shown}
            assert len(shown) == 2
            assert {m.key for m in panel.marks if isinstance(m, Curve) and not m.shown}
        assert len(drawn.groups()) <= MOST_GROUPS


def test_no_point_stands_where_nothing_was_measured() -> None:
    entropies = planted_entropies()
    (panel,) = entropies_chart(entropies).panels
    for mark in panel.marks:
        if isinstance(mark, Curve) and mark.marker:
            assert set(mark.x.tolist()) <= set(entropies.context.tolist()) - {0}
    assert panel.x.at == tuple(float(n) for n in entropies.context if n)
    rules = [m for m in panel.marks if isinstance(m, Rule)]
    assert [rule.at for rule in rules] == [pytest.approx(6.9)]
    tokens = np.array([10**5, 10**6])
    curve = LearningCurve(tokens=tokens, held_out=np.full((2, 7), 5.0))
    (panel,) = learning_chart(planted_entropies(learning_curve=curve)).panels
    for mark in panel.marks:
        if isinstance(mark, Curve):
            assert set(mark.x.tolist()) <= set(tokens.tolist())


def test_a_rise_of_the_sequential_norm_is_explained() -> None:
    falling = planted_correlations()
    assert sequential_rise(falling) is None
    assert falling.norm_sequential is not None
    rising = np.where(falling.lags > 32, 3 * falling.norm_sequential[5], falling.norm_sequential)
    note = sequential_rise(planted_correlations(norm_sequential=rising))
    assert note is not None
    assert "rises beyond lag 32" in note
    drawn = correlations_chart(planted_correlations(norm_sequential=rising))
    assert drawn.notes == (note,)
    # Lags whose norm is noise do not count.
    noise = planted_correlations(norm_sequential=rising, valid_sequential=falling.lags <= 32)
    assert sequential_rise(noise) is None


def test_measured_exponents_are_lines_across_all_theories() -> None:
    rows = (theory_row("measured", 0.2), theory_row("prediction", 0.3))
    (panel,) = theories_chart(TheoriesResult(corpus={}, provenance={}, rows=rows)).panels
    lines = [m.at for m in panel.marks if isinstance(m, Rule) and not m.horizontal]
    assert lines == [0.0, 0.2]
    assert panel.y.names == ("measured exponent", "prediction exponent")
    (window,) = [m for m in panel.marks if isinstance(m, Window)]
    assert (window.low, window.high) == pytest.approx((0.15, 0.25))
    alone = theories_chart(TheoriesResult(corpus={}, provenance={}, rows=rows[1:]))
    assert "No measured exponent" in alone.notes[0]
