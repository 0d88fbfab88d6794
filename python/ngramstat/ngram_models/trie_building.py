"""The trie of n-grams that are given as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.ngram_models.trie import LEAF, MAX_ORDER, NODE, Batch, NgramTrie

__all__ = ["build_trie"]

Floats = NDArray[np.float64]


@dataclass
class _Table:
    """N-grams of one order, in the order of their trie level.

    rows : (k, m), the last token first
    log_probs, log_backoffs : (k,); a log_prob is NaN where backing off gives it
    """

    rows: NDArray[np.int64]
    log_probs: Floats
    log_backoffs: Floats


def build_trie(
    vocab_size: int, symbols: int, tables: Sequence[Iterable[Batch]], unknown_log_prob: float
) -> NgramTrie:
    """A trie of the n-grams in tables, see `BackoffModel.from_tables`."""
    order = len(tables)
    if not 1 <= order <= MAX_ORDER:
        raise InputError(f"tables: are of {order} orders; 1 to {MAX_ORDER} are possible")
    found = [_collect(m, batches, symbols) for m, batches in enumerate(tables, start=1)]
    for m in range(order, 2, -1):
        _add_suffixes(found[m - 1], found[m - 2])
    first = np.zeros(symbols + (order > 0), NODE)
    first["log_prob"][:symbols] = unknown_log_prob
    first["log_prob"][vocab_size:symbols] = -np.inf
    first["link"][:symbols] = np.arange(symbols)
    tokens = found[0].rows[:, 0]
    first["log_prob"][tokens] = found[0].log_probs
    first["log_backoff"][tokens] = found[0].log_backoffs
    trie = NgramTrie(vocab_size, symbols, (first,))
    for m in range(2, order + 1):
        trie = _with_level(trie, found[m - 1], m == order)
    return trie


def _collect(m: int, batches: Iterable[Batch], symbols: int) -> _Table:
    parts = list(batches)
    rows = np.concatenate([np.zeros((0, m), np.int64), *(np.asarray(p[0]) for p in parts)])
    if rows.size and not 0 <= rows.min() <= rows.max() < symbols:
        raise InputError(f"an n-gram of order {m} holds an id outside 0 to {symbols - 1}")
    log_probs = np.concatenate([np.zeros(0), *(p[1] for p in parts)])
    log_backoffs = np.concatenate(
        [np.zeros(0), *(np.zeros(len(p[1])) if p[2] is None else p[2] for p in parts)]
    )
    if np.isnan(log_probs).any() or np.isnan(log_backoffs).any() or (log_probs > 0).any():
        raise InputError(f"an n-gram of order {m} has no valid log probability or back-off weight")
    return _sorted(_Table(rows[:, ::-1], log_probs, log_backoffs), m)


def _sorted(table: _Table, m: int) -> _Table:
    """In the order of the trie; of equal rows the first, which may not be the same as a given."""
    order = np.lexsort(table.rows.T[::-1])
    rows, log_probs = table.rows[order], table.log_probs[order]
    same = np.append(False, (rows[1:] == rows[:-1]).all(axis=1))
    if (same & ~np.isnan(log_probs)).any():
        row = rows[np.flatnonzero(same & ~np.isnan(log_probs))[0]][::-1]
        raise InputError(f"the n-gram {row.tolist()} occurs twice")
    return _Table(rows[~same], log_probs[~same], table.log_backoffs[order][~same])


def _add_suffixes(table: _Table, shorter: _Table) -> None:
    """Add the n-grams without their oldest token to those of the order below."""
    rows = table.rows[:, :-1]
    new = np.append(True, (rows[1:] != rows[:-1]).any(axis=1))[: len(rows)]
    rows = rows[new]
    merged = _sorted(
        _Table(
            np.concatenate([shorter.rows, rows]),
            np.concatenate([shorter.log_probs, np.full(len(rows), np.nan)]),
            np.concatenate([shorter.log_backoffs, np.zeros(len(rows))]),
        ),
        rows.shape[1],
    )
    shorter.rows, shorter.log_probs = merged.rows, merged.log_probs
    shorter.log_backoffs = merged.log_backoffs


def _find(trie: NgramTrie, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The entries of n-grams, last token first; -1 where the trie has none."""
    entries = rows[:, 0].copy()
    for j in range(1, rows.shape[1]):
        entries = trie.find(j, entries, rows[:, j])
    return entries


def _with_level(trie: NgramTrie, table: _Table, is_last: bool) -> NgramTrie:
    m, rows = trie.order + 1, table.rows
    parents = _find(trie, rows[:, :-1])
    above = trie.levels[-1]
    blank = np.isnan(table.log_probs)
    if blank.any():
        contexts = _find(trie, rows[blank, 1:])
        backoffs = np.where(contexts >= 0, above["log_backoff"][np.maximum(contexts, 0)], 0.0)
        table.log_probs[blank] = above["log_prob"][parents[blank]] + backoffs
    children = np.zeros(len(above), np.uint64)
    children[1:] = np.cumsum(np.bincount(parents, minlength=len(above) - 1))
    bits = np.uint64(trie.token_bits)
    mask = np.uint64((1 << trie.token_bits) - 1)
    above["link"] = children << bits | above["link"] & mask
    level: NDArray[Any]
    if is_last:
        level = np.zeros(len(rows), LEAF)
        level["token"] = rows[:, -1]
    else:
        level = np.zeros(len(rows) + 1, NODE)
        level["link"][:-1] = rows[:, -1]
        level["log_backoff"][:-1] = table.log_backoffs
    level["log_prob"][: len(rows)] = table.log_probs
    assert m == rows.shape[1]
    return NgramTrie(trie.vocab_size, trie.symbols, (*trie.levels, level))
