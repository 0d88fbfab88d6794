"""Tables larger than memory, sorted by count: a counting sort between temporary files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.counts.table_files import ColumnSpool
from ngramstat.runtime.workspace import Workspace, release_pages_if_needed

__all__ = ["sorted_by_count"]

# Rows moved or yielded at a time.
_ROWS = 1 << 19


def sorted_by_count(spool: ColumnSpool, workspace: Workspace) -> Iterator[dict[str, NDArray[Any]]]:
    """The rows in batches, the largest ``counts`` first; equal ones keep their order.

    How many rows have each count says where each row goes. There are few different counts: at
    most sqrt(2 T) with T the sum of all.

    Raises
    ------
    InputError
        There is not enough disk space for a second copy of the table.
    """
    counts = spool.column("counts")
    with ExitStack() as stack:
        stack.enter_context(workspace.managing(counts))
        first = _first_rows(counts)
        targets: dict[str, NDArray[Any]] = {
            name: stack.enter_context(workspace.temporary_array(spool.rows, spool.dtype(name)))
            for name in spool.names
        }
        sources = {name: spool.column(name) for name in spool.names}
        stack.enter_context(workspace.managing(*sources.values()))
        for start in range(0, spool.rows, _ROWS):
            rows = slice(start, start + _ROWS)
            order, places = _places(np.asarray(counts[rows]), first)
            for name, target in targets.items():
                target[places] = sources[name][rows][order]
            release_pages_if_needed()
        for start in range(0, max(spool.rows, 1), _ROWS):
            yield {name: np.array(t[start : start + _ROWS]) for name, t in targets.items()}
            release_pages_if_needed()


def _first_rows(counts: NDArray[np.int64]) -> dict[int, int]:
    """Where the rows of each count begin in the order by count."""
    number: dict[int, int] = {}
    for start in range(0, len(counts), _ROWS):
        values, times = np.unique(counts[start : start + _ROWS], return_counts=True)
        for value, n in zip(values.tolist(), times.tolist(), strict=True):
            number[value] = number.get(value, 0) + n
        release_pages_if_needed()
    first, row = {}, 0
    for value in sorted(number, reverse=True):
        first[value] = row
        row += number[value]
    return first


def _places(
    counts: NDArray[np.int64], first: dict[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """An order of these rows and where they go in it; moves on what `first` says."""
    order = np.argsort(-counts, kind="stable")
    values, begin, times = np.unique(-counts[order], return_index=True, return_counts=True)
    places = np.arange(len(counts), dtype=np.int64)
    for value, at, n in zip((-values).tolist(), begin.tolist(), times.tolist(), strict=True):
        places[at : at + n] += first[value] - at
        first[value] += n
    return order, places
