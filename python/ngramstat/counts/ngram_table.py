"""Tables of n-grams: arrays of tokens and counts, for NumPy, Arrow, pandas and files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.counts.table_files import Columns, read_table
from ngramstat.counts.token_table import TokenTable
from ngramstat.errors import InputError

__all__ = ["NgramTable", "first_by_count"]

_COUNTS = ("counts", "followers", "predecessors", "documents")
# Rows that are shown of a table.
_SHOWN = 10


@dataclass(frozen=True, eq=False)
class NgramTable(TokenTable):
    """N-grams of one order with their counts.

    Attributes
    ----------
    tokens : (k, n) uint16 or uint32
        The n-grams, one a row. Each position of them, ``tokens[:, i]``, is contiguous in memory.
    counts : (k,) int64
        Occurrences.
    followers, predecessors : (k,) int64 or None
        Distinct tokens that come directly after the n-gram, and directly before it: its
        continuation counts. None where they were not asked for.
    documents : (k,) int64 or None
        Distinct documents in which it begins.
    corpus : Corpus or None
        Where they were counted, for their text.
    """

    tokens: NDArray[Any]
    counts: NDArray[np.int64]
    followers: NDArray[np.int64] | None = None
    predecessors: NDArray[np.int64] | None = None
    documents: NDArray[np.int64] | None = None
    corpus: Corpus | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.counts)

    def __repr__(self) -> str:
        head = self.select(slice(_SHOWN))
        lines = [f"NgramTable: {len(self):,} n-grams of {self.n} tokens"]
        numbers = [getattr(head, name) for name in head.count_names]
        lines.append("  ".join(["tokens", *head.count_names]))
        for gram, *row in zip(head.tokens.tolist(), *numbers, strict=True):
            lines.append("  ".join([" ".join(map(str, gram)), *map(str, row)]))
        return "\n".join([*lines, "..."] if len(self) > _SHOWN else lines)

    @property
    def count_names(self) -> list[str]:
        """Names of the columns of counts that the table has."""
        return [name for name in _COUNTS if getattr(self, name) is not None]

    def _counted(self) -> Columns:
        return {name: getattr(self, name) for name in self.count_names}

    def select(self, rows: slice | NDArray[Any]) -> NgramTable:
        """Some of its rows, by a slice, an array of their numbers, or a mask."""
        chosen = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name not in ("tokens", "corpus") and getattr(self, f.name) is not None
        }
        # Columns are taken one by one, so that each stays contiguous.
        columns = np.asarray(self.tokens).T[:, rows]
        return NgramTable(
            np.ascontiguousarray(columns).T,
            corpus=self.corpus,
            **{name: values[rows] for name, values in chosen.items()},
        )

    def sorted_by_tokens(self) -> NgramTable:
        """In lexicographic order of the ids."""
        return self.select(np.lexsort(_sort_columns(self)))

    def sorted_by_count(self) -> NgramTable:
        """The most frequent first; equally frequent ones in lexicographic order."""
        return self.select(_count_order(self))

    @staticmethod
    def concatenated(tables: Sequence[NgramTable]) -> NgramTable:
        """Tables of one order, with the same columns, one after the other."""
        first = tables[0]
        columns = [np.concatenate([t.tokens[:, i] for t in tables]) for i in range(first.n)]
        return NgramTable(
            np.stack(columns).T,
            corpus=first.corpus,
            **{
                name: np.concatenate([getattr(table, name) for table in tables])
                for name in first.count_names
            },
        )

    @classmethod
    def load(cls, path: str | PathLike[str]) -> NgramTable:
        """Read what `save` or `write_ngrams` wrote; directories of ``.npy`` files are mapped.

        Raises
        ------
        InputError
            The file is missing or damaged, or holds something else.
        """
        columns = read_table(path)
        tokens = columns.pop("tokens")
        if tokens.ndim != 2 or "counts" not in columns:
            raise InputError(f"{path}: is no table of n-grams")
        if any(columns[name].shape != (len(tokens),) for name in _COUNTS if name in columns):
            raise InputError(f"{path}: is no table of n-grams: its columns differ in length")
        return cls(
            tokens,
            columns["counts"],
            columns.get("followers"),
            columns.get("predecessors"),
            columns.get("documents"),
        )


def _sort_columns(table: NgramTable) -> list[NDArray[Any]]:
    """For `numpy.lexsort`, which sorts by the last first."""
    return [table.tokens[:, i] for i in reversed(range(table.n))]


def _count_order(table: NgramTable) -> NDArray[np.int64]:
    order: NDArray[np.int64] = np.lexsort([*_sort_columns(table), -table.counts])
    return order


def first_by_count(table: NgramTable, k: int) -> NgramTable:
    """The k most frequent n-grams, in that order; ties in lexicographic order."""
    if len(table) > k:
        smallest = np.partition(table.counts, len(table) - k)[len(table) - k]
        table = table.select(table.counts >= smallest)
    return table.select(_count_order(table)[:k])
