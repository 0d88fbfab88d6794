"""The public functions: a corpus in, C(t), H(n), the exponents and a prediction out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.covariance.options import CorrelationOptions, check_protocol, default_lags
from ngramstat.entropy.options import EntropyOptions
from ngramstat.errors import InputError, check_positive
from ngramstat.kernels import MAX_ORDER, build_info, simd_level
from ngramstat.lm.budget import enough_to_train, expected_seconds
from ngramstat.prediction.conclusion import concluded, next_steps
from ngramstat.prediction.curve_files import Paths, read_curves
from ngramstat.prediction.learner_curves import LearnerCurves, read_learners, read_reader
from ngramstat.prediction.measured import alpha_of_losses, alpha_with_limit, lower_envelope
from ngramstat.results import (
    CorrelationResult,
    CurveTable,
    EntropyResult,
    RunResult,
    TheoriesResult,
    ValidationResult,
)
from ngramstat.runtime.gpus import Backend, open_gpus
from ngramstat.runtime.progress import Progress
from ngramstat.runtime.resources import parse_memory_limit, peak_rss_bytes, resolve_threads
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.sampling.options import SamplingOptions
from ngramstat.stages.cache import PartCache, corpus_identity
from ngramstat.stages.plan import MeasurementPlan, make_plan, require_memory
from ngramstat.stages.runner import Runner, stages_of
from ngramstat.stages.stage import Stage
from ngramstat.theories.growth import Growth, measure_growth
from ngramstat.theories.panel import NO_CORPUS, MeasuredAlpha, assemble
from ngramstat.theories.spectra import measure_spectra
from ngramstat.version import __version__

__all__ = [
    "correlations",
    "entropies",
    "load_run",
    "measure",
    "plan",
    "predict_run",
    "run",
    "theories",
]

RUN_FILE = "run.json"
THEORIES_FILE = "theories.json"
PARTS = "parts"
TRAIN = "train"


def correlations(
    corpus: Corpus,
    *,
    lags: Sequence[int] | None = None,
    boundary: str = "stream",
    protocol: str = "default",
    singular_values: int = 8,
    beta_window: tuple[int, int] | None = None,
    vocab_top: int | None = None,
    sequential: bool = True,
    matrix_free: bool = False,
    replicates: int = 999,
    level: float = 0.95,
    seed: int = 0,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    backend: Backend = "auto",
    gpu_memory: str | int | None = None,
    progress: bool = False,
) -> CorrelationResult:
    """Covariances C(t) of a corpus, their noise and beta.

    Parameters
    ----------
    corpus : Corpus
    lags : sequence of int, optional
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
    threads : int, optional
        By default the cores this process may use. Does not change the result.
    memory_limit : str or int, optional
        Such as "80%" (the default) or "16G". Does not change the result.
    backend : str
        Compute backend: ``cuda`` (GPUs count, and multiply counts by vectors), ``cpu``, or
        ``auto`` (GPUs where there are any). Counts are the same, norms agree to 1e-7.
    gpu_memory : str or int, optional
        Limit of each GPU's memory, such as "40G" or "50%" of what is free (by default nearly all).
    progress : bool
        Show progress on standard error.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given.
    """
    result = run(
        corpus,
        entropies=False,
        lags=lags,
        boundary=boundary,
        protocol=protocol,
        singular_values=singular_values,
        beta_window=beta_window,
        vocab_top=vocab_top,
        sequential=sequential,
        matrix_free=matrix_free,
        replicates=replicates,
        level=level,
        seed=seed,
        threads=threads,
        memory_limit=memory_limit,
        backend=backend,
        gpu_memory=gpu_memory,
        progress=progress,
    ).correlations
    assert result is not None
    return result


def entropies(
    corpus: Corpus,
    *,
    max_context: int = 5,
    boundary: str = "stream",
    held_out: float | str | PathLike[str] | None = None,
    predictor: str = "mixture",
    learning_sizes: int = 7,
    replicates: int = 999,
    level: float = 0.95,
    seed: int = 0,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    backend: Backend = "auto",
    gpu_memory: str | int | None = None,
    progress: bool = False,
) -> EntropyResult:
    """Entropies H(n) of a corpus, bracketed by counts and held-out losses, and gamma.

    Parameters
    ----------
    corpus : Corpus
    max_context : int
        Contexts of 0 .. max_context tokens.
    boundary : str
        ``stream``: contexts run across documents; ``document``: they stay inside.
    held_out : float or path, optional
        Fraction of the tokens to hold out, or a held-out corpus; by default a hundredth, but at
        least 200,000 tokens and at most a tenth.
    predictor : str
        Best predictor to look for: ``mixture`` of contexts, or ``kneser-ney`` alone.
    learning_sizes : int
        Sizes of the training set on the learning curve, each half of the next.
    replicates, level, seed, threads, memory_limit, backend, gpu_memory, progress
        As for `correlations`.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given.
    """
    result = run(
        corpus,
        correlations=False,
        max_context=max_context,
        boundary=boundary,
        held_out=held_out,
        predictor=predictor,
        learning_sizes=learning_sizes,
        replicates=replicates,
        level=level,
        seed=seed,
        threads=threads,
        memory_limit=memory_limit,
        backend=backend,
        gpu_memory=gpu_memory,
        progress=progress,
    ).entropies
    assert result is not None
    return result


def measure(
    corpus: Corpus,
    *,
    output: str | PathLike[str] | None = None,
    tokens: Sequence[float] = (),
    overwrite: bool = False,
    **options: Any,
) -> RunResult:
    """C(t), H(n), the exponents and the prediction: the main job.

    Parameters
    ----------
    corpus : Corpus
    output : path, optional
        Directory of the run. Finished parts are kept there as they come, and a later call with the
        same corpus and options resumes from them; the result is that of a call that was never
        interrupted. Without it nothing is written.
    tokens : sequence of float
        Numbers of training tokens at which to give the horizon n*(P); by default those of an
        earlier run in `output`.
    overwrite : bool
        Whether another run's result in `output` may be replaced.
    **options
        Those of `correlations` and `entropies`.

    Raises
    ------
    InputError
        An option or the corpus cannot be used as given, or `output` holds another run.
    """
    return run(corpus, output=output, tokens=tokens, overwrite=overwrite, **options)


def run(
    corpus: Corpus,
    *,
    correlations: bool = True,
    entropies: bool = True,
    output: str | PathLike[str] | None = None,
    overwrite: bool = False,
    tokens: Sequence[float] = (),
    threads: int | None = None,
    memory_limit: str | int | None = None,
    backend: Backend = "auto",
    gpu_memory: str | int | None = None,
    progress: bool = False,
    **options: Any,
) -> RunResult:
    """One or both halves of `measure`, as one result with settings and provenance."""
    started = time.monotonic()
    chosen = _Options.of(corpus, correlations=correlations, entropies=entropies, **options)
    directory = None if output is None else Path(output)
    if directory is not None and not overwrite and len(tokens) == 0:
        tokens = _tokens_of_earlier_run(directory)
    settings = {**chosen.settings(), "tokens": [float(t) for t in tokens]}
    workspace = Workspace(
        resolve_threads(threads),
        parse_memory_limit(memory_limit),
        directory,
        open_gpus(backend, gpu_memory),
    )
    check_positive("tokens", tokens)
    if directory is not None:
        _refuse_other_run(directory, corpus, settings, overwrite=overwrite)
    cache = PartCache(None if directory is None else directory / PARTS, corpus_identity(corpus))
    design = SamplingDesign(corpus, chosen.sampling)
    require_memory(corpus, chosen.stages(design), workspace)
    runner = Runner(cache, workspace, progress=progress)
    pair_result = entropy_result = None
    with workspace.managing(corpus.tokens), workspace.gpus.errors():
        if chosen.correlations is not None:
            pair_result = runner.correlations(design, chosen.correlations)
        if chosen.entropies is not None:
            entropy_result = runner.entropies(design, chosen.entropies)
    result = RunResult(
        corpus={**corpus.info(), "boundary": design.boundary.value, "separator": corpus.separator},
        settings=settings,
        provenance=_provenance(workspace, time.monotonic() - started),
        correlations=pair_result,
        entropies=entropy_result,
    )
    if pair_result is not None and entropy_result is not None:
        assert chosen.correlations is not None
        result = _concluded(result, directory, tokens=tokens, protocol=chosen.correlations.protocol)
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
    corpus: Corpus,
    *,
    correlations: bool = True,
    entropies: bool = True,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    output: str | PathLike[str] | None = None,
    **options: Any,
) -> MeasurementPlan:
    """What `measure` would take with these options: passes, memory, temporary disk and time.

    Takes a few seconds, most of them to time the kernels on the first two million tokens.
    """
    chosen = _Options.of(corpus, correlations=correlations, entropies=entropies, **options)
    workspace = Workspace(resolve_threads(threads), parse_memory_limit(memory_limit), output)
    return make_plan(corpus, chosen.stages(SamplingDesign(corpus, chosen.sampling)), workspace)


def load_run(path: str | PathLike[str]) -> RunResult:
    """The result of `measure`, from its directory or its file.

    Raises
    ------
    InputError
        The run is unfinished, or the file is absent or no run.
    """
    place = Path(path)
    if (place / PARTS).is_dir() and not (place / RUN_FILE).exists():
        raise InputError(f"{place}: the run is unfinished; call `ngramstat measure` on it again")
    return RunResult.load(place / RUN_FILE if place.is_dir() else place)


def predict_run(
    run: str | PathLike[str] | RunResult,
    *,
    tokens: Sequence[float] = (),
    losses: Sequence[tuple[float, float]] = (),
    context: int | None = None,
    curves: Paths | CurveTable | Sequence[LearnerCurves] | None = None,
    reader: str | PathLike[str] | None = None,
    protocol: str | None = None,
) -> RunResult:
    """The run with what it predicts, and its answer, at the sizes and for the models given.

    Parameters
    ----------
    run : path or RunResult
        With both halves.
    tokens, losses, context
        As for `predict`.
    curves : path, paths or CurveTable, optional
        Losses of your own models: what `read_curves` has read, or what it reads without options; or
        the output directory of `validate`. By default those of models that `measure --train`
        trained for this run.
    reader : path, optional
        Losses of a pretrained model on this text, as `ngramstat read` writes them.
    protocol : str, optional
        ``paper`` adds the exponents by the paper's protocol; by default that of the run.

    Raises
    ------
    InputError
        The run lacks a half, or a file cannot be read.
    """
    if isinstance(run, RunResult):
        result, directory = run, None
    else:
        result, path = load_run(run), Path(run)
        directory = path if path.is_dir() else path.parent
    return _concluded(
        result, directory, tokens=tokens, losses=losses, context=context,
        curves=curves, reader=reader,
        protocol=protocol or str(result.settings.get("protocol", "default")),
    )  # fmt: skip


def _concluded(
    run: RunResult,
    directory: Path | None,
    *,
    curves: Paths | CurveTable | Sequence[LearnerCurves] | None = None,
    reader: str | PathLike[str] | None = None,
    **options: Any,
) -> RunResult:
    """`concluded`, with the learners of these files, or those trained in the run's directory."""
    if curves is None and directory is not None and any((directory / TRAIN).glob("curves-*.csv")):
        curves = directory / TRAIN
    learners = _learners(curves)
    of_reader = None if reader is None else read_reader(reader)
    n_tokens, vocab_size = (int(run.corpus.get(name) or 0) for name in ("tokens", "vocab_size"))
    enough = enough_to_train(n_tokens)
    # Timing takes a moment, and is of use only where a training is suggested.
    timed = enough and vocab_size > 0 and not learners
    return concluded(
        run,
        learners=learners,
        reader=of_reader,
        next_steps=next_steps(
            run.corpus.get("path"),
            directory,
            trained=bool(learners),
            read=of_reader is not None,
            enough=enough,
            training_seconds=expected_seconds(n_tokens, vocab_size) if timed else None,
        ),
        **options,
    )


def _learners(
    curves: Paths | CurveTable | Sequence[LearnerCurves] | None,
) -> list[LearnerCurves]:
    """Learners of curves that were read already, or are read now."""
    if curves is None:
        return []
    if isinstance(curves, CurveTable):
        return [LearnerCurves("your models", curves)]
    if isinstance(curves, str | PathLike):
        return read_learners(curves)
    learners = [one for one in curves if isinstance(one, LearnerCurves)]
    return learners or read_learners([one for one in curves if isinstance(one, str | PathLike)])


def theories(
    run: str | PathLike[str] | RunResult,
    *,
    corpus: str | PathLike[str] | Corpus | None = None,
    validation: str | PathLike[str] | None = None,
    curves: Paths | CurveTable | None = None,
    longest: int = 4,
    seed: int = 0,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    backend: Backend = "auto",
    gpu_memory: str | int | None = None,
    progress: bool = False,
) -> TheoriesResult:
    """What other theories predict of a run's corpus, beside alpha = gamma / (2 beta).

    Parameters
    ----------
    run : path or RunResult
    corpus : path or Corpus, optional
        By default where the run found it. Without it, what needs counting is refused.
    validation : path, optional
        Directory or file of `validate`; predictions are compared with its measured exponents.
    curves : path, paths or CurveTable, optional
        Measured losses, for the same: as for `predict_run`.
    longest : int
        k-grams of 1 .. longest tokens are counted, at most 16.
    seed, threads, memory_limit, backend, gpu_memory, progress
        As for `correlations`.

    Raises
    ------
    InputError
        The corpus given is another than the run's, or a file cannot be read.
    """
    result = run if isinstance(run, RunResult) else load_run(run)
    if not 1 <= longest <= MAX_ORDER:
        raise InputError(f"longest={longest}: must lie in 1 .. {MAX_ORDER}")
    source = _corpus_of(result, corpus)
    measured = _measured_alphas(validation, curves, result.corpus.get("sha256"))
    growth: Growth | str = NO_CORPUS
    spectra = None
    if source is not None:
        gpus = open_gpus(backend, gpu_memory)
        workspace = Workspace(resolve_threads(threads), parse_memory_limit(memory_limit), gpus=gpus)
        boundary = Boundary.parse(str(result.corpus.get("boundary") or "stream"))
        with workspace.managing(source.tokens), gpus.errors():
            growth = _growth(source, longest, seed, workspace, progress)
            design = SamplingDesign(source, SamplingOptions(boundary=boundary, seed=seed))
            spectra = measure_spectra(design, workspace=workspace)
    return assemble(result, source, growth, spectra, measured)


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


def _corpus_of(run: RunResult, given: str | PathLike[str] | Corpus | None) -> Corpus | None:
    """The corpus of a run, where it can be found and is the same."""
    sha256 = run.corpus.get("sha256")
    if given is None:
        path = run.corpus.get("path")
        if path is None or not Path(path).exists():
            return None
        corpus = Corpus.open(path)
        return corpus if corpus.sha256 == sha256 else None
    corpus = given if isinstance(given, Corpus) else Corpus.open(given)
    if sha256 is not None and corpus.sha256 != sha256:
        raise InputError(f"{corpus.path}: is another corpus than that of the run")
    return corpus


def _measured_alphas(
    validation: str | PathLike[str] | None, curves: Paths | CurveTable | None, sha256: Any
) -> list[MeasuredAlpha]:
    measured: list[MeasuredAlpha] = []
    if validation is not None:
        path = Path(validation)
        result = ValidationResult.load(path / "validation.json" if path.is_dir() else path)
        if sha256 is not None and result.corpus.get("sha256") not in (None, sha256):
            raise InputError(f"{path}: was trained on another corpus than that of the run")
        gates_hold = all(gate.passed is not False for gate in result.gates)
        measured += [
            MeasuredAlpha(f"validation, {c.name}", c.name, c.measured, gates_hold)
            for c in result.comparisons
        ]
    if curves is not None:
        table = curves if isinstance(curves, CurveTable) else read_curves(curves)
        best = lower_envelope(table.tokens, table.loss)
        tokens, losses = table.tokens[best], table.loss[best]
        measured.append(MeasuredAlpha("curves, raw", "raw", alpha_of_losses(tokens, losses)))
        measured.append(MeasuredAlpha("curves, limit", "limit", alpha_with_limit(tokens, losses)))
    return measured


@dataclasses.dataclass(frozen=True)
class _Options:
    """Resolved options of a measurement; None leaves that half out."""

    sampling: SamplingOptions
    correlations: CorrelationOptions | None
    entropies: EntropyOptions | None

    @classmethod
    def of(
        cls,
        corpus: Corpus,
        *,
        correlations: bool,
        entropies: bool,
        boundary: str = "stream",
        protocol: str = "default",
        lags: Sequence[int] | None = None,
        beta_window: tuple[int, int] | None = None,
        held_out: float | str | PathLike[str] | None = None,
        **options: Any,
    ) -> _Options:
        """Checked options, by the names of the public functions.

        Options of either half are checked whether or not that half runs. An unknown name is a
        TypeError, as for any function.
        """
        shared: dict[str, Any] = {"boundary": Boundary.parse(boundary)}
        for name in ("replicates", "level", "seed"):
            if name in options:
                shared[name] = options.pop(name)
        names = {f.name for f in dataclasses.fields(CorrelationOptions)}
        of_pairs = {name: options.pop(name) for name in list(options) if name in names}
        if lags is None:
            lags = default_lags(corpus, shared["boundary"], check_protocol(protocol))
        window = None if beta_window is None else (int(beta_window[0]), int(beta_window[1]))
        pair_options = CorrelationOptions(
            lags=tuple(int(lag) for lag in lags),
            window=window,
            protocol=check_protocol(protocol),
            **of_pairs,
            **shared,
        )
        entropy_options = EntropyOptions(
            held_out=held_out if isinstance(held_out, float | int | None) else str(held_out),
            **options,
            **shared,
        )
        return cls(
            SamplingOptions(**shared),
            pair_options if correlations else None,
            entropy_options if entropies else None,
        )

    def settings(self) -> dict[str, Any]:
        """All options, as `run.json` records them."""
        settings: dict[str, Any] = {}
        for options in (self.correlations, self.entropies):
            if options is not None:
                settings |= dataclasses.asdict(options)
        if settings:
            settings["boundary"] = self.sampling.boundary.value
        return settings

    def stages(self, design: SamplingDesign) -> list[Stage[Any]]:
        """What has to be run."""
        return stages_of(design, self.correlations, self.entropies)


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
