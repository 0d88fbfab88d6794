"""How far the lags go that beta may be fitted to: document ends and composition set limits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAX_OF_DOCUMENT",
    "LagLimit",
    "crossing_limit",
    "document_reach",
    "sequential_limit",
]

Floats = NDArray[np.float64]
# The largest lag to fit, and why no more.
LagLimit = tuple[float, str]

# Lags at which more than this fraction of the stream's pairs cross document ends are not fitted:
# their norms are too small by about this fraction, since tokens of different documents are nearly
# uncorrelated. Over two decades of lags up to this fraction the slope is .06 too large, over one
# decade .1: the size of the paper's errors.
_MAX_CROSSING = 0.25
# Documents end at the lag beyond which fewer than this fraction of the tokens have a partner in
# their own document: what correlates there lies in different documents.
_MIN_INSIDE = 0.01
# What removing the composition takes from a norm may be at most a third of what it leaves: the norm
# is then too small by at most a quarter.
_MIN_LEFT_RATIO = 3.0
# Smallest fraction of a document's pairs that is taken to lie beyond the lags summed over.
_MIN_UNSEEN = 0.25
# Lags are at most this fraction of a typical document's length: longer ones have few pairs, and the
# start and the end of the document shape them.
MAX_OF_DOCUMENT = 0.25


def crossing_limit(lags: NDArray[np.int64], crossing: Floats) -> LagLimit | None:
    """Largest lag before too many pairs cross document ends, and the reason; None: no limit.

    Parameters
    ----------
    lags : (n,) int64
    crossing : (n,) float64
        Fraction of the pairs at each lag whose tokens lie in different documents.
    """
    return _last_before(
        lags,
        crossing > _MAX_CROSSING,
        f"more than {100 * _MAX_CROSSING:.0f} % of the pairs there cross document ends and are "
        "nearly uncorrelated (--boundary document keeps inside)",
    )


def document_reach(lengths: NDArray[np.int64]) -> tuple[int, int] | None:
    """The largest lag at which 1% of the tokens have a partner in their document; the longest one.

    Parameters
    ----------
    lengths : (n_documents,) int64
        Tokens of each document, without separators.

    Returns
    -------
    (lag, longest) or None
        None without a pair inside a document.
    """
    lengths = np.sort(lengths[lengths > 1]).astype(np.float64)
    if len(lengths) == 0:
        return None
    low, high = 1, int(lengths[-1])
    while high - low > 1:
        middle = (low + high) // 2
        inside = float(np.maximum(lengths - middle, 0).sum())
        low, high = (middle, high) if inside >= _MIN_INSIDE * lengths.sum() else (low, middle)
    return low, int(lengths[-1])


def sequential_limit(
    lags: NDArray[np.int64], norm: Floats, lengths: NDArray[np.int64]
) -> LagLimit | None:
    """Largest lag at which the lengths of the documents barely distort the sequential norms.

    The mean over all shuffles of a document contains the pairs of all its lags. Removing it
    subtracts M = sum_t v_t C(t) from C at every lag, where v_t is the fraction of a document's
    pairs that lie at lag t; where C(t) falls below M, the sequential covariance changes its sign
    and its norm rises again. M is estimated from the sequential norms s(t) = C(t) - M themselves:
    with S and V the sums of v_t s(t) and of v_t up to the lag T of the smallest norm (where the
    sign has not changed yet), and with C ~ 1 / t beyond it,

        M = S + V M + G (s(T) + M),  G = sum over t > T of v_t T / t.

    Parameters
    ----------
    lags : (n,) int64
    norm : (n,) float64
        Sequential norms, NaN where they are lost in the noise.
    lengths : (n_documents,) int64
        Tokens of each document, without separators.

    Returns
    -------
    (lag, reason) or None
        None where no measured lag has to be left out.
    """
    lengths = np.sort(lengths[lengths > 1]).astype(np.float64)
    if len(lengths) == 0:
        return None
    # Half of the tokens lie in documents at most this long.
    typical = float(lengths[np.searchsorted(np.cumsum(lengths), lengths.sum() / 2)])
    short = lags <= MAX_OF_DOCUMENT * typical
    by_length = _last_before(
        lags,
        ~short,
        f"documents are typically {typical:,.0f} tokens long, and lags beyond a quarter of that "
        "are shaped by their ends",
    )
    if not short.any():
        return by_length
    norms = np.nan_to_num(norm[short])
    by_composition = _last_before(
        lags[short],
        norms < _MIN_LEFT_RATIO * _removed_norm(lags[short], norms, lengths),
        "documents are so short there that removing their composition takes more than a quarter of "
        "the norm",
    )
    return by_length if by_composition is None else by_composition


def _removed_norm(lags: NDArray[np.int64], norms: Floats, lengths: NDArray[Any]) -> float:
    """M of `sequential_limit`: what removing the composition takes from the norm at every lag."""
    # The lags up to T, and v_t and s(t) at every lag between them.
    falling = slice(0, int(np.argmin(norms)) + 1)
    last = int(lags[falling][-1])
    grid = np.arange(1, last + 1)
    fraction = 2 * np.array([np.maximum(1 - t / lengths, 0.0).sum() for t in lags[falling]])
    fraction /= float((lengths - 1).sum())
    weights = np.interp(grid, lags[falling], fraction)
    curve = np.interp(np.log(grid), np.log(lags[falling]), norms[falling])
    # G, in the limit of many lags, where v_t = 2 (L - t) / L^2: by its integral.
    ratio = np.maximum(lengths / last, 1.0)
    beyond = float((2 * last * (np.log(ratio) - 1 + 1 / ratio)).sum() / lengths.sum())
    unseen = 1 - float(weights.sum()) - beyond
    summed = float(weights @ curve) + beyond * norms[falling][-1]
    return float(summed / max(unseen, _MIN_UNSEEN))


def _last_before(
    lags: NDArray[np.int64], unusable: NDArray[np.bool_], reason: str
) -> LagLimit | None:
    if not unusable.any():
        return None
    first = int(unusable.argmax())
    return (float(lags[first - 1]) if first else 0.0), reason
