"""Expected losses through measured ones."""

from __future__ import annotations

import numpy as np
import pytest

from ngramstat.errors import InputError
from ngramstat.prediction.loss_curve import loss_curve
from ngramstat.results import Exponent
from test_prediction import planted


def law(tokens, limit=1.7, scale=40.0, alpha=0.17):
    return limit + scale * np.asarray(tokens, dtype=float) ** -alpha


def test_two_losses_fix_the_curve():
    measured = [(p, float(law(p))) for p in (1e9, 1e7)]
    points, fit = loss_curve(measured, planted(0.17, 0.0), np.full(99, 0.17), [1e8, 1e12])
    np.testing.assert_allclose([p.loss for p in points], law([1e8, 1e12]), rtol=1e-9)
    assert fit.limit == pytest.approx(1.7)
    assert fit.limit_low == pytest.approx(1.7)
    assert fit.scatter is None
    assert fit.reportable
    assert fit.tokens.tolist() == [1e7, 1e9]


def test_band_is_that_of_alpha_with_two_losses():
    alphas = np.linspace(0.1, 0.25, 1001)
    measured = [(p, float(law(p))) for p in (1e7, 1e9)]
    (inside, known, beyond), fit = loss_curve(
        measured, planted(0.17, 0.03), alphas, [1e8, 1e9, 1e12]
    )
    assert known.low == pytest.approx(known.loss)
    assert known.high == pytest.approx(known.loss)
    assert inside.high - inside.low < beyond.high - beyond.low

    def through(alpha: float, p: float) -> float:
        fraction = (1e7**-alpha - p**-alpha) / (1e7**-alpha - 1e9**-alpha)
        return measured[0][1] + fraction * (measured[1][1] - measured[0][1])

    low, high = np.quantile([through(a, 1e12) for a in alphas], [0.025, 0.975])
    assert beyond.low == pytest.approx(low, abs=1e-3)
    assert beyond.high == pytest.approx(high, abs=1e-3)
    assert fit.limit_low < 1.7 < fit.limit_high


def test_coverage_with_scatter_and_uncertain_alpha():
    rng = np.random.default_rng(4)
    tokens = np.logspace(7, 9, 6)
    hits, limits, draws = 0, 0, 300
    for _ in range(draws):
        estimate = rng.normal(0.17, 0.01)
        alphas = rng.normal(estimate, 0.01, 400)
        measured = list(zip(tokens, law(tokens) + rng.normal(0, 0.01, 6), strict=True))
        (point,), fit = loss_curve(measured, planted(estimate, 0.01), alphas, [1e10])
        new = float(law(1e10)) + rng.normal(0, 0.01)
        hits += point.low <= new <= point.high
        limits += fit.limit_low <= 1.7 <= fit.limit_high
    assert 0.90 <= hits / draws <= 0.99
    assert 0.90 <= limits / draws <= 0.99


def test_more_losses_show_their_scatter():
    moved = {1e6: 1, 1e7: -1, 1e8: -1, 1e9: 1}
    measured = [(p, float(law(p)) + d) for p, d in moved.items()]
    _, fit = loss_curve(measured, planted(0.17, 0.0), np.full(99, 0.17), [1e10])
    assert 0.5 < fit.scatter < 2


def test_extreme_alphas_stay_finite():
    draws = np.concatenate([np.full(500, -0.1), np.full(499, np.inf)])
    measured = [(1e7, 4.0), (1e9, 3.0)]
    (point,), fit = loss_curve(measured, planted(0.17, 0.1), draws, [1e12])
    # From a straight line in log P to a curve that has reached its limit.
    assert point.low == pytest.approx(1.5, abs=1e-3)
    assert point.high == pytest.approx(3.0, abs=1e-6)
    assert fit.limit_low == 0.0


def test_reasons_are_passed_on():
    measured = [(1e7, 4.0), (1e9, 3.0)]
    unsure = planted(0.17, 0.01, reportable=False, reason="it bends")
    points, fit = loss_curve(measured, unsure, None, [1e10])
    assert len(points) == 1
    assert points[0].low is None
    assert not fit.reportable
    assert "it bends" in fit.reason
    none, refused = loss_curve(measured, Exponent.refused("no", method="m"), None, [1e10])
    assert none == ()
    assert refused.limit is None
    rising, fit = loss_curve([(1e7, 3.0), (1e9, 4.0)], planted(0.17, 0.01), None, [1e10])
    assert rising == ()
    assert "do not fall" in fit.reason


@pytest.mark.parametrize(
    ("measured", "match"),
    [
        ([(1e7, 4.0)], "1 measured"),
        ([(1e7, 4.0), (1e7, 3.0)], "two losses at 1e"),
        ([(1e7, 4.0), (1e8, -3.0)], "nats"),
        ([(0.0, 4.0), (1e8, 3.0)], "tokens"),
        ([(1e7, float("nan")), (1e8, 3.0)], "nan"),
    ],
)
def test_bad_losses_are_refused(measured, match):
    with pytest.raises(InputError, match=match):
        loss_curve(measured, planted(0.17, 0.01), None, [1e10])
