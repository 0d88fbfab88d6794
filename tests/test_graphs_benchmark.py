"""The benchmark of walks on graphs, on tiny cases: what it measures, resumes and reports."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from benchmarks.graphs import __main__ as command
from benchmarks.graphs import curves, models, refusals
from benchmarks.graphs.cases import CASES, Case
from benchmarks.graphs.curves import learning_curve, power_law
from benchmarks.graphs.report import markdown

TINY = Case("tiny", "Erdős–Rényi", 2, {"nodes": 60, "edges": 200}, (6, 13), 2, models=False)


def test_power_laws_are_fitted_where_something_is_being_learned():
    tokens = 2.0 ** np.arange(4, 20)
    curve = np.minimum(2.0, 40 * tokens**-0.5) + 1e-3
    fit = power_law(tokens, np.array([curve, 1.01 * curve]))
    assert fit["exponent"] == pytest.approx(0.5, abs=0.01)
    assert fit["low"] <= fit["exponent"] <= fit["high"]
    flat = power_law(tokens, np.ones((2, 16)))
    assert flat["exponent"] is None


def test_losses_of_the_counted_learner_fall_to_the_entropy_rate(monkeypatch):
    monkeypatch.setattr(curves, "_SEEDS", 2)
    monkeypatch.setattr(curves, "_HELD_OUT", 20_000)
    curve = learning_curve(TINY, None)
    mean = np.mean(curve["excess"], axis=0)
    assert np.all(np.diff(mean) < 0.1)
    assert 0 < mean[-1] < 0.1 * mean[0]
    assert curve["exponent"] > 0.2


def test_draws_are_kept_and_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(refusals, "_TOKENS", 40_000)
    monkeypatch.setattr(command, "CASES", [TINY])
    arguments = ["graphs", "--work", str(tmp_path), "--steps", "refusals", "--only", "tiny"]
    monkeypatch.setattr("sys.argv", [*arguments, "--draws", "1"])
    pytest.importorskip("matplotlib")
    command.main()
    kept = tmp_path / "refusals" / "tiny" / "0.json"
    assert not any(json.loads(kept.read_text())["reported"].values())
    page = (tmp_path / "report" / "graphs.md").read_text()
    assert "| tiny | 1 | 100 % | 100 % | 100 % | 100 % |" in page
    # A second call measures nothing again.
    monkeypatch.setattr(command, "measure_draw", None)
    command.main()


@pytest.mark.nightly
def test_a_transformer_learns_the_same_source(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(models, "_SIZES", (256, 512, 1024))
    monkeypatch.setattr(models, "_HELD_OUT", 512)
    monkeypatch.setattr(models, "_TUNING", 256)
    monkeypatch.setattr(models, "_DRAWN", 20_000)
    case = dataclasses.replace(TINY, graph={"nodes": 20, "edges": 40})
    curve = models.model_curve(case, None, tmp_path, 1e6)
    excess = np.array(curve["excess"])
    assert excess.shape == (2, 3)
    assert curve["left_out"] == []
    assert excess[:, -1].max() < excess[:, 0].min()
    page = markdown([curve], [curve], [])
    assert "gpt2-rotary" in page


def test_every_case_has_a_name_of_its_own_and_six_kinds():
    assert len({case.name for case in CASES}) == len(CASES)
    assert len({case.family for case in CASES}) == 6
    assert markdown([], [], []).startswith("# Exponents")


@pytest.mark.nightly
def test_exponents_are_refused_in_nearly_all_draws():
    for case in CASES:
        if case.graph and case.graph["nodes"] == 1000:
            reported = [refusals.measure_draw(case, None, draw)["reported"] for draw in range(40)]
            # Two of 40 are 95 %.
            for name in refusals.EXPONENTS:
                assert sum(r[name] for r in reported) <= 2, (case.name, name)
