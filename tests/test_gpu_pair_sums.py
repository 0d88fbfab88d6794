"""Sums over pairs on a GPU against those of the CPU.

Of integers every order of additions gives the same sum, so they are equal with ==; sums of other
numbers agree to rounding, and are the same to the last bit whatever the memory.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ngramstat import _core, kernels
from ngramstat.kernels import BLOCK_SIZE, Documents, PairLabel, PairsAtLag
from test_gpu import DEVICES, emulated
from test_kernels_pairs import corpora

N_FOLDS = 16
# Labels of pairs with whether pairs across documents have them.
KINDS = [
    (PairLabel.half, False),
    (PairLabel.half, True),
    (PairLabel.fold, False),
    (PairLabel.fold, True),
    (PairLabel.half_and_position, False),
]


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def in_folds(spans, rng, n_folds=N_FOLDS):
    return Documents(
        spans.ends,
        content_starts=spans.content_starts,
        content_ends=spans.content_ends,
        folds=rng.integers(0, n_folds, len(spans)).astype(np.uint8),
        n_folds=n_folds,
    )


def integers(rng, *shape):
    """Small enough for sums of their products to be exact."""
    return rng.integers(-9, 10, shape).astype(np.float64)


def reals(rng, *shape):
    return rng.standard_normal(shape)


def sums_of(pairs, documents, numbers, across, by):
    """Everything that is summed over pairs, with vectors that depend on nothing but the shapes."""
    rng, size = np.random.default_rng(0), pairs.vocab_size
    classes = {PairLabel.half: 2, PairLabel.fold: documents.n_folds}.get(by, 30)
    options = {"across": across, "by": by}
    u, v = numbers(rng, 2, 2, 2, size)  # of two kinds, each with two sets
    a = numbers(rng, 2, 2, size, BLOCK_SIZE).astype(np.float32)
    b = integers(rng, 2, 2, size, BLOCK_SIZE).astype(np.int16)
    results = [
        *kernels.sum_pairs_by_document(pairs, u[0, 0], v[0, 0], documents, across=across),
        *kernels.sum_pairs_by_document(pairs, u[:, 0], v[:, 0], documents, across=across),
        *kernels.count_pairs_by_class(pairs, documents, **options),
        *kernels.multiply_pairs_by_class(pairs, u, v, documents, **options),
        *kernels.multiply_pairs_by_class(pairs, u[:1, :1], v[:1, :1], documents, **options),
    ]
    if classes <= 2 * BLOCK_SIZE:
        results.append(kernels.bilinear_forms_by_class(pairs, a, b, documents, **options))
    return results


@settings(max_examples=60, deadline=None)
@given(corpora(), st.sampled_from([np.uint16, np.uint32]), st.integers(0, 2**32 - 1))
def test_sums_of_integers_equal_those_of_the_cpu(corpus, dtype, seed):
    tokens, vocab_size, spans = corpus
    tokens = tokens.astype(dtype)
    documents = in_folds(spans, np.random.default_rng(seed))
    (gpu,) = emulated().devices
    summer = kernels.pair_summer(tokens, vocab_size, documents, gpu)
    for lag in (1, 2, 5, len(tokens), len(tokens) + 3):
        for by, across in KINDS:
            here = PairsAtLag(tokens, vocab_size, lag)
            there = PairsAtLag(tokens, vocab_size, lag, summer)
            expected = sums_of(here, documents, integers, across, by)
            result = sums_of(there, documents, integers, across, by)
            for ours, theirs in zip(result, expected, strict=True):
                assert ours.dtype == theirs.dtype
                assert np.array_equal(ours, theirs)


def long_documents(rng, n, vocab_size, dtype):
    """Documents of all lengths, one of them longer than the pieces it is cut into."""
    tokens = np.minimum(rng.zipf(1.3, n) - 1, vocab_size - 1).astype(dtype)
    ends = np.unique(np.append(rng.integers(n // 2, n, 200), n)).astype(np.int64)
    return tokens, in_folds(Documents(ends, content_ends=ends - 1), rng)


@pytest.mark.parametrize(("vocab_size", "dtype"), [(300, np.uint16), (70_000, np.uint32)])
def test_sums_over_many_pairs_equal_those_of_the_cpu(device, vocab_size, dtype):
    tokens, documents = long_documents(np.random.default_rng(1), 90_001, vocab_size, dtype)
    (gpu,) = device().devices
    summer = kernels.pair_summer(tokens, vocab_size, documents, gpu)
    for by, across in KINDS:
        here = PairsAtLag(tokens, vocab_size, 37)
        there = PairsAtLag(tokens, vocab_size, 37, summer)
        for numbers, tolerance in ((integers, 0.0), (reals, 1e-12)):
            result = sums_of(there, documents, numbers, across, by)
            for ours, theirs in zip(
                result, sums_of(here, documents, numbers, across, by), strict=True
            ):
                scale = max(float(np.abs(theirs).max()), 1.0)
                # The CPU's bilinear forms add up floats.
                allowed = 1e9 * tolerance if theirs.ndim == 4 else tolerance
                assert np.abs(ours - theirs.astype(ours.dtype)).max() <= allowed * scale


def test_sums_do_not_depend_on_memory():
    tokens, documents = long_documents(np.random.default_rng(2), 50_000, 200, np.uint16)
    results = []
    for memory, shared in ((1 << 30, 227 << 10), (3_000_000, 48 << 10)):
        (gpu,) = emulated(memory, shared).devices
        summer = kernels.pair_summer(tokens, 200, documents, gpu)
        pairs = PairsAtLag(tokens, 200, 11, summer)
        results.append(sums_of(pairs, documents, reals, True, PairLabel.fold))
        assert gpu.peak_bytes <= gpu.memory_limit
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_more_classes_than_a_block_of_threads_sums():
    rng = np.random.default_rng(3)
    tokens = rng.integers(0, 20, 5000).astype(np.uint16)
    spans = Documents(np.arange(10, 5001, 10, dtype=np.int64))
    documents = in_folds(spans, rng, 250)
    (gpu,) = emulated().devices
    summer = kernels.pair_summer(tokens, 20, documents, gpu)
    u, v = integers(rng, 2, 1, 5, 20)
    for lag in (3, 40):
        here, there = PairsAtLag(tokens, 20, lag), PairsAtLag(tokens, 20, lag, summer)
        options = {"across": True, "by": PairLabel.fold}
        expected = kernels.multiply_pairs_by_class(here, u, v, documents, **options)
        result = kernels.multiply_pairs_by_class(there, u, v, documents, **options)
        for ours, theirs in zip(result, expected, strict=True):
            assert np.array_equal(ours, theirs)


def test_what_does_not_fit_is_refused(device):
    tokens = np.zeros(100, np.uint16)
    documents, others = Documents.single(100), Documents.single(100)
    (gpu,) = device().devices
    summer = kernels.pair_summer(tokens, 2, documents, gpu)
    vector, block = np.ones(2), np.ones((1, 1, 2, BLOCK_SIZE), np.float32)
    pairs = PairsAtLag(tokens, 2, 1, summer)
    with pytest.raises(ValueError, match="those that the pair summer was made with"):
        kernels.sum_pairs_by_document(pairs, vector, vector, others, across=True)
    with pytest.raises(ValueError, match="vocab_size entries"):
        kernels.sum_pairs_by_document(pairs, vector[:1], vector, documents, across=True)
    options = {"across": True, "by": PairLabel.fold}
    for sets in (np.ones((1, 3, 2)), np.ones((1, 1, 3))):
        with pytest.raises(ValueError, match="one entry per token type"):
            kernels.multiply_pairs_by_class(pairs, sets, sets, documents, **options)
    with pytest.raises(ValueError, match="position bins are for pairs inside documents"):
        kernels.bilinear_forms_by_class(
            pairs,
            block,
            block.astype(np.int16),
            documents,
            across=True,
            by=PairLabel.half_and_position,
        )
    with pytest.raises(ValueError, match="lags must be at least 1"):
        kernels.sum_pairs_by_document(
            PairsAtLag(tokens, 2, 0, summer), vector, vector, documents, across=True
        )
    tokens[7] = 5
    with pytest.raises(IndexError, match="token 5 at position 7"):
        kernels.pair_summer(tokens, 2, documents, gpu)
    with pytest.raises(_core.DeviceMemoryError, match="not enough GPU memory"):
        kernels.pair_summer(tokens, 6, documents, emulated(500).devices[0])
