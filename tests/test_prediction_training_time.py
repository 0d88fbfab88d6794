"""The one-third law: its minimal models, and the fit of a loss against training time."""

from __future__ import annotations

import numpy as np
import pytest

from ngramstat.errors import InputError
from ngramstat.prediction.training_time import time_exponent
from reference_one_third import WINDOW, aligned_losses, binary_losses

# docs/theory.md 9.
TIMES = np.array([1, 10, 100, 1e3, 1e4, 1e5, 1e6])
LOSSES = [0.56745688, 0.28221275, 0.11856643, 0.05302759, 0.02437507, 0.01128803, 0.00523674]


def test_two_classes_have_the_exact_losses():
    np.testing.assert_allclose(binary_losses(TIMES), LOSSES, rtol=1e-6)
    late = binary_losses([1e9])[0]
    assert late == pytest.approx(np.pi / 6 * 1e-3, rel=1e-4)


def test_two_classes_obey_their_differential_equation():
    """dL/dt = -L'(D)^2, and L ~ c / D at late times."""
    t = np.geomspace(10, 1e4, 400)
    losses = binary_losses(t)
    slope = np.gradient(losses, t)
    c = np.pi**2 / (6 * np.sqrt(2 * np.pi))
    d = c / losses[-2]
    assert slope[-2] == pytest.approx(-((c / d**2) ** 2), rel=0.02)


def test_a_softmax_on_peaked_targets_falls_with_one_third():
    t = np.geomspace(1, 1e6, 61)
    losses = aligned_losses(t, samples=40_000)
    fit = time_exponent(t, losses, window=WINDOW)
    assert fit.reportable
    assert fit.value == pytest.approx(1 / 3, abs=0.03)
    assert fit.low <= 0.3333 + 0.01
    # Earlier the largest logits do not dominate yet, and the loss falls faster.
    early = time_exponent(t, losses, window=(1, 30))
    assert early.value > 0.4


def test_two_classes_equal_the_softmax_of_two():
    """The gap of two normal logits is root 2 |u|, so time runs twice as fast."""
    t = np.array([30.0, 300.0, 3000.0])
    softmax = aligned_losses(t, vocab_size=2, samples=400_000)
    np.testing.assert_allclose(softmax, binary_losses(2 * t), rtol=0.02)


def test_a_training_run_is_reportable_from_a_decade_of_summed_rates():
    """Losses are logged at even steps, of which none lies at exactly a tenth of the last."""
    logged = np.arange(1, 31) * 0.07
    fit = time_exponent(logged, 2 * logged ** (-1 / 3))
    assert fit.value == pytest.approx(1 / 3)
    assert fit.reportable
    assert fit.window == pytest.approx((0.21, 2.1))
    late = time_exponent(logged[5:], 2 * logged[5:] ** (-1 / 3))
    assert not late.reportable
    assert "10 needed" in late.reason


def test_the_fit_of_a_power_law_and_its_refusals():
    tau = np.geomspace(1, 1000, 40)
    fit = time_exponent(tau, 3 * tau**-0.25)
    assert fit.value == pytest.approx(0.25)
    assert fit.window == pytest.approx((tau[tau <= 100][-1], 1000))
    assert fit.reportable
    bent = time_exponent(tau, 2 + tau**-0.5, window=(1, 1000))
    assert not bent.reportable
    assert "slope changes" in bent.reason
    short = time_exponent(tau[:2], tau[:2] ** -0.3)
    assert not short.reportable
    with pytest.raises(InputError, match="one length"):
        time_exponent(tau, tau[:3])
