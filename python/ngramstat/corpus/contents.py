"""What of each document is content: its tokens without the separator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus.store import Corpus
from ngramstat.runtime.workspace import gather

__all__ = ["document_contents"]


def document_contents(corpus: Corpus) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(starts, ends) of the documents without the separator at either end, (documents,) each.

    An empty document keeps its place. A corpus whose documents are unknown is one document.
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
