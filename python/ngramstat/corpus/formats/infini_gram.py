"""infini-gram indexes: ``tokenized.K`` with ``offset.K``, the separator before each document.

The separator is the largest value of the tokens' type (all bits set). Its width, which no file
records, is that of the run of 0xFF bytes with which all documents begin. Version 5 stores the
tokens of each document backward; no file records the version either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.mapping import check_dtype, map_array, map_tokens
from ngramstat.corpus.formats.token_store import Format, OpenOptions, TokenStore, chunks
from ngramstat.corpus.token_file import TokenFileBuilder
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason, regular_file_size

__all__ = ["FORMAT", "FORMATS"]

_NAME = re.compile(r"tokenized(?:\.(\d{1,9}))?", re.ASCII)
_FORWARD = (
    "documents are read forward, as infini-gram up to version 4 stores them; for an index of "
    "version 5, which stores them backward, give --format infini-gram-v5"
)
_BACKWARD = "the tokens of each document, stored backward by version 5, were put into reading order"
# Tokens of whole documents that are handled at once.
_GROUP_TOKENS = 1 << 20


@dataclass(frozen=True)
class _Shard:
    """One pair of files.

    Attributes
    ----------
    path
        The file of tokens.
    starts
        (documents,) byte offsets at which documents begin, each with its separator.
    size
        Bytes of the file of tokens.
    """

    path: Path
    starts: NDArray[np.int64]
    size: int


def _recognises(path: Path, head: bytes) -> bool:
    if path.is_dir():
        return any(
            (path / f"tokenized{end}").is_file() and (path / f"offset{end}").is_file()
            for end in (".0", "")
        )
    return _NAME.fullmatch(path.name) is not None and _offsets_path(path).is_file()


def _open_forward(path: Path, options: OpenOptions) -> TokenStore:
    return _open(path, options, backward=False)


def _open_backward(path: Path, options: OpenOptions) -> TokenStore:
    return _open(path, options, backward=True)


def _open(path: Path, options: OpenOptions, *, backward: bool) -> TokenStore:
    shards = [_read_offsets(file) for file in _token_files(path)]
    widths = {_separator_width(shard) for shard in shards}
    if len(widths) != 1:
        raise InputError(f"{path}: its shards have tokens of {sorted(widths)} bytes; damaged?")
    width = widths.pop()
    dtype = np.dtype(f"<u{width}")
    streams = [map_tokens(shard.path, dtype) for shard in shards]
    ends = _document_ends(shards, width)
    stored = int(np.iinfo(dtype).max)
    _check_separators(shards, streams, stored)
    separator = _choose_separator(streams, stored, options.separator)
    if len(streams) == 1 and width == 2 and separator == stored and not backward:
        tokens = streams[0]
    else:
        tokens = _copy(path, shards, streams, stored, separator, backward=backward)
    check_dtype(path, tokens.dtype, options.dtype)
    note = _BACKWARD if backward else _FORWARD
    return TokenStore(
        format=FORMATS[backward].name,
        path=path,
        tokens=tokens,
        document_ends=ends,
        separator=separator,
        separator_position="before",
        notes=(note,),
        stored_dtype=dtype.name,
        files=tuple(shard.path for shard in shards) if path.is_dir() else (),
    )


FORMAT = Format("infini-gram", "infini-gram index", _recognises, _open_forward, "before")
#: Nothing in the files tells the second from the first, which is tried before it.
FORMATS = (
    FORMAT,
    Format(
        "infini-gram-v5", "infini-gram index, version 5", _recognises, _open_backward,
        "before",
    ),
)  # fmt: skip


def _offsets_path(tokens: Path) -> Path:
    return tokens.with_name("offset" + tokens.name.removeprefix("tokenized"))


def _token_files(path: Path) -> list[Path]:
    """The files of tokens of an index: all shards of a directory in order, or the one named."""
    if not path.is_dir():
        if _NAME.fullmatch(path.name) is None:
            raise InputError(f"{path}: not a file tokenized.K of an infini-gram index")
        return [path]
    if (path / "tokenized").is_file():
        return [path / "tokenized"]
    try:
        names = [entry.name for entry in path.iterdir()]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    numbers = sorted(
        int(match[1]) for name in names if (match := _NAME.fullmatch(name)) and match[1] is not None
    )
    if not numbers:
        raise InputError(f"{path}: holds no tokenized.0, so it is not an infini-gram index")
    if numbers != list(range(len(numbers))):
        missing = next(k for k in range(len(numbers)) if numbers[k] != k)
        raise InputError(f"{path}: holds tokenized.{numbers[-1]} but no tokenized.{missing}")
    return [path / f"tokenized.{number}" for number in numbers]


def _read_offsets(tokens: Path) -> _Shard:
    size, offsets = regular_file_size(tokens), _offsets_path(tokens)
    offset_bytes = regular_file_size(offsets)
    if size == 0 or offset_bytes == 0 or offset_bytes % 8:
        raise InputError(
            f"{tokens}: {size} bytes with {offset_bytes} bytes of 8-byte offsets in "
            f"{offsets.name}; empty or truncated"
        )
    starts = map_array(offsets, "<u8", 0, offset_bytes // 8)
    if int(starts[0]) != 0 or int(starts.max()) >= size or np.any(starts[1:] <= starts[:-1]):
        raise InputError(f"{offsets}: its offsets do not rise from 0 within {tokens.name}")
    return _Shard(tokens, starts.astype(np.int64), size)


def _separator_width(shard: _Shard) -> int:
    """Bytes of a token: 4, 2 or 1, of which all documents must begin with as many bytes 0xFF."""
    data = map_array(shard.path, "u1", 0, shard.size)
    for width in (4, 2, 1):
        if np.any(shard.starts % width) or int(shard.starts[-1]) + width > shard.size:
            continue
        if all(np.all(data[shard.starts + byte] == 0xFF) for byte in range(width)):
            return width
    raise InputError(
        f"{shard.path}: its documents do not begin with bytes 0xFF, the separator of infini-gram; "
        "the files do not belong together"
    )


def _document_ends(shards: list[_Shard], width: int) -> NDArray[np.int64]:
    parts = []
    before = 0
    for shard in shards:
        parts.append((before + np.append(shard.starts[1:], shard.size)) // width)
        before += shard.size
    return np.concatenate(parts)


def _check_separators(shards: list[_Shard], streams: list[NDArray[Any]], stored: int) -> None:
    for shard, stream in zip(shards, streams, strict=True):
        found = sum(int(np.count_nonzero(chunk == stored)) for _, chunk in chunks(stream))
        if found != shard.starts.size:
            raise InputError(
                f"{shard.path}: holds {found} separators ({stored}), but its offsets count "
                f"{shard.starts.size} documents"
            )


def _choose_separator(streams: list[NDArray[Any]], stored: int, stated: int | None) -> int:
    """Id for the separators: the one the user names, as in infini-gram's engine, or the stored one.

    The largest uint32 would need a vocabulary of 2^32, so it becomes the id after the largest one.
    """
    if stated is not None:
        return stated
    if stored < 1 << 16:
        return stored
    largest = -1
    for stream in streams:
        for _, chunk in chunks(stream):
            ids = chunk[chunk != stored]
            largest = max(largest, int(ids.max()) if ids.size else -1)
    return largest + 1


def _copy(
    path: Path,
    shards: list[_Shard],
    streams: list[NDArray[Any]],
    stored: int,
    separator: int,
    *,
    backward: bool,
) -> NDArray[Any]:
    """All shards as one array, with `separator` for the stored one."""
    total = sum(stream.size for stream in streams)
    with TokenFileBuilder(str(path), expected_tokens=total) as builder:
        for shard, stream in zip(shards, streams, strict=True):
            pieces = _forward(shard, stream) if backward else (piece for _, piece in chunks(stream))
            for piece in pieces:
                builder.append(np.where(piece == stored, np.int64(separator), piece))
        return builder.finish().tokens


def _forward(shard: _Shard, stream: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The stream with each document's tokens turned around, behind its separator."""
    starts = shard.starts // stream.itemsize
    ends = np.append(starts[1:], stream.size)
    first = 0
    while first < starts.size:
        last = int(np.searchsorted(ends, starts[first] + _GROUP_TOKENS, side="right"))
        if last <= first:  # one long document, piece by piece
            start, end = int(starts[first]), int(ends[first])
            yield stream[start : start + 1]
            for stop in range(end, start + 1, -_GROUP_TOKENS):
                yield stream[max(start + 1, stop - _GROUP_TOKENS) : stop][::-1]
            first += 1
            continue
        begin, end = int(starts[first]), int(ends[last - 1])
        lengths = ends[first:last] - starts[first:last]
        at = np.arange(begin, end)
        mirrored = np.repeat(starts[first:last] + ends[first:last], lengths) - at
        mirrored[starts[first:last] - begin] = starts[first:last]
        yield stream[mirrored]
        first = last
