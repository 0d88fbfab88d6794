"""N-gram models in back-off form: trained, and scored, as tries that extend into the past.

The layout of a trie is that of `ngramstat.ngram_models.trie`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat.kernels.suffixes import Steps, suffix_cost
from ngramstat.kernels.tokens import Tokens, check_tokens

__all__ = [
    "LEAF",
    "NODE",
    "BackoffScorer",
    "KneserNeyTrainer",
    "make_guides",
    "remove_pruned_ngrams",
]

# The link holds the entry's first child in the next level, above the bits of vocab_size with its
# oldest token.
NODE = np.dtype([("link", "<u8"), ("log_prob", "<f4"), ("log_backoff", "<f4")])
# Of the highest level, unless it is the first.
LEAF = np.dtype([("token", "<u4"), ("log_prob", "<f4")])

Levels = Sequence[NDArray[np.void]]


def _words(levels: Levels) -> list[NDArray[np.uint64]]:
    return [level.view(np.uint64).reshape(-1) for level in levels]


class BackoffScorer:
    """Log probabilities of a model whose trie is given.

    Parameters
    ----------
    vocab_size : int
        V, tokens that have a probability.
    symbols : int
        V, or V + 1 where V is a stop token that is never predicted.
    levels : sequence of arrays
        Of m = 1 .. order, dtype NODE, the last one of two or more LEAF; contiguous.
    guides : sequence of (k,) uint32 arrays
        Of m = 2 .. order, from `make_guides`; none make it slower.
    stop_token : int, optional
        Contexts reach back to this token and no further.
    """

    def __init__(
        self,
        vocab_size: int,
        symbols: int,
        levels: Levels,
        guides: Sequence[NDArray[np.uint32]],
        stop_token: int | None,
    ) -> None:
        self._trie = _core.NgramTrie(vocab_size, symbols, _words(levels), list(guides))
        self._stop = -1 if stop_token is None else stop_token

    def log_probs(
        self, tokens: Tokens, *, all_contexts: bool = False, threads: int = 1
    ) -> NDArray[np.float64]:
        """ln p of every token given those before it, (n,).

        With `all_contexts` (n, order): given at most 0 .. order - 1 tokens.

        Raises
        ------
        IndexError
            A token is no symbol.
        """
        check_tokens(tokens)
        scores: Any = self._trie.scores16 if tokens.dtype == np.uint16 else self._trie.scores32
        result: NDArray[np.float64] = scores(tokens, self._stop, all_contexts, threads)
        return result

    def next_log_probs(
        self, tokens: NDArray[np.int64], ends: NDArray[np.int64], *, threads: int = 1
    ) -> NDArray[np.float64]:
        """ln p of all V tokens after each of k contexts, (k, V).

        Context c is tokens[ends[c - 1] : ends[c]], its newest token last.

        Raises
        ------
        IndexError
            A token is no symbol.
        """
        return self._trie.next_scores(tokens, ends, self._stop, threads)


class KneserNeyTrainer:
    """All n-grams of a token stream, and their interpolated modified Kneser-Ney probabilities.

    `count` first, then `store`, then `estimate`.

    Parameters
    ----------
    tokens : (n,) uint16 or uint32
    vocab_size : int
        V. The id V itself may stand for a stop token that is never predicted.
    order : int
        1 .. 16.
    stop_token : int, optional
        Contexts extend back to this token and no further.
    first_event : int
        Tokens before it only serve as context.
    min_counts : (order,) integers
        N-grams with smaller counts are to be removed in the end; ascending, the first is 1.
    threads, memory_limit, progress
        `progress.advance(n)` is called with n = 3 times the number of tokens in all.
    """

    def __init__(
        self,
        tokens: Tokens,
        vocab_size: int,
        *,
        order: int,
        stop_token: int | None,
        first_event: int,
        min_counts: NDArray[np.uint64],
        threads: int = 1,
    ) -> None:
        check_tokens(tokens)
        trainer: Any = _core.NgramTrainer16 if tokens.dtype == np.uint16 else _core.NgramTrainer32
        self._stop = -1 if stop_token is None else stop_token
        self._trainer = trainer(tokens, first_event, vocab_size, order, self._stop)
        self._tokens = tokens
        self.vocab_size = vocab_size
        self._order = order
        self._first_event = first_event
        self._min_counts = np.ascontiguousarray(min_counts, np.uint64)
        self._threads = threads
        # Tokens that are predicted; known once they are counted.
        self.n_events = 0
        self._steps: list[tuple[int, int, int, NDArray[np.int64]]] = []

    @property
    def symbols(self) -> int:
        """Number of ids that occur in a stream: a stop token may be one more than V."""
        return self.vocab_size + (self._stop == self.vocab_size)

    @property
    def random_bytes(self) -> int:
        """Size of the tokens, if they are read at random."""
        cost = suffix_cost(len(self._tokens), self.symbols, self._order)
        return self._tokens.nbytes if cost.reads_text else 0

    def count(
        self, memory_limit: int | None = None, progress: Any = None
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Numbers of n-grams per order with counts 1, 2, 3, 4, and of all distinct ones.

        Returns (raw, continuation): raw is (order, 5); continuation, for the continuation counts of
        the lower orders, (order - 1, 5).

        Raises
        ------
        IndexError
            A token is no symbol.
        """
        raw = np.zeros((self._order, 5), np.uint64)
        continuation = np.zeros((self._order - 1, 5), np.uint64)
        cost = suffix_cost(len(self._tokens), self.symbols, self._order)
        steps = Steps(self._tokens, self.symbols, self._threads, memory_limit, cost)
        self.n_events = int(steps.occurrences[: self.vocab_size].sum())
        self.n_events -= int((self._tokens[: self._first_event] < self.vocab_size).sum())
        self._steps = []
        for first, last, size in steps:
            events = min(last, self.vocab_size)
            if first < events:
                more, more_continuation, blocks = self._trainer.count(first, events, self._threads)
                raw += more
                continuation += more_continuation
                self._steps.append((first, events, size, blocks))
            if progress is not None:
                progress.advance(size)
        return raw, continuation

    def level_sizes(self) -> list[int]:
        """Entries that the levels need, with those at their ends."""
        sizes = sum(
            (blocks.sum(axis=0) for *_, blocks in self._steps), np.zeros(self._order, np.int64)
        ).tolist()
        nodes = [size + 1 for size in sizes[1:-1]]
        return [self.symbols + 1, *nodes, *sizes[-1:]][: self._order]

    def train(self, levels: Levels, discounts: NDArray[np.float64], progress: Any = None) -> None:
        """Fill the levels, whose sizes are `level_sizes`.

        discounts (order, 3) are D1, D2, D3+ of every order.
        """
        counts = np.zeros(self.symbols, np.uint64)
        trie = _core.MutableNgramTrie(self.vocab_size, self.symbols, _words(levels))
        for first, last, size, starts, ends in self._places():
            self._trainer.store(
                trie, (first, last), starts, ends, counts, self._min_counts, self._threads
            )
            if progress is not None:
                progress.advance(size)
        estimator = _core.KneserNeyEstimator(
            trie, counts, np.ascontiguousarray(discounts, np.float64), self._min_counts
        )
        done = 0
        for first, last, size, _ in self._steps:
            estimator.estimate(first, last, self._threads)
            done = last
            if progress is not None:
                progress.advance(size)
        estimator.estimate(done, self.symbols, self._threads)

    def _places(
        self,
    ) -> Iterator[tuple[int, int, int, NDArray[np.int64], NDArray[np.int64]]]:
        """The steps, and where each block's entries of each level begin and end."""
        before = np.zeros(self._order, np.int64)
        for first, last, size, blocks in self._steps:
            ends = before + np.cumsum(blocks, axis=0)
            before = ends[-1] if len(ends) else before
            yield first, last, size, ends - blocks, ends


def remove_pruned_ngrams(vocab_size: int, symbols: int, levels: Levels) -> list[int]:
    """Remove what training has marked, in place; returns the entries that are left in each level.

    As in `KneserNeyTrainer.level_sizes`, with those at the ends.
    """
    sizes = _core.MutableNgramTrie(vocab_size, symbols, _words(levels)).remove_pruned()
    return [size + (level.dtype == NODE) for size, level in zip(sizes, levels, strict=True)]


def make_guides(
    vocab_size: int, symbols: int, levels: Levels, *, threads: int = 1
) -> tuple[NDArray[np.uint32], ...]:
    """What narrows the search among many siblings: of levels 2 .. order, a byte per entry."""
    trie = _core.NgramTrie(vocab_size, symbols, _words(levels), [])
    return tuple(trie.guide(m, threads) for m in range(2, len(levels) + 1))
