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

from ngramstat._core import GpuPairStream, GpuPart
from ngramstat.corpus import Corpus
from ngramstat.covariance.operators import Covariances, Part
from ngramstat.kernels import (
    BLOCK_SIZE,
    Documents,
    PairLabel,
    Tokens,
    multiply_pairs,
    multiply_pairs_by_class,
)
from ngramstat.linear_algebra.gpu_backend import GpuBackend
from ngramstat.sampling.documents import Units

__all__ = ["StreamedPairs"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _WeightedStream:
    """weights[h] times the pairs whose left token lies in document half h."""

    tokens: Tokens
    size: int
    lag: int
    documents: Documents
    across: bool
    weights: Floats

    def _product(self, x: Floats, threads: int, *, transposed: bool) -> Floats:
        return multiply_pairs(
            self.tokens,
            self.size,
            self.lag,
            x,
            self.weights,
            self.documents,
            across=self.across,
            by=PairLabel.half,
            transposed=transposed,
            threads=threads,
        )

    def multiply(self, x: Floats, threads: int) -> Floats:
        return self._product(x, threads, transposed=False)

    def multiply_transposed(self, x: Floats, threads: int) -> Floats:
        return self._product(x, threads, transposed=True)

    def gpu_part(self) -> GpuPart | None:
        return None


@dataclass(frozen=True)
class _GpuStream:
    """The same on a GPU."""

    stream: GpuPairStream
    size: int
    lag: int
    weights: tuple[float, float]

    def _space(self) -> GpuBackend:
        nothing = np.zeros((self.size, BLOCK_SIZE))
        gpu = self.stream.gpu
        return GpuBackend(gpu, gpu.covariance([self.gpu_part()], nothing, nothing, None))

    def multiply(self, x: Floats, threads: int) -> Floats:
        space = self._space()
        return space.to_host(space.multiply(space.block(x)))

    def multiply_transposed(self, x: Floats, threads: int) -> Floats:
        space = self._space()
        return space.to_host(space.multiply_transposed(space.block(x)))

    def gpu_part(self) -> GpuPart:
        return self.stream.weighted(self.lag, *self.weights)


class StreamedPairs(Covariances):
    """Covariances at one lag from passes over the tokens.

    Parameters
    ----------
    corpus : Corpus
    units : Units
    lag : int
    across : bool
        Include the pairs that cross a document's end or touch a separator.
    stream : GpuPairStream, optional
        The corpus on a GPU, with the same `across`: products are made there.
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
        stream: GpuPairStream | None = None,
    ) -> None:
        self._tokens, self._stream = corpus.tokens, stream
        if stream is not None:
            left, right = stream.counts(lag, False), stream.counts(lag, True)
            super().__init__(lag, left, right, threads=threads, kept=kept)
            return
        self._documents, self._across = units.documents, across
        nothing = np.zeros((1, corpus.vocab_size))
        *_, left, right = multiply_pairs_by_class(
            corpus.tokens,
            corpus.vocab_size,
            lag,
            nothing,
            nothing,
            self._documents,
            across=across,
            by=PairLabel.half,
            threads=threads,
        )
        super().__init__(lag, left, right, threads=threads, kept=kept)

    def _parts(self, a: float, b: float) -> Sequence[Part]:
        if self._stream is not None:
            return [_GpuStream(self._stream, self.size, self.lag, (a, b))]
        return [
            _WeightedStream(
                self._tokens,
                self.size,
                self.lag,
                self._documents,
                self._across,
                np.array([a, b]),
            )
        ]

    def frobenius(self) -> float:
        """Not known without the counts: NaN."""
        return float("nan")
