"""Reading an ARPA file as a back-off model.

The file is not trusted. It is parsed line by line in the memory of its words, and its n-grams go to
temporary files until all of them are known.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.formats.compressed import open_decompressed
from ngramstat.errors import InputError, NgramstatError
from ngramstat.kernels.arpa import ArpaEntries, ArpaParser
from ngramstat.ngram_models.arpa.vocabulary import (
    Request,
    Vocabulary,
    about_of,
    vocabulary_of,
)
from ngramstat.ngram_models.arpa.words import LOG_ZERO
from ngramstat.ngram_models.trie import Batch
from ngramstat.runtime.files import reason
from ngramstat.runtime.progress import Progress
from ngramstat.runtime.resources import parse_memory_limit

if TYPE_CHECKING:
    from ngramstat.ngram_models.backoff_model import BackoffModel

__all__ = ["read_arpa"]

_LN10 = math.log(10)
_BLOCK_BYTES = 1 << 20
_BATCH = 1 << 18


def read_arpa(
    kind: type[BackoffModel],
    path: str | PathLike[str],
    request: Request,
    *,
    memory_limit: str | int | None = None,
    progress: bool = False,
) -> BackoffModel:
    """See `BackoffModel.read_arpa`."""
    limit = parse_memory_limit(memory_limit)
    with ExitStack() as stack:
        parser = ArpaParser(str(path))
        spools: list[_Spool] = []
        with (
            open_decompressed(Path(path)) as file,
            Progress(None, "ARPA", unit="B", enabled=progress) as bar,
        ):
            while block := file.read(_BLOCK_BYTES):
                _store(parser.feed(block), spools, stack)
                bar.advance(len(block))
                if 3 * parser.word_bytes > limit:
                    raise NgramstatError(
                        f"{path}: its words alone take more memory than --memory-limit {limit}"
                    )
        _store(parser.finish(), spools, stack)
        return _Tables(path, parser, spools).model(kind, request)


def _store(runs: Iterator[ArpaEntries], spools: list[_Spool], stack: ExitStack) -> None:
    for entries in runs:
        while len(spools) < entries.order:
            spools.append(stack.enter_context(_Spool(len(spools) + 1)))
        spools[entries.order - 1].append(entries)


class _Spool:
    """The n-grams of one order in temporary files; a context manager."""

    def __init__(self, order: int) -> None:
        self.order, self.size = order, 0
        self._stack = ExitStack()
        self._files: list[Any] = []

    def __enter__(self) -> _Spool:
        for _ in range(3):
            self._files.append(self._stack.enter_context(tempfile.TemporaryFile()))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def append(self, entries: ArpaEntries) -> None:
        arrays: list[NDArray[Any]]
        arrays = [entries.words, entries.log_probs, entries.log_backoffs]
        try:
            for file, array in zip(self._files, arrays, strict=True):
                file.write(array.tobytes())
        except OSError as error:
            raise NgramstatError(
                f"{tempfile.gettempdir()}: n-grams cannot be stored there: {reason(error)}; set "
                "TMPDIR to a directory with more room"
            ) from error
        self.size += len(entries.log_probs)

    def batches(self) -> Iterator[tuple[int, ArpaEntries]]:
        """(number of n-grams before, n-grams), in the order of the file."""
        shapes = ((np.uint32, self.order), (np.float64, 1), (np.float64, 1))
        for file in self._files:
            file.seek(0)
        for start in range(0, self.size, _BATCH):
            n = min(_BATCH, self.size - start)
            arrays = [
                np.frombuffer(file.read(n * width * np.dtype(dtype).itemsize), dtype)
                for file, (dtype, width) in zip(self._files, shapes, strict=True)
            ]
            yield start, ArpaEntries(arrays[0].reshape(n, self.order), *arrays[1:])


class _Tables:
    """The n-grams of a file with ids for words."""

    def __init__(self, path: str | PathLike[str], parser: ArpaParser, spools: list[_Spool]) -> None:
        self._path, self._first_lines = path, parser.first_lines
        while len(spools) < len(parser.counts):  # orders without an n-gram at the end
            spools.append(_Spool(len(spools) + 1))
        self._spools = spools
        self._words = parser.words()
        if not self._words:
            raise InputError(f"{path}: it has no words")
        try:
            self._about = about_of(parser.preamble)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"{path}: its first lines are damaged: {reason(error)}") from error

    def model(self, kind: type[BackoffModel], request: Request) -> BackoffModel:
        unigrams = next(self._spools[0].batches())[1]
        if self._spools[0].size > len(unigrams.log_probs):
            parts = [entries for _, entries in self._spools[0].batches()]
            unigrams = ArpaEntries(
                np.concatenate([p.words for p in parts]),
                np.concatenate([p.log_probs for p in parts]),
                np.concatenate([p.log_backoffs for p in parts]),
            )
        try:
            vocabulary = vocabulary_of(
                self._words,
                self._about,
                request,
                unknown_is_a_word=self._unknown_is_used(unigrams.log_backoffs),
            )
            tables = [iter([self._unigrams(unigrams, vocabulary)])]
            tables += [self._ngrams(spool, vocabulary) for spool in self._spools[1:]]
            return kind.from_tables(
                vocabulary.size,
                tables,
                stop_token=vocabulary.stop_token,
                unknown_log_prob=self._unknown_log_prob(unigrams, vocabulary),
                text=vocabulary.text,
            )
        except InputError as error:
            text = str(error)
            if text.startswith(str(self._path)):
                raise
            raise InputError(f"{self._path}: {text}{self._repeated(text)}") from error

    def _unknown_is_used(self, backoffs: NDArray[np.float64]) -> bool:
        """Whether ``<unk>`` has a back-off or longer n-grams."""
        numbers = [i for i, word in enumerate(self._words) if word in (b"<unk>", b"<UNK>")]
        if not numbers:
            return False
        return bool(backoffs[numbers].any()) or any(
            np.isin(entries.words, numbers).any()
            for spool in self._spools[1:]
            for _, entries in spool.batches()
        )

    def _unknown_log_prob(self, unigrams: ArpaEntries, vocabulary: Vocabulary) -> float | None:
        """Of ids that are no word of the file."""
        if vocabulary.unknown < 0 or vocabulary.ids[vocabulary.unknown] >= 0:
            return None
        log_prob = float(unigrams.log_probs[vocabulary.unknown])
        return None if self._about is not None and log_prob <= LOG_ZERO else log_prob * _LN10

    def _unigrams(self, unigrams: ArpaEntries, vocabulary: Vocabulary) -> Batch:
        log_probs = unigrams.log_probs * _LN10
        log_backoffs = unigrams.log_backoffs * _LN10
        ids = vocabulary.ids.copy()
        begin, end, stop = vocabulary.begin, vocabulary.end, vocabulary.stop_token
        if stop is not None and begin >= 0 and end >= 0:
            # One id for both: it is predicted as </s>, and <s> is the context.
            log_backoffs[end] = log_backoffs[begin]
            ids[begin] = -1
        if (begin >= 0 and end < 0) or stop == vocabulary.size:  # never predicted
            log_probs[[i for i in (begin, end) if i >= 0]] = -np.inf
        if self._about is not None:
            # What has no probability was written as if it had one.
            log_probs[unigrams.log_probs <= LOG_ZERO] = -np.inf
        known = ids >= 0
        return ids[known, None], log_probs[known], log_backoffs[known]

    def _ngrams(self, spool: _Spool, vocabulary: Vocabulary) -> Iterator[Batch]:
        begin, end = vocabulary.begin, vocabulary.end
        for start, entries in spool.batches():
            words = entries.words
            if begin >= 0:
                self._refuse(words[:, 1:] == begin, spool, start, "<s> is not its first word")
            if end >= 0:
                self._refuse(words[:, :-1] == end, spool, start, "</s> is not its last word")
            ids = vocabulary.ids[words]
            self._refuse(ids < 0, spool, start, "one of its words has no id")
            yield ids, entries.log_probs * _LN10, entries.log_backoffs * _LN10

    def _refuse(self, bad: NDArray[np.bool_], spool: _Spool, start: int, why: str) -> None:
        rows = np.flatnonzero(bad.any(axis=1))
        if len(rows):
            line = self._line(spool, start + int(rows[0]))
            raise InputError(f"{self._path}, line {line}: the n-gram cannot be used: {why}")

    def _line(self, spool: _Spool, number: int) -> int:
        return self._first_lines[spool.order - 1] + number

    def _repeated(self, text: str) -> str:
        """Lines of the first n-gram that occurs twice, where that is the error."""
        if "twice" not in text:
            return ""
        for spool in self._spools[1:]:
            words = np.concatenate([entries.words for _, entries in spool.batches()])
            order = np.lexsort(words.T)
            same = np.flatnonzero((words[order][1:] == words[order][:-1]).all(axis=1))
            if len(same):
                lines = sorted(self._line(spool, int(order[i])) for i in (same[0], same[0] + 1))
                return f" (lines {lines[0]} and {lines[1]})"
        return ""
