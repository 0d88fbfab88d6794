"""`NgramIndex` against plain counting, and how it refuses what it cannot answer."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

from ngramstat import Corpus, InputError
from ngramstat.boundary import Boundary
from ngramstat.cli import main
from ngramstat.index.ngram_index import NgramIndex
from reference_index import PlainCorpus, plain_shards, random_corpus


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


# A stream with wide ranges of suffixes, through all ways to count next tokens.
@pytest.mark.parametrize("samples", [True, False])
def test_wide_ranges_equal_counts_by_numpy(samples):
    rng = np.random.default_rng(3)
    tokens = np.minimum(rng.zipf(1.5, size=60_000), 40) - 1
    corpus = Corpus.from_arrays(tokens.astype(np.uint16), vocab_size=40)
    index = NgramIndex.build(corpus)
    assert "samples" in index.shards[0].extra
    if not samples:
        shards = [dataclasses.replace(shard, extra={}) for shard in index.shards]
        index = NgramIndex(index.settings, shards)
    for n in (1, 2, 3, 4):
        windows = np.lib.stride_tricks.sliding_window_view(tokens, n + 1)
        ngrams, counts = np.unique(windows, axis=0, return_counts=True)
        assert np.array_equal(index.count(ngrams), counts)
        contexts, which = np.unique(ngrams[:, :-1], axis=0, return_inverse=True)
        rows = np.zeros((len(contexts), 40), np.int64)
        rows[which.reshape(-1), ngrams[:, -1]] = counts
        assert np.array_equal(index.count_next(contexts, threads=2), rows)


def test_documents_in_several_shards_are_counted_once():
    rng = np.random.default_rng(4)
    documents = [rng.integers(3, size=size).tolist() for size in (30, 5, 200, 7)]
    corpus = Corpus.from_documents(documents, vocab_size=3)
    index = NgramIndex.build(corpus, shard_tokens=40)
    assert len(index.shards) > 4
    plain = PlainCorpus(documents, 3, None, Boundary.STREAM)
    for ngram in pieces(rng, plain, 4, 60):
        places = plain.positions(ngram)
        where = [plain.document_of(p) for p in places]
        found = index.positions(ngram)
        assert list(found) == places
        assert list(zip(found.documents, found.offsets, strict=True)) == where
        assert index.count_documents(ngram) == len({d for d, _ in where})
        for match in index.find(ngram, context=50, limit=2):
            number, offset = plain.document_of(match.position + len(ngram) - 1)
            assert match.right.tolist() == documents[number][offset + 1 : offset + 51]


@pytest.fixture(scope="module")
def texts():
    return NgramIndex.build(
        Corpus.from_texts(["the cat sat on the mat", "the dog sat on the cat"], vocab_size=280)
    )


def test_text_is_a_query(texts):
    assert texts.count("the cat") == 1
    assert texts.count([" the", " sat on the"]).tolist() == [2, 2]
    assert texts.contains("the dog") is True
    assert texts.count(texts.encode(" sat")) == 2
    (match, *_) = texts.find(" cat", context=100)
    assert (match.left_text, match.text) == ("the", " cat")
    assert match.right_text.startswith(" sat on the mat")
    assert texts.documents(" cat").tolist() == [0, 1]


def test_one_query_gives_a_number_and_several_an_array(texts):
    assert isinstance(texts.count([1]), int)
    assert texts.count([[1]]).shape == (1,)
    assert texts.count(np.zeros((0, 3), np.int64)).shape == (0,)
    assert texts.count_next([1]).shape == (texts.vocab_size,)
    assert texts.count_next([]).sum() == texts.n_tokens
    assert texts.count_next([[1], [1, 2]]).shape == (2, texts.vocab_size)
    assert texts.next_distribution([[1]]).shape == (1, texts.vocab_size)
    with pytest.raises(InputError, match="sparse"):
        texts.count_next([[1]] * 10, memory_limit=100)


def test_next_counts_in_other_forms(texts):
    counts = texts.count_next([[], [1]], sparse=True)
    assert np.array_equal(counts.to_csr().toarray(), texts.count_next([[], [1]]))
    tokens, numbers = counts.top(3)[0]
    dense = texts.count_next([])
    order = np.lexsort((np.arange(dense.size), -dense))[:3]
    assert tokens.tolist() == order.tolist()
    assert numbers.tolist() == dense[order].tolist()
    assert counts.totals.tolist() == [texts.n_tokens, int(texts.count_next([1]).sum())]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda i: i.count([]), "empty"),
        (lambda i: i.count([[1], []]), "query 1 is empty"),
        (lambda i: i.count([300]), "the id 300"),
        (lambda i: i.count([[1, 2], [3, -1]]), "the id -1 of query 1"),
        (lambda i: i.count([[1], [2, 999]]), "the id 999 of query 1"),
        (lambda i: i.count([0.5]), "integers"),
        (lambda i: i.count([True]), "integers"),
        (lambda i: i.count(7), "needs token ids"),
        (lambda i: i.count({1, 2}), "needs token ids"),
        (lambda i: i.count(np.zeros((1, 1, 1), int)), "3 dimensions"),
        (lambda i: i.count([1 << 70]), "needs token ids"),
        (lambda i: i.count(["a", 3]), "item 1"),
        (lambda i: i.positions([[1], [2]]), "several"),
        (lambda i: i.positions([]), "empty"),
        (lambda i: i.find([]), "empty"),
        (lambda i: i.positions([1], limit=-1), "limit"),
        (lambda i: i.prob([1], [1, 2]), "tokens: 2 tokens for 1 contexts"),
        (lambda i: i.prob([1], 280), "the id 280"),
        (lambda i: i.prob([1], 1, backoff=True, max_context=0), "max_context"),
        (lambda i: i.find_cnf([]), "no clause"),
        (lambda i: i.find_cnf([[]]), "clause 0"),
        (lambda i: i.find_cnf([[1, 2]]), "n-gram by itself"),
        (lambda i: i.find_cnf([[[1]]], max_diff_tokens=0), "max_diff_tokens"),
        (lambda i: i.sample(3, temperature=-1), "temperature"),
        (lambda i: i.sample(-1), "n_tokens"),
        (lambda i: i.sample(3, order=0), "order"),
        (lambda i: i.sample(3, prompt=[[1], [2]]), "prompt"),
    ],
)
def test_what_cannot_be_answered_is_refused(texts, ask, message):
    with pytest.raises(InputError, match=message) as caught:
        ask(texts)
    assert "\n" not in str(caught.value)


def test_longer_queries_than_the_depth_are_refused():
    index = NgramIndex.build([0, 1, 2, 0, 1, 2, 1], depth=3)
    assert index.count([0, 1, 2]) == 2
    for ask in (
        lambda: index.count([0, 1, 2, 0]),
        lambda: index.count_next([0, 1, 2]),
        lambda: index.prob([0, 1, 2], 0),
        lambda: index.prob([0, 1, 2], 0, backoff=True),
        lambda: index.next_distribution([0, 1, 2], backoff=True),
        lambda: index.score([0, 1, 2, 0]),
        lambda: index.score([0, 1, 2, 0], max_context=3),
        lambda: index.sample(5),
        lambda: index.sample(5, order=4),
    ):
        with pytest.raises(InputError, match="at most 3"):
            ask()
    assert index.score([0, 1, 2, 0], max_context=2).suffix_lengths.tolist() == [0, 1, 2, 2]
    assert len(index.sample(5, order=3)[0]) == 5
    with pytest.raises(InputError, match="no tokenizer"):
        index.count("text")


def test_scores_say_what_has_no_probability():
    index = NgramIndex.build([0, 1, 0, 1, 2], threads=1)
    scores = index.score([0, 1, 1])
    assert scores.log_probs.tolist() == pytest.approx([math.log(2 / 5), 0, -math.inf])
    assert (scores.zeros, scores.perplexity) == (1, math.inf)
    assert scores.perplexity_of_nonzero == pytest.approx((5 / 2) ** 0.5)
    assert index.score([0, 1]).perplexity == pytest.approx((5 / 2) ** 0.5)


def test_a_long_text_is_scored_in_parts_with_the_same_result():
    rng = np.random.default_rng(8)
    tokens = rng.integers(4, size=5000)
    index = NgramIndex.build(Corpus.from_arrays(tokens[:4000], vocab_size=4))
    text = np.concatenate([tokens[100:900], tokens[4000:], tokens[3000:4000]])
    scores = index.score(text, threads=2)
    contexts = [text[max(0, i - 60) : i] for i in range(len(text))]
    found = index.prob(contexts, text, backoff=True)
    # Copies of the corpus have longer suffixes than the 60 tokens that are compared.
    short = scores.suffix_lengths < 60
    assert 200 < short.sum() < len(text) - 1000
    assert np.array_equal(scores.suffix_lengths[short], found.suffix_lengths[short])
    assert np.array_equal(scores.counts[short], found.counts[short])
    assert scores.suffix_lengths.max() == 999


def test_samples_are_drawn_by_the_counts():
    tokens = np.tile([0, 1, 0, 2, 0, 1], 50)
    index = NgramIndex.build(Corpus.from_arrays(tokens, vocab_size=4))
    samples = index.sample(4, order=2, num_samples=2000, seed=3, prompt=[0])
    assert {len(s) for s in samples} == {4}
    share = np.mean([s[0] == 1 for s in samples])
    counts = index.count_next([0])
    assert share == pytest.approx(counts[1] / counts.sum(), abs=0.05)
    again = index.sample(4, order=2, num_samples=5, seed=3, prompt=[0], threads=2)
    assert all(np.array_equal(a, b) for a, b in zip(samples, again, strict=False))
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(samples, index.sample(4, order=2, num_samples=5, seed=4), strict=False)
    )
    best = index.sample(3, order=2, prompt=[0], temperature=0)[0]
    assert best.tolist() == index.sample(3, order=2, prompt=[0], top_k=1)[0].tolist()
    assert best[0] == np.argmax(counts)
    cold = index.sample(1, order=2, prompt=[0], num_samples=1000, temperature=0.25)
    share = np.mean([s[0] == 1 for s in cold])
    assert share == pytest.approx(counts[1] ** 4 / (counts[1:3] ** 4).sum(), abs=0.05)
    # What was never followed by anything is left for a shorter suffix.
    alone = NgramIndex.build(Corpus.from_arrays(np.array([0, 1, 2]), vocab_size=3))
    assert len(alone.sample(5, prompt=[1, 2])[0]) == 5


def test_samples_end_with_their_document():
    corpus = Corpus.from_arrays(np.array([1, 2, 0, 1, 3, 0]), vocab_size=4, separator=0)
    index = NgramIndex.build(corpus, boundary="document")
    for sample in index.sample(10, num_samples=20, prompt=[1]):
        assert sample.tolist() in ([2, 0], [3, 0])


def test_thinned_clauses_give_an_estimate():
    rng = np.random.default_rng(1)
    index = NgramIndex.build(Corpus.from_arrays(rng.integers(5, size=20_000), vocab_size=5))
    exact = index.count_cnf([[[1]], [[2, 3]]], max_diff_tokens=3)
    found = index.find_cnf([[[1]], [[2, 3]]], max_diff_tokens=3, max_clause_freq=400)
    assert found.approximate
    assert len(found.starts) <= 400
    assert 0 < found.count < 20 * exact
    assert not index.find_cnf([[[1]], [[2, 3]]], max_clause_freq=1 << 30).approximate


def damaged(index, rng):
    """The same index with numbers in its arrays that may be anything."""
    shards = []
    for shard in index.shards:
        arrays = {
            name: np.array(getattr(shard, name))
            for name in ("suffixes", "token_starts", "document_ends")
        } | {"samples": np.array(shard.extra["samples"])}
        name = list(arrays)[int(rng.integers(len(arrays)))]
        array = arrays[name]
        at = rng.integers(array.size, size=max(1, array.size // 3))
        array[at] = rng.integers(1 << 32, size=at.size) if rng.random() < 0.5 else at
        samples = arrays.pop("samples")
        shards.append(dataclasses.replace(shard, **arrays, extra={"samples": samples}))
    return NgramIndex(index.settings, shards)


def test_damaged_arrays_are_never_read_beyond():
    rng = np.random.default_rng(6)
    for boundary in ("stream", "document"):
        corpus = Corpus.from_documents(rng.integers(4, size=(40, 25)), vocab_size=4)
        index = NgramIndex.build(corpus, boundary=boundary)
        for _ in range(25):
            broken = damaged(index, rng)
            for ask in (
                lambda i: i.count([[0], [1, 2], [3, 2, 1, 0]]),
                lambda i: i.count_next([[], [0], [1, 2]]),
                lambda i: i.count_documents([1, 2]),
                lambda i: i.score(np.tile([0, 1, 2, 3], 20)),
                lambda i: i.find([1, 2], limit=None),
                lambda i: i.count_cnf([[[0]], [[1]]]),
                lambda i: i.sample(5),
            ):
                try:
                    ask(broken)
                except InputError as error:
                    assert "damaged" in str(error) or "draw" in str(error)  # noqa: PT017


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """An index in a directory, and what its commands print."""
    place = tmp_path_factory.mktemp("index") / "corpus.index"
    corpus = Corpus.from_texts(["the cat sat on the mat", "the dog sat on the cat"], vocab_size=280)
    NgramIndex.build(corpus, place)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(main, ["index", arguments[0], str(place), *arguments[1:]])
        assert done.exit_code == 0, done.output
        return done.stdout

    return NgramIndex.open(place), run


def test_commands_print_what_the_index_answers(built, tmp_path):
    index, run = built
    assert run("count", " the", "the cat") == "2\t the\n1\tthe cat\n"
    assert run("count", " the", "--documents").split("\t")[:2] == ["2", "2"]
    lines = tmp_path / "ngrams.txt"
    lines.write_text(" sat\n on\n")
    assert json.loads(run("count", "--input", str(lines), "--json")) == [
        {"ngram": " sat", "count": 2},
        {"ngram": " on", "count": 2},
    ]
    ids = ",".join(map(str, index.encode(" sat")))
    assert run("count", "--ids", ids).startswith("2\t")
    assert run("count", "--cnf", " cat", " sat| mat", "--max-diff-tokens", "9").strip() == "2"

    (row,) = json.loads(run("next", " on the", "--json"))
    assert row["count"] == 2
    expected = index.count_next(" on the")
    assert {n["id"]: n["count"] for n in row["next"]} == {
        int(i): int(expected[i]) for i in np.flatnonzero(expected)
    }
    assert sum(n["probability"] for n in row["next"]) == pytest.approx(1)
    assert "tokens of it used" in run("next", "zzz on the", "--backoff")

    rows = json.loads(run("find", " cat", "--json", "--context", "100"))
    assert [(r["document"], r["text"]) for r in rows] == [(0, " cat"), (1, " cat")]
    assert rows[0]["left"] == "the"
    assert "[ cat]" in run("find", " cat", "--limit", "1")
    assert run("find", "zzz") == "It does not occur.\n"
    assert json.loads(run("find", "--cnf", " cat", " sat", "--json"))["count"] == 2


def test_score_and_sample_print_what_the_index_answers(built, tmp_path):
    index, run = built
    text = tmp_path / "new.txt"
    text.write_text("the cat sat on the zzz")
    (row,) = json.loads(run("score", str(text), "--json", "--by-token"))
    scores = index.score("the cat sat on the zzz")
    assert (row["tokens"], row["zeros"]) == (len(scores), scores.zeros)
    assert row["perplexity"] is None
    assert [t["count"] for t in row["by_token"]] == scores.counts.tolist()
    assert "probability zero" in run("score", str(text))
    text.write_text("the cat")
    assert f"perplexity {index.score('the cat').perplexity:.4g}" in run("score", str(text))

    (sample,) = json.loads(
        run("sample", "--prompt", "the", "--n-tokens", "5", "--order", "3", "--seed", "2", "--json")
    )
    assert sample["ids"] == index.sample(5, prompt="the", order=3, seed=2)[0].tolist()
    assert run("sample", "--prompt", "the", "--n-tokens", "5", "--order", "3", "--seed", "2") == (
        "the" + sample["text"] + "\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["count"], "give an n-gram"),
        (["count", "--ids", "a"], "ids separated by commas"),
        (["count", "--ids", "999"], "the id 999"),
        (["count", "--cnf", " cat", "--documents"], "--documents"),
        (["count", " cat", "--max-diff-tokens", "20"], "--max-diff-tokens: has no effect without"),
        (["find", " cat", "--max-diff-tokens", "100"], "--max-diff-tokens: has no effect without"),
        (["find", " cat", " sat"], "several n-grams"),
    ],
)
def test_commands_refuse_in_one_line(built, arguments, message):
    index, _ = built
    done = CliRunner().invoke(main, ["index", arguments[0], str(index.path), *arguments[1:]])
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("text", "options"), [(" cat\n\n sat\n", []), ("17\n \n4\n", ["--ids"])])
def test_an_empty_line_of_a_file_of_ngrams_is_named(built, tmp_path, text, options):
    index, _ = built
    path = tmp_path / "ngrams.txt"
    path.write_text(text)
    arguments = ["index", "count", str(index.path), "--input", str(path), *options]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert f"{path}: line 2 is empty" in done.stderr
