"""Fits alpha to the measured losses and compares it with the predicted or known exponent."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.prediction.measured import alpha_of_losses, alpha_with_limit
from ngramstat.prediction.verdict import compare
from ngramstat.results import Alternative, AlternativeKind, Comparison, Exponent, Prediction
from ngramstat.validation.known import exact_exponent
from ngramstat.validation.trained import LossCurve

__all__ = ["alpha_above_known_limit", "compare_classification", "compare_last", "compare_losses"]

Floats = NDArray[np.float64]


def compare_losses(curve: LossCurve, prediction: Prediction, level: float) -> list[Comparison]:
    """Losses of all tokens: alpha of the raw losses, and of the losses above a fitted limit."""
    tokens, losses = curve.tokens[curve.envelope], curve.losses[curve.envelope]
    raw = alpha_of_losses(tokens, losses, replicates=curve.envelope_replicates, level=level)
    with_limit = alpha_with_limit(tokens, losses, level=level)
    assert prediction.curves is not None
    predicted = prediction.curves.alpha_finite
    if prediction.paper is not None and prediction.paper.alpha is not None:
        predicted = prediction.paper.alpha
    return [
        compare("raw", predicted, raw),
        compare("limit", prediction.curves.alpha, with_limit),
    ]


def compare_last(
    curve: LossCurve, known: dict[str, Any], entropies: list[float], level: float
) -> list[Comparison]:
    """Losses of the last token of a hierarchy world, whose exponent and limit are known."""
    measured = alpha_above_known_limit(
        entropies, curve.tokens[curve.envelope], curve.losses[curve.envelope],
        curve.envelope_replicates, level,
    )  # fmt: skip
    return [compare("known limit", exact_exponent(known.get("alpha"), level), measured)]


def compare_classification(
    curve: LossCurve, known: dict[str, Any], level: float
) -> list[Comparison]:
    """Error rates of the class of a document in a hierarchy world."""
    groups = [curve.groups[i] for i in curve.envelope]
    rates = np.array([group.error_rate for group in groups])
    replicates = None
    if curve.replicates is not None:
        replicates = np.stack([group.error_replicates() for group in groups], axis=1)
    measured = alpha_of_losses(
        curve.tokens[curve.envelope], rates, replicates=replicates, level=level
    )
    exact = exact_exponent(known.get("classification"), level)
    return [compare("classification error", exact, measured)]


def alpha_above_known_limit(
    entropies: list[float], p: Floats, y: Floats, replicates: Floats | None, level: float
) -> Exponent:
    """alpha of the losses above their known limit, fitted where they follow the staircase.

    The entropies by level fall as a power law only once the lowest level is learned, and a loss
    whose interval includes the limit does not determine its distance from it; both kinds of sizes
    are left out. The fit of all sizes is among the alternatives.

    Parameters
    ----------
    entropies : list of float
        Entropies of the last token by level, nats; the last one is the limit.
    p, y : (n_sizes,) float64
        Training tokens and losses.
    replicates : (n_replicates, n_sizes) float64 or None
    level : float
    """
    if not entropies:
        return Exponent.refused(
            "the world's truth.json has no entropy of the last token given all others",
            method="OLS of log loss on log P, above the known limit", level=level,
        )  # fmt: skip
    limit, lowest = entropies[-1], entropies[min(1, len(entropies) - 1)]
    on = (y < lowest) & (y > limit)
    if replicates is not None:
        on &= np.quantile(replicates, (1 - level) / 2, axis=0) > limit
    drawn = None if replicates is None else replicates[:, on]
    result = alpha_of_losses(p[on], y[on], entropy_rate=limit, replicates=drawn, level=level)
    whole = alpha_of_losses(p, y, entropy_rate=limit, replicates=replicates, level=level)
    all_sizes = Alternative(
        kind=AlternativeKind.ALL_SIZES,
        method=f"{whole.method}, all sizes",
        value=whole.value,
        low=whole.low,
        high=whole.high,
        window=(float(p[0]), float(p[-1])),
        points=len(p),
    )
    return dataclasses.replace(
        result,
        method=f"{result.method}, sizes with the lowest level learned and the limit not reached",
        alternatives=(all_sizes, *result.alternatives),
    )
