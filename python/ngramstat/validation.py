"""Trained transformers against the prediction: a sweep, its curves, and a verdict."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import math
import time
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat import __version__
from ngramstat.corpus import Corpus
from ngramstat.curves import read_curves
from ngramstat.errors import InputError, NgramstatError
from ngramstat.exponents.bootstrap import cluster_weights
from ngramstat.exponents.measured import alpha_of_losses, alpha_with_limit, lower_envelope
from ngramstat.exponents.prediction import predict
from ngramstat.exponents.training_time import time_exponent
from ngramstat.exponents.verdict import compare, conclude
from ngramstat.files import atomic_write, read_json, write_json
from ngramstat.kernels import build_info
from ngramstat.lm.data import labelled, make_texts, strings
from ngramstat.lm.sweep import Plan, Record, Sweep, loss_of_run
from ngramstat.lm.train import device_of, set_threads
from ngramstat.pipeline import RUN_FILE, measure
from ngramstat.resources import peak_rss_bytes, resolve_threads
from ngramstat.results import CurveTable, Exponent, Gate, RunResult
from ngramstat.validation_results import Comparison, TrainedLoss, ValidationResult

__all__ = ["default_sizes", "validate"]

Floats = NDArray[np.float64]

_SMALLEST, _FACTOR = 100_000, 2
_REPLICATES = 999
# A larger model may gain this share of what twice the data gain.
_MOST_GAIN = 0.25
# Contexts of the curves: all the short ones, then about four in a factor of two.
_CONTEXTS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28)


def default_sizes(tokens: int) -> tuple[int, ...]:
    """Training-set sizes: 10^5 tokens and twice as many each, up to `tokens`."""
    found = [_SMALLEST]
    while found[-1] * _FACTOR <= tokens:
        found.append(found[-1] * _FACTOR)
    return tuple(found)


def validate(
    corpus: Corpus,
    *,
    output: str | PathLike[str],
    models: Sequence[str] = ("gpt2",),
    size: str = "0.1M",
    contexts: Sequence[int] = (64,),
    sizes: Sequence[int] = (),
    seeds: int = 1,
    trials: int = 6,
    capacity: bool = True,
    targets: str = "all",
    held_out: int = 1 << 18,
    tuning: int = 1 << 15,
    budget: float | None = None,
    measured: str | PathLike[str] | None = None,
    device: str | None = None,
    level: float = 0.95,
    seed: int = 0,
    threads: int | None = None,
    memory_limit: str | int | None = None,
    progress: bool = False,
) -> ValidationResult:
    """Train models on growing shares of a corpus and compare alpha with its prediction.

    Goes on where an earlier call with the same output ended.

    Parameters
    ----------
    corpus : Corpus
    output : path
        Gets runs.csv (what is done, to do and left out), runs/ with one directory each, the curves
        (curves-MODEL-T.csv, as `predict --curves` reads them) and validation.json.
    models : sequence of str
        ``gpt2``, ``gpt2-rotary`` or ``llama``.
    size : str
        Parameters beside embeddings: one of `ngramstat.lm.shape.SIZES`.
    contexts : sequence of int
        Context lengths T; with targets ``last`` or ``class`` the documents' length alone.
    sizes : sequence of int, optional
        Training-set sizes P in tokens; by default 10^5 and twice as many each, up to all.
    seeds : int
        Trainings of the best settings of each size.
    trials : int
        Settings tried for each size at most.
    capacity : bool
        Also train the next larger model once, to see that it gains nothing.
    targets : str
        ``all`` tokens; the ``last`` of every document, whose exponents are known in hierarchy
        worlds; or its ``class``.
    held_out, tuning : int
        Tokens to measure with and to tune by.
    budget : float, optional
        Seconds of training, over all calls. What does not fit is left out, and listed.
    measured : path, optional
        A finished run of `measure` on this corpus; without one the corpus is measured here.
    device : str, optional
        By default a GPU if there is one, else ``cpu``.
    level : float
    seed, threads, memory_limit, progress
        As of `measure`.

    Raises
    ------
    InputError
        An option that cannot be, a corpus too small, or another corpus's run.
    """
    started = time.monotonic()
    directory = Path(output)
    threads = resolve_threads(threads)
    set_threads(threads)
    where = device_of(device)
    text = corpus
    if targets != "all":
        length = strings(corpus)
        text = labelled(corpus) if targets == "class" else corpus
        contexts = (length + 1 if targets == "class" else length,)
    texts = make_texts(text, held_out=held_out, seed=seed)
    wanted = tuple(sorted({int(p) for p in sizes})) or default_sizes(texts.most_tokens)
    plan = Plan(
        tuple(models), size, tuple(sorted(set(contexts))), wanted, seeds, trials, capacity, targets
    )
    texts.training(wanted[-1])  # refused before hours of work
    directory.mkdir(parents=True, exist_ok=True)
    run = _measured(corpus, measured, directory, threads, memory_limit, seed, progress)
    settings = {
        "models": list(models), "size": size, "contexts": list(plan.contexts),
        "sizes": list(wanted), "seeds": seeds, "trials": trials, "capacity": capacity,
        "targets": targets, "held_out": held_out, "tuning": tuning, "budget": budget,
        "device": where, "level": level, "seed": seed,
    }  # fmt: skip
    split = json.dumps([corpus.sha256, held_out, tuning, seed, targets, __version__])
    sweep = Sweep(
        texts, plan, directory, hashlib.sha256(split.encode()).hexdigest()[:32],
        tuning_tokens=tuning, measuring_tokens=held_out, budget=budget, device=where, seed=seed,
        progress=progress,
    )  # fmt: skip
    records = sweep.run()
    tables = _curves(records, directory, targets)
    result = _assemble(corpus, run, records, sweep, tables, settings, level)
    result = dataclasses.replace(
        result,
        provenance={
            "version": __version__,
            "commit": build_info().get("commit"),
            "backend": where,
            "threads": threads,
            "seconds": round(time.monotonic() - started, 3),
            "training_seconds": round(sum(r.result.seconds for r in records if r.result), 3),
            "peak_rss_bytes": peak_rss_bytes(),
        },
    )
    write_json(directory / "validation.json", result.to_dict())
    return result


def _measured(
    corpus: Corpus,
    given: str | PathLike[str] | None,
    directory: Path,
    threads: int,
    memory_limit: str | int | None,
    seed: int,
    progress: bool,
) -> RunResult:
    if given is None:
        return measure(
            corpus, output=directory / "measured", predictor="kneser-ney", threads=threads,
            memory_limit=memory_limit, seed=seed, progress=progress,
        )  # fmt: skip
    path = Path(given)
    run = RunResult.load(path / RUN_FILE if path.is_dir() else path)
    if run.correlations is None or run.entropies is None:
        raise InputError(f"{path}: has not both halves; `ngramstat measure` computes them")
    if run.corpus.get("sha256") not in (None, corpus.sha256):
        raise InputError(f"{path}: is a run of another corpus than {corpus.path}")
    return run


@dataclasses.dataclass(frozen=True)
class _Group:
    """The runs of one model, context and size with the best settings, over seeds."""

    model: str
    context: int
    wanted: int
    tokens: int
    records: list[Record]

    @property
    def loss(self) -> float:
        """Mean over the seeds, nats per target."""
        return float(np.mean([loss_of_run(r.run, r.result) for r in self.records if r.result]))

    @property
    def error_rate(self) -> float:
        """Of the last token, mean over the seeds."""
        return float(np.mean([r.result.error_rate for r in self.records if r.result]))

    def replicates(self, level: float) -> Floats:
        """The loss over resampled groups of held-out documents, (r,); the same draws for all."""
        results = [r.result for r in self.records if r.result is not None]
        last = self.records[0].run.only_last
        sums = np.mean(
            [r.losses[:, -1] if last else r.losses.mean(axis=1) for r in results], axis=0
        )
        counts = results[0].counts
        draws = cluster_weights(len(counts), _REPLICATES, np.random.default_rng(31))
        found = [(w @ sums) / np.maximum(w @ counts, 1) for w in draws]
        return np.concatenate(found)


def _groups(records: Sequence[Record]) -> list[_Group]:
    """Best settings by tuning loss, with all seeds of these settings; by model, context and P."""
    done = [r for r in records if r.result is not None and r.purpose != "capacity"]
    cells: dict[tuple[str, int, int], list[Record]] = {}
    for record in done:
        run = record.run
        cells.setdefault((run.model, run.context, run.tokens), []).append(record)
    found = []
    for (model, context, wanted), members in sorted(cells.items()):
        searched = [r for r in members if r.purpose == "search"]
        best = min(searched, key=lambda r: r.result.tuning_loss if r.result else math.inf)
        same = [r for r in members if r.run.settings == best.run.settings]
        assert best.result is not None
        found.append(_Group(model, context, wanted, best.result.tokens, same))
    return found


def _curves(records: Sequence[Record], directory: Path, targets: str) -> dict[str, CurveTable]:
    """Writes L_n(P) of every model and T, and reads them as any user's curves."""
    tables: dict[str, CurveTable] = {}
    if targets != "all":
        return tables
    by_kind: dict[str, list[_Group]] = {}
    for group in _groups(records):
        by_kind.setdefault(f"{group.model}-T{group.context}", []).append(group)
    for kind, groups in by_kind.items():
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["context", "tokens", "loss", "seed"])
        for group in groups:
            for record in group.records:
                assert record.result is not None
                losses = record.result.by_context
                for n in _shown_contexts(group.context):
                    writer.writerow([n, group.tokens, f"{losses[n]:.7f}", record.run.seed])
        path = directory / f"curves-{kind}.csv"
        with atomic_write(path) as file:
            file.write(text.getvalue().encode())
        tables[kind] = read_curves(path)
    return tables


def _shown_contexts(context: int) -> list[int]:
    found = [n for n in _CONTEXTS if n < context]
    scale = 2
    while _CONTEXTS[-4] * scale < context:
        found += [n * scale for n in _CONTEXTS[-4:] if n * scale < context]
        scale *= 2
    return found


def _assemble(
    corpus: Corpus,
    run: RunResult,
    records: Sequence[Record],
    sweep: Sweep,
    tables: dict[str, CurveTable],
    settings: dict[str, Any],
    level: float,
) -> ValidationResult:
    groups = _groups(records)
    if not groups:
        raise NgramstatError("no run has been finished; give a larger --budget")
    p, y = np.array([g.tokens for g in groups], float), np.array([g.loss for g in groups])
    rows = lower_envelope(p, y)
    replicates = np.stack([groups[i].replicates(level) for i in rows], axis=1)
    measured = {
        "raw": alpha_of_losses(p[rows], y[rows], replicates=replicates, level=level),
        "limit": alpha_with_limit(p[rows], y[rows], level=level),
    }
    known, limit = _known(corpus, settings["targets"])
    assert run.correlations is not None
    assert run.entropies is not None
    longest = max(settings["contexts"])
    table = next((t for kind, t in tables.items() if kind.endswith(f"-T{longest}")), None)
    prediction = predict(
        run.correlations, run.entropies, tokens=[float(v) for v in p[rows]],
        context=longest, curves=table,
    )  # fmt: skip
    comparisons = _compare(prediction.curves, measured, level)
    if settings["targets"] == "class" and known:
        rates = np.array([groups[i].error_rate for i in rows])
        comparisons = [
            compare(
                "classification error",
                _exact(known["classification"], level),
                alpha_of_losses(p[rows], rates, level=level),
            )
        ]
    if limit is not None and "alpha" in known:
        exact = alpha_of_losses(
            p[rows], y[rows], entropy_rate=limit, replicates=replicates, level=level
        )
        comparisons.append(compare("known limit", _exact(known["alpha"], level), exact))
    gates = [*prediction.gates, *_training_gates(records, groups, sweep)]
    if known:
        # The theory's own conditions are not in doubt there.
        gates = _training_gates(records, groups, sweep)
    outcome, meaning = conclude(comparisons, gates)
    ends = [np.quantile(groups[i].replicates(level), [(1 - level) / 2, (1 + level) / 2])
            for i in range(len(groups))]  # fmt: skip
    best = groups[int(rows[-1])].records[0]
    return ValidationResult(
        corpus=corpus.info(),
        settings=settings,
        provenance={},
        runs=_counted(records),
        losses=tuple(
            TrainedLoss(
                tokens=float(g.tokens), loss=g.loss, low=float(low), high=float(high),
                model=g.model, context=g.context, seeds=len(g.records),
                on_envelope=bool(i in rows),
            )
            for i, (g, (low, high)) in enumerate(zip(groups, ends, strict=True))
        ),
        prediction=prediction,
        comparisons=tuple(comparisons),
        outcome=outcome,
        meaning=meaning,
        gates=tuple(gates),
        known=known,
        time_exponent=_time(sweep.directory / "runs" / best.run.key / "log.csv", level),
    )  # fmt: skip


def _compare(curves: Any, measured: dict[str, Exponent], level: float) -> list[Comparison]:
    """Raw with raw and limit with limit; the predictions take gamma from the models' own curves."""
    if curves is None:
        missing = Exponent.refused("no curves by context", method="gamma / (2 beta)", level=level)
        return [compare(name, missing, found) for name, found in measured.items()]
    return [
        compare("raw", curves.alpha_finite, measured["raw"]),
        compare("limit", curves.alpha, measured["limit"]),
    ]


def _known(corpus: Corpus, targets: str) -> tuple[dict[str, Any], float | None]:
    """Exact exponents of a world, and the limit of its loss where the targets have one."""
    path = None if corpus.path is None else Path(str(corpus.path)) / "truth.json"
    if path is None or not path.is_file():
        return {}, None
    truth = read_json(path)
    exponents = dict(truth.get("exponents", {}))
    if targets == "class":
        return {k: v for k, v in exponents.items() if k == "classification"}, None
    if targets != "last":
        return exponents, None
    staircase = truth.get("extras", {}).get("last_token_entropy", {})
    entropies = [h for h in staircase.get("entropy", []) if h is not None]
    if not entropies:
        return exponents, None
    # Every string has one target: thresholds are numbers of strings.
    levels = truth.get("extras", {}).get("thresholds", {}).get("tokens", [])
    length = int(truth.get("document_length", 1))
    exponents["staircase"] = {"entropy": entropies, "tokens": [p * length for p in levels]}
    return exponents, float(entropies[-1])


def _exact(value: dict[str, Any], level: float) -> Exponent:
    number = value.get("value")
    method = str(value.get("meaning", "known exactly"))
    if number is None:
        return Exponent.refused("not known for this world", method=method, level=level)
    low, high = value.get("low") or number, value.get("high") or number
    return Exponent(value=number, low=low, high=high, level=level, method=method, reportable=True)


def _training_gates(
    records: Sequence[Record], groups: Sequence[_Group], sweep: Sweep
) -> list[Gate]:
    """Whether the losses are those of the data, not of the training."""
    settled = [sweep.settled.get((g.model, g.context, g.wanted), False) for g in groups]
    left_out = sum(r.status == "left out" for r in records)
    gates = [
        Gate(
            name="settings searched",
            passed=all(settled) or None,
            value=float(np.mean(settled)),
            threshold=1.0,
            meaning="at every size no neighbour of the best settings is better or untried",
        ),
        Gate(
            name="nothing left out",
            passed=left_out == 0 or None,
            value=float(left_out),
            threshold=0.0,
            meaning="the budget had time for every run",
        ),
    ]
    larger = next((r for r in records if r.purpose == "capacity" and r.result), None)
    gain = None
    if larger is not None and larger.result is not None:
        run = larger.run
        mine = [g for g in groups if (g.model, g.context) == (run.model, run.context)]
        here = next(g for g in mine if g.wanted == run.tokens)
        before = [g for g in mine if g.wanted < run.tokens]
        if before:
            last = before[-1]
            doublings = math.log2(here.tokens / last.tokens)
            fall = (last.loss - here.loss) / doublings
            if fall > 0:
                gain = (here.loss - loss_of_run(run, larger.result)) / fall
    gates.append(
        Gate(
            name="capacity",
            passed=None if gain is None else gain <= _MOST_GAIN,
            value=gain,
            threshold=_MOST_GAIN,
            meaning="a larger model gains less than this share of what twice the data gain",
        )
    )
    return gates


def _counted(records: Sequence[Record]) -> dict[str, Any]:
    left_out = [r for r in records if r.status == "left out"]
    return {
        "done": sum(r.status == "done" for r in records),
        "left_out": len(left_out),
        "left_out_seconds": round(sum(r.expected_seconds for r in left_out)),
        "left_out_sizes": sorted({r.run.tokens for r in left_out}),
    }


def _time(log: Path, level: float) -> Exponent | None:
    if not log.is_file():
        return None
    with open(log, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    tau = np.array([float(row["rate_sum"]) for row in rows])
    losses = np.array([float(row["training_loss"]) for row in rows])
    rising = np.concatenate([[True], np.diff(tau) > 0]) if len(tau) else np.zeros(0, bool)
    return time_exponent(tau[rising], losses[rising], level=level)
