"""The stage of C(t): every lag is a part."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ngramstat.covariance.measurement import (
    LagMeasurement,
    bytes_between_checks,
    measure_lags,
    measuring_bytes,
    require_pairs,
)
from ngramstat.covariance.options import CorrelationOptions
from ngramstat.covariance.shuffling import SHUFFLED_LAGS
from ngramstat.kernels import (
    BLOCK_SIZE,
    PairBuffer,
    PairCounts,
    PairLabel,
    PairMemory,
    PairsAtLag,
    count_document_tokens,
    count_pairs,
    multiply_pairs,
    pair_bytes,
)
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.stages.sample import CorpusSample, head
from ngramstat.stages.stage import Cost, Part, ProgressBar, Stage

__all__ = ["LagStage"]

# Seconds of a lag on one core (Xeon with AVX-512, 2026-11), by which processes share the parts of a
# run: of a token, and of a vocabulary item.
_PASSED_TOKEN, _MULTIPLIED_ITEM = 45e-9, 60e-6
# Passes over the tokens at one lag, beside counting.
_TOKEN_PASSES = 3
# Tokens at the beginning of the corpus on which lags are measured for the time, and the part of
# them that tells what grows with the tokens.
_TIMED_TOKENS, _TIMED_PART = 16_000_000, 4
# Lags counted for the time, of which the second half tells: two groups that are counted together.
_COUNTED_LAGS = 8
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
    version = 7
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
        corpus = self._design.corpus
        seconds = _PASSED_TOKEN * corpus.n_tokens + _MULTIPLIED_ITEM * corpus.vocab_size
        return [Part({**shared, "lag": lag}, 1, seconds) for lag in self._options.lags]

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
        free = workspace.usable_bytes - fixed
        pages = workspace.bytes_left_to_pages(int(free), bytes_between_checks(token_bytes))
        budget = max(free - pages, 1)
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
        fits = least <= workspace.usable_bytes
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
            seconds=self._seconds(workspace, counted.distinct_pairs)
            if fits and sample.timed
            else math.nan,
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

    def _seconds(self, workspace: Workspace, distinct_pairs: float) -> float:
        """Seconds of all lags, from measuring three of them on the beginning of the corpus.

        Searches of singular vectors take what they take. Of what a larger beginning takes more,
        about half grows with the tokens (passes) and half with their distinct pairs (products).
        """
        corpus, lags = self._design.corpus, self._options.lags
        n, middle = corpus.n_tokens, len(lags) // 2
        if n <= _TIMED_TOKENS:
            return self._timed(self._design, lags[middle : middle + 3], workspace).seconds
        part = _TIMED_TOKENS // _TIMED_PART
        lag = min(lags[middle], part // _TIMED_PART)
        # The smaller part comes second, when the code has run once.
        many, few = (
            self._timed(head(corpus, size), (lag, lag + 1, lag + 2), workspace)
            for size in (_TIMED_TOKENS, part)
        )
        growth = (n - _TIMED_TOKENS) / (_TIMED_TOKENS - part)
        more_pairs = max(distinct_pairs - many.distinct_pairs, 0)
        growth += more_pairs / max(many.distinct_pairs - few.distinct_pairs, 1)
        return many.seconds + max(many.seconds - few.seconds, 0.0) * growth / 2

    def _timed(
        self, design: SamplingDesign, lags: tuple[int, ...], workspace: Workspace
    ) -> _TimedLags:
        """What all lags of a design take, from measuring up to three of them."""
        options, n_lags = dataclasses.replace(self._options, lags=lags), len(self._options.lags)
        counting, distinct_pairs = _counting_seconds(design, workspace)
        times = [time.perf_counter()]
        measured = measure_lags(design, options, lags, workspace=workspace)
        times += [time.perf_counter() for _ in measured]
        first, *further = (float(step) for step in np.diff(times))
        if not further:
            return _TimedLags(n_lags * first, distinct_pairs)
        measuring = sum(further) / len(further)
        # Before the first lag come the composition of the documents and the null.
        once = max(first - measuring - len(lags) * counting, 0.0)
        return _TimedLags(once + n_lags * (counting + measuring), distinct_pairs)


@dataclass(frozen=True)
class _TimedLags:
    """What was seen of the lags of a corpus.

    Attributes
    ----------
    seconds : float
        Of all lags.
    distinct_pairs : int
        At one of them.
    """

    seconds: float
    distinct_pairs: int


def _counting_seconds(design: SamplingDesign, workspace: Workspace) -> tuple[float, int]:
    """Seconds of counting a lag, among others and in memory used before; and distinct pairs."""
    corpus, buffer = design.corpus, PairBuffer()
    times, distinct_pairs = [], 0
    for counts in count_pairs(
        corpus.tokens,
        corpus.vocab_size,
        design.documents,
        range(1, min(_COUNTED_LAGS, corpus.n_tokens - 1) + 1),
        threads=workspace.threads,
        memory_limit=workspace.memory_budget(),
        buffer=buffer,
    ):
        distinct_pairs = _entries(counts)
        times.append(time.perf_counter())
    half = max(len(times) // 2, 1)
    return (times[-1] - times[half - 1]) / half, distinct_pairs


def _krylov_bytes(sample: CorpusSample) -> int:
    return _KRYLOV_BLOCKS * sample.occurring_items * BLOCK_SIZE * 8


@dataclass(frozen=True)
class _CountedSample:
    """Pairs of the sample at a typical lag, and what they show of the corpus.

    Attributes
    ----------
    sample : CorpusSample
    lag : int
    distinct_pairs : float
        Distinct pairs of the corpus at one lag.
    composition_bytes : float
        Of the token counts of all documents.
    """

    sample: CorpusSample
    lag: int
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
            min(
                _entries(counts) * sample.growth**power,
                float(sample.occurring_items) ** 2,
            ),
            documents.nbytes * sample.growth + 8 * n_documents,
        )

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
