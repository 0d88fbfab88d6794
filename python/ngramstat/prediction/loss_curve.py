"""The loss curve that alpha and a few measured losses imply: ``L(P) = L_inf + B P^-alpha``.

The theory predicts only the exponent. Two losses of a user's own model determine L_inf and B; more
losses show, by their scatter, how well the form holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.results import Exponent, LossFit, LossPoint

__all__ = ["loss_curve"]

Floats = NDArray[np.float64]

# A smaller exponent is a straight line in log P, a larger one a step.
_ALPHA_RANGE = (1e-6, 50.0)
_SEED = 34


def loss_curve(
    measured: Sequence[tuple[float, float]],
    alpha: Exponent,
    draws: ArrayLike | None,
    tokens: Sequence[float],
    *,
    name: str = "alpha",
    caveats: Sequence[str] = (),
) -> tuple[tuple[LossPoint, ...], LossFit]:
    """Expected losses at `tokens`, with bands from the errors of alpha and of the measured losses.

    For every draw of alpha, L_inf and B are solved: exactly for two losses, by least squares for
    more, with a draw of the residual error (Student's t) added, so that the band is that of a newly
    measured loss. Two losses do not show their error: the band then holds only that of alpha.

    Parameters
    ----------
    measured : sequence of (float, float)
        (training tokens, loss in nats per token), at least two, at different numbers of tokens.
    alpha : Exponent
        Value and level.
    draws : (n,) float64 or None
        Values of alpha that represent its error, see `alpha_draws`; None for no band. Values of
        zero or less are treated as a loss that falls with log P and has no limit.
    tokens : sequence of float
        Numbers of training tokens at which the loss is predicted.
    name : str
        Which exponent this is.
    caveats : sequence of str
        Reasons not to report the curve besides those of alpha itself.

    Raises
    ------
    InputError
        For fewer than two losses, repeated numbers of tokens, or numbers that are not positive.
    """
    p, y = _checked(measured)
    reasons = [*([] if alpha.reportable else [f"alpha: {alpha.reason}"]), *caveats]

    def fit(**values: float | None) -> LossFit:
        return LossFit(
            tokens=p, loss=y, alpha=name, **values,
            reportable=not reasons, reason="; ".join(reasons) or None,
        )  # fmt: skip

    if alpha.value is None or alpha.value <= 0:
        return (), fit()
    middle = float(np.log(p).mean())
    x, targets = np.log(p) - middle, np.log(np.asarray(tokens, dtype=np.float64)) - middle
    value, limit, slope, scatter = (
        a[0] for a in _solve(x, y, targets, np.array([alpha.value]), None)
    )
    if slope <= 0:
        reasons.append("the measured losses do not fall with the number of tokens")
        return (), fit()
    spread = float(scatter) if len(p) > 2 else None
    if draws is None:
        points = [LossPoint(tokens=t, loss=float(v)) for t, v in zip(tokens, value, strict=True)]
        return tuple(points), fit(limit=max(float(limit), 0.0), scatter=spread)
    tails = [(1 - alpha.level) / 2, (1 + alpha.level) / 2]
    alphas = np.asarray(draws, dtype=np.float64)
    values, limits, _, _ = _solve(x, y, targets, alphas, np.random.default_rng(_SEED))
    low, high = np.quantile(values, tails, axis=0, method="inverted_cdf")
    ends = np.maximum(np.quantile(limits, tails, method="inverted_cdf"), 0.0)
    points = [
        LossPoint(tokens=t, loss=float(v), low=float(min(a, v)), high=float(max(b, v)))
        for t, v, a, b in zip(tokens, value, low, high, strict=True)
    ]
    centre = max(float(limit), 0.0)
    return tuple(points), fit(
        limit=centre,
        limit_low=min(float(ends[0]), centre),
        limit_high=max(float(ends[1]), centre),
        scatter=spread,
    )


def _checked(measured: Sequence[tuple[float, float]]) -> tuple[Floats, Floats]:
    if len(measured) < 2:
        raise InputError(f"loss: {len(measured)} measured loss(es), at least 2 needed")
    for tokens, loss in measured:
        for number, unit in ((tokens, "tokens"), (loss, "nats per token")):
            if not (math.isfinite(number) and number > 0):
                raise InputError(f"loss: needs positive numbers of {unit}, got {number:g}")
    p, y = np.array(sorted(measured), dtype=np.float64).T
    if np.any(np.diff(p) <= 0):
        at = float(p[:-1][np.diff(p) <= 0][0])
        raise InputError(f"loss: two losses at {at:g} tokens; give their mean")
    return p, y


def _solve(
    x: Floats, y: Floats, targets: Floats, alphas: Floats, generator: np.random.Generator | None
) -> tuple[Floats, Floats, Floats, Floats]:
    """(losses at the targets, L_inf, slope, residual error) for each alpha.

    ``(P^-alpha - 1) / alpha`` instead of P^-alpha keeps small alphas exact, down to the logarithm.
    """
    a = np.clip(alphas, *_ALPHA_RANGE)[:, None]
    # Beyond 700 an exponential overflows; such a term is a step far below the data.
    basis = np.expm1(np.minimum(-a * x, 700.0)) / a
    at_targets = np.expm1(np.minimum(-a * targets, 700.0)) / a
    mean = basis.mean(axis=1, keepdims=True)
    centred = basis - mean
    power = (centred**2).sum(axis=1, keepdims=True)
    slope = (centred * (y - y.mean())).sum(axis=1, keepdims=True) / power
    values = y.mean() + slope * (at_targets - mean)
    limit = y.mean() + slope * (-1 / a - mean)
    free = len(x) - 2
    scatter = np.zeros_like(slope)
    if free > 0:
        residuals = y - y.mean() - slope * centred
        scatter = np.sqrt((residuals**2).sum(axis=1, keepdims=True) / free)
        if generator is not None:
            shape = (len(alphas), 1)
            leverage = 1 / len(x) + (at_targets - mean) ** 2 / power
            t = generator.standard_t(free, shape)
            values = values + t * scatter * np.sqrt(1 + leverage)
            at_end = 1 / len(x) + (-1 / a - mean) ** 2 / power
            limit = limit + t * scatter * np.sqrt(at_end)
    return values, limit[:, 0], slope[:, 0], scatter[:, 0]
