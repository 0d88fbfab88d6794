"""N-grams counted by hashing against plain counting."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ngramstat import kernels

VOCABULARIES = [1, 2, 3, 5, 256, 65_535, 65_536, 262_144]


def plain_counts(tokens, n, ends=None):
    counts = Counter()
    start = 0
    for end in [len(tokens)] if ends is None else ends:
        for i in range(start, end - n + 1):
            counts[tuple(tokens[i : i + n])] += 1
        start = end
    return counts


def collected(batches, n, dtype):
    """All n-grams with their counts, in the order in which they came."""
    rows = []
    for ngrams, counts in batches:
        assert ngrams.dtype == dtype
        assert counts.dtype == np.uint64
        assert ngrams.shape == (len(counts), n)
        rows += zip(map(tuple, ngrams.tolist()), counts.tolist(), strict=True)
    return rows


def documents_of(ends):
    return None if ends is None else kernels.Documents(np.array(ends, np.int64))


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
    bits = (vocab_size - 1).bit_length()
    n = draw(
        st.integers(1, 128 // bits if bits else 200) | st.integers(1, min(6, 128 // max(bits, 1)))
    )
    ends = None
    if tokens and draw(st.booleans()):
        inner = draw(st.sets(st.integers(1, len(tokens)), max_size=8))
        ends = sorted(inner | {len(tokens)})
    return tokens, vocab_size, n, ends


@settings(max_examples=400)
@given(
    corpora(),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from([1, 2, 7]),
    st.sampled_from([None, 1, 3_000, 30_000, 300_000, 10_000_000]),
)
def test_ngrams_equal_plain_counting(corpus, min_count, ordered, threads, memory_limit):
    tokens, vocab_size, n, ends = corpus
    expected = {g: c for g, c in plain_counts(tokens, n, ends).items() if c >= min_count}
    unlimited = None
    for dtype in [np.uint16, np.uint32] if vocab_size <= 65_536 else [np.uint32]:
        batches = kernels.hashed_ngrams(
            np.array(tokens, dtype),
            vocab_size,
            n,
            min_count=min_count,
            documents=documents_of(ends),
            across=ends is None,
            ordered=ordered,
            threads=threads,
            memory_limit=memory_limit,
        )
        rows = collected(batches, n, dtype)
        assert dict(rows) == expected
        assert len(rows) == len(expected)
        if ordered:
            assert rows == sorted(rows)
        unlimited = unlimited or collected(
            kernels.hashed_ngrams(
                np.array(tokens, dtype),
                vocab_size,
                n,
                min_count=min_count,
                documents=documents_of(ends),
                across=ends is None,
                ordered=ordered,
            ),
            n,
            dtype,
        )
        assert rows == unlimited  # in the same order
