"""Growth of time and memory with tokens (up to 10^9), lags, vocabulary and threads.

    python benchmarks/scale.py runs CORPUS... --work DIR [--limits 12G,3G]
    python benchmarks/scale.py kernels CORPUS [--others CORPUS...]
    python benchmarks/scale.py plot

`runs` measures 24 lags and contexts up to 5 of each corpus, smallest first, under the first memory
limit, and of the largest corpus under all limits; it compares the numbers of the largest corpus
under its limits. Runs that are in DIR already are not repeated. `kernels` times kernels on prefixes
of one corpus, and on other corpora with other vocabularies. Every point is measured in its own
process, for its peak resident memory. Writes benchmarks/results/scale-runs.json and
scale-kernels.json; `plot` draws scale.png.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from bars import machine
from ngramstat import Corpus, kernels
from ngramstat.runtime.resources import peak_rss_bytes
from ngramstat.sampling.design import SamplingDesign
from ngramstat.sampling.options import SamplingOptions

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
OPTIONS = ("--no-sequential", "--predictor", "kneser-ney", "--learning-sizes", "4", "--max-context",
           "5", "--quiet", "--json")  # fmt: skip
COMMAND = """
import sys
from ngramstat.cli import main
from ngramstat.runtime.resources import peak_rss_bytes
try:
    main()
finally:
    print(peak_rss_bytes(), file=sys.stderr)
"""
LAG = 32


def ngramstat(*arguments: object) -> dict[str, Any]:
    """Run one command; its wall seconds and peak resident bytes."""
    started = time.monotonic()
    child = subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if child.returncode != 0:
        raise SystemExit(child.stderr)
    seconds = time.monotonic() - started
    peak = int(child.stderr.strip().splitlines()[-1])
    return {"seconds": round(seconds, 1), "peak_bytes": peak}


def numbers_of(run: Path) -> dict[str, Any]:
    """The parts of run.json that must not depend on the memory limit."""
    result = json.loads((run / "run.json").read_text())
    return {name: result[name] for name in ("correlations", "entropies", "prediction")}


def runs(options: argparse.Namespace) -> None:
    corpora = sorted((Corpus.open(path) for path in options.corpora), key=lambda c: c.n_tokens)
    limits = options.limits.split(",")
    rows: list[dict[str, Any]] = []
    numbers: list[dict[str, Any]] = []
    for corpus in corpora:
        for limit in limits if corpus is corpora[-1] else limits[:1]:
            run = options.work / f"run-{corpus.n_tokens}-{limit}"
            saved = options.work / f"{run.name}.json"
            if saved.exists():
                row = json.loads(saved.read_text())
            else:
                shutil.rmtree(run, ignore_errors=True)
                row = {
                    "tokens": corpus.n_tokens,
                    "memory_limit": limit,
                    "commit": machine()["commit"],
                    **ngramstat(
                        "measure", corpus.path, "-o", run, "--memory-limit", limit, *OPTIONS
                    ),
                }
                saved.write_text(json.dumps(row))
            result = json.loads((run / "run.json").read_text())
            row["lags"] = len(result["correlations"]["lags"])
            row["kept"] = row["peak_bytes"] <= result["provenance"]["memory_limit_bytes"]
            if corpus is corpora[-1]:
                numbers.append(numbers_of(run))
            rows.append(row)
            print(json.dumps(row), flush=True)
    first = [row for row in rows if row["memory_limit"] == limits[0]]
    exponents = [
        round(float(np.log(b["seconds"] / a["seconds"]) / np.log(b["tokens"] / a["tokens"])), 3)
        for a, b in itertools.pairwise(first)
    ]
    table = {
        "machine": machine(),
        "options": " ".join(OPTIONS),
        "runs": rows,
        "time_exponents": exponents,
        "same_numbers_under_all_limits": all(n == numbers[0] for n in numbers)
        if len(numbers) > 1
        else None,
    }
    (RESULTS / "scale-runs.json").write_text(json.dumps(table, indent=2) + "\n")
    print(json.dumps(table, indent=2))


def point(corpus: Corpus, kind: str, tokens: int, lags: int, threads: int) -> dict[str, Any]:
    """Time one kernel on a prefix whose tokens are in memory already."""
    prefix = np.array(corpus.tokens[:tokens])
    size = corpus.vocab_size
    ends = np.asarray(corpus.document_ends)
    ends = np.append(ends[ends < tokens], tokens)
    part = Corpus.from_arrays(
        prefix, vocab_size=size, document_ends=ends, separator=corpus.separator
    )
    documents = SamplingDesign(part, SamplingOptions()).documents
    before = peak_rss_bytes() or 0
    started = time.perf_counter()
    if kind == "pairs":
        lag_values = tuple(LAG + 3 * k for k in range(lags))
        for _ in kernels.count_pairs(prefix, size, documents, lag_values, threads=threads):
            pass
    else:
        kernels.count_ngrams(prefix, size, max_context=5, threads=threads)
    seconds = time.perf_counter() - started
    return {
        "kernel": kind,
        "tokens": tokens,
        "vocab_size": size,
        "lags": lags,
        "threads": threads,
        "seconds": round(seconds, 4),
        "added_bytes": (peak_rss_bytes() or 0) - before,
    }


def measure_growth(options: argparse.Namespace) -> None:
    corpus = Corpus.open(options.corpus)
    sizes = [s for s in (10**6, 10**7, 10**8, 10**9) if s <= corpus.n_tokens]
    middle = sizes[min(2, len(sizes) - 1)]
    points: list[tuple[Path, str, int, int, int]] = []
    for kind in ("pairs", "ngrams"):
        points += [(options.corpus, kind, s, 4, 2) for s in sizes]
        points += [(options.corpus, kind, middle, 4, 1)]
        points += [(other, kind, min(middle, Corpus.open(other).n_tokens), 4, 2)
                   for other in options.others]  # fmt: skip
    points += [(options.corpus, "pairs", middle, lags, 2) for lags in (1, 2, 8, 16)]
    rows = []
    for path, *rest in points:
        command = [sys.executable, __file__, "point", str(path), *map(str, rest)]
        # The faster of two: in the first, the host may still have to provide the memory.
        repeats = [
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            for _ in range(2)
        ]
        rows.append(min(repeats, key=lambda row: row["seconds"]))
        print(json.dumps(rows[-1]), flush=True)
    table = {"machine": machine(), "points": rows}
    (RESULTS / "scale-kernels.json").write_text(json.dumps(table, indent=2) + "\n")


def plot() -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    points = json.loads((RESULTS / "scale-kernels.json").read_text())["points"]
    runs_done = json.loads((RESULTS / "scale-runs.json").read_text())["runs"]
    names = {"pairs": "pair counts (per lag, of 4)", "ngrams": "n-gram counts to depth 6"}
    figure, axes = plt.subplots(2, 2, figsize=(10, 7.2), layout="constrained")
    (time_axis, memory_axis), (lag_axis, size_axis) = axes
    base = [p for p in points if p["lags"] == 4 and p["threads"] == 2 and p["vocab_size"] == 8192]
    for kind, marker in (("pairs", "o"), ("ngrams", "s")):
        by_tokens = sorted((p for p in base if p["kernel"] == kind), key=lambda p: p["tokens"])
        lags = 4 if kind == "pairs" else 1
        x = [p["tokens"] for p in by_tokens]
        time_axis.loglog(
            x, [p["seconds"] / lags for p in by_tokens], marker=marker, label=names[kind]
        )
        memory_axis.loglog(x, [p["added_bytes"] / 1e9 for p in by_tokens], marker=marker,
                           label=names[kind])  # fmt: skip
        by_vocabulary = sorted((p for p in points if p["kernel"] == kind and p["threads"] == 2
                        and p["lags"] == 4 and p["tokens"] > 5e7 and p["tokens"] < 5e8),
                       key=lambda p: p["vocab_size"])  # fmt: skip
        size_axis.semilogx([p["vocab_size"] for p in by_vocabulary],
                           [1e9 * p["seconds"] / p["tokens"] / lags for p in by_vocabulary],
                           marker=marker, label=names[kind])  # fmt: skip
    for limit in dict.fromkeys(row["memory_limit"] for row in runs_done):
        rows = [row for row in runs_done if row["memory_limit"] == limit]
        x = [row["tokens"] for row in rows]
        style = {"marker": "^", "linestyle": "--", "label": f"measure, limit {limit}"}
        time_axis.loglog(x, [row["seconds"] for row in rows], **style)
        memory_axis.loglog(x, [row["peak_bytes"] / 1e9 for row in rows], **style)
    by_lags = sorted((p for p in points if p["kernel"] == "pairs" and p["threads"] == 2
                      and p["vocab_size"] == 8192 and 5e7 < p["tokens"] < 5e8),
                     key=lambda p: p["lags"])  # fmt: skip
    per_pair = [1e9 * p["seconds"] / p["tokens"] / p["lags"] for p in by_lags]
    lag_axis.plot([p["lags"] for p in by_lags], per_pair, marker="o")
    for axis, x, y in (
        (time_axis, "tokens", "seconds"),
        (memory_axis, "tokens", "GB (kernels: besides the tokens)"),
        (lag_axis, "lags counted together", "ns per pair"),
        (size_axis, "vocabulary", "ns per token (and lag)"),
    ):
        axis.set(xlabel=x, ylabel=y)
        axis.grid(alpha=0.3)
    for axis in (lag_axis, size_axis):
        axis.set_ylim(bottom=0)
    for axis in (time_axis, memory_axis, size_axis):
        axis.legend(fontsize=8)
    figure.savefig(HERE / "scale.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    measure = commands.add_parser("runs")
    measure.add_argument("corpora", nargs="+", type=Path)
    measure.add_argument("--work", type=Path, required=True)
    measure.add_argument("--limits", default="12G,3G")
    growth = commands.add_parser("kernels")
    growth.add_argument("corpus", type=Path)
    growth.add_argument("--others", nargs="*", type=Path, default=[])
    commands.add_parser("plot")
    one = commands.add_parser("point")
    one.add_argument("corpus", type=Path)
    one.add_argument("kind")
    for name in ("tokens", "lags", "threads"):
        one.add_argument(name, type=int)
    options = parser.parse_args()
    if options.command == "runs":
        runs(options)
    elif options.command == "kernels":
        measure_growth(options)
    elif options.command == "plot":
        plot()
    else:
        corpus = Corpus.open(options.corpus)
        print(json.dumps(point(corpus, options.kind, options.tokens, options.lags,
                               options.threads)))  # fmt: skip


if __name__ == "__main__":
    main()
