"""One training: its settings, its outcome, and the files that hold both. Needs no torch."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError, NgramstatError
from ngramstat.lm.protocol import protocol_of
from ngramstat.runtime.files import read_arrays, read_json
from ngramstat.sampling.bootstrap import ratio_of_sums

__all__ = ["MODELS", "Run", "Settings", "TrainingResult", "read_result", "require_torch"]

Floats = NDArray[np.float64]

# Architectures by name; `ngramstat.lm.models` builds them.
MODELS = ("gpt2", "gpt2-rotary", "llama")


def require_torch(purpose: str = "training") -> None:
    """Raises NgramstatError, with the way to install it, unless torch is there."""
    if importlib.util.find_spec("torch") is None:
        extra = "reader" if purpose == "reading" else "torch"
        raise NgramstatError(
            f"{purpose} needs torch, which is not installed: pip install 'ngramstat[{extra}]'"
        )


@dataclass(frozen=True)
class Settings:
    """What may be tuned.

    Attributes
    ----------
    learning_rate : float
        Peak value, reached after warm-up; decays as a cosine.
    weight_decay : float
        Applied to matrices, embeddings included.
    epochs : int
        Maximum number of passes over the training tokens.
    batch : int
        Windows in one optimiser step.
    """

    learning_rate: float
    weight_decay: float
    epochs: int
    batch: int


@dataclass(frozen=True)
class Run:
    """Everything that decides the outcome of one training.

    Attributes
    ----------
    model, size : str
    context : int
        T.
    tokens : int
        P requested; whole documents bring it slightly above.
    seed : int
        Seed of the initial weights and of the order of windows.
    settings : Settings
    data : str
        Hash of the corpus and of how it is split.
    vocab_size : int
    targets : str
        One of `ngramstat.lm.data.TARGETS`.
    protocol : str
        One of `ngramstat.lm.protocol.PROTOCOLS`.
    precision : str
        Of the products of matrices in training, ``float32`` or ``bfloat16``; weights are float32.
    """

    model: str
    size: str
    context: int
    tokens: int
    seed: int
    settings: Settings
    data: str
    vocab_size: int
    targets: str = "all"
    protocol: str = "default"
    precision: str = "float32"

    @property
    def only_last(self) -> bool:
        """Whether only the last token of a window is trained on and scored."""
        return self.targets != "all"

    @property
    def key(self) -> str:
        """A short name that is unique to this run."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"{self.model}-{self.size}-T{self.context}-P{self.tokens}-s{self.seed}-{digest}"

    def steps(self, length: int) -> int:
        """Optimiser steps on `length` training tokens."""
        settings = self.settings
        rules = protocol_of(self.protocol)
        return rules.steps(length, self.context, settings.batch, settings.epochs)


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of one training.

    Attributes
    ----------
    tokens : int
        Distinct tokens trained on; each is seen once per epoch.
    tuning_loss : float
        The smallest tuning loss, nats per token.
    best_step, steps : int
        Step of that loss, and total number of steps.
    parameters : int
        Number of parameters without embeddings.
    seconds : float
    losses : (n_clusters, T) float64
        Held-out -ln p, summed by group of documents and by position; column n has n tokens of
        context.
    counts : (n_clusters,) int64
        Number of windows in each group.
    errors : (n_clusters,) int64
        Number of windows whose last token is not the model's most likely one.
    device : str
        Device of the training.
    """

    tokens: int
    tuning_loss: float
    best_step: int
    steps: int
    parameters: int
    seconds: float
    losses: Floats
    counts: NDArray[np.int64]
    errors: NDArray[np.int64]
    device: str

    @property
    def diverged(self) -> bool:
        """Whether the loss became infinite or NaN before its first evaluation."""
        return not math.isfinite(self.tuning_loss)

    @property
    def error_rate(self) -> float:
        """Fraction of the windows whose last token is not the most likely one."""
        return float(self.errors.sum() / self.counts.sum())

    @property
    def by_context(self) -> Floats:
        """L_n for n = 0 .. T - 1, nats per token."""
        losses: Floats = self.losses.sum(axis=0) / self.counts.sum()
        return losses

    @property
    def errors_by_context(self) -> Floats:
        """Standard errors of `by_context` over groups of documents, to first order in their sizes.

        NaN if fewer than two groups have windows.
        """
        return ratio_of_sums(self.losses, self.counts)[1]


def read_result(directory: Path, run: Run) -> TrainingResult | None:
    """The result of a finished run, or None if the run is not finished.

    Raises
    ------
    InputError
        The directory holds another run, or a result that cannot be read.
    """
    path = directory / "losses.npz"
    if not (directory / "run.json").is_file():
        return None
    saved = read_json(directory / "run.json")
    if not isinstance(saved, dict) or saved.get("run") != dataclasses.asdict(run):
        raise InputError(f"{directory}: holds another run; use another --output")
    if not path.exists():
        return None
    fields: dict[str, Any] = dict(read_arrays(path))
    try:
        for name in ("tokens", "best_step", "steps", "parameters"):
            fields[name] = int(fields[name])
        for name in ("tuning_loss", "seconds"):
            fields[name] = float(fields[name])
        fields["device"] = str(fields["device"])
        result = TrainingResult(**fields)
        groups = len(result.counts)
        if result.losses.shape != (groups, run.context) or result.errors.shape != (groups,):
            raise ValueError("its arrays have the wrong shapes")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged: {error}; remove it to train again") from error
    return result
