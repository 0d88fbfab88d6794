"""Raw little-endian tokens without a header, as nanoGPT writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ngramstat.corpus.formats.mapping import map_tokens
from ngramstat.corpus.formats.token_store import (
    Format,
    OpenOptions,
    TokenStore,
    stated_or_assumed_dtype,
)
from ngramstat.errors import InputError

__all__ = ["FORMAT"]

# None: the suffix does not imply a token type.
_DTYPES_BY_SUFFIX = {".bin": None, ".raw": None, ".u16": np.uint16, ".u32": np.uint32}


def _recognises(path: Path, head: bytes) -> bool:
    return path.suffix in _DTYPES_BY_SUFFIX


def _open(path: Path, options: OpenOptions) -> TokenStore:
    dtype = options.dtype
    implied = _DTYPES_BY_SUFFIX.get(path.suffix)
    if dtype is None:
        dtype = stated_or_assumed_dtype(options) if implied is None else np.dtype(implied)
    if dtype is None:
        raise InputError(f"{path}: raw tokens do not record their type; give --dtype uint16|uint32")
    return TokenStore(format=FORMAT.name, path=path, tokens=map_tokens(path, dtype))


FORMAT = Format("raw", "raw little-endian tokens (nanoGPT)", _recognises, _open)
