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
from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.kernels import Documents
from ngramstat.runtime.workspace import Workspace, release_pages_if_needed
from ngramstat.sampling.split import HeldOutSplit

__all__ = ["SplitStreams", "content_positions", "scored_documents", "split_streams"]


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
    held_out_documents : Documents
        Of the held-out tokens; their content is scored, other tokens only serve as context.
    vocab_size : int
    stop_token : int or None
        Contexts reach back to this token; vocab_size where the store has no separator, and then it
        is no event.
    """

    training: NDArray[Any]
    training_ends: NDArray[np.int64]
    first_event: int
    held_out: NDArray[Any]
    held_out_documents: Documents
    vocab_size: int
    stop_token: int | None

    @property
    def scored(self) -> NDArray[np.int64]:
        """Tokens that are scored in each held-out document, (n_documents,)."""
        documents = self.held_out_documents
        lengths: NDArray[np.int64] = documents.content_ends - documents.content_starts
        return lengths

    @property
    def training_tokens(self) -> int:
        """Tokens trained on."""
        no_events = len(self.training_ends) if self.stop_token == self.vocab_size else 0
        return len(self.training) - self.first_event - no_events


@contextmanager
def split_streams(
    split: HeldOutSplit, *, boundary: Boundary, workspace: Workspace | None = None
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
            f"{held_out_corpus.path}: its vocabulary has {held_out_corpus.vocab_size} items, that "
            f"of {training_corpus.path} {vocab_size}; tokenize both with the same tokenizer"
        )
    if held_out_corpus.separator != training_corpus.separator:
        raise InputError(
            f"{held_out_corpus.path}: its separator is {held_out_corpus.separator}, that of "
            f"{training_corpus.path} {training_corpus.separator}"
        )
    stop: int | None = None
    if not boundary.across:
        separator = training_corpus.separator
        stop = vocab_size if separator is None else separator
    wide = (stop or 0) > np.iinfo(np.uint16).max or any(
        corpus.tokens.dtype == np.uint32 for corpus in (training_corpus, held_out_corpus)
    )
    dtype = np.dtype(np.uint32 if wide else np.uint16)
    workspace = Workspace() if workspace is None else workspace
    first, last = split.training.spans(content=stop is not None)
    held_out_spans = split.held_out.spans(content=stop is not None)
    with workspace.temporary_array(_size(first, last, stop), dtype) as training:
        ends = _write_stream(training, training_corpus, first, last, stop)
        held_out = np.empty(_size(*held_out_spans, stop), dtype)
        held_out_ends = _write_stream(held_out, held_out_corpus, *held_out_spans, stop)
        streams = SplitStreams(
            training,
            ends,
            0 if stop is None else 1,
            held_out,
            scored_documents(
                held_out_ends,
                first_event=0 if stop is None else 1,
                separators=int(stop == vocab_size),
            ),
            vocab_size,
            stop,
        )
        if not len(ends) or not len(training) or not streams.scored.sum():
            raise InputError(f"{training_corpus.path}: the held-out split leaves one side empty")
        yield streams


def _size(first: NDArray[np.int64], last: NDArray[np.int64], stop: int | None) -> int:
    extra = 0 if stop is None else 1
    return int((last - first).sum()) + extra * (len(first) + 1)


def _write_stream(
    stream: NDArray[Any],
    corpus: Corpus,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    stop: int | None,
) -> NDArray[np.int64]:
    """Writes the documents one after the other, and returns where each ends.

    With a stop token the stream begins with one and every document's content is followed by one, so
    that it is the end of one document and the start of the next.
    """
    extra = 0 if stop is None else 1
    ends = np.cumsum(last - first + extra) + extra
    if stop is not None:
        stream[0] = stop
    for begin, end, stop_at in zip(first.tolist(), last.tolist(), ends.tolist(), strict=True):
        at = stop_at - extra
        stream[at - (end - begin) : at] = corpus.tokens[begin:end]
        if stop is not None:
            stream[at] = stop
        release_pages_if_needed()
    return ends.astype(np.int64)


def scored_documents(ends: NDArray[np.int64], *, first_event: int, separators: int) -> Documents:
    """Documents that end at `ends`, their content being what is scored.

    The first `first_event` tokens of the stream only serve as context, and so do the `separators`
    (0 or 1) at the end of every document.
    """
    starts = np.concatenate([np.array([first_event], np.int64), ends[:-1]])
    return Documents(ends, content_starts=starts, content_ends=ends - separators)


def content_positions(documents: Documents) -> NDArray[np.int64]:
    """Positions of the content of all documents, ascending; (k,)."""
    starts, ends = documents.content_starts, documents.content_ends
    lengths = ends - starts
    before = np.cumsum(lengths) - lengths
    positions: NDArray[np.int64] = np.repeat(starts - before, lengths) + np.arange(lengths.sum())
    return positions
