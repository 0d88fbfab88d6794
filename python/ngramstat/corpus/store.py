"""A corpus, which is a stream of token ids with its documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ngramstat.corpus.arrays import MAX_INFERRED_VOCAB, Stream, stream_of_array, stream_of_documents
from ngramstat.corpus.changes import ChangeWatch
from ngramstat.corpus.formats import (
    Assumptions,
    OpenOptions,
    RowMeaning,
    SeparatorPosition,
    Shard,
    chunks,
    largest_id,
    token_dtype,
)
from ngramstat.corpus.formats.token_store import MAX_VOCAB
from ngramstat.corpus.shards import open_stores
from ngramstat.errors import InputError, InputTypeError, NgramstatError
from ngramstat.runtime.arguments import integer_within, optional_integer_within
from ngramstat.runtime.files import (
    reason,
    sha256_array,
    sha256_file,
)
from ngramstat.runtime.log import note, warn

__all__ = ["Corpus"]


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
            vocab_size=optional_integer_within("vocab_size", vocab_size, 1, MAX_VOCAB),
            separator=optional_integer_within("separator", separator, 0, MAX_VOCAB - 1),
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
        if "" in places:
            raise InputError("the name of a corpus is empty; is a variable of the shell unset?")
        store = open_stores([Path(place) for place in places], format, options)
        for sentence in store.notes:
            warn(f"{store.path}: {sentence}")
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
                vocab_size=optional_integer_within("vocab_size", vocab_size, 1, MAX_VOCAB),
                document_ends=document_ends,
                separator=optional_integer_within("separator", separator, 0, MAX_VOCAB - 1),
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
                vocab_size=optional_integer_within("vocab_size", vocab_size, 1, MAX_VOCAB),
                separator=optional_integer_within("separator", separator, 0, MAX_VOCAB - 1),
            )
        )

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        *,
        vocab_size: int | None = None,
        tokenizer: str | PathLike[str] | None = None,
        pre_tokenizer: Literal["byte-level", "whitespace"] | None = None,
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
            Vocabulary size of the byte-level BPE to train, by default 8192; few texts may yield
            less. Not with `tokenizer`.
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
        corpus: Corpus = import_module("ngramstat.corpus.tokenizing.texts").corpus_of_texts(
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
        for sentence in stream.notes:
            note(f"tokens in memory: {sentence}")
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
        return self._recorded_sha256 or self._watch.digests[0]

    @cached_property
    def documents_sha256(self) -> str | None:
        """SHA-256 of the document ends (int64); None if the documents are unknown."""
        return None if self.document_ends is None else self._watch.digests[1]

    @cached_property
    def _watch(self) -> ChangeWatch:
        arrays = [self.tokens, *([] if self.document_ends is None else [self.document_ends])]
        return ChangeWatch(self.name, arrays, self._recorded_sha256)

    def require_unchanged(self) -> None:
        """Refuse a corpus whose files have changed since it was written, or since it is in use.

        The first call reads the whole corpus. A later one looks at the size and the time of the
        files, and reads them only where those differ.

        Raises
        ------
        InputError
            The tokens are not those that a corpus directory records, or not those of the first
            call, or the file was truncated.
        """
        self._watch.require_unchanged()

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """For work on one text: `require_unchanged` before it and after it."""
        self.require_unchanged()
        yield
        self.require_unchanged()

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
        count = integer_within("n_blocks", n_blocks, 1, 1 << 31)
        if self.document_ends is not None and self.n_documents >= min_documents:
            return self.document_ends, False
        count = min(count, self.n_tokens)
        # Python integers, because tokens * count could exceed 2^63.
        ends = [self.n_tokens * (block + 1) // count for block in range(count)]
        return np.array(ends, dtype=np.int64), True

    def require_documents(self, *, at_least: int = 1) -> None:
        """Refuse boundary ``document`` where the documents are not known.

        Raises
        ------
        InputError
            Fewer than `at_least` documents are known.
        """
        if self.document_ends is None or len(self.document_ends) < at_least:
            raise InputError(
                f"{self.name}: has no documents to stay inside; use --boundary stream, or give the "
                "separator's id with --separator"
            )

    @contextmanager
    def naming_large_ids(self) -> Iterator[None]:
        """Where a kernel meets an id beyond the vocabulary, say in which corpus, and what to do.

        Raises
        ------
        InputError
            In place of the kernel's IndexError.
        """
        try:
            yield
        except IndexError as error:
            raise InputError(f"{self.name}: {error}; check --dtype and --vocab-size") from error

    def decode(self, ids: ArrayLike) -> list[str]:
        """The text of each single id, decoded with the tokenizer recorded with the corpus.

        A token that is only a part of a character becomes the replacement character.

        Raises
        ------
        InputError
            No tokenizer is recorded, its file has changed, or an id is not in 0 to V - 1.
        """
        array = self._checked_ids(ids, 1)
        tokenizer = self._tokenizer
        return [str(tokenizer.decode([int(i)], skip_special_tokens=False)) for i in array]

    def decode_sequences(self, ids: ArrayLike) -> list[str]:
        """The text of each row of a two-dimensional array of ids, such as the n-grams of a table.

        Raises
        ------
        InputError
            As for `decode`.
        """
        array = self._checked_ids(ids, 2)
        decoded = self._tokenizer.decode_batch(array.tolist(), skip_special_tokens=False)
        return [str(text) for text in decoded]

    def _checked_ids(self, ids: ArrayLike, dimensions: int) -> NDArray[Any]:
        array = np.asarray(ids)
        if array.size and (array.dtype.kind not in "iu" or array.ndim != dimensions):
            count = "one-dimensional" if dimensions == 1 else "two-dimensional"
            raise InputError(f"ids: a {count} array of integers is needed")
        if array.size and not 0 <= int(array.min()) <= int(array.max()) < self.vocab_size:
            raise InputError(f"ids: must lie between 0 and {self.vocab_size - 1}")
        return array

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


def _refuse_large_ids(tokens: NDArray[Any], vocab_size: int, where: str) -> None:
    for start, chunk in chunks(tokens):
        if int(chunk.max()) >= vocab_size:
            at = start + int(np.argmax(chunk >= vocab_size))
            raise InputError(
                f"{where}: the id {int(tokens[at])} at token {at} is not in the vocabulary "
                f"(0 to {vocab_size - 1}); give the right --vocab-size or --dtype"
            )
