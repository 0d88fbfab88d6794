"""Markov chains of any order (docs/theory.md 12.4).

Their C(t) falls exponentially, so an estimator must refuse to report exponents for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from ngramstat.errors import InputError
from ngramstat.synthetic.forgetting import FORGOTTEN, chain_period, no_exponents
from ngramstat.synthetic.sampling import (
    StateSource,
    check_probabilities,
    document_pieces,
    random_generator,
    state_source,
)
from ngramstat.synthetic.world import (
    MAX_DENSE,
    Floats,
    KnownExponent,
    StationaryWorld,
    Tokens,
    block_entropy,
    check_length,
    pair_fractions,
)

__all__ = ["MarkovChain"]

# Contexts of a chain times V: every context is a state with V outcomes.
_MAX_OUTCOMES = 1 << 24
# Largest dense linear system for a stationary distribution: every chain of order 1, in seconds.
_MAX_SOLVED = 4096
# Transitions below this are ignored: no corpus would show them, and rounding hides them.
_MIN_JOINT = 1e-15
# Largest sum of absolute differences between a stationary distribution and the one a step later.
_BALANCE = 1e-12
# Steps from lag to lag, and multiplications in all of them; both take seconds.
_MAX_STEPS = 1 << 17
_MAX_PRODUCTS = 1 << 33
# Multiplications are this many times faster in dense matrices.
_DENSE_SPEED = 8
# Most transitions that truth.json lists for a chain with drawn transitions.
_MAX_LISTED = 1 << 16


@dataclass(frozen=True)
class MarkovChain(StationaryWorld):
    """A stationary chain of order k: H_n = H_k for n >= k, and C(t) falls exponentially.

    Parameters
    ----------
    transitions : array-like
        (V,) * order + (V,) probabilities of the next token given the last `order`, oldest first.
    document_length : int

    Raises
    ------
    InputError
        The array has another shape, is too large, does not sum to one, or the chain is not
        irreducible (its stationary distribution depends on where it starts).
    """

    kind: ClassVar[str] = "markov"

    transitions: Any
    document_length: int = 10_000
    _drawn: dict[str, Any] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            table = np.asarray(self.transitions, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError("transitions: not a rectangular array of numbers") from error
        if table.ndim < 2 or len(set(table.shape)) != 1 or table.shape[0] < 2:
            raise InputError(f"transitions: needs shape (V, ..., V), got {table.shape}")
        if table.size > _MAX_OUTCOMES:
            raise InputError(f"transitions: {table.size} numbers, at most {_MAX_OUTCOMES}")
        check_length(self.document_length, 40)
        table = check_probabilities(table, "transitions")
        table.setflags(write=False)
        object.__setattr__(self, "transitions", table)
        self._require_irreducible()

    @classmethod
    def random(
        cls,
        vocab_size: int,
        order: int = 1,
        *,
        concentration: float = 1.0,
        rules_seed: int = 0,
        document_length: int = 10_000,
    ) -> MarkovChain:
        """Transitions drawn from symmetric Dirichlet distributions."""
        if not 2 <= vocab_size <= 1 << 16:
            raise InputError(f"vocab_size={vocab_size}: must lie in 2 .. 65536")
        if order < 1 or vocab_size ** (order + 1) > _MAX_OUTCOMES:
            raise InputError(
                f"order={order}: needs at least 1 and V^(order+1) <= {_MAX_OUTCOMES} transitions"
            )
        if not (math.isfinite(concentration) and concentration > 0):
            raise InputError(f"concentration={concentration}: must be positive")
        rng = random_generator(rules_seed, 0x4D4B56, name="rules_seed")
        rows = rng.dirichlet(np.full(vocab_size, concentration), vocab_size**order)
        table = rows.reshape((vocab_size,) * (order + 1))
        check_length(document_length, 40)
        drawn: dict[str, Any] = {"concentration": concentration, "rules_seed": rules_seed}
        try:
            chain = cls(table, document_length, drawn)
            _ = chain.stationary  # raises where the chain nearly falls into parts
        except InputError as error:
            raise InputError(
                f"concentration={concentration:g}: transitions drawn with rules_seed={rules_seed} "
                "cannot be used, since almost all of a row's probability is on one token; use a "
                f"larger concentration or another rules_seed ({error})"
            ) from error
        return chain

    @property
    def order(self) -> int:
        """Tokens that the next one depends on."""
        return int(self.transitions.ndim) - 1

    @property
    def vocab_size(self) -> int:  # type: ignore[override]
        """V."""
        return int(self.transitions.shape[0])

    def parameters(self) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "order": self.order,
            "vocab_size": self.vocab_size,
            "document_length": self.document_length,
        }
        if self._drawn is not None:
            parameters |= self._drawn
        # The seed and the concentration determine a drawn table, however large it is.
        if self._drawn is None or self.transitions.size <= _MAX_LISTED:
            parameters["transitions"] = self.transitions.tolist()
        return parameters

    @cached_property
    def _chain(self) -> Any:
        """Transition matrix between contexts, sparse (V^k, V^k)."""
        from scipy.sparse import csr_array

        v, n = self.vocab_size, self.vocab_size**self.order
        contexts = np.repeat(np.arange(n), v)
        nexts = (contexts * v + np.tile(np.arange(v), n)) % n
        return csr_array((self.transitions.reshape(-1), (contexts, nexts)), shape=(n, n))

    def _require_irreducible(self) -> None:
        from scipy.sparse.csgraph import connected_components

        chain = self._chain.copy()
        chain.data[chain.data < _MIN_JOINT] = 0.0
        chain.eliminate_zeros()
        count, label = connected_components(chain, directed=True, connection="strong")
        if count > 1:
            # Transient contexts do not matter; a second closed class does.
            rows, columns = chain.nonzero()
            transient = np.unique(label[rows[label[rows] != label[columns]]])
            if count - len(transient) > 1:
                raise InputError(
                    "transitions: the chain falls into parts that it never leaves, or leaves with "
                    f"probabilities below {_MIN_JOINT:g}; give larger ones between the parts"
                )

    @cached_property
    def stationary(self) -> Floats:
        """Distribution of the context, (V,) * order.

        Raises
        ------
        InputError
            It cannot be computed in floating-point numbers.
        """
        n = self.vocab_size**self.order
        pi = _null_vector(self._chain) if n <= _MAX_SOLVED else _leading_vector(self._chain)
        pi = np.maximum(pi, 0.0)
        with np.errstate(invalid="ignore"):
            pi /= pi.sum()
            imbalance = float(np.abs(self._chain.T @ pi - pi).sum())
        if not imbalance < _BALANCE:
            raise InputError(
                "transitions: the stationary distribution cannot be computed to rounding, because "
                "the chain nearly falls into parts that it very rarely leaves; use larger "
                "probabilities between the parts"
            )
        stationary: Floats = pi.reshape((self.vocab_size,) * self.order)
        return stationary

    @cached_property
    def _source(self) -> tuple[StateSource, int]:
        """The chain, with shorter contexts as extra states so that documents start stationary."""
        v, k = self.vocab_size, self.order
        tokens = np.arange(v)
        states = []
        # A context of j tokens has the state number first[j] + (number of the context).
        first = {k: 0}
        total = v**k
        for j in range(k - 1, -1, -1):
            first[j] = total
            total += v**j
        rows = self.transitions.reshape(-1, v)
        states += [(row, tokens, (c * v + tokens) % v**k) for c, row in enumerate(rows)]
        for j in range(k - 1, -1, -1):
            longer = self.stationary.sum(axis=tuple(range(j + 1, k))).reshape(v**j, v)
            for c in range(v**j):
                weight = longer[c].sum()
                row = longer[c] / weight if weight > 0 else np.full(v, 1.0 / v)
                states.append((row, tokens, first[j + 1] + c * v + tokens))
        return state_source(states), first[0]

    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        source, start = self._source
        return document_pieces(
            source, start, self.document_length, self.dtype, n_tokens, seed=seed, threads=threads
        )

    @cached_property
    def marginal(self) -> Floats:
        """Distribution of a token, (V,)."""
        marginal: Floats = self.stationary.sum(axis=tuple(range(1, self.order)))
        return marginal

    def _covariances(self) -> Iterator[tuple[Floats, float]]:
        """C(1), C(2), ..., each with the dependence between a token and the context t tokens later.

        The dependence is the sum of |P(token, context) - P(token) P(context)|, infinite at lags
        below the order. Once it vanishes, so do all later covariances. A single covariance may
        vanish before that.
        """
        v, k = self.vocab_size, self.order
        product = np.outer(self.marginal, self.marginal)
        for lag in range(1, k):
            others = tuple(a for a in range(1, k) if a != lag)
            yield self.stationary.sum(axis=others) - product, np.inf
        n = v**k
        pi = self.stationary.reshape(-1)
        # P(token, context) - P(token) P(context)
        deviation = -np.outer(self.marginal, pi)
        deviation[np.arange(n) // v ** (k - 1), np.arange(n)] += pi
        back = self.transitions.T if k == 1 else self._chain.T
        while True:
            deviation = (back @ deviation.T).T
            yield deviation.reshape(v, -1, v).sum(axis=1), float(np.abs(deviation).sum())

    @cached_property
    def _max_steps(self) -> int:
        """Largest lag whose covariance is computed."""
        products = self.transitions.size * self.vocab_size
        if self.order == 1:
            products //= _DENSE_SPEED
        return int(max(1, min(_MAX_STEPS, _MAX_PRODUCTS // max(products, 1))))

    def process_covariance(self, lag: int) -> Floats:
        if lag > self._max_steps:
            raise InputError(
                f"lag={lag}: C(t) cannot be computed at this lag; use lags up to {self._max_steps}"
            )
        return next(islice(self._covariances(), lag - 1, None))[0]

    def process_norms(self, lags: Sequence[int], *, sequential: bool = False) -> Floats:
        if self.vocab_size > MAX_DENSE:
            return np.full(len(lags), np.nan)
        return self._sequential_norms(lags) if sequential else self._plain_norms(lags)

    @cached_property
    def _rounding(self) -> float:
        """Norms below this are mostly rounding."""
        at_zero = np.diag(self.marginal) - np.outer(self.marginal, self.marginal)
        return FORGOTTEN * float(np.linalg.norm(at_zero, 2))

    def _plain_norms(self, lags: Sequence[int]) -> Floats:
        steps = max((lag for lag in lags if lag <= self._max_steps), default=0)
        norms = dict.fromkeys(lags, math.nan)
        for lag, (c, dependence) in enumerate(islice(self._covariances(), steps), start=1):
            if lag in norms:
                norms[lag] = self._norm_above_rounding(c)
            if dependence < self._rounding:
                break
        return np.array([norms[lag] for lag in lags])

    def _sequential_norms(self, lags: Sequence[int]) -> Floats:
        """Norms of C(t) minus the symmetrised mean over all pairs of a document."""
        v, d = self.vocab_size, self.document_length
        steps = min(d - 1, self._max_steps)
        weights = pair_fractions(d, 1, steps + 1)
        covariances: dict[int, Floats] = {}
        mean = np.zeros((v, v))
        forgotten = False
        for lag, (c, dependence) in enumerate(islice(self._covariances(), steps), start=1):
            if lag in lags:
                covariances[lag] = c
            mean += weights[lag - 1] * (c + c.T) / 2
            forgotten = dependence < self._rounding
            if forgotten:
                break
        if not forgotten and steps < d - 1:
            return np.full(len(lags), np.nan)
        # Once the chain has forgotten its past, C(t) is zero.
        known = [lag for lag in lags if lag in covariances or forgotten]
        norms = {lag: self._norm_above_rounding(covariances.get(lag, 0.0) - mean) for lag in known}
        return np.array([norms.get(lag, math.nan) for lag in lags])

    def _norm_above_rounding(self, covariance: Floats) -> float:
        norm = float(np.linalg.norm(covariance, 2))
        return norm if norm >= self._rounding else math.nan

    def process_entropies(self, max_context: int) -> Floats:
        entropies = np.empty(max_context + 1)
        v, k = self.vocab_size, self.order
        window = self.stationary.reshape(-1, 1) * self.transitions.reshape(-1, v)
        window = window.reshape((v,) * (k + 1))
        for n in range(max_context + 1):
            short = min(n, k)
            joint = window.sum(axis=tuple(range(k - short)))
            entropies[n] = block_entropy(joint.reshape(-1)) - block_entropy(
                joint.sum(axis=-1).reshape(-1)
            )
        return entropies

    def exponents(self) -> dict[str, KnownExponent]:
        constant = "H_n is constant from the chain's order on"
        return no_exponents(chain_period(self._chain, self.stationary), constant)


def _null_vector(chain: Any) -> Floats:
    """Solution of pi (T - 1) = 0, sum(pi) = 1 by elimination; NaN where the system is singular."""
    n = chain.shape[0]
    system = -chain.toarray().T
    # The diagonal of 1 - T as the sum of the other transitions, which does not cancel.
    np.fill_diagonal(system, 0.0)
    np.fill_diagonal(system, -system.sum(axis=0))
    system[-1] = 1.0
    try:
        return np.linalg.solve(system, np.concatenate([np.zeros(n - 1), [1.0]]))
    except np.linalg.LinAlgError:
        return np.full(n, np.nan)


def _leading_vector(chain: Any) -> Floats:
    """Left eigenvector of the eigenvalue one of a large irreducible chain; NaN on failure."""
    from scipy.sparse.linalg import ArpackError, eigs

    n = chain.shape[0]
    # Of a periodic chain's eigenvalues of modulus one, only this one has a real part of one.
    try:
        _, vectors = eigs(chain.T, k=1, which="LR", v0=np.linspace(1.0, 2.0, n), tol=0.0)
    except ArpackError:
        return np.full(n, np.nan)
    leading: Floats = np.abs(vectors[:, 0].real)
    return leading
