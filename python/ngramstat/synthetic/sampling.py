"""Sources that the native samplers draw from: trees of rules and finite-state sources.

All randomness comes from a counter-based stream of words (SplitMix64). Token i of a seed is
therefore the same whatever part of the corpus is drawn, in pieces of any size, on any number of
threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.errors import InputError
from ngramstat.kernels.worlds import RuleLevel, StateTables, sample_paths, sample_trees

__all__ = [
    "PIECE",
    "AliasTable",
    "StateSource",
    "TreeLevel",
    "TreeSource",
    "alias_columns",
    "check_probabilities",
    "check_seed",
    "document_pieces",
    "random_generator",
    "random_key",
    "random_words",
    "state_source",
]

Floats = NDArray[np.float64]
Tokens = NDArray[Any]

# Tokens drawn at a time: a few MB, and a fraction of a second.
PIECE = 1 << 22

_MASK = (1 << 64) - 1
# The sum of a distribution may differ from 1 by this: rounding, and no more.
_SUM_TOLERANCE = 1e-9


def random_key(seed: int, stream: int = 0) -> int:
    """Key of the random words of a seed; different streams of one seed are independent."""
    check_seed(seed)
    key = 0
    for number in (seed, stream):
        while True:  # seeds of any size are read 64 bits at a time
            key = (key + (number & _MASK) + 1) * 0x9E3779B97F4A7C15 & _MASK
            key = (key ^ key >> 32) * 0xD6E8FEB86659FD93 & _MASK
            key ^= key >> 32
            number >>= 64
            if number == 0:
                break
    return key


def random_words(key: int, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The random words of these numbers, as the native samplers make them (SplitMix64)."""
    with np.errstate(over="ignore"):
        z = np.uint64(key) + (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        words: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return words


def random_generator(seed: int, *stream: int, name: str = "seed") -> np.random.Generator:
    """NumPy's generator for a stream of a seed, for everything that is drawn in Python.

    Raises
    ------
    InputError
        The seed, which is the parameter called `name`, is negative.
    """
    check_seed(seed, name)
    return np.random.default_rng([seed, *stream])


def check_seed(seed: int, name: str = "seed") -> None:
    """Refuse a negative seed."""
    # NumPy refuses negative seeds only when it draws, and the loop in random_key would not end.
    if seed < 0:
        raise InputError(f"{name}={seed}: seeds cannot be negative; use 0 or more")


def check_probabilities(p: ArrayLike, name: str) -> Floats:
    """`p` as float64, scaled to sum to one up to rounding.

    Raises
    ------
    InputError
        Something is negative or not finite, or the last axis does not sum to one.
    """
    try:
        values = np.asarray(p, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: not a rectangular array of numbers") from error
    if values.ndim == 0 or values.shape[-1] == 0:
        raise InputError(f"{name}: needs at least one probability")
    if not np.all(np.isfinite(values)) or np.any(values < 0):
        raise InputError(f"{name}: probabilities must be finite and not negative")
    sums = values.sum(axis=-1, keepdims=True)
    deviation = np.abs(sums - 1)
    if deviation.max() > _SUM_TOLERANCE:
        worst = float(sums.reshape(-1)[deviation.argmax()])
        raise InputError(f"{name}: probabilities sum to {worst:.10g}, not 1")
    scaled: Floats = values / sums
    return scaled


@dataclass(frozen=True)
class AliasTable:
    """Walker's alias method for one discrete distribution.

    Attributes
    ----------
    threshold : (k,) uint64
        Column c is taken with probability threshold[c] / 2^64.
    alias : (k,) uint32
        Column taken otherwise.
    """

    threshold: NDArray[np.uint64]
    alias: NDArray[np.uint32]

    @classmethod
    def uniform(cls, size: int) -> AliasTable:
        """Every column with the same probability."""
        return cls(np.full(size, _MASK, np.uint64), np.arange(size, dtype=np.uint32))

    @classmethod
    def of(cls, p: Floats) -> AliasTable:
        """The table of probabilities that sum to one (Vose 1991)."""
        size = len(p)
        if np.all(p == p[0]):
            return cls.uniform(size)
        scaled = (p * size).tolist()
        threshold = [_MASK] * size
        alias = list(range(size))
        small = [c for c in range(size) if scaled[c] < 1.0]
        large = [c for c in range(size) if scaled[c] >= 1.0]
        while small and large:
            low, high = small.pop(), large[-1]
            threshold[low] = min(int(scaled[low] * 2.0**64), _MASK)
            alias[low] = high
            scaled[high] -= 1.0 - scaled[low]
            if scaled[high] < 1.0:
                small.append(large.pop())
        # The columns that are left have probability one up to rounding and keep the full threshold.
        return cls(np.array(threshold, np.uint64), np.array(alias, np.uint32))


def alias_columns(p: Floats, first: NDArray[Any]) -> AliasTable:
    """The tables of many distributions at once, one after the other.

    Parameters
    ----------
    p : (n,) float64
        Positive probabilities; those of distribution i are p[first[i]:first[i + 1]] and sum to one.
    first : (k + 1,) int
        Ascending: no distribution is empty.

    Returns
    -------
    AliasTable
        Of (n,) columns; `alias` counts from the first column of each distribution.
    """
    first = np.asarray(first, np.int64)
    sizes = np.diff(first)
    row = np.repeat(np.arange(len(sizes)), sizes)
    scaled = p * sizes[row]
    # Within every row, columns below one before the others: `order` lists them by row.
    order = np.lexsort((scaled >= 1.0, row))
    threshold = np.full(len(p), _MASK, np.uint64)
    alias = np.arange(len(p)) - first[row]
    # One sweep over the columns of all rows side by side (Vose's, without stacks): each step
    # finishes a column that is below one, with the row's current large column as its alias.
    # `low` and `high` are places in `order`, `weight` is what is left of the column at `high`.
    low = first[:-1].copy()
    high = low + np.bincount(row[scaled < 1.0], minlength=len(sizes))
    middle, end = high.copy(), first[1:]
    active = np.flatnonzero((low < middle) & (high < end))
    weight = np.zeros(len(sizes))
    weight[active] = scaled[order[high[active]]]
    while len(active):
        large = order[high[active]]
        below = weight[active] < 1.0
        # A large column that has given most of itself away is finished with the next large one.
        spent, lesser = active[below], active[~below]
        high[spent] += 1
        spent, column = spent[high[spent] < end[spent]], large[below][high[spent] < end[spent]]
        following = order[high[spent]]
        _finish(threshold, alias, column, weight[spent], following - first[spent])
        weight[spent] += scaled[following] - 1.0
        column = order[low[lesser]]
        _finish(threshold, alias, column, scaled[column], large[~below] - first[lesser])
        weight[lesser] += scaled[column] - 1.0
        low[lesser] += 1
        pending = (low[active] < middle[active]) | (weight[active] < 1.0)
        active = active[pending & (high[active] < end[active])]
    return AliasTable(threshold, alias.astype(np.uint32))


def _finish(
    threshold: NDArray[np.uint64],
    alias: NDArray[np.int64],
    column: NDArray[np.int64],
    kept: Floats,
    other: NDArray[np.int64],
) -> None:
    """Columns that are taken with probability `kept`, and `other` otherwise."""
    threshold[column] = (np.clip(kept, 0.0, 1.0 - 2.0**-53) * 2.0**64).astype(np.uint64)
    alias[column] = other


@dataclass(frozen=True)
class TreeLevel:
    """How the symbols of one level produce those of the level below.

    Attributes
    ----------
    rules : AliasTable
        Draws the number of the rule.
    children : (n_parents, rules, branching) or (n_parents, rules) uint32
        Symbols that the rules produce. In the second form a rule produces one symbol, and a rule
        is drawn for every child independently.
    """

    rules: AliasTable
    children: NDArray[np.uint32]


@dataclass(frozen=True)
class TreeSource:
    """Independent strings of branching^levels tokens, one after the other.

    Attributes
    ----------
    levels : sequence of TreeLevel
        The root's level first; the roots' symbols are uniform.
    branching : int
        Children per node.
    n_tokens : int
        Number of leaf symbols, the vocabulary size.
    """

    levels: Sequence[TreeLevel]
    branching: int
    n_tokens: int

    def sample(self, key: int, first: int, out: Tokens, threads: int = 1) -> None:
        """Fill `out` (uint16 or uint32) with tokens `first`, `first` + 1, ... of all strings."""
        levels = [
            RuleLevel(level.rules.threshold, level.rules.alias, level.children)
            for level in self.levels
        ]
        sample_trees(levels, self.branching, self.n_tokens, key, first, out, threads=threads)

    def roots(self, key: int, strings: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Root symbols of the strings of these numbers that `sample` draws with the same key."""
        # A string uses one random word for its root and one for every other node, and the sampler
        # draws the root from the high half of word * roots.
        length = self.branching ** len(self.levels)
        words = np.uint64(1 + (length - 1) // (self.branching - 1))
        z, n = random_words(key, strings * words), np.uint64(len(self.levels[0].children))
        # (z * n) >> 64 in halves, n < 2^32.
        low = (z & np.uint64(0xFFFFFFFF)) * n >> np.uint64(32)
        roots: NDArray[np.uint64] = ((z >> np.uint64(32)) * n + low) >> np.uint64(32)
        return roots


class StateSource(StateTables):
    """A finite-state source."""

    def sample(
        self,
        key: int,
        first: int,
        states: NDArray[np.uint32],
        out: Tokens,
        threads: int = 1,
    ) -> None:
        """Fill `out` (uint16 or uint32) with paths of equal length that start in `states`.

        `states` is overwritten with the states in which the paths end. Random words are used from
        number `first` on.
        """
        sample_paths(self, key, first, states, out, threads=threads)


def document_pieces(
    source: StateSource,
    start: int,
    document_length: int,
    dtype: np.dtype[Any],
    n_tokens: int,
    *,
    seed: int,
    threads: int = 1,
) -> Iterator[Tokens]:
    """Documents that all begin in the state `start`, in pieces of at most about `PIECE` tokens.

    A piece holds several documents, or a part of a long one.
    """
    key = random_key(seed, 1)
    per_piece = PIECE // document_length
    first = 0
    while first < n_tokens:
        if per_piece >= 1:
            documents = min(per_piece, -(-(n_tokens - first) // document_length))
            out = np.empty(documents * document_length, dtype)
            states = np.full(documents, start, np.uint32)
            source.sample(key, first, states, out, threads)
            yield out[: n_tokens - first]
            first += len(out)
            continue
        states = np.full(1, start, np.uint32)
        for done in range(0, min(document_length, n_tokens - first), PIECE):
            out = np.empty(min(PIECE, document_length - done), dtype)
            source.sample(key, first + done, states, out, threads)
            yield out[: n_tokens - first - done]
        first += document_length


def state_source(
    states: Sequence[tuple[Floats, NDArray[Any], NDArray[Any]]],
) -> StateSource:
    """The source whose states have these outcomes: (probabilities, tokens, next states) each."""
    tables = [AliasTable.of(p) for p, _, _ in states]
    return StateSource(
        np.cumsum([0, *(len(p) for p, _, _ in states)]).astype(np.int64),
        np.concatenate([t.threshold for t in tables]),
        np.concatenate([t.alias for t in tables]),
        np.concatenate([np.asarray(t, dtype=np.uint32) for _, t, _ in states]),
        np.concatenate([np.asarray(n, dtype=np.uint32) for _, _, n in states]),
    )
