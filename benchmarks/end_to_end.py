"""From text to report, stage by stage: time, CPU time, memory, and what others and limits take.

    python benchmarks/end_to_end.py TEXT... --work DIR [--numpy-tokens 2e6] [--python-tokens 1e5]

Runs `tokenize`, `measure` and `report` on the texts, each in a process of its own, with the record
that `measure` keeps of its stages. Beside each stage stand the plain ways of its main job
(plain_ways.py), in processes of their own: NumPy and SciPy, and plain Python, on as many of the
first tokens as they can do and on a quarter of them. They are extrapolated to the corpus by the
power of the tokens that their CPU time grew with, at most in proportion, and to all lags. That
favours them: sorting grows faster than the tokens. The last columns are the bytes and the
floating-point operations that a stage needs at least, how long they take at the speeds of a copy
and of a product of matrices on this machine, and how many times the longer of the two the stage
takes. Writes benchmarks/results/end_to_end.json and the table in benchmarks/README.md; `--table`
only the latter. Needs an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import plain_ways
from bars import machine
from ngramstat import Corpus
from ngramstat.runtime.resources import peak_rss_bytes

HERE = Path(__file__).resolve().parent
RESULTS, README = HERE / "results" / "end_to_end.json", HERE / "README.md"
BEGIN, END = "<!-- end-to-end: begin -->", "<!-- end-to-end: end -->"
COMMAND = "import sys; from ngramstat.cli import main; main(sys.argv[1:])"
# What the plain ways do once; they take a lag like any other.
LAGS = (1, 8)
ORDER = 6
# Bytes of an entry of a suffix or of a context: its position and the symbols it is sorted by.
ENTRY = 16
COPIED, SIDE, REPEATS = 1 << 28, 2048, 5


# --- ours -----------------------------------------------------------------------------------------


def process(*command: object) -> dict[str, Any]:
    """Wall seconds, CPU seconds and peak resident bytes of a process, and what it printed."""
    started = time.perf_counter()
    child = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit status {status}")
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_bytes": usage.ru_maxrss * 1024,
        "printed": printed,
    }


def ours(texts: list[Path], work: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """What each step took, and the facts of the run that the columns beside it need."""
    corpus, run = work / "corpus", work / "run"
    for directory in (corpus, run):
        shutil.rmtree(directory, ignore_errors=True)
    steps = {
        name: process(sys.executable, "-c", COMMAND, *arguments, "--quiet")
        for name, arguments in (
            ("tokenize", ("tokenize", *texts, "-o", corpus)),
            ("measure", ("measure", corpus, "-o", run)),
            ("report", ("report", run)),
        )
    }
    result = json.loads((run / "run.json").read_text())
    stages = {
        stage["name"]: {
            "seconds": stage["seconds"],
            "cpu_seconds": stage["cpu_seconds"],
            "peak_bytes": stage["peak_rss_bytes"],
        }
        for stage in result["provenance"]["stages"]
    }
    rows = {"tokenize": steps["tokenize"], **stages}
    rows |= {"report": steps["report"], "measure in all": steps["measure"]}
    for row in rows.values():
        row.pop("printed", None)
    facts = {
        "tokens": result["corpus"]["tokens"],
        "vocab_size": result["corpus"]["vocab_size"],
        "token_bytes": np.dtype(result["corpus"]["dtype"]).itemsize,
        "lags": len(result["correlations"]["lags"]),
        "contexts": len(result["entropies"]["context"]),
        "held_out_tokens": result["entropies"]["held_out_tokens"],
        "text_bytes": text_bytes(corpus),
    }
    return rows, facts


def text_bytes(corpus: Path) -> int:
    """Bytes of all text of a corpus whose tokenizer was trained on a part of it."""
    tokenization = json.loads((corpus / "corpus.json").read_text())["tokenization"]
    return int(tokenization["training"]["of_bytes"])


# --- the plain ways -------------------------------------------------------------------------------


def texts_of(corpus: Corpus, tokens: int) -> list[str]:
    """The texts of the first documents, decoded again."""
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(Path(str(corpus.path)) / "tokenizer.json"))
    ends = np.asarray(corpus.document_ends)
    ends = ends[: max(int(np.searchsorted(ends, tokens, "right")), 1)].tolist()
    return [
        library.decode(corpus.tokens[start:end].tolist())
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]


def plain(corpus: Corpus, way: str, tokens: int) -> dict[str, Callable[[], Any]]:
    """The plain way of each stage, as functions that do the work alone."""
    size = corpus.vocab_size
    text = np.array(corpus.tokens[:tokens]).astype(np.int64)
    training, held_out = text[: -tokens // 100], text[-tokens // 100 :]
    if way == "Python":
        return {
            "C(t)": lambda: plain_ways.python_norms(text, size, LAGS),
            "H(n) counts": lambda: plain_ways.python_entropies(text, ORDER - 1),
            # Without the learning curve.
            "H(n) held out": lambda: plain_ways.python_kneser_ney(training, held_out, size, ORDER),
            "H(n) mixture": lambda: plain_ways.python_mixture(training, held_out, size),
        }
    return {
        "C(t)": lambda: plain_ways.numpy_norms(text, size, LAGS),
        "H(n) counts": lambda: plain_ways.numpy_entropies(text, size, ORDER - 1),
        "H(n) held out": lambda: [
            plain_ways.numpy_kneser_ney(training, held_out, size, ORDER),
            *plain_ways.numpy_learning(training, held_out, size, ORDER, 7),
        ],
        "H(n) mixture": lambda: plain_ways.numpy_mixture(training, held_out, size),
    }


def run_plain(corpus: Path, way: str, stage: str, tokens: int) -> None:
    """In a process of its own: print seconds and CPU seconds of the work, and peak memory."""
    opened = Corpus.open(corpus)
    if stage == "tokenize":
        from tokenizers import Tokenizer

        texts = texts_of(opened, tokens)
        library = Tokenizer.from_file(str(corpus / "tokenizer.json"))

        def work() -> Any:
            return sum(len(encoding.ids) for encoding in library.encode_batch(texts))
    else:
        work = plain(opened, way, tokens)[stage]
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - cpu
    print(json.dumps([seconds, cpu_seconds, peak_rss_bytes()]))


def compared(
    work: Path, facts: dict[str, Any], sizes: dict[str, int]
) -> dict[str, dict[str, dict[str, Any]]]:
    """What the plain ways of each stage take, measured and extrapolated, by stage and way."""
    stages = ("tokenize", "C(t)", "H(n) counts", "H(n) held out", "H(n) mixture")
    found: dict[str, dict[str, dict[str, Any]]] = {stage: {} for stage in stages}
    for stage in stages:
        for way, tokens in sizes.items():
            if way == "Python" and stage == "tokenize":
                continue
            tokens = min(tokens, facts["tokens"])
            runs = [
                json.loads(
                    process(
                        sys.executable, __file__, "--arm", work / "corpus", way, stage, size
                    )["printed"].splitlines()[-1]
                )
                for size in (tokens // 4, tokens)
            ]  # fmt: skip
            seconds, cpu, peak = runs[1]
            power = float(np.clip(np.log(cpu / runs[0][1]) / np.log(4), 0, 1))
            times = (facts["tokens"] / tokens) ** power
            if stage == "C(t)":
                times *= facts["lags"] / len(LAGS)
            found[stage][way] = {
                "tokens": tokens,
                "seconds": round(seconds, 2),
                "cpu_seconds": round(cpu, 2),
                "peak_bytes": peak,
                "power": round(power, 3),
                "times": round(times, 2),
                "extrapolated_seconds": round(seconds * times, 1),
            }
            print(f"{stage}: {way}: {json.dumps(found[stage][way])}", file=sys.stderr, flush=True)
    return found


# --- limits ---------------------------------------------------------------------------------------


def bandwidth() -> float:
    """Bytes per second that a copy on all cores reads and writes together."""
    cores = len(os.sched_getaffinity(0))
    pairs = [(np.ones(COPIED // 8), np.zeros(COPIED // 8)) for _ in range(cores)]
    best = float("inf")
    with ThreadPoolExecutor(cores) as threads:
        for _ in range(REPEATS):
            started = time.perf_counter()
            list(threads.map(lambda pair: np.copyto(pair[1], pair[0]), pairs))
            best = min(best, time.perf_counter() - started)
    return 2 * COPIED * cores / best


def product_speed() -> float:
    """Floating-point operations per second of a product of matrices in single precision."""
    matrix = np.ones((SIDE, SIDE), np.float32)
    best = float("inf")
    for _ in range(REPEATS):
        started = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - started)
    return 2 * SIDE**3 / best


def least_operations(facts: dict[str, Any]) -> dict[str, float]:
    """Floating-point operations that each stage needs at least; stages that only count need none.

    C(t): at every lag each pair of tokens is multiplied with eight vectors on either side, for the
    cross-fit, with and without the composition of documents. Mixture: every binary decision of a
    held-out token is a sum over contexts, and another one for the gradient, for each longest
    context.
    """
    longest = facts["contexts"] - 1
    decisions = facts["held_out_tokens"] * np.log2(facts["vocab_size"])
    return {
        "C(t)": 2 * facts["lags"] * facts["tokens"] * 2 * 8,
        "H(n) mixture": decisions * longest * 2 * 2 * longest,
    }


def least_bytes(facts: dict[str, Any]) -> dict[str, float]:
    """Bytes that each stage has to move at least, by any method that sorts or counts.

    tokenize: the text is read and the tokens are written. C(t): at every lag the tokens are read,
    and again shuffled for the nulls; an entry that holds four lags (8 bytes) is written and read
    once for either stream. Counts and Kneser-Ney: the tokens are read, and one entry for each is
    written and read while it is sorted, learning curves included. Mixture: every
    context of 1 or more tokens sorts the tokens once, and every held-out token reads a line of
    memory for each context and binary decision.
    """
    n, width = facts["tokens"], facts["token_bytes"]
    decisions = np.log2(facts["vocab_size"])
    sorting = n * (width + 2 * ENTRY)
    longest = facts["contexts"] - 1
    return {
        "tokenize": facts["text_bytes"] + n * width,
        "C(t)": 2 * facts["lags"] * n * (width + 2 * 8 / 4),
        "H(n) counts": sorting,
        "H(n) held out": sorting,
        "H(n) mixture": longest * (sorting + 64 * decisions * facts["held_out_tokens"]),
    }


# --- the table ------------------------------------------------------------------------------------


def _duration(seconds: float) -> str:
    if seconds >= 7200:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 600 else f"{seconds:.3g} s"


def table(result: dict[str, Any]) -> str:
    """The rows of all stages, and below them where they were measured."""
    facts, where = result["facts"], result["machine"]
    speeds = result["bytes_per_second"], result["operations_per_second"]
    lines = [
        "| stage | time | CPU time | peak memory | NumPy and SciPy | plain Python | least bytes | "
        "least operations | times the longer |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for stage, row in result["stages"].items():
        cells = [stage, _duration(row["seconds"]), _duration(row["cpu_seconds"]),
                 f"{row['peak_bytes'] / 1e9:.2f} GB"]  # fmt: skip
        for way in ("NumPy", "Python"):
            other = result["plain"].get(stage, {}).get(way)
            ratio = 0.0 if other is None else other["extrapolated_seconds"] / row["seconds"]
            cells.append(
                "" if other is None
                else f"{_duration(other['extrapolated_seconds'])} ({ratio:.3g} times)"
            )  # fmt: skip
        longest = 0.0
        for name, unit, speed in zip(
            ("least_bytes", "least_operations"), ("GB", "G"), speeds, strict=True
        ):
            least = result[name].get(stage)
            cells.append(
                "" if least is None else f"{least / 1e9:.2g} {unit}: {least / speed:.2g} s"
            )
            longest = max(longest, (least or 0.0) / speed)
        cells.append(f"{row['seconds'] / longest:.2g}" if longest else "")
        lines.append(f"| {' | '.join(cells)} |")
    sizes = {
        way: max(row[way]["tokens"] for row in result["plain"].values() if way in row)
        for way in ("NumPy", "Python")
    }
    lines += [
        "",
        f"{facts['tokens'] / 1e6:.3g} M tokens, V = {facts['vocab_size']:,}, {facts['lags']} lags; "
        f"{where['cores']} cores ({where.get('cpu', where['platform'])}), "
        f"{speeds[0] / 1e9:.3g} GB/s in a copy, {speeds[1] / 1e9:.3g} G operations/s in a product "
        f"of matrices, commit {where['commit'][:9]}. The plain ways did "
        f"{sizes['NumPy']:,} and {sizes['Python']:,} tokens and {len(LAGS)} lags and are "
        "extrapolated to all, by the power of the tokens that their time grew with and in "
        "proportion to the lags.",
    ]
    return "\n".join(lines)


def with_table(readme: str, result: dict[str, Any]) -> str:
    """The page with the table of these results."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{table(result)}\n{END}{rest.split(END)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("texts", nargs="*", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--numpy-tokens", type=float, default=2e6)
    parser.add_argument("--python-tokens", type=float, default=1e5)
    parser.add_argument("--table", action="store_true", help="write the table of the results again")
    parser.add_argument("--arm", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        corpus, way, stage, tokens = options.arm
        run_plain(Path(corpus), way, stage, int(tokens))
        return
    if options.table:
        result = json.loads(RESULTS.read_text())
    else:
        if not options.texts or options.work is None:
            parser.error("needs TEXT and --work DIR")
        options.work.mkdir(parents=True, exist_ok=True)
        stages, facts = ours(options.texts, options.work)
        sizes = {"NumPy": int(options.numpy_tokens), "Python": int(options.python_tokens)}
        result = {
            "machine": machine(),
            "facts": facts,
            "stages": stages,
            "plain": compared(options.work, facts, sizes),
            "bytes_per_second": bandwidth(),
            "operations_per_second": product_speed(),
            "least_bytes": least_bytes(facts),
            "least_operations": least_operations(facts),
        }
        RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    README.write_text(with_table(README.read_text(), result))
    print(table(result))


if __name__ == "__main__":
    main()
