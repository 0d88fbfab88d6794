"""Writing a back-off model as an ARPA file."""

from __future__ import annotations

import contextlib
import gzip
import json
import math
from collections.abc import Iterator
from os import PathLike, fspath
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError, check_choice
from ngramstat.kernels.arpa import Spellings, arpa_lines
from ngramstat.ngram_models.arpa.words import BEGIN, END, LOG_ZERO, UNKNOWN
from ngramstat.ngram_models.escapes import escaped
from ngramstat.ngram_models.text import WordText
from ngramstat.ngram_models.trie import Batch
from ngramstat.runtime.files import atomic_write
from ngramstat.runtime.progress import Progress

if TYPE_CHECKING:
    from ngramstat.ngram_models.backoff_model import BackoffModel

__all__ = ["PREAMBLE", "WordsOf", "write_arpa"]

WordsOf = Literal["ids", "tokens"]

# Begins the line before the model that says what its ids are. KenLM skips lines that begin so.
PREAMBLE = "# ngramstat "
_LN10 = math.log(10)


def write_arpa(
    model: BackoffModel,
    path: str | PathLike[str],
    *,
    words: WordsOf | None = None,
    progress: bool = False,
) -> None:
    """See `BackoffModel.write_arpa`."""
    if words is None:
        words = "tokens" if isinstance(model.text, WordText) else "ids"
    check_choice("words", words, ("ids", "tokens"))
    unknown = _unknown_word(model) if words == "tokens" else None
    writer = _Writer(model, _words(model, words), unknown)
    with _open(path) as file:
        file.write(_header(model, words, writer))
        with Progress(sum(model.n_ngrams), "ARPA", unit="n-grams", enabled=progress) as bar:
            for m in range(1, model.order + 1):
                file.write(f"\\{m}-grams:\n".encode())
                for lines, n in writer.lines(m):
                    file.write(lines)
                    bar.advance(n)
                file.write(b"\n")
        file.write(b"\\end\\\n")


@contextlib.contextmanager
def _open(path: str | PathLike[str]) -> Iterator[IO[bytes]]:
    with atomic_write(path) as file:
        if not fspath(path).endswith(".gz"):
            yield file
            return
        # Without a name and a time in it, so that equal models are equal files.
        with gzip.GzipFile("", "wb", 6, file, 0) as packed:
            yield packed  # type: ignore[misc]


def _words(model: BackoffModel, words: WordsOf) -> list[bytes]:
    """How each id is written."""
    if words == "ids":
        return [b"%d" % i for i in range(model.vocab_size)]
    if model.text is None:
        raise InputError(
            "words='tokens': the model was made of token ids and has no tokenizer; use words='ids'"
        )
    tokens = model.text.spellings(model.vocab_size)
    return [escaped(token).encode("utf-8", "surrogateescape") for token in tokens]


def _unknown_word(model: BackoffModel) -> int | None:
    """The id that stands for all words that are not in the vocabulary."""
    return model.text.unknown if isinstance(model.text, WordText) else None


def _header(model: BackoffModel, words: WordsOf, writer: _Writer) -> bytes:
    about = {
        "words": words,
        "vocab_size": model.vocab_size,
        "stop_token": model.stop_token,
        "unknown": writer.unknown,
    }
    counts = [writer.n_unigrams, *model.n_ngrams[1:]]
    lines = [PREAMBLE + json.dumps(about), "\\data\\"]
    lines += [f"ngram {m}={count}" for m, count in enumerate(counts, start=1)]
    return ("\n".join(lines) + "\n\n").encode()


class _Writer:
    """The lines of a model.

    The stop token plays ``<s>`` where a context begins and ``</s>`` where it is predicted. Models
    without one have both words, as other programs insist on them, with no probability.
    """

    def __init__(self, model: BackoffModel, words: list[bytes], unknown: int | None) -> None:
        self._model, self.unknown = model, unknown
        if unknown is not None:
            words[unknown] = UNKNOWN.encode()
        self._stop = -1 if model.stop_token is None else model.stop_token
        v = model.vocab_size
        self._begin, self._end, self._others = v, v + 1, v + 2
        self._spellings = Spellings([*words, BEGIN.encode(), END.encode(), UNKNOWN.encode()])
        # Of the vocabulary but for the separator, and the words with a meaning of their own.
        self.n_unigrams = v - (0 <= self._stop < v) + 2 + (unknown is None)

    def lines(self, m: int) -> Iterator[tuple[bytes, int]]:
        """Lines of order m and their numbers, batch by batch."""
        tables = self._unigrams() if m == 1 else map(self._named, self._model.tables(m))
        for words, log_probs, log_backoffs in tables:
            base10 = np.maximum(log_probs / _LN10, LOG_ZERO)
            backoffs = None
            if log_backoffs is not None and m < self._model.order:
                backoffs = np.maximum(log_backoffs / _LN10, LOG_ZERO)
            lines = arpa_lines(words.astype(np.uint32), base10, backoffs, self._spellings)
            yield lines, len(log_probs)

    def _named(self, batch: Batch) -> Batch:
        """With the words that the stop token plays."""
        words = batch[0].copy()
        first, last = words[:, 0], words[:, -1]
        first[first == self._stop] = self._begin
        last[last == self._stop] = self._end
        return words, batch[1], batch[2]

    def _unigrams(self) -> Iterator[Batch]:
        v = self._model.vocab_size
        parts: list[Any] = list(self._model.tables(1))
        ids = np.concatenate([tokens[:, 0] for tokens, _, _ in parts])
        log_probs, log_backoffs = np.full(v + 1, -np.inf), np.zeros(v + 1)
        log_probs[ids] = np.concatenate([part[1] for part in parts])
        if self._model.order > 1:
            log_backoffs[ids] = np.concatenate([part[2] for part in parts])
        unknown = self._model.unknown_log_prob
        special: NDArray[np.float64] = np.full(3, -np.inf)
        special[2] = -np.inf if unknown is None else unknown
        weights = np.zeros(3)
        if self._stop >= 0:
            special[1], weights[0] = log_probs[self._stop], log_backoffs[self._stop]
        words = np.array([[self._begin], [self._end], [self._others]])
        n = 3 if self.unknown is None else 2
        yield words[:n], special[:n], weights[:n]
        others = np.arange(v) != self._stop
        yield np.flatnonzero(others)[:, None], log_probs[:v][others], log_backoffs[:v][others]
