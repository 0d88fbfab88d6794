"""Files of deduplicate-text-datasets: ``X`` with the document offsets in ``X.size``.

Before each document stand six bytes: 0xFF 0xFF and its number as uint32. They are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.mapping import check_dtype, map_array
from ngramstat.corpus.formats.token_store import Format, OpenOptions, TokenStore
from ngramstat.corpus.token_file import TokenFileBuilder
from ngramstat.errors import InputError
from ngramstat.runtime.files import regular_file_size

__all__ = ["FORMAT"]

_SEPARATOR_BYTES = 6
# So many documents of text do not all have an even number of bytes by chance.
_MANY_DOCUMENTS = 32
# Bytes of whole documents that are handled at once.
_GROUP_BYTES = 1 << 22


def _sizes_path(path: Path) -> Path:
    return path.with_name(path.name + ".size")


def _recognises(path: Path, head: bytes) -> bool:
    if not head.startswith(b"\xff\xff"):
        return False
    sizes = _sizes_path(path)
    return sizes.is_file() and regular_file_size(sizes) >= 16


def _open(path: Path, options: OpenOptions) -> TokenStore:
    size, bounds = regular_file_size(path), _read_bounds(path)
    data = map_array(path, "u1", 0, size)
    dtype = _token_type(path, np.diff(bounds), options.dtype)
    with TokenFileBuilder(
        str(path), expected_tokens=(size - _SEPARATOR_BYTES * (bounds.size - 1)) // dtype.itemsize
    ) as builder:
        first = 0
        while first < bounds.size - 1:
            reach = int(bounds[first]) + _GROUP_BYTES
            last = max(int(np.searchsorted(bounds, reach, side="right")) - 1, first + 1)
            start, group = int(bounds[first]), data[bounds[first] : bounds[last]]
            starts = bounds[first:last] - start
            separators = (starts[:, None] + np.arange(_SEPARATOR_BYTES)).ravel()
            kept = np.ones(group.size, dtype=bool)
            kept[separators] = False
            lengths = np.diff(bounds[first : last + 1]) - _SEPARATOR_BYTES
            builder.append_documents(group[kept].view(dtype), lengths // dtype.itemsize)
            first = last
        built = builder.finish()
    return TokenStore(
        format=FORMAT.name,
        path=path,
        tokens=built.tokens,
        document_ends=built.document_ends,
        stored_dtype=dtype.name,
        largest_id=built.largest_id,
    )


FORMAT = Format("dedup", "deduplicate-text-datasets file with .size", _recognises, _open)


def _read_bounds(path: Path) -> NDArray[np.int64]:
    """The (documents + 1,) byte offsets, checked against the file and its separators."""
    size, sizes = regular_file_size(path), _sizes_path(path)
    count, rest = divmod(regular_file_size(sizes), 8)
    if size == 0 or rest or count < 2:
        raise InputError(f"{sizes}: {8 * count + rest} bytes, not a list of 8-byte offsets")
    offsets = map_array(sizes, "<u8", 0, count)
    if int(offsets[0]) != 0 or int(offsets[-1]) != size or int(offsets.max()) > size:
        raise InputError(f"{sizes}: its offsets do not run from 0 to the {size} bytes of the file")
    bounds = offsets.astype(np.int64)
    if np.any(np.diff(bounds) < _SEPARATOR_BYTES):
        raise InputError(f"{sizes}: its offsets do not rise by the {_SEPARATOR_BYTES} bytes needed")
    data = map_array(path, "u1", 0, size)
    if not all(np.all(data[bounds[:-1] + byte] == 0xFF) for byte in (0, 1)):
        raise InputError(f"{path}: a document does not begin with 0xFF 0xFF; not such a file")
    return bounds


def _token_type(
    path: Path, sizes: NDArray[np.int64], stated: np.dtype[Any] | None
) -> np.dtype[Any]:
    if np.any(sizes % 2):
        if stated is not None:
            check_dtype(path, np.dtype(np.uint8), stated)
        return np.dtype(np.uint8)
    if stated is None and sizes.size < _MANY_DOCUMENTS:
        raise InputError(
            f"{path}: does not record whether it holds bytes of text or uint16 ids; give --dtype "
            "uint16 for ids, and tokenize text with `ngramstat tokenize`"
        )
    check_dtype(path, np.dtype(np.uint16), stated)
    return np.dtype("<u2")
