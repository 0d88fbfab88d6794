"""Trained transformers against the prediction: a sweep, its curves, and a verdict."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.api import load_run, measure
from ngramstat.corpus import Corpus
from ngramstat.errors import InputError, NgramstatError, check_choice
from ngramstat.exponents.bootstrap import cluster_weights
from ngramstat.kernels import build_info
from ngramstat.lm.data import TARGETS, Texts, labelled, make_texts, strings
from ngramstat.lm.sweep import Plan, Record, Sweep, loss_of_run
from ngramstat.lm.train import RunResult as TrainingResult
from ngramstat.lm.train import device_of, set_threads
from ngramstat.prediction.curve_files import read_curves
from ngramstat.prediction.measured import alpha_of_losses, alpha_with_limit, lower_envelope
from ngramstat.prediction.predict import predict
from ngramstat.prediction.training_time import time_exponent
from ngramstat.prediction.verdict import compare, conclude
from ngramstat.results import (
    Alternative,
    AlternativeKind,
    CurveTable,
    Exponent,
    Gate,
    RunResult,
    TrainedLoss,
    ValidationResult,
)
from ngramstat.runtime.files import read_json, sha256_array, write_csv, write_json
from ngramstat.runtime.resources import peak_rss_bytes, resolve_threads
from ngramstat.version import __version__

__all__ = ["default_sizes", "validate"]

Floats = NDArray[np.float64]

_SMALLEST, _FACTOR = 100_000, 2
_REPLICATES = 999
_CONTEXT = 64
# Groups of held-out documents that an interval needs.
_MIN_CLUSTERS = 10
# A larger model may gain this share of what twice the data gain.
_MAX_GAIN = 0.25
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
    contexts: Sequence[int] = (),
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
    backend: str = "auto",
    gpu_memory: str | int | None = None,
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
        Context lengths T, by default 64; with targets ``last`` or ``class`` they follow from the
        documents' length.
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
        Tokens to measure with and to tune by, each a tenth of the corpus at most.
    budget : float, optional
        Seconds of training, earlier calls included. What does not fit is left out, and listed.
    measured : path, optional
        A finished run of `measure` on this corpus; without one the corpus is measured here.
    device : str, optional
        By default a GPU if there is one, else ``cpu``.
    level : float
    seed, threads, memory_limit, backend, gpu_memory, progress
        As of `measure`.

    Raises
    ------
    InputError
        An option that cannot be, a corpus too small, or another corpus's run.
    """
    started = time.monotonic()
    directory = Path(output)
    if not 0.5 <= level < 1:
        raise InputError(f"level={level}: must be at least 0.5 and below 1, such as 0.95")
    threads = resolve_threads(threads)
    set_threads(threads)
    where = device_of(device)
    text, contexts = _targets(corpus, targets, contexts)
    held_out, tuning = (min(n, text.n_tokens // 10) for n in (held_out, tuning))
    texts = make_texts(text, tuning=tuning, measuring=held_out, seed=seed)
    wanted = tuple(sorted({int(p) for p in sizes})) or default_sizes(texts.most_tokens)
    plan = Plan(
        tuple(models), size, tuple(sorted(set(contexts))), wanted, seeds, trials, capacity, targets
    )
    sweep = Sweep(
        texts, plan, directory, _data_hash(text, held_out, tuning, seed, targets),
        tuning_tokens=tuning, measuring_tokens=held_out, budget=budget, device=where, seed=seed,
        progress=progress,
    )  # fmt: skip
    # Refused before hours of work.
    _refuse_equal_sizes(texts, wanted)
    for context in plan.contexts:
        sweep.held_out(context)
    directory.mkdir(parents=True, exist_ok=True)
    run = _measured(
        corpus, measured, directory, threads=threads, memory_limit=memory_limit, backend=backend,
        gpu_memory=gpu_memory, seed=seed, progress=progress,
    )  # fmt: skip
    settings = {
        "models": list(models), "size": size, "contexts": list(plan.contexts),
        "sizes": list(wanted), "seeds": seeds, "trials": trials, "capacity": capacity,
        "targets": targets, "held_out": held_out, "tuning": tuning, "budget": budget,
        "measured": None if measured is None else str(measured), "device": where,
        "level": level, "seed": seed, "threads": threads,
        "memory_limit": memory_limit,
    }  # fmt: skip
    records = sweep.run()
    groups = _groups(records)
    if not groups:
        raise NgramstatError("no run came to a loss; give a larger --budget or smaller --sizes")
    tables = _curves(groups, directory, targets)
    result = _assemble(corpus, run, groups, sweep, tables, settings, level)
    result = dataclasses.replace(
        result,
        provenance={
            "version": __version__,
            "commit": build_info().get("commit"),
            "devices": sorted({r.result.device for r in records if r.result}),
            "threads": threads,
            "seconds": round(time.monotonic() - started, 3),
            "training_seconds": round(sum(r.result.seconds for r in records if r.result), 3),
            "peak_rss_bytes": peak_rss_bytes(),
        },
    )
    write_json(directory / "validation.json", result.to_dict())
    return result


def _targets(corpus: Corpus, targets: str, contexts: Sequence[int]) -> tuple[Corpus, Sequence[int]]:
    """The text that is trained on and its context lengths."""
    check_choice("targets", targets, TARGETS)
    if targets == "all":
        return corpus, contexts or (_CONTEXT,)
    if contexts:
        raise InputError(
            f"contexts {list(contexts)}: follow from the documents' length with targets {targets}; "
            "leave them out"
        )
    length = strings(corpus)
    if targets == "last":
        return corpus, (length,)
    return labelled(corpus), (length + 1,)


def _data_hash(text: Corpus, held_out: int, tuning: int, seed: int, targets: str) -> str:
    """Of all that decides which tokens are trained on, tuned by and measured with."""
    ends = None if text.document_ends is None else sha256_array(text.document_ends)
    parts = [text.sha256, ends, text.vocab_size, held_out, tuning, seed, targets, __version__]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _refuse_equal_sizes(texts: Texts, sizes: Sequence[int]) -> None:
    """Whole documents may make one training set of two sizes."""
    found: dict[int, int] = {}
    for size in sizes:
        tokens = len(texts.training(size))
        if tokens in found:
            raise InputError(
                f"sizes {found[tokens]:,} and {size:,}: both come to {tokens:,} tokens of whole "
                "documents; leave one out"
            )
        found[tokens] = size


def _measured(
    corpus: Corpus,
    given: str | PathLike[str] | None,
    directory: Path,
    *,
    seed: int,
    **options: Any,
) -> RunResult:
    if given is None:
        return measure(
            corpus, output=directory / f"measured-{seed}", predictor="kneser-ney", seed=seed,
            **options,
        )  # fmt: skip
    path = Path(given)
    run = load_run(path)
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
        return float(np.mean([r.error_rate for r in self._results]))

    @property
    def clusters(self) -> int:
        """Groups of held-out documents with a window."""
        return int(np.count_nonzero(self._results[0].counts))

    @property
    def _results(self) -> list[TrainingResult]:
        return [r.result for r in self.records if r.result is not None]

    def replicates(self) -> Floats:
        """The loss over resampled groups of held-out documents, (r,); the same draws for all."""
        last = self.records[0].run.only_last
        rows = [r.losses[:, -1] if last else r.losses.mean(axis=1) for r in self._results]
        return self._resampled(np.mean(rows, axis=0))

    def error_replicates(self) -> Floats:
        """The same of the error rate."""
        return self._resampled(np.mean([r.errors for r in self._results], axis=0))

    def _resampled(self, sums: Floats) -> Floats:
        counts = self._results[0].counts
        used = counts > 0
        draws = cluster_weights(int(used.sum()), _REPLICATES, np.random.default_rng(31))
        return np.concatenate([(w @ sums[used]) / (w @ counts[used]) for w in draws])


def _groups(records: Sequence[Record]) -> list[_Group]:
    """Best settings by tuning loss, with all seeds of these settings; by model, context and P."""
    done = [r for r in records if r.status == "done" and r.purpose != "capacity"]
    cells: dict[tuple[str, int, int], list[Record]] = {}
    for record in done:
        run = record.run
        cells.setdefault((run.model, run.context, run.tokens), []).append(record)
    found = []
    for (model, context, wanted), members in sorted(cells.items()):
        searched = [r for r in members if r.purpose == "search"]
        if not searched:
            continue  # its settings all diverged
        best = min(searched, key=lambda r: r.result.tuning_loss if r.result else math.inf)
        same = [r for r in members if r.run.settings == best.run.settings]
        assert best.result is not None
        found.append(_Group(model, context, wanted, best.result.tokens, same))
    return found


def _curves(groups: Sequence[_Group], directory: Path, targets: str) -> dict[str, CurveTable]:
    """Writes L_n(P) of every model and T, and reads them as any user's curves."""
    for stale in (*directory.glob("curves-*.csv"), *directory.glob("collapse-*.png")):
        stale.unlink()  # of a call with other options
    tables: dict[str, CurveTable] = {}
    if targets != "all":
        return tables
    by_kind: dict[str, list[_Group]] = {}
    for group in groups:
        by_kind.setdefault(f"{group.model}-T{group.context}", []).append(group)
    for kind, members in by_kind.items():
        path = directory / f"curves-{kind}.csv"
        rows = [
            (n, group.tokens, f"{record.result.by_context[n]:.7f}", record.run.seed)
            for group in members
            for record in group.records
            if record.result is not None
            for n in _shown_contexts(group.context)
        ]
        write_csv(path, ("context", "tokens", "loss", "seed"), rows)
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
    groups: Sequence[_Group],
    sweep: Sweep,
    tables: dict[str, CurveTable],
    settings: dict[str, Any],
    level: float,
) -> ValidationResult:
    records = sweep.records
    p, y = np.array([g.tokens for g in groups], float), np.array([g.loss for g in groups])
    rows = lower_envelope(p, y)
    best = groups[int(rows[-1])]
    # Few documents say nothing about how much they vary.
    sampled = min(g.clusters for g in groups) >= _MIN_CLUSTERS
    draws = np.stack([g.replicates() for g in groups], axis=1) if sampled else None
    on_envelope = None if draws is None else draws[:, rows]
    known, stairs = _known(corpus, settings["targets"])
    assert run.correlations is not None
    assert run.entropies is not None
    source = f"{best.model}-T{best.context}"
    prediction = predict(
        run.correlations, run.entropies, tokens=[float(v) for v in p[rows]],
        context=best.context, curves=tables.get(source),
    )  # fmt: skip
    gates = _training_gates(records, groups, sweep)
    if settings["targets"] == "class":
        rates = np.array([groups[i].error_rate for i in rows])
        spread = None
        if sampled:
            spread = np.stack([groups[i].error_replicates() for i in rows], axis=1)
        error = alpha_of_losses(p[rows], rates, replicates=spread, level=level)
        exact = _exact(known.get("classification"), level)
        comparisons = [compare("classification error", exact, error)]
    elif settings["targets"] == "last":
        above = _above(stairs, p[rows], y[rows], on_envelope, level)
        comparisons = [compare("known limit", _exact(known.get("alpha"), level), above)]
    else:
        raw = alpha_of_losses(p[rows], y[rows], replicates=on_envelope, level=level)
        fitted = alpha_with_limit(p[rows], y[rows], level=level)
        curves = prediction.curves
        assert curves is not None
        comparisons = [
            compare("raw", curves.alpha_finite, raw), compare("limit", curves.alpha, fitted)
        ]  # fmt: skip
        # Exact exponents do not rest on the text's; these do.
        gates = [*prediction.gates, *gates]
    outcome, meaning = conclude(comparisons, gates)
    ends: list[tuple[float | None, float | None]] = [(None, None)] * len(groups)
    if draws is not None:
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        ends = list(zip(low.tolist(), high.tolist(), strict=True))
    return ValidationResult(
        corpus=corpus.info(),
        settings=settings,
        provenance={},
        runs=_counted(records),
        losses=tuple(
            TrainedLoss(
                tokens=float(g.tokens), loss=g.loss, low=ends[i][0], high=ends[i][1],
                model=g.model, context=g.context, seeds=len(g.records),
                on_envelope=bool(i in rows),
            )
            for i, g in enumerate(groups)
        ),
        curves=source if source in tables else None,
        prediction=prediction,
        comparisons=tuple(comparisons),
        outcome=outcome,
        meaning=meaning,
        gates=tuple(gates),
        known=known,
        time_exponent=_time(
            sweep.directory / "runs" / best.records[0].run.key / "log.csv", level
        ),
        documents_are_blocks=sweep.texts.are_blocks,
    )  # fmt: skip


def _above(
    stairs: list[float], p: Floats, y: Floats, replicates: Floats | None, level: float
) -> Exponent:
    """alpha of the losses above their limit, on the staircase.

    The entropies fall as a power law only once the lowest level is known, and a loss whose interval
    reaches the limit says nothing of its distance. The fit of all sizes is among the alternatives.
    """
    if not stairs:
        return Exponent.refused(
            "the world's truth.json has no entropy of the last token given all others",
            method="OLS of log loss on log P, above the known limit", level=level,
        )  # fmt: skip
    limit, lowest = stairs[-1], stairs[min(1, len(stairs) - 1)]
    on = (y < lowest) & (y > limit)
    if replicates is not None:
        on &= np.quantile(replicates, (1 - level) / 2, axis=0) > limit
    drawn = None if replicates is None else replicates[:, on]
    found = alpha_of_losses(p[on], y[on], entropy_rate=limit, replicates=drawn, level=level)
    whole = alpha_of_losses(p, y, entropy_rate=limit, replicates=replicates, level=level)
    everything = Alternative(
        kind=AlternativeKind.ALL_SIZES, method=f"{whole.method}, all sizes", value=whole.value,
        low=whole.low, high=whole.high, window=(float(p[0]), float(p[-1])), points=len(p),
    )  # fmt: skip
    return dataclasses.replace(
        found,
        method=f"{found.method}, sizes with the lowest level learnt and the limit not reached",
        alternatives=(everything, *found.alternatives),
    )


def _known(corpus: Corpus, targets: str) -> tuple[dict[str, Any], list[float]]:
    """Exact exponents of a world, and the entropies of its strings' last tokens by level.

    The latter end with the limit of the loss, or are empty where it is not known.
    """
    path = None if corpus.path is None else Path(str(corpus.path)) / "truth.json"
    if path is None or not path.is_file():
        return {}, []
    truth = read_json(path)
    try:
        known = {
            name: {key: value.get(key) for key in ("value", "low", "high", "meaning")}
            for name, value in truth["exponents"].items()
        }
        if targets != "last":
            return known, []
        extras, length = truth["extras"], int(truth["document_length"])
        stairs = extras["last_token_entropy"]
        entropies = [float(h) for h in stairs["entropy"]]
        # Every string has one target: thresholds are numbers of strings.
        levels = [float(p) * length for p in extras["thresholds"]["tokens"]]
        known["staircase"] = {"entropy": entropies, "tokens": levels}
        whole = bool(stairs["context"]) and int(stairs["context"][-1]) == length - 1
        return known, entropies if whole else []
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: not the truth of a hierarchy world ({type(error).__name__}: {error}); use "
            "--targets all, or a corpus of `ngramstat synthesize rhm`"
        ) from error


def _exact(value: dict[str, Any] | None, level: float) -> Exponent:
    """A known exponent; where only bounds are known, their middle with them as the interval."""
    if value is None:
        return Exponent.refused("not known for this corpus", method="known exactly", level=level)
    method = str(value["meaning"])
    number, low, high = (value[key] for key in ("value", "low", "high"))
    if number is None and low is not None and high is not None:
        number = (low + high) / 2
    if number is None:
        return Exponent.refused("not known for this world", method=method, level=level)
    return Exponent(
        value=number, low=number if low is None else low, high=number if high is None else high,
        level=level, method=method, reportable=True,
    )  # fmt: skip


def _training_gates(
    records: Sequence[Record], groups: Sequence[_Group], sweep: Sweep
) -> list[Gate]:
    """Whether the losses are those of the data, not of the training."""
    settled = [sweep.settled.get((g.model, g.context, g.wanted), False) for g in groups]
    clusters = min(g.clusters for g in groups)
    gates = [
        Gate(
            name="settings searched",
            passed=all(settled) or None,
            value=float(np.mean(settled)),
            threshold=1.0,
            meaning="share of the sizes where every neighbour of the best settings was tried",
        ),
        Gate(
            name="held-out documents",
            passed=clusters >= _MIN_CLUSTERS,
            value=float(clusters),
            threshold=float(_MIN_CLUSTERS),
            meaning="enough of them to tell how much they vary",
        ),
    ]
    larger = next((r for r in records if r.purpose == "capacity"), None)
    gain, where = None, "none was planned"
    if larger is not None:
        run = larger.run
        where = f"{run.model} {run.size}, T={run.context}, P={run.tokens:,}: {larger.status}"
        mine = [g for g in groups if (g.model, g.context) == (run.model, run.context)]
        here = next((g for g in mine if g.wanted == run.tokens), None)
        before = [g for g in mine if g.wanted < run.tokens]
        if larger.result is not None and larger.status == "done" and here and before:
            last = before[-1]
            fall = (last.loss - here.loss) / math.log2(here.tokens / last.tokens)
            if fall > 0:
                gain = (here.loss - loss_of_run(run, larger.result)) / fall
    gates.append(
        Gate(
            name="capacity",
            passed=None if gain is None else gain <= _MAX_GAIN,
            value=gain,
            threshold=_MAX_GAIN,
            meaning=f"a larger model gains less than this share of twice the data ({where})",
        )
    )
    return gates


def _counted(records: Sequence[Record]) -> dict[str, Any]:
    left_out = [r for r in records if r.status == "left out"]
    return {
        "done": sum(r.status == "done" for r in records),
        "diverged": sum(r.status == "diverged" for r in records),
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
