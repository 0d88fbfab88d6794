"""N-grams and contexts as users give them: ids or text, one or many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.arrays import host_array
from ngramstat.errors import InputError, InputTypeError
from ngramstat.kernels.index_queries import TokenSlices

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["NgramReader", "NgramsLike", "Queries"]

# One text or many, one sequence of ids or many; as rows of an array where all are as long.
NgramsLike: TypeAlias = "str | Sequence[str] | ArrayLike | Sequence[ArrayLike]"

_ACCEPTED = (
    "token ids (a list or an array), several sequences of them (an array with one in each row, or "
    "a list of lists), a text, or a list of texts"
)


@dataclass(frozen=True)
class Queries:
    """What was asked.

    Attributes
    ----------
    slices : TokenSlices
    single : bool
        One query by itself, of which the answer is a number, not an array of one.
    """

    slices: TokenSlices
    single: bool


@dataclass(frozen=True)
class NgramReader:
    """Turns what users give into sequences of ids that an index can answer.

    Attributes
    ----------
    vocab_size : int
    max_length : int or None
        Tokens of an n-gram, or of a context and the token after it, that the index can find.
    encode : callable or None
        From text to ids, for an index whose corpus has a tokenizer.
    """

    vocab_size: int
    max_length: int | None
    encode: Callable[[str], NDArray[np.uint32]] | None

    def ngrams(self, name: str, x: Any) -> Queries:
        """One or several n-grams, each of at least one token.

        Raises
        ------
        InputError
            An id is not in the vocabulary, a query is empty or longer than the index can find, or
            text was given without a tokenizer. The message begins with `name`.
        """
        queries = self._read(name, x)
        empty = queries.slices.lengths < 1
        if empty.any():
            raise InputError(
                f"{name}: {_which(queries, empty)} is empty; an n-gram has at least one token"
            )
        return self._of_length(name, queries, 0)

    def contexts(self, name: str, x: Any) -> Queries:
        """One or several contexts of next tokens; they may be empty."""
        return self._of_length(name, self._read(name, x), 1)

    def texts(self, name: str, x: Any) -> Queries:
        """Texts of any length."""
        return self._read(name, x)

    def _of_length(self, name: str, queries: Queries, beyond: int) -> Queries:
        """Refuse queries that, with `beyond` more tokens, are longer than the index can find."""
        if self.max_length is None:
            return queries
        long = queries.slices.lengths + beyond > self.max_length
        if long.any():
            length = int(queries.slices.lengths[long][0])
            after = ", with the token after it" if beyond else ""
            raise InputError(
                f"{name}: {_which(queries, long)} has {length} tokens, but this index finds at "
                f"most {self.max_length}{after}; give a shorter one, or build an index with a "
                "larger --depth"
            )
        return queries

    def _read(self, name: str, x: Any) -> Queries:
        if isinstance(x, str):
            return _one(self._encoded(name, x))
        if not hasattr(x, "__array__") and not isinstance(x, Sequence):
            raise InputTypeError(f"{name}: needs {_ACCEPTED}, not {type(x).__name__}")
        if not hasattr(x, "__array__") and len(x):
            first = x[0]
            if isinstance(first, str):
                return self._many(name, [self._text(name, i, text) for i, text in enumerate(x)])
            if hasattr(first, "__len__"):
                return self._many(name, x)
        array = _integers(name, x)
        if array.ndim == 1:
            return _one(self._checked(name, array))
        if array.ndim != 2:
            raise InputError(f"{name}: an array of {array.ndim} dimensions; needs {_ACCEPTED}")
        n, length = array.shape
        begins = np.arange(n, dtype=np.int64) * length
        tokens = self._checked(name, array.reshape(-1), row=length)
        return Queries(TokenSlices(tokens, begins, begins + length), single=False)

    def _text(self, name: str, number: int, text: Any) -> NDArray[np.uint32]:
        if not isinstance(text, str):
            raise InputTypeError(f"{name}: item {number} is {type(text).__name__}, not a text")
        return self._encoded(name, text)

    def _encoded(self, name: str, text: str) -> NDArray[np.uint32]:
        if self.encode is None:
            raise InputError(
                f"{name}: is text, but the corpus of this index has no tokenizer; give token ids"
            )
        return self._checked(name, self.encode(text))

    def _many(self, name: str, sequences: Sequence[Any]) -> Queries:
        try:
            lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
        except TypeError as error:
            raise InputTypeError(f"{name}: needs {_ACCEPTED}") from error
        if all(isinstance(s, list | tuple) for s in sequences):
            tokens = _integers(name, list(chain.from_iterable(sequences)))
        else:
            parts = [_integers(name, s) for s in sequences]
            tokens = np.concatenate([p.astype(np.int64, copy=False).reshape(-1) for p in parts])
        if tokens.ndim != 1:
            raise InputError(f"{name}: sequences of sequences of sequences; needs {_ACCEPTED}")
        ends = np.cumsum(lengths)
        slices = TokenSlices(self._checked(name, tokens, ends=ends), ends - lengths, ends)
        return Queries(slices, single=False)

    def _checked(
        self,
        name: str,
        ids: NDArray[Any],
        *,
        row: int | None = None,
        ends: NDArray[np.int64] | None = None,
    ) -> NDArray[np.uint32]:
        """Ids of the vocabulary; the query that holds another one is named."""
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < self.vocab_size:
            bad = int(np.argmax((ids < 0) | (ids >= self.vocab_size)))
            where = ""
            if row is not None:
                where = f" of query {bad // row}"
            elif ends is not None:
                where = f" of query {int(np.searchsorted(ends, bad, side='right'))}"
            raise InputError(
                f"{name}: the id {ids[bad]}{where} is not in the vocabulary (0 to "
                f"{self.vocab_size - 1})"
            )
        return np.ascontiguousarray(ids, dtype=np.uint32)


def _integers(name: str, x: Any) -> NDArray[Any]:
    try:
        array = host_array(x) if hasattr(x, "__array__") else np.asarray(x)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise InputTypeError(f"{name}: needs {_ACCEPTED} ({error})") from error
    if array.dtype.kind not in "iu" and array.size:
        raise InputTypeError(
            f"{name}: token ids are integers, not {array.dtype}; needs {_ACCEPTED}"
        )
    return array if array.size else array.astype(np.int64)


def _one(ids: NDArray[np.uint32]) -> Queries:
    begins, ends = np.zeros(1, np.int64), np.full(1, ids.size, np.int64)
    return Queries(TokenSlices(ids, begins, ends), single=True)


def _which(queries: Queries, chosen: NDArray[np.bool_]) -> str:
    return "the query" if queries.single else f"query {int(np.argmax(chosen))}"
