"""datatrove's .ds files, with the .index and .metadata beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.mapping import (
    check_dtype,
    dtype_from_count,
    map_array,
    map_tokens,
    read_bytes,
)
from ngramstat.corpus.formats.token_store import (
    Format,
    OpenOptions,
    TokenStore,
    stated_or_assumed_dtype,
)
from ngramstat.errors import InputError
from ngramstat.runtime.files import regular_file_size

__all__ = ["FORMAT"]


def _recognises(path: Path, head: bytes) -> bool:
    return path.suffix == ".ds"


def _open(path: Path, options: OpenOptions) -> TokenStore:
    size = regular_file_size(path)
    metadata = path.with_name(path.name + ".metadata")
    index = path.with_name(path.name + ".index")
    dtype = options.dtype
    recorded = _recorded_dtype(metadata) if metadata.exists() else None
    ends = None
    if index.exists():
        ends = _document_ends(index)
        # All ends may be 0, in which case there is no document.
        counted = dtype_from_count(path, size, int(ends[-1]) if ends.size else 0)
        if recorded not in (None, counted):
            raise InputError(
                f"{path}: {metadata.name} says {recorded.itemsize} bytes per token, but "
                f"{index.name} counts {int(ends[-1]):,} tokens, which fill the {size:,} bytes with "
                f"{counted.itemsize} each; one of them belongs to another file, remove that one"
            )
        recorded = counted
    if recorded is not None:
        check_dtype(path, recorded, dtype)
        dtype = recorded
    else:
        dtype = stated_or_assumed_dtype(options)
    if dtype is None:
        raise InputError(
            f"{path}: its token type is recorded in neither .index nor .metadata; give --dtype"
        )
    return TokenStore(
        format=FORMAT.name, path=path, tokens=map_tokens(path, dtype), document_ends=ends
    )


FORMAT = Format("datatrove", "datatrove .ds", _recognises, _open)


def _document_ends(index: Path) -> NDArray[np.int64]:
    """Distinct ends above 0; an empty document ends where the one before it does."""
    size = regular_file_size(index)
    if size == 0 or size % 8:
        raise InputError(f"{index}: {size} bytes, not a list of 8-byte ends")
    ends = map_array(index, "<u8", 0, size // 8)
    if ends.max() >= 1 << 62:
        raise InputError(f"{index}: document ends out of range")
    ends = ends.astype(np.int64)
    if np.any(np.diff(ends) < 0):
        raise InputError(f"{index}: its document ends do not rise")
    distinct = np.unique(ends)
    return distinct[distinct > 0]


def _recorded_dtype(path: Path) -> np.dtype[Any] | None:
    """Token type from ``tokenizer|size`` in the first line; older files lack the size."""
    line = read_bytes(path, 0, min(4096, regular_file_size(path))).split(b"\n", 1)[0]
    _, bar, width = line.rpartition(b"|")
    if not bar:
        return None
    if width.strip() not in (b"2", b"4"):
        raise InputError(f"{path}: {width[:20]!r} bytes per token; only 2 and 4 are supported")
    return np.dtype(np.uint16 if width.strip() == b"2" else np.uint32)
