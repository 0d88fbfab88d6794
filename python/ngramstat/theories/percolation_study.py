"""Both regimes of percolation clusters, exact and sampled, side by side."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.exponents.distributions import student_quantile
from ngramstat.exponents.fit import power_law
from ngramstat.results import Exponent
from ngramstat.results.percolation import PercolationRegime, PercolationResult
from ngramstat.runtime.progress import Progress
from ngramstat.theories.percolation import (
    GIANT_CLUSTER,
    MANY_CLUSTERS,
    ClusterLaw,
    CriticalTree,
    neighbour_error,
)

__all__ = ["study_percolation"]

Floats = NDArray[np.float64]

# Three decades of data of many clusters, and two of known sites of one.
_DATA = tuple(round(10 ** (k / 4)) for k in range(4, 17))
_SITES = tuple(round(10 ** (k / 4)) for k in range(5, 14))
# With fewer sites per known one, distances are so short that bonds can be told from a continuum.
_MIN_SITES = 32 * _SITES[-1]
_LEVEL = 0.95

_REFUSED = (
    "Data that are any site of a large tree, each as likely as the next: half of the sites lie in "
    "clusters of few sites, which have to be seen one by one. At the threshold the loss is "
    "-W(-exp(-1 - x)) after x data per site, 1 - sqrt(2 x) at first: not a power law.",
    "Below the threshold clusters have a largest size, and above it the number of sites grows "
    "exponentially with the distance, so that the nearest known site comes closer only as the "
    "logarithm of the data: no exponents.",
    "The formula that joins both regimes, and 4/D for learners that interpolate smooth functions, "
    "are of papers that were not consulted; neither is computed.",
)


def study_percolation(
    *,
    clusters: int = 1 << 16,
    sites: int = 1 << 17,
    draws: int = 40,
    seed: int = 0,
    progress: bool = False,
) -> PercolationResult:
    """Sample both regimes and compare them with their exact curves.

    Parameters
    ----------
    clusters : int
        Clusters of one draw, many more than the largest number of data needs.
    sites : int
        Sites of a giant cluster.
    draws : int
        Draws of clusters and of trees.
    seed : int
    progress : bool

    Raises
    ------
    InputError
        A size is out of range.
    """
    if sites < _MIN_SITES:
        raise InputError(f"sites={sites}: needs at least {_MIN_SITES}")
    if clusters < _DATA[-1]:
        raise InputError(f"clusters={clusters}: needs at least {_DATA[-1]}")
    with Progress(draws + 1, "percolation", unit="draws", enabled=progress) as bar:
        many = _many_clusters(clusters, draws, seed)
        bar.advance()
        errors = []
        for generator in np.random.SeedSequence([seed, 1]).spawn(draws):
            rng = np.random.default_rng(generator)
            errors.append(CriticalTree.draw(sites, rng).neighbour_errors(_SITES, rng))
            bar.advance()
    return PercolationResult(
        settings={"clusters": clusters, "sites": sites, "draws": draws, "seed": seed},
        regimes=(many, _giant_cluster(sites, np.array(errors))),
        refused=_REFUSED,
    )


def _many_clusters(clusters: int, draws: int, seed: int) -> PercolationRegime:
    law = ClusterLaw()
    tokens = np.array(_DATA, np.float64)
    losses = law.simulate(_DATA, clusters=clusters, draws=draws, seed=seed)
    exact = law.loss(tokens)
    return PercolationRegime(
        **asdict(MANY_CLUSTERS),
        learner="knows a cluster once it has seen a datum of it",
        loss_is="the probability that the next datum is of an unknown cluster",
        exact_slope=power_law(tokens, exact).exponent,
        sampled=_sampled_slope(tokens, losses),
        tokens=tokens,
        exact=exact,
        loss=losses.mean(axis=0),
        error=losses.std(axis=0, ddof=1) / math.sqrt(draws),
    )


def _giant_cluster(sites: int, errors: Floats) -> PercolationRegime:
    tokens = np.array(_SITES, np.float64)
    exact = neighbour_error(tokens / sites)
    return PercolationRegime(
        **asdict(GIANT_CLUSTER),
        learner="answers with what it knows of the nearest known site",
        loss_is="the mean squared error of a coordinate of the sites in space",
        exact_slope=power_law(tokens, exact).exponent,
        sampled=_sampled_slope(tokens, errors),
        tokens=tokens,
        exact=exact,
        loss=errors.mean(axis=0),
        error=errors.std(axis=0, ddof=1) / math.sqrt(len(errors)),
    )


def _sampled_slope(tokens: Floats, losses: Floats) -> Exponent:
    """Slope of the mean loss of several draws; its error by leaving out one draw at a time."""
    n = len(losses)
    value = power_law(tokens, losses.mean(axis=0)).exponent
    without = [
        power_law(tokens, np.delete(losses, i, axis=0).mean(axis=0)).exponent for i in range(n)
    ]
    error = math.sqrt((n - 1) / n * float(np.sum((np.array(without) - np.mean(without)) ** 2)))
    half = student_quantile(_LEVEL, n - 1) * error
    return Exponent(
        value=value,
        low=value - half,
        high=value + half,
        level=_LEVEL,
        window=(float(tokens[0]), float(tokens[-1])),
        points=len(tokens),
        method=f"least squares of the mean of {n} draws, jackknife over draws",
        reportable=True,
    )
