"""Suffixes sorted to their ends, against sorting lists of tokens."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ngramstat import _core
from ngramstat.kernels.suffix_order import SuffixSorter


def sorted_suffixes(tokens, vocab_size, *, by_ranks=False, **options):
    sorter = SuffixSorter(tokens, vocab_size, **options)
    if by_ranks:
        sorter._ranks = sorter._sample_ranks()
    parts = [part.suffixes.copy() for part in sorter]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint32)


def reference_order(tokens, depth=None, document_ends=None):
    """Positions sorted by the lists of symbols that follow, then by position."""
    symbols, ends = tokens.tolist(), document_ends
    if ends is None:
        ends = np.array([len(symbols)])

    def key(position):
        end = int(ends[np.searchsorted(ends, position, side="right")])
        if depth is not None:
            end = min(end, position + depth)
        return symbols[position:end], position

    return sorted(range(len(symbols)), key=key)


def random_stream(rng):
    """A stream, its vocabulary, its documents and the token that ends them, or None."""
    size, vocab_size = int(rng.integers(1, 500)), int(rng.integers(1, 6))
    tokens = rng.integers(0, vocab_size, size)
    kind = rng.integers(5)
    if kind == 0:
        tokens = np.resize(tokens[: int(rng.integers(1, 1 + size))], size)
    elif kind == 1:
        tokens[rng.random(size) < 0.98] = 0
    offset = int(rng.choice([0, 0, 65_536 - vocab_size, 262_143 - vocab_size]))
    tokens, vocab_size = tokens + offset, vocab_size + offset
    dtype = np.uint16 if vocab_size < 65_536 and rng.integers(2) else np.uint32
    if rng.integers(2):
        return tokens.astype(dtype), vocab_size, None, None
    ends = np.unique(np.append(rng.integers(1, size + 1, int(rng.integers(1, 9))), size))
    if rng.integers(2):  # documents that are repeated
        tokens, ends = np.tile(tokens, 3), np.concatenate([ends + k * size for k in range(3)])
    tokens = np.insert(tokens, ends, vocab_size).astype(dtype)
    ends = ends + np.arange(1, ends.size + 1)
    if rng.integers(3) == 0 and tokens.size > 1 and (ends.size == 1 or ends[-1] - ends[-2] > 1):
        tokens = tokens[:-1].copy()  # the last document need not end with the stop token
        ends[-1] -= 1
    return tokens, vocab_size + 1, vocab_size, ends


@pytest.mark.parametrize("seed", range(4))
def test_order_equals_that_of_lists(seed):
    rng = np.random.default_rng(seed)
    for _ in range(60):
        tokens, vocab_size, stop, ends = random_stream(rng)
        depth = int(rng.integers(1, 256)) if rng.integers(3) == 0 else None
        options = {"depth": depth, "stop_token": stop, "document_ends": ends}
        expected = reference_order(tokens, depth, ends)
        for threads in (1, 3):
            found = sorted_suffixes(tokens, vocab_size, threads=threads, **options)
            assert found.tolist() == expected
        if depth is None:
            found = sorted_suffixes(tokens, vocab_size, by_ranks=True, **options)
            assert found.tolist() == expected


def fibonacci_word(size):
    word, longer = [0], [0, 1]
    while len(longer) < size:
        word, longer = longer, longer + word
    return longer[:size]


def repetitive(kind, size):
    if kind == "zeros":
        return np.zeros(size)
    if kind == "two tokens":
        return np.arange(size) % 2
    if kind == "Fibonacci":
        return np.array(fibonacci_word(size))
    if kind == "64 tokens":  # the period of the sample
        return np.arange(size) % 64
    document = np.random.default_rng(0).integers(0, 50, size // 100)
    return np.tile(document, 100)


@pytest.mark.parametrize("kind", ["zeros", "two tokens", "Fibonacci", "64 tokens", "copies"])
def test_streams_that_repeat_themselves_switch_to_ranks(kind, monkeypatch):
    size = 60_000
    tokens = repetitive(kind, size).astype(np.uint16)
    made = []
    of_class = SuffixSorter._sample_ranks
    monkeypatch.setattr(
        SuffixSorter, "_sample_ranks", lambda self: made.append(1) or of_class(self)
    )
    order = sorted_suffixes(tokens, 50 if kind == "copies" else 64, threads=2).astype(np.int64)
    assert made == [1]
    # Neighbours are in order if their first tokens are, or the suffixes that follow these.
    ranks = np.full(size + 1, -1)
    ranks[order] = np.arange(size)
    assert np.array_equal(np.sort(order), np.arange(size))
    first, second = order[:-1], order[1:]
    assert np.all(
        (tokens[first] < tokens[second])
        | ((tokens[first] == tokens[second]) & (ranks[first + 1] < ranks[second + 1]))
    )


def test_a_memory_limit_makes_more_ranges_and_the_same_order():
    tokens = np.random.default_rng(0).integers(0, 100, 20_000).astype(np.uint16)
    whole = list(SuffixSorter(tokens, 100))
    small = SuffixSorter(tokens, 100, memory_limit=130_000)
    ranges = [(part.first_token, part.last_token) for part in small]
    assert len(whole) == 1
    assert len(ranges) > 5
    assert (ranges[0][0], ranges[-1][1]) == (0, 100)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(ranges))
    again = np.concatenate([part.suffixes.copy() for part in small])
    assert again.tolist() == whole[0].suffixes.tolist()


def test_bad_streams_are_refused():
    tokens = np.array([1, 2, 1], np.uint16)
    with pytest.raises(IndexError, match="token 2 at position 1"):
        SuffixSorter(tokens, 2)
    with pytest.raises(ValueError, match="depth"):
        SuffixSorter(tokens, 3, depth=256)
    with pytest.raises(ValueError, match="last document"):
        SuffixSorter(tokens, 3, stop_token=2, document_ends=np.array([2]))
    with pytest.raises(ValueError, match="must end with the stop token"):
        SuffixSorter(tokens, 3, stop_token=2, document_ends=np.array([1, 3]))
    with pytest.raises(ValueError, match="strictly increasing"):
        SuffixSorter(tokens, 3, stop_token=2, document_ends=np.array([2, 2, 3]))
    text = _core.SuffixText16(tokens, 3, 0, -1, np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="one suffix per position"):
        text.sort(0, 3, None, np.empty(2, np.uint32), 1)
    with pytest.raises(ValueError, match="must be complete"):
        text.sort(0, 3, _core.SampleRanks(3), np.empty(3, np.uint32), 1)
    with pytest.raises(ValueError, match="another length"):
        _core.SampleRanks(1000).sort(text, 0, 3, 1)
