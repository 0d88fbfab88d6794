"""The stage of C(t): every lag is a part."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ngramstat.covariance.measurement import (
    LagMeasurement,
    measure_lags,
    measuring_bytes,
    require_pairs,
)
from ngramstat.covariance.options import CorrelationOptions
from ngramstat.covariance.shuffling import SHUFFLED_LAGS
from ngramstat.kernels import (
    BLOCK_SIZE,
    SINGLE_BLOCK_SIZE,
    CountMatrix,
    PairCounts,
    PairLabel,
    PairMemory,
    PairsAtLag,
    bilinear_forms_by_class,
    count_document_tokens,
    count_pairs,
    multiply_pairs,
    multiply_pairs_by_class,
    pair_bytes,
)
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.stages.sample import CorpusSample, head
from ngramstat.stages.stage import Cost, Part, ProgressBar, Stage

__all__ = ["LagStage"]

# Work at one lag, nearly independent of the corpus: products with its pairs in single precision,
# each of sixteen vectors, and in double, one way and the other; passes over the documents'
# composition; passes over the tokens beside counting, as wide as those for the first moments of the
# cross-fits (sums by document, by position, first moments) and for the third.
_PRODUCTS, _DOUBLE_PRODUCTS, _COMPOSITION_PRODUCTS, _TOKEN_PASSES = 7, 2, 7, 3
# Products at a lag of the shuffled copy.
_NULL_PRODUCTS = 4
# Products of eight vectors each way without counts.
_MATRIX_FREE_PRODUCTS = 30
# Stacks and buffers of threads and code that is run for the first time, about, in the first stage.
_THREADS_BYTES = 8 << 20
# Blocks of vectors of a Krylov space and copies of a product.
_KRYLOV_BLOCKS = 40
# Copies of a block that a matrix-free product adds to, for small and for large vocabularies.
_SCRATCH_BLOCKS, _WIDE_SCRATCH_BLOCKS, _WIDE_VOCABULARY = 16, 4, 1 << 16


class LagStage(Stage[LagMeasurement]):
    """Counts and measures C(t), one lag after the other."""

    name = "C(t)"
    kind = "lag"
    version = 4
    unit = "lags"
    value = LagMeasurement

    def __init__(self, design: SamplingDesign, options: CorrelationOptions) -> None:
        require_pairs(design, options.lags)  # now, not when the other lags are measured
        self._design, self._options = design, options

    def parts(self) -> list[Part]:
        """One part a lag."""
        shared = dataclasses.asdict(self._options)
        # A lag's measurement does not depend on which others there are, nor on what is fitted.
        for name in ("lags", "window", "level", "protocol"):
            del shared[name]
        return [Part({**shared, "lag": lag}, work=1) for lag in self._options.lags]

    def compute(
        self, parts: Sequence[Part], workspace: Workspace, bar: ProgressBar
    ) -> Iterator[LagMeasurement]:
        lags = [part.key["lag"] for part in parts]
        for measurement in measure_lags(self._design, self._options, lags, workspace=workspace):
            bar.advance()
            yield measurement

    def cost(self, sample: CorpusSample, workspace: Workspace) -> Cost:
        counted = _CountedSample.of(sample, self._options)
        if self._options.matrix_free:
            return self._cost_matrix_free(sample, workspace, counted)
        return self._cost_counted(sample, workspace, counted)

    def _cost_counted(
        self, sample: CorpusSample, workspace: Workspace, counted: _CountedSample
    ) -> Cost:
        options, n = self._options, sample.corpus.n_tokens
        token_bytes = sample.corpus.tokens.nbytes
        vocab_size = sample.occurring_items
        memory = PairMemory(n, vocab_size)
        disk = 0
        fixed: float = workspace.resident_without_pages + _THREADS_BYTES
        measuring = measuring_bytes(vocab_size)
        if options.sequential:
            # The shuffled copy, for the null.
            disk = token_bytes if workspace.uses_disk(token_bytes) else 0
            fixed += counted.composition_bytes + token_bytes - disk
        budget = max(workspace.usable_bytes - fixed, 1)
        positions = min(n, memory.positions_that_fit(budget))
        lags_at_once = memory.lags_that_fit(budget)
        matrix = counted.distinct_pairs * pair_bytes(vocab_size)
        per_position = memory.peak_position_bytes
        ranges, n_lags = math.ceil(n / max(positions, 1)), len(options.lags)
        counted_lags = n_lags + (len(SHUFFLED_LAGS) if options.sequential else 0)
        # The buffer of the pairs is kept, if there is room for it while a lag is measured.
        counting, held = per_position * positions, fixed + min(lags_at_once, n_lags) * matrix
        most = held + counting + measuring + token_bytes
        if most > workspace.usable_bytes:
            most = held + max(counting, measuring) + token_bytes
        least = fixed + matrix + measuring
        return Cost(
            self.name,
            passes=math.ceil(
                2
                + n_lags * (_TOKEN_PASSES + 1)
                + math.ceil(counted_lags / lags_at_once) * ranges * 2
            ),
            memory_bytes=workspace.expected_peak(most, least),
            least_memory_bytes=workspace.limit_to_hold(int(least)),
            disk_bytes=disk,
            seconds=counted.seconds(n_lags, sequential=options.sequential),
        )

    def _cost_matrix_free(
        self, sample: CorpusSample, workspace: Workspace, counted: _CountedSample
    ) -> Cost:
        vocab_size, n_lags = sample.occurring_items, len(self._options.lags)
        scratch = _SCRATCH_BLOCKS if vocab_size <= _WIDE_VOCABULARY else _WIDE_SCRATCH_BLOCKS
        fixed = workspace.resident_without_pages + _THREADS_BYTES + _krylov_bytes(sample)
        fixed += scratch * vocab_size * BLOCK_SIZE * 8
        products = 2 * _MATRIX_FREE_PRODUCTS
        return Cost(
            self.name,
            passes=math.ceil(n_lags * products),
            memory_bytes=workspace.expected_peak(fixed + sample.corpus.tokens.nbytes, fixed),
            least_memory_bytes=workspace.limit_to_hold(int(fixed)),
            disk_bytes=0,
            seconds=counted.seconds_of_matrix_free_product() * products * n_lags,
        )


def _krylov_bytes(sample: CorpusSample) -> int:
    return _KRYLOV_BLOCKS * sample.occurring_items * BLOCK_SIZE * 8


@dataclass(frozen=True)
class _CountedSample:
    """Pairs of the sample at a typical lag, and what they show of the corpus.

    Attributes
    ----------
    sample : CorpusSample
    lag : int
    counts : PairCounts
    documents : CountMatrix
        Tokens of each document of the sample.
    distinct_pairs : float
        Distinct pairs of the corpus at one lag.
    composition_bytes : float
        Of the token counts of all documents.
    """

    sample: CorpusSample
    lag: int
    counts: PairCounts
    documents: CountMatrix
    distinct_pairs: float
    composition_bytes: float

    @classmethod
    def of(cls, sample: CorpusSample, options: CorrelationOptions) -> _CountedSample:
        # Most lags have about as many distinct pairs; the sample's quarter has to hold some.
        quarter = max(sample.size // 4, 1)
        lag = min(options.lags[len(options.lags) // 2], max(quarter // 4, 1))
        design = sample.occurring
        counts = _count_pairs(design, lag, sample.threads)
        few = _count_pairs(head(design.corpus, quarter), lag, sample.threads)
        # Distinct pairs grow as a power of the tokens, up to all pairs of vocabulary items.
        power = min(math.log(max(_entries(counts), 1) / max(_entries(few), 1), 4), 1.0)
        documents = count_document_tokens(
            design.corpus.tokens,
            design.corpus.vocab_size,
            design.documents,
            threads=sample.threads,
        )
        n_documents = len(design.documents) * sample.growth
        return cls(
            sample,
            lag,
            counts,
            documents,
            min(
                _entries(counts) * sample.growth**power,
                float(sample.occurring_items) ** 2,
            ),
            documents.nbytes * sample.growth + 8 * n_documents,
        )

    def seconds(self, n_lags: int, *, sequential: bool) -> float:
        """Seconds of some lags of the whole corpus."""
        sample, design, threads = self.sample, self.sample.occurring, self.sample.threads
        vocab_size, within = design.corpus.vocab_size, self.counts.within
        assert isinstance(within, CountMatrix)
        ones = np.ones((1, 2, SINGLE_BLOCK_SIZE), np.float32)
        single = np.ones((1, vocab_size, SINGLE_BLOCK_SIZE), np.float32)
        double = np.ones((vocab_size, BLOCK_SIZE))
        product = sample.time(lambda: within.multiply_single(single, ones, threads))
        product += sample.time(lambda: within.multiply_transposed_single(single, ones, threads))
        exact = sample.time(lambda: within.multiply(double, 1.0, 1.0, threads))
        exact += sample.time(lambda: within.multiply_transposed(double, 1.0, 1.0, threads))
        rates, halves = np.ones(len(design.documents)), design.documents.halves
        composition = sample.growth * sample.time(
            lambda: self.documents.multiply_gram_single(single, ones, rates, halves, threads)
        )
        counting = sample.time(lambda: _count_pairs(design, self.lag, threads)) * sample.growth
        pairs = self.distinct_pairs / max(within.nnz, 1)
        seconds = pairs * (_PRODUCTS * product + _DOUBLE_PRODUCTS * exact)
        seconds = n_lags * (seconds + counting + self._seconds_of_token_passes() * sample.growth)
        if sequential:
            seconds += n_lags * _COMPOSITION_PRODUCTS * composition
            of_null = pairs * _NULL_PRODUCTS * product + 2 * _NULL_PRODUCTS * composition
            seconds += len(SHUFFLED_LAGS) * (of_null + counting)
        return seconds

    def _seconds_of_token_passes(self) -> float:
        """Those of one lag of the sample, beside counting."""
        sample, design = self.sample, self.sample.occurring
        corpus, documents, threads = design.corpus, design.documents, sample.threads
        pairs = PairsAtLag(corpus.tokens, corpus.vocab_size, self.lag)
        vectors = np.ones((2, 2, corpus.vocab_size))
        blocks = np.ones((2, 2, corpus.vocab_size, BLOCK_SIZE), np.float32)
        first = sample.time(
            lambda: multiply_pairs_by_class(
                pairs, vectors, vectors, documents, across=True, by=PairLabel.fold, threads=threads
            )
        )
        third = sample.time(
            lambda: bilinear_forms_by_class(
                pairs, blocks, blocks, documents, across=True, by=PairLabel.fold, threads=threads
            )
        )
        return _TOKEN_PASSES * first + third

    def seconds_of_matrix_free_product(self) -> float:
        """Seconds of one product of the whole corpus without counts."""
        design = self.sample.occurring
        vocab_size = design.corpus.vocab_size
        block, weights = np.ones((vocab_size, BLOCK_SIZE)), np.ones(2)
        seconds = self.sample.time(
            lambda: multiply_pairs(
                PairsAtLag(design.corpus.tokens, vocab_size, self.lag),
                block,
                weights,
                design.documents,
                across=True,
                by=PairLabel.half,
                threads=self.sample.threads,
            )
        )
        return seconds * self.sample.growth


def _count_pairs(design: SamplingDesign, lag: int, threads: int) -> PairCounts:
    corpus = design.corpus
    (counts,) = count_pairs(
        corpus.tokens, corpus.vocab_size, design.documents, [lag], threads=threads
    )
    return counts


def _entries(counts: PairCounts) -> int:
    return counts.within.nnz + counts.across.nnz
