"""Fits on planted curves, and the bootstrap's weights and intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.fit import (
    broken_power_law,
    exponential_law_bic,
    power_law,
    scatter_weights,
    shifted_power_law,
)
from ngramstat.exponents.intervals import (
    needed_replicates,
    percentile_interval,
)
from ngramstat.sampling.bootstrap import cluster_weights

Floats = NDArray[np.float64]


@given(st.floats(-3, 3), st.floats(1e-6, 1e6), st.integers(3, 20))
def test_power_law_recovers_exact_data(exponent: float, amplitude: float, n: int) -> None:
    x = np.arange(1.0, n + 1)
    fit = power_law(x, amplitude * x**-exponent)
    assert fit.exponent == pytest.approx(exponent, abs=1e-9)
    assert fit.amplitude == pytest.approx(amplitude, rel=1e-8)
    np.testing.assert_allclose(fit(x), amplitude * x**-exponent, rtol=1e-8)


def test_power_law_agrees_with_scipy_linregress() -> None:
    from scipy.stats import linregress

    rng = np.random.default_rng(1)
    x = np.array([1, 2, 3, 5, 8, 13.0])
    y = x**-0.7 * np.exp(0.1 * rng.normal(size=6))
    fit, reference = power_law(x, y), linregress(np.log(x), np.log(y))
    assert fit.exponent == pytest.approx(-reference.slope, rel=1e-12)
    assert fit.standard_error == pytest.approx(reference.stderr, rel=1e-10)
    assert fit.r2 == pytest.approx(reference.rvalue**2, rel=1e-10)


def test_weights_are_those_of_polyfit_and_their_scale_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    x = np.array([1, 2, 3, 5, 8, 13.0])
    y = x**-0.7 * np.exp(0.1 * rng.normal(size=6))
    weights = rng.uniform(0.1, 5, 6)
    fit = power_law(x, y, weights)
    slope, intercept = np.polyfit(np.log(x), np.log(y), 1, w=np.sqrt(weights))
    assert fit.exponent == pytest.approx(-slope, rel=1e-10)
    assert fit.amplitude == pytest.approx(np.exp(intercept), rel=1e-10)
    assert power_law(x, y, 7 * weights).bic == pytest.approx(fit.bic, rel=1e-12)
    hinge = broken_power_law(x, y, np.ones(6))
    assert hinge == broken_power_law(x, y)
    for bad in (np.zeros(6), np.ones(5), np.full(6, np.nan)):
        with pytest.raises(InputError, match="weights"):
            power_law(x, y, bad)


def test_scatter_is_the_deviation_beyond_the_errors() -> None:
    rng = np.random.default_rng(3)
    x = np.arange(1.0, 201)
    law, errors = x**-0.9, np.where(x < 100, 0.01, 0.15)
    for scatter, expected in ((0.1, 0.1), (0.0, 0.03)):
        noise = np.hypot(errors, scatter) * rng.normal(size=200)
        weights = scatter_weights(x, law * (1 + noise), errors * law, min_scatter=0.03)
        assert weights.mean() == pytest.approx(1)
        # The ratio of two weights gives the scatter back, up to the error of the fitted law.
        ratio = weights[0] / weights[-1]
        squared = (0.15**2 - ratio * 0.01**2) / (ratio - 1)
        assert math.sqrt(squared) == pytest.approx(expected, rel=0.15)
    assert np.ptp(scatter_weights([1, 2, 4], [4, 2, 1], np.zeros(3), min_scatter=0.05)) == 0
    # Two points lie on their line and have no scatter.
    np.testing.assert_allclose(scatter_weights([1, 2], [4, 2], [1.2, 0.6], min_scatter=0.05), 1)


def test_points_raised_by_noise_are_not_weighted_as_more_precise() -> None:
    rng = np.random.default_rng(5)
    x = 2.0 ** np.arange(8)
    law, errors = x**-1.0, np.full(8, 0.5 * x[-1] ** -1.0)
    by_law, by_points = [], []
    for _ in range(600):
        y = law + errors * rng.normal(size=8)
        if np.all(y > 0.1 * law):
            by_law.append(power_law(x, y, scatter_weights(x, y, errors, min_scatter=0.05)).exponent)
            by_points.append(power_law(x, y, 1 / ((errors / y) ** 2 + 0.05**2)).exponent)
    assert abs(np.mean(by_law) - 1) < 0.004 < 1 - np.mean(by_points)


def test_standard_error_of_two_points_is_unknown() -> None:
    assert math.isnan(power_law([1, 2], [2, 1]).standard_error)


def test_constant_curve_has_no_r2() -> None:
    assert power_law([1, 2, 4], [3, 3, 3]).r2 == 0


@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        ([1.0], [1.0], "at least 2"),
        ([1, 2], [1, 0], "positive"),
        ([1, 2], [1, np.nan], "finite"),
        ([2, 1], [1, 1], "increasing"),
        ([1, 2], [1, 1, 1], "common length"),
    ],
)
def test_bad_data_are_refused(x: list[float], y: list[float], match: str) -> None:
    with pytest.raises(InputError, match=match):
        power_law(x, y)


def test_broken_power_law_finds_break_and_slopes() -> None:
    x = 2.0 ** np.arange(0, 10)
    y = np.where(x <= 32, x**-1.0, 32**-0.7 * x**-0.3)
    fit = broken_power_law(x, y)
    assert fit is not None
    assert fit.break_at == 32
    assert fit.first == pytest.approx(1.0, abs=1e-9)
    assert fit.second == pytest.approx(0.3, abs=1e-9)
    assert fit.delta_bic > 100


def test_broken_power_law_is_rarely_preferred_for_a_single_law() -> None:
    rng = np.random.default_rng(2)
    x = 2.0 ** np.arange(0, 10)
    preferred = 0
    for _ in range(200):
        fit = broken_power_law(x, x**-0.9 * np.exp(0.1 * rng.normal(size=10)))
        assert fit is not None
        preferred += fit.delta_bic > 10
    # Ten in BIC is decisive; scanning the break with n = 10 costs a little of it.
    assert preferred <= 10


def test_broken_power_law_needs_points_on_both_sides() -> None:
    x = np.arange(1.0, 6)
    assert broken_power_law(x, x**-1.0) is None
    x = np.arange(1.0, 9)
    fit = broken_power_law(x, x**-1.0)
    assert fit is not None
    assert [lag for lag, _ in fit.scan] == [3, 4, 5]


def test_exponential_and_power_law_are_distinguished() -> None:
    x = np.arange(1.0, 33)
    power, exponential = x**-0.9, np.exp(-x / 5)
    assert exponential_law_bic(x, exponential) < power_law(x, exponential).bic - 10
    assert exponential_law_bic(x, power) > power_law(x, power).bic + 10


def test_shifted_power_law_recovers_exact_data() -> None:
    n = np.arange(1.0, 9)
    fit = shifted_power_law(n, 1 + 4 * n**-0.3)
    assert fit.identifiable
    assert fit.exponent == pytest.approx(0.3, abs=1e-6)
    assert fit.limit == pytest.approx(1.0, abs=1e-5)
    assert fit.amplitude == pytest.approx(4.0, abs=1e-5)
    assert fit.low < 0.3 < fit.high


def test_shifted_power_law_interval_covers() -> None:
    rng = np.random.default_rng(3)
    n = np.arange(1.0, 13)
    inside = 0
    for _ in range(200):
        fit = shifted_power_law(n, (1 + 4 * n**-0.8) * np.exp(0.003 * rng.normal(size=12)))
        inside += fit.low <= 0.8 <= fit.high
    # 95% nominal, standard error 1.5% over 200 draws.
    assert 0.90 <= inside / 200 <= 0.99


@pytest.mark.parametrize(
    "y",
    [np.full(8, 2.0), np.linspace(1, 2, 8), 1 + 4 * np.arange(1.0, 9) ** -0.3],
    ids=["constant", "growing", "three points"],
)
def test_shifted_power_law_marks_what_is_not_identifiable(y: Floats) -> None:
    points = 3 if y[0] == 5 else len(y)
    fit = shifted_power_law(np.arange(1.0, points + 1), y[:points])
    assert not fit.identifiable


def test_shifted_power_law_noise_hides_the_limit() -> None:
    rng = np.random.default_rng(4)
    n = np.arange(1.0, 6)
    fit = shifted_power_law(n, (1 + 4 * n**-0.3) * np.exp(0.03 * rng.normal(size=5)))
    assert not fit.identifiable


def ansatz_loss(tokens: float, beta: float, gamma: float, delta: float) -> float:
    """L_AR of the synthetic curves in docs/theory.md 2.3: sum over lags of gains times f."""
    n = np.arange(1, int((tokens / 100) ** (1 / (2 * beta))) + 2, dtype=np.float64)
    gain = 4 * (n + 1) ** -gamma - 4 * n**-gamma
    ratio = tokens / (100 * n ** (2 * beta))
    learned = np.where(ratio >= 1, 1 - ratio**-delta, 0.0)
    return 5 + float(np.sum(gain * learned))


def test_loss_curve_exponents_of_the_theory_document() -> None:
    tokens = 10.0 ** np.arange(3, 10)
    loss = np.array([ansatz_loss(p, 0.9, 0.3, 1.0) for p in tokens])
    np.testing.assert_allclose(
        loss, [4.01555, 3.16858, 2.50508, 2.03154, 1.70403, 1.47990, 1.32700], atol=5e-6
    )
    # The shifted slope approaches gamma / (2 beta) = 1/6; the raw one is biased far below it.
    assert power_law(tokens[-2:], loss[-2:] - 1).exponent == pytest.approx(0.1666, abs=1e-4)
    assert power_law(tokens[:2], loss[:2]).exponent == pytest.approx(0.103, abs=5e-4)
    assert power_law(tokens[-2:], loss[-2:]).exponent == pytest.approx(0.047, abs=5e-4)
    last = [ansatz_loss(p, 0.88, 0.325, 1.0) for p in tokens[-2:]]
    assert last[1] == pytest.approx(1.25008, abs=5e-6)
    assert power_law(tokens[-2:], np.array(last) - 1).exponent == pytest.approx(0.1846, abs=1e-4)


def test_cluster_weights_are_multinomial_and_independent_of_chunks() -> None:
    whole = np.vstack(list(cluster_weights(7, 5000, np.random.default_rng(5))))
    chunked = list(cluster_weights(7, 5000, np.random.default_rng(5), chunk_elements=20))
    assert max(len(c) for c in chunked) == 2
    np.testing.assert_array_equal(np.vstack(chunked), whole)
    assert np.all(whole.sum(axis=1) == 7)
    # Each weight is Binomial(7, 1/7): mean 1, variance 6/7; 5 standard errors of 5000 draws.
    assert np.all(np.abs(whole.mean(axis=0) - 1) < 5 * math.sqrt(6 / 7 / 5000))
    covariance = float(np.cov(whole[:, 0], whole[:, 1])[0, 1])
    assert covariance == pytest.approx(-1 / 7, abs=0.07)


def test_cluster_weights_refuse_empty_draws() -> None:
    with pytest.raises(InputError, match="clusters"):
        next(cluster_weights(0, 3, np.random.default_rng(0)))
    assert list(cluster_weights(3, 0, np.random.default_rng(0))) == []


def test_percentile_interval() -> None:
    assert percentile_interval(np.arange(101.0), 0.9) == pytest.approx((5.0, 95.0))
    assert percentile_interval([1.0, np.nan, 1.0]) == (1.0, 1.0)
    assert all(math.isnan(x) for x in percentile_interval([np.nan]))
    with pytest.raises(InputError, match="level"):
        percentile_interval([1.0], 1.0)
    assert needed_replicates(0.95) == 40
    assert needed_replicates(0.9) == 20
