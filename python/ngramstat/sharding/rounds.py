"""The rounds over the shards of a corpus, each of them a call on some machine.

A call reads what earlier rounds left in the directory and writes its own files there; what is there
is not made again, so that an interrupted call is repeated. The directory is one file system, or
files that are copied between rounds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ngramstat.corpus import Corpus
from ngramstat.entropy.assembly import assemble_entropies
from ngramstat.entropy.counts import chao_shen, miller_madow, plug_in
from ngramstat.errors import InputError
from ngramstat.kernels import NgramStatistics
from ngramstat.prediction.conclusion import concluded
from ngramstat.results import RUN_FILE, EntropyResult, RunResult
from ngramstat.runtime.files import write_json
from ngramstat.runtime.workspace import Workspace
from ngramstat.sharding.correlations import LagRounds, ShardPasses
from ngramstat.sharding.description import ShardDescription
from ngramstat.sharding.files import RoundFiles
from ngramstat.sharding.held_out import HeldOutRounds, HeldOutSender
from ngramstat.sharding.layout import Layout
from ngramstat.sharding.ngrams import NgramRounds, NgramSender
from ngramstat.sharding.plan import ShardPlan
from ngramstat.sharding.split import TextSplit
from ngramstat.stages.provenance import provenance

__all__ = ["ENTROPIES_FILE", "ShardRounds", "measure_shards"]

ENTROPIES_FILE = "entropies.json"
_ENTROPIES_FORMAT = "ngramstat.shards.entropies/1"


class ShardRounds:
    """One machine's part in the measurement of shards.

    Parameters
    ----------
    directory : Path
        Of the plan (`ShardPlan.save`) and of all rounds' files.
    workspace : Workspace

    Attributes
    ----------
    plan : ShardPlan
    """

    def __init__(self, directory: Path, workspace: Workspace) -> None:
        self.plan = ShardPlan.load(directory)
        self._workspace = workspace
        self._descriptions = self.plan.files(directory)

    @cached_property
    def layout(self) -> Layout:
        """All shards, once they are described."""
        return Layout.load(self.plan, self._descriptions)

    @cached_property
    def files(self) -> RoundFiles:
        """The files of all rounds after the descriptions."""
        return self._descriptions.of_text(self.layout.identity)

    @cached_property
    def _split(self) -> TextSplit | None:
        """What is held out, if anything is."""
        options = self.plan.entropies
        return None if options is None else TextSplit(self.layout, options)

    def _require_number(self, number: int) -> None:
        if not 0 <= number < self.plan.shards:
            raise InputError(f"shard {number + 1}: the plan has shards 1 to {self.plan.shards}")

    def describe(self, number: int, corpus: Corpus) -> None:
        """Shard `number` (from 0) tells the others about itself; nothing is needed before."""
        self._require_number(number)
        found = ShardDescription.of(corpus, self.plan, threads=self._workspace.threads)
        self._descriptions.save(found, "shard", number)

    def count(self, number: int, corpus: Corpus) -> None:
        """A shard's pairs, n-grams and held-out tokens, after all shards are described."""
        self._passes(number, corpus).count()
        NgramSender(self.layout, self.files, number, corpus).send()
        if self._split is not None:
            self._held_out(self._split, number, corpus).tell()

    def merge(self, after: str, part: tuple[int, int] = (1, 1)) -> None:
        """Adds up what all shards left, for every lag and every range of token ids.

        Parameters
        ----------
        after : str
            ``count``: their counts, for the singular vectors and the n-grams; ``sums``: their first
            sums, for the vectors of the folds, and their training tokens, for the models.
        part : (i, N)
            The share of this machine in the lags and ranges, from 1 to N.
        """
        rounds = LagRounds(self.layout, self.files, self._workspace)
        for lag in self.plan.correlations.lags[part[0] - 1 :: part[1]]:
            (rounds.solve if after == "count" else rounds.make_fold_vectors)(lag)

        if after == "count":
            self._count_ranges(NgramRounds(self.layout, self.files, self._workspace), part)
        elif self._split is not None:
            self._count_ranges(HeldOutRounds(self._split, self.files, self._workspace), part)

    def _count_ranges(self, rounds: NgramRounds | HeldOutRounds, part: tuple[int, int]) -> None:
        for number in range(part[0] - 1, len(self.layout.ranges), part[1]):
            rounds.count(number)

    def first_sums(self, number: int, corpus: Corpus) -> None:
        """A shard's sums with the singular vectors, and its training tokens for their ranges."""
        self._passes(number, corpus).first_sums()
        if self._split is not None:
            self._held_out(self._split, number, corpus).send()

    def second_sums(self, number: int, corpus: Corpus) -> None:
        """A shard's sums with the vectors of the folds."""
        self._passes(number, corpus).second_sums()

    def _passes(self, number: int, corpus: Corpus) -> ShardPasses:
        self._require_number(number)
        return ShardPasses(self.layout, self.files, number, corpus, self._workspace)

    def _held_out(self, split: TextSplit, number: int, corpus: Corpus) -> HeldOutSender:
        return HeldOutSender(split, self.files, number, corpus, self._workspace)

    def ngrams(self) -> NgramStatistics:
        """Counts of counts of all n-grams."""
        return NgramRounds(self.layout, self.files, self._workspace).statistics()

    def entropies(self) -> EntropyResult | None:
        """Brackets of H(n), the learning curve and gamma; None without held-out losses."""
        options, split = self.plan.entropies, self._split
        if options is None or split is None:
            return None
        losses, points = HeldOutRounds(split, self.files, self._workspace).losses()
        design = self.layout.text_design()
        return assemble_entropies(design, options, self.ngrams(), losses, None, points)

    def assemble(self, output: Path) -> RunResult:
        """The result of all rounds, in run.json.

        Without held-out losses there are no brackets of H(n), no gamma and no prediction; the
        counted entropies are then in a file beside it.
        """
        started = time.monotonic()
        found = LagRounds(self.layout, self.files, self._workspace).result()
        corpus = self.layout.whole_corpus()
        result = RunResult(
            corpus={
                **corpus.info(),
                "boundary": self.plan.correlations.boundary.value,
                "separator": corpus.separator,
                "shards": [
                    {"tokens": shard.n_tokens, "sha256": shard.sha256}
                    for shard in self.layout.shards
                ],
            },
            settings=self.plan.settings(),
            # Of the last round.
            provenance=provenance(self._workspace, time.monotonic() - started),
            correlations=found,
            entropies=self.entropies(),
        )
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{output}: cannot be created: {error.strerror}") from error
        if result.entropies is None:
            write_json(output / ENTROPIES_FILE, _counted_entropies(self.ngrams()))
        else:
            result = concluded(result)
        result.save(output / RUN_FILE)
        return result


def _counted_entropies(counts: NgramStatistics) -> dict[str, Any]:
    """Entropies that follow from counts of counts alone, in nats per token."""
    whole = counts.whole
    return {
        "schema": _ENTROPIES_FORMAT,
        "context": list(range(len(whole.ngrams))),
        "targets": whole.targets,
        "plug_in": plug_in(whole).tolist(),
        "miller_madow": miller_madow(whole).tolist(),
        "chao_shen": chao_shen(whole).tolist(),
    }


def measure_shards(
    corpora: Sequence[Corpus], plan: ShardPlan, directory: Path, workspace: Workspace
) -> ShardRounds:
    """All rounds up to the last one, on one machine and one after the other.

    Parameters
    ----------
    corpora : sequence of Corpus
        The shards, in the order of the corpus.
    plan : ShardPlan
    directory : Path
        Where the plan and the files of the rounds go.
    workspace : Workspace
    """
    if len(corpora) != plan.shards:
        raise InputError(f"{len(corpora)} shards, where the plan has {plan.shards}")
    plan.save(directory)
    rounds = ShardRounds(directory, workspace)
    for number, corpus in enumerate(corpora):
        rounds.describe(number, corpus)
    for number, corpus in enumerate(corpora):
        rounds.count(number, corpus)
    rounds.merge("count")
    for number, corpus in enumerate(corpora):
        rounds.first_sums(number, corpus)
    rounds.merge("sums")
    for number, corpus in enumerate(corpora):
        rounds.second_sums(number, corpus)
    return rounds
