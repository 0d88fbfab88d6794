"""All that the solvable model says of one spectrum of latents, by map of the features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.fit import power_law
from ngramstat.results.solvable import (
    BestSplit,
    FeatureLosses,
    FeatureSpectrumTable,
    MapResult,
    SolvableResult,
)
from ngramstat.runtime.progress import Progress
from ngramstat.theories.feature_losses import (
    best_ratio,
    planar_feature_loss,
    simulate_features,
    simulate_splits,
)
from ngramstat.theories.feature_maps import (
    FEATURE_MAPS,
    FeatureMap,
    FeatureSpectrum,
    effective_dimension,
    feature_covariance,
    feature_directions,
    feature_spectrum,
)
from ngramstat.theories.planar_spectrum import planar_eigenvalues
from ngramstat.theories.solvable import finite_size_factor

__all__ = ["study_features"]

Floats = NDArray[np.float64]

# Products that carry less than this part of 1 / features are not told apart.
_RESOLVED = 1e-3
_RANKS = 40
# The extended range: beyond the edge at the last latent, to where features still are many.
_EXTENDED = 1.1, 0.5
# Numbers of samples relative to that of features, and sizes N = T relative to it.
_SAMPLES = (0.125, 0.25, 0.5, 0.75, 1.25, 1.5, 2.0, 4.0)
_SIZES = (0.0625, 0.125, 0.25, 0.5, 1.0)
# Square roots of the budgets N T, relative to the number of features, and the least of them. Those
# of the linear map are relative to the latents: it has learned all once N and T exceed these.
_BUDGETS, _LINEAR_BUDGETS, _LEAST = (0.25, 0.5, 0.75), (0.375, 0.5, 0.625), 16
_TEACHERS = 16


def study_features(
    eigenvalues: ArrayLike,
    *,
    maps: Sequence[FeatureMap] = FEATURE_MAPS,
    features: int = 256,
    draws: int = 6,
    seed: int = 0,
    source: str = "",
    progress: bool = False,
) -> SolvableResult:
    """Spectra, losses and best budgets for each map.

    Parameters
    ----------
    eigenvalues : (M,) float64
        Variances of the latents.
    maps : sequence of {"linear", "relu", "tanh"}
    features : int
        N of the simulated spectra and losses, at least 32 and more than twice the latents.
    draws : int
        Simulations of each spectrum and loss.
    seed : int
    source : str
        Where the eigenvalues are from.
    progress : bool

    Raises
    ------
    InputError
        Too few features, latents or draws.
    """
    lam = np.sort(np.asarray(eigenvalues, dtype=np.float64))[::-1]
    dimension = effective_dimension(lam)
    if features < max(32, 2 * len(lam) + 2):
        raise InputError(
            f"features={features}: needs at least {max(32, 2 * len(lam) + 2)}, "
            f"more than twice the {len(lam)} latents"
        )
    if draws < 2:
        raise InputError(f"draws={draws}: needs at least two")
    settings: dict[str, Any] = {
        "latents": len(lam), "features": features, "draws": draws, "seed": seed, "source": source,
    }  # fmt: skip
    results = []
    with Progress(3 * len(maps), "feature maps", unit="steps", enabled=progress) as bar:
        for name in maps:
            spectrum = feature_spectrum(name, lam, _RESOLVED / features, seed=seed)
            table = _spectrum_table(name, lam, spectrum, (features, draws, seed))
            bar.advance()
            losses = _losses(name, lam, spectrum, (features // 2, draws, seed))
            bar.advance()
            splits = _splits(name, lam, spectrum, (features, draws, seed))
            bar.advance()
            results.append(_map_result(name, len(lam), spectrum, table, losses, splits))
    return SolvableResult(
        settings=settings, eigenvalues=lam / lam.sum(), decay=_decay(lam),
        effective_dimension=dimension, maps=tuple(results),
    )  # fmt: skip


def _decay(lam: Floats) -> float:
    """Minus the log-log slope over the lower half of the ranks."""
    ranks = np.arange(max(len(lam) // 2, 1), len(lam) + 1, dtype=np.float64)
    return power_law(ranks, lam[-len(ranks) :]).exponent


def _spectrum_table(
    name: FeatureMap, lam: Floats, spectrum: FeatureSpectrum, sizes: tuple[int, int, int]
) -> FeatureSpectrumTable:
    features, draws, seed = sizes
    simulated = np.zeros(features)
    for k in range(draws):
        v = feature_directions(lam, features, np.random.default_rng([seed, k]))
        simulated += np.linalg.eigvalsh(feature_covariance(name, v, v))[::-1] / features / draws
    latents = len(lam)
    ranks = np.unique(np.geomspace(1, features, _RANKS).astype(np.int64))
    # Exact zeros of the linear map beyond the latents, apart from rounding.
    simulated[simulated < 1e-12] = 0.0
    middle = max(latents // 2, 1)
    extended = simulated[middle - 1] * (ranks / middle) ** -_decay(lam)
    return FeatureSpectrumTable(
        rank=ranks, simulated=simulated[ranks - 1],
        planar=planar_eigenvalues(spectrum, features, ranks), extended=extended,
    )  # fmt: skip


def _losses(
    name: FeatureMap, lam: Floats, spectrum: FeatureSpectrum, sizes: tuple[int, int, int]
) -> FeatureLosses:
    features, draws, seed = sizes
    if name == "linear":  # beyond the latents it has nothing left to learn
        features = max(len(lam) // 2, 4)
    samples = np.array([round(part * features) for part in _SAMPLES], dtype=np.int64)
    pairs = [
        simulate_features(name, lam, features, int(t), draws=draws, teachers=_TEACHERS, seed=seed)
        for t in samples
    ]
    planar = [
        planar_feature_loss(spectrum, features, int(t))
        * (finite_size_factor(features, int(t)) if abs(features - t) > 1 else math.nan)
        for t in samples
    ]
    best = [planar_feature_loss(spectrum, features, int(t), None) for t in samples]
    return FeatureLosses(
        features=features, samples=samples, simulated=np.array([loss for loss, _ in pairs]),
        error=np.array([error for _, error in pairs]), planar=np.array(planar),
        best_ridge=np.array(best),
    )  # fmt: skip


def _splits(
    name: FeatureMap, lam: Floats, spectrum: FeatureSpectrum, sizes: tuple[int, int, int]
) -> tuple[BestSplit, ...]:
    features, draws, seed = sizes
    if name == "linear":
        roots = [part * len(lam) for part in _LINEAR_BUDGETS]
    else:
        roots = [part * features for part in _BUDGETS]
    found = []
    for budget in (n**2 for n in roots if n >= _LEAST):
        ratio, loss = best_ratio(spectrum, budget)
        tried, simulated, best = simulate_splits(
            name, lam, spectrum, budget, draws=draws, seed=seed
        )
        found.append(
            BestSplit(budget=budget, ratio=ratio, loss=loss, tried=tried, simulated=simulated,
                      simulated_ratio=best)
        )  # fmt: skip
    return tuple(found)


def _map_result(
    name: FeatureMap, latents: int, spectrum: FeatureSpectrum, table: FeatureSpectrumTable,
    losses: FeatureLosses, splits: tuple[BestSplit, ...],
) -> MapResult:  # fmt: skip
    features = int(table.rank[-1])
    low, high = _EXTENDED[0] * latents, _EXTENDED[1] * features
    inside = (table.rank >= low) & (table.rank <= high) & (table.simulated > 0)
    off = slope = None
    if np.count_nonzero(inside) > 2:
        off = float(np.max(np.abs(table.simulated[inside] / table.planar[inside] - 1)))
        slope = power_law(table.rank[inside].astype(np.float64), table.simulated[inside]).exponent
    sizes = np.array([round(part * features) for part in _SIZES], dtype=np.int64)
    growth = [planar_feature_loss(spectrum, int(n), int(n), None) for n in sizes]
    return MapResult(
        feature_map=name, spectrum=table, off=off, slope=slope, losses=losses, sizes=sizes,
        growth=np.array(growth), splits=splits,
    )  # fmt: skip
