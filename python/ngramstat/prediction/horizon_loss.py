"""Loss of a trained model from the text alone: entropies H_n, ||C(t)||, and one constant.

Training tokens pay for context step by step. The n-th token of context lowers the loss by the
entropy drop H_(n-1) - H_n once it has been learned, and counting tells when that is: lag n is
resolved by P*_n = (kappa / ||C(n)||)^2 tokens. A learner needs `LEARNER_FACTOR` times as many, and
learns a drop gradually, by half at that number of tokens (docs/theory.md 14.5). No exponent
enters, and no measured loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.results import CorrelationResult

__all__ = [
    "FACTOR_SPREAD",
    "LEARNER_FACTOR",
    "LEVEL_SPREAD",
    "SHARPNESS",
    "Entropies",
    "TextHorizons",
    "bounded_entropies",
    "expected_log_losses",
    "horizons_of",
    "part_beyond",
    "read_entropies",
    "text_horizons",
]

Floats = NDArray[np.float64]

# Chosen once on the losses that Cagnetta et al. 2026 publish for TinyStories and WikiText, and on
# one small model of ours; `python -m benchmarks.forecast` prints the errors, also with each of
# these left out. Tokens that a learner needs for half of a drop, in units of what counting needs:
LEARNER_FACTOR = 280.0
# delta: the learned part of a drop at P tokens is 1 / (1 + (P / (c P*_n))^-delta).
SHARPNESS = 0.63
# Learners and tunings differ from that constant by this (log), and losses from the formula with
# the best constant by that (log).
FACTOR_SPREAD = 0.3
LEVEL_SPREAD = 0.06
# Beyond the last valid lag the norms continue as they fall over this factor of lags before it.
_TAIL = 10.0
# Log-log slopes of norms outside this range would be of noise.
_SLOWEST, _FASTEST = 0.05, 20.0
_MIN_LAGS = 3
# Beyond the last measured lag, the share of pairs inside documents falls as that of documents of
# broadly distributed lengths.
_DOCUMENT_TAIL = 2.0
# Raw decay of entropies beyond what any text shows, where counts bound it from one side only.
_MAX_GAMMA = 1.0
_GAMMAS = 9
# A pretrained reader's losses lie above H_n by an amount that grows with the context, as
# n^-epsilon: this is the scale of epsilon.
_READER_GAP = 0.02
_GAPS = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])


@dataclass(frozen=True)
class TextHorizons:
    """When counting resolves the contexts of a text.

    Attributes
    ----------
    log_tokens : (T,) float64
        Log of P*_n for n = 1 .. T; does not decrease.
    inside : (T,) float64
        Fraction of the positions whose document reaches n tokens back.
    last_lag : float
        The largest valid lag; thresholds beyond it are extrapolated.
    """

    log_tokens: Floats
    inside: Floats
    last_lag: float


@dataclass(frozen=True)
class Entropies:
    """Curves H_n that the evidence allows.

    Attributes
    ----------
    curves : (k, T + 1) float64
        H_n for n = 0 .. T, nats per token; do not rise.
    log_weights : (k,) float64
    source : str
        What they rest on, in words.
    """

    curves: Floats
    log_weights: Floats
    source: str


def horizons_of(
    correlations: CorrelationResult, kappa: float, contexts: int
) -> TextHorizons | None:
    """Thresholds of the contexts 1 .. `contexts`; None with fewer than three valid lags."""
    c = correlations
    norm = c.best_norm
    usable = c.valid & np.isfinite(norm) & (norm > 0)
    if usable.sum() < _MIN_LAGS:
        return None
    crossing = np.zeros(len(c.lags)) if c.crossing_share is None else c.crossing_share
    return text_horizons(
        c.lags[usable], norm[usable], kappa, contexts, document_lags=c.lags, crossing=crossing
    )


def text_horizons(
    lags: ArrayLike,
    norm: ArrayLike,
    kappa: float,
    contexts: int,
    *,
    document_lags: ArrayLike,
    crossing: ArrayLike,
) -> TextHorizons:
    """Thresholds of the contexts 1 .. `contexts`, interpolated in log-log between lags.

    The norms are made non-increasing: what a nearer token shows is learned no later. Beyond the
    last lag they continue as they fall over the last factor of ten.

    Parameters
    ----------
    lags, norm : (k,) float64
        At least three lags, ascending, and ||C(t)|| without noise, positive.
    kappa : float
        Noise constant: independent tokens show kappa / sqrt(pairs).
    contexts : int
    document_lags, crossing : (m,) float64
        Fraction of the pairs whose tokens are in different documents, at these lags.
    """
    t, seen = np.asarray(lags, dtype=np.float64), np.asarray(document_lags, dtype=np.float64)
    x, n = np.log(t), np.arange(1, contexts + 1, dtype=np.float64)
    log_norm = np.log(np.minimum.accumulate(np.asarray(norm, dtype=np.float64)))
    slope = _tail_slope(t, log_norm)
    fall = min(max(slope, _SLOWEST), _FASTEST) * (np.log(n) - x[-1])
    values = np.where(n > t[-1], log_norm[-1] - fall, np.interp(np.log(n), x, log_norm))
    known = np.append(1.0, 1 - np.asarray(crossing, dtype=np.float64))
    inside = np.interp(n, np.append(0.0, seen), known)
    beyond = n > seen[-1]
    if known[-1] < 1:
        inside[beyond] *= (seen[-1] / n[beyond]) ** _DOCUMENT_TAIL
    return TextHorizons(2 * (math.log(kappa) - values), inside, float(t[-1]))


def _tail_slope(t: Floats, log_values: Floats) -> float:
    """Minus the log-log slope over the last factor of ten, of three points at least."""
    tail = t >= t[-1] / _TAIL
    if tail.sum() < _MIN_LAGS:
        tail[-_MIN_LAGS:] = True
    return -float(np.polyfit(np.log(t[tail]), log_values[tail], 1)[0])


def bounded_entropies(
    context: ArrayLike, low: ArrayLike, high: ArrayLike, horizons: TextHorizons, source: str
) -> Entropies | None:
    """Power laws H_1 n^-gamma inside brackets: every gamma that they allow weighs the same.

    The drops beyond the contexts of the bracket count where the document reaches so far back.

    Parameters
    ----------
    context : (n,) integers
        Increasing, 0 and 1 among them.
    low, high : (n,) float64
        Bracket of every H_n.
    horizons : TextHorizons
    source : str

    Returns
    -------
    Entropies or None
        None where H_0 or H_1 has no positive bracket, or no larger context has one.
    """
    n, below, above = (np.asarray(a, dtype=np.float64) for a in (context, low, high))
    if n.ndim != 1 or not n.shape == below.shape == above.shape:
        raise InputError("context, low and high need one length")
    at = {int(k): i for i, k in enumerate(n)}
    if not {0, 1} <= set(at) or len(n) < 3:
        return None
    known = np.isfinite(above) & (above > 0) & (below <= above)
    if not (known[at[0]] and known[at[1]] and below[at[1]] > 0):
        return None
    first = math.sqrt(below[at[1]] * above[at[1]])
    further = known & (n >= 2)
    if not further.any():
        return None
    slowest = float(np.max(np.log(first / above[further]) / np.log(n[further])))
    bounded = further & (below > 0)
    fastest = _MAX_GAMMA
    if bounded.any():
        rates = np.log(first / below[bounded]) / np.log(n[bounded])
        fastest = min(_MAX_GAMMA, float(rates.min()))
    slowest = max(slowest, 0.0)
    gammas = np.linspace(min(slowest, fastest), max(slowest, fastest), _GAMMAS)
    ends = np.unique([below[at[1]], first, above[at[1]]])
    zero = (below[at[0]] + above[at[0]]) / 2
    contexts = np.arange(1, len(horizons.inside) + 1, dtype=np.float64)
    laws = ends[:, None, None] * contexts ** -gammas[:, None]
    curves = _with_documents(zero, laws.reshape(len(ends) * _GAMMAS, len(contexts)), 1, horizons)
    return Entropies(curves, np.zeros(len(curves)), source)


def read_entropies(
    context: ArrayLike, losses: ArrayLike, zero: float, horizons: TextHorizons, source: str
) -> Entropies | None:
    """H_n from the losses of a pretrained reader, and lower ones that it may hide.

    Beyond its contexts the losses fall as over their last factor of ten.

    Parameters
    ----------
    context : (n,) integers
    losses : (n,) float64
        Of the reader, nats per token.
    zero : float
        H_0.

    Returns
    -------
    Entropies or None
        None with losses of fewer than three contexts of 1 or more.
    """
    n, y = np.asarray(context, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    good = (n >= 1) & np.isfinite(y) & (y > 0)
    n, y = n[good], y[good]
    if len(n) < _MIN_LAGS or n[0] > 1:
        return None
    x, log_y = np.log(n), np.log(np.minimum.accumulate(y))
    slope = max(_tail_slope(n, log_y), 0.0)
    at = np.log(np.arange(1, len(horizons.inside) + 1))
    base = np.where(at > x[-1], log_y[-1] - slope * (at - x[-1]), np.interp(at, x, log_y))
    laws = np.exp(base - (_READER_GAP * _GAPS)[:, None] * at)
    curves = _with_documents(zero, laws, int(n[-1]), horizons)
    return Entropies(curves, -0.5 * _GAPS**2, source)


def _with_documents(zero: float, laws: Floats, measured: int, horizons: TextHorizons) -> Floats:
    """H_0 and laws for n = 1 .. T, with drops beyond `measured` only inside documents.

    At measured contexts an entropy already holds what document ends hide.
    """
    curves = np.column_stack([np.full(len(laws), zero), np.minimum(laws, zero)])
    inside = horizons.inside
    n = np.arange(1, len(inside) + 1)
    reach = max(float(inside[min(measured, len(inside)) - 1]), 1e-12)
    share = np.where(n > measured, np.minimum(inside / reach, 1.0), 1.0)
    out: Floats = curves[:, :1] - np.concatenate(
        [np.zeros((len(laws), 1)), np.cumsum(-np.diff(curves, axis=1) * share, axis=1)], axis=1
    )
    return out


def expected_log_losses(
    horizons: TextHorizons,
    entropies: Entropies,
    tokens: ArrayLike,
    *,
    first: int = 1,
    last: int | None = None,
    log_factors: ArrayLike | None = None,
    sharpness: float = SHARPNESS,
) -> Floats:
    """Log of the mean loss over the contexts `first` .. `last`, for every constant and curve.

    Parameters
    ----------
    tokens : (p,) float64
        Training tokens.
    first, last : int
        Contexts of the positions of a window, the last at most T (its default).
    log_factors : (f,) float64, optional
        Log of the learner's constant c, by default that of `LEARNER_FACTOR`.
    sharpness : float
        delta of the learned part of a drop.

    Returns
    -------
    (f, k, p) float64
    """
    p = np.log(np.asarray(tokens, dtype=np.float64))
    contexts = len(horizons.inside)
    last = contexts if last is None else min(last, contexts)
    n = np.arange(1, contexts + 1)
    # Fraction of the positions that see n tokens.
    reach = np.clip((last - n + 1) / (last - min(first, last) + 1), 0.0, 1.0)
    gains = -np.diff(entropies.curves, axis=1) * reach
    if log_factors is None:
        log_factors = [math.log(LEARNER_FACTOR)]
    out = []
    for log_factor in np.asarray(log_factors, dtype=np.float64):
        ratio = p[:, None] - log_factor - horizons.log_tokens
        learned = 1 / (1 + np.exp(-sharpness * ratio))
        out.append(entropies.curves[:, :1] - gains @ learned.T)
    result: Floats = np.log(np.stack(out))
    return result


def part_beyond(horizons: TextHorizons, entropies: Entropies, tokens: float, last: int) -> float:
    """By how much the loss would be higher if nothing beyond the last valid lag were learned.

    Relative to the loss, for the middle one of the curves: what rests on extrapolated thresholds.
    """
    curve = entropies.curves[len(entropies.curves) // 2]
    n = np.arange(1, len(horizons.inside) + 1)
    reach = np.clip((last - n + 1) / last, 0.0, 1.0)
    ratio = math.log(tokens / LEARNER_FACTOR) - horizons.log_tokens
    gains = -np.diff(curve) * reach / (1 + np.exp(-SHARPNESS * ratio))
    return float(gains[n > horizons.last_lag].sum() / (curve[0] - gains.sum()))
