"""Which theory predicts the learning curve of which learner on which world.

    python -m benchmarks.theory_table --work DIR [--corpora DIR] [WORLD ...]

For every world: its corpus (`ngramstat synthesize`), a measurement (`ngramstat measure`), the
losses of a learner whose limit is known, and `ngramstat theories RUN --curves LOSSES --limit L`,
which says of every theory whether its exponent is that of the losses. Languages of a text need the
text, `tinystories/stories.jsonl.xz` in the folder of --corpora. Theories whose cause a corpus does
not show are measured by commands of their own (`theory_causes`). What is done is not done again.
Exits with status 1 where a theory that has to agree does not, or one agrees that must not. Writes
benchmarks/results/theory_table.json, and benchmarks/theories.md with its figure.
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
from benchmarks.theory_causes import cause_rows, interval, section
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
    context : int
        Tokens of context that the learner uses.
    text : str
        The text that the corpus is made of, in the folder of --corpora; empty without one.
    """

    name: str
    learner: str
    synthesize: str
    measure: str
    losses: Callable[[dict[str, Any], dict[str, Any]], Curve]
    wins: tuple[str, ...]
    loses: tuple[str, ...]
    context: int = 1
    text: str = ""

    @property
    def folder(self) -> str:
        """Folder of the corpus and its run; worlds that differ in the learner alone share it."""
        alike = ((w.synthesize, w.measure) == (self.synthesize, self.measure) for w in WORLDS)
        first = next(w for w, same in zip(WORLDS, alike, strict=True) if same)
        return first.name.replace(" ", "-")


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


def counted(context: int) -> Callable[[dict[str, Any], dict[str, Any]], Curve]:
    """Held-out losses of n-grams with so much context, above the exact entropy."""

    def losses(truth: dict[str, Any], run: dict[str, Any]) -> Curve:
        curve = run["entropies"]["learning_curve"]
        pairs = zip(curve["tokens"], curve["held_out"], strict=True)
        limit = truth["entropies"]["document"]["entropy"][context]
        return [(p, row[context]) for p, row in pairs], float(limit)

    return losses


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
        counted(1), wins=(), loses=("horizon", "hilberg"),
    ),
    World(
        "clusters of percolation", "remembers clusters",
        "percolation --vocab-size 1048576 --tokens 4e6",
        "--lags 1,2,4,8 --max-context 2 --predictor kneser-ney", memoriser,
        wins=("quanta, k=1", "missing mass, k=1"),
        loses=("spectrum of tokens", "horizon", "hilberg"),
    ),
    *(
        World(
            f"{name} language of TinyStories", f"counts {name}s",
            f"ngram --from ../tinystories --order {context + 1} --no-separators --tokens 4e6",
            "--boundary document --max-context 3 --predictor kneser-ney",
            counted(context), wins=(), loses=("horizon", "hilberg"),
            context=context, text="tinystories/stories.jsonl.xz",
        )
        for context, name in ((1, "bigram"), (2, "trigram"))
    ),
)  # fmt: skip
# In commands, the folder with the texts.
_CORPORA = "CORPORA"


def chosen_worlds(names: list[str], corpora: Path | None) -> tuple[list[World], list[World]]:
    """The worlds with these names, or all, and those of them that lack their text."""
    named = [world for world in WORLDS if not names or world.name in names]
    lacking = [world for world in named if world.text and corpora is None]
    return [world for world in named if world not in lacking], lacking


def ngramstat(command: str, folder: Path) -> None:
    """Run a command of the table in a folder, from which its relative paths lead."""
    words = [sys.executable, "-m", *shlex.split(command), "--quiet"]
    subprocess.run(words, check=True, cwd=folder, stdout=subprocess.DEVNULL)


def judged(world: World, work: Path, corpora: Path | None = None) -> dict[str, Any]:
    """Exponents and agreements of one world, in files that are kept."""
    folder, name = work / world.folder, world.learner.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    losses_of, panel = folder / f"{name}.csv", folder / f"{name}.json"
    steps = [
        (f"ngramstat synthesize {world.synthesize} -o corpus", "corpus/truth.json"),
        (f"ngramstat measure corpus {world.measure} -o run", "run/run.json"),
    ]
    if world.text:
        text = Path("..", Path(world.text).parts[0])
        tokenized = (f"ngramstat tokenize {_CORPORA}/{world.text} -o {text}", f"{text}/corpus.json")
        steps.insert(0, tokenized)
    for command, made in steps:
        if not (folder / made).exists():
            ngramstat(command.replace(_CORPORA, shlex.quote(str(corpora))), folder)
    commands = [command for command, _ in steps]
    truth = json.loads((folder / "corpus" / "truth.json").read_text())
    losses, limit = world.losses(truth, json.loads((folder / "run" / "run.json").read_text()))
    with losses_of.open("w", newline="") as file:
        csv.writer(file).writerows([("tokens", "loss"), *losses])
    commands.append(
        f"ngramstat theories run --curves {losses_of.name} --context {world.context} "
        f"--limit {limit:.9g} --longest 3 -o {panel.name}"
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


def left_out(lacking: list[World]) -> list[str]:
    """A sentence on worlds that need a text which was not given."""
    if not lacking:
        return []
    names = ", ".join(world.name for world in lacking)
    return [f"Left out, as no text was given (`--corpora DIR`): {names}.", ""]


def page(results: list[dict[str, Any]], causes: list[dict[str, Any]], lacking: list[World]) -> str:
    """The table as Markdown, with the worlds that were left out."""
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
    lines += ["", *left_out(lacking), *section(causes)]
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
        axes.plot(
            [measured["value"]] * 2, [at - 0.4, at + 0.4], color="black", lw=2,
            ls="-" if measured["reportable"] else ":",
            label=None if named else "losses, with interval\n(dotted: not reportable)",
        )  # fmt: skip
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
    parser.add_argument("--corpora", type=Path, help="folder with tinystories/stories.jsonl.xz")
    chosen = parser.parse_args()
    corpora = None if chosen.corpora is None else chosen.corpora.resolve()
    worlds, lacking = chosen_worlds(chosen.worlds, corpora)
    results, wrong = [], []
    for world in worlds:
        found = judged(world, chosen.work, corpora)
        results.append(found)
        wrong += surprises(world, found)
        print(f"{world.name}, {world.learner}: {interval(found['measured'])}")
        for theory in THEORIES:
            print(f"    {theory}: {cell(found, theory)}")
    for line in left_out(lacking):
        print(line)
    if not chosen.worlds:
        causes = cause_rows(chosen.work, ngramstat)
        wrong += [f"{row['theory']}, {row['learner']}: is not as predicted"
                  for row in causes if row["agrees"] is False]  # fmt: skip
        table = {"machine": machine(), "rows": results, "causes": causes}
        RESULTS.write_text(json.dumps(table, indent=1) + "\n")
        PAGE.write_text(page(results, causes, lacking))
        draw(results, FIGURE)
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
