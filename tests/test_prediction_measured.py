"""alpha of trained losses: planted laws, intervals, refusals, and the verdict."""

from __future__ import annotations

import numpy as np
import pytest

from ngramstat.errors import InputError
from ngramstat.prediction.measured import alpha_of_losses, alpha_with_limit, lower_envelope
from ngramstat.prediction.verdict import compare, conclude
from ngramstat.results import Exponent, Gate

P = np.geomspace(1e5, 6.4e6, 7)


def test_envelope_takes_the_smallest_loss_of_each_size():
    rows = lower_envelope([4, 1, 1, 2, 4, 2], [3.0, 9, 8, 5, 2, 6])
    assert rows.tolist() == [2, 3, 4]
    assert lower_envelope([], []).tolist() == []


def test_planted_laws_are_recovered():
    raw = alpha_of_losses(P, 7 * P**-0.1)
    assert raw.value == pytest.approx(0.1)
    assert raw.reportable
    assert raw.points == 7
    assert [a.points for a in raw.alternatives] == [3, 4, 5, 6]
    assert all(a.value == pytest.approx(0.1) for a in raw.alternatives)
    above = alpha_of_losses(P, 2 + 50 * P**-0.4, entropy_rate=2.0)
    assert above.value == pytest.approx(0.4)
    fitted = alpha_with_limit(P, 2 + 50 * P**-0.4)
    assert fitted.value == pytest.approx(0.4, abs=0.02)
    assert fitted.low <= 0.4 <= fitted.high


def test_raw_slopes_of_a_law_with_a_limit_are_too_small():
    """docs/theory.md 2.3: the raw slope is biased low, and its bend shows it."""
    fit = alpha_of_losses(P, 2 + 200 * P**-0.5)
    assert fit.value < 0.2
    assert not fit.reportable
    assert "slope changes" in fit.reason


def test_intervals_cover_scatter_and_documents():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(300):
        noisy = 7 * P**-0.1 * np.exp(0.01 * rng.standard_normal(len(P)))
        fit = alpha_of_losses(P, noisy)
        hits += fit.low <= 0.1 <= fit.high
    assert 0.91 <= hits / 300 <= 0.99
    clean = 7 * P**-0.1
    narrow = alpha_of_losses(P, clean)
    # Documents that tilt the whole curve.
    tilts = rng.normal(0.1, 0.02, 500)
    wide = alpha_of_losses(P, clean, replicates=clean * (P / P[0]) ** (0.1 - tilts[:, None]))
    assert narrow.high - narrow.low < 1e-9
    assert wide.high - wide.low == pytest.approx(2 * 1.96 * 0.02, rel=0.15)


def test_what_cannot_be_fitted_is_refused_with_the_reason():
    assert "3 training-set sizes" in alpha_of_losses(P[:3], P[:3] ** -0.1).reason
    assert "factor 4" in alpha_of_losses([1, 2, 3, 4], [4, 3.5, 3.2, 3.0]).reason
    assert "not above the limit" in alpha_of_losses(P, P**-0.1, entropy_rate=0.5).reason
    rising = alpha_of_losses(P, P**0.1)
    assert not rising.reportable
    assert "reaches zero" in rising.reason
    with pytest.raises(InputError, match="one length"):
        alpha_of_losses(P, P[:3])
    with pytest.raises(InputError, match="ascend"):
        alpha_of_losses(P[::-1], P)


def exponent(value, half, **kwargs):
    return Exponent(
        value=value,
        low=value - half,
        high=value + half,
        method="planted",
        reportable=True,
        **kwargs,
    )


REFUSED = Exponent.refused("no points", method="planted")


def test_comparisons():
    assert compare("raw", exponent(0.2, 0.02), exponent(0.23, 0.02)).outcome == "consistent"
    assert compare("raw", exponent(0.2, 0.01), exponent(0.23, 0.01)).outcome == "inconsistent"
    for a, b in ((REFUSED, exponent(0.2, 0.01)), (exponent(0.2, 0.01), REFUSED)):
        comparison = compare("raw", a, b)
        assert comparison.outcome == "indeterminate"
        assert "no points" in comparison.reason
    wide = compare("raw", exponent(0.2, 0.15), exponent(0.2, 0.01))
    assert wide.outcome == "indeterminate"
    assert "wider than its value" in wide.reason


def test_a_failed_gate_makes_the_verdict_indeterminate():
    yes = compare("raw", exponent(0.2, 0.02), exponent(0.2, 0.02))
    no = compare("limit", exponent(0.2, 0.01), exponent(0.3, 0.01))
    unknown = compare("raw", REFUSED, REFUSED)
    good = Gate(name="good", passed=True, meaning="")
    open_gate = Gate(name="open", passed=None, meaning="")
    bad = Gate(name="bad", passed=False, meaning="")
    assert conclude([yes, unknown], [good])[0] == "consistent"
    outcome, meaning = conclude([yes], [good, open_gate])
    assert outcome == "consistent"
    assert "Not known: open" in meaning
    assert conclude([yes, no], [good])[0] == "inconsistent"
    outcome, meaning = conclude([yes, no], [good, bad])
    assert outcome == "indeterminate"
    assert "bad" in meaning
    assert conclude([unknown], [good])[0] == "indeterminate"
    assert conclude([], [])[0] == "indeterminate"
