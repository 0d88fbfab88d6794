"""The rounds of held-out losses: Kneser-Ney models of the text of all shards.

A shard first tells its held-out tokens, which all others have to know, and the edges of its
training parts. Then it sends each of its training tokens, as a window with the tokens before it, to
the range that the token lies in, and marks held-out tokens that stand in its training text. A range
counts the models of all subsets of the learning curve for the held-out n-grams; counts of ranges
add up to the models of the whole text, whose losses follow.

=========  ===========================================  ==========================================
round      on the machine of a shard                    on one machine, for every range
=========  ===========================================  ==========================================
count      held-out tokens, edges, counts of tokens
sums 1     windows of training tokens, marks of copies  counts of the models
assemble                                                adds them up: losses
=========  ===========================================  ==========================================
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.entropy.copies import copied_by_piece, marks_of_copies, passage_length
from ngramstat.entropy.kneser_ney import HeldOutLosses, held_out_model, scored_losses
from ngramstat.entropy.learning_curves import LearningPoint, batches, learning_point
from ngramstat.kernels import CountsOfRange, KneserNey, token_counts
from ngramstat.kernels.tokens import Tokens
from ngramstat.ngram_models.split_streams import SplitStreams, scored_streams, span_positions
from ngramstat.ngram_models.streams import stream_size, write_stream
from ngramstat.runtime.workspace import Workspace, gather, release_pages_if_needed
from ngramstat.sharding.files import RoundFiles
from ngramstat.sharding.split import TextSplit

__all__ = ["HeldOutRounds", "HeldOutSender"]

# Training tokens of a shard whose windows are in memory at a time; each part makes a file for a
# range. Files of a call that was killed are kept: another size needs another format of files.
_PART = 1 << 24


@dataclass(frozen=True)
class ShardText:
    """What the other shards have to know of the text of one.

    Attributes
    ----------
    held_out : (n,) uint16 or uint32
        Its held-out tokens, part after part.
    counts : (V + 1,) int64
        Occurrences of every id in its training text, the tokens between its parts among them.
    tails : (k,) uint16 or uint32
        The last tokens of its training parts, as many as the longest context, where contexts run
        across parts.
    head_places : (h,) int64
    head : (h,) uint16 or uint32
        Its training tokens that have less than the longest context before them on the circle, and
        their places there, where contexts run across parts.
    """

    held_out: Tokens
    counts: NDArray[np.int64]
    tails: Tokens
    head_places: NDArray[np.int64]
    head: Tokens


@dataclass(frozen=True)
class SentTraining:
    """How many files a shard sent to each range, and which held-out tokens it has copies of.

    Attributes
    ----------
    parts : int
    copies : (n_held_out,) bool
    """

    parts: int
    copies: NDArray[np.bool_]


@dataclass(frozen=True)
class TrainingWindows:
    """Training tokens with the tokens before them.

    Attributes
    ----------
    tokens : (k, order) uint16 or uint32
        A window each, the training token last.
    places : (k,) int64
        The place of its part on the circle.
    """

    tokens: Tokens
    places: NDArray[np.int64]


class _AllTexts:
    """What is known of the text of all shards, once every one of them has told it."""

    def __init__(self, split: TextSplit, files: RoundFiles) -> None:
        self._split = split
        self._shards = range(split.layout.plan.shards)
        self._texts = [files.load(ShardText, "text", number) for number in self._shards]

    @cached_property
    def streams(self) -> SplitStreams:
        """The held-out side of all shards."""
        options = self._split.options
        return scored_streams(
            self._split.split,
            np.concatenate([text.held_out for text in self._texts]),
            self._split.dtype,
            boundary=options.boundary,
            max_context=options.max_context,
        )

    @cached_property
    def passage_length(self) -> int:
        """Of copies."""
        counts = np.sum([text.counts for text in self._texts], axis=0)
        if self._split.stop is not None:
            counts[self._split.stop] += 1  # the one before the first part
        return passage_length(counts)

    @cached_property
    def head(self) -> Tokens:
        """The training tokens that have less than the longest context before them."""
        places = np.concatenate([text.head_places for text in self._texts])
        head: Tokens = np.concatenate([text.head for text in self._texts])[np.argsort(places)]
        return head

    def tokens_before(self, places: NDArray[np.int64]) -> Tokens:
        """The tokens before some training parts, (n, max_context); 0 beyond the first token."""
        context = self._split.options.max_context
        starts, tails = self._tails
        columns = starts[places][:, np.newaxis] + np.arange(-context, 0)
        before: Tokens = np.where(columns < 0, 0, tails[np.maximum(columns, 0)])
        return before.astype(self._split.dtype)

    @cached_property
    def _tails(self) -> tuple[NDArray[np.int64], Tokens]:
        """Ends of all training parts in the order of the circle, and where each begins."""
        lengths = np.minimum(self._split.training_lengths, self._split.options.max_context)
        ends = np.cumsum(lengths)
        # One more, so that there is one to look at where there is no context.
        tails = np.zeros(int(lengths.sum()) + 1, self._split.dtype)
        for number, text in zip(self._shards, self._texts, strict=True):
            places = self._split.training_of(number).places
            tails[span_positions((ends - lengths)[places], ends[places])] = text.tails
        return ends - lengths, tails


class HeldOutSender:
    """What one shard tells and sends, on the machine that holds it.

    Parameters
    ----------
    split : TextSplit
    files : RoundFiles
    number : int
        Of the shard, from 0.
    corpus : Corpus
    workspace : Workspace
    part : int
        Training tokens at a time.
    """

    def __init__(
        self,
        split: TextSplit,
        files: RoundFiles,
        number: int,
        corpus: Corpus,
        workspace: Workspace,
        part: int = _PART,
    ) -> None:
        self._split, self._files, self._number = split, files, number
        self._corpus, self._workspace, self._part = corpus, workspace, part
        self._own = split.training_of(number)

    def tell(self) -> None:
        """Tell the other shards of the text of this one."""
        if self._files.has("text", self._number):
            return
        split, held_out = self._split, self._split.held_out_of(self._number)
        positions = span_positions(held_out.first, held_out.last)
        across = split.stop is None
        nothing = np.zeros(0, split.dtype)
        with self._training() as (stream, ends), self._corpus.naming_large_ids():
            counts = token_counts(
                stream, len(split.layout.token_counts) + 1, threads=self._workspace.threads
            )
            if not across:
                counts[split.stop] -= 1  # each part counts the stop token behind it
            places, head = self._head(stream, ends) if across else (np.zeros(0, np.int64), nothing)
            text = ShardText(
                gather(self._corpus.tokens, positions).astype(split.dtype),
                counts,
                self._tails(stream, ends) if across else nothing,
                places,
                head,
            )
        self._files.save(text, "text", self._number)

    def _tails(self, stream: Tokens, ends: NDArray[np.int64]) -> Tokens:
        lengths = np.diff(ends, prepend=0)
        kept = np.minimum(lengths, self._split.options.max_context)
        return gather(stream, span_positions(ends - kept, ends))

    def _head(self, stream: Tokens, ends: NDArray[np.int64]) -> tuple[NDArray[np.int64], Tokens]:
        lengths = self._split.training_lengths
        starts = (np.cumsum(lengths) - lengths)[self._own.places]
        own = np.diff(ends, prepend=0)
        kept = np.clip(self._split.options.max_context - starts, 0, own)
        begin = ends - own
        return span_positions(starts, starts + kept), gather(
            stream, span_positions(begin, begin + kept)
        )

    def send(self) -> None:
        """Send the training tokens to their ranges, and mark the copies of held-out text."""
        if self._files.has("training-sent", self._number):
            return
        texts = _AllTexts(self._split, self._files)
        with self._training() as (stream, ends):
            parts = 0
            for parts, windows in enumerate(self._windows(stream, ends, texts), start=1):
                self._send_part(windows, parts - 1)
                release_pages_if_needed()
            copies = marks_of_copies(
                texts.streams, stream, texts.passage_length, self._workspace.threads
            )
        self._files.save(SentTraining(parts, copies), "training-sent", self._number)

    def _send_part(self, windows: TrainingWindows, part: int) -> None:
        range_of = self._split.layout.range_of[windows.tokens[:, -1]]
        for number in range(len(self._split.layout.ranges)):
            if self._files.has("training-windows", number, self._number, part):
                continue  # of a call that was killed before it had sent all
            rows = np.flatnonzero(range_of == number)
            chosen = TrainingWindows(windows.tokens[rows], windows.places[rows])
            self._files.save(chosen, "training-windows", number, self._number, part)

    @contextmanager
    def _training(self) -> Iterator[tuple[Tokens, NDArray[np.int64]]]:
        """The training parts of this shard as one stream, and where each ends."""
        split, own = self._split, self._own
        split.layout.require_described(self._number, self._corpus)
        size = stream_size(own.first, own.last, split.stop)
        with self._workspace.temporary_array(size, split.dtype) as stream:
            yield stream, write_stream(stream, self._corpus.tokens, own.first, own.last, split.stop)

    def _windows(
        self, stream: Tokens, ends: NDArray[np.int64], texts: _AllTexts
    ) -> Iterator[TrainingWindows]:
        """The windows of all training tokens but those of the head, some at a time."""
        split, context = self._split, self._split.options.max_context
        if not len(ends):
            return
        for first in range(0, len(stream), self._part):
            positions = np.arange(first, min(first + self._part, len(stream)))
            part = np.searchsorted(ends, positions, side="right")
            windows = _windows_of(stream, positions, context)
            if split.stop is None:
                trained = self._join_across(windows, positions, part, ends, texts)
            else:
                # The first token is the stop token before the first part, and no part's own.
                trained = positions > 0
                if not split.stop_is_event:
                    trained &= positions != ends[part] - 1
            yield TrainingWindows(windows[trained], self._own.places[part[trained]])

    def _join_across(
        self,
        windows: Tokens,
        positions: NDArray[np.int64],
        part: NDArray[np.int64],
        ends: NDArray[np.int64],
        texts: _AllTexts,
    ) -> NDArray[np.bool_]:
        """Put the text before a part on the circle into its first windows, in place.

        Returns which of the tokens have as many before them as the longest context.
        """
        context, lengths = self._split.options.max_context, self._split.training_lengths
        places = self._own.places
        offset = positions - np.concatenate([np.zeros(1, np.int64), ends[:-1]])[part]
        for k in range(context):
            rows = np.flatnonzero(offset == k)
            before = texts.tokens_before(places[part[rows]])
            windows[rows, : context - k] = before[:, k:]
        on_circle = (np.cumsum(lengths) - lengths)[places[part]] + offset
        full: NDArray[np.bool_] = on_circle >= context
        return full


def _windows_of(stream: Tokens, positions: NDArray[np.int64], context: int) -> Tokens:
    """Consecutive tokens with those before them, (n, context + 1); 0 before the first token."""
    first, last = int(positions[0]), int(positions[-1]) + 1
    begin = max(first - context, 0)
    missing: Any = np.zeros(context - (first - begin), stream.dtype)
    stretch = np.concatenate([missing, stream[begin:last]])
    return np.lib.stride_tricks.sliding_window_view(stretch, context + 1).copy()


class HeldOutRounds:
    """Counts the models on any machine that has the windows of a range, and scores them.

    Parameters
    ----------
    split : TextSplit
    files : RoundFiles
    workspace : Workspace
    """

    def __init__(self, split: TextSplit, files: RoundFiles, workspace: Workspace) -> None:
        self._split, self._files, self._workspace = split, files, workspace

    @cached_property
    def _texts(self) -> _AllTexts:
        return _AllTexts(self._split, self._files)

    @cached_property
    def _model(self) -> KneserNey:
        return held_out_model(self._texts.streams, self._split.options.max_context)

    def count(self, number: int) -> None:
        """Count the models of all subsets for the n-grams that end in a range of tokens."""
        subsets = self._split.subsets
        if all(self._files.has("models", number, k) for k in range(len(subsets))):
            return
        windows, head = self._windows(number), self._texts.head
        k = 0
        for batch in batches(subsets, self._model.models_that_fit(self._workspace.memory_budget())):
            # In training tokens: those of the head, then the windows in the order of the circle.
            ends = [
                (0 if at == 0 else len(head) + int(np.searchsorted(windows.places, at)))
                for subset in batch for at in (subset.first, subset.last)
            ]  # fmt: skip
            self._model.train_windows(
                head,
                windows.tokens,
                list(zip(ends[::2], ends[1::2], strict=True)),
                self._split.layout.ranges[number],
                threads=self._workspace.threads,
            )
            for model in range(len(batch)):
                self._files.save(self._model.counts_of_range(model), "models", number, k)
                k += 1

    def _windows(self, number: int) -> TrainingWindows:
        """All windows of a range, in the order of the circle."""
        shards = range(self._split.layout.plan.shards)
        sent = [self._files.load(SentTraining, "training-sent", shard).parts for shard in shards]
        found = self._files.load_of_range(TrainingWindows, "training-windows", number, sent)
        places = np.concatenate([windows.places for windows in found])
        order = np.argsort(places, kind="stable")
        tokens = np.concatenate([windows.tokens for windows in found])
        return TrainingWindows(tokens[order], places[order])

    def losses(self) -> tuple[HeldOutLosses, list[LearningPoint]]:
        """Losses of the model of all training tokens, and points of the learning curve."""
        whole, *others = [self._losses(k) for k in range(len(self._split.subsets))]
        points = [
            learning_point(losses, subset.halvings)
            for losses, subset in zip(others, self._split.subsets[1:], strict=True)
        ]
        return whole, points

    def _losses(self, k: int) -> HeldOutLosses:
        subset, model = self._split.subsets[k], self._model
        model.reset(1, threads=self._workspace.threads)
        for number in range(len(self._split.layout.ranges)):
            model.add_counts(self._files.load(CountsOfRange, "models", number, k))
        return scored_losses(
            model,
            0,
            self._texts.streams,
            training_tokens=self._split.training_tokens(subset),
            copied=self._copied() if k == 0 else None,
            threads=self._workspace.threads,
        )

    def _copied(self) -> tuple[NDArray[np.int64], int]:
        """Copied tokens by piece, and the length of a copy."""
        marks = np.zeros(len(self._texts.streams.held_out), bool)
        for shard in range(self._split.layout.plan.shards):
            marks |= self._files.load(SentTraining, "training-sent", shard).copies
        return copied_by_piece(self._texts.streams, marks), self._texts.passage_length
