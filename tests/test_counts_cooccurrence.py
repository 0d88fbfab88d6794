"""Co-occurrence matrices against plain counting, NumPy and scipy."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp

import ngramstat
from ngramstat.counts.pair_counting import PairCounting, csr_of_pieces
from ngramstat.counts.windows import PairWindow
from ngramstat.errors import InputError
from ngramstat.kernels import Documents
from ngramstat.kernels.windows import WindowCounter
from ngramstat.runtime.workspace import Workspace


def counted(x, lag, ends=None):
    """Pairs at one lag as a dictionary; `ends`: (start, end) of the contents to stay inside."""
    pairs = Counter()
    for start, end in [(0, len(x))] if ends is None else ends:
        for i in range(start, end - lag):
            pairs[int(x[i]), int(x[i + lag])] += 1
    return pairs


def weighted(x, window, contents=None):
    """The sum over the lags in order, as `cooccurrence` defines it."""
    sums: dict[tuple[int, int], float] = {}
    for lag, weight in zip(window.lags, window.weights or (1,) * len(window.lags), strict=True):
        pairs = counted(x, lag, contents)
        if window.symmetric:
            pairs += Counter({(b, a): n for (a, b), n in pairs.items()})
        for pair, n in pairs.items():
            sums[pair] = sums.get(pair, 0) + weight * n
    return sums


def as_dictionary(matrix):
    coo = matrix.tocoo()
    entries = zip(coo.row.tolist(), coo.col.tolist(), coo.data.tolist(), strict=True)
    return {(row, column): value for row, column, value in entries}


def random_corpus(rng):
    """Documents with separators before or after them, empty ones too."""
    vocab_size = int(rng.choice([1, 2, 3, 5, 300, 65_536, 262_144]))
    separator = vocab_size - 1 if vocab_size > 1 and rng.random() < 0.6 else None
    largest = vocab_size - (separator is not None)
    before = rng.random() < 0.5
    tokens, ends, contents = [], [], []
    for _ in range(int(rng.integers(2, 8))):
        size = int(rng.choice([0, 1, 2, 5, 40]))
        # Few different tokens of a large vocabulary, so that pairs repeat.
        document = (rng.integers(0, 6, size) * 44_001 % largest).tolist()
        if separator is None:
            if not document:
                continue
            contents.append((len(tokens), len(tokens) + size))
            tokens += document
        elif before:
            contents.append((len(tokens) + 1, len(tokens) + 1 + size))
            tokens += [separator, *document]
        else:
            contents.append((len(tokens), len(tokens) + size))
            tokens += [*document, separator]
        ends.append(len(tokens))
    if len(ends) < 2:
        return random_corpus(rng)
    dtype = np.uint16 if vocab_size <= 65_536 and rng.random() < 0.5 else np.uint32
    position = None if separator is None else ("before" if before else "after")
    corpus = ngramstat.Corpus.from_arrays(
        np.array(tokens, dtype), vocab_size=vocab_size, document_ends=ends, separator=separator,
        separator_position=position,
    )  # fmt: skip
    return corpus, contents


def random_window(rng):
    n_lags = int(rng.choice([1, 2, 5, 17, 40]))
    lags = sorted(rng.choice(np.arange(1, 60), n_lags, replace=False).tolist())
    weights = None if rng.random() < 0.4 else rng.random(n_lags).tolist()
    boundary = str(rng.choice(["stream", "document"]))
    return {
        "lags": lags,
        "weights": "uniform" if weights is None else weights,
        "symmetric": bool(rng.random() < 0.5),
        "boundary": boundary,
    }


def test_random_corpora_agree_with_plain_counting_whatever_the_ranges():
    rng = np.random.default_rng(1)
    for _ in range(100):
        corpus, contents = random_corpus(rng)
        options = random_window(rng)
        window = PairWindow.of(**options)
        inside = contents if options["boundary"] == "document" else None
        expected = weighted(corpus.tokens, window, inside)
        matrix = ngramstat.cooccurrence(corpus, **options, threads=2)
        assert matrix.shape == (corpus.vocab_size,) * 2
        assert matrix.has_sorted_indices
        assert as_dictionary(matrix) == expected
        assert matrix.dtype == (np.uint64 if options["weights"] == "uniform" else np.float64)
        # Under a budget of next to nothing every range is one row, with the same bits.
        counting = PairCounting(corpus, window, workspace=Workspace(1))
        counting._budget = int(rng.choice([1, 4000]))
        again = csr_of_pieces(counting.pieces(), corpus.vocab_size, counting.value_type)
        assert as_dictionary(again) == expected


def test_scipy_and_numpy_count_the_same():
    rng = np.random.default_rng(2)
    x = (rng.zipf(1.3, 30_000) % 500).astype(np.uint16)
    lags = [1, 2, 7, 300]
    matrix = ngramstat.cooccurrence(x, lags=lags, threads=1)
    dense = np.zeros((500, 500), np.uint64)
    ones = sp.csr_array((500, 500), dtype=np.uint64)
    one_hot = sp.csr_array(
        (np.ones(len(x), np.uint64), x, np.arange(len(x) + 1)), shape=(len(x), 500)
    )
    for lag in lags:
        np.add.at(dense, (x[:-lag], x[lag:]), 1)
        ones = ones + one_hot[:-lag].T @ one_hot[lag:]
    assert (matrix.toarray() == dense).all()
    assert (matrix != ones).nnz == 0
    by_lag = ngramstat.cooccurrence(x, lags=lags, by_lag=True, threads=1)
    assert list(by_lag) == lags
    for lag, part in by_lag.items():
        expected = np.bincount(x[:-lag].astype(int) * 500 + x[lag:], minlength=250_000)
        assert (part.toarray().ravel() == expected).all()


def test_windows_and_weights():
    x = np.random.default_rng(3).integers(0, 9, 400)
    by_lag = ngramstat.cooccurrence(x, window=4, by_lag=True)
    parts = [by_lag[lag].toarray().astype(np.float64) for lag in (1, 2, 3, 4)]
    uniform = ngramstat.cooccurrence(x, window=4)
    assert (uniform.toarray() == sum(parts)).all()
    assert uniform.dtype == np.uint64
    glove = ngramstat.cooccurrence(x, window=4, weights="harmonic", symmetric=True)
    expected = np.zeros((9, 9))
    for lag, part in enumerate(parts, 1):
        expected += (1 / lag) * (part + part.T)
    assert (glove.toarray() == expected).all()
    assert (glove.toarray() == glove.toarray().T).all()
    named = ngramstat.cooccurrence(x, window=4, weights="harmonic")
    for same in (lambda lag: 1 / lag, [1, 1 / 2, 1 / 3, 1 / 4]):
        assert (ngramstat.cooccurrence(x, window=4, weights=same) != named).nnz == 0
    # Weights belong to the lags as they are given; those of zero are left out.
    reverse = ngramstat.cooccurrence(x, lags=[3, 2, 1], weights=[0.5, 0, 2])
    assert (reverse.toarray() == 2 * parts[0] + 0.5 * parts[2]).all()
    coo = ngramstat.cooccurrence(x, lags=2, format="coo")
    assert coo.format == "coo"
    assert (coo.toarray() == parts[1]).all()


def test_rows_alone_and_in_pieces():
    x = np.random.default_rng(4).integers(0, 50, 3000)
    options = {"window": 3, "weights": "harmonic", "symmetric": True}
    whole = ngramstat.cooccurrence(x, **options)
    some = ngramstat.cooccurrence(x, **options, rows=(10, 13))
    assert some.shape == (3, 50)
    assert (some != whole[10:13]).nnz == 0
    assert (ngramstat.cooccurrence(x, **options, rows=slice(45, None)) != whole[45:]).nnz == 0
    pieces = list(ngramstat.cooccurrence_rows(x, **options, rows=(5, 50)))
    assert pieces[0][0] == 5
    assert (sp.vstack([piece for _, piece in pieces]) != whole[5:]).nnz == 0


def test_wide_counters_count_the_same():
    x = np.random.default_rng(5).integers(0, 30, 2000).astype(np.uint16)
    counter = WindowCounter(x, 30, Documents.single(2000), (0, 30), both_sides=True)
    lags, weights = list(range(1, 21)), [1 / t for t in range(1, 21)]
    narrow = counter.count((0, 30), lags, weights)
    wide = counter.count((0, 30), lags, weights, wide=True)
    assert all((a == b).all() for a, b in zip(narrow, wide, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "lags.*or.*window"),
        ({"lags": [1], "window": 2}, "lags.*or.*window"),
        ({"lags": []}, "at least one"),
        ({"lags": [0]}, "between 1"),
        ({"lags": [1, 1]}, "once"),
        ({"window": 0}, "between 1"),
        ({"window": 2.5}, "integer"),
        ({"window": 2, "weights": "linear"}, "uniform, harmonic"),
        ({"window": 2, "weights": [1.0]}, "1 are given for 2 lags"),
        ({"window": 2, "weights": [1.0, -1.0]}, "negative"),
        ({"window": 2, "weights": [0, 0]}, "positive"),
        ({"window": 2, "weights": [1, np.nan]}, "finite"),
        ({"window": 2, "weights": 3}, "sequence"),
        ({"window": 2, "weights": "harmonic", "by_lag": True}, "without weights"),
        ({"window": 2, "rows": (3, 3)}, "no row"),
        ({"window": 2, "rows": (0, 99)}, "between 0 and 5"),
        ({"window": 2, "rows": 3}, "first, last"),
        ({"window": 2, "format": "dense"}, "csr, coo"),
        ({"window": 2, "boundary": "line"}, "stream or document"),
        ({"window": 2, "boundary": "document"}, "no documents"),
    ],
)
def test_arguments_that_cannot_be_used(options, message):
    with pytest.raises(InputError, match=message):
        ngramstat.cooccurrence([0, 1, 2, 3, 4], **options)


def test_a_matrix_beyond_the_memory_limit_is_refused(monkeypatch):
    x = np.random.default_rng(6).integers(0, 100, 5000)
    monkeypatch.setattr(Workspace, "memory_budget", lambda self, **_: 100_000)
    with pytest.raises(InputError, match=r"memory_limit.*save_cooccurrence"):
        ngramstat.cooccurrence(x, window=5)
    assert sum(piece.nnz for _, piece in ngramstat.cooccurrence_rows(x, window=5)) > 9000


def test_ids_beyond_the_vocabulary_are_refused(tmp_path):
    np.array([0, 1, 7], np.uint16).tofile(tmp_path / "x.bin")
    corpus = ngramstat.Corpus.open(tmp_path / "x.bin", format="raw", dtype="uint16", vocab_size=5)
    with pytest.raises(InputError, match="vocab_size"):
        ngramstat.cooccurrence(corpus, window=1)


def test_a_single_document_counts():
    x = [1, 2, 3, 1, 2]
    single = ngramstat.Corpus.from_documents([x], vocab_size=5)
    matrix = ngramstat.cooccurrence(single, lags=[1], boundary="document")
    assert as_dictionary(matrix) == counted(x, 1)
    separated = ngramstat.Corpus.from_documents([x], vocab_size=5, separator=0)
    matrix = ngramstat.cooccurrence(separated, lags=[1], boundary="document")
    assert as_dictionary(matrix) == counted(x, 1)
    one = ngramstat.Corpus.from_documents([[1]], vocab_size=5)
    assert ngramstat.cooccurrence(one, lags=[1], boundary="document").nnz == 0
