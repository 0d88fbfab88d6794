"""A sweep of training runs: training sets of growing size, tuned, within a budget of time.

What is done stands in a table beside what is still to do and what was left out for want of time.
The same call goes on where the last one ended.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ngramstat.errors import InputError, check_choice
from ngramstat.lm.data import TARGETS, Texts, Windows
from ngramstat.lm.models import MODELS
from ngramstat.lm.search import Search, first_guess
from ngramstat.lm.shape import SIZES, size_above
from ngramstat.lm.train import Run, RunResult, Settings, read_result, seconds_per_token, train
from ngramstat.runtime.files import read_json, write_csv, write_json
from ngramstat.runtime.progress import Progress

__all__ = ["Plan", "Record", "Sweep", "loss_of_run"]

# A run takes longer than its steps: it looks at the tuning text, and is scored at the end.
_MARGIN = 1.15


@dataclass(frozen=True)
class Plan:
    """What to train.

    Attributes
    ----------
    models : tuple of str
    size : str
    contexts : tuple of int
        T.
    tokens : tuple of int
        P, ascending.
    seeds : int
        Trainings of the best settings of every (model, T, P), other weights and order in each.
    trials : int
        Settings tried for every (model, T, P) at most.
    capacity : bool
        Also train the next larger size, to see that it gains nothing.
    targets : str
        ``all`` tokens, the ``last`` of every document, or its ``class``.
    """

    models: tuple[str, ...]
    size: str
    contexts: tuple[int, ...]
    tokens: tuple[int, ...]
    seeds: int = 1
    trials: int = 6
    capacity: bool = True
    targets: str = "all"

    def __post_init__(self) -> None:
        for model in self.models:
            check_choice("model", model, MODELS)
        check_choice("targets", self.targets, TARGETS)
        check_choice("size", self.size, SIZES)
        if not self.models or not self.contexts or not self.tokens:
            raise InputError("a sweep needs at least one model, one context and one size")
        if min(self.seeds, self.trials) < 1:
            raise InputError("seeds and trials: at least 1")
        if min(self.contexts) < 2:
            raise InputError("context: needs at least 2 tokens")
        if min(self.tokens) < max(self.contexts):
            raise InputError("tokens: the smallest training set is shorter than one context")


@dataclass
class Record:
    """One run and what became of it.

    Attributes
    ----------
    run : Run
    purpose : str
        ``search``, ``seed`` or ``capacity``.
    status : str
        ``done``, ``diverged`` (the loss became no number), ``to do`` or ``left out``.
    expected_seconds : float
    result : RunResult, optional
    """

    run: Run
    purpose: str
    status: str
    expected_seconds: float
    result: RunResult | None = None


def loss_of_run(run: Run, result: RunResult) -> float:
    """Held-out loss over the targets of a run, nats per target."""
    found = result.by_context
    return float(found[-1] if run.only_last else found.mean())


@dataclass(frozen=True)
class _Cell:
    model: str
    size: str
    context: int
    tokens: int


@dataclass
class Sweep:
    """Runs a plan.

    Parameters
    ----------
    texts : Texts
    plan : Plan
    directory : Path
        Gets ``runs/``, ``runs.csv`` and ``pace.json``, the speeds that decisions were made on: the
        same call makes the same ones again.
    data : str
        Hash of the corpus and its split.
    tuning_tokens, measuring_tokens : int
        Held-out tokens to stop by and to measure with.
    budget : float, optional
        Seconds of training of the plan's runs, those of earlier calls included; None: no end.
    device : str
    seed : int
    progress : bool

    Attributes
    ----------
    records : list of Record
        What was decided on, in that order.
    settled : dict
        By (model, T, P): whether no neighbour of the best settings is left to try.
    """

    texts: Texts
    plan: Plan
    directory: Path
    data: str
    tuning_tokens: int
    measuring_tokens: int
    budget: float | None = None
    device: str = "cpu"
    seed: int = 0
    progress: bool = False
    records: list[Record] = field(default_factory=list)
    settled: dict[tuple[str, int, int], bool] = field(default_factory=dict)
    _spent: float = 0.0
    _windows: dict[int, tuple[Windows, Windows]] = field(default_factory=dict)

    def held_out(self, context: int) -> tuple[Windows, Windows]:
        """Windows to tune by and to measure with.

        Raises
        ------
        InputError
            There is not one whole window.
        """
        if context not in self._windows:
            texts = self.texts
            self._windows[context] = (
                texts.windows(texts.tuning, context, most=self.tuning_tokens),
                texts.windows(texts.measuring, context, most=self.measuring_tokens),
            )
        return self._windows[context]

    def run(self) -> list[Record]:
        """Train all that fits the budget.

        Raises
        ------
        InputError
            The budget is too small for any run.
        """
        cells = [
            _Cell(model, self.plan.size, context, tokens)
            for model in self.plan.models
            for context in self.plan.contexts
            for tokens in self.plan.tokens
        ]
        self.directory.mkdir(parents=True, exist_ok=True)
        guesses = {cell: self._cost(self._make(cell, self._guess(cell), 0)) for cell in cells}
        kept = self._within_budget(cells, guesses)
        for cell in cells:
            status = "to do" if cell in kept else "left out"
            run = self._make(cell, self._guess(cell), 0)
            self.records.append(Record(run, "search", status, guesses[cell]))
        self._write_table()
        best: dict[_Cell, tuple[Settings, float]] = {}
        for number, cell in enumerate(kept):
            reserved = sum(guesses[later] for later in kept[number + 1 :])
            start = self._guess(cell)
            before = kept[number - 1] if number else None
            if before and (before.model, before.context) == (cell.model, cell.context):
                carried = self._grown(best[before][0], before, cell)
                # More epochs than there is time for are no reason to leave out a size.
                if self._fits(self._cost(self._make(cell, carried, 0)) + reserved):
                    start = carried
            best[cell] = self._search(cell, start, reserved)
        self._check_capacity(best)
        for seed in range(1, self.plan.seeds):
            for cell in sorted(kept, key=lambda c: c.tokens):
                self._try(self._make(cell, best[cell][0], seed), "seed")
        self._write_table()
        return self.records

    def _guess(self, cell: _Cell) -> Settings:
        only_last = self.plan.targets != "all"
        return first_guess(cell.size, cell.context, cell.tokens, only_last=only_last)

    def _grown(self, settings: Settings, smaller: _Cell, cell: _Cell) -> Settings:
        """Settings of a smaller training set for a larger: batch and epochs go as the guesses."""
        before, now = self._guess(smaller), self._guess(cell)
        return dataclasses.replace(
            settings,
            batch=max(1, round(settings.batch * now.batch / before.batch)),
            epochs=max(1, round(settings.epochs * now.epochs / before.epochs)),
        )

    def _within_budget(self, cells: Sequence[_Cell], costs: dict[_Cell, float]) -> list[_Cell]:
        """Cells whose first guesses fit; the largest training sets go first."""
        kept = sorted(cells, key=lambda cell: (cell.tokens, costs[cell]))
        if self.budget is not None:
            while kept and sum(costs[cell] for cell in kept) > self.budget:
                kept.pop()
        if not kept:
            raise InputError(
                f"the budget of {self.budget:.0f} s is too small for any training set: the "
                f"smallest takes about {min(costs.values()):.0f} s"
            )
        return [cell for cell in cells if cell in kept]

    def _search(self, cell: _Cell, start: Settings, reserved: float) -> tuple[Settings, float]:
        """The best settings and their tuning loss."""
        search = Search(start)
        first = self._make(cell, self._guess(cell), 0)
        self.records = [r for r in self.records if not (r.run == first and r.status == "to do")]
        for _ in range(self.plan.trials):
            settings = search.propose()
            if settings is None:
                break
            run = self._make(cell, settings, 0)
            result = self._try(run, "search", reserved if search.tried else 0.0)
            if result is None:
                break
            search.report(settings, result.tuning_loss)
        self.settled[cell.model, cell.context, cell.tokens] = search.propose() is None
        return search.best, search.best_loss

    def _check_capacity(self, best: dict[_Cell, tuple[Settings, float]]) -> None:
        """The next larger size where the largest training set did best."""
        larger = size_above(self.plan.size)
        if not self.plan.capacity or larger is None:
            return
        most = max(cell.tokens for cell in best)
        cell = min((c for c in best if c.tokens == most), key=lambda c: best[c][1])
        other = dataclasses.replace(cell, size=larger)
        # Rates fall with width.
        ratio = self._guess(other).learning_rate / self._guess(cell).learning_rate
        settings = best[cell][0]
        settings = dataclasses.replace(settings, learning_rate=settings.learning_rate * ratio)
        self._try(self._make(other, settings, 0), "capacity")

    def _try(self, run: Run, purpose: str, reserved: float = 0.0) -> RunResult | None:
        """Trains a run if that leaves `reserved` seconds of the budget."""
        folder = self.directory / "runs" / run.key
        done = read_result(folder, run)
        cost = self._cost(run) if done is None else 0.0
        if done is None and not self._fits(cost + reserved):
            self.records.append(Record(run, purpose, "left out", cost))
            return None
        record = Record(run, purpose, "to do", cost, done)
        self.records.append(record)
        if done is None:
            self._write_table()
            tuning, measuring = self.held_out(run.context)
            total = run.steps(run.tokens) * run.settings.batch * run.context
            with Progress(total, self._title(run), unit="tok", enabled=self.progress) as progress:
                record.result = train(
                    run, self.texts, tuning, measuring, folder, device=self.device,
                    progress=progress,
                )  # fmt: skip
        assert record.result is not None
        record.status = "diverged" if record.result.diverged else "done"
        self._spent += record.result.seconds
        return record.result

    def _title(self, run: Run) -> str:
        """Which run of how much of the budget."""
        number = sum(record.result is not None for record in self.records) + 1
        used = "" if self.budget is None else f", {self._spent:.0f} of {self.budget:.0f} s used"
        return f"run {number}{used}: {run.model} {run.size} T={run.context} P={run.tokens:,}"

    def _fits(self, seconds: float) -> bool:
        return self.budget is None or self._spent + seconds <= self.budget

    def _make(self, cell: _Cell, settings: Settings, seed: int) -> Run:
        return Run(
            cell.model, cell.size, cell.context, cell.tokens, self.seed + seed, settings, self.data,
            self.texts.corpus.vocab_size, self.plan.targets,
        )  # fmt: skip

    def _cost(self, run: Run) -> float:
        """Seconds that a run may take, measured on a few steps."""
        looked = 8 * self.tuning_tokens + self.measuring_tokens / 3
        return _MARGIN * self._pace(run) * (run.tokens * run.settings.epochs + looked)

    def _pace(self, run: Run) -> float:
        """Seconds a token takes, measured once for an output directory."""
        path = self.directory / "pace.json"
        known = read_json(path) if path.exists() else {}
        kind = f"{run.model} {run.size} T={run.context} on {self.device}"
        if not isinstance(known, dict) or not isinstance(known.get(kind, 0.0), float):
            raise InputError(f"{path}: no table of speeds; remove it to measure them again")
        if kind not in known:
            known[kind] = seconds_per_token(run, device=self.device)
            write_json(path, known)
        return float(known[kind])

    def _write_table(self) -> None:
        header = (
            "status", "purpose", "model", "size", "context", "tokens", "seed", "learning_rate",
            "weight_decay", "epochs", "batch", "tuning_loss", "held_out", "best_step", "steps",
            "seconds", "run",
        )  # fmt: skip
        write_csv(self.directory / "runs.csv", header, map(_row, self.records))


def _row(record: Record) -> list[Any]:
    run, settings, result = record.run, record.run.settings, record.result
    row: list[Any] = [
        record.status, record.purpose, run.model, run.size, run.context, run.tokens, run.seed,
        settings.learning_rate, settings.weight_decay, settings.epochs, settings.batch,
    ]  # fmt: skip
    if result is None:
        row += ["", "", "", "", f"{record.expected_seconds:.0f} expected"]
    else:
        row += [
            f"{result.tuning_loss:.6f}", f"{loss_of_run(run, result):.6f}", result.best_step,
            result.steps, f"{result.seconds:.1f}",
        ]  # fmt: skip
    return [*row, run.key]
