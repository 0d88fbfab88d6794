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
from ngramstat.corpus.formats.token_store import Format, OpenOptions, TokenStore
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
        (sequences,) tokens of each sequence.
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
    tokens = _join(files, index.dtype)
    ends = np.cumsum(index.lengths, dtype=np.int64)
    if int(ends[-1]) != tokens.size:
        raise InputError(
            f"{index.path}: its sequences hold {int(ends[-1])} tokens, {files[0].name}"
            f"{' and its other pieces hold' if len(files) > 1 else ' holds'} {tokens.size}; "
            "the files do not belong together, or the index does not count the end-of-document "
            "tokens"
        )
    tokens = _in_sequence_order(index, tokens, ends, files[0])
    stored = index.dtype.name
    if index.dtype.name in ("int16", "uint16", "int32"):
        width: np.dtype[Any] = np.dtype(f"u{index.dtype.itemsize}")
        check_dtype(files[0], width, options.dtype)
        stored = width.name
    document_ends, notes = _document_ends(index, ends)
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
        lengths=_copy_unaligned(path, "<i4", _HEADER_BYTES, sequences),
        pointers=_copy_unaligned(path, "<i8", pointers_at, sequences),
        document_marks=_copy_unaligned(path, "<i8", marks_at, documents),
    )
    if int(index.lengths.min()) < 0:
        at = int(np.argmax(index.lengths < 0))
        raise InputError(f"{path}: sequence {at} has a negative length")
    marks = index.document_marks
    if marks.size and (marks[0] != 0 or int(marks.max()) > sequences or np.any(np.diff(marks) < 0)):
        raise InputError(f"{path}: its document marks do not rise from 0 to {sequences}")
    return index


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


def _in_sequence_order(
    index: _Index, tokens: NDArray[Any], ends: NDArray[np.int64], path: Path
) -> NDArray[Any]:
    """The tokens as the index orders them: mapped, unless the sequences lie in another order."""
    width = index.dtype.itemsize
    starts = ends - index.lengths
    if np.array_equal(index.pointers, starts * width):
        return tokens
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
    index: _Index, ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Document ends in tokens, and what of the marks is unusual."""
    marks, sequences = index.document_marks, index.lengths.size
    if marks.size < 2:
        return None, (
            f"{index.path.name} marks no documents; its {sequences:,} sequences are one stream",
        )
    notes: tuple[str, ...] = ()
    if int(marks[-1]) < sequences:
        notes = (
            f"{index.path.name} marks no end of the last document; it is taken to hold the "
            f"remaining {sequences - int(marks[-1]):,} sequences",
        )
        marks = np.append(marks, sequences)
    # An empty document has no place in a stream; its mark coincides with another one's.
    document_ends = np.unique(np.concatenate(([0], ends))[marks])
    return document_ends[document_ends > 0], notes


def _copy_unaligned(path: Path, dtype: str, offset: int, count: int) -> NDArray[Any]:
    """Copy an array from any offset of a file whose size covers it."""
    try:
        return np.fromfile(path, dtype=dtype, count=count, offset=offset)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
