"""Collapse and delta on the ansatz curves of the theory (sheet 1.6), whose values are known."""

from __future__ import annotations

import numpy as np
import pytest

from ngramstat.errors import InputError
from ngramstat.exponents.learning_limit import learning_limit
from ngramstat.prediction.collapse import collapse, collapse_members, curve_distance, rescaled

BETA, GAMMA = 0.9, 0.3
LEARNED = np.logspace(3, 9, 7)
# L_AR at P = 1e3 .. 1e9 by (beta, gamma, delta), and the last shifted local slope.
KNOWN = {
    (0.9, 0.3, 1.0): ([4.01555, 3.16858, 2.50508, 2.03154, 1.70403, 1.47990, 1.32700], 0.1666),
    (0.9, 0.3, 0.5): ([1.40775], 0.1654),
    (0.9, 0.3, 0.1): ([2.56848], 0.081),
    (0.88, 0.325, 1.0): ([1.25008], 0.1846),
}


def ansatz(tokens, contexts, beta=BETA, gamma=GAMMA, delta=1.0, shift=1.0):
    """L_n(P) of every context up to `contexts`: H_0 plus the drops learned by P tokens.

    H_n = 1 + 4 (n + shift)^-gamma, P*_n = 100 n^(2 beta), a fraction 1 - (P / P*_n)^-delta learned.
    """
    n = np.arange(contexts + 1.0)
    with np.errstate(divide="ignore"):
        entropy = 1 + 4 * np.maximum(n + shift, 1.0) ** -gamma
    x = np.asarray(tokens)[:, None] / (100 * n[None, 1:] ** (2 * beta))
    learned = np.where(x >= 1, 1 - np.maximum(x, 1.0) ** -delta, 0.0)
    return entropy[0] + np.cumsum(np.diff(entropy) * learned, axis=1)


@pytest.mark.parametrize(("world", "known"), KNOWN.items(), ids=str)
def test_ansatz_has_the_values_of_the_theory_document(world, known):
    values, slope = known
    curve = ansatz(LEARNED, 20_000, *world)[:, -1]
    np.testing.assert_allclose(curve[-len(values) :], values, atol=6e-6)
    last = -np.diff(np.log(curve[-2:] - 1))[0] / np.log(10)
    assert last == pytest.approx(slope, abs=1e-3)


def test_raw_slopes_are_biased_low():
    slopes = -np.diff(np.log(ansatz(LEARNED, 20_000)[:, -1])) / np.log(10)
    assert slopes[0] == pytest.approx(0.103, abs=5e-4)
    assert slopes[-1] == pytest.approx(0.047, abs=5e-4)


def rows(contexts=(4, 8, 16, 32, 64, 128), shift=0.0, **world):
    tokens = np.logspace(4, 9, 16)
    curves = ansatz(tokens, max(contexts), shift=shift, **world)
    n = np.repeat(contexts, len(tokens))
    return n, np.tile(tokens, len(contexts)), np.concatenate([curves[:, c - 1] for c in contexts])


def test_collapse_is_best_near_the_truth():
    result = collapse(*rows(), GAMMA, BETA, entropy_rate=1.0)
    assert result.protocol == "shifted"
    assert result.quality < 0.15
    assert result.overlap > 0.9
    assert result.best_gamma == pytest.approx(GAMMA, abs=0.016)
    assert result.best_beta == pytest.approx(BETA, abs=0.05)
    assert result.gamma_low <= GAMMA <= result.gamma_high
    assert result.beta_low <= BETA <= result.beta_high
    # A grid around other estimates has its best point at the same exponents.
    other = collapse(*rows(), 0.36, 0.75, entropy_rate=1.0)
    assert other.quality > 2 * result.quality
    assert other.best_gamma == pytest.approx(GAMMA, abs=0.02)
    assert other.best_beta == pytest.approx(BETA, abs=0.05)


def test_raw_protocol_prefers_a_smaller_gamma():
    result = collapse(*rows(), GAMMA, BETA)
    assert result.protocol == "raw"
    assert result.best_gamma < 0.8 * GAMMA
    assert result.quality > 2 * result.best_quality


def test_distance_by_hand():
    # Two lines in log-log, one twice the other: distance log 2 wherever they overlap.
    tokens = np.array([10.0, 100.0, 1000.0])
    n = np.repeat([1, 2], 3)
    loss = np.concatenate([10 * tokens**-0.1, 20 * tokens**-0.1])

    def distance_at(gamma: float, beta: float) -> tuple[float, float]:
        x, y = rescaled(n, np.tile(tokens, 2), loss, gamma, beta)
        return curve_distance(n, np.log(x), np.log(y))

    distance, overlap = distance_at(0.0, 0.0)
    assert distance == pytest.approx(np.log(2))
    assert overlap == 1.0
    # n^gamma undoes a factor 2 at gamma = -1; beta shifts one curve until nothing overlaps.
    assert distance_at(-1.0, 0.0)[0] < 1e-12
    far, none = distance_at(0.0, 10.0)
    assert np.isnan(far)
    assert none == 0.0
    x, y = rescaled([2], [8.0], [3.0], 1.0, 1.0, 1.0)
    assert (x[0], y[0]) == (2.0, 4.0)


def test_losses_that_a_collapse_cannot_use_are_left_out():
    n = np.array([0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3])
    y = np.full(11, 2.0)
    y[-1] = 0.5
    assert (
        collapse_members(n, y, 0.0).tolist() == [False] * 3 + [True] * 3 + [False] * 2 + [True] * 3
    )
    assert collapse_members(n, y, 1.0).tolist() == [False] * 3 + [True] * 3 + [False] * 5
    assert collapse(n, np.tile([1.0, 2.0, 3.0, 4.0], 3)[:11], y, 0.3, 0.9) is None
    with pytest.raises(InputError, match="one length"):
        collapse(n, y[:3], y, 0.3, 0.9)
    with pytest.raises(InputError, match="positive"):
        collapse(n, y, y, 0.3, 0.0)


@pytest.mark.parametrize("delta", [0.5, 1.0])
def test_delta_and_limit_of_the_ansatz(delta):
    """Above the threshold L_n - H_n ~ P^-delta exactly; the limit is H_n."""
    tokens = 2.0 ** np.arange(8) * 1e5
    curve = ansatz(tokens, 8, delta=delta)[:, 3]
    fit = learning_limit(tokens, curve)
    assert fit.identifiable
    assert fit.delta == pytest.approx(delta, abs=1e-3)
    assert fit.limit == pytest.approx(1 + 4 * 5**-GAMMA, abs=1e-5)
