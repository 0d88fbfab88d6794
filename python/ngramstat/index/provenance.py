"""What an index remembers of its corpus, so that it can tell whether the corpus has changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.kernels.checksums import Checksum
from ngramstat.runtime.files import reason, regular_file_size

__all__ = ["check_corpus", "check_recorded_corpus", "provenance"]

# Pieces of the tokens, evenly spread, of which a checksum is kept, and the bytes of each.
_PIECES = 64
_PIECE_BYTES = 8192


def provenance(corpus: Corpus) -> dict[str, Any]:
    """Of a corpus: name, size, a checksum of parts of it, and the file of its tokens if it has one.

    The file is one that holds the tokens as they are, so that it can be compared later without
    being opened as a corpus.
    """
    file, offset = _token_file(corpus)
    return {
        "path": None if corpus.path is None else str(Path(corpus.path).resolve()),
        "format": corpus.format,
        "tokens": corpus.n_tokens,
        "documents": corpus.n_documents,
        "dtype": corpus.dtype.name,
        "fingerprint": _fingerprint(corpus.tokens),
        "document_fingerprint": (
            None if corpus.document_ends is None else _fingerprint(corpus.document_ends)
        ),
        "token_file": None if file is None else str(file),
        "token_file_bytes": None if file is None else os.stat(file).st_size,
        "token_file_offset": None if file is None else offset,
    }


def check_corpus(corpus: Corpus, recorded: Mapping[str, Any], index: Path) -> None:
    """Refuse a corpus that is not the one of an index.

    Raises
    ------
    InputError
    """
    ends = corpus.document_ends
    if (
        corpus.n_tokens == recorded["tokens"]
        and _fingerprint(corpus.tokens) == recorded["fingerprint"]
        and (None if ends is None else _fingerprint(ends)) == recorded["document_fingerprint"]
    ):
        return
    raise InputError(
        f"{index}: is the index of another corpus than {corpus.name}: of {recorded['tokens']:,} "
        f"tokens ({recorded['path'] or 'in memory'}), not these {corpus.n_tokens:,}; build one of "
        "this corpus with ngramstat index build"
    )


def check_recorded_corpus(recorded: Mapping[str, Any], index: Path) -> None:
    """Refuse an index whose corpus is where it was and has changed since.

    Raises
    ------
    InputError
    """
    if recorded["token_file"] is None:
        return
    file = Path(recorded["token_file"])
    if not file.exists():
        return  # the index holds all it needs
    if _unchanged(file, recorded):
        return
    raise InputError(
        f"{index}: its corpus {recorded['path']} has changed since the index was built; build the "
        "index again with --overwrite, or move the corpus away to go on with the old one"
    )


def _unchanged(file: Path, recorded: Mapping[str, Any]) -> bool:
    dtype = np.dtype(recorded["dtype"])
    count, offset = recorded["tokens"], recorded["token_file_offset"]
    size = regular_file_size(file)
    if size != recorded["token_file_bytes"] or offset + count * dtype.itemsize > size:
        return False
    try:
        tokens = np.memmap(file, dtype=dtype, mode="r", offset=offset, shape=(count,))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read: {reason(error)}") from error
    return bool(_fingerprint(tokens) == recorded["fingerprint"])


def _fingerprint(values: NDArray[Any]) -> str:
    """Checksum of the number of values and of pieces of them, whole where they are few."""
    piece = _PIECE_BYTES // values.itemsize
    digest = Checksum()
    digest.update(np.array([values.size], np.int64))
    if values.size <= _PIECES * piece:
        digest.update(np.ascontiguousarray(values))
        return digest.hexdigest()
    last = values.size - piece
    for number in range(_PIECES):
        start = last * number // (_PIECES - 1)
        digest.update(np.ascontiguousarray(values[start : start + piece]))
    return digest.hexdigest()


def _token_file(corpus: Corpus) -> tuple[Path | None, int]:
    """The file that holds the tokens as they are, if there is one with a name, and where."""
    mapped: Any = None
    array: Any = corpus.tokens
    while array is not None:
        if isinstance(array, np.memmap):
            mapped = array
        array = getattr(array, "base", None)
    name = None if mapped is None else mapped.filename
    if corpus.path is None or not isinstance(name, str | os.PathLike):
        return None, 0
    file = Path(os.fsdecode(name)).resolve()
    if not file.is_file() or not corpus.tokens.flags.c_contiguous:
        return None, 0
    offset = int(corpus.tokens.ctypes.data) - int(mapped.ctypes.data) + int(mapped.offset)
    return file, offset
