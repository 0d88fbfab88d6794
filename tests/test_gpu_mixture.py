"""What follows the contexts of a mixture, counted on a GPU: equal to the CPU's with ==."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ngramstat
from ngramstat import _core
from ngramstat.kernels.mixing import (
    ContextCounts,
    ContextPattern,
    Discounts,
    GpuTraining,
    TokenTree,
    Vocabulary,
    path_lengths,
)
from ngramstat.runtime.gpus import CPU
from reference_mixture import random_tree
from test_gpu import DEVICES, draw_corpus, emulated


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def all_of(stream, training, vocabulary, pattern, counting):
    """Known events, counts of counts, and logits along a tree of the targets."""
    scored = np.flatnonzero(stream < vocabulary.size)
    n_leave_one_out = len(scored) // 2
    second_stream = int(scored[n_leave_one_out]) if len(scored) else 0
    counts = ContextCounts(
        stream,
        scored,
        vocabulary=vocabulary,
        pattern=pattern,
        n_leave_one_out=n_leave_one_out,
        second_stream=second_stream,
    )
    results = [counts.count(training, **counting)]
    continuation = counting["continuation_offset"] > 0
    results += [
        counts.counts_of_counts(continuation=lower, left_out=left_out)
        for lower in ((False, True) if continuation else (False,))
        for left_out in (False, True)
    ]
    tree = TokenTree(*random_tree(vocabulary.size, np.random.default_rng(1)))
    lengths = path_lengths(tree)[stream[scored]]
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    discounts = Discounts([0.3, 0.7, 1.1])
    return [*results, *counts.interpolate(tree, offsets, None, discounts=discounts)]


def assert_same(stream, training, vocabulary, pattern, counting, gpu):
    ours = all_of(stream, GpuTraining(training, vocabulary, gpu), vocabulary, pattern, counting)
    theirs = all_of(stream, training, vocabulary, pattern, counting)
    for mine, yours in zip(ours, theirs, strict=True):
        assert np.array_equal(mine, yours)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_counts_of_short_streams_equal_those_of_the_cpu(data):
    size = data.draw(st.integers(2, 5))
    stop = data.draw(st.sampled_from([None, 0, size]))
    vocabulary = Vocabulary(size, stop)
    dtype = data.draw(st.sampled_from([np.uint16, np.uint32]))
    symbols = st.integers(0, vocabulary.n_symbols - 1)
    stream, training = (
        np.array(data.draw(st.lists(symbols, max_size=most)), dtype) for most in (30, 200)
    )
    offsets = data.draw(st.lists(st.integers(1, 5), max_size=4, unique=True))
    maps = [data.draw(st.integers(-1, 1)) for _ in offsets]
    class_maps = np.random.default_rng(2).integers(0, 3, (2, vocabulary.n_symbols))
    pattern = ContextPattern(offsets, maps, class_maps.astype(np.uint32))
    words = (len(training) + 63) // 64
    candidates = np.array(
        data.draw(st.lists(st.integers(0, 2**64 - 1), min_size=words, max_size=words)), np.uint64
    )
    counting = {
        "first_event": data.draw(st.integers(0, len(training))),
        "first_leave_one_out": data.draw(st.integers(0, len(training))),
        "continuation_offset": data.draw(st.integers(0, 6)),
        "candidates": data.draw(st.sampled_from([None, candidates])) if words else None,
    }
    (gpu,) = emulated().devices
    assert_same(stream, training, vocabulary, pattern, counting, gpu)


# A pattern whose symbols fit 64 bits, one whose symbols do not, and the empty one.
PATTERNS = {"exact": [1, 2], "hashed": [1, 2, 3, 4, 6, 7], "empty": []}


def check_counts(gpu, n, vocab_size, dtype, offsets):
    rng = np.random.default_rng(5)
    training, _ = draw_corpus(rng, n, vocab_size, dtype)
    stream, _ = draw_corpus(rng, 2_000, vocab_size, dtype)
    pattern = ContextPattern(offsets, [-1] * len(offsets), np.zeros((0, vocab_size), np.uint32))
    counting = {"first_leave_one_out": n - 1_000, "continuation_offset": 5}
    assert_same(stream, training, Vocabulary(vocab_size, 3), pattern, counting, gpu)


@pytest.mark.parametrize("offsets", PATTERNS.values(), ids=PATTERNS)
@pytest.mark.parametrize(
    ("vocab_size", "dtype", "memory"),
    [(300, np.uint16, 1 << 28), (300, np.uint32, 1_600_000), (70_000, np.uint32, 1 << 28)],
    ids=["whole", "ranges", "V=70000"],
)
def test_counts_equal_those_of_the_cpu(vocab_size, dtype, memory, offsets):
    (gpu,) = emulated(memory).devices
    check_counts(gpu, 30_000, vocab_size, dtype, offsets)


@pytest.mark.gpu
@pytest.mark.parametrize("offsets", PATTERNS.values(), ids=PATTERNS)
@pytest.mark.parametrize("vocab_size", [300, 8192, 131_072])
def test_counts_on_a_gpu_equal_those_of_the_cpu(device, vocab_size, offsets):
    check_counts(device().devices[0], 400_003, vocab_size, np.uint32, offsets)


def test_too_little_memory_is_refused_with_its_limit():
    (gpu,) = emulated(100_000).devices
    with pytest.raises(_core.DeviceMemoryError, match="100"):
        check_counts(gpu, 60_000, 300, np.uint16, [1])


def test_a_token_outside_the_vocabulary_is_named():
    (gpu,) = emulated().devices
    with pytest.raises(IndexError, match="7"):
        GpuTraining(np.array([1, 7, 2], np.uint16), Vocabulary(3), gpu)


def test_losses_of_a_mixture_equal_those_of_the_cpu(device):
    tokens, spans = draw_corpus(np.random.default_rng(4), 30_000, 60, np.uint16)
    corpus = ngramstat.Corpus.from_arrays(tokens, vocab_size=60, document_ends=spans.ends)
    backend = device()
    ours, theirs = (
        ngramstat.entropies(corpus, max_context=2, learning_sizes=1, backend=of)
        for of in (backend, CPU)
    )
    assert ours.to_dict() == theirs.to_dict()
