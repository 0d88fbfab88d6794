"""`ngramstat theories solvable` and `one-third`: what they compute, show and refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ngramstat.errors import InputError
from ngramstat.report.one_third import one_third_chart, summarize_one_third
from ngramstat.report.solvable import (
    BEST_RATIO,
    FOLLOWS,
    solvable_chart,
    summarize_solvable,
)
from ngramstat.results import SpectrumTable, TheoriesResult
from ngramstat.results.one_third import OneThirdResult
from ngramstat.results.solvable import SolvableResult
from ngramstat.theories.feature_study import study_features
from ngramstat.theories.one_third import (
    TeacherStudent,
    _divergence,
    _log_softmax,
    measure_one_third,
    train_student,
)
from test_cli import error, run


def small(**options) -> SolvableResult:
    lam = (4.0 + np.arange(1, 17)) ** -1.5
    return study_features(lam, features=64, draws=2, **options)


def test_the_study_of_a_spectrum():
    result = small(maps=("linear", "relu"), source="a test")
    linear, relu = result.maps
    assert linear.off is None
    assert linear.spectrum.simulated[-1] == linear.spectrum.planar[-1] == 0.0
    assert relu.off < 0.25
    assert 0 < relu.slope < 2
    # Losses fall with samples but for the peak, and with the best ridge always.
    for one in result.maps:
        assert np.all(np.diff(one.losses.best_ridge) < 0)
        assert one.losses.simulated.max() > 1.5 * one.losses.best_ridge.max()
        for split in one.splits:
            assert 1 / 1.3 < split.ratio < 1.3
            assert split.simulated[2] == pytest.approx(split.loss, rel=0.1)
    assert (len(linear.splits), len(relu.splits)) == (0, 3)
    # Once both numbers exceed that of the latents, only the linear map has learned all.
    assert linear.growth[-1] < 1e-6
    assert relu.growth[-1] > 0.01
    assert SolvableResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    text = summarize_solvable(result)
    assert "none beyond" in text
    assert "as many features as samples" in text
    assert max(map(len, text.splitlines())) <= 100
    assert len(solvable_chart(result).panels) == 4


def test_the_solvable_command(tmp_path):
    panel = TheoriesResult(
        corpus={}, provenance={}, rows=(),
        spectra=(SpectrumTable(of="covariance of one-hot tokens", index=np.arange(1, 41),
                               value=np.arange(1, 41) ** -1.2),),
    )  # fmt: skip
    panel.save(tmp_path / "theories.json")
    options = ["--latents", 8, "--features", 32, "--draws", 2, "--map", "relu", "--quiet"]
    figure = tmp_path / "figure.svg"
    done = run("theories", "solvable", *options, "--run", tmp_path, "--json", "--figure", figure)
    data = json.loads(done.stdout)
    assert data["settings"]["source"].startswith("the 8 most frequent tokens of ")
    assert data["decay"] == pytest.approx(1.2)
    assert figure.read_text().startswith("<?xml")
    shown = run("theories", "solvable", *options, "-o", tmp_path / "out.json").stdout
    assert "variances (I + 8)^-1.5" in shown
    assert SolvableResult.load(tmp_path / "out.json").settings["latents"] == 8
    for given, message in (
        (["--run", tmp_path, "--alpha", 1], "leave them out with --run"),
        (["--run", tmp_path / "none"], "`ngramstat theories"),
        (["--run", tmp_path, "--latents", 60, "--features", 200], "no spectrum of 60 tokens"),
        (["--latents", 20], "more than twice the 20 latents"),
        (["--figure", "a.gif"], "ends in .svg"),
    ):
        assert message in error("theories", "solvable", *options, *given)


def test_the_gradient_of_the_divergence():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 4)).astype(np.float32)
    teacher, student = (rng.standard_normal((2, 4, 6))).astype(np.float32)
    loss, gradient = _divergence(x, teacher, student)
    p, q = (np.exp(_log_softmax(x @ w)) for w in (teacher, student))
    assert loss == pytest.approx(np.mean(np.sum(p * np.log(p / q), axis=1)), rel=1e-5)
    moved = student.copy()
    moved[1, 2] += 1e-2
    back = student.copy()
    back[1, 2] -= 1e-2
    slope = (_divergence(x, teacher, moved)[0] - _divergence(x, teacher, back)[0]) / 2e-2
    assert gradient[1, 2] == pytest.approx(slope, abs=1e-3)


def test_a_student_learns_its_teacher():
    for optimizer, rate in (("sgd", 30.0), ("adam", 0.02)):
        setup = TeacherStudent(
            inputs=4, vocab_size=8, temperature=0.5, optimizer=optimizer, rate=rate / 8,
            batch=256, steps=400,
        )  # fmt: skip
        trained = train_student(setup)
        assert trained.losses[-1] < 0.2 * trained.losses[0]
        assert 1 < trained.scale[-1] < 2.5  # the teacher's is 2
        assert trained.rate_sum[-1] == pytest.approx(rate / 8 * 400, rel=0.1)
        again = train_student(setup)
        np.testing.assert_array_equal(trained.losses, again.losses)


@pytest.mark.nightly
def test_the_bars_of_the_solvable_model():
    """The spectrum follows theory within 5 %, and budgets are best spent on N = T within 1.3."""
    result = study_features((8.0 + np.arange(1, 65)) ** -1.5, draws=12)
    assert [one.off is None or one.off < FOLLOWS for one in result.maps] == [True] * 3
    for one in result.maps:
        assert len(one.splits) == 3
        for split in one.splits:
            assert 1 / BEST_RATIO < split.ratio < BEST_RATIO
            assert 1 / BEST_RATIO < split.simulated_ratio < BEST_RATIO


@pytest.mark.nightly
def test_the_loss_of_a_student_falls_with_one_third():
    """Gradient descent from zero, over the last two decades of the summed learning rate."""
    result = measure_one_third(TeacherStudent())
    assert result.law_holds
    assert result.exponent.reportable
    assert result.exponent.value == pytest.approx(1 / 3, abs=0.02)


def test_the_one_third_command(tmp_path):
    options = ["--steps", 200, "--batch", 32, "--quiet"]
    output, figure = tmp_path / "out.json", tmp_path / "a.png"
    done = run("theories", "one-third", *options, "--rate", 10, "-o", output, "--figure", figure)
    assert "ONE-THIRD LAW" in done.stdout
    assert figure.stat().st_size > 1000
    result = OneThirdResult.load(output)
    assert result.settings["optimizer"] == "sgd"
    assert max(map(len, summarize_one_third(result).splitlines())) <= 100
    assert len(one_third_chart(result).panels) == 2
    data = json.loads(
        run("theories", "one-third", *options, "--optimizer", "adam", "--json").stdout
    )
    assert data["settings"]["rate"] == pytest.approx(0.003)
    assert not data["law_holds"]
    assert "too large" in error("theories", "one-third", *options, "--rate", 1e5)
    with pytest.raises(InputError, match="needs one of sgd, adam"):
        TeacherStudent(optimizer="lion")
    with pytest.raises(InputError, match="positive"):
        TeacherStudent(rate=-1.0)
