"""alpha_D with its error, gates, horizons and thresholds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ngramstat.errors import InputError
from ngramstat.exponents.prediction import (
    alpha_error,
    alpha_exponent,
    horizon,
    noise_constant,
    predict,
    thresholds,
)
from ngramstat.results import CorrelationResult, EntropyResult, Exponent

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


def test_doubts_of_the_parts_are_joined() -> None:
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
    # Theory sheet 1.5, kappa .24; wiki norms at n = 1, 2, 8, 16, 32.
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

    inside = horizon(at(10.0), LAGS, norm, valid, kappa, beta)
    assert inside.lag == pytest.approx(10.0, rel=1e-9)
    assert not inside.extrapolated
    beyond = horizon(at(200.0), LAGS, norm, valid, kappa, beta)
    assert beyond.lag == pytest.approx(200.0, rel=1e-9)
    assert beyond.extrapolated
    assert not beyond.at_least
    assert beyond.low is not None
    assert beyond.high is not None
    assert beyond.low < 200 < beyond.high
    absurd = horizon(1e30, LAGS, norm, valid, kappa, beta)
    assert absurd.lag == pytest.approx(6400)
    assert absurd.at_least
    unsure = Exponent.refused("none", method="m")
    bound = horizon(1e30, LAGS, norm, valid, kappa, unsure)
    assert bound.lag == 64
    assert bound.at_least
    assert not bound.extrapolated
    assert horizon(1.0, LAGS, norm, valid, kappa, beta).lag is None
    assert horizon(1e6, LAGS, norm, ~valid, kappa, beta).lag is None
    with pytest.raises(InputError, match="tokens"):
        horizon(math.inf, LAGS, norm, valid, kappa, beta)


def test_horizon_is_monotone_in_tokens_even_with_a_peak() -> None:
    norm = 0.01 * LAGS**-0.9
    norm[4] *= 2
    beta, valid = planted(0.9, 0.05), np.ones(7, dtype=bool)
    found = [horizon(p, LAGS, norm, valid, 0.24, beta).lag or 0 for p in np.logspace(2, 9, 200)]
    assert np.all(np.diff(found) >= 0)


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
    assert gates["document composition"].passed is False
    assert gates["choice of lags"].passed is None
    assert [p.lag for p in result.threshold] == list(LAGS)
    assert result.threshold[0].tokens == pytest.approx((0.24 / 0.01) ** 2)
    assert result.threshold[-1].tokens is None
    assert len(result.horizon) == 2
    assert result.kappa == pytest.approx(0.24)
    with pytest.raises(InputError, match="tokens"):
        predict(*make_parts(), tokens=[-1])
    assert result == type(result).from_dict(result.to_dict())


@pytest.mark.parametrize(("half_width", "passed"), [(0.1, True), (0.2, False)])
def test_choice_of_lags_gate(half_width: float, passed: bool) -> None:
    correlations, entropies = make_parts()
    jackknife = {
        "method": "leave-one-lag-out jackknife interval",
        "value": 0.88,
        "low": 0.88 - half_width,
        "high": 0.88 + half_width,
    }
    beta = replace(correlations.beta, alternatives=(jackknife,))
    result = predict(replace(correlations, beta=beta), entropies)
    gate = next(g for g in result.gates if g.name == "choice of lags")
    assert gate.passed is passed
    assert gate.value == pytest.approx(half_width / 0.88)


def test_horizon_beyond_the_fitted_window_is_a_lower_bound() -> None:
    """The last lag lies in a slower stage: continuing it with beta can only fall short."""
    norm, valid = 0.01 * LAGS**-0.9, np.ones(7, dtype=bool)
    point = horizon(1e7, LAGS, norm, valid, 0.24, planted(0.9, 0.05, window=(1, 16)))
    assert point.at_least
    assert point.extrapolated
    assert point.high is None
