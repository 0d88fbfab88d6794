"""Every command as a user types it: output, exit codes and one-line errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import ngramstat
from ngramstat.cli import main
from test_covariance_measurement import zipf

SMALL = ["--lags", "1,2,4,8", "--replicates", "50"]
CONTEXT = ["--max-context", "2", "--replicates", "50", "--held-out", "0.1"]


def run(*arguments: object, code: int = 0):
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def error(*arguments: object, code: int = 2) -> str:
    result = run(*arguments, code=code)
    lines = result.stderr.strip().splitlines()
    assert "Traceback" not in result.output
    assert lines[-1].startswith("Error: ")
    assert len(lines) == 1, lines
    return lines[-1]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A corpus directory made by the tokenize command from text with 60 documents."""
    directory = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(1)
    words = ["".join(rng.choice(list("abcdefgh"), rng.integers(2, 7))) for _ in range(200)]
    with open(directory / "text.jsonl", "w", encoding="utf-8") as file:
        for _ in range(60):
            text = " ".join(words[i] for i in zipf(200, 400, seed=int(rng.integers(1 << 30))))
            file.write(json.dumps({"text": text}) + "\n")
    run("--quiet", "tokenize", directory / "text.jsonl", "-o", directory / "corpus",
        "--vocab-size", "400")  # fmt: skip
    return directory / "corpus"


@pytest.fixture
def raw(tmp_path):
    path = tmp_path / "tokens.bin"
    zipf(50, 5000, seed=2).tofile(path)
    return path


def test_version_and_help():
    assert ngramstat.__version__ in run("--version").output
    listed = run("--help").output
    commands = "tokenize inspect correlations entropies predict measure read quickstart"
    for command in commands.split():
        assert command in listed
        assert "Usage:" in run(command, "--help").output


def test_inspect_describes_a_store(store):
    shown = run("inspect", store).output
    assert "corpus" in shown
    result = json.loads(run("inspect", store, "--json").output)
    corpus = ngramstat.Corpus.open(store)
    assert result["tokens"] == corpus.n_tokens
    assert result["documents"] == 60
    assert result["vocab_size"] == corpus.vocab_size


def test_correlations_and_entropies_write_their_section(store, tmp_path):
    out = tmp_path / "c.json"
    printed = run("--quiet", "correlations", store, *SMALL, "--json", "-o", out).stdout
    assert json.loads(printed) == json.loads(out.read_text())
    loaded = ngramstat.RunResult.load(out)
    assert loaded.correlations.lags.tolist() == [1, 2, 4, 8]
    assert loaded.entropies is None
    out = tmp_path / "e.json"
    run("--quiet", "entropies", store, *CONTEXT, "-o", out)
    loaded = ngramstat.RunResult.load(out)
    assert loaded.entropies.context.tolist() == [0, 1, 2]
    assert loaded.correlations is None


def test_measure_then_predict(store, tmp_path):
    full = run("--quiet", "measure", store, "-o", tmp_path / "run", *SMALL, *CONTEXT, "--full")
    for word in ("beta", "gamma", "alpha", "run.json"):
        assert word in full.output
    assert (tmp_path / "run" / "summary.txt").read_text(encoding="utf-8") in full.stdout
    shown = run("--quiet", "measure", store, "-o", tmp_path / "run", *SMALL, *CONTEXT)
    assert shown.stdout.startswith("ANSWER")
    assert "CONDITIONS" not in shown.stdout
    assert len(shown.stdout) < len(full.stdout) / 2
    for path in (tmp_path / "run", tmp_path / "run" / "run.json"):
        out = run("predict", path, "--tokens", "1e9,1e12", "--json").stdout
        horizon = json.loads(out)["prediction"]["horizon"]
        assert [point["tokens"] for point in horizon] == [1e9, 1e12]
    run("predict", tmp_path / "run", "-o", tmp_path / "p.json")
    assert ngramstat.RunResult.load(tmp_path / "p.json").prediction is not None


def test_global_options_before_or_after_the_command(store):
    def threads(*arguments: str) -> tuple[int, int]:
        data = json.loads(run(*arguments).stdout)
        return data["provenance"]["threads"], data["settings"]["seed"]

    command = ["correlations", str(store), *SMALL, "--json", "--quiet"]
    assert threads("--threads", "2", "--seed", "5", *command) == (2, 5)
    assert threads(*command, "--threads", "3", "--seed", "6") == (3, 6)
    assert threads("--threads", "2", *command, "--threads", "3") == (3, 0)


def test_options_from_the_environment(store, monkeypatch):
    monkeypatch.setenv("NGRAMSTAT_THREADS", "2")
    data = json.loads(run("--quiet", "correlations", store, *SMALL, "--json").stdout)
    assert data["provenance"]["threads"] == 2


@pytest.mark.parametrize(
    ("text", "lags"),
    [
        ("1,2,4", [1, 2, 4]),
        ("4,1,4", [1, 4]),
        ("3:6", [3, 4, 5, 6]),
        ("1:100:3", [1, 10, 100]),
        ("1,10:12", [1, 10, 11, 12]),
    ],
)
def test_ways_to_write_lags(store, text, lags):
    data = json.loads(
        run("--quiet", "correlations", store, "--lags", text, "--replicates", "9", "--json").stdout
    )
    assert data["correlations"]["lags"] == lags


def test_raw_files_take_their_layout_from_options(raw):
    common = ["--quiet", "correlations", raw, *SMALL, "--json"]
    data = json.loads(run(*common, "--dtype", "uint16", "--vocab-size", "50").stdout)
    assert data["corpus"]["vocab_size"] == 50
    assert data["corpus"]["tokens"] == 5000
    data = json.loads(run(*common, "--dtype", "uint16", "--separator", "3").stdout)
    assert data["corpus"]["separator"] == 3
    assert data["corpus"]["documents"] > 10


def test_json_output_has_no_nan(store, tmp_path):
    run("--quiet", "measure", store, "-o", tmp_path / "run", *SMALL, *CONTEXT)
    text = (tmp_path / "run" / "run.json").read_text()

    def refuse(name: str) -> float:
        raise AssertionError(name)

    json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["correlations", "no-such-corpus"], ["no-such-corpus"]),
        (["correlations", "RAW"], ["tokens.bin", "--dtype"]),
        (["correlations", "RAW", "--dtype", "float32"], ["float32"]),
        (["correlations", "RAW", "--dtype", "uint16", "--vocab-size", "10"],
         ["tokens.bin", "at position", "vocab_size 10"]),
        (["entropies", "RAW", "--dtype", "uint16", "--vocab-size", "10"],
         ["tokens.bin", "at position", "vocab_size 10"]),
        (["correlations", "RAW", "--dtype", "uint16", "--boundary", "document"],
         ["tokens.bin", "--separator"]),
        (["correlations", "RAW", "--dtype", "uint16", "--lags", "0,3"], ["lag 0"]),
        (["correlations", "RAW", "--dtype", "uint16", "--lags", "many"], ["'many'"]),
        (["correlations", "RAW", "--dtype", "uint16", "--lags", "1:9:0"], ["'1:9:0'", "COUNT"]),
        (["correlations", "RAW", "--dtype", "uint16", "--lags", "5000"], ["lag 5000"]),
        (["correlations", "RAW", "--dtype", "uint16", "--memory-limit", "lots"], ["lots"]),
        (["correlations", "RAW", "--dtype", "uint16", "--threads", "0"], ["threads=0"]),
        (["entropies", "RAW", "--dtype", "uint16", "--max-context", "99"], ["max_context=99"]),
        (["entropies", "RAW", "--dtype", "uint16", "--held-out", "7"], ["held-out fraction 7"]),
        (["entropies", "RAW", "--dtype", "uint16", "--held-out", "nothing-here"],
         ["nothing-here"]),
        (["predict", "no-such-run"], ["no-such-run"]),
        (["predict", "UNFINISHED"], ["unfinished", "ngramstat measure"]),
        (["measure", "HUGE", "-o", "OUT"], ["huge.npy", "4000000000", "dtype"]),
        (["measure", "RAW", "--dtype", "uint16"], ["--output"]),
        (["measure", "RAW", "--dtype", "uint16", "-o", "OUT", "--tokens", "-5"], ["-5"]),
        (["measure", "RAW", "--dtype", "uint16", "-o", "OUT", "--tokens", ","], ["','"]),
        (["nonsense"], ["nonsense"]),
        (["predict", "RAW"], ["tokens.bin"]),
        (["inspect", "EMPTY"], ["empty.bin", "empty"]),
        (["inspect", "ODD", "--dtype", "uint16"], ["odd.bin"]),
        (["tokenize", "no-such-text", "-o", "OUT"], ["no-such-text"]),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else None,
)  # fmt: skip
def test_bad_input_gets_one_line_that_names_it(arguments, words, raw, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.bin").write_bytes(b"")
    (tmp_path / "odd.bin").write_bytes(b"abc")
    np.save(tmp_path / "huge.npy", np.array([1, 4_000_000_000], dtype=np.uint32))
    (tmp_path / "begun" / "parts").mkdir(parents=True)
    paths = {"RAW": raw, "EMPTY": "empty.bin", "ODD": "odd.bin", "OUT": "out",
             "HUGE": "huge.npy", "UNFINISHED": "begun"}  # fmt: skip
    message = error("--quiet", *(paths.get(a, a) for a in arguments))
    for word in words:
        assert word in message, message


def test_a_run_is_not_written_into_a_corpus(store):
    message = error("--quiet", "measure", store, "-o", store, *SMALL, "--overwrite")
    assert "is a corpus" in message


def test_inspect_reports_a_probably_wrong_dtype(tmp_path):
    zipf(50, 5000, seed=2).astype(np.uint32).tofile(tmp_path / "wide.bin")
    result = json.loads(run("inspect", tmp_path / "wide.bin", "--dtype", "uint16", "--json").output)
    assert result["problems"] == ["every second id is 0: are these uint32 tokens, read as uint16?"]


def test_predict_needs_both_halves(store, tmp_path):
    run("--quiet", "correlations", store, *SMALL, "-o", tmp_path / "c.json")
    assert "has no entropies" in error("predict", tmp_path / "c.json")


def test_an_unwritable_output_is_named(store, tmp_path):
    message = error("--quiet", "correlations", store, *SMALL, "-o", tmp_path / "no" / "such.json")
    assert "such.json" in message


def test_a_damaged_run_is_refused(tmp_path):
    (tmp_path / "run.json").write_text('{"schema": "ngramstat.run/1", "norm": NaN}')
    assert "run.json" in error("predict", tmp_path / "run.json")


def test_quickstart_on_a_small_library(tmp_path, monkeypatch):
    """The real command over a stand-in for the standard library."""
    library = tmp_path / "lib"
    library.mkdir()
    rng = np.random.default_rng(4)
    for i in range(120):
        body = "\n".join(f"value_{j} = {int(rng.integers(1000))}" for j in range(80))
        (library / f"module_{i}.py").write_text(body, encoding="utf-8")
    (library / "latin.py").write_bytes(b"# caf\xe9\n")
    (library / "test").mkdir()
    (library / "test" / "left_out.py").write_text("x = 1\n")
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": str(library)})
    shown = run("quickstart", "-o", tmp_path / "q", "--full")
    assert "120 files" in shown.stderr
    assert "latin.py" in shown.stderr
    for word in ("beta", "gamma", "alpha", "run.json"):
        assert word in shown.output
    loaded = ngramstat.RunResult.load(tmp_path / "q" / "run" / "run.json")
    assert loaded.corpus["documents"] == 120
    # Again: resumes from the existing output.
    run("--quiet", "quickstart", "-o", tmp_path / "q")


def test_a_restricted_vocabulary_is_shown_next_to_the_norms(store, tmp_path):
    shown = run(
        "--quiet", "correlations", store, *SMALL, "--vocab-top", "50", "-o", tmp_path / "c.json"
    ).stdout
    result = ngramstat.RunResult.load(tmp_path / "c.json")
    assert result.settings["vocab_top"] == 50
    cut = result.correlations.vocab_cut
    assert cut.top == 50
    assert "Restricted to the 50 most frequent vocabulary items" in shown
    assert f"{100 * cut.dropped_mass:.1f}% of the tokens" in " ".join(shown.split())
    assert "cut, at most +" in shown
    assert (cut.bound >= 0).all()


def test_numbers_in_the_summary_are_those_of_the_json(store, tmp_path):
    shown = run("--quiet", "correlations", store, *SMALL, "-o", tmp_path / "c.json").stdout
    result = ngramstat.RunResult.load(tmp_path / "c.json").correlations
    rows = [line.split() for line in shown.splitlines()]
    table = {row[0]: row for row in rows if len(row) > 5 and row[-1] in ("yes", "no")}
    for lag, norm in zip(result.lags, result.norm, strict=True):
        # Printed in thousandths with at least three digits.
        assert float(table[str(lag)][1]) == pytest.approx(1000 * norm, rel=5e-3)
