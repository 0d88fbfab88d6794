"""The paper's protocol on a corpus and on the losses of trained models.

Cagnetta et al. 2026: everything is raw, at finite P. gamma is the log-log slope of L_n at the
largest P over the first contexts, alpha that of the lower envelope of the losses over context
lengths, the prediction gamma / (2 beta) with errors by eq. 56.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.criteria import MIN_CONTEXTS
from ngramstat.exponents.decay_curve import MeasuredDecay
from ngramstat.exponents.entropy_decay import LossesBySize
from ngramstat.exponents.fit import slope_weights
from ngramstat.exponents.paper_protocol import is_paper_beta, paper_beta, quadrature
from ngramstat.exponents.point_errors import law_of_points
from ngramstat.exponents.raw_gamma import GAMMA_WINDOW, raw_gamma
from ngramstat.prediction.alpha import alpha_exponent
from ngramstat.prediction.collapse import collapse_of_table
from ngramstat.prediction.measured import (
    alpha_of_losses,
    losses_of_all_contexts,
    lower_envelope,
)
from ngramstat.prediction.paper_values import PAPER_VALUES
from ngramstat.results import (
    AlphaOfFirst,
    CorrelationResult,
    CurveTable,
    Exponent,
    GammaAtSize,
    IntervalParts,
    PaperProtocol,
)

__all__ = [
    "PAPER",
    "alpha_of_first_points",
    "gammas_of_curves",
    "losses_by_size",
    "paper_beta_of",
    "paper_protocol",
]

Floats = NDArray[np.float64]

PAPER = "paper"
# Fewest sizes in the table of alpha by number of sizes.
_MIN_SIZES = 3
# gamma is given at this many of the largest sizes.
_LARGEST = 2


def paper_protocol(
    correlations: CorrelationResult,
    curves: CurveTable | None = None,
    *,
    window: tuple[int, int] = GAMMA_WINDOW,
) -> PaperProtocol:
    """beta of a corpus, gamma and alpha of its trained models, as the paper takes them.

    Parameters
    ----------
    correlations : CorrelationResult
        Of a run with the paper's protocol, or of any other: beta is then fitted to its lags.
    curves : CurveTable, optional
        Losses of trained models by context and training tokens.
    window : (int, int)
        Contexts that gamma is fitted to.
    """
    beta = paper_beta_of(correlations)
    if curves is None:
        return PaperProtocol(
            beta=beta,
            missing=("gamma and alpha need losses of trained models (--curves)",),
            paper=PAPER_VALUES,
        )
    gammas = gammas_of_curves(curves, level=beta.level, window=window)
    tokens, losses, contexts = _envelope(curves)
    missing = []
    if not gammas:
        missing.append(
            f"gamma needs losses of {MIN_CONTEXTS} contexts or more at one number of tokens"
        )
    if len(tokens) < _MIN_SIZES:
        missing.append(f"alpha needs losses at {_MIN_SIZES} numbers of training tokens or more")
    return PaperProtocol(
        beta=beta,
        gamma=gammas,
        alpha=alpha_exponent(
            gammas[0].gamma, beta, method="raw gamma at the largest P / (2 beta), eq. 42"
        )
        if gammas
        else None,
        alpha_measured=alpha_of_losses(tokens, losses, level=beta.level),
        alpha_of_first=alpha_of_first_points(tokens, losses, contexts, level=beta.level),
        collapse=collapse_of_table(curves, gammas[0].gamma, beta) if gammas else None,
        missing=tuple(missing),
        paper=PAPER_VALUES,
    )


def paper_beta_of(correlations: CorrelationResult) -> Exponent:
    """beta by the paper's protocol from the norms of a finished run.

    That of the run where it was measured so. Otherwise the run's lags from 1 to 192 are fitted with
    equal weights; a run does not keep the replicates of its norms, so the part of the documents
    comes from the intervals of the norms, taken as independent.
    """
    if is_paper_beta(correlations.beta):
        return correlations.beta
    c = correlations
    decay = MeasuredDecay(c.lags, c.best_norm, c.valid)
    beta = paper_beta(decay, level=c.beta.level, quantity="debiased norm")
    if beta.value is None or beta.parts is None or beta.parts.lags is None:
        return beta
    documents = _by_norm_intervals(c, beta)
    if documents is None:
        return beta
    low, high = quadrature(beta.value, (documents, beta.parts.lags))
    return dataclasses.replace(
        beta,
        low=low,
        high=high,
        method=f"{beta.method}, in quadrature with the intervals of the norms, taken as "
        "independent (the run was measured by the default protocol)",
        parts=IntervalParts(documents=documents, lags=beta.parts.lags, window=beta.parts.window),
    )


def _by_norm_intervals(c: CorrelationResult, beta: Exponent) -> tuple[float, float] | None:
    """The slope's interval from those of the norms; None without them."""
    if c.norm_low is None or c.norm_high is None or beta.window is None or beta.value is None:
        return None
    inside = (c.lags >= beta.window[0]) & (c.lags <= beta.window[1])
    norm, width = c.best_norm[inside], (c.norm_high - c.norm_low)[inside]
    usable = np.isfinite(width) & (norm > 0)
    if not usable.all():
        return None
    weights = slope_weights(np.log(c.lags[inside].astype(np.float64)))
    half = float(np.linalg.norm(weights * width / (2 * norm)))
    return beta.value - half, beta.value + half


def gammas_of_curves(
    curves: CurveTable, *, level: float = 0.95, window: tuple[int, int] = GAMMA_WINDOW
) -> tuple[GammaAtSize, ...]:
    """Raw gamma at the largest and second largest numbers of tokens with enough contexts."""
    inside = (curves.context >= window[0]) & (curves.context <= window[1])
    sizes, counts = np.unique(curves.tokens[inside], return_counts=True)
    enough = sizes[counts >= MIN_CONTEXTS]
    found = []
    for tokens in enough[::-1][:_LARGEST].tolist():
        rows = (curves.tokens == tokens) & (curves.context >= 1)
        errors = None if curves.error is None else curves.error[rows]
        n = curves.context[rows]
        gamma = raw_gamma(
            n,
            curves.loss[rows],
            errors=errors,
            window=window,
            level=level,
            sizes=losses_by_size(curves, n),
        )
        found.append(GammaAtSize(tokens=tokens, gamma=gamma))
    return tuple(found)


def losses_by_size(curves: CurveTable, context: NDArray[np.int64]) -> LossesBySize:
    """The losses at these contexts by number of tokens, NaN where there are none."""
    tokens = np.unique(curves.tokens)
    losses = np.full((len(tokens), len(context)), np.nan)
    selected = np.isin(curves.context, context)
    rows = np.searchsorted(tokens, curves.tokens[selected])
    losses[rows, np.searchsorted(context, curves.context[selected])] = curves.loss[selected]
    return LossesBySize(tokens, losses, "your models")


def alpha_of_first_points(
    tokens: ArrayLike,
    losses: ArrayLike,
    contexts: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> tuple[AlphaOfFirst, ...]:
    """Raw alpha of the first m sizes of a lower envelope, for every m of 3 or more.

    Parameters
    ----------
    tokens, losses : (k,) positive numbers
        P ascending, and the smallest loss at each, nats per token.
    contexts : (k,) integers, optional
        Context lengths of these losses; 0 where they are not given.
    level : float

    Raises
    ------
    InputError
        For arrays of different lengths, or tokens that do not ascend.
    """
    p, y = np.asarray(tokens, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    n = np.zeros(len(p), np.int64) if contexts is None else np.asarray(contexts)
    if p.shape != y.shape or p.shape != n.shape or p.ndim != 1:
        raise InputError("tokens, losses and contexts need one length")
    found = []
    for m in range(_MIN_SIZES, len(p) + 1):
        law = law_of_points(p[:m], y[:m], level=level)
        found.append(
            AlphaOfFirst(
                points=m,
                tokens=float(p[m - 1]),
                context=int(n[m - 1]),
                loss=float(y[m - 1]),
                alpha=law.exponent,
                error=law.error,
                low=law.low,
                high=law.high,
                resampled_error=law.resampled_error,
                resampled_low=law.resampled_low,
                resampled_high=law.resampled_high,
            )
        )
    return tuple(found)


def _envelope(curves: CurveTable) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Loss and context of the best model at every number of tokens.

    Losses at every context of a window, at every size, are those of one model: its loss is their
    mean. Otherwise a context is that of a whole model, and the smallest loss is taken.
    """
    contexts = np.unique(curves.context)
    tokens, means = losses_of_all_contexts(curves)
    if len(contexts) > 1 and len(tokens) == len(np.unique(curves.tokens)):
        return tokens, means, np.full(len(tokens), contexts[-1], dtype=np.int64)
    best = lower_envelope(curves.tokens, curves.loss)
    return curves.tokens[best], curves.loss[best], curves.context[best]
