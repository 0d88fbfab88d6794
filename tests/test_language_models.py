"""What models offer beside log probabilities: perplexity by document, text, samples, files."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

import ngramstat
from ngramstat import BackoffModel, InputError, KneserNeyModel, MixtureModel, load_model
from ngramstat.errors import InputTypeError
from ngramstat.ngram_models import model as model_module
from ngramstat.results import PerplexityResult, TextScore
from test_cli import error
from test_cli import run as result_of

SIZE = 7


def run(*arguments: object) -> str:
    return result_of(*arguments).stdout


def documents(n: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(1, SIZE - 1, int(rng.integers(1, 9))) for _ in range(n)]


def corpus_of(kind: str, n: int = 40, seed: int = 0) -> ngramstat.Corpus:
    """A corpus whose id 6 never occurs, with separators (id 0) as `kind` says."""
    parts = documents(n, seed)
    if kind == "stream":
        return ngramstat.Corpus.from_arrays(np.concatenate(parts), vocab_size=SIZE)
    if kind == "before":
        tokens = np.concatenate([np.append(0, part) for part in parts])
        return ngramstat.Corpus.from_arrays(tokens, vocab_size=SIZE, separator=0)
    separator = 0 if kind == "after" else None
    return ngramstat.Corpus.from_documents(parts, vocab_size=SIZE, separator=separator)


@pytest.mark.parametrize("kind", ["stream", "none", "after", "before"])
def test_perplexity_sums_the_log_probs_of_documents(kind, monkeypatch):
    model = KneserNeyModel.train(corpus_of(kind), 3)
    held_out = corpus_of(kind, 25, seed=1)
    log_probs = model.log_probs(held_out)
    result = model.perplexity(held_out)
    assert result.losses.sum() == pytest.approx(-log_probs.sum())
    given = int(kind == "before")
    assert result.tokens.sum() == held_out.n_tokens - given
    assert result.perplexity == pytest.approx(np.exp(-log_probs.sum() / result.tokens.sum()))
    assert result.bits == pytest.approx(result.nats / np.log(2))
    whole = model.perplexity(held_out, by_document=False)
    assert whole.losses.shape == (1,)
    assert whole.nats == pytest.approx(result.nats)
    for size in (1, 10, 30):
        monkeypatch.setattr(model_module, "_PIECE", size)
        in_pieces = model.perplexity(held_out)
        np.testing.assert_allclose(in_pieces.losses, result.losses, rtol=1e-12)
        assert np.array_equal(in_pieces.tokens, result.tokens)
        assert np.array_equal(model.token_losses(held_out), -log_probs)


def test_separators_before_and_after_documents_are_the_same_ends():
    after, before = corpus_of("after", 25, seed=1), corpus_of("before", 25, seed=1)
    model = KneserNeyModel.train(corpus_of("after"), 3)
    one, other = model.perplexity(after), model.perplexity(before)
    # The end of the last document is only marked by a separator after it.
    np.testing.assert_allclose(one.losses[:-1], other.losses[:-1])
    assert (one.tokens - other.tokens).tolist() == [0] * 24 + [1]
    # A plain list of ids is split at the model's separator.
    np.testing.assert_allclose(model.perplexity(after.tokens).losses, one.losses)


def test_unseen_types_are_counted_and_have_the_share_of_the_uniform_distribution(tmp_path):
    model = KneserNeyModel.train(corpus_of("after"), 3)
    assert model.unseen_types().tolist() == [False] * 6 + [True]
    result = model.perplexity([[6, 1, 0], [6, 6, 0]])
    assert result.unseen.tolist() == [1, 2]
    assert np.isfinite(result.losses).all()
    # All ids of a context that never ends one: their probabilities sum to one.
    assert np.exp(model.next_log_probs([[0, 6]])).sum() == pytest.approx(1, abs=1e-6)
    model.save(tmp_path / "lm")
    assert np.array_equal(load_model(tmp_path / "lm").unseen_types(), model.unseen_types())
    all_seen = KneserNeyModel.train([[0, 1, 2, 1, 0, 2]] * 4, 2)
    assert not all_seen.unseen_types().any()


def test_results_survive_json(tmp_path):
    model = KneserNeyModel.train(corpus_of("after"), 2)
    result = model.perplexity(corpus_of("after"))
    result.save(tmp_path / "p.json")
    assert PerplexityResult.load(tmp_path / "p.json") == result
    assert list(result.to_pandas().columns)[:2] == ["document", "loss"]
    with pytest.raises(InputError, match="schema"):
        PerplexityResult.from_dict({**result.to_dict(), "schema": "x"})


@pytest.mark.parametrize("context", [[], [1], [2, 3]])
def test_samples_follow_the_distribution(context):
    model = KneserNeyModel.train(corpus_of("after"), 3)
    n = 3000
    drawn = model.sample(1, seed=4, prompt=context, num_samples=n)
    counts = np.bincount([row[0] for row in drawn], minlength=SIZE)
    expected = n * np.exp(model.next_log_probs([[0, *context]])[0])
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 22.5  # 0.1 % above with 6 degrees of freedom


def test_longer_samples_follow_the_model():
    model = KneserNeyModel.train(corpus_of("after"), 3)
    drawn = model.sample(50, seed=5, num_samples=2000)
    assert all((row[:-1] != 0).all() for row in drawn)
    assert all(len(row) == 50 or row[-1] == 0 for row in drawn)
    # The mean loss of what the model draws is its entropy: that of a second sample, about.
    other = model.sample(50, seed=6, num_samples=2000)
    one, two = model.perplexity(drawn), model.perplexity(other)
    assert one.nats == pytest.approx(two.nats, rel=0.03)


def test_seeds_and_temperatures():
    model = KneserNeyModel.train(corpus_of("after"), 3)
    one, same, other = (model.sample(30, seed=s, num_samples=3) for s in (1, 1, 2))
    assert [row.tolist() for row in one] == [row.tolist() for row in same]
    assert [row.tolist() for row in one] != [row.tolist() for row in other]
    greedy = model.sample(5, temperature=0, prompt=[1])[0]
    context = [0, 1]
    for token in greedy.tolist():
        assert token == int(np.argmax(model.next_log_probs([context])[0]))
        context.append(token)
    n, temperature = 3000, 0.5
    drawn = model.sample(1, seed=3, temperature=temperature, num_samples=n)
    counts = np.bincount([row[0] for row in drawn], minlength=SIZE)
    weights = np.exp(model.next_log_probs([[0]])[0] / temperature)
    expected = n * weights / weights.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 22.5
    for options in ({"n_tokens": -1}, {"temperature": -1}, {"top_k": 0}, {"prompt": [SIZE]}):
        with pytest.raises(InputError):
            model.sample(**options)
    # Sample i does not depend on how many there are.
    assert model.sample(30, seed=1, num_samples=9)[2].tolist() == one[2].tolist()
    best = np.argsort(-model.next_log_probs([[0]])[0])[:2]
    few = {int(row[0]) for row in model.sample(1, top_k=2, num_samples=60)}
    assert few == set(best.tolist())
    stream = KneserNeyModel.train(corpus_of("stream"), 3).sample(40, seed=1)
    assert len(stream[0]) == 40


@pytest.fixture(scope="module")
def text_model(tmp_path_factory):
    texts = ["the cat sat on the mat", "a dog sat on a log", "the dog ate the cat's food"] * 8
    corpus = ngramstat.Corpus.from_texts(texts, vocab_size=300)
    path = tmp_path_factory.mktemp("model") / "lm.kn"
    KneserNeyModel.train(corpus, 3).save(path)
    return path, corpus


def test_a_model_keeps_its_tokenizer(text_model, tmp_path):
    path, corpus = text_model
    model = load_model(path)
    score = model.score("the cat")
    assert "".join(score.spellings[:-1]) == "the cat"
    assert score.tokens[-1] == corpus.separator
    np.testing.assert_array_equal(-model.log_probs(score.tokens), score.losses)
    assert TextScore.from_dict(score.to_dict()) == score
    result = model.perplexity(["the cat", "a dog"])
    assert result.losses[0] == pytest.approx(score.losses.sum())
    np.testing.assert_array_equal(-model.log_probs(["the cat"]), score.losses)
    (tmp_path / "text.txt").write_text("the cat\na dog\n")
    read = model.read_text(tmp_path / "text.txt", document="line")
    np.testing.assert_allclose(model.perplexity(read).losses, result.losses)
    drawn = model.sample(12, seed=1, prompt="the dog")[0]
    assert isinstance(model.decode(drawn), str)
    # Damage anywhere in the tokenizer is noticed.
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    (tmp_path / "damaged").write_bytes(data)
    with pytest.raises(InputError, match=r"damaged: its tokenizer\.json has another checksum"):
        load_model(tmp_path / "damaged")
    (tmp_path / "damaged").write_bytes(data[:-1])
    with pytest.raises(InputError, match="truncated"):
        load_model(tmp_path / "damaged")


@pytest.mark.parametrize("special", [True, False])
def test_special_tokens_that_a_text_spells_are_text(tmp_path, special):
    tokenizers = pytest.importorskip("tokenizers")
    words = {"the": 0, "<eos>": 1, "cat": 2, "<unk>": 3}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    if special:
        tokenizer.add_special_tokens(["<eos>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "text.txt").write_text("the cat\nthe the\n")
    corpus = ngramstat.tokenize(
        tmp_path / "text.txt", tmp_path / "corpus", tokenizer=tmp_path / "tokenizer.json",
        separator=1, document="line",
    )  # fmt: skip
    trained = KneserNeyModel.train(corpus, 2)
    trained.save(tmp_path / "lm.kn")
    for model in (trained, load_model(tmp_path / "lm.kn")):
        assert model.text.encode("the <eos> cat").tolist() == [0, 3, 2]
        assert model.decode([0, 1, 2]) == "the <eos> cat"
        assert model.text.spellings(4) == ["the", "<eos>", "cat", "<unk>"]


def test_models_of_ids_refuse_text():
    model = KneserNeyModel.train([[1, 2, 3], [1, 3]], 2)
    for call in (model.score, lambda text: model.sample(prompt=text), model.read_text):
        with pytest.raises(InputError, match="has no tokenizer; give ids"):
            call("text")
    with pytest.raises(InputError, match="has no tokenizer; give ids"):
        model.perplexity(["two texts", "of words"])


def test_the_commands_train_score_sample_and_exchange(tmp_path):
    (tmp_path / "text.txt").write_text("the cat sat\n\na dog ate\n" * 20)
    run("--quiet", "tokenize", tmp_path / "text.txt", "-o", tmp_path / "c", "--vocab-size", 280)
    lm = tmp_path / "lm"
    out = run("model", "train", tmp_path / "c", "-o", lm, "--order", 3)
    assert "order 3" in out
    facts = json.loads(run("model", "score", lm, tmp_path / "c", "--json"))
    corpus = ngramstat.Corpus.open(tmp_path / "c")
    expected = load_model(lm).perplexity(corpus)
    assert facts["perplexity"] == pytest.approx(expected.perplexity)
    assert facts["documents"] == corpus.n_documents
    run("model", "score", lm, tmp_path / "c", "-o", tmp_path / "l.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "l.npy"), load_model(lm).token_losses(corpus))
    run(
        "model", "score", lm, "--text", tmp_path / "text.txt", "--document", "line", "-o",
        tmp_path / "l.csv", "--by-document", tmp_path / "d.csv",
    )  # fmt: skip
    with open(tmp_path / "l.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    with open(tmp_path / "d.csv", newline="") as file:
        sums = [float(row["loss"]) for row in csv.DictReader(file)]
    first = [row for row in rows if row["document"] == "0"]
    assert sum(float(row["loss"]) for row in first) == pytest.approx(sums[0])
    assert "".join(row["text"] for row in first[:-1]) == "the cat sat"
    run("model", "export", lm, "-o", tmp_path / "lm.arpa.gz", "--words", "tokens")
    run("model", "import", tmp_path / "lm.arpa.gz", "-o", tmp_path / "again")
    again = BackoffModel.load(tmp_path / "again")
    assert np.array_equal(again.log_probs(corpus), load_model(lm).log_probs(corpus))
    text = run("model", "sample", lm, "--n-tokens", 5, "--seed", 1, "--prompt", "the")
    ids = run("model", "sample", lm, "--n-tokens", 5, "--seed", 1, "--ids")
    assert text.startswith("the")
    assert all(word.isdigit() for word in ids.split())
    drawn = json.loads(run("model", "sample", lm, "--n-tokens", 5, "--num-samples", 2, "--json"))
    assert len(drawn) == 2
    assert "ends with .npy or .csv" in error("model", "score", lm, tmp_path / "c", "-o", "x.txt")
    assert "is no n-gram model" in error("model", "score", tmp_path / "text.txt", tmp_path / "c")
    ids_only = tmp_path / "ids"
    KneserNeyModel.train([[1, 2, 3], [1, 3]], 2).save(ids_only)
    assert "knows no text" in error("model", "sample", ids_only, "--prompt", "abc")
    assert "with --ids it is token ids" in error("model", "sample", lm, "--ids", "--prompt", "abc")
    commas, blanks = (
        run("model", "sample", lm, "--n-tokens", 5, "--ids", "--prompt", prompt)
        for prompt in ("5,6", "5 6")
    )
    assert commas == blanks
    assert commas.startswith("5 6 ")
    rows = json.loads(run("model", "sample", lm, "--n-tokens", 5, "--ids", "--json"))
    assert list(rows[0]) == ["tokens"]
    assert all(isinstance(token, int) for token in rows[0]["tokens"])
    assert list(drawn[0]) == ["tokens", "text"]


def test_contexts_are_read_as_those_of_an_index(text_model):
    model = KneserNeyModel.train(corpus_of("none"), 3)
    one = model.next_log_probs([1, 2])
    assert one.shape == (SIZE,)
    many = model.next_log_probs(np.array([[1, 2], [2, 1]]))
    assert np.array_equal(many[0], one)
    assert np.array_equal(model.next_log_probs([[1, 2], [2, 1]]), many)
    assert np.array_equal(model.next_log_probs([]), model.next_log_probs([[]])[0])
    # The stop token, which is no part of the vocabulary here, begins a document.
    assert model.next_log_probs([model.stop_token]).shape == (SIZE,)
    for wrong in ([[1.5]], [[True]], [1.5], ["12"], "12", None, 1.5, [None], {1: 2}):
        with pytest.raises(InputTypeError, match="contexts"):
            model.next_log_probs(wrong)
    with pytest.raises(InputError, match="the id 9 of query 1 is not in the vocabulary"):
        model.next_log_probs([[1], [9]])
    spelled = load_model(text_model[0])
    ids = spelled.text.encode("the cat")
    expected = spelled.next_log_probs(ids)
    assert np.array_equal(spelled.next_log_probs("the cat"), expected)
    assert np.array_equal(spelled.next_log_probs(["a", "the cat"])[1], expected)


@pytest.mark.parametrize("path", [None, 5])
def test_what_is_no_path_is_refused(path):
    model = KneserNeyModel.train([[1, 2, 3], [1, 3]], 2)
    for call in (
        KneserNeyModel.load, KneserNeyModel.read_arpa, MixtureModel.load, load_model, model.save,
        model.write_arpa,
    ):  # fmt: skip
        with pytest.raises(InputTypeError, match=f"path={path}: must be a path"):
            call(path)


@pytest.mark.parametrize("threads", ["a", 1.5, True, 0])
def test_threads_that_are_no_number_of_threads_are_refused(threads):
    corpus = corpus_of("after")
    model, index = KneserNeyModel.train(corpus, 2), ngramstat.NgramIndex.build(corpus)
    for call in (
        lambda: KneserNeyModel.train(corpus, 2, threads=threads),
        lambda: model.log_probs(corpus, threads=threads),
        lambda: model.next_log_probs([1], threads=threads),
        lambda: model.perplexity(corpus, threads=threads),
        lambda: model.sample(2, threads=threads),
        lambda: MixtureModel.train(corpus, 2, threads=threads),
        lambda: index.count([1], threads=threads),
        lambda: index.count_next([1], threads=threads),
        lambda: index.prob([1], 2, threads=threads),
        lambda: index.score([1, 2], threads=threads),
        lambda: index.sample(2, threads=threads),
    ):
        with pytest.raises(InputError, match="threads="):
            call()


def test_verify_finds_a_flipped_bit(tmp_path):
    path = tmp_path / "lm.kn"
    KneserNeyModel.train(corpus_of("after"), 3).save(path)
    assert "all checksums are right" in run("model", "verify", path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    # Opening a file reads its header alone.
    assert load_model(path).order == 3
    assert "have another checksum" in error("model", "verify", path)
    with pytest.raises(InputError, match="damaged: the n-grams of order"):
        load_model(path, verify=True)
