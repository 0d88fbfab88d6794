"""Megatron's .bin of tokens with its .idx of sequences and documents."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.mapping import as_unsigned, check_dtype, map_tokens, read_bytes
from ngramstat.corpus.formats.token_store import Format, OpenOptions, TokenStore
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason, regular_file_size

__all__ = ["FORMAT"]

_MAGIC = b"MMIDIDX\x00\x00"
_HEADER_BYTES = 34
_INT32, _UINT16 = 4, 8
_OTHER_DTYPES = {1: "uint8", 2: "int8", 3: "int16", 5: "int64", 6: "float64", 7: "float32"}


@dataclass(frozen=True)
class _Index:
    """Contents of an .idx file.

    Attributes
    ----------
    lengths
        (sequences,) tokens of each sequence.
    pointers
        (sequences,) byte offsets of the sequences in the .bin file.
    document_marks
        (documents + 1,) numbers of the sequences at which documents begin, and their count.
    """

    lengths: NDArray[np.int32]
    pointers: NDArray[np.int64]
    document_marks: NDArray[np.int64]


def _recognises(path: Path, head: bytes) -> bool:
    if path.suffix == ".idx":
        return head.startswith(_MAGIC)
    index = path.with_suffix(".idx")
    if path.suffix != ".bin" or not index.is_file():
        return False
    size = regular_file_size(index)
    return size >= len(_MAGIC) and read_bytes(index, 0, len(_MAGIC)) == _MAGIC


def _open(path: Path, options: OpenOptions) -> TokenStore:
    index_path, tokens_path = path.with_suffix(".idx"), path.with_suffix(".bin")
    dtype_code, sequences, documents = _read_header(index_path)
    tokens = map_tokens(tokens_path, "<u2" if dtype_code == _UINT16 else "<i4")
    index = _read_index(index_path, sequences, documents)
    ends = _sequence_ends(index, tokens, index_path, tokens_path)
    if dtype_code == _INT32:
        tokens = as_unsigned(tokens, tokens_path)
    check_dtype(tokens_path, tokens.dtype, options.dtype)
    # An empty document has no place in a stream; its mark coincides with another one's.
    document_ends = np.unique(np.concatenate(([0], ends))[index.document_marks])
    return TokenStore(
        format=FORMAT.name,
        path=tokens_path,
        tokens=tokens,
        document_ends=document_ends[document_ends > 0],
    )


FORMAT = Format("megatron", "Megatron .bin with .idx", _recognises, _open)


def _read_header(index_path: Path) -> tuple[int, int, int]:
    """Code of the token type, number of sequences, and number of document marks."""
    size = regular_file_size(index_path)
    if size < _HEADER_BYTES:
        raise InputError(f"{index_path}: {size} bytes, shorter than a Megatron header; truncated?")
    head = read_bytes(index_path, 0, _HEADER_BYTES)
    magic, version, dtype_code, sequences, documents = struct.unpack("<9sQBQQ", head)
    if magic != _MAGIC or version != 1:
        raise InputError(f"{index_path}: not a Megatron index of version 1")
    if dtype_code not in (_INT32, _UINT16):
        name = _OTHER_DTYPES.get(dtype_code, f"unknown (code {dtype_code})")
        raise InputError(f"{index_path}: its tokens are {name}; only uint16 and int32 can be read")
    end = _HEADER_BYTES + 12 * sequences + 8 * documents
    # A multimodal index carries one more byte per sequence, the mode.
    if size not in (end, end + sequences) or sequences < 1 or documents < 2:
        raise InputError(
            f"{index_path}: its header counts {sequences} sequences and {documents} document "
            f"marks, which do not fit its {size} bytes; truncated or damaged"
        )
    return dtype_code, sequences, documents


def _read_index(index_path: Path, sequences: int, documents: int) -> _Index:
    pointers_at = _HEADER_BYTES + 4 * sequences
    marks_at = pointers_at + 8 * sequences
    return _Index(
        lengths=_copy_unaligned(index_path, "<i4", _HEADER_BYTES, sequences),
        pointers=_copy_unaligned(index_path, "<i8", pointers_at, sequences),
        document_marks=_copy_unaligned(index_path, "<i8", marks_at, documents),
    )


def _sequence_ends(
    index: _Index, tokens: NDArray[Any], index_path: Path, tokens_path: Path
) -> NDArray[np.int64]:
    """Exclusive ends of the sequences, once the index agrees with itself and with the tokens."""
    lengths, marks = index.lengths, index.document_marks
    if int(lengths.min()) < 0:
        raise InputError(
            f"{index_path}: sequence {int(np.argmax(lengths < 0))} has a negative length"
        )
    ends = np.cumsum(lengths, dtype=np.int64)
    if int(ends[-1]) != tokens.size:
        raise InputError(
            f"{index_path}: its sequences hold {int(ends[-1])} tokens, {tokens_path.name} holds "
            f"{tokens.size}; the files do not belong together, or the index does not count the "
            "end-of-document tokens"
        )
    if not np.array_equal(index.pointers, (ends - lengths) * tokens.itemsize):
        raise InputError(f"{index_path}: its pointers disagree with its sequence lengths")
    if marks[0] != 0 or marks[-1] != lengths.size or np.any(np.diff(marks) < 0):
        raise InputError(f"{index_path}: its document marks do not rise from 0 to {lengths.size}")
    return ends


def _copy_unaligned(path: Path, dtype: str, offset: int, count: int) -> NDArray[Any]:
    """Copy an array from any offset of a file whose size covers it."""
    try:
        return np.fromfile(path, dtype=dtype, count=count, offset=offset)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
