"""N-grams counted by hashing against plain counting."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ngramstat import kernels


def plain_counts(tokens, n, ends=None):
    counts = Counter()
    start = 0
    for end in [len(tokens)] if ends is None else ends:
        for i in range(start, end - n + 1):
            counts[tuple(tokens[i : i + n])] += 1
        start = end
    return counts


def collected(batches):
    counts = {}
    for ngrams, numbers in batches:
        for ngram, number in zip(ngrams.tolist(), numbers.tolist(), strict=True):
            assert tuple(ngram) not in counts
            counts[tuple(ngram)] = number
    return counts


@settings(max_examples=100)
@given(st.lists(st.integers(0, 3), max_size=80), st.integers(1, 9), st.integers(1, 3))
def test_ngrams_equal_plain_counting(tokens, n, min_count):
    expected = {g: c for g, c in plain_counts(tokens, n).items() if c >= min_count}
    array = np.array(tokens, np.uint16)
    assert collected(kernels.hashed_ngrams(array, 4, n, min_count=min_count)) == expected
