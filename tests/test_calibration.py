"""The calibration on tiny corpora: draws, resumed runs, summaries and tables."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ngramstat
from benchmarks import calibration, text_languages
from benchmarks.calibration.__main__ import main
from benchmarks.calibration.cases import CASES
from benchmarks.calibration.draws import Draws, estimator_files, estimators, measure
from benchmarks.calibration.tables import markdown, summarize_case, tokens_label
from ngramstat.synthetic.ngram import NgramLanguage


def test_names_of_cases_are_unique_and_lags_fit_the_documents():
    assert len({case.name for case in CASES}) == len(CASES)
    for case in CASES:
        world = case.world(0)
        assert case.lags == () or max(case.lags) < world.document_length
        assert case.lags or case.max_context >= 0


@pytest.mark.parametrize(
    "name",
    ["potts 0.9", "runs 1", "independent, 2 types", "hierarchy 16, 4", "markov, unequal documents"],
)
def test_a_draw_holds_measured_and_exact_values(name):
    case = next(c for c in CASES if c.name == name)
    row = measure(case, 60_000, 1)
    json.dumps(row, allow_nan=False)
    assert row == measure(case, 60_000, 1)
    assert row != measure(case, 60_000, 2)
    if case.lags:
        assert len(row["c"]["exact"]) == len(row["c"]["norm"]) == len(case.lags)
    if case.max_context >= 0:
        assert len(row["e"]["exact"]) == case.max_context + 1


def test_the_hash_covers_the_sources_of_all_estimators():
    """After a renaming of folders, the hash no longer changed with the code."""
    names = [name for name, _ in estimator_files()]
    assert len(set(names)) == len(names)
    for name in (
        "api/measurement.py",
        "covariance/cross_fit.py",
        "entropy/counts.py",
        "exponents/fit.py",
        "kernels/pairs.py",
        "linear_algebra/lanczos.py",
        "prediction/predict.py",
        "sampling/design.py",
        "stages/plan.py",
        "csrc/src/pairs/pair_products.cpp",
        "csrc/include/ngramstat/base/types.hpp",
    ):
        assert name in names


def test_the_summary_counts_coverage_where_lags_are_valid():
    case = next(c for c in CASES if c.name == "potts 0.9")
    rows = [
        {**measure(case, 60_000, k), "seconds": 1.0, "estimators": estimators()} for k in range(3)
    ]
    summary = summarize_case(case, 60_000, rows)
    first = summary["norms"][0]
    assert first["lag"] == 1
    assert first["exact"] == pytest.approx(case.world(0).norms([1], "document")[0])
    inside = [r["c"]["norm_low"][0] <= first["exact"] <= r["c"]["norm_high"][0] for r in rows]
    assert first["coverage"] == pytest.approx(np.mean(inside))
    bias = np.mean([r["c"]["norm_debiased"][0] / first["exact"] - 1 for r in rows])
    assert first["norm_debiased"]["bias"] == pytest.approx(bias)
    null = next(c for c in CASES if c.name == "independent, 20 types")
    row = measure(null, 60_000, 0) | {"seconds": 1.0, "estimators": estimators()}
    without = summarize_case(null, 60_000, [row])["null"]
    assert without["draws_with_a_valid_lag"] == int(any(row["c"]["valid"]))
    # The theory holds for many vocabulary items; with 20 the noise is below it.
    assert 0.4 < without["noise_constant"] / without["noise_constant_theory"] < 1.1
    text = markdown([summary])
    assert "### potts 0.9, 6·10^4 tokens, 3 draws" in text
    assert tokens_label(10**7) == "10^7"


def test_the_command_resumes(tmp_path, monkeypatch):
    arguments = ["calibration", "--smoke", "--only", "markov", "--workers", "1",
                 "--work", str(tmp_path / "work"), "--output", str(tmp_path)]  # fmt: skip
    monkeypatch.setattr(sys, "argv", arguments)
    main()
    written = sorted(p.name for p in tmp_path.iterdir() if p.is_file())
    assert "calibration.md" in written
    assert "calibration-norms.png" in written
    (draws,) = (tmp_path / "work").iterdir()
    before = draws.read_text(encoding="utf-8")
    main()
    assert draws.read_text(encoding="utf-8") == before  # saved, and so not drawn again
    # A draw whose line was cut short is repeated.
    draws.write_text(before[:-100], encoding="utf-8")
    main()
    first, second = draws.read_text(encoding="utf-8").splitlines()
    assert first == before[:-100]
    old, new = json.loads(before), json.loads(second)
    assert old | {"seconds": 0} == new | {"seconds": 0}
    # So is a draw of other estimators, unless `keep` is set.
    case = replace(next(c for c in CASES if c.name == "markov"), draws={200_000: 1})
    draws.write_text(before.replace(old["estimators"], "0" * 12), encoding="utf-8")
    assert Draws(tmp_path / "work").load(case, 200_000) == {}
    assert list(Draws(tmp_path / "work", keep=True).load(case, 200_000)) == [0]


def test_a_partial_run_does_not_replace_the_published_tables(tmp_path, monkeypatch):
    published = Path(calibration.__file__).parent.parent / "calibration.md"
    before = published.read_bytes() if published.exists() else None
    monkeypatch.setattr(
        sys, "argv", ["calibration", "--smoke", "--only", "independent, 2 types", "--workers", "1",
                      "--work", str(tmp_path)],
    )  # fmt: skip
    main()
    assert (tmp_path / "report" / "calibration.md").exists()
    assert before == (published.read_bytes() if published.exists() else None)


def test_languages_of_text_are_summarised(tmp_path):
    rng = np.random.default_rng(0)
    words = rng.integers(0, 40, (60, 30)).astype(np.uint16)
    words[:, 1::2] = (words[:, ::2] * 7 + 1) % 40  # every second token follows from the one before
    text = ngramstat.Corpus.from_arrays(
        words.reshape(-1), vocab_size=40, document_ends=np.arange(30, 1801, 30)
    )
    world = NgramLanguage(text, 2)
    rows = [text_languages.measure(world, 20_000, k, smallest=True) for k in range(2)]
    json.dumps(rows, allow_nan=False)
    summary = text_languages._summary(rows)
    assert summary["brackets"] == 12
    assert summary["covered"] + summary["low_above"] + summary["high_below"] == 12
    assert summary["resolved_covered"] <= summary["resolved"]
    # H_n is constant beyond the order of the language, and brackets hold it.
    assert summary["exact"][1] == pytest.approx(summary["exact"][5])
    assert summary["covered"] >= 10
    head = {"text": "planted", "order": 2, "tokens": 20_000}
    lines = text_languages.markdown([{**head, **summary}])
    assert f"{summary['covered']} of 12" in lines[-1]
