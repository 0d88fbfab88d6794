"""A measured run whose answer stands on models that were trained on its text."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from ngramstat.api import RUN_FILE, TRAIN, load_run, predict_run
from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.results import RunResult
from ngramstat.runtime.progress import shows_progress
from ngramstat.validation.train_for_answer import trained_curves

__all__ = ["measure_trained"]


def measure_trained(
    corpus: Corpus,
    run: str | PathLike[str],
    seconds: float,
    *,
    threads: int | None = None,
    device: str | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> RunResult:
    """Train models into a finished run's directory, and answer from their losses.

    Parameters
    ----------
    corpus : Corpus
        That of the run.
    run : path
        Directory of the run; the models go to ``train`` inside, and run.json is written again.
    seconds, threads, device, seed, progress
        As for `trained_curves`: a limit of the training time, earlier calls included.

    Raises
    ------
    InputError
        The run is unfinished or of another corpus, or the time too short for any training.
    NgramstatError
        torch is not installed, or no run reached a finite loss.
    """
    directory = Path(run)
    before = load_run(directory)
    if before.corpus.get("sha256") not in (None, corpus.sha256):
        raise InputError(
            f"{directory}: is a run of another corpus than {corpus.name}; choose another --output"
        )
    trained_curves(
        corpus, directory / TRAIN, seconds, threads=threads, device=device, seed=seed,
        progress=shows_progress(progress),
    )  # fmt: skip
    tokens = [float(p) for p in before.settings.get("tokens") or ()]
    result = predict_run(directory, tokens=tokens)
    result.save(directory / RUN_FILE)
    return result
