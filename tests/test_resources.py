"""Atomic files, strict JSON, resource limits and progress."""

from __future__ import annotations

import errno
import hashlib
import io
import math
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

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


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), {1, 2}])
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


@pytest.mark.parametrize("threads", [0, -1, 5000, True, 1.5, "a"])
def test_resolve_threads_refuses(threads: Any) -> None:
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


def lefts(text: str) -> list[tuple[float, float]]:
    """Seconds elapsed and seconds left of every line that states both."""
    found = re.findall(r"(\d+):(\d\d) elapsed, (\d+):(\d\d) left", text)
    return [(60.0 * int(a) + int(b), 60.0 * int(c) + int(d)) for a, b, c, d in found]


def worst(text: str, total: float, since: float) -> float:
    """Largest factor by which a stated time left is wrong after `since` seconds."""
    stated = [(at, left) for at, left in lefts(text) if since <= at <= total - 20]
    assert stated
    return max(max(left / (total - at), (total - at) / left) for at, left in stated)


_RNG = np.random.default_rng(0)
_UNEQUAL = _RNG.uniform(0.6, 1.4, 60)


@pytest.mark.parametrize(
    ("preparation", "work", "seconds"),
    [
        (0.0, np.ones(400), np.ones(400)),
        # Parts of very different sizes, which the work states, at a speed that varies.
        (0.0, 2.0 ** (np.arange(60) % 7), 2.0 ** (np.arange(60) % 7) * _UNEQUAL),
        # Parts of unknown unequal cost.
        (0.0, np.ones(200), 5 * _RNG.uniform(0.2, 1.8, 200)),
        # A preparation of a third of the time before the first unit.
        (200.0, np.ones(400), np.ones(400)),
        # The speed falls to a half.
        (0.0, np.ones(400), np.where(np.arange(400) < 20, 2.0, 1.0)),
    ],
    ids=["equal", "sizes", "unequal", "preparation", "slow start"],
)
def test_the_time_left_is_right_within_a_factor_of_one_and_a_half(
    preparation: float,
    work: NDArray[np.float64],
    seconds: NDArray[np.float64],
    clock: _Clock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    total = preparation + float(seconds.sum())
    done = np.cumsum(work) / work.sum()
    tenth = preparation + float(np.cumsum(seconds)[np.argmax(done >= 0.1)])
    with Progress(float(work.sum()), "Count") as bar:
        clock.now += preparation
        for amount, took in zip(work, seconds, strict=True):
            clock.now += took
            bar.advance(amount)
    assert worst(capsys.readouterr().err, total, tenth) < 1.5


def test_what_an_earlier_call_has_done_takes_no_time(
    clock: _Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(1000, "Count") as bar:
        bar.skip(700)
        for k in range(200):
            clock.now += 1
            bar.advance(1)
            if k == 100:
                bar.skip(100)
    lines = capsys.readouterr().err
    assert "Count: 710 of 1,000 it (71%), 0:10 elapsed, 4:50 left" in lines
    # After 150 seconds and both skips, 50 remain.
    assert "0:50 left" in lines.splitlines()[14]


def test_the_bar_shows_the_same_time_left(clock: _Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    pace = progress.Pace()
    for k in range(1000):
        # Ten times as fast from the hundredth unit on.
        pace.note(float(k), float(k) if k < 100 else 100 + (k - 100) / 10)
    assert pace.rate() == pytest.approx(10)
    assert pace.seconds_left(1999) == pytest.approx(100)
    assert len(pace._points) <= pace._MAX_POINTS
    bar = progress._make_bar(1999, "Count", "it", pace)
    bar.n = 999
    text = bar.format_meter(**bar.format_dict)
    bar.close()
    assert "01:40" in text


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
