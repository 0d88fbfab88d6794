"""Documents written out as one contiguous token stream, with a stop token between them.

At a *stop token* contexts end: the separator of the token store, which is an event (a token that is
predicted and scored) like any other, or the id V where the store has none, which is never
predicted. It is the end of one document and the start of the next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.corpus.contents import document_contents
from ngramstat.errors import InputError
from ngramstat.kernels.tokens import dtype_holding
from ngramstat.runtime.workspace import gather, release_pages_if_needed

# Tokens copied between two looks at the memory.
_COPIED = 1 << 20

__all__ = [
    "stop_token_of",
    "stream_places",
    "stream_size",
    "stream_to_score",
    "write_stream",
]


def stop_token_of(corpus: Corpus, boundary: Boundary) -> int | None:
    """The token at which contexts end: the separator, or V; none with boundary ``stream``."""
    if boundary.across:
        return None
    return corpus.vocab_size if corpus.separator is None else corpus.separator


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
    # Neighbours with `extra` tokens between them, which are stop tokens, are copied as one.
    joined = first[1:] == last[:-1] + extra
    if stop is not None:
        joined &= gather(tokens, np.minimum(last[:-1], len(tokens) - 1)) == stop
    starts = np.flatnonzero(np.append(True, ~joined)[: len(first)])
    stops = np.append(starts[1:], len(first))[: len(starts)] - 1
    for a, b in zip(starts.tolist(), stops.tolist(), strict=True):
        begin, end, stop_at = int(first[a]), int(last[b]), int(ends[b])
        _copy(stream[stop_at - extra - (end - begin) : stop_at - extra], tokens[begin:end])
        if stop is not None:
            stream[stop_at - 1] = stop
    return ends.astype(np.int64)


def stream_places(
    tokens: NDArray[Any],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    ends: NDArray[np.int64],
    separator: int | None,
) -> NDArray[np.int64]:
    """Where `write_stream`, with a stop token, put each of the tokens; -1 for those it left out.

    A separator is at the end of the document before it; one in front of the first is left out.
    """
    places = np.full(len(tokens), -1, np.int64)
    lengths = last - first
    # Places minus positions, one number per document.
    shifts = np.repeat(ends - 1 - last, lengths)
    positions = np.repeat(first - (np.cumsum(lengths) - lengths), lengths) + np.arange(len(shifts))
    places[positions] = positions + shifts
    if separator is not None:
        inside = last < len(tokens)
        at = last[inside]
        is_end = gather(tokens, at) == separator
        places[at[is_end]] = ends[inside][is_end] - 1
    return places


def stream_to_score(
    corpus: Corpus, stop: int | None, vocab_size: int
) -> tuple[Any, NDArray[np.int64] | None]:
    """The stream that a model scores for a corpus, and the place in it of each token (-1: given).

    None instead of places where stream and corpus are the same.

    Parameters
    ----------
    corpus : Corpus
    stop : int or None
        The model's stop token.
    vocab_size : int
        The model's.

    Raises
    ------
    InputError
        The corpus has another separator than the model's, or a larger vocabulary.
    """
    tokens = corpus.tokens
    if corpus.vocab_size > vocab_size and (not corpus.vocab_size_inferred or corpus.n_tokens):
        if corpus.vocab_size_inferred and corpus.path is None:
            at = int(np.argmax(tokens >= vocab_size))
            raise InputError(
                f"{corpus.name}: token {tokens[at]} at position {at} is not below the model's "
                f"vocabulary size {vocab_size}"
            )
        raise InputError(
            f"{corpus.name}: its vocabulary has {corpus.vocab_size} items, the model's has "
            f"{vocab_size}; tokenize it as the model's corpus was"
        )
    if stop is None:
        return np.ascontiguousarray(tokens), None
    separator = corpus.separator
    if separator is not None and separator != stop:
        own = "none" if stop == vocab_size else str(stop)
        raise InputError(
            f"{corpus.name}: its separator is {separator}, that of the model's corpus {own}"
        )
    first, last = document_contents(corpus)
    stream: Any = np.empty(stream_size(first, last, stop), dtype_holding(stop, tokens.dtype))
    ends = write_stream(stream, tokens, first, last, stop)
    return stream, stream_places(tokens, first, last, ends, separator)


def _copy(target: NDArray[Any], source: NDArray[Any]) -> None:
    """Copy in parts, so that pages of a mapped file can be released on the way."""
    for start in range(0, len(source), _COPIED):
        target[start : start + _COPIED] = source[start : start + _COPIED]
        release_pages_if_needed()
