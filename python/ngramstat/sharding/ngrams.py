"""The rounds of n-grams: every occurrence goes to the place of its range, where ranges are counted.

Counts of counts of shards do not add up: an n-gram that two shards have once each occurs twice. So
the occurrences are exchanged, each as a window of the target and the tokens before it, with the
labels of the target's document. A range of token ids gets the windows whose target lies in it, for
the n-grams, and those whose token before does, for the contexts. Counts of counts of ranges add up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.kernels import Documents, NgramStatistics, NgramWindows, count_ngram_windows
from ngramstat.kernels.tokens import Tokens
from ngramstat.runtime.workspace import Workspace, release_pages_if_needed
from ngramstat.sampling.design import FOLDS
from ngramstat.sharding.files import RoundFiles
from ngramstat.sharding.layout import Layout

__all__ = ["NgramRounds", "NgramSender"]

# Positions of a shard whose windows are in memory at a time; each part makes a file for a range.
# Files of a call that was killed are kept: another size needs another format of files.
_PART = 1 << 24


@dataclass(frozen=True)
class SentWindows:
    """How many files a shard sent to each range."""

    parts: int


class NgramSender:
    """Sends the windows of one shard to their ranges.

    Parameters
    ----------
    layout : Layout
    files : RoundFiles
    number : int
        Of the shard, from 0.
    corpus : Corpus
    part : int
        Positions at a time.
    """

    def __init__(
        self,
        layout: Layout,
        files: RoundFiles,
        number: int,
        corpus: Corpus,
        part: int = _PART,
    ) -> None:
        self._layout, self._files, self._number = layout, files, number
        self._corpus, self._part = corpus, part

    def send(self) -> None:
        """Write a file for every part of the shard and every range."""
        if self._files.has("sent", self._number):
            return
        documents = self._layout.shard_documents(self._number, self._corpus)
        parts = 0
        for parts, windows in enumerate(self._windows(documents), start=1):
            self._send_part(windows, parts - 1)
            release_pages_if_needed()
        self._files.save(SentWindows(parts), "sent", self._number)

    def _send_part(self, windows: NgramWindows, part: int) -> None:
        range_of = self._layout.range_of
        of_target = range_of[windows.tokens[:, -1]]
        depth = windows.tokens.shape[1]
        of_context = range_of[windows.tokens[:, -2]] if depth > 1 else of_target
        for number in range(len(self._layout.ranges)):
            if self._files.has("windows", number, self._number, part):
                continue  # of a call that was killed before it had sent all
            rows = np.flatnonzero((of_target == number) | (of_context == number))
            chosen = NgramWindows(windows.tokens[rows], windows.folds[rows], windows.clusters[rows])
            self._files.save(chosen, "windows", number, self._number, part)

    def _windows(self, documents: Documents) -> Iterator[NgramWindows]:
        """All windows of the shard, some at a time."""
        tokens, context = self._corpus.tokens, self._layout.plan.max_context
        before = self._layout.preceding(self._number).astype(tokens.dtype)
        across = self._layout.options.boundary.across
        for first in range(0, len(tokens), self._part):
            last = min(first + self._part, len(tokens))
            stream = _stretch(before, tokens, first - context, last)
            if len(stream) <= context:
                continue
            # Positions of the shard whose contexts are in the corpus.
            targets = np.arange(last - len(stream) + context, last)
            document = np.searchsorted(documents.ends, targets, side="right")
            rows = np.arange(len(targets))
            if not across:
                rows = np.flatnonzero(targets - documents.starts[document] >= context)
            windows = np.lib.stride_tricks.sliding_window_view(stream, context + 1)
            yield NgramWindows(
                np.ascontiguousarray(windows[rows]),
                documents.folds[document[rows]],
                documents.clusters[document[rows]],
            )


def _stretch(before: Tokens, tokens: Tokens, first: int, last: int) -> Tokens:
    """Tokens [first, last) of a shard, of which those before 0 are the text before it, if any."""
    stretch: NDArray[Any] = np.asarray(tokens[max(first, 0) : last])
    if first < 0:
        stretch = np.concatenate([before[max(len(before) + first, 0) :], stretch])
    return stretch


class NgramRounds:
    """Counts the ranges, on any machine that has their windows, and adds up what they have.

    Parameters
    ----------
    layout : Layout
    files : RoundFiles
    workspace : Workspace
    """

    def __init__(self, layout: Layout, files: RoundFiles, workspace: Workspace) -> None:
        self._layout, self._files, self._workspace = layout, files, workspace

    def count(self, number: int) -> None:
        """Count the n-grams of one range."""
        if self._files.has("ngrams", number):
            return
        shards = range(self._layout.plan.shards)
        sent = [self._files.load(SentWindows, "sent", shard).parts for shard in shards]
        found = self._files.load_of_range(NgramWindows, "windows", number, sent)
        statistics = count_ngram_windows(
            NgramWindows.joined(found),
            len(self._layout.token_counts),
            self._layout.ranges[number],
            n_folds=FOLDS,
            n_clusters=self._layout.labels.n_clusters,
            threads=self._workspace.threads,
        )
        self._files.save(statistics, "ngrams", number)

    def statistics(self) -> NgramStatistics:
        """Of all n-grams of the corpus."""
        numbers = range(len(self._layout.ranges))
        return NgramStatistics.sum_of(
            [self._files.load(NgramStatistics, "ngrams", number) for number in numbers]
        )
