"""Forecasts of losses: the three routes, their bands, and the law of model size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import forecast as benchmark
from ngramstat.api import predict_run
from ngramstat.cli import main
from ngramstat.errors import InputError
from ngramstat.exponents.loss_extrapolation import Expected, extrapolated_losses
from ngramstat.exponents.model_size import model_size_law
from ngramstat.prediction.curve_files import read_curves, read_model_sizes
from ngramstat.prediction.forecast import Forecast, forecast
from ngramstat.prediction.forecast_routes import local_slope
from ngramstat.prediction.horizon_loss import (
    LEARNER_FACTOR,
    SHARPNESS,
    Entropies,
    TextHorizons,
    bounded_entropies,
    expected_log_losses,
    part_beyond,
    read_entropies,
    text_horizons,
)
from ngramstat.prediction.learner_curves import LearnerCurves
from ngramstat.report.forecast import forecast_lines
from ngramstat.report.text import WIDTH
from ngramstat.results import (
    Answer,
    CorrelationResult,
    CurveTable,
    EntropyResult,
    Exponent,
    ForecastPoint,
    LearningCurve,
    Rung,
    RunResult,
)
from test_prediction import planted

LAGS = np.array([1, 2, 4, 8, 16, 32, 64, 128])
KAPPA = 0.3
GAMMA = 0.32


def norms(lags: np.ndarray) -> np.ndarray:
    return 0.02 * np.asarray(lags, dtype=float) ** -0.85


def open_horizons(contexts: int = 64) -> TextHorizons:
    """Documents without ends."""
    return text_horizons(
        LAGS, norms(LAGS), KAPPA, contexts, document_lags=LAGS, crossing=np.zeros(len(LAGS))
    )


# --- losses from the text ----------------------------------------------------------------------


def test_thresholds_continue_beyond_the_last_lag_and_never_fall():
    horizons = open_horizons(512)
    n = np.arange(1, 513)
    np.testing.assert_allclose(np.exp(horizons.log_tokens), (KAPPA / norms(n)) ** 2, rtol=1e-9)
    assert horizons.last_lag == 128
    peaked = norms(LAGS)
    peaked[3] *= 3
    with_peak = text_horizons(
        LAGS, peaked, KAPPA, 512, document_lags=LAGS, crossing=np.zeros(len(LAGS))
    )
    assert np.all(np.diff(with_peak.log_tokens) >= 0)


def test_expected_loss_is_the_sum_over_positions_and_drops():
    """Against loops: every position has learned part of every drop that it reaches."""
    horizons = open_horizons()
    curve = np.append(6.0, 3.5 * np.arange(1, 65) ** -GAMMA)
    entropies = Entropies(curve[None], np.zeros(1), "exact")
    for tokens, first, last in ((1e5, 1, 64), (1e8, 0, 20), (1e6, 7, 7)):
        losses = []
        for position in range(first, last + 1):
            loss = curve[0]
            for n in range(1, position + 1):
                ratio = tokens / LEARNER_FACTOR * (norms(np.array(n)) / KAPPA) ** 2
                loss -= (curve[n - 1] - curve[n]) / (1 + ratio**-SHARPNESS)
            losses.append(loss)
        found = np.exp(expected_log_losses(horizons, entropies, [tokens], first=first, last=last))
        assert found[0, 0, 0] == pytest.approx(np.mean(losses), rel=1e-9)
    few, many = np.exp(expected_log_losses(horizons, entropies, [1e-9, 1e30]))[0, 0]
    assert few == pytest.approx(6.0, rel=1e-4)
    assert many == pytest.approx(curve[1:].mean(), rel=1e-6)


def test_entropies_stay_inside_their_brackets_and_hold_the_truth():
    n = np.arange(6)
    truth = np.append(6.0, 3.5 * n[1:] ** -GAMMA)
    spread = 1 + np.array([0.0, 0.0, 0.03, 0.1, 0.2, 0.3])
    horizons = open_horizons()
    found = bounded_entropies(n, truth / spread**2, truth * spread, horizons, "counts")
    middle = found.curves[9:18]  # between the ends of H_1, here all the same
    assert np.all(found.curves[:, 2:6] <= (truth * spread)[2:] * (1 + 1e-9))
    assert np.all(found.curves[:, 2:6] >= (truth / spread**2)[2:] * (1 - 1e-9))
    at_64 = 3.5 * 64**-GAMMA
    assert found.curves[:, 64].min() < at_64 < found.curves[:, 64].max()
    assert np.all(np.diff(middle, axis=1) <= 0)
    for missing in (n[1:], n[[0, 2, 3]], n[:2]):
        assert bounded_entropies(missing, truth[missing], truth[missing], horizons, "x") is None
    with pytest.raises(InputError, match="one length"):
        bounded_entropies(n, truth, truth[1:], horizons, "x")


def test_a_reader_is_followed_and_continued_and_documents_end_the_gain():
    n = np.array([1, 2, 3, 4, 6, 8, 12, 16])
    reader = 3.5 * n**-GAMMA
    found = read_entropies(n, reader, 6.0, open_horizons(), "reader")
    np.testing.assert_allclose(found.curves[0, n], reader, rtol=1e-9)
    assert found.curves[0, 64] == pytest.approx(3.5 * 64**-GAMMA, rel=1e-6)
    assert np.all(found.curves[:, 64] <= found.curves[0, 64])  # it may hide a smaller entropy
    short = text_horizons(
        LAGS, norms(LAGS), KAPPA, 64, document_lags=[8, 16, 32, 64],
        crossing=[0.0, 0.0, 0.9, 1.0],
    )  # fmt: skip
    ended = read_entropies(n, reader, 6.0, short, "reader")
    assert ended.curves[0, 16] == pytest.approx(reader[-1])
    assert ended.curves[0, 64] > 0.95 * ended.curves[0, 32] > found.curves[0, 64]
    assert read_entropies(n[1:], reader[1:], 6.0, short, "x") is None


def test_what_rests_on_extrapolated_norms_grows_with_the_tokens():
    horizons = open_horizons(1024)
    entropies = bounded_entropies(
        np.arange(4), [6, 3.4, 2.5, 2], [6, 3.6, 3, 2.8], horizons, "counts"
    )
    parts = [part_beyond(horizons, entropies, p, 1024) for p in (1e5, 1e8, 1e11)]
    assert parts == sorted(parts)
    assert parts[0] < 0.01
    assert parts[2] > 0.1


def test_one_loss_about_expected_curves_finds_the_right_one():
    sizes, targets = np.array([1e6]), np.array([1e7, 1e9])
    slopes = np.array([0.1, 0.2, 0.3])
    levels = np.log(4 * (sizes / 1e4) ** -slopes[:, None])
    at_targets = np.log(4 * (targets / 1e4) ** -slopes[:, None])
    expected = Expected(levels, at_targets, np.zeros(3), level=0.01)
    band = extrapolated_losses(
        sizes, np.exp(levels[1]), targets, slope=(0.0, 0.01), expected=expected
    )
    np.testing.assert_allclose(band.loss, np.exp(at_targets[1]), rtol=0.02)
    assert np.all((band.low < np.exp(at_targets[1])) & (np.exp(at_targets[1]) < band.high))
    with pytest.raises(InputError, match="two or more"):
        extrapolated_losses(sizes, [4.0], targets)


def test_alpha_is_a_slope_over_a_range_of_tokens():
    value, error = local_slope(0.18, 0.01, np.array([1e6, 1e7, 1e8]))
    assert 0.14 < value < 0.18  # at the end of the range the slope has fallen
    assert error > 0.04
    assert local_slope(0.18, 0.01, np.array([1e8]))[0] == pytest.approx(0.18)


# --- published losses --------------------------------------------------------------------------


def test_one_constant_gives_published_losses_within_ten_per_cent():
    texts, curves = benchmark.load()
    # Those that the constant was chosen on, and one model that was trained afterwards.
    bars = [curve for curve in curves if curve.role in ("bar", "later")]
    assert len(bars) == 5
    for curve in bars:
        text = texts[curve.text]
        errors = benchmark.formula(curve, text, LEARNER_FACTOR, SHARPNESS)
        assert np.abs(errors).max() <= 0.10, curve.name
        band = benchmark.absolute(curve, text, text.line)
        assert np.all((band.low < curve.measured.losses) & (curve.measured.losses < band.high))


def test_later_published_losses_are_inside_the_bands():
    """What benchmarks/forecast.py prints, on the curves of the bars."""
    texts, curves = benchmark.load()
    found = [
        outcome
        for curve in curves
        if curve.role in ("bar", "later")
        for outcome in benchmark.outcomes(curve, texts[curve.text])
    ]
    for route in ("curves", "alpha", "fit"):
        for factor in (2, 4, 8):
            rows = [o for o in found if (o.route, o.factor) == (route, factor)]
            assert len(rows) >= 10
            assert np.mean([o.inside for o in rows]) >= 0.9, (route, factor)
    four = [abs(o.error) for o in found if (o.route, o.factor) == ("curves", 4)]
    assert np.median(four) <= 0.02


@pytest.mark.parametrize("parameters", benchmark.ANSATZ[:2])
def test_exact_curves_are_inside_the_bands(parameters):
    curve, text = benchmark.ansatz(*parameters)
    found = [o for o in benchmark.outcomes(curve, text) if o.sizes % 3 == 0]
    assert len(found) > 20
    assert np.mean([o.inside for o in found]) >= 0.9


# --- the forecast of a run ---------------------------------------------------------------------


def parts() -> tuple[CorrelationResult, EntropyResult]:
    n = len(LAGS)
    correlations = CorrelationResult(
        lags=LAGS,
        pairs=np.full(n, 2_000_000, dtype=np.uint64),
        norm=norms(LAGS),
        noise_floor=np.full(n, KAPPA / np.sqrt(2e6)),
        valid=np.ones(n, dtype=bool),
        beta=planted(0.85, 0.06),
        beta_sequential=planted(0.9, 0.06),
        crossing_share=np.linspace(0, 0.6, n),
    )
    context = np.arange(4)
    curve = np.array([6.0, 3.5, 2.8, 2.5])
    entropies = EntropyResult(
        context=context,
        targets=np.ones(4, dtype=np.uint64),
        distinct=np.ones(4, dtype=np.uint64),
        plug_in=curve,
        low=curve * [1, 0.98, 0.8, 0.6],
        high=curve * [1, 1.04, 1.15, 1.25],
        resolved=np.ones(4, dtype=bool),
        learning_curve=LearningCurve(
            tokens=31_250 * 2 ** np.arange(7),
            held_out=curve * (1 + 0.3 * 2.0 ** (-0.4 * np.arange(7)))[:, None],
        ),
        gamma=Exponent.refused("2 contexts resolved", method="m"),
        gamma_finite=planted(GAMMA, 0.003),
        training_tokens=2_000_000,
    )
    return correlations, entropies


def an_answer(**changes: object) -> Answer:
    rung = Rung(rung="counts", learner="counts", low=0.08, high=0.4, reportable=True)
    counted = Rung(rung="counted", learner="c", alpha=0.06, low=0.04, high=0.08, reportable=True)
    return replace(Answer(low=0.08, high=0.4, reportable=True, rungs=(rung, counted)), **changes)


def by_route(found: Forecast, tokens: float) -> dict[str, ForecastPoint]:
    return {p.route: p for p in found.points if p.tokens == tokens}


def test_without_losses_the_counted_learner_and_the_text_are_named():
    found = forecast(*parts(), tokens=[4e6, 1e9], answer=an_answer())
    assert [p.tokens for p in found.points] == [4e6] * 3 + [1e9] * 3
    near, far = by_route(found, 4e6), by_route(found, 1e9)
    assert all(p.low < p.loss < p.high for p in found.points)
    assert "counted learner" in near["fit"].learner
    assert near["alpha"].learner == near["fit"].learner
    assert "yet to be trained" in near["curves"].learner
    assert far["curves"].loss < near["curves"].loss
    assert far["curves"].change < near["curves"].change < 0
    assert far["curves"].high / far["curves"].low > near["curves"].high / near["curves"].low
    assert "500 times the largest" in far["fit"].reason
    assert not far["fit"].reportable
    assert near["fit"].reportable
    for points in (near, far):
        assert [p.route for p in points.values() if p.recommended] == ["curves"]
        assert len({p.context for p in points.values()}) == 1
    assert {b.route for b in found.backtests} == {"alpha", "fit"}
    assert [b.factor for b in found.backtests if b.route == "fit"] == [2, 4, 8]


def trained(contexts: int = 64) -> list[LearnerCurves]:
    """Losses by context of a learner that the text describes, with another constant."""
    horizons = text_horizons(
        LAGS, norms(LAGS), KAPPA, contexts, document_lags=LAGS, crossing=np.zeros(len(LAGS))
    )
    curve = Entropies(
        np.append(6.0, 3.5 * np.arange(1, contexts + 1) ** -GAMMA)[None], np.zeros(1), "exact"
    )
    tokens = 1e5 * 2.0 ** np.arange(8)
    shown = np.array([1, 2, 3, 4, 8, 16, 32, 64])
    losses = np.array(
        [
            np.exp(
                expected_log_losses(
                    horizons, curve, tokens, first=n, last=n,
                    log_factors=[np.log(1.4 * LEARNER_FACTOR)],
                )
            )[0, 0]
            for n in shown.tolist()
        ]
    )  # fmt: skip
    return [
        LearnerCurves(
            "your models",
            CurveTable(
                context=np.repeat(shown, len(tokens)),
                tokens=np.tile(tokens, len(shown)),
                loss=losses.ravel(),
                replicates=np.ones(losses.size, dtype=np.int64),
            ),
        )
    ]


def test_curves_of_models_are_continued_and_tested():
    found = forecast(*parts(), tokens=[2.56e7, 5e9], curves=trained(), answer=an_answer())
    near = by_route(found, 2.56e7)
    assert {p.learner for p in near.values()} == {"your models"}
    assert all(p.reportable and -0.3 < p.change < 0 for p in near.values())
    assert near["curves"].recommended
    tests = {(b.route, b.factor): b for b in found.backtests}
    assert set(tests) == {(r, f) for r in ("alpha", "curves", "fit") for f in (2, 4, 8)}
    assert all(b.inside == b.cases for b in found.backtests)
    assert tests["curves", 4].median_error < 0.03
    far = by_route(found, 5e9)
    assert not any(p.reportable for p in far.values())
    assert near["curves"].high - near["curves"].low < near["fit"].high - near["fit"].low


def test_one_loss_is_enough_with_alpha_or_the_text():
    found = forecast(*parts(), tokens=[8e6], losses=[(2e6, 3.1)], answer=an_answer(), context=128)
    points = by_route(found, 8e6)
    assert points["fit"].loss is None
    assert points["fit"].reason == "one loss, two needed"
    assert 2.0 < points["curves"].loss < 3.0
    assert 2.0 < points["alpha"].loss < 3.0
    assert found.backtests == ()


def test_a_route_that_failed_on_known_losses_is_not_recommended():
    """Losses that fall faster than the text allows; far out, no route is reportable."""
    tokens = 1e5 * 2.0 ** np.arange(8)
    steep = list(zip(tokens.tolist(), (6 * (tokens / 1e5) ** -0.5).tolist(), strict=True))
    found = forecast(*parts(), tokens=[5e9], losses=steep, answer=an_answer(), context=64)
    held = {b.route: 0 for b in found.backtests}
    for test in found.backtests:
        held[test.route] += test.inside
    assert held["curves"] == 0 < held["alpha"]
    assert not any(p.reportable for p in found.points)
    assert by_route(found, 5e9)["alpha"].recommended


def test_a_loss_above_the_last_measured_one_is_not_recommended():
    """Two losses are too few to test the routes on; more tokens give no larger loss."""
    losses = [(6.4e6, 0.75), (1.28e7, 0.53)]
    found = forecast(*parts(), tokens=[2e7], losses=losses, answer=an_answer(), context=64)
    points = by_route(found, 2e7)
    assert found.backtests == ()
    assert points["curves"].loss > points["curves"].low > 0.53 > points["alpha"].loss
    assert points["curves"].reason == "the whole band lies above the last measured loss"
    assert points["alpha"].recommended
    # An alpha that does not hold is still no reason to recommend a larger loss.
    doubtful = an_answer(reportable=False, reason="not certain")
    found = forecast(*parts(), tokens=[2e7], losses=losses, answer=doubtful, context=64)
    assert not any(p.reportable for p in found.points)
    assert by_route(found, 2e7)["alpha"].recommended


@pytest.mark.parametrize(("part", "share"), [(0.34, "34 %"), (0.996, "all"), (1.88, "all")])
def test_no_more_than_all_of_a_loss_depends_on_the_longest_lags(monkeypatch, part, share):
    monkeypatch.setattr("ngramstat.prediction.forecast.part_beyond", lambda *_: part)
    found = forecast(*parts(), tokens=[1e8], answer=an_answer())
    reason = str(by_route(found, 1e8)["curves"].reason)
    assert reason.startswith(f"{share} of the loss depends on what is learned beyond lag ")


def test_losses_above_those_of_guessing_are_noted(tmp_path: Path, caplog):
    correlations, entropies = parts()
    RunResult(
        corpus={"path": "x", "vocab_size": 1024}, settings={}, provenance={},
        correlations=correlations, entropies=entropies,
    ).save(tmp_path / "run.json")  # fmt: skip
    caplog.set_level("INFO", logger="ngramstat")
    for scale, noted in ((1, False), (12, True)):
        caplog.clear()
        [learner] = trained()
        table = replace(learner.table, loss=learner.table.loss * scale)
        predict_run(tmp_path, curves=table, tokens=[1e9])
        assert ("above ln V = 6.93 nats of guessing" in caplog.text) is noted
        assert ("--loss-unit" in caplog.text) is noted
    predict_run(tmp_path, losses=[(1e6, 49.0), (1e7, 30.0)], tokens=[1e9])
    assert "losses given by --loss: half of the losses are 39.5 or more" in caplog.text


@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_losses_that_do_not_fall_support_no_forecast(factor: float):
    losses = [(1e6 * 2.0**k, 3.5 * factor**k) for k in range(5)]
    points = by_route(forecast(*parts(), tokens=[3.2e7], losses=losses, answer=an_answer()), 3.2e7)
    assert not any(p.reportable for p in points.values())
    assert "do not fall" in points["curves"].reason


def test_models_without_context_leave_the_forecast_to_the_text():
    tokens = 1e5 * 2.0 ** np.arange(4)
    table = CurveTable(
        context=np.zeros(4, np.int64), tokens=tokens, loss=6.5 - 0.1 * np.arange(4),
        error=None, replicates=np.ones(4, np.int64),
    )  # fmt: skip
    found = forecast(
        *parts(), tokens=[4e6], curves=[LearnerCurves("unigrams", table)], answer=an_answer()
    )
    assert found.points == forecast(*parts(), tokens=[4e6], answer=an_answer()).points


def test_alpha_that_does_not_hold_is_marked():
    answer = an_answer(reportable=False, reason="beta: bends")
    losses = [(1e6 * 2.0**k, 3.5 * 2.0 ** (-0.17 * k)) for k in range(5)]
    points = by_route(forecast(*parts(), tokens=[3.2e7], losses=losses, answer=answer), 3.2e7)
    assert not points["alpha"].reportable
    assert points["alpha"].reason == "alpha: beta: bends"
    assert points["fit"].reportable
    # Where theory and losses of a learner disagree, the answer is the slope that was measured.
    measured = an_answer(rung="curves", protocol="measured", alpha=0.17, low=0.16, high=0.18)
    points = by_route(forecast(*parts(), tokens=[3.2e7], losses=losses, answer=measured), 3.2e7)
    assert points["alpha"].reportable
    # That of the counted learner says nothing of trained models, but of itself.
    alone = replace(measured, rung="counts")
    points = by_route(forecast(*parts(), tokens=[3.2e7], losses=losses, answer=alone), 3.2e7)
    assert points["alpha"].reason == "no alpha of trained models"
    shown = Rung(
        rung="counted", learner="c", alpha=0.3, low=0.25, high=0.35, agrees=False, shown=0.08,
        shown_low=0.07, shown_high=0.09, reason="the two disagree",
    )  # fmt: skip
    points = by_route(forecast(*parts(), tokens=[4e6], answer=an_answer(rungs=(shown,))), 4e6)
    assert points["alpha"].reportable
    without = by_route(forecast(*parts(), tokens=[3.2e7], losses=losses), 3.2e7)
    assert without["alpha"].loss is None
    assert without["alpha"].reason == "no answer for alpha"


def test_texts_without_norms_still_get_a_forecast():
    correlations, entropies = parts()
    none = replace(correlations, valid=np.zeros(len(LAGS), dtype=bool))
    points = by_route(forecast(none, entropies, tokens=[4e6], answer=an_answer()), 4e6)
    assert points["curves"].loss is None
    assert "fewer than three lags" in points["curves"].reason
    assert points["alpha"].recommended
    assert forecast(*parts(), tokens=[]) == Forecast()
    for bad in ({"tokens": [-1]}, {"tokens": [1e7], "losses": [(1e6, 3.0), (1e6, 3.1)]},
                {"tokens": [1e7], "losses": [(1e6, -1.0)]}):  # fmt: skip
        with pytest.raises(InputError):
            forecast(*parts(), **bad)


def test_a_reader_takes_the_place_of_brackets():
    n = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32])
    table = CurveTable(
        context=n, tokens=np.full(len(n), 1e12), loss=3.5 * n**-GAMMA,
        replicates=np.ones(len(n), dtype=np.int64),
    )  # fmt: skip
    reader = LearnerCurves("a pretrained model", table)
    options = {"tokens": [1e7], "answer": an_answer(), "context": 64}
    read = by_route(forecast(*parts(), reader=reader, **options), 1e7)["curves"]
    counted = by_route(forecast(*parts(), **options), 1e7)["curves"]
    assert read.high - read.low < 0.7 * (counted.high - counted.low)
    assert counted.low < read.loss < counted.high


def test_the_table_says_everything_once():
    correlations, entropies = parts()
    answer = an_answer()
    found = forecast(correlations, entropies, tokens=[4e6, 1e9], answer=answer)
    run = RunResult(
        corpus={"path": "x"}, settings={}, provenance={}, correlations=correlations,
        entropies=entropies, answer=answer, forecast=found.points,
        forecast_backtests=found.backtests,
    )  # fmt: skip
    assert RunResult.from_dict(json.loads(json.dumps(run.to_dict()))) == run
    lines = forecast_lines(run)
    assert max(map(len, lines)) <= WIDTH
    text = " ".join(" ".join(lines).split())
    assert text.count("curves*") == 2
    assert text.count("500 times the largest measured size") == 2  # once for alpha, once for fit
    far = by_route(found, 1e9)["fit"]
    assert f"({far.loss:.3f})" in text
    assert "8 times the tokens: median error" in text
    assert forecast_lines(replace(run, forecast=(), forecast_backtests=())) == []


# --- model size --------------------------------------------------------------------------------


def surface() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n, d = np.meshgrid([1e6, 4e6, 1.6e7, 6.4e7], 1e6 * 4.0 ** np.arange(6))
    n, d = n.ravel(), d.ravel()
    return n, d, 1.1 + 200 * n**-0.34 + 150 * d**-0.28


def test_exact_surface_is_recovered():
    law = model_size_law(*surface())
    assert (law.limit, law.a, law.b) == pytest.approx((1.1, 0.34, 0.28), rel=1e-3)
    assert (law.scale_parameters, law.scale_tokens) == pytest.approx((200, 150), rel=1e-2)


def test_profile_intervals_hold_the_truth():
    n, d, exact = surface()
    rng = np.random.default_rng(3)
    hits, draws = np.zeros(3), 30
    for _ in range(draws):
        law = model_size_law(n, d, exact * np.exp(0.005 * rng.standard_normal(len(exact))))
        hits += [
            ends[0] <= truth <= ends[1]
            for ends, truth in ((law.limit_ends, 1.1), (law.a_ends, 0.34), (law.b_ends, 0.28))
        ]
    # 95 %: fewer than 25 of 30 in one draw of 1,000.
    assert np.all(hits >= 25)


def test_too_few_sizes_are_refused_and_unbounded_ends_are_none():
    n, d, y = surface()
    assert "5 losses" in model_size_law(n[:5], d[:5], y[:5])
    one = n == n[0]
    assert "different numbers of parameters" in model_size_law(n[one], d[one], y[one])
    with pytest.raises(InputError, match="positive"):
        model_size_law(-n, d, y)
    # Losses that scatter by 40 % do not bound the exponent of the model size.
    rng = np.random.default_rng(1)
    noisy = y * np.exp(0.4 * rng.standard_normal(len(y)))
    assert None in model_size_law(n, d, noisy).a_ends


def test_the_column_of_parameters(tmp_path: Path):
    n, d, y = surface()
    path = tmp_path / "sizes.csv"
    rows = [
        f"{n_:.0f},{context},{d_:.0f},{y_ + gap:.6f}"
        for n_, d_, y_ in zip(n, d, y, strict=True)
        for context, gap in ((1, 1.0), (2, 0.4), (3, 0.1))
    ]
    path.write_text("\n".join(["parameters,context,tokens,loss", *rows]))
    found = read_model_sizes(path)
    assert {len(column) for column in found} == {len(y)}
    table = read_curves(path)
    assert len(table.loss) == 3 * len(np.unique(d))  # the best size at every number of tokens
    at = table.loss[(table.context == 3) & (table.tokens == d.max())]
    assert at[0] == pytest.approx(y[(d == d.max())].min() + 0.1, abs=1e-5)
    path.write_text("context,tokens,loss\n1,1000,3.0\n")
    assert read_model_sizes(path) is None
    path.write_text("parameters,context,tokens,loss\n0,1,1000,3.0\n")
    with pytest.raises(InputError, match="parameters 0"):
        read_model_sizes(path)


def test_predict_shows_forecast_and_model_size(tmp_path: Path):
    correlations, entropies = parts()
    run = RunResult(
        corpus={"path": "x"}, settings={}, provenance={}, correlations=correlations,
        entropies=entropies,
    )  # fmt: skip
    run.save(tmp_path / "run.json")
    n, d, y = surface()
    rows = [f"{a:.0f},{b:.0f},64,{c:.6f}" for a, b, c in zip(n, d, y, strict=True)]
    curves = tmp_path / "curves.csv"
    curves.write_text("\n".join(["parameters,tokens,context,loss", *rows]))
    arguments = ["predict", str(tmp_path), "--tokens", "4e9", "--curves", str(curves)]
    shown = CliRunner().invoke(main, arguments)
    assert shown.exit_code == 0, shown.output
    assert "FORECAST" in shown.output
    assert "MODEL SIZE" in shown.output
    assert "b = 0.280" in shown.output
    result = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).output)
    assert {p["route"] for p in result["forecast"]} == {"alpha", "curves", "fit"}
    assert result["model_size"]["b"]["value"] == pytest.approx(0.28, rel=1e-3)
    assert result["forecast_backtests"]
    losses = ["--loss", "1e9:2.0", "--loss", "2e9:1.85"]
    shown = CliRunner().invoke(main, [*arguments[:4], *losses])
    assert shown.exit_code == 0, shown.output
    assert "losses of your models" in " ".join(shown.output.split())
    assert "expected losses" not in shown.output  # said once, by the forecast


def test_predict_reads_a_training_log_and_says_so(tmp_path: Path):
    correlations, entropies = parts()
    RunResult(
        corpus={"path": "x"}, settings={}, provenance={}, correlations=correlations,
        entropies=entropies,
    ).save(tmp_path / "run.json")  # fmt: skip
    log = tmp_path / "main.log"
    log.write_text(
        "".join(f"s:{s} tel:{2 + 8 * (s + 1) ** -0.3:.4f}\n" for s in range(0, 5000, 250))
    )
    arguments = ["predict", str(tmp_path), "--curves", str(log)]
    refused = CliRunner().invoke(main, [*arguments, "--context", "64"])
    assert refused.exit_code == 2
    assert "main.log: counts steps ('step') and not training tokens" in refused.stderr
    assert "--tokens-per-step N" in refused.stderr
    described = ["--tokens-per-step", "10k", "--context", "64"]
    shown = CliRunner().invoke(main, [*arguments, *described])
    assert shown.exit_code == 0, shown.output
    assert "Note: " in shown.stderr
    assert "printed log of llm.c: 19 losses from 'val_loss'" in shown.stderr
    assert "losses along one training run" in shown.stderr
    assert "your training run (main.log)" in " ".join(shown.stdout.split())
    result = json.loads(CliRunner().invoke(main, [*arguments, *described, "--json"]).stdout)
    table = result["prediction"]["curves"]["table"]
    assert table["of_one_run"] is True
    assert table["tokens"][-1] == 4750 * 10_000
    table = read_curves(log, context=64, tokens_per_step=10_000)
    again = predict_run(tmp_path, curves=table)
    assert again.prediction.curves.table == table
    lonely = CliRunner().invoke(main, [*arguments[:2], *described[:2]])
    assert lonely.exit_code == 2
    assert "describe --curves" in lonely.stderr
