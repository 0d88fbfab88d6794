"""What a measurement will take before any of it is done: passes, memory, disk and time.

Memory follows from sizes and from a sample of the corpus (distinct pairs, distinct types of a
document); time from running the kernels on that sample for a few seconds. The forms are those of
the code that does the work; the constants were measured on it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ngramstat.corpus import Corpus
from ngramstat.covariance.measurement import CorrelationOptions
from ngramstat.entropy.assembly import EntropyOptions
from ngramstat.entropy.kneser_ney import held_out_size
from ngramstat.entropy.mixture import n_patterns, packed_logits_bytes
from ngramstat.errors import InputError
from ngramstat.kernels import (
    BLOCK_SIZE,
    Documents,
    KneserNey,
    PairLabel,
    bilinear_sums_by_class,
    count_document_tokens,
    count_ngrams,
    count_pairs,
    multiply_pairs,
    pair_bytes,
    pair_tables_fit,
    step_tokens,
    suffix_cost,
    token_counts,
)
from ngramstat.kernels.mixing import EVENT_BYTES
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.documents import Units, statistical_units

__all__ = ["Plan", "Stage", "make_plan", "require_room"]

_SAMPLE_TOKENS = 2_000_000
# Of one lag, nearly whatever the corpus: block products with its pairs one way and the other, with
# the documents' composition, and passes over the text beside counting (bilinear forms of both
# cross-fits, sums by document and by class of position).
_PRODUCTS, _TRANSPOSED, _GRAMS, _STREAMS = 58, 62, 36, 5
# What of these is left without the sequential covariance, and how many streams are counted.
_PLAIN_SHARE = 0.5
# Vectors of a Krylov space and copies of a product, of 8 bytes a lane.
_BLOCKS_OF_VECTORS = 40
# Bytes of a held-out token and order in a Kneser-Ney model.
_MODEL_BYTES = 150
# A training token of the mixture and pattern, against one of Kneser-Ney's sweep; and a turn and
# pattern, read and mixed for five contexts.
_PATTERN_SHARE = 0.1
_TURN_SHARE = 0.7


@dataclass(frozen=True)
class Stage:
    """One part of a measurement.

    Attributes
    ----------
    name : str
    passes : int
        Times that all of the text is read.
    memory_bytes : int
        Resident memory that it will come to, of the whole process, mapped text included.
    least_memory_bytes : int
        Limit below which it cannot work.
    disk_bytes : int
        Temporary files.
    seconds : float
        Expected; NaN where nothing was timed.
    """

    name: str
    passes: int
    memory_bytes: int
    least_memory_bytes: int
    disk_bytes: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """All stages of a measurement.

    Attributes
    ----------
    stages : tuple of Stage
    memory_limit_bytes : int
    threads : int
    """

    stages: tuple[Stage, ...]
    memory_limit_bytes: int
    threads: int

    @property
    def problems(self) -> list[str]:
        """What does not fit, with the number that would."""
        return [
            f"{stage.name} needs {_size(stage.least_memory_bytes)} of memory, the limit is "
            f"{_size(self.memory_limit_bytes)}"
            for stage in self.stages
            if stage.least_memory_bytes > self.memory_limit_bytes
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `ngramstat plan --json` prints them."""
        stages = [asdict(stage) for stage in self.stages]
        for stage in stages:
            stage["seconds"] = None if math.isnan(stage["seconds"]) else round(stage["seconds"], 1)
        return {
            "memory_limit_bytes": self.memory_limit_bytes,
            "threads": self.threads,
            "fits": not self.problems,
            "problems": self.problems,
            "memory_bytes": max((s.memory_bytes for s in self.stages), default=0),
            "disk_bytes": max((s.disk_bytes for s in self.stages), default=0),
            "seconds": _total(self.stages),
            "stages": stages,
        }


def _total(stages: tuple[Stage, ...]) -> float | None:
    seconds = sum(stage.seconds for stage in stages)
    return None if math.isnan(seconds) else round(seconds, 1)


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1_000_000_000 else f"{size / 1e6:.0f} MB"


def make_plan(
    corpus: Corpus,
    pairs: CorrelationOptions | None,
    entropies: EntropyOptions | None,
    workspace: Workspace,
    *,
    timed: bool = True,
) -> Plan:
    """Stages of a measurement with these options; None leaves that half out.

    `timed`: run kernels on a sample for the time, a few seconds.
    """
    limit = workspace.memory_limit
    assert limit is not None
    stages: list[Stage] = []
    try:
        sample = _Sample(corpus, workspace.threads, timed=timed)
        if pairs is not None:
            stages.append(_pair_stage(sample, pairs, workspace))
        if entropies is not None:
            stages += _entropy_stages(sample, entropies, workspace)
    except IndexError as error:
        raise InputError(f"{corpus.path}: {error}; check --dtype and --vocab-size") from error
    return Plan(tuple(stages), limit, workspace.threads)


def require_room(
    corpus: Corpus,
    pairs: CorrelationOptions | None,
    entropies: EntropyOptions | None,
    workspace: Workspace,
) -> None:
    """Refuses a measurement whose smallest steps do not fit the limit.

    Raises
    ------
    InputError
        With the stage and the number.
    """
    if workspace.memory_limit is None:
        return
    problems = make_plan(corpus, pairs, entropies, workspace, timed=False).problems
    if problems:
        raise InputError(
            f"{'; '.join(problems)}; raise --memory-limit, or see `ngramstat plan` for what takes "
            "it (--predictor kneser-ney, fewer --max-context and a smaller --held-out take less)"
        )


class _Sample:
    """A stretch of the corpus, what it shows of the whole, and how long the kernels take on it."""

    def __init__(self, corpus: Corpus, threads: int, *, timed: bool) -> None:
        self.corpus, self.threads, self.timed = corpus, threads, timed
        self.size = min(corpus.n_tokens, _SAMPLE_TOKENS)
        head = np.asarray(corpus.tokens[: self.size])
        self.occurrences = token_counts(head, corpus.vocab_size, threads=threads)
        self.part = self._first(self.size)
        self.units = statistical_units(self.part, boundary="stream", seed=0)
        self.growth = corpus.n_tokens / self.size
        self.text_bytes = corpus.tokens.nbytes

    def _first(self, size: int) -> Corpus:
        corpus = self.corpus
        ends = None
        if corpus.document_ends is not None:
            ends = np.asarray(corpus.document_ends[: np.searchsorted(corpus.document_ends, size)])
            if not len(ends) or ends[-1] != size:
                ends = np.append(ends, size)
        return Corpus.from_arrays(
            np.asarray(corpus.tokens[:size]),
            vocab_size=corpus.vocab_size,
            document_ends=ends,
            separator=corpus.separator,
        )

    def most_frequent(self, count: int) -> int:
        """Occurrences in the whole corpus of its `count` most frequent tokens together."""
        return int(np.sort(self.occurrences)[-count:].sum() * self.growth)

    def time(self, work: Callable[[], Any]) -> float:
        """Seconds of a call, the shorter of two; NaN if nothing is to be timed."""
        if not self.timed:
            return math.nan
        found = math.inf
        for _ in range(2):
            started = time.perf_counter()
            work()
            found = min(found, time.perf_counter() - started)
        return found

    def pairs(self, corpus: Corpus, units: Units, lag: int) -> Any:
        (found,) = count_pairs(
            corpus.tokens, corpus.vocab_size, units.documents, [lag], threads=self.threads
        )
        return found


def _typical_lag(options: CorrelationOptions, size: int) -> int:
    """A lag among those asked for: most have about as many distinct pairs."""
    return min(options.lags[len(options.lags) // 2], max(size // 4, 1))


def _pair_stage(sample: _Sample, options: CorrelationOptions, workspace: Workspace) -> Stage:
    n = sample.corpus.n_tokens
    size, v = sample.size, sample.corpus.vocab_size
    lag = _typical_lag(options, size // 4)
    counts = sample.pairs(sample.part, sample.units, lag)
    entries = counts.within.nnz + counts.across.nnz
    small = sample._first(max(size // 4, 1))
    few = sample.pairs(small, statistical_units(small, boundary="stream", seed=0), lag)
    # Distinct pairs grow as a power of the text, and no further than all pairs of types.
    power = min(math.log(max(entries, 1) / max(few.within.nnz + few.across.nnz, 1), 4), 1.0)
    distinct = min(entries * sample.growth**power, float(v) ** 2)
    documents = count_document_tokens(
        sample.part.tokens, v, sample.units.documents, threads=sample.threads
    )
    n_documents = len(sample.units.documents) * sample.growth
    composition = documents.nbytes * sample.growth + 8 * n_documents
    matrix = distinct * pair_bytes(v)
    vectors = _BLOCKS_OF_VECTORS * v * BLOCK_SIZE * 8
    per_position = 8 if pair_tables_fit(v) else 12
    streams = 2 if options.sequential else 1
    shares = 1 if pair_tables_fit(v) else streams
    disk, fixed = 0, 0.0
    if options.sequential:
        disk = _on_disk(sample.text_bytes, workspace)
        fixed = composition + sample.text_bytes - disk
    fixed += workspace.resident_now + vectors
    room = workspace.usable - fixed
    # As in `count_pairs`: half of the room for entries or an index, a quarter for counts.
    held = min(n, max(room / 2 / shares / per_position, sample.most_frequent(1)))
    ranges = math.ceil(n / max(held, 1))
    group = max(1, min(4, int(room / 4 / shares / max(min(n, v * v) * pair_bytes(v), 1))))
    flexible = shares * per_position * held + streams * group * matrix
    least = fixed + shares * per_position * sample.most_frequent(1) + streams * matrix
    n_lags = len(options.lags)
    if options.matrix_free:
        fixed += (16 if v <= 1 << 16 else 4) * v * BLOCK_SIZE * 8
        stream = _stream_seconds(sample, lag) * (_PRODUCTS + _TRANSPOSED) * _PLAIN_SHARE
        return Stage(
            "C(t)",
            math.ceil(n_lags * (_PRODUCTS + _TRANSPOSED) * _PLAIN_SHARE),
            int(min(fixed + sample.text_bytes, workspace.usable)),
            workspace.limit_for(int(fixed)),
            0,
            stream * n_lags,
        )
    per_lag = _STREAMS if options.sequential else _STREAMS * _PLAIN_SHARE
    passes = math.ceil(2 + n_lags * per_lag + math.ceil(n_lags / group) * ranges * 2 * streams)
    return Stage(
        "C(t)",
        passes,
        int(min(fixed + flexible + streams * sample.text_bytes, workspace.usable)),
        workspace.limit_for(int(least)),
        disk,
        _pair_seconds(sample, counts, documents, distinct, lag, options.sequential) * n_lags,
    )


def _stream_seconds(sample: _Sample, lag: int) -> float:
    """Seconds of one product of the whole corpus without a table."""
    v = sample.corpus.vocab_size
    block, weights = np.ones((v, BLOCK_SIZE)), np.ones(2)
    one = sample.time(
        lambda: multiply_pairs(
            sample.part.tokens,
            v,
            lag,
            block,
            weights,
            sample.units.documents,
            across=True,
            by=PairLabel.half,
            threads=sample.threads,
        )
    )
    return one * sample.growth


def _pair_seconds(
    sample: _Sample, counts: Any, documents: Any, distinct: float, lag: int, sequential: bool
) -> float:
    """Seconds of one lag of the whole corpus."""
    v, threads = sample.corpus.vocab_size, sample.threads
    block = np.ones((v, BLOCK_SIZE))
    short = np.ones((1, v, BLOCK_SIZE), np.float32)
    entries = max(counts.within.nnz, 1)
    ways = (
        (_PRODUCTS, lambda: counts.within.multiply(block, 1.0, 1.0, threads)),
        (_TRANSPOSED, lambda: counts.within.multiply_transposed(block, 1.0, 1.0, threads)),
    )
    per_entry = sum(times * sample.time(work) for times, work in ways) / entries
    weights = np.ones(len(sample.units.documents))
    gram = sample.time(lambda: documents.multiply_gram(block, weights, threads))
    one_document = Documents.single(sample.size)
    stream = sample.time(
        lambda: bilinear_sums_by_class(
            sample.part.tokens,
            v,
            lag,
            short,
            short,
            one_document,
            across=True,
            by=PairLabel.half,
            threads=threads,
        )
    )
    counting = sample.time(lambda: sample.pairs(sample.part, sample.units, lag))
    twice = _STREAMS / 2 * stream + 2 * counting
    seconds = per_entry * distinct + twice * sample.growth
    if not sequential:
        return float(seconds * _PLAIN_SHARE)
    return float(seconds + _GRAMS * gram * sample.growth)


def _entropy_stages(
    sample: _Sample, options: EntropyOptions, workspace: Workspace
) -> Iterator[Stage]:
    corpus, n, v = sample.corpus, sample.corpus.n_tokens, sample.corpus.vocab_size
    threads, depth = workspace.threads, options.max_context + 1
    base = workspace.resident_now
    part = np.asarray(sample.part.tokens)

    def sweep(name: str, size: int, fixed: float, counting: bool, seconds: float) -> Stage:
        """A pass over sorted suffixes in steps that fit."""
        cost = suffix_cost(n, v, depth, counting_ngrams=counting)
        entry, block = cost.entry_bytes, cost.block_bytes
        text = min(sample.text_bytes, workspace.usable // 3) if cost.reads_text else 0
        room = workspace.usable - base - fixed - text
        most = sample.most_frequent(threads) * block
        fits = max((room - most) / entry, room / (entry + block), sample.most_frequent(1))
        held = min(step_tokens(size, threads), fits, size)
        largest = min(most, held * block)
        disk = 0 if counting else _on_disk(sample.text_bytes, workspace)
        used = base + fixed + largest + entry * held
        return Stage(
            name,
            2 * math.ceil(size / max(held, 1)),
            int(min(used + sample.text_bytes, workspace.usable)),
            workspace.limit_for(int(base + fixed + (entry + block) * sample.most_frequent(1))),
            disk,
            seconds,
        )

    n_units = len(sample.units.documents) * sample.growth
    counting = sample.time(
        lambda: count_ngrams(part, v, max_context=options.max_context, threads=threads)
    )
    yield sweep("H(n) counts", n, 40 * n_units, True, counting * sample.growth)

    held_out = held_out_size(corpus, options.held_out)
    model_bytes = _MODEL_BYTES * depth * held_out

    def kneser_ney() -> None:
        few = part[: max(len(part) // 100, 1)]
        model = KneserNey(few, np.zeros(len(few), np.int32), v, order=depth)
        model.train(part, threads=threads)

    per_run = sample.time(kneser_ney) * sample.growth
    yield sweep("H(n) held out", n, model_bytes, False, per_run)
    curve = sum((1, 2, 2, 4)[min(h, 3)] * 0.5**h for h in range(1, options.learning_sizes))
    if curve:
        yield sweep("H(n) learning", n // 2, model_bytes, False, per_run * curve)
    if options.predictor == "mixture" and options.max_context > 0 and v > 1:
        tuning = int(min(max(0.02 * n, min(5e4, 0.1 * n)), 1e6))
        used = n_patterns(options.max_context, v)
        one_tree = packed_logits_bytes(min(tuning + held_out, 2_000_000), v, used)
        disk = 2 * _on_disk(sample.text_bytes, workspace)
        texts = 2 * sample.text_bytes - disk
        events = EVENT_BYTES * min(1 << 27, n)
        fixed = base + texts
        trees = 3 if 3 * one_tree <= 0.75 * (workspace.usable - fixed) else 1
        turns = (tuning + held_out) * math.log2(v)
        work = _PATTERN_SHARE * n * (3 if trees == 1 else 1) + _TURN_SHARE * 3 * turns
        seconds = per_run / max(n, 1) * used * work
        yield Stage(
            "H(n) mixture",
            used * (3 if trees == 1 else 1),
            int(min(fixed + trees * one_tree + events + sample.text_bytes, workspace.usable)),
            workspace.limit_for(int(fixed + one_tree / 0.75)),
            disk,
            seconds,
        )


def _on_disk(size: int, workspace: Workspace) -> int:
    return size if workspace.goes_to_disk(size) else 0
