"""Interpolated modified Kneser-Ney models as sources of tokens: counting, and the tables of states.

The model is that of `ngramstat.entropy.kneser_ney` with boundary ``document`` (docs/theory.md 12.6)
and without separators as events: raw counts at the highest order, continuation counts below it, and
contexts that reach back to the mark in front of their document and no further.

An n-gram is an *outcome* of its context. Every n-gram below the highest order is also the *state*
of a source that has read it, beside the empty state 0, so outcome e of these orders leads to state
e + 1. A state's *suffix* lacks its oldest token.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.entropy.kneser_ney import discounts
from ngramstat.errors import InputError
from ngramstat.kernels.worlds import NgramTables

__all__ = ["MAX_ORDER", "NgramModel"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# As many as the Kneser-Ney models of the estimators have.
MAX_ORDER = 16
# States and outcomes have 32-bit numbers.
_MAX_OUTCOMES = (1 << 32) - 2
# The largest double below 2^64.
_ALMOST_ONE = 2.0**64 - 2.0**11


@dataclass(frozen=True, eq=False)
class NgramModel:
    """A model of order k, as one array of outcomes by order and by context.

    P(w | h) = max(c(hw) - D, 0) / c(h) + left(h) P(w | h'), where h' is the suffix of h, down to
    the uniform distribution over the tokens that can be drawn.

    Attributes
    ----------
    order : int
        k; contexts have up to k - 1 tokens.
    vocab_size : int
        V. The id V is the mark in front of a document, a context but never drawn.
    never : int or None
        A token that is never drawn: the separator.
    levels : (k + 1,) int64
        Outcomes of n-grams of m tokens are levels[m - 1] .. levels[m] - 1.
    first : (n_states + 1,) int64
        Outcomes of state s are first[s] .. first[s + 1] - 1, their tokens ascending.
    token : (n_outcomes,) int64
        Last token of each n-gram; outcome w of state 0 is token w, w = 0 .. V.
    shorter : (n_outcomes,) int64
        Outcome of the n-gram without its oldest token; -1 for single tokens.
    kept : (n_outcomes,) float64
        max(c(hw) - D, 0) / c(h).
    cumulative : (n_outcomes,) float64
        Sum of `kept` over the outcomes of the state up to this one, each sum to rounding.
    left : (n_states,) float64
        Probability that a state leaves the token to its suffix, state 0 to the uniform
        distribution; 1 for contexts that nothing follows.
    discounts : tuple of dict
        Per order: order, distinct (n-grams), discounts, counts_of_counts, is_fallback.
    """

    order: int
    vocab_size: int
    never: int | None
    levels: Indices
    first: Indices
    token: Indices
    shorter: Indices
    kept: Floats
    cumulative: Floats
    left: Floats
    discounts: tuple[dict[str, Any], ...]

    @classmethod
    def count(
        cls,
        documents: list[NDArray[Any]],
        vocab_size: int,
        order: int,
        *,
        never: int | None = None,
    ) -> NgramModel:
        """Count the n-grams of documents (without separators), none of which crosses their ends.

        Raises
        ------
        InputError
            The order is out of range, the documents hold no tokens, or there are too many n-grams.
        """
        if isinstance(order, bool) or not isinstance(order, int) or not 1 <= order <= MAX_ORDER:
            raise InputError(f"order={order}: must be an integer in 1 .. {MAX_ORDER}")
        if not any(len(d) for d in documents):
            raise InputError("corpus: its documents hold no tokens; give one with text")
        mark = np.array([vocab_size], np.int64)
        stream = np.concatenate([part for d in documents for part in (mark, d)])
        lengths = np.array([len(d) for d in documents], np.int64) + 1
        offset = np.arange(len(stream)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        orders = [_single_tokens(stream, vocab_size)]
        for m in range(2, order + 1):
            orders.append(_extend(orders[-1], stream, offset, m, vocab_size + 1))
        return cls._of(orders, vocab_size, never)

    @classmethod
    def _of(cls, orders: list[_Ngrams], vocab_size: int, never: int | None) -> NgramModel:
        k = len(orders)
        levels = np.cumsum([0, *(len(o.token) for o in orders)]).astype(np.int64)
        if levels[-1] > _MAX_OUTCOMES:
            raise InputError(
                f"order={k}: {levels[-1]:,} n-grams, more than 2^32; use a lower order or a "
                "smaller corpus"
            )
        first, kept, cumulative, left, table = [], [], [], [], []
        for m, ngrams in enumerate(orders, start=1):
            counts = ngrams.counts if m == k else _continuations(ngrams, orders[m])
            if m == 1:
                counts = counts.copy()
                counts[vocab_size] = 0  # the mark is no event
            n_contexts = 1 if m == 1 else len(orders[m - 2].token)
            begins = np.searchsorted(ngrams.context, np.arange(n_contexts + 1))
            of_order = np.bincount(counts[counts > 0], minlength=5)[1:5]
            values, is_fallback = discounts(of_order.astype(np.uint64))
            level = _discount(counts, begins, values)
            first.append(begins[:-1] + levels[m - 1])
            kept.append(level[0])
            cumulative.append(level[1])
            left.append(level[2])
            table.append(
                {"order": m, "distinct": int(np.count_nonzero(counts)),
                 "discounts": values.tolist(), "counts_of_counts": of_order.tolist(),
                 "is_fallback": is_fallback}
            )  # fmt: skip
        if k == 1:  # single tokens are states all the same, which leave every token to state 0
            first.append(np.full(vocab_size + 1, levels[1]))
            left.append(np.ones(vocab_size + 1))
        shorter = [np.full(len(orders[0].token), -1)]
        shorter += [o.shorter + levels[m] for m, o in enumerate(orders[1:])]
        return cls(
            k,
            vocab_size,
            never,
            levels,
            np.concatenate([*first, levels[-1:]]),
            np.concatenate([o.token for o in orders]),
            np.concatenate(shorter),
            np.concatenate(kept),
            np.concatenate(cumulative),
            np.concatenate(left),
            tuple(table),
        )

    @property
    def n_states(self) -> int:
        """Number of states, the empty context included."""
        return len(self.left)

    @property
    def start(self) -> int:
        """State of the mark in front of a document."""
        return self.vocab_size + 1

    @property
    def longest(self) -> int:
        """Tokens of the longest states: k - 1, but at least 1."""
        return max(self.order - 1, 1)

    @cached_property
    def drawable(self) -> NDArray[np.bool_]:
        """Tokens that can be drawn, (V + 1,)."""
        drawable = np.ones(self.vocab_size + 1, dtype=np.bool_)
        drawable[self.vocab_size] = False
        if self.never is not None:
            drawable[self.never] = False
        return drawable

    @cached_property
    def suffix(self) -> Indices:
        """State without its oldest token, (n_states,); 0 for state 0 and single tokens."""
        suffix: Indices = np.concatenate([[0], self.shorter[: self.n_states - 1] + 1])
        return suffix

    @cached_property
    def next(self) -> Indices:
        """State after each outcome that was drawn by its own context, (n_outcomes,)."""
        following = np.arange(1, len(self.token) + 1)
        beyond = self.n_states - 1
        following[beyond:] = self.shorter[beyond:] + 1
        return following

    @cached_property
    def context(self) -> Indices:
        """State that each outcome belongs to, (n_outcomes,)."""
        context: Indices = np.repeat(np.arange(self.n_states), np.diff(self.first))
        return context

    @cached_property
    def probability(self) -> Floats:
        """P(w | h) of each outcome, (n_outcomes,)."""
        full = self.kept.copy()
        single = slice(0, int(self.levels[1]))
        full[single] += np.where(self.drawable, self.left[0] / self.drawable.sum(), 0.0)
        for m in range(2, self.order + 1):
            level = self.level(m)
            full[level] += self.left[self.context[level]] * full[self.shorter[level]]
        return full

    def level(self, m: int) -> slice:
        """Outcomes of the n-grams of m tokens."""
        return slice(int(self.levels[m - 1]), int(self.levels[m]))

    def states(self, m: int) -> slice:
        """States of m tokens, m = 1 .. `longest`."""
        return slice(int(self.levels[m - 1]) + 1, int(self.levels[m]) + 1)

    def state(self, history: NDArray[Any]) -> int:
        """The longest state that the history, of tokens of one document, ends with."""
        recent = [int(w) for w in history[-self.longest :]]
        for begin in range(len(recent)):
            state = self._follow(recent[begin:])
            if state is not None:
                return state
        return 0

    def _follow(self, tokens: list[int]) -> int | None:
        """State of exactly these tokens; None where there is none."""
        state = 0
        for w in tokens:
            first, last = int(self.first[state]), int(self.first[state + 1])
            at = first + int(np.searchsorted(self.token[first:last], w))
            if at == last or self.token[at] != w:
                return None
            state = at + 1
        return state

    @cached_property
    def tables(self) -> NgramTables:
        """The tables of the native sampler."""
        cumulative = np.minimum(self.cumulative * 2.0**64, _ALMOST_ONE).astype(np.uint64)
        return NgramTables(
            self.first,
            cumulative,
            self.token.astype(np.uint32),
            self.next.astype(np.uint32),
            self.suffix.astype(np.uint32),
            first_full=int(self.levels[self.longest - 1]) + 1,
            vocab_size=self.vocab_size,
            never=self.never,
            words=self.longest + 2,
        )


@dataclass(frozen=True, eq=False)
class _Ngrams:
    """The distinct n-grams of one order, by context and last token.

    Attributes
    ----------
    context : (n,) int64
        Number of the context among the n-grams of the order below.
    token : (n,) int64
        Last token.
    counts : (n,) int64
        Occurrences.
    shorter : (n,) int64
        Number of the n-gram without its oldest token among those of the order below.
    begins : (n,) bool
        Whether the n-gram begins with the mark in front of a document.
    at : (n_stream,) int64
        Number of the n-gram that ends at each position; undefined where there is none.
    """

    context: Indices
    token: Indices
    counts: Indices
    shorter: Indices
    begins: NDArray[np.bool_]
    at: Indices


def _single_tokens(stream: Indices, vocab_size: int) -> _Ngrams:
    """Every token, also those that do not occur, and the mark."""
    n = vocab_size + 1
    zeros = np.zeros(n, np.int64)
    counts = np.bincount(stream, minlength=n)
    return _Ngrams(zeros, np.arange(n), counts, zeros, zeros.astype(np.bool_), stream)


def _extend(below: _Ngrams, stream: Indices, offset: Indices, m: int, symbols: int) -> _Ngrams:
    """The n-grams of m tokens from those of m - 1; the mark is at offset 0."""
    ends = np.flatnonzero(offset >= m - 1)
    keys = below.at[ends - 1] * symbols + stream[ends]
    distinct, where, at, counts = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    numbers = np.zeros(len(stream), np.int64)
    numbers[ends] = at
    example = ends[where]
    return _Ngrams(
        distinct // symbols,
        distinct % symbols,
        counts,
        below.at[example],
        offset[example] == m - 1,
        numbers,
    )


def _continuations(ngrams: _Ngrams, above: _Ngrams) -> Indices:
    """Distinct tokens before each n-gram; occurrences where it begins with a document's mark."""
    distinct = np.bincount(above.shorter, minlength=len(ngrams.token))
    counts: Indices = np.where(ngrams.begins, ngrams.counts, distinct)
    return counts


def _discount(counts: Indices, begins: Indices, values: Floats) -> tuple[Floats, Floats, Floats]:
    """What the outcomes of one order keep, its sums inside contexts, and what is left.

    Parameters
    ----------
    counts : (n,) int64
    begins : (n_contexts + 1,) int64
        Where the outcomes of each context begin.
    values : (3,) float64
        D1, D2, D3+.

    Returns
    -------
    (n,), (n,), (n_contexts,) float64
    """
    sizes = np.diff(begins)
    first = np.repeat(begins[:-1], sizes)
    category = np.minimum(counts, 3)
    sums = np.concatenate([[0], np.cumsum(counts)])
    total = sums[begins[1:]] - sums[begins[:-1]]
    per_outcome = np.repeat(total, sizes).astype(np.float64)
    kept = np.maximum(counts - np.concatenate([[0.0], values])[category], 0.0) / per_outcome
    # Sums of integers are exact; discounts are taken off sums, so that nothing accumulates.
    inside = (sums[1:] - sums[first]).astype(np.float64)
    freed = np.zeros(len(total))
    for j, value in enumerate(values, start=1):
        number = np.concatenate([[0], np.cumsum(category == j)])
        inside -= value * (number[1:] - number[first])
        freed += value * (number[begins[1:]] - number[begins[:-1]])
    cumulative = np.maximum(inside, 0.0) / per_outcome
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.where(total > 0, freed / total, 1.0)
    return kept, _ascending(cumulative, first), left


def _ascending(cumulative: Floats, first: Indices) -> Floats:
    """The sums made ascending inside their contexts, where rounding of 1e-16 breaks that."""
    inner = np.arange(len(cumulative)) > first
    while True:
        falls = np.flatnonzero(inner[1:] & (cumulative[1:] < cumulative[:-1])) + 1
        if not len(falls):
            return cumulative
        cumulative[falls] = cumulative[falls - 1]
