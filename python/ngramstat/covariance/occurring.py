"""A corpus over the vocabulary items that occur in it, numbered in the order of their ids.

Rows and columns of C(t) that belong to other items are zero. They change none of its singular
values, but every vector over the vocabulary has entries for them, and work and memory grow with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.kernels import mostly_unused, token_counts
from ngramstat.runtime.workspace import Workspace, release_pages_if_needed
from ngramstat.sampling.design import SamplingDesign

__all__ = ["OccurringDesign", "items_to_renumber", "occurring", "renumbered"]

# Tokens renumbered between two checks of the memory.
_BLOCK = 1 << 20


@dataclass(frozen=True)
class OccurringDesign:
    """A design whose corpus has few items that do not occur.

    Attributes
    ----------
    design : SamplingDesign
        Of the renumbered corpus, or the original.
    ids : (k,) int64 or None
        The original id of each item, increasing; None where nothing was renumbered.
    """

    design: SamplingDesign
    ids: NDArray[np.int64] | None

    def original(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """The original ids of some items; -1 stays."""
        if self.ids is None:
            return items
        return np.where(items < 0, items, self.ids[np.maximum(items, 0)])


@contextmanager
def occurring(design: SamplingDesign, workspace: Workspace) -> Iterator[OccurringDesign]:
    """The design over the items that occur; its tokens may lie in a temporary file.

    Raises
    ------
    IndexError
        A token is not below the vocabulary's size.
    InputError
        There is no room for the temporary file.
    """
    corpus = design.corpus
    ids = items_to_renumber(
        token_counts(corpus.tokens, corpus.vocab_size, threads=workspace.threads)
    )
    if ids is None:
        yield OccurringDesign(design, None)
        return
    with renumbered(corpus, ids, workspace) as own:
        # Documents, folds and clusters follow from the documents' lengths, which are the same.
        yield OccurringDesign(SamplingDesign(own, design.options), ids)


def items_to_renumber(counts: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The ids of the items that occur, (k,), where most do not; else None.

    `counts` are the occurrences of every item, (V,).
    """
    ids = np.flatnonzero(counts)
    return ids if mostly_unused(len(ids), len(counts)) else None


@contextmanager
def renumbered(corpus: Corpus, ids: NDArray[np.int64], workspace: Workspace) -> Iterator[Corpus]:
    """The corpus over some items, in the order of their ids, which all of its tokens have to be.

    Raises
    ------
    InputError
        There is no room for the temporary file.
    """
    dtype = np.dtype(np.uint16 if len(ids) <= 1 << 16 else np.uint32)
    # Of ids that do not occur the entries are never read.
    numbers = np.zeros(corpus.vocab_size, np.int64)
    numbers[ids] = np.arange(len(ids))
    with workspace.temporary_array(corpus.n_tokens, dtype) as tokens:
        for start in range(0, corpus.n_tokens, _BLOCK):
            block = slice(start, start + _BLOCK)
            tokens[block] = numbers[corpus.tokens[block]]
            release_pages_if_needed()
        del numbers
        separator = corpus.separator
        if separator is not None:
            at = int(np.searchsorted(ids, separator))
            separator = at if at < len(ids) and ids[at] == separator else None
        yield dataclasses.replace(corpus, tokens=tokens, vocab_size=len(ids), separator=separator)
