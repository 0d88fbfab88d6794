"""Quanta of knowledge with Zipf frequencies, and the learner that memorises them.

Quantum k is needed with probability p_k ~ k^-(1+alpha) and learned when it was seen often enough
(Michaud et al. 2023; Hutter 2021). A learner of P tokens that needs one look at each has the loss
sum_k p_k (1 - p_k)^P, which falls as P^-(alpha / (1 + alpha)) though every single quantum is
learned at once (docs/theory.md 8).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError

__all__ = ["QuantaLaw", "ascending_sizes"]

Floats = NDArray[np.float64]

# Quanta summed one by one; the sum over all later ones is an integral, to a relative 1e-12.
_SUMMED = 1 << 20
# Draws of tokens in memory at once.
_DRAWN = 1 << 22
_MAX_TOKENS = 1e12


def ascending_sizes(tokens: ArrayLike) -> NDArray[np.int64]:
    """Numbers of training tokens of sampled learners, (n,), from 0.

    Raises
    ------
    InputError
        There is none, or they do not ascend.
    """
    sizes = np.asarray(tokens, np.int64)
    if sizes.ndim != 1 or not sizes.size or sizes[0] < 0 or np.any(np.diff(sizes) <= 0):
        raise InputError("tokens: need sizes that ascend")
    return sizes


@dataclass(frozen=True)
class QuantaLaw:
    """Frequencies p_k ~ k^-(1+alpha) of quanta k = 1, 2, ...

    Attributes
    ----------
    alpha : float
        Exponent of the loss in the number of quanta that are learned.
    quanta : int or None
        How many there are; None: infinitely many.

    Raises
    ------
    InputError
        `alpha` is not positive, or there is no quantum.
    """

    alpha: float
    quanta: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise InputError(f"alpha={self.alpha:g}: needs a positive number")
        if self.quanta is not None and self.quanta < 1:
            raise InputError(f"quanta={self.quanta}: needs at least one")

    @property
    def exponent(self) -> float:
        """Of the loss in tokens, alpha / (1 + alpha)."""
        return self.alpha / (1 + self.alpha)

    @property
    def amplitude(self) -> float:
        """A of the loss A P^-exponent at many tokens, of infinitely many quanta."""
        s = self.exponent
        return float(self._weight ** (1 - s) * math.gamma(s) / (1 + self.alpha))

    @cached_property
    def _weight(self) -> float:
        """p_1: the inverse sum of k^-(1+alpha)."""
        from scipy.special import zeta

        if self.quanta is not None and self.quanta <= _SUMMED:
            return 1 / float(np.sum(np.arange(1.0, self.quanta + 1) ** -(1 + self.alpha)))
        whole = float(zeta(1 + self.alpha))
        if self.quanta is not None:
            whole -= float(zeta(1 + self.alpha, self.quanta + 1))
        return 1 / whole

    @cached_property
    def _first(self) -> Floats:
        """Probabilities of the quanta that are summed one by one."""
        n = _SUMMED if self.quanta is None else min(self.quanta, _SUMMED)
        return self.probability(np.arange(1, n + 1))

    def probability(self, k: ArrayLike) -> Floats:
        """p_k of some quanta."""
        return np.asarray(self._weight * np.asarray(k, np.float64) ** -(1 + self.alpha))

    def loss(self, tokens: ArrayLike) -> Floats:
        """Probability that the next quantum has not been seen in P tokens, for some P.

        Raises
        ------
        InputError
            P is not in 0 .. 1e12.
        """
        return self._sums(tokens, self._loss)

    def seen(self, tokens: ArrayLike) -> Floats:
        """Expected number of different quanta among P tokens, for some P.

        Raises
        ------
        InputError
            P is not in 0 .. 1e12.
        """
        return self._sums(tokens, self._seen)

    def learned(self, k: ArrayLike, tokens: ArrayLike) -> Floats:
        """Probability that quantum k has been seen among P tokens, (quanta, sizes)."""
        p = self.probability(k)
        unseen = np.multiply.outer(np.log1p(-p), np.asarray(tokens, np.float64))
        return np.asarray(-np.expm1(unseen))

    def simulate(
        self, tokens: ArrayLike, *, draws: int = 20, seed: int = 0
    ) -> tuple[Floats, Floats]:
        """Losses of sampled learners: the mean over draws, and its standard error.

        Every draw is one sequence of quanta, of which its learners read longer and longer parts.

        Parameters
        ----------
        tokens : (n,) int
            Ascending.

        Raises
        ------
        InputError
            Sizes that do not ascend, or less than two draws.
        """
        sizes = ascending_sizes(tokens)
        if draws < 2:
            raise InputError(f"draws={draws}: need at least two")
        seeds = np.random.SeedSequence(seed).spawn(draws)
        losses = np.array([self._draw(sizes, np.random.default_rng(s)) for s in seeds])
        return losses.mean(axis=0), losses.std(axis=0, ddof=1) / math.sqrt(draws)

    def _draw(self, sizes: NDArray[np.int64], rng: np.random.Generator) -> Floats:
        seen = np.zeros(0, np.float64)
        losses, read = [], 0
        for size in sizes:
            while read < size:
                n = min(int(size) - read, _DRAWN)
                seen = np.union1d(seen, self._sample(n, rng))
                read += n
            losses.append(1 - float(self.probability(seen).sum()))
        return np.array(losses)

    def _sample(self, n: int, rng: np.random.Generator) -> Floats:
        """Numbers of quanta, as floats: the law's tail reaches beyond 2^63."""
        uniform = rng.random(n)
        cumulative = np.cumsum(self._first)
        numbers = np.asarray(np.searchsorted(cumulative, uniform, "right") + 1, np.float64)
        beyond = np.flatnonzero(numbers > len(cumulative))
        if self.quanta is not None and self.quanta <= _SUMMED:
            numbers[beyond] = self.quanta  # the sum is one but for rounding
            return numbers
        # Of the tail, sum_{j > k} p_j = p_1 (k + 1/2)^-alpha / alpha to a relative 1e-12.
        end = 0.0 if self.quanta is None else (self.quanta + 0.5) ** -self.alpha
        begin = (_SUMMED + 0.5) ** -self.alpha
        tail = begin + rng.random(len(beyond)) * (end - begin)
        numbers[beyond] = np.round(np.maximum(tail, 1e-300) ** (-1 / self.alpha))
        return numbers

    def _sums(self, tokens: ArrayLike, of_sum: Callable[[float], float]) -> Floats:
        sizes = np.asarray(tokens, np.float64)
        if not np.all((sizes >= 0) & (sizes <= _MAX_TOKENS)):
            raise InputError(f"tokens: must lie in 0 .. {_MAX_TOKENS:g}")
        values = np.array([of_sum(float(size)) for size in sizes.ravel()])
        return values.reshape(sizes.shape)

    def _loss(self, tokens: float) -> float:
        p = self._first
        with np.errstate(divide="ignore", invalid="ignore"):
            unseen = np.exp(tokens * np.log1p(-p)) if tokens else np.ones_like(p)
        return float(p @ unseen) + self._tail(tokens)[0]

    def _seen(self, tokens: float) -> float:
        with np.errstate(divide="ignore"):
            seen = -np.expm1(tokens * np.log1p(-self._first)) if tokens else np.zeros(1)
        return float(seen.sum()) + self._tail(tokens)[1]

    def _tail(self, tokens: float) -> tuple[float, float]:
        """The loss and the number seen of the quanta that are not summed one by one."""
        if self.quanta is not None and self.quanta <= _SUMMED:
            return 0.0, 0.0
        loss, seen = self._beyond(_SUMMED, tokens)
        if self.quanta is not None:
            of_end = self._beyond(self.quanta, tokens)
            loss, seen = loss - of_end[0], seen - of_end[1]
        return loss, seen

    def _beyond(self, last: int, tokens: float) -> tuple[float, float]:
        """The same of all quanta after one, as integrals from last + 1/2 on.

        With p = p_1 k^-(1+alpha) both are incomplete gamma functions of P p, as (1 - p)^P is e^-Pp.
        """
        from scipy.special import gammainc

        begin = last + 0.5
        if tokens == 0:
            return self._weight * begin**-self.alpha / self.alpha, 0.0
        s, scale = self.exponent, (tokens * self._weight) ** (1 - self.exponent)
        p = self._weight * begin ** -(1 + self.alpha)
        incomplete = math.gamma(s) * float(gammainc(s, tokens * p)) * scale
        return incomplete / (1 + self.alpha) / tokens, begin * math.expm1(-tokens * p) + incomplete
