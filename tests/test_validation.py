"""`ngramstat validate` as a whole: verdict, files, resuming, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the extra torch")

import ngramstat  # noqa: E402
from ngramstat.cli import main  # noqa: E402
from ngramstat.errors import InputError  # noqa: E402
from ngramstat.prediction.curve_files import read_curves  # noqa: E402
from ngramstat.results import ValidationResult  # noqa: E402
from ngramstat.synthetic import MarkovChain, RandomHierarchy, synthesize  # noqa: E402
from ngramstat.validation import _above, default_sizes  # noqa: E402

SMALL = ["--size", "0.1M", "--contexts", "8", "--sizes", "1000,2000,4000,8000", "--trials", "1",
         "--no-capacity", "--held-out", "2000", "--tuning", "1000"]  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("ngramstat.lm.search._EPOCHS", (1, 1))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A corpus whose exponents must be refused, and a measured run of it."""
    directory = tmp_path_factory.mktemp("chain")
    world = MarkovChain.random(
        vocab_size=20, order=1, concentration=0.3, rules_seed=1, document_length=100
    )
    corpus = synthesize(world, directory / "corpus", tokens=20_000, seed=2)
    ngramstat.measure(
        corpus, output=directory / "run", lags=[1, 2, 4, 8], max_context=2, threads=1,
        predictor="kneser-ney", replicates=99,
    )  # fmt: skip
    return directory


def invoke(*arguments):
    return CliRunner().invoke(main, ["--threads", "1", "--quiet", "validate", *map(str, arguments)])


def test_a_validation_from_end_to_end(chain, tmp_path):
    out = tmp_path / "v"
    call = (chain / "corpus", "-o", out, "--measured", chain / "run", *SMALL)
    result = invoke(*call, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found == json.loads((out / "validation.json").read_text())
    assert found["schema"] == "ngramstat.validation/1"
    # A chain has no power law to predict from.
    assert found["outcome"] == "indeterminate"
    assert found["runs"]["done"] == 4
    assert found["runs"]["left_out"] == 0
    assert [p["tokens"] for p in found["losses"]] == [1000, 2000, 4000, 8000]
    assert all(p["on_envelope"] and p["low"] < p["loss"] < p["high"] for p in found["losses"])
    assert [c["name"] for c in found["comparisons"]] == ["raw", "limit"]
    assert found["provenance"]["devices"] == ["cpu"]
    loaded = ValidationResult.load(out / "validation.json")
    assert loaded.to_dict() == found
    assert "indeterminate" in repr(loaded)

    # Curves are what `predict --curves` reads, and the means of what was measured.
    table = read_curves(out / "curves-gpt2-T8.csv")
    assert set(table.context.tolist()) == set(range(8))
    largest = table.loss[table.tokens == 8000]
    assert largest.mean() == pytest.approx(found["losses"][-1]["loss"], rel=1e-6)
    assert (out / "losses.png").read_bytes()[:4] == b"\x89PNG"
    assert "VERDICT  indeterminate" in (out / "summary.txt").read_text()
    assert max(map(len, (out / "summary.txt").read_text().splitlines())) <= 100

    # Again: nothing is trained, the numbers are the same.
    times = {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*")}
    again = invoke(*call, "--json")
    assert {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*")} == times
    repeated = json.loads(again.stdout)
    for name in ("losses", "comparisons", "gates", "outcome", "meaning"):
        assert repeated[name] == found[name]


def test_a_corpus_that_was_not_measured_is_measured(chain, tmp_path):
    out = tmp_path / "v"
    result = invoke(chain / "corpus", "-o", out, "--contexts", "8", "--sizes", "1000,2000",
                    "--trials", "1", "--no-capacity", "--held-out", "1000")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (out / "measured-0" / "run.json").exists()


def test_a_hierarchy_world_is_compared_with_what_is_known(tmp_path):
    world = RandomHierarchy(v=6, m=2, s=2, levels=3, zipf_a=0.5)
    synthesize(world, tmp_path / "rhm", tokens=8 * 4000, seed=1)
    for targets in ("last", "class"):
        out = tmp_path / targets
        result = invoke(
            tmp_path / "rhm", "-o", out, "--targets", targets, "--sizes", "800,1600,3200,6400",
            "--trials", "1", "--no-capacity", "--held-out", "4000", "--tuning", "2000", "--json",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert found["settings"]["contexts"] == [9 if targets == "class" else 8]
        losses = [p["loss"] for p in found["losses"]]
        assert losses[-1] < losses[0]
        names = [c["name"] for c in found["comparisons"]]
        assert names == ["known limit" if targets == "last" else "classification error"]
        assert found["known"]["alpha" if targets == "last" else "classification"]


def test_several_models_and_contexts_share_an_envelope(chain, tmp_path):
    found = ngramstat.validate(
        ngramstat.Corpus.open(chain / "corpus"), output=tmp_path / "v", measured=chain / "run",
        models=("gpt2", "llama"), contexts=(4, 8), sizes=(1000, 2000), trials=1, capacity=False,
        held_out=2000, tuning=1000, threads=1,
    )  # fmt: skip
    assert len(found.losses) == 8
    best = [p for p in found.losses if p.on_envelope]
    for point in best:
        same = [p.loss for p in found.losses if p.tokens == point.tokens]
        assert point.loss == min(same)
    assert sorted(p.tokens for p in best) == [1000, 2000]
    assert found.plot().axes[0].get_xlabel() == "training tokens $P$"


def test_what_cannot_be_is_refused_in_one_line(chain, tmp_path):
    for arguments, message in (
        (("--sizes", "1e9"), "smaller --sizes"),
        (("--device", "cuda"), "no GPU"),
        (("--device", "cuda:99"), "no GPU"),
        (("--device", "tpu"), "expected cpu"),
        (("--level", "95"), "below 1"),
        (("--contexts", "5000", "--sizes", "9000"), "less than one context"),
        (("--sizes", "1010,1020"), "leave one out"),
        (("--targets", "last", "--contexts", "8"), "follow from"),
        (("--budget", "soon"), "not a duration"),
        (("--models", "mamba"), "mamba"),
        (("--measured", tmp_path / "nowhere"), "nowhere"),
        (("--budget", "0.001s"), "too small for any training set"),
    ):
        if arguments[1] == "cuda" and torch.cuda.is_available():
            continue
        given = [] if "--measured" in arguments else ["--measured", chain / "run"]
        result = invoke(chain / "corpus", "-o", tmp_path / "v", *SMALL, *given, *arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert message in result.stderr
        assert "Traceback" not in result.output


def test_a_run_of_another_corpus_is_refused(chain, tmp_path):
    world = MarkovChain.random(
        vocab_size=8, order=1, concentration=1.0, rules_seed=3, document_length=100
    )
    other = synthesize(world, tmp_path / "other", tokens=8000, seed=1)
    with pytest.raises(InputError, match="another corpus"):
        ngramstat.validate(
            other, output=tmp_path / "v", measured=chain / "run", sizes=(1000,), contexts=(8,)
        )


def test_without_torch_the_command_says_how_to_get_it(chain, tmp_path, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "torch" else find(name, *a)
    )
    result = invoke(chain / "corpus", "-o", tmp_path / "v", *SMALL)
    assert result.exit_code == 1
    assert "pip install 'ngramstat[torch]'" in result.stderr


def test_alpha_of_a_staircase_is_taken_on_the_staircase():
    """Sizes before the lowest level is learnt, and those at the limit, are left out."""
    stairs = [2.0, 1.0, 0.4, 0.16, 0.1]
    p = 1000.0 * 2 ** np.arange(10)
    y = np.concatenate([[1.9, 1.7, 1.3], 0.1 + 0.8 * (p[3:8] / p[3]) ** -0.9, [0.1005, 0.0998]])
    draws = np.random.default_rng(1).normal(y, 0.002, (400, 10))
    found = _above(stairs, p, y, draws, 0.95)
    assert found.value == pytest.approx(0.9, abs=0.02)
    assert found.window == (p[3], p[7])
    assert found.low < 0.9 < found.high
    assert found.alternatives[0].window == (p[0], p[-1])
    assert _above([], p, y, draws, 0.95).value is None


def test_default_sizes_double():
    assert default_sizes(1_000_000) == (100_000, 200_000, 400_000, 800_000)
    assert default_sizes(10) == (100_000,)
    assert np.all(np.diff(np.log2(default_sizes(10**9))) == 1)
