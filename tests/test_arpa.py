"""ARPA files: what is written is read back, also from other programs, and bad files are refused."""

from __future__ import annotations

import gzip
import math
import re

import numpy as np
import pytest

import ngramstat
from ngramstat import InputError, KneserNeyModel
from ngramstat.ngram_models.backoff_model import BackoffModel
from ngramstat.ngram_models.escapes import escaped, unescaped

LN10 = math.log(10)


def arpa_text(*sections: list[str], counts: list[int] | None = None) -> str:
    counts = [len(section) for section in sections] if counts is None else counts
    lines = ["\\data\\", *(f"ngram {m}={n}" for m, n in enumerate(counts, 1)), ""]
    for m, section in enumerate(sections, 1):
        lines += [f"\\{m}-grams:", *section, ""]
    return "\n".join([*lines, "\\end\\", ""])


UNIGRAMS = ["-1.5\t<unk>", "-99\t<s>\t-0.3", "-0.7\t</s>", "-0.5\ta\t-0.2", "-0.6\tb"]
BIGRAMS = ["-0.25\t<s> a\t-0.1", "-0.4\ta b", "-0.3\tb </s>"]
# Its suffix "a a" is missing, and its context "b a", too.
TRIGRAMS = ["-0.2\tb a a"]


def read(tmp_path, text: str | bytes, **options) -> BackoffModel:
    path = tmp_path / "model.arpa"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return BackoffModel.read_arpa(path, **options)


def by_hand(text: str, sentence: list[str]) -> list[float]:
    """Log10 probabilities of a sentence and its end by the definition of back-off models."""
    probs, backoffs = {}, {}
    for line in text.splitlines():
        fields = re.split(r"[\t ]+", line.strip())
        if re.fullmatch(r"-?[0-9.e-]+", fields[0]):
            n = len(fields) - 1
            try:
                backoff = float(fields[-1]) if n > 1 and not fields[-1].isdigit() else None
            except ValueError:
                backoff = None
            words = tuple(fields[1:] if backoff is None else fields[1:-1])
            probs[words], backoffs[words] = float(fields[0]), backoff or 0.0
    order = max(map(len, probs))

    def prob(context: tuple[str, ...], word: str) -> float:
        if (*context, word) in probs:
            return probs[(*context, word)]
        if not context:
            return probs[("<unk>",)]
        return backoffs.get(context, 0.0) + prob(context[1:], word)

    known = [w if (w,) in probs else "<unk>" for w in sentence]
    words = ["<s>", *known, "</s>"]
    return [prob(tuple(words[max(0, i - order + 1) : i]), words[i]) for i in range(1, len(words))]


@pytest.mark.parametrize("sentence", ["", "a", "a b", "b a a", "a c a a b", "b a a a a"])
def test_words_are_scored_by_the_definition(tmp_path, sentence):
    text = arpa_text(UNIGRAMS, BIGRAMS, TRIGRAMS)
    model = read(tmp_path, text)
    assert (model.order, model.vocab_size) == (3, 4)
    score = model.score(sentence)
    np.testing.assert_allclose(-score.losses / LN10, by_hand(text, sentence.split()), rtol=1e-6)
    assert score.spellings[-1] == "</s>"
    assert model.perplexity([sentence or "a"]).tokens.sum() == len((sentence or "a").split()) + 1


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\t", " "),
        lambda text: "Some text\nof another program\n" + text,
        lambda text: text.replace("\n\\", "\n\n\n\\"),
        lambda text: text.replace("\n\n\\2", "\n\\2"),
        lambda text: text.removesuffix("\n"),
        lambda text: text + "\n \n",
        lambda text: text.replace("-0.6\tb", "-0.6\tb\t0"),
        lambda text: text.replace("ngram 1=5", "ngram 1 = 5"),
    ],
)
def test_variants_of_the_format_are_the_same_model(tmp_path, change):
    text = arpa_text(UNIGRAMS, BIGRAMS, TRIGRAMS)
    expected, model = read(tmp_path, text), read(tmp_path, change(text))
    assert np.array_equal(expected.score("a b a a").losses, model.score("a b a a").losses)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: "", "line 0: the file ends, and holds no"),
        (lambda t: t[:40], "truncated"),
        (lambda t: t.replace("\\end\\", ""), r"without \\end\\"),
        (
            lambda t: t.replace("ngram 2=3", "ngram 2=4"),
            "ends after 3 2-grams; the header states 4",
        ),
        (lambda t: t.replace("ngram 2=3", "ngram 2=2"), "line 16: more 2-grams than the 2"),
        (lambda t: t.replace("ngram 2=3\n", ""), "orders 1, 2, 3"),
        (lambda t: t.replace("ngram 2=3", "ngram 2=x"), "is no count"),
        (lambda t: t.replace("ngram 2=3", "ngram 2=-3"), "is no count"),
        (lambda t: t.replace("-0.4\ta b", "nan\ta b"), "line 15: 'nan' is no finite"),
        (lambda t: t.replace("-0.4\ta b", "-inf\ta b"), "line 15: '-inf' is no finite"),
        (lambda t: t.replace("-0.4\ta b", "0.4\ta b"), "line 15: the log probability is above 0"),
        (lambda t: t.replace("-0.1", "-0.1x"), "line 14: '-0.1x' is no finite back-off"),
        (lambda t: t.replace("-0.4\ta b", "-0.4\ta"), "line 15: has fewer than 2 words"),
        (lambda t: t.replace("-0.4\ta b", "-0.4\ta b 1 2"), "line 15: has more fields"),
        (lambda t: t.replace("-0.4\ta b", "-0.4\ta z"), "line 15: the word 'z' is none of the 1-"),
        (lambda t: t.replace("-0.6\tb", "-0.6\ta"), "line 11: the word 'a' was there before"),
        (lambda t: t.replace("-0.4\ta b", "-0.4\t<s> a"), r"occurs twice \(lines 14 and 15\)"),
        (
            lambda t: t.replace("-0.2\tb a a", "-0.2\tb a a\t-1"),
            "line 19: an n-gram of the highest",
        ),
        (lambda t: t.replace("-0.4\ta b", "-0.4\ta <s>"), "line 15: .* <s> is not its first"),
        (lambda t: t.replace("-0.4\ta b", "-0.4\t</s> b"), "line 15: .* </s> is not its last"),
        (lambda t: t.replace("\\2-grams:", "\\3-grams:"), r"where \\2-grams: was expected"),
        (lambda t: t.replace("-0.4\ta b", "\n-0.4\ta b"), "ends after 1 2-grams"),
        (lambda t: t + "more\n", r"'more' follows \\end\\"),
        (lambda t: t.replace("\ta\t", "\t" + "a" * (1 << 20) + "\t"), "longer than 1 MiB"),
        (lambda t: "x\n" * (1 << 16) + t, "first 64 KiB"),
        (lambda t: '# ngramstat {"words": 3}\n' + t, "first lines are damaged"),
        (lambda t: "# ngramstat [\n" + t, "first lines are damaged"),
    ],
)
def test_bad_files_are_refused_with_the_line(tmp_path, change, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, change(arpa_text(UNIGRAMS, BIGRAMS, TRIGRAMS)))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "model.arpa"))


def test_damaged_files_raise_one_error_or_none(tmp_path):
    rng = np.random.default_rng(0)
    good = arpa_text(UNIGRAMS, BIGRAMS, TRIGRAMS).encode()
    refused = 0
    for _ in range(300):
        data = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(0, len(data)))
            kind = rng.integers(0, 3)
            if kind == 0:
                data[at] = int(rng.integers(0, 256))
            elif kind == 1:
                del data[at : at + int(rng.integers(1, 9))]
            else:
                data[at:at] = data[: int(rng.integers(1, 30))]
        try:
            read(tmp_path, bytes(data))
        except InputError:
            refused += 1
    assert 200 < refused < 300
    packed = gzip.compress(good)
    path = tmp_path / "model.arpa.gz"
    for cut in (1, 20, len(packed) // 2, len(packed) - 1):
        path.write_bytes(packed[:cut])
        with pytest.raises(InputError):
            BackoffModel.read_arpa(path)


def random_corpus(rng: np.random.Generator, separator: int | None, *, stream: bool = False):
    size = int(rng.integers(2, 7))
    documents = [
        rng.integers(1, size, int(rng.integers(1, 9))) for _ in range(int(rng.integers(2, 30)))
    ]
    if stream:
        return ngramstat.Corpus.from_arrays(np.concatenate(documents), vocab_size=size + 1)
    return ngramstat.Corpus.from_documents(documents, vocab_size=size + 1, separator=separator)


@pytest.mark.parametrize("kind", ["stream", "none", "first", "last"])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_a_model_that_is_written_is_read_back_exactly(tmp_path, kind, order):
    rng = np.random.default_rng(order)
    for _ in range(5):
        corpus = random_corpus(rng, None, stream=kind == "stream")
        if kind in ("first", "last"):
            size = corpus.vocab_size
            separator = 0 if kind == "first" else size
            ends = corpus.document_ends
            documents = np.split(np.asarray(corpus.tokens), ends[:-1])
            corpus = ngramstat.Corpus.from_documents(
                documents, vocab_size=size + 1, separator=separator
            )
        model = KneserNeyModel.train(corpus, order)
        for name in ("m.arpa", "m.arpa.gz"):
            model.write_arpa(tmp_path / name)
            again = BackoffModel.read_arpa(tmp_path / name)
            assert again.stop_token == model.stop_token
            assert again.n_ngrams == model.n_ngrams
            assert np.array_equal(again.log_probs(corpus), model.log_probs(corpus))
            assert np.array_equal(again.unseen_types(), model.unseen_types())
            contexts = [[1], [1, 1], []]
            assert np.array_equal(again.next_log_probs(contexts), model.next_log_probs(contexts))
    assert (tmp_path / "m.arpa.gz").stat().st_size < (tmp_path / "m.arpa").stat().st_size


def test_ids_of_other_programs(tmp_path):
    text = arpa_text(
        ["-1.5\t<unk>", "-99\t<s>\t-0.3", "-0.7\t</s>", "-0.5\t3\t-0.2", "-0.6\t0"],
        ["-0.25\t<s> 3", "-0.4\t3 0", "-0.3\t0 </s>"],
    )
    model = read(tmp_path, text)
    assert (model.vocab_size, model.stop_token) == (5, 4)
    expected = np.array(by_hand(text, ["3", "0", "1"])) * LN10
    np.testing.assert_allclose(model.log_probs([3, 0, 1]), expected[:3], rtol=1e-6)
    assert model.unseen_types().tolist() == [False, True, True, False, False]
    wide = read(tmp_path, text, vocab_size=10, separator=7)
    assert (wide.vocab_size, wide.stop_token) == (10, 7)
    np.testing.assert_allclose(wide.log_probs([[3, 0, 9, 7]]), expected, rtol=1e-6)
    words = read(tmp_path, text, words="tokens")
    np.testing.assert_allclose(-words.score("3 0 1").losses, expected, rtol=1e-6)
    for options, message in (
        ({"separator": 3}, "the id 3 of the separator is also a word"),
        ({"vocab_size": 3}, "the word 3 is no id below the vocabulary size 3"),
    ):
        with pytest.raises(InputError, match=message):
            read(tmp_path, text, **options)
    with pytest.raises(InputError, match="the word 'a' is no id"):
        read(tmp_path, arpa_text(UNIGRAMS, BIGRAMS, TRIGRAMS), words="ids")
    with pytest.raises(InputError, match="<unk> has n-grams of its own"):
        read(tmp_path, text.replace("-0.4\t3 0", "-0.4\t3 <unk>"), words="ids")


def test_a_huge_id_is_a_word(tmp_path):
    assert read(tmp_path, arpa_text(["-0.5\t4000000000", "-0.5\t7"])).vocab_size == 2


def test_files_without_ends_of_documents(tmp_path):
    model = read(tmp_path, arpa_text(["-0.5\ta\t-0.25", "-0.6\tb"], ["-0.1\ta b"]))
    assert model.stop_token is None
    np.testing.assert_allclose(model.score("a b a").losses, np.array([0.5, 0.1, 0.5]) * LN10)
    with pytest.raises(InputError, match="the word 'c' is not in the model's vocabulary"):
        model.score("a c")
    # A beginning that is never an end.
    model = read(tmp_path, arpa_text(["0\t<s>\t-1", "-0.6\ta"], ["-0.1\t<s> a"]))
    assert (model.vocab_size, model.stop_token) == (1, 1)
    np.testing.assert_allclose(model.score("a a").losses, np.array([0.1, 0.6]) * LN10)


@pytest.mark.parametrize(
    "token", ["a", "", " ", "a b", "\t\n", "\\", "\\x20", "<s>", "</s>", "<unk>", "é\u2028", "\\e"]
)
def test_escapes_are_taken_back(token):
    word = escaped(token)
    assert len(word.split()) == 1
    assert word not in ("<s>", "</s>", "<unk>")
    assert unescaped(word) == token


def test_tokens_as_the_tokenizer_spells_them(tmp_path):
    texts = ["the cat sat", "the dog sat down", "a cat  and a dog"] * 5
    corpus = ngramstat.Corpus.from_texts(texts, vocab_size=300)
    model = KneserNeyModel.train(corpus, 3)
    path = tmp_path / "lm.arpa"
    model.write_arpa(path, words="tokens")
    again = BackoffModel.read_arpa(path)
    assert np.array_equal(again.log_probs(corpus), model.log_probs(corpus))
    tokens = " ".join(model.text.spellings(model.vocab_size)[i] for i in corpus.tokens[:3])
    assert np.array_equal(again.score(tokens).tokens[:3], corpus.tokens[:3])
    np.testing.assert_array_equal(
        model.score(texts[0]).losses,
        -model.log_probs(corpus)[: corpus.document_ends[0]],
    )
    bare = KneserNeyModel.train([[1, 2, 3]] * 5, 2)
    with pytest.raises(InputError, match="has no tokenizer"):
        bare.write_arpa(path, words="tokens")
    with pytest.raises(InputError, match="has no tokenizer"):
        bare.score("a")


def test_words_of_others_survive_files_of_all_kinds(tmp_path):
    text = arpa_text(
        ["-1.5\t<unk>\t-0.1", "-99\t<s>\t-0.3", "-0.7\t</s>", "-0.5\ta\\b\t-0.2", "-0.6\té\u3000"],
        ["-0.25\t<s> a\\b", "-0.4\ta\\b <unk>", "-0.3\té\u3000 </s>"],
    ).encode()
    model = read(tmp_path, text.replace("é".encode(), b"\xff"))
    assert model.vocab_size == 4
    losses = model.score("a\\b zzz").losses
    model.save(tmp_path / "lm")
    model.write_arpa(tmp_path / "again.arpa")
    for other in (
        BackoffModel.load(tmp_path / "lm"), BackoffModel.read_arpa(tmp_path / "again.arpa")
    ):  # fmt: skip
        assert other.text.words == model.text.words
        assert other.text.unknown == model.text.unknown
        assert np.array_equal(other.score("a\\b zzz").losses, losses)


def test_a_stated_size_is_not_trusted(tmp_path):
    KneserNeyModel.train([[1, 2, 3]] * 5, 2).write_arpa(tmp_path / "m.arpa")
    text = (tmp_path / "m.arpa").read_text().replace('"vocab_size": 4', '"vocab_size": 4294967296')
    with pytest.raises(InputError, match="it has 4 words, and its first lines say 4294967295"):
        read(tmp_path, text)


def test_kenlm_agrees(tmp_path):
    kenlm = pytest.importorskip("kenlm")
    rng = np.random.default_rng(3)
    corpus = random_corpus(rng, 0)
    model = KneserNeyModel.train(corpus, 3)
    path = str(tmp_path / "lm.arpa")
    model.write_arpa(path)
    theirs = kenlm.Model(path)
    result = model.perplexity(corpus)
    documents = np.split(np.asarray(corpus.tokens), corpus.document_ends[:-1])
    for loss, document in zip(result.losses, documents, strict=True):
        words = " ".join(map(str, document[:-1].tolist()))
        assert -theirs.score(words) * LN10 == pytest.approx(loss, rel=1e-5)
