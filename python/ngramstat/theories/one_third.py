"""A student that learns peaked targets: how its loss falls with training time (Liu et al. 2026).

Teacher and student are linear maps from normalised Gaussian inputs to logits. The teacher's are
divided by a low temperature, so that nearly all of its probability is on one token; the student
starts from zero and is trained on the Kullback-Leibler divergence. Under gradient flow its loss
falls as tau^(-1/3), tau the sum of the learning rates, while its logits are larger than those of
chance and smaller than the teacher's (docs/theory.md 9).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.prediction.training_time import time_exponent
from ngramstat.results.one_third import OneThirdResult
from ngramstat.runtime.progress import Progress

__all__ = [
    "OPTIMIZERS",
    "Optimizer",
    "TeacherStudent",
    "TrainedStudent",
    "measure_one_third",
    "train_student",
]

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Optimizer = Literal["sgd", "adam"]
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)

# Losses are averaged over ranges of steps, this many per factor of ten.
_PER_DECADE = 20
# What is fitted of the summed learning rate, and the part of the teacher's scale up to which the
# student's loss is not yet bent by it.
_DECADES, _UNSATURATED = 100, 0.03
# A loss that many times that of a student that knows nothing is no noise of the first steps.
_DIVERGED = 10.0
# Of Adam: decay of the two moments, and what keeps the denominator from zero.
_MOMENTS, _SMALL = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class TeacherStudent:
    """Sizes and training of the toy.

    Attributes
    ----------
    inputs, vocab_size : int
        Both maps are (inputs, vocab_size), without bias.
    temperature : float
        The teacher's logits, of variance 1, are divided by it.
    optimizer : {"sgd", "adam"}
    rate : float
        Learning rate, constant.
    batch, steps : int
        Fresh inputs per step, and steps.
    seed : int
    """

    inputs: int = 32
    vocab_size: int = 128
    temperature: float = 1e-4
    optimizer: Optimizer = "sgd"
    rate: float = 100.0
    batch: int = 1024
    steps: int = 12_800
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.inputs, self.batch, self.steps) < 1 or self.vocab_size < 2:
            raise InputError("inputs, batch and steps: need at least 1, and vocab_size 2")
        if not all(math.isfinite(x) and x > 0 for x in (self.temperature, self.rate)):
            raise InputError("temperature and rate: need to be positive")
        if self.optimizer not in OPTIMIZERS:
            raise InputError(f"optimizer {self.optimizer!r}: needs one of {', '.join(OPTIMIZERS)}")


@dataclass(frozen=True)
class TrainedStudent:
    """Losses during training.

    Attributes
    ----------
    rate_sum : (k,) float64
        tau in the middle of each range of steps, in the logarithm.
    losses : (k,) float64
        Mean divergence of fresh batches over the range, before they are learned; nats.
    scale : (k,) float64
        Scale of the student's map along the teacher's at the end of the range: the teacher's is
        1 / temperature.
    """

    rate_sum: Floats
    losses: Floats
    scale: Floats


def train_student(setup: TeacherStudent, *, progress: bool = False) -> TrainedStudent:
    """Train the student, each step on a fresh batch.

    Raises
    ------
    InputError
        The loss rises far above that of chance: the learning rate is too large.
    """
    rng = np.random.default_rng(setup.seed)
    teacher = rng.standard_normal((setup.inputs, setup.vocab_size), dtype=np.float32)
    teacher /= np.float32(math.sqrt(setup.inputs))
    sharp, student = teacher / np.float32(setup.temperature), np.zeros_like(teacher)
    step = _Adam(teacher.shape, setup.rate) if setup.optimizer == "adam" else _Sgd(setup.rate)
    edges = _edges(setup.steps)
    losses, scale = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    with Progress(setup.steps, "training", unit="steps", enabled=progress) as bar:
        for k, (begin, end) in enumerate(itertools.pairwise(edges.tolist())):
            for _ in range(begin, end):
                x = _inputs(setup, rng)
                loss, gradient = _divergence(x, sharp, student)
                losses[k] += loss / (end - begin)
                step(student, gradient)
            if not losses[k] < _DIVERGED * math.log(setup.vocab_size):
                raise InputError(f"rate={setup.rate:g}: too large, the student diverges")
            scale[k] = np.vdot(student, teacher) / np.vdot(teacher, teacher)
            bar.advance(end - begin)
    middle = np.sqrt((edges[:-1] + 0.5) * edges[1:])
    return TrainedStudent(setup.rate * middle, losses, scale)


def _edges(steps: int) -> NDArray[np.int64]:
    """Ends of ranges of steps, evenly in the logarithm."""
    number = max(int(_PER_DECADE * math.log10(max(steps, 2))), 2)
    inner = np.unique(np.geomspace(1, steps, number + 1).round().astype(np.int64))
    return np.concatenate([[0], inner])


def _inputs(setup: TeacherStudent, rng: np.random.Generator) -> Singles:
    x = rng.standard_normal((setup.batch, setup.inputs), dtype=np.float32)
    x *= np.float32(math.sqrt(setup.inputs)) / np.linalg.norm(x, axis=1, keepdims=True)
    return x


def _log_softmax(logits: Singles) -> Singles:
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits


def _divergence(x: Singles, teacher: Singles, student: Singles) -> tuple[float, Singles]:
    """KL of the student from the teacher, mean over the batch, and its gradient."""
    log_p, log_q = _log_softmax(x @ teacher), _log_softmax(x @ student)
    p = np.exp(log_p)
    loss = float(np.vdot(p, log_p - log_q)) / len(x)
    return loss, x.T @ (np.exp(log_q) - p) / np.float32(len(x))


class _Sgd:
    def __init__(self, rate: float) -> None:
        self._rate = np.float32(rate)

    def __call__(self, weights: Singles, gradient: Singles) -> None:
        weights -= self._rate * gradient


class _Adam:
    def __init__(self, shape: tuple[int, ...], rate: float) -> None:
        self._rate, self._steps = rate, 0
        self._mean, self._square = np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def __call__(self, weights: Singles, gradient: Singles) -> None:
        self._steps += 1
        for moment, decay, value in (
            (self._mean, _MOMENTS[0], gradient),
            (self._square, _MOMENTS[1], gradient**2),
        ):
            moment *= np.float32(decay)
            moment += np.float32(1 - decay) * value
        first, second = (1 - decay**self._steps for decay in _MOMENTS)
        root = np.sqrt(self._square / np.float32(second)) + np.float32(_SMALL)
        weights -= np.float32(self._rate / first) * self._mean / root


def measure_one_third(setup: TeacherStudent, *, progress: bool = False) -> OneThirdResult:
    """Train the student, and fit the last two decades of the summed learning rate."""
    trained = train_student(setup, progress=progress)
    end = float(setup.rate * setup.steps)
    window = (end / _DECADES, end)
    exponent = time_exponent(trained.rate_sum, trained.losses, window=window)
    inside = trained.rate_sum >= window[0]
    # The largest of the logits, of variance 1, is about this much above the others.
    chance = math.sqrt(2 * math.log(setup.vocab_size))
    return OneThirdResult(
        settings=dataclasses.asdict(setup), rate_sum=trained.rate_sum, losses=trained.losses,
        scale=trained.scale, exponent=exponent,
        law_holds=bool(
            trained.scale[inside].min() > chance
            and trained.scale[inside].max() < _UNSATURATED / setup.temperature
        ),
    )  # fmt: skip
