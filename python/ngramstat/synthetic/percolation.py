"""Percolation clusters as quanta: independent tokens, each the cluster of a datum (theory.md 8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ngramstat.errors import InputError
from ngramstat.synthetic.sampling import (
    StateSource,
    document_pieces,
    random_generator,
    state_source,
)
from ngramstat.synthetic.world import (
    Floats,
    KnownExponent,
    StationaryWorld,
    Tokens,
    block_entropy,
    check_length,
)
from ngramstat.theories.percolation import TAU, ClusterLaw, cluster_exponent

__all__ = ["Percolation"]

# Numbers of tokens at which losses are known, four a decade.
_SIZES = tuple(round(10 ** (k / 4)) for k in range(29))


@dataclass(frozen=True)
class Percolation(StationaryWorld):
    """Tokens drawn independently, each the number of the cluster that a datum belongs to.

    The clusters are those of many seeds on a tree at the percolation threshold or below it, the
    largest first, and a datum is in each with a probability in proportion to its size. What a
    learner that remembers clusters loses is known exactly.

    Parameters
    ----------
    vocab_size : int
        Number of clusters.
    occupation : float
        Mean number of occupied neighbours further out; 1: the threshold.
    rules_seed : int
        Seed of the clusters.
    document_length : int

    Raises
    ------
    InputError
        A parameter is out of range.
    """

    kind: ClassVar[str] = "percolation"

    vocab_size: int = 1 << 16
    occupation: float = 1.0
    rules_seed: int = 0
    document_length: int = 1000

    def __post_init__(self) -> None:
        if not 2 <= self.vocab_size <= 1 << 24:
            raise InputError(f"vocab_size={self.vocab_size}: must lie in 2 .. 2^24")
        check_length(self.document_length, 40)
        _ = self.law

    def parameters(self) -> dict[str, Any]:
        names = ("vocab_size", "occupation", "rules_seed", "document_length")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def law(self) -> ClusterLaw:
        """The distribution of cluster sizes."""
        return ClusterLaw(self.occupation)

    @cached_property
    def sizes(self) -> Floats:
        """Sites of every cluster, largest first, (V,)."""
        rng = random_generator(self.rules_seed, 0x504552, name="rules_seed")
        return np.sort(self.law.draw_sizes(self.vocab_size, rng))[::-1]

    @cached_property
    def marginal(self) -> Floats:
        """Distribution of a token, (V,)."""
        marginal: Floats = self.sizes / self.sizes.sum()
        return marginal

    @cached_property
    def _source(self) -> StateSource:
        v = self.vocab_size
        return state_source([(self.marginal, np.arange(v), np.zeros(v, np.int64))])

    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        return document_pieces(
            self._source, 0, self.document_length, self.dtype, n_tokens, seed=seed, threads=threads
        )

    def process_norms(self, lags: Sequence[int], *, sequential: bool = False) -> Floats:
        return np.zeros(len(lags))

    def process_covariance(self, lag: int) -> Floats:
        return np.zeros((self.vocab_size, self.vocab_size))

    def process_entropies(self, max_context: int) -> Floats:
        return np.full(max_context + 1, block_entropy(self.marginal))

    def entropies(self, max_context: int, boundary: str) -> Floats:
        self.check_boundary(boundary)  # both boundaries give the same curve
        return self.process_entropies(max_context)

    def extras(self) -> dict[str, Any]:
        """The loss of the learner that remembers clusters: of these, and the mean over draws."""
        p, sizes = self.marginal, np.array(_SIZES, np.float64)
        with np.errstate(divide="ignore"):
            unseen = np.log1p(-p)
        losses = [float(p @ np.exp(size * unseen)) for size in sizes]
        return {
            "memoriser": {
                "tokens": list(_SIZES),
                "loss": losses,
                "mean_loss": self.law.loss(sizes).tolist() if self.law.critical else None,
            },
            "clusters": {"largest": float(self.sizes[0]), "sites": float(self.sizes.sum())},
        }

    def exponents(self) -> dict[str, KnownExponent]:
        why = "no correlation between tokens"
        known = {name: KnownExponent(None, why) for name in ("beta", "gamma", "alpha")}
        if self.law.critical:
            known["memoriser"] = KnownExponent(
                cluster_exponent(TAU),
                "3 - tau, tau = 5/2: the loss of a learner that remembers clusters falls as "
                "P^-memoriser, on average over clusters, while it has not seen most of them",
            )
        else:
            known["memoriser"] = KnownExponent(
                None, "below the threshold clusters have a largest size, which ends the power law"
            )
        return known
