"""Times implementations of the same work fairly: one process each, interleaved, answers compared.

A case has several arms (implementations). Every arm runs in a process of its own, which times the
work alone (without imports and opening files) and reports its peak resident memory. Arms take
turns, and one that takes more than a minute runs once. All arms of a case must give one answer.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bars import machine
from ngramstat import Corpus
from ngramstat.runtime.resources import peak_rss_bytes

HERE = Path(__file__).resolve().parent
SLOW = 60.0

T = TypeVar("T")
# An arm returns (items processed, seconds, answer); the answers of all arms are compared, but for
# those that are None.
Result = tuple[int, float, Any]
# A string instead of an arm says why it is missing.
Arm = Callable[[], Result] | str


@dataclass(frozen=True)
class Context:
    """The input of an arm, the directory for its files, and where programs of others lie."""

    corpus: Corpus
    work: Path
    programs: Mapping[str, Path]


def timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def timed_tokengrams(context: Context, name: str) -> tuple[float, Any]:
    """Seconds that tokengrams takes to build the index NAME, and the index."""
    tokengrams = importlib.import_module("tokengrams")
    text, table = context.work / f"{name}.bin", context.work / f"{name}.idx"
    np.array(context.corpus.tokens).tofile(text)
    table.unlink(missing_ok=True)
    size = context.corpus.vocab_size
    return timed(lambda: tokengrams.MemmapIndex.build(str(text), str(table), size))


def if_installed(module: str, arm: Callable[[], Result]) -> Arm:
    return arm if importlib.util.find_spec(module) else f"{module} is not installed"


def if_built(context: Context, name: str, arm: Callable[[], Result]) -> Arm:
    """An arm that runs a program, whose directory the option --NAME gives."""
    return arm if name in context.programs else f"no program of --{name} DIR"


@dataclass(frozen=True)
class Benchmark:
    """Cases, the programs they call, and the file of their results.

    Attributes
    ----------
    script : str
        The file that is run, for the processes of the arms.
    about : str
    cases
        Arms by case, for an input.
    programs : tuple of str
        Names of the options that give directories of other people's programs.
    calls_programs : frozenset of str
        Arms whose work is done by a program: its peak memory counts.
    output : Path
    """

    script: str
    about: str
    cases: Callable[[Context], dict[str, dict[str, Arm]]]
    programs: tuple[str, ...]
    calls_programs: frozenset[str]
    output: Path

    def main(self) -> None:
        options = self._options()
        with tempfile.TemporaryDirectory() as temporary:
            options.work = Path(temporary) if options.work is None else options.work
            options.work.mkdir(parents=True, exist_ok=True)
            found = {name: getattr(options, name) for name in self.programs}
            context = Context(
                Corpus.open(options.corpus),
                options.work,
                {name: place for name, place in found.items() if place is not None},
            )
            if options.arm:
                self._run_arm(context, *options.arm)
            else:
                self._run_cases(context, options)

    def _options(self) -> argparse.Namespace:
        parser = argparse.ArgumentParser(description=self.about)
        parser.add_argument("corpus", type=Path)
        parser.add_argument("--rounds", type=int, default=3)
        parser.add_argument("--only", help="one case")
        for name in self.programs:
            parser.add_argument(f"--{name}", type=Path, help=f"directory of the programs of {name}")
        parser.add_argument("--work", type=Path, help="directory for files [default: temporary]")
        parser.add_argument("--arm", nargs=2, help=argparse.SUPPRESS)
        return parser.parse_args()

    def _run_arm(self, context: Context, case: str, arm: str) -> None:
        work = self.cases(context)[case][arm]
        assert not isinstance(work, str)
        items, seconds, answer = work()
        child_peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        peak = max(peak_rss_bytes() or 0, child_peak if arm in self.calls_programs else 0)
        print(json.dumps({"items": items, "seconds": seconds, "peak": peak, "answer": answer}))

    def _run_cases(self, context: Context, options: argparse.Namespace) -> None:
        cases = self.cases(context)
        if options.only is not None and options.only not in cases:
            raise SystemExit(f"--only {options.only}: choose among {', '.join(cases)}")
        table = json.loads(self.output.read_text()) if self.output.exists() else {"cases": {}}
        table |= {"tokens": context.corpus.n_tokens, "vocab_size": context.corpus.vocab_size}
        for case, arms in cases.items():
            if options.only not in (None, case):
                continue
            table["cases"][case] = {
                "machine": machine(),
                "arms": dict(self._measured(case, arms, options)),
            }
            self.output.write_text(json.dumps(table, indent=2) + "\n")
            print(json.dumps(table["cases"][case]["arms"], indent=2))

    def _measured(
        self, case: str, arms: dict[str, Arm], options: argparse.Namespace
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """(arm, result) of one case, from interleaved rounds."""
        runs: dict[str, list[dict[str, Any]]] = {
            a: [] for a, w in arms.items() if not isinstance(w, str)
        }
        for _ in range(options.rounds):
            for arm, rounds in runs.items():
                if rounds and rounds[0]["seconds"] > SLOW:
                    continue
                rounds.append(self._in_process(case, arm, options))
                nanoseconds = 1e9 * rounds[-1]["seconds"] / rounds[-1]["items"]
                print(f"{case}: {arm}: {nanoseconds:.2f} ns", file=sys.stderr, flush=True)
        self._compare(case, {arm: rounds[0]["answer"] for arm, rounds in runs.items()})
        for arm, work in arms.items():
            yield arm, {"missing": work} if isinstance(work, str) else _summary(runs[arm])

    def _in_process(self, case: str, arm: str, options: argparse.Namespace) -> dict[str, Any]:
        command = [sys.executable, self.script, str(options.corpus), "--work", str(options.work)]
        for name in self.programs:
            if getattr(options, name) is not None:
                command += [f"--{name}", str(getattr(options, name))]
        child = subprocess.run(
            [*command, "--arm", case, arm], capture_output=True, text=True, check=False
        )
        if child.returncode != 0:
            raise SystemExit(f"{case}, {arm}:\n{child.stderr}")
        # Peers write to standard output, too: ours is the last line.
        return dict(json.loads(child.stdout.strip().splitlines()[-1]))

    @staticmethod
    def _compare(case: str, answers: dict[str, Any]) -> None:
        given = {arm: answer for arm, answer in answers.items() if answer is not None}
        first = next(iter(given), None)
        differing = [arm for arm, answer in given.items() if answer != given[first]]
        if differing:
            raise SystemExit(f"{case}: {differing} give a different answer than {first}")


def _summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    nanoseconds = [1e9 * run["seconds"] / run["items"] for run in rounds]
    return {
        "nanoseconds_per_item": round(statistics.median(nanoseconds), 2),
        "range": [round(min(nanoseconds), 2), round(max(nanoseconds), 2)],
        "rounds": len(nanoseconds),
        "seconds": round(statistics.median(run["seconds"] for run in rounds), 2),
        "peak_bytes": max(run["peak"] for run in rounds),
        "checked": rounds[0]["answer"] is not None,
    }
