"""Queries of sorted suffixes against plain counting."""

from __future__ import annotations

import numpy as np
import pytest

from ngramstat.boundary import Boundary
from ngramstat.kernels import SortedShards, TokenSlices
from reference_index import plain_shards, random_corpus


def slices(queries) -> TokenSlices:
    ends = np.cumsum([len(q) for q in queries]).astype(np.int64)
    tokens = np.array([t for q in queries for t in q], dtype=np.uint32)
    return TokenSlices(tokens, np.concatenate([[0], ends])[:-1].astype(np.int64), ends)


def sorted_shards(settings, shards) -> SortedShards:
    result = SortedShards(settings.vocab_size, settings.depth, settings.stop_token)
    for s in shards:
        result.add(s.tokens, s.suffixes, s.token_starts, s.document_ends, s.extra.get("samples"))
    return result


def some_queries(rng, corpus, longest, n):
    """Pieces of the corpus, some with a changed token, and random sequences."""
    stream = corpus.stream
    queries = []
    for _ in range(n):
        length = int(rng.integers(1, longest + 1))
        start = int(rng.integers(len(stream)))
        query = stream[start : start + length]
        if rng.random() < 0.3:
            query[int(rng.integers(len(query)))] = int(rng.integers(corpus.vocab_size))
        queries.append(query)
    return queries


def check_all_kinds(seed) -> None:
    rng = np.random.default_rng(seed)
    corpus = random_corpus(rng, list(Boundary)[int(rng.integers(2))])
    depth = rng.choice([None, 2, 4, 9])
    longest = 12 if depth is None else int(depth)
    overlap = int(rng.choice([longest - 1, 1000]))
    settings, shards = plain_shards(
        corpus, depth, int(rng.integers(1, 4)), overlap=overlap,
        dtype=rng.choice([np.uint16, np.uint32]), samples=rng.random() < 0.8,
    )  # fmt: skip
    index = sorted_shards(settings, shards)
    threads = int(rng.integers(1, 3))

    ngrams = some_queries(rng, corpus, longest, 40)
    counts = index.count(slices(ngrams), threads=threads)
    assert counts.tolist() == [corpus.count(q) for q in ngrams]
    in_documents = [len({corpus.document_of(p)[0] for p in corpus.positions(q)}) for q in ngrams]
    assert index.count_documents(slices(ngrams), threads=threads).tolist() == in_documents

    contexts = [*some_queries(rng, corpus, longest - 1, 12), []]
    rows = np.array([corpus.next_counts(q) for q in contexts])
    sparse = index.next_tokens(slices(contexts), threads=threads)
    assert np.array_equal(index.count_next(slices(contexts), threads=threads), rows)
    dense = np.zeros_like(rows)
    dense[np.repeat(np.arange(len(contexts)), np.diff(sparse.starts)), sparse.tokens] = (
        sparse.counts
    )
    assert np.array_equal(dense, rows)
    assert sparse.tokens.size == np.count_nonzero(rows)

    limit = longest - 1 if depth is not None or overlap < 1000 or rng.random() < 0.5 else None
    texts = some_queries(rng, corpus, 30, 6)
    expected = []
    for text in texts:
        for i, token in enumerate(text):
            suffix = corpus.longest_suffix(text[:i], limit)
            n = corpus.count([*suffix, token])
            expected.append((len(suffix), corpus.count(suffix), n))
    found = index.longest_suffixes(
        slices(texts), every_token=True, max_context=limit, threads=threads
    )
    assert list(zip(found.lengths, found.contexts, found.ngrams, strict=True)) == expected
    last = np.cumsum([len(t) for t in texts]) - 1
    found = index.longest_suffixes(
        slices(texts), every_token=False, max_context=limit, threads=threads
    )
    assert list(zip(found.lengths, found.contexts, found.ngrams, strict=True)) == [
        expected[i] for i in last
    ]


@pytest.mark.parametrize("block", range(6))
def test_all_kinds_of_queries_equal_plain_counting(block):
    for seed in range(50):
        check_all_kinds([block, seed])


@pytest.mark.nightly
def test_ten_thousand_corpora_equal_plain_counting():
    for seed in range(10_000):
        check_all_kinds([99, seed])
