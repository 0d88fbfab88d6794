"""The limit on resident memory: temporary files, released pages, plans, and refusals."""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import ngramstat
from designs import design_of
from ngramstat import _core
from ngramstat.cli import main
from ngramstat.corpus.corpus_writer import CorpusWriter
from ngramstat.covariance.options import CorrelationOptions
from ngramstat.entropy.options import EntropyOptions
from ngramstat.errors import InputError
from ngramstat.index.ngram_index import NgramIndex
from ngramstat.kernels import token_counts
from ngramstat.ngram_models.kneser_ney import KneserNeyModel
from ngramstat.ngram_models.mixture.model import MixtureModel
from ngramstat.runtime.resources import anonymous_bytes
from ngramstat.runtime.workspace import Workspace
from ngramstat.stages.plan import make_plan
from ngramstat.stages.runner import stages_of

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and uses Linux's madvise")


def test_small_arrays_are_in_memory_and_large_ones_in_unlinked_files(tmp_path):
    workspace = Workspace(memory_limit=1_000_000, directory=tmp_path / "run")
    with workspace.temporary_array(1000, np.uint16) as small:
        assert not isinstance(small, np.memmap)
    with workspace.temporary_array((500, 1000), np.uint32) as large:
        assert isinstance(large, np.memmap)
        large[:] = np.arange(500_000).reshape(500, 1000)
        assert list((tmp_path / "run").iterdir()) == []
        assert int(large.sum(dtype=np.uint64)) == 500_000 * 499_999 // 2


def test_a_full_disk_is_reported_before_anything_is_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    workspace = Workspace(memory_limit=1000, directory=tmp_path)
    no_room = pytest.raises(InputError, match=r"no room for a temporary file of 2,000 bytes")
    with no_room, workspace.temporary_array(1000, np.uint16):
        pass


def test_systems_without_fallocate_write_the_space_they_need(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    monkeypatch.setattr("ngramstat.runtime.workspace._BLOCK_BYTES", 700)
    workspace = Workspace(memory_limit=1000, directory=tmp_path)
    with workspace.temporary_array(1000, np.uint16) as array:
        assert isinstance(array, np.memmap)
        assert array.shape == (1000,)
        array[:] = 7
        assert np.all(array == 7)


@LINUX
def test_pages_of_a_file_are_released_when_too_many_are_resident(tmp_path):
    size = 60_000_000
    np.full(size, 3, np.uint16).tofile(tmp_path / "tokens.bin")
    tokens = np.memmap(tmp_path / "tokens.bin", np.uint16, mode="r")
    before = _core.rss_bytes()
    expected = token_counts(tokens, 5, threads=2)
    grown = _core.rss_bytes() - before
    assert grown > 1.5 * size  # nearly all of the file, 2 bytes per token
    workspace = Workspace(2, memory_limit=before + 30_000_000)
    with workspace.managing(tokens, np.zeros(10)):  # arrays in memory are ignored
        assert np.array_equal(token_counts(tokens, 5, threads=2), expected)
        assert np.array_equal(token_counts(tokens, 5, threads=2), expected)
    assert _core.rss_bytes() - before < grown / 2
    # No longer managed.
    assert np.array_equal(token_counts(tokens, 5, threads=2), expected)
    assert _core.rss_bytes() - before > 1.5 * size


@LINUX
def test_pages_changed_by_copy_on_write_are_never_released(tmp_path):
    np.zeros(1_000_000, np.uint16).tofile(tmp_path / "tokens.bin")
    tokens = np.memmap(tmp_path / "tokens.bin", np.uint16, mode="c")
    tokens[:] = 2
    with Workspace(memory_limit=1).managing(tokens):
        assert token_counts(tokens, 3, threads=2).tolist() == [0, 0, 1_000_000]
        assert token_counts(tokens, 3, threads=2).tolist() == [0, 0, 1_000_000]


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other allocators may keep freed memory"
)
@pytest.mark.parametrize(
    "trim",
    [
        lambda resident: Workspace().trim_heap(),
        lambda resident: Workspace(memory_limit=resident).trim_heap_if_short(),
    ],
    ids=["without-a-limit", "short"],
)
def test_memory_freed_between_blocks_in_use_is_returned(trim):
    blocks = [np.ones(50_000, np.uint8) for _ in range(2000)]
    del blocks[::2]
    before = _core.rss_bytes()
    # Where there is room it is kept.
    for limit in (None, 1 << 40):
        Workspace(memory_limit=limit).trim_heap_if_short()
        assert _core.rss_bytes() > before - 25_000_000
    trim(before)
    assert _core.rss_bytes() < before - 25_000_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    directory = tmp_path_factory.mktemp("potts")
    runner = CliRunner()
    run = runner.invoke(
        main,
        ["synthesize", "potts", "--levels", "10", "--tokens", "1.5e6", "-o",
         str(directory / "corpus"), "--quiet"],
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    return directory / "corpus"


MEASURE = """
import sys
from ngramstat.cli import main
from ngramstat.runtime.resources import peak_rss_bytes
try:
    main()
finally:
    print(peak_rss_bytes(), file=sys.stderr)
"""


def measured(corpus: Path, output: Path, limit: int, *options: str) -> dict[str, Any]:
    """The result of a run in a process of its own, which keeps its memory limit."""
    child = subprocess.run(
        [sys.executable, "-c", MEASURE, "measure", str(corpus), "-o", str(output), "--memory-limit",
         str(limit), "--threads", "2", "--quiet", *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    assert int(child.stderr.strip().splitlines()[-1]) <= limit
    result: dict[str, Any] = json.loads((output / "run.json").read_text())
    return result


def planned(corpus: Path, limit: int, *options: str) -> dict[str, Any]:
    """The plan of such a run, also from a process of its own, whatever it says."""
    child = subprocess.run(
        [sys.executable, "-m", "ngramstat", "plan", str(corpus), "--memory-limit", str(limit),
         "--threads", "2", "--json", *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    plan: dict[str, Any] = json.loads(child.stdout)
    for stage in plan["stages"]:
        assert stage["memory_bytes"] <= max(limit, stage["least_memory_bytes"])
    return plan


def assert_planned(run: dict[str, Any], plan: dict[str, Any]) -> None:
    """Every stage took about the memory of the plan."""
    peaks = {stage["name"]: stage["peak_rss_bytes"] for stage in run["provenance"]["stages"]}
    for stage in plan["stages"]:
        name = stage["name"]
        # A plan grows no trees: how deep they get it tells from the frequencies of the tokens, on
        # these random ones a quarter too low, and so it may take more trees at a time than fit.
        rel = 0.35 if name == "H(n) mixture" else 0.2
        assert stage["memory_bytes"] == pytest.approx(peaks[name], rel=rel), name


def written_text(directory: Path, size: int, vocab_size: int) -> Path:
    """A corpus with frequencies as of words, whose every third token is that of two before."""
    rng = np.random.default_rng(1)
    tokens = np.minimum(rng.pareto(0.8, size) * 3, vocab_size - 1).astype(np.uint16)
    again = np.flatnonzero(rng.random(size - 2) < 1 / 3)
    tokens[again + 2] = tokens[again]
    with CorpusWriter(directory / "corpus", vocab_size) as writer:
        writer.write_equal(tokens, 5_000)
        writer.finish()
    return directory / "corpus"


@LINUX
def test_a_small_limit_is_kept_as_planned_and_changes_no_number(tmp_path):
    """A small limit splits every step; the results stay equal."""
    corpus = written_text(tmp_path, 5_000_000, 500)
    small = 160 << 20
    options = (
        "--lags", "3", "--replicates", "99", "--max-context", "3", "--predictor", "kneser-ney",
        "--held-out", "0.01", "--learning-sizes", "2",
    )  # fmt: skip
    plan = planned(corpus, small, *options)
    assert plan["fits"]
    counts = next(stage for stage in plan["stages"] if stage["name"] == "H(n) counts")
    assert counts["passes"] > 2  # in several steps
    run = measured(corpus, tmp_path / "small", small, *options)
    assert_planned(run, plan)
    large = measured(corpus, tmp_path / "large", 8 << 30, *options)
    for part in ("correlations", "entropies"):
        assert run[part] == large[part]


@LINUX
def test_pages_of_a_large_corpus_stay_below_a_small_limit(tmp_path):
    """Where the system maps 2 MB of a file at a touch, its pages come in within a millisecond."""
    corpus, limit = written_text(tmp_path, 40_000_000, 5_000), 256 << 20
    child = subprocess.run(
        [sys.executable, "-c", MEASURE, "correlations", str(corpus), "--lags", "1,16",
         "--no-sequential", "--threads", "2", "--memory-limit", str(limit), "--quiet", "-o",
         str(tmp_path / "run.json")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    assert int(child.stderr.strip().splitlines()[-1]) <= limit


@LINUX
@pytest.mark.nightly
@pytest.mark.parametrize("predictor", ["kneser-ney", "mixture"])
def test_small_limits_are_kept_or_refused_on_a_larger_text(tmp_path, predictor):
    """From 256 MB on, a run stays below its limit or names one that is enough."""
    corpus = written_text(tmp_path, 8_000_000, 5_000)
    options = ("--lags", "1,16", "--predictor", predictor)
    for megabytes in (256, 300, 400, 1024):
        limit = megabytes << 20
        plan = planned(corpus, limit, *options)
        if not plan["fits"]:
            with pytest.raises(InputError, match=r"needs .* the limit is"):
                ngramstat.measure(
                    ngramstat.Corpus.open(corpus),
                    memory_limit=limit, lags=[1, 16], predictor=predictor,
                )  # fmt: skip
            limit = round(1.03 * max(s["least_memory_bytes"] for s in plan["stages"]))
            plan = planned(corpus, limit, *options)
        run = measured(corpus, tmp_path / f"run-{megabytes}", limit, *options)
        assert_planned(run, plan)


def test_a_limit_that_is_too_small_is_refused_with_the_memory_needed(corpus):
    with pytest.raises(InputError, match=r"H\(n\) held out needs [\d.]+ [MG]B .*limit is 20 MB"):
        ngramstat.measure(ngramstat.Corpus.open(corpus), memory_limit=20_000_000)
    run = CliRunner().invoke(main, ["plan", str(corpus), "--memory-limit", "20000000"])
    assert run.exit_code == 2
    assert "of memory, the limit is 20 MB" in run.output


def test_a_plan_has_the_stages_of_the_run(corpus):
    run = CliRunner().invoke(main, ["plan", str(corpus), "--memory-limit", "6G", "--json"])
    assert run.exit_code == 0, run.output
    plan = json.loads(run.output)
    names = ["C(t)", "H(n) counts", "H(n) held out", "H(n) mixture"]
    assert [stage["name"] for stage in plan["stages"]] == names
    assert plan["fits"]
    assert plan["memory_bytes"] <= 6 << 30
    assert plan["seconds"] > 0
    for stage in plan["stages"]:
        assert stage["seconds"] >= 0
        assert min(stage["passes"], stage["memory_bytes"]) > 0
        assert stage["disk_bytes"] == 0


def test_less_memory_means_more_passes_and_files(corpus):
    opened = ngramstat.Corpus.open(corpus)
    options = CorrelationOptions(lags=(1, 2, 4)), EntropyOptions(predictor="kneser-ney")
    small_limit = anonymous_bytes() + (200 << 20)
    large, small = (
        make_plan(
            opened, stages_of(design_of(opened), *options), Workspace(2, limit), timed=False
        ).to_dict()
        for limit in (8 << 30, small_limit)
    )
    assert large["seconds"] is None
    for tight, ample in zip(small["stages"], large["stages"], strict=True):
        assert tight["passes"] >= ample["passes"]
        # Above the limit only where that is refused.
        assert tight["memory_bytes"] <= max(small_limit, tight["least_memory_bytes"])
        assert tight["least_memory_bytes"] == pytest.approx(ample["least_memory_bytes"], rel=0.2)


@LINUX
@pytest.mark.parametrize("limit", ["1k", "8M"])
@pytest.mark.parametrize("function", ["ngrams", "cooccurrence", "index", "model", "mixture"])
def test_a_limit_below_the_process_itself_is_refused(tmp_path, function, limit):
    tokens = np.zeros(100_000, np.uint16)
    work = {
        "ngrams": lambda: ngramstat.ngrams(tokens, 2, memory_limit=limit),
        "cooccurrence": lambda: ngramstat.cooccurrence(tokens, window=2, memory_limit=limit),
        "index": lambda: NgramIndex.build(tokens, tmp_path / "index", memory_limit=limit),
        "model": lambda: KneserNeyModel.train(tokens, memory_limit=limit),
        "mixture": lambda: MixtureModel.train(tokens, memory_limit=limit),
    }
    message = r"memory_limit: \S+M is too little, as this process already takes \d+M; .* \d+0M$"
    with pytest.raises(InputError, match=message) as caught:
        work[function]()
    assert not (tmp_path / "index").exists()
    if function == "ngrams":
        enough = str(caught.value).split()[-1]
        assert len(ngramstat.ngrams(tokens, 2, memory_limit=enough)) == 1
