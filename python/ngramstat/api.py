"""The main job: a corpus in, C(t), H(n), the exponents and a prediction out."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.corpus import Corpus
from ngramstat.covariance.assembly import assemble_correlations
from ngramstat.covariance.cross_fit import CrossFit
from ngramstat.covariance.measurement import (
    CorrelationOptions,
    LagMeasurement,
    TopTokens,
    default_lags,
    measure_lags,
)
from ngramstat.entropy.assembly import (
    EntropyOptions,
    assemble_entropies,
    learning_subsets,
    measure_held_out,
    measure_mixture,
    measure_ngrams,
    measure_subset,
)
from ngramstat.entropy.kneser_ney import HeldOut
from ngramstat.entropy.learning_curves import LearningPoint
from ngramstat.entropy.mixture import MixtureLosses
from ngramstat.errors import InputError
from ngramstat.kernels import MAX_ORDER, NgramCounts, NgramStatistics, build_info, simd_level
from ngramstat.prediction.curve_files import read_curves
from ngramstat.prediction.measured import alpha_of_losses, alpha_with_limit, lower_envelope
from ngramstat.prediction.predict import predict
from ngramstat.results import (
    CorrelationResult,
    EntropyResult,
    RunResult,
    TheoriesResult,
    ValidationResult,
)
from ngramstat.runtime.files import sha256_array
from ngramstat.runtime.gpus import Backend, open_gpus
from ngramstat.runtime.progress import Progress
from ngramstat.runtime.resources import parse_memory_limit, peak_rss_bytes, resolve_threads
from ngramstat.runtime.workspace import Workspace
from ngramstat.stages.cache import PartStore
from ngramstat.stages.plan import Plan, make_plan, require_room
from ngramstat.theories.growth import Growth, measure_growth
from ngramstat.theories.panel import NO_CORPUS, MeasuredAlpha, assemble
from ngramstat.theories.spectra import measure_spectra
from ngramstat.version import __version__

__all__ = ["correlations", "entropies", "load_run", "measure", "plan", "run", "theories"]

# Raised with every change of what a finished part holds or means: an older one is then made again.
PARTS_VERSION = 6
RUN_FILE = "run.json"
THEORIES_FILE = "theories.json"
PARTS = "parts"


def correlations(
    corpus: Corpus,
    *,
    lags: Sequence[int] | None = None,
    boundary: str = "stream",
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
    singular_values : int
        How many leading singular values to return, 1 .. 8.
    beta_window : (low, high), optional
        Lags to fit beta on, inclusive; found from the data by default.
    vocab_top : int, optional
        Restrict C(t) to the most frequent types, this many; what that leaves out is in
        `vocab_cut` of the result. By default all types count.
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
        Of the document halves and the bootstrap.
    threads : int, optional
        By default the cores this process may use. Does not change the result.
    memory_limit : str or int, optional
        Such as "80%" (the default) or "16G". Does not change the result.
    backend : str
        ``cuda``: GPUs count, and multiply counts by vectors; ``cpu``; or ``auto``: GPUs where
        there are any. Counts are the same, norms agree to 1e-7.
    gpu_memory : str or int, optional
        What may be taken of each GPU's memory, such as "40G" or "50%" of what is free (by default
        nearly all).
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
    held_out: float | str | PathLike[str] = 0.01,
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
    held_out : float or path
        Share of the documents to hold out, or a held-out corpus.
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
        Directory of the run. What is finished is kept there as it comes, and a later call with the
        same corpus and options goes on from it; the result is the same as of a call that was never
        interrupted. Without it nothing is written.
    tokens : sequence of float
        Numbers of training tokens at which to give the horizon n*(P).
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
    pair_options, entropy_options = _options(corpus, **options)
    settings = {
        **(dataclasses.asdict(pair_options) if correlations else {}),
        **(dataclasses.asdict(entropy_options) if entropies else {}),
        "tokens": [float(t) for t in tokens],
    }
    directory = None if output is None else Path(output)
    gpus = open_gpus(backend, gpu_memory)
    workspace = Workspace(
        resolve_threads(threads), parse_memory_limit(memory_limit), directory, gpus
    )
    for number in tokens:
        if not (math.isfinite(number) and number > 0):
            raise InputError(f"tokens: needs positive numbers, got {number:g}")
    if directory is not None:
        _refuse_other_run(directory, corpus, settings, overwrite=overwrite)
    store = PartStore(None if directory is None else directory / PARTS, _identity(corpus))
    require_room(
        corpus,
        pair_options if correlations else None,
        entropy_options if entropies else None,
        workspace,
    )
    pair_result = entropy_result = None
    with workspace.managing(corpus.tokens), gpus.errors():
        if correlations:
            pair_result = _correlations(corpus, pair_options, store, workspace, progress)
        if entropies:
            entropy_result = _entropies(corpus, entropy_options, store, workspace, progress)
    prediction = None
    if pair_result is not None and entropy_result is not None:
        prediction = predict(pair_result, entropy_result, tokens=tokens)
    result = RunResult(
        corpus={**corpus.info(), "boundary": pair_options.boundary, "separator": corpus.separator},
        settings=settings,
        provenance={
            "version": __version__,
            "commit": build_info()["commit"] or None,
            "backend": gpus.name,
            "gpus": [gpu.name for gpu in gpus.devices],
            "simd": simd_level(),
            "threads": workspace.threads,
            "memory_limit_bytes": workspace.memory_limit,
            "seconds": round(time.monotonic() - started, 3),
            "peak_rss_bytes": peak_rss_bytes(),
        },
        correlations=pair_result,
        entropies=entropy_result,
        prediction=prediction,
    )
    if directory is not None:
        result.save(directory / RUN_FILE)
    return result


def plan(
    corpus: Corpus,
    *,
    correlations: bool = True,
    entropies: bool = True,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    output: str | PathLike[str] | None = None,
    **options: Any,
) -> Plan:
    """What `measure` would take with these options: passes, memory, temporary disk and time.

    Takes a few seconds, most of them to time the kernels on the first two million tokens.
    """
    pair_options, entropy_options = _options(corpus, **options)
    return make_plan(
        corpus,
        pair_options if correlations else None,
        entropy_options if entropies else None,
        Workspace(resolve_threads(threads), parse_memory_limit(memory_limit), output),
    )


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


def theories(
    run: str | PathLike[str] | RunResult,
    *,
    corpus: str | PathLike[str] | Corpus | None = None,
    validation: str | PathLike[str] | None = None,
    curves: str | PathLike[str] | None = None,
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
        Directory or file of `validate`, whose measured exponents predictions are held against.
    curves : path, optional
        CSV or JSON of measured losses (see `read_curves`), for the same.
    longest : int
        k-grams of 1 .. longest tokens are counted, at most 16.
    seed, threads, memory_limit, backend, gpu_memory, progress
        As for `correlations`.

    Raises
    ------
    InputError
        The corpus given is another than the run's, or a file cannot be read.
    """
    found = run if isinstance(run, RunResult) else load_run(run)
    if not 1 <= longest <= MAX_ORDER:
        raise InputError(f"longest={longest}: must lie in 1 .. {MAX_ORDER}")
    store = _corpus_of(found, corpus)
    measured = _measured_alphas(validation, curves, found.corpus.get("sha256"))
    growth: Growth | str = NO_CORPUS
    spectra = None
    if store is not None:
        gpus = open_gpus(backend, gpu_memory)
        workspace = Workspace(resolve_threads(threads), parse_memory_limit(memory_limit), gpus=gpus)
        boundary = str(found.corpus.get("boundary") or "stream")
        with workspace.managing(store.tokens), gpus.errors():
            with Progress(2 * store.n_tokens, "k-grams", unit="tok", enabled=progress) as bar:
                try:
                    growth = measure_growth(
                        store, longest=longest, seed=seed, workspace=workspace, progress=bar
                    )
                except InputError as error:
                    growth = str(error)  # too few documents: the other rows stand
            spectra = measure_spectra(store, boundary=boundary, seed=seed, workspace=workspace)
    return assemble(found, store, growth, spectra, measured)


def _corpus_of(run: RunResult, given: str | PathLike[str] | Corpus | None) -> Corpus | None:
    """The corpus of a run, where it can be found and is the same."""
    wanted = run.corpus.get("sha256")
    if given is None:
        path = run.corpus.get("path")
        if path is None or not Path(path).exists():
            return None
        corpus = Corpus.open(path)
        return corpus if corpus.sha256 == wanted else None
    corpus = given if isinstance(given, Corpus) else Corpus.open(given)
    if wanted is not None and corpus.sha256 != wanted:
        raise InputError(f"{corpus.path}: is another corpus than that of the run")
    return corpus


def _measured_alphas(
    validation: str | PathLike[str] | None, curves: str | PathLike[str] | None, sha256: Any
) -> list[MeasuredAlpha]:
    found: list[MeasuredAlpha] = []
    if validation is not None:
        path = Path(validation)
        result = ValidationResult.load(path / "validation.json" if path.is_dir() else path)
        if sha256 is not None and result.corpus.get("sha256") not in (None, sha256):
            raise InputError(f"{path}: was trained on another corpus than that of the run")
        sound = all(gate.passed is not False for gate in result.gates)
        found += [
            MeasuredAlpha(f"validation, {c.name}", c.name, c.measured, sound)
            for c in result.comparisons
        ]
    if curves is not None:
        table = read_curves(curves)
        best = lower_envelope(table.tokens, table.loss)
        tokens, losses = table.tokens[best], table.loss[best]
        found.append(MeasuredAlpha("curves, raw", "raw", alpha_of_losses(tokens, losses)))
        found.append(MeasuredAlpha("curves, limit", "limit", alpha_with_limit(tokens, losses)))
    return found


def _options(
    corpus: Corpus,
    *,
    lags: Sequence[int] | None = None,
    max_context: int = 5,
    held_out: float | str | PathLike[str] = 0.01,
    predictor: str = "mixture",
    learning_sizes: int = 7,
    singular_values: int = 8,
    beta_window: tuple[int, int] | None = None,
    vocab_top: int | None = None,
    sequential: bool = True,
    matrix_free: bool = False,
    boundary: str = "stream",
    replicates: int = 999,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[CorrelationOptions, EntropyOptions]:
    """Options of both halves, checked."""
    shared: dict[str, Any] = {
        "boundary": boundary,
        "replicates": replicates,
        "level": level,
        "seed": seed,
    }
    pair_options = CorrelationOptions(
        lags=tuple(int(lag) for lag in lags)
        if lags is not None
        else default_lags(corpus, boundary),
        singular_values=singular_values,
        window=None if beta_window is None else (int(beta_window[0]), int(beta_window[1])),
        vocab_top=vocab_top,
        sequential=sequential,
        matrix_free=matrix_free,
        **shared,
    )
    entropy_options = EntropyOptions(
        max_context=max_context,
        held_out=held_out if isinstance(held_out, float | int) else str(held_out),
        predictor=predictor,
        learning_sizes=learning_sizes,
        **shared,
    )
    return pair_options, entropy_options


def _identity(corpus: Corpus) -> dict[str, Any]:
    """What a part depends on besides its own options."""
    ends = corpus.document_ends
    return {
        "version": __version__,
        "parts": PARTS_VERSION,
        "tokens": corpus.sha256,
        "vocab_size": corpus.vocab_size,
        "separator": corpus.separator,
        "documents": None if ends is None else sha256_array(np.asarray(ends)),
    }


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
        if name != "tokens" and old.settings.get(name) != new.settings.get(name)
    ]
    if old.corpus.get("sha256") != corpus.sha256:
        differing.insert(0, "corpus")
    if differing:
        raise InputError(
            f"{path}: holds a run with another {', '.join(differing)}; "
            "choose another --output, or pass --overwrite"
        )


def _correlations(
    corpus: Corpus,
    options: CorrelationOptions,
    store: PartStore,
    workspace: Workspace,
    progress: bool,
) -> CorrelationResult:
    # The lags and the window of the fit are not part of what one lag's measurement depends on.
    shared = dataclasses.asdict(options)
    shared.pop("lags")
    shared.pop("window")
    measured: dict[int, LagMeasurement] = {}
    for lag in options.lags:
        found = store.load("lag", {**shared, "lag": lag})
        if found is not None:
            measured[lag] = _lag_from_arrays(found)
    missing = [lag for lag in options.lags if lag not in measured]
    with Progress(len(options.lags), "C(t)", unit="lags", enabled=progress) as bar:
        bar.advance(len(measured))
        for measurement in measure_lags(corpus, options, missing, workspace=workspace):
            measured[measurement.lag] = measurement
            store.save(
                "lag",
                {**shared, "lag": measurement.lag},
                _lag_to_arrays(measurement),
            )
            bar.advance()
    return assemble_correlations(corpus, options, [measured[lag] for lag in options.lags])


_CROSS_FITS = ("cross_fit", "cross_fit_sequential")
_LOADINGS = ("left", "right")


def _lag_to_arrays(measurement: LagMeasurement) -> dict[str, NDArray[Any]]:
    values = {f.name: getattr(measurement, f.name) for f in dataclasses.fields(measurement)}
    for name in _CROSS_FITS:
        values[name] = values[name].to_array()
    for name in _LOADINGS:
        found = values.pop(name)
        values[f"{name}_types"], values[f"{name}_values"] = found.types, found.values
    return {name: np.asarray(value) for name, value in values.items()}


def _lag_from_arrays(arrays: Mapping[str, NDArray[Any]]) -> LagMeasurement:
    values: dict[str, Any] = {
        name: value.item() if value.ndim == 0 else value for name, value in arrays.items()
    }
    for name in _CROSS_FITS:
        values[name] = CrossFit.from_array(arrays[name])
    for name in _LOADINGS:
        values[name] = TopTokens(values.pop(f"{name}_types"), values.pop(f"{name}_values"))
    return LagMeasurement(**values)


def _entropies(
    corpus: Corpus,
    options: EntropyOptions,
    store: PartStore,
    workspace: Workspace,
    progress: bool,
) -> EntropyResult:
    n = corpus.n_tokens

    def part(kind: str, description: str, compute: Callable[[Any], Any], keys: Any) -> Any:
        encode, decode = _CODECS[kind]
        found = store.load(kind, keys)
        if found is not None:
            return decode(found)
        with Progress(n, description, unit="tok", enabled=progress) as bar:
            value = compute(bar)
        store.save(kind, keys, encode(value))
        return value

    counts: NgramStatistics = part(
        "ngrams",
        "H(n) counts",
        lambda bar: measure_ngrams(corpus, options, workspace=workspace, progress=bar),
        {name: getattr(options, name) for name in ("max_context", "boundary", "seed")},
    )
    keys: dict[str, Any] = {
        name: getattr(options, name) for name in ("max_context", "boundary", "held_out", "seed")
    }
    if isinstance(options.held_out, str):
        keys["held_out"] = _identity(Corpus.open(options.held_out))
    held_out: HeldOut = part(
        "held-out",
        "H(n) held out",
        lambda bar: measure_held_out(corpus, options, workspace=workspace, progress=bar),
        keys,
    )
    points: list[LearningPoint] = []
    subsets = learning_subsets(corpus, options)
    # One bar for all of them: its total is what they train on.
    with Progress(
        sum(0.5**s.halvings for s in subsets) * n, "H(n) learning", unit="tok", enabled=progress
    ) as bar:
        for subset in subsets:
            where = {**keys, "halvings": subset.halvings, "replicate": subset.replicate}
            found = store.load("learning", where)
            if found is None:
                point = measure_subset(corpus, options, subset, workspace=workspace, progress=bar)
                store.save("learning", where, _encode_point(point))
            else:
                point = _decode_point(found)
                bar.advance(point.tokens)
            points.append(point)
    mixture: MixtureLosses | None = None
    if options.predictor == "mixture" and options.max_context > 0:
        mixture = part(
            "mixture",
            "H(n) mixture",
            lambda bar: measure_mixture(
                corpus,
                options,
                workspace=workspace,
                progress=_Scaled(bar, n),
            ),
            keys,
        )
    return assemble_entropies(corpus, options, counts, held_out, mixture, points)


class _Scaled:
    """Progress told in shares of the whole, shown in tokens."""

    def __init__(self, bar: Progress, total: int) -> None:
        self._bar, self._total = bar, total

    def advance(self, share: float) -> None:
        self._bar.advance(share * self._total)


def _encode_point(point: LearningPoint) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(value) for name, value in vars(point).items()}


def _decode_point(arrays: Mapping[str, NDArray[Any]]) -> LearningPoint:
    return LearningPoint(int(arrays["halvings"]), int(arrays["tokens"]), arrays["losses"])


def _encode_mixture(mixture: MixtureLosses) -> dict[str, NDArray[Any]]:
    return {name: np.asarray(value) for name, value in vars(mixture).items()}


def _decode_mixture(arrays: Mapping[str, NDArray[Any]]) -> MixtureLosses:
    return MixtureLosses(arrays["losses"], arrays["better"], int(arrays["tuning_tokens"]))


def _encode_counts(statistics: NgramStatistics) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {
        "losses": statistics.losses,
        "group_targets": statistics.group_targets,
    }
    parts = (statistics.whole, *statistics.halves, *statistics.quarters)
    for k, counts in enumerate(parts):
        arrays[f"targets_{k}"] = np.asarray(counts.targets)
        for n, (ngrams, contexts) in enumerate(zip(counts.ngrams, counts.contexts, strict=True)):
            arrays[f"ngrams_{k}_{n}"], arrays[f"contexts_{k}_{n}"] = ngrams, contexts
    return arrays


def _decode_counts(arrays: Mapping[str, NDArray[Any]]) -> NgramStatistics:
    losses = arrays["losses"]
    whole, *rest = (
        NgramCounts(
            int(arrays[f"targets_{k}"]),
            tuple(arrays[f"ngrams_{k}_{n}"] for n in range(losses.shape[1])),
            tuple(arrays[f"contexts_{k}_{n}"] for n in range(losses.shape[1])),
        )
        for k in range(7)
    )
    return NgramStatistics(whole, tuple(rest[:2]), tuple(rest[2:]), losses, arrays["group_targets"])


def _encode_held_out(held_out: HeldOut) -> dict[str, NDArray[Any]]:
    return {
        "losses": held_out.losses,
        "tokens": held_out.tokens,
        "training_tokens": np.asarray(held_out.training_tokens),
        "discounts": np.frombuffer(json.dumps(held_out.discounts).encode(), dtype=np.uint8),
    }


def _decode_held_out(arrays: Mapping[str, NDArray[Any]]) -> HeldOut:
    return HeldOut(
        arrays["losses"],
        arrays["tokens"],
        int(arrays["training_tokens"]),
        tuple(json.loads(arrays["discounts"].tobytes())),
    )


_CODECS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "ngrams": (_encode_counts, _decode_counts),
    "held-out": (_encode_held_out, _decode_held_out),
    "mixture": (_encode_mixture, _decode_mixture),
}
