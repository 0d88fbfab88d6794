"""Stores of rows of token ids (Arrow, Parquet, JSON lines, ...): rows to one stream of tokens.

A row is a document, or a block of a packed stream: documents joined with separators and cut into
pieces of one length. Files do not say which; `RowCollector` decides, and says what it decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.token_store import OpenOptions, TokenStore
from ngramstat.corpus.token_file import TokenFileBuilder
from ngramstat.errors import InputError

__all__ = ["COLUMNS", "MASK_COLUMN", "RowCollector", "Rows", "choose_column"]

#: Columns that hold the ids, if the user names none, in the order in which they are tried.
COLUMNS = ("input_ids", "tokens")
#: Column that marks padding with zeros.
MASK_COLUMN = "attention_mask"

# So many rows of equal length are not taken for documents that happen to be equally long.
_FEW_ROWS = 8


class Rows(NamedTuple):
    """Some consecutive rows.

    Attributes
    ----------
    ids
        (tokens,) integers, the rows one after the other.
    lengths
        (rows,) int64 tokens of each row.
    mask
        (tokens,) integers or booleans, 0 for padding; None without a mask.
    """

    ids: NDArray[Any]
    lengths: NDArray[np.int64]
    mask: NDArray[Any] | None = None


def choose_column(path: Path, names: list[str], stated: str | None) -> str:
    """The column of ids: the one the user names, otherwise ``input_ids`` or ``tokens``.

    Raises
    ------
    InputError
        There is no such column, or there are several of that name.
    """
    candidates = COLUMNS if stated is None else (stated,)
    for name in candidates:
        if names.count(name) == 1:
            return name
        if name in names:
            raise InputError(f"{path}: has {names.count(name)} columns named {name!r}; keep one")
    present = ", ".join(repr(name)[:60] for name in names[:20]) or "none"
    raise InputError(
        f"{path}: has no column of token ids ({' or '.join(candidates)}); its columns are "
        f"{present}. Name the column of ids with --column; text needs `ngramstat tokenize` first"
    )


class RowCollector:
    """Makes one token store of rows; a context manager.

    Parameters
    ----------
    path
        The store, for messages.
    options
        ``rows`` says what a row is, ``separator`` helps to recognise packed rows.
    expected_tokens
        Number of tokens to come, if known.
    """

    def __init__(
        self, path: Path, options: OpenOptions, *, expected_tokens: int | None = None
    ) -> None:
        self._path = path
        self._options = options
        self._builder = TokenFileBuilder(
            str(path), expected_tokens=expected_tokens, dtype=options.dtype
        )
        self._rows = self._empty = self._padding = self._packed_rows = 0
        self._first = self._last = 0
        self._equal = True
        self._stored_dtype: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._builder.close()

    @property
    def n_rows(self) -> int:
        """Number of rows added so far."""
        return self._rows

    def add(self, rows: Rows) -> None:
        """Add the next rows.

        Raises
        ------
        InputError
            An id is negative or too large, or padding lies between tokens.
        """
        ids, lengths = rows.ids, rows.lengths
        if rows.mask is not None:
            ids, lengths = self._without_padding(rows, rows.mask)
        self._builder.append_documents(ids, lengths)
        self._stored_dtype = ids.dtype.name
        self._note_lengths(lengths)
        if self._options.separator is not None:
            self._packed_rows += _rows_with_inner(ids, lengths, self._options.separator)
        self._rows += lengths.size
        self._empty += int(np.count_nonzero(lengths == 0))

    def finish(self, format: str, files: Sequence[Path] = ()) -> TokenStore:
        """The store, with a note of everything that was decided.

        Parameters
        ----------
        format
            Name of the store's format.
        files
            The files that hold the rows, in order, of a store that is a directory.

        Raises
        ------
        InputError
            There are no tokens, or it cannot be told what a row is.
        """
        arrays = self._builder.finish()
        packed, note = self._decide()
        notes = [note]
        if self._padding:
            notes.append(
                f"{self._padding:,} tokens of padding ({MASK_COLUMN} 0) were left out, "
                f"{arrays.tokens.size:,} tokens remain"
            )
        if self._empty:
            notes.append(f"{self._empty:,} of {self._rows:,} rows are empty and were left out")
        expected = not packed and len(notes) == 1
        return TokenStore(
            format=format,
            path=self._path,
            tokens=arrays.tokens,
            document_ends=None if packed else arrays.document_ends,
            notes=() if expected else tuple(notes),
            remarks=tuple(notes) if expected else (),
            stored_dtype=self._stored_dtype,
            largest_id=arrays.largest_id,
            files=tuple(files),
        )

    def _decide(self) -> tuple[bool, str]:
        """Whether rows are blocks of a packed stream, and why."""
        if self._options.rows != "auto":
            return self._options.rows == "packed", f"rows are {self._options.rows}, as stated"
        several = self._equal and self._rows >= _FEW_ROWS
        if self._packed_rows and not several:
            raise InputError(
                f"{self._path}: {self._packed_rows:,} of {self._rows:,} rows hold the separator "
                f"{self._options.separator} inside; give --rows packed if rows are blocks of one "
                "stream, or --rows documents if each is a document"
            )
        if several:
            return True, (
                f"the {self._rows:,} rows hold {self._first:,} tokens each, so they are taken as "
                "blocks of a packed stream whose documents only --separator can tell; if each is "
                "a document, give --rows documents"
            )
        return False, "each row is one document; if rows are blocks, give --rows packed"

    def _note_lengths(self, lengths: NDArray[np.int64]) -> None:
        """Follow whether all rows so far have one length, the last one possibly a shorter one."""
        if not self._equal or lengths.size == 0:
            return
        if self._rows == 0:
            self._first = self._last = int(lengths[0])
        before_last = np.concatenate(([self._last], lengths[:-1]))
        self._last = int(lengths[-1])
        self._equal = self._last <= self._first and bool(np.all(before_last == self._first))

    def _without_padding(
        self, rows: Rows, mask: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Tokens that the mask does not hide; what it hides must lie at the ends of rows."""
        if mask.size != rows.ids.size:
            raise InputError(
                f"{self._path}: {MASK_COLUMN} has {mask.size} values where rows {self._rows} to "
                f"{self._rows + rows.lengths.size - 1} have {rows.ids.size} tokens"
            )
        kept = mask != 0
        if kept.all():
            return rows.ids, rows.lengths
        row_of = np.repeat(np.arange(rows.lengths.size), rows.lengths)
        # A run of kept tokens begins where a kept one follows a hidden one or a row's start.
        begins = kept & ~np.concatenate(([False], kept[:-1] & (row_of[1:] == row_of[:-1])))
        runs = np.bincount(row_of[begins], minlength=rows.lengths.size)
        if np.any(runs > 1):
            raise InputError(
                f"{self._path}: row {self._rows + int(np.argmax(runs > 1))}: {MASK_COLUMN} hides "
                "tokens between others, which is not padding; write the rows without that column"
            )
        self._padding += int(np.count_nonzero(~kept))
        lengths = np.bincount(row_of[kept], minlength=rows.lengths.size).astype(np.int64)
        return rows.ids[kept], lengths


def _rows_with_inner(ids: NDArray[Any], lengths: NDArray[np.int64], separator: int) -> int:
    """How many rows hold the separator elsewhere than at their first or last token."""
    if ids.size == 0:
        return 0
    inner = ids == separator
    ends = np.cumsum(lengths)[lengths > 0]
    inner[ends - 1] = False
    inner[np.concatenate(([0], ends[:-1]))] = False
    at = np.flatnonzero(inner)
    return int(np.unique(np.searchsorted(ends, at, side="right")).size)
