"""Quantiles, zeros, minima and bounds against SciPy, which the package does without here."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import optimize, special, stats

from ngramstat.exponents.distributions import (
    digamma,
    normal_cdf,
    normal_quantile,
    normal_scores,
    student_quantile,
)
from ngramstat.exponents.entropy_bounds import gamma_bounds
from ngramstat.exponents.fit import slope_weights
from ngramstat.exponents.minima import minimum_between
from ngramstat.exponents.roots import root_between


@pytest.mark.parametrize("level", [0.05, 0.5, 0.6827, 0.95, 0.999])
def test_quantiles_are_those_of_scipy(level: float) -> None:
    assert normal_quantile(level) == pytest.approx(special.ndtri((1 + level) / 2), rel=1e-12)
    assert normal_quantile(level) ** 2 == pytest.approx(stats.chi2.ppf(level, 1), rel=1e-11)
    for freedom in (*range(1, 12), 1.3, 7.9, 30.5, 99, 100, 2001, 1e5):
        half = student_quantile(level, freedom)
        assert half == pytest.approx(stats.t.isf((1 - level) / 2, freedom), rel=1e-10)
        assert half**2 == pytest.approx(stats.f.ppf(level, 1, freedom), rel=1e-10)


def test_normal_scores_and_probabilities_are_those_of_scipy() -> None:
    for count in (1, 2, 999, 1000):
        scores = normal_scores(count)
        np.testing.assert_allclose(
            scores, special.ndtri((np.arange(count) + 0.5) / count), rtol=0, atol=1e-13
        )
        np.testing.assert_array_equal(scores, -scores[::-1])
    x = np.linspace(-12, 12, 10_000).reshape(100, 100)
    np.testing.assert_allclose(normal_cdf(x), special.ndtr(x), rtol=0, atol=2e-15)
    assert normal_cdf(0.0) == 0.5


@pytest.mark.parametrize(
    ("function", "low", "high", "zero"),
    [
        (lambda x: x**3 - 2, 0.0, 3.0, 2 ** (1 / 3)),
        (lambda x: math.exp(x) - 1e-3, -50.0, 3.0, math.log(1e-3)),
        (lambda x: math.tanh(x - 1), 50.0, -100.0, 1.0),
        (lambda x: math.copysign(1.0, x - 0.7), 0.0, 1.0, 0.7),
        (lambda x: x - 1, 1.0, 2.0, 1.0),
        (lambda x: x - 2, 1.0, 2.0, 2.0),
    ],
)
def test_a_zero_is_found_between_two_signs(
    function: Callable[[float], float], low: float, high: float, zero: float
) -> None:
    assert root_between(function, low, high) == pytest.approx(zero, abs=1e-11)
    assert root_between(function, low, high, tolerance=1e-3) == pytest.approx(zero, abs=2e-3)


def test_a_zero_needs_two_signs() -> None:
    with pytest.raises(ValueError, match="one sign"):
        root_between(lambda x: x * x + 1, -1.0, 1.0)


def test_digamma_is_that_of_scipy() -> None:
    n = np.concatenate([np.arange(1.0, 1000), 10.0 ** np.arange(3, 13)]).reshape(-1, 1)
    np.testing.assert_allclose(digamma(n), special.psi(n), rtol=2e-15, atol=4e-15)


def test_a_minimum_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for tolerance in (1e-3, 1e-9):
        for _ in range(100):
            a, b, c, d = rng.normal(size=4)

            def function(x: float, a: float = a, b: float = b, c: float = c, d: float = d) -> float:
                return a * math.sin(3 * x) + b * x**2 + c * x + abs(d) * math.exp(x)

            place, value = minimum_between(function, -1.0, 2.0, tolerance=tolerance)
            assert value == function(place)
            scipy = optimize.minimize_scalar(
                function, bounds=(-1, 2), method="bounded", options={"xatol": tolerance}
            )
            assert place == pytest.approx(scipy.x, abs=2 * tolerance + 1e-7)
            assert value <= scipy.fun + max(tolerance**2, 1e-13) * 100


def test_a_minimum_may_lie_at_the_edge() -> None:
    place, value = minimum_between(lambda x: x, 1.0, 3.0, tolerance=1e-6)
    assert place == value == pytest.approx(1.0, abs=1e-6)


def test_bounds_of_gamma_are_those_of_a_linear_program() -> None:
    rng = np.random.default_rng(0)
    impossible = 0
    for _ in range(200):
        k = int(rng.integers(2, 9))
        n = np.arange(1, k + 1)
        low = np.exp(rng.normal(size=k) / 2)
        high = low * np.exp(rng.exponential(size=k))
        weights, rises = -slope_weights(np.log(n)), np.diff(np.eye(k), axis=0)
        ends = [
            optimize.linprog(
                sign * weights, A_ub=rises, b_ub=np.zeros(k - 1),
                bounds=np.column_stack([np.log(low), np.log(high)]),
            )
            for sign in (1, -1)
        ]  # fmt: skip
        found = gamma_bounds(n, low, high, window=(1, k))
        if not ends[0].success:
            assert found is None
            impossible += 1
        else:
            assert found == pytest.approx((ends[0].fun, -ends[1].fun), abs=1e-9)
    assert 20 < impossible < 180
