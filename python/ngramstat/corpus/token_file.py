"""One contiguous array of tokens from pieces that cannot be mapped as one: shards, wide types."""

from __future__ import annotations

import io
import shutil
import tempfile
from dataclasses import dataclass
from typing import IO, Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ngramstat.corpus.formats.token_store import chunks
from ngramstat.errors import InputError
from ngramstat.runtime.files import reason
from ngramstat.runtime.log import warn

__all__ = ["TokenArrays", "TokenFileBuilder"]


# Up to this many bytes stay in memory; more go to a temporary file.
_IN_MEMORY_BYTES = 64 << 20
_LARGEST_ID = (1 << 32) - 1


@dataclass(frozen=True)
class TokenArrays:
    """What a `TokenFileBuilder` has built.

    Attributes
    ----------
    tokens
        (tokens,) uint16 or uint32, read-only; in memory if small, otherwise mapped from a
        temporary file that has no name and vanishes with the array.
    document_ends
        (documents,) int64, read-only, strictly increasing exclusive ends, the last one equal to
        the number of tokens; None if no document was ended.
    largest_id
        The largest of the tokens.
    """

    tokens: NDArray[Any]
    document_ends: NDArray[np.int64] | None
    largest_id: int


class TokenFileBuilder:
    """Collects pieces of a token stream in bounded memory; a context manager.

    Up to 64 MiB stay in memory. A longer stream is written to a temporary file, already unlinked,
    in the directory for temporary files (``TMPDIR``), and mapped read-only by `finish`. A line on
    the logger of this module says so, with the size.

    Parameters
    ----------
    source
        Name of what is read, such as a path, for messages.
    expected_tokens
        Number of tokens to come, if known: the disk space is then checked before the work.
    dtype
        uint16 or uint32; by default uint16 until an id needs uint32, when what has been written is
        written again.

    Raises
    ------
    InputError
        There is not enough disk space for the expected tokens.
    """

    def __init__(
        self, source: str, *, expected_tokens: int | None = None, dtype: DTypeLike | None = None
    ) -> None:
        self._source, self._source_begin = source, 0
        self._dtype: np.dtype[Any] = np.dtype(np.uint16 if dtype is None else dtype)
        self._fixed = dtype is not None
        self._tokens = self._documents = self._last_end = self._largest_id = 0
        expected = 0 if expected_tokens is None else expected_tokens * self._dtype.itemsize
        self._token_spill = _Spill(source, expected)
        self._end_spill = _Spill(source, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def n_tokens(self) -> int:
        """Number of tokens appended so far."""
        return self._tokens

    def begin_source(self, source: str) -> None:
        """What follows comes from `source`, whose name and token numbers messages then give."""
        self._source, self._source_begin = source, self._tokens

    def append(self, ids: ArrayLike) -> None:
        """Append a piece of the stream; it may end anywhere in a document.

        Parameters
        ----------
        ids
            (tokens,) integers of any type and byte order.

        Raises
        ------
        InputError
            Not integers, an id is negative or does not fit, or there is no room on the disk.
        """
        array = np.asarray(ids)
        if array.size == 0:
            return
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise InputError(
                f"{self._source}: {array.ndim} dimension(s) of {array.dtype}, not a list of "
                "integer ids"
            )
        for _, piece in chunks(array):
            self._append_chunk(piece)

    def end_document(self) -> None:
        """The current document ends here; without tokens since the last end, nothing is added."""
        if self._tokens > self._last_end:
            self._write_ends(np.array([self._tokens], dtype=np.int64))

    def append_documents(self, ids: ArrayLike, lengths: ArrayLike) -> None:
        """Append several whole documents at once.

        Parameters
        ----------
        ids
            The documents' tokens, one after the other.
        lengths
            (documents,) tokens of each, whose sum is the number of ids. The first document also
            holds the tokens that `append` has added since the last end; empty ones are left out.
        """
        counts = np.asarray(lengths, dtype=np.int64)
        array = np.asarray(ids)
        if counts.size and (int(counts.min()) < 0 or int(counts.sum()) != array.size):
            raise InputError(
                f"{self._source}: lengths of documents do not add up to {array.size} tokens"
            )
        start = self._tokens
        self.append(array)
        ends = np.unique(start + np.cumsum(counts))
        self._write_ends(ends[ends > self._last_end])

    def finish(self) -> TokenArrays:
        """The stream and its documents; tokens after the last end become the last document.

        Raises
        ------
        InputError
            There are no tokens, or the temporary file cannot be read.
        """
        if self._tokens == 0:
            raise InputError(f"{self._source}: holds no tokens")
        if self._documents:
            self.end_document()
        ends = self._end_spill.array(np.dtype(np.int64)) if self._documents else None
        return TokenArrays(self._token_spill.array(self._dtype), ends, self._largest_id)

    def close(self) -> None:
        """Release the files; arrays that `finish` returned stay valid."""
        self._token_spill.close()
        self._end_spill.close()

    def _append_chunk(self, piece: NDArray[Any]) -> None:
        low, high = int(piece.min()), int(piece.max())
        limit = int(np.iinfo(self._dtype).max) if self._fixed else _LARGEST_ID
        if low < 0 or high > limit:
            at = int(np.argmax((piece < 0) | (piece > limit)))
            problem = "is negative" if low < 0 and int(piece[at]) < 0 else f"is above {limit}"
            raise InputError(
                f"{self._source}: token {self._tokens - self._source_begin + at} "
                f"({int(piece[at])}) {problem}"
            )
        if high > int(np.iinfo(self._dtype).max):
            self._widen()
        self._token_spill.write(piece.astype(self._dtype, copy=False))
        self._tokens += piece.size
        self._largest_id = max(self._largest_id, high)

    def _widen(self) -> None:
        """Go on with uint32, and convert what has been written as uint16."""
        wide = _Spill(self._source, 2 * self._token_spill.size)
        if self._tokens:
            for _, piece in chunks(self._token_spill.array(self._dtype)):
                wide.write(piece.astype(np.uint32))
        self._token_spill.close()
        self._token_spill, self._dtype = wide, np.dtype(np.uint32)

    def _write_ends(self, ends: NDArray[np.int64]) -> None:
        if ends.size:
            self._end_spill.write(ends)
            self._documents += ends.size
            self._last_end = int(ends[-1])


class _Spill:
    """Bytes in memory, and from 64 MiB on in a temporary file without a name."""

    def __init__(self, source: str, expected_bytes: int) -> None:
        self._source = source
        self._file: IO[bytes] = io.BytesIO()
        self._on_disk = False
        self.size = 0
        if expected_bytes > _IN_MEMORY_BYTES:
            self._move_to_disk(expected_bytes)

    def write(self, array: NDArray[Any]) -> None:
        if not self._on_disk and self.size + array.nbytes > _IN_MEMORY_BYTES:
            self._move_to_disk(self.size + array.nbytes)
        try:
            self._file.write(np.ascontiguousarray(array).data)
        except OSError as error:
            raise self._no_room(self.size + array.nbytes, reason(error)) from error
        self.size += array.nbytes

    def array(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Everything written, read-only."""
        result: NDArray[Any]
        if isinstance(self._file, io.BytesIO):
            result = np.frombuffer(self._file.getbuffer(), dtype=dtype)
            result.setflags(write=False)
            return result
        try:
            self._file.flush()
            return np.memmap(
                self._file, dtype=dtype, mode="r", shape=(self.size // dtype.itemsize,)
            )
        except OSError as error:
            raise self._no_room(self.size, reason(error)) from error

    def close(self) -> None:
        # Memory that arrays look at cannot be closed; it goes with the last of them.
        if self._on_disk:
            self._file.close()

    def _move_to_disk(self, expected_bytes: int) -> None:
        directory = tempfile.gettempdir()
        try:
            free = shutil.disk_usage(directory).free
        except OSError as error:
            raise self._no_room(expected_bytes, reason(error)) from error
        if free < expected_bytes:
            raise self._no_room(expected_bytes, f"{free:,} bytes are free")
        warn(
            f"{self._source}: copying the tokens to a temporary file in {directory} "
            f"({expected_bytes:,} bytes or more), which goes when the work ends"
        )
        held = self._file
        assert isinstance(held, io.BytesIO)
        try:
            self._file = tempfile.TemporaryFile(dir=directory, buffering=1 << 20)  # noqa: SIM115
            self._file.write(held.getbuffer())
        except OSError as error:
            raise self._no_room(expected_bytes, reason(error)) from error
        self._on_disk = True

    def _no_room(self, size: int, why: str) -> InputError:
        return InputError(
            f"{self._source}: its tokens need a temporary file of {size:,} bytes in "
            f"{tempfile.gettempdir()} ({why}); set TMPDIR to a directory with more room"
        )
