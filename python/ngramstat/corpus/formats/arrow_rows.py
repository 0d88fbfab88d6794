"""Token ids in columns of Arrow data: what the readers of Arrow and Parquet files share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.token_rows import MASK_COLUMN, Rows, choose_column
from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.files import reason

__all__ = ["BATCH_TOKENS", "batch_rows", "check_schema", "refusing_damage", "require_pyarrow"]

#: Tokens that are handled at once, unless a single row holds more.
BATCH_TOKENS = 1 << 20


def require_pyarrow(path: Path) -> Any:
    """The module pyarrow.

    Raises
    ------
    NgramstatError
        It is not installed.
    """
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError as error:
        raise NgramstatError(
            f"{path}: reading Arrow and Parquet needs pyarrow: pip install 'ngramstat[parquet]'"
        ) from error
    return pyarrow


@contextlib.contextmanager
def refusing_damage(path: Path, kind: str) -> Iterator[None]:
    """Turn the errors of pyarrow about the contents of a file into `InputError`."""
    pa = require_pyarrow(path)
    try:
        yield
    except InputError:
        raise
    except (
        pa.ArrowException, OSError, ValueError, TypeError, KeyError, IndexError, OverflowError,
        NotImplementedError, MemoryError,
    ) as error:  # fmt: skip
        # Damaged counts and names make pyarrow raise any of these.
        raise InputError(f"{path}: damaged or truncated {kind}: {reason(error)}") from error


def check_schema(path: Path, schema: Any, stated: str | None) -> tuple[str, str | None]:
    """The column of ids, checked to hold lists of integers, and the mask's column if there is one.

    Raises
    ------
    InputError
        There is no such column, or it holds something else.
    """
    pa = require_pyarrow(path)
    column = choose_column(path, list(schema.names), stated)
    _check_lists(pa, path, column, schema.field(column).type)
    if schema.names.count(MASK_COLUMN) != 1 or column == MASK_COLUMN:
        return column, None
    _check_lists(pa, path, MASK_COLUMN, schema.field(MASK_COLUMN).type)
    return column, MASK_COLUMN


def batch_rows(path: Path, first_row: int, ids: Any, mask: Any | None) -> Iterator[Rows]:
    """The rows of one batch, in pieces of about `BATCH_TOKENS` tokens.

    Parameters
    ----------
    path, first_row
        For messages: the file and the number of the batch's first row.
    ids
        Arrow array of lists.
    mask
        Arrow array of lists with the same lengths, or None.

    Raises
    ------
    InputError
        A row or a token is null, or an offset is out of range.
    """
    columns = [ids] if mask is None else [ids, mask]
    for array in columns:
        array.validate(full=True)
        if array.null_count:
            nulls = array.is_null().to_numpy(zero_copy_only=False)
            raise InputError(f"{path}: row {first_row + int(np.argmax(nulls))} is null, not a list")
    lengths = _lengths(ids)
    if mask is not None and not np.array_equal(lengths, _lengths(mask)):
        at = int(np.argmax(lengths != _lengths(mask)))
        raise InputError(
            f"{path}: row {first_row + at} has {int(lengths[at])} tokens, but another number of "
            f"values in {MASK_COLUMN}"
        )
    ends = np.cumsum(lengths)
    start = 0
    while start < lengths.size:
        before = int(ends[start - 1]) if start else 0
        stop = int(np.searchsorted(ends, before + BATCH_TOKENS, side="right"))
        stop = max(stop, start + 1)
        where = f"{path}: rows {first_row + start} to {first_row + stop - 1}"
        values = [_values(array.slice(start, stop - start), where) for array in columns]
        yield Rows(values[0], lengths[start:stop], values[1] if mask is not None else None)
        start = stop


def _lengths(array: Any) -> NDArray[np.int64]:
    from pyarrow import compute

    lengths = compute.list_value_length(array).to_numpy(zero_copy_only=False)
    return np.asarray(lengths).astype(np.int64)


def _values(array: Any, where: str) -> NDArray[Any]:
    import pyarrow as pa

    values = array.flatten()
    if values.null_count:
        raise InputError(f"{where}: a token is null, not an id")
    if pa.types.is_boolean(values.type):
        return np.asarray(values.to_numpy(zero_copy_only=False))
    return np.asarray(values.to_numpy(zero_copy_only=True))


def _check_lists(pa: Any, path: Path, column: str, found: Any) -> None:
    types = pa.types
    is_list = (
        types.is_list(found)
        or types.is_large_list(found)
        or types.is_fixed_size_list(found)
        or types.is_list_view(found)
        or types.is_large_list_view(found)
    )
    if is_list and types.is_integer(found.value_type):
        return
    if is_list and column == MASK_COLUMN and types.is_boolean(found.value_type):
        return
    raise InputError(
        f"{path}: the column {column!r} holds {str(found)[:80]}, not lists of integers; name the "
        "column of ids with --column"
    )
