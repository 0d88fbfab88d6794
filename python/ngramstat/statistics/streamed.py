"""Covariances without any table of pairs: every product with vectors is a pass over the tokens.

Memory is that of a few blocks of vectors, O(V), whatever the corpus and however many pairs are
distinct; time is that of the passes. Counting the pairs once pays after about three products, so
this is for vocabularies and memories in which the counts have no room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.kernels import (
    ClassedDocuments,
    Tokens,
    multiply_pairs,
    multiply_pairs_by_class,
)
from ngramstat.statistics.covariance import Covariances, Part
from ngramstat.statistics.cross_fit import pair_documents
from ngramstat.statistics.documents import Units

__all__ = ["StreamedPairs"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _WeightedStream:
    """weights[h] times the pairs whose left token lies in document half h."""

    tokens: Tokens
    size: int
    lag: int
    documents: ClassedDocuments
    weights: Floats

    def _product(self, x: Floats, threads: int, *, transposed: bool) -> Floats:
        return multiply_pairs(
            self.tokens,
            self.size,
            self.lag,
            x,
            self.weights,
            self.documents,
            transposed=transposed,
            threads=threads,
        )

    def multiply(self, x: Floats, threads: int) -> Floats:
        return self._product(x, threads, transposed=False)

    def multiply_transposed(self, x: Floats, threads: int) -> Floats:
        return self._product(x, threads, transposed=True)


class StreamedPairs(Covariances):
    """Covariances at one lag from passes over the tokens.

    Parameters
    ----------
    corpus : Corpus
    units : Units
    lag : int
    across : bool
        Include the pairs that cross a document's end or touch a separator.
    """

    def __init__(
        self,
        corpus: Corpus,
        units: Units,
        lag: int,
        *,
        across: bool,
        threads: int = 1,
        kept: NDArray[np.bool_] | None = None,
    ) -> None:
        self._tokens = corpus.tokens
        where = pair_documents(corpus, units, stream=across)
        self._documents = ClassedDocuments(*where, units.spans.halves, 2)
        nothing = np.zeros((1, corpus.vocab_size))
        *_, left, right = multiply_pairs_by_class(
            corpus.tokens,
            corpus.vocab_size,
            lag,
            nothing,
            nothing,
            self._documents,
            threads=threads,
        )
        super().__init__(lag, left, right, threads=threads, kept=kept)

    def _parts(self, a: float, b: float) -> Sequence[Part]:
        return [
            _WeightedStream(self._tokens, self.size, self.lag, self._documents, np.array([a, b]))
        ]

    def frobenius(self) -> float:
        """Not known without the counts: NaN."""
        return float("nan")
