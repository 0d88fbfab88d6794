"""Learning curves of hierarchies with power-law rules: the theory's curve, and fits to it.

Cagnetta, Kang and Wyart (arXiv 2505.07067); docs/theory.md 6. A rule of frequency q is known after
P strings with a probability of about 1 - (1 - q)^(P / P0), where P0 depends on the hierarchy alone.
A string has s^(L-1) tuples of the lowest level, and its label is known if all of them are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.distributions import student_quantile
from ngramstat.exponents.fit import power_law
from ngramstat.results.exponent import Exponent
from ngramstat.results.hierarchies import DepthLaw, LabelCurve, LastTokenCurve, SampleComplexity

__all__ = [
    "depth_law",
    "label_curve",
    "last_token_curve",
    "mean_difference",
    "ratios_of_shares",
    "sample_complexity",
    "size_at",
    "string_error",
    "tuple_error",
    "unknown_share",
]

Floats = NDArray[np.float64]

# Range of P / P0 in which a share of unknown rules is looked for.
_RATIOS = (1e-3, 1e9)
_PLACES = 600
_TINY = 1e-300
_LEAST_LOG = -700.0
_LEVEL = 0.95
# Entropies of two levels that differ by less are equal, in nats.
_ROUNDING = 1e-9


def unknown_share(frequencies: ArrayLike, ratios: ArrayLike) -> Floats:
    """Sum_k q_k (1 - q_k)^r: the share of unknown rules after r = P / P0.

    Parameters
    ----------
    frequencies : (m,) float64
        q, summing to one.
    ratios : (n,) float64

    Returns
    -------
    (n,) float64
    """
    q = np.asarray(frequencies, dtype=np.float64)
    # A single rule, q = 1, is known at once.
    log_missed = np.log1p(-q[q < 1])
    r = np.atleast_1d(np.asarray(ratios, dtype=np.float64))
    # Exponentials that underflow take many times as long.
    share: Floats = np.array(
        [float(q[q < 1] @ np.exp(np.maximum(x * log_missed, _LEAST_LOG))) for x in r]
    )
    return share


def ratios_of_shares(frequencies: ArrayLike, shares: ArrayLike) -> Floats:
    """P / P0 at which these shares of rules are unknown; NaN for shares that are never reached.

    Read from the curve at 50 places a decade, which is good to 1e-3, and to 1e-4 in a power law.
    """
    ratios = np.geomspace(*_RATIOS, _PLACES)
    curve = _curve(np.asarray(frequencies, dtype=np.float64).tobytes())
    # Far below the rarest rule the curve is 0 in floating point.
    ratios, curve = ratios[curve > _TINY], curve[curve > _TINY]
    unknown = np.asarray(shares, dtype=np.float64)
    inside = (unknown <= curve[0]) & (unknown >= curve[-1])
    log_shares = np.log(np.where(inside, unknown, curve[0]))
    # `interp` needs an ascending abscissa.
    log_ratios = np.interp(-log_shares, -np.log(curve), np.log(ratios))
    found: Floats = np.where(inside, np.exp(log_ratios), np.nan)
    return found


@lru_cache(maxsize=16)
def _curve(frequencies: bytes) -> Floats:
    """The share of unknown rules at all places; the frequencies of many curves are the same."""
    return unknown_share(np.frombuffer(frequencies), np.geomspace(*_RATIOS, _PLACES))


def string_error(share: ArrayLike, n_tuples: int, n_labels: int) -> Floats:
    """Error of labels if this share of tuples is unknown: a guess unless all tuples are known."""
    known = (1 - np.asarray(share, dtype=np.float64)) ** n_tuples
    error: Floats = (1 - 1 / n_labels) * (1 - known)
    return error


def tuple_error(errors: ArrayLike, n_tuples: int, n_labels: int) -> Floats:
    """The share of unknown tuples behind these errors of labels; 1 for an error of chance."""
    known = 1 - np.asarray(errors, dtype=np.float64) / (1 - 1 / n_labels)
    share: Floats = 1 - np.clip(known, 0, 1) ** (1 / n_tuples)
    return share


def label_curve(
    sizes: NDArray[np.int64],
    errors: Floats,
    window: tuple[float, float],
    frequencies: Floats,
    *,
    branching: int,
    hierarchy: Mapping[str, Any],
) -> LabelCurve:
    """Exponents and P0 of the errors of labels.

    Parameters
    ----------
    sizes : (n_sizes,) int64
    errors : (n_sizes, n_draws) float64
        Of as many labels as symbols.
    window : (low, high)
        The sizes that are fitted.
    frequencies : (m_1,) float64
        Of the rules of the lowest level.
    branching : int
    hierarchy : mapping
        The fields symbols, rules, depth and zipf_a of `LabelCurve`.
    """
    zipf_a = hierarchy["zipf_a"]
    shares = tuple_error(errors, branching ** (hierarchy["depth"] - 1), hierarchy["symbols"])
    used = (sizes >= window[0]) & (sizes <= window[1])
    scales = sizes[used] / ratios_of_shares(frequencies, shares[used].T)
    scale, low, high = _geometric_interval(scales)
    theory, in_window = None, None
    if zipf_a is not None and scale is not None:
        theory = unknown_share(frequencies, sizes / scale)
        if np.count_nonzero(used) > 1:
            in_window = power_law(sizes[used], theory[used]).exponent
    return LabelCurve(
        **hierarchy, bottom_rules=len(frequencies), sizes=sizes, errors=errors,
        tuple_errors=shares,
        exponent=_exponent(sizes, shares, window, "error of one tuple"),
        string_exponent=_exponent(sizes, errors, window, "error of a string"),
        theory=None if zipf_a is None else zipf_a / (1 + zipf_a), theory_in_window=in_window,
        scale=scale, scale_low=low, scale_high=high, theory_errors=theory,
    )  # fmt: skip


def _geometric_interval(scales: Floats) -> tuple[float | None, float | None, float | None]:
    """Geometric mean over sizes and draws, (n_draws, n_sizes), with an interval over the draws."""
    logs = np.log(scales).mean(axis=1)
    if not np.all(np.isfinite(logs)):
        return None, None, None
    value, half = float(logs.mean()), _half_width(logs)
    if not math.isfinite(half):
        return math.exp(value), None, None
    return math.exp(value), math.exp(value - half), math.exp(value + half)


def _half_width(values: Floats) -> float:
    """Half of the interval of a mean by Student's t; NaN for one value."""
    if len(values) < 2:
        return math.nan
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return student_quantile(_LEVEL, len(values) - 1) * error


def _exponent(
    sizes: NDArray[np.int64], values: Floats, window: tuple[float, float], what: str
) -> Exponent:
    """Mean over the draws, (n_sizes, n_draws), of the slope over a window."""
    used = (sizes >= window[0]) & (sizes <= window[1])
    method = f"{what} against strings, log-log over the window, mean over draws of the rules"
    if np.count_nonzero(used) < 3 or np.any(values[used] <= 0):
        return Exponent.refused("fewer than three sizes, or an error of 0", method=method)
    slopes = np.array([power_law(sizes[used], column).exponent for column in values[used].T])
    ends = float(sizes[used][0]), float(sizes[used][-1])
    return _mean_of_draws(slopes, ends, int(np.count_nonzero(used)), method)


def _mean_of_draws(
    exponents: Floats, window: tuple[float, float], points: int, method: str
) -> Exponent:
    """Mean of the exponents of the draws, with Student's interval."""
    value, half = float(exponents.mean()), _half_width(exponents)
    one_draw = not math.isfinite(half)
    return Exponent(
        value=value, low=None if one_draw else value - half,
        high=None if one_draw else value + half, level=_LEVEL, window=window, points=points,
        method=method, reportable=not one_draw,
        reason="one draw of the rules has no interval" if one_draw else None,
    )  # fmt: skip


def depth_law(curves: Sequence[LabelCurve]) -> DepthLaw | None:
    """The line of ln P0 in the depth, of curves that differ in the depth alone; None below 3."""
    known = [curve for curve in curves if curve.scale is not None and curve.zipf_a is not None]
    if len(known) < 3:
        return None
    depths = np.array([curve.depth for curve in known])
    logs = np.log([float(curve.scale or math.nan) for curve in known])
    slope, r2 = _line(depths, logs)
    return DepthLaw(
        symbols=known[0].symbols, zipf_a=float(known[0].zipf_a or math.nan), depths=depths,
        scales=np.exp(logs), factor=math.exp(slope), r2=r2,
    )  # fmt: skip


def _line(x: ArrayLike, y: ArrayLike) -> tuple[float, float]:
    """Slope and r^2 of the least-squares line."""
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    slope, intercept = np.polyfit(xs, ys, 1)
    residuals = ys - slope * xs - intercept
    return float(slope), float(1 - residuals @ residuals / np.sum((ys - ys.mean()) ** 2))


def size_at(sizes: NDArray[np.int64], errors: Floats, error: float) -> float:
    """Size at which a falling curve first passes `error`; NaN if it never does, or begins below.

    Between its points the curve is taken as a power law.
    """
    below = np.flatnonzero(errors <= error)
    if len(below) == 0 or below[0] == 0:
        return math.nan
    last, first = below[0] - 1, below[0]
    # A curve at or below nought there is passed at that size.
    if errors[first] <= 0:
        return float(sizes[first])
    fraction = math.log(errors[last] / error) / math.log(errors[last] / errors[first])
    return float(sizes[last] * (sizes[first] / sizes[last]) ** fraction)


def sample_complexity(curves: Sequence[LabelCurve]) -> SampleComplexity:
    """Strings that uniform rules take, against n_c m^L.

    Raises
    ------
    InputError
        A curve does not pass half of the chance error.
    """
    measured = []
    for curve in curves:
        half = (1 - 1 / curve.symbols) / 2
        places = np.array([size_at(curve.sizes, column, half) for column in curve.errors.T])
        if not np.all(np.isfinite(places)):
            raise InputError(
                f"uniform rules, v={curve.symbols}, m={curve.rules}, L={curve.depth}: the errors "
                f"do not pass {half:.2f} between {curve.sizes[0]} and {curve.sizes[-1]} strings"
            )
        measured.append(math.exp(float(np.log(places).mean())))
    theory = np.array([c.symbols * float(c.rules) ** c.depth for c in curves])
    slope, r2 = _line(np.log(theory), np.log(measured))
    return SampleComplexity(
        symbols=np.array([c.symbols for c in curves]), rules=np.array([c.rules for c in curves]),
        depth=np.array([c.depth for c in curves]), theory=theory, measured=np.array(measured),
        exponent=slope, factor=math.exp(float(np.mean(np.log(measured / theory)))), r2=r2,
    )  # fmt: skip


def last_token_curve(
    sizes: NDArray[np.int64],
    losses: Floats,
    entropies: Floats,
    thresholds: Floats,
    *,
    theory: tuple[float | None, float | None, float | None],
    hierarchy: Mapping[str, Any],
) -> LastTokenCurve:
    """The large-scale exponent of the losses of the last token.

    The loss falls in steps, one a level. A step is taken where the loss above its limit passes the
    geometric mean of the levels before and after it; the exponent is the slope of the line through
    these places, whatever the shape of the steps.

    Parameters
    ----------
    sizes : (n_sizes,) int64
    losses : (n_sizes, n_draws) float64
    entropies : (L + 1, n_draws) float64
        Exact, given 0 .. L levels of context.
    thresholds : (L,) float64
        Strings that levels 1 .. L take, up to a factor.
    theory : (value, low, high)
        gamma / (2 beta).
    hierarchy : mapping
        The fields symbols, rules, depth, skewed and zipf_a of `LastTokenCurve`.
    """
    excess = np.maximum(entropies - entropies[-1], 0.0)
    # The last step ends at the limit, which the loss never passes.
    middles = np.sqrt(excess[:-2] * excess[1:-1])
    steps = np.array(
        [
            [size_at(sizes, loss, middle) for loss, middle in zip(above.T, row, strict=True)]
            for above, row in ((losses - entropies[-1], row) for row in middles)
        ]
    )
    taken = np.all(np.isfinite(steps) & (middles > _ROUNDING), axis=1)
    exponents, exact = np.empty(0), np.empty(0)
    if np.count_nonzero(taken) > 1:
        log_theory = np.log(thresholds[:-1][taken])
        pairs = list(zip(np.log(steps[taken]).T, np.log(middles[taken]).T, strict=True))
        exponents = np.array([-_line(p, middle)[0] for p, middle in pairs])
        exact = np.array([-_line(log_theory, middle)[0] for _, middle in pairs])
    return LastTokenCurve(
        **hierarchy, sizes=sizes, losses=losses, entropies=entropies, steps=steps,
        exponent=_mean_exponent(exponents, steps[taken]), exponents=exponents, exact=exact,
        theory=theory[0], theory_low=theory[1], theory_high=theory[2],
    )  # fmt: skip


def _mean_exponent(exponents: Floats, steps: Floats) -> Exponent:
    """Mean over the draws of the exponent through the steps, (n_steps, n_draws)."""
    method = "line through the steps of the curve, log-log, mean over draws of the rules"
    if len(exponents) == 0:
        return Exponent.refused("fewer than two steps are in the curves", method=method)
    return _mean_of_draws(exponents, (float(steps.min()), float(steps.max())), len(steps), method)


def mean_difference(curve: LastTokenCurve) -> tuple[float, float]:
    """Mean over the draws of measured minus exact exponent, and half of its interval."""
    differences = curve.exponents - curve.exact
    return float(differences.mean()), _half_width(differences)
