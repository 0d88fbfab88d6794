"""Time of each kernel on one corpus, with its answer checked against NumPy while it is timed.

    python benchmarks/kernels.py CORPUS [--rounds 3]

Arms are interleaved; the median round counts. Writes benchmarks/results/kernels.json.
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
LAGS = (1, 8, 100, 512)


def pair_arms(corpus: Corpus) -> dict[str, Callable[[], Any]]:
    """Counting all pairs at LAGS: ours on one and two threads, and NumPy at one lag."""
    tokens, size = np.asarray(corpus.tokens), corpus.vocab_size
    spans = statistical_units(corpus, boundary="stream", seed=0).spans

    def ours(threads: int) -> list[int]:
        return [
            int(p.within.row_sums().sum() + p.across.row_sums().sum())
            for p in kernels.count_pairs(tokens, size, spans, LAGS, threads=threads)
        ]

    def numpy() -> list[int]:
        keys = tokens[: -LAGS[0]].astype(np.int64) * size + tokens[LAGS[0] :]
        return [int(np.bincount(keys, minlength=size * size).sum())]

    return {
        "pairs, 1 thread": lambda: ours(1),
        "pairs, 2 threads": lambda: ours(2),
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
        lags = LAGS[:1] if "numpy" in name else LAGS
        return [tokens - lag for lag in lags]
    if name.startswith("n-gram"):
        return [tokens - 5] * 6
    return [tokens]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    corpus = Corpus.open(options.corpus)
    arms = {**pair_arms(corpus), **sort_arms(corpus)}
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
    output = HERE / "results" / "kernels.json"
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps(table, indent=2) + "\n")
    print(json.dumps(table["nanoseconds_per_item"], indent=2))


if __name__ == "__main__":
    main()
