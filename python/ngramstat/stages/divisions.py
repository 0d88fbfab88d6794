"""Large parts of H(n) as pieces, for runs that many processes share.

N-grams, and the training of Kneser-Ney models, are divided into ranges of the last token: counts
of ranges add up. Each piece reads the whole text again. The mixture is divided into its trees; a
pattern of context is then counted once for each tree that uses it, so that all trees take about
twice the time of the mixture, and one of them half.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from ngramstat.entropy.kneser_ney import HeldOutLosses
from ngramstat.entropy.learning_curves import whole_counts, whole_losses
from ngramstat.entropy.ngrams import count_share_of_ngrams, require_targets
from ngramstat.entropy.options import EntropyOptions
from ngramstat.kernels import CountsOfRange, NgramStatistics, Share, add_statistics
from ngramstat.ngram_models.mixture import (
    N_TREES,
    MixtureLosses,
    TreeLosses,
    losses_of_trees,
    tree_losses,
    tuning_split,
)
from ngramstat.ngram_models.split_streams import SplitStreams, split_streams
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.sampling.split import HeldOutSplit
from ngramstat.stages.stage import Division, Part, ProgressBar

__all__ = ["FractionBar", "MixtureTrees", "NgramRanges", "TrainingRanges", "mixture_streams"]

Piece = TypeVar("Piece")
Value = TypeVar("Value")

# Ranges of last tokens, and the tokens of one at least: reading the text again should not take
# much of the time.
_MAX_RANGES, _RANGE_TOKENS = 16, 100_000
# Seconds of a range that are spent on reading the whole text, as a fraction of those of the whole.
_READING = 0.02
# Seconds of a held-out token in every range that a model is trained on, to look n-grams up.
_INDEXED_TOKEN = 0.9e-6
# Seconds of a tree, as a fraction of those of the mixture (of 2.2 M tokens, 2026-11).
_TREE_SECONDS = 0.5


def n_ranges(n_tokens: int) -> int:
    """Ranges of last tokens that so many tokens are divided into."""
    return max(min(_MAX_RANGES, n_tokens // _RANGE_TOKENS), 1)


class _Ranges(Division[Piece, Value]):
    """A part divided into ranges of last tokens.

    Parameters
    ----------
    part : Part
    design : SamplingDesign
    options : EntropyOptions
    """

    version = 1

    def __init__(self, part: Part, design: SamplingDesign, options: EntropyOptions) -> None:
        self._part, self._design, self._options = part, design, options
        self._n = n_ranges(design.corpus.n_tokens)

    def parts(self) -> list[Part]:
        """One part a range."""
        part, n = self._part, self._n
        seconds = part.seconds * (1 / n + _READING) + self._prepared_seconds()
        return [Part({**part.key, "range": k, "of": n}, part.work / n, seconds) for k in range(n)]

    def _prepared_seconds(self) -> float:
        """About how long it takes before a range is counted."""
        return 0.0

    def _shares(self, parts: Sequence[Part]) -> list[Share]:
        return [Share(part.key["range"], part.key["of"]) for part in parts]


class NgramRanges(_Ranges[NgramStatistics, NgramStatistics]):
    """Counts of counts of n-grams by ranges of their last token."""

    name = "H(n) counts, by last token"
    kind = "ngrams-range"
    value = NgramStatistics

    def compute(
        self, parts: Sequence[Part], workspace: Workspace, bar: ProgressBar
    ) -> Iterator[NgramStatistics]:
        for share in self._shares(parts):
            yield count_share_of_ngrams(
                self._design,
                share,
                max_context=self._options.max_context,
                workspace=workspace,
                progress=bar,
            )

    def combine(self, pieces: Sequence[NgramStatistics], workspace: Workspace) -> NgramStatistics:
        """Sums of the pieces."""
        counts = add_statistics(pieces)
        require_targets(self._design, counts)
        return counts


class TrainingRanges(_Ranges[CountsOfRange, HeldOutLosses]):
    """Kneser-Ney models of all training tokens by ranges of the last token of n-grams."""

    name = "H(n) held out, by last token"
    kind = "held-out-range"
    value = CountsOfRange

    def compute(
        self, parts: Sequence[Part], workspace: Workspace, bar: ProgressBar
    ) -> Iterator[CountsOfRange]:
        return whole_counts(
            self._split, self._shares(parts), workspace=workspace, progress=bar, **self._arguments
        )

    def combine(self, pieces: Sequence[CountsOfRange], workspace: Workspace) -> HeldOutLosses:
        """The models with the counts of all pieces, and their losses."""
        return whole_losses(self._split, pieces, workspace=workspace, **self._arguments)

    def _prepared_seconds(self) -> float:
        design = self._design
        return _INDEXED_TOKEN * design.held_out_tokens(self._options.held_out, design.corpus)

    @property
    def _split(self) -> HeldOutSplit:
        return self._design.held_out_split(self._options.held_out)

    @property
    def _arguments(self) -> dict[str, Any]:
        return {
            "seed": self._options.seed,
            "max_context": self._options.max_context,
            "boundary": self._design.boundary,
        }


class MixtureTrees(Division[TreeLosses, MixtureLosses]):
    """The mixture by its trees.

    Parameters
    ----------
    part : Part
    design : SamplingDesign
    options : EntropyOptions
    """

    name = "H(n) mixture, by tree"
    kind = "mixture-tree"
    version = 1
    value = TreeLosses

    def __init__(self, part: Part, design: SamplingDesign, options: EntropyOptions) -> None:
        self._part, self._design, self._options = part, design, options

    def parts(self) -> list[Part]:
        """One part a tree."""
        part = self._part
        work, seconds = part.work / N_TREES, part.seconds * _TREE_SECONDS
        return [Part({**part.key, "tree": k}, work, seconds) for k in range(N_TREES)]

    def compute(
        self, parts: Sequence[Part], workspace: Workspace, bar: ProgressBar
    ) -> Iterator[TreeLosses]:
        for part in parts:
            with mixture_streams(self._design, self._options, workspace) as streams:
                yield tree_losses(
                    tuning_split(streams, self._design.seed),
                    part.key["tree"],
                    max_context=self._options.max_context,
                    workspace=workspace,
                    progress=FractionBar(bar, part.work),
                )

    def combine(self, pieces: Sequence[TreeLosses], workspace: Workspace) -> MixtureLosses:
        """The mean of the probabilities along all trees."""
        with mixture_streams(self._design, self._options, workspace) as streams:
            return losses_of_trees(tuning_split(streams, self._design.seed), pieces)


def mixture_streams(
    design: SamplingDesign, options: EntropyOptions, workspace: Workspace
) -> AbstractContextManager[SplitStreams]:
    """Both sides of the held-out split, for a mixture."""
    return split_streams(
        design.held_out_split(options.held_out),
        boundary=design.boundary,
        max_context=options.max_context,
        workspace=workspace,
    )


class FractionBar:
    """Progress that is told in fractions of the whole and shown in a stage's unit."""

    def __init__(self, bar: ProgressBar, total: float) -> None:
        self._bar, self._total = bar, total

    def advance(self, fraction: float) -> None:
        """This much more of the whole is done."""
        self._bar.advance(fraction * self._total)
