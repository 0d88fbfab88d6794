"""alpha from joint replicates: exact ratios, stretched intervals, pairing, and coverage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ngramstat.errors import InputError
from ngramstat.exponents.decay import beta_exponent
from ngramstat.exponents.decay_curve import MeasuredDecay
from ngramstat.exponents.entropy_decay import LossesBySize, gamma_finite_exponent
from ngramstat.exponents.fit import slope_weights
from ngramstat.prediction.alpha import alpha_draws, alpha_exponent, paired_replicates, stretched
from ngramstat.results import Replicates
from ngramstat.sampling.bootstrap import cluster_weights
from test_prediction import make_parts, planted


def interval_of(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def from_replicates(value: float, values: np.ndarray, **changes: Any):
    low, high = interval_of(values)
    return planted(value, 0.0, **({"low": low, "high": high} | changes))


def test_interval_is_the_percentiles_of_the_ratio():
    rng = np.random.default_rng(1)
    common = rng.normal(size=2000)
    gammas, betas = 0.3 + 0.02 * common, 0.9 + 0.06 * common  # their errors cancel in the ratio
    gamma, beta = from_replicates(0.3, gammas), from_replicates(0.9, betas)
    joint = alpha_exponent(gamma, beta, replicates=(gammas, betas))
    low, high = interval_of(gammas / (2 * betas))
    assert joint.value == pytest.approx(1 / 6)
    assert joint.low == pytest.approx(low, abs=1e-6)
    assert joint.high == pytest.approx(high, abs=1e-6)
    assert "2000 joint bootstrap replicates" in joint.method
    by_hand = alpha_exponent(gamma, beta)
    assert "eq. 56" in by_hand.method
    assert joint.high - joint.low < 0.1 * (by_hand.high - by_hand.low)
    shuffled = alpha_exponent(gamma, beta, replicates=(gammas, rng.permutation(betas)))
    assert shuffled.high - shuffled.low == pytest.approx(by_hand.high - by_hand.low, rel=0.1)


def test_uncertainty_beyond_sampling_stretches_the_replicates():
    rng = np.random.default_rng(2)
    gammas, betas = rng.normal(0.3, 0.01, 4000), rng.normal(0.9, 0.001, 4000)
    gamma = planted(0.3, 0.0, low=0.2, high=0.33)  # uncertainty from bias, mostly below
    beta = from_replicates(0.9, betas)
    result = alpha_exponent(gamma, beta, replicates=(gammas, betas))
    assert result.low == pytest.approx(0.2 / 1.8, rel=0.01)
    assert result.high == pytest.approx(0.33 / 1.8, rel=0.01)
    wide = stretched(gammas, gamma)
    np.testing.assert_allclose(interval_of(wide), (0.2, 0.33), rtol=1e-3)
    assert np.array_equal(np.argsort(wide), np.argsort(gammas))
    narrow = planted(0.3, 0.0, low=0.299, high=0.301)
    np.testing.assert_array_equal(stretched(gammas, narrow), 0.3 + (gammas - 0.3))


@pytest.mark.parametrize(("fraction", "bounded"), [(0.01, True), (0.2, False)])
def test_replicates_without_decay_are_counted(fraction, bounded):
    betas = np.linspace(0.85, 0.95, 1000)
    betas[: int(1000 * fraction)] = -0.1
    gammas = np.full(1000, 0.3)
    result = alpha_exponent(planted(0.3, 0.0), planted(0.9, 0.02), replicates=(gammas, betas))
    assert result.value == pytest.approx(0.3 / 1.8)
    if bounded:
        assert f"{int(1000 * fraction)} with beta <= 0" in result.method
        assert result.reportable
        assert result.high == pytest.approx(0.3 / (2 * 0.8515), rel=0.01)
    else:
        assert result.high is None
        assert not result.reportable
        assert "not positive" in result.reason


def test_with_few_or_missing_replicates_the_method_names_the_fallback():
    gamma, beta = planted(0.3, 0.01), planted(0.9, 0.05)
    few = alpha_exponent(gamma, beta, replicates=(np.full(10, 0.3), np.full(10, 0.9)))
    assert "eq. 56" in few.method
    holes = np.full(1000, 0.3)
    holes[:50] = np.nan
    betas = np.linspace(0.85, 0.95, 1000)
    some = alpha_exponent(gamma, beta, replicates=(holes, betas))
    assert "50 of them without one of the two" in some.method
    holes[:200] = np.nan
    assert "eq. 56" in alpha_exponent(gamma, beta, replicates=(holes, betas)).method


def test_rows_are_paired_only_where_the_draws_are_the_same():
    correlations, entropies = make_parts()
    rows = np.arange(500) / 1000
    first = Replicates(seed=3, clusters=100, beta=rows)
    same = Replicates(seed=3, clusters=100, gamma=rows, gamma_finite=rows)

    def pair(left: Replicates | None, right: Replicates | None, name: str = "gamma"):
        from dataclasses import replace

        return paired_replicates(
            replace(correlations, bootstrap=left), replace(entropies, bootstrap=right), name
        )

    gammas, betas = pair(first, same)
    np.testing.assert_array_equal(gammas, betas)
    others = [
        (Replicates(seed=4, clusters=100, gamma=rows), "gamma"),
        (Replicates(seed=3, clusters=99, gamma=rows), "gamma"),
        (same, "gamma_finite"),  # held-out documents are other documents
    ]
    for other, name in others:
        gammas, betas = pair(first, other, name)
        np.testing.assert_array_equal(np.sort(gammas), betas)
        assert abs(np.corrcoef(gammas, betas)[0, 1]) < 0.2
    shorter = Replicates(seed=3, clusters=100, gamma=rows[:300])
    assert len(pair(first, shorter)[0]) == 500
    assert pair(None, same) is None
    assert pair(first, None) is None
    assert pair(first, Replicates(seed=3, clusters=100)) is None


def test_draws_reproduce_the_interval():
    gamma, beta = planted(0.3, 0.01), planted(0.9, 0.05)
    draws = alpha_draws(gamma, beta)
    result = alpha_exponent(gamma, beta)
    np.testing.assert_allclose(interval_of(draws), (result.low, result.high), rtol=1e-3)
    assert alpha_draws(planted(0.3, 0.0, low=None, high=None, reportable=False, reason="x"),
                       beta) is None  # fmt: skip


def test_replicates_of_different_lengths_are_refused():
    with pytest.raises(InputError, match="different lengths"):
        Replicates(seed=0, clusters=5, beta=np.zeros(3), gamma=np.zeros(4))


def test_coverage_where_both_parts_share_their_documents():
    """Documents whose deviations move norms and losses together; beta .9, gamma .3 are true."""
    rng = np.random.default_rng(5)
    lags, contexts = 2.0 ** np.arange(6), np.arange(1, 4)
    truth = np.concatenate([lags**-0.9, 4 * contexts**-0.3])
    tilt = np.concatenate([np.log(lags), np.log(contexts)])  # one deviation, both slopes
    hits, draws, documents = 0, 150, 80
    widths = []
    for _ in range(draws):
        shared = rng.normal(0, 0.08, (documents, 1)) * tilt
        values = truth * np.exp(shared + rng.normal(0, 0.06, (documents, len(truth))))
        weights = next(cluster_weights(documents, 300, rng))
        replicates = weights @ values / documents
        mean = values.mean(axis=0)
        decay = MeasuredDecay(
            lags.astype(int), mean[:6], np.ones(6, dtype=bool), replicates=replicates[:, :6]
        )
        beta = beta_exponent(decay)
        settled = LossesBySize([1e6, 2e6], np.tile(mean[6:], (2, 1)), "planted")
        gamma = gamma_finite_exponent(contexts, mean[6:], replicates[:, 6:], sizes=settled)
        assert beta.reportable, beta.reason
        assert gamma.reportable, gamma.reason
        pairs = (
            -np.log(replicates[:, 6:]) @ slope_weights(np.log(contexts)),
            -np.log(replicates[:, :6]) @ slope_weights(np.log(lags)),
        )
        result = alpha_exponent(gamma, beta, replicates=pairs)
        by_hand = alpha_exponent(gamma, beta)
        widths.append((result.high - result.low, by_hand.high - by_hand.low))
        # The exponents of the mean over documents, which exp(tilt^2 s^2 / 2) changes slightly.
        lift = 0.08**2 * tilt**2 / 2
        true_beta = 0.9 - slope_weights(np.log(lags)) @ lift[:6]
        true_gamma = 0.3 - slope_weights(np.log(contexts)) @ lift[6:]
        hits += result.low <= true_gamma / (2 * true_beta) <= result.high
    assert 0.90 <= hits / draws <= 0.99
    joint, apart = np.median(widths, axis=0)
    assert abs(joint / apart - 1) > 0.05  # by hand is a different interval: the errors are shared
