"""The prediction in the summary, the collapse figure, and the command with its options."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ngramstat.cli import main
from ngramstat.prediction.collapse import collapse
from ngramstat.prediction.predict import predict
from ngramstat.report.summary import summarize
from ngramstat.report.text import WIDTH
from ngramstat.results import Collapse, ContextPoint, CurveTable, RunResult
from test_prediction import learned_curves
from test_report import planted_correlations, planted_entropies, planted_run

LIMITS = 4 * np.arange(1, 5) ** -0.3


def full_run() -> RunResult:
    correlations, entropies = planted_correlations(two_stages=True), planted_entropies()
    prediction = predict(
        correlations,
        entropies,
        tokens=[10.0, 1e6, 1e9, 1e12],
        losses=[(1e8, 3.5), (1e9, 3.2), (1e10, 3.0)],
        context=512,
        curves=learned_curves(0.4, LIMITS, noise=0.002),
    )
    return planted_run(correlations=correlations, entropies=entropies, prediction=prediction)


def test_a_full_run_survives_saving_and_loading(tmp_path: Path) -> None:
    run = full_run()
    run.save(tmp_path / "run.json")
    assert RunResult.load(tmp_path / "run.json") == run
    data: dict[str, Any] = json.loads((tmp_path / "run.json").read_text())["prediction"]
    assert set(data["loss_curve"][0]) == {"tokens", "loss", "low", "high", "reportable", "reason"}
    assert set(data["context_length"][0]) >= {"tokens", "low", "high"}
    assert {c["source"] for c in data["collapse"]} == {"imported"}
    assert data["curves"]["context"] == [1, 2, 3, 4]
    assert [s["stage"] for s in data["stage"]] == [s.stage for s in run.prediction.stage]
    old = {k: v for k, v in data.items() if k in ("alpha", "alpha_finite", "gates")}
    assert type(run.prediction).from_dict(old).loss_curve == ()  # files of before these fields


def test_summary_shows_the_prediction_and_its_caveats() -> None:
    text = summarize(full_run())
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    flat = " ".join(text.split())
    for part in (
        "context worth training at 10 tokens: none",
        "context worth training at 1 G tokens: between",
        "first stage beta",
        "second stage beta",
        "expected losses, 3 measured ones continued by",
        "1 T tokens:",
        "collapse of user curves, raw (H_inf 0)",
        "CURVES losses of your models",
        "passed fast learning",
        "finite: from the losses at 128 M tokens",
    ):
        assert part in flat, part
    assert "512 tokens" in flat
    plain = summarize(planted_run())
    assert "CURVES" not in plain
    assert "expected losses" not in plain


def test_a_horizon_beyond_the_measured_lags_is_marked() -> None:
    flat = " ".join(summarize(full_run()).split())
    for start in ("1 G tokens resolve", "1 T tokens resolve"):
        line = flat[flat.index(start) :][:90]
        assert "extrapolated" in line or "at least" in line


@pytest.mark.parametrize(
    ("low", "high", "at_least", "words"),
    [
        (4.0, 4.0, True, ": at least 4 tokens"),
        (4.0, 4.0, False, ": 4 tokens; beyond"),
        (2.0, 9.0, False, ": between 2 and 9 tokens; beyond"),
        (2.0, 9.0, True, ": between 2 and 9 or more tokens"),
        (None, 9.0, False, ": at most 9 tokens; beyond"),
        (None, 3.69, True, ": unknown; from less than the first lag to 3.69 or more tokens"),
    ],
)
def test_ends_of_the_useful_context_that_are_not_known(
    low: float | None, high: float, at_least: bool, words: str
) -> None:
    run = full_run()
    point = ContextPoint(tokens=1e9, low=low, high=high, limit=high, at_least=at_least)
    prediction = replace(run.prediction, context_length=(point,))
    flat = " ".join(summarize(replace(run, prediction=prediction)).split())
    assert f"context worth training at 1 G tokens{words}" in flat


def test_collapse_figure_shows_the_curves_and_the_grid(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from ngramstat.report.collapse import plot_collapse

    table = learned_curves(0.4, LIMITS, noise=0.01)
    with_unigram = CurveTable(
        context=np.concatenate([[0, 0, 0], table.context]),
        tokens=np.concatenate([[1e6, 2e6, 4e6], table.tokens]),
        loss=np.concatenate([[7.0, 7.0, 7.0], table.loss]),
        error=np.concatenate([[np.nan] * 3, table.error]),
        replicates=np.ones(len(table.context) + 3, dtype=np.int64),
    )
    for rate in (0.0, 0.5):
        result = collapse(
            with_unigram.context, with_unigram.tokens, with_unigram.loss, 0.3, 0.9,
            entropy_rate=rate,
        )  # fmt: skip
        assert isinstance(result, Collapse)
        figure = plot_collapse(with_unigram, result)
        before, after, grid = figure.axes[:3]
        labels = before.get_legend_handles_labels()[1]
        assert set(labels) == {*(f"context {n}" for n in range(1, 5)), "left out"}
        assert "tokens" in before.get_xlabel()
        assert "nats" in before.get_ylabel()
        assert ("0.5" in after.get_ylabel()) == (rate == 0.5)
        names = {"the estimate", "where the curves are nearest"}
        assert set(grid.get_legend_handles_labels()[1]) == names
        assert len(after.containers) == 4  # error bars of every context
        figure.savefig(tmp_path / "collapse.png")
        assert (tmp_path / "collapse.png").stat().st_size > 10_000


def command(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    assert "Traceback" not in result.output
    return result.stdout if code == 0 else result.stderr.strip()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "run.json"
    planted_run(prediction=None).save(path)
    return path


def test_predict_takes_losses_context_and_curves(saved: Path, tmp_path: Path) -> None:
    curves = tmp_path / "curves.csv"
    table = learned_curves(0.4, LIMITS)
    rows = zip(table.context, table.tokens, table.loss, strict=True)
    curves.write_text("context,tokens,loss\n" + "".join(f"{n},{p},{y}\n" for n, p, y in rows))
    out = command(
        "predict", saved, "--tokens", "1e8,1e12", "--loss", "1e8:3.5", "--loss", "1e9:3.2",
        "--context", "1024", "--curves", curves, "--json",
    )  # fmt: skip
    result = json.loads(out)["prediction"]
    assert [p["tokens"] for p in result["loss_curve"]] == [1e8, 1e12]
    assert result["loss_curve"][0]["loss"] == pytest.approx(3.5)
    assert result["loss_fit"]["loss"] == [3.5, 3.2]
    np.testing.assert_allclose(result["curves"]["limit"], LIMITS, atol=1e-3)
    gates = {g["name"]: g for g in result["gates"]}
    assert gates["horizon inside the context"]["threshold"] == 512
    assert "CURVES" in command("predict", saved, "--curves", curves, "--full")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--loss", "3.5"], ["'3.5'", "TOKENS:LOSS"]),
        (["--loss", "1e8:3.5"], ["1 measured loss", "2 needed"]),
        (["--loss", "1e8:3.5", "--loss", "1e8:3.4"], ["two losses at 1e+08"]),
        (["--loss", "1e8:-1", "--loss", "1e9:3"], ["positive", "-1"]),
        (["--loss", "nan:1", "--loss", "1e9:3"], ["nan"]),
        (["--context", "0"], ["--context"]),
        (["--curves", "no-such.csv"], ["no-such.csv"]),
        (["--curves", "BAD"], ["bad.csv", "line 2", "loss 'x'"]),
    ],
)
def test_bad_options_get_one_line(saved: Path, tmp_path: Path, arguments, words) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("context,tokens,loss\n1,2,x\n")
    message = command("predict", saved, *(bad if a == "BAD" else a for a in arguments), code=2)
    assert message.startswith("Error: ")
    assert len(message.splitlines()) == 1
    for word in words:
        assert word in message
