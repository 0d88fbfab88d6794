"""What is measured of the token covariance C(t) at one lag: norms, their noise and their nulls.

C(t)[a, b] = P(x_i = a, x_{i+t} = b) - P(x_i = a) P(x_{i+t} = b), with both marginals from the same
pairs (Cagnetta et al. 2026, section 2); its largest singular value falls as t^-beta (eq. 29).

To add a number per lag: a field of `LagMeasurement`, its value in `LagMeasurer.measure`, and a
field of the same name in `CorrelationResult`. Storage, assembly and JSON follow from the fields;
finished parts without the field are measured again.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ngramstat.corpus import Corpus
from ngramstat.covariance.cross_fit import CrossFit, cross_fit
from ngramstat.covariance.document_shares import DocumentShares
from ngramstat.covariance.matrix_free import MatrixFreeCovariances
from ngramstat.covariance.noise import noise_edge
from ngramstat.covariance.occurring import occurring
from ngramstat.covariance.operators import CovarianceOperator, PairStatistics
from ngramstat.covariance.options import CorrelationOptions
from ngramstat.covariance.position import position_norm
from ngramstat.covariance.sequential import (
    DocumentComposition,
    SequentialCovariances,
    SequentialMeasurement,
)
from ngramstat.covariance.shared_passes import leading_triplets
from ngramstat.covariance.shuffling import shuffled_inside_documents
from ngramstat.errors import InputError
from ngramstat.kernels import (
    GpuPairStream,
    PairBuffer,
    PairCounts,
    Tokens,
    count_pairs,
    pair_tables_fit,
    stream_pairs,
    sum_pairs_by_document,
    token_counts,
)
from ngramstat.linear_algebra.lanczos import (
    SingularTriplets,
    TripletSearch,
    leading_singular_triplets,
)
from ngramstat.runtime.workspace import Workspace, gather
from ngramstat.sampling.design import SamplingDesign

__all__ = ["LagMeasurement", "TopTokens", "measure_lags", "most_frequent", "require_pairs"]

Floats = NDArray[np.float64]

# Of norms that are compared with factors of 1.25 and more: the floor, and that of the other
# boundary. A per mille is plenty.
_FLOOR_TOLERANCE = 1e-3
_NORM_TOLERANCE = 1e-7
# What is reached in single precision before the norm is refined in double.
_SINGLE_TOLERANCE = 1e-4
# Singular vectors of halves are estimates anyway: their noise is far above this.
_HALF_TOLERANCE = 1e-3
# Vectors of a block where the leading one is searched, beginning with that of a similar matrix.
_WIDTH = 4
# Singular vectors whose heaviest vocabulary items are kept, and how many of these.
_VECTORS_KEPT = 3
TOP_TOKENS = 12


@dataclass(frozen=True)
class TopTokens:
    """The vocabulary items that weigh most in some singular vectors.

    Attributes
    ----------
    types : (c, TOP_TOKENS) int64
        Their ids; -1 beyond the items that the corpus has.
    values : (c, TOP_TOKENS) float64
        Entries of the vectors, falling in size.
    """

    types: NDArray[np.int64]
    values: Floats

    @classmethod
    def of(cls, vectors: Floats, signs: Floats) -> TopTokens:
        """The largest entries of the first vectors, (V, k), multiplied by `signs`, (c,)."""
        c = len(signs)
        types = np.full((c, TOP_TOKENS), -1, np.int64)
        values = np.zeros((c, TOP_TOKENS))
        for j, sign in enumerate(signs):
            vector = vectors[:, j]
            # Of equal sizes the smaller ids.
            largest = np.argsort(-np.abs(vector), kind="stable")[:TOP_TOKENS]
            types[j, : len(largest)] = largest
            values[j, : len(largest)] = sign * vector[largest]
        return cls(types, values)

    def of_ids(self, original: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> TopTokens:
        """With other ids for the same items."""
        return TopTokens(original(self.types), self.values)


@dataclass(frozen=True)
class LagMeasurement:
    """Everything measured at one lag: one part of a run that can be kept and resumed.

    Fields that `CorrelationResult` has under the same name are described there.

    Attributes
    ----------
    left, right : TopTokens
        Of the leading singular vectors.
    cross_fit, cross_fit_sequential : CrossFit
        Debiased norms of C(t) and of its sequential part.
    full_norm : float
        Norm over the whole vocabulary where C(t) is restricted, else NaN.
    replicates, sequential_replicates : (n_replicates,) float64
        Bootstrap replicates of both norms, singular vectors held fixed.
    """

    lag: int
    pairs: int
    norm: float
    residual: float
    singular_values: Floats
    left: TopTokens
    right: TopTokens
    frobenius: float
    cross_fit: CrossFit
    noise_floor: float
    permutation_floor: float
    analytic_floor: float
    norm_sequential: float
    cross_fit_sequential: CrossFit
    composition_norm: float
    position_norm: float
    position_floor: float
    full_norm: float
    norm_other_boundary: float
    separator_share: float
    replicates: Floats
    sequential_replicates: Floats
    top_documents: NDArray[np.int64]
    top_document_shares: Floats
    documents_for_half: float


def measure_lags(
    design: SamplingDesign,
    options: CorrelationOptions,
    lags: Sequence[int],
    *,
    workspace: Workspace | None = None,
) -> Iterator[LagMeasurement]:
    """Count and measure the given lags, one after the other.

    Results of a lag do not depend on which others are measured, nor on threads or memory.

    Raises
    ------
    InputError
        A token is not below the vocabulary's size, or a lag leaves no pair in one of the halves.
    """
    workspace = Workspace() if workspace is None else workspace
    corpus = design.corpus
    if not lags:
        return
    require_pairs(design, lags)
    with corpus.naming_large_ids(), occurring(design, workspace) as used:
        design = used.design
        if workspace.gpus:
            design = dataclasses.replace(design, gpu=workspace.gpus.devices[0])
        vocab_mask = None
        if options.vocab_top is not None:
            vocab_mask = most_frequent(design.corpus, options.vocab_top, threads=workspace.threads)
        measurer = LagMeasurer(design, options, vocab_mask, workspace.threads)
        measure = _measure_matrix_free if options.matrix_free else _measure_counted
        for measurement in measure(measurer, lags, workspace):
            yield dataclasses.replace(
                measurement,
                left=measurement.left.of_ids(used.original),
                right=measurement.right.of_ids(used.original),
            )


def require_pairs(design: SamplingDesign, lags: Sequence[int]) -> None:
    """Refuse lags that leave no pair in one half of the documents, which takes no counting.

    Raises
    ------
    InputError
        With the lags, and the largest that can be measured.
    """
    impossible = [lag for lag in lags if lag > design.largest_lag]
    if not impossible:
        return
    named = ", ".join(map(str, impossible[:3])) + (", ..." if len(impossible) > 3 else "")
    remedy = "" if design.boundary.across else ", or --boundary stream"
    largest = f"at most {design.largest_lag}" if design.largest_lag else "a longer corpus"
    raise InputError(
        f"{design.corpus.name}: lag{'s' * (len(impossible) > 1)} {named}: no pairs of tokens that "
        f"far apart in one half of its documents; use --lags of {largest}{remedy}"
    )


def _measure_matrix_free(
    measurer: LagMeasurer, lags: Sequence[int], workspace: Workspace
) -> Iterator[LagMeasurement]:
    """Without counts: every product of C(t) with vectors is a pass over the tokens."""
    design = measurer.design
    stream: GpuPairStream | None = None
    if workspace.gpus:
        stream = stream_pairs(
            design.corpus.tokens,
            design.corpus.vocab_size,
            design.documents,
            workspace.gpus.devices[0],
            across=design.boundary.across,
        )
    for lag in lags:
        yield measurer.measure(lag, gpu_stream=stream)


def _measure_counted(
    measurer: LagMeasurer, lags: Sequence[int], workspace: Workspace
) -> Iterator[LagMeasurement]:
    """From counts of all pairs; with the sequential covariance, of a shuffled copy of them too."""
    design, corpus = measurer.design, measurer.design.corpus
    with contextlib.ExitStack() as stack:
        streams: list[Tokens] = [corpus.tokens]
        if measurer.options.sequential:
            shuffled = stack.enter_context(
                workspace.temporary_array(corpus.n_tokens, corpus.tokens.dtype)
            )
            streams.append(shuffled_inside_documents(design, shuffled))
        for counts in zip(*_count_streams(design, lags, streams, workspace), strict=True):
            yield measurer.measure(counts[0].lag, *counts)
            # The counts of a lag are gone before those of the next are made.
            del counts
            workspace.trim_heap()


def _count_streams(
    design: SamplingDesign, lags: Sequence[int], streams: Sequence[Tokens], workspace: Workspace
) -> list[Iterator[PairCounts]]:
    """Pairs of each stream, lag by lag, within the memory that is left."""
    corpus = design.corpus
    budget = workspace.memory_budget()
    if budget is not None and not pair_tables_fit(corpus.vocab_size):
        budget //= len(streams)  # each holds an index of its own; tables take turns in one buffer
    buffer = PairBuffer()
    return [
        count_pairs(
            tokens,
            corpus.vocab_size,
            design.documents,
            lags,
            threads=workspace.threads,
            memory_limit=budget,
            buffer=buffer,
            backend=workspace.gpus,
        )
        for tokens in streams
    ]


def most_frequent(corpus: Corpus, top: int, *, threads: int = 1) -> NDArray[np.bool_]:
    """The `top` most frequent vocabulary items as a mask, (V,); of equals the smaller ids."""
    counts = token_counts(corpus.tokens, corpus.vocab_size, threads=threads)
    mask = np.zeros(corpus.vocab_size, dtype=bool)
    mask[np.argsort(-counts, kind="stable")[:top]] = True
    return mask


class LagMeasurer:
    """Measures one lag after the other; holds what all lags share.

    Parameters
    ----------
    design : SamplingDesign
    options : CorrelationOptions
    vocab_mask : (V,) bool or None
        Vocabulary items that C(t) is restricted to.
    threads : int
    """

    def __init__(
        self,
        design: SamplingDesign,
        options: CorrelationOptions,
        vocab_mask: NDArray[np.bool_] | None,
        threads: int,
    ) -> None:
        self.design, self.options = design, options
        self.vocab_mask, self.threads = vocab_mask, threads
        self.composition: DocumentComposition | None = None
        if options.sequential:
            self.composition = DocumentComposition.of(design, vocab_mask, threads)

    def measure(
        self,
        lag: int,
        counts: PairCounts | None = None,
        shuffled: PairCounts | None = None,
        gpu_stream: GpuPairStream | None = None,
    ) -> LagMeasurement:
        """Everything at one lag.

        Parameters
        ----------
        lag : int
        counts : PairCounts, optional
            Of the corpus; None: products are passes over the tokens.
        shuffled : PairCounts, optional
            Of a copy shuffled inside documents, for the sequential covariance.
        gpu_stream : GpuPairStream, optional
            The tokens on a GPU, where passes over them are made there.
        """
        covariances = self._covariances(lag, counts, self.vocab_mask, gpu_stream)
        # Threads of the linear algebra wait for its next small product in a loop, on the cores that
        # our own threads need.
        with threadpool_limits(1):
            triplets, noise_floor = self._norm_and_noise(covariances)
            left, right = self._top_tokens(triplets)
            halves, other, sequential = self._similar(covariances, counts, shuffled, triplets.right)
            position, position_floor = position_norm(
                self.design, lag, vocab_mask=self.vocab_mask, threads=self.threads
            )
            sums = self._document_sums(lag, triplets)
            shares = DocumentShares.of(sums)
            return LagMeasurement(
                lag=lag,
                left=left,
                right=right,
                pairs=covariances.pairs,
                norm=float(triplets.values[0]),
                residual=triplets.residual,
                singular_values=triplets.values,
                frobenius=covariances.frobenius() if self.vocab_mask is None else float("nan"),
                cross_fit=self._cross_fit(lag, triplets, halves),
                noise_floor=noise_floor,
                permutation_floor=sequential.permutation_floor,
                analytic_floor=self._analytic_floor(covariances),
                norm_sequential=sequential.norm,
                cross_fit_sequential=sequential.cross_fit,
                composition_norm=sequential.composition_norm,
                position_norm=position,
                position_floor=position_floor,
                full_norm=self._full_norm(lag, counts, gpu_stream, triplets.right),
                norm_other_boundary=other,
                separator_share=self._separator_fraction(lag),
                replicates=self._replicates(sums),
                sequential_replicates=sequential.replicates,
                top_documents=shares.documents,
                top_document_shares=shares.shares,
                documents_for_half=shares.for_half,
            )

    def _covariances(
        self,
        lag: int,
        counts: PairCounts | None,
        vocab_mask: NDArray[np.bool_] | None,
        gpu_stream: GpuPairStream | None,
    ) -> PairStatistics | MatrixFreeCovariances:
        across = self.design.boundary.across
        if counts is None:
            return MatrixFreeCovariances(
                self.design,
                lag,
                threads=self.threads,
                vocab_mask=vocab_mask,
                stream=gpu_stream,
            )
        return PairStatistics(counts, across=across, threads=self.threads, vocab_mask=vocab_mask)

    def _norm_and_noise(
        self, covariances: PairStatistics | MatrixFreeCovariances
    ) -> tuple[SingularTriplets, float]:
        """The leading triplets of C(t), in double precision, and the half difference's norm."""
        operator, k = covariances.covariance(), self.options.singular_values
        near, noise = leading_triplets(
            [operator, covariances.half_difference()],
            [
                TripletSearch(k, _SINGLE_TOLERANCE),
                TripletSearch(value_tolerance=_FLOOR_TOLERANCE),
            ],
        )
        triplets = leading_singular_triplets(
            operator, k, tolerance=_NORM_TOLERANCE, start=near.right, verified=True
        )
        return triplets, float(noise.values[0])

    def _similar(
        self,
        covariances: PairStatistics | MatrixFreeCovariances,
        counts: PairCounts | None,
        shuffled: PairCounts | None,
        start: Floats,
    ) -> tuple[list[SingularTriplets], float, SequentialMeasurement]:
        """What begins with the vectors of C(t): halves, other boundary, sequential covariance."""
        search = TripletSearch(tolerance=_HALF_TOLERANCE, start=start, width=_WIDTH)
        operators = [covariances.covariance(0), covariances.covariance(1)]
        searches = [search, search]
        other = self._other_boundary(counts)
        if other is not None:
            operators.append(other)
            searches.append(search)
        shared = len(operators)
        sequential = self._sequential(covariances)
        if sequential is not None:
            operators += sequential.operators()
            searches += sequential.searches(start)
        triplets = leading_triplets(operators, searches)
        measured = SequentialMeasurement.absent(self.options.replicates)
        if sequential is not None:
            assert shuffled is not None
            shuffled_pairs = PairStatistics(
                shuffled, across=False, threads=self.threads, vocab_mask=self.vocab_mask
            )
            measured = sequential.measure(triplets[shared:], shuffled_pairs)
        norm_of_other = float("nan") if other is None else float(triplets[2].values[0])
        return triplets[:2], norm_of_other, measured

    @staticmethod
    def _top_tokens(triplets: SingularTriplets) -> tuple[TopTokens, TopTokens]:
        """Of the left and right vectors; each pair is oriented so that its largest left entry is
        positive (the signs of both vectors of a pair can be changed together)."""
        c = min(_VECTORS_KEPT, triplets.left.shape[1])
        largest = np.abs(triplets.left[:, :c]).argmax(axis=0)
        signs = np.where(triplets.left[largest, np.arange(c)] < 0, -1.0, 1.0)
        return TopTokens.of(triplets.left, signs), TopTokens.of(triplets.right, signs)

    def _analytic_floor(self, covariances: PairStatistics | MatrixFreeCovariances) -> float:
        """The norm that independent tokens with these marginals would show."""
        p, q = covariances.marginals()
        if self.vocab_mask is not None:
            p, q = p[self.vocab_mask], q[self.vocab_mask]
        return noise_edge(p, q) / float(np.sqrt(covariances.pairs))

    def _full_norm(
        self,
        lag: int,
        counts: PairCounts | None,
        gpu_stream: GpuPairStream | None,
        start: Floats,
    ) -> float:
        """Norm over the whole vocabulary, where C(t) is restricted."""
        if self.vocab_mask is None:
            return float("nan")
        unrestricted = self._covariances(lag, counts, None, gpu_stream)
        triplets = leading_singular_triplets(
            unrestricted.covariance(), 1, tolerance=_NORM_TOLERANCE, start=start
        )
        return float(triplets.values[0])

    def _other_boundary(self, counts: PairCounts | None) -> CovarianceOperator | None:
        """C(t) with pairs that cross documents left out where they count, and conversely.

        None where pairs are not counted, without documents, and where a half of them has no pair.
        """
        if counts is None or self.design.are_blocks:
            return None
        other = PairStatistics(
            counts,
            across=not self.design.boundary.across,
            threads=self.threads,
            vocab_mask=self.vocab_mask,
        )
        return other.covariance() if min(other.half_pairs) > 0 else None

    def _cross_fit(
        self, lag: int, triplets: SingularTriplets, halves: Sequence[SingularTriplets]
    ) -> CrossFit:
        return cross_fit(
            self.design,
            lag,
            (
                np.stack([half.left[:, 0] for half in halves]),
                np.stack([half.right[:, 0] for half in halves]),
            ),
            across=self.design.boundary.across,
            vocab_mask=self.vocab_mask,
            norm=float(triplets.values[0]),
            threads=self.threads,
        )

    def _document_sums(self, lag: int, triplets: SingularTriplets) -> Floats:
        """Pairs of each document, and sums of u v, u and v over them, (n_documents, 4)."""
        sums = sum_pairs_by_document(
            self.design.pairs_at(lag),
            triplets.left[:, 0],
            triplets.right[:, 0],
            self.design.documents,
            across=self.design.boundary.across,
            threads=self.threads,
        )
        return np.stack(sums, axis=1, dtype=np.float64)

    def _replicates(self, document_sums: Floats) -> Floats:
        """u^T C* v over resampled documents: the norm to first order, vectors held fixed."""
        pairs, product, left, right = self.design.bootstrap.sums(document_sums).T
        with np.errstate(invalid="ignore", divide="ignore"):
            replicates: Floats = product / pairs - (left / pairs) * (right / pairs)
        return replicates

    def _sequential(
        self, covariances: PairStatistics | MatrixFreeCovariances
    ) -> SequentialCovariances | None:
        """The sequential covariances; None where they are not measured."""
        if (
            self.composition is None
            or isinstance(covariances, MatrixFreeCovariances)
            or min(covariances.within_half_pairs) == 0
        ):
            return None
        return SequentialCovariances.of(self.design, self.composition, covariances)

    def _separator_fraction(self, lag: int) -> float:
        """Fraction of the counted pairs that touch a separator."""
        if not self.design.boundary.across:
            return 0.0
        tokens, separator = self.design.corpus.tokens, self.design.corpus.separator
        positions = self.design.separator_positions
        as_left = positions[positions + lag < len(tokens)]
        as_right = positions[positions >= lag]
        both = int(np.count_nonzero(gather(tokens, as_left + lag) == separator))
        return (len(as_left) + len(as_right) - both) / max(len(tokens) - lag, 1)
