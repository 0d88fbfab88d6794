"""What a writer is, and the stream of tokens that writers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats import chunks
from ngramstat.corpus.formats.noted import NOTE_SCHEMA, note_path
from ngramstat.corpus.store import Corpus
from ngramstat.errors import InputError
from ngramstat.runtime.files import write_json

__all__ = ["SeparatedStream", "WriteOptions", "Writer", "write_ids", "write_note"]

# Tokens of whole documents that are handled at once.
_GROUP_TOKENS = 1 << 20


@dataclass(frozen=True)
class WriteOptions:
    """How a store is written.

    Attributes
    ----------
    dtype
        Type of the tokens, uint16 or uint32; it holds the vocabulary.
    """

    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Writer:
    """One format that corpora can be written in.

    Attributes
    ----------
    name
        The format's name on the command line.
    description
        A few words for the user.
    outputs
        The files or directories that will be written for a path, so that none is replaced unasked.
    bytes_needed
        An upper bound of the disk space, which is checked before the work.
    write
        Writes all files so that an interruption leaves none that could be taken for complete, and
        returns them.
    records_documents
        False if the format tells documents only by a separator after each, so that a corpus with
        documents needs one.
    """

    name: str
    description: str
    outputs: Callable[[Path], list[Path]]
    bytes_needed: Callable[[Corpus, WriteOptions], int]
    write: Callable[[Corpus, Path, WriteOptions], list[Path]]
    records_documents: bool = True


class SeparatedStream:
    """The tokens of a corpus with one separator after each document, whatever it had before.

    A corpus without documents, or without a separator, is passed on as it is.

    Parameters
    ----------
    corpus
        The corpus. A separator that begins its documents (``separator_position`` "before") is
        moved to their ends; a document that lacks one gets it.
    """

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._separator = corpus.separator
        self._before = corpus.separator_position == "before"
        #: Largest number of tokens that the stream may have.
        self.max_tokens = corpus.n_tokens
        if self._separator is not None:
            self.max_tokens += corpus.n_documents

    def documents(self) -> Iterator[tuple[NDArray[Any], NDArray[np.int64]]]:
        """Pieces of the stream with the ends, within the piece, of the documents that end there.

        Raises
        ------
        InputError
            The separator occurs inside a document.
        """
        corpus = self._corpus
        if corpus.document_ends is None:
            for _, chunk in chunks(corpus.tokens):
                yield chunk, np.empty(0, dtype=np.int64)
            return
        ends = corpus.document_ends
        first = start = 0
        while first < ends.size:
            last = int(np.searchsorted(ends, start + _GROUP_TOKENS, side="right"))
            if last > first:
                group = np.asarray(ends[first:last])
                yield self._separated(corpus.tokens[start : group[-1]], group - start, first)
            else:
                last = first + 1
                yield from self._long_document(first, start, int(ends[first]))
            start, first = int(ends[last - 1]), last

    def _separated(
        self, tokens: NDArray[Any], ends: NDArray[np.int64], first: int
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        separator = self._separator
        if separator is None:
            return tokens, ends
        starts = np.concatenate(([0], ends[:-1]))
        at = starts if self._before else ends - 1
        kept = np.ones(tokens.size, dtype=bool)
        kept[at[tokens[at] == separator]] = False
        inside = np.flatnonzero(kept & (tokens == separator))
        if inside.size:
            self._refuse(first + int(np.searchsorted(ends, inside[0], side="right")))
        lengths = np.add.reduceat(kept, starts, dtype=np.int64)
        new_ends = np.cumsum(lengths + 1)
        result = np.full(int(new_ends[-1]), separator, dtype=_type_for(tokens, separator))
        content = np.ones(result.size, dtype=bool)
        content[new_ends - 1] = False
        result[content] = tokens[kept]
        return result, new_ends

    def _long_document(
        self, number: int, start: int, end: int
    ) -> Iterator[tuple[NDArray[Any], NDArray[np.int64]]]:
        """One document in pieces, for a document larger than a group."""
        tokens, separator = self._corpus.tokens, self._separator
        if separator is not None:
            if self._before and tokens[start] == separator:
                start += 1
            elif not self._before and tokens[end - 1] == separator:
                end -= 1
        for low in range(start, end, _GROUP_TOKENS):
            piece = tokens[low : min(end, low + _GROUP_TOKENS)]
            if separator is not None and np.any(piece == separator):
                self._refuse(number)
            ends_here = separator is None and low + piece.size == end
            yield piece, np.array([piece.size] if ends_here else [], dtype=np.int64)
        if separator is not None:
            yield np.array([separator], dtype=np.uint32), np.array([1], dtype=np.int64)

    def _refuse(self, number: int) -> None:
        raise InputError(
            f"{self._corpus.name}: document {number} holds the separator {self._separator} inside; "
            "give another --separator"
        )


def write_ids(file: IO[bytes], ids: NDArray[Any], options: WriteOptions, digest: Any) -> None:
    """Write ids little-endian, and add their bytes to a digest.

    Raises
    ------
    InputError
        An id does not fit.
    """
    limit = int(np.iinfo(options.dtype).max)
    if ids.dtype.itemsize > options.dtype.itemsize and ids.size and int(ids.max()) > limit:
        raise InputError(
            f"the id {int(ids.max())} does not fit {options.dtype.name}; give --output-dtype uint32"
        )
    data = ids.astype(options.dtype.newbyteorder("<"), copy=False).tobytes()
    file.write(data)
    digest.update(data)


def write_note(path: Path, corpus: Corpus, options: WriteOptions, tokens: int, digest: Any) -> Path:
    """Write what a headerless file does not record, as JSON beside it."""
    note = note_path(path)
    separator = corpus.separator
    write_json(
        note,
        {
            "schema": NOTE_SCHEMA,
            "dtype": options.dtype.name,
            "tokens": tokens,
            "vocab_size": max(corpus.vocab_size, 0 if separator is None else separator + 1),
            "documents": corpus.n_documents,
            "separator": separator,
            "separator_position": None if separator is None else "after",
            "sha256": digest.hexdigest(),
        },
    )
    return note


def _type_for(tokens: NDArray[Any], separator: int) -> np.dtype[Any]:
    fits = separator <= int(np.iinfo(tokens.dtype).max)
    return tokens.dtype if fits else np.dtype(np.uint32)
