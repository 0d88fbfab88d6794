"""Percentile intervals of bootstrap replicates, how many they need, and normal intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ngramstat.errors import InputError
from ngramstat.exponents.distributions import normal_quantile

__all__ = [
    "needed_replicates",
    "percentile_interval",
    "replicates_missing",
    "standard_error",
]


def percentile_interval(replicates: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Central percentile interval of one number's replicates.

    Replicates that are not finite are left out; the interval is (NaN, NaN) if none is finite.

    Raises
    ------
    InputError
        If the replicates are not one-dimensional or the level is not in (0, 1).
    """
    values = np.asarray(replicates, dtype=np.float64)
    if values.ndim != 1:
        raise InputError(f"replicates: needs 1 dimension, got {values.ndim}")
    if not 0 < level < 1:
        raise InputError(f"level: needs a number in (0, 1), got {level:g}")
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def needed_replicates(level: float) -> int:
    """Minimum number of replicates with one beyond each end of a central interval at `level`."""
    # 2 / (1 - 0.95) exceeds 40 in the last bit; without rounding it would become 41.
    return int(np.ceil(round(2 / (1 - level), 6)))


def replicates_missing(count: int, level: float) -> str | None:
    """Why `count` replicates are too few for an interval at `level`; None if they suffice."""
    if count == 0:
        return "no bootstrap replicates, so no interval"
    needed = needed_replicates(level)
    if count < needed:
        return f"{count} bootstrap replicates, {needed} needed for {100 * level:g}%"
    return None


def standard_error(low: float, high: float, level: float) -> float:
    """The standard error whose central normal interval at `level` is as wide as (low, high)."""
    return (high - low) / (2 * normal_quantile(level))
