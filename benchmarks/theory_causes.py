"""Worlds whose cause a corpus does not show: what commands of single theories measured there.

Part of `python -m benchmarks.theory_table`. A command is run where its result is not in the folder
of the table's work yet; that of hierarchies, which takes longest, is among the results here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["CAUSES", "Cause", "cause_rows", "interval", "section"]

HIERARCHIES = Path(__file__).resolve().parent / "results" / "hierarchies.json"
# How far simulated spectra may be from planar theory, and the toy's exponent from one third.
_SPECTRUM, _THIRD = 0.05, 0.02

Row = dict[str, Any]


@dataclass(frozen=True)
class Cause:
    """A command of one theory.

    Attributes
    ----------
    command : str
    result : str
        The file that it writes.
    rows : function of its contents
        Rows of the table: theory, world, learner, predicted, measured, and whether both agree;
        None where that is judged elsewhere.
    """

    command: str
    result: str
    rows: Callable[[dict[str, Any]], list[Row]]


def interval(exponent: dict[str, Any]) -> str:
    """An exponent with its interval, or that it is refused."""
    if not exponent["reportable"]:
        return "refused"
    return f"{exponent['value']:.3f} [{exponent['low']:.3f}, {exponent['high']:.3f}]"


def _row(theory: str, world: str, learner: str, predicted: str, measured: str,
         agrees: bool | None) -> Row:  # fmt: skip
    return {
        "theory": theory, "world": world, "learner": learner, "predicted": predicted,
        "measured": measured, "agrees": agrees,
    }  # fmt: skip


def _hierarchies(known: dict[str, Any]) -> list[Row]:
    rules = {"none": "equal rules", "bottom": "power-law rules on the lowest level"}
    rows = [
        _row(
            "horizon, exact entropies of its levels", rules[curve["skewed"]],
            "counts classes, last token", f"{np.mean(curve['exact']):.3f}",
            interval(curve["exponent"]), None,
        )
        for curve in known["last_tokens"] if curve["skewed"] in rules
    ]  # fmt: skip
    deepest = max(curve["depth"] for curve in known["labels"])
    return rows + [
        _row(
            "power-law rules, a / (1 + a)",
            f"a = {curve['zipf_a']:g}, v = {curve['symbols']}, {deepest} levels",
            "counts classes, labels",
            f"{curve['theory']:.3f}; {curve['theory_in_window']:.3f} with so many rules",
            interval(curve["exponent"]), None,
        )
        for curve in known["labels"] if curve["depth"] == deepest
    ]  # fmt: skip


def _giant_cluster(known: dict[str, Any]) -> list[Row]:
    (giant,) = (r for r in known["regimes"] if r["name"] == "one giant cluster")
    sampled = giant["sampled"]
    return [
        _row(
            "percolation, 2 / D", f"one critical cluster of {known['settings']['sites']:,} sites",
            giant["learner"], f"{giant['predicted']:.3f}; {giant['exact_slope']:.3f} with so many "
            "sites", interval(sampled), sampled["low"] <= giant["exact_slope"] <= sampled["high"],
        )
    ]  # fmt: skip


def _one_third(known: dict[str, Any]) -> list[Row]:
    exponent = known["exponent"]
    near = exponent["reportable"] and abs(exponent["value"] - 1 / 3) < _THIRD
    return [
        _row(
            "one-third law, of training time",
            f"peaked targets, temperature {known['settings']['temperature']:g}",
            "linear student, gradient descent", f"{1 / 3:.3f}", interval(exponent),
            bool(known["law_holds"] and near),
        )
    ]  # fmt: skip


def _solvable(known: dict[str, Any]) -> list[Row]:
    settings = known["settings"]
    return [
        _row(
            "solvable model, planar theory",
            f"{settings['latents']} latents, {settings['source']}",
            f"{settings['features']} {one['feature_map']} features",
            "the spectrum beyond the latents",
            f"within {one['off']:.1%} of it, exponent {one['slope']:.3f}",
            one["off"] < _SPECTRUM,
        )
        for one in known["maps"] if one["off"] is not None
    ]  # fmt: skip


CAUSES = (
    Cause("ngramstat theories hierarchies -o hierarchies", "hierarchies.json", _hierarchies),
    Cause("ngramstat theories percolation -o percolation.json", "percolation.json", _giant_cluster),
    Cause("ngramstat theories one-third -o one-third.json", "one-third.json", _one_third),
    Cause("ngramstat theories solvable -o solvable.json", "solvable.json", _solvable),
)


def cause_rows(work: Path, run: Callable[[str, Path], None]) -> list[Row]:
    """The rows of all commands, each run in the folder `work` where its result is not there."""
    rows: list[Row] = []
    for cause in CAUSES:
        path = HIERARCHIES if cause.result == HIERARCHIES.name else work / cause.result
        if not path.exists():
            run(cause.command, work)
        found = cause.rows(json.loads(path.read_text()))
        rows += [row | {"command": cause.command} for row in found]
    return rows


def section(rows: list[Row]) -> list[str]:
    """The rows as a section of the page."""
    lines = [
        "## Worlds whose cause a corpus does not show",
        "",
        "What these theories need is known where the world is made, and not from its tokens. Each",
        "row is of the command of its theory ([what it measures](../docs/theory.md)).",
        "",
        "| theory | world | learner | predicted | measured |",
        "|---|---|---|---|---|",
    ]
    fields = ("theory", "world", "learner", "predicted", "measured")
    lines += ["| " + " | ".join(row[field] for field in fields) + " |" for row in rows]
    commands = dict.fromkeys(row["command"] for row in rows)
    return [*lines, "", "```console", *(f"$ {command}" for command in commands), "```", ""]
