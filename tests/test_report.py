"""The terminal summary and the figures, on a planted run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ngramstat.errors import InputError, NgramstatError
from ngramstat.exponents import (
    LossesBySize,
    MeasuredDecay,
    beta_exponent,
    gamma_exponent,
    gamma_finite_exponent,
)
from ngramstat.prediction.predict import predict
from ngramstat.report.page import render_page
from ngramstat.report.residuals import plot_residuals
from ngramstat.report.sparkline import sparkline, sparklines
from ngramstat.report.summary import summarize
from ngramstat.report.text import WIDTH
from ngramstat.results import CorrelationResult, EntropyResult, Exponent, RunResult


def planted_correlations(*, two_stages: bool = False, **changes: Any) -> CorrelationResult:
    rng = np.random.default_rng(4)
    lags = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256, 512])
    pairs = (2_000_000 - lags).astype(np.uint64)
    norm = 0.0095 * lags**-0.95
    if two_stages:
        norm = np.where(lags <= 32, norm, 0.0095 * 32**-0.65 * lags**-0.3)
    floor = 0.1 / np.sqrt(pairs)
    valid = norm >= 1.5 * floor
    reps = norm * np.exp(0.03 * rng.normal(size=(200, len(lags))))
    low, high = np.quantile(reps, [0.025, 0.975], axis=0)
    values: dict[str, Any] = {
        "lags": lags,
        "pairs": pairs,
        "norm": norm,
        "norm_low": low,
        "norm_high": high,
        "norm_sequential": 0.95 * norm,
        "norm_crossfit": np.where(valid, 0.98 * norm, -1e-6),
        "noise_floor": floor,
        "valid": valid,
        "crossing_share": np.linspace(0, 1, len(lags)),
        "beta": beta_exponent(MeasuredDecay(lags, norm, valid, replicates=reps)),
        "beta_sequential": beta_exponent(MeasuredDecay(lags, 0.95 * norm, valid, replicates=reps)),
    }
    return CorrelationResult(**(values | changes))


def planted_entropies(**changes: Any) -> EntropyResult:
    n = np.arange(7)
    true = np.concatenate([[6.9], 4.6 * n[1:] ** -0.3])
    held = true * (1 + 0.02 * n)
    low, high = true * (1 - 0.01 * 1.7**n), true * (1 + 0.01 * 1.7**n)
    resolved = n <= 4
    rng = np.random.default_rng(6)
    reps = held * np.exp(0.003 * rng.normal(size=(200, 7)))
    values: dict[str, Any] = {
        "context": n,
        "targets": np.full(7, 10**6, dtype=np.uint64),
        "distinct": np.ones(7, dtype=np.uint64),
        "plug_in": true * np.exp(-0.05 * n**2),
        "chao_shen": true * np.exp(-0.01 * n**2),
        "held_out": held,
        "held_out_low": 0.99 * held,
        "held_out_high": 1.01 * held,
        "estimate": true,
        "low": low,
        "high": high,
        "resolved": resolved,
        "gamma": gamma_exponent(n, true, low, high, resolved),
        "gamma_finite": gamma_finite_exponent(
            n, held, reps, sizes=LossesBySize([1e6, 2e6], np.tile(held, (2, 1)), "planted")
        ),
        "training_tokens": 1_900_000,
        "held_out_tokens": 100_000,
    }
    return EntropyResult(**(values | changes))


def planted_run(**changes: Any) -> RunResult:
    correlations, entropies = planted_correlations(), planted_entropies()
    values: dict[str, Any] = {
        "corpus": {"path": "corpora/planted", "tokens": 2_000_000, "documents": 4123},
        "settings": {"lags": [1, 2, 4], "boundary": "stream", "seed": 0},
        "provenance": {"version": "0.1", "seconds": 12.5, "threads": 2},
        "correlations": correlations,
        "entropies": entropies,
        "prediction": predict(correlations, entropies, tokens=[10.0, 1e5, 1e9, 1e30]),
    }
    return RunResult(**(values | changes))


def test_summary_begins_with_the_exponents_and_fits_the_width() -> None:
    text = summarize(planted_run())
    lines = text.splitlines()
    assert lines[0] == "EXPONENTS (intervals at 95%)"
    assert lines[1].startswith("  beta              0.950 [0.9")
    assert max(len(line) for line in lines) <= WIDTH
    assert text.endswith("\n")
    assert "\x1b" not in text
    for part in ("CORPUS", "CORRELATIONS", "ENTROPIES", "CONDITIONS", "AT MORE", "SETTINGS"):
        assert part in lines or any(line.startswith(part) for line in lines)
    assert "10 tokens resolve no lag" in text
    assert "extrapolated" in text
    assert "at least" in text
    assert "unknown  fast learning" in text


def test_summary_tables_show_the_numbers() -> None:
    lines = summarize(planted_run()).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("CORRELATIONS"))
    assert lines[start + 1].split() == [
        "lag", "norm", "interval", "floor", "cross-fit", "sequential", "crossing", "valid",
    ]  # fmt: skip
    first = lines[start + 2].split()
    assert first[:2] == ["1", "9.5000"]
    assert first[-1] == "yes"
    last = lines[start + 11].split()
    assert last[0] == "512"
    assert last[-1] == "no"


def test_summary_says_why_something_is_not_reportable() -> None:
    correlations = planted_correlations(
        beta=Exponent(
            value=0.5, method="m", reportable=False, reason="a reason " * 20, window=(1, 4)
        ),
        beta_sequential=None,
        documents_are_blocks=True,
        norm_low=None,
        norm_crossfit=None,
    )
    text = summarize(planted_run(correlations=correlations, entropies=None, prediction=None))
    assert "(0.500)" in text
    assert "not reportable: a reason" in text
    assert "equal blocks stood in for documents" in text
    assert "no document ends" not in text
    assert "ENTROPIES" not in text
    assert max(len(line) for line in text.splitlines()) <= WIDTH


def test_summary_of_an_empty_run() -> None:
    text = summarize(RunResult(corpus={}, settings={}, provenance={}))
    assert text == "EXPONENTS\n  none computed\n"


def test_summary_has_no_control_codes() -> None:
    text = summarize(planted_run(corpus={"path": "evil\x1b[2J\x07name"}))
    assert "\x1b" not in text
    assert "evil?[2J?name" in text


@pytest.mark.parametrize("two_stages", [False, True])
def test_correlation_figure_shows_the_basis_of_the_fit(two_stages: bool) -> None:
    pytest.importorskip("matplotlib")
    result = planted_correlations(two_stages=two_stages)
    ax = result.plot()
    labels = " | ".join(ax.get_legend_handles_labels()[1])
    for part in (
        "window of the fit, 1 to",
        "noise alone",
        "sequential",
        "cross-fit",
        "β =",
        "at 95 %",
    ):
        assert part in labels
    assert ("second stage" in labels) == two_stages
    assert ("not used" in labels) == bool((~result.valid).any())
    assert "tokens" in ax.get_xlabel()
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_entropy_figure_shows_bracket_window_and_held_out() -> None:
    pytest.importorskip("matplotlib")
    ax = planted_entropies().plot()
    labels = " | ".join(ax.get_legend_handles_labels()[1])
    for part in ("bracket", "held-out", "window of the fit, 1 to 4", "γ =", "not resolved"):
        assert part in labels
    assert "nats" in ax.get_ylabel()
    refused = planted_entropies(gamma=Exponent.refused("none", method="m")).plot()
    assert "γ at this size =" in " | ".join(refused.get_legend_handles_labels()[1])


def test_run_figure_is_drawn_and_saved(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = planted_run()
    figure = run.plot()
    assert len(figure.axes) == 2
    figure.savefig(tmp_path / "run.png")
    figure.savefig(tmp_path / "run.svg")
    assert (tmp_path / "run.png").stat().st_size > 10_000
    assert len(planted_run(entropies=None).plot().axes) == 1
    with pytest.raises(NgramstatError, match="nothing to draw"):
        RunResult(corpus={}, settings={}, provenance={}).plot()


def test_missing_and_negative_numbers_can_be_drawn() -> None:
    pytest.importorskip("matplotlib")
    n = 10
    sparse = planted_correlations(
        norm=np.array([0.01, -1e-5, np.nan, 0, 1e-3, 1e-4, np.nan, 0, 0, 0]),
        norm_low=None,
        norm_high=None,
        norm_crossfit=np.full(n, np.nan),
        norm_sequential=None,
        noise_floor=np.full(n, np.nan),
        beta=Exponent.refused("nothing", method="m"),
    )
    sparse.plot().figure.canvas.draw()
    bare = planted_entropies(
        estimate=None, low=None, high=None, held_out=None, held_out_low=None,
        held_out_high=None, chao_shen=None,
    )  # fmt: skip
    bare.plot().figure.canvas.draw()


def test_missing_matplotlib_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(NgramstatError, match=r"ngramstat\[plot\]"):
        planted_correlations().plot()


def test_imports_stay_light() -> None:
    code = (
        "import sys, ngramstat.results, ngramstat.report.drawing, ngramstat.exponents;"
        "heavy = {'scipy', 'matplotlib', 'pandas', 'torch', 'click', 'tqdm', 'tokenizers'};"
        "raise SystemExit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


HEAVY = {"scipy", "matplotlib", "pandas", "torch", "tqdm", "tokenizers", "pyarrow"}


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        ("--help", HEAVY | {"numpy", "ngramstat.cli.measure"}),
        ("index --help", HEAVY | {"numpy", "ngramstat.cli.index.queries"}),
        ("measure --help", HEAVY | {"numpy"}),
        ("predict {run}", HEAVY | {"ngramstat.stages", "ngramstat.corpus", "ngramstat.kernels"}),
        ("predict {run} --protocol paper --full", HEAVY),
        ("predict {run} --tokens 1e9,1e12 --loss 1e7:4.1 --loss 1e8:3.5", HEAVY),
        ("report {run} -o {page}", HEAVY | {"ngramstat.stages", "ngramstat.corpus"}),
    ],
)
def test_commands_of_a_moment_import_little(
    tmp_path: Path, arguments: str, heavy: set[str]
) -> None:
    """Imports would be most of their time: SciPy and matplotlib take a second each."""
    planted_run().save(tmp_path / "run.json")
    words = arguments.format(run=tmp_path, page=tmp_path / "page.html").split()
    code = (
        "import sys\n"
        "from ngramstat.cli import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "finally:\n"
        "    print('imported', *sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split("imported ")[1].split()) & heavy == set()


def test_summary_shows_what_correlates() -> None:
    types = np.tile(np.arange(12), (10, 3, 1))
    values = np.tile(np.linspace(0.6, -0.5, 12), (10, 3, 1))
    run = planted_run(
        correlations=planted_correlations(
            left_types=types,
            left_loadings=values,
            right_types=types[..., ::-1],
            right_loadings=values,
            type_texts={"0": " of", "11": '"\x1b[31m<script>"'},
        )
    )
    text = summarize(run)
    part = text[text.index("WHAT CORRELATES") :]
    assert '" of" +0.60, 1 +0.50' in part
    assert "\x1b" not in text
    assert [line.split()[1] for line in part.splitlines() if line.startswith("  lag")] == [
        "1", "8", "128",
    ]  # fmt: skip
    assert max(map(len, text.splitlines())) <= WIDTH
    loaded = RunResult.from_dict(run.to_dict())
    assert loaded.to_dict() == run.to_dict()


def test_summary_marks_entropies_that_are_not_resolved() -> None:
    run = planted_run()
    assert run.entropies is not None
    lines = summarize(run).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("ENTROPIES"))
    rows = [line.split() for line in lines[start + 2 :]][: len(run.entropies.context)]
    assert [row[1].startswith("(") for row in rows] == (~run.entropies.resolved).tolist()
    assert not run.entropies.resolved.all()
    assert "(in parentheses: not resolved, only the bracket is known)" in "\n".join(lines)


def documents_that_carry(share: float, for_half: float) -> dict[str, Any]:
    """Fields of ten lags, at the last two of which one document carries this share."""
    shares = np.tile([0.02, 0.015, 0.001], (10, 1))
    shares[8:, 0] = share
    documents = np.tile([1234, 7, 8], (10, 1))
    return {
        "top_documents": documents,
        "top_document_shares": shares,
        "top_document_starts": 1000 * documents,
        "top_document_ends": 1000 * documents + 500,
        "documents_for_half": np.where(np.arange(10) < 8, 0.3, for_half),
        "noise_floor": np.full(10, 1e-6),
        "valid": np.ones(10, dtype=bool),
    }


def test_summary_names_documents_where_few_carry_the_norm() -> None:
    run = planted_run(correlations=planted_correlations(**documents_that_carry(0.31, 0.004)))
    text = summarize(run)
    part = " ".join(text[text.index("WHICH DOCUMENTS CARRY IT") :].split())
    assert "document 1234 31.0% (tokens 1,234,000 to 1,234,499); document 7 1.5%" in part
    assert "half of the norm is carried by 0.4% of the documents" in part
    assert "document 8 " not in part
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "share of the norm" in render_page(run)
    loaded = RunResult.from_dict(run.to_dict())
    assert loaded.to_dict() == run.to_dict()
    # They raise the noise, so their lags may be invalid; the smallest fraction is one of 100.
    for changes in (
        documents_that_carry(0.31, 0.004) | {"valid": np.arange(10) < 8},
        documents_that_carry(0.05, 0.01),
    ):
        run = planted_run(correlations=planted_correlations(**changes))
        assert "CARRY IT" in summarize(run)
    # Many documents that carry little are not named, nor are those at lags that are noise.
    for changes in (
        documents_that_carry(0.05, 0.2),
        documents_that_carry(0.31, 0.004) | {"noise_floor": np.where(np.arange(10) < 8, 1e-6, 1.0)},
    ):
        run = planted_run(correlations=planted_correlations(**changes))
        assert "CARRY IT" not in summarize(run)
        assert "share of the norm" not in render_page(run)


def test_sparklines_fall_with_the_curve() -> None:
    assert sparkline([4, 3, 2, 1]) == "█▆▃▁"
    assert sparkline([1, np.nan, 8]) == "▁ █"
    assert sparkline([2, 2]) == "▁▁"
    assert sparkline([np.nan]) == " "
    text = sparklines(planted_run())
    norms, entropies = text.strip().split("\n")
    assert "lags 1..512" in norms
    assert norms.index("█") < norms.index("▁")
    assert "contexts 0.." in entropies
    assert sparklines(RunResult(corpus={}, settings={}, provenance={})) == ""


def test_residuals_of_a_power_law_are_one() -> None:
    pytest.importorskip("matplotlib")
    result = planted_correlations()
    axes = plot_residuals(result)
    for line in axes.get_lines():
        heights = np.asarray(line.get_ydata(), dtype=np.float64)
        if len(heights) == np.count_nonzero(result.valid):
            assert heights == pytest.approx(np.ones(len(heights)), rel=1e-6)
            break
    else:
        pytest.fail("the fitted lags are not drawn")
    refused = Exponent.refused("no", method="m")
    with pytest.raises(InputError, match="no residuals"):
        plot_residuals(planted_correlations(beta=refused))


def test_the_horizon_figure_shows_the_requested_tokens_and_context() -> None:
    pytest.importorskip("matplotlib")
    run = planted_run()
    assert run.correlations is not None
    assert run.entropies is not None
    prediction = predict(run.correlations, run.entropies, tokens=[1e6, 1e7], context=64)
    (axes,) = prediction.plot().axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "half of your context of 64" in labels
    assert "requested tokens" in labels
