"""NumPy's .npy files with one dimension of uint16, uint32 or int32."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path
from typing import Any

from ngramstat.corpus.formats.mapping import as_unsigned, check_dtype, map_tokens, read_bytes
from ngramstat.corpus.formats.token_store import Format, OpenOptions, TokenStore
from ngramstat.errors import InputError
from ngramstat.runtime.files import regular_file_size

__all__ = ["FORMAT"]

_MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 1 << 16
_DTYPES = {"<u2": "uint16", "<u4": "uint32", "<i4": "int32"}


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(_MAGIC)


def _open(path: Path, options: OpenOptions) -> TokenStore:
    header, offset = _read_header(path)
    descr, shape = header["descr"], header["shape"]
    if descr not in _DTYPES:
        raise InputError(
            f"{path}: its elements are {str(descr)[:40]!r}, not little-endian uint16, uint32 or "
            "int32; if all ids are integers of at least 0, save it again with .astype('<u4')"
        )
    if not (isinstance(shape, tuple) and len(shape) == 1 and type(shape[0]) is int):
        raise InputError(f"{path}: shape {str(shape)[:40]}, one dimension is needed; ravel it")
    if header["fortran_order"] is not False:
        raise InputError(f"{path}: is in Fortran order; save it again in C order")
    tokens = map_tokens(path, _DTYPES[descr], offset)
    if tokens.size != shape[0]:
        raise InputError(
            f"{path}: its header counts {shape[0]} tokens, but the file holds {tokens.size}; "
            "truncated?"
        )
    if tokens.dtype.kind == "i":
        tokens = as_unsigned(tokens, path)
    check_dtype(path, tokens.dtype, options.dtype)
    return TokenStore(format=FORMAT.name, path=path, tokens=tokens)


FORMAT = Format("npy", "NumPy .npy, one dimension", _recognises, _open)


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header's fields, and the offset of the array in bytes."""
    size = regular_file_size(path)
    if size < 10 or not (head := read_bytes(path, 0, min(12, size))).startswith(_MAGIC):
        raise InputError(f"{path}: not a NumPy file (its first bytes are not those of .npy)")
    major = head[6]
    if major == 1:
        start, length = 10, int.from_bytes(head[8:10], "little")
    elif major in (2, 3) and len(head) == 12:
        start, length = 12, int.from_bytes(head[8:12], "little")
    else:
        raise InputError(f"{path}: unknown .npy version {major}")
    if length > min(_MAX_HEADER_BYTES, size - start):
        raise InputError(f"{path}: a damaged .npy header ({length} bytes)")
    return _parse_header(read_bytes(path, start, length), path), start + length


def _parse_header(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            # A damaged header may contain text that Python's parser only warns about.
            warnings.simplefilter("ignore")
            header = ast.literal_eval(raw.decode("utf-8").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise InputError(f"{path}: its .npy header is damaged") from error
    if not isinstance(header, dict) or header.keys() != {"descr", "fortran_order", "shape"}:
        raise InputError(f"{path}: its .npy header lacks descr, fortran_order or shape")
    if not isinstance(header["descr"], str):
        raise InputError(f"{path}: holds records, not tokens; save one array of ids")
    return header
