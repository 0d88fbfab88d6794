"""Training within a given time for `measure --train`, and the slopes of trained losses."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from ngramstat.errors import InputError
from ngramstat.lm import budget
from ngramstat.lm.budget import choose_training
from ngramstat.lm.pace import guessed_seconds_per_token, run_seconds
from ngramstat.prediction.curve_files import read_curves
from ngramstat.prediction.learner_curves import read_learners
from ngramstat.synthetic import MarkovChain, synthesize
from ngramstat.validation import train_for_answer as training
from ngramstat.validation.train_for_answer import trained_curves


def pace(seconds_by_size):
    return lambda size, context: seconds_by_size[size]


PACES = {"3M": 2e-4, "1M": 1e-4, "0.3M": 7e-5, "0.1M": 5e-5}


def total(largest, seconds):
    """Seconds of one training at each of the five sizes up to the largest."""
    return sum(
        run_seconds(seconds, largest >> k, 4, tuning=16_000, scored=400_000) for k in range(5)
    )


@pytest.mark.parametrize("minutes", [4, 5, 20, 40, 120, 600])
def test_the_largest_training_sets_that_fit_the_time_are_chosen(minutes):
    choice = choose_training(100_000_000, 60 * minutes, pace(PACES))
    assert choice.seconds <= 60 * minutes
    # Five sizes, each twice the one before: more than a decade.
    np.testing.assert_array_equal(np.diff(np.log2(choice.tokens)), [1, 1, 1, 1])
    # Twice the sizes would not have fitted.
    assert choice.seconds * 2.2 > 60 * minutes
    # The largest model that reaches enough tokens in this time.
    enough = [size for size in PACES if total(1 << 18, PACES[size]) <= 60 * minutes]
    assert choice.size == enough[0]


def test_the_corpus_limits_the_training_sets():
    choice = choose_training(2_242_855, None, pace(PACES))
    assert choice.size == "3M"
    assert choice.context == 128
    assert choice.tokens == tuple(1 << k for k in range(17, 22))
    small = choose_training(100_000, None, pace(PACES))
    assert small.tokens[-1] == 1 << 16
    assert small.context == 32
    assert choose_training(50_000, None, pace(PACES)) is None
    assert choose_training(10**8, None, pace(PACES), largest=1 << 21).tokens[-1] == 1 << 21


def test_a_smaller_model_is_taken_where_the_larger_one_learns_from_too_few_tokens():
    # 3M would reach 2^17 tokens only.
    time = 1.1 * total(1 << 17, PACES["3M"])
    choice = choose_training(10**8, time, pace(PACES))
    assert choice.size == "0.3M" if total(1 << 18, PACES["1M"]) > time else "1M"
    assert choice.tokens[-1] >= 1 << 18
    assert choose_training(10**8, 1.0, pace(PACES)) is None


def test_the_guessed_time_needs_no_torch(tmp_path):
    world = MarkovChain.random(vocab_size=50, order=1, concentration=0.3, rules_seed=1)
    synthesize(world, tmp_path / "corpus", tokens=200_000, seed=2)
    code = (
        "import sys, time\n"
        "from ngramstat import Corpus\n"
        "from ngramstat.lm.budget import expected_seconds\n"
        f"corpus = Corpus.open({str(tmp_path / 'corpus')!r})\n"
        "started = time.process_time()\n"
        "print(expected_seconds(corpus.n_tokens, corpus.vocab_size))\n"
        "assert time.process_time() - started < 3\n"
        "assert 'torch' not in sys.modules\n"
        "sys.modules['torch'] = None\n"
        "print(expected_seconds(corpus.n_tokens, corpus.vocab_size))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with_torch, without = done.stdout.split()
    assert without == "None"
    assert with_torch == "None" or float(with_torch) > 0


def test_a_larger_model_is_guessed_to_be_slower():
    slow, fast = (
        np.median([guessed_seconds_per_token(size, 8192, 128) for _ in range(5)])
        for size in ("10M", "0.1M")
    )
    assert slow > 2 * fast > 0


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A corpus, and settings with which training takes a second."""
    torch = pytest.importorskip("torch", reason="needs torch: pip install 'ngramstat[torch]'")
    for module in (training, budget):
        monkeypatch.setattr(module, "MODEL_SIZES", ("0.1M",))
        monkeypatch.setattr(module, "SMALLEST", 512)
        monkeypatch.setattr(module, "SHORT_CONTEXT", 8)
    monkeypatch.setattr(training, "_TRIALS", 1)
    monkeypatch.setattr("ngramstat.lm.search._PAPER_EPOCHS", (2, 2, 2))
    threads = torch.get_num_threads()
    world = MarkovChain.random(
        vocab_size=20, order=1, concentration=0.3, rules_seed=1, document_length=50
    )
    yield synthesize(world, tmp_path / "corpus", tokens=12_000, seed=2)
    torch.set_num_threads(threads)


def test_curves_within_a_time_resume_and_are_read_as_a_learner(tiny, tmp_path):
    out = tmp_path / "run" / "train"
    table = trained_curves(tiny, out, 3600.0, threads=1)
    assert np.unique(table.tokens).tolist() == [512, 1024, 2048, 4096, 8192]
    # Without a start symbol the first loss is that after one token.
    assert np.unique(table.context).tolist() == list(range(1, 9))
    assert table.error is not None
    assert bool(np.all(table.error > 0))
    by_size = [table.loss[table.tokens == p].mean() for p in np.unique(table.tokens)]
    assert by_size[-1] < by_size[0]
    (learner,) = read_learners(out)
    np.testing.assert_array_equal(learner.table.loss, table.loss)
    np.testing.assert_array_equal(read_curves(out / "curves-gpt2-rotary-T8.csv").loss, table.loss)
    precision = json.loads((out / "pace.json").read_text())
    assert {row["precision"] for row in precision.values()} <= {"float32", "bfloat16"}
    run = json.loads(next((out / "runs").glob("*/run.json")).read_text())["run"]
    assert run["protocol"] == "paper"

    times = {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*.npz")}
    again = trained_curves(tiny, out, 3600.0, threads=1)
    assert {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*.npz")} == times
    np.testing.assert_array_equal(again.loss, table.loss)


def test_training_sets_smaller_than_a_document_differ(tiny, tmp_path):
    """Articles are longer than the smallest sets, which are cut inside them."""
    world = MarkovChain.random(
        vocab_size=20, order=1, concentration=0.3, rules_seed=1, document_length=1500
    )
    corpus = synthesize(world, tmp_path / "long", tokens=24_000, seed=3)
    table = trained_curves(corpus, tmp_path / "train", 3600.0, threads=1)
    sizes = np.unique(table.tokens)
    assert len(sizes) == 5
    np.testing.assert_array_equal(sizes[1:], 2 * sizes[:-1])


def test_what_cannot_be_trained_is_refused_in_words(tiny, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="too short for any training; the smallest models need"):
        trained_curves(tiny, tmp_path / "short", 1e-6, threads=1)
    monkeypatch.setattr("ngramstat.lm.budget.SMALLEST", 1 << 12)
    with pytest.raises(InputError, match="too few to train models on"):
        trained_curves(tiny, tmp_path / "small", 3600.0, threads=1)


def test_the_paper_validated_from_end_to_end(tiny, tmp_path):
    """Slopes at every size: alpha of the mean losses, gamma by context, and gamma / (2 beta)."""
    import ngramstat

    result = ngramstat.validate(
        tiny, output=tmp_path / "v", models=("gpt2-rotary", "gpt2"), contexts=(8,),
        sizes=(1000, 2000, 4000, 8000), trials=1, capacity=False, held_out=1200, tuning=600,
        threads=1, protocol="paper",
    )  # fmt: skip
    assert result.settings["protocol"] == "paper"
    assert set(result.provenance["precisions"]) <= {"float32", "bfloat16"}
    assert [s.model for s in result.slopes] == ["gpt2", "gpt2-rotary"]
    rows = np.genfromtxt(
        tmp_path / "v" / "curves-gpt2-T8.csv", delimiter=",", names=True, dtype=float
    )
    learner = result.slopes[0]
    losses = {p.tokens: p.loss for p in result.losses if p.model == "gpt2"}
    for before, size in zip((None, *learner.sizes), learner.sizes, strict=False):
        at = rows[rows["tokens"] == size.tokens]
        # The mean over all positions, and the slope over all contexts of at least one token.
        assert size.loss == pytest.approx(at["loss"].mean(), rel=1e-6) == losses[size.tokens]
        slope = np.polyfit(np.log(at["context"]), np.log(at["loss"]), 1)[0]
        assert size.gamma.value == pytest.approx(-slope, rel=1e-4)
        if before is not None:
            expected = math.log(before.loss / size.loss) / math.log(size.tokens / before.tokens)
            assert size.local == pytest.approx(expected)
        assert learner.beta.value is None or size.predicted.value == pytest.approx(
            size.gamma.value / (2 * learner.beta.value)
        )
    p = [size.tokens for size in learner.sizes]
    slope = np.polyfit(np.log(p), np.log([size.loss for size in learner.sizes]), 1)[0]
    assert learner.alpha.value == pytest.approx(-slope)
    envelope = [q.loss for q in result.losses if q.on_envelope]
    slope = np.polyfit(np.log(p), np.log(envelope), 1)[0]
    assert result.prediction.paper.alpha_measured.value == pytest.approx(-slope)
    assert [a.points for a in result.prediction.paper.alpha_of_first] == [3, 4]
    loaded = ngramstat.results.ValidationResult.load(tmp_path / "v" / "validation.json")
    assert loaded.to_dict() == result.to_dict()

    from ngramstat.report.trained_slopes import slopes_chart
    from ngramstat.report.validation_summary import summarize_validation

    chart = slopes_chart(result)
    assert len(chart.panels) == 2
    text = summarize_validation(result)
    assert text.count("SLOPES") == 2
    assert max(map(len, text.splitlines())) <= 100
