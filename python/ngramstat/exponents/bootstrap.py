"""Document-cluster bootstrap: weights and percentile intervals.

Tokens of one document are dependent, so the bootstrap resamples documents, not tokens or lags.
Every lag or context has the same weights, so that the points of a replicate curve vary together.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError

__all__ = ["cluster_weights", "needed_replicates", "percentile_interval", "replicates_missing"]


def cluster_weights(
    clusters: int,
    replicates: int,
    generator: np.random.Generator,
    *,
    chunk_elements: int = 1 << 22,
) -> Iterator[NDArray[np.int64]]:
    """Multinomial resampling weights, in chunks of bounded memory.

    Parameters
    ----------
    clusters : int
        Number of documents; every row of weights sums to it.
    replicates : int
        Total number of rows over all chunks.
    generator : numpy.random.Generator
        Source of randomness. The rows do not depend on the chunk size.
    chunk_elements : int
        Maximum number of weights in memory at once (but at least one row).

    Yields
    ------
    (rows, clusters) int64
        How often each document is drawn.

    Raises
    ------
    InputError
        For fewer than one cluster or a negative number of replicates.
    """
    if clusters < 1:
        raise InputError(f"clusters: needs at least 1, got {clusters}")
    if replicates < 0:
        raise InputError(f"replicates: cannot be negative, got {replicates}")
    rows = max(1, chunk_elements // clusters)
    for start in range(0, replicates, rows):
        weights = np.empty((min(rows, replicates - start), clusters), dtype=np.int64)
        for row in weights:
            drawn = generator.integers(0, clusters, size=clusters)
            row[:] = np.bincount(drawn, minlength=clusters)
        yield weights


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
