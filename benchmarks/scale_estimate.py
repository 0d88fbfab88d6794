"""What the rounds over shards take beyond one machine: rates measured here, and what follows.

    python benchmarks/scale_estimate.py measure CORPUS -o rates.json
    python benchmarks/scale_estimate.py table rates.json

`measure` runs the rounds of `ngramstat shards` on a few small cuts of a corpus with one thread,
takes the processor time of every round (without the sequential covariance), and fits what each
costs a token, an entry of a count matrix and an item of the vocabulary. What held-out losses add to
rounds is timed by itself. One more cut, which the fit
has not seen, is predicted from these rates and measured. `table` writes time, memory, traffic and
cost of large corpora as Markdown (docs/scale.md).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

import ngramstat
from ngramstat.covariance.options import CorrelationOptions
from ngramstat.entropy.options import EntropyOptions
from ngramstat.kernels import (
    BLOCK_SIZE,
    Documents,
    PairLabel,
    PairsAtLag,
    bilinear_forms_by_class,
    count_pairs,
    multiply_pairs_by_class,
)
from ngramstat.runtime.workspace import Workspace
from ngramstat.sharding.correlations import LagRounds
from ngramstat.sharding.count_files import StoredPairs
from ngramstat.sharding.held_out import HeldOutRounds, HeldOutSender
from ngramstat.sharding.ngrams import NgramRounds
from ngramstat.sharding.plan import ShardPlan
from ngramstat.sharding.rounds import ShardRounds
from ngramstat.sharding.split import TextSplit

MAX_CONTEXT = 5
RANGES = 8
# (tokens, shards, lags) of the cuts that rates are fitted to, and of the one that is predicted.
FITTED = (
    (1_000_000, 2, (4,)),
    (2_500_000, 3, (1, 2, 3, 5, 8, 13, 20, 32, 50, 80, 128, 203)),
    (1_500_000, 7, (1, 32)),
    (4_000_000, 2, (1, 16)),
)
PREDICTED = (8_000_000, 7, (1, 8, 64))
# What the time of each round is proportional to; quantities are defined in `quantities`.
TERMS = {
    "describe": ("tokens",),
    "count": ("tokens * lags", "tokens", "entries"),
    "merge": ("entries", "merged entries", "items * lags"),
    "n-grams": ("tokens",),
    "sums 1": ("tokens * lags", "items * shards * lags"),
    "merge sums": ("items * shards * lags",),
    "sums 2": ("tokens * lags", "items * shards * lags"),
    "assemble": ("items * shards * lags", "lags"),
    # Of held-out losses: before the sums and with them, after them, and in the end.
    "training windows": ("tokens",),
    "models": ("tokens", "held-out tokens * ranges"),
    "losses": ("held-out tokens * ranges * subsets",),
}
# A node, and what an hour of it costs, in dollars: assumptions, not measurements.
NODES, CORES, NETWORK_BYTES, DOLLARS = 64, 64, 1.25e9, 3.0
LAGS = 24
# As plans have them by default, of a large corpus: with two halves, two quarters, four eighths ...
# of the training tokens down to a 64th, and all of them.
HELD_OUT_TOKENS, PLANNED_RANGES, SUBSETS = 1 << 20, 64, 21
SMALL_VOCABULARY, LARGE_VOCABULARY = 8192, 131_072
# Of a vocabulary item, in what a lag sends to and from a shard: 12 and some 240 vectors of doubles,
# 64 of single precision. Of a window while its range is counted: documents, segments, the sort.
VECTOR_BYTES, WINDOW_BYTES = 12 * 8 + 240 * 8 + 64 * 4, 80


def cut(corpus: ngramstat.Corpus, tokens: int, shards: int) -> list[ngramstat.Corpus]:
    """The first documents of a corpus as shards of about equal sizes."""
    ends = corpus.document_ends
    bounds = np.searchsorted(ends, np.linspace(0, tokens, shards + 1)[1:])
    places = np.concatenate([[0], ends[bounds]])
    first = np.concatenate([[0], bounds + 1])
    return [
        ngramstat.Corpus.from_arrays(
            np.asarray(corpus.tokens[places[k] : places[k + 1]]),
            vocab_size=corpus.vocab_size,
            separator=corpus.separator,
            document_ends=ends[first[k] : first[k + 1]] - places[k],
        )
        for k in range(shards)
    ]


def entries_of(directory: Path, pattern: str, names: tuple[str, ...]) -> int:
    """Entries of the count matrices in some files."""
    total = 0
    for path in directory.glob(pattern):
        with np.load(path) as file:
            total += sum(file[f"value{name}.column"].size for name in names)
    return total


def run(corpus: ngramstat.Corpus, tokens: int, shards: int, lags: tuple[int, ...]) -> dict:
    """Processor seconds of every round, and the quantities that they may depend on."""
    parts = cut(corpus, tokens, shards)
    options = CorrelationOptions(lags=lags, sequential=False)
    plan = ShardPlan(shards, MAX_CONTEXT, RANGES, options, predictor="none")
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        plan.save(directory)
        rounds = ShardRounds(directory, Workspace())

        def timed(name, work, of_shards=False):
            started = time.process_time()
            for arguments in enumerate(parts) if of_shards else [()]:
                work(*arguments)
            seconds[name] = time.process_time() - started

        timed("describe", rounds.describe, of_shards=True)
        timed("count", rounds.count, of_shards=True)
        lag_rounds = LagRounds(rounds.layout, rounds.files, Workspace())
        timed("merge", lambda: [lag_rounds.solve(lag) for lag in lags])
        ngrams = NgramRounds(rounds.layout, rounds.files, Workspace())
        timed("n-grams", lambda: [ngrams.count(k) for k in range(len(rounds.layout.ranges))])
        timed("sums 1", rounds.first_sums, of_shards=True)
        timed("merge sums", lambda: rounds.merge("sums"))
        timed("sums 2", rounds.second_sums, of_shards=True)
        timed("assemble", lambda: rounds.assemble(directory / "run"))
        held_out, subsets = time_held_out(rounds, parts, timed)
        both = (".within", ".across")
        entries = entries_of(directory, "pairs-*.npz", both)
        merged = merged_entries(rounds, lags)
    n = sum(part.n_tokens for part in parts)
    items = corpus.vocab_size
    return {
        "seconds": seconds,
        "quantities": quantities(n, shards, len(lags), items, entries, merged, held_out, subsets),
    }


def time_held_out(
    rounds: ShardRounds, parts: list[ngramstat.Corpus], timed: Callable[..., None]
) -> tuple[int, int]:
    """Time what held-out losses take; held-out tokens times ranges, and the training subsets."""
    split = TextSplit(rounds.layout, EntropyOptions(max_context=MAX_CONTEXT))

    def send() -> None:
        senders = [
            HeldOutSender(split, rounds.files, number, corpus, Workspace())
            for number, corpus in enumerate(parts)
        ]
        for sender in senders:
            sender.tell()
        for sender in senders:
            sender.send()

    timed("training windows", send)
    counting = HeldOutRounds(split, rounds.files, Workspace())
    n_ranges = len(rounds.layout.ranges)
    timed("models", lambda: [counting.count(number) for number in range(n_ranges)])
    timed("losses", counting.losses)
    return int(split.split.held_out.lengths.sum()) * n_ranges, len(split.subsets)


def best_run(corpus: ngramstat.Corpus, *settings: Any) -> dict:
    """The shortest of three times of every round."""
    runs = [run(corpus, *settings) for _ in range(3)]
    seconds = {name: min(r["seconds"][name] for r in runs) for name in runs[0]["seconds"]}
    return {**runs[0], "seconds": seconds}


def merged_entries(rounds: ShardRounds, lags: tuple[int, ...]) -> int:
    """Entries of the added count matrices at all lags."""
    total = 0
    for lag in lags:
        files, numbers = rounds.files, range(rounds.plan.shards)
        counts = StoredPairs.sum_of(files.load(StoredPairs, "pairs", lag, k) for k in numbers)
        total += counts.within.nnz + counts.across.nnz
    return total


def quantities(
    tokens: float,
    shards: int,
    lags: int,
    items: int,
    entries: float,
    merged: float,
    held_out: float,
    subsets: int,
) -> dict[str, float]:
    """What the times are proportional to; entries are those of all lags (and shards).

    `held_out` are tokens times ranges, and `subsets` the training texts that are counted.
    """
    return {
        "tokens": tokens,
        "tokens * lags": tokens * lags,
        "entries": entries,
        "merged entries": merged,
        "items * lags": items * lags,
        "items * shards * lags": items * shards * lags,
        "lags": lags,
        "held-out tokens * ranges": held_out,
        "held-out tokens * ranges * subsets": held_out * subsets,
    }


def pair_rate(corpus: ngramstat.Corpus, tokens: int = 4_000_000) -> float:
    """Seconds to count the pairs of one lag, for each token.

    In the rounds of small cuts it hides behind the entries, whose number grows nearly as fast.
    """
    (part,) = cut(corpus, tokens, 1)
    documents = Documents(part.document_ends)
    seconds = []
    for _ in range(2):
        started = time.process_time()
        list(count_pairs(part.tokens, part.vocab_size, documents, [8]))
        seconds.append(time.process_time() - started)
    return min(seconds) / part.n_tokens


def fitted(runs: list[dict], seconds_of_pair: float) -> dict[str, dict[str, float]]:
    """Processor seconds per unit of each term of each round, not negative."""
    known = {"count": {"tokens * lags": seconds_of_pair}}
    rates = {}
    for name, terms in TERMS.items():
        given = known.get(name, {})
        free = [term for term in terms if term not in given]
        observed = np.array([run["seconds"][name] for run in runs])
        rest = observed - [predicted({name: given}, run["quantities"])[name] for run in runs]
        matrix = np.array([[run["quantities"][term] for term in free] for run in runs])
        scale = matrix.max(axis=0)
        # Relative errors count, and terms are of one size.
        found, _ = nnls(matrix / scale / observed[:, None], rest / observed)
        rates[name] = given | dict(zip(free, (found / scale).tolist(), strict=True))
    return rates


def predicted(rates: dict, amounts: dict[str, float]) -> dict[str, float]:
    """Processor seconds of every round."""
    return {
        name: sum(rate * amounts[term] for term, rate in terms.items())
        for name, terms in rates.items()
    }


def growth(runs: list[dict]) -> dict[str, float]:
    """How entries grow with tokens: entries of a lag = coefficient * tokens^power."""
    tokens = np.log([run["quantities"]["tokens"] for run in runs])
    entries = np.log(
        [run["quantities"]["merged entries"] / run["quantities"]["lags"] for run in runs]
    )
    power, constant = np.polyfit(tokens, entries, 1)
    return {"coefficient": float(np.exp(constant)), "power": float(power)}


def measure(path: str, output: str) -> None:
    corpus = ngramstat.Corpus.open(path)
    run(corpus, 200_000, 2, (1,))  # code that is run for the first time
    runs = [best_run(corpus, *settings) for settings in FITTED]
    rates = fitted(runs, pair_rate(corpus))
    check = best_run(corpus, *PREDICTED)
    expected = predicted(rates, check["quantities"])
    found = {
        "corpus": Path(path).name,
        "vocab_size": corpus.vocab_size,
        "max_context": MAX_CONTEXT,
        "rates": rates,
        "growth": growth([*runs, check]),
        "most_frequent": float(np.bincount(corpus.tokens[:1_000_000]).max() / 1_000_000),
        "large_vocabulary": large_vocabulary(LARGE_VOCABULARY),
        "check": {
            "quantities": check["quantities"],
            "shards": PREDICTED[1],
            "lags": list(PREDICTED[2]),
            "predicted": expected,
            "measured": check["seconds"],
        },
        "runs": runs,
    }
    Path(output).write_text(json.dumps(found, indent=1) + "\n")
    print(check_table(found["check"]))


def check_table(check: dict) -> str:
    """The predicted against the measured processor seconds, as Markdown."""
    lines = ["| round | predicted (s) | measured (s) | ratio |", "|---|---|---|---|"]
    pairs = [(name, check["predicted"][name], check["measured"][name]) for name in TERMS]
    total = ("all", sum(p for _, p, _ in pairs), sum(m for _, _, m in pairs))
    for name, p, m in [*pairs, total]:
        lines.append(f"| {name} | {p:.2f} | {m:.2f} | {p / m:.2f} |")
    return "\n".join(lines)


def large_vocabulary(vocab_size: int, tokens: int = 2_000_000) -> dict[str, float]:
    """Seconds of passes over tokens at a large vocabulary, for each of a small one: Zipf's law."""
    rng = np.random.default_rng(0)
    seconds: dict[int, dict[str, float]] = {}
    for size_of in (SMALL_VOCABULARY, vocab_size):
        weights = 1.0 / (np.arange(size_of) + 2.7)
        drawn = rng.choice(size_of, tokens, p=weights / weights.sum())
        stream = drawn.astype(np.uint16 if size_of <= 1 << 16 else np.uint32)
        documents = Documents(np.arange(1, tokens // 500 + 1) * 500)
        pairs = PairsAtLag(stream, size_of, 8)
        u, v = np.ones((2, 1, 2, size_of))
        a, b = np.ones((2, 1, 2, size_of, BLOCK_SIZE), np.float32)
        by = {"across": True, "by": PairLabel.half}
        works = {
            "count": lambda: list(count_pairs(stream, size_of, documents, [8])),  # noqa: B023
            "sums 1": lambda: multiply_pairs_by_class(pairs, u, v, documents, **by),  # noqa: B023
            "sums 2": lambda: bilinear_forms_by_class(pairs, a, b, documents, **by),  # noqa: B023
        }
        seconds[size_of] = {}
        for name, work in works.items():
            started = time.process_time()
            work()
            seconds[size_of][name] = time.process_time() - started
    small, large = (seconds[size_of] for size_of in (SMALL_VOCABULARY, vocab_size))
    return {name: large[name] / small[name] for name in small}


def scenario(found: dict, tokens: float, vocab_size: int) -> dict[str, float]:
    """Hours, bytes and dollars of one corpus on the nodes, without the sequential covariance."""
    grows = found["growth"]

    def entries(n: float) -> float:
        # A vocabulary of another size has its own pairs: their number is taken to grow with it.
        scaled = grows["coefficient"] * n ** grows["power"]
        return min(scaled * (vocab_size / found["vocab_size"]), float(vocab_size) ** 2)

    of_shard, merged = entries(tokens / NODES), entries(tokens)
    of_all = of_shard * NODES * LAGS
    held_out = float(HELD_OUT_TOKENS * PLANNED_RANGES)
    amounts = quantities(tokens, NODES, LAGS, vocab_size, of_all, merged * LAGS, held_out, SUBSETS)
    seconds = predicted(found["rates"], amounts)
    if vocab_size != found["vocab_size"]:
        for name, factor in found["large_vocabulary"].items():
            seconds[name] *= max(factor, 1.0)
    # Lags are independent, and so are ranges, of which the most frequent token is one.
    by_lag = min(NODES, LAGS) * CORES
    of_token = max(found["most_frequent"], 1 / NODES)
    parts = {
        "count": (seconds["describe"] + seconds["count"]) / (NODES * CORES),
        "merge": (seconds["merge"] + seconds["merge sums"] + seconds["assemble"]) / by_lag,
        "n-grams": seconds["n-grams"] * of_token / CORES,
        "sums": (seconds["sums 1"] + seconds["sums 2"]) / (NODES * CORES),
        "models": seconds["training windows"] / (NODES * CORES)
        + (seconds["models"] * of_token + seconds["losses"]) / CORES,
    }
    token_bytes = 2 if vocab_size <= 1 << 16 else 4
    window = (found["max_context"] + 1) * token_bytes + 5
    # A column and two counts in the narrowest types; most counts are small.
    counts = of_all * (token_bytes + 2)
    vectors = NODES * LAGS * vocab_size * VECTOR_BYTES
    # Of n-grams, twice each, and of training tokens with the place of their document.
    windows = 2 * tokens * window + tokens * (window - 5 + 8)
    parts["network"] = (windows + counts + vectors) / NODES / NETWORK_BYTES
    hours = {name: value / 3600 for name, value in parts.items()}
    return {
        "hours": hours,
        "windows": windows,
        "counts": counts,
        "vectors": vectors,
        "memory_merge": 9 * merged * (token_bytes + 4),
        "memory_range": of_token * tokens * (window + WINDOW_BYTES),
        "dollars": sum(hours.values()) * NODES * DOLLARS,
    }


def table(path: str) -> None:
    found = json.loads(Path(path).read_text())
    print(check_table(found["check"]))
    print()
    head = [
        "tokens", "V", "count", "merge", "n-grams", "sums", "models", "network", "all (h)",
        "windows sent", "counts sent", "vectors sent", "memory of a lag", "of a range", "cost",
    ]  # fmt: skip
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for tokens in (1e12, 1e13):
        for vocab_size in (8192, LARGE_VOCABULARY):
            s = scenario(found, tokens, vocab_size)
            hours = [f"{value:.2f}" for value in (*s["hours"].values(), sum(s["hours"].values()))]
            sizes = ("windows", "counts", "vectors", "memory_merge", "memory_range")
            cells = [
                f"{tokens:.0e}", f"{vocab_size:,}", *hours, *(size(s[name]) for name in sizes),
                f"${s['dollars']:,.0f}",
            ]  # fmt: skip
            print("| " + " | ".join(cells) + " |")


def size(n: float) -> str:
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} PB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure")
    one.add_argument("corpus")
    one.add_argument("-o", "--output", required=True)
    two = commands.add_parser("table")
    two.add_argument("rates")
    chosen = parser.parse_args()
    if chosen.command == "measure":
        measure(chosen.corpus, chosen.output)
    else:
        table(chosen.rates)


if __name__ == "__main__":
    main()
