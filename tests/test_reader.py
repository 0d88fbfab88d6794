"""Pretrained models as readers: equal to a direct computation, resumable, and safe to open."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'ngramstat[reader]'")
transformers = pytest.importorskip(
    "transformers", reason="needs transformers: pip install 'ngramstat[reader]'"
)

from click.testing import CliRunner  # noqa: E402

import ngramstat  # noqa: E402
from ngramstat import Corpus, read_losses, read_reader_curve  # noqa: E402
from ngramstat.boundary import Boundary  # noqa: E402
from ngramstat.cli import main  # noqa: E402
from ngramstat.errors import InputError, NgramstatError  # noqa: E402
from ngramstat.lm import reading  # noqa: E402
from ngramstat.lm.data import split_corpus  # noqa: E402
from ngramstat.lm.reader import open_reader  # noqa: E402
from ngramstat.lm.run import Run, Settings  # noqa: E402
from ngramstat.lm.sweep import Sweep, TrainingPlan  # noqa: E402
from ngramstat.lm.text_windows import draw_windows  # noqa: E402
from ngramstat.lm.train import train  # noqa: E402
from ngramstat.results import ReadingResult  # noqa: E402
from ngramstat.runtime.workspace import Workspace  # noqa: E402
from ngramstat.synthetic import MarkovChain  # noqa: E402

V = 61
T = 16


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def gpt2_config(**changes):
    fields = {"vocab_size": V, "n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 2,
              "bos_token_id": None, "eos_token_id": None}  # fmt: skip
    return transformers.GPT2Config(**(fields | changes))


def llama_config(**changes):
    fields = {"vocab_size": V, "max_position_embeddings": 32, "hidden_size": 32,
              "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
              "intermediate_size": 48, "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
    return transformers.LlamaConfig(**(fields | changes))


def gemma_config():
    """Its logits are bent after the output embedding, so they cannot be computed from it."""
    return transformers.Gemma2Config(
        vocab_size=V, max_position_embeddings=32, hidden_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, intermediate_size=48,
        final_logit_softcapping=2.0, bos_token_id=2, sliding_window=8,
    )  # fmt: skip


CONFIGS = {"gpt2": gpt2_config, "llama": llama_config, "gemma2": gemma_config}


def save(config, directory, scale=6):
    """A model with large random weights, whose losses differ from those of a uniform guess."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = transformers.AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 2:
                    parameter.mul_(scale)
    model.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {name: save(make(), root / name) for name, make in CONFIGS.items()}


@pytest.fixture(scope="module")
def corpus():
    """60 documents of 5 to 60 tokens, each with a separator at its end."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(5, 60, size=60)
    tokens = rng.integers(1, V - 3, size=int(lengths.sum()) + len(lengths))
    ends = np.cumsum(lengths + 1)
    tokens[ends - 1] = 0
    return Corpus.from_arrays(tokens, vocab_size=V - 3, document_ends=ends, separator=0)


def direct(directory, windows, lengths):
    """Losses one window at a time, from all logits in double precision; (n_windows, T)."""
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float64)
    model.eval()
    start = model.config.bos_token_id
    out = np.full(windows.shape, math.nan)
    for row, length in enumerate(lengths):
        tokens = windows[row, :length].tolist()
        given = tokens[:-1] if start is None else [start, *tokens[:-1]]
        predicted = tokens[1:] if start is None else tokens
        if not given:
            continue
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([given])).logits[0]
        losses = -torch.log_softmax(logits, dim=-1)[range(len(predicted)), predicted]
        out[row, length - len(predicted) : length] = losses.numpy()
    return out


def read_table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def plan(corpus, *, boundary="stream", windows=40, shortest=1, context=T, seed=0):
    return draw_windows(
        corpus, context, boundary=Boundary(boundary), tokens=1, windows=windows,
        shortest=shortest, seed=seed,
    )  # fmt: skip


# --- losses ---


@pytest.mark.parametrize("boundary", ["stream", "document"])
@pytest.mark.parametrize("name", CONFIGS)
def test_losses_equal_a_direct_computation_at_every_context(name, boundary, models, corpus):
    result = read_losses(
        models[name], corpus, context=T, windows=40, boundary=boundary, batch=7, threads=1
    )
    drawn = plan(corpus, boundary=boundary, shortest=2 if name == "gpt2" else 1)
    expected = direct(models[name], drawn.of(np.arange(len(drawn))), drawn.lengths)
    first = 1 if name == "gpt2" else 0  # without a start token, contexts begin at 1
    assert result.table.context.tolist() == list(range(first, T))
    means = np.nanmean(expected[:, first:], axis=0)
    assert means.max() - means.min() > 0.3  # not a uniform guess everywhere
    np.testing.assert_allclose(result.table.loss, means, rtol=0, atol=1e-5)
    assert result.windows.tolist() == np.isfinite(expected[:, first:]).sum(axis=0).tolist()
    assert any("begin at 1" in note for note in result.notes) == (name == "gpt2")
    assert np.isnan(result.table.tokens).all()
    assert result.table.learner == name


def test_the_output_embedding_is_used_only_where_it_gives_the_logits(models):
    ways = {
        name: open_reader(path, device="cpu", memory=1 << 33).separates_output
        for name, path in models.items()
    }
    assert ways == {"gpt2": True, "llama": True, "gemma2": False}


def test_few_logits_at_a_time_give_the_same_losses(models, monkeypatch):
    windows = np.random.default_rng(0).integers(V, size=(5, T))
    for name, path in models.items():
        reader = open_reader(path, device="cpu", memory=1 << 33)
        whole = reader.losses(windows)
        with monkeypatch.context() as patch:
            patch.setattr("ngramstat.lm.reader._MAX_LOGITS", {"cpu": 3 * V})
            np.testing.assert_allclose(reader.losses(windows), whole, atol=2e-6, err_msg=name)


def test_bfloat16_is_near(models):
    windows = np.random.default_rng(0).integers(V, size=(40, T))
    exact = open_reader(models["llama"], device="cpu", memory=1 << 33).losses(windows)
    reader = open_reader(models["llama"], device="cpu", precision="bfloat16", memory=1 << 33)
    rough = reader.losses(windows)
    assert 0 < np.abs(rough - exact).max() < 0.3
    assert abs(float((rough - exact).mean())) < 0.01


def test_without_an_empty_context_the_start_token_is_left_out(models, corpus):
    result = read_losses(
        models["llama"], corpus, context=T, windows=20, empty_context=False, threads=1
    )
    assert result.table.context.tolist() == list(range(1, T))
    assert result.settings["start"] is None


# --- windows and errors ---


def test_windows_start_anywhere_and_cover_the_text_evenly(corpus):
    seen = np.concatenate([plan(corpus, seed=seed).starts for seed in range(300)])
    n_starts = corpus.n_tokens - T + 1
    assert seen.min() == 0
    assert seen.max() == n_starts - 1
    share = np.histogram(seen, bins=10, range=(0, n_starts))[0] / len(seen)
    assert np.abs(share - 0.1).max() < 0.01
    assert np.diff(plan(corpus).starts).min() >= 0
    every = plan(corpus, windows=10**6)
    assert every.starts.tolist() == list(range(n_starts))


def test_windows_inside_documents_end_before_the_separator(corpus):
    every = plan(corpus, boundary="document", windows=10**6)
    starts = np.concatenate([[0], corpus.document_ends[:-1]])
    content = [(s, e - 1) for s, e in zip(starts, corpus.document_ends, strict=True)]
    expected = [(p, min(T, end - p)) for start, end in content for p in range(start, end)]
    assert list(zip(every.starts.tolist(), every.lengths.tolist(), strict=True)) == expected
    assert not np.any(np.concatenate([
        every.of(np.array([i]))[0] for i in range(len(every))
    ]) == 0)  # fmt: skip
    budget = draw_windows(
        corpus, T, boundary=Boundary.DOCUMENT, tokens=5000, windows=None, shortest=1, seed=0
    )
    assert int(budget.lengths.sum()) == pytest.approx(5000, rel=0.05)
    stream = Corpus.from_arrays(np.ones(100, np.uint16), vocab_size=2)
    with pytest.raises(InputError, match="no documents"):
        plan(stream, boundary="document")


def test_blocks_are_runs_of_whole_documents(corpus):
    every = plan(corpus, windows=10**6)
    document = np.searchsorted(corpus.document_ends, every.starts, side="right")
    assert every.n_blocks == len(np.unique(every.block)) > 30
    assert np.diff(every.block).min() >= 0
    for number in np.unique(document):
        assert len(np.unique(every.block[document == number])) == 1


def test_standard_errors_are_those_of_repeated_texts(models):
    """Spread of the mean loss over independent texts, against the error from one text."""
    reader = open_reader(models["llama"], device="cpu", memory=1 << 33)
    # Documents that repeat one token: their losses hang together, as in real documents.
    losses, errors = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        tokens = np.repeat(rng.integers(V, size=80), 24)
        ends = np.arange(1, 81) * 24
        text = Corpus.from_arrays(tokens, vocab_size=V, document_ends=ends)
        drawn = plan(text, windows=160, context=8, seed=seed)
        run = reading._Reading(
            reader, drawn, None, {}, 40, Workspace(1, 1 << 33), text.require_unchanged
        )
        table, _ = reading._curve(*run.run(False), "x", None)
        losses.append(table.loss[4])
        errors.append(table.error[4])
    assert np.mean(errors) == pytest.approx(np.std(losses, ddof=1), rel=0.25)


# --- resuming and the file ---


def test_an_interrupted_reading_resumes_to_the_same_bits(models, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_PART_TOKENS", 100)
    options = {"context": T, "windows": 40, "threads": 1, "batch": 3}
    whole = read_losses(models["llama"], corpus, output=tmp_path / "a.csv", **options)
    real, done = reading._Reading._read, []

    def killed(self, rows, read, progress):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(rows[0])
        return real(self, rows, read, progress)

    monkeypatch.setattr(reading._Reading, "_read", killed)
    with pytest.raises(KeyboardInterrupt):
        read_losses(models["llama"], corpus, output=tmp_path / "b.csv", **options)
    assert not (tmp_path / "b.csv").exists()
    assert len(list((tmp_path / "b.csv.parts").glob("reading-*.npz"))) == 3
    later = []
    monkeypatch.setattr(
        reading._Reading, "_read", lambda s, r, n, p: (later.append(r[0]), real(s, r, n, p))[1]
    )
    # With other threads, too: each computes a batch of its own.
    options["threads"] = 3
    again = read_losses(models["llama"], corpus, output=tmp_path / "b.csv", **options)
    assert not set(done) & set(later)
    assert again.table == whole.table
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()
    assert not (tmp_path / "b.csv.parts").exists()


def test_a_batch_once_decided_is_kept(models, corpus, tmp_path, monkeypatch):
    def killed(self, show):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(reading._Reading, "run", killed)
        patch.setattr("ngramstat.lm.reader.Reader.default_batch", lambda s, c, m: 5)
        with pytest.raises(KeyboardInterrupt):
            read_losses(models["llama"], corpus, output=tmp_path / "c.csv", threads=1)
    monkeypatch.setattr("ngramstat.lm.reader.Reader.default_batch", lambda s, c, m: 9)
    options = {"output": tmp_path / "c.csv", "threads": 1}
    assert read_losses(models["llama"], corpus, **options).settings["batch"] == 5
    assert read_losses(models["llama"], corpus, **options).settings["batch"] == 9


def test_the_command_writes_a_curve_that_predict_reads(models, corpus, tmp_path):
    tokens, ends = tmp_path / "c.npy", corpus.document_ends
    assert ends is not None
    np.save(tokens, np.asarray(corpus.tokens))
    output = tmp_path / "curve.csv"
    arguments = ["read", str(models["llama"]), str(tokens), "--separator", "0", "--vocab-size",
                 str(V - 3), "-o", str(output), "--context", "12", "--windows", "30",
                 "--trained-on", "2.5M", "--learner", "tiny", "--threads", "1"]  # fmt: skip
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "tiny, trained on 2.5 M tokens" in done.output
    rows = read_table(output)
    assert list(rows[0]) == ["context", "tokens", "loss", "error", "learner"]
    assert [int(row["context"]) for row in rows] == list(range(12))
    assert {row["tokens"] for row in rows} == {"2500000"}
    table = read_reader_curve(output)
    assert table.learner == "tiny"
    assert table.loss.tolist() == [float(row["loss"]) for row in rows]
    done = CliRunner().invoke(main, [*arguments, "--json", "--quiet"])
    data = json.loads(done.stdout)
    assert ReadingResult.from_dict(data).table.loss.tolist() == table.loss.tolist()
    assert data["settings"]["windows"] == 30


def test_unknown_training_tokens_are_an_empty_column(models, corpus, tmp_path):
    output = tmp_path / "curve.csv"
    result = read_losses(models["llama"], corpus, output=output, context=8, windows=9, threads=1)
    assert {row["tokens"] for row in read_table(output)} == {""}
    table = read_reader_curve(output)
    assert np.isnan(table.tokens).all()
    assert table == result.table
    with pytest.raises(InputError, match="for reader"):
        ngramstat.read_curves(output)


# --- our own models ---


def train_one(directory, protocol="default"):
    """A finished run on a Markov chain, and what it was made of."""
    chain = MarkovChain.random(
        vocab_size=12, order=1, concentration=0.3, rules_seed=1, document_length=50
    )
    text = chain.corpus(12_000, seed=2)
    split = split_corpus(text, tuning=1000, measuring=1000, seed=0)
    run = Run("llama", "0.1M", T, 3000, 0, Settings(5e-3, 0.1, 2, 8), "here", 12, protocol=protocol)
    given = protocol == "paper"
    measuring = split.windows(split.measuring, T, max_tokens=1000, given=given)
    tuning = split.windows(split.tuning, T, max_tokens=400, given=given)
    result = train(run, split, tuning, measuring, directory)
    return directory, text, split, measuring, result, chain


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_one(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("protocol", ["default", "paper"])
def test_a_trained_model_reads_what_its_training_has_measured(protocol, trained, tmp_path):
    run = trained if protocol == "default" else train_one(tmp_path, protocol)
    directory, _, _, measuring, result, _ = run
    reader = open_reader(directory, device="cpu", memory=1 << 33)
    losses = reader.losses(measuring.tokens.astype(np.int64)).mean(axis=0)
    first = 1 if protocol == "paper" else 0  # the paper's models are always given a token
    assert np.isnan(losses[:first]).all()
    np.testing.assert_allclose(losses[first:], result.by_context, atol=1e-6)
    assert reader.trained_on == result.tokens
    assert reader.longest_window == T + first


def test_a_trained_model_reads_of_its_own_corpus_what_it_has_not_seen(trained):
    directory, text, split, _, result, chain = trained
    own = read_losses(directory, text, windows=10**6, threads=1)
    first, last = split.measuring
    held_out = int((split.ends[first:last] - split.starts[first:last]).sum())
    assert own.settings["windows"] == held_out - T + 1
    assert any("not seen" in note for note in own.notes)
    assert own.table.tokens.tolist() == [result.tokens] * T
    # Every window of the held-out text, against every T-th one of it.
    assert np.abs(own.table.loss - result.by_context).max() < 0.35
    assert abs(float((own.table.loss - result.by_context).mean())) < 0.05
    other = read_losses(directory, chain.corpus(5000, seed=9), tokens=4000, threads=1)
    assert other.notes == ()
    assert float(np.abs(other.table.loss - own.table.loss).mean()) < 0.2


def test_runs_that_cannot_be_read_say_why(trained, tmp_path):
    directory, _, _, _, _, _ = trained
    with pytest.raises(InputError, match="holds no model"):
        open_reader(tmp_path, device="cpu", memory=1 << 33)
    copy = tmp_path / "runs" / directory.name
    copy.mkdir(parents=True)
    for name in ("run.json", "losses.npz", "weights.npz"):
        (copy / name).write_bytes((directory / name).read_bytes())
    with pytest.raises(InputError, match=f"name one of them, such as .*{directory.name}"):
        open_reader(tmp_path, device="cpu", memory=1 << 33)
    (copy / "weights.npz").unlink()
    with pytest.raises(InputError, match=r"holds no weights\.npz"):
        open_reader(copy, device="cpu", memory=1 << 33)
    (copy / "losses.npz").unlink()
    with pytest.raises(InputError, match="not finished"):
        open_reader(copy, device="cpu", memory=1 << 33)
    (copy / "run.json").write_text('{"run": {"model": "gpt2"}}')
    with pytest.raises(InputError, match="is not a run of"):
        open_reader(copy, device="cpu", memory=1 << 33)


def test_a_sweep_keeps_the_weights_of_the_best_run_of_every_size(trained, tmp_path, monkeypatch):
    _, _, split, _, _, _ = trained
    monkeypatch.setattr("ngramstat.lm.search._EPOCHS", (1, 2))
    todo = TrainingPlan(("gpt2",), "0.1M", (T,), (1000, 2000), trials=2, capacity=False)
    sweep = Sweep(split, todo, tmp_path, "here", tuning_tokens=400, measuring_tokens=800)
    records = sweep.run()
    assert len(records) == 4
    for tokens in (1000, 2000):
        runs = [r for r in records if r.run.tokens == tokens]
        best = min(runs, key=lambda r: r.result.tuning_loss)
        kept = [r for r in runs if (tmp_path / "runs" / r.run.key / "weights.npz").is_file()]
        assert kept == [best]
    reader = open_reader(tmp_path / "runs" / best.run.key, device="cpu", memory=1 << 33)
    windows = sweep.held_out(T)[1].tokens.astype(np.int64)
    np.testing.assert_allclose(
        reader.losses(windows).mean(axis=0), best.result.by_context, atol=1e-6
    )


# --- refusals ---


def test_pickled_weights_are_refused_before_they_are_opened(models, tmp_path):
    config = (models["gpt2"] / "config.json").read_text()
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "pytorch_model.bin").write_bytes(b"not even a pickle")
    with pytest.raises(InputError, match=r"pytorch_model\.bin, a pickle.*only safetensors"):
        open_reader(tmp_path, device="cpu", memory=1 << 33)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(InputError, match="no weights"):
        open_reader(tmp_path, device="cpu", memory=1 << 33)
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 30)
    with pytest.raises(InputError, match="not a safetensors file"):
        open_reader(tmp_path, device="cpu", memory=1 << 33)


def test_code_of_a_model_is_not_run(models, tmp_path):
    config = json.loads((models["gpt2"] / "config.json").read_text())
    config["model_type"] = "mine"
    config["auto_map"] = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    weights = (models["gpt2"] / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(InputError, match="code of its own, which is not run"):
        open_reader(tmp_path, device="cpu", memory=1 << 33)
    assert not (tmp_path / "ran").exists()


def test_incomplete_weights_are_refused(models, tmp_path):
    config = json.loads((models["gpt2"] / "config.json").read_text())
    config["n_layer"] = 3
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights = (models["gpt2"] / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(InputError, match="weights are incomplete: 12 tensors"):
        open_reader(tmp_path, device="cpu", memory=1 << 33)


def test_a_model_that_sees_later_tokens_is_refused(tmp_path):
    config = transformers.BertConfig(
        vocab_size=V, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=48, max_position_embeddings=32,
    )  # fmt: skip
    model = transformers.BertLMHeadModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="not a causal model"):
        open_reader(tmp_path, device="cpu", memory=1 << 33)


def test_a_model_that_is_too_large_for_the_memory_is_refused(models):
    with pytest.raises(NgramstatError, match="memory limit"):
        open_reader(models["gpt2"], device="cpu", memory=1 << 10)


def test_the_corpus_must_be_of_the_models_tokens(models, tmp_path):
    many = Corpus.from_arrays(np.arange(200) % 80, vocab_size=V + 1 + 80)
    with pytest.raises(InputError, match="knows 61"):
        read_losses(models["gpt2"], many)
    with pytest.raises(InputError, match="made for 33 tokens"):
        read_losses(models["gpt2"], Corpus.from_arrays(np.ones(99, int), vocab_size=2), context=34)
    with pytest.raises(InputError, match="fewer than one window"):
        read_losses(models["gpt2"], Corpus.from_arrays(np.ones(9, int), vocab_size=2), context=16)


@pytest.fixture
def tokenized(tmp_path):
    texts = tmp_path / "texts.txt"
    rng = np.random.default_rng(0)
    words = ["red", "green", "blue", "one", "two", "three"]
    lines = [" ".join(rng.choice(words, size=40)) for _ in range(40)]
    texts.write_text("\n".join(lines))
    first = ngramstat.tokenize([texts], tmp_path / "corpus", vocab_size=270, document="line")
    texts.write_text("\n".join(lines).replace("e", "o").upper())
    ngramstat.tokenize([texts], tmp_path / "other", vocab_size=270, document="line")
    return first, tmp_path


def test_tokenizers_are_compared(tokenized):
    text, root = tokenized
    model = save(gpt2_config(vocab_size=300), root / "model")
    unknown = read_losses(model, text, context=8, windows=5, threads=1)
    assert any("no tokenizer.json" in note for note in unknown.notes)
    theirs = json.loads((root / "corpus" / "tokenizer.json").read_text())
    (model / "tokenizer.json").write_text(json.dumps(theirs, indent=1))
    same = read_losses(model, text, context=8, windows=5, threads=1)
    assert not any("tokenizer" in note for note in same.notes)
    (model / "tokenizer.json").write_text(json.dumps({**theirs, "normalizer": {"type": "NFC"}}))
    near = read_losses(model, text, context=8, windows=5, threads=1)
    assert any("differ in normalizer" in note for note in near.notes)
    (model / "tokenizer.json").write_bytes((root / "other" / "tokenizer.json").read_bytes())
    with pytest.raises(InputError, match="another tokenizer"):
        read_losses(model, text, context=8, windows=5, threads=1)


def test_losses_beyond_a_uniform_guess_are_pointed_out(tmp_path):
    text = Corpus.from_arrays(np.random.default_rng(0).integers(V, size=500), vocab_size=V)
    wild = save(llama_config(), tmp_path / "wild", scale=30)
    result = read_losses(wild, text, context=8, windows=60, threads=1)
    assert float(result.table.loss.min()) > math.log(V)
    assert any("uniform guess" in note for note in result.notes)
    flat = save(llama_config(), tmp_path / "flat", scale=1)
    result = read_losses(flat, text, context=8, windows=60, threads=1)
    assert float(result.table.loss.min()) < math.log(V)
    assert not any("uniform guess" in note for note in result.notes)
