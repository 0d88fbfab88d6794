"""`ngramstat validate` as a whole: verdict, files, resuming, refusals."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs torch: pip install 'ngramstat[torch]'")

import ngramstat  # noqa: E402
from ngramstat.cli import main  # noqa: E402
from ngramstat.errors import InputError  # noqa: E402
from ngramstat.prediction.curve_files import read_curves  # noqa: E402
from ngramstat.results import ValidationResult  # noqa: E402
from ngramstat.synthetic import MarkovChain, RandomHierarchy, synthesize  # noqa: E402

SMALL = ["--size", "0.1M", "--contexts", "8", "--sizes", "1000,2000,4000,8000", "--trials", "1",
         "--no-capacity", "--held-out", "2000", "--tuning", "1000"]  # fmt: skip


@pytest.fixture(autouse=True)
def few_epochs(monkeypatch):
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
    actual = json.loads(result.stdout)
    assert actual == json.loads((out / "validation.json").read_text())
    assert actual["schema"] == "ngramstat.validation/1"
    # A chain has no power law to predict from.
    assert actual["outcome"] == "indeterminate"
    assert actual["runs"]["done"] == 4
    assert actual["runs"]["left_out"] == 0
    assert [p["tokens"] for p in actual["losses"]] == [1000, 2000, 4000, 8000]
    assert all(p["on_envelope"] and p["low"] < p["loss"] < p["high"] for p in actual["losses"])
    assert [c["name"] for c in actual["comparisons"]] == ["raw", "limit"]
    assert actual["provenance"]["devices"] == ["cpu"]
    loaded = ValidationResult.load(out / "validation.json")
    assert loaded.to_dict() == actual
    assert "indeterminate" in repr(loaded)

    # Curves are what `predict --curves` reads, and the means of what was measured.
    table = read_curves(out / "curves-gpt2-T8.csv")
    assert set(table.context.tolist()) == set(range(8))
    largest = table.loss[table.tokens == 8000]
    assert largest.mean() == pytest.approx(actual["losses"][-1]["loss"], rel=1e-6)
    assert (out / "losses.png").read_bytes()[:4] == b"\x89PNG"
    assert "VERDICT  indeterminate" in (out / "summary.txt").read_text()
    assert max(map(len, (out / "summary.txt").read_text().splitlines())) <= 100

    # Again: nothing is trained, the numbers are the same.
    times = {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*")}
    again = invoke(*call, "--json")
    assert {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*")} == times
    repeated = json.loads(again.stdout)
    for name in ("losses", "comparisons", "gates", "outcome", "meaning"):
        assert repeated[name] == actual[name]


def test_the_corpus_is_measured_without_a_measured_run(chain, tmp_path):
    out = tmp_path / "v"
    result = invoke(chain / "corpus", "-o", out, "--contexts", "8", "--sizes", "1000,2000",
                    "--trials", "1", "--no-capacity", "--held-out", "1000")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (out / "measured-0" / "run.json").exists()


def test_a_hierarchy_world_is_compared_with_its_known_exponents(tmp_path):
    world = RandomHierarchy(v=6, m=2, s=2, levels=3, zipf_a=0.5)
    synthesize(world, tmp_path / "rhm", tokens=8 * 4000, seed=1)
    for targets in ("last", "class"):
        out = tmp_path / targets
        result = invoke(
            tmp_path / "rhm", "-o", out, "--targets", targets, "--sizes", "800,1600,3200,6400",
            "--trials", "1", "--no-capacity", "--held-out", "4000", "--tuning", "2000", "--json",
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        actual = json.loads(result.stdout)
        assert actual["settings"]["contexts"] == [9 if targets == "class" else 8]
        losses = [p["loss"] for p in actual["losses"]]
        assert losses[-1] < losses[0]
        names = [c["name"] for c in actual["comparisons"]]
        assert names == ["known limit" if targets == "last" else "classification error"]
        assert actual["known"]["alpha" if targets == "last" else "classification"]


def test_several_models_and_contexts_share_an_envelope(chain, tmp_path):
    result = ngramstat.validate(
        ngramstat.Corpus.open(chain / "corpus"), output=tmp_path / "v", measured=chain / "run",
        models=("gpt2", "llama"), contexts=(4, 8), sizes=(1000, 2000), trials=1, capacity=False,
        held_out=2000, tuning=1000, threads=1,
    )  # fmt: skip
    assert len(result.losses) == 8
    best = [p for p in result.losses if p.on_envelope]
    for point in best:
        same = [p.loss for p in result.losses if p.tokens == point.tokens]
        assert point.loss == min(same)
    assert sorted(p.tokens for p in best) == [1000, 2000]
    assert result.plot().axes[0].get_xlabel() == "training tokens"


def test_invalid_options_are_refused_in_one_line(chain, tmp_path):
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
