"""NumPy's .npy files of integers with one or two dimensions."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.mapping import check_dtype, map_array, read_bytes
from ngramstat.corpus.formats.noted import has_note, store_with_note
from ngramstat.corpus.formats.token_store import Format, OpenOptions, TokenStore
from ngramstat.corpus.token_file import TokenFileBuilder
from ngramstat.errors import InputError
from ngramstat.runtime.files import regular_file_size

__all__ = ["FORMAT", "array_store", "header_size", "parse_header", "tokens_of_shape"]

_MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 1 << 16
# What the types that are no ids hold.
_OTHER_KINDS = {
    "f": "floating-point numbers", "c": "complex numbers", "b": "truth values",
    "O": "Python objects, which would have to be unpickled", "U": "text", "S": "bytes",
    "V": "records", "M": "dates", "m": "time differences",
}  # fmt: skip


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(_MAGIC)


def _open(path: Path, options: OpenOptions) -> TokenStore:
    size = regular_file_size(path)
    if size < 10 or not read_bytes(path, 0, len(_MAGIC)) == _MAGIC:
        raise InputError(f"{path}: not a NumPy file (its first bytes are not those of .npy)")
    start, length = header_size(read_bytes(path, 0, min(12, size)), str(path))
    if length > size - start:
        raise InputError(f"{path}: a damaged .npy header ({length} bytes)")
    dtype, shape, fortran = parse_header(read_bytes(path, start, length), str(path))
    offset = start + length
    count = tokens_of_shape(shape, str(path))
    if size - offset != count * dtype.itemsize:
        held = f"{(size - offset) // dtype.itemsize} of them" if size > offset else "no tokens"
        raise InputError(
            f"{path}: its header counts {count} tokens, but the file holds {held}; truncated?"
        )
    order: Any = "F" if fortran else "C"
    array = map_array(path, dtype, offset, count).reshape(shape, order=order)
    if has_note(path) and options.rows != "documents":
        store = store_with_note(path, array, FORMAT.name)
    else:
        store = array_store(array, path, options, FORMAT.name)
    if dtype in (np.dtype("<u2"), np.dtype("<u4"), np.dtype("<i4"), np.dtype("<i2")):
        check_dtype(path, np.dtype(f"u{dtype.itemsize}"), options.dtype)
    return store


FORMAT = Format(
    "npy", "NumPy .npy of token ids", _recognises, _open, has_rows=True, has_columns=False
)


def array_store(array: NDArray[Any], path: Path, options: OpenOptions, format: str) -> TokenStore:
    """The store of an array of ids: a stream, or rows that are documents or blocks of one.

    Parameters
    ----------
    array
        One or two dimensions of an integer type, not empty. One row or one column is a stream.
    options
        Its `rows` says what the rows of two dimensions are; by default blocks of one stream.
    """
    if array.ndim == 1 and options.rows == "documents":
        raise InputError(f"{path}: has one dimension and no rows; leave out --rows")
    if array.ndim == 1 or (1 in array.shape and options.rows != "documents"):
        return TokenStore(format=format, path=path, tokens=array.reshape(-1))
    rows, length = array.shape
    ends = notes = None
    if options.rows == "documents":
        ends = np.arange(1, rows + 1, dtype=np.int64) * length
    elif options.rows == "auto":
        notes = (
            f"its {rows:,} rows of {length:,} tokens are taken as blocks of one stream, one after "
            "the other; if each is a document, give --rows documents",
        )
    if array.flags.c_contiguous:
        tokens, stored = array.reshape(-1), None
    else:
        # Fortran order: rows lie scattered in the file.
        with TokenFileBuilder(str(path), expected_tokens=array.size) as builder:
            step = max(1, (1 << 20) // length)
            for start in range(0, rows, step):
                builder.append(array[start : start + step].ravel())
            built = builder.finish()
        tokens, stored = built.tokens, array.dtype.name
    return TokenStore(
        format=format,
        path=path,
        tokens=tokens,
        document_ends=ends,
        notes=notes or (),
        stored_dtype=stored,
    )


def header_size(head: bytes, where: str) -> tuple[int, int]:
    """Where the header's text begins, and its length, from the first 12 bytes of the file."""
    major = head[6] if len(head) > 6 else 0
    if major == 1 and len(head) >= 10:
        start, length = 10, int.from_bytes(head[8:10], "little")
    elif major in (2, 3) and len(head) == 12:
        start, length = 12, int.from_bytes(head[8:12], "little")
    else:
        raise InputError(f"{where}: unknown .npy version {major}")
    if length > _MAX_HEADER_BYTES:
        raise InputError(f"{where}: a damaged .npy header ({length} bytes)")
    return start, length


def parse_header(raw: bytes, where: str) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """Type of the ids, shape, and whether the array is in Fortran order.

    Raises
    ------
    InputError
        The header is damaged, or the array does not hold token ids.
    """
    try:
        with warnings.catch_warnings():
            # A damaged header may contain text that Python's parser only warns about.
            warnings.simplefilter("ignore")
            header = ast.literal_eval(raw.decode("utf-8").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise InputError(f"{where}: its .npy header is damaged") from error
    if not isinstance(header, dict) or header.keys() != {"descr", "fortran_order", "shape"}:
        raise InputError(f"{where}: its .npy header lacks descr, fortran_order or shape")
    shape, fortran = header["shape"], header["fortran_order"]
    if (
        not isinstance(shape, tuple)
        or not all(type(n) is int and 0 <= n < 1 << 62 for n in shape)
        or type(fortran) is not bool
    ):
        raise InputError(f"{where}: its .npy header is damaged (shape or order)")
    return _id_type(header["descr"], where), shape, fortran


def tokens_of_shape(shape: tuple[int, ...], where: str) -> int:
    """Number of tokens of an array that can be a stream or rows; refuses other shapes."""
    if not shape:
        raise InputError(f"{where}: holds a single number, not an array of tokens")
    if len(shape) > 2:
        raise InputError(
            f"{where}: has {len(shape)} dimensions ({str(shape)[:60]}); save it again with one "
            "(a stream) or two (rows)"
        )
    count = shape[0] * (shape[1] if len(shape) == 2 else 1)
    if count == 0:
        raise InputError(f"{where}: holds no tokens")
    return count


def _id_type(descr: Any, where: str) -> np.dtype[Any]:
    if not isinstance(descr, str):
        raise InputError(f"{where}: holds records, not tokens; save one array of ids")
    try:
        dtype = np.dtype(descr)
    except (TypeError, ValueError, SyntaxError) as error:
        raise InputError(f"{where}: its elements are of the unknown type {descr[:40]!r}") from error
    if dtype.kind not in "iu" or dtype.subdtype is not None or dtype.fields is not None:
        kind = _OTHER_KINDS.get(dtype.kind, "no integers")
        raise InputError(
            f"{where}: holds {kind} ({descr[:40]!r}), not token ids; save the ids as integers, "
            "for instance with .astype('uint32')"
        )
    return dtype
