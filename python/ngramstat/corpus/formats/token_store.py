"""What a reader returns, what the user may add to it, and the checks that all stores share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.runtime.mapped import release_mapped_pages

__all__ = [
    "MAX_VOCAB",
    "Assumptions",
    "Format",
    "OpenOptions",
    "RowMeaning",
    "SeparatorPosition",
    "Shard",
    "TokenStore",
    "check_document_ends",
    "check_vocab_size",
    "chunks",
    "document_ends_at",
    "largest_id",
    "stated_or_assumed_dtype",
    "token_dtype",
]

#: Vocabularies are smaller: ids are held in four bytes.
MAX_VOCAB = 1 << 32

SeparatorPosition = Literal["before", "after"]
RowMeaning = Literal["auto", "documents", "packed"]

# Tokens per step of a scan; the temporary arrays stay below a few tens of MiB.
_CHUNK = 1 << 22


def stated_or_assumed_dtype(options: OpenOptions) -> np.dtype[Any] | None:
    """Type of the tokens in a file that does not record it."""
    if options.dtype is None and options.assumed is not None:
        return options.assumed.dtype
    return options.dtype


@dataclass(frozen=True)
class OpenOptions:
    """What the user states about a store that does not record it.

    Attributes
    ----------
    dtype
        Type of the tokens in the file, or None to take it from the file.
    vocab_size
        Vocabulary size V, or None.
    separator
        Id of the token between documents, or None.
    column
        Column or field that holds the ids, in stores that have several; None for the usual names.
    rows
        What a row of a table is: one of the "documents", or a block of a "packed" stream; "auto"
        decides by the rows' lengths.
    separator_position
        Whether the separator stands "before" or "after" its document; None to find out.
    array
        Name of the array to read from a file that holds several (.npz); None for the only one.
    assumed
        What holds where neither the store records nor the user states it, for a store that belongs
        to a corpus.
    """

    dtype: np.dtype[Any] | None = None
    vocab_size: int | None = None
    separator: int | None = None
    column: str | None = None
    rows: RowMeaning = "auto"
    separator_position: SeparatorPosition | None = None
    array: str | None = None
    assumed: Assumptions | None = None

    def __post_init__(self) -> None:
        if self.separator_position not in (None, *get_args(SeparatorPosition)):
            raise InputError(
                f"separator_position {self.separator_position!r}: must be before or after"
            )
        if self.rows not in get_args(RowMeaning):
            raise InputError(f"rows {self.rows!r}: must be auto, documents or packed")


@dataclass(frozen=True)
class Assumptions:
    """What a store has in common with a corpus that it belongs to, unless it records otherwise.

    Attributes
    ----------
    format
        Format of files that no reader recognises.
    dtype
        Type of the tokens.
    separator
        Id of the separator, which need not occur; None if there is none.
    separator_position
        Where it stands.
    """

    format: str
    dtype: np.dtype[Any]
    separator: int | None
    separator_position: SeparatorPosition | None


@dataclass(frozen=True)
class TokenStore:
    """An opened token file or corpus directory.

    Attributes
    ----------
    format
        Name of the format in `FORMATS`.
    path
        The file or directory that was opened.
    tokens
        (tokens,) uint16 or uint32, native byte order, read-only, mapped from the file.
    vocab_size
        Vocabulary size V if the store records it or the user states it.
    document_ends
        (documents,) int64, strictly increasing exclusive ends in tokens; None if unknown.
    separator
        Id of the separator if the store records it or the user states it.
    separator_position
        Whether the separator stands before or after each document.
    tokenizer_path, tokenizer_sha256
        The tokenizer recorded with the store, and its checksum.
    sha256
        Checksum of the token bytes, if the store records one.
    tokenization
        How text became tokens, if the store records it.
    notes
        What the reader decided or left out, one sentence each.
    remarks
        The same where it is what one expects, so that it need not be said unless asked for.
    stored_dtype
        Name of the tokens' type in the file, where that is not the type of `tokens`.
    largest_id
        Largest id, if the reader has seen all of them.
    likely_separator
        A token that such files usually have before each document, and the tokenizer that has it;
        it separates documents if the stream begins with it.
    files
        The files that hold the tokens, in order, where that is not `path` alone.
    shards
        The files that make up the stream, in order, if there are several.
    """

    format: str
    path: Path
    tokens: NDArray[Any]
    vocab_size: int | None = None
    document_ends: NDArray[np.int64] | None = None
    separator: int | None = None
    separator_position: SeparatorPosition | None = None
    tokenizer_path: Path | None = None
    tokenizer_sha256: str | None = None
    sha256: str | None = None
    tokenization: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    stored_dtype: str | None = None
    largest_id: int | None = None
    likely_separator: tuple[int, str] | None = None
    files: tuple[Path, ...] = ()
    shards: tuple[Shard, ...] = ()


@dataclass(frozen=True)
class Shard:
    """One of the files that make up a corpus.

    Attributes
    ----------
    path
        The file, or the corpus directory.
    token_file
        The same file, or that of the tokens in the directory.
    bytes
        Size of `token_file`.
    tokens
        How many tokens it holds; None where only the whole is counted.
    """

    path: Path
    token_file: Path
    bytes: int
    tokens: int | None


@dataclass(frozen=True)
class Format:
    """One format of token stores.

    Attributes
    ----------
    name
        The format's name on the command line and in results.
    description
        A few words for the user.
    recognises
        Whether a path looks like such a store, from the path and the first 16 bytes of the file
        (fewer if it is shorter, none for a directory).
    open
        Opens the store, or raises `InputError`.
    separator_position
        Where a separator that the user names stands in such stores, if the data do not show it.
    has_rows, has_columns, has_arrays
        Whether such stores hold rows, rows with columns, or several arrays, so that `rows`,
        `column` or `array` of `OpenOptions` apply.
    """

    name: str
    description: str
    recognises: Callable[[Path, bytes], bool]
    open: Callable[[Path, OpenOptions], TokenStore]
    separator_position: SeparatorPosition = "after"
    has_rows: bool = False
    has_columns: bool = True
    has_arrays: bool = False


def token_dtype(dtype: Any) -> np.dtype[Any]:
    """The token type that `dtype` names: uint16 or uint32.

    Raises
    ------
    InputError
        It is neither.
    """
    try:
        token_type: np.dtype[Any] = np.dtype(dtype)
    except (TypeError, ValueError):
        token_type = np.dtype(object)
    if token_type not in (np.dtype(np.uint16), np.dtype(np.uint32)):
        raise InputError(f"dtype {dtype!r}: must be uint16 or uint32")
    return token_type


def check_vocab_size(vocab_size: int, dtype: np.dtype[Any], where: str) -> None:
    """Refuse a vocabulary that is empty or larger than the number of values of `dtype`."""
    if vocab_size < 1:
        raise InputError(f"{where}: a vocabulary of {vocab_size}; it must be at least 1")
    if vocab_size > int(np.iinfo(dtype).max) + 1:
        raise InputError(f"{where}: a vocabulary of {vocab_size} does not fit dtype {dtype}")


def check_document_ends(ends: NDArray[np.int64], tokens: int, where: str) -> None:
    """Refuse document ends that do not increase strictly from above 0 up to `tokens`."""
    if ends.size == 0:
        raise InputError(f"{where}: no documents")
    previous = 0
    for start, chunk in chunks(ends):
        steps = np.diff(chunk, prepend=previous)
        if np.any(steps <= 0):
            at = start + int(np.argmax(steps <= 0))
            raise InputError(f"{where}: the end of document {at} is not after the one before it")
        previous = int(chunk[-1])
    if previous != tokens:
        raise InputError(f"{where}: the last document ends at token {previous}, not {tokens}")


def document_ends_at(
    separators: NDArray[np.int64], tokens: int, position: SeparatorPosition
) -> NDArray[np.int64]:
    """Document ends from the positions of the separators; each document keeps its separator.

    Parameters
    ----------
    separators
        (separators,) increasing positions in the stream.
    tokens
        Length of the stream.
    position
        Whether a separator stands before or after its document.
    """
    ends = separators + 1 if position == "after" else separators[separators > 0]
    if ends.size == 0 or ends[-1] != tokens:
        ends = np.append(ends, tokens)
    return np.asarray(ends, dtype=np.int64)


def chunks(array: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Consecutive pieces of a one-dimensional array, each with the index it starts at.

    Of a mapped file, no more than a piece stays in memory.
    """
    for start in range(0, array.size, _CHUNK):
        yield start, array[start : start + _CHUNK]
        release_mapped_pages(array)


def largest_id(tokens: NDArray[Any]) -> int:
    """Largest token id, in bounded memory."""
    return max(int(chunk.max()) for _, chunk in chunks(tokens))
