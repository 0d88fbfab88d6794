"""Counts of counts of n-grams whose occurrences were brought together from several streams.

An occurrence is a window: a target with the tokens before it. As documents of one window each, the
windows make a stream that the kernel of `count_ngrams` counts as it is: its targets are the last
tokens of the windows, its contexts the tokens before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import _core
from ngramstat._core import Documents
from ngramstat.kernels.suffixes import NgramStatistics, statistics_of_steps
from ngramstat.kernels.tokens import Tokens, check_tokens

__all__ = ["NgramWindows", "count_ngram_windows"]


@dataclass(frozen=True)
class NgramWindows:
    """Targets with the tokens before them, and the labels of the targets' documents.

    Attributes
    ----------
    tokens : (k, max_context + 1) uint16 or uint32
        A window each, the target last.
    folds : (k,) uint8
    clusters : (k,) uint32
    """

    tokens: Tokens
    folds: NDArray[np.uint8]
    clusters: NDArray[np.uint32]

    @classmethod
    def joined(cls, parts: Sequence[NgramWindows]) -> NgramWindows:
        """The windows of several streams."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("tokens", "folds", "clusters")
            )
        )


def count_ngram_windows(
    windows: NgramWindows,
    vocab_size: int,
    tokens: tuple[int, int],
    *,
    n_folds: int,
    n_clusters: int,
    threads: int = 1,
) -> NgramStatistics:
    """Counts of counts of the n-grams that end with a token of a range.

    Those of all ranges add up to those of `count_ngrams` (`NgramStatistics.sum_of`), if every range
    gets all windows whose target or the token before it lies in it.

    Parameters
    ----------
    windows : NgramWindows
    vocab_size : int
    tokens : (first, last)
        The range of ids, last excluded.
    n_folds, n_clusters : int
        Of the whole corpus.
    threads : int

    Raises
    ------
    IndexError
        A token is not below vocab_size.
    """
    check_tokens(windows.tokens.reshape(-1))
    n_windows, depth = windows.tokens.shape
    documents = Documents(
        depth * np.arange(1, n_windows + 1),
        folds=windows.folds,
        n_folds=n_folds,
        clusters=windows.clusters.astype(np.uint32),
        n_clusters=n_clusters,
    )
    stream: Any = np.ascontiguousarray(windows.tokens).reshape(-1)
    counted = _core.count_ngrams(
        stream, vocab_size, depth - 1, documents, False, *tokens, threads, ()
    )
    return statistics_of_steps([(counted, n_windows)], depth - 1, n_clusters)
