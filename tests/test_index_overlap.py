"""Longest matches of new text in an index, against a search for every sequence."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner

from indexes import make_index, random_case
from ngramstat import Corpus, InputError, tokenize
from ngramstat.cli.main import main
from ngramstat.index.ngram_index import NgramIndex
from ngramstat.kernels import Documents, mark_copies

# Random corpora of a seed; the nightly ones are many.
SEEDS = [(0, 60), (1, 60), pytest.param(2, 4000, marks=pytest.mark.nightly)]


def occurrences(sequences, sought) -> list[tuple[int, int]]:
    """(sequence, offset) of every occurrence."""
    size = len(sought)
    return [
        (number, i)
        for number, sequence in enumerate(sequences)
        for i in range(len(sequence) - size + 1)
        if sequence[i : i + size] == sought
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


@pytest.mark.parametrize(("seed", "n_cases"), SEEDS)
def test_longest_matches_equal_a_search(seed, n_cases):
    rng = np.random.default_rng(seed)
    for _ in range(n_cases):
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


def check_place(case, sought, found, at) -> None:
    position, number = int(found.positions[at]), int(found.documents[at])
    if not sought:
        assert (position, number) == (-1, -1)
        return
    stream = case.stream
    assert stream[position : position + len(sought)] == sought
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
    assert index.longest_match([[1, 2], [], [5]]).lengths.tolist() == [2, 1, 1]
    result = index.overlap([[], [1, 2], [], [9 % 5, 1, 2]], min_length=2)
    assert result.document_tokens.tolist() == [0, 2, 0, 3]
    assert result.document_covered.tolist() == [0, 2, 0, 3]
    for wrong in ([[1, 2], [0.5]], [[-1]], [[[1]]], [1, 2, "text"]):
        with pytest.raises(InputError, match="tokens: "):
            index.longest_match(wrong)
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
        except InputError as error:
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


def windows_covered(sequences, document, size) -> list[bool]:
    """Tokens of a document inside a sequence of `size` tokens that occurs."""
    covered = [False] * len(document)
    for i in range(len(document) - size + 1):
        if occurrences(sequences, document[i : i + size]):
            covered[i : i + size] = [True] * size
    return covered


@pytest.mark.parametrize(("seed", "n_cases"), SEEDS)
def test_overlap_equals_a_search(seed, n_cases, monkeypatch):
    rng = np.random.default_rng(100 + seed)
    for _ in range(n_cases):
        # Small steps, whose bounds spans cross.
        monkeypatch.setattr("ngramstat.index.overlap._QUERIES", int(rng.integers(1, 9)))
        case = random_case(rng)
        documents = new_documents(rng, case)
        limit = case.index.max_query_length or 1000
        size = int(rng.integers(1, min(limit, 5) + 1))
        result = case.index.overlap(documents, min_length=size, min_share=0.5, threads=1)
        assert result.document_tokens.tolist() == list(map(len, documents))
        for number, document in enumerate(documents):
            covered = windows_covered(case.sequences, document, size)
            assert result.document_covered[number] == sum(covered)
            assert result.contaminated[number] == (sum(covered) >= max(1, len(document) / 2))
            lengths = [longest(case.sequences, document, i, 1000) for i in range(len(document))]
            assert min(limit, max(lengths)) <= result.document_longest[number] <= max(lengths)
            own = np.flatnonzero(result.span_documents == number)
            check_spans(case, document, size, result, own)
            inside = set()
            for span in own:
                start = int(result.span_starts[span])
                inside |= set(range(start, start + int(result.spans.lengths[span])))
            assert inside == set(np.flatnonzero(covered).tolist())


def check_spans(case, document, size, result, own) -> None:
    """Every span is a copy, and without a limit no other is longer."""
    spans = result.spans
    bounds = [
        (int(start), int(start + length))
        for start, length in zip(result.span_starts[own], spans.lengths[own], strict=True)
    ]
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(bounds))
    for number, (start, end) in zip(own, bounds, strict=True):
        assert end - start >= size
        position = int(spans.positions[number])
        assert case.stream[position : position + end - start] == document[start:end]
        if not spans.capped[number]:
            found = occurrences(case.sequences, document[start:end])
            assert spans.occurrences[number] == len(found)
    if case.index.max_query_length is None:
        ends = [i + longest(case.sequences, document, i, 1000) for i in range(len(document))]
        expected = [
            (i, end)
            for i, end in enumerate(ends)
            if end - i >= size and (i == 0 or end > ends[i - 1])
        ]
        assert bounds == expected


def test_overlap_covers_what_mark_copies_marks():
    rng = np.random.default_rng(3)
    training = rng.integers(0, 30, 4000).astype(np.uint16)
    documents = [
        np.concatenate([rng.integers(0, 30, 50), training[i : i + 40], rng.integers(0, 30, 9)])
        for i in (0, 700, 3960)
    ]
    ends = np.cumsum([len(document) for document in documents])
    text = np.concatenate(documents).astype(np.uint16)
    marks = mark_copies(text, Documents(ends), training, length=12)
    found = NgramIndex.build(training, threads=1).longest_match(documents)
    assert marks.sum() >= 120
    assert np.array_equal(found.covered(12), marks)


TRAINING = [
    "What is the capital of the country in which the river Rhine begins? Bern is its capital.",
    "The quick brown fox jumps over the lazy dog, and the dog does not look up from its sleep.",
    "Nothing of this is in the benchmark.",
]
BENCHMARK = [
    "Question: What is the capital of the country in which the river Rhine begins?",
    "How many legs has a spider?",
    "",
    "The quick brown fox jumps over the lazy dog, and nobody wonders.",
]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    corpus = Corpus.from_texts(TRAINING * 20, vocab_size=400)
    return NgramIndex.build(corpus, tmp_path_factory.mktemp("index") / "i", boundary="document")


def test_reports_of_a_benchmark(indexed, tmp_path):
    result = indexed.overlap(BENCHMARK, min_length=8)
    assert result.contaminated.tolist() == [True, False, False, True]
    assert result.document_tokens[2] == 0
    texts = [result.text(number) for number in range(len(result.spans))]
    assert texts[0].strip() in BENCHMARK[0]
    assert texts[0].endswith("the river Rhine begins?")
    assert result.spans.documents[0] % 3 == 0
    summary = result.summary()
    assert summary["contaminated_documents"] == 2
    assert summary["index"]["documents"] == 60
    assert 0 < summary["share"] < 1

    result.save(tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report == result.to_dict()
    assert [document["document"] for document in report["found"]] == [0, 3]
    result.save(tmp_path / "r.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert lines == report["found"]
    result.save(tmp_path / "r.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "r.csv").read_text())))
    assert [row["text"] for row in rows] == texts
    assert int(rows[0]["corpus_position"]) == result.spans.positions[0]
    pq = pytest.importorskip("pyarrow.parquet")
    result.save(tmp_path / "r.parquet")
    assert pq.read_table(tmp_path / "r.parquet").column("length").to_pylist() == (
        result.spans.lengths.tolist()
    )
    with pytest.raises(InputError, match="must end with"):
        result.save(tmp_path / "r.txt")


def test_separators_of_new_documents_belong_to_no_span(indexed):
    whole = indexed.overlap(TRAINING[:1], min_length=5)
    corpus = Corpus.from_texts(TRAINING[:1], tokenizer=indexed.tokenizer.path)
    separated = indexed.overlap(corpus, min_length=5)
    assert separated.tokens == corpus.n_tokens - 1 == whole.tokens
    assert separated.share == whole.share == 1
    # As a sequence of tokens, the separator is one of them.
    assert indexed.longest_match(corpus).lengths[0] == corpus.n_tokens


def test_options_that_cannot_be(indexed):
    with pytest.raises(InputError, match="min_length 0: must be at least 1"):
        indexed.overlap(BENCHMARK, min_length=0)
    with pytest.raises(InputError, match="must lie between 0 and 1"):
        indexed.overlap(BENCHMARK, min_share=1.5)
    with pytest.raises(InputError, match="item 1 is int"):
        indexed.overlap(["text", 3])


def test_the_command_reads_text_and_tokens(indexed, tmp_path):
    def run(*arguments):
        words = map(str, [indexed.path, *arguments])
        return CliRunner().invoke(main, ["index", "overlap", *words])

    benchmark, output = tmp_path / "benchmark.jsonl", tmp_path / "report.json"
    benchmark.write_text("".join(json.dumps({"question": text}) + "\n" for text in BENCHMARK))
    arguments = [benchmark, "--text-field", "question", "--min-length", 8]
    done = run(*arguments, "-o", output)
    assert done.exit_code == 0, done.output
    assert "2 of 4 documents (50.0%) share 8 tokens or more" in done.output
    report = json.loads(output.read_text())
    assert [document["document"] for document in report["found"]] == [0, 3]

    tokens, tokenizer = tmp_path / "tokens", indexed.tokenizer.path
    tokenize([benchmark], tokens, tokenizer=tokenizer, text_field="question")
    assert json.loads(run(tokens, "--min-length", 8, "--json").stdout) == report

    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join(BENCHMARK))
    done = run(lines, "--document", "line", "--min-length", 8, "--min-share", 0.9)
    assert "0 of 4 documents (0.0%)" in done.output
    done = run(lines, "--document", "line", "--min-length", 8, "--min-share", 0.5)
    assert "1 of 4 documents (25.0%)" in done.output
    assert run(*arguments, "-o", tmp_path / "r.txt").exit_code == 2


def test_a_path_as_a_string_is_refused(tmp_path):
    index = NgramIndex.build([1, 2, 3, 1, 2])
    (tmp_path / "store").mkdir()
    for path in ("nope.jsonl", "data/part-*.parquet", "a.txt.gz", str(tmp_path / "store")):
        for ask in (index.overlap, index.longest_match):
            with pytest.raises(InputError, match=r"pass pathlib\.Path\(\.\.\.\).* or \[text\]"):
                ask(path)
    for text in (["nope.jsonl"], "see nope.jsonl", "and/or"):
        with pytest.raises(InputError, match="is text, but the corpus"):
            index.overlap(text)


@pytest.mark.parametrize("tokens", [[1.5], (1.0, 2.0), np.ones(3), np.ones((2, 2)), [[1.5]]])
def test_token_ids_are_integers(tokens):
    index = NgramIndex.build([1, 2, 3, 1, 2])
    with pytest.raises(InputError, match="token ids must be integers, not float64"):
        index.longest_match(tokens)
