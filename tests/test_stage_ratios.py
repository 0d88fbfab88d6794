"""No stage of a measurement has become twice as slow, beside a plain way of the same job."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.stage_ratios import Case, Example, cases, measure_ratios, stored_ratios

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
# CPU times vary by some ten per cent between rounds on a loaded machine. The smallest count, and a
# stage is measured again while it seems too slow.
_FACTOR, _ROUNDS = 2.0, 8


def spin(seconds: float) -> float:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return seconds


def test_no_stage_has_become_twice_as_slow(tmp_path: Path) -> None:
    """After a change that makes a stage faster: `python -m benchmarks.stage_ratios --write`."""
    pytest.importorskip("tokenizers")
    compared = cases(Example(tmp_path))
    limits = {name: _FACTOR * ratio for name, ratio in stored_ratios(compared).items()}
    found = measure_ratios(compared, rounds=_ROUNDS, limits=limits)
    ratios = {name: ours / plain for name, (ours, plain) in found.items()}
    slow = {name: (ratio, limits[name]) for name, ratio in ratios.items() if ratio >= limits[name]}
    assert slow == {}, "(ratio, limit) by stage"


def test_slow_stages_are_noticed_and_slow_moments_are_not() -> None:
    slow_moments = iter([0.1, 0.1, 0.01])
    rounds: list[str] = []

    def plain() -> float:
        return spin(0.01)

    def twice_slow_then_not() -> float:
        rounds.append("moment")
        return spin(next(slow_moments))

    compared = {
        "slow": Case(lambda: spin(0.04), plain, lambda ours, plain: True),
        "moment": Case(twice_slow_then_not, plain, lambda ours, plain: True),
    }
    found = measure_ratios(compared, rounds=4, limits=dict.fromkeys(compared, 2.0))
    assert found["slow"][0] > 2 * found["slow"][1]
    assert found["moment"][0] < 2 * found["moment"][1]
    assert len(rounds) == 3  # not measured again once it is within its limit


def test_answers_have_to_agree() -> None:
    compared = {"sum": Case(lambda: 1, lambda: 2, lambda ours, plain: ours == plain)}
    with pytest.raises(ValueError, match="sum: the plain way gives 2, ours 1"):
        measure_ratios(compared)


def test_the_table_from_text_to_report_is_that_of_the_committed_results() -> None:
    page = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    result = json.loads((BENCHMARKS / "results" / "end_to_end.json").read_text(encoding="utf-8"))
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import end_to_end; "
        "page, result = json.load(sys.stdin); print(end_to_end.with_table(page, result) == page)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, BENCHMARKS], input=json.dumps([page, result]),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "True\n", "run python benchmarks/end_to_end.py --table"
    # No stage takes less time than the bytes that it has to move at least.
    for stage, least in result["least_bytes"].items():
        assert result["stages"][stage]["seconds"] > least / result["bytes_per_second"]
