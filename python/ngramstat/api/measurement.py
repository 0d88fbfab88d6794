"""Measurements: a corpus in, C(t), H(n), the exponents and a prediction out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ngramstat.api.conclusion import concluded_run
from ngramstat.api.corpora import described, with_held_out
from ngramstat.api.options import (
    BoundaryName,
    MeasureOptions,
    PredictorName,
    ProtocolName,
    StageOptions,
)
from ngramstat.corpus import Corpus
from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.errors import InputError
from ngramstat.kernels import build_info, simd_level
from ngramstat.results import PARTS, RUN_FILE, CorrelationResult, EntropyResult, RunResult
from ngramstat.runtime.gpus import Backend, open_gpus
from ngramstat.runtime.resources import parse_memory_limit, peak_rss_bytes, resolve_threads
from ngramstat.runtime.usage import UsageLog
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.stages.cache import PartCache, corpus_identity
from ngramstat.stages.plan import MeasurementPlan, make_plan, require_memory
from ngramstat.stages.runner import Runner
from ngramstat.version import __version__

__all__ = ["correlations", "entropies", "measure", "plan", "run"]


def correlations(
    corpus: CorpusLike,
    *,
    lags: int | Sequence[int] | None = None,
    boundary: BoundaryName = "stream",
    protocol: ProtocolName = "default",
    singular_values: int = 8,
    beta_window: tuple[int, int] | None = None,
    vocab_top: int | None = None,
    sequential: bool = True,
    matrix_free: bool = False,
    replicates: int = 999,
    level: float = 0.95,
    seed: int = 0,
    rng: int | np.random.Generator | None = None,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    backend: Backend = "auto",
    gpu_memory: str | int | None = None,
    progress: bool | None = None,
) -> CorrelationResult:
    """Covariances C(t) of a corpus, their noise and beta.

    Parameters
    ----------
    corpus
        Whatever holds tokens or text: a `Corpus`, a path or paths, an array, tensor or list of
        token ids (a stream, or with two dimensions a document a row), a list of documents or of
        texts, or a table with a column ``input_ids`` or ``text``, such as a Hugging Face dataset.
        The vocabulary is then inferred (`Corpus.from_arrays` takes it), and texts are tokenized
        with a BPE trained on them (`Corpus.from_texts` takes another tokenizer).
    lags : int or sequence of int, optional
        Separations in tokens, increasing; by default about three an octave up to 512, as far as
        the corpus (with boundary ``document``, its documents) has enough pairs.
    boundary : str
        ``stream``: pairs run across documents, as in the paper; ``document``: they stay inside.
    protocol : str
        ``default``, or ``paper``: beta by least squares with equal weights over lags 1..192 (or
        `beta_window`), with the errors of the lags beside those of the documents; its 15 lags are
        measured unless `lags` are given.
    singular_values : int
        How many leading singular values to return, 1 .. 8.
    beta_window : (low, high), optional
        Lags to fit beta on, inclusive; chosen from the data by default.
    vocab_top : int, optional
        Restrict C(t) to this many of the most frequent vocabulary items; what that leaves out is
        in `vocab_cut` of the result. By default the whole vocabulary counts.
    sequential : bool
        Measure the sequential covariance (composition of the documents removed) and its nulls, too.
        Without it C(t) takes a third of the time.
    matrix_free : bool
        Count no pairs, which takes memory of O(V) and more time; only without `sequential`.
    replicates : int
        Bootstrap replicates over documents.
    level : float
        Confidence level of the intervals.
    seed : int
        Seed of the document folds, the bootstrap and everything else that is drawn.
    rng : int or numpy.random.Generator, optional
        Instead of `seed`: a seed, or a generator that one is drawn from.
    threads : int, optional
        By default the cores this process may use. Does not change the result.
    memory_limit : str or int, optional
        Such as "80%" (the default) or "16G". Does not change the result.
    backend : str
        Compute backend: ``cuda`` (GPUs count, multiply counts by vectors and sum over pairs),
        ``cpu``, or ``auto`` (GPUs where there are any). Counts are the same, norms agree to 1e-7.
    gpu_memory : str or int, optional
        Limit of each GPU's memory, such as "40G" or "50%" of what is free (by default nearly all).
    progress : bool, optional
        Show progress; by default in notebooks.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given.
    """
    chosen = MeasureOptions.of(locals(), entropies=False)
    result = run(corpus, chosen).correlations
    assert result is not None
    return result


def entropies(
    corpus: CorpusLike,
    *,
    max_context: int = 5,
    boundary: BoundaryName = "stream",
    held_out: float | str | PathLike[str] | Corpus | None = None,
    predictor: PredictorName = "mixture",
    learning_sizes: int = 7,
    replicates: int = 999,
    level: float = 0.95,
    seed: int = 0,
    rng: int | np.random.Generator | None = None,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    backend: Backend = "auto",
    gpu_memory: str | int | None = None,
    progress: bool | None = None,
) -> EntropyResult:
    """Entropies H(n) of a corpus, bracketed by counts and held-out losses, and gamma.

    Parameters
    ----------
    corpus
        As for `correlations`.
    max_context : int
        Contexts of 0 .. max_context tokens.
    boundary : str
        ``stream``: contexts run across documents; ``document``: they stay inside.
    held_out : float, path or Corpus, optional
        Fraction of the tokens to hold out, or a held-out corpus; what its files do not record is
        as in the corpus. By default a hundredth, but at least 200,000 tokens and at most a tenth.
    predictor : str
        Best predictor to look for: ``mixture`` of contexts, or ``kneser-ney`` alone.
    learning_sizes : int
        Sizes of the training set on the learning curve, each half of the next.
    replicates, level, seed, rng, threads, memory_limit, backend, gpu_memory, progress
        As for `correlations`.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given.
    """
    chosen = MeasureOptions.of(locals(), correlations=False)
    result = run(corpus, chosen).entropies
    assert result is not None
    return result


def measure(
    corpus: CorpusLike,
    *,
    output: str | PathLike[str] | None = None,
    tokens: float | Sequence[float] = (),
    overwrite: bool = False,
    lags: int | Sequence[int] | None = None,
    boundary: BoundaryName = "stream",
    protocol: ProtocolName = "default",
    singular_values: int = 8,
    beta_window: tuple[int, int] | None = None,
    vocab_top: int | None = None,
    sequential: bool = True,
    matrix_free: bool = False,
    max_context: int = 5,
    held_out: float | str | PathLike[str] | Corpus | None = None,
    predictor: PredictorName = "mixture",
    learning_sizes: int = 7,
    replicates: int = 999,
    level: float = 0.95,
    seed: int = 0,
    rng: int | np.random.Generator | None = None,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    backend: Backend = "auto",
    gpu_memory: str | int | None = None,
    progress: bool | None = None,
) -> RunResult:
    """C(t), H(n), the exponents and the prediction: the main job.

    Parameters
    ----------
    corpus
        As for `correlations`.
    output : path, optional
        Directory of the run. Finished parts are kept there as they come, and a later call with the
        same corpus and options resumes from them; the result is that of a call that was never
        interrupted. Without it nothing is written.
    tokens : float or sequence of float
        Numbers of training tokens at which to give the horizon n*(P); by default those of an
        earlier run in `output`.
    overwrite : bool
        Whether another run's result in `output` may be replaced.
    lags, boundary, protocol, singular_values, beta_window, vocab_top, sequential, matrix_free
        As for `correlations`.
    max_context, held_out, predictor, learning_sizes
        As for `entropies`.
    replicates, level, seed, rng, threads, memory_limit, backend, gpu_memory, progress
        As for `correlations`.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given, or `output` holds another run.
    """
    return run(corpus, MeasureOptions.of(locals()))


def run(corpus: CorpusLike, options: MeasureOptions) -> RunResult:
    """One or both halves of `measure`, as one result with settings and provenance."""
    started = time.monotonic()
    corpus, options, held_out = with_held_out(as_corpus(corpus), options)
    chosen = StageOptions.of(corpus, options)
    directory = options.directory
    tokens = options.tokens
    if directory is not None and not options.overwrite and tokens == ():
        tokens = _tokens_of_earlier_run(directory)
    settings = {**chosen.settings(), "tokens": tokens}
    workspace = Workspace(
        resolve_threads(options.threads),
        parse_memory_limit(options.memory_limit),
        directory,
        open_gpus(options.backend, options.gpu_memory),
    )
    if directory is not None:
        _refuse_other_run(directory, corpus, settings, overwrite=options.overwrite)
    cache = PartCache(None if directory is None else directory / PARTS, corpus_identity(corpus))
    design = SamplingDesign(corpus, chosen.sampling, held_out)
    usage = UsageLog()
    with usage.record("plan"):
        require_memory(corpus, chosen.stages(design), workspace)
    runner = Runner(cache, workspace, usage, progress=bool(options.progress))
    pair_result = entropy_result = None
    with workspace.managing(corpus.tokens), workspace.gpus.errors():
        if chosen.correlations is not None:
            pair_result = runner.correlations(design, chosen.correlations)
        if chosen.entropies is not None:
            entropy_result = runner.entropies(design, chosen.entropies)
    result = RunResult(
        corpus={
            **corpus.info(),
            "boundary": design.boundary.value,
            "separator": corpus.separator,
            **described(held_out),
        },
        settings=settings,
        provenance={
            **_provenance(workspace, time.monotonic() - started),
            "stages": usage.to_dicts(),
        },
        correlations=pair_result,
        entropies=entropy_result,
    )
    if pair_result is not None and entropy_result is not None:
        result = concluded_run(result, directory, tokens=tokens, protocol=options.protocol)
    if directory is not None:
        result.save(directory / RUN_FILE)
    return result


def _provenance(workspace: Workspace, seconds: float) -> dict[str, Any]:
    """What made a result: version, machine, time and memory."""
    return {
        "version": __version__,
        "commit": build_info()["commit"] or None,
        "backend": workspace.gpus.name,
        "gpus": [gpu.name for gpu in workspace.gpus.devices],
        "simd": simd_level(),
        "threads": workspace.threads,
        "memory_limit_bytes": workspace.memory_limit,
        "seconds": round(seconds, 3),
        "peak_rss_bytes": peak_rss_bytes(),
    }


def plan(
    corpus: CorpusLike,
    *,
    correlations: bool = True,
    entropies: bool = True,
    output: str | PathLike[str] | None = None,
    lags: int | Sequence[int] | None = None,
    boundary: BoundaryName = "stream",
    protocol: ProtocolName = "default",
    singular_values: int = 8,
    beta_window: tuple[int, int] | None = None,
    vocab_top: int | None = None,
    sequential: bool = True,
    matrix_free: bool = False,
    max_context: int = 5,
    held_out: float | str | PathLike[str] | Corpus | None = None,
    predictor: PredictorName = "mixture",
    learning_sizes: int = 7,
    replicates: int = 999,
    level: float = 0.95,
    seed: int = 0,
    rng: int | np.random.Generator | None = None,
    threads: int | None = None,
    memory_limit: str | int | None = None,
) -> MeasurementPlan:
    """What `measure` would take with these options: passes, memory, temporary disk and time.

    Takes some seconds to time steps on the beginning of the corpus: three lags of C(t) on up to 16
    million tokens, kernels of H(n) on two million.

    Parameters
    ----------
    corpus
        As for `correlations`.
    correlations, entropies : bool
        The halves to plan.
    output : path, optional
        Directory of the run, where temporary files would be.
    lags, boundary, protocol, singular_values, beta_window, vocab_top, sequential, matrix_free
        As for `correlations`.
    max_context, held_out, predictor, learning_sizes
        As for `entropies`.
    replicates, level, seed, rng, threads, memory_limit
        As for `correlations`.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given.
    """
    options = MeasureOptions.of(locals())
    corpus, options, other = with_held_out(as_corpus(corpus), options)
    chosen = StageOptions.of(corpus, options)
    workspace = Workspace(
        resolve_threads(options.threads), parse_memory_limit(options.memory_limit), options.output
    )
    design = SamplingDesign(corpus, chosen.sampling, other)
    return make_plan(corpus, chosen.stages(design), workspace)


def _tokens_of_earlier_run(directory: Path) -> Sequence[float]:
    """The numbers of training tokens that the run in a directory was asked for, if there is one."""
    path = directory / RUN_FILE
    if not path.exists():
        return ()
    return RunResult.load(path).settings.get("tokens") or ()


def _refuse_other_run(
    directory: Path, corpus: Corpus, settings: Mapping[str, Any], *, overwrite: bool
) -> None:
    path = directory / RUN_FILE
    if (directory / "corpus.json").exists():
        raise InputError(f"{directory}: is a corpus; choose another --output for the run")
    if overwrite or not path.exists():
        return
    old = RunResult.load(path)
    new = RunResult(corpus=corpus.info(), settings=settings, provenance={})
    differing = [
        name
        for name in sorted(old.settings.keys() | new.settings.keys())
        # Horizons are read off the finished run, at whatever numbers of tokens.
        if name != "tokens" and _setting(old, name) != _setting(new, name)
    ]
    if old.corpus.get("sha256") != corpus.sha256:
        differing.insert(0, "corpus")
    if differing:
        raise InputError(
            f"{path}: holds a run that differs in {', '.join(differing)}; "
            "choose another --output, or pass --overwrite"
        )


def _setting(run: RunResult, name: str) -> Any:
    """A setting of a run; runs of earlier versions had one protocol and did not name it."""
    return run.settings.get(name, "default" if name == "protocol" else None)
