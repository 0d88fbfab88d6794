"""Counts and sums of the parts of a stream, which add up to those of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from ngramstat import kernels
from ngramstat.kernels import BLOCK_SIZE, CountMatrix, Documents, PairLabel, PairsAtLag

V = 11
FOLDS = 4


def parts_of(ends: np.ndarray, tokens: np.ndarray, cut: int, folds: np.ndarray):
    """The whole stream, and its parts before and after document `cut`, with their documents."""
    n = int(ends[cut - 1])
    settings = {"n_folds": FOLDS}
    whole = Documents(ends, content_ends=ends - 1, folds=folds, **settings)
    first = Documents(ends[:cut], content_ends=ends[:cut] - 1, folds=folds[:cut], **settings)
    rest = ends[cut:] - n
    last = Documents(rest, content_ends=rest - 1, folds=folds[cut:], **settings)
    return (tokens, whole), (tokens[:n], first), (tokens[n:], last)


@pytest.fixture(params=[np.uint16, np.uint32], ids=["uint16", "uint32"])
def parts(request):
    rng = np.random.default_rng(5)
    ends = np.cumsum([4, 30, 2, 9, 50, 3, 12])
    tokens = rng.integers(0, V, int(ends[-1])).astype(request.param)
    folds = np.array([0, 3, 1, 2, 0, 3, 1], np.uint8)
    return parts_of(ends, tokens, 3, folds)


def pairs_at(tokens, lag, following=None) -> PairsAtLag:
    return PairsAtLag(tokens, V, lag, following=following)


def assert_same(a: CountMatrix, b: CountMatrix) -> None:
    for x, y in zip(a.to_coo(), b.to_coo(), strict=True):
        np.testing.assert_array_equal(x, y)


# Shorter than the parts, longer than the second one's text after it, longer than the first part.
@pytest.mark.parametrize("lag", [1, 5, 40, 80])
def test_pairs_of_parts_add_up(parts, lag):
    (tokens, whole), (first, first_documents), (last, last_documents) = parts
    for tables in (True, False):
        (expected,) = kernels.count_pairs(tokens, V, whole, [lag], tables=tables)
        found = [
            next(kernels.count_pairs(part, V, documents, [lag], following=after, tables=tables))
            for part, documents, after in (
                (first, first_documents, last),
                (last, last_documents, last[:0]),
            )
        ]
        assert_same(kernels.sum_counts([c.within for c in found]), expected.within)
        assert_same(kernels.sum_counts([c.across for c in found], threads=3), expected.across)


@pytest.mark.parametrize("lag", [1, 5, 40, 80])
@pytest.mark.parametrize("across", [True, False])
def test_sums_of_parts_add_up(parts, lag, across):
    """By document, by class and as products: whatever needs no table of pairs."""
    (tokens, whole), (first, first_documents), (last, last_documents) = parts
    rng = np.random.default_rng(1)
    u, v = rng.standard_normal((2, 2, V))
    sets = rng.standard_normal((2, 2, 2, V))
    blocks = (
        rng.standard_normal((2, 2, V, BLOCK_SIZE)).astype(np.float32),
        rng.integers(-32768, 32768, (2, 2, V, BLOCK_SIZE), np.int16),
    )
    x, weights = rng.standard_normal((V, BLOCK_SIZE)), rng.standard_normal(FOLDS)
    by = {"across": across, "by": PairLabel.fold}
    of_parts = (
        (pairs_at(first, lag, last), first_documents),
        (pairs_at(last, lag, last[:0]), last_documents),
    )

    def close(function, *arguments, join):
        expected = function(pairs_at(tokens, lag), *arguments, whole, **by)
        parts = [function(pairs, *arguments, documents, **by) for pairs, documents in of_parts]
        if not isinstance(expected, tuple):
            expected, parts = (expected,), [(part,) for part in parts]
        for wanted, *got in zip(expected, *parts, strict=True):
            np.testing.assert_allclose(join(got), wanted, rtol=1e-12, atol=1e-12)

    def by_document(pairs, *arguments, by, across):
        return kernels.sum_pairs_by_document(pairs, *arguments, across=across)

    close(by_document, u, v, join=lambda got: np.concatenate(got, axis=-1))
    close(by_document, u[0], v[0], join=lambda got: np.concatenate(got, axis=-1))
    added = {"join": lambda got: got[0] + got[1]}
    close(kernels.count_pairs_by_class, **added)
    close(kernels.multiply_pairs_by_class, *sets, **added)
    close(kernels.bilinear_forms_by_class, *blocks, **added)
    for transposed in (True, False):
        close(
            lambda *arguments, **options: kernels.multiply_pairs(
                *arguments, **options, transposed=transposed  # noqa: B023
            ),
            x,
            weights,
            **added,
        )  # fmt: skip


def test_text_beyond_the_vocabulary_is_refused(parts):
    _, (first, documents), (last, _) = parts
    wrong = np.full_like(last, V)
    with pytest.raises(IndexError, match=f"token {V} is not below"):
        next(kernels.count_pairs(first, V, documents, [3], following=wrong))


def test_the_shuffle_of_a_part_is_that_part_of_the_shuffle(parts):
    (tokens, whole), (first, _), (last, last_documents) = parts
    expected, found = np.empty_like(tokens), np.empty_like(last)
    kernels.shuffle_documents(tokens, whole, 77, expected)
    kernels.shuffle_documents(last, last_documents, 77, found, first_position=len(first))
    np.testing.assert_array_equal(found, expected[len(first) :])
    with pytest.raises(ValueError, match="not negative"):
        kernels.shuffle_documents(last, last_documents, 77, found, first_position=-1)


def random_matrix(rng, shape=(300, 70), largest=9) -> tuple[CountMatrix, np.ndarray]:
    dense = rng.integers(0, largest, (2, *shape)) * (rng.random(shape) < 0.1)
    rows, columns = np.nonzero(dense.any(axis=0))
    start = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))])
    first, second = (channel[rows, columns].astype(np.uint32) for channel in dense)
    return CountMatrix.from_rows(*shape, start, columns.astype(np.uint32), first, second), dense


def dense_of(matrix: CountMatrix) -> np.ndarray:
    dense = np.zeros((2, *matrix.shape), np.int64)
    rows, columns, counts = matrix.to_coo()
    dense[:, rows, columns] = counts
    return dense


def test_count_matrices_as_rows_and_their_sum():
    rng = np.random.default_rng(0)
    parts = [random_matrix(rng), random_matrix(rng, largest=200_000), random_matrix(rng)]
    for matrix, dense in parts:
        np.testing.assert_array_equal(dense_of(matrix), dense)
        assert_same(CountMatrix.from_rows(*matrix.shape, *matrix.to_rows()), matrix)
    total = kernels.sum_counts([matrix for matrix, _ in parts], threads=3)
    np.testing.assert_array_equal(dense_of(total), sum(dense for _, dense in parts))
    assert total.nnz == np.count_nonzero(sum(dense for _, dense in parts).any(axis=0))


def test_a_sum_whose_second_channel_is_partly_empty():
    """Blocks of rows without counts in the second channel do not store it."""
    rng = np.random.default_rng(2)
    dense = rng.integers(1, 5, (2, 200, 3))
    dense[1, 64:128] = 0
    start, column = np.arange(0, 601, 3), np.tile(np.arange(3, dtype=np.uint32), 200)
    first, second = (channel.ravel().astype(np.uint32) for channel in dense)
    total = kernels.sum_counts([CountMatrix.from_rows(200, 3, start, column, first, second)])
    np.testing.assert_array_equal(total.to_rows()[3], second)
    assert_same(CountMatrix.from_rows(200, 3, *total.to_rows()), total)


def test_sums_beyond_32_bits_are_refused():
    start, column = np.array([0, 1]), np.array([0], np.uint32)
    large, none = np.array([2**32 - 1], np.uint32), np.zeros(0, np.uint32)
    matrix = CountMatrix.from_rows(1, 2, start, column, large, none)
    np.testing.assert_array_equal(matrix.to_rows()[3], none)
    with pytest.raises(OverflowError, match="does not fit 32 bits"):
        kernels.sum_counts([matrix, matrix])


@pytest.mark.parametrize(
    ("start", "column", "first"),
    [
        ([0, 2], [1, 0], [1, 1]),
        ([0, 2], [0, 0], [1, 1]),
        ([0, 1], [5], [1]),
        ([0, 2], [0], [1]),
        ([1, 1], [0], [1]),
        ([0, 1], [0], [1, 2]),
    ],
)
def test_rows_that_make_no_matrix_are_refused(start, column, first):
    none = np.zeros(0, np.uint32)
    with pytest.raises(ValueError, match="counts by rows"):
        CountMatrix.from_rows(
            1, 5, np.array(start), np.array(column, np.uint32), np.array(first, np.uint32), none
        )


def test_matrices_of_other_shapes_are_not_added():
    with pytest.raises(ValueError, match="one shape"):
        kernels.sum_counts([random_matrix(np.random.default_rng(0))[0], CountMatrix(0, 3)])
    with pytest.raises(ValueError, match="at least one"):
        kernels.sum_counts([])
