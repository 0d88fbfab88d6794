"""The two sides of a held-out split, each written out as one contiguous token stream.

With boundary ``stream`` the documents of a side stand one after the other and contexts run across
them. With boundary ``document`` a *stop token* stands between them, at which contexts end: the
separator of the store, which is an event (a token that is predicted and scored) like any other, or
the id V where the store has none, which is never predicted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.errors import InputError
from ngramstat.kernels import Documents
from ngramstat.kernels.tokens import dtype_holding
from ngramstat.ngram_models.streams import stop_token_of, stream_size, write_stream
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.split import HeldOutSplit, Selection

__all__ = [
    "ScoredPieces",
    "SplitStreams",
    "content_positions",
    "scored_documents",
    "scored_streams",
    "span_positions",
    "split_streams",
    "training_stream",
]


@dataclass(frozen=True)
class ScoredPieces:
    """The held-out tokens to score, each part cut where contexts become as long as the longest.

    Attributes
    ----------
    documents : Documents
        The pieces in the held-out stream; their content is scored, other tokens only serve as
        context.
    part : (k,) int64
        The held-out part that each piece belongs to.
    at_start : (k,) bool
        Whether its tokens have fewer tokens before them in their document than the longest
        context. Counts of n-grams leave these targets out, so brackets do, too. With boundary
        ``stream`` contexts run across documents, and there are no such tokens.
    """

    documents: Documents
    part: NDArray[np.int64]
    at_start: NDArray[np.bool_]

    @property
    def part_ends(self) -> NDArray[np.int64]:
        """Where each part ends in the held-out stream, (n_parts,)."""
        ends: NDArray[np.int64] = self.documents.ends[np.append(np.diff(self.part) > 0, True)]
        return ends

    @property
    def tokens(self) -> NDArray[np.int64]:
        """Scored tokens of each piece, (k,)."""
        lengths: NDArray[np.int64] = self.documents.content_ends - self.documents.content_starts
        return lengths

    def totals(self, by_piece: NDArray[Any]) -> NDArray[Any]:
        """Sums over the pieces of each part; (k,) or (k, m) to (n_parts,) or (n_parts, m)."""
        sums = np.zeros((int(self.part[-1]) + 1, *by_piece.shape[1:]), by_piece.dtype)
        np.add.at(sums, self.part, by_piece)
        return sums

    def totals_at_starts(self, by_piece: NDArray[Any]) -> NDArray[Any]:
        """The same sums over the pieces at the starts of documents alone."""
        mask = self.at_start.reshape(-1, *[1] * (by_piece.ndim - 1))
        return self.totals(np.where(mask, by_piece, 0).astype(by_piece.dtype))


@dataclass(frozen=True)
class SplitStreams:
    """Both sides of a split as contiguous token streams.

    Attributes
    ----------
    training : (n,) uint16 or uint32
    training_ends : (n_documents,) int64
        Where each training document ends, with the separator behind it that is an event.
    first_event : int
        Training tokens before it only serve as context.
    held_out : (n,) uint16 or uint32
    scored : ScoredPieces
        What of the held-out tokens is scored.
    vocab_size : int
    stop_token : int or None
        Contexts reach back to this token; vocab_size where the store has no separator, and then it
        is no event.
    """

    training: NDArray[Any]
    training_ends: NDArray[np.int64]
    first_event: int
    held_out: NDArray[Any]
    scored: ScoredPieces
    vocab_size: int
    stop_token: int | None

    @property
    def training_tokens(self) -> int:
        """Tokens trained on."""
        return len(self.training) - self.first_event - self.no_events(len(self.training_ends))

    def no_events(self, documents: int) -> int:
        """Tokens of this many training documents that are not trained on: their stop tokens."""
        return documents if self.stop_token == self.vocab_size else 0


@contextmanager
def training_stream(
    training: Selection, boundary: Boundary, workspace: Workspace
) -> Iterator[SplitStreams]:
    """The stream of one side alone, with nothing held out; valid inside the context."""
    corpus = training.corpus
    stop = stop_token_of(corpus, boundary)
    dtype = dtype_holding(stop or 0, corpus.dtype)
    first, last = training.spans(content=stop is not None)
    none = np.zeros(0, np.int64)
    nothing = ScoredPieces(Documents(none), none, np.zeros(0, bool))
    with workspace.temporary_array(stream_size(first, last, stop), dtype) as stream:
        ends = write_stream(stream, corpus.tokens, first, last, stop)
        yield SplitStreams(
            stream,
            ends,
            0 if stop is None else 1,
            np.zeros(0, dtype),
            nothing,
            corpus.vocab_size,
            stop,
        )


@contextmanager
def split_streams(
    split: HeldOutSplit,
    *,
    boundary: Boundary,
    max_context: int,
    workspace: Workspace | None = None,
) -> Iterator[SplitStreams]:
    """The streams of a split, valid inside the context; see `held_out_losses` for their layout.

    Raises
    ------
    InputError
        The two corpora differ in vocabulary or separator, or one side is empty.
    """
    training_corpus, held_out_corpus = split.training.corpus, split.held_out.corpus
    vocab_size = training_corpus.vocab_size
    if held_out_corpus.vocab_size != vocab_size:
        raise InputError(
            f"{held_out_corpus.name}: its vocabulary has {held_out_corpus.vocab_size} items, that "
            f"of {training_corpus.name} {vocab_size}; tokenize both with the same tokenizer"
        )
    if held_out_corpus.separator != training_corpus.separator:
        raise InputError(
            f"{held_out_corpus.name}: its separator is {held_out_corpus.separator}, that of "
            f"{training_corpus.name} {training_corpus.separator}"
        )
    stop = stop_token_of(training_corpus, boundary)
    wider = np.promote_types(training_corpus.dtype, held_out_corpus.dtype)
    dtype = dtype_holding(stop or 0, wider)
    workspace = Workspace() if workspace is None else workspace
    first, last = split.training.spans(content=stop is not None)
    held_out_spans = split.held_out.spans(content=stop is not None)
    with workspace.temporary_array(stream_size(first, last, stop), dtype) as training:
        ends = write_stream(training, training_corpus.tokens, first, last, stop)
        held_out = np.empty(stream_size(*held_out_spans, stop), dtype)
        held_out_ends = write_stream(held_out, held_out_corpus.tokens, *held_out_spans, stop)
        streams = SplitStreams(
            training,
            ends,
            0 if stop is None else 1,
            held_out,
            _scored_pieces(split.held_out, held_out_ends, stop, vocab_size, max_context),
            vocab_size,
            stop,
        )
        if not len(ends) or not len(training) or not streams.scored.tokens.sum():
            raise InputError(f"{training_corpus.name}: the held-out split leaves one side empty")
        yield streams


def scored_streams(
    split: HeldOutSplit,
    tokens: NDArray[Any],
    dtype: np.dtype[Any],
    *,
    boundary: Boundary,
    max_context: int,
) -> SplitStreams:
    """The held-out side of a split whose training tokens are not here; nothing is trained on.

    Parameters
    ----------
    split : HeldOutSplit
        Of a corpus whose tokens need not be here.
    tokens : (n,) uint16 or uint32
        Of the held-out parts, one after the other; with boundary ``document`` their content.
    dtype : dtype
        Of the streams; it holds the stop token.

    Raises
    ------
    InputError
        There is nothing to score.
    """
    corpus = split.held_out.corpus
    stop = stop_token_of(corpus, boundary)
    first, last = split.held_out.spans(content=stop is not None)
    ends = np.cumsum(last - first)
    if not len(tokens):
        raise InputError(f"{corpus.name}: the held-out split leaves one side empty")
    held_out = np.empty(stream_size(first, last, stop), dtype)
    stream_ends = write_stream(held_out, tokens, ends - (last - first), ends, stop)
    return SplitStreams(
        np.zeros(0, dtype),
        np.zeros(0, np.int64),
        0 if stop is None else 1,
        held_out,
        _scored_pieces(split.held_out, stream_ends, stop, corpus.vocab_size, max_context),
        corpus.vocab_size,
        stop,
    )


def _scored_pieces(
    held_out: Selection,
    ends: NDArray[np.int64],
    stop: int | None,
    vocab_size: int,
    max_context: int,
) -> ScoredPieces:
    """The pieces of the held-out parts that end at `ends` in their stream."""
    first_event = 0 if stop is None else 1
    starts = np.concatenate([np.array([first_event], np.int64), ends[:-1]])
    # A stop token that is no event, or that stands behind a part cut out of a document.
    no_event = held_out.ends_inside | (stop == vocab_size)
    last = ends - first_event * no_event
    # Where the first tokens end that have shorter contexts than the others.
    full = np.minimum(starts + max_context, last)
    # In a part cut out of a document they would have longer ones there: they are not scored.
    cut = held_out.starts_inside
    at_start = ~cut & (full > starts) & (stop is not None)
    first = np.where(cut | at_start, full, starts)
    # A piece needs a token, scored or not.
    has_rest = ends > np.where(at_start, full, starts)
    part = np.concatenate([np.flatnonzero(at_start), np.flatnonzero(has_rest)])
    is_start = np.arange(len(part)) < int(at_start.sum())
    order = np.lexsort((~is_start, part))
    part, is_start = part[order], is_start[order]
    piece_ends = np.where(is_start & has_rest[part], full[part], ends[part])
    return ScoredPieces(
        Documents(
            piece_ends,
            content_starts=np.where(is_start, starts[part], first[part]),
            content_ends=np.where(is_start, full[part], last[part]),
        ),
        part,
        is_start,
    )


def scored_documents(ends: NDArray[np.int64], *, first_event: int, separators: int) -> Documents:
    """Documents that end at `ends`, their content being what is scored.

    The first `first_event` tokens of the stream only serve as context, and so do the `separators`
    (0 or 1) at the end of every document.
    """
    starts = np.concatenate([np.array([first_event], np.int64), ends[:-1]])
    return Documents(ends, content_starts=starts, content_ends=ends - separators)


def content_positions(documents: Documents) -> NDArray[np.int64]:
    """Positions of the content of all documents, ascending; (k,)."""
    return span_positions(documents.content_starts, documents.content_ends)


def span_positions(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """All positions of some spans, span by span; (k,)."""
    lengths = last - first
    before = np.cumsum(lengths) - lengths
    positions: NDArray[np.int64] = np.repeat(first - before, lengths) + np.arange(lengths.sum())
    return positions
