"""Copies of training text in the held-out text: passages that stand in both."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels import Documents, mark_copies, token_counts
from ngramstat.ngram_models.split_streams import SplitStreams

__all__ = ["copied_by_piece", "copied_tokens", "marks_of_copies", "passage_length"]

# A passage of this many tokens stands in the training text by copying, not by chance: some twenty
# words. Where tokens tell less, as bytes do, it is longer, and has at least this many nats by the
# frequencies of its tokens.
_MIN_COPY_TOKENS = 32
_MIN_COPY_NATS = 150.0
# Repetitions of up to this many tokens, and the least number of tokens that they go on for.
_MAX_PERIOD, _LONG_RUN = 16, 8


def copied_tokens(streams: SplitStreams, threads: int) -> tuple[NDArray[np.int64], int]:
    """Scored tokens of each piece that lie in a copied passage, (n_pieces,), and its length."""
    length = passage_length(token_counts(streams.training, streams.vocab_size + 1, threads=threads))
    marks = marks_of_copies(streams, streams.training, length, threads)
    return copied_by_piece(streams, marks), length


def passage_length(counts: NDArray[np.int64]) -> int:
    """Tokens of a passage that is a copy and no chance, by the counts of training tokens."""
    frequencies = counts[counts > 0] / counts.sum()
    nats_per_token = max(float(-frequencies @ np.log(frequencies)), 1e-3)
    return max(_MIN_COPY_TOKENS, math.ceil(_MIN_COPY_NATS / nats_per_token))


def marks_of_copies(
    streams: SplitStreams, training: NDArray[Any], length: int, threads: int
) -> NDArray[np.bool_]:
    """Which held-out tokens lie in a passage of this length that stands in some training tokens.

    Marks of several training streams are joined by `or`; passages that run from one of them into
    another are not found. Shape (n,) for n held-out tokens.
    """
    marks = mark_copies(
        streams.held_out,
        Documents(streams.scored.part_ends),
        training,
        length=length,
        threads=threads,
    )
    marked: NDArray[np.bool_] = marks & ~_in_short_periods(streams.held_out)
    return marked


def copied_by_piece(streams: SplitStreams, marks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Marked tokens among the scored ones of each piece, (n_pieces,)."""
    documents = streams.scored.documents
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(marks, dtype=np.int64)])
    copied: NDArray[np.int64] = before[documents.content_ends] - before[documents.content_starts]
    return copied


def _in_short_periods(tokens: NDArray[Any]) -> NDArray[np.bool_]:
    """Which tokens lie in a repetition of a few tokens, as padding does; (n,).

    Such stretches recur anywhere and are no copies of each other.
    """
    inside = np.zeros(len(tokens), bool)
    for period in range(1, min(_MAX_PERIOD, len(tokens) - 1) + 1):
        same = tokens[period:] == tokens[:-period]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]])))
        first, last = edges[::2], edges[1::2]
        long = last - first >= max(_LONG_RUN, 2 * period)
        steps = np.zeros(len(tokens) + 1, np.int64)
        np.add.at(steps, first[long], 1)
        np.add.at(steps, last[long] + period, -1)
        inside |= np.cumsum(steps[:-1]) > 0
    return inside
