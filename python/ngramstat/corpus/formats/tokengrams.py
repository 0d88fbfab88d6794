"""Token files of tokengrams: raw tokens in .bin, with a suffix table of 8 bytes a token in .idx.

The names are those of Megatron's files, whose .idx begins with a magic and is recognised before.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ngramstat.corpus.formats.mapping import check_dtype, map_tokens
from ngramstat.corpus.formats.token_store import Format, OpenOptions, TokenStore
from ngramstat.errors import InputError
from ngramstat.runtime.files import regular_file_size

__all__ = ["FORMAT"]


def _recognises(path: Path, head: bytes) -> bool:
    return path.suffix in (".bin", ".idx") and _width(path) is not None


def _open(path: Path, options: OpenOptions) -> TokenStore:
    tokens_path = path.with_suffix(".bin")
    width = _width(path)
    if width is None:
        raise InputError(
            f"{tokens_path}: has no {path.with_suffix('.idx').name} beside it with 8 bytes for "
            "each token of uint16 or uint32"
        )
    dtype = np.dtype(f"u{width}")
    check_dtype(tokens_path, dtype, options.dtype)
    return TokenStore(format=FORMAT.name, path=tokens_path, tokens=map_tokens(tokens_path, dtype))


FORMAT = Format("tokengrams", "tokengrams .bin with .idx", _recognises, _open)


def _width(path: Path) -> int | None:
    """Bytes of a token, from the sizes of the two files; None if they do not belong together."""
    tokens_path, table_path = path.with_suffix(".bin"), path.with_suffix(".idx")
    if not (tokens_path.is_file() and table_path.is_file()):
        return None
    tokens, table = regular_file_size(tokens_path), regular_file_size(table_path)
    count, rest = divmod(table, 8)
    if rest or count == 0:
        return None
    return next((width for width in (2, 4) if tokens == count * width), None)
