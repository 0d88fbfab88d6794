"""Columns of Arrow as documents or texts, from the arrays themselves: no Python integers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError, InputTypeError

__all__ = ["arrow_documents", "arrow_stream", "is_arrow"]

# Strings made at a time.
_STRINGS = 1000


def is_arrow(x: Any) -> bool:
    """Whether this is an array of Arrow, in one piece or several."""
    return all(hasattr(x, name) for name in ("type", "null_count", "to_pylist"))


def arrow_stream(column: Any, name: str) -> NDArray[Any] | None:
    """A column of integers as one array; None for a column of anything else.

    Raises
    ------
    InputError
        A token is null, or there are none.
    """
    if not str(column.type).startswith(("int", "uint")):
        return None
    if column.null_count:
        raise InputError(f"{name}: {column.null_count} of its tokens are null")
    chunks = getattr(column, "chunks", [column])
    if not chunks:
        raise InputError(f"{name}: holds no tokens")
    return np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in chunks])


def arrow_documents(column: Any, name: str) -> Iterator[Any]:
    """Every item of a column: an array of ids, or a string.

    Raises
    ------
    InputError
        An item is null, or the column holds something else.
    """
    number = 0
    for chunk in getattr(column, "chunks", [column]):
        for item in _items(chunk, number, name):
            yield item
            number += 1


def _items(chunk: Any, first: int, name: str) -> Iterator[Any]:
    kind = str(chunk.type)
    if kind.startswith("extension"):
        chunk = chunk.storage
        kind = str(chunk.type)
    if kind.startswith("dictionary"):
        chunk = chunk.dictionary_decode()
        kind = str(chunk.type)
    if chunk.null_count:
        at = first + int(np.argmax(chunk.is_null().to_numpy(zero_copy_only=False)))
        raise InputError(f"{name}: document {at} is null; drop or fill such rows")
    if kind.startswith(("string", "large_string")):
        for start in range(0, len(chunk), _STRINGS):
            yield from chunk.slice(start, _STRINGS).to_pylist()
    elif kind.startswith(("list", "large_list", "fixed_size_list")):
        yield from _lists(chunk, first, name)
    else:
        raise InputTypeError(f"{name}: a column of {kind}; lists of integers or text are needed")


def _lists(chunk: Any, first: int, name: str) -> Iterator[Any]:
    values = chunk.flatten()
    if values.null_count:
        raise InputError(
            f"{name}: a token of documents {first} to {first + len(chunk) - 1} is null"
        )
    flat = values.to_numpy(zero_copy_only=False)
    size = getattr(chunk.type, "list_size", None)
    if size is not None:
        lengths = np.full(len(chunk), size, dtype=np.int64)
    else:
        lengths = chunk.value_lengths().to_numpy(zero_copy_only=False)
    start = 0
    for end in np.cumsum(lengths).tolist():
        yield flat[start:end]
        start = end
