"""`NgramIndex` against infini-gram and tokengrams, where these are installed."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ngramstat import Corpus
from ngramstat.index.ngram_index import NgramIndex

# A corpus directory for longer comparisons, with ids below 65,535.
REAL = os.environ.get("NGRAMSTAT_PEER_CORPUS")


def some_corpus(n_tokens):
    """Documents of a real corpus, or of tokens with repeats."""
    if REAL:
        corpus = Corpus.open(REAL)
        ends = corpus.document_ends[corpus.document_ends <= n_tokens]
        return np.split(np.asarray(corpus.tokens[: ends[-1]]), ends[:-1]), corpus.vocab_size
    rng = np.random.default_rng(5)
    words = [rng.zipf(1.6, size=int(rng.integers(2, 9))) % 300 for _ in range(400)]
    documents = [
        np.concatenate([words[i] for i in rng.zipf(1.4, size=40) % len(words)])
        for _ in range(max(2, n_tokens // 200))
    ]
    return documents, 300


def infini_gram_engine(directory, documents):
    """An index by hand, of which the sorting is ours: it compares the bytes of tokens."""
    infini_gram = pytest.importorskip("infini_gram.engine")
    separated = [np.concatenate([[65535], d]).astype("<u2") for d in documents]
    stream = np.concatenate(separated)
    order = NgramIndex.build(
        Corpus.from_arrays(stream.byteswap(), vocab_size=65536), threads=1
    ).shards[0].suffixes  # fmt: skip
    stream.tofile(directory / "tokenized.0")
    (order.astype("<u8") * 2).tofile(directory / "table.0")
    starts = np.cumsum([0, *(len(d) for d in separated[:-1])])
    (starts.astype("<u8") * 2).tofile(directory / "offset.0")
    engine = infini_gram.InfiniGramEngine(
        index_dir=str(directory), eos_token_id=65534, max_support=1 << 40, max_clause_freq=1 << 40
    )
    return engine, stream


def some_contexts(rng, stream, n, longest):
    """Pieces of the stream, most of them with a token changed, so that suffixes are shorter."""
    contexts = []
    for _ in range(n):
        start = int(rng.integers(len(stream) - longest))
        context = stream[start : start + int(rng.integers(1, longest + 1))].tolist()
        if rng.random() < 0.6:
            at = int(rng.integers(len(context)))
            context[at] = int(stream[rng.integers(len(stream))])
        contexts.append(context)
    return contexts


def test_infini_gram_has_the_same_counts_and_probabilities(tmp_path):
    n = 1_000_000 if REAL else 10_000
    documents, _ = some_corpus(n)
    engine, stream = infini_gram_engine(tmp_path, documents)
    index = NgramIndex.build(Corpus.from_arrays(stream, vocab_size=65536), threads=2)
    rng = np.random.default_rng(1)
    contexts = some_contexts(rng, stream, 20_000 if REAL else 1000, 12)
    tokens = stream[rng.integers(len(stream), size=len(contexts))]

    counts = index.count(contexts)
    assert counts.tolist() == [engine.count(c)["count"] for c in contexts]
    found = index.prob(contexts, tokens)
    for i, (context, token) in enumerate(zip(contexts, tokens.tolist(), strict=True)):
        theirs = engine.prob(context, token)
        assert (theirs["prompt_cnt"], theirs["cont_cnt"]) == (
            found.context_counts[i], found.counts[i])  # fmt: skip
        # They write -1 where the context does not occur.
        assert theirs["prob"] == (found.probabilities[i] if found.context_counts[i] else -1)
    found = index.prob(contexts, tokens, backoff=True)
    assert len(set(found.suffix_lengths.tolist())) > 3
    for i, (context, token) in enumerate(zip(contexts, tokens.tolist(), strict=True)):
        theirs = engine.infgram_prob(context, token)
        ours = (found.context_counts[i], found.counts[i], found.suffix_lengths[i])
        assert (theirs["prompt_cnt"], theirs["cont_cnt"], theirs["suffix_len"]) == ours
        assert theirs["prob"] == found.probabilities[i]
    few = contexts[:300]
    following = index.next_distribution(few, backoff=True, sparse=True)
    at_end = following.context_counts > following.next_counts.totals
    assert at_end.sum() < 100
    for i, context in enumerate(few):
        if at_end[i]:
            # The end of the corpus, which sorts first, and that of a document, which sorts last,
            # are one token to them, which they take for that of all suffixes between.
            continue
        theirs = engine.infgram_ntd(context)
        ours = dict(zip(*(a.tolist() for a in following.next_counts[i]), strict=True))
        ours[65534] = ours.pop(65535, 0)  # the end of a document is their end of a text
        assert {t: r["cont_cnt"] for t, r in theirs["result_by_token_id"].items()} == {
            t: n for t, n in ours.items() if n
        }
        assert theirs["suffix_len"] == following.suffix_lengths[i]


@pytest.mark.parametrize("one_document", [True, False])
def test_infini_gram_has_the_same_cnf_counts(tmp_path, one_document):
    """Of several documents, it drops a match that also reaches into the document before."""
    documents, vocab_size = some_corpus(1_000_000 if REAL else 10_000)
    if one_document:
        documents = [np.concatenate(documents)]
    engine, _ = infini_gram_engine(tmp_path, documents)
    index = NgramIndex.build(
        Corpus.from_documents(documents, vocab_size=vocab_size), boundary="document", threads=2
    )
    rng = np.random.default_rng(2)
    stream = np.concatenate(documents)
    some = 0
    for _ in range(500 if REAL else 100):
        cnf = []
        for _ in range(int(rng.integers(1, 4))):
            length = int(rng.integers(1, 3))
            # Of one length and different, so that no place has two forms.
            starts = rng.integers(len(stream) - length, size=int(rng.integers(1, 4)))
            cnf.append([list(f) for f in {tuple(stream[s : s + length].tolist()) for s in starts}])
        distance = int(rng.choice([1, 5, 100]))
        ours = index.count_cnf(cnf, max_diff_tokens=distance)
        theirs = engine.count_cnf(cnf, max_diff_tokens=distance)
        assert not theirs["approx"]
        some += ours > 0
        if one_document or len(cnf) == 1:
            assert theirs["count"] == ours
        else:
            assert theirs["count"] <= ours
    assert some > 30


def test_tokengrams_has_the_same_counts_and_next_counts(tmp_path):
    tokengrams = pytest.importorskip("tokengrams")
    documents, vocab_size = some_corpus(10_000_000 if REAL else 10_000)
    stream = np.concatenate(documents).astype(np.uint16)
    stream.tofile(tmp_path / "tokens.bin")
    theirs = tokengrams.MemmapIndex.build(
        str(tmp_path / "tokens.bin"), str(tmp_path / "table.idx"), vocab_size
    )
    index = NgramIndex.build(Corpus.from_arrays(stream, vocab_size=vocab_size), threads=2)
    rng = np.random.default_rng(3)
    contexts = some_contexts(rng, stream, 100_000 if REAL else 1000, 8)
    assert index.count(contexts).tolist() == [theirs.count(c) for c in contexts]
    assert index.contains(contexts).tolist() == [theirs.contains(c) for c in contexts]
    for part in np.array_split(np.arange(len(contexts)), len(contexts) // 500):
        chosen = [contexts[i] for i in part]
        assert np.array_equal(index.count_next(chosen), np.array(theirs.batch_count_next(chosen)))
    for context in contexts[:200]:
        if index.count(context) < 1000:
            assert list(index.positions(context)) == sorted(theirs.positions(context))
