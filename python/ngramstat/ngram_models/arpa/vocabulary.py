"""Ids for the words of an ARPA file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.ngram_models.arpa.words import BEGIN, END, UNKNOWN
from ngramstat.ngram_models.arpa.writing import PREAMBLE
from ngramstat.ngram_models.escapes import unescaped
from ngramstat.ngram_models.text import ModelText, WordText

__all__ = ["About", "Request", "Vocabulary", "about_of", "vocabulary_of"]

_ID = re.compile(rb"0|[1-9][0-9]{0,9}")
# Numbers above this are words where the vocabulary's size is not given: a model has an entry for
# every id below the largest.
_MAX_ID = 1 << 22


@dataclass(frozen=True)
class Request:
    """What the caller says of a file.

    Attributes
    ----------
    words : str
        ``ids``, ``tokens``, or ``auto``: ids if all words are numbers.
    vocab_size : int or None
    separator : int or None
        The id that ``<s>`` and ``</s>`` stand for.
    """

    words: Literal["auto", "ids", "tokens"]
    vocab_size: int | None
    separator: int | None


@dataclass(frozen=True)
class About:
    """What a file that this package has written says of its ids."""

    words: str
    vocab_size: int
    stop_token: int | None
    unknown: int | None


@dataclass(frozen=True)
class Vocabulary:
    """The ids of words.

    Attributes
    ----------
    ids : (n_words,) int64
        -1 for words that are no ids: an ``<unk>`` that stands for all others, and the ends of
        documents in a model without them.
    size : int
    stop_token : int or None
    begin, end, unknown : int
        Numbers of ``<s>``, ``</s>`` and ``<unk>``; -1 where the file has none.
    text : ModelText or None
    """

    ids: NDArray[np.int64]
    size: int
    stop_token: int | None
    begin: int
    end: int
    unknown: int
    text: ModelText | None


def about_of(preamble: bytes) -> About | None:
    """What the lines before the model say, if this package has written them; ValueError if ill."""
    begin = PREAMBLE.encode()
    line = next((line for line in preamble.splitlines() if line.startswith(begin)), None)
    if line is None:
        return None
    said = json.loads(line[len(begin) :])
    names = ("words", "vocab_size", "stop_token", "unknown")
    words, size, stop, unknown = (said[name] for name in names)
    if words not in ("ids", "tokens") or type(size) is not int or not 1 <= size <= 1 << 32:
        raise ValueError("its words or vocab_size are not valid")
    if stop is not None and (type(stop) is not int or not 0 <= stop <= size):
        raise ValueError("its stop_token is not valid")
    if unknown is not None and (type(unknown) is not int or not 0 <= unknown < size):
        raise ValueError("its unknown is not valid")
    return About(words, size, stop, unknown)


def vocabulary_of(
    words: Sequence[bytes], about: About | None, request: Request, *, unknown_is_a_word: bool
) -> Vocabulary:
    """Ids for words, which are numbered in their order.

    With `unknown_is_a_word`, ``<unk>`` has n-grams of its own and needs an id.

    Raises
    ------
    InputError
        The words do not fit what the file or the caller says of them.
    """
    found = _found(words)
    if about is not None:
        _check_number(about, len(found.plain) + (about.unknown is not None))
    if _spell_ids(found, about, request, unknown_is_a_word=unknown_is_a_word):
        given = _given_ids(found, about, request)
        if unknown_is_a_word:
            raise InputError("<unk> has n-grams of its own; read the words as tokens, not ids")
    elif about is not None and about.words == "tokens":
        given = _stated_ids(found, about)
    else:
        given = _new_ids(found)
    ids, unknown = given.ids, found.unknown
    if given.stop is not None:
        ids[[i for i in (found.begin, found.end) if i >= 0]] = given.stop
    text = None if given.spelled is None else _text(given.spelled, ids, unknown)
    if given.size < 1:
        raise InputError("it has no words")
    return Vocabulary(ids, given.size, given.stop, found.begin, found.end, unknown, text)


@dataclass(frozen=True)
class _Found:
    """The words of a file: numbers of the three that have a meaning, or -1, and of the others."""

    words: Sequence[bytes]
    begin: int
    end: int
    unknown: int
    plain: NDArray[np.int64]

    @property
    def own(self) -> list[bytes]:
        return [self.words[i] for i in self.plain.tolist()]


@dataclass(frozen=True)
class _Ids:
    """Ids of words, -1 for none, and the spelling of every id, or None where words spell ids."""

    ids: NDArray[np.int64]
    size: int
    stop: int | None
    spelled: list[bytes] | None


def _found(words: Sequence[bytes]) -> _Found:
    number = {word: i for i, word in enumerate(words)}
    begin, end = number.get(BEGIN.encode(), -1), number.get(END.encode(), -1)
    unknown = number.get(UNKNOWN.encode(), number.get(b"<UNK>", -1))
    plain = np.ones(len(words), bool)
    plain[[i for i in (begin, end, unknown) if i >= 0]] = False
    return _Found(words, begin, end, unknown, np.flatnonzero(plain))


def _spell_ids(
    found: _Found, about: About | None, request: Request, *, unknown_is_a_word: bool
) -> bool:
    """Whether the words are ids, as the caller or else the file says, or by what they look like."""
    kind: str = about.words if about is not None and request.words == "auto" else request.words
    if kind != "auto":
        return kind == "ids"
    return not unknown_is_a_word and _are_ids(found.own, request.vocab_size)


def _text(spelled: list[bytes], ids: NDArray[np.int64], unknown: int) -> WordText:
    names = [word.decode("utf-8", "surrogateescape") for word in spelled]
    return WordText(names, int(ids[unknown]) if unknown >= 0 and ids[unknown] >= 0 else None)


def _given_ids(found: _Found, about: About | None, request: Request) -> _Ids:
    """Those that the words spell."""
    ids = np.full(len(found.words), -1, np.int64)
    ids[found.plain], size = _numbers(found.own, about, request)
    stop, size = _stop_of_ids(
        ids, size, about, request, begins=found.begin >= 0, ends=found.end >= 0
    )
    return _Ids(ids, size, stop, None)


def _stated_ids(found: _Found, about: About) -> _Ids:
    """Those of a model of tokens that this package has written: in the order of the words."""
    known = np.setdiff1d(
        np.arange(about.vocab_size), [i for i in (about.stop_token, about.unknown) if i is not None]
    )
    ids = np.full(len(found.words), -1, np.int64)
    ids[found.plain] = known
    spelled = [END.encode()] * about.vocab_size
    if about.unknown is not None:
        if found.unknown < 0:
            raise InputError("it has no <unk>, of which its first lines speak")
        ids[found.unknown] = about.unknown
        spelled[about.unknown] = UNKNOWN.encode()
    for i, word in zip(known.tolist(), found.own, strict=True):
        spelled[i] = unescaped(word.decode("utf-8", "surrogateescape")).encode(
            "utf-8", "surrogateescape"
        )
    return _Ids(ids, about.vocab_size, about.stop_token, spelled)


def _new_ids(found: _Found) -> _Ids:
    """0, 1, 2, ... for all words but ``<s>``."""
    special = [i for i in (found.unknown, found.end) if i >= 0]
    chosen = np.sort(np.concatenate([found.plain, np.array(special, np.int64)]))
    ids = np.full(len(found.words), -1, np.int64)
    ids[chosen] = np.arange(len(chosen))
    size, stop = len(chosen), None
    if found.end >= 0:
        stop = int(ids[found.end])
    elif found.begin >= 0:
        stop = size
    return _Ids(ids, size, stop, [found.words[i] for i in chosen.tolist()])


def _check_number(about: About, n_words: int) -> None:
    """A file of this package lists every id: the size it states may be trusted then."""
    stop = about.stop_token
    expected = about.vocab_size - (stop is not None and stop < about.vocab_size)
    if n_words != expected:
        raise InputError(f"it has {n_words} words, and its first lines say {expected}")


def _are_ids(words: Sequence[bytes], vocab_size: int | None) -> bool:
    limit = _MAX_ID if vocab_size is None else math.inf  # larger ones are an error then
    return bool(words) and all(_ID.fullmatch(word) and int(word) < limit for word in words)


def _numbers(
    words: Sequence[bytes], about: About | None, request: Request
) -> tuple[NDArray[np.int64], int]:
    """The ids that words spell, and the size of their vocabulary."""
    for word in words:
        if not _ID.fullmatch(word):
            shown = word[:40].decode("utf-8", "replace")
            raise InputError(f"the word {shown!r} is no id; read the words as tokens")
    ids = np.array([int(word) for word in words], np.int64)
    largest = int(ids.max(initial=-1))
    size = request.vocab_size
    if size is None:
        size = largest + 1 if about is None else about.vocab_size
        if largest >= _MAX_ID and about is None:
            raise InputError(f"its largest id is {largest}; if that is so, give --vocab-size")
    if largest >= size:
        raise InputError(f"the word {largest} is no id below the vocabulary size {size}")
    return ids, size


def _stop_of_ids(
    ids: NDArray[np.int64],
    size: int,
    about: About | None,
    request: Request,
    *,
    begins: bool,
    ends: bool,
) -> tuple[int | None, int]:
    """The stop token, and the size of the vocabulary with it."""
    stop = request.separator
    if stop is None and about is not None:
        stop = about.stop_token
    elif stop is None and (begins or ends):
        stop, size = size, size + ends  # without </s> it is never predicted
    elif stop is not None and stop >= size:
        size = stop + 1
    if stop is not None and (ids == stop).any():
        raise InputError(f"the id {stop} of the separator is also a word")
    return stop, size
