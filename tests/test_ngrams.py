"""N-gram tables against Counter: in memory, in batches, in files, on the command line."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner

import ngramstat
import reference
from ngramstat import Corpus, InputError, NgramTable
from ngramstat.cli import main

SUFFIXES = [".npz", "", ".parquet", ".arrow", ".feather", ".csv", ".tsv"]


def random_documents(seed, *, vocab_size=5, documents=12):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 40, documents)
    return [rng.integers(0, vocab_size, n).tolist() for n in lengths]


def rows_of(table):
    """As pairs of an n-gram and its count, in the order of the table."""
    return list(zip(map(tuple, table.tokens.tolist()), table.counts.tolist(), strict=True))


def counted(documents, n):
    """As nltk.ngrams with a FreqDist, or CountVectorizer of one order, would."""
    return Counter(tuple(d[i : i + n]) for d in documents for i in range(len(d) - n + 1))


@pytest.mark.parametrize("method", ["suffixes", "hash"])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 20])
def test_ngrams_of_documents_and_of_the_stream(n, method):
    documents = random_documents(n)
    inside = ngramstat.ngrams(documents, n, boundary="document", method=method)
    assert rows_of(inside) == sorted(counted(documents, n).items())
    across = ngramstat.ngrams(documents, n, min_count=2, method=method)
    stream = [x for d in documents for x in d]
    expected = counted([stream], n)
    assert rows_of(across) == sorted((g, c) for g, c in expected.items() if c >= 2)
    assert inside.n == n
    assert inside.tokens.shape == (len(inside), n)
    assert inside.followers is inside.predecessors is inside.documents is None


def test_documents_with_separators():
    """With a separator the last n-grams of a document hold it."""
    documents = [[1, 2], [1], [2, 1, 2]]
    corpus = Corpus.from_documents(documents, separator=0)
    table = ngramstat.ngrams(corpus, 2, boundary="document", documents=True)
    expected = counted([[*d, 0] for d in documents], 2)
    assert rows_of(table) == sorted(expected.items())
    assert dict(zip(map(tuple, table.tokens.tolist()), table.documents.tolist(), strict=True)) == {
        (1, 0): 1, (1, 2): 2, (2, 0): 2, (2, 1): 1,
    }  # fmt: skip


@pytest.mark.parametrize("boundary", ["stream", "document"])
def test_what_is_counted_besides(boundary):
    documents = random_documents(5, vocab_size=3)
    stream = [x for d in documents for x in d]
    ends = np.cumsum([len(d) for d in documents]).tolist()
    units = reference.documents(ends) if boundary == "document" else [(0, len(stream))]
    tables = ngramstat.ngrams(
        documents, [4, 1, 2], boundary=boundary, min_count=2,
        followers=True, predecessors=True, documents=True,
    )  # fmt: skip
    assert list(tables) == [1, 2, 4]
    for n, table in tables.items():
        columns = (table.counts, table.followers, table.predecessors, table.documents)
        found = zip(map(tuple, table.tokens.tolist()), zip(*columns, strict=True), strict=True)
        assert list(found) == list(reference.ngram_table(stream, n, units, ends, 2).items())


@pytest.mark.parametrize("method", ["auto", "suffixes", "hash"])
@pytest.mark.parametrize("k", [1, 3, 10, 1000])
@pytest.mark.parametrize("memory_limit", [None, 1 << 20])
def test_the_most_frequent(k, memory_limit, method):
    documents = random_documents(9, vocab_size=4)
    counts = counted([[x for d in documents for x in d]], 3)
    expected = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    options = {"method": method, "memory_limit": memory_limit}
    assert rows_of(ngramstat.ngrams(documents, 3, top=k, **options)) == expected[:k]
    in_order = ngramstat.ngrams(documents, 3, top=k, sort="tokens", **options)
    assert rows_of(in_order) == sorted(expected[:k])
    assert rows_of(ngramstat.ngrams(documents, 3, sort="count", method=method)) == expected
    several = ngramstat.ngrams(documents, [2, 3], top=k, **options)
    assert rows_of(several[3]) == expected[:k]


def test_methods_are_the_same_and_hashing_refuses_what_it_cannot(tmp_path):
    corpus = random_documents(21, vocab_size=70_000)
    for options in ({}, {"min_count": 2, "boundary": "document"}, {"sort": "count"}):
        tables = [
            ngramstat.ngrams(corpus, [1, 2, 4], method=method, **options)
            for method in ("auto", "suffixes", "hash")
        ]
        for n in (1, 2, 4):
            assert rows_of(tables[0][n]) == rows_of(tables[1][n]) == rows_of(tables[2][n])
    for method in ("suffixes", "hash"):
        path = tmp_path / f"{method}.npz"
        ngramstat.write_ngrams(corpus, path, 2, sort="count", method=method)
    contents = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    assert contents[0] == contents[1]
    with pytest.raises(InputError, match="8 tokens do not fit"):
        ngramstat.ngrams(corpus, 8, method="hash")
    with pytest.raises(InputError, match="occurrences alone"):
        ngramstat.ngrams(corpus, 2, method="hash", followers=True)
    with pytest.raises(InputError, match="method 'tree'"):
        ngramstat.ngrams(corpus, 2, method="tree")
    assert len(ngramstat.ngrams(corpus, 8)) > 0


def test_batches_are_the_table():
    documents = random_documents(11, documents=40)
    whole = ngramstat.ngrams(documents, 3)
    for options in ({"batch_size": 7}, {"batch_size": 7, "memory_limit": 1 << 20}, {}):
        batches = list(ngramstat.ngram_batches(documents, 3, **options))
        assert all(len(b) <= options.get("batch_size", 1 << 20) for b in batches)
        assert np.array_equal(np.concatenate([b.tokens for b in batches]), whole.tokens)
        assert np.array_equal(np.concatenate([b.counts for b in batches]), whole.counts)
    both = list(ngramstat.ngram_batches(documents, [1, 3], batch_size=50))
    assert {b.n for b in both} == {1, 3}
    assert np.array_equal(np.concatenate([b.counts for b in both if b.n == 3]), whole.counts)


@pytest.mark.parametrize("sort", ["tokens", "count"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files(tmp_path, suffix, sort, monkeypatch):
    # Several pieces of everything.
    monkeypatch.setattr("ngramstat.counts.count_sort._ROWS", 30)
    monkeypatch.setattr("ngramstat.counts.ngrams._BATCH", 50)
    documents = random_documents(13, documents=40)
    path = tmp_path / f"table{suffix}"
    written = ngramstat.write_ngrams(documents, path, 3, sort=sort, documents=True)
    expected = ngramstat.ngrams(documents, 3, sort=sort, documents=True)
    assert written == {str(path): len(expected)}
    assert len(expected) > 100
    saved = tmp_path / f"saved{suffix}"
    expected.save(saved)
    for table in (NgramTable.load(path), NgramTable.load(saved)):
        assert rows_of(table) == rows_of(expected)
        assert table.documents.tolist() == expected.documents.tolist()
        assert table.followers is None
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, saved.name])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_empty_tables_and_several_orders(tmp_path, suffix):
    path = tmp_path / f"t{{n}}{suffix}"
    written = ngramstat.write_ngrams([1, 2, 1, 2, 3], path, [1, 2], min_count=2)
    assert list(written.values()) == [2, 1]
    assert rows_of(NgramTable.load(tmp_path / f"t2{suffix}")) == [((1, 2), 2)]
    for sort in ("tokens", "count"):
        empty = tmp_path / f"{sort}{suffix}"
        assert ngramstat.write_ngrams([1, 2, 3], empty, 9, sort=sort) == {str(empty): 0}
        table = NgramTable.load(empty)
        assert (len(table), table.n) == (0, 9)


def test_other_packages(tmp_path):
    table = ngramstat.ngrams([3, 1, 3, 1, 2], 2, predecessors=True)
    names = ["token_0", "token_1", "counts", "predecessors"]
    assert list(table.columns()) == names
    assert table.to_arrow().column_names == names
    assert table.to_pandas()["counts"].tolist() == table.counts.tolist()
    assert table.to_polars()["token_1"].to_list() == table.tokens[:, 1].tolist()
    assert "3 n-grams of 2 tokens" in repr(table)
    assert all(table.tokens[:, i].flags.contiguous for i in range(2))
    first = table.select(table.counts == 2)
    assert rows_of(first) == [((3, 1), 2)]


@pytest.fixture(scope="module")
def text_corpus(tmp_path_factory):
    directory = tmp_path_factory.mktemp("text") / "corpus"
    text = tmp_path_factory.mktemp("text") / "text.txt"
    lines = ["the cat sat on the mat", "the dog sat on the log", "a cät and a dog"]
    text.write_text("\n".join(lines * 5) + "\n", encoding="utf-8")
    ngramstat.tokenize([text], directory, vocab_size=280, document="line")
    return directory


def test_decoded_text(text_corpus, tmp_path):
    corpus = Corpus.open(text_corpus)
    table = ngramstat.ngrams(corpus, 3, top=5)
    joined = ["".join(corpus.decode(gram)) for gram in table.tokens]
    assert table.texts() == joined
    ngramstat.write_ngrams(corpus, tmp_path / "t.csv", 3, text=True)
    assert (tmp_path / "t.csv").read_text(encoding="utf-8").startswith("token_0,token_1,token_2,")
    whole = NgramTable.load(tmp_path / "t.csv")
    assert rows_of(whole) == rows_of(ngramstat.ngrams(corpus, 3))
    with pytest.raises(InputError, match="no tokenizer"):
        ngramstat.ngrams([1, 2, 3], 1).texts()
    with pytest.raises(InputError, match="no tokenizer"):
        ngramstat.write_ngrams([1, 2, 3], tmp_path / "u.csv", 1, text=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n=0: must lie between 1 and 255"),
        ({"n": 256}, "between 1 and 255"),
        ({"n": 255, "followers": True}, "between 1 and 254"),
        ({"n": []}, "needs a number"),
        ({"n": 2.5}, "n=2.5"),
        ({"min_count": 0}, "min_count=0"),
        ({"top": 0}, "top=0"),
        ({"sort": "size"}, "sort 'size'"),
        ({"boundary": "page"}, "boundary='page'"),
        ({"boundary": "document"}, "no documents to stay inside"),
        ({"documents": True}, "no documents to count"),
        ({"followers": 1}, "followers=1"),
        ({"threads": 0}, "threads=0"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        ngramstat.ngrams(**{"corpus": [1, 2, 3], "n": 2, **options})


def test_files_that_are_refused(tmp_path):
    corpus = [1, 2, 1]
    for name, message in [
        ("t.txt", "unknown suffix"),
        ("missing/t.npz", "cannot be written"),
        ("missing/t", "cannot be written"),
    ]:
        with pytest.raises(InputError, match=message):
            ngramstat.write_ngrams(corpus, tmp_path / name, 1)
    with pytest.raises(InputError, match=r"write \{n\} where the order"):
        ngramstat.write_ngrams(corpus, tmp_path / "t.npz", [1, 2])
    ngramstat.write_ngrams(corpus, tmp_path / "t", 1)
    with pytest.raises(InputError, match="exists"):
        ngramstat.write_ngrams(corpus, tmp_path / "t", 1)
    with pytest.raises(InputError, match="numbers alone"):
        ngramstat.ngrams(corpus, 1).save(tmp_path / "u.npz", text=True)
    for name, content in [("x.npz", b"PK"), ("x.parquet", b"PAR1"), ("x.csv", b"a,b\n1,2\n")]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            NgramTable.load(tmp_path / name)


def test_a_table_beyond_the_memory_limit_is_refused():
    tokens = np.random.default_rng(1).integers(0, 3, 60_000).astype(np.uint16)
    with pytest.raises(InputError, match="does not fit into the memory limit"):
        ngramstat.ngrams(tokens, 16, memory_limit=1 << 20)
    distinct = len(ngramstat.ngrams(tokens, 16))
    assert sum(map(len, ngramstat.ngram_batches(tokens, 16, memory_limit=1 << 20))) == distinct


def test_tokens_outside_the_vocabulary():
    tokens = np.array([0, 1, 9], np.uint16)
    corpus = Corpus(tokens, 9)
    with pytest.raises(InputError, match="token 9 at position 2"):
        ngramstat.ngrams(corpus, 2)
    with pytest.raises(InputError, match="token 9 at position 2"):
        ngramstat.collocations(corpus)


def invoke(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_the_commands(text_corpus, tmp_path):
    done = invoke("counts", "ngrams", text_corpus, "-n", "2", "--top", 3, "--with", "documents")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].split() == ["counts", "documents", "tokens", "text"]
    assert len(lines) == 4
    done = invoke("counts", "ngrams", text_corpus, "-n", "1,2", "--top", 3, "--json", "--quiet")
    table = ngramstat.ngrams(text_corpus, 2, top=3)
    assert json.loads(done.stdout)["2"]["counts"] == table.counts.tolist()
    path = tmp_path / "t.csv"
    done = invoke(
        "counts", "ngrams", text_corpus, "-n", 2, "-o", path, "--sort", "count", "--decode",
        "--min-count", 2, "--boundary", "document", "--memory-limit", "1G",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    expected = ngramstat.ngrams(text_corpus, 2, min_count=2, sort="count", boundary="document")
    assert rows_of(NgramTable.load(path)) == rows_of(expected)
    assert f"Wrote {path}: {len(expected)} n-grams" in done.output
    done = invoke("counts", "ngrams", text_corpus, "-n", 2, "-o", tmp_path / "t.x")
    assert done.exit_code == 2
    assert "unknown suffix" in done.output
    done = invoke("counts", "collocations", text_corpus, "--min-count", 2, "--top", 4)
    assert done.exit_code == 0, done.output
    assert len(done.output.splitlines()) == 5
    done = invoke(
        "counts", "collocations", text_corpus, "--min-count", 2, "-o", tmp_path / "c.csv",
        "--decode", "--measure", "pmi",
    )  # fmt: skip
    assert done.exit_code == 0, done.output


def test_each_order_is_given_once():
    assert len(ngramstat.ngrams([1, 2, 1], [2, 1])) == 2
    with pytest.raises(InputError, match=r"n=\[1, 1, 2\]: each may be given once"):
        ngramstat.ngrams([1, 2, 1], [1, 2, 1])
