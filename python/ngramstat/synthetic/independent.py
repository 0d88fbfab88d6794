"""Independent Zipf tokens, with and without topics (docs/theory.md 4).

There is no sequential correlation; topics alone make C(t) differ from zero.
"""

from __future__ import annotations

import math
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
    MAX_NGRAMS,
    Floats,
    KnownExponent,
    StationaryWorld,
    Tokens,
    block_entropy,
    check_length,
    conditional_entropies,
    zipf_law,
)

__all__ = ["IndependentTokens"]

_MAX_TOPIC_TOKENS = 1 << 24


@dataclass(frozen=True)
class IndependentTokens(StationaryWorld):
    """Tokens drawn independently from p_r ~ (r + shift)^-exponent, or from a document's topic.

    Every topic is a Dirichlet draw around p, and every document has one topic, chosen at random.
    C(t) inside documents is then the covariance of the topics' distributions, the same at every
    lag: an effect of composition, not of sequence.

    Parameters
    ----------
    vocab_size : int
    exponent, shift : float
        Parameters of the Zipf law, r = 1 .. V.
    topics : int
        0: one distribution for all documents.
    concentration : float
        Concentration of the Dirichlet draws: a topic's probability of a token differs from p by a
        relative amount of about 1 / sqrt(concentration p).
    rules_seed : int
        Seed of the topics.
    document_length : int

    Raises
    ------
    InputError
        A parameter is out of range.
    """

    kind: ClassVar[str] = "independent"

    vocab_size: int = 8192
    exponent: float = 1.0
    shift: float = 0.0
    topics: int = 0
    concentration: float = 100.0
    rules_seed: int = 0
    document_length: int = 1000

    def __post_init__(self) -> None:
        if not 2 <= self.vocab_size <= 1 << 24:
            raise InputError(f"vocab_size={self.vocab_size}: must lie in 2 .. 2^24")
        if not (math.isfinite(self.exponent) and self.exponent >= 0):
            raise InputError(f"exponent={self.exponent}: must be at least 0")
        if not (math.isfinite(self.shift) and self.shift > -1):
            raise InputError(f"shift={self.shift}: must be above -1")
        if not 0 <= self.topics * self.vocab_size <= _MAX_TOPIC_TOKENS:
            raise InputError(f"topics={self.topics}: needs topics * V in 0 .. {_MAX_TOPIC_TOKENS}")
        if not (math.isfinite(self.concentration) and self.concentration > 0):
            raise InputError(f"concentration={self.concentration}: must be positive")
        check_length(self.document_length, 40)

    def parameters(self) -> dict[str, Any]:
        names = ["vocab_size", "exponent", "shift", "topics", "document_length"]
        if self.topics:
            names += ["concentration", "rules_seed"]
        return {name: getattr(self, name) for name in names}

    @cached_property
    def zipf(self) -> Floats:
        """p, (V,)."""
        return zipf_law(self.vocab_size, self.exponent, self.shift)

    @cached_property
    def distributions(self) -> Floats:
        """One row per topic, (topics, V); a single row without topics."""
        if not self.topics:
            return self.zipf[None, :]
        rng = random_generator(self.rules_seed, 0x544F50, name="rules_seed")
        drawn = rng.standard_gamma(self.concentration * self.zipf, (self.topics, self.vocab_size))
        total = drawn.sum(axis=1, keepdims=True)
        if not (np.all(np.isfinite(total)) and np.all(total > 0)):
            raise InputError(
                f"concentration={self.concentration:g}: the Dirichlet draws of the topics are too "
                "small or too large for floating-point numbers; use a value nearer to 100"
            )
        distributions: Floats = drawn / total
        return distributions

    @cached_property
    def marginal(self) -> Floats:
        """Distribution of a token, (V,)."""
        marginal: Floats = self.distributions.mean(axis=0)
        return marginal

    @cached_property
    def _source(self) -> tuple[StateSource, int]:
        p, v = self.distributions, self.vocab_size
        tokens = np.arange(v)
        states = [(row, tokens, np.full(v, k)) for k, row in enumerate(p)]
        if not self.topics:
            return state_source(states), 0
        # The first token of a document is drawn together with its topic.
        joint = (p / len(p)).reshape(-1)
        states.append((joint, np.tile(tokens, len(p)), np.repeat(np.arange(len(p)), v)))
        return state_source(states), len(p)

    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        source, start = self._source
        return document_pieces(
            source, start, self.document_length, self.dtype, n_tokens, seed=seed, threads=threads
        )

    @cached_property
    def _composition_norm(self) -> float:
        deviations = (self.distributions - self.marginal) / math.sqrt(len(self.distributions))
        return float(np.linalg.norm(deviations @ deviations.T, 2)) if self.topics else 0.0

    def process_norms(self, lags: Sequence[int], *, sequential: bool = False) -> Floats:
        # Every lag has the same covariance, so subtracting the mean over all pairs leaves nothing.
        return np.full(len(lags), 0.0 if sequential else self._composition_norm)

    def process_covariance(self, lag: int) -> Floats:
        deviations = (self.distributions - self.marginal) / math.sqrt(len(self.distributions))
        return deviations.T @ deviations

    def process_entropies(self, max_context: int) -> Floats:
        entropies = np.full(max_context + 1, np.nan)
        if not self.topics:
            entropies[:] = block_entropy(self.zipf)
            return entropies
        entropies[0] = block_entropy(self.marginal)
        longest = 1
        while longest <= max_context and self.vocab_size ** (longest + 1) <= MAX_NGRAMS:
            longest += 1
        window = np.zeros(self.vocab_size**longest)
        for row in self.distributions:
            joint = row
            for _ in range(longest - 1):
                joint = np.outer(joint, row).reshape(-1)
            window += joint / len(self.distributions)
        entropies[:longest] = conditional_entropies(window.reshape((self.vocab_size,) * longest))
        return entropies

    def entropies(self, max_context: int, boundary: str) -> Floats:
        if not self.topics:  # both boundaries give the same curve
            self.check_boundary(boundary)
            return self.process_entropies(max_context)
        return super().entropies(max_context, boundary)

    def norms(self, lags: Sequence[int], boundary: str) -> Floats:
        if not self.topics:
            self.check_boundary(boundary)
            return np.zeros(len(lags))
        return super().norms(lags, boundary)

    def noise_constant(self) -> float:
        """kappa: the noise norm of C(t) from P pairs is kappa / sqrt(P) (docs/theory.md 4)."""
        from ngramstat.covariance.noise import noise_edge

        return noise_edge(self.marginal, self.marginal)

    def extras(self) -> dict[str, Any]:
        return {
            "noise_constant": self.noise_constant(),
            "noise_constant_approximation": 1.25 * math.sqrt(float(self.marginal.max())),
        }

    def exponents(self) -> dict[str, KnownExponent]:
        why = "no correlation between tokens"
        if self.topics:
            why = "documents differ in their topics, but nothing depends on the lag"
        return {name: KnownExponent(None, why) for name in ("beta", "gamma", "alpha")}
