"""`NgramIndex` against plain counting, and how it refuses what it cannot answer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ngramstat.boundary import Boundary
from ngramstat.index.ngram_index import NgramIndex
from reference_index import plain_shards, random_corpus


def index_of(rng, corpus, *, depth=None, overlap=1000) -> NgramIndex:
    settings, shards = plain_shards(
        corpus,
        depth,
        int(rng.integers(1, 4)),
        overlap=overlap,
        dtype=np.uint32 if rng.random() < 0.5 else np.uint16,
        samples=rng.random() < 0.8,
    )
    return NgramIndex(settings, shards)


def pieces(rng, corpus, longest, n):
    stream = corpus.stream
    result = []
    for _ in range(n):
        start = int(rng.integers(len(stream)))
        piece = stream[start : start + int(rng.integers(1, longest + 1))]
        if rng.random() < 0.3:
            piece[int(rng.integers(len(piece)))] = int(rng.integers(corpus.vocab_size))
        result.append(piece)
    return result


def check_matches(rng, corpus, index) -> None:
    for ngram in pieces(rng, corpus, 5, 4):
        expected = corpus.positions(ngram)
        limit = None if rng.random() < 0.5 else int(rng.integers(len(expected) + 2))
        found = index.positions(ngram, limit=limit)
        assert found.count == len(expected)
        assert list(found) == expected[:limit]
        places = [corpus.document_of(p) for p in expected[:limit]]
        assert list(zip(found.documents, found.offsets, strict=True)) == places
        assert np.array_equal(
            index.documents(ngram), sorted({corpus.document_of(p)[0] for p in expected})
        )
        context = int(rng.integers(4))
        for match in index.find(ngram, context=context, limit=3):
            number, offset = corpus.document_of(match.position)
            last_number, last_offset = corpus.document_of(match.position + len(ngram) - 1)
            first, last = corpus.documents[number], corpus.documents[last_number]
            assert (match.document, match.offset) == (number, offset)
            assert match.tokens.tolist() == ngram
            assert match.left.tolist() == first[max(0, offset - context) : offset]
            assert match.right.tolist() == last[last_offset + 1 : last_offset + 1 + context]
            assert match.text is None


def check_probabilities(rng, corpus, index) -> None:
    contexts = [*pieces(rng, corpus, 6, 6), []]
    tokens = rng.integers(corpus.vocab_size, size=len(contexts))
    for backoff in (False, True):
        found = index.prob(contexts, tokens, backoff=backoff)
        rows = index.next_distribution(contexts, backoff=backoff)
        for i, context in enumerate(contexts):
            used = corpus.longest_suffix(context) if backoff else context
            total, counts = corpus.count(used), corpus.next_counts(used)
            assert found.suffix_lengths[i] == len(used)
            assert found.context_counts[i] == total
            if total == 0:
                assert math.isnan(found.probabilities[i])
                assert np.isnan(rows[i]).all()
                continue
            assert found.probabilities[i] == corpus.count([*used, tokens[i]]) / total
            assert rows[i].tolist() == [c / total for c in counts]


def plain_cnf(corpus, cnf, distance) -> list[tuple[int, int]]:
    """Matches by loops; see `NgramIndex.find_cnf`."""
    clauses = [sorted({p for n in clause for p in corpus.positions(n)}) for clause in cnf]
    clauses.sort(key=len)
    stretches = [(p, p) for p in clauses[0]]
    inside = corpus.boundary is Boundary.DOCUMENT
    for clause in clauses[1:]:
        grown = []
        for start, last in stretches:
            own = corpus.document_of(start)[0]
            left = [p for p in clause if p < last][-1:]
            right = [p for p in clause if p >= start][:1]
            left = [p for p in left if min(start, p) >= start - distance]
            right = [p for p in right if max(last, p) <= last + distance]
            left = [p for p in left if not inside or corpus.document_of(min(p, start))[0] == own]
            right = [p for p in right if not inside or corpus.document_of(max(p, last))[0] == own]
            if left or right:
                grown.append((min([start, *left]), max([last, *right])))
        stretches = grown
    return stretches


def check_cnf(rng, corpus, index) -> None:
    for _ in range(3):
        cnf = [pieces(rng, corpus, 2, int(rng.integers(1, 3))) for _ in range(rng.integers(1, 4))]
        distance = int(rng.choice([1, 3, 10]))
        found = index.find_cnf(cnf, max_diff_tokens=distance)
        expected = plain_cnf(corpus, cnf, distance)
        assert list(zip(found.starts, found.lasts, strict=True)) == expected
        assert found.count == len(expected) == index.count_cnf(cnf, max_diff_tokens=distance)
        assert not found.approximate
        assert [corpus.document_of(s)[0] for s, _ in expected] == found.documents.tolist()


def check_scores(rng, corpus, index) -> None:
    texts = pieces(rng, corpus, 12, 3)
    scores = index.score(texts)
    expected = []
    for text in texts:
        for i, token in enumerate(text):
            suffix = corpus.longest_suffix(text[:i])
            count = corpus.count([*suffix, token])
            expected.append(math.log(count / corpus.count(suffix)) if count else -math.inf)
    assert scores.log_probs == pytest.approx(expected, abs=1e-12)
    assert scores.zeros == expected.count(-math.inf)
    assert scores.ends.tolist() == np.cumsum([len(t) for t in texts]).tolist()


def check_corpus(seed) -> None:
    rng = np.random.default_rng(seed)
    corpus = random_corpus(rng, list(Boundary)[int(rng.integers(2))])
    if corpus.vocab_size > 100:  # rows of all counts take long to compare
        corpus.documents = corpus.documents[:2]
    index = index_of(rng, corpus)
    check_matches(rng, corpus, index)
    if corpus.vocab_size < 100:
        check_probabilities(rng, corpus, index)
    check_cnf(rng, corpus, index)
    check_scores(rng, corpus, index)


@pytest.mark.parametrize("block", range(4))
def test_all_kinds_of_queries_equal_plain_counting(block):
    for seed in range(40):
        check_corpus([block, seed])


@pytest.mark.nightly
def test_ten_thousand_corpora_equal_plain_counting():
    for seed in range(10_000):
        check_corpus([98, seed])
