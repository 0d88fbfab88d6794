"""beta on planted curves: recovery, interval coverage, stages, windows and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.bootstrap import cluster_weights
from ngramstat.exponents.decay import beta_exponent, scaling_window
from ngramstat.results import Exponent

Floats = NDArray[np.float64]
LAGS = np.array([1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64])


def replicate(norm: Floats, noise: float, *, seed: int = 0, count: int = 200) -> Floats:
    """Replicates of a curve with independent relative noise."""
    rng = np.random.default_rng(seed)
    return norm * np.exp(noise * rng.normal(size=(count, len(norm))))


def fit(norm: Floats, *, lags: NDArray[np.int64] = LAGS, noise: float = 0.02) -> Exponent:
    return beta_exponent(
        lags, norm, np.ones(len(lags), dtype=bool), replicates=replicate(norm, noise)
    )


def method_of(result: Exponent, name: str) -> dict[str, object]:
    return next(dict(a) for a in result.alternatives if name in a["method"])


@pytest.mark.parametrize("beta", [0.3, 0.9, 2.0])
def test_planted_exponent_is_recovered(beta: float) -> None:
    result = fit(0.01 * LAGS**-beta)
    assert result.reportable
    assert result.reason is None
    assert result.value == pytest.approx(beta, abs=1e-10)
    assert result.low is not None
    assert result.high is not None
    assert result.low < beta < result.high
    assert result.window == (1, 64)
    assert result.points == 12


def test_interval_covers_with_document_bootstrap() -> None:
    """Documents with their own level and slope of the norm: 95% intervals cover 95% of draws."""
    rng = np.random.default_rng(11)
    documents, draws = 80, 300
    inside = 0
    for _ in range(draws):
        level = 1 + 0.3 * rng.normal(size=(documents, 1))
        tilt = 0.2 * rng.normal(size=(documents, 1)) * (np.log(LAGS) - 2)
        scatter = 0.2 * rng.normal(size=(documents, len(LAGS)))
        curves = LAGS**-0.9 * (level + tilt + scatter)  # mean exactly LAGS**-0.9
        weights = np.vstack(list(cluster_weights(documents, 200, rng)))
        result = beta_exponent(
            LAGS,
            curves.mean(axis=0),
            np.ones(len(LAGS), dtype=bool),
            replicates=weights @ curves / documents,
            window=(1, 64),
        )
        assert result.low is not None
        assert result.high is not None
        inside += result.low <= 0.9 <= result.high
    # Standard error 1.3% over 300 draws; a percentile interval of 80 documents is 1-2% short.
    assert 0.90 <= inside / draws <= 0.98


def test_two_stages_headline_is_the_first() -> None:
    lags = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
    norm = np.where(lags <= 32, lags**-1.0, 32**-0.7 * lags**-0.3)
    result = fit(norm, lags=lags)
    assert result.reportable
    assert result.value == pytest.approx(1.0, abs=1e-9)
    assert result.window == (1, 32)
    assert "first stage" in result.method
    second = method_of(result, "second stage")
    assert second["value"] == pytest.approx(0.3, abs=1e-9)
    assert second["window"] == [32, 512]
    single = method_of(result, "single power law over the whole")
    assert single["window"] == [1, 512]
    assert 0.3 < float(str(single["value"])) < 1.0
    assert method_of(result, "first half")["value"] == pytest.approx(1.0, abs=1e-9)
    assert method_of(result, "jackknife")["low"] == pytest.approx(1.0, abs=1e-9)


def test_steeper_second_stage_stays_one_fit_but_is_told() -> None:
    lags = 2 ** np.arange(10)
    norm = np.where(lags <= 32, lags**-0.8, 32**0.4 * lags**-1.2)
    result = fit(norm, lags=lags)
    assert result.window == (1, 512)
    assert method_of(result, "after the best break")["value"] == pytest.approx(1.2, abs=1e-9)


def test_wikipedia_norms_of_the_theory_sheet() -> None:
    lags = np.array([1, 2, 3, 4, 8, 11, 16, 32, 64, 256, 512])
    norm = 1e-4 * np.array([95.1, 43.6, 17.3, 10.9, 6.62, 5.87, 3.93, 3.11, 2.50, 1.81, 1.87])
    valid = np.ones(11, dtype=bool)
    paper = beta_exponent(
        lags, norm, valid, replicates=replicate(norm, 0.02), window=(1, 32), level=0.95
    )
    # The theory sheet's .979 came from a denser set of lags.
    assert paper.value == pytest.approx(0.979, abs=0.05)
    assert paper.reportable
    # 8 million tokens: kappa = .24 gives the floor, which lifts the last norms by some 10 %.
    automatic = beta_exponent(
        lags, norm, valid, replicates=replicate(norm, 0.02), floor=np.full(11, 0.85e-4)
    )
    assert "first stage" in automatic.method
    assert automatic.window == (1, 16)
    assert automatic.value == pytest.approx(1.14, abs=0.01)
    assert method_of(automatic, "second stage")["window"] == [16, 512]


def test_the_first_stage_ends_where_the_tail_begins_not_at_the_best_hinge() -> None:
    """Norms measured on 3.5 million tokens of Wikipedia: steep to lag 8, and no sharp break."""
    lags = np.array(
        [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 19, 23, 27, 32, 38, 45, 54, 64, 76, 91, 108, 128,
         181, 256, 362, 512]
    )  # fmt: skip
    norm = 1e-4 * np.array(
        [94.87, 43.26, 17.55, 10.74, 8.93, 7.61, 6.87, 6.52, 6.13, 5.58, 4.82, 3.97, 3.55, 3.45,
         3.34, 3.23, 2.97, 2.81, 2.55, 2.54, 2.34, 2.53, 2.41, 2.13, 2.03, 2.06, 1.90, 2.01]
    )  # fmt: skip
    result = beta_exponent(
        lags,
        norm,
        np.ones(len(lags), dtype=bool),
        replicates=replicate(norm, 0.02),
        floor=np.full(len(lags), 1.28e-4),
    )
    assert result.reportable
    assert result.window == (1, 16)
    spread = method_of(result, "range over where")
    assert spread["breaks"][0] == 8  # the best hinge
    assert result.value is not None
    assert float(str(spread["low"])) <= result.value <= float(str(spread["high"]))
    # The choice of lags moves the exponent by far more than the documents do.
    jackknife = method_of(result, "jackknife")
    assert result.low is not None
    assert result.high is not None
    width = float(str(jackknife["high"])) - float(str(jackknife["low"]))
    assert width > 3 * (result.high - result.low)


def test_sharp_break_within_the_first_decade_is_refused() -> None:
    lags = 2 ** np.arange(10)
    result = fit(np.where(lags <= 4, lags**-1.5, 4**-1.2 * lags**-0.3), lags=lags)
    assert not result.reportable
    assert "0.60 decades" in str(result.reason)
    assert method_of(result, "second stage")["value"] == pytest.approx(0.3, abs=1e-9)


def test_user_window_is_taken_as_given() -> None:
    lags = 2 ** np.arange(10)
    norm = np.where(lags <= 32, lags**-1.0, 32**-0.7 * lags**-0.3)
    valid = np.ones(10, dtype=bool)
    result = beta_exponent(lags, norm, valid, replicates=replicate(norm, 0.01), window=(32, 512))
    assert result.window == (32, 512)
    assert result.value == pytest.approx(0.3, abs=1e-9)
    assert "as given" in result.method
    assert method_of(result, "automatic window")["window"] == [1, 512]
    short = beta_exponent(lags, norm, valid, replicates=replicate(norm, 0.01), window=(1, 8))
    assert not short.reportable
    assert "0.90 decades" in str(short.reason)


@pytest.mark.parametrize(
    ("marks", "window"),
    [
        ("111111111111", (1, 64)),
        ("111110111111", (1, 64)),
        ("111110011111", (1, 64)),
        ("111110001111", (1, 6)),
        ("111111111100", (1, 32)),
        ("001111111111", (3, 64)),
        ("100000000001", (1, 1)),
        ("000000000000", None),
    ],
)
def test_scaling_window(marks: str, window: tuple[int, int] | None) -> None:
    assert scaling_window(LAGS, np.array([m == "1" for m in marks])) == window


def test_scaling_window_is_stricter_with_few_lags() -> None:
    assert scaling_window(LAGS[:8], np.array([1, 1, 1, 0, 0, 1, 1, 1], dtype=bool)) == (1, 3)
    assert scaling_window(LAGS[:4], np.array([1, 1, 0, 1], dtype=bool)) == (1, 2)


def test_invalid_lags_inside_are_kept_and_told() -> None:
    valid = np.ones(len(LAGS), dtype=bool)
    valid[5] = False
    norm = LAGS**-0.9
    result = beta_exponent(LAGS, norm, valid, replicates=replicate(norm, 0.02))
    assert result.points == 12
    assert "1 lag(s) under the validity threshold inside the window kept" in result.method


def test_exponential_is_refused() -> None:
    lags = np.arange(1, 33)
    result = fit(np.exp(-lags / 6), lags=lags)
    assert not result.reportable
    assert "exponential decay fits better" in str(result.reason)
    assert result.value is not None


def test_markov_norms_are_refused() -> None:
    """Exact norms of the 3-state chain of the theory sheet, section 9.4."""
    matrix = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]])
    pi = np.array([0.45, 0.35, 0.2])
    lags = np.arange(1, 25)
    norm = np.array(
        [
            np.linalg.norm(np.diag(pi) @ (np.linalg.matrix_power(matrix, int(t)) - pi), ord=2)
            for t in lags
        ]
    )
    assert norm[0] == pytest.approx(0.2485190559, abs=1e-9)
    result = fit(norm, lags=lags)
    assert not result.reportable
    assert "exponential" in str(result.reason)


def test_flat_curve_is_refused() -> None:
    result = fit(np.full(12, 0.01))
    assert not result.reportable
    assert "R^2" in str(result.reason)


def test_noise_is_refused() -> None:
    rng = np.random.default_rng(7)
    refused = 0
    for seed in range(50):
        norm = 1e-4 * np.exp(0.3 * rng.normal(size=12))
        result = beta_exponent(
            LAGS, norm, np.ones(12, dtype=bool), replicates=replicate(norm, 0.3, seed=seed)
        )
        refused += not result.reportable
    assert refused == 50
    nothing = beta_exponent(LAGS, np.ones(12), np.zeros(12, dtype=bool))
    assert nothing.value is None
    assert "noise floor" in str(nothing.reason)


def test_too_few_points_and_no_replicates_are_refused() -> None:
    few = beta_exponent(LAGS[:3], LAGS[:3] ** -1.0, np.ones(3, dtype=bool))
    assert few.value == pytest.approx(1.0)
    assert "3 valid lag(s)" in str(few.reason)
    assert "no bootstrap replicates" in str(few.reason)
    scarce = beta_exponent(
        LAGS,
        LAGS**-1.0,
        np.ones(12, dtype=bool),
        replicates=replicate(LAGS**-1.0, 0.1, count=10),
    )
    assert "10 bootstrap replicates, 40 needed" in str(scarce.reason)


def test_interval_that_includes_zero_is_refused() -> None:
    norm = LAGS**-0.2
    result = beta_exponent(
        LAGS, norm, np.ones(12, dtype=bool), replicates=replicate(norm, 2.0, count=400)
    )
    assert "includes zero" in str(result.reason)


def test_zero_and_negative_norms_never_crash() -> None:
    norm = 0.01 * LAGS**-1.0
    norm[3], norm[4], norm[5] = 0.0, -1e-5, np.nan
    result = beta_exponent(
        LAGS, norm, np.ones(12, dtype=bool), replicates=replicate(np.abs(norm), 0.01)
    )
    # Without the low points the curve would be flatter: the window ends before them.
    assert result.window == (1, 3)
    given = beta_exponent(
        LAGS,
        norm,
        np.ones(12, dtype=bool),
        replicates=replicate(np.abs(norm), 0.01),
        window=(1, 64),
    )
    assert given.value == pytest.approx(1.0, abs=1e-9)
    assert "3 lag(s) inside the window have no positive norm" in str(given.reason)
    broken = np.full((200, 12), -1.0)
    assert "only 0%" in str(
        beta_exponent(LAGS, LAGS**-1.0, np.ones(12, dtype=bool), replicates=broken).reason
    )


@settings(max_examples=200)
@given(
    arrays(np.float64, 8, elements=st.floats(-1, 1) | st.just(np.nan) | st.just(np.inf)),
    arrays(np.bool_, 8),
    st.none() | st.tuples(st.integers(1, 5), st.integers(5, 300)),
)
def test_any_curve_gives_an_exponent_or_a_reason(
    norm: Floats, valid: NDArray[np.bool_], window: tuple[int, int] | None
) -> None:
    reps = np.tile(norm, (50, 1))
    result = beta_exponent(2 ** np.arange(8), norm, valid, replicates=reps, window=window)
    assert result.reportable == (result.reason is None)


@pytest.mark.parametrize(
    ("lags", "valid", "options", "match"),
    [
        ([1, 2], np.ones(3, dtype=bool), {}, "one length"),
        ([1, 2, 2], np.ones(3, dtype=bool), {}, "increasing"),
        ([0, 1, 2], np.ones(3, dtype=bool), {}, "at least 1"),
        ([1, 2, 3], np.ones(3), {}, "bool"),
        ([1, 2, 3], np.ones(3, dtype=bool), {"window": (3, 1)}, "window"),
        ([1, 2, 3], np.ones(3, dtype=bool), {"level": 2.0}, "level"),
        ([1, 2, 3], np.ones(3, dtype=bool), {"replicates": np.ones((5, 2))}, "shape"),
    ],
)
def test_bad_input_is_refused(
    lags: list[int], valid: NDArray[np.bool_], options: dict[str, object], match: str
) -> None:
    with pytest.raises(InputError, match=match):
        beta_exponent(lags, np.ones(3), valid, **options)  # type: ignore[arg-type]
