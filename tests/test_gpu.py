"""GPU kernels against the CPU kernels: counts equal with ==, norms to 1e-6.

Every test runs on an emulated device, whose kernels are the same code on the CPU with memory as
small as the test wants; and, marked `gpu`, on a CUDA device where there is one.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ngramstat
import reference
from ngramstat import _core, kernels
from ngramstat.covariance.measurement import measure_lags
from ngramstat.covariance.operators import PairStatistics
from ngramstat.covariance.options import CorrelationOptions
from ngramstat.errors import InputError, NgramstatError
from ngramstat.kernels import Documents
from ngramstat.linear_algebra.lanczos import HostBackend, leading_singular_triplets
from ngramstat.runtime.gpus import CPU, Gpus, open_gpus
from ngramstat.runtime.workspace import Workspace
from ngramstat.sampling.design import SamplingDesign
from test_kernels_pairs import as_counters, corpora

SHARED = 227 << 10


def emulated(memory: int = 1 << 30, shared: int = SHARED) -> Gpus:
    return Gpus((_core.Gpu.emulated(memory, shared),))


def cuda(memory: str | None = None) -> Gpus:
    if not _core.cuda_devices():
        assert os.environ.get("NGRAMSTAT_REQUIRE_GPU") != "1", "no CUDA device"
        pytest.skip("no CUDA device")
    return open_gpus("cuda", memory)


DEVICES = [
    pytest.param(emulated, id="emulated"),
    pytest.param(cuda, id="cuda", marks=pytest.mark.gpu),
]


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def draw_corpus(rng, n, vocab_size, dtype, mean_length=40):
    """Zipf-distributed tokens, and documents of which some begin or end with a separator."""
    tokens = np.minimum(rng.zipf(1.3, n) - 1, vocab_size - 1).astype(dtype)
    ends = np.unique(np.append(rng.integers(1, n, max(1, n // mean_length)), n)).astype(np.int64)
    starts = np.append(0, ends[:-1])
    first = np.minimum(starts + rng.integers(0, 2, len(ends)), ends)
    last = np.maximum(first, ends - rng.integers(0, 2, len(ends)))
    halves = rng.integers(0, 2, len(ends)).astype(np.uint8)
    return tokens, Documents(ends, content_starts=first, content_ends=last, folds=halves)


def assert_same_counts(result, expected):
    assert result.shape == expected.shape
    assert result.nnz == expected.nnz
    for a, b in zip(result.to_coo(), expected.to_coo(), strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(result.row_sums(), expected.row_sums())
    assert np.array_equal(result.column_sums(), expected.column_sums())


@settings(max_examples=100, deadline=None)
@given(corpora(), st.sampled_from([np.uint16, np.uint32]), st.sampled_from([1 << 26, 3000]))
def test_pairs_equal_the_reference(corpus, dtype, memory):
    tokens, vocab_size, spans = corpus
    tokens = tokens.astype(dtype)
    lags = [1, 2, 5, len(tokens), len(tokens) + 3]
    content = list(zip(spans.content_starts, spans.content_ends, strict=True))
    counted = kernels.count_pairs(
        tokens, vocab_size, spans, lags, backend=emulated(memory + 20_000)
    )
    for lag, counts in zip(lags, counted, strict=True):
        assert counts.lag == lag
        within, across = reference.pair_counts(tokens, lag, content, spans.ends, spans.halves)
        assert as_counters(counts.within) == within
        assert as_counters(counts.across) == across


PAIR_CASES = [
    # V, dtype, tokens, memory, shared bytes: tables; tables in several passes of lags; tables of
    # few lags, in pieces of the stream; sorted keys of the whole stream and in pieces.
    pytest.param(300, np.uint16, 20_000, 1 << 28, SHARED, id="tables"),
    pytest.param(3001, np.uint32, 3000, 1 << 29, 24 << 10, id="passes"),
    pytest.param(300, np.uint16, 200_000, 4_000_000, SHARED, id="pieces"),
    pytest.param(100, np.uint16, 200_000, 1_200_000, SHARED, id="small pieces"),
    pytest.param(40_000, np.uint16, 9000, 1 << 28, SHARED, id="keys"),
    pytest.param(70_001, np.uint32, 30_000, 1 << 28, SHARED, id="wide keys"),
    pytest.param(20_000, np.uint32, 400_000, 13_000_000, SHARED, id="keys in pieces"),
]


@pytest.mark.parametrize(("vocab_size", "dtype", "n", "memory", "shared"), PAIR_CASES)
def test_pairs_equal_the_cpu_kernels(vocab_size, dtype, n, memory, shared):
    check_pairs(emulated(memory, shared), vocab_size, dtype, n)


@pytest.mark.gpu
@pytest.mark.parametrize("vocab_size", [50, 8192, 16_384, 20_000, 131_072])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_pairs_on_a_gpu_equal_the_cpu_kernels(vocab_size, dtype):
    if vocab_size > 1 << 16 and dtype is np.uint16:
        pytest.skip("ids do not fit")
    check_pairs(cuda(), vocab_size, dtype, 3_000_017)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("vocab_size", "memory"), [(50, "100M"), (1000, "200M"), (20_000, "800M"), (131_072, "900M")]
)
def test_pairs_in_pieces_on_a_gpu_equal_the_cpu_kernels(vocab_size, memory):
    check_pairs(cuda(memory), vocab_size, np.uint32, 12_000_017)


def check_pairs(gpus, vocab_size, dtype, n):
    tokens, spans = draw_corpus(np.random.default_rng(n), n, vocab_size, dtype)
    lags = [1, 2, 3, 7, 100, n - 1, n, n + 5]
    result = kernels.count_pairs(tokens, vocab_size, spans, lags, backend=gpus)
    expected = kernels.count_pairs(tokens, vocab_size, spans, lags, threads=2)
    x = np.random.default_rng(0).standard_normal((vocab_size, kernels.BLOCK_SIZE))
    for a, b in zip(result, expected, strict=True):
        assert a.lag == b.lag
        for mine, theirs in ((a.within, b.within), (a.across, b.across)):
            assert_same_counts(mine, theirs)
            for name in ("multiply", "multiply_transposed"):
                ours = getattr(mine, name)(x, 0.3, -0.7, 1)
                assert np.allclose(ours, getattr(theirs, name)(x, 0.3, -0.7, 1), atol=1e-9)
            args = ((0.3, 0.2), (0.1, 0.4), 1)
            assert mine.inner_product(mine, *args) == pytest.approx(
                theirs.inner_product(theirs, *args)
            )
    assert gpus.devices[0].peak_bytes <= gpus.devices[0].memory_limit


def test_a_row_beyond_one_counter(device):
    # More pairs of one cell than a counter of 16 bits holds, in both halves.
    n = 300_001
    tokens = np.zeros(n, np.uint16)
    tokens[::1000] = 1
    ends = np.array([n // 3, n], np.int64)
    spans = Documents(ends, folds=np.array([0, 1], np.uint8))
    (result,) = kernels.count_pairs(tokens, 2, spans, [7], backend=device())
    (expected,) = kernels.count_pairs(tokens, 2, spans, [7])
    assert_same_counts(result.within, expected.within)
    assert_same_counts(result.across, expected.across)
    assert result.within.to_coo()[2].max() > 1 << 16


def test_keys_do_not_overflow_32_bits(device):
    # x V + y of the largest ids is beyond 2^32 above V = 46,340.
    vocab_size = 200_000
    tokens = np.array([vocab_size - 1, vocab_size - 2, 0, vocab_size - 1] * 3, np.uint32)
    n = len(tokens)
    spans = Documents.single(n)
    (counts,) = kernels.count_pairs(tokens, vocab_size, spans, [1], backend=device())
    rows, columns, numbers = counts.within.to_coo()
    assert list(zip(rows, columns, numbers[0], strict=True)) == [
        (0, vocab_size - 1, 3),
        (vocab_size - 2, 0, 3),
        (vocab_size - 1, vocab_size - 2, 3),
        (vocab_size - 1, vocab_size - 1, 2),
    ]


@pytest.mark.parametrize("vocab_size", [5, 300, 20_000])
def test_tokens_outside_the_vocabulary_are_errors(device, vocab_size):
    tokens = np.zeros(5000, np.uint32)
    tokens[[3210, 4000]] = vocab_size
    n = len(tokens)
    spans = Documents.single(n)
    gpus = device()
    message = f"token {vocab_size} at position 3210 is not below vocab_size {vocab_size}"
    with pytest.raises(IndexError, match=message):
        list(kernels.count_pairs(tokens, vocab_size, spans, [1], backend=gpus))
    with pytest.raises(IndexError, match=message):
        kernels.suffix_array(tokens, vocab_size, depth=3, backend=gpus)
    with pytest.raises(IndexError, match=message):
        kernels.count_ngrams(tokens, vocab_size, max_context=2, backend=gpus)


def test_several_devices_divide_lags_and_ngrams():
    tokens, spans = draw_corpus(np.random.default_rng(3), 20_000, 300, np.uint16)
    gpus = Gpus(tuple(_core.Gpu.emulated(1 << 28) for _ in range(3)))
    lags = list(range(1, 20))
    result = kernels.count_pairs(tokens, 300, spans, lags, backend=gpus)
    for a, b in zip(result, kernels.count_pairs(tokens, 300, spans, lags), strict=True):
        assert a.lag == b.lag
        assert_same_counts(a.within, b.within)
        assert_same_counts(a.across, b.across)
    assert all(gpu.peak_bytes > 0 for gpu in gpus.devices)
    assert_same_ngrams(gpus, tokens, 300, spans, 3, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("vocab_size", "dtype", "n", "memory"),
    [
        (3, np.uint16, 2000, 1 << 26),
        (300, np.uint16, 20_000, 1 << 26),
        (300, np.uint32, 100_000, 6_000_000),
        (70_000, np.uint32, 9000, 1 << 26),
    ],
    ids=["V=3", "V=300", "ranges", "V=70000"],
)
def test_suffixes_and_ngrams_equal_the_cpu_kernels(vocab_size, dtype, n, memory):
    check_suffixes(emulated(memory), vocab_size, dtype, n)


@pytest.mark.gpu
@pytest.mark.parametrize("memory", [None, "40M"], ids=["whole", "ranges"])
@pytest.mark.parametrize("vocab_size", [3, 8192, 131_072])
def test_suffixes_on_a_gpu_equal_the_cpu_kernels(vocab_size, memory):
    check_suffixes(cuda(memory), vocab_size, np.uint32, 1_000_003)


def check_suffixes(gpus, vocab_size, dtype, n):
    rng = np.random.default_rng(n)
    tokens, spans = draw_corpus(rng, n, vocab_size, dtype)
    for depth, backward, stop in [(1, False, None), (5, True, None), (9, False, 0), (40, True, 1)]:
        options = {"depth": depth, "backward": backward, "stop_token": stop}
        result = kernels.suffix_array(tokens, vocab_size, **options, backend=gpus)
        expected = kernels.suffix_array(tokens, vocab_size, **options, threads=2)
        for a, b in zip(result, expected, strict=True):
            assert a.dtype == b.dtype
            assert np.array_equal(a, b)
    for max_context in (0, 1, 5):
        assert_same_ngrams(gpus, tokens, vocab_size, spans, max_context, rng)
    assert gpus.devices[0].peak_bytes <= gpus.devices[0].memory_limit


def assert_same_ngrams(gpus, tokens, vocab_size, spans, max_context, rng):
    n, n_clusters = len(spans), 5
    documents = Documents(
        spans.ends,
        folds=rng.integers(0, 4, n).astype(np.uint8),
        n_folds=4,
        clusters=rng.integers(0, n_clusters, n).astype(np.uint32),
        n_clusters=n_clusters,
    )
    for across in (False, True):
        arguments = {"max_context": max_context, "documents": documents, "across": across}
        result = kernels.count_ngrams(tokens, vocab_size, **arguments, backend=gpus)
        expected = kernels.count_ngrams(tokens, vocab_size, **arguments, threads=2)
        assert np.array_equal(result.losses, expected.losses)
        assert np.array_equal(result.group_targets, expected.group_targets)
        for a, b in zip(
            (result.whole, *result.halves, *result.quarters),
            (expected.whole, *expected.halves, *expected.quarters),
            strict=True,
        ):
            assert a.targets == b.targets
            for mine, theirs in zip(
                (*a.ngrams, *a.contexts), (*b.ngrams, *b.contexts), strict=True
            ):
                assert np.array_equal(mine, theirs)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_few_tokens_and_many_clusters(data):
    # More clusters than a block of threads can share sums of.
    vocab_size = data.draw(st.integers(1, 4))
    tokens = np.array(data.draw(st.lists(st.integers(0, vocab_size - 1), min_size=1, max_size=40)))
    tokens = tokens.astype(np.uint16)
    n_clusters = data.draw(st.sampled_from([1, 5000]))
    clusters = np.array(data.draw(st.lists(st.integers(0, n_clusters - 1), min_size=len(tokens),
                                           max_size=len(tokens))), np.uint32)  # fmt: skip
    documents = Documents(
        np.arange(1, len(tokens) + 1),
        folds=(clusters % 4).astype(np.uint8),
        n_folds=4,
        clusters=clusters,
        n_clusters=n_clusters,
    )
    arguments = {"max_context": data.draw(st.integers(0, 3)), "documents": documents}
    result = kernels.count_ngrams(tokens, vocab_size, **arguments, backend=emulated())
    expected = kernels.count_ngrams(tokens, vocab_size, **arguments)
    assert np.array_equal(result.losses, expected.losses)
    for a, b in zip(result.whole.ngrams, expected.whole.ngrams, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("kept", [None, 150], ids=["whole vocabulary", "vocab mask"])
def test_singular_triplets_equal_those_of_the_host(device, kept):
    tokens, spans = draw_corpus(np.random.default_rng(5), 200_000, 400, np.uint16)
    mask = None if kept is None else np.arange(400) < kept
    (there,) = kernels.count_pairs(tokens, 400, spans, [2], backend=device())
    (here,) = kernels.count_pairs(tokens, 400, spans, [2])
    ours = PairStatistics(there, across=True, vocab_mask=mask)
    theirs = PairStatistics(here, across=True, vocab_mask=mask)
    for operator, reference_operator in (
        (ours.covariance(), theirs.covariance()),
        (ours.half_difference(), theirs.half_difference()),
    ):
        assert not isinstance(operator.backend(), HostBackend)
        result = leading_singular_triplets(operator, 4, tolerance=1e-9, verified=True)
        expected = leading_singular_triplets(reference_operator, 4, tolerance=1e-9)
        assert result.values == pytest.approx(expected.values, rel=1e-6)
        assert result.residual < 1e-8 * result.values[0]
        for mine, yours in ((result.left, expected.left), (result.right, expected.right)):
            assert np.abs(np.sum(mine * yours, axis=0)) == pytest.approx(np.ones(4), abs=1e-5)
    assert ours.frobenius() == pytest.approx(theirs.frobenius(), rel=1e-9)


@pytest.mark.parametrize("boundary", ["stream", "document"])
@pytest.mark.parametrize(("vocab_size", "kept"), [(120, None), (300, None), (300, 150)])
def test_matrix_free_products_equal_those_of_the_cpu(device, boundary, vocab_size, kept):
    rng = np.random.default_rng(9)
    tokens, spans = draw_corpus(rng, 60_000, vocab_size, np.uint16, mean_length=200)
    corpus = ngramstat.Corpus.from_arrays(tokens, vocab_size=vocab_size, document_ends=spans.ends)
    options = CorrelationOptions(lags=(2, 50), replicates=5, sequential=False, matrix_free=True,
                                 boundary=boundary, vocab_top=kept)  # fmt: skip
    ours = measure_lags(
        SamplingDesign(corpus, options), options, options.lags, workspace=Workspace(gpus=device())
    )
    theirs = measure_lags(
        SamplingDesign(corpus, options), options, options.lags, workspace=Workspace(gpus=CPU)
    )
    for a, b in zip(ours, theirs, strict=True):
        assert (a.lag, a.pairs) == (b.lag, b.pairs)
        assert a.singular_values == pytest.approx(b.singular_values, rel=1e-6)
        assert a.noise_floor == pytest.approx(b.noise_floor, rel=2e-3)
        assert a.residual < 1e-5 * a.norm


@pytest.mark.parametrize("memory", [1 << 28, 1_300_000], ids=["whole", "pieces"])
def test_tokens_of_documents_equal_those_of_the_cpu(memory):
    # More documents than a block of threads adds up for one token.
    rng = np.random.default_rng(8)
    tokens, spans = draw_corpus(rng, 40_000, 90, np.uint16, mean_length=3)
    assert len(spans) > 9000
    (gpu,) = emulated(memory).devices
    there = kernels.count_document_tokens_on(gpu, tokens, 90, spans)
    here = kernels.count_document_tokens(tokens, 90, spans)
    for ours, theirs in zip(there.to_coo(), here.to_coo(), strict=True):
        assert np.array_equal(ours, theirs)
    assert gpu.peak_bytes <= gpu.memory_limit
    (gpu,) = emulated().devices
    there = kernels.count_document_tokens_on(gpu, tokens, 90, spans)
    for numbers in (rng.integers(-9, 10, 90 * 8 + len(spans)), rng.normal(size=720 + len(spans))):
        x = numbers[:720].reshape(90, 8).astype(np.float64)
        weights = numbers[720:].astype(np.float64)
        rows = np.zeros((len(spans), 8))
        rows[:] = weights[:, None]
        # Of integers to the last bit.
        exact = numbers.dtype == np.int64
        for ours, theirs in (
            (there.multiply_gram(x, weights, 1), here.multiply_gram(x, weights, 1)),
            (there.multiply_transposed(rows, 1.0, 0.0, 1),
             here.multiply_transposed(rows, 1.0, 0.0, 1)),
        ):  # fmt: skip
            if exact:
                assert np.array_equal(ours, theirs)
            assert ours == pytest.approx(theirs, rel=1e-10, abs=1e-8)


def test_singular_values_of_a_matrix_of_low_rank(device):
    # Only three of 300 vocabulary items are frequent: the Krylov space runs out of directions.
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 3, 50_000).astype(np.uint16)
    tokens[: 2 * 300] = np.arange(600) % 300
    n = len(tokens)
    spans = Documents.single(n)
    (there,) = kernels.count_pairs(tokens, 300, spans, [1], backend=device())
    (here,) = kernels.count_pairs(tokens, 300, spans, [1])
    result = leading_singular_triplets(PairStatistics(there, across=True).covariance(), 8)
    expected = leading_singular_triplets(PairStatistics(here, across=True).covariance(), 8)
    assert result.values == pytest.approx(expected.values, rel=1e-6, abs=1e-12)
    assert result.left.T @ result.left == pytest.approx(np.eye(8), abs=1e-9)


def two_devices() -> Gpus:
    return Gpus(tuple(_core.Gpu.emulated(1 << 28) for _ in range(2)))


@pytest.mark.parametrize("device", [*DEVICES, pytest.param(two_devices, id="two")])
@pytest.mark.parametrize("sequential", [True, False])
def test_measured_lags_equal_those_of_the_cpu(device, sequential):
    rng = np.random.default_rng(2)
    tokens, spans = draw_corpus(rng, 60_000, 250, np.uint16, mean_length=200)
    corpus = ngramstat.Corpus.from_arrays(tokens, vocab_size=250, document_ends=spans.ends)
    # More lags than are counted in one pass: with two devices, one counts while the results of the
    # other are freed.
    lags = (*range(1, 34), 40, 50)
    options = CorrelationOptions(lags=lags, replicates=20, sequential=sequential)
    ours = measure_lags(
        SamplingDesign(corpus, options), options, options.lags, workspace=Workspace(gpus=device())
    )
    theirs = measure_lags(
        SamplingDesign(corpus, options), options, options.lags, workspace=Workspace(gpus=CPU)
    )
    searched_once = ("norm_sequential", "composition_norm")
    for a, b in zip(ours, theirs, strict=True):
        assert (a.lag, a.pairs) == (b.lag, b.pairs)
        for name in ("norm", "frobenius", "noise_floor", "norm_sequential", "permutation_floor",
                     "composition_norm", "singular_values", "replicates", "position_norm",
                     "top_document_shares"):  # fmt: skip
            mine, yours = getattr(a, name), getattr(b, name)
            # Found by searches in other precisions, and as exact as these.
            rel = 2e-3 if "floor" in name else 1e-4 if name in searched_once else 1e-6
            assert mine == pytest.approx(yours, rel=rel, nan_ok=True), name
        for mine, yours in (
            (a.cross_fit, b.cross_fit),
            (a.cross_fit_sequential, b.cross_fit_sequential),
        ):
            # Vectors of the halves are estimates, which both search for to a small angle: what that
            # changes is a small part of the errors.
            for name in ("crossfit", "debiased"):
                error = getattr(yours, f"{name}_error")
                if np.isnan(getattr(mine, f"{name}_error")) != np.isnan(error):
                    # Missing where leaving out a fold changes the sign: in noise only.
                    assert abs(yours.crossfit) < yours.crossfit_error
                elif np.isfinite(error):
                    assert getattr(mine, name) == pytest.approx(
                        getattr(yours, name), abs=0.02 * error
                    )


def test_sums_over_pairs_of_a_run_are_not_left_to_the_cpu(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("a pass over all pairs on the CPU")

    for name in ("sum_pairs_by_document", "multiply_pairs_by_class", "bilinear_forms_by_class",
                 "count_pairs_by_class"):  # fmt: skip
        monkeypatch.setattr(_core, name, refuse)
    tokens, spans = draw_corpus(np.random.default_rng(2), 20_000, 50, np.uint16, mean_length=100)
    corpus = ngramstat.Corpus.from_arrays(tokens, vocab_size=50, document_ends=spans.ends)
    options = CorrelationOptions(lags=(3,), replicates=5)
    design = SamplingDesign(corpus, options)
    (result,) = measure_lags(design, options, options.lags, workspace=Workspace(gpus=emulated()))
    assert np.isfinite([result.cross_fit.crossfit, result.position_norm]).all()
    with pytest.raises(AssertionError, match="on the CPU"):
        list(measure_lags(design, options, options.lags, workspace=Workspace(gpus=CPU)))


def test_tokens_on_the_device_are_not_copied():
    # NumPy supports DLPack, too: its arrays count as tensors on the emulated device.
    tokens, spans = draw_corpus(np.random.default_rng(1), 5000, 50, np.uint32)

    class Tensor:
        def __dlpack__(self):
            return tokens.__dlpack__()

        def __dlpack_device__(self):
            return tokens.__dlpack_device__()

    gpus = emulated()
    for given_tokens in (Tensor(), tokens):
        (result,) = kernels.count_pairs(given_tokens, 50, spans, [3], backend=gpus)
        (expected,) = kernels.count_pairs(tokens, 50, spans, [3])
        assert_same_counts(result.within, expected.within)
    ours = kernels.suffix_array(Tensor(), 50, depth=4, backend=gpus)
    theirs = kernels.suffix_array(tokens, 50, depth=4)
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_unsupported_tensors_are_refused_with_the_reason():
    for tensor, message in [
        (np.zeros(3), "uint16, uint32 or int32"),
        (np.zeros(3, np.int64), "int64; convert it on the GPU"),
        (np.zeros((2, 2), np.uint32), "contiguous one-dimensional"),
        (np.zeros(8, np.uint32)[::2], "contiguous one-dimensional"),
    ]:
        with pytest.raises(TypeError, match=message):
            _core.DeviceTokens(tensor)
    with pytest.raises(TypeError, match="tensor on the GPU"):
        _core.DeviceTokens([1, 2, 3])


@pytest.mark.gpu
def test_torch_tensors_on_a_gpu_are_not_copied():
    gpus = cuda()
    torch = pytest.importorskip("torch")
    tokens, spans = draw_corpus(np.random.default_rng(1), 1_000_000, 500, np.uint32)
    there = torch.from_numpy(tokens.view(np.int32)).cuda()
    before = gpus.devices[0].used_bytes
    tensor = _core.DeviceTokens(there)
    assert gpus.devices[0].used_bytes == before
    assert len(tensor) == len(tokens)
    (result,) = kernels.count_pairs(there, 500, spans, [3], backend=gpus)
    (expected,) = kernels.count_pairs(tokens, 500, spans, [3])
    assert_same_counts(result.within, expected.within)
    there[777] = -1
    with pytest.raises(IndexError, match="at position 777"):
        list(kernels.count_pairs(there, 500, spans, [3], backend=gpus))


def test_too_little_memory_is_an_error_that_names_the_bytes():
    tokens, spans = draw_corpus(np.random.default_rng(1), 50_000, 3000, np.uint16)
    with pytest.raises(
        _core.DeviceMemoryError, match=r"not enough GPU memory for \d+ bytes: \d+ of the \d+"
    ):
        list(kernels.count_pairs(tokens, 3000, spans, [1], backend=emulated(120_000)))
    corpus = ngramstat.Corpus.from_arrays(tokens, vocab_size=3000, document_ends=spans.ends)
    with pytest.raises(NgramstatError, match="gpu_memory, or use backend='cpu'"):
        ngramstat.correlations(corpus, lags=[1], backend=emulated(120_000))


def test_unavailable_backends():
    with pytest.raises(InputError, match="backend 'tpu': expected auto, cpu, cuda"):
        open_gpus("tpu")
    assert not open_gpus("cpu")
    if not _core.cuda_devices():
        assert not open_gpus("auto")
        with pytest.raises(InputError, match=r"backend 'cuda': .*use backend='cpu'"):
            open_gpus("cuda")


def test_an_emulated_run_equals_the_cpu_run(tmp_path):
    tokens, spans = draw_corpus(np.random.default_rng(4), 120_000, 220, np.uint16, 300)
    corpus = ngramstat.Corpus.from_arrays(tokens, vocab_size=220, document_ends=spans.ends)
    arguments = {"lags": [1, 2, 4, 8], "max_context": 3, "learning_sizes": 2, "replicates": 20,
                 "predictor": "kneser-ney", "sequential": False}  # fmt: skip
    ours = ngramstat.measure(corpus, **arguments, backend=emulated())
    theirs = ngramstat.measure(corpus, **arguments, backend="cpu")
    assert ours.provenance["backend"] == "emulated"
    assert theirs.provenance["backend"] == "cpu"
    assert ours.provenance["gpus"] == ["emulated"]
    assert np.allclose(ours.correlations.norm, theirs.correlations.norm, rtol=1e-6)
    assert np.array_equal(ours.entropies.plug_in, theirs.entropies.plug_in)
