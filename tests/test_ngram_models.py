"""N-gram models in back-off form against plain dictionaries and formulas."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ngramstat
import reference
from designs import design_of, split_of
from ngramstat import KneserNeyModel
from ngramstat.boundary import Boundary
from ngramstat.entropy.kneser_ney import held_out_losses
from ngramstat.kernels.ngram_models import BackoffScorer
from ngramstat.ngram_models.backoff_model import BackoffModel

# Of log probabilities and back-off weights, which are stored as 32-bit floats: a rounding each.
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def separated(
    documents: list[list[int]], separator: int | None, vocab_size: int
) -> ngramstat.Corpus:
    parts = [[*d, separator] if separator is not None else d for d in documents]
    return ngramstat.Corpus.from_arrays(
        np.concatenate([np.array(p, np.uint16) for p in parts]),
        vocab_size=vocab_size,
        document_ends=np.cumsum([len(p) for p in parts]),
        separator=separator,
    )


def stream_of(corpus: ngramstat.Corpus, model: BackoffModel) -> tuple[list[int], list[int]]:
    """The stream that contexts lie in, and the places in it of the corpus's tokens."""
    stop, tokens = model.stop_token, corpus.tokens.tolist()
    if stop is None:
        return tokens, list(range(len(tokens)))
    stream, places, start = [stop], [], 0
    for end in corpus.document_ends.tolist():
        for token in tokens[start:end]:
            places.append(len(stream))
            stream.append(token)
        if corpus.separator is None:
            stream.append(stop)
        start = end
    return stream, places


def slow_model(corpus: ngramstat.Corpus, model: BackoffModel) -> reference.KneserNey:
    stream, _ = stream_of(corpus, model)
    stop = model.stop_token
    return reference.KneserNey(
        stream,
        model.vocab_size,
        model.order,
        stop_token=-1 if stop is None else stop,
        first_event=0 if stop is None else 1,
    )


@st.composite
def corpora(draw):
    """Small corpora: with and without separators, of one token, with empty documents."""
    vocab_size = draw(st.integers(1, 5))
    separator = draw(st.sampled_from([None, 0])) if vocab_size > 1 else None
    token = st.integers(0 if separator is None else 1, vocab_size - 1)
    shortest = 1 if separator is None else 0
    documents = draw(
        st.lists(st.lists(token, min_size=shortest, max_size=30), min_size=1, max_size=8)
    )
    scale = draw(st.sampled_from([1, 13_000, 52_000]))
    documents = [[t * scale for t in document] for document in documents]
    return ngramstat.Corpus.from_documents(
        documents, vocab_size=(vocab_size - 1) * scale + 1, separator=separator
    )


@settings(max_examples=120, deadline=None)
@given(
    corpus=corpora(),
    order=st.integers(1, 6),
    boundary=st.sampled_from(["document", "stream"]),
    threads=st.sampled_from([1, 2, 7]),
    memory_limit=st.sampled_from([None, "1M"]),
    seed=st.integers(0, 99),
)
def test_models_equal_the_reference(corpus, order, boundary, threads, memory_limit, seed):
    model = KneserNeyModel.train(
        corpus, order, boundary=boundary, threads=threads, memory_limit=memory_limit
    )
    slow = slow_model(corpus, model)
    stream, places = stream_of(corpus, model)
    expected = [math.log(slow.probability(stream[:i], stream[i], order - 1)) for i in places]
    scores = model.log_probs(corpus, threads=threads)
    np.testing.assert_allclose(scores, expected, **CLOSE)
    every = model.log_probs(corpus, contexts="all", threads=threads)
    assert every.shape == (corpus.n_tokens, order)
    np.testing.assert_array_equal(every[:, -1], scores)
    # Tokens that were never seen together, and contexts that reach beyond what was.
    ids = np.unique(corpus.tokens)
    text = np.random.default_rng(seed).choice(ids, 12).tolist()
    contexts = [[], [text[0]], text[:order], text]
    if model.stop_token is not None:
        contexts += [[model.stop_token], [*text[:2], model.stop_token, *text[2:4]]]
    following = model.next_log_probs(contexts, threads=threads)
    np.testing.assert_allclose(np.exp(following).sum(axis=1), 1.0, rtol=2e-6)
    for context, row in zip(contexts, following, strict=True):
        for token in ids[:3].tolist():
            exact = math.log(slow.probability(context, token, order - 1))
            assert row[token] == pytest.approx(exact, rel=1e-6, abs=1e-6)
    assert model.training_tokens == sum(t < model.vocab_size for t in stream) - (
        model.stop_token is not None and model.stop_token < model.vocab_size
    )
    distinct = [row["distinct"] for row in model.discounts]
    assert distinct == [len(slow.raw[m]) for m in range(1, order + 1)]
    assert model.n_ngrams == (model.vocab_size, *distinct[1:])


@pytest.mark.parametrize("separator", [None, 0])
@pytest.mark.parametrize("boundary", ["stream", "document"])
def test_held_out_scores_are_the_losses_of_measure(separator, boundary):
    """A model of order n + 1, trained on one side of a split, gives the losses with context n."""
    rng = np.random.default_rng(4)
    documents = [
        rng.integers(separator is not None, 7, rng.integers(2, 40)).tolist() for _ in range(40)
    ]
    split = split_of(design_of(separated(documents, separator, 7), boundary=boundary, seed=0), 0.2)
    losses = held_out_losses(split, max_context=4, boundary=Boundary(boundary), find_copies=False)

    def side(chosen) -> ngramstat.Corpus:
        return separated([documents[d] for d in chosen], separator, 7)

    held_out = side(split.held_out.document)
    sums = []
    for order in range(1, 6):
        model = KneserNeyModel.train(side(split.training.document), order, boundary=boundary)
        scores = model.log_probs(held_out)
        sums.append([-part.sum() for part in np.split(scores, held_out.document_ends[:-1])])
    np.testing.assert_allclose(np.array(sums).T, losses.losses, rtol=2e-7)


def zipf_corpus(dtype=np.uint16, vocab_size=3000, n=60_000) -> ngramstat.Corpus:
    rng = np.random.default_rng(11)
    tokens = np.minimum(rng.zipf(1.3, n), vocab_size).astype(dtype) - dtype(1)
    tokens[rng.integers(0, n, n // 200)] = 7
    tokens[-1] = 7
    return ngramstat.Corpus.from_arrays(
        tokens, vocab_size=vocab_size, separator=7, separator_position="after"
    )


def assert_same(one: BackoffModel, other: BackoffModel) -> None:
    for m in range(1, one.order + 1):
        for a, b in zip(one.tables(m), other.tables(m), strict=True):
            np.testing.assert_array_equal(a[0], b[0])
            np.testing.assert_array_equal(a[1], b[1])
            assert (a[2] is None) == (b[2] is None) == (m == one.order)
            if a[2] is not None:
                np.testing.assert_array_equal(a[2], b[2])


@pytest.fixture(scope="module")
def model() -> KneserNeyModel:
    return KneserNeyModel.train(zipf_corpus(), 4, threads=1)


@pytest.mark.parametrize("options", [{"threads": 2}, {"threads": 7, "memory_limit": "2M"}])
def test_threads_memory_and_dtype_do_not_change_a_model(model, options):
    other = KneserNeyModel.train(zipf_corpus(np.uint32), 4, **options)
    assert other.discounts == model.discounts
    assert_same(model, other)
    assert other.log_probs(zipf_corpus()).tolist() == model.log_probs(zipf_corpus()).tolist()


def test_guides_change_nothing(model):
    """Nodes have thousands of children here; without guides a plain binary search finds them."""
    trie = model._trie
    tokens = np.asarray(zipf_corpus().tokens)
    plain = BackoffScorer(trie.vocab_size, trie.symbols, trie.levels, (), model.stop_token)
    guided = BackoffScorer(
        trie.vocab_size, trie.symbols, trie.levels, trie.guides, model.stop_token
    )
    unseen = np.random.default_rng(2).integers(0, 3000, 20_000).astype(np.uint16)
    for stream in (tokens, unseen):
        np.testing.assert_array_equal(plain.log_probs(stream), guided.log_probs(stream))
    # The same by the definition of backing off.
    grams: dict[tuple[int, ...], tuple[float, float]] = {}
    for m in range(1, 5):
        for rows, log_probs, weights in model.tables(m):
            weights = np.zeros(len(rows)) if weights is None else weights
            grams.update(
                zip(map(tuple, rows.tolist()), zip(log_probs, weights, strict=True), strict=True)
            )

    def log_prob(gram: tuple[int, ...]) -> float:
        if gram in grams:
            return grams[gram][0]
        return grams.get(gram[:-1], (0.0, 0.0))[1] + log_prob(gram[1:])

    scores = guided.log_probs(unseen)
    for i in range(3, 2000):
        gram = tuple(unseen[i - 3 : i + 1].tolist())
        while 7 in gram[1:-1]:
            gram = gram[1:]
        assert scores[i] == pytest.approx(log_prob(gram), rel=1e-12)


def test_probabilities_sum_to_one(model):
    rng = np.random.default_rng(6)
    tokens = np.asarray(zipf_corpus().tokens)
    contexts = [tokens[i : i + 3].tolist() for i in rng.integers(0, len(tokens) - 3, 30)]
    contexts += rng.integers(0, 3000, (10, 5)).tolist()
    totals = np.exp(model.next_log_probs(contexts)).sum(axis=1)
    np.testing.assert_allclose(totals, 1.0, rtol=1e-6)


@pytest.mark.parametrize("vocab_size", [65_536, 262_144])
def test_large_vocabularies(vocab_size):
    rng = np.random.default_rng(9)
    ids = np.array([0, 1, 255, 256, 65_534, vocab_size - 1])
    documents = [ids[rng.integers(0, 6, 40)].tolist() for _ in range(20)]
    corpus = ngramstat.Corpus.from_documents(documents, vocab_size=vocab_size)
    model = KneserNeyModel.train(corpus, 3)
    assert model.stop_token == vocab_size
    small = ngramstat.Corpus.from_documents(
        [np.searchsorted(ids, d).tolist() for d in documents], vocab_size=vocab_size
    )
    same = KneserNeyModel.train(small, 3)
    np.testing.assert_array_equal(model.log_probs(corpus), same.log_probs(small))


def test_the_highest_order_works():
    corpus = ngramstat.Corpus.from_documents([[1, 2, 3] * 9, [2, 2, 1, 3] * 8], separator=0)
    model = KneserNeyModel.train(corpus, 16)
    slow = slow_model(corpus, model)
    stream, places = stream_of(corpus, model)
    expected = [math.log(slow.probability(stream[:i], stream[i], 15)) for i in places]
    np.testing.assert_allclose(model.log_probs(corpus), expected, **CLOSE)


def pruned_probabilities(
    stream: list[int], vocab_size: int, order: int, stop: int, smallest: list[int]
) -> list[dict[tuple[int, ...], float]]:
    """Probabilities of the n-grams kept, by order, as KenLM's lmplz --prune defines them."""
    slow = reference.KneserNey(stream, vocab_size, order, stop_token=stop, first_event=1)
    levels: list[dict[tuple[int, ...], float]] = [{(): 1 / vocab_size}]
    for m in range(1, order + 1):
        counts = slow.raw[m] if m == order else slow.lower[m]
        discounts = (slow.raw_discounts if m == order else slow.lower_discounts)[m]
        kept = {gram for gram in counts if slow.raw[m][gram] >= smallest[m - 1]}
        total: Counter[tuple[int, ...]] = Counter()
        freed: dict[tuple[int, ...], float] = defaultdict(float)
        for gram, c in counts.items():
            total[gram[:-1]] += c
            freed[gram[:-1]] += discounts[min(c, 3) - 1] if gram in kept else c
        levels.append(
            {
                gram: (
                    counts[gram]
                    - discounts[min(counts[gram], 3) - 1]
                    + freed[gram[:-1]] * levels[m - 1][gram[1:]]
                )
                / total[gram[:-1]]
                for gram in kept
            }
        )
    return levels


@pytest.mark.parametrize("min_counts", [(1, 2), (1, 1, 2), (1, 2, 3, 3), (1, 50)])
def test_pruned_models(min_counts):
    rng = np.random.default_rng(12)
    documents = [rng.choice(6, 60, p=[0.0, 0.4, 0.3, 0.15, 0.1, 0.05]).tolist() for _ in range(6)]
    corpus = separated(documents, 0, 6)
    model = KneserNeyModel.train(corpus, 4, min_counts=min_counts)
    smallest = [*min_counts, *min_counts[-1:] * 4][:4]
    stream, _ = stream_of(corpus, model)
    expected = pruned_probabilities(stream, 6, 4, 0, smallest)
    for m in range(2, 5):
        found = {
            tuple(row): p
            for rows, log_probs, _ in model.tables(m)
            for row, p in zip(rows.tolist(), np.exp(log_probs), strict=True)
        }
        assert found == pytest.approx(expected[m], rel=1e-6)
    contexts = [stream[i : i + 3] for i in range(0, 200, 9)]
    np.testing.assert_allclose(np.exp(model.next_log_probs(contexts)).sum(axis=1), 1, rtol=1e-6)


def test_tables_make_the_same_model(model):
    order = np.random.default_rng(1).permutation

    def shuffled(m):
        for tokens, log_probs, backoffs in model.tables(m, batch=1000):
            rows = order(len(tokens))
            yield tokens[rows], log_probs[rows], None if backoffs is None else backoffs[rows]

    other = BackoffModel.from_tables(
        3000, [shuffled(m) for m in range(1, 5)], stop_token=model.stop_token
    )
    assert_same(model, other)
    np.testing.assert_array_equal(model.log_probs(zipf_corpus()), other.log_probs(zipf_corpus()))


def test_missing_suffixes_are_filled():
    """Pruned ARPA files may hold "a b c" without "b c": backing off gives its probability."""
    tables = [
        [(np.array([[0], [1], [2]]), np.log([0.5, 0.25, 0.25]), np.log([0.5, 0.25, 1.0]))],
        [(np.array([[0, 1]]), np.log([0.75]), np.log([0.125]))],
        [(np.array([[0, 1, 2]]), np.log([0.9]), None)],
    ]
    model = BackoffModel.from_tables(3, tables)
    assert model.n_ngrams == (3, 2, 1)
    ((tokens, log_probs, backoffs),) = model.tables(2)
    assert tokens.tolist() == [[0, 1], [1, 2]]
    np.testing.assert_allclose(np.exp(log_probs), [0.75, 0.25 * 0.25], rtol=1e-6)
    np.testing.assert_allclose(np.exp(backoffs), [0.125, 1.0], rtol=1e-6)
    np.testing.assert_allclose(
        np.exp(model.log_probs(np.array([0, 1, 2, 0]))), [0.5, 0.75, 0.9, 0.5], rtol=1e-6
    )
    assert np.exp(model.next_log_probs([[0, 1]]))[0, 0] == pytest.approx(0.125 * 0.25 * 0.5)


@pytest.mark.parametrize(
    ("rows", "values", "words"),
    [
        ([[3]], [0.1], "outside 0 to 2"),
        ([[-1]], [0.1], "outside 0 to 2"),
        ([[1], [1]], [0.1, 0.1], r"the n-gram \[1\] occurs twice"),
        ([[1]], [np.nan], "no valid log probability"),
        ([[1]], [2.0], "no valid log probability"),
    ],
)
def test_bad_tables_are_refused(rows, values, words):
    with pytest.raises(ngramstat.InputError, match=words):
        BackoffModel.from_tables(3, [[(np.array(rows), np.log(values), None)]])


def test_files_keep_a_model(model, tmp_path):
    model.save(tmp_path / "a.model")
    for loaded in (
        KneserNeyModel.load(tmp_path / "a.model", verify=True),
        BackoffModel.load(tmp_path / "a.model"),
    ):
        assert_same(model, loaded)
        assert loaded.stop_token == model.stop_token
        np.testing.assert_array_equal(
            loaded.log_probs(zipf_corpus()), model.log_probs(zipf_corpus())
        )
    assert KneserNeyModel.load(tmp_path / "a.model").discounts == model.discounts
    plain = BackoffModel.from_tables(3, [[(np.array([[0], [1]]), np.log([0.5, 0.5]), None)]])
    plain.save(tmp_path / "b.model")
    assert (
        BackoffModel.load(tmp_path / "b.model").log_probs([0, 1]).tolist()
        == [pytest.approx(math.log(0.5))] * 2
    )
    with pytest.raises(ngramstat.InputError, match="was not trained here"):
        KneserNeyModel.load(tmp_path / "b.model")


def is_whole(path) -> bool:
    try:
        BackoffModel.load(path, verify=True)
    except ngramstat.InputError:
        return False
    return True


def test_damaged_files_are_refused(tmp_path):
    corpus = ngramstat.Corpus.from_documents([[1, 2, 3, 1, 2] * 9, [2, 2, 1, 3] * 8], separator=0)
    path = tmp_path / "whole.model"
    KneserNeyModel.train(corpus, 3).save(path)
    data = path.read_bytes()
    damaged = tmp_path / "damaged.model"
    header = data.index(b"}", data.index(b"sha256")) + 1
    for at in range(header):
        damaged.write_bytes(data[:at] + bytes([data[at] ^ 0x5A]) + data[at + 1 :])
        with pytest.raises(ngramstat.InputError, match=r"damaged\.model: "):
            BackoffModel.load(damaged)
    for size in (0, 7, 40, 100, header, len(data) - 1, len(data) - 100):
        damaged.write_bytes(data[:size])
        with pytest.raises(ngramstat.InputError, match=r"damaged\.model: "):
            BackoffModel.load(damaged)
    damaged.write_bytes(data + b"x")
    with pytest.raises(ngramstat.InputError, match="its description says"):
        BackoffModel.load(damaged)
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(300):
        changed = bytearray(data)
        for at in rng.integers(header + 64, len(data), 8):
            changed[at] = rng.integers(256)
        damaged.write_bytes(changed)
        model = BackoffModel.load(damaged)
        # Any numbers may come out, but nothing is read outside the arrays.
        assert model.log_probs(corpus).shape == (corpus.n_tokens,)
        model.next_log_probs([[1, 2], []])
        refused += not is_whole(damaged)
    # A change may fall between two arrays, or change nothing.
    assert refused > 250


def test_other_arguments_are_refused():
    corpus = ngramstat.Corpus.from_documents([[1, 2, 3], [2, 1]], vocab_size=4, separator=0)
    for options, words in [
        ({"order": 0}, "order=0"),
        ({"order": 17}, "order=17"),
        ({"boundary": "page"}, "boundary='page'"),
        ({"min_counts": (2, 2)}, "min_counts"),
        ({"min_counts": (1, 3, 2)}, "min_counts"),
        ({"threads": 0}, "threads"),
    ]:
        with pytest.raises(ngramstat.InputError, match=words):
            KneserNeyModel.train(corpus, **options)
    with pytest.raises(ngramstat.InputError, match="no documents"):
        KneserNeyModel.train(np.array([1, 2, 3]), boundary="document")
    model = KneserNeyModel.train(corpus, 2)
    with pytest.raises(ngramstat.InputError, match="token 4 at position 1 is not below the"):
        model.log_probs(np.array([1, 4]))
    with pytest.raises(ngramstat.InputError, match="vocabulary has 5 items"):
        model.log_probs(ngramstat.Corpus.from_arrays(np.array([1, 4]), vocab_size=5))
    with pytest.raises(ngramstat.InputError, match="its separator is 3"):
        model.log_probs(ngramstat.Corpus.from_documents([[1, 2], [2]], vocab_size=4, separator=3))
    for contexts in ([[4]], [[-1, 2]]):
        with pytest.raises(ngramstat.InputError, match=r"contexts: .*not in the vocabulary"):
            model.next_log_probs(contexts)
    with pytest.raises(ngramstat.InputError, match="contexts"):
        model.log_probs(corpus, contexts="some")
    with pytest.raises(IndexError):
        BackoffScorer(4, 4, model._trie.levels, (), 0).log_probs(np.array([9], np.uint16))


def test_separators_before_documents_open_them():
    """The same documents with separators before or after them: the same model and scores."""
    documents = [[1, 2, 3, 1], [2, 2], [3, 1, 2]]
    after = ngramstat.Corpus.from_documents(documents, vocab_size=4, separator=0)
    tokens = np.concatenate([[0, *document] for document in documents]).astype(np.uint16)
    before = ngramstat.Corpus.from_arrays(
        tokens, vocab_size=4, separator=0, separator_position="before"
    )
    model, other = KneserNeyModel.train(after, 3), KneserNeyModel.train(before, 3)
    assert_same(model, other)
    scores = model.log_probs(after)
    # The first separator is given, and the end of the last document is not asked for.
    np.testing.assert_array_equal(model.log_probs(before), [0.0, *scores[:-1]])


@pytest.mark.nightly
def test_perplexities_equal_kenlm(corpora, tmp_path):
    """KenLM's perplexities on 1.1 M held-out tokens (reference/kenlm.md)."""
    tokenizer = corpora.parent / "reference" / "bpe8192.json"
    wikipedia = corpora / "wikipedia-en"
    training = ngramstat.tokenize(
        [wikipedia / "part-0.jsonl.xz", wikipedia / "part-1.jsonl.xz"],
        tmp_path / "training",
        tokenizer=tokenizer,
    )
    whole = ngramstat.tokenize(
        [wikipedia / "part-7.jsonl.xz"], tmp_path / "part-7", tokenizer=tokenizer
    )
    end = int(whole.document_ends[249])
    held_out = ngramstat.Corpus.from_arrays(
        np.asarray(whole.tokens[:end]),
        vocab_size=whole.vocab_size,
        separator=0,
        separator_position="after",
    )
    for order, kenlm in [(2, 172.515474), (3, 97.059576), (4, 89.527501), (5, 88.174239)]:
        model = KneserNeyModel.train(training, order)
        perplexity = math.exp(-model.log_probs(held_out).mean())
        assert perplexity == pytest.approx(kenlm, rel=1e-4)
