"""GPU kernels on 10^9 tokens: pair counts, C(t), sums over pairs, n-grams, Kneser-Ney models.

With torch.bincount beside the first, and a whole measurement of a part of the tokens at the end.

    python benchmarks/gpu.py [--text TOKENS.npy] [--tokens 1e9] [--only CASE...] [--commit HASH]

The corpus is drawn on the card from the trigrams of a text of token ids below 8192 (uint16; of a
random one without --text). Answers are compared while they are timed. Needs torch with CUDA.
Writes benchmarks/results/gpu.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ngramstat
from ngramstat import kernels
from ngramstat.covariance.operators import PairStatistics
from ngramstat.kernels import BLOCK_SIZE, Documents, KneserNey, PairLabel, PairsAtLag
from ngramstat.kernels.mixing import ContextCounts, ContextPattern, GpuTraining, Vocabulary
from ngramstat.linear_algebra.lanczos import leading_singular_triplets
from ngramstat.runtime.gpus import Gpus, open_gpus

HERE = Path(__file__).resolve().parent
VOCAB = 8192
DOCUMENT = 1000  # tokens of a document, the last a separator
LAGS = (
    *(1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 101, 128, 161, 203, 256),
    *(323, 406, 512, 600, 700, 800, 900, 1000),
)
ROUNDS = 3


def random_text(n: int) -> np.ndarray:
    """Zipf tokens each of which leans on the one before: for speed where there is no text."""
    rng = np.random.default_rng(0)
    words = np.minimum(rng.zipf(1.2, n) - 1, VOCAB - 2)
    return ((words + np.roll(words, 1) // 7) % (VOCAB - 1) + 1).astype(np.uint16)


def draw(text: np.ndarray, tokens: int) -> np.ndarray:
    """Walks through the trigrams of a text, a document each, (tokens,) uint16."""
    walkers = tokens // DOCUMENT
    x = torch.from_numpy(text.astype(np.int32)).cuda()
    pairs = x[:-1].long() * VOCAB + x[1:].long()
    order = torch.argsort(pairs)
    ordered = pairs[order]
    # Where each position's group of equal bigrams lies in `order`.
    first = torch.searchsorted(ordered, pairs)
    size = torch.searchsorted(ordered, pairs, right=True) - first
    generator = torch.Generator("cuda").manual_seed(0)
    at = torch.randint(0, len(pairs) - 1, (walkers,), generator=generator, device="cuda")
    out = torch.empty((DOCUMENT, walkers), dtype=torch.int16, device="cuda")
    for step in range(DOCUMENT - 1):
        here = first[at] + (torch.rand(walkers, generator=generator, device="cuda")
                            * size[at]).long()  # fmt: skip
        at = (order[here] + 1) % len(pairs)
        out[step] = x[at + 1].to(torch.int16)
    out[-1] = 0
    return out.T.contiguous().flatten().cpu().numpy().view(np.uint16)


def timed(work: Callable[[], Any], rounds: int = ROUNDS) -> tuple[float, list[float], Any]:
    """Median seconds, all of them, and the last result."""
    taken = []
    for _ in range(rounds):
        torch.cuda.synchronize()
        started = time.perf_counter()
        result = work()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken)), [round(t, 4) for t in taken], result


def documents(n: int) -> Documents:
    ends = np.arange(DOCUMENT, n + 1, DOCUMENT, dtype=np.int64)
    halves = np.random.default_rng(1).integers(0, 2, len(ends)).astype(np.uint8)
    return Documents(ends, content_ends=ends - 1, folds=halves)


def ceilings() -> dict[str, float]:
    """Bytes a second of a copy on the card, both ways, and over the bus from pinned memory."""
    a = torch.empty(1 << 30, dtype=torch.int32, device="cuda")
    b = torch.empty_like(a)
    b.copy_(a)
    seconds, _, _ = timed(lambda: b.copy_(a))
    pinned = torch.empty(1 << 28, dtype=torch.int32, pin_memory=True)
    a[: 1 << 28].copy_(pinned)
    bus, _, _ = timed(lambda: a[: 1 << 28].copy_(pinned))
    return {"copy_bytes_per_second": 2 * 4 * 2**30 / seconds,
            "bus_bytes_per_second": 4 * 2**28 / bus}  # fmt: skip


def count_all(gpus: Gpus, tokens: Any, spans: Documents, lags: tuple[int, ...]) -> int:
    """Counts the pairs at all lags; how many there are."""
    return sum(
        int(result.within.row_sums().sum() + result.across.row_sums().sum())
        for result in kernels.count_pairs(tokens, VOCAB, spans, lags, backend=gpus)
    )


def case_pairs(gpus: Gpus, tokens: np.ndarray, spans: Documents) -> dict[str, Any]:
    """Counting alone, from host memory and from the card, beside torch.bincount."""
    n = len(tokens)
    there = torch.from_numpy(tokens.view(np.int16)).cuda().view(torch.uint16)
    n_pairs = sum(n - lag for lag in LAGS)
    result: dict[str, Any] = {"lags": len(LAGS), "pairs": n_pairs}
    for name, given in (("from_host", tokens), ("on_card", there)):
        seconds, every, counted = timed(lambda given=given: count_all(gpus, given, spans, LAGS))
        assert counted == n_pairs
        result[name] = {"seconds": seconds, "rounds": every, "ns_per_pair": seconds / n_pairs * 1e9}
    # More lags cost this much: ranking the positions and the rest of the set-up cancel.
    few, every_few, _ = timed(lambda: count_all(gpus, there, spans, LAGS[:16]))
    marginal = (result["on_card"]["seconds"] - few) / (n_pairs - sum(n - t for t in LAGS[:16]))
    result["first_lags_seconds"] = few
    result["first_lags_rounds"] = every_few
    result["marginal_ns_per_pair"] = marginal * 1e9

    lag = LAGS[15]
    x = there.view(torch.int16).long()
    keys = x[:-lag] * VOCAB + x[lag:]

    def bincount() -> torch.Tensor:
        return torch.bincount(keys, minlength=VOCAB * VOCAB)

    bincount()
    seconds, every, table = timed(bincount)
    (ours,) = kernels.count_pairs(there, VOCAB, spans, [lag], backend=gpus)
    mine = torch.zeros(VOCAB * VOCAB, dtype=torch.int64)
    for part in (ours.within, ours.across):
        rows, columns, counts = part.to_coo()
        mine[torch.from_numpy(rows * VOCAB + columns)] += torch.from_numpy(
            counts.sum(axis=0).astype(np.int64)
        )
    assert torch.equal(mine, table.cpu())
    result["torch_bincount"] = {
        "seconds_per_lag": seconds, "rounds": every, "ns_per_pair": seconds / (n - lag) * 1e9,
        "note": "keys of 8 bytes made beforehand and not timed; no halves, no documents",
    }  # fmt: skip
    result["times_bincount"] = (seconds / (n - lag)) / (result["on_card"]["seconds"] / n_pairs)
    result["times_bincount_marginal"] = (seconds / (n - lag)) / marginal
    return result


def case_curve(gpus: Gpus, tokens: np.ndarray, spans: Documents) -> dict[str, Any]:
    """All of C(t) but for bootstraps: counts, eight singular values, halves, Frobenius norm."""
    rows = []

    def curve() -> list[dict[str, float]]:
        rows.clear()
        before = time.perf_counter()
        for result in kernels.count_pairs(tokens, VOCAB, spans, LAGS, backend=gpus):
            counted = time.perf_counter()
            statistics = PairStatistics(result, across=True)
            full = leading_singular_triplets(
                statistics.covariance(), 8, tolerance=1e-7, verified=True
            )
            floor = leading_singular_triplets(statistics.half_difference(), 1, value_tolerance=1e-3)
            frobenius = statistics.frobenius()
            now = time.perf_counter()
            rows.append({
                "lag": result.lag, "norm": float(full.values[0]), "residual": full.residual,
                "floor": float(floor.values[0]), "frobenius": frobenius,
                "nnz": result.within.nnz + result.across.nnz, "products": full.products,
                "count_seconds": counted - before, "norm_seconds": now - counted,
            })  # fmt: skip
            before = now
        return rows

    _, every, _ = timed(curve, 2)
    # The same norm from the CPU's counts and products, at one lag.
    (here,) = kernels.count_pairs(tokens[: 10**8], VOCAB, documents(10**8), [8], threads=16)
    (there,) = kernels.count_pairs(tokens[: 10**8], VOCAB, documents(10**8), [8], backend=gpus)
    norms = [
        float(leading_singular_triplets(PairStatistics(c, across=True).covariance(), 1).values[0])
        for c in (here, there)
    ]
    assert abs(norms[0] - norms[1]) <= 1e-6 * norms[0], norms
    return {"seconds": min(every), "rounds": every, "lags": list(rows),
            "cpu_norm": norms[0], "gpu_norm": norms[1],
            "peak_bytes": gpus.devices[0].peak_bytes}  # fmt: skip


def case_ngrams(gpus: Gpus, tokens: np.ndarray, spans: Documents) -> dict[str, Any]:
    """Statistics of n-grams to six tokens, in all subsets and groups."""
    rng = np.random.default_rng(2)
    quarters = rng.integers(0, 4, len(spans)).astype(np.uint8)
    clusters = rng.integers(0, 200, len(spans)).astype(np.uint32)
    options = {"max_context": 5, "across": False}

    def labelled(k: int) -> Documents:
        return Documents(spans.ends[:k], folds=quarters[:k], n_folds=4,
                         clusters=clusters[:k], n_clusters=200)  # fmt: skip

    everything = labelled(len(spans))
    _, every, result = timed(
        lambda: kernels.count_ngrams(tokens, VOCAB, documents=everything, backend=gpus, **options),
        2,
    )
    assert result.whole.targets == len(spans) * (DOCUMENT - 5)
    small = tokens[: 2 * 10**6]
    head = labelled(len(small) // DOCUMENT)
    ours = kernels.count_ngrams(small, VOCAB, documents=head, backend=gpus, **options)
    theirs = kernels.count_ngrams(small, VOCAB, documents=head, threads=16, **options)
    assert np.array_equal(ours.losses, theirs.losses)
    for a, b in zip(ours.whole.ngrams, theirs.whole.ngrams, strict=True):
        assert np.array_equal(a, b)
    return {"seconds": min(every), "rounds": every, "depth": 6,
            "peak_bytes": gpus.devices[0].peak_bytes}  # fmt: skip


def same_folds(n: int) -> Documents:
    """The documents of the first n tokens in sixteen folds."""
    ends = np.arange(DOCUMENT, n + 1, DOCUMENT, dtype=np.int64)
    folds = np.random.default_rng(3).integers(0, 16, len(ends)).astype(np.uint8)
    return Documents(ends, content_ends=ends - 1, folds=folds, n_folds=16)


def sums_of(pairs: PairsAtLag, spans: Documents) -> dict[str, Callable[[], Any]]:
    """Each sum over pairs, with small integers for vectors, whose sums are exact."""
    rng = np.random.default_rng(4)
    u, v = rng.integers(-3, 4, (2, 1, 2, VOCAB)).astype(np.float64)
    a, b = rng.integers(-3, 4, (2, 1, 2, VOCAB, BLOCK_SIZE)).astype(np.float32)
    options = {"across": True, "by": PairLabel.fold, "threads": 16}
    return {
        "by_document": lambda: kernels.sum_pairs_by_document(
            pairs, u[0, 0], v[0, 0], spans, across=True, threads=16
        ),
        "by_class": lambda: kernels.multiply_pairs_by_class(pairs, u, v, spans, **options),
        "bilinear": lambda: kernels.bilinear_forms_by_class(pairs, a, b, spans, **options),
    }


def case_sums(gpus: Gpus, tokens: np.ndarray, spans: Documents) -> dict[str, Any]:
    """Sums over the pairs at one lag: by document, by fold and token, bilinear by fold."""
    (gpu, *_), lag = gpus.devices, LAGS[15]
    small = tokens[: 10**7]
    documents_of_small = same_folds(len(small))
    here = PairsAtLag(small, VOCAB, lag)
    summer = kernels.pair_summer(small, VOCAB, documents_of_small, gpu)
    expected = sums_of(here, documents_of_small)
    for name, work in sums_of(PairsAtLag(small, VOCAB, lag, summer), documents_of_small).items():
        for ours, theirs in zip(np.atleast_1d(work()), np.atleast_1d(expected[name]()),
                                strict=True):  # fmt: skip
            assert np.array_equal(ours, theirs), name
    del summer
    everything = same_folds(len(tokens))
    set_up, _, summer = timed(lambda: kernels.pair_summer(tokens, VOCAB, everything, gpu), 1)
    result: dict[str, Any] = {"set_up_seconds": set_up}
    for name, work in sums_of(PairsAtLag(tokens, VOCAB, lag, summer), everything).items():
        work()
        seconds, every, _ = timed(work)
        result[name] = {"seconds": seconds, "rounds": every,
                        "ps_per_pair": seconds / len(tokens) * 1e12}  # fmt: skip
    del summer
    seconds, _, counts = timed(
        lambda: kernels.count_document_tokens_on(gpu, tokens, VOCAB, everything), 1
    )
    x, weights = np.ones((VOCAB, BLOCK_SIZE)), np.ones(len(everything))
    counts.multiply_gram(x, weights, 1)
    product, every, _ = timed(lambda: counts.multiply_gram(x, weights, 1))
    result["documents"] = {"seconds": seconds, "nnz": counts.nnz, "product_seconds": product,
                           "product_rounds": every}  # fmt: skip
    return {**result, "peak_bytes": gpu.peak_bytes}


def case_kneser_ney(gpus: Gpus, tokens: np.ndarray, spans: Documents) -> dict[str, Any]:
    """Models of six orders for 2^20 held-out tokens."""
    held_out = tokens[-(1 << 20) :]

    def model() -> KneserNey:
        return KneserNey(held_out, Documents.single(len(held_out)), VOCAB, order=6, stop_token=0)

    ours, theirs = model(), model()
    small = tokens[: 2 * 10**6]
    ours.train(small, backend=gpus)
    theirs.train(small, threads=16)
    discounts = np.tile([0.5, 1.0, 1.5], (6, 1))
    for a, b in zip(ours.counts(), theirs.counts(), strict=True):
        assert np.array_equal(a, b)
    scores = [m.score(discounts, discounts[1:], threads=16) for m in (ours, theirs)]
    assert np.array_equal(*scores)
    training = tokens[: -len(held_out)]
    _, every, _ = timed(lambda: ours.train(training, backend=gpus), 2)
    return {"seconds": min(every), "rounds": every, "orders": 6,
            "peak_bytes": gpus.devices[0].peak_bytes}  # fmt: skip


def case_mixture(gpus: Gpus, tokens: np.ndarray, spans: Documents) -> dict[str, Any]:
    """What follows the contexts of 2^20 tokens, by patterns of none to five tokens."""
    scored = tokens[-(1 << 20) :]
    vocabulary = Vocabulary(VOCAB, stop_token=0)
    targets = np.flatnonzero(scored[8:] != 0) + 8

    def count(training: Any, length: int, threads: int = 1) -> np.ndarray:
        offsets = list(range(1, length + 1))
        pattern = ContextPattern(offsets, [-1] * length, np.zeros((0, VOCAB), np.uint32))
        counts = ContextCounts(scored, targets, vocabulary=vocabulary, pattern=pattern)
        counts.count(training, continuation_offset=length + 1, threads=threads)
        return counts.counts_of_counts(continuation=True)

    small = tokens[: 2 * 10**6]
    on_device = GpuTraining(small, vocabulary, gpus.devices[0])
    for length in (0, 2, 5):
        assert np.array_equal(count(on_device, length), count(small, length, 16))
    uploaded, _, on_device = timed(
        lambda: GpuTraining(tokens[: -len(scored)], vocabulary, gpus.devices[0]), 1
    )
    seconds = {n: min(timed(lambda n=n: count(on_device, n), 2)[1]) for n in range(6)}
    return {"seconds_by_length": seconds, "upload_seconds": uploaded,
            "peak_bytes": gpus.devices[0].peak_bytes}  # fmt: skip


def case_measure(gpus: Gpus, tokens: np.ndarray, spans: Documents) -> dict[str, Any]:
    """A whole measurement of a tenth of the tokens."""
    part = tokens[: len(tokens) // (10 * DOCUMENT) * DOCUMENT]
    corpus = ngramstat.Corpus.from_arrays(
        part, vocab_size=VOCAB, document_ends=np.arange(DOCUMENT, len(part) + 1, DOCUMENT)
    )
    seconds, _, result = timed(
        lambda: ngramstat.measure(corpus, learning_sizes=4, threads=16, backend=gpus),
        1,
    )
    assert result.correlations is not None
    return {"seconds": seconds, "tokens": len(part), "peak_bytes": gpus.devices[0].peak_bytes}


CASES = {"pairs": case_pairs, "curve": case_curve, "sums": case_sums, "ngrams": case_ngrams,
         "kneser_ney": case_kneser_ney, "mixture": case_mixture,
         "measure": case_measure}  # fmt: skip


def machine(commit: str) -> dict[str, Any]:
    query = "name,driver_version,clocks.max.sm,clocks.sm,clocks.mem,memory.total"
    shown = subprocess.run(
        ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    return {"card": dict(zip(query.split(","), shown.split(", "), strict=False)),
            "torch": torch.__version__, "build": {**kernels.build_info(), "commit": commit},
            "date": time.strftime("%Y-%m-%d")}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path)
    parser.add_argument("--tokens", type=float, default=1e9)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--commit", default=kernels.build_info()["commit"])
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results" / "gpu.json")
    options = parser.parse_args()
    text = np.load(options.text) if options.text else random_text(20_000_000)
    started = time.perf_counter()
    tokens = draw(text, int(options.tokens))
    torch.cuda.empty_cache()
    print(f"drew {len(tokens):,} tokens in {time.perf_counter() - started:.1f} s", flush=True)
    result: dict[str, Any] = {"tokens": len(tokens), "vocab_size": VOCAB,
                              "text": "random" if options.text is None else options.text.name,
                              "ceilings": ceilings()}  # fmt: skip
    torch.cuda.empty_cache()
    spans = documents(len(tokens))
    for name in options.only:
        gpus = open_gpus("cuda", "90%")
        result[name] = CASES[name](gpus, tokens, spans)
        del gpus
        torch.cuda.empty_cache()
        shown = {k: v for k, v in result[name].items() if k != "lags"}
        print(name, json.dumps(shown, indent=1), flush=True)
    result["machine"] = machine(options.commit)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
