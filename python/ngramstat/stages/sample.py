"""The first tokens of a corpus: what they show of it, and how long the kernels take on them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.covariance.occurring import occurring
from ngramstat.kernels import mostly_unused, token_counts
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.sampling.options import SamplingOptions

__all__ = ["CorpusSample", "head"]

_TOKENS = 2_000_000


class CorpusSample:
    """The head of a corpus, for plans.

    Parameters
    ----------
    corpus : Corpus
    threads : int
    timed : bool
        Whether `time` runs what it is given.

    Attributes
    ----------
    size : int
        Tokens of the sample.
    growth : float
        Tokens of the corpus for each of the sample.
    occurrences : (V,) int64
        How often each token occurs in the sample.
    """

    def __init__(self, corpus: Corpus, threads: int, *, timed: bool) -> None:
        self.corpus, self.threads, self.timed = corpus, threads, timed
        self._seconds: dict[str | None, float] = {}
        self.size = min(corpus.n_tokens, _TOKENS)
        self.growth = corpus.n_tokens / self.size
        head = np.asarray(corpus.tokens[: self.size])
        self.occurrences: NDArray[np.int64] = token_counts(head, corpus.vocab_size, threads=threads)

    @cached_property
    def design(self) -> SamplingDesign:
        """Documents of the sample."""
        return head(self.corpus, self.size)

    @cached_property
    def occurring_items(self) -> int:
        """Vocabulary items over which C(t) of the whole corpus is measured, about.

        Those that occur, where these are few; their number grows as a power of the tokens.
        """
        quarter = np.asarray(self.corpus.tokens[: max(self.size // 4, 1)])
        few = np.count_nonzero(token_counts(quarter, self.corpus.vocab_size, threads=self.threads))
        many = np.count_nonzero(self.occurrences)
        power = min(max(math.log(max(int(many), 1) / max(int(few), 1), 4), 0.0), 1.0)
        expected = round(many * self.growth**power)
        vocab_size = self.corpus.vocab_size
        return expected if mostly_unused(expected, vocab_size) else vocab_size

    @cached_property
    def occurring(self) -> SamplingDesign:
        """Documents of the sample, over the items that occur in it where those are few."""
        with occurring(self.design, Workspace(self.threads)) as used:
            return used.design

    def time(self, work: Callable[[], Any], name: str | None = None) -> float:
        """Seconds of a call, the shorter of two; NaN if nothing is to be timed.

        Work of one `name` is timed once, whichever stage asks for it.
        """
        if not self.timed:
            return math.nan
        if name in self._seconds:
            return self._seconds[name]
        seconds = math.inf
        for _ in range(2):
            started = time.perf_counter()
            work()
            seconds = min(seconds, time.perf_counter() - started)
        if name is not None:
            self._seconds[name] = seconds
        return seconds


def head(corpus: Corpus, size: int) -> SamplingDesign:
    """The first tokens as a corpus of their own, with the documents that end there."""
    ends = None
    if corpus.document_ends is not None:
        ends = np.asarray(corpus.document_ends[: np.searchsorted(corpus.document_ends, size)])
        if not len(ends) or ends[-1] != size:
            ends = np.append(ends, size)
    first = Corpus.from_arrays(
        np.asarray(corpus.tokens[:size]),
        vocab_size=corpus.vocab_size,
        document_ends=ends,
        separator=corpus.separator,
    )
    return SamplingDesign(first, SamplingOptions())
