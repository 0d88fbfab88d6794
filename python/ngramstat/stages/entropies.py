"""The stages of H(n): counts, held-out losses with the learning curve, and the mixture."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from ngramstat.entropy.kneser_ney import HeldOutLosses
from ngramstat.entropy.learning_curves import (
    LearningPoint,
    Subset,
    batches,
    learning_point,
    nested_subsets,
    subset_losses,
    whole,
)
from ngramstat.entropy.ngrams import count_design_ngrams
from ngramstat.entropy.options import EntropyOptions
from ngramstat.kernels import (
    LEAST_STEP,
    Documents,
    KneserNey,
    ModelSizes,
    NgramStatistics,
    SuffixCost,
    blocks_at_once,
    count_ngrams,
    models_in_budget,
    positions_that_fit,
    step_tokens,
    suffix_cost,
)
from ngramstat.kernels.tokens import token_ranges
from ngramstat.ngram_models.mixture import (
    MixtureLosses,
    expected_depth,
    mixture_cost,
    mixture_losses,
    n_patterns,
    tuning_split,
    tuning_tokens,
)
from ngramstat.ngram_models.mixture.tuning_slice import MAX_SCORED
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.sampling.split import HeldOutSplit
from ngramstat.stages.cache import corpus_identity
from ngramstat.stages.divisions import (
    FractionBar,
    MixtureTrees,
    NgramRanges,
    TrainingRanges,
    mixture_streams,
)
from ngramstat.stages.sample import CorpusSample
from ngramstat.stages.stage import Cost, Part, ProgressBar, Stage

__all__ = ["HeldOutStage", "MixtureStage", "NgramStage"]

Value = TypeVar("Value")

# Seconds on one core (Xeon with AVX-512, 2026-11), by which processes share the parts of a run: of
# a token and order whose n-grams are counted, of a training token that a pattern of the mixture
# counts, and of a token that is scored with a pattern.
_SORTED_TOKEN, _COUNTED_TOKEN, _MIXED_TOKEN = 33e-9, 50e-9, 2e-6
# A training token of the mixture and pattern, relative to one of Kneser-Ney's sweep; and a binary
# decision and pattern, read and mixed for five contexts.
_PATTERN_WORK = 0.22
_DECISION_WORK = 0.55
# Bytes of a document in the counts by document.
_DOCUMENT_BYTES = 40
# Bytes of what the mixture alone loads and keeps, and of a vocabulary item in the trees and while
# they grow, about.
_MIXTURE_BYTES, _TREES_ITEM_BYTES = 20 << 20, 120
# Held-out tokens of the sample whose n-grams are indexed for the memory of all.
_INDEXED = 200_000
_SIZES = ("index", "model", "scoring")
# Steps of the sample that are timed, at most.
_TIMED_STEPS = 8
# Held-out tokens that a trial model is made for, as a fraction of the sample it is trained on.
_TRIAL_HELD_OUT = 0.01


class _EntropyStage(Stage[Value]):
    """What the stages of H(n) share."""

    def __init__(self, design: SamplingDesign, options: EntropyOptions) -> None:
        self._design, self._options = design, options

    @property
    def _split(self) -> HeldOutSplit:
        return self._design.held_out_split(self._options.held_out)

    @property
    def _training_tokens(self) -> int:
        training = self._split.training
        return int((training.ends - training.starts).sum())

    def _split_key(self) -> dict[str, Any]:
        """What the losses on the held-out documents depend on."""
        options = self._options
        held_out: Any = options.held_out
        if isinstance(held_out, str):
            held_out = corpus_identity(self._design.held_out_corpus(held_out))
        return {
            "max_context": options.max_context,
            "boundary": options.boundary,
            "held_out": held_out,
            "seed": options.seed,
        }

    @property
    def _order(self) -> int:
        return self._options.max_context + 1

    def _held_out_tokens(self, sample: CorpusSample) -> int:
        return self._design.held_out_tokens(self._options.held_out, sample.corpus)


class _SinglePartStage(_EntropyStage[Value]):
    """A stage whose work is one part."""

    def parts(self) -> list[Part]:
        """One part, whose work is the corpus."""
        return [Part(self._key(), self._design.corpus.n_tokens, self._seconds())]

    def compute(
        self, parts: Sequence[Part], workspace: Workspace, bar: ProgressBar
    ) -> Iterator[Value]:
        for _ in parts:
            yield self._compute(workspace, bar)

    @abstractmethod
    def _key(self) -> dict[str, Any]:
        """What the value depends on beside the corpus."""

    @abstractmethod
    def _seconds(self) -> float:
        """About how long it takes on one core."""

    @abstractmethod
    def _compute(self, workspace: Workspace, bar: ProgressBar) -> Value:
        """The value."""


class NgramStage(_SinglePartStage[NgramStatistics]):
    """Counts of counts of all n-grams, from every token of the corpus."""

    name = "H(n) counts"
    kind = "ngrams"
    version = 1
    value = NgramStatistics

    def _key(self) -> dict[str, Any]:
        options = self._options
        return {
            "max_context": options.max_context,
            "boundary": options.boundary,
            "seed": options.seed,
        }

    def _seconds(self) -> float:
        return _SORTED_TOKEN * self._order * self._design.corpus.n_tokens

    def division(self, part: Part) -> NgramRanges:
        """Ranges of the last token."""
        return NgramRanges(part, self._design, self._options)

    def _compute(self, workspace: Workspace, bar: ProgressBar) -> NgramStatistics:
        return count_design_ngrams(
            self._design,
            max_context=self._options.max_context,
            workspace=workspace,
            progress=bar,
        )

    def cost(self, sample: CorpusSample, workspace: Workspace) -> Cost:
        tokens, vocab_size = sample.design.corpus.tokens, sample.corpus.vocab_size

        def count(memory_limit: int | None) -> None:
            count_ngrams(
                tokens,
                vocab_size,
                max_context=self._options.max_context,
                threads=sample.threads,
                memory_limit=memory_limit,
            )

        def seconds(steps: _Steps) -> float:
            first, further = steps.seconds(count)
            return sample.growth * (first + further * (steps.number - 1))

        n_documents = len(sample.design.documents) * sample.growth
        return _sweep_cost(
            self.name,
            sample,
            workspace,
            order=self._order,
            held=_Held.always(_DOCUMENT_BYTES * n_documents),
            counting_ngrams=True,
            seconds=seconds,
        )


class HeldOutStage(_EntropyStage[HeldOutLosses]):
    """Held-out losses of Kneser-Ney models of every order, trained on all and on nested subsets."""

    name = "H(n) held out"
    kind = "held-out"
    version = 3
    value = HeldOutLosses

    @cached_property
    def _subsets(self) -> list[Subset]:
        options, split = self._options, self._split
        nested = nested_subsets(split, sizes=options.learning_sizes, seed=options.seed)
        return [whole(split), *nested]

    def parts(self) -> list[Part]:
        """One part for all training tokens and one a subset; their work is what they train on."""
        n, key = self._training_tokens, self._split_key()
        seconds = _SORTED_TOKEN * self._order
        return [
            Part(
                {**key, "halvings": subset.halvings, "replicate": subset.replicate},
                work=0.5**subset.halvings * n,
                seconds=seconds * 0.5**subset.halvings * n,
            )
            for subset in self._subsets
        ]

    def batches(self) -> list[list[Part]]:
        """All training tokens, and each of the largest subsets with those inside it."""
        whole, *parts = self.parts()
        groups: list[list[Part]] = []
        outer: Subset | None = None
        for part, subset in zip(parts, self._subsets[1:], strict=True):
            if outer is None or not outer.holds(subset):
                outer = subset
                groups.append([])
            groups[-1].append(part)
        return [[whole], *groups]

    def division(self, part: Part) -> TrainingRanges | None:
        """Ranges of the last token, where all training tokens are trained on."""
        if part.key["halvings"] > 0:
            return None
        return TrainingRanges(part, self._design, self._options)

    def compute(
        self, parts: Sequence[Part], workspace: Workspace, bar: ProgressBar
    ) -> Iterator[HeldOutLosses]:
        subsets = {(s.halvings, s.replicate): s for s in self._subsets}
        return subset_losses(
            self._split,
            [subsets[part.key["halvings"], part.key["replicate"]] for part in parts],
            seed=self._options.seed,
            max_context=self._options.max_context,
            boundary=self._design.boundary,
            workspace=workspace,
            progress=bar,
        )

    def learning_points(self, losses: Sequence[HeldOutLosses]) -> list[LearningPoint]:
        """Points of the learning curve, those of all subsets, from the values of all parts."""
        return [
            learning_point(value, subset.halvings)
            for subset, value in zip(self._subsets, losses, strict=True)
            if subset.halvings > 0
        ]

    def cost(self, sample: CorpusSample, workspace: Workspace) -> Cost:
        held_out = self._held_out_tokens(sample)
        sizes = _model_sizes(sample, held_out, self._order)
        free = workspace.usable_bytes - workspace.expected_resident - sizes.index
        most = models_in_budget(sizes.model, free)
        sweeps = list(batches(self._subsets, most))
        n_models = max(len(sweep) for sweep in sweeps)
        return _sweep_cost(
            self.name,
            sample,
            workspace,
            order=self._order,
            held=_Held(
                sizes.index + n_models * sizes.model, sizes.index + sizes.model, sizes.scoring
            ),
            counting_ngrams=False,
            seconds=lambda steps: _held_out_seconds(steps, held_out, self._order, sweeps),
        )


class MixtureStage(_SinglePartStage[MixtureLosses]):
    """Held-out losses of the mixture of contexts, on the same split."""

    name = "H(n) mixture"
    kind = "mixture"
    version = 6
    value = MixtureLosses

    def _key(self) -> dict[str, Any]:
        return self._split_key()

    def _seconds(self) -> float:
        options, corpus = self._options, self._design.corpus
        held_out = self._design.held_out_tokens(options.held_out, corpus)
        scored = min(held_out, MAX_SCORED) + tuning_tokens(corpus.n_tokens - held_out)
        per_pattern = _COUNTED_TOKEN * corpus.n_tokens + _MIXED_TOKEN * scored
        return n_patterns(options.max_context, corpus.vocab_size) * per_pattern

    def division(self, part: Part) -> MixtureTrees | None:
        """Its trees; there are none where there is nothing to predict."""
        if self._design.corpus.vocab_size == 1:
            return None
        return MixtureTrees(part, self._design, self._options)

    def _compute(self, workspace: Workspace, bar: ProgressBar) -> MixtureLosses:
        with mixture_streams(self._design, self._options, workspace) as streams:
            return mixture_losses(
                tuning_split(streams, self._design.seed),
                max_context=self._options.max_context,
                workspace=workspace,
                progress=FractionBar(bar, self._design.corpus.n_tokens),
            )

    def cost(self, sample: CorpusSample, workspace: Workspace) -> Cost:
        corpus, token_bytes = sample.corpus, sample.corpus.tokens.nbytes
        held_out = self._held_out_tokens(sample)
        disk = token_bytes if workspace.uses_disk(token_bytes) else 0
        fixed = workspace.expected_resident + token_bytes - disk
        fixed += _MIXTURE_BYTES + _TREES_ITEM_BYTES * corpus.vocab_size
        cost = mixture_cost(
            corpus.n_tokens,
            held_out,
            vocab_size=corpus.vocab_size,
            max_context=self._options.max_context,
            depth=expected_depth(sample.occurrences),
        )
        fixed += cost.counts_bytes
        budget = workspace.usable_bytes - fixed
        passes = cost.training_passes(budget)
        memory = fixed + cost.bytes_of_trees(cost.trees_at_once(budget)) + cost.event_bytes
        least = fixed + cost.min_budget
        # In training tokens of a Kneser-Ney sweep.
        work = _PATTERN_WORK * passes * corpus.n_tokens
        work += _DECISION_WORK * cost.inputs * cost.decisions
        return Cost(
            self.name,
            passes=passes,
            memory_bytes=workspace.expected_peak(memory + token_bytes, least),
            least_memory_bytes=workspace.limit_to_hold(int(least)),
            disk_bytes=disk,
            seconds=_sweep_seconds(sample, self._order) * work / max(corpus.n_tokens, 1),
        )


def _held_out_seconds(
    steps: _Steps, held_out_tokens: int, order: int, sweeps: Sequence[Sequence[Subset]]
) -> float:
    """Seconds of training and scoring models for the held-out tokens.

    `sweeps` are the subsets that are counted together. Each step reads all of the stream, so that a
    subset has fewer steps and shorter ones.
    """
    sample = steps.sample
    if not sample.timed:
        return math.nan
    training = np.asarray(sample.design.corpus.tokens)
    held_out = training[: min(held_out_tokens, _INDEXED)]
    documents = Documents.single(len(held_out))
    threads, everything = sample.threads, (0, len(training))

    def index() -> KneserNey:
        return KneserNey(held_out, documents, sample.corpus.vocab_size, order=order)

    model = index()

    def train(memory_limit: int | None, n_models: int = 1) -> None:
        parts = [everything] * n_models
        model.train_parts(training, parts, threads=threads, memory_limit=memory_limit)

    first, further = steps.seconds(train)
    another = max(sample.time(lambda: train(None, n_models=2)) - first, 0.0)

    def sweep_seconds(size: float) -> float:
        return size * (first + further * (math.ceil(size * steps.number) - 1))

    raw, continuation = np.full((order, 3), 0.5), np.full((order - 1, 3), 0.5)
    score = sample.time(lambda: model.score(raw, continuation, threads=threads))
    trained = sum(sweep_seconds(0.5 ** sweep[0].halvings) for sweep in sweeps)
    trained += sum(another * 0.5**s.halvings for sweep in sweeps for s in sweep[1:])
    n_models = sum(len(sweep) for sweep in sweeps)
    scored = (sample.time(index) + n_models * score) * held_out_tokens / len(held_out)
    return trained * sample.growth + scored


def _model_sizes(sample: CorpusSample, held_out_tokens: int, order: int) -> ModelSizes:
    """Memory of models for so many held-out tokens.

    As of those for the beginning of the sample. The n-grams behind it grow as a power of the
    tokens, which those of a quarter tell.
    """
    tokens = np.asarray(sample.design.corpus.tokens[: min(held_out_tokens, _INDEXED)])

    def sizes(size: int) -> ModelSizes:
        documents = Documents.single(size)
        return KneserNey(tokens[:size], documents, sample.corpus.vocab_size, order=order).sizes

    few, many = sizes(max(len(tokens) // 4, 1)), sizes(len(tokens))
    growth = held_out_tokens / len(tokens)
    power = min(math.log(many.model / few.model, 4), 1.0)
    return ModelSizes(*(round(getattr(many, part) * growth**power) for part in _SIZES))


def _sweep_seconds(sample: CorpusSample, order: int) -> float:
    """Seconds of training Kneser-Ney models up to this order on the whole corpus."""
    tokens = np.asarray(sample.design.corpus.tokens)
    held_out = tokens[: max(int(len(tokens) * _TRIAL_HELD_OUT), 1)]

    def train() -> None:
        documents = Documents.single(len(held_out))
        model = KneserNey(held_out, documents, sample.corpus.vocab_size, order=order)
        model.train(tokens, threads=sample.threads)

    return sample.time(train, name=f"Kneser-Ney of order {order}") * sample.growth


@dataclass(frozen=True)
class _Held:
    """Memory beside the steps of a sweep.

    Attributes
    ----------
    bytes : float
        All along.
    least : float
        The same where memory is short.
    between : int
        In addition, between two sweeps.
    """

    bytes: float
    least: float
    between: int = 0

    @classmethod
    def always(cls, size: float) -> _Held:
        return cls(size, size)


@dataclass(frozen=True)
class _Steps:
    """Steps of a sweep over the corpus, which are timed on the sample.

    Attributes
    ----------
    sample : CorpusSample
    number : int
        Of the corpus.
    few : int
        Of the sample under `memory_limit`: as many, or a few that tell what more of them take.
    memory_limit : int
        Bytes.
    """

    sample: CorpusSample
    number: int
    few: int
    memory_limit: int

    @classmethod
    def of(cls, sample: CorpusSample, number: int, cost: SuffixCost, largest_blocks: int) -> _Steps:
        few = min(number, _TIMED_STEPS)
        size = math.ceil(sample.size / few)
        blocks = min(int(largest_blocks / sample.growth), size)
        return cls(sample, number, few, cost.entry_bytes * size + cost.block_bytes * blocks)

    def seconds(self, work: Callable[[int | None], Any]) -> tuple[float, float]:
        """Of work on the sample in one step, and of every further step, which reads it again.

        `work` is given a memory limit, or None.
        """
        first = self.sample.time(lambda: work(None))
        if self.few == 1:
            return first, 0.0
        limited = self.sample.time(lambda: work(self.memory_limit))
        return first, max(limited - first, 0.0) / (self.few - 1)


def _sweep_cost(
    name: str,
    sample: CorpusSample,
    workspace: Workspace,
    *,
    order: int,
    held: _Held,
    counting_ngrams: bool,
    seconds: Callable[[_Steps], float],
) -> Cost:
    """Of a sweep over sorted suffixes, in steps that fit the memory.

    `order` is the number of tokens that suffixes are sorted by.
    """
    corpus, token_bytes = sample.corpus, sample.corpus.tokens.nbytes
    n_tokens = corpus.n_tokens
    cost = suffix_cost(
        n_tokens,
        corpus.vocab_size,
        order,
        counting_ngrams=counting_ngrams,
        with_positions=True,  # of models on several parts
    )
    resident = workspace.expected_resident
    base = resident + held.bytes
    free = int(workspace.usable_bytes - base)
    budget = max(
        free - workspace.bytes_left_to_pages(free, token_bytes if cost.reads_text else 0), 1
    )
    largest_blocks = int(blocks_at_once(sample.occurrences, workspace.threads) * sample.growth)
    positions = positions_that_fit(cost, budget, largest_blocks)
    positions = max(positions, LEAST_STEP)  # where that does not fit, there is no run
    positions = min(step_tokens(n_tokens, workspace.threads), positions, n_tokens)
    n_steps, step = _filled_steps(sample, positions, cost)
    used = base + max(step, held.between)
    least_step = (cost.entry_bytes + cost.block_bytes) * min(LEAST_STEP, n_tokens)
    least = resident + held.least + max(least_step, held.between)
    writes_tokens = not counting_ngrams and workspace.uses_disk(token_bytes)
    return Cost(
        name,
        passes=2 * n_steps,
        memory_bytes=workspace.expected_peak(used + token_bytes, least),
        least_memory_bytes=workspace.limit_to_hold(int(least)),
        disk_bytes=token_bytes if writes_tokens else 0,
        seconds=seconds(_Steps.of(sample, n_steps, cost, largest_blocks)),
    )


def _filled_steps(sample: CorpusSample, positions: int, cost: SuffixCost) -> tuple[int, int]:
    """Number of steps of at most this many positions, and the bytes of the largest.

    A step is a range of whole vocabulary items, so that it does not fill what it may take, and a
    short range has smaller blocks than the vocabulary. An item with more occurrences is cut by the
    tokens beside it.
    """
    most = max(int(positions / sample.growth), 1)
    n_steps, largest = 0, 0
    for first, last in token_ranges(sample.occurrences, most):
        occurrences = sample.occurrences[first:last]
        size, blocks = int(occurrences.sum()), blocks_at_once(occurrences, sample.threads)
        n_steps += max(math.ceil(size / most), 1)
        step = cost.entry_bytes * min(size, most) + cost.block_bytes * min(blocks, most)
        largest = max(largest, round(sample.growth * step))
    return n_steps, largest
