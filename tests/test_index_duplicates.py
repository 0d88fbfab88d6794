"""Sequences that occur several times in an index, against counting every one of them."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner

from indexes import make_index, random_case
from ngramstat import Corpus, InputError
from ngramstat.cli.main import main
from ngramstat.index.ngram_index import NgramIndex

# Random corpora of a seed; the nightly ones are many.
SEEDS = [(0, 60), (1, 60), pytest.param(2, 4000, marks=pytest.mark.nightly)]


def placed_sequences(case) -> list[tuple[int, list[int]]]:
    """What a match must stay inside, with its position in the corpus."""
    if case.index.boundary == "stream":
        return [(0, case.stream)]
    starts = np.cumsum([0, *map(len, case.documents)]).tolist()
    return list(zip(starts, case.documents, strict=False))


def repeated_windows(case, size, keep_first) -> set[int]:
    """Where sequences of `size` tokens begin that occur twice."""
    places = defaultdict(list)
    for start, sequence in placed_sequences(case):
        for i in range(len(sequence) - size + 1):
            places[tuple(sequence[i : i + size])].append(start + i)
    return {p for found in places.values() if len(found) > 1 for p in sorted(found)[keep_first:]}


def longest_repeats(case) -> dict[int, int]:
    """Tokens of the longest sequence at each position that also occurs elsewhere."""
    suffixes = [
        (start + i, sequence[i:])
        for start, sequence in placed_sequences(case)
        for i in range(len(sequence))
    ]
    return {p: max((shared(a, b) for q, b in suffixes if q != p), default=0) for p, a in suffixes}


def shared(a, b) -> int:
    """Symbols that two sequences begin with."""
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


def count(case, sought) -> int:
    size = len(sought)
    return sum(
        sequence[i : i + size] == sought
        for _, sequence in placed_sequences(case)
        for i in range(len(sequence) - size + 1)
    )


@pytest.mark.parametrize(("seed", "n_cases"), SEEDS)
def test_duplicates_equal_plain_counting(seed, n_cases, monkeypatch):
    rng = np.random.default_rng(seed)
    for _ in range(n_cases):
        monkeypatch.setattr("ngramstat.index.duplicates._SUFFIXES", int(rng.choice([1, 9, 10**6])))
        monkeypatch.setattr("ngramstat.index.duplicates._POSITIONS", int(rng.choice([8, 10**6])))
        monkeypatch.setattr("ngramstat.index.duplicates._QUERIES", int(rng.choice([1, 3, 10**6])))
        case = random_case(rng)
        limit = case.index.max_query_length
        size = int(rng.integers(1, min(limit or 5, 5) + 1))
        keep_first = bool(rng.random() < 0.5)
        found = case.index.duplicates(size, keep_first=keep_first, threads=int(rng.integers(1, 4)))
        begins = repeated_windows(case, size, keep_first)
        repeated = {i for p in begins for i in range(p, p + size)}
        assert set(np.flatnonzero(found.token_marks()).tolist()) == repeated
        assert found.windows == len(begins)
        assert found.repeated == len(repeated)
        assert (found.ranges[:, 0] < found.ranges[:, 1]).all()
        assert (found.ranges[1:, 0] >= found.ranges[:-1, 1]).all()
        starts = np.cumsum([0, *map(len, case.documents)])
        assert found.document_tokens.tolist() == np.diff(starts).tolist()
        assert found.document_repeated.tolist() == [
            len(repeated & set(range(a, b))) for a, b in pairwise(starts)
        ]
        check_spans(case, found, begins, starts)


def check_spans(case, found, begins, starts) -> None:
    spans = [
        dict(zip([f.name for f in dataclasses.fields(batch)], row, strict=True))
        for batch in found.spans()
        for row in zip(*dataclasses.astuple(batch), strict=True)
    ]
    covered = set()
    for span in spans:
        p, q, length = int(span["positions"]), int(span["other_positions"]), int(span["lengths"])
        text = case.stream[p : p + length]
        assert length >= found.min_length
        assert p != q
        assert case.stream[q : q + length] == text
        assert starts[span["documents"]] <= p < starts[span["documents"] + 1]
        assert span["starts"] == p - starts[span["documents"]]
        assert starts[span["other_documents"]] <= q < starts[span["other_documents"] + 1]
        if not span["capped"]:
            assert span["occurrences"] == count(case, text)
        covered |= set(range(p, p + length))
    assert set(np.flatnonzero(found.token_marks()).tolist()) <= covered
    if case.index.max_query_length is None:
        repeats = longest_repeats(case)
        expected, reached = [], 0
        for p in sorted(begins):
            if p + repeats[p] > reached:
                reached = p + repeats[p]
                expected.append((p, repeats[p]))
        assert [(span["positions"], span["lengths"]) for span in spans] == expected


def test_threads_and_pieces_do_not_change_the_result(token_dtype):
    rng = np.random.default_rng(2)
    corpus = rng.integers(0, 4, 600_000).astype(token_dtype)  # several pieces for a kernel's tasks
    index = NgramIndex.build(corpus, threads=2, depth=12)
    one, two = (index.duplicates(9, threads=threads) for threads in (1, 3))
    assert np.array_equal(one.ranges, two.ranges)
    windows = np.lib.stride_tricks.sliding_window_view(corpus, 9).astype(np.int64)
    keys = windows @ (4 ** np.arange(9))
    _, numbers, counts = np.unique(keys, return_inverse=True, return_counts=True)
    assert one.windows == int((counts[numbers] > 1).sum())
    first = index.duplicates(9, keep_first=True, threads=2)
    assert first.windows == one.windows - int((counts > 1).sum())


TEXTS = ["one two three four five six seven", "eight nine", "zero one two three four five six ten"]


def test_files_of_spans_and_ranges(tmp_path):
    corpus = Corpus.from_texts(TEXTS, vocab_size=300)
    index = NgramIndex.build(corpus, tmp_path / "index", boundary="document")
    found = index.duplicates(4)
    table = found.to_pandas()
    assert table.document.tolist() == [0, 2]
    assert table.other_document.tolist() == [2, 0]
    assert all("three four five six" in text for text in table.text)
    assert found.save_spans(tmp_path / "spans.jsonl") == 2
    rows = [json.loads(line) for line in (tmp_path / "spans.jsonl").read_text().splitlines()]
    assert rows == table.to_dict("records")
    found.save_ranges(tmp_path / "ranges.csv")
    ranges = list(csv.DictReader((tmp_path / "ranges.csv").read_text().splitlines()))
    assert [int(row["position"]) for row in ranges] == found.ranges[:, 0].tolist()
    with pytest.raises(InputError, match="must end with"):
        found.save_ranges(tmp_path / "ranges.txt")

    output = tmp_path / "spans.parquet"
    arguments = ["index", "duplicates", str(index.path), "--min-length", "4"]
    done = CliRunner().invoke(main, [*arguments, "-o", str(output), "--json"])
    assert json.loads(done.stdout) == found.summary()
    pq = pytest.importorskip("pyarrow.parquet")
    assert pq.read_table(output).to_pylist() == rows
    done = CliRunner().invoke(main, [*arguments, "--keep-first"])
    assert "1 range in 1 of 3 documents" in done.output


def test_documents_repeated_as_a_whole():
    index = NgramIndex.build([[1, 2, 3], [1, 2, 3], [4, 5, 6, 7]], boundary="document")
    found = index.duplicates(3)
    assert found.ranges.tolist() == [[0, 3], [3, 6]]
    assert found.summary()["documents_repeated_whole"] == 2
    assert index.duplicates(3, keep_first=True).ranges.tolist() == [[3, 6]]


def test_lengths_that_cannot_be_found():
    index = NgramIndex.build([1, 2, 3, 1, 2], depth=4)
    with pytest.raises(InputError, match="min_length 5: the index finds matches of up to 4 tokens"):
        index.duplicates(5)
    with pytest.raises(InputError, match="must be at least 1"):
        index.duplicates(0)
    assert index.duplicates(4).share == 0
    assert index.duplicates(2).ranges.tolist() == [[0, 2], [3, 5]]


@pytest.mark.parametrize("field", ["suffixes", "token_starts"])
def test_damaged_indexes_do_not_crash(field):
    rng = np.random.default_rng(6)
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
            list(NgramIndex(index.settings, [shard]).duplicates(3).spans())
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert all("damaged" in message for message in messages)
