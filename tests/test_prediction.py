"""alpha_D with its error, gates, horizons and thresholds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ngramstat.errors import InputError
from ngramstat.exponents.decay import beta_exponent
from ngramstat.exponents.decay_curve import MeasuredDecay
from ngramstat.prediction.alpha import alpha_error, alpha_exponent
from ngramstat.prediction.horizons import Curve, noise_constant, stages, thresholds
from ngramstat.prediction.predict import predict
from ngramstat.prediction.user_curves import curve_limits
from ngramstat.results import (
    Alternative,
    AlternativeKind,
    CorrelationResult,
    CurveTable,
    EntropyResult,
    Exponent,
    ExponentDifference,
    LearningCurve,
    Replicates,
)

Z = 1.959963984540054
LAGS = 2 ** np.arange(7)


def planted(value: float, error: float, **changes: Any) -> Exponent:
    values: dict[str, Any] = {
        "value": value,
        "low": value - Z * error,
        "high": value + Z * error,
        "window": (1, 64),
        "points": 7,
        "method": "planted",
        "reportable": True,
    }
    return Exponent(**(values | changes))


@pytest.mark.parametrize(
    ("gamma", "d_gamma", "beta", "d_beta", "alpha", "d_alpha"),
    [
        (0.325, 0.003, 0.88, 0.06, 0.184659, 0.012705),
        (0.265, 0.016, 0.94, 0.16, 0.140957, 0.025457),
    ],
    ids=["TinyStories", "WikiText-103"],
)
def test_published_predictions(
    gamma: float, d_gamma: float, beta: float, d_beta: float, alpha: float, d_alpha: float
) -> None:
    assert alpha_error(gamma, d_gamma, beta, d_beta) == pytest.approx(d_alpha, abs=5e-7)
    result = alpha_exponent(planted(gamma, d_gamma), planted(beta, d_beta))
    assert result.reportable
    assert result.value == pytest.approx(alpha, abs=5e-7)
    assert result.low == pytest.approx(alpha - Z * d_alpha, abs=2e-6)
    assert result.high == pytest.approx(alpha + Z * d_alpha, abs=2e-6)


def test_levels_of_the_parts_are_respected() -> None:
    z90 = 1.6448536269514722
    gamma = planted(0.325, 0.003, level=0.9, low=0.325 - z90 * 0.003, high=0.325 + z90 * 0.003)
    mixed = alpha_exponent(gamma, planted(0.88, 0.06))
    plain = alpha_exponent(planted(0.325, 0.003), planted(0.88, 0.06))
    assert mixed.low == pytest.approx(plain.low, abs=1e-9)


def test_error_matches_sampling() -> None:
    rng = np.random.default_rng(8)
    draws = rng.normal(0.325, 0.003, 200_000) / (2 * rng.normal(0.88, 0.03, 200_000))
    # First-order propagation; the second order is (d_beta/beta)^2 = 0.1% of it.
    assert np.std(draws) == pytest.approx(alpha_error(0.325, 0.003, 0.88, 0.03), rel=0.02)


def test_reasons_of_the_parts_are_joined() -> None:
    gamma = Exponent.refused("2 contexts", method="m")
    beta = planted(0.9, 0.1, reportable=False, reason="R^2 = 0.5")
    result = alpha_exponent(gamma, beta)
    assert result.value is None
    assert result.reason == "gamma: 2 contexts; beta: R^2 = 0.5"
    valued = alpha_exponent(planted(0.3, 0.01), beta)
    assert valued.value == pytest.approx(0.3 / 1.8)
    assert not valued.reportable
    assert valued.reason == "beta: R^2 = 0.5"
    assert "includes zero" in str(alpha_exponent(planted(0.3, 0.4), planted(0.9, 0.1)).reason)
    growing = alpha_exponent(planted(0.3, 0.1), planted(-0.1, 0.1))
    assert growing.value is None


def test_noise_constant_and_thresholds() -> None:
    pairs = 1000 - LAGS
    assert noise_constant(0.24 / np.sqrt(pairs), pairs) == pytest.approx(0.24)
    assert noise_constant(np.array([0.0, np.nan]), np.array([1, 2])) is None
    # docs/theory.md 4, kappa .24; Wikipedia norms at n = 1, 2, 8, 16, 32.
    wiki = 1e-4 * np.array([95.1, 43.6, 6.62, 3.93, 3.11])
    np.testing.assert_allclose(
        thresholds([1, 2, 8, 16, 32], wiki, 0.24), [640, 3.0e3, 1.3e5, 3.7e5, 6.0e5], rtol=0.02
    )
    assert np.isnan(thresholds([1, 2], [0.0, -1.0], 0.24)).all()


def test_horizon_interpolates_extrapolates_and_stops() -> None:
    norm, valid, kappa = 0.01 * LAGS**-0.9, np.ones(7, dtype=bool), 0.24
    beta = planted(0.9, 0.05)

    def at(lag: float) -> float:
        """Tokens that resolve exactly `lag` on the planted law."""
        return (kappa / (0.01 * lag**-0.9)) ** 2

    inside = Curve(LAGS, norm, valid, kappa, beta).horizon(at(10.0))
    assert inside.lag == pytest.approx(10.0, rel=1e-9)
    assert not inside.extrapolated
    beyond = Curve(LAGS, norm, valid, kappa, beta).horizon(at(200.0))
    assert beyond.lag == pytest.approx(200.0, rel=1e-9)
    assert beyond.extrapolated
    assert not beyond.at_least
    assert beyond.low is not None
    assert beyond.high is not None
    assert beyond.low < 200 < beyond.high
    # The law has no end of its own ...
    far = Curve(LAGS, norm, valid, kappa, beta).horizon(at(1e5))
    assert far.lag == pytest.approx(1e5)
    assert far.extrapolated
    assert not far.at_least
    # ... but documents have, whatever the number of tokens.
    short = replace(Curve(LAGS, norm, valid, kappa, beta), documents_end=90)
    for tokens in (at(1e5), 1e30):
        end = short.horizon(tokens)
        assert (end.lag, end.high) == (90, 90)
        assert end.at_documents
        assert end.extrapolated
    near = short.horizon(at(80.0))
    assert near.lag == pytest.approx(80)
    assert near.high <= 90
    assert not near.at_documents
    measured = replace(short, documents_end=10).horizon(at(20.0))
    assert measured.lag == 10
    assert measured.at_documents
    steep = Curve(LAGS, norm, valid, kappa, planted(0.2, 0.01)).horizon(1e9)
    assert steep.lag == 1e9
    assert "no lag exceeds" in str(steep.reason)
    unsure = Exponent.refused("none", method="m")
    bound = Curve(LAGS, norm, valid, kappa, unsure).horizon(1e30)
    assert bound.lag == 64
    assert bound.at_least
    assert "beta is needed" in str(bound.reason)
    assert not bound.extrapolated
    ended = Curve(LAGS, norm, valid, kappa, unsure, documents_end=50).horizon(1e30)
    assert (ended.lag, ended.at_least, ended.at_documents) == (50, False, True)
    assert Curve(LAGS, norm, valid, kappa, beta).horizon(1.0).lag is None
    assert Curve(LAGS, norm, ~valid, kappa, beta).horizon(1e6).lag is None
    with pytest.raises(InputError, match="tokens"):
        Curve(LAGS, norm, valid, kappa, beta).horizon(math.inf)


def test_horizon_is_monotone_in_tokens_even_with_a_peak() -> None:
    norm = 0.01 * LAGS**-0.9
    norm[4] *= 2
    beta, valid = planted(0.9, 0.05), np.ones(7, dtype=bool)
    horizons = [
        Curve(LAGS, norm, valid, 0.24, beta).horizon(p).lag or 0 for p in np.logspace(2, 9, 200)
    ]
    assert np.all(np.diff(horizons) >= 0)


def make_parts() -> tuple[CorrelationResult, EntropyResult]:
    n = len(LAGS)
    pairs = np.full(n, 10**6, dtype=np.uint64)
    correlations = CorrelationResult(
        lags=LAGS,
        pairs=pairs,
        norm=0.01 * LAGS**-0.88,
        noise_floor=np.full(n, 0.24e-3),
        valid=np.array([True] * 6 + [False]),
        beta=planted(0.88, 0.06),
        beta_sequential=planted(1.2, 0.05),
    )
    context = np.arange(4)
    entropies = EntropyResult(
        context=context,
        targets=np.ones(4, dtype=np.uint64),
        distinct=np.ones(4, dtype=np.uint64),
        plug_in=np.ones(4),
        resolved=np.ones(4, dtype=bool),
        gamma=Exponent.refused("2 contexts resolved", method="m"),
        gamma_finite=planted(0.325, 0.003),
    )
    return correlations, entropies


def test_predict_puts_it_together() -> None:
    result = predict(*make_parts(), tokens=[1e6, 1e12])
    assert not result.alpha.reportable
    assert result.alpha.reason == "gamma: 2 contexts resolved"
    assert result.alpha_finite.value == pytest.approx(0.184659, abs=5e-7)
    gates = {gate.name: gate for gate in result.gates}
    assert gates["beta"].passed is True
    assert gates["gamma"].passed is False
    assert gates["fast learning"].passed is None
    assert gates["decades of lags"].value == pytest.approx(math.log10(64))
    assert gates["document composition"].passed is None  # no norms to compare
    assert gates["choice of lags"].passed is None
    assert [p.lag for p in result.threshold] == list(LAGS)
    assert result.threshold[0].tokens == pytest.approx((0.24 / 0.01) ** 2)
    assert result.threshold[-1].tokens is None
    assert len(result.horizon) == 2
    assert result.kappa == pytest.approx(0.24)
    with pytest.raises(InputError, match="tokens"):
        predict(*make_parts(), tokens=[-1])
    assert result == type(result).from_dict(result.to_dict())


@pytest.mark.parametrize(("half_width", "passed"), [(0.2, True), (0.3, False)])
def test_choice_of_lags_gate(half_width: float, passed: bool) -> None:
    correlations, entropies = make_parts()
    jackknife = Alternative(
        kind=AlternativeKind.LAG_JACKKNIFE,
        method="leave-one-lag-out jackknife interval",
        value=0.88,
        low=0.88 - half_width,
        high=0.88 + half_width,
    )
    beta = replace(correlations.beta, alternatives=(jackknife,))
    result = predict(replace(correlations, beta=beta), entropies)
    gate = next(g for g in result.gates if g.name == "choice of lags")
    assert gate.passed is passed
    assert gate.value == pytest.approx(half_width / 0.88)


@pytest.mark.parametrize(
    ("difference", "half_width", "last", "passed"),
    [
        (0.02, 0.05, 40, True),
        (0.145, 0.01, 40, False),
        # A poor measurement does not pass more easily than a good one.
        (0.02, 0.3, 40, None),
        (0.145, 0.3, 40, False),
        (0.02, 0.05, 5, None),  # less than a decade says nothing about the window of beta
    ],
)
def test_composition_gate(
    difference: float, half_width: float, last: int, passed: bool | None
) -> None:
    correlations, entropies = make_parts()
    effect = ExponentDifference(
        first=0.88,
        second=0.88 - difference,
        difference=difference,
        low=difference - half_width,
        high=difference + half_width,
        window=(1, last),
        points=5,
    )
    result = predict(replace(correlations, composition_effect=effect), entropies)
    gate = next(g for g in result.gates if g.name == "document composition")
    assert gate.passed is passed
    assert gate.value == pytest.approx(difference)
    # A gate that fails is part of the verdict on alpha.
    assert result.alpha_finite.reportable is (passed is not False)
    assert ("document composition" in str(result.alpha_finite.reason)) is (passed is False)


def test_horizon_beyond_the_fitted_window_is_a_lower_bound() -> None:
    """The last lag lies in a slower stage: extrapolating with beta gives too small a horizon."""
    norm, valid = 0.01 * LAGS**-0.9, np.ones(7, dtype=bool)
    point = Curve(LAGS, norm, valid, 0.24, planted(0.9, 0.05, window=(1, 16))).horizon(1e7)
    assert point.at_least
    assert point.extrapolated
    assert point.high is None


def two_stages(headline: str = "first") -> tuple[np.ndarray, Exponent]:
    """Norms that fall as t^-1 up to lag 16 and as t^-0.3 beyond, and their beta."""
    lags = 2.0 ** np.arange(10)
    norm = 0.01 * np.where(lags <= 16, lags**-1.0, 16**-0.7 * lags**-0.3)
    parts: dict[str, dict[str, Any]] = {
        "first": {"value": 1.0, "low": 0.97, "high": 1.03, "window": (1, 16), "points": 5},
        "second": {"value": 0.3, "low": 0.28, "high": 0.32, "window": (16, 512), "points": 6},
    }
    other = "second" if headline == "first" else "first"
    alternative = Alternative(
        kind=AlternativeKind(f"{other}_stage"), method=f"{other} stage", **parts[other]
    )
    beta = Exponent(
        **parts[headline], method="planted", reportable=True, alternatives=(alternative,)
    )
    return norm, beta


@pytest.mark.parametrize("headline", ["first", "second"])
def test_stages_are_identified_whichever_is_the_headline(headline: str) -> None:
    _, beta = two_stages(headline)
    first, second = stages(beta)
    assert (first.value, second.value) == (1.0, 0.3)
    assert second.window == (16, 512)
    assert second.reportable
    assert len(stages(planted(0.9, 0.1))) == 1


@pytest.mark.parametrize("headline", ["first", "second"])
def test_horizon_continues_the_stage_that_holds_there(headline: str) -> None:
    norm, beta = two_stages(headline)
    lags, valid = 2 ** np.arange(10), np.ones(10, dtype=bool)
    tokens = (0.24 / (norm[-1] * 4**-0.3)) ** 2  # resolves lag 2048 on the second stage
    point = Curve(lags, norm, valid, 0.24, beta).horizon(tokens)
    assert point.lag == pytest.approx(2048, rel=1e-6)
    assert point.extrapolated
    assert not point.at_least
    assert point.low < 2048 < point.high


def test_horizon_has_the_interval_of_the_norms() -> None:
    norm, valid = 0.01 * LAGS**-0.9, np.ones(7, dtype=bool)
    beta = planted(0.9, 0.05)
    curve = Curve(LAGS, norm, valid, 0.24, beta, norm_low=0.8 * norm, norm_high=1.25 * norm)
    point = curve.horizon((0.24 / (0.01 * 10**-0.9)) ** 2)
    assert point.low == pytest.approx(10 * 0.8 ** (1 / 0.9))
    assert point.high == pytest.approx(10 * 1.25 ** (1 / 0.9))


@pytest.mark.parametrize("headline", ["first", "second"])
def test_stage_follows_the_learners_horizon(headline: str) -> None:
    norm, beta = two_stages(headline)
    correlations, entropies = make_parts()
    correlations = replace(
        correlations, lags=2 ** np.arange(10), pairs=np.full(10, 10**6, dtype=np.uint64),
        norm=norm, noise_floor=np.full(10, 0.24e-3), valid=np.ones(10, dtype=bool), beta=beta,
        beta_sequential=None,
    )  # fmt: skip
    needed = (0.24 / norm) ** 2  # P*_n of counting
    asked = [10 * needed[2], 100 * needed[4], 1000 * needed[6]]
    result = predict(correlations, entropies, tokens=asked)
    assert [p.stage for p in result.stage] == ["first", "indeterminate", "second"]
    first, _, last = result.stage
    assert first.beta == last.other_beta == 1.0
    assert first.other_beta == last.beta == 0.3
    assert first.alpha == pytest.approx(0.325 / 2)
    assert first.other_alpha == pytest.approx(0.325 / 0.6)
    assert first.other_low < first.other_alpha < first.other_high
    assert result.context_length[0].high == pytest.approx(4)
    assert result.context_length[2].low == pytest.approx(64)
    assert result.context_length[2].limit == pytest.approx(result.horizon[2].lag)
    gate = next(g for g in result.gates if g.name == "stage of beta")
    assert gate.passed is False
    alone = predict(correlations, entropies, tokens=asked[:1] if headline == "first" else asked[2:])
    assert next(g for g in alone.gates if g.name == "stage of beta").passed is True
    assert result.loss_fit is None
    losses = [(1e6, 5.0), (1e7, 4.0)]
    curve = predict(correlations, entropies, tokens=asked, losses=losses).loss_fit
    assert curve.form == "losses"
    assert not curve.reportable
    assert "stage of the decay" in str(curve.alpha_not_used)
    refused = replace(correlations, beta=replace(beta, reportable=False, reason="bad"))
    unknown = predict(refused, entropies, tokens=asked)
    assert next(g for g in unknown.gates if g.name == "stage of beta").passed is None
    middle = predict(correlations, entropies, tokens=asked[1:2])
    assert next(g for g in middle.gates if g.name == "stage of beta").passed is None


def test_horizons_beyond_the_window_of_a_single_stage_fail_its_gate() -> None:
    lags = 2 ** np.arange(10)
    norm = 0.01 * np.where(lags <= 16, lags**-1.0, 16**-0.7 * lags**-0.3)
    correlations, entropies = make_parts()
    correlations = replace(
        correlations, lags=lags, pairs=np.full(10, 10**6, dtype=np.uint64), norm=norm,
        noise_floor=np.full(10, 0.24e-3), valid=np.ones(10, dtype=bool),
        beta=replace(planted(1.0, 0.05), window=(1.0, 16.0)), beta_sequential=None,
    )  # fmt: skip
    needed = (0.24 / norm) ** 2
    for tokens, passed in (
        (10 * needed[2], True),
        (100 * needed[4], None),
        (1e3 * needed[6], False),
    ):
        result = predict(correlations, entropies, tokens=[tokens])
        assert [p.stage for p in result.stage] == ["single"]
        gate = next(g for g in result.gates if g.name == "stage of beta")
        assert gate.passed is passed
        assert "ends at lag 16" in gate.meaning


@pytest.mark.parametrize(
    ("context", "tokens", "passed"),
    [(256, 1e6, True), (8, 1e6, False), (140, 1e6, None), (None, 1e6, None), (8, None, None)],
)
def test_context_gate(context: int | None, tokens: float | None, passed: bool | None) -> None:
    asked = [] if tokens is None else [tokens]
    result = predict(*make_parts(), tokens=asked, context=context)
    gate = next(g for g in result.gates if g.name == "horizon inside the context")
    assert gate.passed is passed
    if passed is not None:
        assert gate.value == result.horizon[0].lag
    with pytest.raises(InputError, match="context"):
        predict(*make_parts(), context=0)


def learned_curves(
    delta: float, limits: np.ndarray, noise: float = 0.0, seed: int = 0
) -> CurveTable:
    tokens = 1e6 * 2.0 ** np.arange(8)
    rng = np.random.default_rng(seed)
    n = np.repeat(np.arange(1, len(limits) + 1), 8)
    loss = np.repeat(limits, 8) + np.tile(0.5 * (tokens / 1e7) ** -delta, len(limits))
    return CurveTable(
        context=n,
        tokens=np.tile(tokens, len(limits)),
        loss=loss + rng.normal(0, noise, len(n)) if noise else loss,
        error=np.full(len(n), noise) if noise else None,
        replicates=np.ones(len(n), dtype=np.int64),
    )


@pytest.mark.parametrize(("delta", "passed"), [(0.6, True), (0.05, False)], ids=["fast", "slow"])
def test_fast_learning_gate_of_user_curves(delta: float, passed: bool) -> None:
    limits = 4 * np.arange(1, 5) ** -0.325
    correlations, entropies = make_parts()
    result = predict(correlations, entropies, curves=learned_curves(delta, limits))
    gate = next(g for g in result.gates if g.name == "fast learning")
    assert gate.passed is passed
    assert gate.value == pytest.approx(delta, rel=0.02)
    assert "the user's curves" in gate.meaning
    assert result.curves is not None
    if passed:
        np.testing.assert_allclose(result.curves.limit, limits, atol=1e-3)
        assert result.curves.gamma.value == pytest.approx(0.325, abs=1e-3)
        assert result.curves.alpha.value == pytest.approx(0.184659, abs=1e-3)
        assert result.curves.identifiable.all()
        assert result.curves.gamma_finite.value < 0.325
        assert result.curves.largest_tokens == 128e6
    context = next(g for g in result.gates if g.name == "horizon inside the context")
    assert context.threshold == 2  # half the largest context of the curves
    assert result == type(result).from_dict(result.to_dict())


def test_raw_gamma_of_user_curves_that_have_a_limit_is_refused() -> None:
    limits = 1.5 + 2.5 * 2.0 ** (-0.3 * np.arange(6))
    table = learned_curves(0.6, limits, noise=1e-3)
    table = replace(table, context=2 ** (table.context - 1))
    result = predict(*make_parts(), curves=table)
    assert result.curves is not None
    gamma = result.curves.gamma
    assert gamma.value < 0.2
    assert not gamma.reportable
    assert "H_inf is not 0" in str(gamma.reason)
    assert not result.curves.alpha.reportable


def test_fast_learning_gate_of_the_counted_learner() -> None:
    correlations, entropies = make_parts()
    table = learned_curves(0.6, 4 * np.arange(1, 4) ** -0.325)
    losses = table.loss.reshape(3, 8).T
    curve = LearningCurve(
        tokens=table.tokens[:8].astype(np.int64),
        held_out=np.column_stack([np.full(8, 7.0), losses]),
    )
    result = predict(correlations, replace(entropies, learning_curve=curve))
    gate = next(g for g in result.gates if g.name == "fast learning")
    assert gate.passed is None
    assert gate.value is None
    assert "those of the counted one do not decide it" in gate.meaning
    assert result.collapse[0].source == "counted"
    assert result.collapse[0].contexts == 3


def test_sizes_below_ten_thresholds_are_left_out() -> None:
    table = learned_curves(0.6, 4 * np.arange(1, 4) ** -0.325)
    fits = curve_limits(table, {1: 1e4, 2: 3e5, 3: 1e7})
    assert [fits[n].points for n in (1, 2, 3)] == [8, 6, 1]
    assert "7 below 10 P*_n = 1e+08 tokens left out" in str(fits[3].reason)


def test_alpha_of_user_curves_is_covered() -> None:
    """Curves of known gamma, delta and a corpus of known beta: alpha lies in its interval."""
    rng = np.random.default_rng(9)
    limits, draws, hits, reported = 4 * np.arange(1, 5) ** -0.325, 60, 0, 0
    correlations, entropies = make_parts()
    for i in range(draws):
        beta = planted(float(rng.normal(0.88, 0.03)), 0.03)
        table = learned_curves(0.6, limits, noise=0.002, seed=i)
        fitted = predict(replace(correlations, beta=beta), entropies, curves=table).curves
        assert fitted is not None
        reported += fitted.alpha.reportable
        if fitted.alpha.low is not None and fitted.alpha.high is not None:
            hits += fitted.alpha.low <= 0.325 / (2 * 0.88) <= fitted.alpha.high
    assert reported > 0.9 * draws
    assert 0.90 <= hits / draws <= 1.0


def test_predict_gives_expected_losses() -> None:
    result = predict(*make_parts(), tokens=[1e10], losses=[(1e8, 3.5), (1e9, 3.2)])
    assert result.loss_fit is not None
    assert result.loss_fit.alpha == "alpha_finite"
    (point,) = result.loss_curve
    assert result.loss_fit.form == "raw"
    assert result.loss_fit.limit is None
    assert point.reportable is False  # 10 times the largest size
    assert 2.6 < point.loss < 3.2
    assert point.low < point.loss < point.high
    assert predict(*make_parts(), tokens=[1e10]).loss_fit is None


def test_predict_uses_the_replicates_of_both_halves() -> None:
    correlations, entropies = make_parts()
    rng = np.random.default_rng(3)
    common = rng.normal(size=999)
    first = Replicates(seed=0, clusters=50, beta=0.88 + 0.06 * common)
    second = Replicates(seed=0, clusters=50, gamma=0.325 + 0.022 * common)
    gamma = planted(0.325, 0.022)
    joint = predict(
        replace(correlations, bootstrap=first),
        replace(entropies, gamma=gamma, bootstrap=second),
        tokens=[1e6],
    )
    apart = predict(correlations, replace(entropies, gamma=gamma), tokens=[1e6])
    assert "999 joint bootstrap replicates" in joint.alpha.method
    assert "eq. 56" in apart.alpha.method
    assert joint.alpha.high - joint.alpha.low < 0.2 * (apart.alpha.high - apart.alpha.low)
    assert "eq. 56" in joint.alpha_finite.method


def test_stages_of_a_fit_that_lists_both_of_them():
    lags = np.array([1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 64, 101, 161, 256, 512])
    norm = np.where(lags <= 16, 0.01 * lags**-1.2, 0.01 * 16**-0.9 * lags**-0.3)
    rng = np.random.default_rng(0)
    replicates = norm * np.exp(0.01 * rng.standard_normal((199, len(lags))))
    decay = MeasuredDecay(lags, norm, np.ones(len(lags), bool), replicates=replicates)
    beta = beta_exponent(decay)
    first, second = stages(beta)
    assert first is beta
    assert first.value == pytest.approx(1.2, abs=0.05)
    assert second.value == pytest.approx(0.3, abs=0.05)
