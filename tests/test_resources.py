"""Atomic files, strict JSON, resource limits and progress."""

from __future__ import annotations

import errno
import hashlib
import io
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime import progress, resources
from ngramstat.runtime.files import atomic_write, read_json, sha256_array, sha256_file, write_json
from ngramstat.runtime.progress import Progress
from ngramstat.runtime.resources import parse_memory_limit, resolve_threads

# --- files -------------------------------------------------------------------------------------


def test_atomic_write_replaces_the_file_and_respects_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_atomic_write_leaves_the_old_file_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with atomic_write(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NgramstatError, match=r"a\.json: writing failed: No space") as caught:
        write_json(tmp_path / "a.json", {"a": 1})
    assert not isinstance(caught.value, InputError)
    assert list(tmp_path.iterdir()) == []


def test_atomic_write_follows_links_and_refuses_directories(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"")
    link.symlink_to(real)
    with atomic_write(link) as file:
        file.write(b"x")
    assert link.is_symlink()
    assert real.read_bytes() == b"x"
    with pytest.raises(InputError, match="not a regular file"), atomic_write(tmp_path):
        pass
    with pytest.raises(InputError, match="cannot be written"), atomic_write(tmp_path / "no" / "a"):
        pass


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e999",
        '{"a":1,"a":2}',
        "",
        "{",
        "[" * 100_000,
        "1" * 5000,
    ],
    ids=lambda text: text[:12],
)
def test_read_json_refuses(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"a\.json"):
        read_json(path)


def test_read_json_refuses_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(InputError, match="No such file"):
        read_json(path)
    path.write_bytes(b'"\xff"')
    with pytest.raises(InputError, match="not UTF-8 at byte 1"):
        read_json(path)
    path.write_bytes(b"1" * 100)
    with pytest.raises(InputError, match="100 bytes"):
        read_json(path, max_bytes=10)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        read_json(tmp_path / "pipe")  # must not block
    with pytest.raises(InputError, match="is a directory"):
        read_json(tmp_path)
    with pytest.raises(InputError):
        read_json("a\0b")


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), {1, 2}, "\ud800"])
def test_write_json_refuses(tmp_path: Path, value: object) -> None:
    with pytest.raises(NgramstatError):
        write_json(tmp_path / "a.json", {"a": value})
    assert list(tmp_path.iterdir()) == []


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc\u00e9"), inner),
    max_leaves=8,
)


@given(_JSON)
def test_json_round_trip(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.getbasetemp() / "round.json"
    write_json(path, value)
    assert read_json(path) == value


def test_sha256(tmp_path: Path) -> None:
    array = np.arange(1 << 20, dtype=np.uint16)
    array.tofile(tmp_path / "a")
    expected = hashlib.sha256(array.tobytes()).hexdigest()
    assert sha256_array(array) == sha256_file(tmp_path / "a") == expected
    assert sha256_array(array[:0]) == hashlib.sha256(b"").hexdigest()


# --- resources ---------------------------------------------------------------------------------


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fake /sys/fs/cgroup, with this process in /job/step (version 2) and /old (version 1)."""
    membership = tmp_path / "membership"
    membership.write_text("0::/job/step\n5:cpu,cpuacct:/old\n4:memory:/old\n")
    root = tmp_path / "cgroup"
    for name in ("job/step", "cpu/old", "memory/old"):
        (root / name).mkdir(parents=True)
    monkeypatch.setattr(resources, "_CGROUP_ROOT", root)
    monkeypatch.setattr(resources, "_CGROUP_MEMBERSHIP", membership)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    return root


def test_threads_are_the_minimum_of_all_limits(
    cgroup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve_threads(None) == 16
    (cgroup / "job" / "cpu.max").write_text("max 100000\n")
    assert resolve_threads(None) == 16
    (cgroup / "cpu" / "old" / "cpu.cfs_quota_us").write_text("1000000\n")
    (cgroup / "cpu" / "old" / "cpu.cfs_period_us").write_text("100000\n")
    assert resolve_threads(None) == 10
    (cgroup / "job" / "cpu.max").write_text("650000 100000\n")
    assert resolve_threads(None) == 7
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert resolve_threads(None) == 3
    (cgroup / "job" / "step" / "cpu.max").write_text("20000 100000\n")
    assert resolve_threads(None) == 1
    assert resolve_threads(5) == 5


@pytest.mark.parametrize("garbage", ["", "max", "x y", "-1 0", "0 0", "\xff"])
def test_unreadable_limits_are_ignored(
    cgroup: Path, monkeypatch: pytest.MonkeyPatch, garbage: str
) -> None:
    (cgroup / "job" / "cpu.max").write_text(garbage)
    (cgroup / "job" / "memory.max").write_text(garbage)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "many")
    assert resolve_threads(None) == 16
    assert resources.available_memory_bytes() > 0


@pytest.mark.parametrize("threads", [0, -1, 5000, True])
def test_resolve_threads_refuses(threads: int) -> None:
    with pytest.raises(InputError, match="threads"):
        resolve_threads(threads)


def test_memory_limits(cgroup: Path) -> None:
    (cgroup / "memory" / "old" / "memory.limit_in_bytes").write_text(f"{1 << 62}\n")
    physical = resources.available_memory_bytes()
    (cgroup / "job" / "memory.max").write_text("1000000\n")
    assert physical > 1_000_000
    assert parse_memory_limit("80%") == parse_memory_limit(None) == 800_000
    assert parse_memory_limit("0.5 %") == 5000
    assert parse_memory_limit("16G") == 16 << 30
    assert parse_memory_limit("512m") == 512 << 20
    assert parse_memory_limit("1.5 GiB") == 3 << 29
    assert parse_memory_limit("2KB") == 2048
    assert parse_memory_limit("123") == parse_memory_limit(123) == parse_memory_limit("123B") == 123


@pytest.mark.parametrize(
    "limit", ["", "0", "0%", "101%", "G", "16X", "-1", "1e9", "nan", "80%%", "0.1", True, "\u0661G"]
)
def test_memory_limit_refuses(limit: str) -> None:
    with pytest.raises(InputError, match="memory limit"):
        parse_memory_limit(limit)


def test_peak_rss_counts_bytes() -> None:
    peak = resources.peak_rss_bytes()
    assert peak is not None
    # A Python process with NumPy needs tens of MiB, so the unit is neither KiB nor pages.
    assert 10 << 20 < peak < 1 << 40


# --- progress ----------------------------------------------------------------------------------


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_without_a_terminal_there_is_a_line_every_ten_seconds(
    clock: _Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(4_000_000, "Count", unit="B") as bar:
        for _ in range(40):
            clock.now += 1
            bar.advance(100_000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Count: 1 M of 4 MB (25%), 0:10 elapsed, 0:30 left"
    assert lines[-1] == "Count: 4 M of 4 MB (100%), 0:40 elapsed"
    assert len(lines) == 5


def test_short_or_silenced_work_shows_nothing(
    clock: _Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(10, "Count") as bar:
        bar.advance(10)
    with Progress(10, "Count", enabled=False) as bar:
        clock.now += 100
        bar.advance(10)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_there_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_DELAY_SECONDS", 0)
    with Progress(10, "Count") as bar:
        bar.advance(4)
        bar.advance_to(3)  # ignored
        bar.advance_to(10)
    assert "Count" in terminal.getvalue()
    assert "10.0/10.0" in terminal.getvalue()
