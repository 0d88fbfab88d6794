"""Eigenvalues of the covariance of N random features at large N, from those of endlessly many.

To planar order the N eigenvalues of Phi = C C^T / N, C the coefficients of N features on Gaussian
latents with variances kappa_k, have the trace m(z) = tr (Phi - z)^-1 / N that solves

    z = -1/m + (1/N) sum_k kappa_k / (1 + kappa_k m),

and the logarithm of their determinant is stationary in m, which gives their number below x as its
imaginary part (docs/theory.md 7).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError, NgramstatError
from ngramstat.theories.feature_maps import FeatureSpectrum

__all__ = ["planar_count", "planar_eigenvalues"]

Floats = NDArray[np.float64]

# Imaginary part of z, relative to its real part: the width to which the spectrum is smoothed.
_WIDTH = 0.005
# Widths from which the solution is followed to that one, since it is unique far from the axis.
_WIDTHS = np.geomspace(3.0, _WIDTH, 24)
_STEPS = 200
# Points per decade at which eigenvalues are counted.
_PER_DECADE = 40


def planar_count(spectrum: FeatureSpectrum, features: int, at: ArrayLike) -> Floats:
    """Expected number of eigenvalues above each of `at`."""
    if features < 2:
        raise InputError(f"features={features}: needs at least two")
    # Many small eigenvalues together add the same to all of N.
    shifted = np.atleast_1d(np.asarray(at, dtype=np.float64)) - spectrum.rest / features
    kappa = spectrum.eigenvalues
    return np.array(
        [features if x <= 0 else _count(kappa, features, float(x)) for x in shifted],
        dtype=np.float64,
    )


def _count(kappa: Floats, features: int, x: float) -> float:
    m = -1 / (x * (1 + 1j * _WIDTHS[0]))
    z = 0j
    for width in _WIDTHS:
        z = x * (1 + 1j * width)
        m = _solved(kappa, features, z, m)
    potential = np.log(1 + kappa * m).sum() / features - np.log(m) - z * m
    return float(features * (1 + potential.imag / np.pi))


def _solved(kappa: Floats, features: int, z: complex, m: complex) -> complex:
    """m(z) in the upper half plane, by Newton's method from a solution nearby."""
    for _ in range(_STEPS):
        part = kappa / (1 + kappa * m)
        step = (-1 / m + part.sum() / features - z) / (1 / m**2 - (part**2).sum() / features)
        while (m - step).imag <= 0:
            step /= 2
        m -= step
        if abs(step) < 1e-10 * abs(m):
            return complex(m)
    raise NgramstatError(f"the planar equation has no solution found at z = {z:.3g}")


def planar_eigenvalues(spectrum: FeatureSpectrum, features: int, ranks: ArrayLike) -> Floats:
    """The eigenvalue of every rank, from 1, of the covariance of `features` features over N.

    A rank stands for the middle of its eigenvalue: half of it is counted. Eigenvalues are zero
    beyond the last one of endlessly many features.
    """
    places = np.asarray(ranks, dtype=np.float64)
    if len(places) == 0 or places.min() < 1 or places.max() > features:
        raise InputError(f"ranks: must lie in 1 .. {features}")
    kappa = spectrum.eigenvalues
    low = 1.01 * spectrum.rest / features if spectrum.rest > 0 else 0.01 * float(kappa[-1])
    high = 4 * float(kappa[0])
    number = int(_PER_DECADE * np.log10(high / low)) + 2
    x = np.geomspace(low, high, number)[::-1]
    counts = np.maximum.accumulate(planar_count(spectrum, features, x))
    found = np.exp(np.interp(places - 0.5, counts, np.log(x)))
    none_left = spectrum.rest <= 0 and len(kappa) < features
    return np.where(none_left & (places > len(kappa)), 0.0, found)
