"""Random nonlinear features of Gaussian latents, and the spectrum of their covariance.

Latents x_I ~ N(0, lambda_I), I = 1 .. M. Feature j is phi(a_j) - E phi with a_j = u_j.x, u_j a
random direction scaled so that a_j has variance 1, as a normalisation before the nonlinearity
would. Two features whose a_j and a_k correlate by rho have the covariance sum_p b_p^2 rho^p,
p >= 1, with b_p the coefficients of phi in normalised Hermite polynomials. So features are linear
in the products of Hermite polynomials of the latents, which are the latents of an equivalent linear
model: M of degree 1, and beyond these more than there are features (docs/theory.md 7).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError

__all__ = [
    "FEATURE_MAPS",
    "FeatureMap",
    "FeatureSpectrum",
    "activation",
    "effective_dimension",
    "feature_covariance",
    "feature_directions",
    "feature_spectrum",
    "feature_variance",
    "hermite_coefficients",
]

Floats = NDArray[np.float64]
FeatureMap = Literal["linear", "relu", "tanh"]
FEATURE_MAPS: tuple[FeatureMap, ...] = get_args(FeatureMap)

# Degrees of Hermite polynomials: the coefficients of tanh beyond are below 1e-6.
_DEGREES = 41
# Directions over which products of latents are averaged, and those that decide which are kept.
_DRAWS, _FEW_DRAWS = 4096, 1024
# A product may carry more than the one it is made from: search down to this part of the smallest.
_MARGIN = 0.25


def _checked(eigenvalues: ArrayLike) -> Floats:
    """Eigenvalues of the latents, largest first, of sum 1."""
    lam = np.sort(np.asarray(eigenvalues, dtype=np.float64))[::-1]
    if lam.ndim != 1 or len(lam) < 2 or not (np.isfinite(lam).all() and lam[-1] > 0):
        raise InputError("eigenvalues: need at least two, finite and positive")
    return np.asarray(lam / lam.sum())


def effective_dimension(eigenvalues: ArrayLike) -> float:
    """(sum lambda)^2 / sum lambda^2: how many latents a random direction is spread over."""
    return float(1 / np.sum(_checked(eigenvalues) ** 2))


def activation(feature_map: FeatureMap, values: Floats) -> Floats:
    """phi minus its mean over a standard normal variable."""
    if feature_map == "relu":
        return np.maximum(values, 0.0) - 1 / math.sqrt(2 * math.pi)
    if feature_map == "tanh":
        return np.tanh(values)
    if feature_map == "linear":
        return values
    raise InputError(f"feature map {feature_map!r}: needs one of {', '.join(FEATURE_MAPS)}")


def hermite_coefficients(feature_map: FeatureMap) -> Floats:
    """b_p = E phi(a) he_p(a), (degrees + 1,), he_p normalised; b_0 = 0, as phi has mean 0."""
    b = np.zeros(_DEGREES + 1)
    if feature_map == "relu":  # the quadrature below converges slowly at a kink
        b[1], double_factorial = 0.5, 1.0
        for p in range(2, _DEGREES + 1, 2):
            b[p] = (
                -((-1) ** (p // 2)) * double_factorial / math.sqrt(2 * math.pi * math.gamma(p + 1))
            )
            double_factorial *= p - 1
        return b
    points, weights = np.polynomial.hermite_e.hermegauss(200)
    values = activation(feature_map, points) * weights / weights.sum()
    before, he = np.zeros_like(points), np.ones_like(points)
    for p in range(1, _DEGREES + 1):
        before, he = he, (points * he - math.sqrt(p - 1) * before) / math.sqrt(p)
        b[p] = values @ he
    b[np.abs(b) < 1e-14] = 0.0
    return b


def feature_variance(feature_map: FeatureMap) -> float:
    """Variance of every feature."""
    if feature_map == "relu":
        return 0.5 - 1 / (2 * math.pi)
    return float(np.sum(hermite_coefficients(feature_map) ** 2))


def feature_directions(eigenvalues: ArrayLike, features: int, rng: np.random.Generator) -> Floats:
    """Random directions in units of the latents' standard deviations, (features, M), of norm 1."""
    lam = _checked(eigenvalues)
    v = rng.standard_normal((features, len(lam))) * np.sqrt(lam)
    return np.asarray(v / np.linalg.norm(v, axis=1, keepdims=True))


def feature_covariance(feature_map: FeatureMap, left: Floats, right: Floats) -> Floats:
    """Exact covariance over the latents of features of two sets of directions, (left, right)."""
    rho = np.clip(left @ right.T, -1.0, 1.0)
    if feature_map == "linear":
        return rho
    if feature_map == "relu":
        angle = np.sqrt(1 - rho**2) + rho * (math.pi - np.arccos(rho))
        return np.asarray((angle - 1) / (2 * math.pi))
    return np.asarray(np.polynomial.polynomial.polyval(rho, hermite_coefficients(feature_map) ** 2))


@dataclass(frozen=True)
class FeatureSpectrum:
    """Variances of the latents of the equivalent linear model, for endlessly many features.

    Attributes
    ----------
    eigenvalues : (n,) float64
        Those above about the smallest one asked for, largest first.
    rest : float
        Sum of all others.
    """

    eigenvalues: Floats
    rest: float

    def with_rest(self, copies: int) -> Floats:
        """All eigenvalues, the rest in equal parts; more copies than features or samples."""
        if self.rest <= 0:
            return self.eigenvalues
        part = self.rest / copies
        return np.concatenate([self.eigenvalues, np.full(copies, part)])


def feature_spectrum(
    feature_map: FeatureMap, eigenvalues: ArrayLike, smallest: float, *, seed: int = 0
) -> FeatureSpectrum:
    """Spectrum of the covariance of endlessly many features.

    A feature of direction v has the coefficient b_p sqrt(p! / prod n_i!) prod v_i^n_i on the
    product of degree p = sum n_i. Their second moments over v vanish between products that differ
    in the parity of any n_i, so that the spectrum is that of one small matrix for each set of odd
    n_i. The averages over v are those over a fixed set of Sobol points.

    Parameters
    ----------
    feature_map : {"linear", "relu", "tanh"}
    eigenvalues : (M,) float64
        Those of the latents.
    smallest : float
        Products that carry less variance, of about 1 in all, are put together in `rest`.
    """
    if not 0 < smallest < 1:
        raise InputError(f"smallest={smallest:g}: must lie between 0 and 1")
    v = _sobol_directions(_checked(eigenvalues), seed)
    b = hermite_coefficients(feature_map)
    terms = _terms(v[:_FEW_DRAWS] ** 2, b**2, smallest)
    classes: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for term in terms:
        odd = tuple(i for i in sorted(set(term)) if term.count(i) % 2)
        classes.setdefault(odd, []).append(term)
    logs = np.log(v)
    spectra = [_class_eigenvalues(members, logs, b) for members in classes.values()]
    found = np.sort(np.concatenate(spectra))[::-1] if spectra else np.empty(0)
    return FeatureSpectrum(found, max(feature_variance(feature_map) - float(found.sum()), 0.0))


def _sobol_directions(lam: Floats, seed: int) -> Floats:
    """Absolute values of directions, (draws, M): parities make their signs immaterial."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    points = qmc.Sobol(len(lam), seed=seed).random(_DRAWS)
    # Half a normal distribution; no coordinate is exactly zero, as its logarithm is taken.
    v = ndtri(0.5 + 0.5 * np.clip(points, 1e-9, 1 - 1e-9)) * np.sqrt(lam)
    return np.asarray(v / np.linalg.norm(v, axis=1, keepdims=True))


def _terms(squares: Floats, b2: Floats, smallest: float) -> list[tuple[int, ...]]:
    """Products of Hermite polynomials, as sorted tuples of latents, that carry `smallest`."""
    # The largest b^2 of this degree or a higher one: every second one of them is zero.
    bound = np.maximum.accumulate(b2[::-1])[::-1]
    found = []
    stack: list[tuple[tuple[int, ...], Floats, int]] = [((), np.ones(len(squares)), 0)]
    while stack:
        term, weight, power = stack.pop()
        degree = len(term) + 1
        if degree == len(b2):
            continue
        first = term[-1] if term else 0
        for i in range(first, squares.shape[1]):
            times = power + 1 if term and i == first else 1
            next_weight = weight * squares[:, i] * (degree / times)
            carried = float(next_weight.mean())
            if carried * bound[degree] < _MARGIN * smallest:
                if i > first:
                    break  # later latents have less variance
                continue
            if carried * b2[degree] >= smallest:
                found.append((*term, i))
            stack.append(((*term, i), next_weight, times))
    return found


def _class_eigenvalues(terms: list[tuple[int, ...]], logs: Floats, b: Floats) -> Floats:
    """Eigenvalues of the second moments of the coefficients on products of one parity."""
    coefficients = np.empty((len(terms), len(logs)))
    for row, term in enumerate(terms):
        latents, powers = np.unique(term, return_counts=True)
        permutations = math.lgamma(len(term) + 1) - sum(math.lgamma(n + 1) for n in powers)
        coefficients[row] = b[len(term)] * np.exp(0.5 * permutations + logs[:, latents] @ powers)
    return np.asarray(np.linalg.eigvalsh(coefficients @ coefficients.T / len(logs)))
