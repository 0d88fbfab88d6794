"""What `ngramstat plan` expects against what `ngramstat measure` takes, stage by stage.

    python benchmarks/plan.py CORPUS... --work DIR [--limits 300M,1G] [-- OPTIONS OF MEASURE]

Every corpus is planned and measured under every limit, each in its own process. Prints a row a
stage: seconds by the clock and peak memory, expected and measured, and what the memory limit was.
The plan assumes that nothing else runs; `CPU / clock` shows whether that was so (it is the number
of threads where they all ran all the time). A ratio (expected to measured) is marked with ! where
it is off by more than 30 % in time or 15 % in memory. Exits with status 1 where a peak is above its
limit. Writes benchmarks/results/plan.json.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from bars import machine

RESULTS = Path(__file__).resolve().parent / "results" / "plan.json"
# What a run does beside its stages; the plan has no rows for these.
BESIDE = ("plan", "C(t) fits", "H(n) fits")
# How far off the plan may be, as a fraction; shorter times than these seconds are not judged.
TIME_ERROR, MEMORY_ERROR, SHORTEST = 0.3, 0.15, 1.0


def ngramstat(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ngramstat", *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def compared(corpus: Path, limit: str, work: Path, options: list[str]) -> dict[str, Any]:
    """Plan and measurement of one corpus under one limit."""
    chosen = [corpus, "--memory-limit", limit, *options]
    run = work / f"{corpus.name}-{limit}"
    shutil.rmtree(run, ignore_errors=True)
    row: dict[str, Any] = {"corpus": corpus.name, "limit": limit}
    planned = ngramstat("plan", *chosen, "--json")
    if planned.returncode != 0:
        return {**row, "refused": planned.stderr.strip()}
    plan = json.loads(planned.stdout)
    measured = ngramstat("measure", *chosen, "-o", run, "--quiet")
    if measured.returncode != 0:
        return {**row, "refused": measured.stderr.strip(), "planned_fit": plan["fits"]}
    provenance = json.loads((run / "run.json").read_text())["provenance"]
    expected = {stage["name"]: stage for stage in plan["stages"]}
    stages = [
        {
            "name": stage["name"],
            "seconds": stage["seconds"],
            "cpu_seconds": stage["cpu_seconds"],
            "peak_bytes": stage["peak_rss_bytes"],
            "expected_seconds": expected.get(stage["name"], {}).get("seconds"),
            "expected_bytes": expected.get(stage["name"], {}).get("memory_bytes"),
        }
        for stage in provenance["stages"]
    ]
    return {
        **row,
        "limit_bytes": provenance["memory_limit_bytes"],
        "peak_bytes": provenance["peak_rss_bytes"],
        "expected_bytes": plan["memory_bytes"],
        "seconds": sum(s["seconds"] for s in stages if s["name"] not in BESIDE),
        "expected_seconds": plan["seconds"],
        "stages": stages,
    }


def ratio(expected: float, measured: float, allowed: float) -> str:
    off = expected / max(measured, 1e-3)
    return f"{off:6.2f}{'!' if abs(off - 1) > allowed else ' '}"


def print_comparison(row: dict[str, Any]) -> None:
    print(f"\n{row['corpus']}, limit {row['limit']}")
    if "refused" in row:
        return print(f"  refused: {row['refused'][-300:]}")
    print("  stage              s expected  ratio   CPU/clock      MB expected  ratio   of limit")
    whole = {**row, "name": "whole", "cpu_seconds": None}
    for stage in (*row["stages"], whole):
        seconds, expected = stage["seconds"], stage["expected_seconds"]
        line = f"  {stage['name']:13s} {seconds:6.1f}"
        judged = TIME_ERROR if seconds >= SHORTEST else math.inf
        line += f" {expected:8.1f} {ratio(expected, seconds, judged)}" if expected else " " * 17
        load = stage["cpu_seconds"]
        line += f" {load / max(seconds, 1e-3):10.2f}" if load is not None else " " * 11
        peak, memory = stage["peak_bytes"], stage["expected_bytes"]
        line += f" {peak / 1e6:7.0f}"
        line += f" {memory / 1e6:8.0f} {ratio(memory, peak, MEMORY_ERROR)}" if memory else " " * 17
        print(line + f" {peak / row['limit_bytes']:9.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", nargs="+", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--limits", default="300M,1G")
    own, options = sys.argv[1:], []
    if "--" in own:
        own, options = own[: own.index("--")], own[own.index("--") + 1 :]
    arguments = parser.parse_args(own)
    rows = []
    for corpus in arguments.corpora:
        for limit in arguments.limits.split(","):
            rows.append(compared(corpus, limit, arguments.work, options))
            print_comparison(rows[-1])
    RESULTS.write_text(json.dumps({"machine": machine(), "options": options, "runs": rows}))
    above = [row for row in rows if row.get("peak_bytes", 0) > row.get("limit_bytes", 0)]
    if above:
        sys.exit("above the limit: " + ", ".join(f"{r['corpus']} {r['limit']}" for r in above))


if __name__ == "__main__":
    main()
