"""The sequential covariance: C(t) inside documents without what their composition alone makes.

Tokens of one document are correlated in whatever order they stand, since documents differ in what
they are about. Taking off the mean over all shuffles inside documents leaves what depends on the
sequence (docs/theory.md 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.covariance.cross_fit import CrossFit, ShuffledPairs, cross_fit
from ngramstat.covariance.operators import Composition, CovarianceOperator, PairStatistics
from ngramstat.covariance.shuffling import permutation_floor
from ngramstat.kernels import CountMatrix, count_document_tokens, sum_pairs_by_document
from ngramstat.linear_algebra.lanczos import as_block, leading_singular_triplets
from ngramstat.sampling.design import SamplingDesign

__all__ = ["DocumentComposition", "SequentialMeasurement", "measure_sequential"]

Floats = NDArray[np.float64]

_TOLERANCE = 1e-5
# The composition's norm is a number to compare with, not to fit.
_COMPOSITION_TOLERANCE = 1e-4


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
    counts : CountMatrix
        Tokens of the documents, (n_documents, V).
    start : (V, k) float64
        Singular vectors of the composition of all pairs, near those of the pairs at any one lag.
    vocab_mask : (V,) bool or None
    threads : int
    """

    counts: CountMatrix
    start: Floats
    vocab_mask: NDArray[np.bool_] | None
    threads: int

    @classmethod
    def of(
        cls, design: SamplingDesign, vocab_mask: NDArray[np.bool_] | None, threads: int
    ) -> DocumentComposition:
        """Counts the tokens of every document."""
        corpus = design.corpus
        counts = count_document_tokens(
            corpus.tokens, corpus.vocab_size, design.documents, threads=threads
        )
        lengths = design.content_lengths.astype(np.float64)
        weights = np.divide(1.0, lengths - 1.0, out=np.zeros_like(lengths), where=lengths > 1)
        weights /= max(float(lengths[lengths > 1].sum()), 1.0)
        operator = _composition_operator(Composition(counts, weights, threads), vocab_mask, threads)
        start = leading_singular_triplets(operator, 1, tolerance=_COMPOSITION_TOLERANCE).right
        return cls(counts, start, vocab_mask, threads)


def _composition_operator(
    composition: Composition, vocab_mask: NDArray[np.bool_] | None, threads: int
) -> CovarianceOperator:
    """Covariance of pairs drawn from one document each, in whatever order."""
    marginal = composition.marginal()[:, None]
    return CovarianceOperator(
        len(marginal), [], marginal, marginal, composition, vocab_mask=vocab_mask, threads=threads
    )


def measure_sequential(
    design: SamplingDesign,
    documents: DocumentComposition,
    covariances: PairStatistics,
    shuffled: PairStatistics,
    *,
    start: Floats,
) -> SequentialMeasurement:
    """The sequential covariance at one lag: its norm, replicates, cross-fit, floor, composition.

    Parameters
    ----------
    design : SamplingDesign
    documents : DocumentComposition
    covariances, shuffled : PairStatistics
        Of the corpus, and of a copy shuffled inside documents.
    start : (V, k) float64
        Right singular vectors to start from.
    """
    lag = covariances.lag
    rates = _pairs_per_ordered_pair(design, lag)

    def composition(half: int | None = None) -> Composition:
        in_half = True if half is None else design.documents.halves == half
        total = covariances.within_pairs if half is None else covariances.within_half_pairs[half]
        return Composition(
            documents.counts, np.where(in_half, rates, 0.0) / total, documents.threads
        )

    whole = composition()
    triplets = leading_singular_triplets(
        covariances.sequential(whole), 1, tolerance=_TOLERANCE, start=start
    )
    halves = [
        leading_singular_triplets(
            covariances.sequential(composition(half), half),
            1,
            tolerance=_TOLERANCE,
            start=triplets.right,
        )
        for half in (0, 1)
    ]
    fit = cross_fit(
        design,
        lag,
        (
            np.stack([half.left[:, 0] for half in halves]),
            np.stack([half.right[:, 0] for half in halves]),
        ),
        across=False,
        vocab_mask=documents.vocab_mask,
        shuffled=ShuffledPairs(documents.counts, rates, design.documents.folds, documents.threads),
        norm=float(triplets.values[0]),
        threads=documents.threads,
    )
    alone = leading_singular_triplets(
        _composition_operator(whole, documents.vocab_mask, documents.threads),
        1,
        tolerance=_COMPOSITION_TOLERANCE,
        start=documents.start,
    )
    replicates = _replicates(
        design, documents, lag, rates, triplets.left[:, 0], triplets.right[:, 0]
    )
    return SequentialMeasurement(
        norm=float(triplets.values[0]),
        permutation_floor=permutation_floor(shuffled, whole),
        composition_norm=float(alone.values[0]),
        replicates=replicates,
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
