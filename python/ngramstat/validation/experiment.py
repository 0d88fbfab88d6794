"""`validate`: measure the corpus, train the models, compare, in one call."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ngramstat.corpus.conversion import CorpusLike, as_corpus
from ngramstat.kernels import build_info
from ngramstat.lm.run import require_torch
from ngramstat.lm.sweep import Record, TrainingPlan
from ngramstat.results import ValidationResult
from ngramstat.runtime.arguments import as_seed
from ngramstat.runtime.files import write_json
from ngramstat.runtime.gpus import Backend
from ngramstat.runtime.locks import sole_writer
from ngramstat.runtime.progress import shows_progress
from ngramstat.runtime.resources import peak_rss_bytes, resolve_threads
from ngramstat.validation.design import check_level, design_experiment, measured_run
from ngramstat.validation.verdict import assemble
from ngramstat.version import __version__

__all__ = ["validate"]


# Formatted by hand: one group of options a line.
# fmt: off
def validate(
    corpus: CorpusLike, *, output: str | PathLike[str], models: Sequence[str] = ("gpt2",),
    size: str = "0.1M", contexts: Sequence[int] = (), sizes: Sequence[int] = (),
    seeds: int = 1, trials: int = 6, capacity: bool = True, targets: str = "all",
    held_out: int = 1 << 18, tuning: int = 1 << 15, budget: float | None = None,
    measured: str | PathLike[str] | None = None, device: str | None = None, level: float = 0.95,
    seed: int = 0, rng: int | np.random.Generator | None = None, threads: int | None = None,
    memory_limit: str | int | None = None, backend: Backend = "auto",
    gpu_memory: str | int | None = None, progress: bool | None = None,
    protocol: str = "default",
) -> ValidationResult:
    """Train models on growing parts of a corpus and compare their alpha with the predicted one.

    Needs torch. A call with the same output resumes an earlier one.

    Parameters
    ----------
    corpus
        As in `measure`.
    output : path
        Directory for runs.csv (runs done, to do and left out), runs/ with a directory for each run,
        the curves (curves-MODEL-T.csv, as `predict --curves` reads them) and validation.json.
    models : sequence of str
        ``gpt2``, ``gpt2-rotary`` or ``llama``.
    size : str
        Number of parameters without embeddings: one of `ngramstat.lm.shape.SIZES`.
    contexts, sizes : sequence of int
        Context lengths T, by default 64 (with targets ``last`` or ``class`` the documents' length
        decides them), and training-set sizes P in tokens, by default 10^5 and its doublings.
    seeds, trials : int
        Trainings with the best settings of each size, and maximum number of settings tried.
    capacity : bool
        Also train the next larger model once, to check that it gains nothing.
    targets : str
        ``all`` tokens; the ``last`` token of every document, whose exponent is known in hierarchy
        worlds; or the ``class`` of every document.
    held_out, tuning : int
        Numbers of tokens for measuring and for tuning, each at most a tenth of the corpus.
    budget : float, optional
        Seconds of training, earlier calls included. Runs that do not fit are left out and listed.
    measured : path, optional
        A finished run of `measure` on this corpus; by default the corpus is measured now.
    device : str, optional
        ``cpu``, ``cuda`` or such as ``cuda:1``; by default a GPU if there is one.
    level : float
        Confidence level of the intervals.
    seed, rng, threads, memory_limit, backend, gpu_memory, progress
        As in `measure`.
    protocol : str
        ``default``, or ``paper``: trained as by Cagnetta et al. (`ngramstat.lm.protocol`), with
        their lags, windows and raw slopes.

    Raises
    ------
    InputError
        An option is invalid, the corpus too small, or `measured` or `output` of another corpus.
    NgramstatError
        torch is not installed, or no run reached a finite loss.
    """
    require_torch()
    started, directory = time.monotonic(), Path(output)
    corpus, seed, show = as_corpus(corpus), as_seed(seed, rng), shows_progress(progress)
    check_level(level)
    threads, device = _prepare_torch(threads, device)
    design = design_experiment(corpus, targets, contexts, sizes, held_out, tuning, seed)
    plan = TrainingPlan(tuple(models), size, design.contexts, design.sizes, seeds, trials, capacity,
                        targets, protocol)
    sweep = design.sweep(plan, directory, budget=budget, device=device, progress=show)
    resources = {"memory_limit": memory_limit, "backend": backend, "gpu_memory": gpu_memory}
    corpus.require_unchanged()
    with sole_writer(directory):
        run = measured_run(corpus, measured, directory, seed=seed, threads=threads, progress=show,
                           protocol=protocol, **resources)
        settings = {
            "models": list(models), "size": size, "contexts": list(design.contexts),
            "sizes": list(design.sizes), "seeds": seeds, "trials": trials, "capacity": capacity,
            "targets": targets, "protocol": protocol, "held_out": design.held_out,
            "tuning": design.tuning, "budget": budget,
            "measured": None if measured is None else str(measured), "device": device,
            "level": level, "seed": seed, "threads": threads, "memory_limit": memory_limit,
        }
        sweep.run()
        corpus.require_unchanged()
        result = assemble(corpus, run, sweep, settings)
        provenance = _provenance(sweep.records, threads, started)
        result = dataclasses.replace(result, provenance=provenance)
        write_json(directory / "validation.json", result.to_dict())
        return result
# fmt: on


def _prepare_torch(threads: int | None, device: str | None) -> tuple[int, str]:
    """Set torch's threads; returns their number and the name of the device."""
    from ngramstat.lm.train import device_of, set_threads

    threads = resolve_threads(threads)
    set_threads(threads)
    return threads, device_of(device)


def _provenance(records: Sequence[Record], threads: int, started: float) -> dict[str, Any]:
    return {
        "version": __version__,
        "commit": build_info().get("commit"),
        "devices": sorted({r.result.device for r in records if r.result}),
        "precisions": sorted({r.run.precision for r in records if r.result}),
        "threads": threads,
        "seconds": round(time.monotonic() - started, 3),
        "training_seconds": round(sum(r.result.seconds for r in records if r.result), 3),
        "peak_rss_bytes": peak_rss_bytes(),
    }
