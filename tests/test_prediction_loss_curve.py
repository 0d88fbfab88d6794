"""Expected losses through measured ones."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from ngramstat.errors import InputError
from ngramstat.prediction.loss_curve import loss_curve
from ngramstat.results import Exponent
from test_prediction import planted


def law(tokens, limit=1.7, scale=40.0, alpha=0.17):
    return limit + scale * np.asarray(tokens, dtype=float) ** -alpha


def test_two_losses_and_alpha_fix_the_curve():
    measured = [(p, float(law(p))) for p in (1e9, 1e7)]
    points, fit = loss_curve(measured, planted(0.17, 0.0), np.full(99, 0.17), [1e8, 1e12])
    np.testing.assert_allclose([p.loss for p in points], law([1e8, 1e12]), rtol=1e-9)
    assert fit.form == "shifted"
    assert fit.limit == pytest.approx(1.7)
    assert fit.limit_low < 1.7 < fit.limit_high
    assert fit.scatter is None
    assert fit.reportable
    assert all(p.reportable for p in points)
    assert fit.tokens.tolist() == [1e7, 1e9]


def test_band_holds_alpha_scatter_and_drift():
    measured = [(p, float(law(p))) for p in (1e7, 1e9)]

    def width(tokens: float, error: float) -> float:
        alphas = np.random.default_rng(1).normal(0.17, error, 4000)
        (point,), _ = loss_curve(measured, planted(0.17, error), alphas, [tokens])
        return point.high - point.low

    # Where a loss was measured, another one scatters by half a percent about the curve.
    assert 0.01 < width(1e9, 1e-9) / float(law(1e9)) < 0.05
    assert width(1e9, 1e-9) < width(1e11, 1e-9) < width(1e13, 1e-9)  # drift of the slope
    assert width(1e11, 1e-9) < width(1e11, 0.05)


@pytest.mark.parametrize("alpha", [0.08, 0.17, 0.4])
def test_limit_lies_between_zero_and_the_smallest_loss(alpha):
    """Losses that no limit of at least zero fits gave a limit below zero."""
    rng = np.random.default_rng(2)
    tokens = np.logspace(6, 9, 6)
    measured = list(zip(tokens, 40 * tokens**-0.15, strict=True))
    alphas = rng.normal(alpha, 0.03, 999)
    (point,), fit = loss_curve(measured, planted(alpha, 0.03), alphas, [1e10])
    assert point.low < point.loss < point.high
    assert point.loss == pytest.approx(40 * 1e10**-0.15, rel=0.25)
    if fit.form == "shifted":
        assert 0 <= fit.limit_low <= fit.limit <= fit.limit_high <= measured[-1][1]
    else:  # they fall faster than this alpha allows, or too straight
        assert alpha != 0.17
        assert "does not describe" in fit.alpha_not_used
        assert fit.limit is None


def test_raw_alpha_belongs_to_a_law_without_a_limit():
    tokens = np.logspace(6, 8, 3)
    measured = list(zip(tokens, 40 * tokens**-0.18, strict=True))
    raw = planted(0.18, 0.01)
    points, fit = loss_curve(measured, raw, None, [4e8, 1e10], name="alpha_finite")
    assert (fit.form, fit.alpha, fit.limit) == ("raw", "alpha_finite", None)
    assert fit.slope_low < 0.18 < fit.slope_high
    assert points[0].reportable
    assert points[0].low < 40 * 4e8**-0.18 < points[0].high
    assert not points[1].reportable
    assert "100 times the largest" in points[1].reason
    # It informs the slope: with another alpha the same losses continue differently.
    (other, _), _ = loss_curve(measured[:2], planted(0.3, 0.01), None, [4e8, 1e10],
                               name="alpha_finite")  # fmt: skip
    (same, _), _ = loss_curve(measured[:2], raw, None, [4e8, 1e10], name="alpha_finite")
    assert other.loss < same.loss


def test_losses_alone_where_alpha_is_refused():
    refused = planted(0.3, 0.01, reportable=False, reason="it bends")
    tokens = np.logspace(6, 8, 7)
    measured = list(zip(tokens, 40 * tokens**-0.18, strict=True))
    with_value, fit = loss_curve(measured, refused, np.full(99, 0.3), [4e8])
    without, _ = loss_curve(measured, Exponent.refused("no", method="m"), None, [4e8])
    assert with_value == without  # the refused number has no influence
    assert (fit.form, fit.alpha) == ("losses", None)
    assert fit.reportable
    assert "it bends" in fit.alpha_not_used
    assert with_value[0].low < 40 * 4e8**-0.18 < with_value[0].high
    few, fit = loss_curve(measured[:4], refused, None, [1e8])
    assert not fit.reportable
    assert not few[0].reportable
    assert "4 losses, 5 needed" in fit.reason


def test_hindcast_of_published_and_counted_curves():
    """What benchmarks/loss_hindcast.py prints: coverage and width on all its curves."""
    from benchmarks.loss_hindcast import CURVES, cases, outcome

    found = [outcome(case) for case in cases(json.loads(CURVES.read_text())["curves"])]
    for kind, factors in {"trained": (4, 8), "counted": (2, 4)}.items():
        for factor in factors:
            rows = [o for o in found if (o.case.kind, o.case.factor) == (kind, factor)]
            assert len(rows) > 20
            assert np.mean([o.inside for o in rows]) >= 0.9
            assert max(o.half_width for o in rows) <= 0.15


def test_coverage_with_scatter_and_uncertain_alpha():
    rng = np.random.default_rng(4)
    tokens = np.logspace(7, 9, 6)
    hits, limits, draws = 0, 0, 300
    for _ in range(draws):
        estimate = rng.normal(0.17, 0.01)
        alphas = rng.normal(estimate, 0.01, 400)
        measured = list(zip(tokens, law(tokens) + rng.normal(0, 0.01, 6), strict=True))
        (point,), fit = loss_curve(measured, planted(estimate, 0.01), alphas, [1e10])
        # Beyond the measured sizes the slope wanders (CURVE_PRIOR), by log(10)^3 / 3 in the square.
        wandered = np.exp(rng.normal(0, 0.018 * np.sqrt(np.log(10) ** 3 / 3)))
        new = float(law(1e10)) * wandered + rng.normal(0, 0.01)
        hits += point.low <= new <= point.high
        limits += fit.limit_low <= 1.7 <= fit.limit_high
    assert 0.90 <= hits / draws <= 0.99
    assert 0.90 <= limits / draws <= 0.99


def test_more_losses_show_their_scatter():
    moved = {1e6: 0.1, 1e7: -0.1, 1e8: 0.1, 1e9: -0.1}
    measured = [(p, float(law(p)) + d) for p, d in moved.items()]
    _, fit = loss_curve(measured, planted(0.17, 0.0), np.full(99, 0.17), [1e10])
    assert fit.form == "shifted"
    assert 0.05 < fit.scatter < 0.2


def test_extreme_alphas_stay_finite():
    draws = np.concatenate([np.full(400, -0.1), np.full(300, 0.3), np.full(299, np.inf)])
    measured = [(1e7, 4.0), (1e9, 3.0)]
    (point,), fit = loss_curve(measured, planted(0.17, 0.1), draws, [1e12])
    assert 0 < point.low < 3.0
    # A curve that has reached its limit.
    assert 2.9 < point.high < 4.5
    assert 0 <= fit.limit_low <= fit.limit <= fit.limit_high <= 3.0


def test_losses_that_do_not_fall_have_no_curve():
    rising, fit = loss_curve([(1e7, 3.0), (1e9, 4.0)], planted(0.17, 0.01), None, [1e10])
    assert rising == ()
    assert not fit.reportable
    assert "do not fall" in fit.reason


def test_losses_alone_without_numbers_of_tokens():
    """The local slope is then all that is asked for."""
    refused = Exponent.refused("no window", method="none")
    points, fit = loss_curve([(1e7, 4.0), (1e8, 3.0)], refused, None, [])
    assert points == ()
    assert fit.slope == pytest.approx(math.log10(4 / 3), abs=0.05)


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
