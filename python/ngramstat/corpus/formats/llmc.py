"""Token files with the 1024-byte header of llm.c, modded-nanogpt and NeMo."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np

from ngramstat.corpus.formats.mapping import check_dtype, map_array, map_tokens, read_bytes
from ngramstat.corpus.formats.token_store import (
    Format,
    OpenOptions,
    TokenStore,
    document_ends_at,
)
from ngramstat.errors import InputError
from ngramstat.runtime.files import regular_file_size

__all__ = ["FORMAT"]

_HEADER_BYTES = 1024
_NEMO_MAGIC = 278895051
# magic -> (version, bytes per token, or None where the header records it)
_LAYOUTS: dict[int, tuple[int, int | None]] = {
    20240520: (1, 2),
    20240801: (7, 4),
    _NEMO_MAGIC: (1, None),
}
_EVALUATION_MAGIC = 20240522
# Larger numbers after the magic one are taken for tokens of a raw file.
_MAX_VERSION = 1000
# What llm.c's own scripts put before each document, by the tokenizer that the magic number stands
# for: GPT-2's <|endoftext|>, Llama 3's <|begin_of_text|>.
_KNOWN_SEPARATORS = {20240520: (50256, "GPT-2"), 20240801: (128000, "Llama 3")}


def _recognises(path: Path, head: bytes) -> bool:
    if len(head) < 8:
        return False
    # A file with one of these magic numbers and another version is refused, not taken for raw.
    magic, version = struct.unpack_from("<ii", head)
    return (magic == _EVALUATION_MAGIC or magic in _LAYOUTS) and 0 <= version < _MAX_VERSION


def _open(path: Path, options: OpenOptions) -> TokenStore:
    size = regular_file_size(path)
    if size < _HEADER_BYTES:
        raise InputError(f"{path}: {size} bytes, shorter than an llm.c header; truncated?")
    magic, version, count, width = struct.unpack("<iiii", read_bytes(path, 0, 16))
    if magic == _EVALUATION_MAGIC:
        raise InputError(f"{path}: an llm.c evaluation file (multiple choice), not a token stream")
    if magic not in _LAYOUTS or version != _LAYOUTS[magic][0]:
        known = f"; version {_LAYOUTS[magic][0]} is read" if magic in _LAYOUTS else ""
        raise InputError(
            f"{path}: not an llm.c token file (magic number {magic}, version {version}{known})"
        )
    width = _LAYOUTS[magic][1] or width
    if width not in (2, 4):
        raise InputError(f"{path}: {width} bytes per token; only 2 and 4 are supported")
    _check_count(path, count, width, size)
    tokens = map_tokens(path, f"<u{width}", _HEADER_BYTES)
    check_dtype(path, tokens.dtype, options.dtype)
    store = TokenStore(
        format=FORMAT.name,
        path=path,
        tokens=tokens,
        likely_separator=_KNOWN_SEPARATORS.get(magic),
    )
    index = path.with_suffix(".bos.idx")
    if magic == _NEMO_MAGIC and index.exists():
        return _with_bos_index(store, index)
    return store


def _check_count(path: Path, count: int, width: int, size: int) -> None:
    """Refuse a number of tokens in the header that the size of the file contradicts."""
    if count < 1:
        raise InputError(
            f"{path}: its header counts {count} tokens, and the file has {size} bytes; an "
            "unfinished or damaged header: write the file again"
        )
    expected = _HEADER_BYTES + count * width
    if size == expected:
        return
    cause = (
        "truncated?"
        if size < expected
        else f"{size - expected} bytes too many: were tokens appended without counting them?"
    )
    raise InputError(
        f"{path}: its header counts {count} tokens of {width} bytes, so the file should have "
        f"{expected} bytes but has {size}; {cause}"
    )


FORMAT = Format("llm.c", "llm.c, modded-nanogpt or NeMo .bin", _recognises, _open, "before")


def _with_bos_index(store: TokenStore, index: Path) -> TokenStore:
    """Add the documents from NeMo's list of the byte offsets of their first tokens."""
    size = regular_file_size(index)
    if size == 0 or size % 4:
        raise InputError(f"{index}: {size} bytes, not a list of 4-byte positions")
    offsets = np.asarray(map_array(index, "<u4", 0, size // 4), dtype=np.int64) - _HEADER_BYTES
    width = store.tokens.itemsize
    positions = offsets // width
    if (
        np.any(offsets % width)
        or positions[0] < 0
        or positions[-1] >= store.tokens.size
        or np.any(np.diff(positions) <= 0)
    ):
        raise InputError(f"{index}: its positions do not lie in order in {store.path.name}")
    separators = np.unique(store.tokens[positions])
    if separators.size != 1:
        raise InputError(
            f"{index}: its positions hold {separators.size} different tokens, not one BOS"
        )
    return replace(
        store,
        separator=int(separators[0]),
        separator_position="before",
        document_ends=document_ends_at(positions, store.tokens.size, "before"),
    )
