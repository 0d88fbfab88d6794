"""Three routes to the losses of a learner at more training tokens, on arrays.

Each continues measured losses by the local slope of `extrapolated_losses` and its priors; they
differ in what they know besides the losses: nothing (``fit``), alpha (``alpha``), or the loss
curves that the entropies and ||C(t)|| of the text imply (``curves``), which also exist without any
loss. `python -m benchmarks.forecast` measures errors and coverage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.exponents.loss_extrapolation import (
    SLOPE_SPREAD,
    CurvePrior,
    Expected,
    extrapolated_losses,
    mixture_quantiles,
)
from ngramstat.prediction.horizon_loss import (
    FACTOR_SPREAD,
    LEARNER_FACTOR,
    LEVEL_SPREAD,
    Entropies,
    TextHorizons,
    expected_log_losses,
)

__all__ = ["Band", "MeasuredLosses", "by_alpha", "by_curves", "by_fit", "local_slope"]

Floats = NDArray[np.float64]

# Priors of losses continued without and with curves that the text implies. Wider than the
# CURVE_PRIOR of longer prefixes: from three sizes on, with changes of the learner between sizes.
_FREE = CurvePrior(
    drift=(0.06, 0.06),
    wander=(math.log(0.027), 0.2),
    noise=(math.log(0.008), 0.6),
    slope=(0.12, 0.08),
)
_ABOUT_CURVES = CurvePrior(
    drift=(0.0, 0.05),
    wander=(math.log(0.022), 0.2),
    noise=(math.log(0.009), 0.6),
    slope=(0.0, 0.03),
)
# Constants of the learner that are summed over, in standard deviations of its log.
_FACTORS = np.linspace(-2.0, 2.0, 9)


@dataclass(frozen=True)
class Band:
    """Expected losses with the band of a newly measured one; (n,) each."""

    loss: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class MeasuredLosses:
    """Losses of one learner.

    Attributes
    ----------
    tokens, losses : (k,) float64
        P ascending, nats per token.
    contexts : (k,) int64
        Last context of the positions that each loss is the mean of.
    learner : str
        In words.
    first : int
        First context of the positions.
    trained : bool
        Whether it is a trained model, or else counts.
    """

    tokens: Floats
    losses: Floats
    contexts: NDArray[np.int64]
    learner: str
    first: int = 1
    trained: bool = True

    def until(self, sizes: int) -> MeasuredLosses:
        """The first sizes alone."""
        return MeasuredLosses(
            self.tokens[:sizes], self.losses[:sizes], self.contexts[:sizes], self.learner,
            self.first, self.trained,
        )  # fmt: skip


def by_fit(measured: MeasuredLosses, targets: Floats, *, level: float = 0.95) -> Band:
    """Losses alone, at least two."""
    curve = extrapolated_losses(measured.tokens, measured.losses, targets, level=level, prior=_FREE)
    return Band(curve.loss, curve.low, curve.high)


def local_slope(alpha: float, error: float, tokens: Floats) -> tuple[float, float]:
    """The local slope at the largest of `tokens`, with its error, of a raw slope alpha over them.

    Raw slopes fall with P at a typical relative rate, so at the end of the range the slope is
    smaller than over the range.
    """
    back = float(np.mean(np.log(tokens[-1] / tokens)))
    drift, spread = _FREE.drift
    value = alpha * math.exp(-drift * back)
    return value, math.sqrt((error * value / alpha) ** 2 + (value * spread * back) ** 2
                            + SLOPE_SPREAD**2)  # fmt: skip


def by_alpha(
    measured: MeasuredLosses, targets: Floats, alpha: float, error: float, *, level: float = 0.95
) -> Band:
    """Losses, at least one, with alpha as what is known of their slope beforehand.

    Parameters
    ----------
    alpha, error : float
        Raw slope over the measured sizes, and its standard error.
    """
    curve = extrapolated_losses(
        measured.tokens, measured.losses, targets, level=level, prior=_FREE,
        slope=local_slope(alpha, error, measured.tokens),
    )  # fmt: skip
    return Band(curve.loss, curve.low, curve.high)


def by_curves(
    horizons: TextHorizons,
    entropies: Entropies,
    measured: MeasuredLosses | None,
    targets: Floats,
    contexts: Sequence[int],
    *,
    level: float = 0.95,
) -> Band:
    """Loss curves that the text implies, for all likely learners, through the losses if any.

    Parameters
    ----------
    horizons, entropies : TextHorizons, Entropies
        Of the text.
    measured : MeasuredLosses or None
    targets : (n,) float64
        Training tokens.
    contexts : sequence of int
        Last context of the positions of every target.
    """
    log_factors = math.log(LEARNER_FACTOR) + FACTOR_SPREAD * _FACTORS
    prior = (-0.5 * _FACTORS[:, None] ** 2 + entropies.log_weights).ravel()
    first = 1 if measured is None else measured.first

    def curves(tokens: Floats, last: Sequence[int]) -> Floats:
        out = np.empty((len(prior), len(tokens)))
        for reach in sorted(set(last)):
            at = np.array([c == reach for c in last])
            found = expected_log_losses(
                horizons, entropies, tokens[at], first=first, last=reach, log_factors=log_factors
            )
            out[:, at] = found.reshape(len(prior), -1)
        return out

    at_targets = curves(targets, contexts)
    if measured is None:
        weights = np.exp(prior - prior.max())[:, None]
        spread = np.full((1, len(targets)), LEVEL_SPREAD)
        tails = (0.5, (1 - level) / 2, (1 + level) / 2)
        loss, low, high = (
            np.exp(mixture_quantiles(weights / weights.sum(), at_targets[:, None, :], spread, q))
            for q in tails
        )
        return Band(loss, low, high)
    expected = Expected(
        curves(measured.tokens, measured.contexts.tolist()), at_targets, prior, LEVEL_SPREAD
    )
    curve = extrapolated_losses(
        measured.tokens, measured.losses, targets, level=level, prior=_ABOUT_CURVES,
        slope=_ABOUT_CURVES.slope, expected=expected,
    )  # fmt: skip
    return Band(curve.loss, curve.low, curve.high)
