"""The minimal models of the one-third law: a softmax trained on peaked targets.

Liu et al. 2026 (arXiv 2602.03685): where targets are peaked, cross-entropy sharpens the logits
only slowly. A student whose logits are aligned with the teacher's, beta E, has a loss ~ c / beta
once beta is large, because examples whose two best logits are close are never told apart; gradient
flow on it gives beta ~ tau^(1/3) and so L ~ tau^(-1/3), tau the summed learning rate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError

__all__ = ["WINDOW", "aligned_losses", "binary_losses"]

Floats = NDArray[np.float64]

# Times at which the law holds: beta is then far beyond root of 2 ln(vocab_size), where the largest
# logit begins to stand out.
WINDOW = (1e3, 1e6)


def binary_losses(times: ArrayLike) -> Floats:
    """Loss of two types with hard labels under gradient flow from zero, exactly.

    L(D) = E ln(1 + exp(-D |u|)) with u standard normal, dD/dt = -L'(D); tends to (pi/6) t^(-1/3).

    Parameters
    ----------
    times : (k,) float64
        Positive.

    Raises
    ------
    InputError
        A time is not positive.
    """
    t = np.asarray(times, dtype=np.float64)
    if t.size == 0 or np.any(~np.isfinite(t) | (t <= 0)):
        raise InputError("times: needs positive numbers")
    # Half of a normal distribution, on a grid that resolves exp(-D u) for every D that occurs.
    u, weight = _half_normal()
    d = np.concatenate([np.linspace(0, 1e-2, 20), np.geomspace(1e-2, 4e5, 6000)[1:]])

    def loss_and_slope(value: float) -> tuple[float, float]:
        e = np.exp(-value * u)
        return float(weight @ np.log1p(e)), float(weight @ (u * e / (1 + e)))

    pairs = np.array([loss_and_slope(value) for value in d])
    # Simpson's rule for t(D), the integral of 1 / -L'.
    middle = np.array([loss_and_slope(value)[1] for value in (d[1:] + d[:-1]) / 2])
    slope = pairs[:, 1]
    pieces = np.diff(d) / 6 * (1 / slope[:-1] + 4 / middle + 1 / slope[1:])
    reached = np.concatenate([[0.0], np.cumsum(pieces)])
    if t.min() < reached[1] or t.max() > reached[-1]:
        raise InputError(f"times: must lie between {reached[1]:.2g} and {reached[-1]:.2g}")
    at = np.interp(np.log(t), np.log(reached[1:]), np.log(d[1:]))
    return np.array([loss_and_slope(float(np.exp(value)))[0] for value in at.ravel()]).reshape(
        t.shape
    )


def _half_normal() -> tuple[Floats, Floats]:
    """Points and weights of |u|, u standard normal: Gauss-Legendre in the logarithm."""
    x, w = np.polynomial.legendre.leggauss(600)
    low, high = np.log(1e-9), np.log(12.0)
    u = np.exp(low + (high - low) * (x + 1) / 2)
    density = np.sqrt(2 / np.pi) * np.exp(-(u**2) / 2)
    return u, w * (high - low) / 2 * u * density


def aligned_losses(
    times: ArrayLike, *, vocab_size: int = 128, samples: int = 200_000, seed: int = 0
) -> Floats:
    """Loss of a student with logits beta E on the teacher's most likely type, E normal.

    Gradient flow on beta from zero, over a fixed draw of `samples` rows of logits.

    Parameters
    ----------
    times : (k,) float64
        Positive.
    vocab_size : int
        Types, at least 2.
    samples : int
    seed : int

    Returns
    -------
    (k,) float64
        Nats.

    Raises
    ------
    InputError
        A time is not positive, or there are fewer than two types.
    """
    t = np.asarray(times, dtype=np.float64)
    if t.size == 0 or np.any(~np.isfinite(t) | (t <= 0)) or vocab_size < 2:
        raise InputError("needs positive times and at least two types")
    rng = np.random.default_rng(seed)
    # What decides is how far the others lie below the largest logit.
    logits = rng.standard_normal((samples, vocab_size)).astype(np.float32)
    gaps = logits.max(axis=1, keepdims=True) - logits
    beta = np.concatenate([[0.0], np.geomspace(1e-3, 3.0 * (t.max() + 1.0) ** (1 / 3) + 10, 120)])
    values = [_aligned(gaps, float(value)) for value in beta]
    losses, slopes = (np.array(column) for column in zip(*values, strict=True))
    # Trapezoids in the logarithm of the slope, which is smooth.
    middle = np.exp((np.log(slopes[1:]) + np.log(slopes[:-1])) / 2)
    reached = np.concatenate([[0.0], np.cumsum(np.diff(beta) / middle)])
    assert reached[-1] >= t.max()
    found: Floats = np.exp(np.interp(t, reached, np.log(losses)))
    return found


def _aligned(gaps: NDArray[np.float32], beta: float) -> tuple[float, float]:
    """(L, -dL/dbeta): ln sum exp(-beta gap), and the mean gap under the softmax."""
    loss = slope = 0.0
    step = 1 << 14
    for start in range(0, len(gaps), step):
        part = gaps[start : start + step]
        weights = np.exp(-np.float32(beta) * part)
        total = weights.sum(axis=1)
        loss += float(np.log(total, dtype=np.float64).sum())
        slope += float(((weights * part).sum(axis=1) / total).sum())
    return loss / len(gaps), slope / len(gaps)
