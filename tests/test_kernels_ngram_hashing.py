"""N-grams counted by hashing against plain counting."""

from __future__ import annotations

import os
import resource
from collections import Counter, namedtuple
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from ngramstat import kernels
from ngramstat.errors import InputError
from ngramstat.kernels import ngram_hashing, sorted_runs

VOCABULARIES = [1, 2, 3, 5, 256, 50_257, 65_536, 262_144]


def collected(batches, n, dtype):
    """All n-grams with their counts, in the order in which they came."""
    rows = []
    for ngrams, counts in batches:
        assert (ngrams.dtype, counts.dtype) == (dtype, np.uint64)
        assert ngrams.shape == (len(counts), n)
        rows += zip(map(tuple, ngrams.tolist()), counts.tolist(), strict=True)
    return rows


def in_bits(vocab_size):
    return (vocab_size - 1).bit_length()


@st.composite
def corpora(draw):
    """Tokens, vocabulary, n, and the ends of documents or None."""
    vocab_size = draw(st.sampled_from(VOCABULARIES))
    ids = st.integers(0, vocab_size - 1)
    if draw(st.booleans()):  # few ids, the largest among them
        ids = st.sampled_from([0, vocab_size - 1, vocab_size // 2])
    tokens = draw(st.lists(ids, max_size=120))
    if draw(st.booleans()):
        tokens = tokens[: draw(st.integers(1, 9))] * 20
    longest = 128 // in_bits(vocab_size) if vocab_size > 1 else 150
    n = draw(st.integers(1, min(longest, 6)) | st.integers(1, longest))
    ends = None
    if tokens and draw(st.booleans()):
        ends = sorted(draw(st.sets(st.integers(1, len(tokens)), max_size=8)) | {len(tokens)})
    return tokens, vocab_size, n, ends


@settings(max_examples=200)
@given(
    corpora(),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from([1, 2, 7]),
    st.sampled_from([None, 1, 3_000, 30_000, 300_000]),
)
def test_ngrams_equal_plain_counting(corpus, min_count, ordered, threads, memory_limit):
    tokens, vocab_size, n, ends = corpus
    expected = {
        ngram: count
        for ngram, count in reference.ngrams(tokens, n, ends).items()
        if count >= min_count
    }
    for dtype in [np.uint16, np.uint32] if vocab_size <= 65_536 else [np.uint32]:
        array = np.array(tokens, dtype)
        options = {
            "min_count": min_count,
            "documents": None if ends is None else kernels.Documents(np.array(ends)),
            "across": ends is None,
            "ordered": ordered,
        }
        limited = kernels.hashed_ngrams(
            array, vocab_size, n, **options, threads=threads, memory_limit=memory_limit
        )
        rows = collected(limited, n, dtype)
        assert dict(rows) == expected
        assert len(rows) == len(expected)
        if ordered:
            assert rows == sorted(rows)
        # The order is the same for any threads and memory.
        assert rows == collected(kernels.hashed_ngrams(array, vocab_size, n, **options), n, dtype)


def skewed(n_tokens, vocab_size, dtype=np.uint16):
    return (np.random.default_rng(5).random(n_tokens) ** 5 * vocab_size).astype(dtype)


@pytest.mark.parametrize(("vocab_size", "n"), [(300, 1), (300, 2), (8192, 5), (50_257, 6)])
def test_many_tokens_in_rounds_and_runs(vocab_size, n):
    tokens = skewed(120_000, vocab_size)
    tokens = np.concatenate([tokens, tokens[:80_000]])
    windows = np.lib.stride_tricks.sliding_window_view(tokens, n)
    ngrams, counts = np.unique(windows, axis=0, return_counts=True)
    ngrams, counts = ngrams[counts >= 2], counts[counts >= 2]
    for limit in [None, 2_000_000, 200_000]:
        batches = list(
            kernels.hashed_ngrams(
                tokens,
                vocab_size,
                n,
                min_count=2,
                ordered=True,
                threads=2,
                memory_limit=limit,
            )
        )
        assert np.array_equal(np.concatenate([batch[0] for batch in batches]), ngrams)
        assert np.array_equal(np.concatenate([batch[1] for batch in batches]), counts)


def test_all_ways_to_bound_memory_are_taken():
    costs = {
        limit: kernels.hash_cost(10**8, 8192, 5, threads=2, memory_limit=limit)
        for limit in [10**10, 4 * 10**8, 2 * 10**8, 10**7]
    }
    assert [cost.rounds > 1 for cost in costs.values()] == [False, True, True, False]
    assert [cost.disk_bytes > 0 for cost in costs.values()] == [False, False, False, True]
    # All n-grams in memory: 8 bytes each, and little else.
    assert 8 * 10**8 < costs[10**10].memory_bytes < 10**9
    # Seven to nine bytes each; twice, as longer runs are made of too many.
    assert 7 * 2 * 10**8 < costs[10**7].disk_bytes < 9 * 2 * 10**8


def test_a_text_of_one_ngram_does_not_fill_the_memory():
    """Its bucket is too large for a round, and all buckets are the same for more of them."""
    tokens = np.zeros(300_000, np.uint16)
    ((ngrams, counts),) = kernels.hashed_ngrams(tokens, 8192, 3, memory_limit=1_000_000)
    assert ngrams.tolist() == [[0, 0, 0]]
    assert counts.tolist() == [299_998]


def open_files():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files by /proc")
def test_many_runs_are_merged_in_levels_with_few_files(tmp_path, monkeypatch):
    written = []
    write = sorted_runs.SortedRuns.write

    def note(runs, groups, *args, **options):
        write(runs, groups, *args, **options)
        written.append((runs, open_files()))  # kept, so that no other has its id

    monkeypatch.setattr(sorted_runs.SortedRuns, "write", note)
    monkeypatch.setattr(ngram_hashing, "_RUN_BYTES", 2_500)
    tokens = skewed(20_000, 8192)
    before = open_files()
    batches = kernels.hashed_ngrams(tokens, 8192, 4, memory_limit=30_000, directory=tmp_path)
    rows = []
    for ngrams, counts in batches:
        rows += zip(map(tuple, ngrams.tolist()), counts.tolist(), strict=True)
        assert os.listdir(tmp_path) == []  # the file has no name: it vanishes with the process
    assert dict(rows) == reference.ngrams(tokens.tolist(), 4)
    sizes = list(Counter(id(runs) for runs, _ in written).values())
    assert len(sizes) >= 3
    assert sizes[0] > 20
    assert all(-(-a // 3) == b for a, b in pairwise(sizes))
    assert max(files for _, files in written) <= before + 3
    assert open_files() == before


def test_a_disk_too_small_for_all_runs_is_refused(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**6, 10**6 - 12_345, 12_345))
    batches = kernels.hashed_ngrams(
        skewed(20_000, 8192), 8192, 4, memory_limit=30_000, directory=tmp_path
    )
    with pytest.raises(InputError, match=r"need about \d+,\d+ bytes more, and 12,345 are free"):
        next(batches)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("ordered", [False, True])
def test_a_disk_that_is_full_leaves_nothing(tmp_path, ordered):
    before = open_files()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        batches = kernels.hashed_ngrams(
            skewed(20_000, 8192),
            8192,
            4,
            ordered=ordered,
            memory_limit=30_000,
            directory=tmp_path,
        )
        with pytest.raises(InputError, match="no room for a temporary file"):
            next(batches)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []
    assert open_files() == before


def test_a_directory_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").touch()
    batches = kernels.hashed_ngrams(
        skewed(20_000, 8192), 8192, 4, memory_limit=30_000, directory=tmp_path / "file" / "below"
    )
    with pytest.raises(InputError, match="below: no room for a temporary file"):
        next(batches)


def test_abandoned_batches_close_their_files(tmp_path):
    before = open_files()
    batches = kernels.hashed_ngrams(
        skewed(20_000, 8192), 8192, 4, memory_limit=30_000, directory=tmp_path
    )
    next(batches)
    assert open_files() > before
    batches.close()
    assert open_files() == before


class Advanced:
    def __init__(self):
        self.steps = []

    def advance(self, tokens):
        self.steps.append(tokens)


@pytest.mark.parametrize("limit", [None, 1_000_000, 100_000])
def test_progress_counts_every_token_once(limit):
    progress = Advanced()
    tokens = skewed(100_000, 500)
    list(kernels.hashed_ngrams(tokens, 500, 3, memory_limit=limit, progress=progress))
    assert sum(progress.steps) == len(tokens)
    assert min(progress.steps) > 0


def test_bad_arguments_are_refused():
    tokens = np.array([0, 1, 2, 3], np.uint16)

    def first(*args, **options):
        return list(kernels.hashed_ngrams(tokens, *args, **options))

    with pytest.raises(IndexError, match="token 3 at position 3 is not below vocab_size 3"):
        first(3, 2)
    # Also a token that begins no n-gram, in a text shorter than n.
    with pytest.raises(IndexError, match="token 3 at position 3"):
        first(3, 9)
    with pytest.raises(ValueError, match="do not fit 16 bytes"):
        first(65_536, 9)
    with pytest.raises(ValueError, match="n must be at least 1"):
        first(4, 0)
    with pytest.raises(ValueError, match="min_count=0"):
        first(4, 1, min_count=0)
    with pytest.raises(ValueError, match="documents"):
        first(4, 1, documents=kernels.Documents.single(5))
    with pytest.raises(TypeError, match="expected dtype"):
        next(kernels.hashed_ngrams(tokens.astype(np.int64), 4, 1))


def test_what_fits():
    assert kernels.fits_hash(8192, 9)
    assert not kernels.fits_hash(8192, 10)
    assert kernels.fits_hash(65_536, 8)
    assert not kernels.fits_hash(65_537, 8)
    assert kernels.fits_hash(1, 10**6)
    assert not kernels.fits_hash(4, 0)


def test_counts_of_every_order_add_up():
    """As many n-grams as positions where one begins, in every document."""
    tokens = skewed(5_000, 40)
    documents = kernels.Documents(np.array([0, 3, 4, 2_000, 5_000][1:]))
    for n in range(1, 20):
        total = Counter()
        for _, counts in kernels.hashed_ngrams(tokens, 40, n, documents=documents, across=False):
            total["all"] += int(counts.sum())
        assert total["all"] == sum(max(length - n + 1, 0) for length in (3, 1, 1_996, 3_000))
