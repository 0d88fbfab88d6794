"""The solvable model: planar formulas against tabled values, and against the model itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ngramstat.errors import InputError
from ngramstat.theories.solvable import (
    SolvableModel,
    best_ridge,
    finite_size_factor,
    implicit_scale,
    local_exponents,
    planar_loss,
    simulate,
    spectrum,
)

M = 1000


def model(alpha, features, samples, ridge=0.0, latents=M, **extra):
    return SolvableModel(spectrum(alpha, latents), features, samples, ridge, **extra)


# docs/theory.md 7: M E at s_w^2 = 1.
TABLE = [
    (0.5, 50, 200, 0, 0.56909), (0.5, 200, 50, 0, 0.56909), (0.5, 100, 400, 0, 0.36532),
    (0.5, 100, 120, 0, 1.64393), (1, 50, 200, 0, 0.06183), (1, 100, 400, 0, 0.02987),
    (1, 100, 120, 0, 0.13439), (1, 100, 100, 1e-2, 0.04782), (1, 100, 100, 1e-3, 0.07877),
    (1, 50, 200, 1e-2, 0.05977), (0.5, 50, 200, 1e-2, 0.56622),
]  # fmt: skip


@pytest.mark.parametrize(("alpha", "features", "samples", "ridge", "value"), TABLE)
def test_planar_losses_equal_the_tabled_ones(alpha, features, samples, ridge, value):
    assert M * planar_loss(model(alpha, features, samples, ridge)) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize(
    ("alpha", "features", "samples", "ridge"), [case[:4] for case in TABLE if case[3] or case[0]]
)
def test_the_simulated_model_has_the_planar_loss(alpha, features, samples, ridge):
    one = model(alpha, features, samples, ridge)
    result, error = simulate(one, draws=30, teachers=32, seed=3)
    expected = planar_loss(one)
    # Near N = T sizes of a hundred are not large: 4.4 % at (100, 120).
    if ridge == 0:
        expected *= finite_size_factor(features, samples)
    assert result == pytest.approx(expected, rel=0.03)
    assert error < 0.02 * expected


def asymptotic_scale(alpha, n):
    """g for an infinite power law: [pi / ((1+a) sin(pi/(1+a))) / (n + 1/2)]^(1+a)."""
    power = 1 + alpha
    return (math.pi / (power * math.sin(math.pi / power)) / (n + 0.5)) ** power


def test_implicit_scales():
    assert implicit_scale(spectrum(0.5, M), 100) == pytest.approx(2.739879e-3, rel=1e-6)
    assert implicit_scale(spectrum(1, M), 100) == pytest.approx(2.239898e-4, rel=1e-6)
    lam = spectrum(1, 2_000_000)
    for n, value in ((10, 0.223800), (100, 0.024428), (1000, 0.002464)):
        assert implicit_scale(lam, n) * n == pytest.approx(value, abs=1e-6)
        assert asymptotic_scale(1, n) * n == pytest.approx(value, abs=2e-6)
    with pytest.raises(InputError, match="must lie between 0 and the 1000"):
        implicit_scale(spectrum(1, M), 1000)


def test_a_plateau_where_features_bind_and_a_peak_where_they_meet_samples():
    samples = (60, 100, 200, 400, 1000, 10**4)
    losses = [300 * planar_loss(model(1, 50, t, latents=300)) for t in samples]
    tabled = [0.24934, 0.08311, 0.05541, 0.04749, 0.04374, 0.04176]
    assert losses == pytest.approx(tabled, abs=1e-5)
    assert 300 * planar_loss(model(1, 50, 10**8, latents=300)) == pytest.approx(0.04156, abs=1e-5)
    # The double descent: infinite at N = T in the formula, and a peak there in the model itself.
    assert planar_loss(model(1, 50, 50)) == math.inf
    around = [simulate(model(1, 50, t), draws=30, teachers=8, seed=1)[0] for t in (35, 50, 75)]
    assert around[1] > 3 * max(around[0], around[2])
    # Beyond the last latent nothing is left to learn.
    assert planar_loss(model(1, 400, 350, latents=300)) == 0.0
    assert simulate(model(1, 400, 350, latents=300), draws=2)[0] < 1e-12


@pytest.mark.parametrize(("features", "samples"), [(50, 10), (50, 49), (50, 51), (50, 4000)])
def test_a_small_ridge_changes_nothing(features, samples):
    without = planar_loss(model(1, features, samples, latents=300))
    assert planar_loss(model(1, features, samples, 1e-13, latents=300)) == pytest.approx(
        without, rel=1e-6
    )


def test_noise_adds_a_plateau():
    clean, noisy = (model(1, 50, 400, 1e-2, noise_variance=s) for s in (0.0, 0.5))
    assert planar_loss(noisy) > planar_loss(clean) + 0.5
    result, error = simulate(noisy, draws=20, teachers=32)
    assert abs(result - planar_loss(noisy)) < max(0.03 * planar_loss(noisy), 3 * error)
    with pytest.raises(InputError, match="needs a ridge"):
        planar_loss(model(1, 50, 400, noise_variance=0.5))


def test_the_best_ridge_removes_the_peak():
    at_peak = best_ridge(model(1, 100, 100))
    assert at_peak[0] > 0
    assert at_peak[1] < 0.5 * planar_loss(model(1, 100, 120))
    # A fixed budget N + T is best spent on equal parts.
    budgets = {n: best_ridge(model(1, n, 200 - n))[1] for n in (40, 70, 100, 130, 160)}
    assert min(budgets, key=budgets.get) == 100
    assert budgets[40] == pytest.approx(budgets[160], rel=1e-6)


@pytest.mark.parametrize("alpha", [0.3, 0.7, 1.0])
def test_both_exponents_are_alpha(alpha):
    # Data bind where features abound, and the other way round.
    lam = spectrum(alpha, 1_000_000)
    sizes = [16, 32, 64, 128]
    for losses in (
        [planar_loss(SolvableModel(lam, 8 * n, n)) for n in sizes],
        [planar_loss(SolvableModel(lam, n, 8 * n)) for n in sizes],
    ):
        assert local_exponents(sizes, losses) == pytest.approx([alpha] * 3, abs=0.05)


@pytest.mark.nightly
@pytest.mark.parametrize("alpha", [0.3, 0.7, 1.0])
@pytest.mark.parametrize("which", ["data", "parameters"])
def test_both_exponents_of_the_simulated_model_are_alpha(alpha, which):
    lam = spectrum(alpha, 400_000)
    sizes = np.array([8, 16, 32, 64])
    losses = [
        simulate(
            SolvableModel(lam, *((4 * n, n) if which == "data" else (n, 4 * n))),
            draws=6, teachers=64, seed=int(n),
        )[0]
        for n in sizes
    ]  # fmt: skip
    # (n + 1/2) is what the formula's finite sizes come to.
    slope = -np.polyfit(np.log(sizes + 0.5), np.log(losses), 1)[0]
    assert slope == pytest.approx(alpha, abs=0.05)


def test_invalid_arguments_are_refused():
    with pytest.raises(InputError, match="alpha=-1"):
        spectrum(-1, 10)
    with pytest.raises(InputError, match="latents=0"):
        spectrum(1, 0)
    with pytest.raises(InputError, match="at least one of each"):
        model(1, 0, 10)
    with pytest.raises(InputError, match="cannot be negative"):
        model(1, 10, 10, ridge=-1)
    with pytest.raises(InputError, match="less than two apart"):
        finite_size_factor(10, 11)
    with pytest.raises(InputError, match="two draws"):
        simulate(model(1, 10, 20), draws=1)
