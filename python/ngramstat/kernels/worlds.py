"""Samplers of the synthetic worlds: trees of rules, finite-state sources and n-gram models.

Token i of a key is the same in whatever pieces and on however many threads the tokens are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core

__all__ = [
    "NgramTables",
    "RuleLevel",
    "StateTables",
    "sample_ngrams",
    "sample_paths",
    "sample_trees",
]

_TOKEN_TYPES = (np.dtype(np.uint16), np.dtype(np.uint32))


@dataclass(frozen=True)
class RuleLevel:
    """Arrays of one level of a tree of rules.

    Attributes
    ----------
    threshold : (n_rules,) uint64
    alias : (n_rules,) uint32
        Alias table of the rule numbers: column c is taken with probability threshold[c] / 2^64,
        otherwise alias[c].
    children : (n_parents, n_rules, branching) or (n_parents, n_rules) uint32
        Symbols that a rule makes of a parent. In the second form a rule makes one symbol, and a
        rule is drawn for every child.
    """

    threshold: NDArray[np.uint64]
    alias: NDArray[np.uint32]
    children: NDArray[np.uint32]


@dataclass(frozen=True)
class StateTables:
    """Arrays of a finite-state source, in which the state alone determines what can come next.

    Attributes
    ----------
    offsets : (n_states + 1,) int64
        State s draws one of the outcomes offsets[s] .. offsets[s + 1] - 1.
    threshold, alias : (n_outcomes,) uint64, uint32
        Alias tables of the states, one after the other; aliases count within a state.
    token, next : (n_outcomes,) uint32
        The token that an outcome emits, and the state that it leads to.
    """

    offsets: NDArray[np.int64]
    threshold: NDArray[np.uint64]
    alias: NDArray[np.uint32]
    token: NDArray[np.uint32]
    next: NDArray[np.uint32]


@dataclass(frozen=True)
class NgramTables:
    """Arrays of an interpolated n-gram model, whose states are contexts; state 0 is the empty one.

    Attributes
    ----------
    first : (n_states + 1,) int64
        Outcomes of state s are first[s] .. first[s + 1] - 1, its tokens ascending. Outcome w of
        state 0 is token w, for every token.
    cumulative : (n_outcomes,) uint64
        Probability times 2^64 that the state draws this outcome or one before it. Otherwise it
        leaves the token to its suffix; state 0 draws it uniformly.
    token, next : (n_outcomes,) uint32
        The token, and the longest context with a state that ends with it.
    suffix : (n_states,) uint32
        State of the context without its oldest token; below the state, except for state 0.
    first_full : int
        States from this one on have the longest contexts of all.
    vocab_size : int
        V.
    never : int or None
        A token that is never drawn.
    words : int
        Random words per token: the most states in a row of suffixes, plus one.
    """

    first: NDArray[np.int64]
    cumulative: NDArray[np.uint64]
    token: NDArray[np.uint32]
    next: NDArray[np.uint32]
    suffix: NDArray[np.uint32]
    first_full: int
    vocab_size: int
    never: int | None
    words: int


def sample_trees(
    levels: Sequence[RuleLevel],
    branching: int,
    n_tokens: int,
    key: int,
    first_token: int,
    out: NDArray[Any],
    *,
    threads: int = 1,
) -> None:
    """Fill `out` with consecutive tokens of the row of strings.

    Parameters
    ----------
    levels : sequence of RuleLevel
        The root's level first; all with children of the same form.
    branching : int
        Children per node; a string has branching^len(levels) tokens.
    n_tokens : int
        Symbols of the last level, the vocabulary size.
    key : int
        Key of the random words, 0 .. 2^64 - 1.
    first_token : int
        Position in the row of strings of the first token to draw.
    out : (n,) uint16 or uint32
        Receives the tokens.
    threads : int

    Raises
    ------
    ValueError
        The levels do not fit together, or `out` has another form.
    """
    _check_out(out)
    if not levels:
        raise ValueError("levels: needs at least one")
    n_dimensions = levels[0].children.ndim
    if n_dimensions not in (2, 3) or any(x.children.ndim != n_dimensions for x in levels):
        raise ValueError("children: needs two dimensions on all levels, or three on all levels")
    arrays = [
        (
            level.children.shape[0],
            level.threshold,
            level.alias,
            np.ascontiguousarray(level.children, np.uint32).reshape(-1),
        )
        for level in levels
    ]
    by_child = n_dimensions == 2
    _core.sample_trees(arrays, branching, by_child, n_tokens, key, first_token, out, threads)


def sample_paths(
    tables: StateTables,
    key: int,
    first_word: int,
    states: NDArray[np.uint32],
    out: NDArray[Any],
    *,
    threads: int = 1,
) -> None:
    """Fill `out` with paths of equal length of a finite-state source.

    Parameters
    ----------
    tables : StateTables
    key : int
        Key of the random words, 0 .. 2^64 - 1.
    first_word : int
        Number of the first random word to use; every token uses one.
    states : (n_paths,) uint32
        States in which the paths start; overwritten with those in which they end.
    out : (n_paths * length,) uint16 or uint32
        Receives the tokens, one path after the other.
    threads : int

    Raises
    ------
    ValueError
        The tables do not fit together, a path starts in a state that does not exist, or `out` does
        not hold the same number of tokens for every path.
    """
    _check_out(out)
    _core.sample_paths(
        tables.offsets,
        tables.threshold,
        tables.alias,
        tables.token,
        tables.next,
        key,
        first_word,
        states,
        len(out) // max(len(states), 1),
        out,
        threads,
    )


def sample_ngrams(
    tables: NgramTables,
    key: int,
    first_token: int,
    start: int,
    ends: NDArray[np.int64],
    out: NDArray[Any],
    *,
    threads: int = 1,
) -> None:
    """Fill `out` with documents of an n-gram model, one after the other.

    Parameters
    ----------
    tables : NgramTables
    key : int
        Key of the random words, 0 .. 2^64 - 1.
    first_token : int
        Token i is drawn with the words (first_token + i) * tables.words and the following ones.
    start : int
        State in which every document begins.
    ends : (n_documents,) int64
        Where each document ends in `out`, ascending; the last one is its length.
    out : (n,) uint16 or uint32
        Receives the tokens.
    threads : int

    Raises
    ------
    ValueError
        The tables do not fit together, or the documents do not fill `out`.
    """
    _check_out(out)
    arrays = (
        tables.first,
        tables.cumulative,
        tables.token,
        tables.next,
        tables.suffix,
        tables.words,
    )
    _core.sample_ngrams(
        arrays,
        tables.first_full,
        tables.vocab_size,
        -1 if tables.never is None else tables.never,
        key,
        first_token,
        start,
        ends,
        out,
        threads,
    )


def _check_out(out: NDArray[Any]) -> None:
    if out.ndim != 1 or out.dtype not in _TOKEN_TYPES or not out.flags.c_contiguous:
        raise ValueError("out: needs a contiguous one-dimensional array of uint16 or uint32")
