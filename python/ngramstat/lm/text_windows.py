"""Which windows of a text a model reads: spread over the whole text, with random starts.

The text is cut into as many equal stretches as there are windows, and each window starts at a
random token of its stretch. Every token is therefore equally likely to be the first of a window,
whatever its place in its document, and no part of the text is read twice as often as another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.sampling.design import documents_or_blocks
from ngramstat.sampling.options import SamplingOptions

__all__ = ["TextWindows", "draw_windows"]

Ints = NDArray[np.int64]

# Consecutive documents are put together into this many blocks of about equal numbers of tokens,
# whose spread gives the standard errors: enough to know a spread, and large enough that what lies
# in different blocks is nearly independent.
_BLOCKS = 100
_MIN_DOCUMENTS = 20
# Number of the random stream of this module.
_STREAM = 31


@dataclass(frozen=True)
class TextWindows:
    """Windows of a corpus, in the order of the text.

    Attributes
    ----------
    tokens : (n_tokens,) integers
        The whole corpus.
    starts, lengths : (n_windows,) int64
        First token and number of tokens; shorter than `context` where a document ends.
    block : (n_windows,) int64
        Block of documents that holds the first token.
    n_blocks : int
    context : int
        T, the number of tokens of a full window.
    """

    tokens: NDArray[Any]
    starts: Ints
    lengths: Ints
    block: Ints
    n_blocks: int
    context: int

    def __len__(self) -> int:
        return len(self.starts)

    def of(self, rows: Ints) -> NDArray[np.int64]:
        """The tokens of some windows, (n, longest of them); shorter ones are filled with 0."""
        longest = int(self.lengths[rows].max())
        out = np.zeros((len(rows), longest), np.int64)
        for i, row in enumerate(rows):
            start, length = int(self.starts[row]), int(self.lengths[row])
            out[i, :length] = self.tokens[start : start + length]
        return out


def draw_windows(
    corpus: Corpus,
    context: int,
    *,
    boundary: Boundary,
    tokens: int,
    windows: int | None,
    shortest: int,
    seed: int,
) -> TextWindows:
    """Draw windows of `context` tokens with about `tokens` tokens altogether.

    Parameters
    ----------
    corpus : Corpus
    context : int
        T.
    boundary : Boundary
        ``document``: a window ends with its document, before its separator. What is averaged after
        n tokens then are all tokens with n others before them in their document.
    tokens : int
    windows : int, optional
        Number of windows, instead of `tokens`.
    shortest : int
        Windows of fewer tokens are left out.
    seed : int

    Raises
    ------
    InputError
        The corpus has no documents to stay inside, or is shorter than one window.
    """
    block_ends, block = _blocks(corpus)
    if boundary is Boundary.STREAM:
        n_starts = corpus.n_tokens - context + 1
        if n_starts < 1:
            raise InputError(
                f"{corpus.name}: its {corpus.n_tokens} tokens are fewer than one window of "
                f"{context}; use a smaller --context"
            )
        count = max(1, round(tokens / context)) if windows is None else windows
        starts = _spread(n_starts, count, seed)
        lengths = np.full(len(starts), context, np.int64)
    else:
        options = SamplingOptions(boundary=boundary, seed=seed)
        documents, _ = documents_or_blocks(corpus, options)
        content = documents.content_ends - documents.content_starts
        # A document of l tokens has windows of T tokens and, from its last starts, shorter ones.
        full = np.minimum(content, context)
        read = full * (full + 1) // 2 + (content - full) * context
        mean_length = max(int(read.sum()), 1) / max(int(content.sum()), 1)
        count = max(1, round(tokens / mean_length)) if windows is None else windows
        place = _spread(int(content.sum()), count, seed)
        before = np.cumsum(content) - content
        document = np.searchsorted(before, place, side="right") - 1
        starts = documents.content_starts[document] + place - before[document]
        lengths = np.minimum(documents.content_ends[document] - starts, context)
        starts, lengths = starts[lengths >= shortest], lengths[lengths >= shortest]
        if not len(starts):
            raise InputError(f"{corpus.name}: no document has {shortest} tokens to read")
    held = block[np.searchsorted(block_ends, starts, side="right")]
    return TextWindows(corpus.tokens, starts, lengths, held, int(block.max()) + 1, context)


def _spread(length: int, count: int, seed: int) -> Ints:
    """A random place in each of `count` equal stretches; every place once if there are fewer."""
    count = min(count, length)
    # Python integers: length * count may exceed 2^63.
    edges = np.array([length * i // count for i in range(count + 1)], np.int64)
    rng = np.random.default_rng([seed, _STREAM])
    places: Ints = rng.integers(edges[:-1], edges[1:])
    return places


def _blocks(corpus: Corpus) -> tuple[Ints, Ints]:
    """Ends of the documents (or equal pieces of the text), and the block of each."""
    ends, _ = corpus.documents_or_blocks(n_blocks=_BLOCKS, min_documents=_MIN_DOCUMENTS)
    ends = np.asarray(ends)
    # By the middle of a document: a document longer than a block is a block of its own.
    middle = ends + np.concatenate([np.zeros(1, np.int64), ends[:-1]])
    share = middle.astype(np.float64) / (2 * corpus.n_tokens)
    blocks = np.floor(share * min(_BLOCKS, len(ends))).astype(np.int64)
    return ends, np.unique(blocks, return_inverse=True)[1].astype(np.int64)
