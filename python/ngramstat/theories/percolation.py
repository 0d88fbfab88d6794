"""Percolation clusters on a tree as the data of a learner (Brill 2024), in their two regimes.

Every site of an endless tree has a Poisson number of occupied neighbours one step away from the
root, on average `occupation`; the threshold is at 1. At the threshold a cluster has s sites with
probability ~ s^(1 - tau), tau = 5/2.

Many clusters: a datum is in one of the clusters of many seeds, in each with a probability in
proportion to its size, and a learner knows a cluster once it has seen a datum of it. Then clusters
are quanta with alpha = (3 - tau) / (tau - 2), and the loss falls as P^-(3 - tau), P^-1/2 here.

One giant cluster: data are sites of one large critical cluster, and a learner takes over what it
knows of the nearest one. The cluster is a manifold of dimension 2 along its bonds and of D = 4 in
space, and the squared error falls as P^-2/D.

Formulas, derivations, and what is refused: docs/theory.md 8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.theories.quanta import ascending_sizes

__all__ = [
    "GIANT_CLUSTER",
    "MANIFOLD_DIMENSION",
    "MANY_CLUSTERS",
    "TAU",
    "ClusterLaw",
    "CriticalTree",
    "Regime",
    "cluster_exponent",
    "neighbour_error",
]

Floats = NDArray[np.float64]

# Mean-field exponent of the number of clusters of s sites, n_s ~ s^-tau.
TAU = 2.5
# Of a large critical cluster in a space of many dimensions: a ball of radius r holds ~ r^4 sites.
MANIFOLD_DIMENSION = 4
# Sizes whose probabilities are listed; larger ones follow the power law to a relative 1e-6.
_LISTED = 1 << 20
# Probability beyond them that may be ignored below the threshold.
_IGNORED = 1e-12
_LARGEST_TREE = 1 << 22
# Fewest known sites per site, and the probability of a distance below which no further is summed.
_FEWEST, _LAST = 1e-9, 1e-12


def cluster_exponent(tau: float) -> float:
    """Exponent 3 - tau of the loss over many clusters, alpha / (1 + alpha) of their quanta.

    Raises
    ------
    InputError
        tau is not between 2 and 3, where sizes have no finite mean and the law holds.
    """
    if not 2 < tau < 3:
        raise InputError(f"tau={tau:g}: must lie between 2 and 3")
    return 3 - tau


@dataclass(frozen=True)
class Regime:
    """What the theory claims of one regime.

    Attributes
    ----------
    name, formula : str
        The formula is that of the exponent, in words.
    predicted : float
        Its value.
    assumption, falsifier : str
        The condition under which the formula holds, and what would refute it.
    """

    name: str
    formula: str
    predicted: float
    assumption: str
    falsifier: str


MANY_CLUSTERS = Regime(
    name="many clusters",
    formula="3 - tau = alpha / (1 + alpha), alpha = (3 - tau) / (tau - 2), tau = 5/2",
    predicted=cluster_exponent(TAU),
    assumption="the data are those of the clusters of many seeds at the threshold, each in "
    "proportion to its size",
    falsifier="sizes that do not have a power law without end: a loss that ends it where the "
    "largest cluster does",
)
GIANT_CLUSTER = Regime(
    name="one giant cluster",
    formula=f"2 / D, D = {MANIFOLD_DIMENSION}",
    predicted=2 / MANIFOLD_DIMENSION,
    assumption="all data lie in one critical cluster, a manifold of dimension 4 in a space of "
    "many dimensions, and what is learned changes along it as a coordinate does",
    falsifier="a loss that falls otherwise than P^-1/2 for a learner of nearest neighbours",
)


@dataclass(frozen=True)
class ClusterLaw:
    """Sizes of the clusters of seeds on a tree.

    Attributes
    ----------
    occupation : float
        Mean number of occupied neighbours further out, from above 0 to 1, the threshold.

    Raises
    ------
    InputError
        The occupation is out of range, or so close to the threshold that sizes cannot be listed.
    """

    occupation: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.occupation <= 1:
            raise InputError(
                f"occupation={self.occupation:g}: must lie above 0 and at most at 1; above it one "
                "cluster is infinite"
            )
        if self.occupation < 1 and self._beyond() > _IGNORED:
            raise InputError(
                f"occupation={self.occupation:g}: clusters grow beyond {_LISTED} sites; use 1, or "
                "at most 0.99"
            )

    @property
    def critical(self) -> bool:
        """Whether sizes follow a power law without end."""
        return self.occupation == 1.0

    def probability(self, sites: ArrayLike) -> Floats:
        """Probability that a seed's cluster has so many sites: Borel's distribution."""
        from scipy.special import gammaln

        s = np.asarray(sites, np.float64)
        c = self.occupation
        return np.asarray(np.exp(-c * s + (s - 1) * np.log(c * s) - gammaln(s + 1)))

    def _beyond(self) -> float:
        """A bound of the probability of more than the listed sites, below the threshold."""
        c = self.occupation
        return float(self.probability(_LISTED)) / -math.expm1(1 - c + math.log(c))

    @cached_property
    def _cumulative(self) -> Floats:
        return np.cumsum(self.probability(np.arange(1, _LISTED + 1)))

    def draw_sizes(self, clusters: int, rng: np.random.Generator) -> Floats:
        """Sizes of some clusters, (clusters,); floats, as critical ones may exceed any integer."""
        uniform = rng.random(clusters)
        sizes = np.asarray(np.searchsorted(self._cumulative, uniform, "right") + 1, np.float64)
        beyond = np.flatnonzero(sizes > _LISTED)
        if self.critical:
            # P(S > s) = sqrt(2 / (pi s)) for large s, given that it is beyond the list.
            sizes[beyond] = np.floor(_LISTED / (1 - rng.random(len(beyond))) ** 2) + 1
        else:
            sizes[beyond] = _LISTED
        return sizes

    def loss(self, tokens: ArrayLike) -> Floats:
        """Mean loss over endlessly many critical clusters, Gamma(P + a) / (Gamma(a) Gamma(P + 1)).

        a = tau - 2: the sizes' shares of the data have the Poisson-Dirichlet distribution (a, 0).

        Raises
        ------
        InputError
            P is negative, or the clusters are not critical: below the threshold the largest
            clusters end the power law, and the loss depends on their number.
        """
        from scipy.special import gammaln

        if not self.critical:
            raise InputError(
                f"occupation={self.occupation:g}: the loss is known in closed form at 1 alone"
            )
        sizes = np.asarray(tokens, np.float64)
        if not np.all(sizes >= 0):
            raise InputError("tokens: cannot be negative")
        a = TAU - 2
        return np.asarray(np.exp(gammaln(sizes + a) - gammaln(sizes + 1)) / math.gamma(a))

    def loss_of_sites(self, tokens_per_site: ArrayLike) -> Floats:
        """The same where a datum is any site of a large tree: no power law.

        A site is not known while no site of its cluster has been seen, E exp(-x S) of cluster
        sizes S and x data per site, -W(-c exp(-c - x)) / c with Lambert's W.
        """
        from scipy.special import lambertw

        x, c = np.asarray(tokens_per_site, np.float64), self.occupation
        return np.asarray(-np.real(lambertw(-c * np.exp(-c - x))) / c)

    def simulate(
        self, tokens: ArrayLike, *, clusters: int = 1 << 16, draws: int = 40, seed: int = 0
    ) -> Floats:
        """Losses of sampled learners, each of its own clusters and data, (draws, n).

        Parameters
        ----------
        tokens : (n,) int
            Ascending.

        Raises
        ------
        InputError
            Sizes that do not ascend, or less than two draws or clusters.
        """
        sizes = ascending_sizes(tokens)
        if draws < 2 or clusters < 2:
            raise InputError(f"draws={draws}, clusters={clusters}: need at least two of each")
        seeds = np.random.SeedSequence(seed).spawn(draws)
        return np.array([self._draw(sizes, clusters, np.random.default_rng(s)) for s in seeds])

    def _draw(
        self, tokens: NDArray[np.int64], clusters: int, rng: np.random.Generator
    ) -> list[float]:
        shares = self.draw_sizes(clusters, rng)
        shares /= shares.sum()
        cumulative = np.cumsum(shares)
        data = np.searchsorted(cumulative, rng.random(int(tokens[-1])), "right")
        # The first datum of every cluster that is met, and what was unknown before it.
        met, first = np.unique(np.minimum(data, clusters - 1), return_index=True)
        order = np.argsort(first)
        known = np.concatenate([[0.0], np.cumsum(shares[met[order]])])
        number = np.searchsorted(first[order], tokens, "left")
        return [max(1.0 - float(known[n]), 0.0) for n in number]


def neighbour_error(tokens_per_site: ArrayLike) -> Floats:
    """Mean squared error of the nearest known site in an endlessly large critical cluster.

    It is the mean number of bonds to the nearest known site, as in `CriticalTree`: the sum over
    r >= 0 of u_0 u_1 ... u_r, where u_r = (1 - x) exp(u_(r-1) - 1) is the probability that no site
    of a branch is known down to depth r, u_(-1) = 1. For few known sites x per site it is
    sqrt(2 / x).

    Raises
    ------
    InputError
        x is not between 1e-9 and 1.
    """
    x = np.asarray(tokens_per_site, np.float64)
    if not np.all((x >= _FEWEST) & (x <= 1)):
        raise InputError(f"tokens_per_site: must lie in {_FEWEST:g} .. 1")
    unknown, farther, mean = np.ones_like(x), np.ones_like(x), np.zeros_like(x)
    while np.any(farther > _LAST):
        unknown = (1 - x) * np.exp(unknown - 1)
        farther = farther * unknown
        mean = mean + farther
    return mean


@dataclass(frozen=True)
class CriticalTree:
    """A critical cluster of exactly n sites: a uniform random tree with labelled sites.

    Attributes
    ----------
    parents : (n,) int64
        Parent of every site, in an order in which parents come first; the root's is -1.
    """

    parents: NDArray[np.int64]

    @classmethod
    def draw(cls, sites: int, rng: np.random.Generator) -> CriticalTree:
        """Draw a tree: Poisson numbers of children on condition of their sum, in depth-first order.

        Raises
        ------
        InputError
            The number of sites is out of range.
        """
        if not 2 <= sites <= _LARGEST_TREE:
            raise InputError(f"sites={sites}: must lie in 2 .. 2^22")
        children = np.bincount(rng.integers(0, sites, sites - 1), minlength=sites)
        # Of all rotations of these numbers one is that of a tree: it starts behind the first
        # minimum of the walk with steps children - 1 (the cycle lemma).
        walk = np.cumsum(children - 1)
        children = np.roll(children, -(int(np.argmin(walk)) + 1))
        parents = np.full(sites, -1, np.int64)
        open_sites: list[int] = []
        for site, count in enumerate(children.tolist()):
            if open_sites:
                parents[site] = open_sites.pop()
            open_sites += [site] * count
        return cls(parents)

    @cached_property
    def bonds(self) -> Any:
        """Bonds between sites, sparse (n, n), in one direction."""
        from scipy.sparse import coo_array

        n = len(self.parents)
        sites = np.arange(1, n)
        bonds = (np.ones(n - 1), (sites, self.parents[1:]))
        return coo_array(bonds, shape=(n, n)).tocsr()

    def distance_to(self, known: NDArray[np.int64]) -> Floats:
        """Bonds between every site and the nearest one that is known, (n,)."""
        from scipy.sparse.csgraph import dijkstra

        distances: Floats = dijkstra(
            self.bonds, directed=False, indices=known, unweighted=True, min_only=True
        )
        return distances

    def neighbour_errors(self, tokens: ArrayLike, rng: np.random.Generator) -> Floats:
        """Mean squared error of a learner that answers with the nearest known site, (n,).

        What is to be learned is a coordinate of the site in space: each bond is a step of a random
        walk of variance one, so the squared difference of two sites is their distance along bonds
        on average.

        Parameters
        ----------
        tokens : (n,) int
            Ascending numbers of known sites, which are drawn at random.
        """
        sizes = np.asarray(tokens, np.int64)
        order = rng.permutation(len(self.parents))
        if sizes.ndim != 1 or not 1 <= sizes[0] <= sizes[-1] <= len(order):
            raise InputError(f"tokens: need ascending numbers in 1 .. {len(order)}")
        return np.array([float(self.distance_to(order[:size]).mean()) for size in sizes])
