"""Validated wrappers of the kernels for ARPA files: language models as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat.errors import InputError

__all__ = ["MAX_ARPA_ORDER", "ArpaEntries", "ArpaParser", "Spellings", "arpa_lines"]

MAX_ARPA_ORDER = _core.MAX_ARPA_ORDER


@dataclass(frozen=True)
class ArpaEntries:
    """Some consecutive n-grams of one order.

    Attributes
    ----------
    words : (k, order) uint32
        Numbers of the words, in the order of the 1-grams; the oldest word first.
    log_probs, log_backoffs : (k,) float64
        To base 10; a back-off that the file leaves out is 0.
    """

    words: NDArray[np.uint32]
    log_probs: NDArray[np.float64]
    log_backoffs: NDArray[np.float64]

    @property
    def order(self) -> int:
        """Words of an n-gram."""
        return int(self.words.shape[1])


class ArpaParser:
    """Reads an ARPA file piece by piece, in the memory of its distinct words.

    Parameters
    ----------
    name : str
        What messages call the file.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._parser = _core.ArpaParser()

    def feed(self, data: bytes) -> Iterator[ArpaEntries]:
        """The n-grams in the next bytes of the file, which may end in the middle of a line.

        Raises
        ------
        InputError
            The file is not valid; the message names the line.
        """
        try:
            self._parser.feed(data)
        except ValueError as error:
            raise InputError(f"{self._name}, {error}") from error
        return self._taken()

    def finish(self) -> Iterator[ArpaEntries]:
        """The last n-grams, at the end of the file; InputError if it is truncated."""
        try:
            self._parser.finish()
        except ValueError as error:
            raise InputError(f"{self._name}, {error}") from error
        return self._taken()

    def _taken(self) -> Iterator[ArpaEntries]:
        return (ArpaEntries(*arrays) for arrays in self._parser.take())

    @property
    def counts(self) -> list[int]:
        """The header's numbers of n-grams, by order."""
        return self._parser.counts()

    @property
    def first_lines(self) -> list[int]:
        """By order: the line of its first n-gram. The others follow line by line."""
        return self._parser.first_lines()

    @property
    def preamble(self) -> bytes:
        """The lines before the model, at most 64 KiB."""
        return self._parser.preamble()

    @property
    def word_bytes(self) -> int:
        """Memory of the words."""
        return self._parser.word_bytes()

    def words(self) -> list[bytes]:
        """The words, by their numbers."""
        return self._parser.words()


class Spellings:
    """How words are written in an ARPA file.

    Parameters
    ----------
    words : sequence of bytes
        By the words' numbers; none holds a blank or a line end.
    """

    def __init__(self, words: Sequence[bytes]) -> None:
        self.text = b"".join(words)
        self.ends = np.cumsum([len(word) for word in words], dtype=np.int64)


def arpa_lines(
    words: NDArray[np.uint32],
    log_probs: NDArray[np.float64],
    log_backoffs: NDArray[np.float64] | None,
    spellings: Spellings,
) -> bytes:
    """Lines of n-grams of one order, see `ArpaEntries`; without back-offs at the highest order.

    Numbers have nine significant digits: from them 32-bit floats are read back exactly.

    Raises
    ------
    IndexError
        A word has no spelling.
    """
    backoffs: Any = np.zeros(0) if log_backoffs is None else log_backoffs
    return _core.arpa_lines(
        np.ascontiguousarray(words, np.uint32),
        np.ascontiguousarray(log_probs, np.float64),
        np.ascontiguousarray(backoffs, np.float64),
        spellings.text,
        spellings.ends,
    )
