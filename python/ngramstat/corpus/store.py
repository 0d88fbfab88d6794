"""A corpus, which is a stream of token ids with its documents, and writing corpus directories."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from importlib import import_module
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.corpus.arrays import MAX_INFERRED_VOCAB, Stream, stream_of_array, stream_of_documents
from ngramstat.corpus.formats import (
    DOCUMENTS_FILE,
    METADATA_FILE,
    PARTIAL_SUFFIX,
    SCHEMA,
    TOKENIZER_FILE,
    TOKENS_FILE,
    Assumptions,
    OpenOptions,
    RowMeaning,
    SeparatorPosition,
    Shard,
    check_vocab_size,
    chunks,
    largest_id,
    token_dtype,
)
from ngramstat.corpus.shards import open_stores
from ngramstat.errors import InputError, InputTypeError, NgramstatError
from ngramstat.runtime.files import (
    atomic_write,
    reason,
    sha256_array,
    sha256_file,
    sync_directory,
    write_json,
)
from ngramstat.version import __version__

__all__ = ["Corpus", "CorpusWriter"]

_LOGGER = logging.getLogger(__name__)

_MAX_VOCAB = 1 << 32


@dataclass(frozen=True, eq=False)
class Corpus:
    """A stream of token ids, including the separators of the token store.

    Use `Corpus.open`, `from_arrays`, `from_documents` or `from_texts` to make one; they check the
    fields.

    Attributes
    ----------
    tokens
        (tokens,) uint16 or uint32, read-only; mapped from the file, so pages are read on demand.
    vocab_size
        Vocabulary size V; ids are 0 to V - 1.
    separator
        Id of the token that separates documents, or None.
    separator_position
        Whether the separator stands "before" or "after" each document; None if unknown.
    document_ends
        (documents,) int64, read-only, strictly increasing exclusive ends in tokens; a document
        includes its separator, and the last end is the number of tokens. None if unknown.
    path
        The file or directory; None for a corpus in memory.
    format
        Name of the token store's format.
    vocab_size_inferred
        Whether `vocab_size` is only the largest id plus 1.
    tokenizer_path
        The tokenizer recorded with the corpus, or None.
    tokenization
        How text became tokens, where that is recorded: ``pre_tokenizer`` (None for a given
        tokenizer), ``training`` (bytes used and cuts made in training; None for a given tokenizer),
        ``unknown`` (tokens of text that the tokenizer lacks, or characters left out),
        ``unknown_of`` (all tokens or characters), ``unknown_example``, ``unknown_id`` (of the
        unknown token; None if there is none), ``left_out`` (whether unknown characters were left
        out),
        ``special_tokens`` (what became of text that spells one), ``engine`` (what encoded, why it
        is not the faster one, and the size of the sample that was compared) and ``forced_cuts``
        (places where a stretch without blanks was cut because of its length).
    notes
        What the reader of the store decided or left out, one sentence each.
    shards
        The files that make up the stream, in order, if there are several.
    """

    tokens: NDArray[Any]
    vocab_size: int
    separator: int | None = None
    separator_position: SeparatorPosition | None = None
    document_ends: NDArray[np.int64] | None = None
    path: Path | None = None
    format: str = "memory"
    vocab_size_inferred: bool = False
    tokenizer_path: Path | None = None
    tokenization: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    shards: tuple[Shard, ...] = ()
    _tokenizer_sha256: str | None = field(default=None, repr=False)
    _recorded_sha256: str | None = field(default=None, repr=False)
    _options: OpenOptions | None = field(default=None, repr=False)

    @classmethod
    def open(
        cls,
        path: str | PathLike[str] | Sequence[str | PathLike[str]],
        *,
        format: str = "auto",
        dtype: Any = None,
        vocab_size: int | None = None,
        separator: int | None = None,
        separator_position: SeparatorPosition | None = None,
        column: str | None = None,
        rows: RowMeaning = "auto",
        array: str | None = None,
    ) -> Corpus:
        """Open a corpus directory or token stores of any known format, if possible in place.

        Parameters
        ----------
        path
            A corpus directory or a token file. Several files are one corpus: a sequence of paths,
            a glob, a directory of shards, or a ``shards.json`` that names them. They are copied to
            one array, in a temporary file where they are large, and documents may run across them.
        format
            "auto", or one of `ngramstat.corpus.formats.FORMATS`.
        dtype
            "uint16" or "uint32", for files that do not record it.
        vocab_size
            Vocabulary size, for files that do not record it. Without it the file is scanned, and
            the vocabulary size is the largest id plus 1 (`vocab_size_inferred`).
        separator
            Id of the token between documents, for files that do not record it.
        separator_position
            Whether the separator stands "before" or "after" its document. By default, where the
            data show it: before, if the stream begins and does not end with it.
        column
            Column or field that holds the ids, in tables (Parquet, Arrow, JSON lines); by default
            ``input_ids`` or ``tokens``.
        rows
            What a row of a table, or of a two-dimensional array, is: one of the "documents", or a
            block of a "packed" stream. "auto" takes rows of one length for blocks, others for
            documents, and notes it.
        array
            Name of the array of ids in an .npz file that holds several.

        Raises
        ------
        InputError
            The path is not a token store, is damaged, or contradicts an option.
        """
        options = OpenOptions(
            dtype=None if dtype is None else token_dtype(dtype),
            vocab_size=_optional_integer(vocab_size, "vocab_size", 1, _MAX_VOCAB),
            separator=_optional_integer(separator, "separator", 0, _MAX_VOCAB - 1),
            separator_position=separator_position,
            column=column,
            rows=rows,
            array=array,
        )
        return cls._open_with(path, format, options)

    @classmethod
    def _open_with(
        cls,
        path: str | PathLike[str] | Sequence[str | PathLike[str]],
        format: str,
        options: OpenOptions,
    ) -> Corpus:
        places = [path] if isinstance(path, str | PathLike) else path
        store = open_stores([Path(place) for place in places], format, options)
        for note in store.notes:
            _LOGGER.warning("%s: %s", store.path, note)
        inferred = store.vocab_size is None
        if store.document_ends is not None:
            store.document_ends.setflags(write=False)
        size = store.vocab_size
        if size is None:
            largest = store.largest_id
            size = (largest_id(store.tokens) if largest is None else largest) + 1
        if inferred and size > MAX_INFERRED_VOCAB:
            raise InputError(
                f"{store.path}: its largest id is {size - 1}, but no tokenizer has a vocabulary "
                "that large; check the dtype, or give the vocabulary's size"
            )
        return cls(
            tokens=store.tokens,
            vocab_size=size,
            separator=store.separator,
            separator_position=store.separator_position,
            document_ends=store.document_ends,
            path=store.path,
            format=store.format,
            vocab_size_inferred=inferred,
            tokenizer_path=store.tokenizer_path,
            tokenization=store.tokenization,
            notes=store.notes + store.remarks,
            shards=store.shards,
            _tokenizer_sha256=store.tokenizer_sha256,
            _recorded_sha256=store.sha256,
            _options=options,
        )

    @classmethod
    def open_like(cls, corpus: Corpus, path: str | PathLike[str]) -> Corpus:
        """Open files that belong to a corpus, such as its held-out part.

        What they do not record is as in the corpus: the type of the tokens, the separator and its
        position, and how the corpus was opened otherwise. The separator need not occur.

        Raises
        ------
        InputError
            As for `open`.
        """
        options = replace(
            corpus._options or OpenOptions(),
            dtype=None,
            vocab_size=None,
            separator=None,
            separator_position=None,
            assumed=Assumptions(
                corpus.format, corpus.dtype, corpus.separator, corpus.separator_position
            ),
        )
        return cls._open_with(path, "auto", options)

    @classmethod
    def from_arrays(
        cls,
        tokens: ArrayLike,
        *,
        vocab_size: int | None = None,
        document_ends: ArrayLike | None = None,
        separator: int | None = None,
        separator_position: SeparatorPosition | None = None,
    ) -> Corpus:
        """A stream of tokens in memory.

        Parameters
        ----------
        tokens
            (tokens,) integers from 0 to vocab_size - 1. A uint16 or uint32 array is not copied.
        vocab_size
            Vocabulary size; by default the largest id plus 1 (`vocab_size_inferred`).
        document_ends
            (documents,) strictly increasing exclusive ends, the last one equal to the number of
            tokens; by default where the separators are. Without either, a stream without documents.
        separator
            Id of the token that separates documents, or None.
        separator_position
            Whether the separator stands "before" or "after" its document; by default before, if
            the stream begins and does not end with it, and otherwise after.

        Raises
        ------
        InputError
            An argument violates these conditions.
        """
        return cls._of_stream(
            stream_of_array(
                tokens,
                vocab_size=_optional_integer(vocab_size, "vocab_size", 1, _MAX_VOCAB),
                document_ends=document_ends,
                separator=_optional_integer(separator, "separator", 0, _MAX_VOCAB - 1),
                separator_position=separator_position,
            )
        )

    @classmethod
    def from_documents(
        cls,
        documents: Iterable[ArrayLike],
        *,
        vocab_size: int | None = None,
        separator: int | None = None,
    ) -> Corpus:
        """Documents of token ids, one after the other.

        Parameters
        ----------
        documents
            Sequences or arrays of integers, of any lengths, or a two-dimensional array whose rows
            are the documents. Those without tokens are left out, and a note says how many.
        vocab_size
            Vocabulary size; by default the largest id plus 1 (`vocab_size_inferred`).
        separator
            Id that ends every document. If the first document begins or ends with it, all others
            have to; otherwise it is appended to each, and may occur in none.

        Raises
        ------
        InputError
            A document is no sequence of integers, or an argument violates these conditions.
        """
        if isinstance(documents, str | bytes) or not isinstance(documents, Iterable):
            raise InputTypeError(
                f"documents: needs sequences of token ids, not {type(documents).__name__}"
            )
        return cls._of_stream(
            stream_of_documents(
                documents,
                vocab_size=_optional_integer(vocab_size, "vocab_size", 1, _MAX_VOCAB),
                separator=_optional_integer(separator, "separator", 0, _MAX_VOCAB - 1),
            )
        )

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        *,
        vocab_size: int = 8192,
        tokenizer: str | PathLike[str] | None = None,
        pre_tokenizer: Literal["byte-level", "whitespace"] = "byte-level",
        separator: int | None = None,
        special_tokens: Literal["text", "keep", "error"] = "text",
        allow_download: bool = False,
        threads: int | None = None,
        progress: bool | None = None,
    ) -> Corpus:
        """Texts, one document each, tokenized by `ngramstat.tokenize` with nothing left on disk.

        Parameters
        ----------
        texts
            Strings; also a generator, which is read once.
        vocab_size
            Vocabulary size of the byte-level BPE to train; few texts may yield less.
        tokenizer, pre_tokenizer, separator, special_tokens, allow_download, threads
            As for `ngramstat.tokenize`.
        progress
            Show progress; by default in notebooks.

        Raises
        ------
        InputError
            A text is no string, there is no text, or an option cannot be used.
        """
        # Tokenizing writes corpora, so it belongs to a module that imports this one.
        corpus: Corpus = import_module("ngramstat.corpus.texts").corpus_of_texts(
            texts,
            vocab_size=vocab_size,
            tokenizer=tokenizer,
            pre_tokenizer=pre_tokenizer,
            separator=separator,
            special_tokens=special_tokens,
            allow_download=allow_download,
            threads=threads,
            progress=progress,
        )
        return corpus

    @classmethod
    def _of_stream(cls, stream: Stream) -> Corpus:
        for note in stream.notes:
            _LOGGER.info("tokens in memory: %s", note)
        return cls(**{f.name: getattr(stream, f.name) for f in fields(stream)})

    def __repr__(self) -> str:
        where = "in memory" if self.path is None else f"{str(self.path)!r} ({self.format})"
        return (
            f"Corpus({where}: {self.n_tokens:,} tokens, {self.n_documents:,} documents, "
            f"vocabulary {self.vocab_size:,}{' inferred' * self.vocab_size_inferred}, {self.dtype})"
        )

    @property
    def name(self) -> str:
        """The path, or what a message calls a corpus in memory."""
        return "the corpus in memory" if self.path is None else str(self.path)

    @property
    def n_tokens(self) -> int:
        """Number of tokens P, separators included."""
        return int(self.tokens.size)

    @property
    def n_documents(self) -> int:
        """Number of documents; 0 if the documents are unknown."""
        return 0 if self.document_ends is None else int(self.document_ends.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint16 or uint32."""
        return self.tokens.dtype

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the token bytes as stored, which a corpus directory records."""
        return self._recorded_sha256 or sha256_array(self.tokens)

    def info(self) -> dict[str, Any]:
        """The ``corpus`` part of a result: path, format, sha256, tokens, documents, ...

        The path is None (null) for a corpus in memory; 0 documents means that they are unknown.
        If the corpus is made of several files, ``shards`` lists path, bytes, tokens and sha256 of
        each, in order.
        """
        shards = {"shards": self._shard_records} if self.shards else {}
        return {
            "path": None if self.path is None else str(self.path),
            "format": self.format,
            "sha256": self.sha256,
            "tokens": self.n_tokens,
            "documents": self.n_documents,
            "vocab_size": self.vocab_size,
            "dtype": self.dtype.name,
            **shards,
        }

    @cached_property
    def _shard_records(self) -> list[dict[str, Any]]:
        return [
            {
                "path": str(shard.path),
                "bytes": shard.bytes,
                "tokens": shard.tokens,
                "sha256": sha256_file(shard.token_file),
            }
            for shard in self.shards
        ]

    def check(self, *, checksum: bool = False) -> None:
        """Read the whole corpus once and check that all ids are below `vocab_size`.

        Parameters
        ----------
        checksum
            Also compare the token bytes with the checksum that a corpus directory records.

        Raises
        ------
        InputError
            An id is too large, or the bytes have changed since they were written.
        """
        where = "tokens" if self.path is None else str(self.path)
        _refuse_large_ids(self.tokens, self.vocab_size, where)
        if checksum and self._recorded_sha256 not in (None, sha256_array(self.tokens)):
            raise InputError(f"{where}: its tokens have changed since they were written (checksum)")

    def documents_or_blocks(
        self, n_blocks: int = 128, *, min_documents: int = 2
    ) -> tuple[NDArray[np.int64], bool]:
        """Ends of the units from which halves, bootstrap samples and held-out sets are made.

        Parameters
        ----------
        n_blocks
            Number of equal blocks to cut if there are too few documents. A shorter corpus has as
            many blocks as tokens.
        min_documents
            Number of documents that is sufficient.

        Returns
        -------
        ends : numpy.ndarray
            (units,) int64, strictly increasing exclusive ends in tokens.
        is_blocks : bool
            True for equal blocks, False for the documents of the corpus.
        """
        count = _integer(n_blocks, "n_blocks", 1, 1 << 31)
        if self.document_ends is not None and self.n_documents >= min_documents:
            return self.document_ends, False
        count = min(count, self.n_tokens)
        # Python integers, because tokens * count could exceed 2^63.
        ends = [self.n_tokens * (block + 1) // count for block in range(count)]
        return np.array(ends, dtype=np.int64), True

    def decode(self, ids: ArrayLike) -> list[str]:
        """The text of each single id, decoded with the tokenizer recorded with the corpus.

        A token that is only a part of a character becomes the replacement character.

        Raises
        ------
        InputError
            No tokenizer is recorded, its file has changed, or an id is not in 0 to V - 1.
        """
        array = np.asarray(ids)
        if array.size and (array.dtype.kind not in "iu" or array.ndim != 1):
            raise InputError("ids: a one-dimensional array of integers is needed")
        if array.size and not 0 <= int(array.min()) <= int(array.max()) < self.vocab_size:
            raise InputError(f"ids: must lie between 0 and {self.vocab_size - 1}")
        tokenizer = self._tokenizer
        return [str(tokenizer.decode([int(i)], skip_special_tokens=False)) for i in array]

    @cached_property
    def _tokenizer(self) -> Any:
        if self.tokenizer_path is None:
            raise InputError(f"{self.name}: no tokenizer is recorded, so ids cannot be decoded")
        if self._tokenizer_sha256 not in (None, sha256_file(self.tokenizer_path)):
            raise InputError(
                f"{self.tokenizer_path}: is not the tokenizer the corpus was made with"
            )
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise NgramstatError(
                f"{self.path}: decoding needs the tokenizers library: pip install 'ngramstat[text]'"
            ) from error
        try:
            # Read here: the library cannot open names that are not UTF-8.
            return Tokenizer.from_buffer(self.tokenizer_path.read_bytes())
        except Exception as error:  # the library raises plain Exception
            raise InputError(
                f"{self.tokenizer_path}: not a valid tokenizer: {reason(error)}"
            ) from error


class CorpusWriter:
    """Writes a corpus directory as a stream; a context manager.

    The data are written to ``*.partial`` files. `finish` renames them and writes the metadata last.
    An interrupted run therefore leaves no directory that could be mistaken for a corpus, and does
    not change the corpus that it was to replace. Leaving the block without `finish` removes the
    partial files.

    Parameters
    ----------
    directory
        Directory to write; created if it does not exist. Leftovers of an interrupted run are
        replaced.
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
        The directory holds other files, or a corpus without `overwrite`, or an argument is invalid.
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
        self._vocab = _integer(vocab_size, "vocab_size", 1, _MAX_VOCAB)
        if dtype is None:
            dtype = np.uint16 if self._vocab <= 1 << 16 else np.uint32
        self._dtype = token_dtype(dtype)
        check_vocab_size(self._vocab, self._dtype, "vocab_size")
        self._separator = _optional_integer(separator, "separator", 0, self._vocab - 1)
        self._tokenizer = tokenizer
        self.tokenization: dict[str, Any] | None = None
        self._sources = [dict(source) for source in sources]
        self._digest = hashlib.sha256()
        self._tokens = self._documents = self._last_end = 0
        self._made_directory = check_output_directory(self.directory, overwrite=overwrite)
        self._files: list[IO[bytes]] = []
        self._finished = False
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            for name in (TOKENS_FILE, DOCUMENTS_FILE):
                self._files.append(open(self._partial(name), "wb", buffering=1 << 20))  # noqa: SIM115
        except OSError as error:
            self.close()
            raise InputError(f"{directory}: cannot be written: {reason(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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

    def finish(self) -> Corpus:
        """Complete the directory and open it.

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
            os.replace(self._partial(TOKENS_FILE), self.directory / TOKENS_FILE)
            if self._documents:
                os.replace(self._partial(DOCUMENTS_FILE), self.directory / DOCUMENTS_FILE)
        except OSError as error:
            raise self._failure(error) from error
        if self._tokenizer is not None:
            with atomic_write(self.directory / TOKENIZER_FILE) as file:
                file.write(self._tokenizer)
        sync_directory(self.directory)
        write_json(self.directory / METADATA_FILE, metadata)
        self._finished = True
        self.close()
        return Corpus.open(self.directory)

    def close(self) -> None:
        """Remove the partial files; does nothing after `finish`."""
        for file in self._files:
            with contextlib.suppress(OSError):
                file.close()
        self._files = []
        for name in (TOKENS_FILE, DOCUMENTS_FILE):
            with contextlib.suppress(OSError):
                self._partial(name).unlink(missing_ok=True)
        if self._made_directory and not self._finished:
            with contextlib.suppress(OSError):
                self.directory.rmdir()

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

    def _partial(self, name: str) -> Path:
        return self.directory / (name + PARTIAL_SUFFIX)

    def _failure(self, error: OSError) -> NgramstatError:
        return NgramstatError(f"{self.directory}: writing failed: {reason(error)}")


def check_output_directory(directory: Path, *, overwrite: bool) -> bool:
    """Refuse a directory that a corpus may not be written to.

    Returns
    -------
    bool
        True if the directory does not exist yet.

    Raises
    ------
    InputError
        It is a file, holds other files, or holds a corpus without `overwrite`.
    """
    try:
        if not directory.exists():
            return True
        if not directory.is_dir():
            raise InputError(f"{directory}: is a file; the output is a directory")
        names = {entry.name for entry in directory.iterdir()}
    except OSError as error:
        raise InputError(f"{directory}: cannot be read: {reason(error)}") from error
    if METADATA_FILE in names and not overwrite:
        raise InputError(f"{directory}: holds a corpus; give --overwrite to replace it")
    corpus_files = {METADATA_FILE, TOKENS_FILE, DOCUMENTS_FILE, TOKENIZER_FILE}
    corpus_files |= {name + PARTIAL_SUFFIX for name in (TOKENS_FILE, DOCUMENTS_FILE)}
    if names and not names & corpus_files:
        raise InputError(f"{directory}: holds other files; name a new or an empty directory")
    return False


def _as_ids(ids: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(ids)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InputError("ids: a one-dimensional array of integers is needed")
    if array.dtype == np.uint64 and array.size and int(array.max()) >= _MAX_VOCAB:
        raise InputError(f"ids: the id {int(array.max())} is out of range")
    return array.astype(np.int64, copy=False)


def _refuse_large_ids(tokens: NDArray[Any], vocab_size: int, where: str) -> None:
    for start, chunk in chunks(tokens):
        if int(chunk.max()) >= vocab_size:
            at = start + int(np.argmax(chunk >= vocab_size))
            raise InputError(
                f"{where}: the id {int(tokens[at])} at token {at} is not in the vocabulary "
                f"(0 to {vocab_size - 1}); give the right --vocab-size or --dtype"
            )


def _integer(value: Any, name: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputError(f"{name}={value!r}: must be an integer")
    if not low <= int(value) <= high:
        raise InputError(f"{name}={value}: must lie between {low} and {high}")
    return int(value)


def _optional_integer(value: Any, name: str, low: int, high: int) -> int | None:
    return None if value is None else _integer(value, name, low, high)
