"""Token covariances C(t) of a corpus: operator norms, noise, composition and beta.

C(t)[a, b] = P(x_i = a, x_{i+t} = b) - P(x_i = a) P(x_{i+t} = b), with both marginals from the same
pairs (Cagnetta et al. 2026, section 2); its largest singular value falls as t^-beta (eq. 29).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ngramstat._core import GpuPairStream
from ngramstat.corpus import Corpus
from ngramstat.covariance.cross_fit import (
    CrossFit,
    ShuffledPairs,
    cross_fit,
)
from ngramstat.covariance.matrix_free import StreamedPairs
from ngramstat.covariance.noise import noise_edge
from ngramstat.covariance.operators import Composition, CovarianceOperator, PairStatistics
from ngramstat.covariance.position import position_norm
from ngramstat.covariance.shuffling import permutation_floor, shuffled_inside_documents
from ngramstat.errors import InputError
from ngramstat.kernels import (
    BLOCK_SIZE,
    CountMatrix,
    PairBuffer,
    PairCounts,
    Tokens,
    count_document_tokens,
    count_pairs,
    pair_tables_fit,
    stream_pairs,
    sum_pairs_by_document,
    token_counts,
)
from ngramstat.linear_algebra.lanczos import as_block, leading_singular_triplets
from ngramstat.runtime.workspace import Workspace, take
from ngramstat.sampling.documents import (
    DocumentBootstrap,
    Units,
    check_seed,
    separator_positions,
    statistical_units,
)

__all__ = [
    "DEFAULT_LAGS",
    "CorrelationOptions",
    "LagMeasurement",
    "TopTokens",
    "default_lags",
    "measure_lags",
    "most_frequent",
]

Floats = NDArray[np.float64]

# About three lags an octave: enough to see a break or a local peak, few enough to be quick.
DEFAULT_LAGS = (
    *(1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64),
    *(80, 101, 128, 161, 203, 256, 362, 512),
)
# The floor is compared with a factor of 1.5, so a per mille of it is plenty.
_FLOOR_TOLERANCE = 1e-3
_NORM_TOLERANCE = 1e-7
# Singular vectors whose heaviest types are kept, and how many of these.
_LOADED = 3
TOP_TOKENS = 12


@dataclass(frozen=True, kw_only=True)
class CorrelationOptions:
    """Resolved options of the correlations; all of them shape the result.

    Attributes
    ----------
    lags : tuple of int
        Separations in tokens, increasing.
    boundary : str
        ``stream`` or ``document``.
    singular_values : int
        How many leading singular values to return, 1 .. 8.
    replicates : int
        Bootstrap replicates over documents.
    level : float
        Confidence level of the intervals.
    seed : int
    window : (low, high) or None
        Lags to fit beta on, inclusive; None finds them.
    vocab_top : int or None
        Restrict C(t) to this many of the most frequent types; None: all types.
    sequential : bool
        Measure the sequential covariance and its nulls, too; they take most of the time.
    matrix_free : bool
        Count no pairs: every product is a pass over the tokens (`StreamedPairs`). Not with
        `sequential`; Frobenius norms are not measured.
    """

    lags: tuple[int, ...]
    boundary: str = "stream"
    singular_values: int = BLOCK_SIZE
    replicates: int = 999
    level: float = 0.95
    seed: int = 0
    window: tuple[int, int] | None = None
    vocab_top: int | None = None
    sequential: bool = True
    matrix_free: bool = False

    def __post_init__(self) -> None:
        if not self.lags or any(b <= a for a, b in zip((0, *self.lags), self.lags, strict=False)):
            raise InputError(f"lags={list(self.lags)}: need increasing integers of at least 1")
        if not 1 <= self.singular_values <= BLOCK_SIZE:
            raise InputError(
                f"singular_values={self.singular_values}: must lie in 1 .. {BLOCK_SIZE}"
            )
        if not 0.5 <= self.level < 1:
            raise InputError(f"level={self.level}: must be at least 0.5 and below 1, such as 0.95")
        if self.vocab_top is not None and self.vocab_top < 1:
            raise InputError(f"vocab_top={self.vocab_top}: must be at least 1")
        if self.matrix_free and self.sequential:
            raise InputError("matrix_free=True: needs sequential=False (--no-sequential)")
        check_seed(self.seed)


@dataclass(frozen=True)
class TopTokens:
    """The types that weigh most in some singular vectors.

    Attributes
    ----------
    types : (c, TOP_TOKENS) int64
        -1 beyond the vocabulary.
    values : (c, TOP_TOKENS) float64
        Entries of the vectors, falling in size.
    """

    types: NDArray[np.int64]
    values: Floats

    @classmethod
    def of(cls, vectors: Floats, signs: Floats) -> TopTokens:
        """The largest entries of the first vectors, (V, k), turned by `signs`, (c,)."""
        c = len(signs)
        types = np.full((c, TOP_TOKENS), -1, np.int64)
        values = np.zeros((c, TOP_TOKENS))
        for j, sign in enumerate(signs):
            vector = vectors[:, j]
            # Of equal sizes the smaller ids.
            first = np.argsort(-np.abs(vector), kind="stable")[:TOP_TOKENS]
            types[j, : len(first)], values[j, : len(first)] = first, sign * vector[first]
        return cls(types, values)


@dataclass(frozen=True)
class LagMeasurement:
    """Everything measured at one lag, in plain numbers and arrays (one resumable part of a run)."""

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
    separator_share: float
    replicates: Floats
    sequential_replicates: Floats


def default_lags(corpus: Corpus, boundary: str = "stream") -> tuple[int, ...]:
    """DEFAULT_LAGS at which the corpus has enough pairs, at least lag 1.

    Enough: the stream is ten times as long; with boundary ``document``, also at least a tenth of
    the tokens have a partner that far on in their document.
    """
    n = corpus.n_tokens
    lengths = np.array([n])
    if boundary == "document" and corpus.document_ends is not None:
        lengths = np.diff(corpus.document_ends, prepend=0)
    return tuple(
        lag
        for lag in DEFAULT_LAGS
        if lag == 1 or (lag * 10 <= n and np.maximum(lengths - lag, 0).sum() * 10 >= n)
    )


def measure_lags(
    corpus: Corpus,
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
        A token is not below the vocabulary's size, a lag leaves no pair in one of the halves, or
        the boundary asks for documents that the store does not have.
    """
    workspace = Workspace() if workspace is None else workspace
    threads = workspace.threads
    units = statistical_units(corpus, boundary=options.boundary, seed=options.seed)
    bootstrap = DocumentBootstrap(len(units.documents), options.replicates, options.seed)
    if not lags:
        return
    kept = None
    try:
        if options.vocab_top is not None:
            kept = most_frequent(corpus, options.vocab_top, threads=threads)
        documents = _documents(corpus, units, kept, threads) if options.sequential else None
        shared = _Shared(corpus, options, units, bootstrap, documents, kept, threads)
        if options.matrix_free:
            stream = None
            if workspace.gpus:
                stream = stream_pairs(
                    corpus.tokens, corpus.vocab_size, units.documents, workspace.gpus.devices[0],
                    across=options.boundary == "stream",
                )  # fmt: skip
            for lag in lags:
                yield _measured(_LagMeasurer(shared, lag, stream=stream))
            return
        with contextlib.ExitStack() as stack:
            streams = [corpus.tokens]
            if options.sequential:
                shuffled = stack.enter_context(
                    workspace.array(corpus.n_tokens, corpus.tokens.dtype)
                )
                streams.append(shuffled_inside_documents(corpus, units, options.seed, shuffled))
            for counts in zip(*_counted(corpus, units, lags, streams, workspace), strict=True):
                yield _measured(_LagMeasurer(shared, counts[0].lag, *counts))
                del counts
                workspace.trim_heap()
    except IndexError as error:
        raise InputError(f"{corpus.path}: {error}; check --dtype and --vocab-size") from error


def _measured(measurer: _LagMeasurer) -> LagMeasurement:
    # Threads of the linear algebra wait for its next small product in a loop, on the cores that our
    # own threads need.
    with threadpool_limits(1):
        return measurer.measure()


def _counted(
    corpus: Corpus,
    units: Units,
    lags: Sequence[int],
    streams: Sequence[Tokens],
    workspace: Workspace,
) -> list[Iterator[PairCounts]]:
    """Pairs of each stream, lag by lag, within the room that is left."""
    room = workspace.room()
    if room is not None and not pair_tables_fit(corpus.vocab_size):
        room //= len(streams)  # each holds an index of its own; tables take turns in one memory
    memory = PairBuffer()
    return [
        count_pairs(
            tokens,
            corpus.vocab_size,
            units.documents,
            lags,
            threads=workspace.threads,
            memory_limit=room,
            buffer=memory,
            backend=workspace.gpus,
        )
        for tokens in streams
    ]


def most_frequent(corpus: Corpus, top: int, *, threads: int = 1) -> NDArray[np.bool_]:
    """The `top` most frequent types as a mask, (V,); of equally frequent ones the smaller ids."""
    counts = token_counts(corpus.tokens, corpus.vocab_size, threads=threads)
    kept = np.zeros(corpus.vocab_size, dtype=bool)
    kept[np.argsort(-counts, kind="stable")[:top]] = True
    return kept


@dataclass(frozen=True)
class _Sequential:
    """What is measured of the sequential covariance at one lag."""

    norm: float
    permutation_floor: float
    composition_norm: float
    replicates: Floats
    cross_fit: CrossFit


@dataclass(frozen=True)
class _Shared:
    """What all lags share."""

    corpus: Corpus
    options: CorrelationOptions
    units: Units
    bootstrap: DocumentBootstrap
    documents: _Documents | None
    kept: NDArray[np.bool_] | None
    threads: int


@dataclass(frozen=True)
class _Documents:
    """Tokens of the documents, (n_documents, V), and where to look for their composition's norm."""

    counts: CountMatrix
    composition_start: Floats


def _documents(
    corpus: Corpus, units: Units, kept: NDArray[np.bool_] | None, threads: int
) -> _Documents:
    counts = count_document_tokens(
        corpus.tokens, corpus.vocab_size, units.documents, threads=threads
    )
    return _Documents(counts, _composition_start(counts, units, kept, threads))


def _composition_operator(
    composition: Composition, kept: NDArray[np.bool_] | None, threads: int
) -> CovarianceOperator:
    """Covariance of pairs drawn from one document each, in whatever order."""
    marginal = composition.marginal()[:, None]
    return CovarianceOperator(
        len(marginal), [], marginal, marginal, composition, kept=kept, threads=threads
    )


def _composition_start(
    counts: CountMatrix, units: Units, kept: NDArray[np.bool_] | None, threads: int
) -> Floats:
    """Singular vectors of the composition of all pairs, near those of the pairs at any one lag."""
    lengths = (units.documents.content_ends - units.documents.content_starts).astype(np.float64)
    weights = np.divide(1.0, lengths - 1.0, out=np.zeros_like(lengths), where=lengths > 1)
    weights /= max(float(lengths[lengths > 1].sum()), 1.0)
    operator = _composition_operator(Composition(counts, weights, threads), kept, threads)
    return leading_singular_triplets(operator, 1, tolerance=1e-4).right


class _LagMeasurer:
    """The measurements at one lag; split into methods that share its counts."""

    def __init__(
        self,
        shared: _Shared,
        lag: int,
        counts: PairCounts | None = None,
        shuffled: PairCounts | None = None,
        stream: GpuPairStream | None = None,
    ) -> None:
        self.corpus, self.options, self.units = shared.corpus, shared.options, shared.units
        self.bootstrap, self.documents = shared.bootstrap, shared.documents
        self.threads, self.kept = shared.threads, shared.kept
        self.stream = shared.options.boundary == "stream"
        self.lag, self.counts, self._pairs = lag, counts, stream
        self.statistics = self._covariances(self.kept)
        self.shuffled = None
        if shuffled is not None:
            self.shuffled = PairStatistics(
                shuffled, across=False, threads=self.threads, kept=self.kept
            )

    def _covariances(self, kept: NDArray[np.bool_] | None) -> PairStatistics | StreamedPairs:
        if self.counts is None:
            return StreamedPairs(
                self.corpus,
                self.units,
                self.lag,
                across=self.stream,
                threads=self.threads,
                kept=kept,
                stream=self._pairs,
            )
        return PairStatistics(
            self.counts, across=self.stream, threads=self.threads, kept=kept, transpose=True
        )

    def measure(self) -> LagMeasurement:
        statistics = self.statistics
        if min(statistics.half_pairs) == 0:
            mend = "smaller --lags" if self.stream else "smaller --lags or --boundary stream"
            raise InputError(
                f"{self.corpus.path}: lag {statistics.lag}: no pairs of tokens that far apart in "
                f"one half of its documents; use {mend}"
            )
        full = leading_singular_triplets(
            statistics.covariance(),
            self.options.singular_values,
            tolerance=_NORM_TOLERANCE,
            verified=True,
        )
        u, v = full.left[:, 0], full.right[:, 0]
        floor = leading_singular_triplets(
            statistics.half_difference(), 1, value_tolerance=_FLOOR_TOLERANCE
        )
        sequential = self._sequential(full.right)
        p, q = statistics.marginals()
        if self.kept is not None:
            p, q = p[self.kept], q[self.kept]
        position, position_floor = position_norm(
            self.corpus, self.units, statistics.lag, kept=self.kept, threads=self.threads
        )
        # Both vectors of a pair may be turned round: the largest entry to the left is positive.
        c = min(_LOADED, full.left.shape[1])
        largest = np.abs(full.left[:, :c]).argmax(axis=0)
        signs = np.where(full.left[largest, np.arange(c)] < 0, -1.0, 1.0)
        return LagMeasurement(
            lag=statistics.lag,
            left=TopTokens.of(full.left, signs),
            right=TopTokens.of(full.right, signs),
            pairs=statistics.pairs,
            norm=float(full.values[0]),
            residual=full.residual,
            singular_values=full.values,
            frobenius=statistics.frobenius() if self.kept is None else float("nan"),
            cross_fit=self._cross_fit(full.right),
            noise_floor=float(floor.values[0]),
            permutation_floor=sequential.permutation_floor,
            analytic_floor=noise_edge(p, q) / float(np.sqrt(statistics.pairs)),
            norm_sequential=sequential.norm,
            cross_fit_sequential=sequential.cross_fit,
            composition_norm=sequential.composition_norm,
            position_norm=position,
            position_floor=position_floor,
            full_norm=self._full_norm(full.right),
            separator_share=self._separator_share(),
            replicates=self._replicates(u, v),
            sequential_replicates=sequential.replicates,
        )

    def _full_norm(self, start: Floats) -> float:
        """Norm over all types, where they are restricted."""
        if self.kept is None:
            return float("nan")
        everything = self._covariances(None)
        found = leading_singular_triplets(
            everything.covariance(), 1, tolerance=_NORM_TOLERANCE, start=start
        )
        return float(found.values[0])

    def _cross_fit(self, start: Floats) -> CrossFit:
        halves = [
            leading_singular_triplets(
                self.statistics.covariance(half), 1, tolerance=1e-5, start=start
            )
            for half in (0, 1)
        ]
        return cross_fit(
            self.corpus,
            self.units,
            self.statistics.lag,
            np.stack([half.left[:, 0] for half in halves]),
            np.stack([half.right[:, 0] for half in halves]),
            stream=self.stream,
            kept=self.kept,
            threads=self.threads,
        )

    def _replicates(self, u: Floats, v: Floats) -> Floats:
        """u^T C* v over resampled documents: the norm to first order, vectors held fixed."""
        sums = np.stack(self._document_sums(u, v, across=self.stream), axis=1)
        pairs, product, left, right = self.bootstrap.sums(sums).T
        with np.errstate(invalid="ignore", divide="ignore"):
            replicates: Floats = product / pairs - (left / pairs) * (right / pairs)
        return replicates

    def _document_sums(self, u: Floats, v: Floats, *, across: bool) -> tuple[NDArray[Any], ...]:
        return sum_pairs_by_document(
            self.corpus.tokens,
            self.corpus.vocab_size,
            self.statistics.lag,
            u,
            v,
            self.units.documents,
            across=across,
            threads=self.threads,
        )

    def _sequential(self, start: Floats) -> _Sequential:
        """The sequential covariance, docs/theory.md 4: its norm, replicates, cross-fit, composition."""
        spans, lag = self.units.documents, self.statistics.lag
        lengths = (spans.content_ends - spans.content_starts).astype(np.float64)
        pairs = np.maximum(lengths - lag, 0.0)
        per_pair = np.divide(
            pairs, lengths * (lengths - 1.0), out=np.zeros_like(pairs), where=pairs > 0
        )
        documents, shuffled_pairs, statistics = self.documents, self.shuffled, self.statistics
        if (
            documents is None
            or shuffled_pairs is None
            or isinstance(statistics, StreamedPairs)
            or min(statistics.within_half_pairs) == 0
        ):
            nothing = float("nan")
            return _Sequential(
                nothing,
                nothing,
                nothing,
                np.full(self.options.replicates, nothing),
                CrossFit(),
            )

        def composition(half: int | None = None) -> Composition:
            kept = True if half is None else spans.halves == half
            total = statistics.within_pairs
            if half is not None:
                total = statistics.within_half_pairs[half]
            weights = np.where(kept, per_pair, 0.0) / total
            return Composition(documents.counts, weights, self.threads)

        whole = composition()
        found = leading_singular_triplets(
            statistics.sequential(whole), 1, tolerance=1e-5, start=start
        )
        halves = [
            leading_singular_triplets(
                statistics.sequential(composition(half), half),
                1,
                tolerance=1e-5,
                start=found.right,
            )
            for half in (0, 1)
        ]
        fit = cross_fit(
            self.corpus,
            self.units,
            lag,
            np.stack([half.left[:, 0] for half in halves]),
            np.stack([half.right[:, 0] for half in halves]),
            stream=False,
            kept=self.kept,
            shuffled=ShuffledPairs(documents.counts, per_pair, spans.folds, self.threads),
            threads=self.threads,
        )
        alone = leading_singular_triplets(
            _composition_operator(whole, self.kept, self.threads),
            1,
            tolerance=1e-4,
            start=documents.composition_start,
        )
        u, v = found.left[:, 0], found.right[:, 0]
        product = self._document_sums(u, v, across=False)[1]
        projected = documents.counts.multiply(as_block(u, v, u * v), 1.0, 0.0, self.threads)
        shuffled = per_pair * (projected[:, 0] * projected[:, 1] - projected[:, 2])
        sums = self.bootstrap.sums(np.stack([product - shuffled, pairs], axis=1))
        with np.errstate(invalid="ignore", divide="ignore"):
            replicates = sums[:, 0] / sums[:, 1]
        floor = permutation_floor(shuffled_pairs, whole)
        return _Sequential(float(found.values[0]), floor, float(alone.values[0]), replicates, fit)

    def _separator_share(self) -> float:
        """Share of the counted pairs that touch a separator."""
        if not self.stream:
            return 0.0
        tokens, lag = self.corpus.tokens, self.statistics.lag
        at = separator_positions(self.corpus)
        as_left = at[at + lag < len(tokens)]
        as_right = at[at >= lag]
        both = int(np.count_nonzero(take(tokens, as_left + lag) == self.corpus.separator))
        return (len(as_left) + len(as_right) - both) / max(len(tokens) - lag, 1)
