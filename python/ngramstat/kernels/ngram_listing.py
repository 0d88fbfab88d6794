"""N-grams with their counts, in lexicographic order, from sorted suffixes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat._core import Documents
from ngramstat.kernels.suffixes import Steps, SuffixCost
from ngramstat.kernels.tokens import Tokens, check_tokens, position_bytes

__all__ = ["MAX_NGRAM", "ListedNgrams", "NgramFacts", "NgramSweep", "NgramUnits"]

# Longest n-grams, in tokens.
MAX_NGRAM = _core.MAX_DEPTH

NgramUnits = Literal["stream", "documents", "content"]

# Fraction of a block, with the most frequent second tokens, that is copied while it is sorted.
_MOVED_FRACTION = 0.25
# A table exists twice while it is put together, once with room to grow.
_COPIES = 3


@dataclass(frozen=True)
class NgramFacts:
    """What is counted of each n-gram besides its occurrences.

    Attributes
    ----------
    followers, predecessors : bool
        Distinct tokens directly after it and directly before it, in its unit.
    documents : bool
        Distinct documents in which it begins.
    """

    followers: bool = False
    predecessors: bool = False
    documents: bool = False

    @property
    def number(self) -> int:
        """How many of them are counted."""
        return self.followers + self.predecessors + self.documents


@dataclass(frozen=True)
class ListedNgrams:
    """N-grams of one order in lexicographic order.

    Attributes
    ----------
    tokens : (k, n) of the corpus's dtype
        Each position of the n-grams is contiguous in memory.
    counts : (k,) int64
    followers, predecessors, documents : (k,) int64 or None
        None where they were not asked for.
    """

    tokens: Tokens
    counts: NDArray[np.int64]
    followers: NDArray[np.int64] | None
    predecessors: NDArray[np.int64] | None
    documents: NDArray[np.int64] | None


def _check_orders(orders: Sequence[int], largest: int) -> None:
    if not orders or not all(
        a < b for a, b in zip([0, *orders], [*orders, largest + 1], strict=True)
    ):
        raise ValueError(f"orders {list(orders)}: must ascend from 1 or more to at most {largest}")


class NgramSweep:
    """Iterates over ranges of first tokens: one `ListedNgrams` per order for each.

    Those of one order, one after the other, are all its n-grams in lexicographic order. A step
    takes seconds, so that the caller can show progress and be interrupted.

    Parameters
    ----------
    tokens : (n,) uint16 or uint32
    vocab_size : int
    orders : sequence of int
        Tokens of the n-grams, ascending and distinct, 1 .. MAX_NGRAM (one less with followers).
    min_count : int
        N-grams that occur less often are left out. The attribute may be raised between steps.
    documents : Documents, optional
        By default the whole stream is one document.
    units : str
        What n-grams stay inside of: the ``stream``, ``documents`` with their separators, or the
        ``content`` of documents.
    facts : NgramFacts
    threads : int
    memory_limit : int, optional
        Bytes that a step may allocate; it always takes what the most frequent first token needs.
    progress : object with ``advance(tokens)``, optional

    Raises
    ------
    IndexError
        A token is not below vocab_size.
    ValueError
        For orders outside these limits, or documents that do not cover the stream.
    """

    def __init__(
        self,
        tokens: Tokens,
        vocab_size: int,
        *,
        orders: Sequence[int],
        min_count: int = 1,
        documents: Documents | None = None,
        units: NgramUnits = "stream",
        facts: NgramFacts = NgramFacts(),
        threads: int = 1,
        memory_limit: int | None = None,
        progress: Any = None,
    ) -> None:
        check_tokens(tokens)
        _check_orders(orders, MAX_NGRAM - facts.followers)
        self.min_count = min_count
        self._tokens, self._vocab_size = tokens, vocab_size
        self._orders = list(orders)
        self._documents = Documents.single(len(tokens)) if documents is None else documents
        self._units, self._facts = units, facts
        self._threads, self.memory_limit = threads, memory_limit
        self._progress = progress

    @property
    def cost(self) -> SuffixCost:
        """Memory of a step, with that of its tables."""
        depth = self._orders[-1] + self._facts.followers
        entry, reads_tokens = _core.suffix_packing(self._vocab_size, depth)
        with_positions = self._facts.number > 0 or reads_tokens or self._leaves_units
        moved = entry + (position_bytes(len(self._tokens)) if with_positions else 0)
        members = 4 * (self._facts.predecessors + self._facts.documents) + self._leaves_units
        common_prefix = 1
        block = moved + common_prefix + members + math.ceil(_MOVED_FRACTION * moved)
        return SuffixCost(entry + self._table_bytes, block, reads_tokens)

    @property
    def reads_text(self) -> bool:
        """Whether the tokens are read at random, so that they should stay in memory."""
        return self.cost.reads_text or self._facts.predecessors

    @property
    def _leaves_units(self) -> bool:
        several = len(self._orders) > 1 or self._facts.followers
        return several and self._units != "stream"

    @property
    def _table_bytes(self) -> int:
        """Bytes of the tables per position, at most: one n-gram for `min_count` positions."""
        row = sum(
            order * self._tokens.itemsize + 8 * (1 + self._facts.number) for order in self._orders
        )
        return math.ceil(_COPIES * row / self.min_count)

    @property
    def _worker_bytes(self) -> int:
        """Bytes of each worker beside the blocks it sorts."""
        labels = self._facts.predecessors * self._vocab_size
        return 4 * (labels + self._facts.documents * len(self._documents))

    def __iter__(self) -> Iterator[list[ListedNgrams]]:
        limit = self.memory_limit
        if limit is not None:
            limit = max(limit - self._threads * self._worker_bytes, 1)
        steps = Steps(self._tokens, self._vocab_size, self._threads, limit, self.cost)
        for first, last, size in steps:
            options = _core.NgramTableOptions(
                orders=self._orders,
                min_count=self.min_count,
                units=self._units,
                followers=self._facts.followers,
                predecessors=self._facts.predecessors,
                documents=self._facts.documents,
            )
            tables = _core.list_ngrams(
                self._tokens, self._vocab_size, options, self._documents, first, last, self._threads
            )
            yield [self._listed(*table) for table in tables]
            del tables
            if self._progress is not None:
                self._progress.advance(size)

    def _listed(
        self,
        columns: Tokens,
        counts: NDArray[np.int64],
        followers: NDArray[np.int64],
        predecessors: NDArray[np.int64],
        documents: NDArray[np.int64],
    ) -> ListedNgrams:
        facts = self._facts
        return ListedNgrams(
            columns.T,
            counts,
            followers if facts.followers else None,
            predecessors if facts.predecessors else None,
            documents if facts.documents else None,
        )
