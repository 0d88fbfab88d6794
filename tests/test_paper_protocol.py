"""The paper's protocol gives the paper's numbers, from the figures that its authors printed."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import ngramstat
from ngramstat.cli import main
from ngramstat.corpus.corpus_writer import CorpusWriter
from ngramstat.errors import InputError
from ngramstat.exponents import (
    LossesBySize,
    MeasuredDecay,
    law_of_points,
    paper_beta,
    power_law,
    raw_gamma,
)
from ngramstat.prediction.alpha import alpha_error, alpha_exponent
from ngramstat.prediction.measured import losses_of_all_contexts, lower_envelope
from ngramstat.prediction.paper import (
    alpha_of_first_points,
    gammas_of_curves,
    paper_protocol,
)
from ngramstat.report.paper import paper_lines
from ngramstat.results import AlternativeKind, CurveTable, Exponent, PaperProtocol
from test_covariance_measurement import zipf
from test_prediction import make_parts

FIGURES = json.loads(
    (Path(__file__).parents[1] / "benchmarks" / "paper_values.json").read_text(encoding="utf-8")
)


def norms(last: int = 192) -> tuple[np.ndarray, np.ndarray]:
    lags = np.array(FIGURES["norms"]["lags"])
    return lags[lags <= last], np.array(FIGURES["norms"]["operator"])[lags <= last]


def envelope(corpus: dict) -> tuple[list[float], list[float], list[int]]:
    """Tokens, losses and contexts of the authors' lower envelope."""
    if "loss" in corpus:
        return corpus["tokens"], corpus["loss"], corpus["context"]
    loss = [corpus["loss_by_context"][str(t)][i] for i, t in enumerate(corpus["context"])]
    return corpus["tokens"], loss, corpus["context"]


# --- beta ------------------------------------------------------------------------------------


def test_beta_of_the_authors_norms() -> None:
    wanted = FIGURES["beta"]
    law = law_of_points(*norms())
    assert law.points == 15
    assert law.exponent == pytest.approx(wanted["value"], abs=5e-5)
    assert law.error == pytest.approx(wanted["error"], abs=5e-5)
    assert (law.low, law.high) == pytest.approx(wanted["interval"], abs=5e-5)
    assert law.log_amplitude == pytest.approx(wanted["log_amplitude"], abs=5e-5)
    assert law.log_amplitude_error == pytest.approx(wanted["log_amplitude_error"], abs=5e-5)
    # The authors' resamples were others, if from the same seed.
    assert law.resampled_error == pytest.approx(wanted["resampled_error"], abs=5e-4)
    assert (law.resampled_low, law.resampled_high) == pytest.approx(wanted["resampled"], abs=5e-3)
    frobenius = law_of_points(norms()[0], FIGURES["norms"]["frobenius"][:15])
    assert frobenius.exponent == pytest.approx(wanted["frobenius"], abs=5e-5)


def test_beta_of_the_authors_norms_is_one_law_through_two_stages() -> None:
    lags, norm = norms()
    beta = paper_beta(MeasuredDecay(lags, norm, np.ones(15, bool)))
    assert beta.value == pytest.approx(0.8843, abs=5e-5)
    assert beta.window == (1, 192)
    assert not beta.reportable
    assert "two stages: 1.109 +- 0.069 on 1..32 and 0.372" in str(beta.reason)
    assert (beta.low, beta.high) == pytest.approx((0.765, 1.026), abs=1e-3)
    assert beta.parts.documents is None
    (short,) = beta.alternatives_of(AlternativeKind.PAPER_WINDOW)
    assert (short.value, short.extra["standard_error"]) == pytest.approx((1.109, 0.069), abs=5e-4)
    (late,) = beta.alternatives_of(AlternativeKind.SECOND_HALF)
    assert late.window == (16, 192)
    assert (late.value, late.extra["standard_error"]) == pytest.approx((0.441, 0.033), abs=5e-4)
    (fit,) = beta.alternatives_of(AlternativeKind.FIT_ERROR)
    assert (fit.low, fit.high) == pytest.approx((0.7646, 1.0040), abs=5e-5)


def decay_of(beta: float, scatter: float, errors: float, rng: np.random.Generator) -> MeasuredDecay:
    """A power law whose lags scatter, measured with errors that all lags share."""
    lags = norms()[0]
    law = 0.02 * lags**-beta * np.exp(rng.normal(0, scatter, 15))
    tilt = np.log(lags) * errors
    measured = law * np.exp(rng.normal() * tilt)
    replicates = measured * np.exp(rng.normal(size=(400, 1)) * tilt)
    return MeasuredDecay(lags, measured, np.ones(15, bool), replicates=replicates)


def test_total_interval_of_beta_covers_the_truth() -> None:
    """Lags that scatter and documents that shift all lags together: neither part suffices."""
    rng = np.random.default_rng(3)
    inside = {"total": 0, "documents": 0, "fit": 0}
    draws = 200
    for _ in range(draws):
        beta = paper_beta(decay_of(0.88, 0.17, 0.03, rng))
        (fit,) = beta.alternatives_of(AlternativeKind.FIT_ERROR)
        for name, (low, high) in (
            ("total", (beta.low, beta.high)),
            ("documents", beta.parts.documents),
            ("fit", (fit.low, fit.high)),
        ):
            inside[name] += low <= 0.88 <= high
    assert inside["total"] >= 0.93 * draws
    assert max(inside["documents"], inside["fit"]) < 0.9 * draws
    assert beta.reportable, beta.reason


def test_beta_window_and_refusals() -> None:
    lags, norm = norms()
    decay = MeasuredDecay(lags, norm, np.ones(15, bool))
    first = paper_beta(decay, window=(1, 32))
    assert first.value == pytest.approx(1.109, abs=5e-4)
    assert paper_beta(decay, window=(1, 3)).value is None
    beyond = paper_beta(decay, longest=(48.0, "documents end there"))
    assert "beyond lag 48" in str(beyond.reason)
    assert beyond.value == pytest.approx(0.8843, abs=5e-5)
    with pytest.raises(InputError, match="window"):
        paper_beta(decay, window=(32, 1))
    with pytest.raises(InputError, match="3 points"):
        law_of_points([1, 2], [2, 1])
    with pytest.raises(InputError, match="level"):
        law_of_points([1, 2, 3], [3, 2, 1], level=95)


# --- gamma -----------------------------------------------------------------------------------


def test_gamma_of_the_authors_limits() -> None:
    """The authors fit their limits H_n over the first 4 to 9 contexts."""
    figures = FIGURES["limits_by_context"]
    for wanted in figures["fits"]:
        m = wanted["contexts"]
        gamma = raw_gamma(figures["context"], figures["limit"], window=(1, m))
        (fit,) = gamma.alternatives_of(AlternativeKind.FIT_ERROR)
        assert gamma.value == pytest.approx(wanted["gamma"], abs=5e-4)
        assert fit.extra["standard_error"] == pytest.approx(wanted["error"], abs=5e-4)


def test_gamma_of_the_authors_losses_on_wikitext() -> None:
    """Losses read off their figure to two decimals, which moves the slope by .001."""
    (losses,) = (v for k, v in FIGURES["losses_by_context"].items() if k.startswith("WikiText"))
    wanted = FIGURES["gamma"][2]
    gamma = raw_gamma(losses["context"], losses["loss"], window=(1, 5))
    assert gamma.value == pytest.approx(wanted["value"], abs=1e-3)
    (fit,) = gamma.alternatives_of(AlternativeKind.FIT_ERROR)
    assert fit.extra["standard_error"] == pytest.approx(wanted["error"], abs=1e-3)
    (resampled,) = gamma.alternatives_of(AlternativeKind.RESAMPLED_POINTS)
    assert (resampled.low, resampled.high) == pytest.approx(wanted["resampled"], abs=5e-3)
    assert gamma.reportable


def test_gamma_at_one_size_needs_no_replicates_and_scans_windows() -> None:
    n = np.arange(1, 41)
    loss = 0.6 + 2.95 * n**-0.5
    gamma = raw_gamma(n, loss)
    assert gamma.reportable
    assert gamma.window == (1, 15)
    assert gamma.value == pytest.approx(power_law(n[:15], loss[:15]).exponent)
    others = gamma.alternatives_of(AlternativeKind.OTHER_WINDOW)
    assert {a.window[1] for a in others if a.window[0] == 1} == {*range(6, 32)} - {15}
    assert {a.window[0] for a in others if a.window[1] == 15} == {1, 2, 3} - {1}
    low, high = gamma.parts.window
    assert low == pytest.approx(min(a.value for a in others))
    assert gamma.low < low < gamma.value < high < gamma.high


def test_gamma_takes_errors_of_losses_and_seeds() -> None:
    n = np.arange(1, 16)
    rng = np.random.default_rng(0)
    law = 3.55 * n**-0.325
    seeds = law * np.exp(rng.normal(0, 0.02, (4, 1)) * np.log(n))
    plain = raw_gamma(n, law)
    with_errors = raw_gamma(n, law, errors=np.full(15, 0.05))
    with_seeds = raw_gamma(n, seeds.mean(axis=0), replicates=seeds)
    assert plain.parts.documents is None
    assert with_errors.high - with_errors.low > plain.high - plain.low
    half = (with_seeds.parts.documents[1] - with_seeds.parts.documents[0]) / 2
    slopes = -np.polyfit(np.log(n), np.log(seeds).T, 1)[0]
    assert half == pytest.approx(3.182 * slopes.std(ddof=1) / 2, rel=1e-3)  # t of 3 degrees
    many = raw_gamma(n, law, replicates=law * np.exp(rng.normal(0, 0.02, (200, 1)) * np.log(n)))
    assert many.parts.documents[1] - many.parts.documents[0] == pytest.approx(0.08, rel=0.2)


def test_gamma_refusals() -> None:
    assert raw_gamma([1, 2, 20], [3, 2, 1]).value is None
    rising = raw_gamma(np.arange(1, 16), 3.0 + 0.01 * np.arange(1, 16))
    assert not rising.reportable
    assert "reaches zero" in str(rising.reason)
    noise = raw_gamma(np.arange(1, 16), 3 + 0.5 * (-1.0) ** np.arange(15))
    assert "R^2" in str(noise.reason)
    for bad in (
        lambda: raw_gamma([1, 1, 2], [3, 2, 1]),
        lambda: raw_gamma([1, 2, 3], [3, 2]),
        lambda: raw_gamma([1, 2, 3], [3, 2, 1], errors=[1]),
        lambda: raw_gamma([1, 2, 3], [3, 2, 1], replicates=[1, 2, 3]),
        lambda: raw_gamma([1, 2, 3], [3, 2, 1], window=(3, 1)),
    ):
        with pytest.raises(InputError):
            bad()


def test_gamma_at_several_sizes_is_named() -> None:
    n = np.arange(1, 16)
    losses = np.array([3.55 * n**-0.30, 3.55 * n**-0.32])
    gamma = raw_gamma(n, losses[1], sizes=LossesBySize([1e6, 2e6], losses, "your models"))
    slopes = [a.value for a in gamma.alternatives_of(AlternativeKind.AT_SIZE)]
    assert slopes == pytest.approx([0.30, 0.32])


# --- alpha -----------------------------------------------------------------------------------


@pytest.mark.parametrize("corpus", FIGURES["alpha"], ids=lambda c: c["corpus"])
def test_alpha_tables_of_the_paper(corpus: dict) -> None:
    rows = {row.points: row for row in alpha_of_first_points(*envelope(corpus))}
    for m, value, error, (low, high) in zip(
        corpus["points"], corpus["value"], corpus["error"], corpus["resampled"], strict=True
    ):
        row = rows[m]
        assert row.alpha == pytest.approx(value, abs=5e-4)
        assert row.error == pytest.approx(error, abs=2e-4)
        assert (row.resampled_low, row.resampled_high) == pytest.approx((low, high), abs=3e-3)
        assert row.context == corpus["context"][m - 1]


def test_lower_envelope_of_the_authors_wikitext_losses() -> None:
    """Theirs was chosen by hand; it is the smaller loss of the two contexts at every size."""
    corpus = FIGURES["alpha"][1]
    tokens = np.tile(corpus["tokens"], 2)
    losses = np.concatenate([corpus["loss_by_context"][t] for t in ("128", "512")])
    np.testing.assert_array_equal(losses[lower_envelope(tokens, losses)], envelope(corpus)[1])


@pytest.mark.parametrize("case", FIGURES["predicted"], ids=lambda c: c["corpus"])
def test_predicted_alpha_of_the_paper(case: dict) -> None:
    (gamma, d_gamma), (beta, d_beta) = case["gamma"], case["beta"]
    value, error = case["alpha"]
    assert gamma / (2 * beta) == pytest.approx(value, abs=5e-4)
    assert alpha_error(gamma, d_gamma, beta, d_beta) == pytest.approx(error, abs=5e-4)

    def planted(name: str, x: float, dx: float) -> Exponent:
        half = 1.959964 * dx
        return Exponent(value=x, low=x - half, high=x + half, method=name, reportable=True)

    alpha = alpha_exponent(planted("gamma", gamma, d_gamma), planted("beta", beta, d_beta))
    assert alpha.high - alpha.value == pytest.approx(1.959964 * error, abs=1e-3)


# --- all together ----------------------------------------------------------------------------


def ansatz_curves(
    noise: float, seed: int = 0, gamma: float = 0.325, beta: float = 0.88
) -> CurveTable:
    """L_n(P) n^gamma a function of P / n^(2 beta), settled at small n for the largest P."""
    contexts = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128])
    tokens = 2.0 ** np.arange(18, 29)
    n, p = (a.ravel() for a in np.meshgrid(contexts, tokens, indexing="ij"))
    loss = 3.55 * n**-gamma * (1 + (2e4 * n ** (2 * beta) / p) ** 1.5)
    # What a learner does not resolve costs it no more than not to look.
    loss = np.minimum(loss, 8.0) * np.exp(np.random.default_rng(seed).normal(0, noise, len(n)))
    return CurveTable(
        context=n, tokens=p, loss=loss, error=noise * loss if noise else None,
        replicates=np.ones(len(n), np.int64),
    )  # fmt: skip


def test_protocol_of_curves_with_a_known_law() -> None:
    correlations, _ = make_parts()
    table = ansatz_curves(1e-3)
    result = paper_protocol(correlations, table)
    assert result.beta.value is not None
    assert [g.tokens for g in result.gamma] == [2.0**28, 2.0**27]
    assert result.gamma[0].gamma.value == pytest.approx(0.325, abs=0.005)
    assert result.alpha.value == pytest.approx(
        result.gamma[0].gamma.value / (2 * result.beta.value)
    )
    # Of one model with losses at every context, the loss is their mean.
    tokens, losses = losses_of_all_contexts(table)
    slope = -np.polyfit(np.log(tokens), np.log(losses), 1)[0]
    assert result.alpha_measured.value == pytest.approx(slope, abs=1e-6)
    assert [a.points for a in result.alpha_of_first] == list(range(3, 12))
    assert result.alpha_of_first[-1].alpha == pytest.approx(result.alpha_measured.value)
    assert result.collapse is not None
    assert {v.corpus for v in result.paper} == {"TinyStories", "WikiText-103"}
    assert result == PaperProtocol.from_dict(json.loads(json.dumps(result.to_dict())))
    text = "\n".join(paper_lines(result))
    for words in ("alpha predicted", "first m sizes", "0.3246", "WikiText-103"):
        assert words in text
    assert max(map(len, text.splitlines())) <= 100


def test_gamma_interval_covers_the_slope_at_infinite_tokens_of_the_ansatz() -> None:
    draws = 100
    hits = 0
    for seed in range(draws):
        gamma = gammas_of_curves(ansatz_curves(5e-3, seed))[0].gamma
        hits += gamma.low <= 0.325 <= gamma.high
    assert hits >= 0.9 * draws


def test_protocol_without_curves_and_with_too_few() -> None:
    correlations, _ = make_parts()
    without = paper_protocol(correlations)
    assert without.gamma == ()
    assert "--curves" in without.missing[0]
    table = ansatz_curves(0)
    one = replace(
        table,
        context=table.context[:2], tokens=table.tokens[:2], loss=table.loss[:2],
        replicates=table.replicates[:2],
    )  # fmt: skip
    few = paper_protocol(correlations, one)
    assert few.alpha is None
    assert len(few.missing) == 2
    assert math.isfinite(few.beta.value)


# --- the commands ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> ngramstat.Corpus:
    """200 documents in which most tokens repeat one that stands t tokens before, t ~ t^-1.5."""
    tokens = zipf(60, 240_000, seed=1)
    rng = np.random.default_rng(2)
    shares = np.arange(1, 400) ** -1.5
    lags = rng.choice(np.arange(1, 400), len(tokens), p=shares / shares.sum())
    for i in np.flatnonzero(rng.random(len(tokens)) < 0.8).tolist():
        if i >= lags[i]:
            tokens[i] = tokens[i - lags[i]]
    directory = tmp_path_factory.mktemp("paper") / "corpus"
    with CorpusWriter(directory, 60) as writer:
        writer.append_batch(list(tokens.reshape(200, 1200)))
        writer.finish()
    return ngramstat.Corpus.open(directory)


def command(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["--quiet", "--threads", "1", *map(str, arguments)])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.output


FAST = ["--replicates", "99"]
OPTIONS = [
    *FAST, "--no-sequential", "--max-context", "2", "--held-out", "0.1",
    "--predictor", "kneser-ney", "--learning-sizes", "2",
]  # fmt: skip


def test_correlations_by_the_protocol(corpus: ngramstat.Corpus, tmp_path: Path) -> None:
    output = tmp_path / "c.json"
    command("correlations", corpus.path, "--protocol", "paper", *FAST, "-o", output)
    data = json.loads(output.read_text())
    assert data["settings"]["protocol"] == "paper"
    found = data["correlations"]
    assert found["lags"] == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192]
    beta = found["beta"]
    law = law_of_points(found["lags"], found["norm_debiased"])
    assert beta["value"] == pytest.approx(law.exponent)
    assert beta["parts"]["lags"] == pytest.approx(law.widest)
    assert beta["weights"] == [1] * 15
    _, high = beta["parts"]["documents"]
    assert beta["high"] - beta["value"] == pytest.approx(
        math.hypot(high - beta["value"], law.widest[1] - beta["value"])
    )
    kinds = {a["kind"]: a for a in beta["alternatives"]}
    plain = law_of_points(found["lags"], found["norm"])
    assert kinds["plug_in_norm"]["value"] == pytest.approx(plain.exponent)
    assert "default_protocol" in kinds
    # The paper has no sequential covariance: that one is fitted as ever.
    assert "weighted by errors" in found["beta_sequential"]["method"]
    short = ngramstat.correlations(
        corpus, protocol="paper", beta_window=(1, 32), lags=[1, 2, 4, 8, 16, 32, 64],
        replicates=99, sequential=False, threads=1,
    )  # fmt: skip
    assert short.lags.tolist() == [1, 2, 4, 8, 16, 32, 64]
    assert short.beta.window == (1, 32)
    many = beta_of_lost_lags()
    assert "bootstrap replicates have positive norms" in str(many.reason)
    with pytest.raises(InputError, match="protocol"):
        ngramstat.correlations(corpus, protocol="other")


def beta_of_lost_lags() -> Exponent:
    """A lag that vanishes in a fifth of the resamplings of documents."""
    lags = norms()[0]
    norm = 0.02 * lags**-0.88
    replicates = np.tile(norm, (200, 1))
    replicates[:40, -1] = -1e-6
    return paper_beta(MeasuredDecay(lags, norm, np.ones(15, bool), replicates=replicates))


def test_few_tokens_have_fewer_lags() -> None:
    few = ngramstat.Corpus.from_arrays(zipf(20, 1000, seed=3), vocab_size=20)
    found = ngramstat.correlations(few, protocol="paper", replicates=20, threads=1)
    assert found.lags[-1] == 96


def test_measure_and_predict_by_the_protocol(corpus: ngramstat.Corpus, tmp_path: Path) -> None:
    run = tmp_path / "run"
    summary = command("measure", corpus.path, "--protocol", "paper", *OPTIONS, "-o", run)
    assert "THE PAPER'S PROTOCOL" in summary
    assert "--curves" in summary
    data = json.loads((run / "run.json").read_text())
    assert data["prediction"]["paper"]["beta"] == data["correlations"]["beta"]
    assert "differs in protocol" in command(
        "measure", corpus.path, "--lags", ",".join(map(str, data["correlations"]["lags"])),
        *OPTIONS, "-o", run, code=2,
    )  # fmt: skip
    table = ansatz_curves(1e-3)
    curves = tmp_path / "curves.csv"
    rows = zip(table.context, table.tokens, table.loss, strict=True)
    curves.write_text("context,tokens,loss\n" + "\n".join(f"{n},{p},{y}" for n, p, y in rows))
    output = tmp_path / "p.json"
    command("predict", run, "--curves", curves, "-o", output)
    paper = json.loads(output.read_text())["prediction"]["paper"]
    assert [g["tokens"] for g in paper["gamma"]] == [2.0**28, 2.0**27]
    assert paper["gamma"][0]["gamma"]["reportable"]
    assert paper["alpha"]["value"] == pytest.approx(
        paper["gamma"][0]["gamma"]["value"] / (2 * paper["beta"]["value"])
    )
    without = command("predict", run, "--protocol", "default", "--curves", curves, "-o", output)
    assert "THE PAPER'S PROTOCOL" not in without
    assert json.loads(output.read_text())["prediction"]["paper"] is None


def test_curves_at_one_size_give_gamma(corpus: ngramstat.Corpus) -> None:
    """One size, no errors: a raw slope with an interval from its scatter and its window."""
    correlations, entropies = make_parts()
    whole = ansatz_curves(0)
    largest = whole.tokens == whole.tokens.max()
    table = replace(
        whole,
        context=whole.context[largest], tokens=whole.tokens[largest], loss=whole.loss[largest],
        replicates=whole.replicates[largest],
    )  # fmt: skip
    result = ngramstat.predict(correlations, entropies, curves=table)
    gamma = result.curves.gamma_finite
    assert gamma.reportable, gamma.reason
    assert gamma.low < 0.325 < gamma.high
    assert gamma.value == pytest.approx(0.325, abs=0.01)


def test_a_run_of_the_default_protocol_is_fitted_to_its_own_lags() -> None:
    correlations, entropies = make_parts()
    result = ngramstat.predict(correlations, entropies, protocol="paper")
    beta = result.paper.beta
    inside = correlations.lags <= 192
    law = law_of_points(correlations.lags[inside], correlations.best_norm[inside])
    assert beta.value == pytest.approx(law.exponent)
    assert ngramstat.predict(correlations, entropies).paper is None
