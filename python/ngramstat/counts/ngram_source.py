"""Where n-grams are counted: which ones, in which units, by which kernel, in how much memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.corpus.contents import document_contents
from ngramstat.counts.ngram_table import NgramTable
from ngramstat.errors import InputError, check_choice
from ngramstat.kernels import (
    MAX_NGRAM,
    Documents,
    NgramFacts,
    NgramSweep,
    NgramUnits,
    fits_hash,
    hashed_ngrams,
)
from ngramstat.runtime.arguments import as_integers, integer_within
from ngramstat.runtime.workspace import Workspace

__all__ = [
    "MethodName",
    "NgramSource",
    "document_units",
    "resolved_method",
    "resolved_orders",
    "unit_documents",
]

MethodName = Literal["auto", "suffixes", "hash"]


def resolved_orders(n: Any, facts: NgramFacts) -> tuple[int, ...]:
    """The orders as ascending integers.

    Raises
    ------
    InputError
        One is not an integer, outside 1 .. 255 (254 with followers), or given twice.
    """
    largest = MAX_NGRAM - facts.followers
    orders = sorted(integer_within("n", order, 1, largest) for order in as_integers("n", n))
    if not orders:
        raise InputError("n: needs a number of tokens, or several")
    if len(set(orders)) < len(orders):
        raise InputError(f"n={orders}: each may be given once")
    return tuple(orders)


def document_units(corpus: Corpus, boundary: Boundary) -> NgramUnits:
    """What n-grams stay inside of with this boundary.

    Raises
    ------
    InputError
        They are to stay inside documents, and the corpus has none.
    """
    if boundary.across:
        return "stream"
    corpus.require_documents()
    return "documents"


def unit_documents(corpus: Corpus) -> Documents:
    """The documents of a corpus and their content without separators; or the stream as one."""
    if corpus.document_ends is None:
        return Documents.single(corpus.n_tokens)
    content_starts, content_ends = document_contents(corpus)
    return Documents(
        np.asarray(corpus.document_ends, np.int64),
        content_starts=content_starts,
        content_ends=content_ends,
    )


def resolved_method(source: NgramSource) -> MethodName:
    """``suffixes`` or ``hash``; both give the same n-grams.

    Raises
    ------
    InputError
        It is neither nor ``auto``, or hashing cannot do what is asked for.
    """
    check_choice("method", source.method, ("auto", "suffixes", "hash"))
    if source.method == "suffixes":
        return "suffixes"
    longest = source.orders[-1]
    if source.facts.number or source.units == "content":
        reason = "counts occurrences alone; leave out followers, predecessors and documents"
    elif not fits_hash(source.corpus.vocab_size, longest):
        reason = f"packs n-grams into 16 bytes, and {longest} tokens do not fit; use a smaller -n"
    else:
        if source.method == "hash":
            return "hash"
        # Hashing is faster wherever it applies, but each order is counted by itself, and what is
        # to be in order has to be sorted: that pays where rare n-grams are left out.
        whole_and_sorted = source.ordered and source.min_count == 1
        return "suffixes" if whole_and_sorted or len(source.orders) > 1 else "hash"
    if source.method == "hash":
        raise InputError(f"method 'hash': {reason}, or --method suffixes")
    return "suffixes"


@dataclass
class NgramSource:
    """The n-grams of a corpus, in batches.

    Attributes
    ----------
    corpus : Corpus
    orders : tuple of int
        Ascending and distinct.
    min_count : int
        May be raised while batches are read, for those to come.
    units : str
        What n-grams stay inside of.
    facts : NgramFacts
    workspace : Workspace
    memory_share : float
        Fraction of the free memory that the kernel may take; the caller keeps the rest.
    method : str
        ``suffixes``: all orders in one sweep over sorted suffixes; ``hash``: one order after the
        other, in tables of packed n-grams; ``auto``: whichever is faster. See `resolved_method`.
    ordered : bool
        Whether the batches of an order have to be in lexicographic order; decides what ``auto`` is.
    """

    corpus: Corpus
    orders: tuple[int, ...]
    min_count: int
    units: NgramUnits
    facts: NgramFacts
    workspace: Workspace = field(default_factory=Workspace)
    memory_share: float = 1.0
    method: MethodName = "auto"
    ordered: bool = True

    def __post_init__(self) -> None:
        resolved_method(self)

    @property
    def hashes(self) -> bool:
        """Whether each order is counted by itself, by hashing."""
        return resolved_method(self) == "hash"

    def batches(self, progress: Any = None) -> Iterator[NgramTable]:
        """Tables whose n-grams are those of the corpus, each of one order.

        Tables of one order are in lexicographic order, one after the other, unless the order
        does not matter.

        Raises
        ------
        InputError
            A token is not below the vocabulary's size, or the files of the corpus change meanwhile.
        """
        with self.corpus.unchanged(), self.workspace.managing(self.corpus.tokens):
            batches = self._hashed if self.hashes else self._listed
            yield from batches(progress)

    def _hashed(self, progress: Any) -> Iterator[NgramTable]:
        corpus = self.corpus
        for order in self.orders:
            batches = hashed_ngrams(
                corpus.tokens,
                corpus.vocab_size,
                order,
                min_count=self.min_count,
                documents=unit_documents(corpus),
                across=self.units == "stream",
                ordered=self.ordered,
                threads=self.workspace.threads,
                memory_limit=self._memory(0),
                progress=progress,
            )
            empty = np.empty((0, order), corpus.dtype)
            yield NgramTable(empty, np.empty(0, np.int64), corpus=corpus)
            while (batch := self._next(batches)) is not None:
                tokens, counts = batch
                # Each position of the n-grams becomes contiguous.
                columns = np.ascontiguousarray(tokens.T)
                yield NgramTable(columns.T, counts.astype(np.int64), corpus=corpus)

    def _listed(self, progress: Any) -> Iterator[NgramTable]:
        corpus = self.corpus
        documents = unit_documents(corpus)
        sweep = NgramSweep(
            corpus.tokens,
            corpus.vocab_size,
            orders=self.orders,
            min_count=self.min_count,
            documents=documents,
            units=self.units,
            facts=self.facts,
            threads=self.workspace.threads,
            progress=progress,
        )
        sweep.memory_limit = self._memory(corpus.tokens.nbytes if sweep.reads_text else 0)
        steps = iter(sweep)
        while (step := self._next(steps)) is not None:
            for listed in step:
                yield NgramTable(
                    listed.tokens,
                    listed.counts,
                    listed.followers,
                    listed.predecessors,
                    listed.documents,
                    corpus,
                )
            del step, listed
            sweep.min_count = self.min_count

    def _memory(self, token_bytes: int) -> int | None:
        budget = self.workspace.memory_budget(token_bytes=token_bytes)
        return None if budget is None else max(int(budget * self.memory_share), 1)

    def _next(self, steps: Iterator[Any]) -> Any:
        with self.corpus.naming_large_ids():
            return next(steps, None)
