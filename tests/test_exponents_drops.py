"""gamma from the drops of the entropy curve, on planted curves and on exact ones."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.drop_decay import MIN_DROPS, gamma_of_drops
from ngramstat.results import AlternativeKind
from ngramstat.synthetic import RunProcess

Floats = NDArray[np.float64]
N = np.arange(13)
EVERY = np.ones(13, dtype=bool)


def curve(gamma: float, limit: float = 1.0, amplitude: float = 3.0) -> Floats:
    """H_n = limit + amplitude n^-gamma, and a larger value for H_0."""
    return limit + amplitude * np.append(2.0, N[1:] ** -gamma)


def replicates(y: Floats, shared: float = 0.01, own: float = 1e-6, count: int = 200) -> Floats:
    """Noise that all contexts share, and a little that they do not."""
    rng = np.random.default_rng(5)
    level = shared * rng.standard_normal((count, 1))
    return y + level + own * rng.standard_normal((count, len(y)))


@pytest.mark.parametrize("gamma", [0.3, 0.7, 1.5])
@pytest.mark.parametrize("limit", [0.0, 2.0])
def test_planted_gamma_is_recovered_whatever_the_limit(gamma, limit):
    y = curve(gamma, limit)
    fit = gamma_of_drops(N, y, EVERY, replicates(y), np.zeros(13))
    assert fit.reportable
    assert fit.value == pytest.approx(gamma, abs=0.04)
    assert fit.window == (4, 12)
    assert fit.points == 9
    # The shared noise is a hundred times the last drop and cancels.
    assert fit.high - fit.low < 0.3
    assert [other.kind for other in fit.alternatives] == [
        AlternativeKind.WITHOUT_CORRECTION,
        AlternativeKind.FREE_CORRECTION,
        AlternativeKind.WITHOUT_FIRST_DROP,
        AlternativeKind.WITHOUT_LAST_DROP,
    ]


@pytest.mark.parametrize("mu", [0.5, 1.0, 2.0])
def test_exact_curves_of_the_run_process(mu):
    y = RunProcess(mu, 3).process_entropies(12)
    fit = gamma_of_drops(N, y, EVERY, replicates(y, own=1e-9), np.zeros(13))
    assert fit.reportable
    assert fit.value == pytest.approx(1 + mu, abs=0.05)


def test_uncertainty_from_bias_widens_the_interval():
    y = curve(0.7)
    sure = gamma_of_drops(N, y, EVERY, replicates(y), np.zeros(13))
    drops = np.append(0.0, y[:-1] - y[1:])
    unsure = gamma_of_drops(N, y, EVERY, replicates(y), 0.2 * drops)
    assert unsure.high - unsure.low > 2 * (sure.high - sure.low)
    # An estimate of unknown uncertainty ends the run of contexts.
    unknown = gamma_of_drops(N, y, EVERY, replicates(y), np.where(N > 9, np.inf, 0.0))
    assert unknown.window == (3, 9)


def test_a_curve_without_a_drop_is_refused():
    y = curve(0.7)
    y[7] = y[6]
    fit = gamma_of_drops(N, y, EVERY, replicates(y), np.zeros(13))
    assert fit.value is None
    assert fit.reason == "the entropy does not fall from n = 6 to 7"


def test_exponential_drops_are_refused():
    y = 1 + 2 * 0.5**N
    fit = gamma_of_drops(N, y, EVERY, replicates(y), np.zeros(13))
    assert not fit.reportable
    assert "exponential drops fit better" in str(fit.reason)


def test_a_curve_that_stops_falling_is_refused():
    """A chain of order 8: the drops end there, and the next one is known to be zero."""
    y = curve(0.5)
    y[9:] = y[8]
    fit = gamma_of_drops(N, y, N <= 8, replicates(y), np.zeros(13))
    assert not fit.reportable
    assert "not a power law: H_n falls by at most" in str(fit.reason)
    # If the next drop is unknown it cannot contradict the law.
    uncertainty = np.where(N >= 9, np.inf, 0.0)
    assert gamma_of_drops(N, y, N <= 8, replicates(y), uncertainty).reportable


@pytest.mark.parametrize(
    ("resolved", "window"),
    [
        (N != 1, (4, 12)),
        (N <= 8, (3, 8)),
        ((N >= 5) & (N <= 10), (5, 10)),
    ],
)
def test_the_longest_run_of_resolved_contexts_is_fitted(resolved, window):
    y = curve(0.7)
    fit = gamma_of_drops(N, y, resolved, replicates(y), np.zeros(13))
    assert fit.window == window


@pytest.mark.parametrize("resolved", [N <= 7, N < 0, (N % 2) == 1])
def test_too_few_drops_have_no_value(resolved):
    y = curve(0.7)
    fit = gamma_of_drops(N, y, resolved, replicates(y), np.zeros(13))
    assert fit.value is None
    assert f"{MIN_DROPS} needed" in str(fit.reason)


def test_too_many_replicates_that_do_not_fall_are_refused():
    y = curve(0.7)
    fit = gamma_of_drops(N, y, EVERY, replicates(y, own=0.3), np.zeros(13))
    assert not fit.reportable
    assert "of the bootstrap replicates fall" in str(fit.reason)
    alone = gamma_of_drops(N, y, EVERY, None, np.zeros(13))
    assert "no bootstrap replicates" in str(alone.reason)
    few = gamma_of_drops(N, y, EVERY, replicates(y, count=10), np.zeros(13))
    assert "10 bootstrap replicates, 40 needed" in str(few.reason)


def test_bad_arrays_are_refused():
    y = curve(0.7)
    with pytest.raises(InputError, match="count up from 0"):
        gamma_of_drops(N + 1, y, EVERY, None, np.zeros(13))
    with pytest.raises(InputError, match="one length"):
        gamma_of_drops(N, y[:5], EVERY, None, np.zeros(13))
    with pytest.raises(InputError, match="replicates: needs shape"):
        gamma_of_drops(N, y, EVERY, np.zeros((4, 5)), np.zeros(13))
