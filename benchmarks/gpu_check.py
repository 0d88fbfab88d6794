"""Every GPU kernel once, on little: what compute-sanitizer watches."""

from __future__ import annotations

import numpy as np

from ngramstat import kernels
from ngramstat.covariance.operators import PairStatistics
from ngramstat.kernels import Documents
from ngramstat.linear_algebra.lanczos import leading_singular_triplets
from ngramstat.runtime.gpus import open_gpus


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
    print("every kernel ran, counts equal the CPU's")


if __name__ == "__main__":
    main()
