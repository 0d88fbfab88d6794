"""The panel of theories: exponents of planted corpora, what is refused, and where it is shown."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

import ngramstat
from designs import design_of
from ngramstat.api import theories
from ngramstat.cli import main
from ngramstat.cli.theories import theories as theories_command
from ngramstat.errors import InputError
from ngramstat.report.markup import text_of
from ngramstat.report.page import render_page
from ngramstat.report.theories import plot_theories, summarize_theories
from ngramstat.results import Exponent, KgramTable, TheoriesResult, TheoryRow, ValidationResult
from ngramstat.synthetic import GraphWalk
from ngramstat.theories.bottom_line import UNIFORM_RULES, bottom_line
from ngramstat.theories.growth import (
    measure_growth,
    tail_exponent,
)
from ngramstat.theories.missing_mass import missing_mass_exponents, quanta_in_words
from ngramstat.theories.panel import MeasuredAlpha, judge, transformed
from ngramstat.theories.spectra import measure_spectra, token_eigenvalues
from ngramstat.theories.unseen_causes import rows_of_unseen_causes

DOCUMENT = 1000


def planted(z, types, n, seed):
    """Independent tokens with p_k ~ k^-z, in documents, and the exact exponents at this size."""
    p = np.arange(1, types + 1) ** -float(z)
    p /= p.sum()
    rng = np.random.default_rng(seed)
    tokens = np.searchsorted(np.cumsum(p), rng.random(n)).clip(0, types - 1).astype(np.uint32)
    corpus = ngramstat.Corpus.from_arrays(
        tokens, vocab_size=types, document_ends=np.arange(DOCUMENT, n + 1, DOCUMENT)
    )
    sizes = np.array([n / 2, n])
    seen = np.array([-np.expm1(q * np.log1p(-p)).sum() for q in sizes])
    once = np.array([(q * p * np.exp((q - 1) * np.log1p(-p))).sum() for q in sizes])
    return corpus, {
        "heaps": np.log(seen[1] / seen[0]) / np.log(2),
        "missing": -np.log(once[1] / (2 * once[0])) / np.log(2),
        "zipf": z,
    }


@pytest.mark.parametrize("z", [1.3, 1.5, 2.0])
def test_exponents_of_planted_corpora_lie_in_their_intervals(z):
    inside = {"heaps": 0, "missing": 0, "zipf": 0}
    draws = 12
    for seed in range(draws):
        corpus, truth = planted(z, 300_000, 300_000, seed)
        (kgram,) = measure_growth(design_of(corpus), longest=1).kgrams
        for name in inside:
            exponent = getattr(kgram, name)
            assert exponent.value is not None, exponent.reason
            inside[name] += exponent.low <= truth[name] <= exponent.high
    # 95 % intervals: fewer than 9 of 12 have a chance of 2 in 1000.
    assert min(inside.values()) >= 9, inside
    # What the theories make of them, and their laws for endless texts.
    assert kgram.zipf.value == pytest.approx(z, rel=0.2)
    quanta = transformed(kgram.zipf, lambda x: (x - 1) / x, "(z - 1) / z")
    assert quanta.value == pytest.approx(1 - 1 / z, abs=0.1)
    assert quanta.low < 1 - 1 / z < quanta.high or seed
    assert transformed(kgram.heaps, lambda h: 1 - h, "1 - h").low == 1 - kgram.heaps.high


def test_types_and_singletons_equal_a_direct_count():
    corpus, _ = planted(1.5, 5000, 64_000, 0)
    growth = measure_growth(design_of(corpus), longest=2)
    documents = np.asarray(corpus.tokens).reshape(-1, DOCUMENT)
    for kgram in growth.kgrams:
        grams = np.concatenate([
            np.lib.stride_tricks.sliding_window_view(d[2 - kgram.k :], kgram.k) for d in documents
        ])  # fmt: skip
        _, counts = np.unique(grams, axis=0, return_counts=True)
        assert kgram.types[-1] == len(counts)
        assert kgram.singletons[-1] == np.count_nonzero(counts == 1)
        assert kgram.tokens[-1] == len(documents) * (DOCUMENT - 1)
        assert np.all(np.diff(kgram.tokens) > 0)
        assert len(kgram.tokens) == 6


def test_a_closed_vocabulary_has_no_heaps_exponent():
    rng = np.random.default_rng(0)
    corpus = ngramstat.Corpus.from_arrays(
        rng.integers(0, 50, 64_000).astype(np.uint16), vocab_size=50,
        document_ends=np.arange(DOCUMENT, 64_001, DOCUMENT),
    )  # fmt: skip
    (kgram,) = measure_growth(design_of(corpus), longest=1).kgrams
    assert not kgram.heaps.reportable
    assert "closed" in kgram.heaps.reason
    assert "0 1-grams occur once" in kgram.missing.reason
    assert "less than a decade of ranks" in kgram.zipf.reason


def test_a_falling_number_of_singletons_means_a_closed_set():
    # All 2000 types are met in half of the text; a few hundred still occur once.
    corpus, _ = planted(1.1, 2000, 40_000, 0)
    (kgram,) = measure_growth(design_of(corpus), longest=1).kgrams
    assert kgram.singletons[-1] < kgram.singletons[-2]
    assert not kgram.missing.reportable
    assert "closed set" in kgram.missing.reason


def test_too_few_documents_for_nested_parts_are_refused():
    tokens = np.random.default_rng(0).integers(0, 9, 31).astype(np.uint16)
    corpus = ngramstat.Corpus.from_arrays(tokens, vocab_size=9, document_ends=np.arange(1, 32))
    if len(design_of(corpus, boundary="document").documents) < 32:
        with pytest.raises(InputError, match="needed for nested parts"):
            measure_growth(design_of(corpus), longest=1)


def test_the_tail_of_exact_numbers():
    # Expected numbers of types by count under p_k ~ k^-z, as the law has them.
    from scipy.special import gammaln

    counts = np.arange(1, 5001, dtype=np.float64)
    for z in (0.8, 1.2, 2.5):
        expected = 1e9 * np.exp(gammaln(counts - 1 / z) - gammaln(counts + 1)) if z > 1 else None
        if expected is None:
            expected = np.where(counts > 2, 1e9 * np.exp(
                gammaln(np.maximum(counts - 1 / z, 0.1)) - gammaln(counts + 1)), 0)  # fmt: skip
        table = np.stack([counts, np.round(expected)], axis=1).astype(np.uint64)
        assert tail_exponent(table, 10, 1000) == pytest.approx(z, rel=1e-3)
    assert np.isnan(tail_exponent(np.zeros((0, 2), np.uint64), 10, 1000))


def test_token_eigenvalues_bracket_those_of_the_covariance():
    counts = np.random.default_rng(0).integers(1, 1000, 60)
    p = counts / counts.sum()
    exact = np.sort(np.linalg.eigvalsh(np.diag(p) - np.outer(p, p)))[::-1]
    result = token_eigenvalues(counts)
    assert np.all(exact <= result + 1e-12)
    assert np.all(exact[:-1] >= result[1:] - 1e-12)


def test_contributions_are_masses_times_divergences():
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, 30, 200_000).astype(np.uint16)
    tokens[1::2] = (tokens[::2] + rng.integers(0, 2, 100_000)) % 30
    corpus = ngramstat.Corpus.from_arrays(
        tokens, vocab_size=30, document_ends=np.arange(1000, 200_001, 1000)
    )
    spectra = measure_spectra(design_of(corpus))
    joint = np.zeros((30, 30))
    np.add.at(joint, (tokens[:-1], tokens[1:]), 1)
    joint /= joint.sum()
    p, q = joint.sum(axis=1), joint.sum(axis=0)
    exact = np.sort((joint * np.log(joint / np.outer(p, q), where=joint > 0,
                                    out=np.zeros_like(joint))).sum(axis=1))[::-1]  # fmt: skip
    # The plug-in less its bias (Miller): every context is followed by all 30 types.
    assert spectra.contributions == pytest.approx(exact - 29 / (2 * (len(tokens) - 1)), abs=1e-9)
    assert "1,000 needed" in spectra.tail.reason


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    root = tmp_path_factory.mktemp("theories")
    rng = np.random.default_rng(3)
    words = np.minimum(rng.zipf(1.4, 120_000) - 1, 3999).astype(np.uint16)
    words[1:] = np.where(rng.random(119_999) < 0.3, (words[:-1] * 7 + 1) % 4000, words[1:])
    np.save(root / "tokens.npy", words)
    corpus = ngramstat.Corpus.open(root / "tokens.npy", vocab_size=4000)
    run = ngramstat.measure(
        corpus, output=root / "run", lags=[1, 2, 4, 8, 16], max_context=2, sequential=False,
        predictor="kneser-ney", learning_sizes=2, replicates=20,
    )  # fmt: skip
    return root, corpus, run


def test_the_panel_has_every_theory_with_its_conditions(measured):
    root, corpus, run = measured
    result = theories(root / "run", corpus=corpus, longest=2)
    names = [row.name for row in result.rows]
    assert names == [
        "horizon", "horizon, finite P", "hilberg", "heaps, k=1", "heaps, k=2", "quanta, k=1",
        "quanta, k=2", "missing mass, k=1", "missing mass, k=2", "spectrum of tokens",
        "hierarchy, uniform rules", "hierarchy, power-law rules", "percolation, many clusters",
        "percolation, one giant cluster", "manifold", "one-third law", "predictive spectrum",
        "walks on graphs",
    ]  # fmt: skip
    for row in result.rows:
        assert row.assumption
        assert row.falsifier
        assert row.exponent.reportable or row.exponent.reason
        assert row.agreement == ""
    by_name = dict(zip(names, result.rows, strict=True))
    assert by_name["horizon"].exponent == run.prediction.alpha
    assert by_name["predictive spectrum"].kind == "correlate"
    # The planar loss over the measured spectrum, which is no power law here.
    over_spectrum = by_name["spectrum of tokens"].exponent.alternatives
    assert [a.window for a in over_spectrum] == [(4.0, 16.0), (16.0, 64.0), (64.0, 256.0)]
    assert all(a.value > 0 for a in over_spectrum)
    again = TheoriesResult.from_dict(json.loads(json.dumps(result.to_dict())))
    assert again == result


def test_predictions_are_compared_with_trained_models(measured, tmp_path):
    root, corpus, _ = measured
    curves = tmp_path / "curves.csv"
    tokens = np.geomspace(1e5, 1e8, 9)
    rows = [f"64,{p:.0f},{1.5 + 40 * p**-0.3:.9f}" for p in tokens]
    curves.write_text("context,tokens,loss\n" + "\n".join(rows) + "\n")
    result = theories(root / "run", corpus=corpus, curves=curves, longest=1)
    raw, limit = result.rows[-2:]
    assert (raw.name, limit.name) == ("curves, raw", "curves, limit")
    assert limit.exponent.value == pytest.approx(0.3, abs=0.02)
    assert raw.exponent.value < 0.2
    predictions = [row for row in result.rows if row.kind == "prediction"]
    assert {row.agreement for row in predictions} <= {
        "consistent", "inconsistent", "indeterminate",
    }  # fmt: skip
    # Theories are held against the loss above its limit, the slope at finite P against the raw one.

    def known(value, width):
        return Exponent(
            value=value, low=value - width, high=value + width, method="m", reportable=True
        )

    row = TheoryRow(name="planted", source="s", formula="f", assumption="a", falsifier="f",
                    exponent=known(0.3, 0.01))  # fmt: skip
    alphas = [
        MeasuredAlpha("one", "raw", known(0.1, 0.01)),
        MeasuredAlpha("two", "limit", known(0.3, 0.02)),
    ]
    assert judge(row, alphas).agreement == "consistent"
    finite = dataclasses.replace(row, name="horizon, finite P")
    assert judge(finite, alphas).agreement == "inconsistent"
    unsound = [dataclasses.replace(one, sound=False) for one in alphas]
    assert judge(row, unsound).agreement == "indeterminate"
    assert judge(row, []).agreement == ""


def test_another_corpus_is_refused_and_a_missing_one_leaves_rows_open(measured):
    root, corpus, run = measured
    other = ngramstat.Corpus.from_arrays(np.asarray(corpus.tokens)[:-1], vocab_size=4000)
    with pytest.raises(InputError, match="another corpus"):
        theories(run, corpus=other)
    gone = dataclasses.replace(run, corpus={**run.corpus, "path": str(root / "nowhere")})
    result = theories(gone)
    refused = {row.name for row in result.rows if "--corpus" in (row.exponent.reason or "")}
    assert refused == {
        "heaps", "quanta", "missing mass", "spectrum of tokens", "predictive spectrum",
    }  # fmt: skip


def test_a_relative_corpus_is_found_beside_the_run(measured, tmp_path, monkeypatch):
    root, _, run = measured
    moved = dataclasses.replace(run, corpus={**run.corpus, "path": "tokens.npy"})
    (root / "moved").mkdir()
    moved.save(root / "moved" / "run.json")
    for place, given in ((tmp_path, root / "moved"), (root, moved)):
        monkeypatch.chdir(place)
        reasons = [row.exponent.reason or "" for row in theories(given, longest=1).rows]
        assert not any("--corpus" in reason for reason in reasons)
    monkeypatch.chdir(tmp_path)
    reasons = [row.exponent.reason or "" for row in theories(moved, longest=1).rows]
    assert any("--corpus" in reason for reason in reasons)


def test_the_command_its_table_and_the_page(measured, capsys):
    root, _, _ = measured
    with pytest.raises(SystemExit) as stop:
        main(["theories", str(root / "run"), "--corpus", str(root / "tokens.npy"), "--quiet"])
    assert stop.value.code in (0, 2)
    if stop.value.code == 2:  # an .npy does not tell its vocabulary
        result = theories(root / "run", corpus=measured[1], longest=1)
        result.save(root / "run" / "theories.json")
    loaded = TheoriesResult.load(root / "run" / "theories.json")
    text = summarize_theories(loaded)
    for row in loaded.rows:
        assert row.name in text
    # Rows of one theory whose assumptions differ are all told, and the bottom line comes first.
    assert "hierarchy, power-law rules (Cagnetta" in text
    assert "percolation, one giant cluster (Brill" in text
    # Of two rows in turn with one reason the second does not repeat it.
    assert "not reportable: as the row above" in text
    assert text.count("at the percolation threshold;") == 1
    unwrapped = " ".join(text.split())
    assert unwrapped.index(loaded.bottom_line) < unwrapped.index(loaded.rows[0].source)
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["report", str(root / "run")])
    assert stop.value.code == 0
    page = (root / "run" / "report.html").read_text(encoding="utf-8")
    assert "Other theories" in page
    assert 'download="theories.json"' in page
    assert text_of(loaded.bottom_line) in page
    for row in loaded.rows:
        assert row.name in page


def test_the_page_escapes_the_text_of_a_panel(measured):
    _, _, run = measured
    result = theories(dataclasses.replace(run, corpus={**run.corpus, "path": None}))
    evil = dataclasses.replace(
        result.rows[0], name="<script>alert(1)</script>",
        exponent=Exponent.refused("<img src=x>", method="m"),
    )  # fmt: skip
    page = render_page(run, dataclasses.replace(result, rows=(evil,)))
    assert "<script>" not in page
    assert "<img src=x>" not in page


def test_the_figure_shows_every_value(measured):
    pytest.importorskip("matplotlib")
    _, corpus, run = measured
    result = theories(run, corpus=corpus, longest=1)
    labels = [label.get_text() for label in plot_theories(result).get_yticklabels()]
    assert labels == [row.name for row in result.rows if row.exponent.value is not None]


def kgram_table(k, singletons):
    tokens = 1000.0 * 2.0 ** np.arange(len(singletons))
    return KgramTable(
        k=k, tokens=tokens, types=np.asarray(singletons, float) * 2, singletons=singletons
    )


def test_the_dependence_of_quanta_on_k_and_on_the_tokens_is_said():
    # N_1 ~ P^0.6 and P^0.9; the third set is closed, the fourth has too few singletons.
    tables = [
        kgram_table(2, 500 * 2.0 ** (0.6 * np.arange(4))),
        kgram_table(3, 500 * 2.0 ** (0.9 * np.arange(4))),
        kgram_table(1, np.array([500.0, 400.0, 300.0, 200.0])),
        kgram_table(4, np.array([10.0, 20.0, 40.0, 80.0])),
    ]
    exponents = [missing_mass_exponents(table) for table in tables]
    np.testing.assert_allclose(exponents[0], 0.4)
    np.testing.assert_allclose(exponents[1], 0.1)
    assert np.isnan(exponents[2]).all()
    assert np.isnan(exponents[3]).all()
    words = quanta_in_words(tables)
    assert "0.400 for k = 2 and 0.100 for k = 3" in words
    assert "no single exponent of quanta" in words
    assert "nearly the same" in quanta_in_words(tables[:1])
    assert quanta_in_words(tables[2:]) == ""


def test_walks_on_graphs_have_no_exponent_of_the_horizon(tmp_path):
    """No power law in the data: beta and gamma refused, the loss falls, and the panel says so."""
    corpus = GraphWalk(200, 1000, document_length=500).corpus(100_000)
    run = ngramstat.measure(corpus, boundary="document", lags=(1, 2, 3, 4, 6), max_context=3,
                            predictor="kneser-ney", replicates=99)  # fmt: skip
    result = theories(run, corpus=corpus, longest=2)
    rows = {row.name: row for row in result.rows}
    assert not rows["horizon"].exponent.reportable
    walks = rows["walks on graphs"]
    assert walks.exponent.value is None
    assert "beta and gamma of this text cannot be reported" in walks.exponent.reason
    assert "counted learner fall as P^-" in walks.exponent.reason
    text = summarize_theories(result)
    assert "no horizon n*(P)" in text.replace("\n      ", " ")
    assert "QUANTA BY K-GRAMS" in text


def test_losses_above_a_known_limit(measured, tmp_path):
    """Where they fall as P^-.5 to 2 nats, that is their exponent, and the panel compares it."""
    root, corpus, _ = measured
    sizes = np.geomspace(1e3, 1e6, 7)
    path = tmp_path / "losses.csv"
    lines = [f"{p:.0f},{2 + p**-0.5:.12f}" for p in sizes]
    path.write_text("\n".join(["tokens,loss", *lines]) + "\n")
    curves = ngramstat.read_curves(path, context=1)
    result = theories(root / "run", corpus=corpus, longest=1, curves=curves, limit=2.0)
    rows = {row.name: row for row in result.rows}
    assert "curves, limit" not in rows
    assert rows["curves, known limit"].exponent.value == pytest.approx(0.5, abs=1e-4)
    assert "known limit 2" in rows["curves, known limit"].exponent.method
    assert rows["curves, raw"].exponent.value < 0.01
    assert rows["missing mass, k=1"].agreement in ("consistent", "inconsistent")
    too_high = theories(root / "run", corpus=corpus, longest=1, curves=curves, limit=2.01)
    refused = next(row for row in too_high.rows if row.name == "curves, known limit").exponent
    assert "not above the limit" in refused.reason
    for arguments in ({"limit": 2.0}, {"limit": np.nan, "curves": curves}):
        with pytest.raises(ngramstat.InputError, match="limit: needs curves"):
            theories(root / "run", corpus=corpus, **arguments)


def number(value: float, width: float = 0.01) -> Exponent:
    return Exponent(value=value, low=value - width, high=value + width, method="m", reportable=True)


def panel_row(name: str, exponent: Exponent, agreement: str = "", kind: str = "prediction"):
    return TheoryRow(
        name=name, source="s", kind=kind, formula="f", exponent=exponent, assumption="a",
        falsifier="f", agreement=agreement,
    )  # fmt: skip


def test_causes_that_a_corpus_does_not_show_name_a_command_that_shows_them():
    rows = {row.name: row for row in rows_of_unseen_causes()}
    for row in rows.values():
        assert row.exponent.value is None
        (named,) = set(re.findall(r"`ngramstat theories ([a-z-]+)", row.exponent.reason))
        assert named in theories_command.list_commands(None)
    assert "`ngramstat validate` fits" in rows["one-third law"].exponent.reason

    def of_training(time_exponent):
        return rows_of_unseen_causes(time_exponent)[-1]

    trained = of_training(number(0.21))
    assert "falls as tau^-0.210 [0.200, 0.220]" in trained.exponent.reason
    assert trained.statistic == number(0.21)
    unknown = of_training(Exponent.refused("3 losses, 4 needed", method="m"))
    assert "no exponent of time can be reported: 3 losses, 4 needed" in unknown.exponent.reason


def test_the_time_exponent_of_a_validation_reaches_the_panel(measured, tmp_path):
    root, corpus, run = measured
    ValidationResult(
        corpus={}, settings={}, provenance={}, runs={}, losses=(), known={},
        prediction=run.prediction, comparisons=(), outcome="indeterminate", meaning="", gates=(),
        time_exponent=number(0.21),
    ).save(tmp_path / "validation.json")  # fmt: skip
    result = theories(root / "run", corpus=corpus, longest=1, validation=tmp_path)
    (row,) = (row for row in result.rows if row.name == "one-third law")
    assert row.statistic.value == 0.21


def test_the_bottom_line_says_who_gives_a_number_and_who_agrees(measured):
    _, _, run = measured
    # Its tokens repeat at one lag, so that neither beta nor gamma is known.
    assert not run.correlations.beta.reportable
    assert not run.entropies.gamma.reportable
    refused = Exponent.refused("why", method="m")
    horizon = [panel_row("horizon", refused), panel_row("horizon, finite P", refused)]
    correlate = panel_row("predictive spectrum", number(9.0), kind="correlate")
    nothing = bottom_line([*horizon, panel_row("hilberg", refused), correlate], run)
    assert nothing.startswith("None of the 2 theories gives a number for this text. ")
    assert "neither how fast correlations fall" in nothing
    assert nothing.endswith("(`ngramstat measure --train`).")

    def others(first="", second="", third=""):
        return [
            panel_row("heaps, k=1", number(0.2), first),
            panel_row("heaps, k=2", number(0.1), second),
            panel_row("spectrum of tokens", number(1.0), third),
        ]  # fmt: skip

    plain = bottom_line([*horizon, *others()], run)
    assert plain.startswith(
        "2 of 3 theories give numbers for this text, from 0.100 (heaps with k=2) to 1.000 "
        "(spectrum of tokens). "
    )
    losses = panel_row("curves, limit", number(0.2), kind="measured")

    def compared(*agreements):
        line = bottom_line([*horizon, *others(*agreements), losses], run)
        assert line.endswith("go by the measured losses.")
        return line.split("; ")[1].split(". ")[0]

    agree, differ, unclear = "consistent", "inconsistent", "indeterminate"
    # A theory of which one k agrees does not disagree as well.
    assert compared(agree, differ, differ) == (
        "the measured losses agree with heaps with k=1 and disagree with spectrum of tokens"
    )
    assert compared(differ, differ, unclear) == "the measured losses disagree with heaps"
    assert compared(unclear, unclear, agree) == "the measured losses agree with spectrum of tokens"
    assert compared(unclear, unclear, unclear).endswith("cannot be told")
    losses = panel_row("curves, raw", number(0.2), kind="measured")
    assert compared(unclear, unclear, unclear).endswith("these approach is uncertain")


def test_the_bottom_line_says_what_the_horizon_theory_gives(measured):
    _, _, run = measured
    rows = [panel_row("horizon", number(0.14)), panel_row("horizon, finite P", number(0.1))]
    assert bottom_line(rows, run).endswith("gives 0.140.")
    # The same number under another name is no second theory.
    assert bottom_line([*rows, panel_row(UNIFORM_RULES, number(0.14))], run) == (
        bottom_line(rows, run)
    )
    rows[0] = panel_row("horizon", Exponent.refused("why", method="m"))
    only = bottom_line(rows, run)
    assert only.startswith("1 of 1 theories gives a number for this text, horizon with finite P")
    assert "only what belongs to a corpus of this size, 0.100, because" in only
    known = {"beta": number(1.0), "gamma": number(0.3)}
    for name in known:
        one = dataclasses.replace(
            run,
            correlations=dataclasses.replace(run.correlations, beta=known["beta"])
            if name == "gamma" else run.correlations,
            entropies=dataclasses.replace(run.entropies, gamma=known["gamma"])
            if name == "beta" else run.entropies,
        )  # fmt: skip
        line = bottom_line(rows[:1], one)
        assert f"({name}) cannot be told from this text" in line
        assert "neither" not in line
    lacking = dataclasses.replace(run, entropies=None, prediction=None)
    assert "has not measured both" in bottom_line(rows[:1], lacking)
