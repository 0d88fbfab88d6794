"""Trains small models on a corpus within a given time, for the answer of `measure --train`.

The paper's protocol on training sets that double up to the largest one that the time allows: five
sizes, a decade and more, which is what the slope of the losses needs. All files lie in one
directory, in the form that `validate` has, so that `predict --curves` reads them; a repeated call
trains nothing again.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError, NgramstatError
from ngramstat.lm.budget import (
    ENOUGH_TOKENS,
    MODEL,
    MODEL_SIZES,
    N_SIZES,
    SHORT_CONTEXT,
    SMALLEST,
    TrainingChoice,
    choose_training,
    enough_to_train,
    held_out_sizes,
    largest_that_fits,
)
from ngramstat.lm.pace import Paces
from ngramstat.lm.run import Run, require_torch
from ngramstat.lm.search import first_guess_of_paper
from ngramstat.lm.sweep import TrainingPlan
from ngramstat.results import CurveTable
from ngramstat.runtime.locks import sole_writer
from ngramstat.runtime.resources import resolve_threads
from ngramstat.validation.design import Design, design_experiment
from ngramstat.validation.trained import group_runs, write_curves

__all__ = ["trained_curves"]

# Settings tried for every size while time is left.
_TRIALS = 6


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
    measuring, tuning = held_out_sizes(corpus.n_tokens)
    corpus.require_unchanged()
    with sole_writer(place):
        choice = _choice_here(corpus, place, seconds, device)
        design = design_experiment(
            corpus, "all", [choice.context], choice.tokens, measuring, tuning, seed
        )
        plan = TrainingPlan(
            (MODEL,), choice.size, design.contexts, design.sizes, trials=_TRIALS, capacity=False,
            protocol="paper",
        )  # fmt: skip
        return _curves(design, plan, place, seconds, device, progress)


def _choice_here(corpus: Corpus, directory: Path, seconds: float, device: str) -> TrainingChoice:
    """What fits the time at the speed of this machine, measured once for a directory."""
    paces = Paces(directory)

    def seconds_per_token(size: str, context: int) -> float:
        settings = first_guess_of_paper(context, ENOUGH_TOKENS)
        run = Run(
            MODEL, size, context, ENOUGH_TOKENS, 0, settings, "", corpus.vocab_size,
            protocol="paper",
        )  # fmt: skip
        return paces.of(run, device)[1]

    measuring, tuning = held_out_sizes(corpus.n_tokens)
    if not enough_to_train(corpus.n_tokens):
        raise InputError(
            f"{corpus.name}: {corpus.n_tokens:,} tokens are too few to train models on; "
            f"{SMALLEST << N_SIZES:,} are enough"
        )
    choice = choose_training(corpus.n_tokens, seconds, seconds_per_token)
    if choice is None:
        pace = seconds_per_token(MODEL_SIZES[-1], SHORT_CONTEXT)
        least = largest_that_fits(
            MODEL_SIZES[-1], SMALLEST << (N_SIZES - 1), None, lambda *_: pace, measuring, tuning
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
