"""Kneser-Ney models trained on a GPU: counts and losses equal those of the CPU with ==."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ngramstat
from ngramstat import _core, kernels
from ngramstat.kernels import Documents
from ngramstat.runtime.gpus import CPU
from test_gpu import DEVICES, draw_corpus, emulated


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def results_of(held_out, documents, vocab_size, order, stop, training, parts, backend):
    """Counts of counts and losses of the models of all parts."""
    model = kernels.KneserNey(held_out, documents, vocab_size, order=order, stop_token=stop)
    model.train_parts(training, parts, backend=backend)
    results = []
    for number in range(len(parts)):
        results += model.counts(number)
        discounts = np.tile([0.5, 1.0, 1.25], (order, 1))
        results.append(model.score(discounts, discounts[1:], model=number))
    return results


def assert_same(arguments, gpus):
    ours, theirs = results_of(*arguments, gpus), results_of(*arguments, CPU)
    for mine, yours in zip(ours, theirs, strict=True):
        assert mine.dtype == yours.dtype
        assert np.array_equal(mine, yours)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_models_of_short_streams_equal_those_of_the_cpu(data):
    vocab_size = data.draw(st.integers(1, 4))
    stop = data.draw(st.sampled_from([None, 0, vocab_size]))
    symbols = vocab_size + (stop == vocab_size)
    dtype = data.draw(st.sampled_from([np.uint16, np.uint32]))
    training, held_out = (
        np.array(
            data.draw(st.lists(st.integers(0, symbols - 1), min_size=1, max_size=50)), dtype=dtype
        )
        for _ in range(2)
    )
    # One document between any two symbols that are not scored.
    scored = held_out < vocab_size
    ends = np.arange(1, len(held_out) + 1)
    documents = Documents(ends, content_ends=ends - ~scored)
    first = data.draw(st.integers(0, len(training)))
    middle = data.draw(st.integers(first, len(training)))
    parts = [(first, len(training)), (first, middle), (middle, len(training))]
    order = data.draw(st.integers(1, 6))
    assert_same((held_out, documents, vocab_size, order, stop, training, parts), emulated())


@pytest.mark.parametrize("stop", [None, 3], ids=["stream", "stop token"])
@pytest.mark.parametrize(
    ("vocab_size", "dtype", "memory"),
    [(300, np.uint16, 1 << 28), (300, np.uint32, 2_500_000), (70_000, np.uint32, 1 << 28)],
    ids=["whole", "ranges", "V=70000"],
)
def test_models_equal_those_of_the_cpu(vocab_size, dtype, memory, stop):
    check_models(emulated(memory), 40_000, vocab_size, dtype, stop)


@pytest.mark.gpu
@pytest.mark.parametrize("vocab_size", [3, 8192, 131_072])
def test_models_on_a_gpu_equal_those_of_the_cpu(device, vocab_size):
    check_models(device(), 400_003, vocab_size, np.uint32, 3 % vocab_size)


def check_models(gpus, n, vocab_size, dtype, stop):
    tokens, documents = draw_corpus(np.random.default_rng(n), n, vocab_size, dtype)
    n_held_out = int(documents.ends[len(documents) // 8])
    held_out, training = tokens[:n_held_out], tokens[n_held_out:]
    ends = documents.ends[: len(documents) // 8 + 1]
    parts = [(5, len(training)), (5, len(training) // 2), (len(training) // 2, len(training))]
    arguments = (held_out, Documents(ends), vocab_size, 5, stop, training, parts)
    assert_same(arguments, gpus)
    (gpu,) = gpus.devices
    assert gpu.peak_bytes <= gpu.memory_limit
    assert gpu.used_bytes == 0


def test_held_out_losses_of_a_run_are_counted_on_its_gpu(monkeypatch):
    tokens, spans = draw_corpus(np.random.default_rng(4), 60_000, 220, np.uint16, 300)
    corpus = ngramstat.Corpus.from_arrays(tokens, vocab_size=220, document_ends=spans.ends)
    arguments = {"max_context": 3, "learning_sizes": 3, "replicates": 20,
                 "predictor": "kneser-ney"}  # fmt: skip
    theirs = ngramstat.entropies(corpus, **arguments, backend="cpu")

    class Refusing(_core.KneserNey16):
        def add_training(self, *arguments):
            raise AssertionError("counted on the CPU")

    monkeypatch.setattr(_core, "KneserNey16", Refusing)
    ours = ngramstat.entropies(corpus, **arguments, backend=emulated())
    assert np.array_equal(ours.held_out_kneser_ney, theirs.held_out_kneser_ney)
    assert np.array_equal(ours.learning_curve.held_out, theirs.learning_curve.held_out)
    with pytest.raises(AssertionError, match="on the CPU"):
        ngramstat.entropies(corpus, **arguments, backend="cpu")


def test_training_of_another_type_is_refused():
    held_out, training = np.zeros(4, np.uint16), np.zeros(9, np.uint32)
    model = kernels.KneserNey(held_out, Documents.single(4), 2, order=2)
    with pytest.raises(ngramstat.InputError, match="differs from the held-out tokens'"):
        model.train(training, backend=emulated())
    with pytest.raises(TypeError):
        emulated().devices[0].train_kneser_ney(model._model, training, np.zeros((1, 2), np.int64))
    training = np.array([0, 1, 7], np.uint16)
    with pytest.raises(IndexError, match="token 7 at position 2"):
        model.train(training, backend=emulated())
    with pytest.raises(_core.DeviceMemoryError, match="not enough GPU memory"):
        model.train(np.zeros(5000, np.uint16), backend=emulated(4000))
