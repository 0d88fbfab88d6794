"""Learning curve of a small transformer for the labels of a hierarchy with power-law rules.

    python -m benchmarks.hierarchy_models --work DIR [--budget 600]

One hierarchy of `ngramstat theories hierarchies` (v = 5, L = 2, a = 1), whose counting learner's
errors fall as P^-.50: a string with its label behind it is a document, and GPT-2 is trained on the
label alone, on growing numbers of strings. The loss of the label goes to zero, as it follows from
the string. Every training is a file in --work; an interrupted run resumes. Writes
results/hierarchy_models.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import ngramstat
from benchmarks.bars import machine
from ngramstat.exponents.distributions import student_quantile
from ngramstat.exponents.fit import power_law
from ngramstat.lm.sweep import TrainingPlan, loss_of_run
from ngramstat.synthetic.hierarchy_experiment import LabelHierarchy
from ngramstat.validation.design import design_experiment

RESULT = Path(__file__).resolve().parent / "results" / "hierarchy_models.json"
WORLD = LabelHierarchy(symbols=5, rules=5, bottom_rules=16384, depth=2, zipf_a=1.0)
# Strings: 8 to 256 times v m^L are a decade and a half.
STRINGS = tuple(1000 * 2**k for k in range(6))
HELD_OUT, TUNING = 1 << 14, 1 << 12
SIZE, SEEDS, LEVEL = "0.1M", 2, 0.95


def corpus() -> ngramstat.Corpus:
    """Strings with their labels as documents; labels are ids behind those of the tokens."""
    tuples, labels = WORLD.strings(STRINGS[-1] + 4 * HELD_OUT)
    tokens = np.stack([tuples // WORLD.tokens, tuples % WORLD.tokens], axis=-1)
    documents = np.column_stack([tokens.reshape(len(tuples), -1), WORLD.tokens + labels])
    return ngramstat.Corpus.from_arrays(
        documents.astype(np.uint16).reshape(-1),
        vocab_size=WORLD.tokens + WORLD.symbols,
        document_ends=documents.shape[1] * np.arange(1, len(documents) + 1),
    )


def train(work: Path, budget: float) -> dict[str, object]:
    """Losses of the label by strings and seed, and the exponent with its interval over seeds."""
    from ngramstat.lm.train import set_threads  # imports torch

    set_threads(2)
    text = corpus()
    length = WORLD.branching**WORLD.depth + 1
    sizes = tuple(length * n for n in STRINGS)
    design = design_experiment(text, "last", (), sizes, length * HELD_OUT, length * TUNING, 0)
    plan = TrainingPlan(
        ("gpt2-rotary",), SIZE, design.contexts, sizes, SEEDS, 1, False, targets="last"
    )
    sweep = design.sweep(plan, work, budget=budget, device="cpu", progress=True)
    losses = {
        (record.run.tokens // length, record.run.seed): loss_of_run(record.run, record.result)
        for record in sweep.run() if record.result is not None
    }  # fmt: skip
    done = [n for n in STRINGS if all((n, seed) in losses for seed in range(SEEDS))]
    found: dict[str, object] = {
        "world": {"symbols": 5, "rules": 5, "bottom_rules": 16384, "depth": 2, "zipf_a": 1.0},
        "model": f"gpt2-rotary, {SIZE}", "machine": machine(), "strings": done,
        "left_out": [n for n in STRINGS if n not in done],
        "losses": [[losses[n, seed] for n in done] for seed in range(SEEDS)],
        "theory": 0.5,
    }  # fmt: skip
    if len(done) >= 3:
        x = np.array(done, float)
        slopes = np.array([power_law(x, np.array(row)).exponent for row in found["losses"]])
        half = student_quantile(LEVEL, SEEDS - 1) * slopes.std(ddof=1) / np.sqrt(SEEDS)
        mean = np.mean(found["losses"], axis=0)
        found |= {
            "exponent": float(slopes.mean()), "low": float(slopes.mean() - half),
            "high": float(slopes.mean() + half),
            "local": (-np.diff(np.log(mean)) / np.diff(np.log(x))).tolist(),
        }  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=600.0, help="seconds of training")
    chosen = parser.parse_args()
    found = train(chosen.work, chosen.budget)
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print({key: found[key] for key in found if key not in ("machine", "world")})


if __name__ == "__main__":
    main()
