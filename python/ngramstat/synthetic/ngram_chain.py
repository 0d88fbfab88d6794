"""The chain of states of an n-gram model: exact distributions, entropies and covariances.

The sums are those of docs/theory.md 12.6.

A state is the longest context that the model knows, so the states are a Markov chain, and one step
costs one pass over the n-grams although almost every token can follow almost every state. Mass
that a state leaves to its suffix is added up there before the suffix's own tokens are drawn; for a
token that both have seen, the longer of the two following states is then put right.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.linear_algebra.lanczos import leading_singular_triplets
from ngramstat.synthetic.ngram_model import NgramModel

__all__ = ["NgramChain"]

Floats = NDArray[np.float64]

# The chain has forgotten where it began when a step moves less probability than this.
_SETTLED = 1e-14
# Multiplications on the way there; minutes, which no model of text has needed.
_MAX_PRODUCTS = 1 << 37


@dataclass(frozen=True, eq=False)
class NgramChain:
    """Exact sums over the states of a model; all take time in proportion to its n-grams.

    Attributes
    ----------
    model : NgramModel
    """

    model: NgramModel

    @cached_property
    def _steps(self) -> Any:
        """What the tokens that states draw add to the states that follow, sparse (states, states).

        Row s also takes away from the followers of its suffix what its own followers get instead.
        """
        from scipy.sparse import csr_array

        model, n = self.model, self.model.n_states
        single, inner = slice(0, int(model.levels[1])), slice(int(model.levels[1]), n - 1)
        beyond = slice(n - 1, len(model.token))
        corrected = model.left[model.context[inner]] * model.probability[model.shorter[inner]]
        rows = [model.context[x] for x in (single, inner, inner, beyond)]
        columns = [model.next[single], model.next[inner],
                   model.shorter[inner] + 1, model.next[beyond]]  # fmt: skip
        values = [model.probability[single], model.probability[inner], -corrected,
                  model.kept[beyond]]  # fmt: skip
        entries = (np.concatenate(rows), np.concatenate(columns))
        return csr_array((np.concatenate(values), entries), shape=(n, n))

    @cached_property
    def _steps_back(self) -> Any:
        return self._steps.T.tocsr()

    @cached_property
    def _draws(self) -> Any:
        """Probability that a state draws a token by itself, sparse (states, V + 1)."""
        from scipy.sparse import csr_array

        model = self.model
        single = int(model.levels[1])
        values = np.concatenate([model.probability[:single], model.kept[single:]])
        shape = (model.n_states, model.vocab_size + 1)
        return csr_array((values, (model.context, model.token)), shape=shape)

    @cached_property
    def _draws_back(self) -> Any:
        return self._draws.T.tocsr()

    @cached_property
    def _last(self) -> NDArray[np.int64]:
        """Last token of every state; no token for the empty one, which is never reached."""
        last: NDArray[np.int64] = self.model.token[: self.model.n_states - 1]
        return last

    @property
    def entries(self) -> int:
        """Multiplications of one step."""
        return int(self._steps.nnz) + self.model.n_states

    # --- passing probabilities and functions along ------------------------------------------------

    def _handed_down(self, mass: Floats) -> Floats:
        """The mass of every state, (n_states, ...), with what longer states leave to it."""
        model, total = self.model, mass.copy()
        for m in range(model.longest, 0, -1):
            states = model.states(m)
            left = (model.left[states] * total[states].T).T
            total[: states.start] += _sums(model.suffix[states], left, states.start)
        return total

    def _handed_up(self, values: Floats) -> Floats:
        """values + left * (the suffix's result), from the empty state on; in place."""
        model = self.model
        for m in range(1, model.longest + 1):
            states = model.states(m)
            values[states] += (model.left[states] * values[model.suffix[states]].T).T
        return values

    def step(self, mass: Floats) -> Floats:
        """Distribution of the state a token later, (n_states, ...)."""
        after: Floats = np.maximum(self._step(mass), 0.0)  # rounding leaves -1e-17
        return after

    def _step(self, mass: Floats) -> Floats:
        after: Floats = self._steps_back @ self._handed_down(mass)
        return after

    def _step_back(self, values: Floats) -> Floats:
        """Expected value of a function of the state a token later, (n_states, ...)."""
        return self._handed_up(self._steps @ values)

    def _tokens(self, mass: Floats) -> Floats:
        """Mass of the token that is drawn next, (V + 1, ...)."""
        tokens: Floats = self._draws_back @ self._handed_down(mass)
        return tokens

    def _expected(self, values: Floats) -> Floats:
        """Expected value of a function of the next token, (V + 1, ...), for every state."""
        return self._handed_up(self._draws @ values)

    # --- distributions ----------------------------------------------------------------------------

    @property
    def beginning(self) -> Floats:
        """The distribution at the beginning of a document."""
        mass = np.zeros(self.model.n_states)
        mass[self.model.start] = 1.0
        return mass

    def occupation(self, weights: Floats | None) -> Floats:
        """Mean distribution of the state before token i of a document.

        Parameters
        ----------
        weights : (n, length) float64 or None
            Weight of every position, for n means at once; None for the limit of a long document.

        Returns
        -------
        (n, n_states) float64, or (1, n_states)
            NaN where the chain does not settle in time.
        """
        n, length = (1, np.inf) if weights is None else weights.shape
        mass, i = self.beginning, 0
        mean = np.zeros((n, self.model.n_states))
        limit = _MAX_PRODUCTS // self.entries
        while i < length:
            if weights is not None:
                mean += weights[:, i, None] * mass
            i += 1
            after = self.step(mass)
            after /= after.sum()
            change = float(np.abs(after - mass).sum())
            mass = after
            if change < _SETTLED:
                rest = np.ones(1) if weights is None else weights[:, i:].sum(axis=1)
                mean += rest[:, None] * mass
                break
            if i > limit:
                return np.full_like(mean, np.nan)
        total: Floats = mean / mean.sum(axis=1, keepdims=True)
        return total

    # --- entropies --------------------------------------------------------------------------------

    @cached_property
    def entropies(self) -> Floats:
        """Entropy of the next token in every state, (n_states,), nats."""
        model, p = self.model, self.model.probability
        entropies = np.empty(model.n_states)
        entropies[0] = -_p_log_p(p[: model.levels[1]]).sum()
        for m in range(1, model.longest + 1):
            entropies[model.states(m)] = self._mixed(m, None, entropies)
        return entropies

    def _mixed(self, m: int, mix: tuple[Floats, Floats, Floats] | None, below: Floats) -> Floats:
        """Entropy times mass of the next token after each of the states of m tokens.

        Parameters
        ----------
        mix : (own, left, mass) or None
            Tokens that longer states draw by themselves, by outcome of these states; mass that
            the states have to draw themselves; all mass. None: the states alone, of mass one.
        below : (n_states,) float64
            Entropies of the shorter states, m > 0.
        """
        model, states = self.model, self.model.states(m)
        n = states.stop - states.start
        if mix is None:
            mix = np.zeros(0), np.ones(n), np.ones(n)
        own, drawing, mass = mix
        if m == model.longest and m == model.order:  # nothing was seen after single tokens
            result: Floats = drawing * below[0]
            return result
        level = model.level(m + 1)
        at = model.context[level] - states.start
        suffix = model.probability[model.shorter[level]]
        joint = drawing[at] * model.probability[level] + (own if len(own) else 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_mass = np.where(mass > 0, np.log(mass), 0.0)
            unseen = drawing * model.left[states]
            log_share = np.where(unseen > 0, np.log(unseen), 0.0) - log_mass
        seen = -(_p_log_p(joint) - joint * log_mass[at])
        covered = np.bincount(at, suffix, minlength=n)
        # -sum q ln q over the suffix's tokens that were not seen here
        remaining = below[model.suffix[states]] + np.bincount(at, _p_log_p(suffix), minlength=n)
        result = np.bincount(at, seen, minlength=n).astype(np.float64)
        result += unseen * (remaining - log_share * (1.0 - covered))
        return result

    def conditional_entropy(self, n: int, mass: Floats) -> float:
        """H(next token | n before it) for a distribution of the state, (n_states,); nats.

        The mark in front of a document is one of the n tokens where they reach back to it, and the
        last one that they reach.
        """
        model = self.model
        n = min(n, model.longest)
        own: Floats = np.zeros(0)
        drawing, total = mass.copy(), mass.copy()
        for m in range(model.longest, n, -1):
            states = model.states(m)
            if m < model.order:
                level = model.level(m + 1)
                drawn = drawing[model.context[level]] * model.kept[level]
                drawn += own if len(own) else 0.0
                below = model.level(m)
                own = _sums(model.shorter[level] - below.start, drawn, below.stop - below.start)
            suffix = model.suffix[states]
            drawing[: states.start] += _sums(
                suffix, model.left[states] * drawing[states], states.start
            )
            total[: states.start] += _sums(suffix, total[states], states.start)
        if n == 0:
            p = drawing[0] * model.probability[model.level(1)] + (own if len(own) else 0.0)
            return float(-_p_log_p(p).sum())
        states = model.states(n)
        shorter = slice(0, states.start)
        mixed = self._mixed(n, (own, drawing[states], total[states]), self.entropies)
        return float(mixed.sum() + mass[shorter] @ self.entropies[shorter])

    # --- covariances ------------------------------------------------------------------------------

    def covariance(self, lag: int, mass: Floats) -> CovarianceOperator:
        """C(lag) of pairs whose first token ends a state with the distribution `mass`."""
        return CovarianceOperator(self, lag, mass)


@dataclass(frozen=True, eq=False)
class CovarianceOperator:
    """C(t) as an operator, (V, V): a product takes t steps of the chain.

    Attributes
    ----------
    chain : NgramChain
    lag : int
    mass : (n_states,) float64
        Distribution of the state that ends with the pair's first token.
    """

    chain: NgramChain
    lag: int
    mass: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """(V, V)."""
        v = self.chain.model.vocab_size
        return v, v

    @cached_property
    def first(self) -> Floats:
        """Distribution of the pair's first token, (V + 1,)."""
        last = self.chain._last
        return _sums(last, self.mass[1:], self.chain.model.vocab_size + 1)

    def multiply(self, x: Floats) -> Floats:
        """C(t) x, for x of shape (V, n)."""
        chain = self.chain
        values = chain._expected(_with_mark(x))
        for _ in range(self.lag - 1):
            values = chain._step_back(values)
        values -= self.mass @ values
        weighted = (self.mass[1:] * values[1:].T).T
        return _sums(chain._last, weighted, chain.model.vocab_size + 1)[:-1]

    def multiply_transposed(self, x: Floats) -> Floats:
        """C(t)^T x, for x of shape (V, n)."""
        chain = self.chain
        values = (_with_mark(x) - self.first[:-1] @ x)[chain._last]
        mass = np.zeros((chain.model.n_states, x.shape[1]))
        mass[1:] = (self.mass[1:] * values.T).T
        for _ in range(self.lag - 1):
            mass = chain._step(mass)
        return chain._tokens(mass)[:-1]

    def norm(self) -> float:
        """||C(t)||_op."""
        return float(leading_singular_triplets(self, 1, tolerance=1e-10).values[0])


def _with_mark(x: Floats) -> Floats:
    """`x`, (V, n), with a row of zeros for the mark in front of documents."""
    return np.concatenate([x, np.zeros((1, x.shape[1]))])


def _p_log_p(p: Floats) -> Floats:
    from scipy.special import xlogy

    values: Floats = xlogy(p, p)
    return values


def _sums(where: NDArray[np.int64], values: Floats, n: int) -> Floats:
    """Sums of the rows of `values` by the number in `where`, (n, ...)."""
    from scipy.sparse import csr_array

    if values.ndim == 1:
        return np.bincount(where, values, minlength=n).astype(np.float64)
    ones = np.ones(len(where))
    gather = csr_array((ones, (where, np.arange(len(where)))), shape=(n, len(where)))
    sums: Floats = gather @ values
    return sums
