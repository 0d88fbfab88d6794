"""The sequential covariance: C(t) inside documents without what their composition alone makes.

Tokens of one document are correlated in whatever order they stand, since documents differ in what
they are about. Taking off the mean over all shuffles inside documents leaves what depends on the
sequence (docs/theory.md 4).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ngramstat.covariance.operators import Composition, CovarianceOperator, PairStatistics
from ngramstat.covariance.shared_passes import leading_triplets
from ngramstat.covariance.shuffling import noise_edge_inside_documents, shuffled_norm
from ngramstat.kernels import (
    CountMatrix,
    PairCounts,
    count_document_tokens,
)
from ngramstat.linear_algebra.lanczos import TripletSearch
from ngramstat.sampling.design import SamplingDesign

__all__ = [
    "DocumentComposition",
    "SequentialCovariances",
    "pairs_per_ordered_pair",
    "sequential_sums",
]

Floats = NDArray[np.float64]

# The composition's norm is a number to compare with, not to fit. Vectors to begin with need less.
_COMPOSITION_TOLERANCE, _START_TOLERANCE = 1e-2, 1e-2
# Vectors of a block where the leading one is searched, beginning with a similar one.
_WIDTH, _HALF_WIDTH = 4, 3


@dataclass(frozen=True)
class DocumentComposition:
    """Which tokens each document has, shared by all lags.

    Attributes
    ----------
    counts : CountMatrix
        Tokens of the documents, (n_documents, V).
    start : (V, k) float64
        Singular vectors of the composition of all pairs, near those of the pairs at any one lag.
    null_ratio : float
        The norm of a shuffled copy over the edge of the noise spectrum; NaN until it is measured.
    vocab_mask : (V,) bool or None
    threads : int
    """

    counts: CountMatrix
    start: Floats
    vocab_mask: NDArray[np.bool_] | None
    threads: int
    null_ratio: float = math.nan

    @classmethod
    def of(
        cls, design: SamplingDesign, vocab_mask: NDArray[np.bool_] | None, threads: int
    ) -> DocumentComposition:
        """Counts the tokens of every document."""
        corpus = design.corpus
        counts = count_document_tokens(
            corpus.tokens, corpus.vocab_size, design.documents, threads=threads
        )
        return cls.of_counts(design, counts, vocab_mask, threads)

    @classmethod
    def of_counts(
        cls,
        design: SamplingDesign,
        counts: CountMatrix,
        vocab_mask: NDArray[np.bool_] | None,
        threads: int,
    ) -> DocumentComposition:
        """From the token counts of every document."""
        lengths = design.content_lengths.astype(np.float64)
        weights = np.divide(1.0, lengths - 1.0, out=np.zeros_like(lengths), where=lengths > 1)
        weights /= max(float(lengths[lengths > 1].sum()), 1.0)
        composition = Composition.of(counts, weights, threads=threads)
        operator = _composition_operator(composition, vocab_mask, threads)
        search = TripletSearch(_WIDTH, tolerance=_START_TOLERANCE, value_change=_START_TOLERANCE)
        with threadpool_limits(1):
            start = leading_triplets([operator], [search])[0].right
        return cls(counts, start, vocab_mask, threads)

    def with_null(
        self, design: SamplingDesign, shuffled: Iterable[PairCounts]
    ) -> DocumentComposition:
        """The same with the null measured from pairs of a copy shuffled inside documents."""
        ratios = []
        for counts in shuffled:
            pairs = PairStatistics(
                counts, across=False, threads=self.threads, vocab_mask=self.vocab_mask
            )
            if pairs.within_pairs > 0:
                sequential = SequentialCovariances.of(design, self, pairs)
                norm = shuffled_norm(pairs, sequential.whole_composition())
                ratios.append(norm / noise_edge_inside_documents(pairs))
                del sequential
            # The counts of a lag are gone before those of the next are made.
            del counts, pairs
        return replace(self, null_ratio=float(np.mean(ratios)) if ratios else math.nan)


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
        rates = pairs_per_ordered_pair(design, pairs.lag)
        composition = Composition.of(
            documents.counts, rates, design.documents.halves, threads=documents.threads
        )
        return cls(design, documents, pairs, rates, composition)

    def whole_composition(self) -> Composition:
        """Of the pairs of all documents."""
        return self.composition.weighted(
            1.0 / self.pairs.within_pairs, 1.0 / self.pairs.within_pairs
        )

    def operators(self) -> list[CovarianceOperator]:
        """The sequential covariance of all documents and of either half, and the composition."""
        composition, (one, two) = self.whole_composition(), self.pairs.within_half_pairs
        return [
            self.pairs.sequential(composition),
            self.pairs.sequential(self.composition.weighted(1.0 / one, 0.0), 0),
            self.pairs.sequential(self.composition.weighted(0.0, 1.0 / two), 1),
            _composition_operator(composition, self.documents.vocab_mask, self.documents.threads),
        ]

    def searches(self, whole: TripletSearch, of_half: TripletSearch) -> list[TripletSearch]:
        """How their singular triplets are searched: all but the last as those similar to C(t)."""
        alone = TripletSearch(
            tolerance=_COMPOSITION_TOLERANCE, start=self.documents.start, width=_WIDTH
        )
        of_half = replace(of_half, width=_HALF_WIDTH)
        return [whole, of_half, of_half, alone]

    def permutation_floor(self) -> float:
        """The norm if the tokens of every document were shuffled."""
        return self.documents.null_ratio * noise_edge_inside_documents(self.pairs)


def sequential_sums(
    design: SamplingDesign, lag: int, products: Floats, projected: Floats
) -> Floats:
    """Sums by document whose ratio is u^T C_seq v: u v less its mean over shuffles, and pairs.

    Parameters
    ----------
    design : SamplingDesign
    lag : int
    products : (n_documents,) float64
        Sums of u v over the pairs inside each document.
    projected : (n_documents, 3) float64
        The documents' token counts times u, v and u v.

    Returns
    -------
    (n_documents, 2) float64
    """
    rates = pairs_per_ordered_pair(design, lag)
    # The same sums over all shuffles: sum over ordered pairs of different positions.
    shuffled = rates * (projected[:, 0] * projected[:, 1] - projected[:, 2])
    lengths = design.content_lengths.astype(np.float64)
    return np.stack([products - shuffled, np.maximum(lengths - lag, 0.0)], axis=1)


def pairs_per_ordered_pair(design: SamplingDesign, lag: int) -> Floats:
    """Pairs at the lag divided by all ordered pairs of a document, (L - t) / (L (L - 1))."""
    lengths = design.content_lengths.astype(np.float64)
    pairs = np.maximum(lengths - lag, 0.0)
    return np.divide(pairs, lengths * (lengths - 1.0), out=np.zeros_like(pairs), where=pairs > 0)
