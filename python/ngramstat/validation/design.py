"""The design of the experiment: which tokens are trained on, in which sizes and contexts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ngramstat.api import load_run, measure
from ngramstat.corpus import Corpus
from ngramstat.errors import InputError, check_choice
from ngramstat.lm.data import (
    TARGETS,
    DataSplit,
    append_classes,
    document_length,
    split_corpus,
)
from ngramstat.lm.protocol import protocol_of
from ngramstat.lm.sweep import Sweep, TrainingPlan
from ngramstat.results import RunResult
from ngramstat.runtime.files import sha256_array
from ngramstat.version import __version__

__all__ = ["Design", "check_level", "default_sizes", "design_experiment", "measured_run"]

_SMALLEST_SIZE, _SIZE_FACTOR = 100_000, 2
_DEFAULT_CONTEXT = 64


def default_sizes(tokens: int) -> tuple[int, ...]:
    """Training-set sizes: 10^5 tokens, doubled as long as at most `tokens` are needed."""
    sizes = [_SMALLEST_SIZE]
    while sizes[-1] * _SIZE_FACTOR <= tokens:
        sizes.append(sizes[-1] * _SIZE_FACTOR)
    return tuple(sizes)


def check_level(level: float) -> None:
    """Raises InputError unless it is a confidence level of at least 0.5."""
    if not 0.5 <= level < 1:
        raise InputError(f"level={level}: must be at least 0.5 and below 1, such as 0.95")


@dataclass(frozen=True)
class Design:
    """What is trained on and measured with.

    Attributes
    ----------
    split : DataSplit
        Of the corpus to train on.
    contexts, sizes : tuple of int
        T and P, ascending.
    held_out, tuning : int
        Numbers of tokens for measuring and for tuning.
    seed : int
    data : str
        Hash of everything that decides which tokens are used for what.
    """

    split: DataSplit
    contexts: tuple[int, ...]
    sizes: tuple[int, ...]
    held_out: int
    tuning: int
    seed: int
    data: str

    def sweep(
        self,
        plan: TrainingPlan,
        directory: Path,
        *,
        budget: float | None,
        device: str,
        progress: bool,
    ) -> Sweep:
        """The sweep of a plan over this design.

        Raises
        ------
        InputError
            A size or a context is impossible: refused here, not after hours of training.
        """
        sweep = Sweep(
            self.split, plan, directory, self.data, tuning_tokens=self.tuning,
            measuring_tokens=self.held_out, budget=budget, device=device, seed=self.seed,
            progress=progress,
        )  # fmt: skip
        # Without a start symbol, training sets are cut at any token.
        if protocol_of(plan.protocol).start_symbol:
            _refuse_equal_sizes(self.split, self.sizes)
        for context in self.contexts:
            sweep.held_out(context)
        return sweep


def design_experiment(
    corpus: Corpus,
    targets: str,
    contexts: Sequence[int],
    sizes: Sequence[int],
    held_out: int,
    tuning: int,
    seed: int,
) -> Design:
    """Choose the corpus to train on, split it, and resolve contexts and sizes.

    Raises
    ------
    InputError
        The options contradict each other, or the corpus is too small.
    """
    trained_on, contexts = _training_corpus(corpus, targets, contexts)
    held_out, tuning = (min(n, trained_on.n_tokens // 10) for n in (held_out, tuning))
    split = split_corpus(trained_on, tuning=tuning, measuring=held_out, seed=seed)
    return Design(
        split,
        contexts=tuple(sorted(set(contexts))),
        sizes=tuple(sorted({int(p) for p in sizes})) or default_sizes(split.n_training_tokens),
        held_out=held_out,
        tuning=tuning,
        seed=seed,
        data=_data_hash(trained_on, held_out, tuning, seed, targets),
    )


def _training_corpus(
    corpus: Corpus, targets: str, contexts: Sequence[int]
) -> tuple[Corpus, Sequence[int]]:
    """The corpus to train on, with classes appended if they are the targets, and the contexts.

    Raises
    ------
    InputError
        Contexts were given although the documents' length decides them.
    """
    check_choice("targets", targets, TARGETS)
    if targets == "all":
        return corpus, contexts or (_DEFAULT_CONTEXT,)
    if contexts:
        raise InputError(
            f"contexts {list(contexts)}: with targets {targets} they follow from the documents' "
            "length; leave them out"
        )
    length = document_length(corpus)
    if targets == "last":
        return corpus, (length,)
    return append_classes(corpus), (length + 1,)


def _data_hash(corpus: Corpus, held_out: int, tuning: int, seed: int, targets: str) -> str:
    """Hash of everything that decides which tokens are for training, tuning and measuring."""
    ends = None if corpus.document_ends is None else sha256_array(corpus.document_ends)
    parts = [corpus.sha256, ends, corpus.vocab_size, held_out, tuning, seed, targets, __version__]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _refuse_equal_sizes(split: DataSplit, sizes: Sequence[int]) -> None:
    """Raises InputError if two sizes, rounded up to whole documents, are the same training set."""
    size_of: dict[int, int] = {}
    for size in sizes:
        tokens = len(split.training(size))
        if tokens in size_of:
            raise InputError(
                f"sizes {size_of[tokens]:,} and {size:,}: both come to {tokens:,} tokens of whole "
                "documents; leave one out"
            )
        size_of[tokens] = size


def _measured_directory(directory: Path, seed: int, protocol: str) -> Path:
    """One for each protocol: they measure different lags."""
    name = f"measured-{seed}"
    return directory / (name if protocol == "default" else f"{name}-{protocol}")


def measured_run(
    corpus: Corpus,
    measured: str | PathLike[str] | None,
    directory: Path,
    *,
    seed: int,
    **options: Any,
) -> RunResult:
    """The statistics that the prediction rests on: a finished run, or measured now.

    Raises
    ------
    InputError
        The run lacks one half, or is of another corpus.
    """
    if measured is None:
        return measure(
            corpus, output=_measured_directory(directory, seed, options["protocol"]),
            predictor="kneser-ney", seed=seed, **options,
        )  # fmt: skip
    path = Path(measured)
    run = load_run(path)
    if run.correlations is None or run.entropies is None:
        missing = "correlations" if run.correlations is None else "entropies"
        raise InputError(f"{path}: has no {missing}; `ngramstat measure` computes both halves")
    if run.corpus.get("sha256") not in (None, corpus.sha256):
        raise InputError(
            f"{path}: is a run of another corpus than {corpus.name}; give a run of this corpus, or "
            "leave out --measured"
        )
    return run
