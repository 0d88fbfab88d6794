"""Results: construction checks, exact JSON round trips, and refusal of malformed objects."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ngramstat
from ngramstat.errors import InputError
from ngramstat.results import (
    Alternative,
    AlternativeKind,
    CorrelationResult,
    EntropyResult,
    Exponent,
    Gate,
    HorizonPoint,
    LearningCurve,
    Prediction,
    RunResult,
    ThresholdPoint,
)


def make_exponent(**changes: Any) -> Exponent:
    values: dict[str, Any] = {
        "value": 0.1 + 0.2,
        "low": 0.25,
        "high": 1 / 3,
        "window": (1, 32),
        "points": 9,
        "method": "OLS",
        "reportable": True,
        "alternatives": (
            Alternative(
                kind=AlternativeKind.SINGLE_LAW,
                method="single",
                value=0.3,
                window=(1, 64),
                extra={"r2": 0.9, "reason": None},
            ),
        ),
    }
    return Exponent(**(values | changes))


def make_correlations(**changes: Any) -> CorrelationResult:
    rng = np.random.default_rng(5)
    values: dict[str, Any] = {
        "lags": np.array([1, 2, 4, 8]),
        "pairs": np.array([100, 99, 97, 2**63 + 5], dtype=np.uint64),
        "norm": rng.random(4),
        "norm_low": rng.random(4),
        "norm_high": rng.random(4) + 1,
        "norm_sequential": np.array([0.1, np.nan, 0.3, 0.4]),
        "noise_floor": rng.random(4) * 1e-300,
        "singular_values": rng.random((4, 3)),
        "valid": np.array([True, True, False, True]),
        "crossing_share": np.linspace(0, 1, 4),
        "beta": make_exponent(),
        "beta_sequential": Exponent.refused("no lags", method="OLS"),
    }
    return CorrelationResult(**(values | changes))


def make_entropies(**changes: Any) -> EntropyResult:
    values: dict[str, Any] = {
        "context": np.arange(3),
        "targets": np.array([10, 9, 8], dtype=np.uint64),
        "distinct": np.array([1, 5, 7], dtype=np.uint64),
        "plug_in": np.array([6.5, 4.1, np.nan]),
        "held_out": np.array([6.6, 4.5, 4.4]),
        "resolved": np.array([True, True, False]),
        "learning_curve": LearningCurve(
            tokens=np.array([10, 100]), held_out=np.array([[7.0, 6.0, np.nan], [6.6, 4.5, 4.4]])
        ),
        "gamma": Exponent.refused("2 resolved contexts, 3 needed", method="raw"),
        "gamma_finite": make_exponent(),
        "discounts": ({"context": 1, "values": [0.5, 1.0]},),
        "held_out_tokens": 12,
    }
    return EntropyResult(**(values | changes))


def make_run() -> RunResult:
    return RunResult(
        corpus={"path": "x", "tokens": 100, "nested": {"a": [1, 2.5, None]}},
        settings={"lags": [1, 2]},
        provenance={"version": "0", "seconds": 0.1},
        correlations=make_correlations(),
        entropies=make_entropies(),
        prediction=Prediction(
            alpha=Exponent.refused("gamma: none", method="gamma/(2 beta)"),
            alpha_finite=make_exponent(),
            gates=(Gate(name="fast", passed=None, meaning="unknown"),),
            horizon=(HorizonPoint(tokens=1e9, lag=12.5, low=11, high=14, extrapolated=True),),
            threshold=(ThresholdPoint(lag=1, tokens=640.0), ThresholdPoint(lag=2)),
            kappa=0.24,
        ),
    )


def test_round_trip_is_exact(tmp_path: Path) -> None:
    run = make_run()
    run.save(tmp_path / "run.json")
    back = RunResult.load(tmp_path / "run.json")
    assert back == run
    assert back.correlations is not None
    assert run.correlations is not None
    np.testing.assert_array_equal(back.correlations.norm, run.correlations.norm)
    np.testing.assert_array_equal(
        back.correlations.norm_sequential, run.correlations.norm_sequential
    )
    assert int(back.correlations.pairs[-1]) == 2**63 + 5
    assert back.correlations.singular_values is not None
    assert back.correlations.singular_values.shape == (4, 3)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_every_finite_float_survives_json(values: list[float]) -> None:
    n = len(values)
    result = make_correlations(
        lags=np.arange(1, n + 1),
        pairs=np.ones(n, dtype=np.uint64),
        norm=np.array(values),
        norm_low=None,
        norm_high=None,
        norm_sequential=None,
        noise_floor=np.zeros(n),
        singular_values=None,
        valid=np.ones(n, dtype=bool),
        crossing_share=None,
    )
    text = json.dumps(result.to_dict(), allow_nan=False)
    back = CorrelationResult.from_dict(json.loads(text))
    assert back.norm.tobytes() == result.norm.tobytes()


def test_not_computed_is_null() -> None:
    data = make_run().to_dict()
    json.dumps(data, allow_nan=False)
    assert data["correlations"]["norm_sequential"][1] is None
    assert data["correlations"]["norm_crossfit"] is None
    assert data["entropies"]["learning_curve"]["held_out"][0][2] is None
    assert data["entropies"]["gamma"]["value"] is None
    assert make_exponent(value=math.nan, reportable=False, reason="x").value is None


def test_contract_field_names() -> None:
    data = make_run().to_dict()
    assert set(data) == {
        "schema", "corpus", "settings", "provenance", "correlations", "entropies", "prediction",
        "answer", "forecast", "forecast_backtests", "model_size",
    }  # fmt: skip
    assert set(data["correlations"]) >= {
        "lags", "pairs", "norm", "norm_sequential", "composition_norm", "norm_crossfit",
        "noise_floor", "frobenius", "singular_values", "residual", "valid", "beta",
        "beta_sequential",
    }  # fmt: skip
    assert set(data["entropies"]) >= {
        "context", "plug_in", "miller_madow", "held_out_kneser_ney", "held_out", "limit",
        "limit_low", "limit_high", "resolved", "learning_curve", "gamma", "gamma_finite",
    }  # fmt: skip
    assert set(data["prediction"]) >= {"alpha", "alpha_finite", "gates", "horizon", "threshold"}
    assert set(data["correlations"]["beta"]) == {
        "value", "low", "high", "level", "window", "points", "method", "reportable", "reason",
        "alternatives", "weights", "parts",
    }  # fmt: skip
    assert data["correlations"]["beta"]["window"] == [1, 32]


def test_alternatives_are_flat_objects_with_a_kind() -> None:
    data = make_exponent().to_dict()["alternatives"]
    assert data == [
        {
            "kind": "single_law", "method": "single", "value": 0.3, "low": None, "high": None,
            "window": [1, 64], "points": None, "parts": None, "r2": 0.9, "reason": None,
        }
    ]  # fmt: skip
    assert make_exponent().alternatives_of(AlternativeKind.SECOND_STAGE) == ()


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("second stage", "second_stage"),
        ("leave-one-lag-out jackknife interval", "lag_jackknife"),
        ("shifted: H_n = H_inf + A n^-gamma, profile interval", "shifted"),
        ("seen 5 to 300 times", "frequency_window"),
        ("OLS of log loss on log P, raw (H_inf = 0), first 3 points", "first_points"),
        ("OLS of log loss on log P, above the known limit 0.05, all sizes", "all_sizes"),
        ("something else", "other"),
    ],
)
def test_kinds_of_earlier_runs_are_read_from_their_wording(method: str, kind: str) -> None:
    data = make_exponent().to_dict()
    data["alternatives"] = [{"method": method, "value": 0.3, "entropy_rate": 1.5}]
    (other,) = Exponent.from_dict(data).alternatives
    assert other.kind == kind
    assert other.entropy_rate == 1.5


def test_arrays_are_copied_and_read_only() -> None:
    norm = np.ones(4)
    result = make_correlations(norm=norm)
    norm[0] = 7
    assert result.norm[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        result.norm[0] = 2


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"norm": np.ones(3)}, "norm: has length 3, but lags has 4"),
        ({"norm": np.ones((4, 1))}, "dimension"),
        ({"singular_values": np.ones((3, 2))}, "singular_values"),
        ({"lags": np.array([1, 2, 2, 3])}, "increasing"),
        ({"lags": np.array([0, 1, 2, 3])}, "at least 1"),
        ({"lags": np.array([1.0, 2.0, 3.0, 4.0])}, "int64"),
        ({"pairs": np.array([-1, 2, 3, 4])}, "does not fit uint64"),
        ({"valid": np.ones(4)}, "bool"),
        ({"norm": None}, "missing"),
        ({"norm": np.array(["a"] * 4)}, "float64"),
        ({"beta": {"value": 1}}, "needs Exponent"),
        ({"boundary": "page"}, "boundary"),
    ],
)
def test_bad_arrays_are_refused(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        make_correlations(**changes)


def test_learning_curve_columns_follow_contexts() -> None:
    curve = LearningCurve(tokens=np.array([10]), held_out=np.ones((1, 2)))
    with pytest.raises(InputError, match="2 columns"):
        make_entropies(learning_curve=curve)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"reportable": True, "low": None}, "needs value, low and high"),
        ({"reportable": False}, "needs a reason"),
        ({"low": 2.0}, "above"),
        ({"level": 1.0}, "level"),
        ({"window": (3, 1)}, "above its high"),
        ({"alternatives": ({"value": 1.0},)}, "needs Alternative"),
    ],
)
def test_exponent_invariants(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        make_exponent(**changes)


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        (("surprise",), 1, "unknown field"),
        (("schema",), "ngramstat.run/2", "schema"),
        (("correlations", "norm"), [1.0], "length 1"),
        (("correlations", "norm"), [True, 1, 1, 1], "number"),
        (("correlations", "norm"), "abcd", "list"),
        (("correlations", "norm"), [10**400, 1, 1, 1], "too large"),
        (("correlations", "norm"), [math.inf, 1, 1, 1], "finite"),
        (("correlations", "lags"), [1, 2, 3, 2**63], "int64"),
        (("correlations", "lags"), [1, 2, 3, None], "int"),
        (("correlations", "singular_values"), [[1.0], [1.0, 2.0], [1.0], [1.0]], "lengths"),
        (("correlations", "beta", "reportable"), 1, "bool"),
        (("correlations", "beta", "alternatives"), {}, "list"),
        (("correlations", "beta", "alternatives"), [{"value": 1.0}], "'method' is missing"),
        (("correlations", "beta", "alternatives"), [{"method": "m", "kind": "new"}], "one of"),
        (("correlations", "beta", "alternatives"), [{"method": "m", "extra": 1}], "name of a"),
        (("correlations", "beta", "window"), [1, 2, 3], "two numbers"),
        (("entropies", "held_out_tokens"), 1.5, "int"),
        (("corpus",), [], "object"),
        (("prediction",), 3, "object"),
    ],
)
def test_malformed_objects_are_refused(path: tuple[str, ...], value: Any, match: str) -> None:
    data = make_run().to_dict()
    node = data
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(InputError, match=match):
        RunResult.from_dict(data)


def test_missing_field_and_deep_nesting_are_refused() -> None:
    data = make_run().to_dict()
    del data["correlations"]["norm"]
    with pytest.raises(InputError, match="'norm' is missing"):
        RunResult.from_dict(data)
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(InputError, match="deeply"):
        RunResult.from_dict(make_run().to_dict() | {"settings": deep})


def test_load_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text('{"schema": "other"}', encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.json"):
        RunResult.load(path)


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def _paths(node: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    result = [here] if here else []
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in items:
        if isinstance(child, dict | list):
            result += _paths(child, (*here, key))
        else:
            result.append((*here, key))
    return result


_GOOD = make_run().to_dict()
_PATHS = _paths(_GOOD)


@settings(max_examples=400)
@given(st.sampled_from(_PATHS), _JUNK)
def test_fuzzed_objects_load_or_raise_input_error(path: tuple[Any, ...], junk: Any) -> None:
    data = copy.deepcopy(_GOOD)
    node: Any = data
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = junk
    try:
        result = RunResult.from_dict(data)
    except InputError:
        return
    json.dumps(result.to_dict(), allow_nan=False)
    assert RunResult.from_dict(result.to_dict()) == result


@given(_JUNK)
def test_junk_is_refused(junk: Any) -> None:
    with pytest.raises(InputError):
        RunResult.from_dict(junk)


def test_html_is_escaped() -> None:
    run = RunResult(
        corpus={"path": "<script>alert(1)</script>"},
        settings={},
        provenance={},
        correlations=make_correlations(
            beta=Exponent.refused("<b>no</b>", method="<i>OLS</i>"),
        ),
    )
    html = run._repr_html_()
    assert "<script>" not in html
    assert "&lt;b&gt;no" in html
    assert "<i>" not in run.correlations.beta._repr_html_()  # type: ignore[union-attr]
    assert "norm_low" in make_correlations()._repr_html_()
    assert "held_out" in make_entropies()._repr_html_()


def test_repr_is_readable() -> None:
    assert repr(make_exponent()) == (
        "Exponent: 0.300 [0.250, 0.333] at 95%, window 1..32, 9 points\n"
        "  method: OLS\n"
        "  reportable: yes\n"
        "  or 0.300, window 1..64: single"
    )
    assert "NOT reportable: because" in repr(Exponent.refused("because", method="m"))
    assert "alpha_finite" in repr(make_run())
    assert "4 lags" in repr(make_correlations())
    assert "3 contexts" in repr(make_entropies())


def test_pandas_tables() -> None:
    pytest.importorskip("pandas")
    frame = make_correlations().to_pandas()
    assert list(frame["lag"]) == [1, 2, 4, 8]
    assert "norm_crossfit" not in frame
    assert make_run().to_pandas()["exponent"].iloc[0] == "beta"
    assert len(make_exponent().to_pandas()) == 2


def test_missing_pandas_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from ngramstat.errors import NgramstatError

    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(NgramstatError, match=r"ngramstat\[pandas\]"):
        make_correlations().to_pandas()


def test_equality_is_by_content() -> None:
    assert make_correlations() == make_correlations()
    assert make_correlations() != make_correlations(boundary="document")
    assert make_correlations() != make_exponent()


def test_results_without_a_figure_have_no_plot():
    run = make_run()
    with pytest.raises(InputError, match="has no figure"):
        ngramstat.plot(run.correlations.beta)
    assert not hasattr(run.correlations.beta, "plot")
    with pytest.raises(InputError, match="figure of its own"):
        run.plot(object())


def test_brackets_of_older_files_are_left_out():
    """They were narrowed by extrapolated limits."""
    data = make_entropies().to_dict()
    for name in ("low", "high", "estimate", "held_out_copies", "copy_tokens"):
        del data[name]
    for name in ("limit", "limit_low", "limit_high"):
        data["learning_" + name.removeprefix("limit_")] = data[name] = [1.0, 2.0, 3.0]
    data["tokens_needed"] = [None, 1e9, None]
    data["resolved"] = [True, True, False]
    old = EntropyResult.from_dict(data)
    assert old.limit.tolist() == [1.0, 2.0, 3.0]
    assert old.low is None
    assert old.high is None
    assert not old.resolved.any()
    assert EntropyResult.from_dict(old.to_dict()) == old
