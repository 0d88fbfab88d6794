"""How far the lags go that beta may be fitted to: document ends and composition set limits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LagLimit", "crossing_limit", "sequential_limit"]

Floats = NDArray[np.float64]
# The largest lag to fit, and why no more.
LagLimit = tuple[float, str]

# Lags of the stream at which more of the pairs than this cross document ends are not fitted: they
# are short by about this fraction, as tokens of different documents are hardly correlated. Over two
# decades up to this fraction the slope is .06 too large, over one .1: the size of the paper's
# errors.
_MAX_CROSSING = 0.25
# What removing the composition takes from every lag may be at most a third of what it leaves: the
# norm is then short by a quarter at most.
_MIN_LEFT = 3.0
# Of a document's pairs, at least this fraction counts as beyond what the sum over lags has seen.
_MIN_UNSEEN = 0.25
# Lags are at most this fraction of a typical document, whose ends hold few pairs and many effects
# of position.
_MAX_OF_DOCUMENT = 0.25


def crossing_limit(lags: NDArray[np.int64], crossing: Floats) -> tuple[float, str] | None:
    """Largest lag before too many pairs cross document ends, and why no more; None for all."""
    return _before(
        lags,
        crossing > _MAX_CROSSING,
        f"more than {100 * _MAX_CROSSING:.0f} % of the pairs there cross document ends and are "
        "hardly correlated (boundary document keeps inside)",
    )


def sequential_limit(
    lags: NDArray[np.int64], norm: Floats, lengths: NDArray[np.int64]
) -> tuple[float, str] | None:
    """Largest lag at which document lengths hardly touch the sequential norms, and why no more.

    The mean over all shuffles of a document holds the pairs of all its lags, so that removing it
    takes M = sum_t v_t C(t) from C at every lag, v_t the share of a document's pairs at lag t;
    where C(t) is below M the sequential covariance turns round. M is estimated from the sequential
    norms s(t) = C(t) - M themselves: with S and V the sums of v_t s(t) and v_t up to the lag T
    where the norm is least, so has not turned round yet, and C ~ 1 / t beyond it,

        M = S + V M + G (s(T) + M),  G = sum over t > T of v_t T / t.

    Parameters
    ----------
    lags : (n,) int64
    norm : (n,) float64
        Sequential norms, NaN where lost in the noise.
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
    short = lags <= _MAX_OF_DOCUMENT * typical
    reach = _before(
        lags,
        ~short,
        f"documents are typically {typical:,.0f} tokens long, and lags beyond a quarter of that "
        "are shaped by their ends",
    )
    if not short.any():
        return reach
    known, heights = lags[short], np.nan_to_num(norm[short])
    falling = slice(0, int(np.argmin(heights)) + 1)
    last = int(known[falling][-1])
    grid = np.arange(1, last + 1)
    share = 2 * np.array([np.maximum(1 - t / lengths, 0.0).sum() for t in known[falling]])
    share /= float((lengths - 1).sum())
    weights = np.interp(grid, known[falling], share)
    curve = np.interp(np.log(grid), np.log(known[falling]), heights[falling])
    # v_t T / t, in the limit of many lags: 2 (L - t) / L^2, by its integral.
    ratio = np.maximum(lengths / last, 1.0)
    tail = float((2 * last * (np.log(ratio) - 1 + 1 / ratio)).sum() / lengths.sum())
    left = 1 - float(weights.sum()) - tail
    removed = (float(weights @ curve) + tail * heights[falling][-1]) / max(left, _MIN_UNSEEN)
    lost = _before(
        known,
        heights < _MIN_LEFT * removed,
        "documents are so short there that removing their composition takes more than a quarter of "
        "the norm",
    )
    return reach if lost is None else lost


def _before(lags: NDArray[np.int64], bad: NDArray[np.bool_], why: str) -> tuple[float, str] | None:
    if not bad.any():
        return None
    first = int(bad.argmax())
    return (float(lags[first - 1]) if first else 0.0), why
