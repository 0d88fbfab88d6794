"""Pair counting and products of count matrices against the slow reference: equal with ==."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from ngramstat import kernels
from ngramstat.kernels import Documents


@st.composite
def corpora(draw):
    """(tokens, vocab_size, spans): small alphabets, so that pairs repeat."""
    vocab_size = draw(st.integers(1, 6))
    tokens = draw(st.lists(st.integers(0, vocab_size - 1), min_size=1, max_size=60))
    n = len(tokens)
    cuts = draw(st.sets(st.integers(1, n - 1), max_size=5)) if n > 1 else set()
    ends = np.array([*sorted(cuts), n], dtype=np.int64)
    separators = np.array(draw(st.lists(st.booleans(), min_size=len(ends), max_size=len(ends))))
    halves = draw(st.lists(st.integers(0, 1), min_size=len(ends), max_size=len(ends)))
    spans = Documents(ends, content_ends=ends - separators, folds=np.array(halves, dtype=np.uint8))
    return np.array(tokens), vocab_size, spans


def as_counters(matrix: kernels.CountMatrix) -> list[Counter[tuple[int, int]]]:
    rows, columns, counts = matrix.to_coo()
    assert counts.dtype == np.uint64
    return [
        Counter(
            {(int(a), int(b)): int(c) for a, b, c in zip(rows, columns, channel, strict=True) if c}
        )
        for channel in counts
    ]


@settings(max_examples=150, deadline=None)
@given(
    corpora(),
    st.sampled_from([np.uint16, np.uint32]),
    st.sampled_from([1, 2, 7]),
    st.sampled_from([None, 400, 60]),
    st.booleans(),
)
def test_pairs_equal_the_reference(corpus, dtype, threads, memory_limit, tables):
    tokens, vocab_size, spans = corpus
    tokens = tokens.astype(dtype)
    lags = [1, 2, 5, len(tokens), len(tokens) + 3]
    content = list(zip(spans.content_starts, spans.content_ends, strict=True))
    counted = kernels.count_pairs(
        tokens,
        vocab_size,
        spans,
        lags,
        threads=threads,
        memory_limit=memory_limit,
        tables=tables,
    )
    for lag, counts in zip(lags, counted, strict=True):
        assert counts.lag == lag
        within, across = reference.pair_counts(tokens, lag, content, spans.ends, spans.halves)
        assert as_counters(counts.within) == within
        assert as_counters(counts.across) == across


@pytest.mark.parametrize("tables", [True, False], ids=["tables", "rows"])
@pytest.mark.parametrize("vocab_size", [50, 3000, 100_000], ids=lambda v: f"V={v}")
def test_pairs_equal_numpy_on_a_size_that_does_not_divide(vocab_size, tables, threads):
    # Row by row, V=50 is counted in dense counters, V=100000 by sorting, V=3000 both ways; V=100000
    # has no tables.
    rng = np.random.default_rng(1)
    tokens = (vocab_size * rng.random(100_003) ** 3).astype(np.uint32)
    n = len(tokens)
    ends = np.array([40_000, n], dtype=np.int64)
    spans = Documents(ends, folds=np.array([0, 1], dtype=np.uint8))
    for counts in kernels.count_pairs(
        tokens, vocab_size, spans, [1, 97], threads=threads, tables=tables
    ):
        total = Counter()
        for matrix in (counts.within, counts.across):
            for channel in as_counters(matrix):
                total += channel
        keys, numbers = np.unique(
            tokens[: -counts.lag].astype(np.int64) * vocab_size + tokens[counts.lag :],
            return_counts=True,
        )
        assert total == {
            (int(k) // vocab_size, int(k) % vocab_size): int(c)
            for k, c in zip(keys, numbers, strict=True)
        }


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
@pytest.mark.parametrize("vocab_size", [3, 300, 8192, 16_384], ids=lambda v: f"V={v}")
def test_tables_equal_rows(vocab_size, dtype, threads):
    """Counters that often pass 255, short documents, more lags than fit an entry, row ranges."""
    rng = np.random.default_rng(vocab_size)
    tokens = np.minimum(rng.zipf(1.5, 300_000) - 1, vocab_size - 1).astype(dtype)
    ends = np.append(np.unique(rng.integers(1, 300_000, 200)), 300_000)
    halves = rng.integers(0, 2, len(ends)).astype(np.uint8)
    spans = Documents(ends, content_ends=ends - 1, folds=halves)
    lags = [900, 1, 2, 3, 5, 8, 5000, 13, 21, 34, 55]
    memory_limit = 6_000_000 if threads == 2 else None
    both = (
        kernels.count_pairs(
            tokens, vocab_size, spans, lags, threads=n, memory_limit=memory_limit, tables=tables
        )
        for n, tables in ((threads, True), (1, False))
    )
    largest = 0
    for counted, expected in zip(*both, strict=True):
        assert counted.lag == expected.lag
        for ours, theirs in (
            (counted.within, expected.within),
            (counted.across, expected.across),
        ):
            for mine, other in zip(ours.to_coo(), theirs.to_coo(), strict=True):
                assert np.array_equal(mine, other)
            largest = max(largest, int(ours.to_coo()[2].max(initial=0)))
    assert largest > 10_000


def random_counts(rows: int, columns: int, seed: int = 0) -> kernels.CountMatrix:
    """Tokens by document: the only count matrix that need not be square."""
    rng = np.random.default_rng(seed)
    # Some documents have no content but a separator.
    ends = np.cumsum(rng.integers(0, 60, rows) + 1)
    tokens = rng.integers(0, columns, int(ends[-1])).astype(np.uint16)
    spans = Documents(ends, content_ends=ends - 1)
    return kernels.count_document_tokens(tokens, columns, spans, threads=3)


def dense(matrix: kernels.CountMatrix) -> np.ndarray:
    out = np.zeros((2, *matrix.shape))
    rows, columns, counts = matrix.to_coo()
    np.add.at(out, (slice(None), rows, columns), counts.astype(np.float64))
    return out


@pytest.mark.parametrize("simd", ["scalar", "avx2", "avx512"])
def test_products_are_bit_identical_over_instruction_sets_and_threads(monkeypatch, simd):
    matrix = random_counts(301, 97)
    x = np.random.default_rng(2).standard_normal((97, kernels.BLOCK_SIZE))
    y = np.random.default_rng(3).standard_normal((301, kernels.BLOCK_SIZE))
    monkeypatch.setenv("NGRAMSTAT_SIMD", "scalar")
    expected = matrix.multiply(x, 0.3, 0.7, 1), matrix.multiply_transposed(y, 0.3, 0.7, 1)
    np.testing.assert_allclose(expected[0], 0.3 * dense(matrix)[0] @ x, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(expected[1], 0.3 * dense(matrix)[0].T @ y, rtol=1e-12, atol=1e-12)
    monkeypatch.setenv("NGRAMSTAT_SIMD", simd)
    try:
        assert kernels.simd_level() == simd
    except ValueError as error:
        pytest.skip(str(error))
    for threads in (1, 2, 7):
        assert np.array_equal(matrix.multiply(x, 0.3, 0.7, threads), expected[0])
        assert np.array_equal(matrix.multiply_transposed(y, 0.3, 0.7, threads), expected[1])
        # Rows of weight zero are skipped.
        weights = np.where(np.arange(301) % 5 < 2, 0.0, np.linspace(-1, 2, 301))
        per_row = matrix.multiply(x, 1.0, 0.0, threads) * weights[:, None]
        gram = matrix.multiply_gram(x, weights, threads)
        assert np.array_equal(gram, matrix.multiply_transposed(per_row, 1.0, 0.0, threads))


@pytest.mark.parametrize("simd", ["scalar", "avx2", "avx512"])
def test_products_in_single_precision(monkeypatch, simd):
    """Against dense matrices, and bit for bit over instruction sets and threads."""
    rng = np.random.default_rng(4)
    n, v = 40_000, 97
    tokens = rng.integers(0, v, n).astype(np.uint16) // rng.integers(1, 9, n).astype(np.uint16)
    ends = np.arange(500, n + 1, 500)
    halves = rng.integers(0, 2, len(ends)).astype(np.uint8)
    documents = Documents(ends, folds=halves)
    (counts,) = kernels.count_pairs(tokens, v, documents, [2])
    pairs, of_documents = counts.within, kernels.count_document_tokens(tokens, v, documents)
    x = rng.standard_normal((3, v, kernels.SINGLE_BLOCK_SIZE)).astype(np.float32)
    weights = rng.standard_normal((3, 2, kernels.SINGLE_BLOCK_SIZE)).astype(np.float32)
    rates = np.where(np.arange(len(ends)) % 7 < 2, 0.0, rng.random(len(ends)))
    channels, (c, _) = dense(pairs), dense(of_documents)
    gram = np.stack([c.T @ (np.where(halves == h, rates, 0)[:, None] * c) for h in (0, 1)])

    def results(threads):
        return (
            pairs.multiply_single(x, weights, threads),
            pairs.multiply_transposed_single(x, weights, threads),
            of_documents.multiply_gram_single(x, weights, rates, halves, threads),
        )

    monkeypatch.setenv("NGRAMSTAT_SIMD", "scalar")
    expected = results(1)
    matrices = channels, channels.transpose(0, 2, 1), gram
    for result, of_channels in zip(expected, matrices, strict=True):
        dense_result = np.einsum("hij,kjc,khc->kic", of_channels, x, weights)
        scale = np.einsum("hij,kjc,khc->kic", of_channels, np.abs(x), np.abs(weights))
        assert np.all(np.abs(result - dense_result) <= 3e-6 * scale)
    monkeypatch.setenv("NGRAMSTAT_SIMD", simd)
    try:
        assert kernels.simd_level() == simd
    except ValueError as error:
        pytest.skip(str(error))
    for threads in (1, 2, 7):
        for result, same in zip(results(threads), expected, strict=True):
            assert np.array_equal(result, same)
    with pytest.raises(ValueError, match=r"\(k, rows, 16\)"):
        pairs.multiply_single(x[:2], weights, 1)
    with pytest.raises(ValueError, match="channels"):
        of_documents.multiply_gram_single(x, weights, rates, halves + np.uint8(1), 1)


@pytest.mark.parametrize("simd", ["scalar", "avx2", "avx512"])
def test_each_row_times_the_block_of_its_own(monkeypatch, threads, simd):
    matrix = random_counts(301, 97)
    rng = np.random.default_rng(8)
    x = rng.standard_normal((3, 97, kernels.SINGLE_BLOCK_SIZE)).astype(np.float32)
    blocks = rng.integers(0, 3, 301).astype(np.uint8)
    monkeypatch.setenv("NGRAMSTAT_SIMD", simd)
    try:
        kernels.simd_level()
    except ValueError as error:
        pytest.skip(str(error))
    first_channel = np.zeros((3, 2, kernels.SINGLE_BLOCK_SIZE), np.float32)
    first_channel[:, 0] = 1.0
    whole = matrix.multiply_single(x, first_channel, 1)
    result = matrix.multiply_rows_single(x, blocks, threads)
    assert np.array_equal(result, whole[blocks, np.arange(301)])
    with pytest.raises(ValueError, match="below the number of blocks"):
        matrix.multiply_rows_single(x[:2], blocks, threads)
    with pytest.raises(ValueError, match="below the number of blocks"):
        matrix.multiply_rows_single(x, blocks[:-1], threads)
    with pytest.raises(ValueError, match="n_cols"):
        matrix.multiply_rows_single(np.ascontiguousarray(x[:, :-1]), blocks, threads)


def test_products_of_the_rows_of_each_class(threads):
    matrix = random_counts(301, 97)
    rng = np.random.default_rng(7)
    classes = rng.integers(0, 5, 301).astype(np.uint8)
    x = rng.integers(-4, 5, (301, 4)).astype(float)
    result = matrix.multiply_transposed_by_class(x, classes, 6, threads)
    assert result.shape == (6, 97, 4)
    for k in range(6):
        assert np.array_equal(result[k], dense(matrix)[0][classes == k].T @ x[classes == k])


def test_an_unknown_instruction_set_is_refused_by_the_kernels(monkeypatch):
    monkeypatch.setenv("NGRAMSTAT_SIMD", "mmx")
    with pytest.raises(ValueError, match="expected scalar, avx2 or avx512"):
        random_counts(10, 5).multiply(np.zeros((5, kernels.BLOCK_SIZE)), 1.0, 0.0, 1)


def test_inner_product_and_sums_of_both_channels():
    rng = np.random.default_rng(5)
    tokens = rng.integers(0, 7, 500).astype(np.uint16)
    ends = np.array([150, 320, 500])
    spans = Documents(ends, folds=np.array([0, 1, 0], np.uint8))
    (counts,) = kernels.count_pairs(tokens, 7, spans, [40])
    a, b = dense(counts.within), dense(counts.across)
    for matrix, full in ((counts.within, a), (counts.across, b)):
        for threads in (1, 2, 7):
            assert np.array_equal(matrix.row_sums(threads), full.sum(axis=2))
            assert np.array_equal(matrix.column_sums(threads), full.sum(axis=1))
    for matrix, full in ((counts.within, a), (counts.across, b)):
        squares = np.sum((0.5 * full[0] + 2 * full[1]) ** 2)
        itself = matrix.inner_product(matrix, (0.5, 2.0), (0.5, 2.0), 2)
        assert itself == pytest.approx(squares, rel=1e-14)
    result = counts.within.inner_product(counts.across, (0.5, 2.0), (1.0, 3.0), 2)
    assert result == pytest.approx(np.sum((0.5 * a[0] + 2 * a[1]) * (b[0] + 3 * b[1])), rel=1e-14)


def test_inner_product_of_rows_of_unequal_lengths():
    """Each row is looked up in the longer one, in whatever order the matrices come."""
    rng = np.random.default_rng(9)
    few, many = np.zeros((2, 40, 5000), np.uint32)
    for matrix, mean in ((few, 4), (many, 1500)):
        for row in matrix:
            row[rng.choice(5000, min(rng.poisson(mean), 4999), replace=False)] = rng.integers(1, 9)
    few[3], many[3, :-1], many[4] = 0, 0, 0
    few[5, -1] = many[5, -1] = 7

    def counts(full):
        rows, columns = np.nonzero(full)
        starts = np.searchsorted(rows, np.arange(41))
        numbers = full[rows, columns]
        empty = np.zeros(0, np.uint32)
        return kernels.CountMatrix.from_rows(
            40, 5000, starts, columns.astype(np.uint32), numbers, empty
        )

    a, b = counts(few), counts(many)
    expected = float(np.sum(few.astype(np.int64) * many))
    assert a.inner_product(b, (1.0, 0.0), (1.0, 0.0), 2) == expected
    assert b.inner_product(a, (1.0, 0.0), (1.0, 0.0), 2) == expected


def test_document_sums(threads):
    rng = np.random.default_rng(6)
    tokens = rng.integers(0, 9, 10_003).astype(np.uint16)
    ends = np.sort(rng.choice(np.arange(1, 10_003), 40, replace=False))
    ends = np.concatenate([ends, [10_003]])
    starts = np.concatenate([[0], ends[:-1]])
    u, v = rng.standard_normal((2, 9))
    for across, limits in ((False, ends), (True, np.full(41, 10_003))):
        pairs, product, left, right = kernels.sum_pairs_by_document(
            kernels.PairsAtLag(tokens, 9, 13), u, v, Documents(ends), across=across, threads=threads
        )
        for d in range(41):
            i = np.arange(starts[d], min(ends[d], limits[d] - 13))
            assert pairs[d] == len(i)
            assert product[d] == pytest.approx(np.sum(u[tokens[i]] * v[tokens[i + 13]]), abs=1e-9)
            assert left[d] == pytest.approx(np.sum(u[tokens[i]]), abs=1e-9)
            assert right[d] == pytest.approx(np.sum(v[tokens[i + 13]]), abs=1e-9)


@pytest.mark.parametrize("tokens", [[3], [0, 1, 3, 0]])
def test_a_token_outside_the_vocabulary_names_its_position(tokens):
    array = np.array(tokens, dtype=np.uint16)
    spans = Documents.single(len(array))
    message = f"token 3 at position {tokens.index(3)} is not below vocab_size 3"
    with pytest.raises(IndexError, match=message):
        list(kernels.count_pairs(array, 3, spans, [1]))
    with pytest.raises(IndexError, match=message):
        kernels.token_counts(array, 3)
    with pytest.raises(IndexError, match=message):
        kernels.suffix_array(array, 3, depth=2)
    with pytest.raises(IndexError, match=message):
        kernels.count_ngrams(array, 3, max_context=0)
    with pytest.raises(IndexError, match=message):
        kernels.count_document_tokens(array, 3, spans)


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (np.zeros(4, np.int64), "tokens: expected dtype uint16 or uint32"),
        (np.zeros(4, ">u2"), "native byte order, got >u2"),
        (np.zeros((2, 2), np.uint16), "one-dimensional"),
        (np.zeros(8, np.uint16)[::2], "contiguous"),
        ([0, 1], "expected a NumPy array, got list"),
    ],
    ids=["int64", "big-endian", "2-d", "strided", "list"],
)
def test_arrays_are_never_converted_silently(tokens, words):
    with pytest.raises(TypeError, match=words):
        kernels.token_counts(tokens, 5)


def test_a_read_only_memory_map_is_counted_in_place(tmp_path):
    np.arange(100, dtype=np.uint16).tofile(tmp_path / "t.bin")
    tokens = np.memmap(tmp_path / "t.bin", dtype=np.uint16, mode="r")
    assert kernels.token_counts(tokens, 100).tolist() == [1] * 100


@pytest.mark.parametrize(
    ("spans", "words"),
    [
        (([3, 3, 5], [0, 3, 3], [3, 3, 5], [0, 0, 0]), "strictly increasing"),
        (([3, 4], [0, 3], [3, 4], [0, 0]), "must end where the stream ends"),
        (([3, 5], [0, 3], [3, 6], [0, 0]), "content must lie inside"),
        (([3, 5], [0, 2], [3, 5], [0, 0]), "content must lie inside"),
        (([3, 5], [0, 3], [3, 5], [0, 2]), "fold must be below n_folds"),
    ],
)
def test_documents_that_do_not_partition_the_stream_are_refused(spans, words):
    ends, starts, stops, halves = (np.array(x) for x in spans)

    def count() -> None:
        documents = Documents(
            ends, content_starts=starts, content_ends=stops, folds=halves.astype(np.uint8)
        )
        list(kernels.count_pairs(np.zeros(5, np.uint16), 2, documents, [1]))

    with pytest.raises(ValueError, match=words):
        count()


@pytest.mark.nightly
def test_positions_beyond_2_to_the_32(tmp_path):
    """A sparse file of 2^32 + 1000 zeros with a few ones near both ends, read in place.

    Kernels that index positions are run past 2^32 in tests/cpp/test_large.cpp: here the zeros alone
    would be an index of 50 GB.
    """
    n = (1 << 32) + 1000
    path = tmp_path / "sparse.bin"
    with open(path, "wb") as file:
        file.truncate(2 * n)
    writable = np.memmap(path, dtype=np.uint16, mode="r+")
    ones = [5, 7, n - 12, n - 9]
    writable[ones] = 1
    writable.flush()
    tokens = np.memmap(path, dtype=np.uint16, mode="r")
    assert kernels.token_counts(tokens, 2, threads=2).tolist() == [n - 4, 4]
    indicator = np.array([0.0, 1.0])
    documents = Documents(np.array([n - 500, n]))
    for lag, expected in ((2, [1, 0]), (3, [0, 1])):
        pairs, both, left, right = kernels.sum_pairs_by_document(
            kernels.PairsAtLag(tokens, 2, lag),
            indicator,
            indicator,
            documents,
            across=True,
            threads=2,
        )
        assert pairs.tolist() == [n - 500, 500 - lag]
        assert both.tolist() == expected
        assert left.tolist() == right.tolist() == [2, 2]


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_tokens_of_short_and_long_documents(dtype):
    """Short documents are sorted, long ones are counted with marks: both as `bincount` counts."""
    rng = np.random.default_rng(6)
    lengths = rng.choice([0, 1, 20, 45, 46, 47, 300, 5000], 60) + 1  # 3000 / 64 = 46
    ends = np.cumsum(lengths)
    vocab_size = 3000
    tokens = (rng.integers(0, vocab_size, ends[-1]) // rng.integers(1, 200, ends[-1])).astype(dtype)
    documents = Documents(ends, content_ends=ends - 1)
    expected = np.array(
        [
            np.bincount(tokens[end - length : end - 1], minlength=vocab_size)
            for end, length in zip(ends, lengths, strict=True)
        ]
    )
    for threads in (1, 3):
        counts = kernels.count_document_tokens(tokens, vocab_size, documents, threads=threads)
        np.testing.assert_array_equal(dense(counts)[0], expected)
        assert not dense(counts)[1].any()
    tokens[ends[20] - 3] = vocab_size
    with pytest.raises(IndexError, match=f"{ends[20] - 3}"):
        kernels.count_document_tokens(tokens, vocab_size, documents)


def shuffled_by_hand(tokens: np.ndarray, documents: Documents, key: int) -> np.ndarray:
    """Fisher and Yates with the words of SplitMix64, in Python's integers."""
    mask = (1 << 64) - 1

    def word(n: int) -> int:
        z = (key + (n + 1) * 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    out = tokens.copy()
    bounds = zip(documents.content_starts.tolist(), documents.content_ends.tolist(), strict=True)
    for first, last in bounds:
        for i in range(last - 1, first, -1):
            j = first + (((i - first + 1) * word(i)) >> 64)
            out[i], out[j] = out[j], out[i]
    return out


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_shuffled_documents(dtype):
    ends = np.cumsum([1, 2, 50, 1, 400, 3])
    starts = np.concatenate([[0], ends[:-1]])
    documents = Documents(ends, content_starts=starts + 1, content_ends=ends)
    tokens = np.arange(ends[-1]).astype(dtype)
    expected = shuffled_by_hand(tokens, documents, 2**64 - 5)
    for threads in (1, 4):
        out = np.empty_like(tokens)
        kernels.shuffle_documents(tokens, documents, 2**64 - 5, out, threads=threads)
        np.testing.assert_array_equal(out, expected)
    assert not np.array_equal(expected, tokens)
    with pytest.raises(ValueError, match="out must have"):
        kernels.shuffle_documents(tokens, documents, 1, out[1:].copy())


def test_every_order_of_a_document_is_as_likely():
    ends = np.arange(1, 6001) * 3
    tokens = np.tile(np.array([0, 1, 2], np.uint16), 6000)
    out = np.empty_like(tokens)
    kernels.shuffle_documents(tokens, Documents(ends), 7, out)
    orders = np.bincount(out.reshape(-1, 3) @ np.array([9, 3, 1]), minlength=27)
    found = orders[orders > 0]
    assert len(found) == 6
    # Chi-squared with five degrees of freedom: above 25.7 once in ten thousand.
    assert ((found - 1000.0) ** 2 / 1000).sum() < 25.7
