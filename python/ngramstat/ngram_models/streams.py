"""Documents written out as one contiguous token stream, with a stop token between them.

At a *stop token* contexts end: the separator of the token store, which is an event (a token that is
predicted and scored) like any other, or the id V where the store has none, which is never
predicted. It is the end of one document and the start of the next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.runtime.workspace import gather, release_pages_if_needed

__all__ = ["document_contents", "stream_size", "write_stream"]


def document_contents(corpus: Corpus) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(starts, ends) of the documents without the separators at their starts and ends.

    A corpus whose documents are unknown is one document.
    """
    ends = corpus.document_ends
    if ends is None:
        ends = np.array([corpus.n_tokens] if corpus.n_tokens else [], np.int64)
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1]])[: len(ends)]
    first, last = starts.copy(), np.array(ends, np.int64)
    if corpus.separator is not None:
        last -= gather(corpus.tokens, last - 1) == corpus.separator
        first += (gather(corpus.tokens, starts) == corpus.separator) & (first < last)
    return first, last


def stream_size(first: NDArray[np.int64], last: NDArray[np.int64], stop: int | None) -> int:
    """Tokens of the stream that `write_stream` writes."""
    extra = 0 if stop is None else 1
    return int((last - first).sum()) + extra * (len(first) + 1)


def write_stream(
    stream: NDArray[Any],
    tokens: NDArray[Any],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    stop: int | None,
) -> NDArray[np.int64]:
    """Write documents one after the other, and return where each ends.

    With a stop token the stream begins with one and every document's content is followed by one, so
    that it is the end of one document and the start of the next.
    """
    extra = 0 if stop is None else 1
    ends = np.cumsum(last - first + extra) + extra
    if stop is not None:
        stream[0] = stop
    for begin, end, stop_at in zip(first.tolist(), last.tolist(), ends.tolist(), strict=True):
        at = stop_at - extra
        stream[at - (end - begin) : at] = tokens[begin:end]
        if stop is not None:
            stream[at] = stop
        release_pages_if_needed()
    return ends.astype(np.int64)
