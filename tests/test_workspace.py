"""A limit of resident memory: temporary files, pages let go of, plans, and refusals."""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import ngramstat
from designs import design_of
from ngramstat import _core
from ngramstat.cli import main
from ngramstat.covariance.options import CorrelationOptions
from ngramstat.entropy.options import EntropyOptions
from ngramstat.errors import InputError
from ngramstat.kernels import token_counts
from ngramstat.runtime.resources import anonymous_bytes
from ngramstat.runtime.workspace import Workspace
from ngramstat.stages.plan import make_plan
from ngramstat.stages.runner import stages_of

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and uses Linux's madvise")


def test_small_arrays_are_memory_and_large_ones_files_without_a_name(tmp_path):
    space = Workspace(memory_limit=1_000_000, directory=tmp_path / "run")
    with space.temporary_array(1000, np.uint16) as small:
        assert not isinstance(small, np.memmap)
    with space.temporary_array((500, 1000), np.uint32) as large:
        assert isinstance(large, np.memmap)
        large[:] = np.arange(500_000).reshape(500, 1000)
        assert list((tmp_path / "run").iterdir()) == []
        assert int(large.sum(dtype=np.uint64)) == 500_000 * 499_999 // 2


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    space = Workspace(memory_limit=1000, directory=tmp_path)
    no_room = pytest.raises(InputError, match=r"no room for a temporary file of 2,000 bytes")
    with no_room, space.temporary_array(1000, np.uint16):
        pass


@LINUX
def test_pages_of_a_file_go_when_there_are_too_many(tmp_path):
    size = 60_000_000
    np.full(size, 3, np.uint16).tofile(tmp_path / "tokens.bin")
    tokens = np.memmap(tmp_path / "tokens.bin", np.uint16, mode="r")
    before = _core.rss_bytes()
    expected = token_counts(tokens, 5, threads=2)
    grown = _core.rss_bytes() - before
    assert grown > 1.5 * size  # nearly all of its 2 bytes a token
    space = Workspace(2, memory_limit=before + 30_000_000)
    with space.managing(tokens, np.zeros(10)):  # what is memory is left alone
        assert np.array_equal(token_counts(tokens, 5, threads=2), expected)
        assert np.array_equal(token_counts(tokens, 5, threads=2), expected)
    assert _core.rss_bytes() - before < grown / 2
    # No longer watched.
    assert np.array_equal(token_counts(tokens, 5, threads=2), expected)
    assert _core.rss_bytes() - before > 1.5 * size


@LINUX
def test_copies_on_write_are_never_let_go_of(tmp_path):
    np.zeros(1_000_000, np.uint16).tofile(tmp_path / "tokens.bin")
    tokens = np.memmap(tmp_path / "tokens.bin", np.uint16, mode="c")
    tokens[:] = 2
    with Workspace(memory_limit=1).managing(tokens):
        assert token_counts(tokens, 3, threads=2).tolist() == [0, 0, 1_000_000]
        assert token_counts(tokens, 3, threads=2).tolist() == [0, 0, 1_000_000]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators may not give back")
def test_what_was_freed_between_pieces_in_use_is_given_back():
    pieces = [np.ones(50_000, np.uint8) for _ in range(2000)]
    del pieces[::2]
    before = _core.rss_bytes()
    Workspace().trim_heap()  # without a limit it stays at hand
    assert _core.rss_bytes() > before - 5_000_000
    Workspace(memory_limit=1 << 40).trim_heap()
    assert _core.rss_bytes() < before - 25_000_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    directory = tmp_path_factory.mktemp("potts")
    runner = CliRunner()
    made = runner.invoke(
        main,
        ["synthesize", "potts", "--levels", "10", "--tokens", "1.5e6", "-o",
         str(directory / "corpus"), "--quiet"],
    )  # fmt: skip
    assert made.exit_code == 0, made.output
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


@LINUX
def test_a_run_keeps_its_limit_and_its_numbers(corpus, tmp_path):
    """A small limit cuts every step and sends the texts to files; nothing else changes."""
    peaks, results = {}, {}
    limits = {"free": "8G", "tight": "210M"}
    for name, limit in limits.items():
        child = subprocess.run(
            [sys.executable, "-c", MEASURE, "measure", str(corpus), "-o", str(tmp_path / name),
             "--lags", "1,2,16", "--max-context", "3", "--predictor", "kneser-ney", "--held-out",
             "0.01", "--learning-sizes", "2", "--memory-limit", limit, "--threads", "2", "--quiet"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert child.returncode == 0, child.stderr
        peaks[name] = int(child.stderr.strip().splitlines()[-1])
        results[name] = json.loads((tmp_path / name / "run.json").read_text())
    assert peaks["tight"] <= 210 << 20, peaks
    for part in ("correlations", "entropies"):
        assert results["tight"][part] == results["free"][part]


def test_what_does_not_fit_is_refused_with_the_number(corpus):
    with pytest.raises(InputError, match=r"H\(n\) held out needs [\d.]+ [MG]B .*limit is 20 MB"):
        ngramstat.measure(ngramstat.Corpus.open(corpus), memory_limit=20_000_000)
    shown = CliRunner().invoke(main, ["plan", str(corpus), "--memory-limit", "20000000"])
    assert shown.exit_code == 2
    assert "of memory, the limit is 20 MB" in shown.output


def test_a_plan_has_the_stages_of_the_run(corpus):
    shown = CliRunner().invoke(main, ["plan", str(corpus), "--memory-limit", "6G", "--json"])
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.output)
    names = ["C(t)", "H(n) counts", "H(n) held out", "H(n) learning", "H(n) mixture"]
    assert [stage["name"] for stage in found["stages"]] == names
    assert found["fits"]
    assert found["memory_bytes"] <= 6 << 30
    assert found["seconds"] > 0
    for stage in found["stages"]:
        assert stage["seconds"] >= 0
        assert min(stage["passes"], stage["memory_bytes"]) > 0
        assert stage["disk_bytes"] == 0


def test_less_memory_means_more_passes_and_files(corpus):
    opened = ngramstat.Corpus.open(corpus)
    options = CorrelationOptions(lags=(1, 2, 4)), EntropyOptions(predictor="kneser-ney")
    least = anonymous_bytes() + (200 << 20)
    plenty, little = (
        make_plan(
            opened, stages_of(design_of(opened), *options), Workspace(2, limit), timed=False
        ).to_dict()
        for limit in (8 << 30, least)
    )
    assert plenty["seconds"] is None
    for more, less in zip(little["stages"], plenty["stages"], strict=True):
        assert more["passes"] >= less["passes"]
        assert more["memory_bytes"] <= least
        assert more["least_memory_bytes"] == pytest.approx(less["least_memory_bytes"], rel=0.2)
