"""Losses at more training tokens from measured ones alone: a local slope that drifts with P.

No power law is assumed. The log of the loss falls with the log of the tokens by a local slope,
which shrinks at a steady relative rate and wanders, and single losses scatter about the curve. How
much of each is typical was chosen on published loss curves of transformers and on those of counted
learners (`benchmarks/loss_hindcast.py`, which measures the coverage of the bands).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.distributions import normal_cdf

__all__ = [
    "CURVE_PRIOR",
    "SLOPE_SPREAD",
    "CurvePrior",
    "Expected",
    "Extrapolation",
    "extrapolated_losses",
    "mixture_quantiles",
    "sampled_wander",
]

Floats = NDArray[np.float64]

# Local slopes of trained models differ from a predicted raw alpha by about this, beyond its own
# error (docs/estimators.md: .197 to .093 along the paper's TinyStories, .185 predicted).
SLOPE_SPREAD = 0.04
# A larger exponential overflows.
_LARGEST_LOG = 700.0


@dataclass(frozen=True)
class CurvePrior:
    """What is typical of loss curves: normal priors of three properties.

    Attributes
    ----------
    drift : (float, float)
        Relative decrease of the local slope per factor e of tokens: mean, standard deviation.
    wander : (float, float)
        Log of the random change of the slope over a factor e of tokens (its standard deviation):
        mean, standard deviation.
    noise : (float, float)
        Log of the relative scatter of single losses: mean, standard deviation.
    slope : (float, float)
        Local slope at the largest size, where nothing else is known of it.
    """

    drift: tuple[float, float]
    wander: tuple[float, float]
    noise: tuple[float, float]
    slope: tuple[float, float]


# Judged on the curves of benchmarks/loss_curves.json; `python -m benchmarks.loss_hindcast` prints
# the coverage, with `--choose` also that of priors chosen on the other curves alone.
CURVE_PRIOR = CurvePrior(
    drift=(0.08, 0.05),
    wander=(float(np.log(0.018)), 0.2),
    noise=(float(np.log(0.005)), 0.4),
    slope=(0.12, 0.08),
)


@dataclass(frozen=True)
class Expected:
    """Loss curves that a theory allows, about which the measured losses are continued.

    Attributes
    ----------
    at_sizes, at_targets : (k, n_sizes), (k, n_targets) float64
        Log of the loss of each curve, at the measured sizes and at the targets.
    log_weights : (k,) float64
        Log of the prior weight of each curve, up to a constant.
    level : float
        Standard deviation of the log of a factor by which all losses may differ from the curve.
    """

    at_sizes: Floats
    at_targets: Floats
    log_weights: Floats
    level: float


# Values of the first three properties over which their posterior is summed.
_DRIFTS = np.linspace(-0.4, 0.5, 10)
_WANDERS = np.array([0.0036, 0.0096, 0.018, 0.036, 0.072, 0.144])
_NOISES = np.exp(np.linspace(np.log(1e-3), np.log(6e-2), 7))
# The lightest curves of a mixture that together weigh less than this move no quantile visibly.
_NEGLIGIBLE = 1e-4
_BISECTIONS = 45


@dataclass(frozen=True)
class Extrapolation:
    """Expected losses with their bands, and the local slope at the largest measured size.

    Attributes
    ----------
    loss, low, high : (n,) float64
        At the targets, nats per token. The band is that of a newly measured loss.
    slope, slope_low, slope_high : float
        Minus d log L / d log P at the largest measured size.
    drift : float
        Relative decrease of the slope per factor e of tokens.
    scatter : float
        Scatter of single losses about the curve, relative.
    """

    loss: Floats
    low: Floats
    high: Floats
    slope: float
    slope_low: float
    slope_high: float
    drift: float
    scatter: float


def extrapolated_losses(
    tokens: ArrayLike,
    losses: ArrayLike,
    targets: ArrayLike,
    *,
    level: float = 0.95,
    slope: tuple[float, float] | None = None,
    prior: CurvePrior = CURVE_PRIOR,
    expected: Expected | None = None,
) -> Extrapolation:
    """The loss curve through measured losses, continued to other numbers of tokens.

    ``log L(P) = a - s (1 - exp(-k u)) / k + w(u) + noise``, u = log(P / largest measured P): the
    slope s at the largest size shrinks at the relative rate k, and w is twice integrated white
    noise, zero with zero slope at u = 0. Given k and the sizes of w and of the noise, everything is
    a Gaussian; over these three the posterior is summed on a grid.

    Parameters
    ----------
    tokens, losses : (k,) float64
        P ascending, at least two, and the loss at each, nats per token.
    targets : (n,) float64
        Numbers of tokens, smaller or larger.
    level : float
        Of the bands.
    slope : (float, float), optional
        What is known beforehand of the local slope (with `expected`, of its difference from the
        slope of those curves): mean and standard deviation.
    prior : CurvePrior
    expected : Expected, optional
        Curves that a theory allows.

    Returns
    -------
    Extrapolation
        `slope` is that of the ratio where `expected` is given.

    Raises
    ------
    InputError
        For arrays of different lengths, too few losses, tokens that do not ascend, or numbers that
        are not positive.
    """
    p, y, goal = _checked(tokens, losses, targets, 2 if slope is None and expected is None else 1)
    u, v = np.log(p / p[-1]), np.log(goal / p[-1])
    if expected is None:
        expected = Expected(np.zeros((1, len(u))), np.zeros((1, len(v))), np.zeros(1), math.inf)
    found = _posteriors(
        u, np.log(y) - expected.at_sizes, v, prior.slope if slope is None else slope, prior,
        level=expected.level,
    )  # fmt: skip
    evidence = found.evidence + expected.log_weights[:, None]
    weights = np.exp(evidence - evidence.max())
    weights /= weights.sum()
    mean = found.mean + expected.at_targets[:, None, :]
    tails = ((1 - level) / 2, 0.5, (1 + level) / 2)
    low, middle, high = (
        mixture_quantiles(weights, mean, np.sqrt(found.variance), q) for q in tails
    )
    spread = np.sqrt(found.slope_variance)[:, None]
    ends = [
        float(mixture_quantiles(weights, found.slopes[:, :, None], spread, q)[0]) for q in tails
    ]
    drifts, _, noises = _grid()
    of_grid = weights.sum(axis=0)
    return Extrapolation(
        # At absurd sizes a band has no end that a number can hold.
        loss=np.exp(np.minimum(middle, _LARGEST_LOG)),
        low=np.exp(np.minimum(low, _LARGEST_LOG)),
        high=np.exp(np.minimum(high, _LARGEST_LOG)),
        slope=ends[1],
        slope_low=ends[0],
        slope_high=ends[2],
        drift=float(of_grid @ drifts),
        scatter=float(np.sqrt(of_grid @ noises**2)),
    )


def _checked(
    tokens: ArrayLike, losses: ArrayLike, targets: ArrayLike, needed: int
) -> tuple[Floats, Floats, Floats]:
    p, y = np.asarray(tokens, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    goal = np.atleast_1d(np.asarray(targets, dtype=np.float64))
    if p.ndim != 1 or p.shape != y.shape or len(p) < needed:
        words = "two or more losses" if needed == 2 else "one or more losses"
        raise InputError(f"needs {words}, one per size; got {p.shape} and {y.shape}")
    if np.any(np.diff(p) <= 0) or any(np.any(~(a > 0)) for a in (p, y, goal)):
        raise InputError("tokens must ascend, and tokens and losses be positive")
    return p, y, goal


def sampled_wander(
    u: ArrayLike, standard_normal: Floats, prior: CurvePrior = CURVE_PRIOR
) -> Floats:
    """Draws of the log of the loss's departure, by the wandering of its slope, from a law.

    Parameters
    ----------
    u : (n,) float64
        log(P / largest measured P); departures at u <= 0 are zero.
    standard_normal : (d, 1) float64
    """
    typical = np.exp(prior.wander[0] + prior.wander[1] ** 2)
    size = np.sqrt(np.maximum(np.asarray(u, dtype=np.float64), 0.0) ** 3 / 3)
    out: Floats = typical * size * standard_normal
    return out


@functools.cache
def _grid() -> tuple[Floats, Floats, Floats]:
    """All combinations of (drift, wander, noise), (m,) each."""
    grids = np.meshgrid(_DRIFTS, _WANDERS, _NOISES, indexing="ij")
    drifts, wanders, noises = (grid.ravel() for grid in grids)
    return drifts, wanders, noises


def _log_prior(prior: CurvePrior) -> Floats:
    drifts, wanders, noises = _grid()
    out: Floats = np.zeros(len(drifts))
    for values, (mean, deviation) in (
        (drifts, prior.drift),
        (np.log(wanders), prior.wander),
        (np.log(noises), prior.noise),
    ):
        out -= 0.5 * ((values - mean) / deviation) ** 2
    return out


def _integrated_noise(u: Floats, v: Floats) -> Floats:
    """Covariance of twice integrated white noise that starts at 0 in both directions."""
    a, b = np.abs(u)[:, None], np.abs(v)[None, :]
    small, large = np.minimum(a, b), np.maximum(a, b)
    same_side = np.sign(u)[:, None] * np.sign(v)[None, :] > 0
    out: Floats = np.where(same_side, small**2 * (3 * large - small) / 6, 0.0)
    return out


def _design(drifts: Floats, u: Floats) -> Floats:
    """Regressors of (level, slope) for every drift, (m, len(u), 2)."""
    k = drifts[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        fall = np.where(np.abs(k) > 1e-9, -np.expm1(-k * u) / k, u)
    return np.stack([np.ones_like(fall), -fall], axis=2)


@dataclass(frozen=True)
class _Posteriors:
    """Of every expected curve (k) and combination of the grid (m): what the losses leave.

    `mean` (k, m, n_targets) and `variance` (m, n_targets) are those of the log of the ratio,
    `slopes` (k, m) and `slope_variance` (m,) those of its slope; `evidence` (k, m) is a log.
    """

    mean: Floats
    variance: Floats
    slopes: Floats
    slope_variance: Floats
    evidence: Floats


def _posteriors(
    u: Floats,
    y: Floats,
    v: Floats,
    slope: tuple[float, float],
    prior: CurvePrior,
    *,
    level: float,
) -> _Posteriors:
    """The posterior of the curves through y (k, len(u)), one at a time, at v."""
    drifts, wanders, noises = _grid()
    size = (wanders**2)[:, None, None]
    measured = size * _integrated_noise(u, u) + (noises**2)[:, None, None] * np.eye(len(u))
    across = size * _integrated_noise(v, u)
    at_targets = size[:, :, 0] * np.diag(_integrated_noise(v, v)) + (noises**2)[:, None]
    x, x_goal = _design(drifts, u), _design(drifts, v)
    inverse = np.linalg.inv(measured)
    weighted = np.einsum("mji,mjk->mik", x, inverse)
    known = np.array([1 / level**2, 1 / slope[1] ** 2])
    precision = weighted @ x + np.diag(known)
    covariance = np.linalg.inv(precision)
    right = np.einsum("mij,kj->kmi", weighted, y) + known * np.array([0.0, slope[0]])
    fitted = np.einsum("mij,kmj->kmi", covariance, right)
    gain = across @ inverse
    mean = np.einsum("mni,kmi->kmn", x_goal - gain @ x, fitted)
    mean += np.einsum("mnj,kj->kmn", gain, y)
    shown = x_goal - gain @ x
    variance = at_targets - np.einsum("mkj,mkj->mk", gain, across)
    variance += np.einsum("mki,mij,mkj->mk", shown, covariance, shown)
    misfit = np.einsum("kj,mjl,kl->km", y, inverse, y) - np.einsum("kmi,kmi->km", right, fitted)
    terms = np.linalg.slogdet(measured)[1] + np.linalg.slogdet(precision)[1]
    evidence = -0.5 * (terms + misfit) + _log_prior(prior)
    return _Posteriors(mean, variance, fitted[:, :, 1], covariance[:, 1, 1], evidence)


def mixture_quantiles(weights: Floats, mean: Floats, deviation: Floats, q: float) -> Floats:
    """Quantile q of a mixture of normals at every target, by bisection.

    Parameters
    ----------
    weights : (k, m) float64
        Summing to 1.
    mean : (k, m, n) float64
    deviation : (m, n) float64
        The same for every k.
    q : float

    Returns
    -------
    (n,) float64
    """
    order = np.argsort(weights, axis=None)
    used = order[np.searchsorted(np.cumsum(weights.ravel()[order]), _NEGLIGIBLE) :]
    w = weights.ravel()[used]
    w /= w.sum()
    mean = mean.reshape(weights.size, mean.shape[-1])[used]
    deviation = deviation[used % weights.shape[1]]
    low, high = (mean - 9 * deviation).min(axis=0), (mean + 9 * deviation).max(axis=0)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = w @ normal_cdf((middle - mean) / deviation) < q
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    out: Floats = (low + high) / 2
    return out
