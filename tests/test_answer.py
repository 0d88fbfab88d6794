"""The answer: bounds that hold every allowed curve, rungs in order, coverage on planted worlds."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import ngramstat
from ngramstat.cli import main
from ngramstat.errors import InputError
from ngramstat.exponents.entropy_bounds import gamma_bounds
from ngramstat.exponents.fit import slope_weights
from ngramstat.lm.budget import enough_to_train
from ngramstat.prediction.alpha import alpha_error
from ngramstat.prediction.answer import answer_of, beta_range, ratio_interval
from ngramstat.prediction.conclusion import concluded, next_steps
from ngramstat.prediction.learner_curves import (
    LearnerCurves,
    best_learner,
    read_learners,
    read_reader,
)
from ngramstat.report.answer import answer_block, gain, headline
from ngramstat.report.summary import summarize
from ngramstat.report.text import WIDTH
from ngramstat.results import (
    Alternative,
    AlternativeKind,
    CurveTable,
    Exponent,
    ExponentDifference,
    RunResult,
)
from ngramstat.synthetic import BroadcastTree
from test_report import planted_correlations, planted_entropies, planted_run

NONE = Exponent.refused("not needed here", method="limits")
# A law whose limit is known, docs/theory.md 2.3.
BETA, GAMMA = 0.9, 0.3


def slope(n: np.ndarray, y: np.ndarray) -> float:
    return float(-slope_weights(np.log(n)) @ np.log(y))


# --- bounds of gamma ---------------------------------------------------------------------------


def test_bounds_are_the_extremes_over_all_curves_that_do_not_rise() -> None:
    """Brute force: the extremes of a linear function lie at curves made of ends of brackets."""
    rng = np.random.default_rng(3)
    n = np.arange(1, 5)
    for _ in range(30):
        middle = np.sort(rng.uniform(1, 5, 4))[::-1]
        width = rng.uniform(0.05, 0.5, 4)
        low, high = middle * (1 - width), middle * (1 + width)
        ends = np.unique(np.concatenate([low, high]))
        slopes = [
            slope(n, np.array(curve))
            for curve in itertools.product(ends, repeat=4)
            if np.all(np.diff(curve) <= 0)
            and np.all((low <= np.array(curve)) & (np.array(curve) <= high))
        ]
        found = gamma_bounds(n, low, high, window=(1, 4))
        np.testing.assert_allclose(found, (min(slopes), max(slopes)), atol=1e-9)


def test_monotony_narrows_the_bounds() -> None:
    n = [1, 2, 3]
    low, high = np.array([3.0, 2.9, 2.0]), np.array([3.1, 4.0, 2.1])
    found = gamma_bounds(n, low, high)
    box = slope(np.array(n), np.array([3.0, 4.0, 2.1]))
    assert found is not None
    assert found[0] >= box
    # H_2 cannot exceed H_1, whatever its own bracket says.
    assert found == gamma_bounds(n, low, np.minimum(high, 3.1))


@pytest.mark.parametrize(
    ("low", "high"),
    [([1.0, 0.0, 0.0], [2.0, 2, 2]), ([1, 1, 1], [2, 2, np.inf]), ([1, 1, 1.5], [1.2, 1.1, 1.6])],
    ids=["no lower end", "no upper end", "no curve"],
)
def test_bounds_are_refused_where_there_are_none(low: list[float], high: list[float]) -> None:
    assert gamma_bounds([1, 2, 3], low, high) is None


def test_bounds_check_their_arguments() -> None:
    with pytest.raises(InputError, match="one length"):
        gamma_bounds([1, 2], [1.0], [2.0, 2.0])
    with pytest.raises(InputError, match="window"):
        gamma_bounds([1, 2], [1.0, 1], [2.0, 2], window=(0, 2))


# --- the ratio ---------------------------------------------------------------------------------


def test_small_errors_are_those_of_eq_56() -> None:
    for gamma, d_gamma, beta, d_beta in ((0.325, 0.003, 0.88, 0.006), (0.265, 0.016, 0.94, 0.016)):
        low, high = ratio_interval(
            (gamma, gamma - d_gamma, gamma + d_gamma), (beta, beta - d_beta, beta + d_beta)
        )
        error = alpha_error(gamma, d_gamma, beta, d_beta)
        assert (high - low) / 2 == pytest.approx(error, rel=0.02)


def test_ends_at_zero_open_the_interval() -> None:
    assert ratio_interval((0.3, 0.0, 0.4), (1.0, 0.9, 1.1))[0] == 0
    assert ratio_interval((0.3, 0.2, 0.4), (1.0, -0.1, 1.1))[1] == np.inf


def exponent(value: float, low: float, high: float, **changes: Any) -> Exponent:
    given: dict[str, Any] = {
        "value": value, "low": low, "high": high, "method": "planted", "reportable": True,
        "window": (1.0, 64.0), "points": 10,
    }  # fmt: skip
    return Exponent(**(given | changes))


def test_a_refused_beta_may_be_any_of_its_stages() -> None:
    stages = tuple(
        Alternative(kind=kind, method=kind.value, value=v, low=v - 0.05, high=v + 0.05)
        for kind, v in ((AlternativeKind.FIRST_STAGE, 1.1), (AlternativeKind.SECOND_STAGE, 0.4))
    )
    kept = exponent(0.9, 0.8, 1.0, alternatives=stages)
    assert beta_range(kept) == (0.8, 1.0)
    refused = exponent(0.9, 0.8, 1.0, alternatives=stages, reportable=False, reason="two stages")
    assert beta_range(refused) == pytest.approx((0.35, 1.15))


def test_a_decay_that_ends_early_is_used_up_to_there() -> None:
    early = Alternative(
        kind=AlternativeKind.BEFORE_BREAK, method="before", value=1.1, low=0.9, high=1.3
    )
    late = Alternative(
        kind=AlternativeKind.WINDOW_RANGE, method="range", value=0.6, low=-0.2, high=1.2
    )
    beta = exponent(0.6, 0.4, 0.8, reportable=False, reason="bends", alternatives=(early, late))
    assert beta_range(beta) == (0.9, 1.3)


# --- the rungs ---------------------------------------------------------------------------------


def curves_of(
    losses: np.ndarray, tokens: np.ndarray, noise: float = 0.0, seed: int = 0
) -> CurveTable:
    """Losses (contexts 0 .., sizes) as a table, with relative errors."""
    rng = np.random.default_rng(seed)
    noisy = losses * np.exp(noise * rng.standard_normal(losses.shape))
    contexts, sizes = losses.shape
    return CurveTable(
        context=np.repeat(np.arange(contexts), sizes),
        tokens=np.tile(tokens, contexts),
        loss=noisy.ravel(),
        error=noise * losses.ravel() if noise else None,
        replicates=np.ones(losses.size, dtype=np.int64),
    )


def raw_law(alpha: float, gamma: float, tokens: np.ndarray, contexts: int = 32) -> np.ndarray:
    """Losses that fall as n^-gamma and, averaged over n, as P^-alpha."""
    n = np.maximum(np.arange(contexts), 0.7)
    return 5 * n[:, None] ** -gamma * (tokens / tokens[-1]) ** -alpha


TOKENS = 2.0 ** np.arange(16, 22)


def test_the_best_evidence_gives_the_answer() -> None:
    c, e = planted_correlations(), planted_entropies()
    alone = answer_of(c, e, limits=NONE)
    assert (alone.rung, alone.protocol, alone.alpha) == ("counts", "bounds", None)
    assert alone.low is not None
    assert alone.high is not None
    # The planted text: gamma .3, beta .95.
    assert alone.low < 0.3 / 1.9 < alone.high
    reader = LearnerCurves("a reader", curves_of(raw_law(0, 0.3, TOKENS[-1:]), TOKENS[-1:]))
    read = answer_of(c, e, limits=NONE, reader=reader)
    assert read.rung == "reader"
    assert read.alpha == pytest.approx(0.3 / (2 * c.beta.value), rel=0.01)
    trained = LearnerCurves("models", curves_of(raw_law(0.158, 0.3, TOKENS), TOKENS))
    both = answer_of(c, e, limits=NONE, reader=reader, curves=[trained])
    assert both.rung == "curves"
    assert both.tokens == TOKENS[-1]
    assert [rung.rung for rung in both.rungs] == ["curves", "reader", "counts", "counted", "limits"]
    best = both.rungs[0]
    assert best.shown == pytest.approx(0.158, abs=0.001)
    assert best.agrees
    assert "agree" in both.because[1]


def test_a_reader_need_not_know_its_training_tokens(tmp_path: Path) -> None:
    found = []
    for name, tokens in (("unknown", ""), ("known", "1e12")):
        lines = ["context,tokens,loss,error"]
        lines += [f"{n},{tokens},{4 * max(n, 0.5) ** -0.3},0.01" for n in range(9)]
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join(lines))
        reader = read_reader(path)
        assert name in reader.name
        answer = answer_of(planted_correlations(), planted_entropies(), limits=NONE, reader=reader)
        assert answer.rung == "reader"
        assert answer.tokens == (None if name == "unknown" else 1e12)
        found.append((answer.alpha, answer.low, answer.high))
    assert found[0] == found[1]


def test_a_learner_that_contradicts_the_theory_says_so() -> None:
    """Its measured slope is then the answer, and the refused prediction stands beside it."""
    c, e = planted_correlations(), planted_entropies()
    slow = LearnerCurves("models", curves_of(raw_law(0.02, 0.3, TOKENS), TOKENS))
    answer = answer_of(c, e, limits=NONE, curves=[slow])
    assert (answer.rung, answer.protocol) == ("curves", "measured")
    assert answer.alpha == pytest.approx(0.02, abs=1e-6)
    assert answer.reportable
    assert "does not describe this learner" in " ".join(answer.because)
    measured, predicted = answer.rungs[:2]
    assert (measured.protocol, measured.alpha) == ("measured", answer.alpha)
    assert predicted.agrees is False
    assert not predicted.reportable
    assert "0.020" in str(predicted.reason)
    assert headline(answer).startswith("The losses of models fall as")


def test_losses_that_rise_give_no_answer() -> None:
    c, e = planted_correlations(), planted_entropies()
    worse = LearnerCurves("models", curves_of(raw_law(-0.05, 0.3, TOKENS), TOKENS))
    answer = answer_of(c, e, limits=NONE, curves=[worse])
    assert answer.rung == "counts"
    assert answer.alpha is None or answer.alpha > 0
    assert answer.rungs[0].shown == pytest.approx(-0.05, abs=1e-6)


def test_a_learner_that_agrees_is_not_passed_over_for_one_that_does_not() -> None:
    c, e = planted_correlations(), planted_entropies()
    good = LearnerCurves("good models", curves_of(raw_law(0.158, 0.3, TOKENS), TOKENS))
    worse = LearnerCurves("worse models", curves_of(1.1 * raw_law(0.02, 0.3, TOKENS), TOKENS))
    answer = answer_of(c, e, limits=NONE, curves=[worse, good])
    assert answer.learner == "good models"
    assert answer.protocol == "raw"
    assert [rung.agrees for rung in answer.rungs[:2]] == [True, False]


def test_without_beta_only_a_measured_slope_is_left() -> None:
    refused = Exponent.refused("no lag exceeds the noise floor", method="beta")
    c = planted_correlations(beta=refused)
    run = planted_run()
    from ngramstat.results import LearningCurve

    tokens = np.array([10**5, 2 * 10**5, 4 * 10**5, 8 * 10**5, 16 * 10**5])
    held = 6.0 * (tokens / tokens[0])[:, None] ** -0.05 * np.linspace(1.2, 1, 7)
    e = planted_entropies(learning_curve=LearningCurve(tokens=tokens, held_out=held))
    answer = answer_of(c, e, limits=NONE)
    assert answer.protocol == "measured"
    assert answer.alpha == pytest.approx(0.05, abs=1e-6)
    assert "no lag exceeds the noise floor" in answer.because[0]
    assert "cannot be predicted" in headline(answer)
    assert run.answer is None


def test_trained_models_are_evidence_without_a_beta() -> None:
    refused = Exponent.refused("no lag exceeds the noise floor", method="beta")
    trained = LearnerCurves("models", curves_of(raw_law(0.15, 0.3, TOKENS), TOKENS))
    answer = answer_of(
        planted_correlations(beta=refused), planted_entropies(), limits=NONE, curves=[trained]
    )
    assert (answer.rung, answer.protocol) == ("curves", "measured")
    assert answer.alpha == pytest.approx(0.15, abs=1e-6)
    assert "no lag exceeds the noise floor" in answer.because[0]


def test_one_size_is_not_checked_and_says_so() -> None:
    single = LearnerCurves("models", curves_of(raw_law(0.0, 0.3, TOKENS[-1:]), TOKENS[-1:]))
    answer = answer_of(planted_correlations(), planted_entropies(), limits=NONE, curves=[single])
    assert (answer.rung, answer.protocol, answer.reportable) == ("curves", "raw", False)
    assert "fewer than four" in str(answer.reason)


def test_losses_without_contexts_show_a_slope() -> None:
    losses = [(p, 5 * (p / 1e6) ** -0.12) for p in (1e6, 4e6, 16e6, 64e6)]
    run = concluded(planted_run(), losses=losses)
    assert run.answer is not None
    assert (run.answer.rung, run.answer.protocol) == ("curves", "measured")
    assert run.answer.alpha == pytest.approx(0.12, abs=1e-6)
    assert "--loss" in run.answer.learner
    few = concluded(planted_run(), losses=losses[:3]).answer
    assert few is not None
    assert few.rung == "counts"


def test_models_outside_the_range_of_counts_are_named() -> None:
    steep = LearnerCurves("models", curves_of(raw_law(1.5, 2.8, TOKENS), TOKENS))
    answer = answer_of(planted_correlations(), planted_entropies(), limits=NONE, curves=[steep])
    assert answer.rung == "curves"
    assert "outside the range" in answer.because[-1]


def test_failed_conditions_of_the_corpus_are_named() -> None:
    effect = ExponentDifference(
        first=1.0, second=0.6, difference=0.4, low=0.35, high=0.45, window=(1.0, 64.0), points=7
    )
    correlations = planted_correlations(composition_effect=effect)
    answer = answer_of(correlations, planted_entropies(), limits=NONE)
    assert not answer.reportable
    assert "document composition: the difference is 0.400" in str(answer.reason)


# --- coverage ----------------------------------------------------------------------------------


def ansatz(tokens: np.ndarray, contexts: int) -> np.ndarray:
    """L_n(P) of docs/theory.md 2.3, delta = 1: (contexts, sizes)."""
    n = np.arange(contexts, dtype=np.float64)
    entropy = 1 + 4 * (n + 1) ** -GAMMA
    needed = 100 * np.maximum(n, 1) ** (2 * BETA)
    learned = np.maximum(1 - needed[1:, None] / tokens, 0.0)
    drops = np.diff(entropy)[:, None] * learned
    return np.vstack([np.full(len(tokens), entropy[0]), entropy[0] + np.cumsum(drops, axis=0)])


def test_intervals_hold_the_truth_of_the_ansatz() -> None:
    """The raw prediction of noisy curves with a noisy beta holds that of the exact ones.

    And where the horizon lies inside the window of gamma, it agrees with the slope that the losses
    of the same learner show.
    """
    tokens = 2.0 ** np.arange(11, 17)
    exact = ansatz(tokens, 64)
    n = np.arange(1, 16)
    truth = slope(n, exact[n, -1]) / (2 * BETA)
    e = planted_entropies()
    held, agreed, draws = 0, 0, 60
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        value = BETA + 0.03 * rng.standard_normal()
        beta = exponent(value, value - 0.0588, value + 0.0588)
        table = curves_of(exact, tokens, noise=0.01, seed=seed)
        answer = answer_of(
            planted_correlations(beta=beta), e, limits=NONE, curves=[LearnerCurves("it", table)]
        )
        assert answer.low is not None
        assert answer.high is not None
        held += answer.low <= truth <= answer.high
        agreed += answer.rungs[0].agrees is True
    assert held >= 0.9 * draws
    assert agreed >= 0.9 * draws


@pytest.mark.nightly
def test_intervals_hold_the_truth_of_broadcast_trees() -> None:
    """Drawn corpora with a known beta, and losses of models that know the exact entropies."""
    world = BroadcastTree(vocab_size=8, s=2, levels=12, theta=2**-0.45)
    contexts = 5
    entropies = world.entropies(contexts, "stream")
    n = np.arange(1, contexts + 1)
    truth = slope(n, entropies[1:]) / (2 * BETA)
    sizes = 2.0 ** np.arange(16, 22)
    table = curves_of(np.repeat(entropies[:, None], len(sizes), axis=1), sizes)
    held, draws = 0, 40
    for seed in range(draws):
        corpus = world.corpus(1_000_000, seed=seed)
        lags = (1, 2, 4, 8, 16, 32, 64, 128)
        c = ngramstat.correlations(corpus, lags=lags, sequential=False, seed=seed)
        answer = answer_of(c, planted_entropies(), limits=NONE, curves=[LearnerCurves("it", table)])
        predicted = next(rung for rung in answer.rungs if rung.protocol == "raw")
        assert predicted.low is not None
        assert predicted.high is not None
        held += predicted.low <= truth <= predicted.high
    assert held >= 0.9 * draws


# --- in words, and on the command line ---------------------------------------------------------


def test_the_summary_begins_with_ten_lines_of_plain_words() -> None:
    run = concluded(planted_run(), next_steps=("ngramstat measure X --train 40m (trains models)",))
    text = summarize(run, full=False)
    block = text.split("\n\n")[0].splitlines()
    assert block[0].startswith("ANSWER")
    assert len(block) <= 10
    assert "    ngramstat measure X --train 40m" in block
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert "CONDITIONS" not in text
    assert "CONDITIONS" in summarize(run)
    assert answer_block(planted_run()) == []


def test_too_few_tokens_to_train_on_are_not_suggested(tmp_path: Path) -> None:
    assert not enough_to_train(60_000)
    assert enough_to_train(1 << 17)
    steps = next_steps("a b", tmp_path, trained=False, read=False, enough=False)
    assert not any("--train" in step for step in steps)
    assert any("--train" in s for s in next_steps("a b", tmp_path, trained=False, read=False))


def test_the_time_of_a_training_is_told_in_plain_english(tmp_path: Path) -> None:
    for seconds, words in ((5, "1 minute here"), (70, "1 minute here"), (130, "2 minutes here")):
        steps = next_steps("x", tmp_path, trained=False, read=True, training_seconds=seconds)
        assert f"five sizes take about {words}" in steps[0]


def test_the_full_text_says_why_checks_did_not_pass() -> None:
    slow = LearnerCurves("models", curves_of(raw_law(0.02, 0.3, TOKENS), TOKENS))
    run = concluded(planted_run(), learners=[slow])
    assert run.answer is not None
    assert "--full says why" in summarize(run, full=False)
    predicted = run.answer.rungs[1]
    words = " ".join("\n".join(answer_block(run)).split())
    assert f"trained models, predicted: {predicted.reason}" in words


def test_what_ten_times_the_tokens_give() -> None:
    assert gain(0.0) == "0%"
    assert gain(0.1) == "21%"
    assert gain(1.0) == "90%"


def test_the_answer_survives_its_file(tmp_path: Path) -> None:
    run = concluded(planted_run())
    run.save(tmp_path / "run.json")
    loaded = RunResult.load(tmp_path / "run.json")
    assert loaded.to_dict() == run.to_dict()
    assert loaded.answer is not None
    assert loaded.answer.rungs[0].rung == "counts"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    planted_run().save(tmp_path / "run.json")
    return tmp_path


def write_curves(path: Path, table: CurveTable) -> None:
    rows = zip(table.context, table.tokens, table.loss, strict=True)
    path.write_text("context,tokens,loss\n" + "".join(f"{n},{p},{y}\n" for n, p, y in rows))


def test_curves_may_be_the_directory_of_a_validation(saved: Path, tmp_path: Path) -> None:
    trained = tmp_path / "validation"
    trained.mkdir()
    write_curves(trained / "curves-gpt2-T32.csv", curves_of(raw_law(0.15, 0.3, TOKENS), TOKENS))
    better = curves_of(0.9 * raw_law(0.15, 0.3, TOKENS), TOKENS)
    write_curves(trained / "curves-llama-T32.csv", better)
    learners = read_learners(trained)
    assert [learner.name.split("(")[1].split(",")[0] for learner in learners] == ["gpt2", "llama"]
    chosen = best_learner(learners)
    assert chosen is not None
    assert "llama" in chosen.name
    shown = CliRunner().invoke(main, ["predict", str(saved), "--curves", str(trained)])
    assert shown.exit_code == 0, shown.output
    assert "trained on this text" in shown.output
    # Models that `measure --train` trained are found without being named.
    trained.rename(saved / "train")
    again = CliRunner().invoke(main, ["predict", str(saved)])
    assert again.output.splitlines()[:3] == shown.output.splitlines()[:3]


def test_a_reader_has_one_size(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "reader.csv"
    write_curves(path, curves_of(raw_law(0.0, 0.3, TOKENS[-1:]), TOKENS[-1:]))
    shown = CliRunner().invoke(main, ["predict", str(saved), "--reader", str(path)])
    assert shown.exit_code == 0, shown.output
    assert "pretrained" in shown.output
    write_curves(path, curves_of(raw_law(0.1, 0.3, TOKENS), TOKENS))
    refused = CliRunner().invoke(main, ["predict", str(saved), "--reader", str(path)])
    assert refused.exit_code == 2
    assert "--curves" in refused.output


def test_a_directory_without_curves_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="validate"):
        read_learners(tmp_path)
