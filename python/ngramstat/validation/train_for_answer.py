"""Trains small models on a corpus within a given time, for the answer of `measure --train`.

The paper's protocol on training sets that double up to the largest one that the time allows: five
sizes, a decade and more, which is what the slope of the losses needs. All files lie in one
directory, in the form that `validate` has, so that `predict --curves` reads them; a repeated call
trains nothing again.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError, NgramstatError
from ngramstat.lm.pace import Paces, guessed_seconds_per_token, run_seconds
from ngramstat.lm.run import Run, require_torch
from ngramstat.lm.search import first_guess_of_paper
from ngramstat.lm.sweep import TrainingPlan
from ngramstat.results import CurveTable
from ngramstat.runtime.resources import resolve_threads
from ngramstat.validation.design import Design, design_experiment
from ngramstat.validation.trained import group_runs, write_curves

__all__ = ["TrainingChoice", "choose_training", "expected_seconds", "trained_curves"]

_MODEL = "gpt2-rotary"
# Sizes of model, the preferred one first; a smaller one is taken where too few tokens would fit.
_MODEL_SIZES = ("3M", "1M", "0.3M", "0.1M")
_ENOUGH_TOKENS = 1 << 18
# Training sets: each twice as large as the one before.
_N_SIZES = 5
_SMALLEST, _LARGEST = 1 << 12, 1 << 21
# Context lengths T, and the number of training tokens from which on the longer one is used.
_CONTEXT, _SHORT_CONTEXT, _LONG_FROM = 128, 32, 1 << 16
# Held-out tokens, for measuring and for choosing the best step, and largest fractions of a corpus.
_MEASURING, _TUNING = 100_000, 16_000
_MEASURING_FRACTION, _TUNING_FRACTION = 0.05, 0.01
# Settings tried for every size while time is left.
_TRIALS = 6


@dataclass(frozen=True)
class TrainingChoice:
    """What is trained.

    Attributes
    ----------
    size : str
        Number of parameters without embeddings, one of `ngramstat.lm.shape.SIZES`.
    context : int
        T.
    tokens : tuple of int
        P, ascending.
    seconds : float
        Expected time of one training at every P.
    """

    size: str
    context: int
    tokens: tuple[int, ...]
    seconds: float


def choose_training(
    n_tokens: int,
    seconds: float | None,
    seconds_per_token: Callable[[str, int], float],
    *,
    largest: int | None = None,
) -> TrainingChoice | None:
    """The model, its context and the training sets that fit a time; None if nothing does.

    Parameters
    ----------
    n_tokens : int
        Tokens of the corpus.
    seconds : float or None
        Time for one training at every size; None: no limit.
    seconds_per_token : callable
        Of a model's size and its context length.
    largest : int, optional
        Largest number of training tokens.
    """
    measuring, tuning = _held_out(n_tokens)
    usable = n_tokens - measuring - tuning
    if largest is not None:
        usable = min(usable, largest)
    fallback = None
    for size in _MODEL_SIZES:
        choice = _largest_that_fits(size, usable, seconds, seconds_per_token, measuring, tuning)
        if choice is None:
            continue
        if choice.tokens[-1] >= min(_ENOUGH_TOKENS, usable // 2):
            return choice
        if fallback is None or choice.tokens[-1] > fallback.tokens[-1]:
            fallback = choice
    return fallback


def _largest_that_fits(
    size: str,
    usable: int,
    seconds: float | None,
    seconds_per_token: Callable[[str, int], float],
    measuring: int,
    tuning: int,
) -> TrainingChoice | None:
    """The training sets with the largest P of one model, or None if the smallest do not fit."""
    found = None
    largest = _SMALLEST << (_N_SIZES - 1)
    while largest <= usable:
        tokens = tuple(largest >> k for k in range(_N_SIZES - 1, -1, -1))
        context = _CONTEXT if largest >= _LONG_FROM * 2 else _SHORT_CONTEXT
        pace = seconds_per_token(size, context)
        total = sum(
            run_seconds(
                pace, p, first_guess_of_paper(context, p).epochs, tuning=tuning, measuring=measuring
            )
            for p in tokens
        )
        if seconds is not None and total > seconds:
            break
        found = TrainingChoice(size, context, tokens, total)
        largest *= 2
    return found


def _held_out(n_tokens: int) -> tuple[int, int]:
    """Tokens for measuring and for tuning."""
    return (
        min(_MEASURING, int(n_tokens * _MEASURING_FRACTION)),
        min(_TUNING, int(n_tokens * _TUNING_FRACTION)),
    )


def expected_seconds(corpus: Corpus) -> float | None:
    """About how long a useful training on this corpus takes here, within a factor of two.

    Five sizes up to 2^21 tokens or what the corpus has. Takes a fraction of a second and does not
    import torch. None if torch is not installed or the corpus is too small.

    Parameters
    ----------
    corpus : Corpus
    """
    if importlib.util.find_spec("torch") is None:
        return None
    choice = choose_training(
        corpus.n_tokens,
        None,
        lambda size, context: guessed_seconds_per_token(size, corpus.vocab_size, context),
        largest=_LARGEST,
    )
    return None if choice is None else choice.seconds


def trained_curves(
    corpus: Corpus,
    directory: str | PathLike[str],
    seconds: float,
    *,
    threads: int | None = None,
    device: str | None = None,
    seed: int = 0,
    progress: bool = False,
) -> CurveTable:
    """Losses by context and training tokens of models trained on a corpus within a time.

    Needs torch. Every size is trained once before any setting is searched; what is left of the time
    goes into other settings. A call with the same directory resumes an earlier one, whose time
    counts.

    Parameters
    ----------
    corpus : Corpus
    directory : path
        Gets runs.csv, runs/, pace.json and curves-MODEL-T.csv.
    seconds : float
        Limit of the training time.
    threads : int, optional
    device : str, optional
        ``cpu``, ``cuda`` or such as ``cuda:1``; by default a GPU if there is one.
    seed : int
        Of the split of the corpus and of the models.
    progress : bool

    Returns
    -------
    CurveTable
        As in the file that `predict --curves` reads.

    Raises
    ------
    InputError
        The corpus is too small, or the time too short for any training.
    NgramstatError
        torch is not installed, or no run reached a finite loss.
    """
    require_torch()
    from ngramstat.lm.train import device_of, set_threads

    set_threads(resolve_threads(threads))
    device, place = device_of(device), Path(directory)
    measuring, tuning = _held_out(corpus.n_tokens)
    choice = _choice_here(corpus, place, seconds, device)
    design = design_experiment(
        corpus, "all", [choice.context], choice.tokens, measuring, tuning, seed
    )
    plan = TrainingPlan(
        (_MODEL,), choice.size, design.contexts, design.sizes, trials=_TRIALS, capacity=False,
        protocol="paper",
    )  # fmt: skip
    return _curves(design, plan, place, seconds, device, progress)


def _choice_here(corpus: Corpus, directory: Path, seconds: float, device: str) -> TrainingChoice:
    """What fits the time at the speed of this machine, measured once for a directory."""
    paces = Paces(directory)

    def seconds_per_token(size: str, context: int) -> float:
        settings = first_guess_of_paper(context, _ENOUGH_TOKENS)
        run = Run(
            _MODEL, size, context, _ENOUGH_TOKENS, 0, settings, "", corpus.vocab_size,
            protocol="paper",
        )  # fmt: skip
        return paces.of(run, device)[1]

    measuring, tuning = _held_out(corpus.n_tokens)
    if corpus.n_tokens - measuring - tuning < _SMALLEST << (_N_SIZES - 1):
        raise InputError(
            f"{corpus.path}: {corpus.n_tokens:,} tokens are too few to train models on; "
            f"{_SMALLEST << _N_SIZES:,} are enough"
        )
    choice = choose_training(corpus.n_tokens, seconds, seconds_per_token)
    if choice is None:
        pace = seconds_per_token(_MODEL_SIZES[-1], _SHORT_CONTEXT)
        least = _largest_that_fits(
            _MODEL_SIZES[-1], _SMALLEST << (_N_SIZES - 1), None, lambda *_: pace, measuring, tuning
        )
        assert least is not None
        raise InputError(
            f"{seconds:.0f} s are too short for any training; the smallest models need about "
            f"{least.seconds:.0f} s here"
        )
    return choice


def _curves(
    design: Design,
    plan: TrainingPlan,
    directory: Path,
    seconds: float,
    device: str,
    progress: bool,
) -> CurveTable:
    sweep = design.sweep(plan, directory, budget=seconds, device=device, progress=progress)
    groups = group_runs(sweep.run())
    if not groups:
        raise NgramstatError(f"{directory}: no run reached a finite loss; give more time")
    tables = write_curves(groups, directory, "all")
    return next(iter(tables.values()))
