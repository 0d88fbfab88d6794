"""Learning curves on sources without any power law, and the exponents that are refused there.

    python -m benchmarks.graphs --work DIR [--text CORPUS] [--only NAME ...]
                                [--steps curves,refusals,models] [--budget 600] [--report]

Walks on Erdős–Rényi and Barabási–Albert graphs and biased walks, of the sizes of Barkeshli et al.
(arXiv 2601.10684), and the bigram, trigram and 4-gram languages of CORPUS (a corpus directory; a
few million tokens suffice): losses of the counted learner and of a small transformer above the
exact entropy rate, and what `measure` reports. Every curve and every draw is a file in --work as
soon as it is there: an interrupted run resumes. Writes results/graphs.json, graphs.md and
graphs.png in benchmarks/ (below --work if only some cases are drawn).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.graphs.cases import CASES, Case
from benchmarks.graphs.curves import learning_curve
from benchmarks.graphs.models import model_curve
from benchmarks.graphs.refusals import measure_draw
from benchmarks.graphs.report import draw_figure, markdown
from ngramstat.errors import InputError

HERE = Path(__file__).resolve().parent.parent
STEPS = ("curves", "refusals", "models")


def _kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a file holds; it is made first if it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(make(), ensure_ascii=False, allow_nan=False)
        part = path.with_suffix(".part")
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(path)
        print(path, file=sys.stderr, flush=True)
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def _draws(cases: list[Case], text: Path | None, work: Path, most: int | None) -> None:
    """Measure draw after draw, the first of every case before the second of any."""
    for draw in range(max(case.refusal_draws for case in cases)):
        for case in cases:
            if draw < min(case.refusal_draws, case.refusal_draws if most is None else most):
                path = work / "refusals" / case.name / f"{draw}.json"
                _kept(path, lambda case=case, draw=draw: measure_draw(case, text, draw))  # type: ignore[misc]


def _collected(cases: list[Case], work: Path) -> dict[str, list[dict[str, Any]]]:
    """All that is there."""
    found: dict[str, list[dict[str, Any]]] = {step: [] for step in STEPS}
    for case in cases:
        for step in ("curves", "models"):
            path = work / step / f"{case.name}.json"
            if path.exists():
                found[step].append(json.loads(path.read_text(encoding="utf-8")))
        paths = sorted((work / "refusals" / case.name).glob("*.json"), key=lambda p: int(p.stem))
        if paths:
            draws = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
            found["refusals"].append({"case": case.name, "draws": draws})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--text", type=Path, help="corpus directory for the n-gram languages")
    parser.add_argument("--only", action="append", help="name of a case; may be repeated")
    parser.add_argument("--steps", default=",".join(STEPS), help="some of curves,refusals,models")
    parser.add_argument(
        "--budget", type=float, default=600.0, help="seconds for one source's transformers"
    )
    parser.add_argument("--draws", type=int, help="at most this many measured draws of each case")
    parser.add_argument("--report", action="store_true", help="write what is there, run nothing")
    options = parser.parse_args()
    cases = [c for c in CASES if options.only is None or c.name in options.only]
    if not cases:
        parser.error(f"--only: cases are {'; '.join(c.name for c in CASES)}")
    work, text = options.work, options.text
    steps = [] if options.report else options.steps.split(",")
    if "curves" in steps:
        for case in cases:
            path = work / "curves" / f"{case.name}.json"
            _kept(path, lambda case=case: learning_curve(case, text))  # type: ignore[misc]
    if "refusals" in steps:
        _draws(cases, text, work, options.draws)
    if "models" in steps:
        for case in (c for c in cases if c.models):
            path = work / "models" / f"{case.name}.json"
            try:
                _kept(path, lambda case=case: model_curve(case, text, work, options.budget))  # type: ignore[misc]
            except InputError as error:  # no size fits the budget, on a machine with other work
                print(f"{case.name}: no transformer was trained: {error}", file=sys.stderr)
    found = _collected(cases, work)
    output = HERE if options.only is None else work / "report"
    (output / "results").mkdir(parents=True, exist_ok=True)
    result = json.dumps(found, ensure_ascii=False, indent=1, allow_nan=False)
    (output / "results" / "graphs.json").write_text(result + "\n", encoding="utf-8")
    page = markdown(found["curves"], found["models"], found["refusals"])
    (output / "graphs.md").write_text(page, encoding="utf-8")
    draw_figure(found["curves"], found["models"], output / "graphs.png")
    print(f"{output / 'graphs.md'}: {len(found['curves'])} curves, {len(found['models'])} models")


if __name__ == "__main__":
    main()
