"""The sequential covariance: C(t) inside documents without what their composition alone makes.

Tokens of one document are correlated in whatever order they stand, since documents differ in what
they are about. Taking off the mean over all shuffles inside documents leaves what depends on the
sequence (docs/theory.md 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.covariance.cross_fit import CrossFit, ShuffledPairs, cross_fit
from ngramstat.covariance.operators import Composition, CovarianceOperator, PairStatistics
from ngramstat.covariance.shared_passes import leading_triplets
from ngramstat.covariance.shuffling import permutation_floor
from ngramstat.kernels import (
    CountMatrix,
    GpuCounts,
    count_document_tokens,
    count_document_tokens_on,
    sum_pairs_by_document,
)
from ngramstat.linear_algebra.lanczos import (
    SingularTriplets,
    TripletSearch,
    as_block,
)
from ngramstat.sampling.design import SamplingDesign

__all__ = ["DocumentComposition", "SequentialCovariances", "SequentialMeasurement"]

Floats = NDArray[np.float64]

# Of singular vectors that are estimates, whose noise is far above this; a value is then known to
# the square of it, over its gap.
_TOLERANCE = 1e-3
# The composition's norm is a number to compare with, not to fit.
_COMPOSITION_TOLERANCE = 3e-3
# Vectors of a block where the leading one is searched, beginning with a similar one.
_WIDTH = 4


@dataclass(frozen=True)
class SequentialMeasurement:
    """What is measured of the sequential covariance at one lag; NaN where nothing could be.

    Attributes
    ----------
    norm : float
    permutation_floor : float
        Its norm once the tokens of every document are shuffled.
    composition_norm : float
        Norm of the composition that was taken off.
    replicates : (n_replicates,) float64
    cross_fit : CrossFit
    """

    norm: float
    permutation_floor: float
    composition_norm: float
    replicates: Floats
    cross_fit: CrossFit

    @classmethod
    def absent(cls, replicates: int) -> SequentialMeasurement:
        """Where the sequential covariance is not measured."""
        nan = float("nan")
        return cls(nan, nan, nan, np.full(replicates, nan), CrossFit())


@dataclass(frozen=True)
class DocumentComposition:
    """Which tokens each document has, shared by all lags.

    Attributes
    ----------
    counts : CountMatrix or GpuCounts
        Tokens of the documents, (n_documents, V).
    start : (V, k) float64
        Singular vectors of the composition of all pairs, near those of the pairs at any one lag.
    vocab_mask : (V,) bool or None
    threads : int
    """

    counts: CountMatrix | GpuCounts
    start: Floats
    vocab_mask: NDArray[np.bool_] | None
    threads: int

    @classmethod
    def of(
        cls, design: SamplingDesign, vocab_mask: NDArray[np.bool_] | None, threads: int
    ) -> DocumentComposition:
        """Counts the tokens of every document."""
        corpus = design.corpus
        stream = corpus.tokens, corpus.vocab_size, design.documents
        counts: CountMatrix | GpuCounts
        if design.gpu is None:
            counts = count_document_tokens(*stream, threads=threads)
        else:
            counts = count_document_tokens_on(design.gpu, *stream)
        lengths = design.content_lengths.astype(np.float64)
        weights = np.divide(1.0, lengths - 1.0, out=np.zeros_like(lengths), where=lengths > 1)
        weights /= max(float(lengths[lengths > 1].sum()), 1.0)
        composition = Composition.of(counts, weights, threads=threads)
        operator = _composition_operator(composition, vocab_mask, threads)
        start = leading_triplets([operator], [TripletSearch(_WIDTH, 1e-4)])[0].right
        return cls(counts, start, vocab_mask, threads)


def _composition_operator(
    composition: Composition, vocab_mask: NDArray[np.bool_] | None, threads: int
) -> CovarianceOperator:
    """Covariance of pairs drawn from one document each, in whatever order."""
    marginal = composition.marginal()
    return CovarianceOperator(
        len(marginal),
        [],
        marginal[:, None],
        marginal[:, None],
        composition,
        vocab_mask=vocab_mask,
        threads=threads,
        centres=(marginal, marginal),
    )


@dataclass(frozen=True)
class SequentialCovariances:
    """The sequential covariance of all documents and of both halves, and what was taken off.

    Attributes
    ----------
    design : SamplingDesign
    documents : DocumentComposition
    pairs : PairStatistics
    rates : (n_documents,) float64
        Pairs at the lag divided by all ordered pairs of a document.
    composition : Composition
        Of all documents, with pairs for weights.
    """

    design: SamplingDesign
    documents: DocumentComposition
    pairs: PairStatistics
    rates: Floats
    composition: Composition

    @classmethod
    def of(
        cls, design: SamplingDesign, documents: DocumentComposition, pairs: PairStatistics
    ) -> SequentialCovariances:
        """At the lag of the pairs."""
        rates = _pairs_per_ordered_pair(design, pairs.lag)
        composition = Composition.of(
            documents.counts, rates, design.documents.halves, threads=documents.threads
        )
        return cls(design, documents, pairs, rates, composition)

    def operators(self) -> list[CovarianceOperator]:
        """The sequential covariance of all documents and of either half, and the composition."""
        whole, (one, two) = 1.0 / self.pairs.within_pairs, self.pairs.within_half_pairs
        composition = self.composition.weighted(whole, whole)
        return [
            self.pairs.sequential(composition),
            self.pairs.sequential(self.composition.weighted(1.0 / one, 0.0), 0),
            self.pairs.sequential(self.composition.weighted(0.0, 1.0 / two), 1),
            _composition_operator(composition, self.documents.vocab_mask, self.documents.threads),
        ]

    def searches(self, start: Floats) -> list[TripletSearch]:
        """How their singular triplets are searched, from right vectors of C(t) on, (V, k)."""
        search = TripletSearch(tolerance=_TOLERANCE, start=start, width=_WIDTH)
        alone = TripletSearch(
            tolerance=_COMPOSITION_TOLERANCE, start=self.documents.start, width=_WIDTH
        )
        return [search, search, search, alone]

    def measure(
        self, triplets: Sequence[SingularTriplets], shuffled: PairStatistics
    ) -> SequentialMeasurement:
        """Norm, replicates, cross-fit, floor and composition.

        Parameters
        ----------
        triplets : sequence of SingularTriplets
            Of the operators.
        shuffled : PairStatistics
            Pairs of a copy shuffled inside documents.
        """
        whole, *halves, alone = triplets
        fit = cross_fit(
            self.design,
            self.pairs.lag,
            (
                np.stack([half.left[:, 0] for half in halves]),
                np.stack([half.right[:, 0] for half in halves]),
            ),
            across=False,
            vocab_mask=self.documents.vocab_mask,
            shuffled=ShuffledPairs(
                self.documents.counts,
                self.rates,
                self.design.documents.folds,
                self.documents.threads,
            ),
            norm=float(whole.values[0]),
            threads=self.documents.threads,
        )
        per_pair = 1.0 / self.pairs.within_pairs
        return SequentialMeasurement(
            norm=float(whole.values[0]),
            permutation_floor=permutation_floor(
                shuffled, self.composition.weighted(per_pair, per_pair)
            ),
            composition_norm=float(alone.values[0]),
            replicates=_replicates(
                self.design,
                self.documents,
                self.pairs.lag,
                self.rates,
                whole.left[:, 0],
                whole.right[:, 0],
            ),
            cross_fit=fit,
        )


def _pairs_per_ordered_pair(design: SamplingDesign, lag: int) -> Floats:
    """Pairs at the lag divided by all ordered pairs of a document, (L - t) / (L (L - 1))."""
    lengths = design.content_lengths.astype(np.float64)
    pairs = np.maximum(lengths - lag, 0.0)
    return np.divide(pairs, lengths * (lengths - 1.0), out=np.zeros_like(pairs), where=pairs > 0)


def _replicates(
    design: SamplingDesign,
    documents: DocumentComposition,
    lag: int,
    rates: Floats,
    u: Floats,
    v: Floats,
) -> Floats:
    """u^T C_seq* v over resampled documents, vectors held fixed."""
    product = sum_pairs_by_document(
        design.pairs_at(lag),
        u,
        v,
        design.documents,
        across=False,
        threads=documents.threads,
    )[1]
    # The same sums over all shuffles: sum over ordered pairs of different positions.
    projected = documents.counts.multiply(as_block(u, v, u * v), 1.0, 0.0, documents.threads)
    shuffled = rates * (projected[:, 0] * projected[:, 1] - projected[:, 2])
    pairs = np.maximum(design.content_lengths.astype(np.float64) - lag, 0.0)
    sums = design.bootstrap.sums(np.stack([product - shuffled, pairs], axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        replicates: Floats = sums[:, 0] / sums[:, 1]
    return replicates
