"""What is measured of the token covariance C(t) at one lag: norms, their noise and their nulls.

C(t)[a, b] = P(x_i = a, x_{i+t} = b) - P(x_i = a) P(x_{i+t} = b), with both marginals from the same
pairs (Cagnetta et al. 2026, section 2); its largest singular value falls as t^-beta (eq. 29).

A lag is measured in steps: `LagMeasurer.solve` takes all that the counts of pairs tell,
`TokenPasses` goes back to the tokens with the singular vectors, twice, and `SolvedLag.measured`
puts the numbers together. The shards of a corpus take the same steps (`ngramstat.sharding`).

To add a number per lag: a field of `LagMeasurement`, its value in `SolvedLag` or its `measured`,
and a field of the same name in `CorrelationResult`. Storage, assembly and JSON follow from the
fields; finished parts without the field are measured again.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ngramstat.corpus import Corpus
from ngramstat.covariance.cross_fit import CrossFit, CrossFitting
from ngramstat.covariance.document_shares import DocumentShares
from ngramstat.covariance.fold_passes import HalfVectors
from ngramstat.covariance.lag_sums import LagSums, LagVectors, TokenPasses
from ngramstat.covariance.matrix_free import MatrixFreeCovariances
from ngramstat.covariance.noise import noise_edge
from ngramstat.covariance.occurring import occurring
from ngramstat.covariance.operators import CovarianceOperator, PairStatistics, PairSums
from ngramstat.covariance.options import CorrelationOptions
from ngramstat.covariance.position import position_norm
from ngramstat.covariance.sequential import (
    DocumentComposition,
    SequentialCovariances,
    sequential_sums,
)
from ngramstat.covariance.shared_passes import leading_triplets
from ngramstat.covariance.shuffling import SHUFFLED_LAGS, shuffled_inside_documents
from ngramstat.errors import InputError
from ngramstat.kernels import (
    BLOCK_SIZE,
    GpuPairStream,
    PairBuffer,
    PairCounts,
    Tokens,
    count_pairs,
    stream_pairs,
    token_counts,
)
from ngramstat.linear_algebra.lanczos import (
    SingularTriplets,
    TripletSearch,
    leading_singular_triplets,
)
from ngramstat.runtime.workspace import Workspace, release_pages
from ngramstat.sampling.design import SamplingDesign

__all__ = [
    "LagMeasurement",
    "LagMeasurer",
    "SolvedLag",
    "TopTokens",
    "bytes_between_checks",
    "measure_lags",
    "measuring_bytes",
    "most_frequent",
    "require_pairs",
]

Floats = NDArray[np.float64]

# The floor is compared with factors of 1.25 and more; its own noise is some 5 %. A residual of the
# first number leaves an error of about its square, as does a change of the second in two steps.
_FLOOR_RESIDUAL, _FLOOR_TOLERANCE = 0.05, 1e-2
# What is reached in single precision, for the first triplet and for the change of all values in the
# last step: the next would leave a hundredth of it. A step in double precision then gives the
# values to the square of what the vectors lack: at this tolerance, which single precision always
# reaches, the norm to some 1e-10, over its gap to the next value.
_SINGLE_TOLERANCE, _SINGLE_VALUE_CHANGE = 1e-5, 1e-2
_NORM_TOLERANCE = 2e-5
# Of the sequential norm: it is then known to some 1e-4.
_TOLERANCE = 5e-2
# Of the vectors of halves: a residual, or an angle in radians where the leading value stands alone,
# of which the last half-step leaves a fraction. The cross-fit takes any vectors of the other half:
# that changes it by less than a hundredth of its standard error (docs/estimators.md).
_HALF_TOLERANCE, _HALF_ANGLE = 1e-3, 0.08
# Vectors of a block where the leading one is searched, beginning with that of a similar matrix and
# of one that is nearly the same. All searches of a lag together have the columns of one block of
# single precision, with the four, three and three of the sequential covariances.
_WIDTH, _NEAR_WIDTH = 4, 2
# The norm of the other boundary is compared with factors of 1.25.
_OTHER_TOLERANCE = 0.03
# Bytes of a vocabulary item in the vectors of all searches at one lag: 4,700 where V is 8,192 and
# 5,500 where it is 50,257.
_MEASURING_ITEM_BYTES = 5500
# Bytes of a file that became resident between two checks, beyond what is kept free anyway.
_BETWEEN_CHECKS = 24 << 20
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
        composition = None
        if options.sequential:
            composition = DocumentComposition.of(design, vocab_mask, workspace.threads)
        measurer = LagMeasurer(design, options, vocab_mask, workspace.threads, composition)
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
    """From counts of all pairs."""
    design, corpus = measurer.design, measurer.design.corpus
    buffer = PairBuffer()
    if measurer.options.sequential:
        # The corpus is shuffled and counted before, so that the copy is gone when lags are counted.
        with workspace.temporary_array(corpus.n_tokens, corpus.tokens.dtype) as shuffled:
            tokens = shuffled_inside_documents(design, shuffled, threads=workspace.threads)
            shuffled_counts = _count_pairs(design, SHUFFLED_LAGS, tokens, workspace, buffer)
            measurer.measure_null(_without_buffer(shuffled_counts, buffer, design, workspace))
        buffer.release()
    counted = _count_pairs(design, lags, corpus.tokens, workspace, buffer)
    for counts in _without_buffer(counted, buffer, design, workspace):
        yield measurer.measure(counts.lag, counts)
        del counts
        workspace.trim_heap_if_short()


def measuring_bytes(vocab_size: int) -> int:
    """Memory in which the counts of a lag are measured, without that of the counts."""
    return _MEASURING_ITEM_BYTES * vocab_size


def bytes_between_checks(token_bytes: int) -> int:
    """Bytes of mapped tokens that may become resident between two checks of the memory.

    A step leaves room for them though it reads in order: some systems map 2 MB of a file at
    a touch.
    """
    return min(token_bytes, _BETWEEN_CHECKS)


def _without_buffer(
    counted: Iterable[PairCounts],
    buffer: PairBuffer,
    design: SamplingDesign,
    workspace: Workspace,
) -> Iterator[PairCounts]:
    """The counts, to be measured without the buffer where that would leave too little memory."""
    for counts in counted:
        if not workspace.has_room(measuring_bytes(design.corpus.vocab_size)):
            buffer.release()
            workspace.trim_heap()
        yield counts
        # The counts of a lag are gone before those of the next are made.
        del counts


def _count_pairs(
    design: SamplingDesign,
    lags: Sequence[int],
    tokens: Tokens,
    workspace: Workspace,
    buffer: PairBuffer,
) -> Iterator[PairCounts]:
    """Pairs of a stream, lag by lag, within the memory that is left."""
    return count_pairs(
        tokens,
        design.corpus.vocab_size,
        design.documents,
        lags,
        threads=workspace.threads,
        memory_limit=workspace.memory_budget(token_bytes=bytes_between_checks(tokens.nbytes)),
        buffer=buffer,
        backend=workspace.gpus,
    )


def most_frequent(corpus: Corpus, top: int, *, threads: int = 1) -> NDArray[np.bool_]:
    """The `top` most frequent vocabulary items as a mask, (V,); of equals the smaller ids."""
    counts = token_counts(corpus.tokens, corpus.vocab_size, threads=threads)
    mask = np.zeros(corpus.vocab_size, dtype=bool)
    mask[np.argsort(-counts, kind="stable")[:top]] = True
    return mask


@dataclass(frozen=True)
class SolvedLag:
    """What the counts of pairs at one lag tell, before anything goes back to the tokens.

    Attributes
    ----------
    vectors : LagVectors
        What goes back to them.
    others
        Fields of `LagMeasurement`.
    """

    lag: int
    pairs: int
    norm: float
    residual: float
    singular_values: Floats
    left: TopTokens
    right: TopTokens
    frobenius: float
    noise_floor: float
    permutation_floor: float
    analytic_floor: float
    norm_sequential: float
    composition_norm: float
    full_norm: float
    norm_other_boundary: float
    vectors: LagVectors

    def measured(
        self,
        design: SamplingDesign,
        sums: LagSums,
        fits: tuple[CrossFit, CrossFit],
        vocab_mask: NDArray[np.bool_] | None,
    ) -> LagMeasurement:
        """Everything at the lag.

        Parameters
        ----------
        design : SamplingDesign
        sums : LagSums
            Of the first pass over the tokens.
        fits : (CrossFit, CrossFit)
            Of C(t) and of the sequential covariance.
        vocab_mask : (V,) bool or None
        """
        position, position_floor = position_norm(sums.positions, vocab_mask=vocab_mask)
        shares = DocumentShares.of(sums.of_documents)
        replicates, of_sequential = _replicates(design, self.lag, sums)
        solved = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del solved["vectors"]
        return LagMeasurement(
            **solved,
            cross_fit=fits[0],
            cross_fit_sequential=fits[1],
            position_norm=position,
            position_floor=position_floor,
            separator_share=sums.separator_pairs / max(design.corpus.n_tokens - self.lag, 1),
            replicates=replicates,
            sequential_replicates=of_sequential,
            top_documents=shares.documents,
            top_document_shares=shares.shares,
            documents_for_half=shares.for_half,
        )


def _replicates(design: SamplingDesign, lag: int, sums: LagSums) -> tuple[Floats, Floats]:
    """u^T C* v over resampled documents, for C(t) and for the sequential covariance.

    These are the norms to first order, vectors held fixed; NaN for a covariance that is not
    measured. All is resampled at once: the weights of the documents are much to read.
    """
    with_sequential = len(sums.inside) > 0
    by_document = [sums.of_documents]
    if with_sequential:
        by_document.append(sequential_sums(design, lag, sums.inside, sums.projected))
    resampled = design.bootstrap.sums(np.concatenate(by_document, axis=1)).T
    pairs, product, left, right = resampled[:4]
    with np.errstate(invalid="ignore", divide="ignore"):
        whole: Floats = product / pairs - (left / pairs) * (right / pairs)
        if with_sequential:
            return whole, resampled[4] / resampled[5]
    return whole, np.full(len(whole), np.nan)


def _vectors_of_frequent(frequency: Floats) -> Floats:
    """Vectors to begin a search with, (V, BLOCK_SIZE): random, and large where tokens are frequent.

    The covariance of two tokens, and its noise, grow with their frequencies, and so do the entries
    of the leading singular vectors. It saves a step at few lags only (6 of 246 products on 88 M
    tokens of Wikipedia).
    """
    random = np.random.default_rng(0).standard_normal((len(frequency), BLOCK_SIZE))
    return random * np.sqrt(frequency)[:, None]


@dataclass(frozen=True)
class _SimilarMatrices:
    """What is searched from the singular vectors of C(t) on.

    Attributes
    ----------
    norm_other_boundary : float
        NaN where there is none.
    sequential : (SingularTriplets, float, float) or None
        Of the sequential covariance, with its permutation floor and the composition's norm.
    halves : tuple of HalfVectors
        Of C(t), and of the sequential covariance if there is one.
    """

    norm_other_boundary: float
    sequential: tuple[SingularTriplets, float, float] | None
    halves: tuple[HalfVectors, ...]


class LagMeasurer:
    """Measures one lag after the other; holds what all lags share.

    Parameters
    ----------
    design : SamplingDesign
    options : CorrelationOptions
    vocab_mask : (V,) bool or None
        Vocabulary items that C(t) is restricted to.
    threads : int
    composition : DocumentComposition or None
        For the sequential covariance; None: it is not measured.
    """

    def __init__(
        self,
        design: SamplingDesign,
        options: CorrelationOptions,
        vocab_mask: NDArray[np.bool_] | None,
        threads: int,
        composition: DocumentComposition | None,
    ) -> None:
        self.design, self.options = design, options
        self.vocab_mask, self.threads = vocab_mask, threads
        self.composition = composition

    @cached_property
    def _passes(self) -> TokenPasses:
        counts = None if self.composition is None else self.composition.counts
        return TokenPasses(self.design, counts, self.threads)

    def measure_null(self, shuffled: Iterable[PairCounts]) -> None:
        """Take the null of the sequential covariance from a copy shuffled inside documents."""
        assert self.composition is not None
        with threadpool_limits(1):
            self.composition = self.composition.with_null(self.design, shuffled)

    def measure(
        self,
        lag: int,
        counts: PairCounts | None = None,
        gpu_stream: GpuPairStream | None = None,
    ) -> LagMeasurement:
        """Everything at one lag.

        Parameters
        ----------
        lag : int
        counts : PairCounts, optional
            Of the corpus; None: products are passes over the tokens.
        gpu_stream : GpuPairStream, optional
            The tokens on a GPU, where passes over them are made there.
        """
        solved = self.solve(lag, counts, gpu_stream)
        with threadpool_limits(1):
            sums = self._passes.first(solved.vectors)
            fitting = CrossFitting(sums.products, solved.vectors.halves, self.vocab_mask)
            forms = self._passes.second(lag, fitting.weighted, sums)
            # Sums over resampled documents are large, and nothing checks the memory meanwhile.
            release_pages()
            return solved.measured(self.design, sums, fitting.fits(forms), self.vocab_mask)

    def solve(
        self,
        lag: int,
        counts: PairCounts | None = None,
        gpu_stream: GpuPairStream | None = None,
    ) -> SolvedLag:
        """What the counts alone tell, with the parameters of `measure`."""
        sums = None if counts is None else PairSums.of(counts, self.threads)
        covariances = self._covariances(lag, counts, sums, self.vocab_mask, gpu_stream)
        # Threads of the linear algebra wait for its next small product in a loop, on the cores that
        # our own threads need.
        with threadpool_limits(1):
            triplets, noise_floor = self._norm_and_noise(covariances)
            left, right = self._top_tokens(triplets)
            similar = self._similar(covariances, counts, sums, triplets)
            whole = [triplets]
            norm_sequential = permutation_floor = composition_norm = float("nan")
            if similar.sequential is not None:
                found, permutation_floor, composition_norm = similar.sequential
                whole.append(found)
                norm_sequential = float(found.values[0])
            return SolvedLag(
                lag=lag,
                left=left,
                right=right,
                pairs=covariances.pairs,
                norm=float(triplets.values[0]),
                residual=triplets.residual,
                singular_values=triplets.values,
                frobenius=covariances.frobenius() if self.vocab_mask is None else float("nan"),
                noise_floor=noise_floor,
                permutation_floor=permutation_floor,
                analytic_floor=self._analytic_floor(covariances),
                norm_sequential=norm_sequential,
                composition_norm=composition_norm,
                full_norm=self._full_norm(lag, counts, sums, gpu_stream, triplets.right),
                norm_other_boundary=similar.norm_other_boundary,
                vectors=LagVectors(
                    lag,
                    np.stack([item.left[:, 0] for item in whole]),
                    np.stack([item.right[:, 0] for item in whole]),
                    similar.halves,
                ),
            )

    def _covariances(
        self,
        lag: int,
        counts: PairCounts | None,
        sums: PairSums | None,
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
        return PairStatistics(
            counts, across=across, threads=self.threads, vocab_mask=vocab_mask, sums=sums
        )

    def _norm_and_noise(
        self, covariances: PairStatistics | MatrixFreeCovariances
    ) -> tuple[SingularTriplets, float]:
        """The leading triplets of C(t), in double precision, and the half difference's norm."""
        operator, k = covariances.covariance(), self.options.singular_values
        start = _vectors_of_frequent(covariances.marginals()[1])
        near, noise = leading_triplets(
            [operator, covariances.half_difference()],
            [
                TripletSearch(k, _SINGLE_TOLERANCE, start=start, value_change=_SINGLE_VALUE_CHANGE),
                TripletSearch(1, _FLOOR_RESIDUAL, _FLOOR_TOLERANCE, start),
            ],
        )
        triplets = leading_singular_triplets(
            operator, k, tolerance=_NORM_TOLERANCE, start=near.right, value_change=math.inf
        )
        return triplets, float(noise.values[0])

    def _similar(
        self,
        covariances: PairStatistics | MatrixFreeCovariances,
        counts: PairCounts | None,
        sums: PairSums | None,
        triplets: SingularTriplets,
    ) -> _SimilarMatrices:
        """What begins with the vectors of C(t): halves, other boundary, sequential covariance."""
        search = TripletSearch(tolerance=_TOLERANCE, start=triplets.right, width=_WIDTH)
        operators = [covariances.covariance(0), covariances.covariance(1)]
        near = dataclasses.replace(
            search, tolerance=_HALF_TOLERANCE, angle=_HALF_ANGLE, width=_NEAR_WIDTH
        )
        searches = [near, near]
        other = self._other_boundary(counts, sums)
        if other is not None:
            operators.append(other)
            searches.append(dataclasses.replace(near, tolerance=_OTHER_TOLERANCE))
        shared = len(operators)
        sequential = self._sequential(covariances)
        if sequential is not None:
            operators += sequential.operators()
            searches += sequential.searches(search, near)
        found = leading_triplets(operators, searches)
        norm_other_boundary = float("nan") if other is None else float(found[2].values[0])
        halves = HalfVectors.of(found[:2], float(triplets.values[0]))
        if sequential is None:
            return _SimilarMatrices(norm_other_boundary, None, (halves,))
        whole, one, two, alone = found[shared:]
        return _SimilarMatrices(
            norm_other_boundary,
            (whole, sequential.permutation_floor(), float(alone.values[0])),
            (halves, HalfVectors.of((one, two), float(whole.values[0]))),
        )

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
        sums: PairSums | None,
        gpu_stream: GpuPairStream | None,
        start: Floats,
    ) -> float:
        """Norm over the whole vocabulary, where C(t) is restricted."""
        if self.vocab_mask is None:
            return float("nan")
        unrestricted = self._covariances(lag, counts, sums, None, gpu_stream)
        triplets = leading_singular_triplets(
            unrestricted.covariance(), 1, tolerance=_NORM_TOLERANCE, start=start
        )
        return float(triplets.values[0])

    def _other_boundary(
        self, counts: PairCounts | None, sums: PairSums | None
    ) -> CovarianceOperator | None:
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
            sums=sums,
        )
        return other.covariance() if min(other.half_pairs) > 0 else None

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
