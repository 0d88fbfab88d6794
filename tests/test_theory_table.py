"""The table of theories, worlds and learners: what it calls a surprise, and what it shows."""

from __future__ import annotations

import pytest

from benchmarks.theory_table import WORLDS, best_row, cell, page, surprises


def row(agreement: str | None, value: float | None = 0.5) -> dict:
    exponent = {"value": value, "low": 0.4, "high": 0.6, "reportable": value is not None}
    return {"agreement": agreement, **exponent}


def found_of(**theories: dict) -> dict:
    names = {
        "horizon": row("indeterminate", None), "horizon, finite P": row("inconsistent"),
        "hilberg": row("indeterminate", None), "heaps, k=1": row("inconsistent", 0.1),
        "quanta, k=1": row("consistent"), "quanta, k=2": row("inconsistent"),
        "missing mass, k=1": row("consistent"), "spectrum of tokens": row("inconsistent", 1.0),
    }  # fmt: skip
    return {
        "world": "quanta", "learner": "remembers quanta", "measured": row(None),
        "commands": ["ngramstat theories run"], "theories": names | theories,
    }  # fmt: skip


def test_a_theory_that_has_to_agree_and_one_that_must_not():
    world = WORLDS[0]
    assert surprises(world, found_of()) == []
    missed = found_of(**{"quanta, k=1": row("inconsistent")})
    assert surprises(world, missed) == ["quanta, remembers quanta: quanta, k=1 does not agree"]
    wrong = found_of(**{"spectrum of tokens": row("consistent")})
    assert surprises(world, wrong) == ["quanta, remembers quanta: spectrum of tokens agrees"]


def test_cells_show_the_row_that_agrees():
    found = found_of(**{"quanta, k=1": row("inconsistent"), "quanta, k=2": row("consistent", 0.45)})
    assert best_row(found, "quanta")["name"] == "quanta, k=2"
    assert cell(found, "quanta") == "**0.450 [0.400, 0.600] (k=2)**"
    assert cell(found, "heaps") == "0.100 [0.400, 0.600] (k=1)"
    # The slope at finite P is another row, of raw losses.
    assert cell(found, "horizon") == "refused"


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: f"{world.name}, {world.learner}")
def test_no_theory_has_to_agree_and_must_not(world):
    assert {name.split(",")[0] for name in world.wins}.isdisjoint(world.loses)


def test_the_page_has_a_row_and_the_commands_of_every_world():
    text = page([found_of()])
    (line,) = (line for line in text.splitlines() if line.startswith("| quanta, remembers"))
    assert line.count("|") == 9
    assert "$ ngramstat theories run" in text
