"""Ridge regression on random nonlinear features, simulated, and the best use of a budget.

The teacher is a random function of the same kind: a wide sum of features of the student's map. To
the student its labels have an independent weight of variance 1 on each latent of the equivalent
linear model of `feature_maps`, so that the planar loss is that of `solvable` with those latents.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.theories.feature_maps import (
    FeatureMap,
    FeatureSpectrum,
    activation,
    feature_covariance,
    feature_directions,
    feature_variance,
)
from ngramstat.theories.solvable import (
    SolvableModel,
    best_ridge,
    mean_of_draws,
    planar_loss,
    ridge_solution,
)

__all__ = ["best_ratio", "planar_feature_loss", "simulate_features", "simulate_splits"]

Floats = NDArray[np.float64]

# Features of the teacher. Fewer would do: the mean loss is linear in the covariance of the labels.
_TEACHER_WIDTH = 1024
# Equal parts of what is not resolved of a spectrum, per feature or sample of the larger number.
_COPIES = 20
# N / T is searched within this factor of 1, in this many steps before refining.
_LARGEST_RATIO, _RATIOS = 16.0, 13
_SIMULATED_RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0)


def feature_model(
    spectrum: FeatureSpectrum, features: int, samples: int, ridge: float = 0.0
) -> SolvableModel:
    """The equivalent linear model; its teacher has a weight of variance 1 on every latent."""
    kappa = spectrum.with_rest(_COPIES * max(features, samples))
    return SolvableModel(kappa, features, samples, ridge, teacher_variance=float(len(kappa)))


def planar_feature_loss(
    spectrum: FeatureSpectrum, features: int, samples: int, ridge: float | None = 0.0
) -> float:
    """Planar loss in units of the labels' variance; with the best ridge if `ridge` is None."""
    model = feature_model(spectrum, features, samples, ridge or 0.0)
    loss = best_ridge(model)[1] if ridge is None else planar_loss(model)
    return loss / float(model.eigenvalues.sum())


def simulate_features(
    feature_map: FeatureMap,
    eigenvalues: Floats,
    features: int,
    samples: int,
    *,
    ridge: float = 0.0,
    draws: int = 8,
    teachers: int = 32,
    seed: int = 0,
) -> tuple[float, float]:
    """Mean test loss in units of the labels' variance, and its standard error over draws.

    Every draw has its own samples, features and directions of the teachers. Given these the test
    loss is exact, by the exact covariances of features.

    Raises
    ------
    InputError
        Less than two draws, or no teacher.
    """

    def draw(k: int) -> float:
        rng = np.random.default_rng([seed, k])
        return _draw(feature_map, eigenvalues, (features, samples), ridge, teachers, rng)

    return mean_of_draws(draw, draws, teachers)


def _draw(
    feature_map: FeatureMap, eigenvalues: Floats, sizes: tuple[int, int], ridge: float,
    teachers: int, rng: np.random.Generator,
) -> float:  # fmt: skip
    features, samples = sizes
    student = feature_directions(eigenvalues, features, rng)
    teacher = feature_directions(eigenvalues, _TEACHER_WIDTH, rng)
    weights = rng.standard_normal((_TEACHER_WIDTH, teachers)) / math.sqrt(_TEACHER_WIDTH)
    latents = rng.standard_normal((samples, len(eigenvalues)))
    phi = activation(feature_map, latents @ student.T) / math.sqrt(features)
    theta = ridge_solution(phi, activation(feature_map, latents @ teacher.T) @ weights, ridge)
    theta /= math.sqrt(features)
    own = np.sum(weights * (feature_covariance(feature_map, teacher, teacher) @ weights))
    shared = np.sum(theta * (feature_covariance(feature_map, student, teacher) @ weights))
    fitted = np.sum(theta * (feature_covariance(feature_map, student, student) @ theta))
    return float((own - 2 * shared + fitted) / teachers / feature_variance(feature_map))


def best_ratio(spectrum: FeatureSpectrum, budget: float) -> tuple[float, float]:
    """(N / T, loss) of the least planar loss at N T = budget, each with its best ridge.

    Raises
    ------
    InputError
        A budget of which a part as small as is tried has no feature or no sample.
    """
    if budget < _LARGEST_RATIO * 4:
        raise InputError(f"budget={budget:g}: needs at least {_LARGEST_RATIO * 4:g}")

    def loss(log_ratio: float) -> float:
        features = math.sqrt(budget * math.exp(log_ratio))
        return planar_feature_loss(spectrum, round(features), round(budget / features), None)

    edge = math.log(_LARGEST_RATIO)
    grid = np.linspace(-edge, edge, _RATIOS)
    values = [loss(float(x)) for x in grid]
    # The loss is smooth: a parabola through the least value and its neighbours has the minimum.
    k = min(max(int(np.argmin(values)), 1), _RATIOS - 2)
    best = _lowest(grid[k - 1 : k + 2], np.array(values[k - 1 : k + 2]))
    return math.exp(best), loss(best)


def simulate_splits(
    feature_map: FeatureMap,
    eigenvalues: Floats,
    spectrum: FeatureSpectrum,
    budget: float,
    *,
    draws: int = 8,
    seed: int = 0,
) -> tuple[Floats, Floats, float]:
    """N / T of some splits of a budget N T, their simulated losses, and the best N / T of these.

    Every split has the ridge that is best by planar theory. The best N / T is that of a parabola
    through the losses, in the logarithm.
    """
    sizes = [
        (round(math.sqrt(budget * ratio)), round(math.sqrt(budget / ratio)))
        for ratio in _SIMULATED_RATIOS
    ]
    losses = []
    for features, samples in sizes:
        ridge = best_ridge(feature_model(spectrum, features, samples))[0]
        loss, _ = simulate_features(
            feature_map, eigenvalues, features, samples, ridge=ridge, draws=draws, seed=seed
        )
        losses.append(loss)
    ratios = np.array([features / samples for features, samples in sizes])
    best = math.exp(_lowest(np.log(ratios), np.array(losses)))
    return ratios, np.array(losses), best


def _lowest(x: Floats, y: Floats) -> float:
    """Where the parabola through the points is lowest, between the first and the last of them."""
    curvature, slope, _ = np.polyfit(x, y, 2)
    if curvature <= 0:
        return float(x[np.argmin(y)])
    return float(np.clip(-slope / (2 * curvature), x[0], x[-1]))
