"""Every GPU kernel once, on little: what compute-sanitizer watches."""

from __future__ import annotations

import numpy as np

from ngramstat import kernels
from ngramstat.covariance.operators import PairStatistics
from ngramstat.kernels import BLOCK_SIZE, Documents, KneserNey, PairLabel, PairsAtLag
from ngramstat.kernels.mixing import ContextCounts, ContextPattern, GpuTraining, Vocabulary
from ngramstat.linear_algebra.lanczos import leading_singular_triplets
from ngramstat.runtime.gpus import open_gpus


def sums_and_models(tokens: np.ndarray, vocab_size: int, documents: Documents) -> None:
    """Sums over pairs with integers, tokens of documents, and Kneser-Ney models: as on the CPU."""
    gpus = open_gpus("cuda", "1G")
    (gpu, *_) = gpus.devices
    summer = kernels.pair_summer(tokens, vocab_size, documents, gpu)
    u = np.arange(vocab_size, dtype=np.float64)[None, None] % 7
    a = np.ones((1, 1, vocab_size, BLOCK_SIZE), np.float32)
    options = {"across": True, "by": PairLabel.half}
    results = [
        [
            *kernels.sum_pairs_by_document(pairs, u[0, 0], u[0, 0], documents, across=True),
            *kernels.multiply_pairs_by_class(pairs, u, u, documents, **options),
            kernels.bilinear_forms_by_class(pairs, a, a, documents, **options),
        ]
        for pairs in (PairsAtLag(tokens, vocab_size, 3, s) for s in (summer, None))
    ]
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(*results, strict=True))
    del summer
    counts = kernels.count_document_tokens_on(gpu, tokens, vocab_size, documents)
    expected = kernels.count_document_tokens(tokens, vocab_size, documents)
    for ours, theirs in zip(counts.to_coo(), expected.to_coo(), strict=True):
        assert np.array_equal(ours, theirs)
    counts.multiply_gram(np.ones((vocab_size, BLOCK_SIZE)), np.ones(len(documents)), 1)
    held_out, training = tokens[:4000], tokens[4000:]
    models = [
        KneserNey(held_out, Documents.single(4000), vocab_size, order=4, stop_token=0)
        for _ in range(2)
    ]
    models[0].train(training, backend=gpus)
    models[1].train(training)
    for ours, theirs in zip(models[0].counts(), models[1].counts(), strict=True):
        assert np.array_equal(ours, theirs)


def followers_of_contexts(tokens: np.ndarray, vocab_size: int) -> None:
    """What follows contexts of the mixture, as on the CPU."""
    (gpu,) = open_gpus("cuda", "1G").devices
    vocabulary = Vocabulary(vocab_size, stop_token=0)
    no_maps = np.zeros((0, vocab_size), np.uint32)
    on_device = GpuTraining(tokens, vocabulary, gpu)
    for offsets in ([], [1, 2], [1, 2, 3, 4, 6, 7]):
        results = []
        for training in (on_device, tokens):
            counts = ContextCounts(
                tokens,
                np.arange(100, 4000),
                vocabulary=vocabulary,
                pattern=ContextPattern(offsets, [-1] * len(offsets), no_maps),
            )
            known = counts.count(training, continuation_offset=8)
            lower = counts.counts_of_counts(continuation=True)
            results.append((known, counts.counts_of_counts(), lower))
        assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def main() -> None:
    rng = np.random.default_rng(0)
    n = 400_000
    ends = np.arange(100, n + 1, 100, dtype=np.int64)
    halves = rng.integers(0, 2, len(ends)).astype(np.uint8)
    documents = Documents(ends, content_ends=ends - 1, folds=halves)
    # Tables whole and in pieces of the stream, then sorted keys.
    for vocab_size, memory in ((300, "1G"), (300, "12M"), (20_000, "1G"), (20_000, "60M")):
        gpus = open_gpus("cuda", memory)
        tokens = np.minimum(rng.zipf(1.3, n) - 1, vocab_size - 1).astype(np.uint16)
        for result in kernels.count_pairs(tokens, vocab_size, documents, [1, 5], backend=gpus):
            (expected,) = kernels.count_pairs(tokens, vocab_size, documents, [result.lag])
            for a, b in ((result.within, expected.within), (result.across, expected.across)):
                assert all(
                    np.array_equal(x, y) for x, y in zip(a.to_coo(), b.to_coo(), strict=True)
                )
            statistics = PairStatistics(result, across=True)
            statistics.frobenius()
            leading_singular_triplets(statistics.covariance(), 2, max_steps=4)
        (gpu,) = gpus.devices
        stream = kernels.stream_pairs(tokens, vocab_size, documents, gpu, across=True)
        stream.counts(1, True)
        nothing = np.zeros((vocab_size, kernels.BLOCK_SIZE))
        operator = gpu.covariance([stream.weighted(1, 0.5, 0.5)], nothing, nothing, None)
        for product in (operator.multiply, operator.multiply_transposed):
            product(gpu.block(nothing)).to_host()
        kernels.suffix_array(tokens, vocab_size, depth=6, backend=gpus)
        kernels.count_ngrams(
            tokens, vocab_size, max_context=3, documents=documents, across=False, backend=gpus
        )
        if memory == "1G":
            sums_and_models(tokens, vocab_size, documents)
            followers_of_contexts(tokens, vocab_size)
    print("every kernel ran, counts equal the CPU's")


if __name__ == "__main__":
    main()
