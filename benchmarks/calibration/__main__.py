"""Bias, error and coverage of every estimate, measured on worlds whose exact values are known.

    python -m benchmarks.calibration [--work DIR] [--only NAME ...] [--sizes 1e5,1e6]
                                    [--draws N] [--report]

Draws many corpora of each world (`CASES`), measures each as `ngramstat measure` does, and compares
the results with the exact curves. Every draw is saved in --work as soon as it is measured: an
interrupted run resumes where it stopped, and --report only writes the tables again. Draws measured
by other versions of the estimators are repeated, unless --keep is given. Writes calibration.md,
calibration-*.png and results/calibration.json in benchmarks/ (below --work if only some cases or
sizes are drawn, unless --update keeps the published tables of the others). The whole calibration
takes about three hours on two cores; `--smoke` runs every case once on a tiny corpus.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import text_languages
from benchmarks.calibration.cases import CASES, Case
from benchmarks.calibration.draws import Draws, draw_all
from benchmarks.calibration.figures import draw_figures
from benchmarks.calibration.tables import markdown, summarize_case
from benchmarks.text_languages import RESULTS

HERE = Path(__file__).resolve().parent.parent


def summaries_of(cases: list[Case], draws: Draws) -> Iterator[dict[str, Any]]:
    """Summaries of every case and size that has draws."""
    for case in cases:
        for tokens in case.draws:
            rows = list(draws.load(case, tokens).values())
            if rows:
                yield summarize_case(case, tokens, rows)


def _updated(drawn: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The published summaries, with those drawn now in place of older ones."""
    published = json.loads((HERE / "results" / "calibration.json").read_text(encoding="utf-8"))
    tables = {(s["case"], s["tokens"]): s for s in (*published, *drawn)}
    order = [case.name for case in CASES]
    return sorted(tables.values(), key=lambda s: (order.index(s["case"]), s["tokens"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "calibration")
    parser.add_argument("--output", type=Path, help="directory for the tables and figures")
    parser.add_argument("--only", action="append", help="name of a case; may be repeated")
    parser.add_argument("--sizes", help="numbers of tokens, such as 1e5,1e6")
    parser.add_argument("--draws", type=int, help="at most this many draws of each case and size")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", action="store_true", help="use draws of older estimators, too")
    parser.add_argument(
        "--report", action="store_true", help="write the tables of existing draws only"
    )
    parser.add_argument(
        "--update", action="store_true", help="keep the published tables of cases not drawn now"
    )
    parser.add_argument("--smoke", action="store_true", help="every case once, on a tiny corpus")
    options = parser.parse_args()
    cases = [c for c in CASES if options.only is None or c.name in options.only]
    if not cases:
        parser.error(f"--only: cases are {', '.join(c.name for c in CASES)}")
    if options.sizes:
        sizes = [round(float(x)) for x in options.sizes.split(",")]
        cases = [replace(c, draws={n: k for n, k in c.draws.items() if n in sizes}) for c in cases]
    if options.draws is not None:
        cases = [
            replace(c, draws={n: min(k, options.draws) for n, k in c.draws.items()}) for c in cases
        ]
    if options.smoke:
        cases = [replace(c, draws={200_000: 1}) for c in cases]
    draws = Draws(options.work, keep=options.keep)
    if not options.report:
        draw_all(cases, draws, options.workers)
    summaries = list(summaries_of(cases, draws))
    if options.update:
        summaries = _updated(summaries)
    partial = not options.update and (options.smoke or options.only or options.sizes)
    output = options.output or (options.work / "report" if partial else HERE)
    (output / "results").mkdir(parents=True, exist_ok=True)
    result = output / "results" / "calibration.json"
    result.write_text(json.dumps(summaries, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    languages = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
    text = markdown(summaries) + "\n".join(text_languages.markdown(languages)) + "\n"
    (output / "calibration.md").write_text(text, encoding="utf-8")
    draw_figures(summaries, output)
    print(f"{len(summaries)} tables in {output / 'calibration.md'}")


if __name__ == "__main__":
    main()
