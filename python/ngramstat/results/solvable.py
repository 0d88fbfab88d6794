"""The solvable model with linear and nonlinear features: spectra, losses and the best budgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ngramstat.errors import InputError
from ngramstat.results.base import FloatVector, IntVector, JsonObject, Result

__all__ = [
    "SOLVABLE_SCHEMA",
    "BestSplit",
    "FeatureLosses",
    "FeatureSpectrumTable",
    "MapResult",
    "SolvableResult",
]

SOLVABLE_SCHEMA = "ngramstat.solvable/1"


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureSpectrumTable(Result):
    """Eigenvalues of the covariance of N features, divided by N.

    Attributes
    ----------
    rank : (n,) int64
    simulated, planar : (n,) float64
        Means over draws of the features, and planar theory.
    extended : (n,) float64
        The power law of the latents, continued through the rank of the last one; of the simulated
        size at the middle of the latents.
    """

    _axis: ClassVar[str | None] = "rank"

    rank: IntVector
    simulated: FloatVector
    planar: FloatVector
    extended: FloatVector


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureLosses(Result):
    """Test losses at a fixed number of features, in units of the labels' variance.

    Attributes
    ----------
    features : int
    samples : (n,) int64
    simulated, error : (n,) float64
        Without a ridge; means over draws and their standard errors.
    planar : (n,) float64
        The same by planar theory with the factor of a finite regression; NaN where samples and
        features differ by less than two.
    best_ridge : (n,) float64
        Planar losses with the best ridge.
    """

    _axis: ClassVar[str | None] = "samples"

    features: int
    samples: IntVector
    simulated: FloatVector
    error: FloatVector
    planar: FloatVector
    best_ridge: FloatVector


@dataclass(frozen=True, kw_only=True, eq=False)
class BestSplit(Result):
    """The best use of a budget N T, each split with its best ridge.

    Attributes
    ----------
    budget : float
    ratio : float
        N / T of the least planar loss.
    loss : float
        That loss, in units of the labels' variance.
    tried : (k,) float64
        N / T of the splits that were simulated.
    simulated : (k,) float64
        Their losses.
    simulated_ratio : float
        N / T of the least simulated loss, by a parabola through them in ln(N / T).
    """

    _axis: ClassVar[str | None] = "tried"

    budget: float
    ratio: float
    loss: float
    tried: FloatVector
    simulated: FloatVector
    simulated_ratio: float


@dataclass(frozen=True, kw_only=True, eq=False)
class MapResult(Result):
    """One map of features.

    Attributes
    ----------
    feature_map : str
        ``linear``, ``relu`` or ``tanh``.
    spectrum : FeatureSpectrumTable
    off : float or None
        Largest relative distance of the simulated from the planar spectrum over the extended
        range, from 1.1 times the number of latents to half the number of features; None for the
        linear map, which has no eigenvalues there.
    slope : float or None
        Minus the log-log slope of the simulated spectrum over that range.
    losses : FeatureLosses
    sizes : (k,) int64
        N = T of the losses of `growth`.
    growth : (k,) float64
        Planar losses with the best ridge at N = T, in units of the labels' variance.
    splits : tuple of BestSplit
    """

    _axis: ClassVar[str | None] = "sizes"

    feature_map: str
    spectrum: FeatureSpectrumTable
    off: float | None = None
    slope: float | None = None
    losses: FeatureLosses
    sizes: IntVector
    growth: FloatVector
    splits: tuple[BestSplit, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class SolvableResult(Result):
    """What `ngramstat theories solvable` computes.

    Attributes
    ----------
    schema : str
        Always ``ngramstat.solvable/1``.
    settings : dict
        Plain JSON: numbers of latents, features and draws, seed, source of the spectrum.
    eigenvalues : (M,) float64
        Of the latents, of sum 1.
    decay : float
        1 + alpha: minus the log-log slope of the eigenvalues, over the lower half of their ranks.
    effective_dimension : float
        Latents that a random direction is spread over.
    maps : tuple of MapResult
    """

    _axis: ClassVar[str | None] = "eigenvalues"

    schema: str = SOLVABLE_SCHEMA
    settings: JsonObject
    eigenvalues: FloatVector
    decay: float
    effective_dimension: float
    maps: tuple[MapResult, ...]

    def _check(self) -> None:
        if self.schema != SOLVABLE_SCHEMA:
            raise InputError(
                f"SolvableResult.schema: needs {SOLVABLE_SCHEMA!r}, got {self.schema[:60]!r}"
            )
