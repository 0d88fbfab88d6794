"""Time of each kernel on one corpus, with its answer checked against NumPy while it is timed.

    python benchmarks/kernels.py CORPUS [--rounds 3] [--only pairs]

Arms are interleaved; the median round counts. Writes benchmarks/results/kernels.json, or
kernels-ARM.json for the arms of --only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bars import machine
from ngramstat import Corpus, kernels
from ngramstat.statistics.documents import statistical_units

HERE = Path(__file__).resolve().parent
# 30 lags; arms that take long are given three of them.
LAGS = tuple(np.unique(np.geomspace(1, 1000, 33).round().astype(int)).tolist())
FEW_LAGS = (1, 100, 1000)


def pair_arms(corpus: Corpus) -> dict[str, Callable[[], Any]]:
    """Counting all pairs: in tables on one and two threads, row by row, and by NumPy."""
    tokens, size = np.asarray(corpus.tokens), corpus.vocab_size
    spans = statistical_units(corpus, boundary="stream", seed=0).spans

    def ours(lags: tuple[int, ...], threads: int, *, tables: bool) -> list[int]:
        return [
            int(p.within.row_sums().sum() + p.across.row_sums().sum())
            for p in kernels.count_pairs(tokens, size, spans, lags, threads=threads, tables=tables)
        ]

    def numpy() -> list[int]:
        found = []
        for lag in FEW_LAGS:
            keys = tokens[:-lag].astype(np.int64) * size + tokens[lag:]
            found.append(int(np.bincount(keys, minlength=size * size).sum()))
        return found

    return {
        "pairs, 1 thread": lambda: ours(LAGS, 1, tables=True),
        "pairs, 2 threads": lambda: ours(LAGS, 2, tables=True),
        "pairs, 1 thread, row by row": lambda: ours(FEW_LAGS, 1, tables=False),
        "pairs, 2 threads, row by row": lambda: ours(FEW_LAGS, 2, tables=False),
        "pairs, numpy.bincount": numpy,
    }


def sort_arms(corpus: Corpus) -> dict[str, Callable[[], Any]]:
    tokens, size = np.asarray(corpus.tokens), corpus.vocab_size
    ends = np.array([len(tokens)])

    def ngrams(threads: int) -> list[int]:
        counts = kernels.count_ngrams(
            tokens, size, max_context=5, document_ends=ends, threads=threads
        )
        return [int((t[:, 0] * t[:, 1]).sum()) for t in counts.ngrams]

    def suffixes(threads: int) -> list[int]:
        order, _ = kernels.suffix_array(tokens, size, depth=32, threads=threads)
        return [len(order)]

    return {
        "n-gram counts to depth 6, 1 thread": lambda: ngrams(1),
        "n-gram counts to depth 6, 2 threads": lambda: ngrams(2),
        "suffix array and LCP to depth 32, 1 thread": lambda: suffixes(1),
        "suffix array and LCP to depth 32, 2 threads": lambda: suffixes(2),
    }


def expected(name: str, tokens: int) -> list[int]:
    """What the counts must add up to."""
    if name.startswith("pairs"):
        lags = FEW_LAGS if "numpy" in name or "row" in name else LAGS
        return [tokens - lag for lag in lags]
    if name.startswith("n-gram"):
        return [tokens - 5] * 6
    return [tokens]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="first word of the arms to run")
    options = parser.parse_args()
    corpus = Corpus.open(options.corpus)
    arms = {
        name: arm
        for name, arm in {**pair_arms(corpus), **sort_arms(corpus)}.items()
        if options.only is None or name.startswith(options.only)
    }
    if not arms:
        parser.error(f"--only {options.only}: no arm begins so")
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(options.rounds):
        for name, arm in arms.items():
            started = time.perf_counter()
            found = arm()
            seconds[name].append(time.perf_counter() - started)
            assert found == expected(name, corpus.n_tokens), name
    units = {name: sum(expected(name, corpus.n_tokens)) for name in arms}
    for name in arms:
        if name.startswith("n-gram"):
            units[name] = corpus.n_tokens
    table = {
        "machine": machine(),
        "tokens": corpus.n_tokens,
        "nanoseconds_per_item": {
            name: round(1e9 * statistics.median(times) / units[name], 2)
            for name, times in seconds.items()
        },
        "rounds": {name: [round(t, 3) for t in times] for name, times in seconds.items()},
    }
    suffix = "" if options.only is None else f"-{options.only}"
    output = HERE / "results" / f"kernels{suffix}.json"
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps(table, indent=2) + "\n")
    print(json.dumps(table["nanoseconds_per_item"], indent=2))


if __name__ == "__main__":
    main()
