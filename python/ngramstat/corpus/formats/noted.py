"""Tokens with a note beside them, as `convert` writes them.

``X.bin.json`` describes the raw tokens of ``X.bin``, ``X.npy.json`` those of ``X.npy``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.mapping import check_dtype, map_tokens, read_bytes
from ngramstat.corpus.formats.token_store import (
    Format,
    OpenOptions,
    TokenStore,
    chunks,
    document_ends_at,
    token_dtype,
)
from ngramstat.errors import InputError
from ngramstat.runtime.files import read_json, regular_file_size

__all__ = ["FORMAT", "NOTE_SCHEMA", "has_note", "note_path", "store_with_note"]

NOTE_SCHEMA = "ngramstat.tokens/1"
_MAX_NOTE_BYTES = 1 << 16


def note_path(path: Path) -> Path:
    """The note of a file of tokens."""
    return path.with_name(path.name + ".json")


def has_note(path: Path) -> bool:
    """Whether a note of this package lies beside a file of tokens."""
    note = note_path(path)
    if not note.is_file():
        return False
    beginning = read_bytes(note, 0, min(256, regular_file_size(note)))
    return NOTE_SCHEMA.encode() in beginning


def store_with_note(path: Path, tokens: NDArray[Any], format: str) -> TokenStore:
    """The store of the tokens of a file with what the note beside it says of them.

    Parameters
    ----------
    path
        The file.
    tokens
        (tokens,) ids of the file, uint16 or uint32.
    format
        Name of the file's format.

    Raises
    ------
    InputError
        The note is damaged, or is not that of these tokens.
    """
    where = note_path(path)
    note = _read_note(path)
    dtype = token_dtype(note.get("dtype"))
    if tokens.dtype != dtype or tokens.ndim != 1:
        raise InputError(
            f"{path}: holds {tokens.ndim} dimension(s) of {tokens.dtype.name}, but {where.name} "
            f"describes one of {dtype.name}; remove {where.name} if it is that of another file"
        )
    vocab_size = _integer(note, "vocab_size", 1, int(np.iinfo(dtype).max) + 1, where)
    if _integer(note, "tokens", 1, 1 << 60, where) != tokens.size:
        raise InputError(
            f"{path}: {tokens.size} tokens, but {where.name} counts {note['tokens']}; remove "
            f"{where.name} if it is that of another file"
        )
    documents = _integer(note, "documents", 0, tokens.size, where)
    separator = note.get("separator")
    ends = None
    if separator is not None:
        separator = _integer(note, "separator", 0, vocab_size - 1, where)
    if separator is not None and documents:
        ends = _document_ends(tokens, separator)
        if ends.size != documents:
            raise InputError(
                f"{path}: {ends.size} documents end with {separator}, but {where.name} counts "
                f"{documents}"
            )
    return TokenStore(
        format=format,
        path=path,
        tokens=tokens,
        vocab_size=vocab_size,
        document_ends=ends,
        separator=separator,
        separator_position=None if separator is None else "after",
    )


def _recognises(path: Path, head: bytes) -> bool:
    return path.suffix == ".bin" and has_note(path)


def _open(path: Path, options: OpenOptions) -> TokenStore:
    dtype = token_dtype(_read_note(path).get("dtype"))
    check_dtype(path, dtype, options.dtype)
    return store_with_note(path, map_tokens(path, dtype), FORMAT.name)


FORMAT = Format("nanogpt", "raw tokens with a note (.bin, .bin.json)", _recognises, _open)


def _read_note(path: Path) -> dict[str, Any]:
    where = note_path(path)
    note = read_json(where, max_bytes=_MAX_NOTE_BYTES)
    if not isinstance(note, dict) or note.get("schema") != NOTE_SCHEMA:
        raise InputError(f"{where}: not a note of {NOTE_SCHEMA}")
    return note


def _document_ends(tokens: NDArray[Any], separator: int) -> NDArray[np.int64]:
    pieces = [start + np.flatnonzero(chunk == separator) for start, chunk in chunks(tokens)]
    positions = np.concatenate(pieces).astype(np.int64, copy=False)
    return document_ends_at(positions, tokens.size, "after")


def _integer(note: dict[str, Any], name: str, low: int, high: int, where: Path) -> int:
    value = note.get(name)
    if type(value) is not int or not low <= value <= high:
        raise InputError(f"{where}: {name} must be an integer from {low} to {high}")
    return value
