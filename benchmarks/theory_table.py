"""Which theory predicts the learning curve of which learner on which world.

    python -m benchmarks.theory_table --work DIR [WORLD ...]

For every world: its corpus (`ngramstat synthesize`), a measurement (`ngramstat measure`), the
losses of a learner whose limit is known, and `ngramstat theories RUN --curves LOSSES --limit L`,
which says of every theory whether its exponent is that of the losses. Worlds that are done are not
done again. Exits with status 1 where a theory that has to agree does not, or one agrees that must
not. Writes benchmarks/results/theory_table.json, and benchmarks/theories.md with its figure.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bars import machine
from ngramstat.theories.solvable import SolvableModel, simulate

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results" / "theory_table.json", HERE / "theories.md"
FIGURE = HERE / "theories.png"
# Families of the panel's rows, in the order of the columns.
THEORIES = ("horizon", "hilberg", "heaps", "quanta", "missing mass", "spectrum of tokens")

# Losses at numbers of tokens, and the limit that they approach.
Curve = tuple[list[tuple[float, float]], float]


@dataclass(frozen=True)
class World:
    """A world, a learner, and what has to come out.

    Attributes
    ----------
    name, learner : str
    synthesize, measure : str
        Arguments of the commands.
    losses : function of (truth, run) to Curve
    wins : tuple of str
        Rows of the panel that have to agree with the losses.
    loses : tuple of str
        Theories of which no row may agree with them.
    """

    name: str
    learner: str
    synthesize: str
    measure: str
    losses: Callable[[dict[str, Any], dict[str, Any]], Curve]
    wins: tuple[str, ...]
    loses: tuple[str, ...]


def memoriser(truth: dict[str, Any], run: dict[str, Any]) -> Curve:
    """Exact losses of the learner that remembers quanta, where it has seen few of them."""
    known = truth["extras"]["memoriser"]
    pairs = zip(known["tokens"], known["loss"], strict=True)
    return [(p, loss) for p, loss in pairs if 100 <= p <= 1e5], 0.0


def random_features(truth: dict[str, Any], run: dict[str, Any]) -> Curve:
    """Simulated ridgeless regression on random features of the one-hot tokens."""
    ranks = np.arange(1.0, 8193.0)
    spectrum = ranks ** -(1.0 + truth["parameters"]["alpha"])
    losses = []
    for samples in (8, 16, 32, 64, 128, 256):
        model = SolvableModel(spectrum / spectrum.sum(), features=8 * samples, samples=samples)
        losses.append((samples, simulate(model, draws=10)[0] * len(spectrum)))
    return losses, 0.0


def counted_pairs(truth: dict[str, Any], run: dict[str, Any]) -> Curve:
    """Held-out losses of counted bigrams, above the exact entropy."""
    curve = run["entropies"]["learning_curve"]
    losses = [(p, row[1]) for p, row in zip(curve["tokens"], curve["held_out"], strict=True)]
    return losses, float(truth["entropies"]["document"]["entropy"][1])


# Of which two learners are compared.
_QUANTA = (
    "quanta --alpha 1 --vocab-size 1048576 --tokens 4e6",
    "--lags 1,2,4,8 --max-context 2 --predictor kneser-ney",
)
WORLDS = (
    World(
        "quanta", "remembers quanta",
        *_QUANTA, memoriser,
        wins=("quanta, k=1", "missing mass, k=1"),
        loses=("spectrum of tokens", "horizon", "hilberg"),
    ),
    World(
        "the same tokens", "regression on random features",
        *_QUANTA, random_features,
        wins=("spectrum of tokens",), loses=("quanta", "missing mass", "horizon", "hilberg"),
    ),
    World(
        "walk on a graph", "counts pairs",
        "graph --nodes 1000 --edges 5000 --tokens 4e6", "--max-context 2 --predictor kneser-ney",
        counted_pairs, wins=(), loses=("horizon", "hilberg"),
    ),
    World(
        "clusters of percolation", "remembers clusters",
        "percolation --vocab-size 1048576 --tokens 4e6",
        "--lags 1,2,4,8 --max-context 2 --predictor kneser-ney", memoriser,
        wins=("quanta, k=1", "missing mass, k=1"),
        loses=("spectrum of tokens", "horizon", "hilberg"),
    ),
)  # fmt: skip


def ngramstat(command: str, folder: Path) -> None:
    """Run a command of the table in a folder, where its relative paths lead."""
    words = [sys.executable, "-m", *shlex.split(command), "--quiet"]
    subprocess.run(words, check=True, cwd=folder, stdout=subprocess.DEVNULL)


def judged(world: World, work: Path) -> dict[str, Any]:
    """Exponents and agreements of one world, in files that are kept.

    Worlds that differ in the learner alone share a folder with the corpus and the run.
    """
    first = [(other.synthesize, other.measure) for other in WORLDS].index(
        (world.synthesize, world.measure)
    )
    folder, name = work / f"{first}", world.learner.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    losses_of, panel = folder / f"{name}.csv", folder / f"{name}.json"
    commands = [
        f"ngramstat synthesize {world.synthesize} -o corpus",
        f"ngramstat measure corpus {world.measure} -o run",
    ]
    for command, made in zip(commands, ("corpus/truth.json", "run/run.json"), strict=True):
        if not (folder / made).exists():
            ngramstat(command, folder)
    truth = json.loads((folder / "corpus" / "truth.json").read_text())
    losses, limit = world.losses(truth, json.loads((folder / "run" / "run.json").read_text()))
    with losses_of.open("w", newline="") as file:
        csv.writer(file).writerows([("tokens", "loss"), *losses])
    commands.append(
        f"ngramstat theories run --curves {losses_of.name} --context 1 --limit {limit:.9g} "
        f"--longest 3 -o {panel.name}"
    )
    if not panel.exists():
        ngramstat(commands[-1], folder)
    rows = json.loads(panel.read_text())["rows"]
    (measured,) = (row["exponent"] for row in rows if row["name"] == "curves, known limit")
    exponents = ("value", "low", "high", "reportable")
    return {
        "world": world.name, "learner": world.learner, "commands": commands,
        "losses": losses, "limit": limit,
        "measured": {key: measured[key] for key in exponents},
        "theories": {
            row["name"]: {"agreement": row["agreement"]}
            | {key: row["exponent"][key] for key in exponents}
            for row in rows if row["kind"] == "prediction"
        },
    }  # fmt: skip


def surprises(world: World, found: dict[str, Any]) -> list[str]:
    """What came out otherwise than it has to."""
    agreement = {name: row["agreement"] for name, row in found["theories"].items()}
    of_family = [(name.split(",")[0], name, agreed) for name, agreed in agreement.items()]
    return [
        f"{world.name}, {world.learner}: {name} does not agree"
        for name in world.wins if agreement.get(name) != "consistent"
    ] + [
        f"{world.name}, {world.learner}: {name} agrees"
        for family, name, agreed in of_family
        if family in world.loses and agreed == "consistent"
    ]  # fmt: skip


def interval(exponent: dict[str, Any]) -> str:
    if not exponent["reportable"]:
        return "refused"
    return f"{exponent['value']:.3f} [{exponent['low']:.3f}, {exponent['high']:.3f}]"


def best_row(found: dict[str, Any], theory: str) -> dict[str, Any]:
    """Of the rows of a theory the one that agrees with the losses, or else the first."""
    rows = [
        {"name": name, **row}
        for name, row in found["theories"].items()
        if name.split(",")[0] == theory and name != "horizon, finite P"
    ]
    agreeing = [row for row in rows if row["agreement"] == "consistent"]
    return (agreeing or rows)[0]


def cell(found: dict[str, Any], theory: str) -> str:
    """What a theory says of a world."""
    row = best_row(found, theory)
    k = row["name"].partition(", ")[2]
    words = interval(row)
    if words == "refused":
        return words
    words += f" ({k})" if k else ""
    return f"**{words}**" if row["agreement"] == "consistent" else words


def of_hierarchies(known: dict[str, Any]) -> list[str]:
    """Rows of the hierarchies' own table, from what `ngramstat theories hierarchies` measured."""
    lines = [
        "## Hierarchies, whose rules a corpus does not show",
        "",
        "Measured by `ngramstat theories hierarchies` ([what it is](../docs/theory.md)).",
        "",
        "| theory | world | learner | predicted | measured |",
        "|---|---|---|---|---|",
    ]
    for curve in known["last_tokens"]:
        rules = {"none": "equal rules", "bottom": "power-law rules on the lowest level"}
        if curve["skewed"] in rules:
            lines.append(
                f"| horizon, exact entropies of its levels | {rules[curve['skewed']]} | counts "
                f"classes, last token | {np.mean(curve['exact']):.3f} | "
                f"{interval(curve['exponent'])} |"
            )
    deepest = max(curve["depth"] for curve in known["labels"])
    lines += [
        f"| power-law rules, a / (1 + a) | a = {curve['zipf_a']:g}, v = {curve['symbols']}, "
        f"{deepest} levels | counts classes, labels | {curve['theory']:.3f}; "
        f"{curve['theory_in_window']:.3f} with so many rules | {interval(curve['exponent'])} |"
        for curve in known["labels"]
        if curve["depth"] == deepest
    ]
    return [*lines, ""]


def page(results: list[dict[str, Any]]) -> str:
    """The table as Markdown."""
    lines = [
        "# Which theory predicts which learner on which world",
        "",
        "The exponent of a learning curve is not a property of the text alone: of one and the same",
        "text a learner that remembers tokens follows one theory, and a regression on random",
        "features another. Where C(t) and H(n) have no power law the horizon theory is silent, and",
        "losses fall as power laws all the same.",
        "",
        "![Exponents of losses and of theories, world by world](theories.png)",
        "",
        "Exponents of the loss against training tokens, with their intervals: as each theory",
        "predicts it from the corpus, and as the losses of a learner show it. Bold: the intervals",
        "overlap. Refused: the statistic that the theory needs has no exponent there. Of theories",
        "that count k-grams the row stands here that agrees, or that of k = 1.",
        "",
        "| world, learner | losses | " + " | ".join(THEORIES) + " |",
        "|---|---|" + "---|" * len(THEORIES),
    ]
    for found in results:
        cells = [cell(found, theory) for theory in THEORIES]
        first = f"{found['world']}, {found['learner']}"
        lines.append(" | ".join([f"| {first}", interval(found["measured"]), *cells]) + " |")
    hierarchies = json.loads((RESULTS.parent / "hierarchies.json").read_text())
    lines += ["", *of_hierarchies(hierarchies)]
    lines += [
        "## Commands",
        "",
        "Each row by these commands; `python -m benchmarks.theory_table` runs them:",
        "",
    ]
    for found in results:
        lines += [f"**{found['world']}, {found['learner']}**", "", "```console"]
        lines += [f"$ {command}" for command in found["commands"]]
        lines += ["```", ""]
    return "\n".join(lines)


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """Measured exponents as bands, and those of the theories as points with intervals."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 1 + 1.2 * len(results)), layout="constrained")
    colours = dict(zip(THEORIES, plt.get_cmap("tab10").colors, strict=False))
    named: set[str] = set()
    for k, found in enumerate(results):
        measured, at = found["measured"], len(results) - 1 - k
        axes.fill_betweenx([at - 0.4, at + 0.4], measured["low"], measured["high"], color="0.85")
        axes.plot([measured["value"]] * 2, [at - 0.4, at + 0.4], color="black", lw=2,
                  label=None if named else "losses, with interval")  # fmt: skip
        shown = [t for t in THEORIES if interval(best_row(found, t)) != "refused"]
        for j, theory in enumerate(shown):
            row = best_row(found, theory)
            y = at + 0.3 - 0.6 * (j + 0.5) / len(shown)
            axes.errorbar(
                row["value"], y, fmt="o", color=colours[theory],
                xerr=[[row["value"] - row["low"]], [row["high"] - row["value"]]],
                label=None if theory in named else theory,
            )  # fmt: skip
            named.add(theory)
        if not shown:
            axes.text(measured["low"], at, "every theory refuses  ", ha="right", va="center")
        named.add("losses")
    axes.set_yticks(range(len(results)))
    axes.set_yticklabels([f"{r['world']},\n{r['learner']}" for r in reversed(results)])
    axes.set_xlim(left=0)
    axes.set_xlabel("exponent of the loss against training tokens")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("worlds", nargs="*", metavar="WORLD")
    parser.add_argument("--work", type=Path, required=True)
    chosen = parser.parse_args()
    results, wrong = [], []
    for world in WORLDS:
        if chosen.worlds and world.name not in chosen.worlds:
            continue
        found = judged(world, chosen.work)
        results.append(found)
        wrong += surprises(world, found)
        print(f"{world.name}, {world.learner}: {interval(found['measured'])}")
        for theory in THEORIES:
            print(f"    {theory}: {cell(found, theory)}")
    if not chosen.worlds:
        RESULTS.write_text(json.dumps({"machine": machine(), "rows": results}, indent=1) + "\n")
        PAGE.write_text(page(results))
        draw(results, FIGURE)
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
