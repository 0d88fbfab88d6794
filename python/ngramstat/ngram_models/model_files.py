"""The file of a back-off model: a header, then levels and guides of its trie as they lie in memory.

Bytes 0 to 7 are the magic, 8 to 11 the version, 12 to 15 the length of the description (uint32,
little endian), 16 to 47 the SHA-256 of bytes 8 to 15 and the description, which is JSON and
follows. Zeros fill up to the next multiple of 64, where level 1 begins; every level begins at such
a multiple. Attachments, such as a tokenizer, follow the last level without gaps. A file is mapped,
so that opening it takes the same time for any size; `verify_model_file` reads all of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.ngram_models.trie import LEAF, MAX_ORDER, NODE, NgramTrie
from ngramstat.runtime.files import atomic_write, reason, regular_file_size, sha256_array

__all__ = ["ModelFile", "open_model_file", "save_model_file", "verify_model_file"]

_MAGIC = b"NGRAMLM\n"
_VERSION = 1
_FIXED = 48
_ALIGNMENT = 64
_MAX_DESCRIPTION = 1 << 20
_MAX_VOCAB = 1 << 32


@dataclass(frozen=True, eq=False)
class ModelFile:
    """What a file holds: the trie, the description without what the trie says, attachments."""

    trie: NgramTrie
    settings: dict[str, Any]
    attachments: dict[str, bytes]


def _layout(entries: list[int]) -> list[tuple[np.dtype[Any], int]]:
    """Type and number of entries of every level, then of the guides of levels 2 and more."""
    order = len(entries)
    levels = [(LEAF if m == order > 1 else NODE, n) for m, n in enumerate(entries, start=1)]
    sizes = [n - (dtype == NODE) for dtype, n in levels]
    return levels + [(np.dtype("<u4"), size // 4) for size in sizes[1:]]


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def save_model_file(
    path: str | PathLike[str],
    trie: NgramTrie,
    settings: dict[str, Any],
    attachments: Mapping[str, bytes],
) -> None:
    """Write a trie, JSON-able settings, and attachments by name, atomically.

    Raises
    ------
    InputError, NgramstatError
        The file cannot be written.
    """
    description = {
        **settings,
        "vocab_size": trie.vocab_size,
        "symbols": trie.symbols,
        "entries": [len(level) for level in trie.levels],
        "sha256": [sha256_array(_bytes(part)) for part in (*trie.levels, *trie.guides)],
        "attachments": [
            [name, len(contents), hashlib.sha256(contents).hexdigest()]
            for name, contents in attachments.items()
        ],
    }
    text = json.dumps(description, ensure_ascii=True, allow_nan=False).encode()
    head = np.array([_VERSION, len(text)], "<u4").tobytes()
    with atomic_write(path) as file:
        file.write(_MAGIC + head + hashlib.sha256(head + text).digest() + text)
        at = _FIXED + len(text)
        for part in (*trie.levels, *trie.guides):
            file.write(bytes(_aligned(at) - at))
            file.write(_bytes(part).data)
            at = _aligned(at) + part.nbytes
        for contents in attachments.values():
            file.write(contents)


def open_model_file(path: str | PathLike[str]) -> ModelFile:
    """Map a model; checks everything but the levels' contents.

    Raises
    ------
    InputError
        The file cannot be opened, is no such file, is damaged, truncated or of another version.
    """
    description, begin = _read_description(Path(path))
    parts = []
    for dtype, count in _layout(description["entries"]):
        at = _aligned(begin)
        empty = np.zeros(0, dtype)
        parts.append(np.memmap(path, dtype, "r", at, (count,)) if count else empty)
        begin = at + count * dtype.itemsize
    order = len(description["entries"])
    trie = NgramTrie(
        description["vocab_size"],
        description["symbols"],
        tuple(parts[:order]),
        tuple(parts[order:]),
    )
    settings = {k: v for k, v in description.items() if k not in _OWN}
    return ModelFile(trie, settings, _read_attachments(Path(path), description, begin))


_OWN = ("vocab_size", "symbols", "entries", "sha256", "attachments")


def _read_attachments(path: Path, description: dict[str, Any], begin: int) -> dict[str, bytes]:
    attachments = {}
    try:
        with open(path, "rb") as file:
            file.seek(begin)
            for name, size, expected in description["attachments"]:
                attachments[name] = file.read(size)
                if hashlib.sha256(attachments[name]).hexdigest() != expected:
                    raise InputError(f"{path}: damaged: its {name:.40} has another checksum")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    return attachments


def verify_model_file(path: str | PathLike[str]) -> None:
    """Read the whole file and compare it with its checksums.

    Raises
    ------
    InputError
        It is damaged, or as for `open_model_file`.
    """
    trie = open_model_file(path).trie
    sums = _read_description(Path(path))[0]["sha256"]
    parts = (*trie.levels, *trie.guides)
    for number, (part, expected) in enumerate(zip(parts, sums, strict=True)):
        if sha256_array(_bytes(part)) != expected:
            order = number + 1 if number < trie.order else number - trie.order + 2
            raise InputError(f"{path}: damaged: the n-grams of order {order} have another checksum")


def _bytes(part: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(part).view(np.uint8)


def _read_description(path: Path) -> tuple[dict[str, Any], int]:
    """The description, checked, and where it ends."""
    size = regular_file_size(path)
    try:
        with open(path, "rb") as file:
            head = file.read(_FIXED)
            if head[: len(_MAGIC)] != _MAGIC:
                raise InputError(f"{path}: is no n-gram model of ngramstat")
            if len(head) < _FIXED:
                raise InputError(f"{path}: truncated: it holds {size} bytes")
            version, length = np.frombuffer(head[8:16], "<u4").tolist()
            if version != _VERSION:
                raise InputError(
                    f"{path}: of version {version} of this format, or damaged; this program reads "
                    f"version {_VERSION}"
                )
            if length > min(_MAX_DESCRIPTION, size - _FIXED):
                raise InputError(f"{path}: truncated or damaged: its description is incomplete")
            text = file.read(length)
            end = _FIXED + length
            padding = file.read(_aligned(end) - end)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    if hashlib.sha256(head[8:16] + text).digest() != head[16:_FIXED] or any(padding):
        raise InputError(f"{path}: damaged: its description has another checksum")
    try:
        description = json.loads(text)
        _check_sizes(description, end, size)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: damaged: {reason(error)}") from error
    return description, end


def _check_sizes(description: dict[str, Any], end: int, size: int) -> None:
    """Refuse what does not fit together; ValueError says what."""
    vocab_size, symbols = description["vocab_size"], description["symbols"]
    entries, sums = description["entries"], description["sha256"]
    numbers = [vocab_size, symbols, *entries]
    if not all(type(number) is int and 0 <= number < 1 << 48 for number in numbers):
        raise ValueError("a size is no integer in range")
    if not 1 <= vocab_size < _MAX_VOCAB or symbols not in (vocab_size, vocab_size + 1):
        raise ValueError("its vocabulary has no valid size")
    order = len(entries)
    if not 1 <= order <= MAX_ORDER or len(sums) != 2 * order - 1 or entries[0] != symbols + 1:
        raise ValueError("its orders do not fit together")
    if any(count < 1 for count in entries[1:-1]):
        raise ValueError("an order has no entry")
    for dtype, count in _layout(entries):
        end = _aligned(end) + count * dtype.itemsize
    end += _attached_bytes(description["attachments"], size)
    if end != size:
        raise ValueError(f"it holds {size} bytes, its description says {end}; is it truncated?")


def _attached_bytes(attachments: Any, size: int) -> int:
    """Bytes of all attachments, none of which is larger than the file of `size` bytes."""
    for name, length, expected in attachments:
        if not (isinstance(name, str) and type(length) is int and 0 <= length <= size):
            raise ValueError("an attachment has no valid size")
        if not isinstance(expected, str):
            raise ValueError("an attachment has no checksum")
    return sum(length for _, length, _ in attachments)
