"""Ordinary documents, a few of which are tables: the tables carry most of C(t).

As in source code in which a few files are tables of numbers. Few documents decide the norm, which
puts estimators to the test that treat parts of the documents as alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ngramstat.errors import InputError
from ngramstat.synthetic.sampling import StateSource, document_pieces, state_source
from ngramstat.synthetic.world import (
    MAX_NGRAMS,
    Floats,
    KnownExponent,
    StationaryWorld,
    Tokens,
    block_entropy,
    check_length,
    conditional_entropies,
    longest_ngram,
    pair_fractions,
    zipf_law,
)

__all__ = ["RareTables"]

# Every ordinary token is a state with V outcomes.
_MAX_VOCAB = 1024


@dataclass(frozen=True)
class RareTables(StationaryWorld):
    """Documents of repeated Zipf tokens; a fraction w of them are tables that run through columns.

    In an ordinary document a token repeats the one before it with probability r, and is drawn from
    p_k ~ 1 / k otherwise. In a table tokens come from the first c vocabulary items: a token is
    the next of the cycle 0, 1, .., c - 1 with probability s, and uniform among them otherwise.
    Both are stationary chains, so C(t) inside documents is exact (docs/theory.md 12.7):

        C(t) = (1 - w) (r^t diag p + (1 - r^t) p p^T)
             + w (s^t P^t / c + (1 - s^t) 1 1^T / c^2) - m m^T,

    with the cyclic shift P, 1 the indicator of the columns and m = (1 - w) p + w 1 / c.

    Parameters
    ----------
    vocab_size : int
        V.
    table_share : float
        w, the fraction of the documents that are tables.
    columns : int
        c.
    regularity : float
        s.
    repetition : float
        r.
    document_length : int

    Raises
    ------
    InputError
        A parameter is out of range.
    """

    kind: ClassVar[str] = "tables"

    vocab_size: int = 64
    table_share: float = 0.01
    columns: int = 4
    regularity: float = 0.995
    repetition: float = 0.05
    document_length: int = 500

    def __post_init__(self) -> None:
        if not 2 <= self.vocab_size <= _MAX_VOCAB:
            raise InputError(f"vocab_size={self.vocab_size}: must lie in 2 .. {_MAX_VOCAB}")
        if not 2 <= self.columns <= self.vocab_size:
            raise InputError(f"columns={self.columns}: must lie in 2 .. vocab_size")
        for name in ("table_share", "regularity", "repetition"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise InputError(f"{name}={value}: must be at least 0 and below 1")
        check_length(self.document_length, 27)

    def parameters(self) -> dict[str, Any]:
        names = ("vocab_size", "table_share", "columns", "regularity", "repetition")
        return {name: getattr(self, name) for name in (*names, "document_length")}

    @cached_property
    def ordinary(self) -> Floats:
        """p, the distribution of tokens in ordinary documents, (V,)."""
        return zipf_law(self.vocab_size, 1.0)

    @cached_property
    def table(self) -> Floats:
        """Distribution of tokens in tables, (V,)."""
        p = np.zeros(self.vocab_size)
        p[: self.columns] = 1.0 / self.columns
        return p

    @cached_property
    def marginal(self) -> Floats:
        """m, (V,)."""
        w = self.table_share
        marginal: Floats = (1 - w) * self.ordinary + w * self.table
        return marginal

    def _ordinary_steps(self) -> Floats:
        """Transitions between the tokens of an ordinary document, (V, V)."""
        r = self.repetition
        steps: Floats = r * np.eye(self.vocab_size) + (1 - r) * self.ordinary
        return steps

    def _table_steps(self) -> Floats:
        """Transitions between the columns of a table, (c, c)."""
        c, s = self.columns, self.regularity
        steps: Floats = s * np.roll(np.eye(c), 1, axis=1) + (1 - s) / c
        return steps

    @cached_property
    def _source(self) -> tuple[StateSource, int]:
        """States: the ordinary tokens, the columns of tables, and the start of a document."""
        v, c = self.vocab_size, self.columns
        tokens, cells = np.arange(v), np.arange(c)
        states = [(row, tokens, tokens) for row in self._ordinary_steps()]
        states += [(row, cells, v + cells) for row in self._table_steps()]
        w = self.table_share
        first = np.concatenate([(1 - w) * self.ordinary, w * self.table[:c]])
        states.append((first, np.concatenate([tokens, cells]), np.arange(v + c)))
        return state_source(states), v + c

    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        source, start = self._source
        return document_pieces(
            source, start, self.document_length, self.dtype, n_tokens, seed=seed, threads=threads
        )

    def _joint(self, ordinary: float, by_shift: Floats) -> Floats:
        """Mean joint of pairs, (V, V).

        `ordinary` is the mean of r^t over the pairs, and `by_shift` (c,) that of s^t over those
        whose lag is 0, 1, .., c - 1 modulo c.
        """
        w, c, p = self.table_share, self.columns, self.ordinary
        joint: Floats = (1 - w) * (ordinary * np.diag(p) + (1 - ordinary) * np.outer(p, p))
        joint[:c, :c] += w * (1 - by_shift.sum()) / c**2
        rows = np.arange(c)
        for shift, weight in enumerate(by_shift):
            joint[rows, (rows + shift) % c] += w * weight / c
        return joint

    def process_covariance(self, lag: int) -> Floats:
        by_shift = np.zeros(self.columns)
        by_shift[lag % self.columns] = self.regularity**lag
        joint = self._joint(self.repetition**lag, by_shift)
        return joint - np.outer(self.marginal, self.marginal)

    @cached_property
    def _shuffled_joint(self) -> Floats:
        """Mean joint of all ordered pairs of a document, (V, V)."""
        length = self.document_length
        lags, fractions = np.arange(1, length), pair_fractions(length, 1, length)
        weights = fractions * self.regularity**lags
        by_shift = np.bincount(lags % self.columns, weights, self.columns).astype(np.float64)
        joint = self._joint(float(fractions @ self.repetition**lags), by_shift)
        # The fractions are those of unordered pairs, which shuffles put in either order.
        return (joint + joint.T) / 2

    def process_norms(self, lags: Sequence[int], *, sequential: bool = False) -> Floats:
        norms = np.empty(len(lags))
        shuffled = self._shuffled_joint if sequential else np.outer(self.marginal, self.marginal)
        for i, lag in enumerate(lags):
            joint = self.process_covariance(lag) + np.outer(self.marginal, self.marginal)
            norms[i] = np.linalg.norm(joint - shuffled, 2)
        return norms

    def process_entropies(self, max_context: int) -> Floats:
        entropies = np.full(max_context + 1, np.nan)
        entropies[0] = block_entropy(self.marginal)
        longest = min(longest_ngram(self.vocab_size, MAX_NGRAMS), max_context + 1)
        if longest > 1:
            v, c = self.vocab_size, self.columns
            steps = np.zeros((v, v))
            steps[:c, :c] = self._table_steps()
            ordinary, table = (1 - self.table_share) * self.ordinary, self.table_share * self.table
            for _ in range(longest - 1):
                ordinary = ordinary[..., None] * self._ordinary_steps()
                table = table[..., None] * steps
            entropies[:longest] = conditional_entropies(ordinary + table)
        return entropies

    def exponents(self) -> dict[str, KnownExponent]:
        why = "C(t) falls exponentially to what tables and other documents differ in"
        return {name: KnownExponent(None, why) for name in ("beta", "gamma", "alpha")}

    def extras(self) -> dict[str, Any]:
        return {"table_marginal": self.table[: self.columns].tolist()}
