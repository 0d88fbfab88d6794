"""Other theories' predictions of a run's corpus."""

from __future__ import annotations

import math
from os import PathLike
from pathlib import Path

import numpy as np

from ngramstat.api.corpus_of_run import how_to_open
from ngramstat.api.prediction import load_run
from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.errors import InputError
from ngramstat.kernels import MAX_ORDER
from ngramstat.prediction.curve_files import Paths, read_curves
from ngramstat.prediction.measured import alpha_of_losses, alpha_with_limit, lower_envelope
from ngramstat.results import CurveTable, RunResult, TheoriesResult, ValidationResult
from ngramstat.runtime.arguments import as_integer, as_seed
from ngramstat.runtime.gpus import Backend, open_gpus
from ngramstat.runtime.progress import Progress, shows_progress
from ngramstat.runtime.resources import parse_memory_limit, resolve_threads
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.sampling.options import SamplingOptions
from ngramstat.theories.growth import Growth, measure_growth
from ngramstat.theories.panel import NO_CORPUS, MeasuredAlpha, assemble
from ngramstat.theories.spectra import measure_spectra

__all__ = ["theories"]


def theories(
    run: str | PathLike[str] | RunResult,
    *,
    corpus: CorpusLike | None = None,
    validation: str | PathLike[str] | None = None,
    curves: Paths | CurveTable | None = None,
    limit: float | None = None,
    longest: int = 4,
    seed: int = 0,
    rng: int | np.random.Generator | None = None,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    backend: Backend = "auto",
    gpu_memory: str | int | None = None,
    progress: bool | None = None,
) -> TheoriesResult:
    """What other theories predict of a run's corpus, beside alpha = gamma / (2 beta).

    Parameters
    ----------
    run : path or RunResult
    corpus : optional
        As for `correlations`; by default where the run found it, or at the same relative path from
        the run's directory or the one above. Without it, what needs counting is refused.
    validation : path, optional
        Directory or file of `validate`; predictions are compared with its measured exponents.
    curves : path, paths or CurveTable, optional
        Measured losses, for the same: as for `predict`.
    limit : float, optional
        Loss that the curves approach, nats per token, where it is known, as in worlds with an exact
        entropy. By default it is fitted.
    longest : int
        k-grams of 1 .. longest tokens are counted, at most 16.
    seed, rng, threads, memory_limit, backend, gpu_memory, progress
        As for `correlations`.

    Raises
    ------
    InputError
        The corpus given is another than the run's, a file cannot be read, or there is a limit
        without curves.
    """
    if limit is not None and (curves is None or not math.isfinite(limit)):
        raise InputError("limit: needs curves of losses, and a number of nats per token")
    result = run if isinstance(run, RunResult) else load_run(run)
    longest, seed = as_integer("longest", longest), as_seed(seed, rng)
    show = shows_progress(progress)
    if not 1 <= longest <= MAX_ORDER:
        raise InputError(f"longest={longest}: must lie in 1 .. {MAX_ORDER}")
    near = None if isinstance(run, RunResult) else Path(run)
    if near is not None and not near.is_dir():
        near = near.parent
    source = _corpus_of(result, corpus, near)
    trained = None if validation is None else _validation(Path(validation), result)
    measured = [] if trained is None else _of_validation(trained)
    measured += [] if curves is None else _of_curves(curves, limit)
    growth: Growth | str = NO_CORPUS
    spectra = None
    if source is not None:
        gpus = open_gpus(backend, gpu_memory)
        workspace = Workspace(resolve_threads(threads), parse_memory_limit(memory_limit), gpus=gpus)
        boundary = Boundary.parse(str(result.corpus.get("boundary") or "stream"))
        with workspace.managing(source.tokens), gpus.errors():
            growth = _growth(source, longest, seed, workspace, show)
            design = SamplingDesign(source, SamplingOptions(boundary=boundary, seed=seed))
            spectra = measure_spectra(design, workspace=workspace)
    time_exponent = None if trained is None else trained.time_exponent
    return assemble(result, source, growth, spectra, measured, time_exponent)


def _growth(
    corpus: Corpus, longest: int, seed: int, workspace: Workspace, progress: bool
) -> Growth | str:
    """k-grams in growing parts of the corpus, or why there are none."""
    design = SamplingDesign(corpus, SamplingOptions(seed=seed))
    with Progress(2 * corpus.n_tokens, "k-grams", unit="tok", enabled=progress) as bar:
        try:
            return measure_growth(design, longest=longest, workspace=workspace, progress=bar)
        except InputError as error:
            return str(error)  # too few documents: the other rows of the panel stand


def _corpus_of(run: RunResult, given: CorpusLike | None, near: Path | None) -> Corpus | None:
    """The corpus of a run, where it can be found and is the same.

    A relative path is that of the directory where the run was measured. It is looked for here, in
    the run's directory `near` and beside it.
    """
    sha256 = run.corpus.get("sha256")
    if given is None:
        places, options = how_to_open(run.corpus)
        if not places:
            return None
        for root in (Path(), *(() if near is None else (near, near.parent))):
            try:
                corpus = Corpus.open([root / place for place in places], **options)
            except InputError:
                continue
            if corpus.sha256 == sha256:
                return corpus
        return None
    corpus = as_corpus(given)
    if sha256 is not None and corpus.sha256 != sha256:
        raise InputError(f"{corpus.name}: is another corpus than that of the run")
    return corpus


def _validation(path: Path, run: RunResult) -> ValidationResult:
    """The result of `validate`, if it is of the run's corpus."""
    result, sha256 = ValidationResult.load(path), run.corpus.get("sha256")
    if sha256 is not None and result.corpus.get("sha256") not in (None, sha256):
        raise InputError(f"{path}: was trained on another corpus than that of the run")
    return result


def _of_validation(result: ValidationResult) -> list[MeasuredAlpha]:
    gates_hold = all(gate.passed is not False for gate in result.gates)
    return [
        MeasuredAlpha(f"validation, {c.name}", c.name, c.measured, gates_hold)
        for c in result.comparisons
    ]


def _of_curves(curves: Paths | CurveTable, limit: float | None) -> list[MeasuredAlpha]:
    table = curves if isinstance(curves, CurveTable) else read_curves(curves)
    best = lower_envelope(table.tokens, table.loss)
    tokens, losses = table.tokens[best], table.loss[best]
    raw = MeasuredAlpha("curves, raw", "raw", alpha_of_losses(tokens, losses))
    if limit is None:
        above = MeasuredAlpha("curves, limit", "limit", alpha_with_limit(tokens, losses))
    else:
        alpha = alpha_of_losses(tokens, losses, entropy_rate=limit)
        above = MeasuredAlpha("curves, known limit", "limit", alpha)
    return [raw, above]
