"""Writers of one flat array: nanoGPT's .bin and NumPy's .npy."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from ngramstat.corpus.formats.noted import note_path
from ngramstat.corpus.store import Corpus
from ngramstat.corpus.writers.writer import (
    SeparatedStream,
    WriteOptions,
    Writer,
    write_ids,
    write_note,
)
from ngramstat.errors import InputError
from ngramstat.runtime.files import atomic_write

__all__ = ["NANOGPT", "NPY"]

_NOTE_BYTES = 1 << 12


def _nanogpt_outputs(path: Path) -> list[Path]:
    file = _bin_path(path)
    return [file, note_path(file)]


def _npy_outputs(path: Path) -> list[Path]:
    return [path, note_path(path)]


def _bin_path(path: Path) -> Path:
    """The file of raw tokens; only the name ``.bin`` and the note tell readers what it is."""
    if path.is_dir():
        raise InputError(f"{path}: is a directory; name a file that ends in .bin")
    if path.suffix not in ("", ".bin"):
        raise InputError(
            f"{path}: nanogpt files end in .bin, not {path.suffix}; give {path.name}.bin or a name "
            "without suffix"
        )
    return path if path.suffix else path.with_name(path.name + ".bin")


def _bytes_needed(corpus: Corpus, options: WriteOptions) -> int:
    return SeparatedStream(corpus).max_tokens * options.dtype.itemsize + _NOTE_BYTES


def _write(
    corpus: Corpus,
    path: Path,
    options: WriteOptions,
    header: Callable[[int, WriteOptions], bytes],
) -> list[Path]:
    digest, tokens = hashlib.sha256(), 0
    with atomic_write(path) as file:
        file.write(header(0, options))
        for ids, _ in SeparatedStream(corpus).documents():
            write_ids(file, ids, options, digest)
            tokens += ids.size
        # Now that the number of tokens is known; the header's length does not depend on it.
        _rewrite(file, header(tokens, options))
    return [path, write_note(path, corpus, options, tokens, digest)]


def _rewrite(file: IO[bytes], header: bytes) -> None:
    if header:
        file.seek(0)
        file.write(header)
        file.seek(0, io.SEEK_END)


def _no_header(tokens: int, options: WriteOptions) -> bytes:
    return b""


def _npy_header(tokens: int, options: WriteOptions) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer,
        {
            "descr": options.dtype.newbyteorder("<").str,
            "fortran_order": False,
            "shape": (tokens,),
        },
    )
    return buffer.getvalue()


def _write_nanogpt(corpus: Corpus, path: Path, options: WriteOptions) -> list[Path]:
    return _write(corpus, _bin_path(path), options, _no_header)


def _write_npy(corpus: Corpus, path: Path, options: WriteOptions) -> list[Path]:
    return _write(corpus, path, options, _npy_header)


NANOGPT = Writer(
    "nanogpt", "raw tokens, as nanoGPT trains on", _nanogpt_outputs, _bytes_needed, _write_nanogpt,
    records_documents=False,
)  # fmt: skip
NPY = Writer(
    "npy", "NumPy .npy, one dimension", _npy_outputs, _bytes_needed, _write_npy,
    records_documents=False,
)  # fmt: skip
