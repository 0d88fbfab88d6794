"""Scaling collapse: ``(L_n(P) - H_inf) n^gamma`` against ``P / n^(2 beta)`` on one curve.

Cagnetta et al. 2026, eq. 43 (shifted: the form that holds asymptotically) and eqs. 9 and 42 (raw:
H_inf = 0, the form printed and plotted). The measure is that of Bhattacharjee and Seno (2001): how
far each rescaled curve lies from every other one, where the two overlap. It needs no model of the
common curve.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.results import Collapse

__all__ = ["collapse", "collapse_distance", "collapse_members", "rescaled"]

Floats = NDArray[np.float64]

_MIN_CONTEXTS = 3
_MIN_SIZES = 3
# Curves that hardly overlap collapse for want of a comparison.
_MIN_OVERLAP = 0.3
# The grid reaches from half to one and a half times the estimates.
_GRID = np.linspace(0.5, 1.5, 21)
_TOLERATED = 2.0


def rescaled(
    context: ArrayLike,
    tokens: ArrayLike,
    loss: ArrayLike,
    gamma: float,
    beta: float,
    entropy_rate: float = 0.0,
) -> tuple[Floats, Floats]:
    """``(P / n^(2 beta), (L - H_inf) n^gamma)`` of each loss, context n >= 1."""
    n = np.asarray(context, dtype=np.float64)
    x = np.asarray(tokens, dtype=np.float64) / n ** (2 * beta)
    y = (np.asarray(loss, dtype=np.float64) - entropy_rate) * n**gamma
    return x, y


def collapse_distance(
    context: ArrayLike,
    tokens: ArrayLike,
    loss: ArrayLike,
    gamma: float,
    beta: float,
    entropy_rate: float = 0.0,
) -> tuple[float, float]:
    """Root-mean-square distance (in log) between rescaled curves, and the share that overlaps.

    Every point is compared with the line, straight in log-log, through each other context's points
    that span it.

    Parameters
    ----------
    context, tokens, loss : (k,) arrays
        One loss a row, contexts of at least 1, losses above `entropy_rate`.
    gamma, beta, entropy_rate : float

    Returns
    -------
    distance, overlap : float
        NaN and 0 where nothing overlaps. The overlap is the share of points that some other curve
        spans.
    """
    n = np.asarray(context, dtype=np.float64)
    x, y = rescaled(n, tokens, loss, gamma, beta, entropy_rate)
    return _distance(n, np.log(x), np.log(y))


def _distance(n: Floats, x: Floats, y: Floats) -> tuple[float, float]:
    curves = [n == value for value in np.unique(n)]
    squares, compared, spanned = 0.0, 0, np.zeros(len(n), dtype=bool)
    for one in curves:
        order = np.argsort(x[one])
        line_x, line_y = x[one][order], y[one][order]
        if len(line_x) < 2:
            continue
        others = ~one & (x >= line_x[0]) & (x <= line_x[-1])
        gaps = y[others] - np.interp(x[others], line_x, line_y)
        squares += float(gaps @ gaps)
        compared += len(gaps)
        spanned |= others
    if compared == 0:
        return float("nan"), 0.0
    return float(np.sqrt(squares / compared)), float(spanned.mean())


def collapse_members(context: ArrayLike, loss: ArrayLike, entropy_rate: float) -> NDArray[np.bool_]:
    """Which losses a collapse uses.

    Left out are losses at or below H_inf, context 0 (nothing scales with it), and contexts with
    fewer than 3 other losses left.
    """
    n, y = np.asarray(context, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    above = (y > entropy_rate) & (n >= 1)
    values, counts = np.unique(n[above], return_counts=True)
    found: NDArray[np.bool_] = above & np.isin(n, values[counts >= _MIN_SIZES])
    return found


def collapse(
    context: ArrayLike,
    tokens: ArrayLike,
    loss: ArrayLike,
    gamma: float,
    beta: float,
    *,
    entropy_rate: float = 0.0,
    source: str = "imported",
) -> Collapse | None:
    """Quality of the collapse at (gamma, beta), and how it depends on the two.

    Parameters
    ----------
    context, tokens, loss : (k,) arrays
        One loss a row; see `collapse_members` for what is left out.
    gamma, beta : float
        Positive.
    entropy_rate : float
        H_inf: 0 for the raw protocol.
    source : str
        Whose losses these are.

    Returns
    -------
    Collapse or None
        None for fewer than 3 contexts with at least 3 losses each.

    Raises
    ------
    InputError
        For arrays of different lengths, or exponents that are not positive.
    """
    n, p, y = (np.asarray(a, dtype=np.float64) for a in (context, tokens, loss))
    if n.ndim != 1 or p.shape != n.shape or y.shape != n.shape:
        raise InputError("context, tokens and loss need one length")
    if not (gamma > 0 and beta > 0):
        raise InputError(f"gamma and beta must be positive, got {gamma:g} and {beta:g}")
    kept = collapse_members(n, y, entropy_rate)
    n, p, y = n[kept], p[kept], y[kept]
    if len(np.unique(n)) < _MIN_CONTEXTS:
        return None
    log_n, log_p, log_y = np.log(n), np.log(p), np.log(y - entropy_rate)
    before, _ = _distance(n, log_p, log_y)

    def quality(g: float, b: float) -> tuple[float, float]:
        distance, overlap = _distance(n, log_p - 2 * b * log_n, log_y + g * log_n)
        if before == 0 or overlap < _MIN_OVERLAP:
            return float("nan"), overlap
        return distance / before, overlap

    here, overlap = quality(gamma, beta)
    gammas, betas = gamma * _GRID, beta * _GRID
    table = np.array([[quality(g, b)[0] for b in betas] for g in gammas])
    known = np.isfinite(table)
    best: dict[str, float] = {}
    if known.any():
        i, j = np.unravel_index(int(np.nanargmin(table)), table.shape)
        good = known & (np.where(known, table, np.inf) <= _TOLERATED * table[i, j])
        rows, columns = np.flatnonzero(good.any(axis=1)), np.flatnonzero(good.any(axis=0))
        best = {
            "best_gamma": float(gammas[i]),
            "best_beta": float(betas[j]),
            "best_quality": float(table[i, j]),
            "gamma_low": float(gammas[rows[0]]),
            "gamma_high": float(gammas[rows[-1]]),
            "beta_low": float(betas[columns[0]]),
            "beta_high": float(betas[columns[-1]]),
        }
    return Collapse(
        source=source,
        protocol="raw" if entropy_rate == 0 else "shifted",
        gamma=gamma,
        beta=beta,
        entropy_rate=entropy_rate,
        quality=here if np.isfinite(here) else None,
        overlap=overlap,
        grid_gamma=gammas,
        grid_beta=betas,
        grid_quality=table,
        points=len(n),
        contexts=len(np.unique(n)),
        **best,
    )
