"""The rounds of C(t): counts, singular vectors, and two passes over the tokens of all shards.

=========  =================================  ====================================================
round      on the machine of a shard          on one machine, for every lag
=========  =================================  ====================================================
count      pairs, tokens of documents         adds them up, finds the singular vectors
sums 1     sums by document and by fold       joins them, makes the vectors of the folds
sums 2     third moments of the folds         adds them up: norms, errors, shares of documents
=========  =================================  ====================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ngramstat.corpus import Corpus
from ngramstat.covariance.assembly import assemble_correlations
from ngramstat.covariance.cross_fit import CrossFitting
from ngramstat.covariance.fold_passes import FoldForms
from ngramstat.covariance.lag_sums import LagSums, LagVectors, TokenPasses
from ngramstat.covariance.measurement import LagMeasurement, LagMeasurer, SolvedLag, require_pairs
from ngramstat.covariance.periodicity import PeriodSample, find_periods
from ngramstat.covariance.sequential import DocumentComposition
from ngramstat.covariance.shuffling import SHUFFLED_LAGS, shuffled_inside_documents
from ngramstat.kernels import CountMatrix, PairCounts, count_document_tokens, count_pairs
from ngramstat.results import CorrelationResult
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.sharding.count_files import StoredCounts, StoredPairs
from ngramstat.sharding.files import RoundFiles
from ngramstat.sharding.layout import Layout

__all__ = ["LagRounds", "ShardPasses"]


@dataclass(frozen=True)
class FoldVectors:
    """What the second pass multiplies the pairs of the folds by; see `CrossFitting`.

    Attributes
    ----------
    lag : int
    weighted : (2, n_kinds, 2, V, BLOCK_SIZE) float32
    """

    lag: int
    weighted: NDArray[np.float32]


class ShardPasses:
    """The rounds of one shard, on the machine that holds it.

    Parameters
    ----------
    layout : Layout
    files : RoundFiles
    number : int
        Of the shard, from 0.
    corpus : Corpus
    workspace : Workspace
    """

    def __init__(
        self, layout: Layout, files: RoundFiles, number: int, corpus: Corpus, workspace: Workspace
    ) -> None:
        self._layout, self._files, self._number = layout, files, number
        self._corpus, self._workspace = corpus, workspace
        self._options = layout.plan.correlations

    @contextmanager
    def _design(self) -> Iterator[SamplingDesign]:
        with (
            self._corpus.naming_large_ids(),
            self._layout.shard_design(self._number, self._corpus, self._workspace) as design,
        ):
            yield design

    def count(self) -> None:
        """Pairs at all lags; with the sequential covariance, tokens of documents and its null."""
        if not self._files.has("sample", self._number):
            first = int(self._layout.first_tokens[self._number])
            sample = PeriodSample.of_part(self._corpus.tokens, first, self._layout.n_tokens)
            self._files.save(sample, "sample", self._number)
        with self._design() as design:
            self._count_pairs(design)
            if self._options.sequential:
                self._count_documents(design)

    def _count_pairs(self, design: SamplingDesign) -> None:
        missing = [
            lag for lag in self._options.lags if not self._files.has("pairs", lag, self._number)
        ]
        assert design.place is not None
        counted = count_pairs(
            design.corpus.tokens,
            design.corpus.vocab_size,
            design.documents,
            missing,
            threads=self._workspace.threads,
            memory_limit=self._workspace.memory_budget(),
            following=design.place.following,
        )
        for counts in counted:
            self._files.save(StoredPairs.of(counts), "pairs", counts.lag, self._number)
            del counts

    def _count_documents(self, design: SamplingDesign) -> None:
        corpus, workspace = design.corpus, self._workspace
        if not self._files.has("documents", self._number):
            counts = count_document_tokens(
                corpus.tokens, corpus.vocab_size, design.documents, threads=workspace.threads
            )
            self._files.save(StoredCounts.of(counts), "documents", self._number)
            del counts
        missing = [
            lag for lag in SHUFFLED_LAGS if not self._files.has("shuffled", lag, self._number)
        ]
        if not missing:
            return
        with workspace.temporary_array(corpus.n_tokens, corpus.tokens.dtype) as shuffled:
            tokens = shuffled_inside_documents(design, shuffled, threads=workspace.threads)
            for pairs in count_pairs(
                tokens,
                corpus.vocab_size,
                design.documents,
                missing,
                threads=workspace.threads,
                memory_limit=workspace.memory_budget(),
            ):
                self._files.save(StoredPairs.of(pairs), "shuffled", pairs.lag, self._number)

    def first_sums(self) -> None:
        """The first pass at all lags, with the singular vectors of all shards."""
        with self._design() as design:
            passes = self._passes(design)
            for lag in self._options.lags:
                if not self._files.has("sums", lag, self._number):
                    vectors = self._files.load(LagVectors, "vectors", lag)
                    self._files.save(passes.first(vectors), "sums", lag, self._number)

    def second_sums(self) -> None:
        """The second pass at all lags, with the vectors of the folds of all shards."""
        with self._design() as design:
            passes = self._passes(design)
            for lag in self._options.lags:
                if not self._files.has("forms", lag, self._number):
                    folds = self._files.load(FoldVectors, "folds", lag)
                    sums = self._files.load(LagSums, "sums", lag, self._number)
                    forms = passes.second(lag, folds.weighted, sums)
                    self._files.save(forms, "forms", lag, self._number)

    def _passes(self, design: SamplingDesign) -> TokenPasses:
        counts = None
        if self._options.sequential:
            counts = self._files.load(StoredCounts, "documents", self._number).matrix()
        return TokenPasses(design, counts, self._workspace.threads)


class LagRounds:
    """What one machine does between the rounds of the shards.

    Every step takes one lag, so that several machines may share the lags.

    Parameters
    ----------
    layout : Layout
    files : RoundFiles
    workspace : Workspace
    """

    def __init__(self, layout: Layout, files: RoundFiles, workspace: Workspace) -> None:
        self._layout, self._files, self._workspace = layout, files, workspace
        self._options = layout.plan.correlations
        self._numbers = range(layout.plan.shards)

    @cached_property
    def _design(self) -> SamplingDesign:
        design = self._layout.whole_design()
        require_pairs(design, self._options.lags)
        return design

    @cached_property
    def _measurer(self) -> LagMeasurer:
        composition = None
        if self._options.sequential:
            composition = DocumentComposition.of_counts(
                self._design, self._document_counts(), None, self._workspace.threads
            )
        measurer = LagMeasurer(
            self._design, self._options, None, self._workspace.threads, composition
        )
        if composition is not None:
            measurer.measure_null(self._pairs("shuffled", lag) for lag in SHUFFLED_LAGS)
        return measurer

    def _document_counts(self) -> CountMatrix:
        """Tokens of the documents of all shards."""
        parts = [self._files.load(StoredCounts, "documents", k) for k in self._numbers]
        starts = [part.row_start for part in parts]
        before = np.cumsum([0, *(int(start[-1]) for start in starts)])
        return StoredCounts(
            parts[0].n_columns,
            np.concatenate(
                [np.zeros(1, np.int64), *(s[1:] + b for s, b in zip(starts, before, strict=False))]
            ),
            np.concatenate([part.column for part in parts]),
            np.concatenate([part.first for part in parts]),
            np.concatenate([part.second for part in parts]),
        ).matrix()

    def _pairs(self, kind: str, lag: int) -> PairCounts:
        parts = (self._files.load(StoredPairs, kind, lag, k) for k in self._numbers)
        return StoredPairs.sum_of(parts, threads=self._workspace.threads)

    def solve(self, lag: int) -> None:
        """From the counts of all shards to the singular vectors that go out to them."""
        if self._files.has("vectors", lag):
            return
        solved = self._measurer.solve(lag, self._pairs("pairs", lag))
        self._files.save(solved, "solved", lag)
        self._files.save(solved.vectors, "vectors", lag)

    def make_fold_vectors(self, lag: int) -> None:
        """From the first sums of all shards to the vectors of the second pass."""
        if self._files.has("folds", lag):
            return
        solved = self._files.load(SolvedLag, "solved", lag)
        with threadpool_limits(1):
            fitting = CrossFitting(self._sums(lag).products, solved.vectors.halves)
        self._files.save(FoldVectors(lag, fitting.weighted), "folds", lag)

    def measurement(self, lag: int) -> LagMeasurement:
        """From the sums of all shards to everything at one lag."""
        solved = self._files.load(SolvedLag, "solved", lag)
        sums = self._sums(lag)
        forms = [self._files.load(FoldForms, "forms", lag, k) for k in self._numbers]
        with threadpool_limits(1):
            fitting = CrossFitting(sums.products, solved.vectors.halves)
            fits = fitting.fits(FoldForms.sum_of(forms))
            measured = solved.measured(self._design, sums, fits, None)
        original = self._layout.original
        return replace(
            measured,
            left=measured.left.of_ids(original),
            right=measured.right.of_ids(original),
        )

    def _sums(self, lag: int) -> LagSums:
        return LagSums.joined([self._files.load(LagSums, "sums", lag, k) for k in self._numbers])

    def result(self) -> CorrelationResult:
        """C(t) at all lags, and beta."""
        samples = [self._files.load(PeriodSample, "sample", k) for k in self._numbers]
        corpus = self._layout.whole_corpus()
        periodic = find_periods(corpus, PeriodSample.joined(samples))
        design = replace(self._layout.whole_design(), corpus=corpus)
        measured = [self.measurement(lag) for lag in self._options.lags]
        return assemble_correlations(design, self._options, measured, periodic)
