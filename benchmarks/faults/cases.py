"""The faults: kills, full disks, two processes at once, changed and truncated inputs."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.faults.commands import COMMANDS, CONTINUED, READERS
from benchmarks.faults.running import Outcome, clean_up, run, start
from benchmarks.faults.states import Reference, state_of, stored_parts

__all__ = ["Finding", "Laboratory", "walk"]


@dataclass
class Finding:
    """What one fault has led to.

    Attributes
    ----------
    fault, command : str
    runs : int
        Processes that ran.
    wrong, lost, tracebacks, left_over, failed : list of str
        Results that differ from a clean run's, finished parts that were computed again, messages
        that are no sentence, files that a clean run does not leave, and repetitions of the command
        that did not end well.
    """

    fault: str
    command: str
    runs: int = 0
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def saw(self, outcome: Outcome, *, may_be_killed: bool = False) -> None:
        """Count a process, and what it said where that is no sentence."""
        self.runs += 1
        killed = may_be_killed and outcome.code == -9
        if outcome.has_traceback or not (killed or outcome.is_sentence):
            self.tracebacks.append(f"{outcome.code}: {outcome.errors.strip()[-300:]}")


class Laboratory:
    """Runs commands under faults in directories of their own.

    Parameters
    ----------
    directory : Path
        Working directory; ``inputs`` in it holds what the commands read.
    """

    def __init__(self, directory: Path) -> None:
        self.directory, self.inputs = directory, directory / "inputs"
        self._references: dict[str, tuple[Reference, float, dict[str, int]]] = {}

    def kill(self, command: str, seed: int) -> Finding:
        """Kill a command at a random moment, then give the same command again."""
        reference, seconds, _ = self._reference(command)
        finding = Finding("killed", command)
        with _Place(self.directory / f"kill-{seed}") as place:
            arguments = self._arguments(command)
            process = start(arguments, place)
            time.sleep(random.Random(seed).uniform(0, 1.05 * seconds))
            process.kill()
            finding.saw(process.wait(), may_be_killed=True)
            # What passes for finished has to be finished.
            finding.wrong += reference.wrong(_finished(state_of(place)))
            parts = stored_parts(place)
            self._repeat(finding, reference, arguments, place)
            again = stored_parts(place)
            finding.lost += [name for name, written in parts.items() if again.get(name) != written]
        return finding

    def full_disk(self, command: str, largest: int) -> Finding:
        """No file can have more bytes than `largest`; then the same command with room enough."""
        reference, _, _ = self._reference(command)
        finding = Finding("disk full", command)
        with _Place(self.directory / f"full-{command.replace(' ', '-')}-{largest}") as place:
            arguments = self._arguments(command)
            finding.saw(run(arguments, place, largest_file=largest))
            finding.wrong += reference.wrong(_finished(state_of(place)))
            self._repeat(finding, reference, arguments, place)
        return finding

    def file_sizes(self, command: str) -> list[int]:
        """Sizes of the files that a command writes."""
        return sorted(set(self._reference(command)[2].values()) - {0})

    def two(self, command: str, seed: int) -> Finding:
        """Two processes with one output, the second a random moment later."""
        reference, seconds, _ = self._reference(command)
        finding = Finding("two processes", command)
        with _Place(self.directory / f"two-{seed}") as place:
            arguments = self._arguments(command)
            first = start(arguments, place)
            time.sleep(random.Random(seed).choice([0.0, 0.3, 0.6]) * seconds)
            second = start(arguments, place)
            outcomes = [first.wait(), second.wait()]
            for outcome in outcomes:
                finding.saw(outcome)
            if all(outcome.code != 0 for outcome in outcomes):
                finding.failed.append(" / ".join(outcome.errors.strip() for outcome in outcomes))
            self._compare(finding, reference, place)
        return finding

    def damage(self, artefact: str, fault: str, seed: int) -> Finding:
        """Change a bit of a file that a command reads, or cut it off."""
        command, is_checked = READERS[artefact]
        finding = Finding(fault, f"{artefact}: {command.partition(' {')[0]}")
        with _Place(self.directory / f"damage-{seed}") as place:
            inputs = self.directory / f"damage-{seed}-inputs"
            shutil.rmtree(inputs, ignore_errors=True)
            shutil.copytree(self.inputs, inputs)
            try:
                arguments = ["--quiet", *command.format(i=inputs).split()]
                expected = self._clean_reading(artefact, command)
                changed = _damage(inputs / artefact, fault, random.Random(seed))
                outcome = run(arguments, place)
                finding.saw(outcome)
                if is_checked and outcome.code == 0:
                    self._compare_reading(finding, artefact, (place, inputs), expected, changed)
            finally:
                shutil.rmtree(inputs, ignore_errors=True)
        return finding

    def _clean_reading(self, artefact: str, command: str) -> Reference:
        """What the reader leaves with inputs that are whole."""
        key = f"reading {artefact}"
        if key not in self._references:
            states = []
            for k in range(2):
                inputs = self.directory / f"clean-{k}-inputs"
                shutil.rmtree(inputs, ignore_errors=True)
                shutil.copytree(self.inputs, inputs)
                with _Place(self.directory / f"clean-{k}") as place:
                    run(["--quiet", *command.format(i=inputs).split()], place)
                    continued = CONTINUED.get(artefact)
                    states.append(state_of(inputs / continued if continued else place))
                shutil.rmtree(inputs)
            self._references[key] = Reference(*states), 0.0, {}
        return self._references[key][0]

    @staticmethod
    def _compare_reading(
        finding: Finding,
        artefact: str,
        places: tuple[Path, Path],
        expected: Reference,
        changed: str,
    ) -> None:
        place, inputs = places
        if artefact in CONTINUED:
            state = state_of(inputs / CONTINUED[artefact])
            # What later rounds have used is not read again.
            read = {name: digest for name, digest in state.items() if "rounds/" not in name}
            finding.wrong += expected.wrong(read)
        elif expected.names:
            finding.wrong += expected.wrong(state_of(place))
        else:  # nothing but the verdict, that all is well
            finding.wrong.append(changed)

    def _arguments(self, command: str) -> list[str]:
        return ["--quiet", *COMMANDS[command].format(i=self.inputs).split()]

    def _repeat(
        self, finding: Finding, reference: Reference, arguments: list[str], place: Path
    ) -> None:
        outcome = run(arguments, place)
        if outcome.code == 2 and "--overwrite" in outcome.errors:
            # It was finished, and only the end of the process was missing.
            finding.saw(outcome)
            outcome = run([*arguments, "--overwrite"], place)
        finding.saw(outcome)
        # The same, of commands that replace nothing; whether all is there is compared below.
        was_finished = outcome.code == 2 and "exists; remove it" in outcome.errors
        if outcome.code != 0 and not was_finished:
            finding.failed.append(outcome.errors.strip()[-300:])
        self._compare(finding, reference, place)

    @staticmethod
    def _compare(finding: Finding, reference: Reference, place: Path) -> None:
        state = state_of(place)
        finding.wrong += reference.wrong(state)
        finding.wrong += [f"{name} is missing" for name in reference.missing(state)]
        finding.left_over += reference.left_over(state)

    def _reference(self, command: str) -> tuple[Reference, float, dict[str, int]]:
        if command not in self._references:
            states, seconds, sizes = [], 0.0, {}
            for _ in range(2):
                with _Place(self.directory / "clean") as place:
                    outcome = run(self._arguments(command), place)
                    if outcome.code != 0:
                        raise RuntimeError(f"{command}: {outcome.errors}")
                    states.append(state_of(place))
                    seconds = outcome.seconds
                    files = (path for path in place.rglob("*") if path.is_file())
                    sizes = {str(path): path.stat().st_size for path in files}
            self._references[command] = Reference(*states), seconds, sizes
        return self._references[command]


class _Place:
    """A new directory, which is removed afterwards with what its processes said."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Path:
        shutil.rmtree(self._path, ignore_errors=True)
        self._path.mkdir(parents=True)
        return self._path

    def __exit__(self, *_: Any) -> None:
        clean_up(self._path)
        shutil.rmtree(self._path, ignore_errors=True)


def _finished(state: dict[str, str]) -> dict[str, str]:
    """The files that pass for results after a command was ended.

    A corpus or an index is there with its description, which is written last. Of other directories
    these files are results; the rest is read by the next call of the command.
    """
    described = {"out/corpus.json": "out/", "out/index.json": "out/"}
    whole = [place for name, place in described.items() if name in state]
    if whole or not any(name.startswith("out/") for name in state):
        return state
    results = {"out/run.json", "out/validation.json", "out/slurm.sh"}
    return {n: d for n, d in state.items() if not n.startswith("out/") or n in results}


def _damage(path: Path, fault: str, chance: random.Random) -> str:
    """Change one bit of a file, or of one of those in a directory, or cut it off; says which."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    file = chance.choice([candidate for candidate in files if candidate.stat().st_size])
    data = bytearray(file.read_bytes())
    at = chance.randrange(len(data))
    if fault == "truncated":
        data = data[:at]
    else:
        data[at] ^= 1 << chance.randrange(8)
    file.write_bytes(data)
    return f"{file.name} at {at} of {len(data)}"


def walk(
    laboratory: Laboratory, commands: list[str], *, kills: int, flips: int
) -> Iterator[tuple[str, Any]]:
    """All faults, each by a name and the function that tries it."""
    for k in range(kills):
        command = commands[k % len(commands)]
        yield f"kill {k}", lambda command=command, k=k: laboratory.kill(command, k)
    for command in commands:
        for k in range(2):
            seed = 1000 * k + commands.index(command)
            yield f"two {command} {k}", lambda c=command, s=seed: laboratory.two(c, s)
    for artefact in READERS:
        for fault in ("flipped bit", "truncated"):
            for k in range(flips):
                yield (
                    f"{fault} {artefact} {k}",
                    lambda a=artefact, f=fault, k=k: laboratory.damage(a, f, k),
                )
    for command in commands:
        for size in laboratory.file_sizes(command):
            for largest in (size // 2, size - 1):
                yield (
                    f"full {command} {largest}",
                    lambda c=command, n=largest: laboratory.full_disk(c, n),
                )
