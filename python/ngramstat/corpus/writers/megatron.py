"""Writer of Megatron's .bin of tokens with its .idx of sequences and documents."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats import chunks
from ngramstat.corpus.store import Corpus
from ngramstat.corpus.writers.writer import SeparatedStream, WriteOptions, Writer, write_ids
from ngramstat.errors import InputError
from ngramstat.runtime.files import atomic_write

__all__ = ["MEGATRON"]

_MAGIC = b"MMIDIDX\x00\x00"
_UINT16, _INT32 = 8, 4
# Sequence lengths are int32; a longer document becomes several sequences.
_MAX_SEQUENCE = (1 << 31) - 1


def _pair(path: Path) -> tuple[Path, Path]:
    """The .bin and the .idx of a prefix, or of one of the two files."""
    prefix = path.with_suffix("") if path.suffix in (".bin", ".idx") else path
    return prefix.with_name(prefix.name + ".bin"), prefix.with_name(prefix.name + ".idx")


def _outputs(path: Path) -> list[Path]:
    return list(_pair(path))


def _bytes_needed(corpus: Corpus, options: WriteOptions) -> int:
    sequences = corpus.n_documents + SeparatedStream(corpus).max_tokens // _MAX_SEQUENCE + 1
    tokens = SeparatedStream(corpus).max_tokens
    return tokens * options.dtype.itemsize + 34 + 20 * sequences + 8


def _write(corpus: Corpus, path: Path, options: WriteOptions) -> list[Path]:
    vocab_size = max(corpus.vocab_size, 0 if corpus.separator is None else corpus.separator + 1)
    if options.dtype == np.uint32 and vocab_size > 1 << 31:
        raise InputError(f"{path}: Megatron stores int32, too small for {vocab_size} ids")
    tokens_path, index_path = _pair(path)
    # The index, by which the pair is recognised, is renamed last.
    with atomic_write(index_path) as index, atomic_write(tokens_path) as file:
        lengths, marks = _sequences(_write_tokens(file, corpus, options))
        code = _UINT16 if options.dtype == np.uint16 else _INT32
        index.write(struct.pack("<9sQBQQ", _MAGIC, 1, code, lengths.size, marks.size))
        pointers = (np.cumsum(lengths) - lengths) * options.dtype.itemsize
        for array, dtype in ((lengths, "<i4"), (pointers, "<i8"), (marks, "<i8")):
            for _, chunk in chunks(array):
                index.write(chunk.astype(dtype).tobytes())
    return [tokens_path, index_path]


MEGATRON = Writer("megatron", "Megatron .bin with .idx", _outputs, _bytes_needed, _write)


def _write_tokens(file: IO[bytes], corpus: Corpus, options: WriteOptions) -> NDArray[np.int64]:
    """Write the tokens, with the separator after each document, and return the documents' ends.

    A corpus without documents is one document.
    """
    digest, tokens = hashlib.sha256(), 0
    found: list[NDArray[np.int64]] = []
    for ids, ends in SeparatedStream(corpus).documents():
        write_ids(file, ids, options, digest)
        found.append(tokens + ends)
        tokens += ids.size
    return np.array([tokens]) if corpus.document_ends is None else np.concatenate(found)


def _sequences(ends: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lengths of the sequences, and the numbers of those at which documents begin, and their count.

    Each document is one sequence, with its separator.
    """
    lengths = np.diff(ends, prepend=0)
    parts = -(-lengths // _MAX_SEQUENCE)
    marks = np.concatenate(([0], np.cumsum(parts)))
    if int(parts.max()) > 1:
        split = np.full(int(marks[-1]), _MAX_SEQUENCE, dtype=np.int64)
        split[marks[1:] - 1] = lengths - (parts - 1) * _MAX_SEQUENCE
        lengths = split
    return lengths.astype(np.int64), marks.astype(np.int64)
