"""Limits of learning curves: on a published-style table, on known curves, and where to refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ngramstat.errors import InputError
from ngramstat.exponents.learning_limit import DRIFT, LimitFit, learning_limit

# Independent run: KenLM, English Wikipedia, V = 8192, 1 % of documents held out; nats per token.
TOKENS = np.array([1.7, 3.3, 6.5, 13.2, 25.9, 52.0, 105.2]) * 1e6
LOSSES = {
    1: [5.559, 5.399, 5.277, 5.180, 5.123, 5.079, 5.047],
    2: [5.264, 5.023, 4.817, 4.622, 4.485, 4.363, 4.259],
    3: [5.238, 4.985, 4.765, 4.549, 4.385, 4.229, 4.087],
    4: [5.235, 4.979, 4.757, 4.537, 4.368, 4.202, 4.048],
}
UP_TO_26M = 5


def table(context: int, sizes: int = 7) -> LimitFit:
    return learning_limit(TOKENS[:sizes], LOSSES[context][:sizes])


@pytest.mark.parametrize("context", [1, 2])
def test_limits_from_26m_cover_those_from_105m(context):
    early, late = table(context, UP_TO_26M), table(context)
    assert early.low < late.limit < early.high
    assert late.high - late.low < 0.6 * (early.high - early.low)
    assert late.identifiable


def test_limits_of_the_table_agree_with_counting():
    # Miller-Madow at 105 M tokens bounds H_1 >= 4.954 and H_2 >= 3.43 from below; intervals that an
    # expert estimated from all of it: H_1 4.95-5.01, H_2 3.45-3.95, H_3 2.5-3.4.
    for context, low, high in ((1, 4.95, 5.01), (2, 3.45, 3.95), (3, 2.5, 3.4)):
        fit = table(context)
        assert low < fit.limit < high
        assert fit.low < (low + high) / 2 < fit.high
        assert high - low < 2 * (fit.high - fit.low) < 4 * (high - low)
    assert table(1).delta == pytest.approx(0.5, abs=0.05)
    assert table(2).delta == pytest.approx(0.26, abs=0.03)


def test_context_four_is_not_identifiable():
    for sizes in (UP_TO_26M, 7):
        fit = table(4, sizes)
        assert not fit.identifiable
        assert "limit" in fit.reason
        assert fit.low < fit.limit < fit.high


@pytest.mark.parametrize("context", [1, 2, 3])
def test_predict_then_check(context):
    fit = table(context, UP_TO_26M)
    for tokens, measured in zip(TOKENS[5:], LOSSES[context][5:], strict=True):
        value, low, high = fit.at(tokens)
        assert value == pytest.approx(measured, rel=0.01)
        assert low < measured < high


# Our modified Kneser-Ney on the ergodic Santa Fe world (`ngramstat synthesize santa-fe`, defaults),
# training sets of 2^k x 250,000 tokens, one held-out corpus of 10^6 tokens; H_n is exact.
WORLD = {
    1: (4.02847, 0.0030, [4.1245, 4.1065, 4.0930, 4.0810, 4.0708, 4.0615, 4.0545]),
    2: (4.01184, 0.0031, [4.2023, 4.1846, 4.1677, 4.1510, 4.1351, 4.1203, 4.1058]),
    3: (3.99957, 0.0033, [4.2508, 4.2398, 4.2287, 4.2167, 4.2028, 4.1901, 4.1756]),
}


@pytest.mark.parametrize("context", WORLD)
@pytest.mark.parametrize("sizes", [5, 6, 7])
def test_counted_curves_of_a_known_world(context, sizes):
    entropy, error, losses = WORLD[context]
    tokens = 250_000 * 2.0 ** np.arange(sizes)
    fit = learning_limit(tokens, losses[:sizes], common_error=error)
    if context == 1:
        assert fit.low < entropy < fit.high
        assert fit.identifiable or sizes < 7
    else:  # still far from the limit, and gathering speed
        assert not fit.identifiable
    assert fit.at(250_000 * 2**6)[0] == pytest.approx(losses[6], rel=2e-3)


def curve(x, limit, amplitude, delta, drift):
    path = x if drift == 0 else np.expm1(drift * x) / drift
    return limit + amplitude * np.exp(-delta * path)


def test_exact_curve_is_recovered():
    tokens = 1e6 * 2.0 ** np.arange(8)
    fit = learning_limit(tokens, 3.2 + 40 * tokens**-0.3)
    assert fit.identifiable
    assert fit.limit == pytest.approx(3.2, abs=1e-5)
    assert fit.delta == pytest.approx(0.3, abs=1e-4)
    assert fit.amplitude == pytest.approx(40, rel=1e-3)
    assert fit.low <= 3.2 <= fit.high
    assert fit.at(1e9)[0] == pytest.approx(3.2 + 40 * 1e9**-0.3, abs=1e-5)
    tokens, low, high = fit.tokens_to_reach(0.01)
    assert tokens == pytest.approx((40 / 0.01) ** (1 / 0.3), rel=1e-2)
    assert low <= tokens <= high


def test_curve_and_its_inverse_agree():
    fit = table(2)
    for excess in (1.0, 0.3, 0.05):
        tokens, low, high = fit.tokens_to_reach(excess)
        assert low < tokens < high
        assert fit.at(tokens)[0] - fit.limit == pytest.approx(excess, rel=1e-6)
    at_data = fit.at(TOKENS[3])
    assert at_data[0] == pytest.approx(LOSSES[2][3], abs=0.01)
    # The curve falls to its limit, and the band widens to the limit's interval.
    value, low, high = fit.at(1e60)
    assert value == pytest.approx(fit.limit, abs=1e-6)
    assert low <= fit.low + 1e-6
    assert high == pytest.approx(fit.high, abs=1e-3)


def test_exact_profile_against_brute_force():
    """With errors and practically no drift, the interval is that of a plain chi^2 scan."""
    rng = np.random.default_rng(2)
    tokens = np.geomspace(1e6, 1.01e7, 7)  # no shorter window is long enough to join
    x = np.log(tokens) - np.log(tokens).mean()
    error = 0.002  # more than the scatter, so that the threshold is chi^2 alone
    y = curve(x, 4.0, 0.6, 0.5, 0.0) + rng.normal(0, error / 2, 7)
    fit = learning_limit(tokens, y, np.full(7, error))
    deltas, drifts = np.linspace(0.1, 1.2, 441), np.linspace(-0.1, 0.1, 81)
    limits = np.linspace(2.9, 4.4, 751)
    cost = np.full(len(limits), np.inf)
    for k in drifts:
        path = x if abs(k) < 1e-12 else np.expm1(k * x) / k
        for d in deltas:
            decay = np.exp(-d * path)
            height = (y[None] - limits[:, None]) @ decay / (decay @ decay)
            misfit = ((y - limits[:, None] - height[:, None] * decay) ** 2).sum(axis=1)
            cost = np.minimum(cost, misfit / error**2 + (k / DRIFT) ** 2)
    assert cost.min() < 4
    allowed = limits[cost <= cost.min() + 3.841459]
    assert fit.limit == pytest.approx(limits[cost.argmin()], abs=0.008)
    assert fit.low == pytest.approx(allowed[0], abs=0.008)
    assert fit.high == pytest.approx(allowed[-1], abs=0.008)


@pytest.mark.parametrize("known", [True, False], ids=["errors", "scatter"])
def test_coverage_on_drifting_curves(known):
    rng = np.random.default_rng(11 + known)
    hits, seen, identified, draws = 0, 0, 0, 240
    for i in range(draws):
        sizes = (6, 7, 8)[i % 3]
        tokens = 1.7e6 * 2.0 ** np.arange(sizes)
        x = np.log(tokens) - np.log(tokens).mean()
        delta, drift = rng.uniform(0.2, 0.6), rng.normal(0, DRIFT)
        truth = curve(x, 4.0, 1.0, delta, drift)
        noise = (0.001, 0.003)[i % 2]
        fit = learning_limit(
            tokens, truth + rng.normal(0, noise, sizes), np.full(sizes, noise) if known else None
        )
        identified += fit.identifiable
        hits += fit.low <= 4.0 <= fit.high
        _, low, high = fit.at(4 * tokens[-1])
        seen += low <= curve(x[-1] + math.log(4), 4.0, 1.0, delta, drift) <= high
    assert 0.90 <= hits / draws <= 0.995
    assert 0.90 <= seen / draws <= 0.995
    assert identified > 0.6 * draws


def test_errors_below_the_scatter_are_raised_to_it():
    believed = learning_limit(TOKENS, LOSSES[2], np.full(7, 1e-5))
    honest = learning_limit(TOKENS, LOSSES[2], np.full(7, 0.005))
    assert believed.high - believed.low > 0.7 * (honest.high - honest.low)


def test_common_error_widens_in_quadrature():
    plain = table(1)
    wide = learning_limit(TOKENS, LOSSES[1], common_error=0.05)
    z = 1.959963984540054
    assert wide.limit == plain.limit
    assert wide.high - wide.limit == pytest.approx(math.hypot(plain.high - plain.limit, z * 0.05))
    assert wide.at(1e9)[2] > plain.at(1e9)[2]


def test_bounds_hold_and_are_reported():
    fit = learning_limit(TOKENS, LOSSES[2], lower=3.85)
    assert fit.limit >= 3.85
    assert fit.low == 3.85
    assert not fit.identifiable
    assert "reaches 3.85" in fit.reason
    assert learning_limit(TOKENS, LOSSES[2], upper=3.8).high == 3.8


@pytest.mark.parametrize(
    ("tokens", "losses", "reason"),
    [
        (TOKENS[:3], LOSSES[1][:3], "3 size"),
        (TOKENS[:4], LOSSES[1][:4], "span a factor 7.76, 10 needed"),
        (TOKENS, LOSSES[1][::-1], "does not fall"),
    ],
    ids=["sizes", "decade", "rising"],
)
def test_losses_that_cannot_be_fitted_are_refused(tokens, losses, reason):
    fit = learning_limit(tokens, losses)
    assert fit.limit is None
    assert fit.low is None
    assert not fit.identifiable
    assert reason in fit.reason
    assert fit.at(1e9) is None
    assert fit.tokens_to_reach(0.1) is None


def test_a_loss_linear_in_log_tokens_has_no_limit():
    fit = learning_limit(TOKENS, 8 - 0.2 * np.log(TOKENS))
    assert not fit.identifiable


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"tokens": TOKENS[:6]}, "one length"),
        ({"tokens": TOKENS[::-1]}, "increasing"),
        ({"losses": [math.nan] * 7}, "finite"),
        ({"errors": np.zeros(7)}, "errors"),
        ({"errors": np.ones(3)}, "errors"),
        ({"level": 1.0}, "level"),
        ({"lower": 5, "upper": 4}, "lower"),
        ({"common_error": -1.0}, "common_error"),
    ],
)
def test_bad_input_is_refused(changes, match):
    values = {"tokens": TOKENS, "losses": LOSSES[1]} | changes
    with pytest.raises(InputError, match=match):
        learning_limit(**values)
    with pytest.raises(InputError, match="tokens"):
        table(1).at(-1)
    with pytest.raises(InputError, match="excess"):
        table(1).tokens_to_reach(0)
