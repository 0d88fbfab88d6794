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

from ngramstat.covariance.operators import Covariances, MatrixTerm
from ngramstat.kernels import (
    BLOCK_SIZE,
    GpuPairStream,
    GpuTerm,
    PairLabel,
    multiply_pairs,
    multiply_pairs_by_class,
)
from ngramstat.linear_algebra.gpu_backend import GpuBackend
from ngramstat.sampling.design import SamplingDesign

__all__ = ["MatrixFreeCovariances"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _TokenPasses:
    """The sum over h of weights[h] times the pairs whose left token lies in document half h."""

    design: SamplingDesign
    lag: int
    weights: Floats

    def _product(self, x: Floats, threads: int, *, transposed: bool) -> Floats:
        return multiply_pairs(
            self.design.pairs_at(self.lag),
            x,
            self.weights,
            self.design.documents,
            across=self.design.boundary.across,
            by=PairLabel.half,
            transposed=transposed,
            threads=threads,
        )

    def multiply(self, x: Floats, threads: int) -> Floats:
        return self._product(x, threads, transposed=False)

    def multiply_transposed(self, x: Floats, threads: int) -> Floats:
        return self._product(x, threads, transposed=True)

    def gpu_term(self) -> GpuTerm | None:
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
        return GpuBackend(gpu, gpu.covariance([self.gpu_term()], no_centring, no_centring, None))

    def multiply(self, x: Floats, threads: int) -> Floats:
        backend = self._backend()
        return backend.to_host(backend.multiply(backend.block(x)))

    def multiply_transposed(self, x: Floats, threads: int) -> Floats:
        backend = self._backend()
        return backend.to_host(backend.multiply_transposed(backend.block(x)))

    def gpu_term(self) -> GpuTerm:
        return self.stream.weighted(self.lag, *self.weights)


class MatrixFreeCovariances(Covariances):
    """Covariances at one lag from passes over the tokens.

    Parameters
    ----------
    design : SamplingDesign
        Its boundary says whether pairs that cross a document's end or touch a separator count.
    lag : int
    threads : int
    vocab_mask : (V,) bool, optional
        Vocabulary items that the covariances are restricted to.
    stream : GpuPairStream, optional
        The corpus on a GPU, opened with the same boundary: products are computed there.
    """

    def __init__(
        self,
        design: SamplingDesign,
        lag: int,
        *,
        threads: int = 1,
        vocab_mask: NDArray[np.bool_] | None = None,
        stream: GpuPairStream | None = None,
    ) -> None:
        self._design, self._stream = design, stream
        if stream is not None:
            left, right = stream.counts(lag, False), stream.counts(lag, True)
            super().__init__(lag, left, right, threads=threads, vocab_mask=vocab_mask)
            return
        # Only the marginals are needed; the products with these vectors are discarded.
        zeros = np.zeros((1, design.corpus.vocab_size))
        *_, left, right = multiply_pairs_by_class(
            design.pairs_at(lag),
            zeros,
            zeros,
            design.documents,
            across=design.boundary.across,
            by=PairLabel.half,
            threads=threads,
        )
        super().__init__(lag, left, right, threads=threads, vocab_mask=vocab_mask)

    def _joint(self, a: float, b: float) -> Sequence[MatrixTerm]:
        if self._stream is not None:
            return [_GpuTokenPasses(self._stream, self.size, self.lag, (a, b))]
        weights = np.array([a, b])
        return [_TokenPasses(self._design, self.lag, weights)]

    def frobenius(self) -> float:
        """NaN: the Frobenius norm needs the counts."""
        return float("nan")
