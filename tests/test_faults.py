"""The campaign of benchmarks/faults, in little, and what it counts as bad."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the campaign needs fork")


def campaign(work: Path, *options: str) -> str:
    command = [sys.executable, "-m", "benchmarks.faults", "--work", str(work), "--quick", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_world_survives_kills_full_disks_and_rivals(tmp_path):
    shown = campaign(tmp_path, "--only", "synthesize")
    rows = {
        line.split("|")[1].strip(): line.split("|")[2:-1] for line in shown.splitlines() if line
    }
    assert {"killed", "disk full", "two processes", "all"} <= rows.keys()
    assert int(rows["all"][0]) >= 8
    assert [int(cell) for cell in rows["all"][2:]] == [0, 0, 0, 0, 0]
    # What is done is not done again.
    cases = (tmp_path / "cases.jsonl").read_text()
    assert campaign(tmp_path, "--only", "synthesize") == shown
    assert (tmp_path / "cases.jsonl").read_text() == cases


@pytest.mark.nightly
def test_several_commands_and_damaged_files(tmp_path):
    campaign(tmp_path)


def test_what_differs_from_a_clean_run_is_seen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY))
    from benchmarks.faults.states import Reference, state_of

    for name in ("clean", "again", "bad"):
        (tmp_path / name / "out").mkdir(parents=True)
        (tmp_path / name / "out" / "run.json").write_text(
            f'{{"provenance": "{name}", "value": {2 if name == "bad" else 1}}}'
        )
        (tmp_path / name / "time.txt").write_text(name)
    (tmp_path / "bad" / "out" / ".run.json.0123456789abcdef.tmp").touch()
    (tmp_path / "bad" / "time.txt").unlink()
    clean, again, bad = (state_of(tmp_path / name) for name in ("clean", "again", "bad"))
    reference = Reference(clean, again)
    assert reference.wrong(again) == reference.left_over(again) == reference.missing(again) == []
    assert reference.wrong(bad) == ["out/run.json"]
    assert reference.left_over(bad) == ["out/.run.json.0123456789abcdef.tmp"]
    assert reference.missing(bad) == ["time.txt"]
