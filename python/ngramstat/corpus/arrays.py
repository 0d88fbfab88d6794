"""Streams of token ids with their documents, made from arrays and lists in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.corpus.formats import (
    OpenOptions,
    SeparatorPosition,
    TokenStore,
    check_document_ends,
    check_vocab_size,
    largest_id,
)
from ngramstat.corpus.formats.separators import with_separator
from ngramstat.corpus.token_file import TokenFileBuilder
from ngramstat.errors import InputError, InputTypeError, check_choice

__all__ = [
    "MAX_INFERRED_VOCAB",
    "Stream",
    "host_array",
    "ids_of",
    "stream_of_array",
    "stream_of_documents",
]

# Ids are unsigned numbers of 32 bits.
_MAX_IDS = 1 << 32
# Where the vocabulary size is not given, a larger id means a wrong dtype or damage: the largest
# vocabularies in use have about 2^18 tokens.
MAX_INFERRED_VOCAB = 1 << 22
# Tokens of short documents that are joined before they are appended.
_BATCH_TOKENS = 1 << 20


@dataclass(frozen=True)
class Stream:
    """Checked tokens and documents, by the names of the fields of `Corpus`."""

    tokens: NDArray[Any]
    vocab_size: int
    vocab_size_inferred: bool
    document_ends: NDArray[np.int64] | None
    separator: int | None
    separator_position: SeparatorPosition | None
    notes: tuple[str, ...]


def stream_of_array(
    tokens: ArrayLike,
    *,
    vocab_size: int | None = None,
    document_ends: ArrayLike | None = None,
    separator: int | None = None,
    separator_position: SeparatorPosition | None = None,
) -> Stream:
    """A one-dimensional array as a stream; a uint16 or uint32 array is not copied.

    Parameters
    ----------
    tokens
        (tokens,) integers.
    vocab_size
        Vocabulary size; by default the largest id plus 1.
    document_ends
        (documents,) exclusive ends; by default where the separators are.
    separator
        Id of the token between documents, or None.
    separator_position
        Whether it stands "before" or "after" its document; by default before, if the stream begins
        and does not end with it, and otherwise after.

    Raises
    ------
    InputError
        An argument cannot be used.
    """
    if isinstance(tokens, np.ma.MaskedArray):
        raise InputTypeError("tokens: a masked array; give .compressed() or a list of documents")
    array = np.asarray(tokens)
    if array.dtype.kind not in "iu" and array.size:
        raise InputTypeError(f"tokens: ids are integers, not {array.dtype}")
    if array.ndim != 1:
        raise InputError(
            f"tokens: one dimension is needed, not {array.ndim}; Corpus.from_documents takes rows "
            "as documents"
        )
    if array.size == 0:
        raise InputError("tokens: holds no tokens")
    if int(array.min()) < 0:
        at = int(np.argmax(array < 0))
        raise InputError(f"tokens: token {at} ({int(array[at])}) is negative")
    size, inferred = _vocabulary(array, vocab_size, "tokens")
    if array.dtype not in (np.dtype(np.uint16), np.dtype(np.uint32)):
        array = array.astype(np.uint16 if size <= 1 << 16 else np.uint32)
    check_vocab_size(size, array.dtype, "vocab_size")
    array = np.ascontiguousarray(array).view()
    array.setflags(write=False)
    if separator_position is not None:
        check_choice("separator_position", separator_position, ("before", "after"))
    ends = None if document_ends is None else _checked_ends(document_ends, array.size)
    store = TokenStore("memory", Path("tokens"), array, vocab_size=size, document_ends=ends)
    options = OpenOptions(separator=separator, separator_position=separator_position)
    store = with_separator(store, options, "after")
    if store.document_ends is not None:
        store.document_ends.setflags(write=False)
    return Stream(
        array,
        size,
        inferred,
        store.document_ends,
        store.separator,
        store.separator_position,
        (*_on_vocabulary(size, inferred), *store.notes),
    )


def _checked_ends(document_ends: ArrayLike, tokens: int) -> NDArray[np.int64]:
    array = np.asarray(document_ends)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise InputTypeError("document_ends: a one-dimensional array of integers is needed")
    ends = array.astype(np.int64)
    check_document_ends(ends, tokens, "document_ends")
    ends.setflags(write=False)
    return ends


def _vocabulary(tokens: NDArray[Any], vocab_size: int | None, where: str) -> tuple[int, bool]:
    """The vocabulary's size, given or inferred, and which of the two."""
    largest = largest_id(tokens)
    if vocab_size is not None:
        if largest >= vocab_size:
            at = int(np.argmax(tokens >= vocab_size))
            raise InputError(
                f"{where}: the id {int(tokens[at])} at token {at} is not in the vocabulary "
                f"(0 to {vocab_size - 1}); give the right vocab_size"
            )
        return vocab_size, False
    if largest >= MAX_INFERRED_VOCAB:
        raise InputError(
            f"{where}: the largest id is {largest}, but no tokenizer has a vocabulary that large; "
            "check the dtype, or give vocab_size"
        )
    return largest + 1, True


def _on_vocabulary(size: int, inferred: bool) -> tuple[str, ...]:
    if not inferred:
        return ()
    return (
        f"vocabulary of {size:,} inferred from the largest id; Corpus.from_arrays and "
        "Corpus.from_documents take vocab_size",
    )


def stream_of_documents(
    documents: Iterable[Any],
    *,
    vocab_size: int | None = None,
    separator: int | None = None,
    name: str = "documents",
) -> Stream:
    """Documents one after the other, as one stream.

    Parameters
    ----------
    documents
        Each a sequence or array of integers. Those without tokens are left out, and counted.
    vocab_size
        Vocabulary size; by default the largest id plus 1.
    separator
        Id that ends every document. If the first document begins or ends with it, all others have
        to; otherwise it is appended to each, and may occur in none.
    name
        Of the argument, for messages.

    Raises
    ------
    InputError
        A document cannot be used, by its number; or there are no tokens.
    """
    separators = _Separators(separator, name)
    # A builder that has to widen writes twice; where the vocabulary is known, it need not.
    wide = vocab_size is not None and vocab_size > 1 << 16
    empty = 0
    with TokenFileBuilder(name, dtype=np.uint32 if wide else None) as builder:
        batch: list[NDArray[Any]] = []
        size = 0
        for number, document in enumerate(documents):
            ids = separators.apply(ids_of(document, f"{name}: document {number}"), number)
            if ids.size == 0:
                empty += 1
                continue
            batch.append(ids)
            size += ids.size
            if size >= _BATCH_TOKENS:
                _append(builder, batch)
                batch, size = [], 0
        _append(builder, batch)
        built = builder.finish()
    vocabulary, inferred = _vocabulary(built.tokens, vocab_size, name)
    notes = _on_vocabulary(vocabulary, inferred)
    if empty:
        notes += (f"{empty:,} documents without tokens were left out",)
    if separator is not None and separator >= vocabulary:
        raise InputError(f"separator={separator}: must lie between 0 and {vocabulary - 1}")
    return Stream(
        built.tokens,
        vocabulary,
        inferred,
        built.document_ends,
        separator,
        separators.position,
        notes,
    )


def _append(builder: TokenFileBuilder, batch: list[NDArray[Any]]) -> None:
    if batch:
        builder.append_documents(np.concatenate(batch), [ids.size for ids in batch])


class _Separators:
    """Puts the separator after each document, or checks that each has it already."""

    def __init__(self, separator: int | None, name: str) -> None:
        self._separator, self._name = separator, name
        self.position: SeparatorPosition | None = None if separator is None else "after"
        # Whether the documents bring it; None before the first.
        self._present: bool | None = None if separator is not None else False

    def apply(self, ids: NDArray[np.int64], number: int) -> NDArray[np.int64]:
        if self._separator is None:
            return ids
        found = np.flatnonzero(ids == self._separator)
        if self._present is None and ids.size:
            self._present = bool(found.size)
            if found.size and found[0] == 0 and ids[-1] != self._separator:
                self.position = "before"
        if not self._present:
            if found.size:
                raise self._refusal(number, "holds the separator, which earlier ones do not")
            return np.append(ids, self._separator)
        place = 0 if self.position == "before" else ids.size - 1
        if found.size != 1 or found[0] != place:
            where = "begin" if self.position == "before" else "end"
            raise self._refusal(number, f"does not {where} with the separator and hold no other")
        return ids

    def _refusal(self, number: int, problem: str) -> InputError:
        return InputError(
            f"{self._name}: document {number} {problem} ({self._separator}); "
            "leave out separator to take the documents as they are"
        )


def ids_of(value: Any, where: str) -> NDArray[np.int64]:
    """One document as (tokens,) int64.

    Raises
    ------
    InputError
        It is no sequence of integers; the message begins with `where`.
    """
    if isinstance(value, str | bytes) or value is None:
        kind = "None" if value is None else type(value).__name__
        raise InputTypeError(f"{where}: is {kind}, not a sequence of token ids")
    try:
        array = host_array(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputTypeError(f"{where}: is no sequence of token ids ({error})") from error
    if array.ndim != 1:
        shape = "a single number" if array.ndim == 0 else f"an array of {array.ndim} dimensions"
        raise InputTypeError(f"{where}: is {shape}, not a sequence of token ids")
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    if array.dtype.kind not in "iu":
        held = type(array[0]).__name__ if array.dtype.kind == "O" else array.dtype.name
        raise InputTypeError(f"{where}: holds {held}, not integers; token ids are needed")
    if array.dtype.kind == "u" and array.dtype.itemsize == 8 and int(array.max()) >= _MAX_IDS:
        raise InputError(f"{where}: the id {int(array.max())} is out of range")
    return array.astype(np.int64, copy=False)


def host_array(value: Any) -> NDArray[Any]:
    """A tensor, column or sequence as a NumPy array, without importing what it belongs to."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError("a masked array; give .compressed() or a list of documents")
    if hasattr(value, "detach") and hasattr(value, "cpu"):  # torch
        value = value.detach().cpu().numpy()
    return np.asarray(value)
