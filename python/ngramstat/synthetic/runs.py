"""Run process: heavy-tailed runs of one symbol (docs/theory.md 12.2).

beta and gamma have closed forms.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ngramstat.errors import InputError
from ngramstat.synthetic.sampling import random_generator
from ngramstat.synthetic.world import (
    Floats,
    KnownExponent,
    StationaryWorld,
    Tokens,
    check_length,
    pair_fractions,
)

__all__ = ["RunProcess"]

# Documents are drawn in groups of about this many tokens, each from its own seed.
_GROUP = 1 << 20
# Smaller values make runs too long for any corpus, larger ones almost only runs of one token.
_MIN_MU, _MAX_MU = 0.01, 20.0
# NumPy's zeta distribution ends at 2^63; for mu of at least this it misses less than 3e-6.
_MIN_NUMPY_MU = 0.3
# rho is computed term by term up to the first lag. Beyond it, up to the second, Fourier transforms
# leave an absolute rounding error.
_STEPPED = 1 << 13
_MAX_LAGS = 1 << 22
# Values of rho below this at lags above `_STEPPED` are mostly rounding.
_MIN_FAR = 1e-9


@dataclass(frozen=True)
class RunProcess(StationaryWorld):
    """Runs with P(length > k) = (1+k)^-(1+mu); the next symbol is uniform among the others.

    C(n) = rho(n) (I/V - 11^T/V^2) with rho ~ n^-mu, so beta = mu. The next token depends on
    the past only through the symbol and the age of the current run; H_n - H_inf ~ n^-(1+mu), so
    gamma = 1 + mu.

    Parameters
    ----------
    mu : float
        Between 0.01 and 20.
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
    _rho: list[Floats] = field(init=False, default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _MIN_MU <= self.mu <= _MAX_MU:
            raise InputError(
                f"mu={self.mu}: must lie in {_MIN_MU} .. {_MAX_MU:g}; smaller ones have runs "
                "longer than any corpus, larger ones almost no run of two tokens"
            )
        if not 2 <= self.vocab_size <= 1 << 16:
            raise InputError(f"vocab_size={self.vocab_size}: must lie in 2 .. 65536")
        check_length(self.document_length, 27)

    def parameters(self) -> dict[str, Any]:
        return {"mu": self.mu, "vocab_size": self.vocab_size,
                "document_length": self.document_length}  # fmt: skip

    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        per_group = max(1, _GROUP // self.document_length)
        size = per_group * self.document_length
        for group, first in enumerate(range(0, n_tokens, size)):
            rng = random_generator(seed, 1, group)
            yield self._documents(per_group, rng).reshape(-1)[: n_tokens - first]

    def _documents(self, n: int, rng: np.random.Generator) -> Tokens:
        """(n, document_length) tokens."""
        length = self.document_length
        out = np.empty((n, length), self.dtype)
        for row in out:
            symbol = int(rng.integers(self.vocab_size))
            end = self._rest(rng)
            row[:end] = symbol
            while end < length:
                expected = 16 + int((length - end) / self.mean_run * 1.1)
                uniform = 1.0 - rng.random(expected)
                lengths = np.floor(np.minimum(uniform ** (-1 / (1 + self.mu)), float(length)))
                steps = rng.integers(1, self.vocab_size, expected)
                symbols = (symbol + np.cumsum(steps)) % self.vocab_size
                symbol = int(symbols[-1])
                tokens = np.repeat(symbols.astype(self.dtype), lengths.astype(np.int64))
                fitting = min(len(tokens), length - end)
                row[end : end + fitting] = tokens[:fitting]
                end += fitting
        return out

    def _rest(self, rng: np.random.Generator) -> int:
        """Remaining length of the run at a random time, at most a document's length.

        P(rest = r) = P(length >= r) / E(length), a zeta distribution; later runs have
        P(length > k) = (1+k)^-(1+mu).
        """
        length = self.document_length
        if self.mu >= _MIN_NUMPY_MU:
            return min(int(rng.zipf(1 + self.mu)), length)
        uniform = rng.random()
        return 1 + bisect_left(range(1, length), True, key=lambda r: self._beyond(r) <= uniform)

    def _beyond(self, n: Any) -> Any:
        """P(remaining length > n)."""
        from scipy.special import zeta

        return zeta(1 + self.mu, n + 1) / self.mean_run

    @property
    def mean_run(self) -> float:
        """Mean length of a run, zeta(1 + mu)."""
        from scipy.special import zeta

        return float(zeta(1 + self.mu))

    def rho(self, longest: int) -> Floats:
        """rho(n) for n = 0 .. longest, from the renewal equation.

        Exact to rounding up to n = 2^13, and with an absolute error of 1e-15 up to n = 2^22.

        Raises
        ------
        InputError
            `longest` is larger than 2^22.
        """
        if longest > _MAX_LAGS:
            raise InputError(
                f"lag={longest}: rho cannot be computed at this lag; use lags up to {_MAX_LAGS}"
            )
        if not self._rho or len(self._rho[0]) <= longest:
            n = np.arange(longest + 1, dtype=np.float64)
            tail = (1 + n) ** -(1 + self.mu)  # P(length > k)
            point = np.concatenate([[0.0], tail[:-1] - tail[1:]])  # P(length = k)
            rest = np.concatenate([[0.0], tail[:-1] / self.mean_run])  # P(rest = r), r >= 1
            change = -1.0 / (self.vocab_size - 1)
            # Correlation k steps after a run began: g = tail + change (point * g).
            g = _renewal(tail, change * point)
            self._rho[:] = [self._beyond(n) + change * _product(rest, g)]
        return self._rho[0][: longest + 1]

    def process_norms(self, lags: Sequence[int], *, sequential: bool = False) -> Floats:
        lag_array, d = np.array(lags), self.document_length
        longest = d - 1 if sequential else int(lag_array.max())
        if sequential and longest > _MAX_LAGS:
            return np.full(len(lags), np.nan)
        rho = self.rho(min(longest, _MAX_LAGS))
        mean = float(rho[1:] @ pair_fractions(d, 1, d)) if sequential else 0.0
        values = np.append(rho, np.nan)[np.minimum(lag_array, len(rho))] - mean
        values[(lag_array > _STEPPED) & (np.abs(values) < _MIN_FAR)] = np.nan
        norms: Floats = np.abs(values) / self.vocab_size
        return norms

    def process_covariance(self, lag: int) -> Floats:
        v = self.vocab_size
        return float(self.rho(lag)[lag]) * (np.eye(v) / v - 1.0 / v**2)

    def _surprise(self, hazard: Floats) -> Floats:
        """Entropy of the next token if the run ends with probability `hazard`."""
        from scipy.special import entr

        change = math.log(self.vocab_size - 1)
        entropy: Floats = entr(hazard) + entr(1 - hazard) + hazard * change
        return entropy

    def _hazard(self, age: Floats) -> Floats:
        """Probability that a run of this age ends."""
        hazard: Floats = -np.expm1((1 + self.mu) * np.log(age / (age + 1)))
        return hazard

    def process_entropies(self, max_context: int) -> Floats:
        from scipy.special import zeta

        entropies = np.empty(max_context + 1)
        entropies[0] = math.log(self.vocab_size)
        exponent = 1 + self.mu
        age = np.arange(1, max_context + 1, dtype=np.float64)
        known = np.cumsum(age**-exponent * self._surprise(self._hazard(age))) / self.mean_run
        for n in range(1, max_context + 1):
            older = float(zeta(exponent, n))  # E(length) P(age >= n)
            hazard = np.array([n**-exponent / older])
            entropies[n] = (known[n - 2] if n > 1 else 0.0) + older / self.mean_run * float(
                self._surprise(hazard)[0]
            )
        return entropies

    def entropy_rate(self) -> float:
        """H_inf, a sum over all ages; an integral replaces the sum at large ages."""
        last = 1 << 20
        age = np.arange(1, last + 1, dtype=np.float64)
        exponent = 1 + self.mu
        near = float(np.sum(age**-exponent * self._surprise(self._hazard(age))))
        # At large ages a: hazard ~ (1+mu)/a, surprise ~ hazard (1 - ln hazard + ln(V-1)).
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


def _renewal(start: Floats, kernel: Floats) -> Floats:
    """Solution g of g = start + kernel * g, a convolution with kernel[0] = 0; (n,)."""
    g = np.empty(len(start))
    near = min(len(start), _STEPPED + 1)
    for k in range(near):
        g[k] = start[k] + (float(kernel[1 : k + 1] @ g[k - 1 :: -1]) if k else 0.0)
    if near < len(start):
        # Newton's iteration for the power series 1 / (1 - kernel) doubles the known terms.
        inverse = _renewal(np.eye(1, near)[0], kernel[:near])
        while len(inverse) < len(start):
            size = min(2 * len(inverse), len(start))
            known = np.pad(inverse, (0, size - len(inverse)))
            residual = _product(known, kernel[:size]) - known
            residual[0] += 1.0
            inverse = known + _product(known, residual)
        g[near:] = _product(start, inverse)[near:]
    return g


def _product(a: Floats, b: Floats) -> Floats:
    """First n terms of the convolution of two sequences of n terms.

    The first `_STEPPED` + 1 terms are exact to rounding.
    """
    n = len(a)
    near = min(n, _STEPPED + 1)
    first = np.convolve(a[:near], b[:near])[:near]
    if near == n:
        return first
    size = 1 << (2 * n - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(a, size) * np.fft.rfft(b, size), size)[:n]
    product[:near] = first
    return product
