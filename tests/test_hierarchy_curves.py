"""Learning curves of hierarchies: the theory's formulas, fits on planted curves, and the table."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ngramstat.cli import main
from ngramstat.errors import InputError
from ngramstat.report.chart_svg import chart_figure
from ngramstat.report.hierarchies import hierarchies_chart, summarize_hierarchies
from ngramstat.results.hierarchies import HierarchiesResult, LabelCurve
from ngramstat.synthetic import hierarchy_experiment as experiment
from ngramstat.synthetic.hierarchy_experiment import (
    HierarchyTable,
    LabelHierarchy,
    LabelSettings,
    LastTokenSettings,
    UniformSettings,
    label_errors,
    measure_hierarchies,
)
from ngramstat.synthetic.world import zipf_law
from ngramstat.theories.hierarchy_curves import (
    depth_law,
    label_curve,
    last_token_curve,
    mean_difference,
    ratios_of_shares,
    sample_complexity,
    size_at,
    string_error,
    tuple_error,
    unknown_share,
)

RESULTS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
HIERARCHY = {"symbols": 8, "rules": 8, "depth": 3, "zipf_a": 1.0}


def test_the_share_of_unknown_rules_is_the_sum_over_rules():
    q = [0.5, 0.3, 0.2]
    expected = [sum(p * (1 - p) ** r for p in q) for r in (0.0, 1.0, 2.5, 40.0)]
    np.testing.assert_allclose(unknown_share(q, [0.0, 1.0, 2.5, 40.0]), expected, rtol=1e-12)
    assert unknown_share([1.0], [1.0])[0] == 0
    ratios = ratios_of_shares(q, [[expected[2], expected[3]], [1.0, 0.0]])
    np.testing.assert_allclose(ratios, [[2.5, 40.0], [np.nan, np.nan]], rtol=1e-3)


@pytest.mark.parametrize("a", [0.5, 1.0, 2.0])
def test_many_rules_make_a_power_law(a):
    """With so many rules the slope between 10 and 320 P0 is a / (1 + a) up to a few hundredths."""
    shares = unknown_share(zipf_law(1 << 16, 1 + a), [10.0, 320.0])
    assert -np.diff(np.log(shares))[0] / np.log(32) == pytest.approx(a / (1 + a), abs=0.015)


def test_errors_of_strings_and_of_tuples_are_converted_into_each_other():
    shares = np.array([0.0, 0.01, 0.3, 1.0])
    np.testing.assert_allclose(tuple_error(string_error(shares, 4, 8), 4, 8), shares, atol=1e-12)
    assert string_error(1.0, 4, 8) == pytest.approx(7 / 8)
    # Small errors add up; an error above chance is one of chance.
    assert string_error(1e-6, 4, 8) == pytest.approx(4e-6 * 7 / 8, rel=1e-5)
    assert tuple_error([0.95], 4, 8).tolist() == [1.0]


def test_exponent_and_scale_of_planted_curves_are_found():
    q = zipf_law(2048, 2.0)
    sizes = 2 ** np.arange(8, 16)
    scales = 30.0 * np.exp([-0.2, 0.0, 0.2])
    errors = np.stack([string_error(unknown_share(q, sizes / p), 4, 8) for p in scales], axis=1)
    curve = label_curve(sizes, errors, (512, 16384), q, branching=2, hierarchy=HIERARCHY)
    assert curve.scale == pytest.approx(30, rel=1e-4)
    # Student's t of two degrees of freedom, standard error 0.2 / sqrt 3.
    half = 4.3027 * 0.2 / math.sqrt(3)
    assert curve.scale_low == pytest.approx(30 * math.exp(-half), rel=1e-3)
    assert curve.scale_high == pytest.approx(30 * math.exp(half), rel=1e-3)
    assert curve.theory == 0.5
    assert curve.exponent.value == pytest.approx(curve.theory_in_window, abs=0.001)
    assert curve.exponent.low < curve.exponent.value < curve.exponent.high
    assert curve.exponent.window == (512, 16384)
    # Strings with several unknown tuples count once, so that their errors fall less steeply.
    assert curve.string_exponent.value < curve.exponent.value


def test_one_draw_has_no_interval_and_an_error_of_zero_no_exponent():
    q = zipf_law(1000, 2.0)
    sizes = 2 ** np.arange(8, 12)
    errors = string_error(unknown_share(q, sizes / 10), 4, 8)[:, None]
    curve = label_curve(sizes, errors, (256, 4096), q, branching=2, hierarchy=HIERARCHY)
    assert not curve.exponent.reportable
    assert "one draw" in curve.exponent.reason
    assert curve.scale == pytest.approx(10, rel=1e-4)
    assert curve.scale_low is None
    curve = label_curve(sizes, 0 * errors, (256, 4096), q, branching=2, hierarchy=HIERARCHY)
    assert curve.exponent.value is None
    assert curve.scale is None


def planted(depth, scale=None, **more):
    q = zipf_law(500, 2.0)
    sizes = 2 ** np.arange(4, 20)
    share = unknown_share(q, sizes / (scale or 1.0))
    errors = string_error(share, 2 ** (depth - 1), 8)[:, None] * np.ones(2)
    hierarchy = {**HIERARCHY, "depth": depth, **more}
    return label_curve(sizes, errors, (2**12, 2**17), q, branching=2, hierarchy=hierarchy)


def test_the_law_of_the_depth():
    law = depth_law([planted(depth, 5.0 * 3.0**depth) for depth in (2, 3, 4)])
    assert law.factor == pytest.approx(3, rel=1e-4)
    assert law.r2 == pytest.approx(1)
    assert law.depths.tolist() == [2, 3, 4]
    assert depth_law([planted(2, 9.0), planted(3, 27.0)]) is None


def test_the_sample_complexity_is_read_where_half_of_the_error_is_left():
    def curve(depth, rules):
        # An error that falls through 7/16 at 10 n_c m^L.
        place = 80.0 * rules**depth
        sizes = np.round(place * 2.0 ** np.arange(-4, 5)).astype(np.int64)
        errors = (7 / 8) / (1 + (sizes / place) ** 2)[:, None] * np.ones(2)
        return LabelCurve(
            **{**HIERARCHY, "rules": rules, "depth": depth, "zipf_a": None}, bottom_rules=rules,
            sizes=sizes, errors=errors, tuple_errors=errors, exponent=planted(2).exponent,
            string_exponent=planted(2).exponent,
        )  # fmt: skip

    result = sample_complexity([curve(2, 2), curve(3, 2), curve(2, 4), curve(3, 4)])
    assert result.exponent == pytest.approx(1, abs=0.01)
    assert result.factor == pytest.approx(10, rel=0.02)
    assert result.r2 > 0.999
    late = curve(2, 2)
    object.__setattr__(late, "errors", late.errors + 1)
    with pytest.raises(InputError, match=r"do not pass 0\.44"):
        sample_complexity([late])


STAIRCASE = {"symbols": 16, "rules": 4, "depth": 5, "skewed": "none", "zipf_a": None}


@pytest.mark.parametrize("sharpness", [1.5, 3.0, 8.0])
def test_the_exponent_of_a_staircase_does_not_depend_on_the_shape_of_its_steps(sharpness):
    thresholds = 85.0 * 16.0 ** np.arange(5)
    entropies = 0.1 + np.append(4.0 ** -np.arange(5), 0.0)
    sizes = 2 ** np.arange(4, 22)
    # Level l is left for the next one around 3 thresholds, more or less gradually.
    left = 1 / (1 + (sizes[:, None] / (3 * thresholds[:-1])) ** sharpness)
    losses = entropies[-1] + left @ -np.diff(entropies)[:-1] + entropies[-2] - entropies[-1]
    curve = last_token_curve(
        sizes, losses[:, None] * np.ones(3), entropies[:, None] * np.ones(3), thresholds,
        theory=(0.5, None, None), hierarchy=STAIRCASE,
    )  # fmt: skip
    np.testing.assert_allclose(curve.exact, 0.5)
    assert curve.exponent.value == pytest.approx(0.5, abs=0.03)
    assert curve.exponent.low == pytest.approx(curve.exponent.high)
    np.testing.assert_allclose(np.diff(np.log(curve.steps[:, 0])), np.log(16), rtol=0.05)
    assert mean_difference(curve)[0] == pytest.approx(curve.exponent.value - 0.5)


def test_steps_that_the_curve_does_not_take_are_left_out():
    entropies = 0.1 + np.append(4.0 ** -np.arange(5), 0.0)[:, None]
    sizes = np.array([10, 100, 1000])
    losses = 0.1 + np.array([[1.0], [0.3], [0.2]])
    curve = last_token_curve(
        sizes, losses, entropies, 10.0 ** np.arange(5), theory=(0.5, None, None),
        hierarchy=STAIRCASE,
    )  # fmt: skip
    assert np.isfinite(curve.steps[:, 0]).tolist() == [True, False, False, False]
    assert curve.exponent.value is None
    assert len(curve.exact) == 0
    assert HierarchiesResult(
        settings={}, provenance={}, last_tokens=(curve,)
    ).to_dict()["last_tokens"][0]["steps"][1] == [None]  # fmt: skip


def test_a_size_is_read_between_the_points_of_a_power_law():
    sizes = np.array([10, 100, 1000])
    errors = np.array([1.0, 0.1, 0.01])
    assert size_at(sizes, errors, 0.05) == pytest.approx(200)
    assert math.isnan(size_at(sizes, errors, 0.001))
    assert math.isnan(size_at(sizes, errors, 2.0))
    assert size_at(sizes, np.array([1.0, 0.0, 0.0]), 0.5) == 100


# --- worlds ---------------------------------------------------------------------------------------


def test_strings_are_those_of_their_rules_and_the_first_ones_stay_the_same():
    world = LabelHierarchy(6, 6, 40, 3, 1.0, draw=1)
    tuples, labels = world.strings(500)
    assert tuples.shape == (500, 4)
    assert world.tokens == 32
    assert tuples.max() < world.n_tuples == 32**2
    # 6 * 40 tuples are used.
    assert len(np.unique(world.strings(20_000)[0])) <= 240
    again, same = world.strings(200)
    np.testing.assert_array_equal(again, tuples[:200])
    np.testing.assert_array_equal(same, labels[:200])
    assert set(labels.tolist()) == set(range(6))
    other, _ = world.strings(500, held_out=True)
    assert not np.array_equal(other, tuples)
    assert not np.array_equal(LabelHierarchy(6, 6, 40, 3, 1.0).strings(500)[0], tuples)


def test_errors_of_one_level_are_those_of_rules_that_were_not_seen():
    """With one level P0 is the number of labels, and a rule is known once it has been seen."""
    sizes = np.array([64, 256, 1024])
    worlds = [LabelHierarchy(8, 8, 512, 1, 1.0, draw) for draw in range(10)]
    errors = [label_errors(world, sizes, held_out=4000, shared=True) for world in worlds]
    q = worlds[0].frequencies
    exact = np.array([np.sum(q * (1 - q / 8) ** size) for size in sizes]) * 7 / 8
    np.testing.assert_allclose(np.mean(errors, axis=0), exact, rtol=0.1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"symbols": 1}, "symbols"),
        ({"rules": 7}, "at most 6"),
        ({"zipf_a": 0.0}, "zipf_a"),
        ({"bottom_rules": 1 << 30}, "tuples"),
        ({"depth": 0}, "depth"),
    ],
)
def test_impossible_hierarchies_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        LabelHierarchy(
            **{"symbols": 6, "rules": 6, "bottom_rules": 40, "depth": 3, "zipf_a": 1.0, **settings}
        )


TINY = HierarchyTable(
    LabelSettings((1.0,), (1, 2, 3), (6,), bottom_rules=64, sizes=(1, 4), window=(1, 4)),
    UniformSettings(((4, 2, 2), (6, 3, 2)), sizes=(-2, 5)),
    LastTokenSettings(8, 2, 4, sizes=(5, 10)),
    draws=2,
    held_out=2000,
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The directory of the tiny table, and its result."""
    directory = tmp_path_factory.mktemp("hierarchies")
    return directory, measure_hierarchies(TINY, directory)


def test_the_report_says_what_was_measured(measured):
    _, result = measured
    text = summarize_hierarchies(result)
    assert max(map(len, text.splitlines())) <= 100
    for words in ("LABELS OF STRINGS", "DEPTH", "EQUALLY LIKELY RULES", "LAST TOKENS"):
        assert words in text
    assert "power law on the lowest level, a = 1" in text
    for curve in result.labels:
        assert f"{curve.scale:.3g}" in text
    chart = hierarchies_chart(result)
    assert [panel.title.split(":")[0] for panel in chart.panels] == [
        "Labels", "P0 grows by one factor with every level", "Last token"
    ]  # fmt: skip
    assert "<svg" in chart_figure(chart, "hierarchies")
    frame = result.to_pandas()
    assert frame["theory"].tolist()[:3] == [0.5] * 3


def test_the_command_measures_writes_and_resumes(tmp_path):
    out = tmp_path / "out"
    words = [
        "theories", "hierarchies", "--parts", "labels", "--exponents", "1", "--depths", "1,2",
        "--symbols", "4", "--bottom-rules", "64", "--draws", "2", "--held-out", "1000", "-o",
        str(out), "--quiet",
    ]  # fmt: skip
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "LABELS OF STRINGS" in done.output
    result = HierarchiesResult.load(out)
    assert (out / "summary.txt").read_text() == summarize_hierarchies(result)
    assert [curve.depth for curve in result.labels] == [1, 2]
    assert result.uniform is None
    assert result.last_tokens == ()
    times = {path: path.stat().st_mtime_ns for path in (out / "curves").iterdir()}
    assert len(times) == 4
    assert CliRunner().invoke(main, words).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "curves").iterdir()} == times
    refused = CliRunner().invoke(main, [*words, "--symbols", "2", "--bottom-rules", "2^30"])
    assert refused.exit_code == 2
    assert "more than" in refused.output


def test_a_table_resumes_and_is_read_back(measured, tmp_path, monkeypatch):
    directory, result = measured
    assert len(result.labels) == 3
    assert len(result.depth_laws) == 1
    assert [curve.skewed for curve in result.last_tokens] == ["none", "bottom", "all"]
    assert result.uniform.theory.tolist() == [16, 54]
    for curve in result.labels:
        assert curve.errors.shape == (4, 2)
        assert curve.errors[-1].mean() < curve.errors[0].mean()
    for curve in result.last_tokens:
        assert np.all(curve.losses[-1] < curve.losses[0])
        assert np.all(curve.losses[-1] > curve.entropies[-1])
    result.save(tmp_path / "result.json")
    assert HierarchiesResult.load(tmp_path / "result.json") == result

    def fail(*_, **__):
        raise AssertionError("measured again")

    monkeypatch.setattr(experiment, "label_errors", fail)
    monkeypatch.setattr(experiment, "last_token_losses", fail)
    again = measure_hierarchies(TINY, directory)
    assert again.labels == result.labels
    assert again.last_tokens == result.last_tokens
    # Other settings are measured.
    changed = HierarchyTable(TINY.labels, None, None, draws=2, held_out=2001)
    with pytest.raises(AssertionError, match="measured again"):
        measure_hierarchies(changed, directory)


def test_hierarchies_that_take_too_many_strings_are_left_out():
    table = HierarchyTable(LabelSettings((1.0,), (2, 3), (6, 8), most_strings=1 << 18), None, None)
    names = {curve.name for curve in experiment._curves(table, 1)}
    assert {name.split("-a1")[0] for name in names} == {
        "label-v6-m6-L2", "label-v8-m8-L2"
    }  # fmt: skip


def test_every_number_of_symbols_has_three_depths_by_default():
    table = HierarchyTable(LabelSettings(), None, None)
    depths: dict[int, set[int]] = {}
    for world in experiment._label_worlds(table, 0):
        depths.setdefault(world.symbols, set()).add(world.depth)
    assert depths == {symbols: {2, 3, 4} for symbols in (5, 6, 8)}


def test_unknown_levels_are_refused(tmp_path):
    table = HierarchyTable(None, None, LastTokenSettings(8, 2, 3, skewed=("top",)))
    with pytest.raises(InputError, match="skewed='top'"):
        measure_hierarchies(table, tmp_path / "out")


# --- what the theory says, and what was measured --------------------------------------------------


def check_claims(result):
    """The claims of Cagnetta, Kang and Wyart, on measured curves."""
    for curve in result.labels:
        first, last = curve.exponent.window
        assert math.log10(last / first) > 1.5
        if curve.zipf_a <= 1:
            assert curve.exponent.value == pytest.approx(curve.theory_in_window, abs=0.05)
            # Five symbols differ too much from draw to draw.
            if curve.symbols > 5:
                assert curve.exponent.value == pytest.approx(curve.theory, abs=0.05)
    assert result.depth_laws
    for law in result.depth_laws:
        assert law.r2 > (0.98 if law.symbols > 5 else 0.97)
        assert law.factor > 2
    none, bottom = (
        next(curve for curve in result.last_tokens if curve.skewed == skewed)
        for skewed in ("none", "bottom")
    )
    halves = [curve.exponent.high - curve.exponent.value for curve in (none, bottom)]
    assert abs(none.exponent.value - bottom.exponent.value) < math.hypot(*halves)
    for curve in (none, bottom):
        difference, half = mean_difference(curve)
        assert abs(difference) < half
    assert result.uniform.exponent == pytest.approx(1, abs=0.15)
    assert result.uniform.r2 > 0.9


def test_the_committed_curves_show_what_the_theory_says():
    check_claims(HierarchiesResult.load(RESULTS / "hierarchies.json"))


@pytest.mark.nightly
def test_the_committed_curves_are_measured_again(tmp_path):
    committed = HierarchiesResult.load(RESULTS / "hierarchies.json")
    result = measure_hierarchies(
        HierarchyTable(LabelSettings((0.5, 1.0), symbols=(6,))), tmp_path / "out"
    )
    check_claims(result)
    known = {(c.symbols, c.depth, c.zipf_a): c.errors for c in committed.labels}
    for curve in result.labels:
        errors = known[curve.symbols, curve.depth, curve.zipf_a]
        np.testing.assert_allclose(curve.errors, errors, atol=0.002)
    for curve, before in zip(result.last_tokens, committed.last_tokens, strict=True):
        np.testing.assert_allclose(curve.losses, before.losses, atol=0.005)
