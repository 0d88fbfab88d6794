"""The command of the slow checks: what it says of steps that pass and fail."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SCRIPT = REPOSITORY / ".ci" / "nightly.py"


@pytest.fixture
def nightly(monkeypatch, tmp_path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("nightly", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "nightly", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "BUILD", tmp_path)
    return module


def table_of(nightly: ModuleType, monkeypatch, capsys, steps: dict) -> tuple[list[str], int]:
    monkeypatch.setattr(nightly, "STEPS", steps)
    monkeypatch.setattr(sys, "argv", ["nightly.py", "--jobs", "1"])
    with pytest.raises(SystemExit) as end:
        nightly.main()
    return capsys.readouterr().out.strip().splitlines()[-len(steps) :], end.value.code


def test_a_failed_step_is_named_and_the_others_run(nightly, monkeypatch, capsys, tmp_path):
    def compile_badly(shell) -> str:
        text = "../a.cpp:1:2: error: x\\n  ../a.cpp:1:2: error: x\\nb.cpp:3:4: warning: y\\n"
        shell.run(sys.executable, "-c", f"print('{text}'); raise SystemExit(1)")
        return "not reached"

    def miss_a_tool(shell) -> str:
        return shell.run("no-such-compiler")

    def say(shell) -> str:
        return shell.run(sys.executable, "-c", "print(7)").strip()

    steps = {"one": compile_badly, "two": miss_a_tool, "three": say}
    rows, code = table_of(nightly, monkeypatch, capsys, steps)
    assert [row.split("min")[0].split()[:2] for row in rows] == [
        ["one", "FAILED"], ["two", "FAILED"], ["three", "passed"],
    ]  # fmt: skip
    assert [row.split("min  ")[1] for row in rows] == [
        "2 findings, such as ../a.cpp:1:2: error: x", "no-such-compiler is not installed", "7",
    ]  # fmt: skip
    assert code == 1
    assert "b.cpp:3:4: warning: y" in (tmp_path / "nightly" / "one.log").read_text()
    _, code = table_of(nightly, monkeypatch, capsys, {"three": say})
    assert code == 0


def test_coverage_is_added_up_by_folder(nightly, tmp_path):
    site = tmp_path / "site"
    python = {"runtime/a.py": (3, 4), "cli/model/b.py": (1, 6)}
    of_python = {
        f"{site}/ngramstat/{name}": {"summary": {"covered_lines": ran, "num_statements": total}}
        for name, (ran, total) in python.items()
    }
    cpp = {"include/ngramstat/pairs/x.hpp": (2, 2), "src/pairs/x.cpp": (1, 2)}
    of_cpp = [
        {"filename": f"csrc/{name}", "line_covered": ran, "line_total": total}
        for name, (ran, total) in cpp.items()
    ]
    (tmp_path / "python.json").write_text(json.dumps({"files": of_python}))
    (tmp_path / "cpp.json").write_text(json.dumps({"files": of_cpp}))
    lines = {
        **nightly._python_lines(tmp_path / "python.json", site),
        **nightly._cpp_lines(tmp_path / "cpp.json"),
    }
    assert lines == {
        "python": (4, 10), "python/ngramstat/runtime": (3, 4), "python/ngramstat/cli": (1, 6),
        "csrc": (3, 4), "csrc/pairs": (3, 4),
    }  # fmt: skip
    assert "| csrc/pairs | 4 | 75.0% |" in nightly._coverage_table(lines)


def test_every_step_is_in_the_guide_and_others_are_refused():
    guide = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "nonsense"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    for step in ("asan", "tsan", "clang", "tidy", "coverage", "slow"):
        assert f"'{step}'" in done.stderr
        assert f"\n| `{step}` |" in guide
