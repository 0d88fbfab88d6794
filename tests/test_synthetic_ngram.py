"""The n-gram language of a corpus: its model, its sampler, its exact curves, its command."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import reference
import reference_worlds as brute
from ngramstat import Corpus
from ngramstat.cli import main
from ngramstat.corpus import CorpusWriter
from ngramstat.errors import InputError
from ngramstat.kernels.worlds import sample_ngrams
from ngramstat.synthetic import MarkovChain, NgramLanguage, synthesize, truth
from ngramstat.synthetic.ngram_model import NgramModel
from ngramstat.synthetic.sampling import random_key

ORDERS = [1, 2, 3, 4]


def small_corpus(v: int, lengths, seed: int = 0, separator: int | None = None) -> Corpus:
    """Documents of a chain of order 2 in which not every n-gram occurs."""
    chain = MarkovChain.random(v, 2, concentration=0.3, rules_seed=seed)
    tokens = np.concatenate(list(chain.pieces(sum(lengths), seed=seed)))
    ends = np.cumsum(lengths)
    if separator is not None:
        tokens, ends = np.insert(tokens, ends, separator), ends + np.arange(1, len(ends) + 1)
    size = v if separator is None else max(v, separator + 1)
    return Corpus.from_arrays(tokens, vocab_size=size, document_ends=ends, separator=separator)


def with_marks(language: NgramLanguage, mark: int) -> list[int]:
    stream = [mark]
    for document in language._contents:
        stream += [*document.tolist(), mark]
    return stream


def exact_model(language: NgramLanguage, v: int) -> reference.KneserNey:
    """The model over explicit dictionaries, of tokens 0 .. v - 1; the mark is v."""
    return reference.KneserNey(
        with_marks(language, v), v, language.order, stop_token=v, first_event=1
    )


def histories(language: NgramLanguage, mark: int) -> dict[int, tuple[int, ...]]:
    """The context of every state."""
    model = language.model
    context: dict[int, tuple[int, ...]] = {0: ()}
    for state in range(1, model.n_states):
        outcome = state - 1
        context[state] = (*context[int(model.context[outcome])], int(model.token[outcome]))
    return context


# --- the model -----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("separator", [None, 5], ids=["no separator", "separator"])
def test_probabilities_equal_the_reference(order, separator):
    v = 5
    language = NgramLanguage(small_corpus(v, [30, 1, 50, 2, 90], 1, separator), order)
    model, known = language.model, exact_model(language, v)
    probability = model.probability
    checked = 0
    for state, context in histories(language, language.vocab_size).items():
        named = [v if w == language.vocab_size else w for w in context]
        row = [known.probability(named, w, order - 1) for w in range(v)]
        assert sum(row) == pytest.approx(1.0, abs=1e-12)
        first, last = model.first[state], model.first[state + 1]
        for outcome in range(first, last):
            w = int(model.token[outcome])
            if w < v and len(context) < order:
                assert probability[outcome] == pytest.approx(row[w], rel=1e-12), (context, w)
                checked += 1
    assert checked >= 5


@pytest.mark.parametrize("order", ORDERS)
def test_tables_hold_the_probabilities(order):
    """Differences of cumulative probabilities are what is kept; the rest is left to the suffix."""
    language = NgramLanguage(small_corpus(6, [40, 60, 5, 80], 2), order)
    model = language.model
    for state in range(model.n_states):
        outcomes = slice(int(model.first[state]), int(model.first[state + 1]))
        kept = np.diff(model.cumulative[outcomes], prepend=0.0)
        np.testing.assert_allclose(kept, model.kept[outcomes], rtol=0, atol=1e-15)
        assert model.kept[outcomes].sum() + model.left[state] == pytest.approx(1.0, abs=1e-15)
    assert model.tables.words == max(order - 1, 1) + 2


def test_discounts_are_those_of_the_estimator():
    language = NgramLanguage(small_corpus(12, [200] * 20, 3), 3)
    known = exact_model(language, 12)
    for m, row in enumerate(language.model.discounts, start=1):
        expected = known.raw_discounts[m] if m == 3 else known.lower_discounts[m]
        assert row["discounts"] == pytest.approx(expected, rel=1e-12)
    assert not all(row["is_fallback"] for row in language.model.discounts)


# --- the sampler ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("separator", [None, 2, 7], ids=["none", "inner", "last"])
def test_draws_equal_the_reference(order, separator, token_dtype, threads):
    """With the same random words; contexts are found in the history alone, without next states."""
    v, mark = 7, 7 if separator is None or separator < 7 else 8
    corpus = small_corpus(v, [30, 4, 50], 4)
    if separator is not None:
        tokens = corpus.tokens.copy()
        tokens[tokens == separator] = 0
        ends = corpus.document_ends
        corpus = Corpus.from_arrays(
            np.insert(tokens, ends, separator),
            vocab_size=mark,
            document_ends=ends + np.arange(1, len(ends) + 1),
            separator=separator,
        )
    language = NgramLanguage(corpus, order)
    model, tables = language.model, language.model.tables
    contexts = {}
    for state, context in histories(language, mark).items():
        outcomes = slice(int(tables.first[state]), int(tables.first[state + 1]))
        contexts[context] = (tables.cumulative[outcomes].tolist(), tables.token[outcomes].tolist())
    drawable = [w for w in range(mark) if w != separator]
    key, first = random_key(5), 1000
    ends = np.array([0, 3, 60, 60, 61, 260, *range(270, 600, 10)], np.int64)
    out = np.empty(int(ends[-1]), token_dtype)
    sample_ngrams(tables, key, first, model.start, ends, out, threads=threads)
    begin = 0
    for end in ends.tolist():
        for i in range(begin, end):
            history = (mark, *out[begin:i].tolist())[-max(order - 1, 1) :]
            word = (first + i) * tables.words
            assert out[i] == brute.ngram_token(contexts, history, drawable, key, word), i
        begin = end


def test_drawn_frequencies_are_the_probabilities():
    """Chi-square of the next token over the contexts of a long sample."""
    v, order = 6, 3
    language = NgramLanguage(small_corpus(v, [20, 30, 25], 6), order)
    known = exact_model(language, v)
    corpus = language.corpus(200_000, seed=1, threads=2)
    counts: dict[tuple[int, ...], np.ndarray] = {}
    begin = 0
    for end in corpus.document_ends.tolist():
        document = [v, *corpus.tokens[begin:end].tolist()]
        for i in range(1, len(document)):
            history = tuple(document[max(0, i - order + 1) : i])
            counts.setdefault(history, np.zeros(v))[document[i]] += 1
        begin = end
    square, freedom = 0.0, 0
    for history, seen in counts.items():
        expected = np.array([known.probability(history, w, order - 1) for w in range(v)])
        expected *= seen.sum()
        if expected.min() > 5:
            square += float(((seen - expected) ** 2 / expected).sum())
            freedom += v - 1
    assert freedom > 100
    assert abs(square - freedom) < 4.5 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("order", ORDERS)
def test_samples_do_not_depend_on_pieces_or_threads(order, monkeypatch):
    language = NgramLanguage(small_corpus(5, [100, 300, 7]), order)
    n = 4000
    whole = np.concatenate(list(language.pieces(n, seed=7)))
    longer = np.concatenate(list(language.pieces(n + 3000, seed=7, threads=3)))
    assert np.array_equal(longer[:n], whole)
    assert not np.array_equal(np.concatenate(list(language.pieces(n, seed=8))), whole)
    for size in (150, 1000):
        monkeypatch.setattr("ngramstat.synthetic.ngram.PIECE", size)
        pieces = list(language.pieces(n, seed=7))
        assert len(pieces) > 3
        assert np.array_equal(np.concatenate(pieces), whole)


def test_streams_continue_across_pieces(monkeypatch):
    tokens = small_corpus(5, [2000]).tokens
    for order in ORDERS:
        language = NgramLanguage(Corpus.from_arrays(tokens, vocab_size=5), order)
        whole = np.concatenate(list(language.pieces(5000, seed=2)))
        monkeypatch.setattr("ngramstat.synthetic.ngram.PIECE", 333)
        assert np.array_equal(np.concatenate(list(language.pieces(5000, seed=2))), whole)
        monkeypatch.undo()
        assert language.corpus(700).n_documents == 0


def test_documents_have_the_lengths_of_the_corpus():
    language = NgramLanguage(small_corpus(4, [3, 9, 27]), 2)
    lengths = language.document_lengths(100_000, seed=3)
    assert lengths[:-1].sum() < 100_000 <= lengths.sum()
    values, counts = np.unique(lengths, return_counts=True)
    assert values.tolist() == [3, 9, 27]
    assert np.abs(counts / len(lengths) - 1 / 3).max() < 0.03
    shorter = language.document_lengths(1000, seed=3)
    assert np.array_equal(shorter, lengths[: len(shorter)])


def test_tables_that_do_not_fit_are_refused():
    from dataclasses import replace

    tables = NgramLanguage(small_corpus(4, [20, 30]), 3).model.tables
    ends, out = np.array([4, 10], np.int64), np.empty(10, np.uint16)
    for changes, message in (
        ({"first": tables.first[:-1]}, "must cover all outcomes"),
        ({"token": tables.token[:-1]}, "need one length"),
        ({"words": 3}, "too few random words"),
        ({"never": 4}, "no token is left"),
        ({"vocab_size": 6}, "outcome for every token"),
        ({"suffix": np.zeros_like(tables.suffix) + 1}, "suffix"),
        ({"next": tables.next + np.uint32(len(tables.suffix))}, "not there"),
        ({"cumulative": tables.cumulative[::-1].copy()}, "must ascend"),
        ({"token": tables.token[::-1].copy()}, "must ascend"),
    ):
        with pytest.raises(ValueError, match=message):
            sample_ngrams(replace(tables, **changes), 1, 0, 0, ends, out)
    with pytest.raises(ValueError, match="start in a state"):
        sample_ngrams(tables, 1, 0, len(tables.suffix), ends, out)
    with pytest.raises(ValueError, match="must fill out"):
        sample_ngrams(tables, 1, 0, 0, ends[:1], out)
    with pytest.raises(ValueError, match="ends must ascend"):
        sample_ngrams(tables, 1, 0, 0, ends[::-1].copy(), out)


# --- exact curves --------------------------------------------------------------------------------


def enumerated(language: NgramLanguage, v: int):
    """All documents of the language by length, with the shares of the lengths."""
    known, n = exact_model(language, v), language.order - 1
    lengths, counts = np.unique(language.lengths, return_counts=True)

    def probability(document, w):
        return known.probability((v, *document), w, n)

    return [
        (count / counts.sum(), brute.all_documents(probability, v, length))
        for length, count in zip(lengths.tolist(), counts.tolist(), strict=True)
    ]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("separator", [None, 3], ids=["no separator", "separator"])
def test_curves_equal_those_of_all_documents(order, separator):
    v = 3
    language = NgramLanguage(small_corpus(v, [7, 4, 1, 7, 5, 2], 1, separator), order)
    documents = enumerated(language, v)
    for max_context in range(6):
        expected = brute.mixed_entropies(documents, max_context)
        found = language.entropies(max_context, "document")
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
    expected = brute.mixed_entropies(documents, None)
    np.testing.assert_allclose(language.all_targets(4), expected, rtol=0, atol=1e-13)
    lags = [1, 2, 3, 4, 6]
    norms = language.norms(lags, "document")
    for lag, norm in zip(lags, norms, strict=True):
        exact = brute.mixed_covariance(documents, v, lag)
        found = language.covariance(lag, "document")[:v, :v]
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-15)
        if order == 1:
            assert norm == 0.0
        elif not np.isnan(norm):
            assert norm == pytest.approx(np.linalg.norm(exact, 2), rel=1e-6)
    assert np.isfinite(norms[:2]).all()
    assert np.isnan(language.norms([7, 8], "document")).all()


def test_transposed_products_are_those_of_the_transpose():
    for order in (2, 3, 4):
        language = NgramLanguage(small_corpus(5, [20, 30, 8], 2), order)
        for lag, mass in language._pairs([1, 2, 5]):
            operator = language.chain.covariance(lag, mass)
            matrix, back = operator.multiply(np.eye(5)), operator.multiply_transposed(np.eye(5))
            np.testing.assert_allclose(back, matrix.T, rtol=0, atol=1e-15)


def test_entropies_are_constant_from_the_longest_context_on():
    for order in ORDERS:
        language = NgramLanguage(small_corpus(6, [300, 500]), order)
        entropies = language.entropies(6, "document")
        assert np.ptp(entropies[order - 1 :]) < 1e-12
        assert np.all(np.diff(entropies[:order]) < 0)


def test_a_stream_has_the_curves_of_long_documents():
    tokens = small_corpus(5, [4000]).tokens
    stream = NgramLanguage(Corpus.from_arrays(tokens, vocab_size=5), 3)
    long = NgramLanguage(Corpus.from_arrays(tokens, vocab_size=5, document_ends=[4000]), 3)
    for boundary in ("document", "stream"):
        np.testing.assert_allclose(
            stream.entropies(4, boundary), long.entropies(4, "document"), atol=1e-3
        )
        np.testing.assert_allclose(
            stream.norms([1, 2], boundary), long.norms([1, 2], "document"), atol=1e-3
        )
    # The entropy rate equals the mean surprise of a long sample.
    model = exact_model(stream, 5)
    sample = np.concatenate(list(stream.pieces(20_000, seed=1))).tolist()
    surprise = [
        -np.log(model.probability(sample[i - 2 : i], sample[i], 2)) for i in range(2, len(sample))
    ]
    error = np.std(surprise) / np.sqrt(len(surprise))
    assert abs(np.mean(surprise) - stream.entropies(2, "stream")[2]) < 5 * error


def test_unknown_curves_are_nan():
    language = NgramLanguage(small_corpus(5, [20, 30]), 3)
    assert np.isnan(language.norms([1, 2], "stream")).all()
    assert np.isnan(language.sequential_norms([1])).all()
    assert np.isnan(language.entropies(2, "stream")).all()
    assert np.isnan(language.entropies(30, "document")).all()
    for name, exponent in language.exponents().items():
        assert exponent.value is None, name
        assert "not a power law: contexts have at most 2 tokens" in exponent.meaning
    with pytest.raises(InputError, match="pairs across documents are not known"):
        language.covariance(1, "stream")
    with pytest.raises(InputError, match="the longest document has 30 tokens"):
        language.covariance(30, "document")


# --- limits and the command ----------------------------------------------------------------------


@pytest.mark.parametrize("order", [0, 17, True, 2.0])
def test_bad_orders_are_refused(order):
    with pytest.raises(InputError, match=r"order=.*must be an integer in 1 \.\. 16"):
        NgramLanguage(small_corpus(3, [10]), order)


def test_bad_corpora_are_refused():
    ends = [4, 8]
    inner = Corpus.from_arrays([0, 2, 1, 2, 0, 1, 1, 2], vocab_size=3, document_ends=ends,
                               separator=2)  # fmt: skip
    with pytest.raises(InputError, match="the separator 2 occurs inside documents"):
        NgramLanguage(inner, 2)
    empty = Corpus.from_arrays([2, 2], vocab_size=3, document_ends=[1, 2], separator=2)
    with pytest.raises(InputError, match="its documents hold no tokens"):
        NgramLanguage(empty, 2)


def test_impossible_sizes_are_refused(tmp_path):
    language = NgramLanguage(small_corpus(4, [20, 30]), 2)
    with pytest.raises(InputError, match=r"2,000,000\.0 GB of tokens, but"):
        synthesize(language, tmp_path / "w", tokens=1e15)
    assert not (tmp_path / "w").exists()
    stream = NgramLanguage(Corpus.from_arrays([0, 1, 1], vocab_size=2), 2)
    for world in (language, stream):
        with pytest.raises(InputError, match="tokens=0: needs at least 1"):
            world.corpus(0)


@pytest.mark.parametrize("order", ORDERS)
def test_tiny_corpora_work(order):
    """One token, one document of one token, documents shorter than the contexts."""
    one = NgramLanguage(Corpus.from_arrays([0, 0, 0], vocab_size=1, document_ends=[1, 3]), order)
    assert one.corpus(10).tokens.max() == 0
    np.testing.assert_allclose(one.entropies(1, "document"), 0.0, atol=1e-15)
    single = NgramLanguage(Corpus.from_arrays([1], vocab_size=3, document_ends=[1]), order)
    assert single.corpus(50, seed=1).n_documents == 50
    assert truth(single)["entropies"]["document"]["context"] == [0]


def test_the_command_writes_the_corpus_and_its_truth(tmp_path):
    source = tmp_path / "source"
    corpus = small_corpus(8, [50, 70, 10, 90], 2)
    ends = corpus.document_ends.tolist()
    with CorpusWriter(source, 9, separator=8) as writer:
        for first, last in zip([0, *ends[:-1]], ends, strict=True):
            writer.append(corpus.tokens[first:last])
        writer.finish()
    command = ["synthesize", "ngram", "--from", str(source), "--order", "3", "--tokens", "5000"]
    out = tmp_path / "out"
    run = CliRunner().invoke(main, [*command, "--quiet", "--seed", "3", "-o", str(out)])
    assert run.exit_code == 0, run.output
    assert "gamma none: not a power law" in run.output
    written = Corpus.open(out)
    assert (written.separator, written.vocab_size) == (8, 9)
    assert written.n_tokens - written.n_documents >= 5000
    lengths = np.diff(written.document_ends, prepend=0)
    assert set(lengths.tolist()) <= {51, 71, 11, 91}
    assert np.all(written.tokens[written.document_ends - 1] == 8)
    assert np.count_nonzero(written.tokens == 8) == written.n_documents
    known = json.loads((out / "truth.json").read_text())
    assert known["document_length"] is None
    assert known["parameters"]["from_sha256"] == Corpus.open(source).sha256
    assert known["entropies"]["document"]["context"] == [0, 1, 2, 3, 4, 5]
    entropies = known["entropies"]["document"]["entropy"]
    assert entropies[2] == pytest.approx(entropies[5], rel=0.01)
    assert known["correlations"]["norm_document"][0] > 0
    assert known["extras"]["document_lengths"]["longest"] == 90
    assert known["extras"]["all_targets"]["context"] == [0, 1, 2]
    # The corpus in memory is the same.
    language = NgramLanguage.open(source, 3)
    assert np.array_equal(language.corpus(5000, seed=3).tokens, written.tokens)
    bare = synthesize(
        NgramLanguage.open(source, 3, separators=False), tmp_path / "bare", tokens=5000, seed=3
    )
    assert bare.separator is None
    assert np.array_equal(bare.tokens, written.tokens[written.tokens != 8])


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--order", "0"], "order=0: must be an integer in 1 .. 16"), (["--order", "x"], "--order")],
)
def test_bad_options_end_in_one_message(options, message, tmp_path):
    source = tmp_path / "source"
    with CorpusWriter(source, 3) as writer:
        writer.append([0, 1, 2])
        writer.finish()
    command = ["synthesize", "ngram", "--from", str(source), "-o", str(tmp_path / "out")]
    run = CliRunner().invoke(main, [*command, *options])
    assert run.exit_code == 2
    assert message in run.output
    assert not (tmp_path / "out").exists()


def test_models_count_nothing_across_documents():
    model = NgramModel.count([np.array([0, 1]), np.array([2, 0])], 3, 2)
    level = model.level(2)
    contexts = (model.context[level] - 1).tolist()
    pairs = set(zip(contexts, model.token[level].tolist(), strict=True))
    assert pairs == {(3, 0), (0, 1), (3, 2), (2, 0)}
