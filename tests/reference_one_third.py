"""Reference losses for `time_exponent`: the minimal models of the one-third law.

Liu et al. 2026 (arXiv 2602.03685): a softmax trained on peaked targets sharpens its logits only
slowly. A student with logits beta E, aligned with the teacher's, has a loss ~ c / beta once beta is
large, because the two largest logits of some examples are too close to be told apart. Gradient flow
on this loss gives beta ~ tau^(1/3) and L ~ tau^(-1/3), with tau the sum of the learning rates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["WINDOW", "aligned_losses", "binary_losses"]

Floats = NDArray[np.float64]

# Times at which the law holds: beta is then far above the square root of 2 ln(vocab_size), from
# which on the largest logit dominates.
WINDOW = (1e3, 1e6)


def binary_losses(times: ArrayLike) -> Floats:
    """Exact loss with two classes and hard labels under gradient flow from zero, at times > 0.

    L(D) = E ln(1 + exp(-D |u|)) with u standard normal, dD/dt = -L'(D); tends to (pi/6) t^(-1/3).
    """
    t = np.asarray(times, dtype=np.float64)
    # Half a normal distribution, on a grid that resolves exp(-D u) for every D of the integration.
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
    assert t.min() >= reached[1]
    assert t.max() <= reached[-1]
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
    """Loss of a student with logits beta E on the teacher's most likely token, E normal.

    Gradient flow on beta from zero, over a fixed draw of `samples` rows of logits, at times > 0;
    nats.
    """
    t = np.asarray(times, dtype=np.float64)
    rng = np.random.default_rng(seed)
    # The loss depends only on the distances of the logits from the largest one.
    logits = rng.standard_normal((samples, vocab_size)).astype(np.float32)
    gaps = logits.max(axis=1, keepdims=True) - logits
    beta = np.concatenate([[0.0], np.geomspace(1e-3, 3.0 * (t.max() + 1.0) ** (1 / 3) + 10, 120)])
    values = [_aligned(gaps, float(value)) for value in beta]
    losses, slopes = (np.array(column) for column in zip(*values, strict=True))
    # Trapezoidal rule in the logarithm of the slope, which is smooth.
    middle = np.exp((np.log(slopes[1:]) + np.log(slopes[:-1])) / 2)
    reached = np.concatenate([[0.0], np.cumsum(np.diff(beta) / middle)])
    assert reached[-1] >= t.max()
    interpolated: Floats = np.exp(np.interp(t, reached, np.log(losses)))
    return interpolated


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
