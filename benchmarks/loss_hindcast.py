"""Coverage and width of the bands of expected losses, on loss curves whose ends are withheld.

    python -m benchmarks.loss_hindcast [--choose] [--add RUN.json --text NAME]

Every prefix of five sizes or more of every curve in loss_curves.json is continued: trained models'
to 2, 4 and 8 times the tokens of its largest size, counted learners' to 2 and 4 times. `--choose`
also chooses the prior anew for every group of curves, from the other groups alone (the narrowest
bands that hold 95 % of their cases), and prints the coverage on the group left out.
`--add` adds the learning curves of an `entropies` run to the file (one curve for each context).
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ngramstat.exponents.loss_extrapolation import CURVE_PRIOR, CurvePrior, extrapolated_losses

CURVES = Path(__file__).with_name("loss_curves.json")
SMALLEST_PREFIX = 5
# "copies": counted learners on text with many near copies, where the bands are known to fail.
FACTORS = {"trained": (2, 4, 8), "counted": (2, 4), "copies": (2, 4)}
# Sizes of counted curves are sums of documents; the paper's largest is 1.97 times the one before.
_TOLERANCE = 1.2
_LEVEL = 0.95

# Candidates of `--choose`; what they share with CURVE_PRIOR is not varied.
_DRIFTS = (0.05, 0.08, 0.11)
_DRIFT_ERRORS = (0.05, 0.08)
_WANDERS = (0.012, 0.018, 0.027)
_NOISES = (0.0035, 0.005, 0.007)


@dataclass(frozen=True)
class Case:
    """A prefix of a curve, and one later loss."""

    group: str
    kind: str
    name: str
    sizes: int
    factor: int
    tokens: Sequence[float]
    losses: Sequence[float]
    target: float
    truth: float


@dataclass(frozen=True)
class Outcome:
    """The band of a case: whether it holds the truth, and half its relative width."""

    case: Case
    inside: bool
    half_width: float
    error: float


def cases(curves: Sequence[dict[str, Any]]) -> list[Case]:
    """All prefixes with the later losses near a multiple of their largest size."""
    out = []
    for curve in curves:
        p, y = curve["tokens"], curve["losses"]
        for m, factor in itertools.product(range(SMALLEST_PREFIX, len(p)), FACTORS[curve["kind"]]):
            for target, truth in zip(p[m:], y[m:], strict=True):
                if 1 / _TOLERANCE < target / p[m - 1] / factor < _TOLERANCE:
                    out.append(
                        Case(curve["group"], curve["kind"], curve["name"], m, factor, p[:m], y[:m],
                             target, truth)
                    )  # fmt: skip
    return out


def outcome(case: Case, prior: CurvePrior = CURVE_PRIOR) -> Outcome:
    """The band that the losses of the prefix give to the later one."""
    band = extrapolated_losses(case.tokens, case.losses, [case.target], level=_LEVEL, prior=prior)
    low, loss, high = float(band.low[0]), float(band.loss[0]), float(band.high[0])
    return Outcome(
        case,
        low <= case.truth <= high,
        (high - low) / 2 / loss,
        loss / case.truth - 1,
    )


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Coverage and widths by kind of curve and factor, and by group."""
    rows = ["| curves | tokens ahead | cases | inside | half width (median) | largest | error |",
            "|---|---|---|---|---|---|---|"]  # fmt: skip

    def row(name: str, factor: str, chosen: Sequence[Outcome]) -> str:
        widths = [o.half_width for o in chosen]
        inside = 100 * float(np.mean([o.inside for o in chosen]))
        error = math.sqrt(float(np.mean([o.error**2 for o in chosen])))
        return (
            f"| {name} | {factor} | {len(chosen)} | {inside:.1f} % "
            f"| {100 * float(np.median(widths)):.1f} % | {100 * max(widths):.1f} % "
            f"| {100 * error:.1f} % |"
        )

    for kind, factors in FACTORS.items():
        for factor in factors:
            chosen = [o for o in outcomes if (o.case.kind, o.case.factor) == (kind, factor)]
            if chosen:
                rows.append(row(kind, f"{factor} x", chosen))
    return rows + [
        row(group, "all", [o for o in outcomes if o.case.group == group])
        for group in sorted({o.case.group for o in outcomes})
    ]


def candidates() -> list[CurvePrior]:
    return [
        CurvePrior(
            drift=(drift, error),
            wander=(math.log(wander), CURVE_PRIOR.wander[1]),
            noise=(math.log(noise), CURVE_PRIOR.noise[1]),
            slope=CURVE_PRIOR.slope,
        )
        for drift, error, wander, noise in itertools.product(
            _DRIFTS, _DRIFT_ERRORS, _WANDERS, _NOISES
        )
    ]


def leave_one_group_out(found: Sequence[Case]) -> tuple[list[Outcome], list[str]]:
    """Bands of every group with the prior chosen on the others, and what was chosen."""
    priors = candidates()
    # Contexts of one text are nearly one curve: every group counts as much.
    weight = {case.group: 1 / sum(c.group == case.group for c in found) for case in found}
    all_outcomes = [[outcome(case, prior) for case in found] for prior in priors]
    kept, notes = [], []
    for group in sorted(weight):
        others = [[o for o in outcomes if o.case.group != group] for outcomes in all_outcomes]
        inside = [_mean([o.inside for o in chosen], chosen, weight) for chosen in others]
        width = [_mean([o.half_width for o in chosen], chosen, weight) for chosen in others]
        # Where no candidate holds 95 %: those that hold the most.
        enough = np.array(inside) >= min(_LEVEL, max(inside))
        best = int(np.argmin(np.where(enough, width, np.inf)))
        kept += [o for o in all_outcomes[best] if o.case.group == group]
        prior = priors[best]
        notes.append(
            f"without {group}: drift {prior.drift[0]:g} ± {prior.drift[1]:g}, wander "
            f"{math.exp(prior.wander[0]):.4f}, noise {math.exp(prior.noise[0]):.3f}"
        )
    return kept, notes


def _mean(values: Sequence[float], outcomes: Sequence[Outcome], weight: dict[str, float]) -> float:
    return float(np.average(values, weights=[weight[o.case.group] for o in outcomes]))


def curves_of_run(path: Path, text: str) -> list[dict[str, Any]]:
    """The learning curves of a run's entropies, contexts 1 and up."""
    entropies = json.loads(path.read_text())["entropies"]
    curve = entropies["learning_curve"]
    return [
        {
            "name": f"{text}, n = {n}", "group": text, "kind": "counted", "source": "Kneser-Ney",
            "tokens": curve["tokens"], "losses": [round(row[k], 5) for row in curve["held_out"]],
        }
        for k, n in enumerate(entropies["context"]) if n >= 1
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--choose", action="store_true", help="leave-one-group-out choice of prior")
    parser.add_argument("--add", type=Path, help="run.json or output of `entropies`")
    parser.add_argument("--text", help="name of its text")
    arguments = parser.parse_args()
    curves = json.loads(CURVES.read_text())["curves"] if CURVES.exists() else []
    if arguments.add is not None:
        curves = [c for c in curves if c["group"] != arguments.text]
        curves += curves_of_run(arguments.add, arguments.text)
        write_curves(curves)
    found = cases(curves)
    outcomes = [outcome(case) for case in found]
    print(f"{len(curves)} curves, {len(found)} cases, bands at {100 * _LEVEL:g} %\n")
    print("\n".join(table(outcomes)))
    for o in outcomes:
        if not o.inside:
            print(
                f"outside: {o.case.name}, {o.case.sizes} sizes, {o.case.factor} x: "
                f"error {100 * o.error:+.1f} %, half width {100 * o.half_width:.1f} %"
            )
    if arguments.choose:
        kept, notes = leave_one_group_out([case for case in found if case.kind != "copies"])
        print("\nPrior chosen without the group that is continued\n")
        print("\n".join([*table(kept), "", *notes]))


def write_curves(curves: Sequence[dict[str, Any]]) -> None:
    """One curve a line."""
    lines = ",\n".join("  " + json.dumps(curve) for curve in curves)
    CURVES.write_text('{"curves": [\n' + lines + "\n]}\n")


if __name__ == "__main__":
    main()
