"""Run process: heavy-tailed runs of one symbol, with beta and gamma in closed form (THEORY 9.2)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ngramstat.errors import InputError
from ngramstat.synthetic.world import Floats, KnownExponent, StationaryWorld, Tokens

__all__ = ["RunProcess"]

# Documents are drawn in groups of about this many tokens, each from its own seed.
_GROUP = 1 << 20


@dataclass(frozen=True)
class RunProcess(StationaryWorld):
    """Runs with P(length > k) = (1+k)^-(1+mu); the next symbol is uniform among the others.

    C(n) = rho(n) (I/V - 11^T/V^2) with rho ~ n^-mu, so beta = mu; the age of the current run is all
    that the past tells, and H_n - H_inf ~ n^-(1+mu), so gamma = 1 + mu.

    Parameters
    ----------
    mu : float
        Above 0.
    vocab_size : int
    document_length : int
        Tokens of a document, a window of the stationary process.

    Raises
    ------
    InputError
        A parameter is out of range.
    """

    kind: ClassVar[str] = "runs"

    mu: float
    vocab_size: int = 4
    document_length: int = 10_000
    _rho: list[Floats] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mu) and self.mu > 0):
            raise InputError(f"mu={self.mu}: must be positive")
        if not 2 <= self.vocab_size <= 1 << 16:
            raise InputError(f"vocab_size={self.vocab_size}: must lie in 2 .. 65536")
        if not 2 <= self.document_length <= 1 << 27:
            raise InputError(f"document_length={self.document_length}: must lie in 2 .. 2^27")

    def parameters(self) -> dict[str, Any]:
        return {"mu": self.mu, "vocab_size": self.vocab_size,
                "document_length": self.document_length}  # fmt: skip

    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        per_group = max(1, _GROUP // self.document_length)
        size = per_group * self.document_length
        for group, first in enumerate(range(0, n_tokens, size)):
            rng = np.random.default_rng([seed, 1, group])
            yield self._documents(per_group, rng).reshape(-1)[: n_tokens - first]

    def _documents(self, n: int, rng: np.random.Generator) -> Tokens:
        """(n, document_length) tokens."""
        length = self.document_length
        out = np.empty((n, length), self.dtype)
        for row in out:
            symbol = int(rng.integers(self.vocab_size))
            # What is left of a run at a random time: P(R = r) = P(length >= r) / E(length), a zeta
            # distribution; later runs have P(length > k) = (1+k)^-(1+mu).
            end = min(int(rng.zipf(1 + self.mu)), length)
            row[:end] = symbol
            while end < length:
                expected = 16 + int((length - end) / self.mean_run * 1.1)
                uniform = 1.0 - rng.random(expected)
                lengths = np.floor(np.minimum(uniform ** (-1 / (1 + self.mu)), float(length)))
                steps = rng.integers(1, self.vocab_size, expected)
                symbols = (symbol + np.cumsum(steps)) % self.vocab_size
                symbol = int(symbols[-1])
                tokens = np.repeat(symbols.astype(self.dtype), lengths.astype(np.int64))
                taken = min(len(tokens), length - end)
                row[end : end + taken] = tokens[:taken]
                end += taken
        return out

    @property
    def mean_run(self) -> float:
        """E(length) = zeta(1 + mu)."""
        from scipy.special import zeta

        return float(zeta(1 + self.mu))

    def rho(self, longest: int) -> Floats:
        """rho(n) for n = 0 .. longest, by the renewal recursion; O(longest^2)."""
        if self._rho and len(self._rho[0]) > longest:
            return self._rho[0][: longest + 1]
        from scipy.special import zeta

        n = np.arange(longest + 1, dtype=np.float64)
        tail = (1 + n) ** -(1 + self.mu)  # P(length > k)
        at = np.zeros(longest + 1)  # P(length = k)
        at[1:] = tail[:-1] - tail[1:]
        rest = np.zeros(longest + 1)  # P(rest = r), r >= 1
        rest[1:] = tail[:-1] / self.mean_run
        beyond = zeta(1 + self.mu, n + 1) / self.mean_run  # P(rest > n)
        change = -1.0 / (self.vocab_size - 1)
        g = np.empty(longest + 1)
        found = np.empty(longest + 1)
        for k in range(longest + 1):
            g[k] = tail[k] + change * float(at[1 : k + 1] @ g[k - 1 :: -1] if k else 0.0)
            found[k] = beyond[k] + change * float(rest[1 : k + 1] @ g[k - 1 :: -1] if k else 0.0)
        self._rho[:] = [found]
        return found

    def process_norms(self, lags: Sequence[int], background: Floats | None = None) -> Floats:
        rho = self.rho(max([*lags, 0 if background is None else len(background) - 1]))
        mean = 0.0 if background is None else float(rho[: len(background)] @ background)
        found: Floats = np.abs(rho[list(lags)] - mean) / self.vocab_size
        return found

    def process_covariance(self, lag: int) -> Floats:
        v = self.vocab_size
        return float(self.rho(lag)[lag]) * (np.eye(v) / v - 1.0 / v**2)

    def _surprise(self, hazard: Floats) -> Floats:
        """Entropy of the next token where the run ends with probability `hazard`."""
        from scipy.special import entr

        change = math.log(self.vocab_size - 1)
        found: Floats = entr(hazard) + entr(1 - hazard) + hazard * change
        return found

    def _hazard(self, age: Floats) -> Floats:
        found: Floats = -np.expm1((1 + self.mu) * np.log(age / (age + 1)))
        return found

    def process_entropies(self, max_context: int) -> Floats:
        from scipy.special import zeta

        found = np.empty(max_context + 1)
        found[0] = math.log(self.vocab_size)
        exponent = 1 + self.mu
        age = np.arange(1, max_context + 1, dtype=np.float64)
        known = np.cumsum(age**-exponent * self._surprise(self._hazard(age))) / self.mean_run
        for n in range(1, max_context + 1):
            older = float(zeta(exponent, n))  # E(length) P(age >= n)
            hazard = np.array([n**-exponent / older])
            found[n] = (known[n - 2] if n > 1 else 0.0) + older / self.mean_run * float(
                self._surprise(hazard)[0]
            )
        return found

    def entropy_rate(self) -> float:
        """H_inf: the sum over all ages, the far ones by their integral."""
        last = 1 << 20
        age = np.arange(1, last + 1, dtype=np.float64)
        exponent = 1 + self.mu
        near = float(np.sum(age**-exponent * self._surprise(self._hazard(age))))
        # Beyond: hazard ~ (1+mu)/a, surprise ~ hazard (1 - ln hazard + ln(V-1)); midpoint rule.
        logs = np.linspace(math.log(last + 0.5), math.log(last) + 60 / exponent, 200_001)
        x = np.exp(logs)
        y = x**-exponent * self._surprise(self._hazard(x)) * x
        far = float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(logs)))
        return (near + far) / self.mean_run

    def exponents(self) -> dict[str, KnownExponent]:
        return {
            "beta": KnownExponent(self.mu, "mu"),
            "gamma": KnownExponent(1 + self.mu, "1 + mu, of H_n - H_inf"),
            "alpha": KnownExponent((1 + self.mu) / (2 * self.mu), "(1 + mu) / (2 mu)"),
        }

    def extras(self) -> dict[str, Any]:
        return {"entropy_rate": self.entropy_rate(), "mean_run": self.mean_run}

    def warnings(self) -> list[str]:
        if self.mu >= 1:
            return []
        return ["runs have no finite variance (mu < 1): samples of any size scatter more than "
                "their number of tokens suggests"]  # fmt: skip
