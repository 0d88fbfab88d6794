"""The solvable model of neural scaling laws: teacher, random features, ridge (Maloney et al. 2022).

Latents x_I ~ N(0, lambda_I) with lambda_I = I^-(1+alpha), I = 1 .. M; labels w.x with
w_I ~ N(0, s_w^2 / M); linear random features F x, entries of F (N x M) of variance 1/N; ridge
regression on T samples. The planar (large N, T) formulas are derived in docs/theory.md 7 from
deterministic equivalents of random features; the simulation below checks them
(tests/test_theories_solvable.py, benchmarks/solvable_model.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError

__all__ = [
    "SolvableModel",
    "best_ridge",
    "finite_size_factor",
    "implicit_scale",
    "local_exponents",
    "mean_of_draws",
    "planar_loss",
    "ridge_solution",
    "simulate",
    "spectrum",
]

Floats = NDArray[np.float64]

# Latents in memory at once while the model is simulated.
_CHUNK = 1 << 15
# Range in which the best ridge is searched, relative to the largest eigenvalue.
_RIDGES = (1e-12, 1e3)


def spectrum(alpha: float, latents: int) -> Floats:
    """lambda_I = I^-(1+alpha), (M,)."""
    if not (math.isfinite(alpha) and alpha > 0):
        raise InputError(f"alpha={alpha:g}: needs a positive number")
    if latents < 1:
        raise InputError(f"latents={latents}: needs at least one")
    return np.arange(1, latents + 1, dtype=np.float64) ** -(1 + alpha)


def implicit_scale(eigenvalues: ArrayLike, n: float) -> float:
    """g with sum_I lambda_I / (lambda_I + g) = n: the smallest eigenvalue that n samples resolve.

    Raises
    ------
    InputError
        n is not below the number of positive eigenvalues, or not positive.
    """
    lam = np.asarray(eigenvalues, dtype=np.float64)
    lam = lam[lam > 0]
    if not 0 < n < len(lam):
        raise InputError(f"n={n:g}: must lie between 0 and the {len(lam)} positive eigenvalues")

    def excess(log_g: float) -> float:
        return float(np.sum(lam / (lam + math.exp(log_g)))) - n

    # At g = sum / n the sum is at most n; far below the smallest eigenvalue it is nearly M.
    high = math.log(float(lam.sum()) / n) + 1e-9
    low = math.log(float(lam.min())) - 1.0
    while excess(low) < 0:
        low -= 5.0
    return math.exp(_root(excess, low, high))


@dataclass(frozen=True)
class SolvableModel:
    """One model: spectrum, sizes, ridge and noise.

    Attributes
    ----------
    eigenvalues : (M,) float64
        lambda.
    features, samples : int
        N and T.
    ridge : float
        r in |y - Phi theta|^2 + r |theta|^2; 0 gives the minimum-norm solution.
    teacher_variance, noise_variance : float
        s_w^2, and the variance of the noise of the labels.
    """

    eigenvalues: Floats
    features: int
    samples: int
    ridge: float = 0.0
    teacher_variance: float = 1.0
    noise_variance: float = 0.0

    def __post_init__(self) -> None:
        if self.features < 1 or self.samples < 1:
            raise InputError("features and samples: need at least one of each")
        if self.ridge < 0 or self.teacher_variance < 0 or self.noise_variance < 0:
            raise InputError("ridge and variances: cannot be negative")


def planar_loss(model: SolvableModel) -> float:
    """Expected test loss E |y - yhat|^2 (with the noise of the test labels) at large N and T.

    Without a ridge: (s_w^2/M) g n_min / (1 - n_min/n_max) with g the implicit scale of n_min, which
    is symmetric in N and T; infinite at N = T, where the loss peaks. Beyond the last latent
    (min(N, T) >= M) the noiseless loss is 0.

    Raises
    ------
    InputError
        Noise without a ridge, for which there is no formula here.
    """
    lam, n, t = model.eigenvalues, model.features, model.samples
    m = len(lam)
    signal = model.teacher_variance / m
    if model.ridge > 0:
        return _ridge_loss(model)
    if model.noise_variance > 0:
        raise InputError("noise_variance: needs a ridge; give a small one")
    smaller, larger = min(n, t), max(n, t)
    if smaller >= m:
        return 0.0
    if smaller == larger:
        return math.inf
    return signal * implicit_scale(lam, smaller) * smaller / (1 - smaller / larger)


def finite_size_factor(features: int, samples: int) -> float:
    """Ratio of the ridgeless loss at finite N and T to the planar formula; large near N = T.

    Given the features, the labels are a Gaussian linear regression with a residual that the
    features do not explain. For N < T - 1 its loss is (T - 1) / (T - N - 1) times the variance of
    the residual, where the planar formula has T / (T - N). For N > T the two are exchanged.

    Raises
    ------
    InputError
        N and T differ by less than two: the mean loss is infinite.
    """
    smaller, larger = min(features, samples), max(features, samples)
    if larger - smaller < 2:
        raise InputError("features and samples: less than two apart, the mean loss is infinite")
    return (larger - 1) / (larger - smaller - 1) * (larger - smaller) / larger


def _ridge_loss(model: SolvableModel) -> float:
    lam, n, t, r = model.eigenvalues, model.features, model.samples, model.ridge
    smaller = min(n, t)

    def parts(log_gap: float) -> tuple[float, float, float]:
        # Solved for gap = min(N, T) - z, because N - z or T - z may be tiny.
        gap = math.exp(log_gap)
        kappa = r / (t - smaller + gap)
        return n * kappa / (n - smaller + gap), smaller - gap, kappa

    def excess(log_gap: float) -> float:
        g, z, _ = parts(log_gap)
        return float(np.sum(lam / (lam + g))) - z

    # At the upper end z = 0 and the sum is positive; at the lower end z exceeds the sum.
    g, z, kappa = parts(_root(excess, -690.0, math.log(smaller)))
    learned = lam / (lam + g)
    q = float(np.sum(learned**2))
    target = lam * (model.teacher_variance / len(lam))
    bias = g / (lam + g) - kappa * lam / (lam + g) ** 2 * n / (n - q)
    inside = float(np.sum(bias * target)) + model.noise_variance
    return inside / (1 - (q * (n - 2 * z) + z**2) / (t * (n - q)))


def best_ridge(model: SolvableModel) -> tuple[float, float]:
    """(ridge, loss) of the ridge with the smallest planar loss, which has no peak at N = T."""
    scale = float(model.eigenvalues.max())

    def loss(log_r: float) -> float:
        changed = SolvableModel(
            model.eigenvalues, model.features, model.samples, math.exp(log_r),
            model.teacher_variance, model.noise_variance,
        )  # fmt: skip
        return _ridge_loss(changed)

    low, high = (math.log(edge * scale) for edge in _RIDGES)
    grid = np.linspace(low, high, 36)
    values = [loss(float(x)) for x in grid]
    best = int(np.argmin(values))
    around = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    from scipy.optimize import minimize_scalar

    minimum = minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-9})
    return math.exp(float(minimum.x)), float(minimum.fun)


def simulate(
    model: SolvableModel, *, draws: int = 10, teachers: int = 32, seed: int = 0
) -> tuple[float, float]:
    """Mean test loss of the simulated model, and its standard error over draws.

    Every draw has its own samples and features, which its `teachers` teachers share. Given these
    the test loss is exact: the latents are Gaussian, so it is the norm of w - F^T theta in the
    metric of lambda, plus the noise.

    Raises
    ------
    InputError
        Less than two draws, or no teacher.
    """
    return mean_of_draws(
        lambda k: _draw(model, teachers, np.random.SeedSequence([seed, k])), draws, teachers
    )


def mean_of_draws(draw: Callable[[int], float], draws: int, teachers: int) -> tuple[float, float]:
    """Mean of the losses of draws 0, 1, ..., and its standard error.

    Raises
    ------
    InputError
        Less than two draws, or no teacher.
    """
    if draws < 2 or teachers < 1:
        raise InputError("draws and teachers: need at least two draws and one teacher")
    losses = [draw(k) for k in range(draws)]
    return float(np.mean(losses)), float(np.std(losses, ddof=1) / math.sqrt(draws))


def _draw(model: SolvableModel, teachers: int, seed: np.random.SeedSequence) -> float:
    lam, n, t = model.eigenvalues, model.features, model.samples
    m = len(lam)
    chunks = [slice(a, min(a + _CHUNK, m)) for a in range(0, m, _CHUNK)]
    seeds = seed.spawn(len(chunks) + 1)

    def chunk(k: int) -> tuple[Floats, Floats, Floats]:
        """(x, F, w) of a chunk of latents; the same in every call."""
        rng = np.random.default_rng(seeds[k])
        part = lam[chunks[k]]
        x = rng.standard_normal((t, len(part))) * np.sqrt(part)
        f = rng.standard_normal((n, len(part))) / math.sqrt(n)
        w = rng.standard_normal((len(part), teachers)) * math.sqrt(model.teacher_variance / m)
        return x, f, w

    features, labels = np.zeros((t, n)), np.zeros((t, teachers))
    for k in range(len(chunks)):
        x, f, w = chunk(k)
        features += x @ f.T
        labels += x @ w
    if model.noise_variance > 0:
        rng = np.random.default_rng(seeds[-1])
        labels += rng.standard_normal(labels.shape) * math.sqrt(model.noise_variance)
    theta = ridge_solution(features, labels, model.ridge)
    loss = np.zeros(teachers)
    for k, part in enumerate(chunks):
        _, f, w = chunk(k)
        loss += lam[part] @ (w - f.T @ theta) ** 2
    return float(loss.mean()) + model.noise_variance


def ridge_solution(features: Floats, labels: Floats, ridge: float) -> Floats:
    """theta, (N, teachers); the minimum-norm solution without a ridge."""
    u, s, vt = np.linalg.svd(features, full_matrices=False)
    if ridge > 0:
        weights = s / (s**2 + ridge)
    else:
        nonzero = s > s.max(initial=0.0) * max(features.shape) * np.finfo(np.float64).eps
        weights = np.divide(1.0, s, out=np.zeros_like(s), where=nonzero)
    return np.asarray(vt.T @ (weights[:, None] * (u.T @ labels)))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-13, rtol=1e-14, maxiter=500))


def local_exponents(n: Sequence[float], losses: Sequence[float]) -> Floats:
    """-d ln E / d ln n between successive sizes."""
    return np.asarray(-np.diff(np.log(losses)) / np.diff(np.log(n)))
