"""Megatron's .bin of tokens with its .idx of sequences and documents."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.mapping import check_dtype, map_tokens, read_bytes
from ngramstat.corpus.formats.token_store import Format, OpenOptions, TokenStore, chunks
from ngramstat.corpus.token_file import TokenFileBuilder
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason, regular_file_size

__all__ = ["FORMAT", "indexed_prefix"]

_MAGIC = b"MMIDIDX\x00\x00"
_HEADER_BYTES = 34
_DTYPES = {1: "<u1", 2: "<i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
_OTHER_DTYPES = {6: "float64", 7: "float32"}
# Tokens copied in one step where sequences do not lie in the index's order.
_COPIED_TOKENS = 1 << 22
# A piece of a .bin file that was cut up; the last number is the number of pieces, or one less.
_PIECE = re.compile(r"(.+)-([0-9]+)-of-([0-9]+)\.bin")


@dataclass(frozen=True)
class _Index:
    """Contents of an .idx file.

    Attributes
    ----------
    path
        The .idx file.
    dtype
        Type of the tokens.
    lengths
        (sequences,) tokens of each sequence; mapped, as are the other arrays.
    pointers
        (sequences,) byte offsets of the sequences in the .bin file.
    document_marks
        (documents + 1,) numbers of the sequences at which documents begin, and their count.
    """

    path: Path
    dtype: np.dtype[Any]
    lengths: NDArray[np.int32]
    pointers: NDArray[np.int64]
    document_marks: NDArray[np.int64]


def indexed_prefix(path: Path, *, pieces: bool = False) -> Path | None:
    """The index of a Megatron store that is named without its suffix, or None.

    Parameters
    ----------
    path
        Such as ``text_document`` for ``text_document.bin`` and ``text_document.idx``.
    pieces
        Whether the tokens have to be in pieces, such as ``text_document-00000-of-00020.bin``.
    """
    index = _named(path, ".idx")
    if not _is_index(index) or (pieces and _named(path, ".bin").exists()):
        return None
    return index


def _named(prefix: Path, suffix: str) -> Path:
    """A file beside the prefix; unlike with_suffix, this keeps dots in the prefix."""
    return prefix.with_name(prefix.name + suffix) if prefix.name else prefix


def _prefix_of(path: Path) -> Path:
    return path.with_suffix("") if path.suffix in (".bin", ".idx") else path


def _is_index(path: Path) -> bool:
    if not path.is_file() or regular_file_size(path) < len(_MAGIC):
        return False
    return read_bytes(path, 0, len(_MAGIC)) == _MAGIC


def _recognises(path: Path, head: bytes) -> bool:
    if path.suffix == ".idx":
        return head.startswith(_MAGIC)
    return path.suffix == ".bin" and _is_index(path.with_suffix(".idx"))


def _open(path: Path, options: OpenOptions) -> TokenStore:
    prefix = _prefix_of(path)
    index = _read_index(_named(prefix, ".idx"))
    files = _token_files(prefix)
    _require_fewer_sequences(index, files)
    tokens = _join(files, index.dtype)
    layout = _layout(index)
    if layout.tokens != tokens.size:
        raise InputError(
            f"{index.path}: its sequences hold {layout.tokens} tokens, {files[0].name}"
            f"{' and its other pieces hold' if len(files) > 1 else ' holds'} {tokens.size}; "
            "the files do not belong together, or the index does not count the end-of-document "
            "tokens"
        )
    if not layout.in_order:
        tokens = _in_sequence_order(index, tokens, files[0])
    stored = index.dtype.name
    if index.dtype.name in ("int16", "uint16", "int32"):
        width: np.dtype[Any] = np.dtype(f"u{index.dtype.itemsize}")
        check_dtype(files[0], width, options.dtype)
        stored = width.name
    document_ends, notes = _document_ends(index, layout)
    return TokenStore(
        format=FORMAT.name,
        path=files[0] if len(files) == 1 else index.path,
        tokens=tokens,
        document_ends=document_ends,
        notes=notes,
        stored_dtype=stored,
        files=tuple(files),
    )


FORMAT = Format("megatron", "Megatron .bin with .idx", _recognises, _open)


def _read_index(path: Path) -> _Index:
    """The index, once its arrays fit the file."""
    size = regular_file_size(path)
    if size < _HEADER_BYTES:
        raise InputError(f"{path}: {size} bytes, shorter than a Megatron header; truncated?")
    head = read_bytes(path, 0, _HEADER_BYTES)
    magic, version, dtype_code, sequences, documents = struct.unpack("<9sQBQQ", head)
    if magic != _MAGIC or version != 1:
        raise InputError(f"{path}: not a Megatron index of version 1")
    if dtype_code not in _DTYPES:
        name = _OTHER_DTYPES.get(dtype_code, f"unknown (code {dtype_code})")
        raise InputError(f"{path}: its tokens are {name}; only integer types can be read")
    end = _HEADER_BYTES + 12 * sequences + 8 * documents
    # A multimodal index carries one more byte per sequence, the mode.
    if size not in (end, end + sequences) or sequences < 1:
        raise InputError(
            f"{path}: its header counts {sequences} sequences and {documents} document "
            f"marks, which do not fit its {size} bytes; truncated or damaged"
        )
    pointers_at = _HEADER_BYTES + 4 * sequences
    marks_at = pointers_at + 8 * sequences
    index = _Index(
        path=path,
        dtype=np.dtype(_DTYPES[dtype_code]),
        lengths=_map_unaligned(path, "<i4", _HEADER_BYTES, sequences),
        pointers=_map_unaligned(path, "<i8", pointers_at, sequences),
        document_marks=_map_unaligned(path, "<i8", marks_at, documents),
    )
    return index


def _require_fewer_sequences(index: _Index, files: list[Path]) -> None:
    """Refuse an index that is out of proportion to its tokens, before it is read."""
    tokens = sum(map(regular_file_size, files)) // index.dtype.itemsize
    if index.lengths.size > tokens or index.document_marks.size > 2 * tokens + 1:
        raise InputError(
            f"{index.path}: counts {index.lengths.size} sequences and {index.document_marks.size} "
            f"document marks, but {files[0].name} holds {tokens} tokens; the files do not belong "
            "together"
        )


@dataclass(frozen=True)
class _Layout:
    """What the index says of the stream of tokens.

    Attributes
    ----------
    tokens
        Sum of the lengths of all sequences.
    in_order
        Whether the sequences lie in the .bin file one after the other.
    ends_at_marks
        Distinct numbers of tokens before the marked sequences, ascending.
    last_mark
        The last of the marks; 0 without any.
    """

    tokens: int
    in_order: bool
    ends_at_marks: NDArray[np.int64]
    last_mark: int


def _layout(index: _Index) -> _Layout:
    """Read the index once, a piece at a time: it may be larger than the memory."""
    marks, last_mark = _marks(index)
    ends_at_marks = np.zeros(marks.size, np.int64)
    tokens, in_order = 0, True
    for start, piece in chunks(index.lengths):
        lengths = piece.astype(np.int64)
        if int(lengths.min()) < 0:
            at = start + int(np.argmax(lengths < 0))
            raise InputError(f"{index.path}: sequence {at} has a negative length")
        ends = tokens + np.cumsum(lengths)
        pointers = index.pointers[start : start + lengths.size]
        in_order &= np.array_equal(pointers, (ends - lengths) * index.dtype.itemsize)
        # A mark counts the sequences before it.
        first, last = np.searchsorted(marks, [start, start + lengths.size], side="right")
        ends_at_marks[first:last] = ends[marks[first:last] - start - 1]
        tokens = int(ends[-1])
    return _Layout(tokens, in_order, np.unique(ends_at_marks), last_mark)


def _marks(index: _Index) -> tuple[NDArray[np.int64], int]:
    """The document marks without repeats, and the last one."""
    sequences, last = index.lengths.size, 0
    distinct: list[NDArray[np.int64]] = []
    for start, piece in chunks(index.document_marks):
        marks = piece.astype(np.int64)
        wrong = marks[0] < last or (start == 0 and marks[0] != 0) or np.any(np.diff(marks) < 0)
        if wrong or int(marks[-1]) > sequences:
            raise InputError(f"{index.path}: its document marks do not rise from 0 to {sequences}")
        distinct.append(np.unique(marks))
        last = int(marks[-1])
    return np.unique(np.concatenate(distinct or [np.empty(0, np.int64)])), last


def _token_files(prefix: Path) -> list[Path]:
    """The .bin file, or the pieces that it was cut into, in order."""
    whole = _named(prefix, ".bin")
    pieces, last = ({}, 0) if whole.exists() else _pieces_of(prefix)
    if not pieces:
        return [whole]
    # Pythia counts from 0 and names the last number, others name how many there are.
    wrong = [f"lacks piece {number} of {last}" for number in range(last) if number not in pieces]
    wrong += [f"has a piece {number} of {last}" for number in pieces if number > last]
    if wrong:
        raise InputError(
            f"{_named(prefix, '.idx')}: its tokens are in {len(pieces)} pieces, but the directory "
            f"{wrong[0]}; all pieces are needed"
        )
    return [pieces[number] for number in sorted(pieces)]


def _pieces_of(prefix: Path) -> tuple[dict[int, Path], int]:
    """Pieces of a .bin file by their numbers, and the number after ``-of-`` in their names."""
    pieces: dict[int, Path] = {}
    last = 0
    for path in sorted(prefix.parent.iterdir()) if prefix.parent.is_dir() else ():
        match = _PIECE.fullmatch(path.name)
        if match is None or match[1] != prefix.name:
            continue
        if last and int(match[3]) != last:
            raise InputError(
                f"{path}: some pieces beside it say -of-{last}; keep one set of pieces"
            )
        pieces[int(match[2])] = path
        last = int(match[3])
    return pieces, last


def _join(files: list[Path], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The tokens of one file, mapped, or of several, copied."""
    mapped = [map_tokens(path, dtype) for path in files]
    if len(mapped) == 1:
        return mapped[0]
    expected = sum(tokens.size for tokens in mapped)
    with TokenFileBuilder(str(files[0]), expected_tokens=expected) as builder:
        for tokens in mapped:
            builder.append(tokens)
        return builder.finish().tokens


def _in_sequence_order(index: _Index, tokens: NDArray[Any], path: Path) -> NDArray[Any]:
    """A copy of the tokens as the index orders them, whose sequences lie in another order."""
    width = index.dtype.itemsize
    filled = index.lengths > 0
    pointers, lengths = index.pointers[filled], index.lengths[filled].astype(np.int64)
    order = np.argsort(pointers, kind="stable")
    in_file = np.cumsum(lengths[order])
    if not np.array_equal(pointers[order], (in_file - lengths[order]) * width):
        raise InputError(
            f"{index.path}: its pointers disagree with its sequence lengths: the sequences overlap "
            f"or leave out parts of {path.name}"
        )
    with TokenFileBuilder(str(path), expected_tokens=tokens.size) as builder:
        for piece in _slices(tokens, pointers // width, lengths):
            builder.append(piece)
        return builder.finish().tokens


def _slices(
    tokens: NDArray[Any], starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> Iterator[NDArray[Any]]:
    """The sequences one after the other; short ones several at a time, which is faster."""
    held: list[NDArray[Any]] = []
    size = 0
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        held.append(tokens[start : start + length])
        size += length
        if size >= _COPIED_TOKENS:
            yield from held if len(held) == 1 else [np.concatenate(held)]
            held, size = [], 0
    if held:
        yield np.concatenate(held)


def _document_ends(
    index: _Index, layout: _Layout
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Document ends in tokens, and what of the marks is unusual."""
    sequences = index.lengths.size
    if index.document_marks.size < 2:
        return None, (
            f"{index.path.name} marks no documents; its {sequences:,} sequences are one stream",
        )
    ends = layout.ends_at_marks
    if layout.last_mark < sequences:
        note = (
            f"{index.path.name} marks no end of the last document; it is taken to hold the "
            f"remaining {sequences - layout.last_mark:,} sequences"
        )
        return np.unique(np.append(ends[ends > 0], layout.tokens)), (note,)
    # An empty document has no place in a stream; its mark coincides with another one's.
    return ends[ends > 0], ()


def _map_unaligned(path: Path, dtype: str, offset: int, count: int) -> NDArray[Any]:
    """Map an array at any offset of a file whose size covers it."""
    if count == 0:
        return np.empty(0, dtype)
    try:
        return np.memmap(path, dtype, "r", offset, (count,))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
