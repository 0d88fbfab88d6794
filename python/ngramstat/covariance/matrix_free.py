"""Covariances without a table of pairs: every product with vectors is a pass over the tokens.

Memory is a few blocks of vectors, O(V), whatever the size of the corpus and the number of distinct
pairs; time is that of the passes. Counting the pairs once is faster from about three products on,
so this is for vocabularies whose pair counts do not fit into memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat._core import GpuPairStream, GpuPart
from ngramstat.corpus import Corpus
from ngramstat.covariance.cross_fit import pair_documents
from ngramstat.covariance.operators import Covariances, MatrixTerm
from ngramstat.kernels import (
    BLOCK_SIZE,
    ClassedDocuments,
    Tokens,
    multiply_pairs,
    multiply_pairs_by_class,
)
from ngramstat.linear_algebra.gpu_backend import GpuBackend
from ngramstat.sampling.documents import Units

__all__ = ["MatrixFreeCovariances"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _TokenPasses:
    """The sum over h of weights[h] times the pairs whose left token lies in document half h."""

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

    def gpu_part(self) -> GpuPart | None:
        return None


@dataclass(frozen=True)
class _GpuTokenPasses:
    """The same, with the tokens and the passes on a GPU."""

    stream: GpuPairStream
    size: int
    lag: int
    weights: tuple[float, float]

    def _backend(self) -> GpuBackend:
        no_centring = np.zeros((self.size, BLOCK_SIZE))
        gpu = self.stream.gpu
        return GpuBackend(gpu, gpu.covariance([self.gpu_part()], no_centring, no_centring, None))

    def multiply(self, x: Floats, threads: int) -> Floats:
        backend = self._backend()
        return backend.to_host(backend.multiply(backend.block(x)))

    def multiply_transposed(self, x: Floats, threads: int) -> Floats:
        backend = self._backend()
        return backend.to_host(backend.multiply_transposed(backend.block(x)))

    def gpu_part(self) -> GpuPart:
        return self.stream.weighted(self.lag, *self.weights)


class MatrixFreeCovariances(Covariances):
    """Covariances at one lag from passes over the tokens.

    Parameters
    ----------
    corpus : Corpus
    units : Units
    lag : int
    across : bool
        Include the pairs that cross the end of a document or touch a separator.
    threads : int
    vocab_mask : (V,) bool, optional
        Vocabulary items that the covariances are restricted to.
    stream : GpuPairStream, optional
        The corpus on a GPU, opened with the same `across`: products are computed there.
    """

    def __init__(
        self,
        corpus: Corpus,
        units: Units,
        lag: int,
        *,
        across: bool,
        threads: int = 1,
        vocab_mask: NDArray[np.bool_] | None = None,
        stream: GpuPairStream | None = None,
    ) -> None:
        self._tokens, self._stream = corpus.tokens, stream
        if stream is not None:
            left, right = stream.counts(lag, False), stream.counts(lag, True)
            super().__init__(lag, left, right, threads=threads, vocab_mask=vocab_mask)
            return
        where = pair_documents(corpus, units, stream=across)
        self._documents = ClassedDocuments(*where, units.spans.halves, 2)
        # Only the marginals are needed; the products with these vectors are discarded.
        zeros = np.zeros((1, corpus.vocab_size))
        *_, left, right = multiply_pairs_by_class(
            corpus.tokens,
            corpus.vocab_size,
            lag,
            zeros,
            zeros,
            self._documents,
            threads=threads,
        )
        super().__init__(lag, left, right, threads=threads, vocab_mask=vocab_mask)

    def _joint(self, a: float, b: float) -> Sequence[MatrixTerm]:
        if self._stream is not None:
            return [_GpuTokenPasses(self._stream, self.size, self.lag, (a, b))]
        weights = np.array([a, b])
        return [_TokenPasses(self._tokens, self.size, self.lag, self._documents, weights)]

    def frobenius(self) -> float:
        """NaN: the Frobenius norm needs the counts."""
        return float("nan")
