"""Speed and memory of our kernels, of plain Python, NumPy and SciPy, and of installed peers.

    python benchmarks/speed.py CORPUS [--rounds 3] [--only pairs] [--kenlm DIR] [--work DIR]

interleaved.py tells how. Peers that are not installed are listed as missing: torch, tokengrams
(pip), lmplz and query of KenLM (--kenlm), a C++ compiler for the plain loop. Writes
benchmarks/results/speed.json; with --only, the results of that case in it.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections import Counter
from typing import Any

import numpy as np

from interleaved import (
    HERE,
    Arm,
    Benchmark,
    Context,
    Result,
    if_built,
    if_installed,
    timed,
    timed_tokengrams,
)
from ngramstat import Corpus, kernels
from ngramstat.boundary import Boundary
from ngramstat.entropy.kneser_ney import held_out_losses
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from ngramstat.sampling.options import SamplingOptions
from ngramstat.sampling.split import HeldOutSplit

# 30 lags; slow arms count three of them.
LAGS = tuple(np.unique(np.geomspace(1, 1000, 33).round().astype(int)).tolist())
FEW_LAGS = (LAGS[0], LAGS[len(LAGS) // 2], LAGS[-1])
DEPTH = 32
ORDER = 5
PYTHON_TOKENS = 2_000_000
PROBES = 200
HELD_OUT = 0.0115  # fraction of Wikipedia's documents: a million tokens


def tokens_of(context: Context) -> np.ndarray:
    return np.array(context.corpus.tokens)


def pair_items(tokens: np.ndarray, lags: tuple[int, ...]) -> int:
    return sum(len(tokens) - lag for lag in lags)


def our_pairs(context: Context, lags: tuple[int, ...], threads: int, tables: bool = True) -> Result:
    tokens, size = tokens_of(context), context.corpus.vocab_size
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
    tokens, size = tokens_of(context), context.corpus.vocab_size

    def count() -> dict[str, int]:
        sums = {}
        for lag in FEW_LAGS:
            keys = tokens[:-lag].astype(np.int64) * size + tokens[lag:]
            sums[str(lag)] = squares(np.bincount(keys, minlength=size * size))
        return sums

    return pair_items(tokens, FEW_LAGS), *timed(count)


def scipy_pairs(context: Context) -> Result:
    from scipy.sparse import coo_array

    tokens, size = tokens_of(context).astype(np.int32), context.corpus.vocab_size

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
    tokens = torch.from_numpy(tokens_of(context).astype(np.int64))
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
    tokens_of(context).tofile(text)
    lags = [str(lag) for lag in FEW_LAGS]
    command = [binary, text, str(context.corpus.n_tokens), str(context.corpus.vocab_size), *lags]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
    rows = [line.split() for line in lines if line]
    sums = {lag: int(float(value)) for lag, _, value in rows}
    return pair_items(tokens_of(context), FEW_LAGS), sum(float(s) for _, s, _ in rows), sums


def python_pairs(context: Context) -> Result:
    """On the first two million tokens only, so without an answer to compare."""
    tokens = tokens_of(context)[:PYTHON_TOKENS].tolist()
    seconds, _ = timed(lambda: Counter(itertools.pairwise(tokens)))
    return len(tokens) - 1, seconds, None


def probes(tokens: np.ndarray) -> list[list[int]]:
    rng = np.random.default_rng(0)
    starts = rng.integers(0, len(tokens) - 4, PROBES)
    return [tokens[i : i + 1 + int(k)].tolist() for i, k in zip(starts, rng.integers(0, 4, PROBES),
                                                                strict=True)]  # fmt: skip


def our_suffixes(context: Context, threads: int) -> Result:
    tokens, size = tokens_of(context), context.corpus.vocab_size
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
    tokens, size = tokens_of(context), context.corpus.vocab_size
    seconds, counts = timed(
        lambda: kernels.count_ngrams(tokens, size, max_context=depth - 1, threads=threads)
    )
    assert all(int(t[:, 0] @ t[:, 1]) == len(tokens) - depth + 1 for t in counts.whole.ngrams)
    return len(tokens), seconds, [int(t[:, 1].sum()) for t in counts.whole.ngrams[:4]]


def numpy_ngrams(context: Context) -> Result:
    """Distinct n-grams of one to four tokens by sorting packed keys; no deeper, and no counts."""
    tokens, size = tokens_of(context), context.corpus.vocab_size
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
    seconds, index = timed_tokengrams(context, "tokens")
    return context.corpus.n_tokens, seconds, [index.count(g) for g in probes(tokens_of(context))]


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
    directory = context.programs["kenlm"]
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


def cases(context: Context) -> dict[str, dict[str, Arm]]:
    """Arms by case."""
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
            "KenLM, order 5": if_built(context, "kenlm", lambda: kenlm(context)),
        },
    }  # fmt: skip


def main() -> None:
    Benchmark(
        script=__file__,
        about=str(__doc__).splitlines()[0],
        cases=cases,
        programs=("kenlm",),
        calls_programs=frozenset({"KenLM, order 5", "plain C++ loop"}),
        output=HERE / "results" / "speed.json",
    ).main()


if __name__ == "__main__":
    main()
