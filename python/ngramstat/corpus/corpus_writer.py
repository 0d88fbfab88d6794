"""Writing corpus directories."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.corpus.formats import (
    DOCUMENTS_FILE,
    METADATA_FILE,
    PARTIAL_SUFFIX,
    SCHEMA,
    TOKENIZER_FILE,
    TOKENS_FILE,
    check_vocab_size,
    is_partial,
    token_dtype,
)
from ngramstat.corpus.formats.token_store import MAX_VOCAB
from ngramstat.corpus.store import Corpus
from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.arguments import integer_within, optional_integer_within
from ngramstat.runtime.files import atomic_write, reason, sync_directory, write_json
from ngramstat.runtime.locks import LOCK_FILE, remove_abandoned, sole_writer
from ngramstat.version import __version__

__all__ = ["CorpusFacts", "CorpusWriter", "check_output_directory"]


@dataclass(frozen=True)
class CorpusFacts:
    """What is known of a corpus before its metadata are written.

    Attributes
    ----------
    tokens, documents : int
    sha256 : str
        Of the token bytes.
    """

    tokens: int
    documents: int
    sha256: str


class CorpusWriter:
    """Writes a corpus directory as a stream; a context manager.

    The data are written to ``*.partial`` files with names of their own. `finish` renames them and
    writes the metadata last. An interrupted run therefore leaves no directory that could be
    mistaken for a corpus, and does not change the corpus that it was to replace. Leaving the block
    without `finish` removes the partial files. Until then the directory is locked.

    Parameters
    ----------
    directory
        Directory to write; created if it does not exist. Leftovers of an interrupted run are
        removed.
    vocab_size
        Vocabulary size.
    dtype
        "uint16" or "uint32"; by default the smaller type that holds `vocab_size`.
    separator
        Id appended to each document by `append`, or None.
    tokenizer
        Contents of the tokenizer.json to store with the corpus, or None.
    sources
        Files that the tokens were made from: ``{"name", "bytes"}`` each, optionally ``"sha256"``.
    overwrite
        Whether an existing corpus in the directory may be replaced.

    Attributes
    ----------
    tokenization
        How text became tokens, for the metadata; may be set until `finish`.

    Raises
    ------
    InputError
        The directory holds other files, or a corpus without `overwrite`, or another process writes
        it, or an argument is invalid.
    NgramstatError
        Writing failed.
    """

    def __init__(
        self,
        directory: str | PathLike[str],
        vocab_size: int,
        dtype: Any = None,
        separator: int | None = None,
        *,
        tokenizer: bytes | None = None,
        sources: Sequence[Mapping[str, Any]] = (),
        overwrite: bool = False,
    ) -> None:
        self.directory = Path(directory)
        self._vocab = integer_within("vocab_size", vocab_size, 1, MAX_VOCAB)
        if dtype is None:
            dtype = np.uint16 if self._vocab <= 1 << 16 else np.uint32
        self._dtype = token_dtype(dtype)
        check_vocab_size(self._vocab, self._dtype, "vocab_size")
        self._separator = optional_integer_within("separator", separator, 0, self._vocab - 1)
        self._tokenizer = tokenizer
        self.tokenization: dict[str, Any] | None = None
        self._sources = [dict(source) for source in sources]
        self._digest = hashlib.sha256()
        self._tokens = self._documents = self._last_end = 0
        check_output_directory(self.directory, overwrite=overwrite)
        self._lock = contextlib.ExitStack()
        self._lock.enter_context(sole_writer(self.directory))
        self._files: list[IO[bytes]] = []
        self._paths: list[Path] = []
        try:
            # Once more: until it was locked, another process may have written it.
            check_output_directory(self.directory, overwrite=overwrite)
            remove_abandoned(self.directory, is_partial)
            for name in (TOKENS_FILE, DOCUMENTS_FILE):
                path = self.directory / f"{name}.{secrets.token_hex(8)}{PARTIAL_SUFFIX}"
                self._paths.append(path)
                self._files.append(open(path, "xb", buffering=1 << 20))  # noqa: SIM115
        except OSError as error:
            self.close()
            raise InputError(f"{directory}: cannot be written: {reason(error)}") from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, ids: ArrayLike) -> None:
        """Write one document and the separator after it."""
        self.append_batch([ids])

    def append_batch(self, documents: Sequence[ArrayLike]) -> None:
        """Write several documents and the separator after each.

        Raises
        ------
        InputError
            An id is out of range or is the separator, or, without a separator, a document is empty.
        NgramstatError
            Writing failed.
        """
        if not documents:
            return
        parts: list[NDArray[np.int64]] = []
        lengths: list[int] = []
        separator = np.array([] if self._separator is None else [self._separator], dtype=np.int64)
        for ids in documents:
            part = _as_ids(ids)
            if self._last_end < self._tokens and not parts:
                # The first document continues the pieces that `write` has written.
                lengths.append(self._tokens - self._last_end)
                lengths[-1] += part.size + separator.size
            else:
                lengths.append(part.size + separator.size)
            if lengths[-1] == 0:
                raise InputError(f"document {self._documents + len(lengths) - 1}: is empty")
            parts += [part, separator]
        stream = np.concatenate(parts)
        if self._separator is not None:
            inside = int(np.count_nonzero(stream == self._separator)) - len(documents)
            if inside:
                raise InputError(
                    f"{self.directory}: {inside} tokens inside documents {self._documents} to "
                    f"{self._documents + len(documents) - 1} are the separator {self._separator}"
                )
        self._write_tokens(stream)
        self._end_documents(self._last_end + np.cumsum(np.array(lengths, dtype=np.int64)))

    def append_flat(self, ids: NDArray[Any], ends: NDArray[np.int64]) -> None:
        """Write a piece of the stream in which documents end, and the separator after each.

        The fastest method: no Python object is made for a document or a token.

        Parameters
        ----------
        ids
            (tokens,) unsigned integers, of documents in a row and without separators.
        ends
            (documents,) int64, not decreasing: exclusive ends in `ids` of the documents that end in
            it. The first one continues what was written without ending a document; the next call
            continues what follows the last end.

        Raises
        ------
        InputError
            An id is out of range or is the separator, the ends are invalid, or, without a
            separator, a document is empty.
        NgramstatError
            Writing failed.
        """
        if ids.ndim != 1 or ids.dtype.kind != "u":
            raise InputError("ids: a one-dimensional array of unsigned integers is needed")
        if ends.size and (ends[0] < 0 or ends[-1] > ids.size or np.any(np.diff(ends) < 0)):
            raise InputError(f"ends: must lie between 0 and {ids.size} and not decrease")
        self._check_range(ids)
        # Where documents end in the stream, of which a part may have been written before.
        stops = ends - self._last_end + self._tokens
        if self._separator is None:
            stream = ids
            lengths = np.diff(stops, prepend=0)
            if np.any(lengths == 0):
                first = self._documents + int(np.argmax(lengths == 0))
                raise InputError(f"document {first}: is empty")
        else:
            inside = int(np.count_nonzero(ids == self._separator))
            if inside:
                raise InputError(
                    f"{self.directory}: {inside} tokens inside documents {self._documents} to "
                    f"{self._documents + ends.size} are the separator {self._separator}"
                )
            stops = stops + np.arange(1, ends.size + 1)
            stream = np.empty(ids.size + ends.size, dtype=self._dtype)
            is_token = np.ones(stream.size, dtype=bool)
            is_token[ends + np.arange(ends.size)] = False
            stream[is_token] = ids
            stream[~is_token] = self._separator
        end_of_last = self._last_end
        self._put_tokens(stream)
        self._end_documents(end_of_last + stops)

    def write_equal(self, ids: ArrayLike, length: int) -> None:
        """Write a piece of a stream in which every document has `length` tokens.

        Pieces may end anywhere in a document; there are no separators.

        Raises
        ------
        InputError
            The writer puts separators between documents, documents written so far have other
            lengths, or an id is out of range.
        NgramstatError
            Writing failed.
        """
        piece = _as_ids(ids)
        if self._separator is not None or length < 1:
            raise InputError(f"length={length}: must be at least 1, in a corpus without separators")
        first, last = self._tokens // length, (self._tokens + piece.size) // length
        if self._last_end != first * length or self._documents != first:
            raise InputError(f"length={length}: documents written so far have other lengths")
        self._write_tokens(piece)
        self._end_documents(np.arange(first + 1, last + 1, dtype=np.int64) * length)

    def write(self, ids: ArrayLike) -> None:
        """Write a piece of the stream without ending a document.

        The next `append` completes the document that the piece belongs to. A corpus that consists
        only of such pieces has no documents.

        Raises
        ------
        InputError
            An id is out of range or is the separator.
        NgramstatError
            Writing failed.
        """
        piece = _as_ids(ids)
        if self._separator is not None and np.any(piece == self._separator):
            raise InputError(
                f"{self.directory}: a token inside document {self._documents} is the separator "
                f"{self._separator}"
            )
        self._write_tokens(piece)

    def finish(self, write_beside: Callable[[CorpusFacts], None] | None = None) -> Corpus:
        """Complete the directory and open it.

        Parameters
        ----------
        write_beside
            Writes further files into the directory. It is called before the metadata are written,
            so that a corpus that is there has these files.

        Raises
        ------
        InputError
            Nothing was written.
        NgramstatError
            Writing failed.
        """
        if self._tokens == 0:
            raise InputError(f"{self.directory}: nothing to write, the inputs hold no tokens")
        if self._documents and self._last_end < self._tokens:
            self._put(1, np.array([self._tokens], dtype="<i8").tobytes())
            self._documents += 1
        metadata = {
            "schema": SCHEMA,
            "tokens": self._tokens,
            "vocab_size": self._vocab,
            "dtype": self._dtype.name,
            "documents": self._documents,
            "separator": self._separator,
            "separator_position": None if self._separator is None else "after",
            "tokenizer": None if self._tokenizer is None else TOKENIZER_FILE,
            "tokenizer_sha256": (
                None if self._tokenizer is None else hashlib.sha256(self._tokenizer).hexdigest()
            ),
            "sha256": self._digest.hexdigest(),
            "sources": self._sources,
            "created_by": f"ngramstat {__version__}",
        }
        if self.tokenization is not None:
            metadata["tokenization"] = self.tokenization
        try:
            for file in self._files:
                file.flush()
                os.fsync(file.fileno())
                file.close()
            # From here until the new metadata are written, the directory is not a corpus.
            (self.directory / METADATA_FILE).unlink(missing_ok=True)
            for name in (DOCUMENTS_FILE, TOKENIZER_FILE):
                (self.directory / name).unlink(missing_ok=True)
            os.replace(self._paths[0], self.directory / TOKENS_FILE)
            if self._documents:
                os.replace(self._paths[1], self.directory / DOCUMENTS_FILE)
        except OSError as error:
            raise self._failure(error) from error
        if self._tokenizer is not None:
            with atomic_write(self.directory / TOKENIZER_FILE) as file:
                file.write(self._tokenizer)
        if write_beside is not None:
            facts = CorpusFacts(self._tokens, self._documents, self._digest.hexdigest())
            write_beside(facts)
        sync_directory(self.directory)
        write_json(self.directory / METADATA_FILE, metadata)
        corpus = Corpus.open(self.directory)
        self.close()
        return corpus

    def close(self) -> None:
        """Remove the partial files; does nothing after `finish`."""
        for file in self._files:
            with contextlib.suppress(OSError):
                file.close()
        self._files = []
        for path in self._paths:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._paths = []
        self._lock.close()

    def _end_documents(self, ends: NDArray[np.int64]) -> None:
        if ends.size:
            self._put(1, ends.astype("<i8").tobytes())
            self._documents += ends.size
            self._last_end = int(ends[-1])

    def _write_tokens(self, stream: NDArray[np.int64]) -> None:
        self._check_range(stream)
        self._put_tokens(stream)

    def _check_range(self, stream: NDArray[Any]) -> None:
        if stream.size and (int(stream.min()) < 0 or int(stream.max()) >= self._vocab):
            at = int(np.argmax((stream < 0) | (stream >= self._vocab)))
            raise InputError(
                f"{self.directory}: the id {int(stream[at])} at token {self._tokens + at} is not "
                f"in the vocabulary (0 to {self._vocab - 1})"
            )

    def _put_tokens(self, stream: NDArray[Any]) -> None:
        if stream.size == 0:
            return
        data = np.ascontiguousarray(stream, dtype=self._dtype.newbyteorder("<")).data.cast("B")
        self._put(0, data)
        self._digest.update(data)
        self._tokens += stream.size

    def _put(self, which: int, data: bytes | memoryview) -> None:
        if not self._files:
            raise NgramstatError(f"{self.directory}: the writer is closed")
        try:
            self._files[which].write(data)
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> NgramstatError:
        return NgramstatError(f"{self.directory}: writing failed: {reason(error)}")


def check_output_directory(directory: Path, *, overwrite: bool) -> None:
    """Refuse a directory that a corpus may not be written to.

    Raises
    ------
    InputError
        It is a file, holds other files, or holds a corpus without `overwrite`.
    """
    try:
        if not directory.exists():
            return
        if not directory.is_dir():
            raise InputError(f"{directory}: is a file; the output is a directory")
        names = {entry.name for entry in directory.iterdir()}
    except OSError as error:
        raise InputError(f"{directory}: cannot be read: {reason(error)}") from error
    if METADATA_FILE in names and not overwrite:
        raise InputError(f"{directory}: holds a corpus; give --overwrite to replace it")
    corpus_files = {METADATA_FILE, TOKENS_FILE, DOCUMENTS_FILE, TOKENIZER_FILE}
    names.discard(LOCK_FILE)
    if names and not names & corpus_files and not any(map(is_partial, names)):
        raise InputError(f"{directory}: holds other files; name a new or an empty directory")


def _as_ids(ids: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(ids)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InputError("ids: a one-dimensional array of integers is needed")
    if array.dtype == np.uint64 and array.size and int(array.max()) >= MAX_VOCAB:
        raise InputError(f"ids: the id {int(array.max())} is out of range")
    return array.astype(np.int64, copy=False)
