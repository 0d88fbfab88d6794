"""gamma of the limit curve and of the held-out curve, on planted entropies."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.entropy_decay import (
    LossesBySize,
    gamma_exponent,
)
from ngramstat.exponents.entropy_decay import (
    gamma_finite_exponent as finite_exponent,
)
from ngramstat.exponents.fit import power_law
from ngramstat.results import AlternativeKind

Floats = NDArray[np.float64]
N = np.arange(0, 9)
RAW = np.concatenate([[7.0], 5 * N[1:] ** -0.3])


def replicates(curve: Floats, noise: float = 0.003, count: int = 200) -> Floats:
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(count, 1))
    return curve * np.exp(noise * (shared + 0.2 * rng.normal(size=(count, len(curve)))))


def test_planted_gamma_is_recovered() -> None:
    result = gamma_exponent(N, RAW, RAW * 0.99, RAW * 1.01, N <= 6)
    assert result.reportable
    assert result.value == pytest.approx(0.3, abs=1e-12)
    assert result.window == (1, 6)
    assert result.points == 6


def test_bracket_extremes_are_exact() -> None:
    rng = np.random.default_rng(1)
    n = np.array([1, 2, 3, 4])
    y = 4 * n**-0.25
    low, high = y * (1 - 0.05 * rng.random(4)), y * (1 + 0.05 * rng.random(4))
    result = gamma_exponent(n, y, low, high, np.ones(4, dtype=bool))
    corners = [
        power_law(n, np.where(choice, high, low)).exponent for choice in product([0, 1], repeat=4)
    ]
    assert result.low == pytest.approx(min(corners), abs=1e-12)
    assert result.high == pytest.approx(max(corners), abs=1e-12)


def test_shifted_alternative_recovers_the_entropy_rate() -> None:
    y = 1 + 4 * np.arange(1, 9.0) ** -0.4
    result = gamma_exponent(np.arange(1, 9), y, y * 0.999, y * 1.001, np.ones(8, dtype=bool))
    shifted = result.alternatives[0]
    assert shifted.kind is AlternativeKind.SHIFTED
    assert shifted.identifiable
    assert shifted.value == pytest.approx(0.4, abs=1e-5)
    assert shifted.entropy_rate == pytest.approx(1.0, abs=1e-4)
    assert result.value is not None
    assert result.value < 0.4  # the raw slope is biased low


def test_a_curve_that_barely_falls_does_not_determine_its_limit() -> None:
    y = 2 * np.arange(1, 4.0) ** -0.016
    result = gamma_exponent([1, 2, 3], y, y * 0.999, y * 1.001, np.ones(3, dtype=bool))
    assert result.value == pytest.approx(0.016)
    assert result.reason is not None
    assert result.reason.startswith("the entropy falls by 1.7% from n = 1 to 3, 10% needed")


def test_drops_that_contradict_a_limit_of_zero() -> None:
    """A curve over a high floor: nearly straight in log-log, but its drops are not A n^-gamma's."""
    n = np.arange(0, 5)
    y = 1.7 + 0.4 * np.append(3.0, n[1:] ** -0.9)
    resolved = n >= 0
    arguments = (n, y, y * 0.999, y * 1.001, resolved)
    assert gamma_exponent(*arguments).reportable
    sure = gamma_exponent(*arguments, drop_error=np.full(5, 1e-5))
    assert not sure.reportable
    assert "H_inf is not 0" in str(sure.reason)
    unsure = gamma_exponent(*arguments, drop_error=np.full(5, np.inf))
    assert unsure.reportable
    raw = gamma_exponent(N, RAW, RAW * 0.999, RAW * 1.001, N <= 6, drop_error=np.full(9, 1e-9))
    assert raw.reportable
    with pytest.raises(InputError, match="drop_error"):
        gamma_exponent(*arguments, drop_error=np.zeros(3))


def test_three_points_do_not_identify_the_shift() -> None:
    result = gamma_exponent(N[:4], RAW[:4], RAW[:4] * 0.99, RAW[:4] * 1.01, N[:4] >= 0)
    assert result.reportable
    shifted = result.alternatives[0]
    assert shifted.value is None
    assert not shifted.identifiable
    assert "not identifiable" in shifted.method


@pytest.mark.parametrize(
    ("resolved", "match"),
    [
        (N <= 2, r"context\(s\) 1, 2 of n >= 1 resolved, 3 needed"),
        (N <= 0, "no context of n >= 1 resolved"),
        (N < 0, "no context"),
    ],
)
def test_too_few_resolved_contexts(resolved: NDArray[np.bool_], match: str) -> None:
    result = gamma_exponent(N, RAW, RAW, RAW, resolved)
    assert result.value is None
    assert not result.reportable
    assert re.search(match, str(result.reason))


def test_markov_entropies_are_refused() -> None:
    """H_n = H_1 for n >= 1 (docs/theory.md 12.4): no decay to fit."""
    y = np.concatenate([[1.04865379], np.full(8, 0.74778998)])
    result = gamma_exponent(N, y, y * 0.999, y * 1.001, np.ones(9, dtype=bool))
    assert not result.reportable
    assert "zero or growth" in str(result.reason)


def test_not_computed_limits_count_as_unresolved() -> None:
    y = RAW.copy()
    y[3:] = np.nan
    result = gamma_exponent(N, y, y, y, np.ones(9, dtype=bool))
    assert "1, 2 of n" in str(result.reason)


def settled(n: np.ndarray, y: np.ndarray) -> LossesBySize:
    """A learner whose losses are the same at every size."""
    return LossesBySize([1e6, 2e6, 4e6], np.tile(y, (3, 1)), "Kneser-Ney")


def gamma_finite_exponent(n, y, reps, **options):
    """With a learning curve that has settled, where none is given."""
    return finite_exponent(n, y, reps, **{"sizes": settled(n, y), **options})


def growing(*slopes: float) -> LossesBySize:
    """A learner with these slopes at 1, 2, 4 ... million tokens."""
    losses = [4 * np.maximum(N, 1.0) ** -slope for slope in slopes]
    return LossesBySize(1e6 * 2.0 ** np.arange(len(slopes)), losses, "Kneser-Ney")


def test_slope_that_grows_with_the_tokens_is_refused_with_every_size() -> None:
    """Slopes of Kneser-Ney on English Wikipedia: straight in n or not, they grow with P."""
    slopes = (0.066, 0.086, 0.107, 0.131, 0.155, 0.179)
    y = 4 * np.maximum(N, 1.0) ** -0.179
    result = gamma_finite_exponent(N, y, replicates(y), sizes=growing(*slopes))
    assert result.value == pytest.approx(0.179)
    assert not result.reportable
    for words in ("3.2e+07 training tokens", "0.155 at 1.6e+07", "still rises by 17% per doubling"):
        assert words in str(result.reason)
    sizes = result.alternatives_of(AlternativeKind.AT_SIZE)
    assert [s.value for s in sizes] == pytest.approx(slopes)
    assert [s.extra["tokens"] for s in sizes] == [1e6 * 2**k for k in range(6)]
    falling = gamma_finite_exponent(N, y, replicates(y), sizes=growing(0.25, 0.21, 0.179))
    assert "still falls by" in str(falling.reason)
    # The paper's own slope moves by 3.5% over its last doubling.
    paper = gamma_finite_exponent(N, y, replicates(y), sizes=growing(0.173, 0.179))
    assert paper.reportable, paper.reason


def test_slope_at_one_size_is_not_known_to_have_settled() -> None:
    for sizes in (None, growing(0.3)):
        result = gamma_finite_exponent(N, RAW, replicates(RAW), sizes=sizes)
        assert not result.reportable
        assert "not known whether it has settled" in str(result.reason)
    with pytest.raises(InputError, match="shape"):
        gamma_finite_exponent(N, RAW, None, sizes=LossesBySize([1.0, 2.0], [[1.0]], "x"))
    with pytest.raises(InputError, match="ascend"):
        gamma_finite_exponent(N, RAW, None, sizes=LossesBySize([2.0, 1.0], [RAW, RAW], "x"))


def test_finite_gamma_is_recovered_with_its_interval() -> None:
    result = gamma_finite_exponent(N, RAW, replicates(RAW))
    assert result.reportable
    assert result.value == pytest.approx(0.3, abs=1e-12)
    assert result.low is not None
    assert result.high is not None
    assert result.low < 0.3 < result.high
    # A level shared by all contexts cancels: only the independent fifth of the noise remains.
    assert result.high - result.low < 4 * 0.003 * 0.2 * 1.5
    assert result.alternatives_of(AlternativeKind.LOCAL_SLOPE)[0].method == "local slope 1 -> 2"
    assert len(result.alternatives_of(AlternativeKind.LONGER_WINDOW)) == 1
    assert result.window == (1, 3)


def test_finite_gamma_coverage() -> None:
    rng = np.random.default_rng(9)
    documents, draws, inside = 60, 250, 0
    for _ in range(draws):
        level = 1 + 0.2 * rng.normal(size=(documents, 1))
        curves = RAW * (level + 0.1 * rng.normal(size=(documents, len(RAW))))
        rows = rng.integers(0, documents, size=(200, documents))
        reps = curves[rows].mean(axis=1)
        result = gamma_finite_exponent(N, curves.mean(axis=0), reps)
        assert result.low is not None
        assert result.high is not None
        inside += result.low <= 0.3 <= result.high
    assert 0.90 <= inside / draws <= 0.98


def test_bending_curve_is_refused_with_both_slopes() -> None:
    y = RAW.copy()
    y[3:] = y[2] * (N[3:] / 2.0) ** -0.05
    result = gamma_finite_exponent(N, y, replicates(y))
    assert not result.reportable
    assert "bends" in str(result.reason)
    assert "0.300 before n = 2" in str(result.reason)
    assert "0.050 after it" in str(result.reason)
    assert "short of data beyond n = 2" in str(result.reason)
    assert result.value is not None


def test_curve_that_turns_up_is_a_bend() -> None:
    y = RAW.copy()
    y[3] = y[2] * 1.1
    assert "bends" in str(gamma_finite_exponent(N, y, replicates(y)).reason)


def test_steepening_curve_does_not_blame_the_learner() -> None:
    y = np.array([7.0, 5.0, 4.8, 3.0, 2.5])
    reason = str(gamma_finite_exponent(N[:5], y, replicates(y)).reason)
    assert "does not follow one power law" in reason


def test_flat_or_missing_curves_are_refused() -> None:
    flat = np.full(9, 3.0)
    assert "not significantly above zero" in str(
        gamma_finite_exponent(N, flat, replicates(flat)).reason
    )
    assert "no bootstrap" in str(gamma_finite_exponent(N, RAW, None).reason)
    scarce = gamma_finite_exponent(N, RAW, replicates(RAW, count=10))
    assert "40 needed" in str(scarce.reason)
    short = gamma_finite_exponent(N[:3], RAW[:3], replicates(RAW)[:, :3])
    assert short.value is None
    assert "2 context(s)" in str(short.reason)
    assert short.alternatives[0].method == "local slope 1 -> 2"


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="window"):
        gamma_finite_exponent(N, RAW, None, window=(3, 1))
    with pytest.raises(InputError, match="one length"):
        finite_exponent(N, RAW[:3], None)
    with pytest.raises(InputError, match="shape"):
        gamma_finite_exponent(N, RAW, np.ones((5, 2)))
    with pytest.raises(InputError, match="increasing"):
        gamma_exponent(N[::-1], RAW, RAW, RAW, N >= 0)
    with pytest.raises(InputError, match="bool"):
        gamma_exponent(N, RAW, RAW, RAW, np.ones(9))
    with pytest.raises(InputError, match="one length"):
        gamma_exponent(N, RAW[:2], RAW, RAW, N >= 0)
