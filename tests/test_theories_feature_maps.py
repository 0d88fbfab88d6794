"""Nonlinear random features: their spectrum against planar theory, and losses against theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import gegenbauer

from ngramstat.errors import InputError
from ngramstat.theories.feature_losses import best_ratio, planar_feature_loss, simulate_features
from ngramstat.theories.feature_maps import (
    FEATURE_MAPS,
    activation,
    effective_dimension,
    feature_covariance,
    feature_directions,
    feature_spectrum,
    feature_variance,
    hermite_coefficients,
)
from ngramstat.theories.planar_spectrum import planar_count, planar_eigenvalues
from ngramstat.theories.solvable import finite_size_factor

LATENTS = 64
# A power law that does not begin at its largest eigenvalues, spread over 30 dimensions.
SPECTRUM = (8.0 + np.arange(1, LATENTS + 1)) ** -1.5


@pytest.mark.parametrize("feature_map", FEATURE_MAPS)
def test_hermite_coefficients_give_the_covariance_of_two_features(feature_map):
    rng = np.random.default_rng(0)
    b = hermite_coefficients(feature_map)
    a = rng.standard_normal((2, 400_000))
    for rho in (0.3, -0.8):
        pair = (
            activation(feature_map, a[0]),
            activation(feature_map, rho * a[0] + math.sqrt(1 - rho**2) * a[1]),
        )
        expected = np.polynomial.polynomial.polyval(rho, b**2)
        assert np.mean(pair[0] * pair[1]) == pytest.approx(expected, abs=1e-2)
        directions = np.array([[1.0, 0.0], [rho, math.sqrt(1 - rho**2)]])
        exact = feature_covariance(feature_map, directions, directions)
        # 41 degrees are enough for all but the kink of ReLU at rho = 1.
        assert exact[0, 1] == pytest.approx(expected, abs=1e-6)
        assert exact[0, 0] == pytest.approx(feature_variance(feature_map), abs=1e-9)
    assert b[1] == pytest.approx({"linear": 1, "relu": 0.5, "tanh": 0.6057}[feature_map], abs=1e-4)


def test_the_spectrum_of_the_linear_map_is_that_of_normalised_latents():
    """E v_I^2 / |v|^2: the integral of lambda_I / (1 + 2 t lambda_I) prod (1 + 2 t lambda)^-1/2."""
    lam = SPECTRUM / SPECTRUM.sum()

    def density(log_t):
        t = math.exp(log_t)
        return t * lam / (1 + 2 * t * lam) * np.prod(1 + 2 * t * lam) ** -0.5

    expected = 0.01 * np.sum([density(x) for x in np.arange(-12, 8, 0.01)], axis=0)
    assert expected.sum() == pytest.approx(1, abs=1e-5)
    spectrum = feature_spectrum("linear", SPECTRUM, 1e-4)
    np.testing.assert_allclose(spectrum.eigenvalues, expected, rtol=0.02)
    assert spectrum.rest == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("feature_map", ["relu", "tanh"])
def test_latents_of_one_variance_have_the_spectrum_of_the_sphere(feature_map):
    """Funk and Hecke: one eigenvalue for all harmonics of a degree, by Gegenbauer polynomials."""
    m = 8
    spectrum = feature_spectrum(feature_map, np.ones(m), 1e-6)
    nodes, weights = np.polynomial.legendre.leggauss(2000)
    weights = weights * (1 - nodes**2) ** ((m - 3) / 2)
    kernel = np.polynomial.polynomial.polyval(nodes, hermite_coefficients(feature_map) ** 2)
    expected = []
    for degree in range(4):
        harmonic = gegenbauer(degree, m / 2 - 1)(nodes) / gegenbauer(degree, m / 2 - 1)(1.0)
        value = weights @ (kernel * harmonic) / weights.sum()
        number = math.comb(m + degree - 1, degree) - (
            math.comb(m + degree - 3, degree - 2) if degree > 1 else 0
        )
        expected += [value] * (number if value > 1e-9 else 0)
    expected = np.sort(expected)[::-1]
    found = spectrum.eigenvalues[: len(expected)]
    np.testing.assert_allclose(found, expected, rtol=0.06)
    np.testing.assert_allclose(found[8:].mean(), expected[8:].mean(), rtol=0.03)
    total = spectrum.eigenvalues.sum() + spectrum.rest
    assert total == pytest.approx(feature_variance(feature_map))


def simulated_eigenvalues(feature_map, spectrum, features, draws):
    found = []
    for seed in range(draws):
        v = feature_directions(spectrum, features, np.random.default_rng(seed))
        covariance = feature_covariance(feature_map, v, v)
        found.append(np.linalg.eigvalsh(covariance)[::-1] / features)
    return np.mean(found, axis=0)


@pytest.mark.parametrize("feature_map", ["relu", "tanh"])
def test_the_simulated_spectrum_follows_the_planar_one_beyond_the_latents(feature_map):
    """Within 5 % from the first rank beyond the latents to half the number of features."""
    features = 256
    assert effective_dimension(SPECTRUM) == pytest.approx(29.88, abs=0.01)
    spectrum = feature_spectrum(feature_map, SPECTRUM, 5e-6)
    ranks = np.unique(np.geomspace(LATENTS + 8, features // 2, 8).astype(int))
    planar = planar_eigenvalues(spectrum, features, ranks)
    simulated = simulated_eigenvalues(feature_map, SPECTRUM, features, draws=2)[ranks - 1]
    np.testing.assert_allclose(simulated, planar, rtol=0.05)
    # What the linear map has there is nothing.
    assert simulated_eigenvalues("linear", SPECTRUM, features, 1)[LATENTS] < 1e-12


def test_a_few_dominant_latents_are_outside_planar_theory():
    """The largest latent has 38 % of the variance: many features nearly repeat each other."""
    steep = np.arange(1, 17.0) ** -1.5
    assert effective_dimension(steep) < 5
    spectrum = feature_spectrum("tanh", steep, 5e-6)
    planar = planar_eigenvalues(spectrum, 256, [250])
    assert simulated_eigenvalues("tanh", steep, 256, 2)[249] < 0.5 * planar[0]


def test_counts_of_a_flat_spectrum_are_those_of_marchenko_and_pastur():
    latents, features = 400, 100
    flat = feature_spectrum("linear", np.ones(latents), 1e-4)
    ratio = features / latents
    edges = (1 + np.array([1, -1]) * math.sqrt(ratio)) ** 2 / features
    counts = planar_count(flat, features, [1.1 * edges[0], 1 / features, 0.85 * edges[1]])
    assert counts[0] == pytest.approx(0, abs=2)
    assert counts[2] == pytest.approx(features, abs=2)
    # In the middle: the density sqrt((x - a)(b - x)) / x above the mean, by a sum.
    x = np.linspace(*((1 + np.array([-1, 1]) * math.sqrt(ratio)) ** 2), 20001)
    density = np.sqrt(np.maximum((x - x[0]) * (x[-1] - x), 0)) / x
    above = density[x > 1].sum() / density.sum()
    assert counts[1] == pytest.approx(features * above, abs=2)


@pytest.mark.parametrize("feature_map", ["relu", "tanh"])
def test_simulated_losses_follow_the_planar_ones(feature_map):
    spectrum = feature_spectrum(feature_map, SPECTRUM, 1e-5)
    for features, samples, ridge in ((48, 144, 0.0), (144, 48, 0.0), (96, 96, 1e-3)):
        loss, error = simulate_features(
            feature_map, SPECTRUM, features, samples, ridge=ridge, draws=4, teachers=8
        )
        planar = planar_feature_loss(spectrum, features, samples, ridge)
        if ridge == 0:
            planar *= finite_size_factor(features, samples)
        assert abs(loss - planar) < max(0.05 * planar, 3 * error)


def test_a_budget_is_best_spent_on_as_many_features_as_samples():
    for feature_map, budget in (("linear", 2**8), ("relu", 2**12)):
        spectrum = feature_spectrum(feature_map, SPECTRUM, 1e-4)
        ratio, loss = best_ratio(spectrum, budget)
        assert 1 / 1.3 < ratio < 1.3
        side = round(math.sqrt(budget))
        assert loss <= planar_feature_loss(spectrum, 2 * side, side // 2, None)


def test_invalid_arguments_are_refused():
    with pytest.raises(InputError, match="finite and positive"):
        effective_dimension([1.0, -1.0])
    with pytest.raises(InputError, match="needs one of linear, relu, tanh"):
        activation("gelu", np.zeros(2))
    with pytest.raises(InputError, match="smallest=2"):
        feature_spectrum("relu", SPECTRUM, 2)
    spectrum = feature_spectrum("linear", SPECTRUM, 1e-3)
    with pytest.raises(InputError, match="ranks"):
        planar_eigenvalues(spectrum, 10, [11])
    with pytest.raises(InputError, match="at least two"):
        planar_count(spectrum, 1, [1.0])
    with pytest.raises(InputError, match="budget=10"):
        best_ratio(spectrum, 10)
    with pytest.raises(InputError, match="two draws"):
        simulate_features("relu", SPECTRUM, 8, 16, draws=1)
