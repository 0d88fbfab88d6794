"""Where n-grams are counted: which ones, in which units, by which kernel, in how much memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.counts.ngram_table import NgramTable
from ngramstat.errors import InputError
from ngramstat.kernels import MAX_NGRAM, Documents, NgramFacts, NgramSweep, NgramUnits
from ngramstat.runtime.arguments import as_integers, integer_within
from ngramstat.runtime.workspace import Workspace, gather

__all__ = ["MethodName", "NgramSource", "document_units", "resolved_orders", "unit_documents"]

MethodName = Literal["auto", "suffixes", "hash"]


def resolved_orders(n: Any, facts: NgramFacts) -> tuple[int, ...]:
    """The orders as ascending distinct integers.

    Raises
    ------
    InputError
        One is not an integer, or outside 1 .. 255 (254 with followers).
    """
    largest = MAX_NGRAM - facts.followers
    orders = sorted({integer_within("n", order, 1, largest) for order in as_integers("n", n)})
    if not orders:
        raise InputError("n: needs a number of tokens, or several")
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
    if corpus.document_ends is None:
        raise InputError(
            f"{corpus.name}: has no documents to stay inside; use --boundary stream, or give the "
            "separator's id with --separator"
        )
    return "documents"


def unit_documents(corpus: Corpus) -> Documents:
    """The documents of a corpus and their content without separators; or the stream as one."""
    if corpus.document_ends is None:
        return Documents.single(corpus.n_tokens)
    ends: NDArray[np.int64] = np.asarray(corpus.document_ends, dtype=np.int64)
    if corpus.separator is None:
        return Documents(ends)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    content_ends = ends - (gather(corpus.tokens, ends - 1) == corpus.separator)
    content_starts = starts + (
        (gather(corpus.tokens, starts) == corpus.separator) & (starts < content_ends)
    )
    return Documents(ends, content_starts=content_starts, content_ends=content_ends)


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
    """

    corpus: Corpus
    orders: tuple[int, ...]
    min_count: int
    units: NgramUnits
    facts: NgramFacts
    workspace: Workspace = field(default_factory=Workspace)
    memory_share: float = 1.0

    def batches(self, progress: Any = None) -> Iterator[NgramTable]:
        """Tables whose n-grams are those of the corpus, each of one order.

        Tables of one order are in lexicographic order, one after the other.

        Raises
        ------
        InputError
            A token is not below the vocabulary's size.
        """
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
        with self.workspace.managing(corpus.tokens):
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
        try:
            return next(steps, None)
        except IndexError as error:
            raise InputError(
                f"{self.corpus.name}: {error}; check --dtype and --vocab-size"
            ) from error
