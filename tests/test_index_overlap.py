"""Longest matches of new text in an index, against a search for every sequence."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from indexes import make_index, random_case
from ngramstat import Corpus, InputError, NgramstatError
from ngramstat.index.ngram_index import NgramIndex

N_CASES = 150


def occurrences(sequences, wanted) -> list[tuple[int, int]]:
    """(sequence, offset) of every occurrence."""
    size = len(wanted)
    return [
        (number, i)
        for number, sequence in enumerate(sequences)
        for i in range(len(sequence) - size + 1)
        if sequence[i : i + size] == wanted
    ]


def longest(sequences, text, i, limit) -> int:
    """Tokens of the longest beginning of text[i:] that occurs, at most `limit`."""
    length = 0
    while length < min(limit, len(text) - i) and occurrences(sequences, text[i : i + length + 1]):
        length += 1
    return length


def new_documents(rng, case) -> list[list[int]]:
    """Documents of the corpus's tokens, in part copied from it."""
    pool = sorted({token for document in case.documents for token in document})
    known = case.stream
    documents = []
    for _ in range(rng.integers(1, 4)):
        document = rng.choice(pool, rng.integers(1, 12)).tolist()
        if rng.random() < 0.6:
            begin = int(rng.integers(0, len(known)))
            document += known[begin : begin + int(rng.integers(1, 15))]
        documents.append(document)
    return documents


@pytest.mark.parametrize("seed", range(5))
def test_longest_matches_equal_a_search(seed):
    rng = np.random.default_rng(seed)
    for _ in range(N_CASES):
        case = random_case(rng)
        documents = new_documents(rng, case)
        limit = case.index.max_query_length or 1000
        found = case.index.longest_match(documents, threads=int(rng.integers(1, 4)))
        assert found.max_length == case.index.max_query_length
        at = 0
        for document in documents:
            for i in range(len(document)):
                length = longest(case.sequences, document, i, limit)
                places = occurrences(case.sequences, document[i : i + length])
                assert found.lengths[at] == length
                assert found.occurrences[at] == (len(places) if length else 0)
                # The sequence stands where it is said to be.
                check_place(case, document[i : i + length], found, at)
                further = length == limit and len(document) - i > limit
                stopped = case.index.boundary == "document" and (
                    case.separator in document[i : i + length]
                )
                assert found.capped[at] == (further and not stopped)
                at += 1
        assert at == len(found)


def check_place(case, wanted, found, at) -> None:
    position, number = int(found.positions[at]), int(found.documents[at])
    if not wanted:
        assert (position, number) == (-1, -1)
        return
    stream = case.stream
    assert stream[position : position + len(wanted)] == wanted
    starts = np.cumsum([0, *map(len, case.documents)])
    assert starts[number] <= position < starts[number + 1]


def test_one_long_copy_takes_linear_time():
    # Every position matches to the end; comparing each from its beginning would take minutes.
    text = np.random.default_rng(0).integers(0, 50_000, 300_000).astype(np.uint16)
    twice = np.concatenate([text, text])
    found = NgramIndex.build(twice, threads=1).longest_match(text, threads=2)
    assert np.array_equal(found.lengths, np.arange(len(text), 0, -1))
    assert (found.occurrences[:-5] == 2).all()


def test_forms_of_new_text():
    index = NgramIndex.build([[0, 1, 2, 3], [4, 1, 2, 5]], boundary="document")
    for tokens in (
        [1, 2, 5],
        np.array([1, 2, 5], np.int64),
        (1, 2, 5),
        Corpus.from_arrays([1, 2, 5]),
    ):
        assert index.longest_match(tokens).lengths.tolist() == [3, 2, 1]
    assert index.longest_match([]).lengths.tolist() == []
    assert index.longest_match([[1, 2], [5]]).lengths.tolist() == [2, 1, 1]
    assert index.longest_match([1, 2, 5]).positions.tolist() == [5, 6, 7]
    assert index.longest_match([1, 2, 5]).documents.tolist() == [1, 1, 1]


def test_tokens_outside_the_vocabulary_are_refused():
    index = NgramIndex.build([0, 1, 2, 3, 0, 1])
    with pytest.raises(InputError, match="token 4 at position 1 is not in the vocabulary"):
        index.longest_match([0, 4])
    with pytest.raises(InputError, match="has no tokenizer; give token ids"):
        index.longest_match("some text")


def test_text_is_encoded_by_the_tokenizer_of_the_corpus():
    texts = ["the cat sat on the mat and slept", "a dog ran after the cat and barked"] * 3
    corpus = Corpus.from_texts(texts, vocab_size=300)
    index = NgramIndex.build(corpus)
    whole = index.longest_match(texts[0])
    assert whole.lengths.tolist() == list(range(len(whole), 0, -1))
    assert (index.longest_match([texts[0], "zzz"]).lengths[: len(whole)] == whole.lengths).all()


def test_covered_tokens():
    index = NgramIndex.build([0, 1, 2, 3, 4, 5, 6])
    found = index.longest_match([0, 1, 2, 6, 5, 3, 4, 5])
    assert found.covered(3).tolist() == [1, 1, 1, 0, 0, 1, 1, 1]
    assert found.covered(4).tolist() == [0] * 8
    assert found.covered(1).all()
    shallow = NgramIndex.build([0, 1, 2, 3, 4, 5, 6], depth=2)
    with pytest.raises(InputError, match="matches of up to 2 tokens only"):
        shallow.longest_match([0, 1]).covered(3)


@pytest.mark.parametrize("field", ["suffixes", "token_starts"])
def test_damaged_indexes_are_refused(field):
    rng = np.random.default_rng(5)
    messages = []
    for _ in range(200):
        tokens = rng.integers(0, 4, 50).tolist()
        index = make_index(
            [tokens], 4, depth=None, boundary="stream", separator=None, shards=1, dtype=np.uint16
        )
        damaged = getattr(index.shards[0], field).copy()
        damaged[rng.integers(len(damaged))] = rng.choice([2**31, 51, 7, 0])
        shard = dataclasses.replace(index.shards[0], **{field: damaged})
        try:
            NgramIndex(index.settings, [shard]).longest_match(tokens)
        except NgramstatError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert all("damaged" in message for message in messages)


def test_results_do_not_depend_on_threads(token_dtype):
    rng = np.random.default_rng(1)
    corpus = rng.integers(0, 9, 20_000).astype(token_dtype)
    text = rng.integers(0, 9, 5_000).astype(token_dtype)
    index = NgramIndex.build(corpus, threads=1)
    results = [index.longest_match(text, threads=threads) for threads in (1, 2, 5)]
    for field in ("lengths", "occurrences", "positions", "documents"):
        first, *others = (getattr(result, field) for result in results)
        assert all(np.array_equal(first, other) for other in others)
