"""Bounds of gamma from brackets of the entropies: all curves that they allow, none preferred.

Counts bound H_n from below and held-out losses from above. Of the true curve it is known beyond
that only that it does not rise with n: conditioning on more tokens cannot increase the entropy. The
slope is linear in the log entropies, so its extremes over all such curves are those of a linear
program (partial identification, docs/theory.md 14.2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.fit import slope_weights

__all__ = ["gamma_bounds"]

Floats = NDArray[np.float64]


def gamma_bounds(
    context: ArrayLike, low: ArrayLike, high: ArrayLike, *, window: tuple[int, int] = (1, 3)
) -> tuple[float, float] | None:
    """Smallest and largest raw slope of -log H_n on log n that the brackets allow.

    Parameters
    ----------
    context : (n,) integers
        Number of tokens conditioned on, increasing.
    low, high : (n,) float64
        Bracket of every H_n, nats per token.
    window : (int, int)
        First and last context of the slope, inclusive; at least 1.

    Returns
    -------
    (float, float) or None
        None without at least two contexts in the window that have positive, finite brackets at
        both ends of the window, or where no curve that does not rise fits into the brackets.

    Raises
    ------
    InputError
        For arrays of different lengths, or a window that is not a range of contexts of at least 1.
    """
    n, below, above = (np.asarray(a, dtype=np.float64) for a in (context, low, high))
    if n.ndim != 1 or not n.shape == below.shape == above.shape:
        raise InputError(
            f"context, low and high need one length, got {n.shape}, {below.shape} and {above.shape}"
        )
    if not 1 <= window[0] < window[1]:
        raise InputError(f"window: needs 1 <= low < high, got {window[0]}..{window[1]}")
    inside = (n >= window[0]) & (n <= window[1])
    n, below, above = n[inside], below[inside], above[inside]
    if len(n) < 2 or not np.all((below > 0) & np.isfinite(above) & (below <= above)):
        return None
    weights = -slope_weights(np.log(n))
    ends = [_extreme(sign * weights, np.log(below), np.log(above)) for sign in (1.0, -1.0)]
    if ends[0] is None or ends[1] is None:
        return None
    return ends[0], -ends[1]


def _extreme(weights: Floats, low: Floats, high: Floats) -> float | None:
    """Minimum of weights @ y over low <= y <= high that does not rise; None if there is no y.

    At the minimum of a linear function every run of equal values lies on a bound of one of them, so
    that only the bounds need be tried.
    """
    values = np.unique(np.concatenate([low, high]))
    smallest = np.zeros(len(values))
    for weight, least, most in zip(weights, low, high, strict=True):
        # Of the curves up to here that end at each value: the one before is at least as high.
        before = np.minimum.accumulate(smallest[::-1])[::-1]
        inside = (values >= least) & (values <= most)
        smallest = np.where(inside, before + weight * values, np.inf)
    result = float(smallest.min())
    return result if np.isfinite(result) else None
