"""Speed and memory of our kernels, of plain Python, NumPy and SciPy, and of installed peers.

    python benchmarks/speed.py CORPUS [--rounds 3] [--only pairs] [--kenlm DIR] [--work DIR]

Every arm (implementation) of a case runs in its own process, which times the work alone (without
imports and opening files) and reports its peak resident memory. Arms are interleaved, and an arm
that takes more than a minute runs once. All arms of a case must give the same answer. Peers that
are not installed are listed as missing: torch, tokengrams (pip), lmplz and query of KenLM (--kenlm,
or on the PATH), a C++ compiler for the plain loop. Writes benchmarks/results/speed.json; with
--only, the results of that case in it.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bars import machine
from ngramstat import Corpus, kernels
from ngramstat.boundary import Boundary
from ngramstat.entropy.kneser_ney import held_out_losses
from ngramstat.runtime.resources import peak_rss_bytes
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.sampling.options import SamplingOptions
from ngramstat.sampling.split import HeldOutSplit

HERE = Path(__file__).resolve().parent
# 30 lags; slow arms count three of them.
LAGS = tuple(np.unique(np.geomspace(1, 1000, 33).round().astype(int)).tolist())
FEW_LAGS = (LAGS[0], LAGS[len(LAGS) // 2], LAGS[-1])
DEPTH = 32
ORDER = 5
PYTHON_TOKENS = 2_000_000
PROBES = 200
SLOW = 60.0
HELD_OUT = 0.0115  # fraction of Wikipedia's documents: a million tokens


@dataclass(frozen=True)
class Context:
    """The input of an arm and the directory for its files."""

    corpus: Corpus
    work: Path
    kenlm: Path | None

    @property
    def tokens(self) -> np.ndarray:
        return np.array(self.corpus.tokens)


# An arm returns (items processed, seconds, answer); the answers of all arms are compared.
Result = tuple[int, float, Any]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def pair_items(tokens: np.ndarray, lags: tuple[int, ...]) -> int:
    return sum(len(tokens) - lag for lag in lags)


def our_pairs(context: Context, lags: tuple[int, ...], threads: int, tables: bool = True) -> Result:
    tokens, size = context.tokens, context.corpus.vocab_size
    documents = SamplingDesign(context.corpus, SamplingOptions()).documents

    def count() -> dict[str, int]:
        sums = {}
        for p in kernels.count_pairs(tokens, size, documents, lags, threads=threads, tables=tables):
            sums[str(p.lag)] = sum(
                int(a.inner_product(b, (1.0, 1.0), (1.0, 1.0), threads))
                for a in (p.within, p.across)
                for b in (p.within, p.across)
            )
        return sums

    seconds, answer = timed(count)
    return pair_items(tokens, lags), seconds, {k: answer[k] for k in map(str, FEW_LAGS)}


def squares(counts: Any) -> int:
    return int((counts.astype(np.float64) ** 2).sum())


def numpy_pairs(context: Context) -> Result:
    tokens, size = context.tokens, context.corpus.vocab_size

    def count() -> dict[str, int]:
        sums = {}
        for lag in FEW_LAGS:
            keys = tokens[:-lag].astype(np.int64) * size + tokens[lag:]
            sums[str(lag)] = squares(np.bincount(keys, minlength=size * size))
        return sums

    return pair_items(tokens, FEW_LAGS), *timed(count)


def scipy_pairs(context: Context) -> Result:
    from scipy.sparse import coo_array

    tokens, size = context.tokens.astype(np.int32), context.corpus.vocab_size

    def count() -> dict[str, int]:
        sums = {}
        for lag in FEW_LAGS:
            ones = np.ones(len(tokens) - lag, np.int32)
            pairs = coo_array((ones, (tokens[:-lag], tokens[lag:])), shape=(size, size))
            sums[str(lag)] = squares(pairs.tocsr().data)
        return sums

    return pair_items(tokens, FEW_LAGS), *timed(count)


def torch_pairs(context: Context, threads: int) -> Result:
    import torch

    torch.set_num_threads(threads)
    tokens = torch.from_numpy(context.tokens.astype(np.int64))
    size = context.corpus.vocab_size

    def count() -> dict[str, int]:
        return {
            str(lag): squares(
                torch.bincount(tokens[:-lag] * size + tokens[lag:], minlength=size * size).numpy()
            )
            for lag in FEW_LAGS
        }

    return len(tokens) * len(FEW_LAGS) - sum(FEW_LAGS), *timed(count)


PLAIN_LOOP = """
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>
int main(int, char** argv) {
    const long n = atol(argv[2]), size = atol(argv[3]);
    std::vector<uint16_t> x(n);
    FILE* f = fopen(argv[1], "rb");
    if (!f || fread(x.data(), 2, n, f) != size_t(n)) return 1;
    for (int a = 4; argv[a]; ++a) {
        const long lag = atol(argv[a]);
        std::vector<uint32_t> table(size * size);
        const auto begin = std::chrono::steady_clock::now();
        for (long i = 0; i + lag < n; ++i) ++table[x[i] * size + x[i + lag]];
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        double squares = 0;
        for (const double c : table) squares += c * c;
        printf("%ld %.6f %.0f\\n", lag, took.count(), squares);
    }
}
"""


def plain_loop(context: Context) -> Result:
    """One thread and one table of V x V; the time excludes clearing the table."""
    source, binary = context.work / "plain.cpp", context.work / "plain"
    source.write_text(PLAIN_LOOP)
    subprocess.run(["c++", "-O3", "-march=native", source, "-o", binary], check=True)
    text = context.work / "tokens.bin"
    context.tokens.tofile(text)
    lags = [str(lag) for lag in FEW_LAGS]
    command = [binary, text, str(context.corpus.n_tokens), str(context.corpus.vocab_size), *lags]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
    rows = [line.split() for line in lines if line]
    sums = {lag: int(float(value)) for lag, _, value in rows}
    return pair_items(context.tokens, FEW_LAGS), sum(float(s) for _, s, _ in rows), sums


def python_pairs(context: Context) -> Result:
    """On the first two million tokens only, so without an answer to compare."""
    tokens = context.tokens[:PYTHON_TOKENS].tolist()
    seconds, _ = timed(lambda: Counter(itertools.pairwise(tokens)))
    return len(tokens) - 1, seconds, None


def probes(tokens: np.ndarray) -> list[list[int]]:
    rng = np.random.default_rng(0)
    starts = rng.integers(0, len(tokens) - 4, PROBES)
    return [tokens[i : i + 1 + int(k)].tolist() for i, k in zip(starts, rng.integers(0, 4, PROBES),
                                                                strict=True)]  # fmt: skip


def our_suffixes(context: Context, threads: int) -> Result:
    tokens, size = context.tokens, context.corpus.vocab_size
    seconds, (order, _) = timed(
        lambda: kernels.suffix_array(tokens, size, depth=DEPTH, threads=threads)
    )

    def bound(gram: list[int], *, upper: bool) -> int:
        low, high = 0, len(order)
        while low < high:
            middle = (low + high) // 2
            prefix = tokens[order[middle] : order[middle] + len(gram)].tolist()
            if prefix < gram or (upper and prefix == gram):
                low = middle + 1
            else:
                high = middle
        return low

    counts = [bound(g, upper=True) - bound(g, upper=False) for g in probes(tokens)]
    return len(tokens), seconds, counts


def our_ngrams(context: Context, threads: int, depth: int) -> Result:
    tokens, size = context.tokens, context.corpus.vocab_size
    seconds, counts = timed(
        lambda: kernels.count_ngrams(tokens, size, max_context=depth - 1, threads=threads)
    )
    assert all(int(t[:, 0] @ t[:, 1]) == len(tokens) - depth + 1 for t in counts.whole.ngrams)
    return len(tokens), seconds, [int(t[:, 1].sum()) for t in counts.whole.ngrams[:4]]


def numpy_ngrams(context: Context) -> Result:
    """Distinct n-grams of one to four tokens by sorting packed keys; no deeper, and no counts."""
    tokens, size = context.tokens, context.corpus.vocab_size
    drop = DEPTH - 1  # the targets of our kernel

    def count() -> list[int]:
        key = np.zeros(len(tokens), np.uint64)
        distinct = []
        for n in range(4):
            shifted = np.zeros_like(key)
            shifted[n:] = tokens[: len(tokens) - n]
            key = key * np.uint64(size) + shifted
            distinct.append(len(np.unique(key[drop:])))
        return distinct

    return len(tokens), *timed(count)


def tokengrams_suffixes(context: Context) -> Result:
    import tokengrams

    text, table = context.work / "tokens.bin", context.work / "tokens.idx"
    context.tokens.tofile(text)
    table.unlink(missing_ok=True)
    seconds, index = timed(
        lambda: tokengrams.MemmapIndex.build(str(text), str(table), context.corpus.vocab_size)
    )
    return context.corpus.n_tokens, seconds, [index.count(g) for g in probes(context.tokens)]


def held_out_split(corpus: Corpus) -> HeldOutSplit:
    design = SamplingDesign(corpus, SamplingOptions(boundary=Boundary.DOCUMENT))
    return design.held_out_split(HELD_OUT)


def our_kneser_ney(context: Context, threads: int) -> Result:
    """Orders 1 .. 5 at once; contexts stop at documents, since KenLM gets one document per line.

    Timed from tokens to losses, including the split into training and held-out tokens.
    """
    split = held_out_split(context.corpus)
    seconds, held_out = timed(
        lambda: held_out_losses(
            split, max_context=ORDER - 1, boundary=Boundary.DOCUMENT, workspace=Workspace(threads)
        )
    )
    loss = float(held_out.losses[:, -1].sum() / held_out.tokens.sum())
    return context.corpus.n_tokens, seconds, round(loss, 3)


def kenlm(context: Context) -> Result:
    """lmplz of order 5, its ARPA file, and query: losses of the highest order only."""
    directory = context.kenlm
    assert directory is not None
    split = held_out_split(context.corpus)
    files = {}
    for name, side in (("training", split.training), ("held-out", split.held_out)):
        files[name] = context.work / f"{name}.txt"
        tokens = np.asarray(side.corpus.tokens)
        with open(files[name], "w", encoding="ascii") as file:
            for start, end in zip(*side.spans(content=True), strict=True):
                part = tokens[start:end]
                file.write(" ".join(map(str, part.tolist())) + "\n")
    arpa = context.work / "model.arpa"

    def run() -> str:
        with open(files["training"], "rb") as text:
            subprocess.run(
                [directory / "lmplz", "-o", str(ORDER), "-S", "60%", "-T", context.work / "sort",
                 "--discount_fallback", "--arpa", arpa],
                stdin=text, check=True, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        with open(files["held-out"], "rb") as text:
            return subprocess.run(
                [directory / "query", "-v", "summary", arpa],
                stdin=text, check=True, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            ).stdout  # fmt: skip

    seconds, summary = timed(run)
    perplexity = float(summary.split("including OOVs:")[1].split()[0])
    return context.corpus.n_tokens, seconds, round(float(np.log(perplexity)), 3)


def cases(context: Context) -> dict[str, dict[str, Callable[[], Result] | str]]:
    """Arms by case; a string instead of an arm says why it is missing."""

    def if_installed(module: str, arm: Callable[[], Result]) -> Callable[[], Result] | str:
        return arm if importlib.util.find_spec(module) else f"{module} is not installed"

    compiler = "no C++ compiler" if shutil.which("c++") is None else None
    narrow = context.corpus.dtype == np.uint16
    if not narrow:
        compiler = "reads 16-bit tokens"
    return {
        "pairs": {
            "ngramstat, 30 lags, 1 thread": lambda: our_pairs(context, LAGS, 1),
            "ngramstat, 30 lags, 2 threads": lambda: our_pairs(context, LAGS, 2),
            "ngramstat, row by row, 1 thread": lambda: our_pairs(context, FEW_LAGS, 1, False),
            "ngramstat, row by row, 2 threads": lambda: our_pairs(context, FEW_LAGS, 2, False),
            "numpy.bincount": lambda: numpy_pairs(context),
            "scipy.sparse": lambda: scipy_pairs(context),
            "torch.bincount, 1 thread": if_installed("torch", lambda: torch_pairs(context, 1)),
            "torch.bincount, 2 threads": if_installed("torch", lambda: torch_pairs(context, 2)),
            "plain C++ loop": compiler or (lambda: plain_loop(context)),
            "Python, collections.Counter": lambda: python_pairs(context),
        },
        "suffixes": {
            "ngramstat, depth 32, 1 thread": lambda: our_suffixes(context, 1),
            "ngramstat, depth 32, 2 threads": lambda: our_suffixes(context, 2),
            "tokengrams, whole depth, 2 threads": if_installed(
                "tokengrams", lambda: tokengrams_suffixes(context)
            ) if narrow else "reads 16-bit tokens",
        },
        "ngrams": {
            "ngramstat, depth 32, 1 thread": lambda: our_ngrams(context, 1, DEPTH),
            "ngramstat, depth 32, 2 threads": lambda: our_ngrams(context, 2, DEPTH),
            "numpy.unique, depth 4": lambda: numpy_ngrams(context),
        },
        "kneser-ney": {
            "ngramstat, orders 1-5, 1 thread": lambda: our_kneser_ney(context, 1),
            "ngramstat, orders 1-5, 2 threads": lambda: our_kneser_ney(context, 2),
            "KenLM, order 5": "lmplz and query were not found (--kenlm DIR)"
            if context.kenlm is None
            else lambda: kenlm(context),
        },
    }  # fmt: skip


def run_in_process(case: str, arm: str, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, str(options.corpus), "--work", str(options.work),
               "--arm", case, arm]  # fmt: skip
    if options.kenlm is not None:
        command += ["--kenlm", str(options.kenlm)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if child.returncode != 0:
        raise SystemExit(f"{case}, {arm}:\n{child.stderr}")
    # Peers write to standard output, too: ours is the last line.
    return dict(json.loads(child.stdout.strip().splitlines()[-1]))


def run_arm(context: Context, case: str, arm: str) -> None:
    work = cases(context)[case][arm]
    assert not isinstance(work, str)
    items, seconds, answer = work()
    import resource

    # Arms that call a program: its peak counts.
    child_peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    calls_program = arm in ("KenLM, order 5", "plain C++ loop")
    peak = max(peak_rss_bytes() or 0, child_peak if calls_program else 0)
    print(json.dumps({"items": items, "seconds": seconds, "peak": peak, "answer": answer}))


def measured(
    name: str, arms: dict[str, Any], options: argparse.Namespace
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(arm, result) of one case, from interleaved rounds."""
    runs: dict[str, list[dict[str, Any]]] = {
        a: [] for a, w in arms.items() if not isinstance(w, str)
    }
    for _ in range(options.rounds):
        for arm, rounds in runs.items():
            if rounds and rounds[0]["seconds"] > SLOW:
                continue
            rounds.append(run_in_process(name, arm, options))
            nanoseconds = 1e9 * rounds[-1]["seconds"] / rounds[-1]["items"]
            print(f"{name}: {arm}: {nanoseconds:.2f} ns", file=sys.stderr, flush=True)
    answers = {
        arm: rounds[0]["answer"] for arm, rounds in runs.items() if rounds[0]["answer"] is not None
    }
    first = next(iter(answers.values()))
    differing = [arm for arm, answer in answers.items() if answer != first]
    if differing:
        raise SystemExit(f"{name}: {differing} give a different answer than {next(iter(answers))}")
    for arm, work in arms.items():
        if isinstance(work, str):
            yield arm, {"missing": work}
            continue
        nanoseconds_each = [1e9 * run["seconds"] / run["items"] for run in runs[arm]]
        yield (
            arm,
            {
                "nanoseconds_per_item": round(statistics.median(nanoseconds_each), 2),
                "range": [round(min(nanoseconds_each), 2), round(max(nanoseconds_each), 2)],
                "rounds": len(nanoseconds_each),
                "seconds": round(statistics.median(run["seconds"] for run in runs[arm]), 2),
                "peak_bytes": max(run["peak"] for run in runs[arm]),
                "checked": runs[arm][0]["answer"] is not None,
            },
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="one case: pairs, suffixes, ngrams, kneser-ney")
    parser.add_argument("--kenlm", type=Path, help="directory of lmplz and query")
    parser.add_argument("--work", type=Path, help="directory for files [default: temporary]")
    parser.add_argument("--arm", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.kenlm is None and shutil.which("lmplz") and shutil.which("query"):
        options.kenlm = Path(str(shutil.which("lmplz"))).parent
    with tempfile.TemporaryDirectory() as temporary:
        options.work = Path(temporary) if options.work is None else options.work
        options.work.mkdir(parents=True, exist_ok=True)
        context = Context(Corpus.open(options.corpus), options.work, options.kenlm)
        if options.arm:
            return run_arm(context, *options.arm)
        chosen = {k: v for k, v in cases(context).items() if options.only in (None, k)}
        if not chosen:
            parser.error(f"--only {options.only}: no such case")
        output = HERE / "results" / "speed.json"
        table = json.loads(output.read_text()) if output.exists() else {"cases": {}}
        table |= {"tokens": context.corpus.n_tokens, "vocab_size": context.corpus.vocab_size}
        for case, arms in chosen.items():
            table["cases"][case] = {
                "machine": machine(),
                "arms": dict(measured(case, arms, options)),
            }
            output.write_text(json.dumps(table, indent=2) + "\n")
            print(json.dumps(table["cases"][case]["arms"], indent=2))


if __name__ == "__main__":
    main()
