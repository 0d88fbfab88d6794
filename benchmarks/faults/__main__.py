"""Kills, full disks, damaged files and rival processes, over all commands.

    python -m benchmarks.faults --work DIR [--quick] [--only COMMAND ...] [--seconds N]
                                [--update]

Every command first runs undisturbed, twice. Then it is killed at random moments, finds its disk
full at every file, meets a second process with the same output, and reads files with a changed bit
or without their end; afterwards the same command is given again. What it leaves is compared with
the undisturbed runs. Every case is saved in --work as soon as it is done: an interrupted campaign
goes on where it stopped, and --seconds stops it, at any case since their order is shuffled.
--update writes results/faults.json and the table in the README beside this file; --quick tries a
few commands, and --only those named, without the files that commands read. Needs fork, so it does
not run on Windows.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import random
import sys
import time
from pathlib import Path
from typing import Any

import scipy.sparse.linalg  # noqa: F401  (imported once, before the processes are copied)
import tokenizers  # noqa: F401

import ngramstat
from benchmarks.faults.cases import Laboratory, walk
from benchmarks.faults.commands import COMMANDS, QUICK, WITH_TORCH, make_inputs
from ngramstat.kernels import build_info

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results" / "faults.json"
_KINDS = ("wrong", "lost", "tracebacks", "left_over", "failed")
_HEADINGS = (
    "cases", "processes", "wrong answers", "finished parts lost", "tracebacks and crashes",
    "files left over", "could not go on",
)  # fmt: skip
_BEGIN, _END = "<!-- faults: begin -->\n", "<!-- faults: end -->\n"


def table(rows: list[dict[str, Any]]) -> str:
    """The number of cases with each outcome, by fault."""
    lines = [f"| fault | {' | '.join(_HEADINGS)} |", "|---|" + "---|" * len(_HEADINGS)]
    faults = list(dict.fromkeys(row["fault"] for row in rows))
    for fault in [*faults, "all"]:
        chosen = [row for row in rows if fault in (row["fault"], "all")]
        numbers = [len(chosen), sum(row["runs"] for row in chosen)]
        numbers += [sum(bool(row[kind]) for row in chosen) for kind in _KINDS]
        lines.append(f"| {fault} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines) + "\n"


def _log(work: Path) -> dict[str, dict[str, Any]]:
    path = work / "cases.jsonl"
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    return {row["name"]: row for row in rows}


def campaign(
    work: Path, *, quick: bool, only: list[str], seconds: float
) -> tuple[list[dict[str, Any]], int]:
    """What came of the cases, in earlier calls too, and how many cases there are in all."""
    end = time.monotonic() + seconds
    work.mkdir(parents=True, exist_ok=True)
    laboratory = Laboratory(work)
    commands = only or list(QUICK if quick else COMMANDS)
    if any("{i}" in COMMANDS[command] for command in commands) or not only:
        with_torch = bool({*commands} & {*WITH_TORCH})
        if with_torch:
            import torch  # noqa: F401  (once, as above)
        make_inputs(laboratory.inputs, with_torch=with_torch)
    done = _log(work)
    rows = []
    kills, flips = (2 * len(commands), 1) if quick else (200, 6)
    flips = 0 if only else flips
    cases = list(walk(laboratory, commands, kills=kills, flips=flips))
    random.Random(0).shuffle(cases)
    for name, attempt in cases:
        if name not in done:
            if time.monotonic() > end:
                continue
            row = {"name": name, **dataclasses.asdict(attempt())}
            with open(work / "cases.jsonl", "a") as file:
                file.write(json.dumps(row) + "\n")
            done[name] = row
            if any(row[kind] for kind in _KINDS):
                print(json.dumps(row), flush=True)
        rows.append(done[name])
    return sorted(rows, key=lambda row: row["fault"]), len(cases)


def update(rows: list[dict[str, Any]], planned: int) -> None:
    """Write the results and the table of the README."""
    bad = [row for row in rows if any(row[kind] for kind in _KINDS)]
    results = {
        "version": ngramstat.__version__,
        "commit": build_info()["commit"] or None,
        "platform": sys.platform,
        "cases": len(rows),
        "cases_planned": planned,
        "processes": sum(row["runs"] for row in rows),
        **{kind: sum(bool(row[kind]) for row in rows) for kind in _KINDS},
        "not_as_they_should_be": bad,
    }
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    page = (HERE / "README.md").read_text()
    before, _, rest = page.partition(_BEGIN)
    after = rest.partition(_END)[2]
    said = f"\n{len(rows)} of {planned} cases, drawn at random:\n\n" if len(rows) < planned else ""
    (HERE / "README.md").write_text(f"{before}{_BEGIN}{said}{table(rows)}{_END}{after}")


def main() -> None:
    """Run the campaign and show its table; exit code 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=[], metavar="COMMAND")
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    rows, planned = campaign(
        options.work.resolve(), quick=options.quick, only=options.only, seconds=options.seconds
    )
    print(table(rows))
    if options.update:
        update(rows, planned)
    sys.exit(any(row[kind] for row in rows for kind in _KINDS))


if __name__ == "__main__":
    main()
