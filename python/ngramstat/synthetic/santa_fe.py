"""Ergodic Santa Fe process (docs/theory.md 12.3).

Facts are named at random, and their values change slowly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.synthetic.sampling import (
    StateSource,
    random_generator,
    random_key,
    state_source,
)
from ngramstat.synthetic.world import (
    Floats,
    KnownExponent,
    StationaryWorld,
    Tokens,
    check_length,
    mean_powers,
    zipf_law,
)

__all__ = ["SantaFe"]

_GROUP = 1 << 20
# Largest log(kinds^eta).
_MAX_LOG = 690.0


@dataclass(frozen=True)
class SantaFe(StationaryWorld):
    """Token (k, bit of fact k) with k ~ k^-(1+a); every step, bit k flips with q_k = c k^-eta.

    ||C(n)|| = max_k p_k^2 (1 - 2 q_k)^n / 2, so beta = 2 (1+a) / eta; gamma = a / (1+a), reached
    slowly. Token ids are 2 (k-1) + bit.

    Parameters
    ----------
    a, eta, c : float
        a > 0, eta > 0, 0 < c <= 1/2.
    kinds : int
        Number of facts; V is twice as many.
    document_length : int

    Raises
    ------
    InputError
        A parameter is out of range.
    """

    kind: ClassVar[str] = "santa-fe"

    a: float
    eta: float
    c: float = 0.25
    kinds: int = 4000
    document_length: int = 10_000

    def __post_init__(self) -> None:
        for name in ("a", "eta", "c"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name}={value}: must be positive")
        if self.c > 0.5:
            raise InputError(f"c={self.c}: a fact flips with at most probability 1/2")
        if not 1 <= self.kinds <= 1 << 20:
            raise InputError(f"kinds={self.kinds}: must lie in 1 .. 2^20")
        if self.eta * math.log(self.kinds) > _MAX_LOG:
            max_eta = _MAX_LOG / math.log(self.kinds)
            raise InputError(
                f"eta={self.eta}: the rarest fact flips with probability c kinds^-eta, which "
                f"underflows; use eta below {max_eta:.3g} or fewer kinds"
            )
        check_length(self.document_length, 26)

    @property
    def vocab_size(self) -> int:  # type: ignore[override]
        """2 kinds."""
        return 2 * self.kinds

    def parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("a", "eta", "c", "kinds", "document_length")}

    @cached_property
    def frequencies(self) -> Floats:
        """p_k, (kinds,)."""
        return zipf_law(self.kinds, 1.0 + self.a)

    @cached_property
    def memory(self) -> Floats:
        """lambda_k = 1 - 2 q_k, the correlation of fact k's bit with itself one step later."""
        memory: Floats = 1.0 - 2.0 * self.c * np.arange(1.0, self.kinds + 1) ** -self.eta
        return memory

    @cached_property
    def _facts(self) -> StateSource:
        return state_source([(self.frequencies, np.arange(self.kinds), np.zeros(self.kinds))])

    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        per_group = max(1, _GROUP // self.document_length)
        size = per_group * self.document_length
        key = random_key(seed, 1)
        for group, first in enumerate(range(0, n_tokens, size)):
            facts = np.empty(size, np.uint32)
            self._facts.sample(key, group * size, np.zeros(1, np.uint32), facts, threads)
            rng = random_generator(seed, 2, group)
            bits = self._bits(facts.reshape(per_group, -1), rng)
            yield (2 * facts + bits.reshape(-1))[: n_tokens - first].astype(self.dtype)

    def _bits(self, facts: NDArray[np.uint32], rng: np.random.Generator) -> NDArray[np.uint32]:
        """The bit of every named fact; it may flip between one naming and the next."""
        n, length = facts.shape
        owner = facts.astype(np.int64) + self.kinds * np.arange(n)[:, None]
        order = np.argsort(owner, axis=None, kind="stable")
        sorted_owner = owner.reshape(-1)[order]
        gap = np.diff(order, prepend=0)
        first = np.diff(sorted_owner, prepend=-1) != 0
        memory = self.memory[facts.reshape(-1)[order]]
        # With q_k = 1/2 (lambda = 0) a fact forgets its bit in one step.
        with np.errstate(invalid="ignore"):
            correlation = np.where(first, 0.0, memory ** np.where(first, 1, gap))
        flips = (rng.random(n * length) < (1.0 - correlation) / 2).astype(np.uint32)
        # A bit is the parity of the flips since the fact's first naming, whose flip is its bit.
        parity = np.cumsum(flips, dtype=np.uint32)
        starts = np.flatnonzero(first)
        before = np.repeat(parity[starts] - flips[starts], np.diff(starts, append=n * length))
        bits = np.empty(n * length, np.uint32)
        bits[order] = (parity - before) & 1
        return bits

    def process_norms(self, lags: Sequence[int], *, sequential: bool = False) -> Floats:
        mean = mean_powers(self.memory, self.document_length) if sequential else 0.0
        squares = self.frequencies**2
        return np.array([np.abs(squares * (self.memory**lag - mean)).max() / 2 for lag in lags])

    def process_covariance(self, lag: int) -> Floats:
        covariance = np.zeros((self.vocab_size, self.vocab_size))
        signs = np.array([[1.0, -1.0], [-1.0, 1.0]]) / 4
        for k, value in enumerate(self.frequencies**2 * self.memory**lag):
            covariance[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = value * signs
        return covariance

    def process_entropies(self, max_context: int) -> Floats:
        from scipy.special import entr

        p, memory = self.frequencies, self.memory
        uncertain = np.full(self.kinds, math.log(2.0))
        recalled = np.zeros(
            self.kinds
        )  # expected entropy of bit k, over its last naming j <= n steps ago
        unnamed = np.ones(self.kinds)
        entropies = np.empty(max_context + 1)
        base = float(entr(p).sum())
        for n in range(max_context + 1):
            if n > 0:
                flipped = (1.0 - memory**n) / 2
                recalled += p * unnamed * (entr(flipped) + entr(1.0 - flipped))
                unnamed *= 1.0 - p
            entropies[n] = base + float(p @ (recalled + unnamed * uncertain))
        return entropies

    def exponents(self) -> dict[str, KnownExponent]:
        beta = 2 * (1 + self.a) / self.eta
        exponents = {"beta": KnownExponent(beta, "2 (1+a) / eta, once many facts compete")}
        if self.eta > 1 + self.a:
            gamma = self.a / (1 + self.a)
            exponents["gamma"] = KnownExponent(gamma, "a / (1+a), approached slowly (a crossover)")
            exponents["alpha"] = KnownExponent(gamma / (2 * beta), "gamma / (2 beta)")
        else:
            why = "facts change faster than they are named (eta <= 1 + a)"
            exponents["gamma"] = exponents["alpha"] = KnownExponent(None, why)
        return exponents

    def warnings(self) -> list[str]:
        return [
            "the largest singular value passes from fact to fact, so ||C(t)|| is a chain of "
            "exponentials under a power law; local slopes ripple at small lags",
            "gamma is a limit: the local exponent of the exact H_n drifts over many decades of n",
            f"the power law of ||C(t)|| ends where the rarest fact forgets, near lag "
            f"{1 / (2 * self.c) * float(self.kinds) ** self.eta:.3g}",
        ]
