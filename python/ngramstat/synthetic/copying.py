"""Copy process (DAR): every token is a copy of an earlier one or new (docs/theory.md 12.5)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.synthetic.sampling import check_probabilities, random_generator
from ngramstat.synthetic.world import (
    Floats,
    KnownExponent,
    StationaryWorld,
    Tokens,
    block_entropy,
    check_length,
    pair_fractions,
    zipf_law,
)

__all__ = ["CopyProcess"]

_GROUP = 1 << 20
# Fraction of tokens whose chain of copies may reach back beyond the tokens drawn before a document.
_CUT = 1e-12
# Most tokens drawn before a document: a fraction of a group, and a second to compute.
_MAX_HISTORY = 1 << 18
# r(n) below this is lost to rounding when it is added to the mean.
_FORGOTTEN = 1e-18
# Lags up to which r is computed, and products in all of them; both take seconds.
_MAX_LAGS = 1 << 22
_MAX_PRODUCTS = 1 << 31


@dataclass(frozen=True)
class CopyProcess(StationaryWorld):
    """X_t = X_{t-D} with probability rho, P(D=d) ~ d^-exponent, d <= reach; else X_t ~ pi.

    C(n) = r(n) (diag pi - pi pi^T), and r solves the Yule-Walker equations r(n) = rho sum_d phi_d
    r(n-d), so all values are exact. The slope of r drifts with n, so this world has no exponents.

    Parameters
    ----------
    rho : float
        In (0, 1).
    exponent : float
        Exponent of the distribution of copying distances.
    reach : int
        Longest copying distance.
    pi : sequence of float
        Distribution of new tokens; V is its length.
    document_length : int

    Raises
    ------
    InputError
        A parameter is out of range, or pi does not sum to one.
    """

    kind: ClassVar[str] = "copy"

    rho: float = 0.9
    exponent: float = 1.6
    reach: int = 256
    pi: Sequence[float] = (0.4, 0.3, 0.2, 0.1)
    document_length: int = 10_000
    _r: list[Floats] = field(init=False, default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.rho < 1:
            raise InputError(f"rho={self.rho}: must lie between 0 and 1")
        if not math.isfinite(self.exponent):
            raise InputError(f"exponent={self.exponent}: must be finite")
        if not 1 <= self.reach <= 4096:
            raise InputError(f"reach={self.reach}: must lie in 1 .. 4096")
        check_length(self.document_length, 26)
        if not 2 <= len(self.pi) <= 1 << 16:
            raise InputError(f"pi: needs 2 .. 65536 probabilities, got {len(self.pi)}")
        _ = self.distances  # raises where the weights overflow or underflow
        object.__setattr__(self, "pi", tuple(check_probabilities(self.pi, "pi").tolist()))

    @property
    def vocab_size(self) -> int:  # type: ignore[override]
        """Length of pi."""
        return len(self.pi)

    def parameters(self) -> dict[str, Any]:
        return {
            "rho": self.rho,
            "exponent": self.exponent,
            "reach": self.reach,
            "pi": list(self.pi),
            "document_length": self.document_length,
        }

    @cached_property
    def distances(self) -> Floats:
        """phi_d, probabilities of the distances d = 1 .. reach."""
        return zipf_law(self.reach, self.exponent)

    @cached_property
    def _history(self) -> int:
        """Tokens to draw before a document: longer chains of copies have probability below 1e-12.

        Raises
        ------
        InputError
            There would be too many.
        """
        # escape[-1 - n] is the probability that a token's chain of copies reaches more than n
        # tokens back. The array is filled from its end, so that its latest entries are in the
        # order of `distances`.
        beyond = 1.0 - np.cumsum(self.distances)
        escape = np.empty(_MAX_HISTORY)
        escape[-1] = self.rho
        for n in range(1, _MAX_HISTORY):
            if escape[-n] <= _CUT:
                return n
            near = self.distances[: min(n, self.reach)]
            chained = float(near @ escape[len(escape) - n :][: len(near)])
            longer = float(beyond[n - 1]) if n <= self.reach else 0.0
            escape[-n - 1] = self.rho * (max(longer, 0.0) + chained)
        raise InputError(
            f"rho={self.rho}, reach={self.reach}: copies of copies reach more than {_MAX_HISTORY} "
            "tokens back, which would have to be drawn before every document; use a smaller rho "
            "or reach, or a larger exponent"
        )

    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        per_group = max(1, _GROUP // (self.document_length + self._history))
        size = per_group * self.document_length
        for group, first in enumerate(range(0, n_tokens, size)):
            rng = random_generator(seed, 1, group)
            yield self._documents(per_group, rng).reshape(-1)[: n_tokens - first]

    def _documents(self, n: int, rng: np.random.Generator) -> Tokens:
        total = self._history + self.document_length
        copies = rng.random((n, total)) < self.rho
        back = 1 + np.searchsorted(np.cumsum(self.distances), rng.random((n, total)), side="right")
        back = np.minimum(back, self.reach)
        at = np.arange(n * total).reshape(n, total)
        column = np.arange(total)
        source = np.where(copies & (back <= column), at - back, at).reshape(-1)
        # Follow the copies to their origins, twice as many links in every round.
        while True:
            doubled = source[source]
            if np.array_equal(doubled, source):
                break
            source = doubled
        fresh = np.searchsorted(np.cumsum(self.pi), rng.random(n * total), side="right")
        fresh = np.minimum(fresh, self.vocab_size - 1).astype(self.dtype)
        tokens: NDArray[Any] = fresh[source].reshape(n, total)[:, self._history :]
        return tokens

    def r(self, longest: int) -> Floats:
        """r(n), n = 0 .. longest, from the Yule-Walker equations."""
        if not self._r:
            self._r[:] = [self._yule_walker()]
        known = self._r[0]
        if len(known) <= longest:
            from scipy.signal import lfilter, lfiltic

            recursion = np.concatenate([[1.0], -self.rho * self.distances])
            state = lfiltic([1.0], recursion, known[: -self.reach - 1 : -1])
            far, _ = lfilter([1.0], recursion, np.zeros(longest + 1 - len(known)), zi=state)
            self._r[:] = [np.concatenate([known, far])]
        return self._r[0][: longest + 1]

    def _yule_walker(self) -> Floats:
        """r(n), n = 0 .. reach, from the linear system that couples them."""
        phi, reach = self.distances, self.reach
        # r(n) - rho sum_d phi_d r(|n - d|) = 0 for n = 1 .. reach, r(0) = 1.
        system = np.eye(reach)
        known = np.zeros(reach)
        rows = np.arange(1, reach + 1)
        for d in range(1, reach + 1):
            other = np.abs(rows - d)
            inside = other > 0
            np.add.at(system, (rows[inside] - 1, other[inside] - 1), -self.rho * phi[d - 1])
            known[d - 1] += self.rho * phi[d - 1]
        return np.concatenate([[1.0], np.linalg.solve(system, known)])

    @cached_property
    def _shape(self) -> Floats:
        pi = np.array(self.pi)
        return np.diag(pi) - np.outer(pi, pi)

    @cached_property
    def _shape_norm(self) -> float:
        return float(np.linalg.norm(self._shape, 2))

    def process_norms(self, lags: Sequence[int], *, sequential: bool = False) -> Floats:
        lag_array, d = np.array(lags), self.document_length
        last = min(int(lag_array.max()), self._max_lag)
        beyond = np.nan  # r at lags above `last`
        mean = 0.0
        if sequential:
            # r falls exponentially in the end; the mean needs no lags where it is negligible.
            limit = min(d - 1, self._max_lag)
            last = min(1024, limit)
            while last < limit and self.r(last)[-self.reach :].max() > _FORGOTTEN:
                last = min(2 * last, limit)
            if last == d - 1 or self.r(last)[-self.reach :].max() <= _FORGOTTEN:
                beyond = 0.0
            mean = float(self.r(last)[1:] @ pair_fractions(d, 1, last + 1)) + beyond
        r = np.append(self.r(last), beyond)
        norms: Floats = np.abs(r[np.minimum(lag_array, last + 1)] - mean) * self._shape_norm
        return norms

    @property
    def _max_lag(self) -> int:
        """Largest lag at which r is computed."""
        return min(_MAX_LAGS, _MAX_PRODUCTS // self.reach)

    def process_covariance(self, lag: int) -> Floats:
        if lag > self._max_lag:
            raise InputError(
                f"lag={lag}: r(t) cannot be computed at this lag; use lags up to {self._max_lag}"
            )
        return float(self.r(lag)[lag]) * self._shape

    def process_entropies(self, max_context: int) -> Floats:
        # Two tokens t apart are copies of one token with probability r(t), otherwise independent.
        entropies = np.full(max_context + 1, np.nan)
        pi = np.array(self.pi)
        entropies[0] = block_entropy(pi)
        if max_context >= 1:
            r = float(self.r(1)[1])
            pair = r * np.diag(pi) + (1 - r) * np.outer(pi, pi)
            entropies[1] = block_entropy(pair.reshape(-1)) - entropies[0]
        return entropies

    def exponents(self) -> dict[str, KnownExponent]:
        why = "the slope of the exact C(t) drifts with t; compare values, not exponents"
        return {name: KnownExponent(None, why) for name in ("beta", "gamma", "alpha")}
