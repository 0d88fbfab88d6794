"""Losses by model size and training tokens: L(N, D) = E + A / N^a + B / D^b.

The form of Hoffmann et al. 2022 (arXiv 2203.15556, sec. 3.3). b is the exponent of a law with a
limit, alpha of docs/theory.md 2.3, and not the raw slope of the losses. The fit minimises squared
relative residuals; E, A and B, which enter linearly and cannot be negative, are solved for at every
(a, b). Intervals are those of the profile likelihood with unknown scatter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.distributions import student_quantile
from ngramstat.exponents.roots import root_between

__all__ = ["MIN_LOSSES", "MIN_SIZES", "SizeLaw", "model_size_law"]

Floats = NDArray[np.float64]

# One more than the parameters of the law.
MIN_LOSSES = 6
# Distinct numbers of parameters, and of tokens.
MIN_SIZES = 3
# Exponents outside this range are a logarithm or a step on any range of sizes.
_RANGE = (0.005, 3.0)
_STARTS = np.exp(np.linspace(math.log(0.03), math.log(1.5), 9))
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class SizeLaw:
    """The fitted law; intervals are (low, high), with None where the losses do not bound an end.

    Attributes
    ----------
    limit, a, b : float
        E in nats per token, and the exponents of N and D.
    scale_parameters, scale_tokens : float
        A and B.
    limit_ends, a_ends, b_ends : (float or None, float or None)
        E cannot be below 0, which is an end and not the absence of one.
    scatter : float
        Root-mean-square relative residual, with the degrees of freedom left.
    """

    limit: float
    a: float
    b: float
    scale_parameters: float
    scale_tokens: float
    limit_ends: tuple[float | None, float | None]
    a_ends: tuple[float | None, float | None]
    b_ends: tuple[float | None, float | None]
    scatter: float


def model_size_law(
    parameters: ArrayLike, tokens: ArrayLike, losses: ArrayLike, *, level: float = 0.95
) -> SizeLaw | str:
    """Fit L(N, D) = E + A / N^a + B / D^b by least squares, with profile-likelihood intervals.

    Parameters
    ----------
    parameters, tokens, losses : (n,) float64
        N, D and the loss of each trained model, nats per token; all positive.
    level : float

    Returns
    -------
    SizeLaw or str
        Why there is no fit: too few losses, or too few distinct sizes.

    Raises
    ------
    InputError
        For arrays of different lengths, or numbers that are not positive and finite.
    """
    n, d, y = (np.asarray(v, dtype=np.float64) for v in (parameters, tokens, losses))
    if n.ndim != 1 or not n.shape == d.shape == y.shape:
        raise InputError(
            f"parameters, tokens and losses need one length, got {n.shape}, {d.shape}, {y.shape}"
        )
    if any(np.any(~(np.isfinite(v) & (v > 0))) for v in (n, d, y)):
        raise InputError("parameters, tokens and losses must be positive and finite")
    if len(y) < MIN_LOSSES:
        return f"{len(y)} losses, {MIN_LOSSES} needed"
    for name, sizes in (("parameters", n), ("tokens", d)):
        if len(np.unique(sizes)) < MIN_SIZES:
            return f"{len(np.unique(sizes))} different numbers of {name}, {MIN_SIZES} needed"
    return _Surface(n, d, y).law(level)


class _Surface:
    """The losses, with the sum of squared relative residuals as a function of the parameters."""

    def __init__(self, n: Floats, d: Floats, y: Floats) -> None:
        # Relative to the middle of the sizes, so that A and B stay of the order of the losses.
        self._middle = (float(np.exp(np.log(n).mean())), float(np.exp(np.log(d).mean())))
        self._n, self._d = np.log(n / self._middle[0]), np.log(d / self._middle[1])
        self._y = y

    def solved(self, a: float, b: float, limit: float | None = None) -> tuple[float, Floats]:
        """(sum of squares, [E, A, B]) of the best E, A, B >= 0, with E given or free."""
        from scipy.optimize import nnls

        y = self._y
        columns = np.column_stack([np.exp(-a * self._n), np.exp(-b * self._d)]) / y[:, None]
        if limit is None:
            columns = np.column_stack([1 / y, columns])
            right = np.ones(len(y))
        else:
            right = 1 - limit / y
        # Without the constraint first, which is faster and holds in most cases.
        best = np.asarray(np.linalg.lstsq(columns, right, rcond=None)[0], dtype=np.float64)
        if np.any(best < 0):
            best = np.asarray(nnls(columns, right)[0], dtype=np.float64)
        residuals = right - columns @ best
        terms: Floats = best if limit is None else np.append(limit, best)
        return float(residuals @ residuals), terms

    def smallest(
        self,
        start: tuple[float, float],
        *,
        a: float | None = None,
        b: float | None = None,
        limit: float | None = None,
    ) -> tuple[float, tuple[float, float]]:
        """(sum of squares, (a, b)) at the minimum over what is not given, from `start`."""
        from scipy.optimize import minimize

        given = (a, b)
        free = [i for i in range(2) if given[i] is None]

        def exponents(x: Floats) -> tuple[float, float]:
            values = [0.0 if v is None else v for v in given]
            for i, value in zip(free, x, strict=True):
                values[i] = min(max(math.exp(value), _RANGE[0]), _RANGE[1])
            return values[0], values[1]

        result = minimize(
            lambda x: math.log(max(self.solved(*exponents(x), limit)[0], 1e-300)),
            np.log([start[i] for i in free]),
            method="Nelder-Mead",
            options={"xatol": _TOLERANCE, "fatol": _TOLERANCE, "maxiter": 400},
        )
        return self.solved(*exponents(result.x), limit)[0], exponents(result.x)

    def law(self, level: float) -> SizeLaw:
        starts = [(self.solved(a, b)[0], (a, b)) for a in _STARTS for b in _STARTS]
        squares, best = self.smallest(min(starts)[1])
        free = len(self._y) - MIN_LOSSES + 1
        # Exact losses of the law leave rounding errors alone.
        squares = max(squares, 1e-20 * len(self._y))
        ceiling = squares * (1 + student_quantile(level, free) ** 2 / free)
        limit, at_n, at_d = self.solved(*best)[1].tolist()

        def profile(name: str) -> Callable[[float], float]:
            def excess(value: float) -> float:
                fixed = {name: value}
                return math.log(max(self.smallest(best, **fixed)[0], 1e-300) / ceiling)

            return excess

        ends = {
            name: (
                _end(profile(name), value, _RANGE[0], logarithmic=True),
                _end(profile(name), value, _RANGE[1], logarithmic=True),
            )
            for name, value in (("a", best[0]), ("b", best[1]))
        }
        of_limit = profile("limit")
        lowest = _end(of_limit, limit, 0.0)
        return SizeLaw(
            limit=limit,
            a=best[0],
            b=best[1],
            scale_parameters=at_n * self._middle[0] ** best[0],
            scale_tokens=at_d * self._middle[1] ** best[1],
            limit_ends=(
                0.0 if lowest is None else lowest,
                _end(of_limit, limit, float(self._y.min())),
            ),
            a_ends=ends["a"],
            b_ends=ends["b"],
            scatter=math.sqrt(squares / free),
        )


def _end(
    excess: Callable[[float], float], value: float, bound: float, *, logarithmic: bool = False
) -> float | None:
    """Where the profile crosses the ceiling between the best value and a bound; None if nowhere."""
    if value == bound or excess(bound) < 0:
        return None
    forward = math.log if logarithmic else float
    back = math.exp if logarithmic else float

    def at(x: float) -> float:
        return excess(back(x))

    # From the value outwards, so that the nearest crossing is found.
    step, inner = (forward(bound) - forward(value)) / 64, forward(value)
    outer = inner + step
    while at(outer) < 0:
        step *= 1.6
        inner = outer
        outer += step
        if (outer - forward(bound)) * math.copysign(1, step) >= 0:
            outer = forward(bound)
            break
    return float(back(root_between(at, inner, outer, tolerance=1e-4)))
