"""Data splits, training runs and sweeps: complete, resumable to the bit, within a budget."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import errno
import json
import math
import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'ngramstat[torch]'")

from ngramstat import Corpus  # noqa: E402
from ngramstat.errors import InputError, NgramstatError  # noqa: E402
from ngramstat.lm import attention, search  # noqa: E402
from ngramstat.lm import train as training  # noqa: E402
from ngramstat.lm.data import append_classes, document_length, split_corpus, windows_of_epoch  # noqa: E402
from ngramstat.lm.models import build  # noqa: E402
from ngramstat.lm.protocol import protocol_of  # noqa: E402
from ngramstat.lm.run import Run, Settings  # noqa: E402
from ngramstat.lm.search import Search, first_guess, first_guess_of_paper  # noqa: E402
from ngramstat.lm.shape import Shape  # noqa: E402
from ngramstat.lm.sweep import Sweep, TrainingPlan  # noqa: E402
from ngramstat.lm.train import held_out_losses, loss_of, train  # noqa: E402
from ngramstat.runtime.files import atomic_write  # noqa: E402
from ngramstat.synthetic import MarkovChain, RandomHierarchy  # noqa: E402

V = 12


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def corpus():
    return MarkovChain.random(
        vocab_size=V, order=1, concentration=0.3, rules_seed=1, document_length=50
    ).corpus(12_000, seed=2)


@pytest.fixture
def split(corpus):
    return split_corpus(corpus, tuning=1000, measuring=1000, seed=0)


def make_run(settings=None, **changes):
    settings = settings or Settings(learning_rate=5e-3, weight_decay=0.1, epochs=3, batch=8)
    fields = {"model": "gpt2", "size": "0.1M", "context": 16, "tokens": 2000, "seed": 0,
              "settings": settings, "data": "here", "vocab_size": V}  # fmt: skip
    return Run(**(fields | changes))


def read_table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def held_out(split, context=16, *, given=False):
    return (
        split.windows(split.tuning, context, max_tokens=400, given=given),
        split.windows(split.measuring, context, max_tokens=800, given=given),
    )


# --- data ---


def test_parts_are_disjoint_sets_of_whole_documents(split, corpus):
    starts, ends = split.starts, split.ends
    assert sorted(ends.tolist()) == corpus.document_ends.tolist()
    assert bool(np.all(ends - starts == 50))
    assert split.tuning == (0, 20)
    assert split.measuring == (20, 40)
    assert split.n_training_tokens == 12_000 - 2000
    document = np.searchsorted(corpus.document_ends, starts, side="right")
    assert len(set(document.tolist())) == 240


def test_training_sets_are_nested_and_have_the_requested_size(split):
    small, large = split.training(2000), split.training(5030)
    assert len(small) == 2000
    assert len(large) == 5050  # whole documents
    np.testing.assert_array_equal(large[:2000], small)
    assert len(split.training(10_000)) == 10_000
    with pytest.raises(InputError, match="smaller sizes"):
        split.training(12_000)


def test_groups_of_documents_are_the_same_for_every_context(split):
    one, two = (split.windows(split.measuring, t, max_tokens=800) for t in (8, 25))
    assert one.n_clusters == two.n_clusters == 16
    assert one.tokens.shape == (100, 8)
    np.testing.assert_array_equal(one.tokens.ravel()[:800], two.tokens.ravel()[:800])
    assert one.cluster.tolist() == [k * 8 // 50 for k in range(100)]


@pytest.mark.parametrize(("length", "context"), [(64, 16), (67, 16), (5, 4), (16, 16)])
def test_an_epoch_has_every_token_as_a_target(length, context):
    seen = set()
    for epoch in range(3):
        starts = windows_of_epoch(length, context, seed=1, epoch=epoch)
        assert len(starts) == -(-length // context)
        places = (starts[:, None] + np.arange(context)) % length
        counts = np.bincount(places.ravel(), minlength=length)
        assert counts.min() == 1
        assert counts.sum() - length < context
        seen.add(tuple(starts.tolist()))
    assert len(seen) == 3 or length == context
    again = windows_of_epoch(length, context, seed=1, epoch=0)
    assert tuple(again.tolist()) in seen


def test_batches_run_through_the_epochs_in_order(split, tmp_path):
    run = make_run(Settings(1e-3, 0.1, epochs=3, batch=7))
    tuning, _ = held_out(split)
    text = split.training(200)
    loop = training._Trainer(dataclasses.replace(run, tokens=200), text, tuning, tmp_path, "cpu")
    rows = np.concatenate([loop._batch(step) for step in range(loop.steps)])
    expected = [
        text[(start + np.arange(16)) % len(text)]
        for epoch in range(3)
        for start in windows_of_epoch(len(text), 16, seed=0, epoch=epoch)
    ]
    np.testing.assert_array_equal(rows, expected)
    assert loop.steps == math.ceil(13 * 3 / 7)


def test_the_paper_reads_the_text_in_order_and_starts_each_epoch_at_its_top(split, tmp_path):
    run = make_run(Settings(1e-3, 0.0, epochs=2, batch=3), tokens=200, protocol="paper")
    text = training.training_tokens(run, split)
    assert len(text) == 201  # the last target is one token beyond the last input
    np.testing.assert_array_equal(text, split.training(400)[:201])
    tuning, _ = held_out(split, given=True)
    loop = training._Trainer(run, text, tuning, tmp_path, "cpu")
    assert loop.steps == 2 * (200 // (3 * 16))
    rows = [loop._batch(step) for step in range(loop.steps)]
    for step, windows in enumerate(rows):
        first = (step % 4) * 3
        expected = [text[16 * k : 16 * k + 17] for k in range(first, first + 3)]
        np.testing.assert_array_equal(windows, expected)
    # Every target of an epoch is one token, once.
    targets = np.concatenate([windows[:, 1:].ravel() for windows in rows[:4]])
    np.testing.assert_array_equal(targets, text[1 : 4 * 3 * 16 + 1])


def test_windows_with_a_given_token_hold_the_same_targets(split):
    plain, given = (
        split.windows(split.measuring, 16, max_tokens=800, given=flag) for flag in (False, True)
    )
    np.testing.assert_array_equal(given.tokens[:, :-1], plain.tokens[:49])
    np.testing.assert_array_equal(given.tokens[:-1, -1], given.tokens[1:, 0])
    assert given.cluster.tolist() == plain.cluster.tolist()[:49]


def test_overlapping_windows_score_each_token_after_several_contexts(split):
    text = split.windows(split.measuring, 16, max_tokens=800).tokens.ravel()
    windows = split.windows(split.measuring, 16, max_tokens=800, given=True, overlap=4)
    assert len(windows.tokens) == (800 - 1 - 16) // 4 + 1
    for k, row in enumerate(windows.tokens.tolist()):
        assert row == text[4 * k : 4 * k + 17].tolist()
    assert windows.cluster.tolist() == [k * 4 // 50 for k in range(len(windows.tokens))]
    targets = (4 * np.arange(len(windows.tokens))[:, None] + np.arange(1, 17)).ravel()
    counts = np.bincount(targets)[16:-16]
    assert counts.min() == counts.max() == 4


def test_learning_rates_step_by_step():
    paper = protocol_of("paper")
    rates = [paper.rate(step, 108) for step in range(108)]
    np.testing.assert_allclose(rates[:8], np.arange(1, 9) / 8)
    for step in range(8, 108):
        half_turn = math.cos(math.pi * (step - 8) / 100)
        assert rates[step] == pytest.approx(0.1 + 0.9 * (1 + half_turn) / 2)
    assert rates[8] == 1.0
    assert paper.rate(58, 108) == pytest.approx(0.55)
    # A tenth from there on.
    assert paper.rate(108, 108) == paper.rate(500, 108) == pytest.approx(0.1)
    default = protocol_of("default")
    rates = [default.rate(step, 100) for step in range(100)]
    np.testing.assert_allclose(rates[:5], np.arange(1, 6) / 5)
    assert rates[5] == 1.0
    assert 0 < rates[99] < 1e-3
    assert default.rate(199, 10_000) == 1.0
    assert default.rate(198, 10_000) < 1.0


def test_a_corpus_that_is_too_small_is_refused():
    few = Corpus.from_arrays(np.zeros(60, np.uint16), vocab_size=2, document_ends=[30, 60])
    few_split = split_corpus(few, tuning=6, measuring=6, seed=0)
    assert few_split.are_blocks
    with pytest.raises(InputError, match="less than one context"):
        few_split.windows(few_split.tuning, 64, max_tokens=100)
    ends = np.cumsum([20] * 44 + [20_000])
    unequal = Corpus.from_arrays(np.zeros(ends[-1], np.uint16), vocab_size=2, document_ends=ends)
    refused = 0
    for seed in range(30):
        try:
            parts = split_corpus(unequal, tuning=100, measuring=100, seed=seed)
        except InputError:
            refused += 1
        else:
            assert parts.n_training_tokens >= 20_000
    assert 0 < refused < 30


# --- training ---


@pytest.mark.parametrize("name", ["gpt2", "gpt2-rotary", "llama"])
def test_one_batch_is_memorised(name):
    shape = Shape(vocab_size=V, context=16, layers=2, heads=2, width=64)
    model = build(name, shape, seed=0)
    targets = torch.from_numpy(np.random.default_rng(1).integers(V, size=(4, 16)))
    # Nothing tells the windows apart before their first token: it is drawn for all alike.
    targets[:, 0] = torch.arange(4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    for _ in range(300):
        losses = loss_of(model, targets, shape.start)[:, 1:]
        optimizer.zero_grad()
        torch.autograd.backward(losses.mean())
        optimizer.step()
    assert float(losses.mean().detach()) < 0.01


def test_scores_are_sums_over_groups_and_positions(split):
    _, measuring = held_out(split)
    model = build("gpt2", Shape(V, 16, 1, 1, 16), seed=0)
    sums, errors = held_out_losses(model, measuring, start=V, device="cpu")
    with torch.no_grad():
        losses = loss_of(model, torch.from_numpy(measuring.tokens.astype(np.int64)), V).numpy()
    for cluster in range(measuring.n_clusters):
        expected = losses[measuring.cluster == cluster].sum(axis=0)
        np.testing.assert_allclose(sums[cluster], expected, rtol=1e-5)
    assert 0 < errors.sum() <= len(measuring.tokens)
    assert errors.shape == (measuring.n_clusters,)


def test_a_markov_chain_is_learned(split, corpus, tmp_path):
    settings = Settings(learning_rate=5e-3, weight_decay=0.1, epochs=12, batch=16)
    tuning, measuring = held_out(split)
    result = train(make_run(settings, tokens=10_000), split, tuning, measuring, tmp_path / "run")
    # The exact entropies of the chain, which no predictor can go below.
    exact = MarkovChain.random(
        vocab_size=V, order=1, concentration=0.3, rules_seed=1, document_length=50
    ).entropies(2, "document")
    actual = result.by_context
    assert actual.shape == (16,)
    assert actual[0] == pytest.approx(exact[0], abs=0.15)
    assert actual[2:].mean() == pytest.approx(exact[1], abs=0.15)
    assert result.tokens == 10_000
    assert result.counts.sum() == 50
    log = read_table(tmp_path / "run" / "log.csv")
    assert float(log[-1]["tuning_loss"]) < float(log[0]["tuning_loss"])
    assert min(float(row["tuning_loss"]) for row in log) == pytest.approx(result.tuning_loss)
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_training_in_bfloat16_is_close_to_training_in_float32(split, tmp_path):
    tuning, measuring = held_out(split, given=True)
    settings = Settings(learning_rate=5e-3, weight_decay=0.0, epochs=4, batch=8)
    run = make_run(settings, tokens=10_000, protocol="paper")
    losses = {}
    for precision in ("float32", "bfloat16"):
        other = dataclasses.replace(run, precision=precision)
        result = train(other, split, tuning, measuring, tmp_path / precision)
        assert result.tokens == 10_000 - 1  # all there are, of which the first is only given
        losses[precision] = result.by_context
    exact = MarkovChain.random(
        vocab_size=V, order=1, concentration=0.3, rules_seed=1, document_length=50
    ).entropies(2, "document")
    # The first target has one token before it, not none.
    assert losses["float32"][0] == pytest.approx(exact[1], abs=0.15)
    difference = losses["bfloat16"].mean() - losses["float32"].mean()
    assert abs(difference) < 0.01
    assert difference != 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_loss_and_its_gradient_equal_those_of_torch(dtype):
    generator = torch.Generator().manual_seed(1)
    logits = (3 * torch.randn(2, 5, 40, generator=generator)).to(dtype)
    targets = torch.randint(40, (2, 5), generator=generator)
    weights = torch.rand(2, 5, generator=generator)
    results = []
    for losses in (
        training._losses,
        lambda x, y: torch.nn.functional.cross_entropy(
            x.flatten(0, 1).float(), y.flatten(), reduction="none"
        ).view(y.shape),
    ):
        x = logits.clone().requires_grad_()
        values = losses(x, targets)
        torch.autograd.backward((values * weights).sum())
        results.append((values.detach(), x.grad))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-2, atol=1e-6)


def test_explicit_attention_equals_that_of_torch():
    generator = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(2, 3, 9, 8, generator=generator) for _ in range(3))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(attention._explicit_attention(q, k, v), expected)


def test_bfloat16_is_chosen_where_there_is_hardware_for_it(monkeypatch):
    """Whatever the times of the moment are: the same call on the same machine trains the same."""
    seconds = {"float32": 1.0, "bfloat16": 2.0}
    monkeypatch.setattr(training, "seconds_per_token", lambda run, device: seconds[run.precision])
    for capable, expected in ((False, ("float32", 1.0)), (True, ("bfloat16", 2.0))):
        monkeypatch.setattr(training, "multiplies_bfloat16", lambda capable=capable: capable)
        assert training.measured_pace(make_run(), device="cpu") == expected


class StopAfter:
    """A progress bar that interrupts after some steps."""

    def __init__(self, steps):
        self.left = steps

    def advance(self, amount):
        self.left -= amount > 0
        if self.left == 0:
            raise KeyboardInterrupt

    def skip(self, amount):
        self.advance(amount)

    def show_value(self, text):
        pass


@pytest.mark.parametrize(
    ("stops", "protocol", "precision"),
    [
        ((4,), "default", "float32"),
        ((9, 17), "default", "float32"),
        ((1, 1, 30), "paper", "float32"),
        ((11,), "paper", "bfloat16"),
    ],
)
def test_a_resumed_training_is_identical_to_the_bit(
    split, tmp_path, monkeypatch, stops, protocol, precision
):
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    tuning, measuring = held_out(split, given=protocol == "paper")
    run = make_run(protocol=protocol, precision=precision)
    whole = train(run, split, tuning, measuring, tmp_path / "whole")
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            train(run, split, tuning, measuring, tmp_path / "parts", progress=StopAfter(stop))
    resumed = train(run, split, tuning, measuring, tmp_path / "parts")
    np.testing.assert_array_equal(resumed.losses, whole.losses)
    assert resumed.tuning_loss == whole.tuning_loss
    assert (resumed.best_step, resumed.steps) == (whole.best_step, whole.steps)
    logs = [read_table(tmp_path / name / "log.csv") for name in ("whole", "parts")]
    for row in (*logs[0], *logs[1]):
        del row["seconds"]
    assert logs[0] == logs[1]


def test_a_finished_run_is_read_and_not_trained_again(split, tmp_path):
    tuning, measuring = held_out(split)
    first = train(make_run(), split, tuning, measuring, tmp_path / "run")
    again = train(make_run(), split, tuning, measuring, tmp_path / "run", progress=StopAfter(1))
    np.testing.assert_array_equal(first.losses, again.losses)
    with pytest.raises(InputError, match="another run"):
        train(make_run(seed=5), split, tuning, measuring, tmp_path / "run")
    path = tmp_path / "run" / "losses.npz"
    for damaged in (b"damaged", path.read_bytes()[:-200]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"losses\.npz: damaged"):
            train(make_run(), split, tuning, measuring, tmp_path / "run")
    path.unlink()
    retrained = train(make_run(), split, tuning, measuring, tmp_path / "run")
    np.testing.assert_array_equal(first.losses, retrained.losses)


class FullFor:
    """A file on a disk that is full when a write comes to byte `at`, and not after that."""

    def __init__(self, file, at):
        self.file, self.at, self.is_full = file, at, True

    def write(self, data):
        if self.is_full and self.file.tell() + len(data) > self.at:
            self.is_full = False
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def flush(self):
        self.file.flush()


@pytest.mark.parametrize("at", [0, 10_000, 100_000])
def test_a_disk_that_is_full_for_a_moment_is_named(split, tmp_path, monkeypatch, at):
    """PyTorch ended its archive after the failed write, and raised that its length was wrong."""

    @contextlib.contextmanager
    def full_for_a_moment(path):
        with atomic_write(path) as file:
            yield FullFor(file, at)

    monkeypatch.setattr(training, "atomic_write", full_for_a_moment)
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    tuning, measuring = held_out(split)
    with pytest.raises(NgramstatError, match=r"checkpoint\.pt: writing failed: No space left"):
        train(make_run(), split, tuning, measuring, tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.pt*"))


class Harmful:
    def __reduce__(self):
        return (print, ("a pickle was run",))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", pickle.dumps(Harmful())])
def test_an_invalid_checkpoint_is_refused(split, tmp_path, content, capsys):
    tuning, measuring = held_out(split)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"checkpoint\.pt: not a checkpoint of this run"):
        train(make_run(), split, tuning, measuring, tmp_path / "run")
    assert "a pickle was run" not in capsys.readouterr().out


def test_overfitting_ends_a_run_and_the_best_weights_are_kept(split, tmp_path):
    settings = Settings(learning_rate=1e-2, weight_decay=0.0, epochs=200, batch=8)
    tuning, measuring = held_out(split)
    result = train(make_run(settings, tokens=400), split, tuning, measuring, tmp_path / "run")
    run = make_run(settings, tokens=400)
    assert result.steps < run.steps(400)
    assert result.best_step < result.steps


def test_a_diverged_run_does_not_end_the_sweep(split, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_CLIP", math.inf)
    tuning, measuring = held_out(split)
    wild = make_run(Settings(learning_rate=1e30, weight_decay=0.0, epochs=3, batch=8))
    result = train(wild, split, tuning, measuring, tmp_path / "run")
    assert result.diverged
    assert np.isnan(result.losses).all()
    again = train(wild, split, tuning, measuring, tmp_path / "run", progress=StopAfter(1))
    assert again.diverged

    monkeypatch.setattr("ngramstat.lm.search._LEARNING_RATE", 1e30)
    monkeypatch.setattr("ngramstat.lm.search._EPOCHS", (1, 1))
    monkeypatch.setitem(search._LIMITS, "learning_rate", (1e-4, 1e31))
    records = make_sweep(split, tmp_path / "sweep").run()
    assert {r.status for r in records} == {"diverged"}
    rows = read_table(tmp_path / "sweep" / "runs.csv")
    assert {row["tuning_loss"] for row in rows} == {"inf"}


# torch.compile brings in parts of torch that warn of torch.jit.
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.gpu
def test_a_gpu_trains_as_well_as_the_cpu(split, tmp_path):
    if not torch.cuda.is_available():
        assert os.environ.get("NGRAMSTAT_REQUIRE_GPU") != "1", "no GPU"
        pytest.skip("torch sees no GPU")
    tuning, measuring = held_out(split)
    run = make_run(Settings(5e-3, 0.1, epochs=6, batch=16), tokens=10_000)
    result = [
        train(run, split, tuning, measuring, tmp_path / device, device=device)
        for device in ("cpu", "cuda")
    ]
    assert result[1].by_context.mean() == pytest.approx(result[0].by_context.mean(), abs=0.03)


# --- hierarchy worlds ---


def test_last_tokens_and_classes_as_targets(tmp_path):
    world = RandomHierarchy(v=6, m=2, s=2, levels=3)
    from ngramstat.synthetic import synthesize

    corpus = synthesize(world, tmp_path / "rhm", tokens=8 * 600, seed=1)
    assert document_length(corpus) == 8
    with_class = append_classes(corpus)
    labels = np.load(tmp_path / "rhm" / "labels.npy")
    rows = np.asarray(with_class.tokens).reshape(-1, 9)
    np.testing.assert_array_equal(rows[:, -1], labels)
    np.testing.assert_array_equal(rows[:, :-1].ravel(), np.asarray(corpus.tokens))

    split = split_corpus(corpus, tuning=400, measuring=800, seed=0)
    tuning, measuring = held_out(split, context=8)
    run = make_run(
        Settings(3e-3, 0.1, 20, 16), context=8, tokens=3200, vocab_size=6, targets="last"
    )
    result = train(run, split, tuning, measuring, tmp_path / "run")
    # Only the last position was trained.
    assert result.by_context[-1] < result.by_context[:-1].min()
    unequal = Corpus.from_arrays(np.zeros(9, np.uint16), vocab_size=2, document_ends=[4, 9])
    with pytest.raises(InputError, match="all of the same length"):
        document_length(unequal)


# --- search and sweep ---


def test_the_search_finds_the_best_neighbourhood_and_tries_nothing_twice():
    best = Settings(learning_rate=1.2e-2, weight_decay=0.3, epochs=8, batch=8)

    def loss(settings):
        return sum(
            math.log(getattr(settings, name) / getattr(best, name)) ** 2
            for name in ("learning_rate", "weight_decay", "epochs", "batch")
        )

    def searched(loss):
        result = Search(Settings(learning_rate=3e-3, weight_decay=0.1, epochs=4, batch=16))
        while (settings := result.propose()) is not None:
            assert settings == result.propose()
            assert settings not in result.tried
            result.report(settings, loss(settings))
            assert len(result.tried) < 60
        return result

    result = searched(loss)
    assert result.best.epochs == 8
    assert result.best.batch == 8
    assert result.best.learning_rate == pytest.approx(1.2e-2)
    assert result.best.weight_decay == pytest.approx(0.3)

    def valley(settings):
        """Rate and batch go together: one factor at a time takes several rounds."""
        rate, batch = math.log2(settings.learning_rate / 3e-3), math.log2(settings.batch / 16)
        return 3 * abs(rate - batch) + abs(rate + batch - 4)

    result = searched(valley)
    for name, factor in search._STEPS:
        for step in (factor, 1 / factor):
            neighbour = search._moved(result.best, name, step)
            assert neighbour is None or result.tried[neighbour] >= result.best_loss


def test_first_guesses_follow_the_size_of_the_training_set():
    small, large = first_guess("0.1M", 64, 100_000), first_guess("0.1M", 64, 10_000_000)
    assert small.epochs > large.epochs
    assert small.batch < large.batch
    assert first_guess("100M", 64, 100_000).learning_rate < small.learning_rate


def make_sweep(split, directory, **changes):
    plan = TrainingPlan(("gpt2",), "0.1M", (16,), (1000, 2000), trials=2, capacity=False)
    fields = {"split": split, "plan": plan, "directory": directory, "data": "here",
              "tuning_tokens": 400, "measuring_tokens": 800}  # fmt: skip
    return Sweep(**(fields | changes))


def test_a_sweep_is_complete_and_resumes(split, tmp_path, monkeypatch):
    monkeypatch.setattr("ngramstat.lm.search._EPOCHS", (1, 2))
    records = make_sweep(split, tmp_path).run()
    assert [r.status for r in records] == ["done"] * 4
    rows = read_table(tmp_path / "runs.csv")
    # Every training set once before a second setting.
    assert [row["tokens"] for row in rows] == ["1000", "2000", "1000", "2000"]
    assert {p.name for p in (tmp_path / "runs").iterdir()} == {row["run"] for row in rows}
    monkeypatch.setattr("ngramstat.lm.train.train", None)  # nothing is left to train
    again = make_sweep(split, tmp_path).run()
    assert [r.run for r in again] == [r.run for r in records]
    np.testing.assert_array_equal(again[3].result.losses, records[3].result.losses)
    content = json.loads((tmp_path / "runs" / rows[0]["run"] / "run.json").read_text())
    assert content["run"]["settings"]["batch"] == int(rows[0]["batch"])
    assert content["environment"]["device"] == "cpu"


def test_every_size_is_trained_once_before_any_search(split, tmp_path, monkeypatch):
    """Breadth first: then one further setting for each set, round by round, where it still fits."""
    monkeypatch.setattr("ngramstat.lm.search._EPOCHS", (1, 1))
    plan = TrainingPlan(("gpt2", "llama"), "0.1M", (16,), (1000, 2000, 4000), seeds=2, trials=3)
    costs = {1000: 1.0, 2000: 2.0, 4000: 4.0}
    order = []

    def fake(run, *_, **__):
        order.append((run.tokens, run.model, run.size, run.seed, run.settings))
        return SimpleNamespace(
            tuning_loss=1.0, diverged=False, seconds=costs[run.tokens],
            by_context=np.ones(16), best_step=1, steps=1,
        )  # fmt: skip

    monkeypatch.setattr(training, "train", fake)
    monkeypatch.setattr(training, "measured_pace", lambda *_, **__: ("float32", 1.0))
    monkeypatch.setattr(Sweep, "_cost", lambda self, run: costs[run.tokens])
    # The first trainings take 14 s, the second round another 14 s; 4 s are left for the third.
    sweep = make_sweep(split, tmp_path, plan=plan, budget=32.0)
    records = sweep.run()
    first = [(tokens, model) for tokens in (1000, 2000, 4000) for model in ("gpt2", "llama")]
    assert [o[:2] for o in order[:6]] == first
    assert [o[:2] for o in order[6:12]] == first
    assert len({o[4] for o in order if o[:2] == (1000, "gpt2")}) == 3
    assert [o[:2] for o in order[12:14]] == first[:2]
    # After 30 s only the sets of 2 s fit: the third round of one of them.
    assert order[14][:2] == (2000, "gpt2")
    assert len(order) == 15
    left_out = [(r.run.tokens, r.purpose) for r in records if r.status == "left out"]
    assert (4000, "search") in left_out
    assert (1000, "seed") in left_out
    assert left_out[-1][1] == "capacity"


def test_the_settings_of_the_paper_stay_on_its_grid():
    start = first_guess_of_paper(128, 1 << 18)
    assert start == Settings(learning_rate=1e-3, weight_decay=0.0, epochs=4, batch=4)
    assert first_guess_of_paper(128, 1 << 16).batch == 2
    assert first_guess_of_paper(128, 1 << 21).batch == 8
    assert first_guess_of_paper(64, 1 << 21).batch == 16
    walk = Search(start, "paper")
    while (settings := walk.propose()) is not None:
        assert settings.weight_decay == 0.0
        assert settings.learning_rate in (3e-4, 1e-3, 3e-3)
        assert settings.epochs in (2, 4, 8)
        walk.report(settings, abs(math.log(settings.learning_rate / 3e-4)) + settings.batch)
    assert walk.best.learning_rate == 3e-4
    assert walk.best.batch == 1


def test_a_better_setting_of_a_smaller_set_is_tried_on_the_next(split, tmp_path, monkeypatch):
    plan = TrainingPlan(
        ("gpt2",), "0.1M", (16,), (1000, 2000), trials=2, capacity=False, protocol="paper"
    )
    monkeypatch.setattr(training, "measured_pace", lambda *_, **__: ("float32", 1e-6))

    def fake(run, *_, **__):
        loss = {1e-3: 2.0, 3e-4: 1.0}[run.settings.learning_rate]
        return SimpleNamespace(
            tuning_loss=loss, diverged=False, seconds=0.0, by_context=np.ones(16), best_step=1,
            steps=1,
        )  # fmt: skip

    monkeypatch.setattr(training, "train", fake)
    records = make_sweep(split, tmp_path, plan=plan).run()
    assert [(r.run.tokens, r.run.settings.learning_rate) for r in records] == [
        (1000, 1e-3), (2000, 1e-3), (1000, 3e-4), (2000, 3e-4),
    ]  # fmt: skip
    assert {r.run.protocol for r in records} == {"paper"}
    assert sweep_window_shape(split, tmp_path, plan) == 17


def sweep_window_shape(split, directory, plan):
    """Tokens in one held-out window of a plan."""
    return make_sweep(split, directory, plan=plan).held_out(16)[1].tokens.shape[1]


def test_a_budget_leaves_out_the_largest_first_and_says_so(split, tmp_path, monkeypatch):
    monkeypatch.setattr("ngramstat.lm.search._EPOCHS", (1, 2))
    sweep = make_sweep(split, tmp_path)
    costs = {1000: 10.0, 2000: 50.0}
    monkeypatch.setattr(Sweep, "_cost", lambda self, run: costs[run.tokens])
    sweep.budget = 55.0
    records = sweep.run()
    left_out = [r for r in records if r.status == "left out"]
    assert {r.run.tokens for r in left_out if r.purpose == "search"} >= {2000}
    assert {r.run.tokens for r in records if r.status == "done"} == {1000}
    rows = read_table(tmp_path / "runs.csv")
    assert "left out" in {row["status"] for row in rows}
    with pytest.raises(InputError, match="too small for any training set"):
        make_sweep(split, tmp_path / "other", budget=5.0).run()


def test_seeds_and_a_larger_model(split, tmp_path, monkeypatch):
    monkeypatch.setattr("ngramstat.lm.search._EPOCHS", (1, 1))
    plan = TrainingPlan(("gpt2",), "0.1M", (16,), (1000,), seeds=2, trials=1, capacity=True)
    records = make_sweep(split, tmp_path, plan=plan).run()
    assert [(r.purpose, r.run.size, r.run.seed) for r in records] == [
        ("search", "0.1M", 0), ("seed", "0.1M", 1), ("capacity", "0.3M", 0),
    ]  # fmt: skip
    base, larger = records[0].run.settings, records[2].run.settings
    assert larger.learning_rate == pytest.approx(base.learning_rate * (64 / 96) ** 0.5)


def test_a_capacity_run_beyond_the_budget_is_listed(split, tmp_path, monkeypatch):
    monkeypatch.setattr("ngramstat.lm.search._EPOCHS", (1, 1))
    plan = TrainingPlan(("gpt2",), "0.1M", (16,), (1000,), trials=1, capacity=True)
    sweep = make_sweep(split, tmp_path, plan=plan, budget=100.0)
    monkeypatch.setattr(Sweep, "_cost", lambda self, run: 1.0 if run.size == "0.1M" else 1e4)
    records = sweep.run()
    assert [(r.purpose, r.status) for r in records] == [
        ("search", "done"), ("capacity", "left out"),
    ]  # fmt: skip


def test_decisions_use_the_saved_speeds(split, tmp_path, monkeypatch):
    """What was left out or tried under a budget is the same when the call is repeated."""
    monkeypatch.setattr("ngramstat.lm.search._EPOCHS", (1, 2))
    first = make_sweep(split, tmp_path, budget=1e4).run()
    monkeypatch.setattr("ngramstat.lm.train.measured_pace", lambda *a, **k: ("bfloat16", 1e9))
    again = make_sweep(split, tmp_path, budget=1e4).run()
    assert [(r.run, r.status) for r in again] == [(r.run, r.status) for r in first]


def test_invalid_plans_are_refused():
    with pytest.raises(InputError, match="expected one of gpt2"):
        TrainingPlan(("mamba",), "0.1M", (16,), (1000,))
    with pytest.raises(InputError, match="expected one of"):
        TrainingPlan(("gpt2",), "7B", (16,), (1000,))
    with pytest.raises(InputError, match="shorter than one context"):
        TrainingPlan(("gpt2",), "0.1M", (64,), (50,))
    with pytest.raises(InputError, match="at least 2"):
        TrainingPlan(("gpt2",), "0.1M", (1,), (50,))
