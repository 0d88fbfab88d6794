"""A sweep of training runs: growing training sets, tuned settings, a budget of time.

Every training set is trained on once, the smallest first, before any setting is searched. The
search then goes round all sets, one further setting for each, while the budget lasts; trainings
with other seeds and the one of a larger model come last.
A table lists the runs that are done, still to do, and left out because they do not fit the budget.
Calling the sweep again resumes it. torch is imported when the first run starts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ngramstat.errors import InputError, check_choice
from ngramstat.lm.data import TARGETS, DataSplit, Windows
from ngramstat.lm.pace import Paces, run_seconds
from ngramstat.lm.protocol import protocol_of
from ngramstat.lm.run import MODELS, Run, Settings, TrainingResult, read_result
from ngramstat.lm.search import Search, first_guess, first_guess_of_paper
from ngramstat.lm.shape import SIZES, size_above
from ngramstat.lm.weights import keep_best_weights
from ngramstat.runtime.files import write_csv
from ngramstat.runtime.progress import Progress

__all__ = ["Record", "Sweep", "TrainingPlan", "loss_of_run"]


@dataclass(frozen=True)
class TrainingPlan:
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
        Number of trainings with the best settings of every (model, T, P); each has its own initial
        weights and order of windows.
    trials : int
        Maximum number of settings tried for every (model, T, P).
    capacity : bool
        Also train the next larger size once, to check that it gains nothing.
    targets : str
        ``all`` tokens, the ``last`` of every document, or its ``class``.
    protocol : str
        One of `ngramstat.lm.protocol.PROTOCOLS`.
    """

    models: tuple[str, ...]
    size: str
    contexts: tuple[int, ...]
    tokens: tuple[int, ...]
    seeds: int = 1
    trials: int = 6
    capacity: bool = True
    targets: str = "all"
    protocol: str = "default"

    def __post_init__(self) -> None:
        for model in self.models:
            check_choice("model", model, MODELS)
        check_choice("targets", self.targets, TARGETS)
        check_choice("size", self.size, SIZES)
        if not protocol_of(self.protocol).start_symbol and self.targets != "all":
            raise InputError(
                f"protocol {self.protocol}: its windows run through the whole text, so all tokens "
                f"are targets; with targets {self.targets} use the default protocol"
            )
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
    """One run and its outcome.

    Attributes
    ----------
    run : Run
    purpose : str
        ``search``, ``seed`` or ``capacity``.
    status : str
        ``done``, ``diverged`` (the loss became infinite or NaN), ``to do`` or ``left out``.
    expected_seconds : float
    result : TrainingResult, optional
    """

    run: Run
    purpose: str
    status: str
    expected_seconds: float
    result: TrainingResult | None = None


def loss_of_run(run: Run, result: TrainingResult) -> float:
    """Held-out loss over the targets of a run, nats per target."""
    losses = result.by_context
    return float(losses[-1] if run.only_last else losses.mean())


@dataclass(frozen=True)
class _Cell:
    model: str
    size: str
    context: int
    tokens: int


@dataclass
class Sweep:
    """Runs a plan of trainings.

    Parameters
    ----------
    split : DataSplit
    plan : TrainingPlan
    directory : Path
        Receives ``runs/``, ``runs.csv`` and ``pace.json``. The last one holds the measured speeds
        that decisions are based on, so that repeating the call repeats its decisions.
    data : str
        Hash of the corpus and its split.
    tuning_tokens, measuring_tokens : int
        Numbers of held-out tokens for tuning and for measuring.
    budget : float, optional
        Seconds of training, earlier calls included; None: no limit.
    device : str
    seed : int
    progress : bool

    Attributes
    ----------
    records : list of Record
        All runs, in the order in which they were decided on.
    settled : dict
        By (model, T, P): whether every neighbour of the best settings was tried.
    """

    split: DataSplit
    plan: TrainingPlan
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
    _expected: float = 0.0

    def __post_init__(self) -> None:
        self._paces = Paces(self.directory)

    def held_out(self, context: int) -> tuple[Windows, Windows]:
        """Windows for tuning and for measuring.

        Raises
        ------
        InputError
            The held-out tokens are fewer than one window.
        """
        if context not in self._windows:
            split = self.split
            rules = protocol_of(self.plan.protocol)
            given = not rules.start_symbol
            tuning = split.windows(
                split.tuning, context, max_tokens=self.tuning_tokens, given=given
            )
            measuring = split.windows(
                split.measuring, context, max_tokens=self.measuring_tokens, given=given,
                overlap=rules.overlap,
            )  # fmt: skip
            self._windows[context] = (tuning, measuring)
        return self._windows[context]

    def run(self) -> list[Record]:
        """Train every run that fits the budget.

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
        affordable = self._within_budget(cells, guesses)
        for cell in cells:
            status = "to do" if cell in affordable else "left out"
            run = self._make(cell, self._guess(cell), 0)
            self.records.append(Record(run, "search", status, guesses[cell]))
        self._write_table()
        best = self._search_all(sorted(affordable, key=lambda cell: cell.tokens))
        for seed in range(1, self.plan.seeds):
            for cell in sorted(affordable, key=lambda c: c.tokens):
                self._try(self._make(cell, best[cell][0], seed), "seed")
        self._check_capacity(best)
        self._write_table()
        keep_best_weights(self.directory / "runs", _kinds_and_losses(self.records))
        return self.records

    def _search_all(self, cells: Sequence[_Cell]) -> dict[_Cell, tuple[Settings, float]]:
        """Best settings and tuning loss of every cell, which are given by ascending P.

        One training for each, then rounds of one further setting for each, where it still fits.
        """
        searches = {cell: Search(self._guess(cell), self.plan.protocol) for cell in cells}
        going = list(cells)
        for _ in range(self.plan.trials):
            going = [cell for cell in going if self._search_once(cell, searches)]
        for cell, search in searches.items():
            settled = search.propose() is None
            self.settled[cell.model, cell.context, cell.tokens] = settled
        return {cell: (search.best, search.best_loss) for cell, search in searches.items()}

    def _search_once(self, cell: _Cell, searches: dict[_Cell, Search]) -> bool:
        """Train a cell with one further setting; False if none is left or it does not fit."""
        search = searches[cell]
        settings = self._hint(cell, searches) or search.propose()
        if settings is None:
            return False
        run = self._make(cell, settings, 0)
        if not search.tried:
            self.records = [r for r in self.records if not (r.run == run and r.status == "to do")]
        result = self._try(run, "search")
        if result is None:
            return False
        search.report(settings, result.tuning_loss)
        return True

    def _hint(self, cell: _Cell, searches: dict[_Cell, Search]) -> Settings | None:
        """Settings that are better than the first guess on the next smaller training set."""
        if not searches[cell].tried:
            return None
        same = [c for c in searches if (c.model, c.context) == (cell.model, cell.context)]
        smaller = [c for c in same if c.tokens < cell.tokens]
        if not smaller:
            return None
        before = max(smaller, key=lambda c: c.tokens)
        best = searches[before].best
        if best == self._guess(before):
            return None
        scaled = self._scaled(best, before, cell)
        return None if scaled in searches[cell].tried else scaled

    def _guess(self, cell: _Cell) -> Settings:
        if self.plan.protocol == "paper":
            return first_guess_of_paper(cell.context, cell.tokens)
        only_last = self.plan.targets != "all"
        return first_guess(cell.size, cell.context, cell.tokens, only_last=only_last)

    def _scaled(self, settings: Settings, smaller: _Cell, cell: _Cell) -> Settings:
        """Settings of a smaller training set, with batch and epochs scaled as the guesses are."""
        before, now = self._guess(smaller), self._guess(cell)
        return dataclasses.replace(
            settings,
            batch=max(1, round(settings.batch * now.batch / before.batch)),
            epochs=max(1, round(settings.epochs * now.epochs / before.epochs)),
        )

    def _within_budget(self, cells: Sequence[_Cell], costs: dict[_Cell, float]) -> list[_Cell]:
        """Cells whose first guesses fit the budget; the largest training sets are dropped first."""
        affordable = sorted(cells, key=lambda cell: (cell.tokens, costs[cell]))
        if self.budget is not None:
            while affordable and sum(costs[cell] for cell in affordable) > self.budget:
                affordable.pop()
        if not affordable:
            raise InputError(
                f"the budget of {self.budget:.0f} s is too small for any training set: the "
                f"smallest takes about {min(costs.values()):.0f} s"
            )
        return [cell for cell in cells if cell in affordable]

    def _check_capacity(self, best: dict[_Cell, tuple[Settings, float]]) -> None:
        """Train the next larger model on the largest training set, with the best settings there."""
        larger = size_above(self.plan.size)
        if not self.plan.capacity or larger is None:
            return
        max_tokens = max(cell.tokens for cell in best)
        cell = min((c for c in best if c.tokens == max_tokens), key=lambda c: best[c][1])
        other = dataclasses.replace(cell, size=larger)
        # The optimal learning rate falls with width.
        ratio = self._guess(other).learning_rate / self._guess(cell).learning_rate
        settings = best[cell][0]
        settings = dataclasses.replace(settings, learning_rate=settings.learning_rate * ratio)
        self._try(self._make(other, settings, 0), "capacity")

    def _try(self, run: Run, purpose: str) -> TrainingResult | None:
        """Train a run if it fits the budget."""
        folder = self.directory / "runs" / run.key
        done = read_result(folder, run)
        cost = self._cost(run) if done is None else 0.0
        if done is None and not self._fits(cost):
            self.records.append(Record(run, purpose, "left out", cost))
            return None
        record = Record(run, purpose, "to do", cost, done)
        self.records.append(record)
        if done is None:
            from ngramstat.lm.train import train  # the first use of torch

            self._write_table()
            tuning, measuring = self.held_out(run.context)
            total = run.steps(run.tokens) * run.settings.batch * run.context
            with Progress(total, self._title(run), unit="tok", enabled=self.progress) as progress:
                record.result = train(
                    run, self.split, tuning, measuring, folder, device=self.device,
                    progress=progress,
                )  # fmt: skip
        assert record.result is not None
        record.status = "diverged" if record.result.diverged else "done"
        self._spent += record.result.seconds
        self._expected += self._cost(run)
        return record.result

    def _title(self, run: Run) -> str:
        """The line of the progress bar: which run, and how much of the budget is used."""
        number = sum(record.result is not None for record in self.records) + 1
        used = "" if self.budget is None else f", {self._spent:.0f} of {self.budget:.0f} s used"
        return f"run {number}{used}: {run.model} {run.size} T={run.context} P={run.tokens:,}"

    def _fits(self, seconds: float) -> bool:
        """Whether a run of so many expected seconds fits, if runs go on as slowly as so far."""
        if self.budget is None:
            return True
        slower = max(1.0, self._spent / self._expected) if self._expected else 1.0
        return self._spent + slower * seconds <= self.budget

    def _make(self, cell: _Cell, settings: Settings, seed: int) -> Run:
        run = Run(
            cell.model, cell.size, cell.context, cell.tokens, self.seed + seed, settings, self.data,
            self.split.corpus.vocab_size, self.plan.targets, self.plan.protocol,
        )  # fmt: skip
        return dataclasses.replace(run, precision=self._paces.of(run, self.device)[0])

    def _cost(self, run: Run) -> float:
        """Expected seconds of a run, from the measured speed of a few steps."""
        return run_seconds(
            self._paces.of(run, self.device)[1], run.tokens, run.settings.epochs,
            tuning=self.tuning_tokens,
            scored=self.measuring_tokens * protocol_of(run.protocol).overlap,
        )  # fmt: skip

    def _write_table(self) -> None:
        header = (
            "status", "purpose", "model", "size", "context", "tokens", "seed", "learning_rate",
            "weight_decay", "epochs", "batch", "protocol", "precision", "tuning_loss", "held_out",
            "best_step", "steps", "seconds", "run",
        )  # fmt: skip
        write_csv(self.directory / "runs.csv", header, map(_row, self.records))


def _kinds_and_losses(records: Sequence[Record]) -> Iterator[tuple[Any, str, float]]:
    """Model, size, T and P of every finished run, its name and its tuning loss."""
    for record in records:
        run, result = record.run, record.result
        if result is not None and not result.diverged:
            kind = (run.model, run.size, run.context, run.tokens)
            yield kind, run.key, result.tuning_loss


def _row(record: Record) -> list[Any]:
    run, settings, result = record.run, record.run.settings, record.result
    row: list[Any] = [
        record.status, record.purpose, run.model, run.size, run.context, run.tokens, run.seed,
        settings.learning_rate, settings.weight_decay, settings.epochs, settings.batch,
        run.protocol, run.precision,
    ]  # fmt: skip
    if result is None:
        row += ["", "", "", "", f"{record.expected_seconds:.0f} expected"]
    else:
        row += [
            f"{result.tuning_loss:.6f}", f"{loss_of_run(run, result):.6f}", result.best_step,
            result.steps, f"{result.seconds:.1f}",
        ]  # fmt: skip
    return [*row, run.key]
