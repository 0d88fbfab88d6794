"""Scaling collapse: ``(L_n(P) - H_inf) n^gamma`` against ``P / n^(2 beta)`` on one curve.

Cagnetta et al. 2026, eq. 43 (shifted: the form that holds asymptotically) and eqs. 9 and 42 (raw:
H_inf = 0, the form printed and plotted). The measure is that of Bhattacharjee and Seno (2001): how
far each rescaled curve lies from every other one where the two overlap. It needs no model of the
common curve.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.criteria import MIN_CONTEXTS
from ngramstat.prediction.alpha import part_reasons
from ngramstat.results import Collapse, CurveTable, Exponent

__all__ = ["collapse", "collapse_members", "collapse_of_table", "curve_distance", "rescaled"]

Floats = NDArray[np.float64]

_MIN_SIZES = 3
# With less overlap there are too few comparisons for the distance to mean anything.
_MIN_OVERLAP = 0.3
# The grid covers half to one and a half times the estimates.
_GRID = np.linspace(0.5, 1.5, 21)
# Exponents collapse the curves well if the distance is at most this multiple of the smallest one.
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


def curve_distance(n: Floats, x: Floats, y: Floats) -> tuple[float, float]:
    """Root-mean-square distance between the curves, and the fraction of them that overlaps.

    Every point is compared with the line through each other context's points, at the same x, where
    these points span it.

    Parameters
    ----------
    n, x, y : (k,) float64
        Context, and log of the rescaled tokens and losses; one loss per row.

    Returns
    -------
    distance, overlap : float
        NaN and 0 where nothing overlaps. The overlap is the fraction of points that some other
        curve spans.
    """
    (distance,), overlap = _curve_distances(n, x, y, np.zeros(1))
    return float(distance), overlap


def _curve_distances(n: Floats, x: Floats, y: Floats, gammas: Floats) -> tuple[Floats, float]:
    """`curve_distance` of y + gamma log n for every gamma, which leaves x and the overlap alone."""
    squares, compared, spanned = np.zeros(len(gammas)), 0, np.zeros(len(n), dtype=bool)
    for context in np.unique(n):
        one = n == context
        order = np.argsort(x[one])
        line_x, line_y = x[one][order], y[one][order]
        if len(line_x) < 2:
            continue
        others = ~one & (x >= line_x[0]) & (x <= line_x[-1])
        gaps = y[others] - np.interp(x[others], line_x, line_y)
        gaps = gaps + gammas[:, None] * np.log(n[others] / context)
        squares += (gaps**2).sum(axis=1)
        compared += gaps.shape[1]
        spanned |= others
    if compared == 0:
        return np.full(len(gammas), np.nan), 0.0
    return np.sqrt(squares / compared), float(spanned.mean())


def collapse_members(context: ArrayLike, loss: ArrayLike, entropy_rate: float) -> NDArray[np.bool_]:
    """Which losses a collapse uses.

    Not used are losses at or below H_inf, context 0 (nothing scales with it), and contexts with
    fewer than 3 remaining losses.
    """
    n, y = np.asarray(context, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    above = (y > entropy_rate) & (n >= 1)
    values, counts = np.unique(n[above], return_counts=True)
    used: NDArray[np.bool_] = above & np.isin(n, values[counts >= _MIN_SIZES])
    return used


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
        One loss per row; see `collapse_members` for those that are not used.
    gamma, beta : float
        Positive.
    entropy_rate : float
        H_inf: 0 for the raw protocol.
    source : str
        Whose losses these are: ``counted`` or ``imported``.

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
    used = collapse_members(n, y, entropy_rate)
    n, p, y = n[used], p[used], y[used]
    if len(np.unique(n)) < MIN_CONTEXTS:
        return None
    curves = _LogCurves(n, p, y - entropy_rate)
    (quality,), overlap = curves.qualities(np.array([gamma]), beta)
    gammas, betas = gamma * _GRID, beta * _GRID
    table = np.column_stack([curves.qualities(gammas, b)[0] for b in betas])
    return Collapse(
        source=source,
        protocol="raw" if entropy_rate == 0 else "shifted",
        gamma=gamma,
        beta=beta,
        entropy_rate=entropy_rate,
        quality=float(quality) if np.isfinite(quality) else None,
        overlap=overlap,
        grid_gamma=gammas,
        grid_beta=betas,
        grid_quality=table,
        points=len(n),
        contexts=len(np.unique(n)),
        **_best_of_grid(gammas, betas, table),
    )


class _LogCurves:
    """Losses above H_inf by context and tokens, in logarithms."""

    def __init__(self, n: Floats, tokens: Floats, excess: Floats) -> None:
        self.n = n
        self.log_n, self.log_p, self.log_y = np.log(n), np.log(tokens), np.log(excess)
        self.distance_before, _ = curve_distance(n, self.log_p, self.log_y)

    def qualities(self, gammas: Floats, beta: float) -> tuple[Floats, float]:
        """Distances of the curves rescaled with each gamma relative to that before, and overlap."""
        distances, overlap = _curve_distances(
            self.n, self.log_p - 2 * beta * self.log_n, self.log_y, gammas
        )
        if self.distance_before == 0 or overlap < _MIN_OVERLAP:
            return np.full(len(gammas), np.nan), overlap
        return distances / self.distance_before, overlap


def _best_of_grid(gammas: Floats, betas: Floats, table: Floats) -> dict[str, Any]:
    """The best pair of exponents, and the range of those that collapse the curves well."""
    known = np.isfinite(table)
    if not known.any():
        return {}
    i, j = np.unravel_index(int(np.nanargmin(table)), table.shape)
    good = known & (np.where(known, table, np.inf) <= _TOLERATED * table[i, j])
    rows, columns = np.flatnonzero(good.any(axis=1)), np.flatnonzero(good.any(axis=0))
    return {
        "best_gamma": float(gammas[i]),
        "best_beta": float(betas[j]),
        "best_quality": float(table[i, j]),
        "gamma_low": float(gammas[rows[0]]),
        "gamma_high": float(gammas[rows[-1]]),
        "beta_low": float(betas[columns[0]]),
        "beta_high": float(betas[columns[-1]]),
    }


def collapse_of_table(
    table: CurveTable,
    gamma: Exponent,
    beta: Exponent,
    *,
    value: float | None = None,
    entropy_rate: float = 0.0,
    source: str = "imported",
) -> Collapse | None:
    """The collapse of the losses of a table, with whether its exponents can be reported.

    Parameters
    ----------
    table : CurveTable
    gamma, beta : Exponent
    value : float, optional
        The gamma to rescale with, where it is an alternative of `gamma`.
    entropy_rate, source
        As for `collapse`.

    Returns
    -------
    Collapse or None
        None as for `collapse`, and where an exponent is missing or not positive.
    """
    used = gamma.value if value is None else value
    if used is None or used <= 0 or beta.value is None or beta.value <= 0:
        return None
    result = collapse(
        table.context, table.tokens, table.loss, used, beta.value,
        entropy_rate=entropy_rate, source=source,
    )  # fmt: skip
    if result is None:
        return None
    reasons = part_reasons(gamma, beta)
    return replace(result, reportable=not reasons, reason="; ".join(reasons) or None)
