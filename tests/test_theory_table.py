"""The table of theories, worlds and learners: what it calls a surprise, and what it shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import theory_table
from benchmarks.theory_causes import CAUSES, cause_rows, section
from benchmarks.theory_table import (
    WORLDS,
    best_row,
    cell,
    chosen_worlds,
    judged,
    page,
    surprises,
)


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
    lacking = [world for world in WORLDS if world.text]
    text = page([found_of()], [], lacking)
    (line,) = (line for line in text.splitlines() if line.startswith("| quanta, remembers"))
    assert line.count("|") == 9
    assert "$ ngramstat theories run" in text
    assert "Left out, as no text was given (`--corpora DIR`): bigram language" in text
    assert "Left out" not in page([found_of()], [], [])


def test_worlds_of_a_text_need_the_text():
    worlds, lacking = chosen_worlds([], None)
    assert [world.name for world in lacking] == [
        "bigram language of TinyStories", "trigram language of TinyStories",
    ]  # fmt: skip
    assert [*worlds, *lacking] == list(WORLDS)
    assert chosen_worlds([], Path("texts")) == (list(WORLDS), [])
    assert chosen_worlds(["quanta"], None) == ([WORLDS[0]], [])


class Written:
    """In place of the tool: remembers its commands, and writes what the table reads."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def __call__(self, command: str, folder: Path) -> None:
        self.commands.append(command)
        words = command.split()
        target = folder / words[words.index("-o") + 1]
        if "tokenize" in command:
            write(target / "corpus.json", {})
        elif "synthesize" in command:
            exact = {"document": {"entropy": [5.0, 4.0, 3.0]}}
            write(target / "truth.json", {"entropies": exact})
        elif "measure" in command:
            held_out = [[5.0, 4.5, 4.0], [5.0, 4.25, 3.5]]
            write(target / "run.json", {"entropies": {
                "learning_curve": {"tokens": [1e4, 1e5], "held_out": held_out}}})  # fmt: skip
        else:
            measured = {"name": "curves, known limit", "kind": "measured", "agreement": ""}
            write(target, {"rows": [measured | {"exponent": row(None)}]})


def write(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_languages_of_a_text_share_it_and_are_not_measured_twice(tmp_path, monkeypatch):
    written = Written()
    monkeypatch.setattr(theory_table, "ngramstat", written)
    texts = tmp_path / "my texts"
    bigrams, trigrams = (world for world in WORLDS if world.text)
    found = judged(bigrams, tmp_path, texts)
    assert found["limit"] == 4.0
    assert found["losses"] == [(1e4, 4.5), (1e5, 4.25)]
    # The tool is told where the text is, the page not.
    assert f"'{texts}'/tinystories/stories.jsonl.xz" in written.commands[0]
    assert found["commands"][0].startswith("ngramstat tokenize CORPORA/tinystories/stories")
    assert len(found["commands"]) == 4
    deeper = judged(trigrams, tmp_path, texts)
    assert deeper["limit"] == 3.0
    assert deeper["losses"] == [(1e4, 4.0), (1e5, 3.5)]
    assert "--context 2 --limit 3 " in deeper["commands"][-1]
    assert sum("tokenize" in command for command in written.commands) == 1
    known = len(written.commands)
    assert judged(bigrams, tmp_path, texts) == found
    assert len(written.commands) == known


def test_worlds_that_differ_in_the_learner_share_a_folder():
    folders = {(world.synthesize, world.measure): world.folder for world in WORLDS}
    assert len(set(folders.values())) == len(folders) == len(WORLDS) - 1


def test_commands_of_single_theories_are_rows(tmp_path):
    sampled = {"value": 0.53, "low": 0.5, "high": 0.56, "reportable": True}
    giant = {"name": "one giant cluster", "learner": "answers", "predicted": 0.5,
             "exact_slope": 0.52, "sampled": sampled}  # fmt: skip
    third = {"value": 0.36, "low": 0.35, "high": 0.37, "reportable": True}
    maps = [{"feature_map": "linear", "off": None, "slope": None},
            {"feature_map": "relu", "off": 0.009, "slope": 1.16}]  # fmt: skip
    results = {
        "percolation.json": {"regimes": [giant], "settings": {"sites": 131072}},
        "one-third.json": {"exponent": third, "law_holds": True, "settings": {"temperature": 1e-4}},
        "solvable.json": {
            "maps": maps,
            "settings": {"latents": 64, "features": 256, "source": "s"},
        },
    }
    ran = []

    def run(command, folder):
        ran.append(command)
        name = command.split()[-1]
        write(folder / name, results[name])

    rows = cause_rows(tmp_path, run)
    assert ran == [cause.command for cause in CAUSES[1:]]
    by_theory = {row["theory"].split(",")[0]: row for row in rows}
    assert by_theory["percolation"]["measured"] == "0.530 [0.500, 0.560]"
    assert by_theory["percolation"]["agrees"] is True
    # Off by more than .02: not the law, whatever the interval.
    assert by_theory["one-third law"]["agrees"] is False
    assert by_theory["solvable model"]["measured"] == "within 0.9% of it, exponent 1.160"
    assert by_theory["solvable model"]["agrees"] is True
    assert by_theory["power-law rules"]["agrees"] is None
    text = "\n".join(section(rows))
    assert text.count("\n| ") == len(rows) + 1
    for cause in CAUSES:
        assert f"$ {cause.command}" in text
    ran.clear()
    assert cause_rows(tmp_path, run) == rows
    assert ran == []
    giant["exact_slope"] = 0.6
    write(tmp_path / "percolation.json", results["percolation.json"])
    again = {row["theory"]: row["agrees"] for row in cause_rows(tmp_path, run)}
    assert again["percolation, 2 / D"] is False
