"""Learning curves of a small transformer on random hierarchies, beside the learner that counts.

    python -m benchmarks.hierarchy_models --work DIR [--task labels|last-tokens ...] [--budget 900]

Both tasks of `ngramstat theories hierarchies` (docs/theory.md 6). GPT-2 is trained on growing
numbers of strings, each a document, and on the last token of each alone:

    labels       v = 5, L = 2, a = 1: strings with their label behind them, whose loss goes to
                 zero. The errors of the learner that counts fall as P^-.50.
    last-tokens  v = 12, m = 3, L = 5, rules of equal probability, and power-law rules on the lowest
                 level: two draws of the rules, and the losses of both learners on the same.

The budget is that of one hierarchy. Every training is a file in --work; an interrupted run resumes.
Writes results/hierarchy_models.json, in which a task that is not asked for stays as it is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import ngramstat
from benchmarks.bars import machine
from benchmarks.seeds import exponent_over_seeds
from ngramstat.lm.sweep import TrainingPlan, loss_of_run
from ngramstat.synthetic import RandomHierarchy
from ngramstat.synthetic.hierarchy_experiment import (
    LabelHierarchy,
    LastTokenSettings,
    fit_last_tokens,
    last_token_losses,
    last_token_world,
)
from ngramstat.validation.design import design_experiment

RESULT = Path(__file__).resolve().parent / "results" / "hierarchy_models.json"
SIZE, SEEDS = "0.1M", 2

LABELS = LabelHierarchy(symbols=5, rules=5, bottom_rules=16384, depth=2, zipf_a=1.0)
# 8 to 256 times v m^L are a decade and a half.
LABEL_STRINGS = tuple(1000 * 2**k for k in range(6))
LABEL_HELD_OUT, LABEL_TUNING = 1 << 14, 1 << 12

LAST_TOKENS = LastTokenSettings(skewed=("none", "bottom"))
DRAWS = 2
LAST_TOKEN_STRINGS = tuple(1 << k for k in range(5, 15))
LAST_TOKEN_HELD_OUT, LAST_TOKEN_TUNING = 1 << 12, 1 << 11


def string_losses(
    text: ngramstat.Corpus,
    strings: tuple[int, ...],
    held_out: int,
    tuning: int,
    seeds: int,
    work: Path,
    budget: float,
) -> dict[tuple[int, int], float]:
    """Held-out losses of the last tokens of strings, by number of strings and seed of weights.

    Every document of the text is one string. One setting of the optimiser is tried, that of the
    scaling rules; sizes that do not fit the budget of seconds are left out.
    """
    assert text.document_ends is not None
    length = int(text.document_ends[0])
    sizes = tuple(length * n for n in strings)
    design = design_experiment(text, "last", (), sizes, length * held_out, length * tuning, 0)
    plan = TrainingPlan(
        ("gpt2-rotary",), SIZE, design.contexts, sizes, seeds, 1, False, targets="last"
    )
    sweep = design.sweep(plan, work, budget=budget, device="cpu", progress=True)
    return {
        (record.run.tokens // length, record.run.seed): loss_of_run(record.run, record.result)
        for record in sweep.run() if record.result is not None
    }  # fmt: skip


def labelled_strings() -> ngramstat.Corpus:
    """Strings with their labels as documents; labels are ids behind those of the tokens."""
    tuples, labels = LABELS.strings(LABEL_STRINGS[-1] + 4 * LABEL_HELD_OUT)
    tokens = np.stack([tuples // LABELS.tokens, tuples % LABELS.tokens], axis=-1)
    documents = np.column_stack([tokens.reshape(len(tuples), -1), LABELS.tokens + labels])
    return ngramstat.Corpus.from_arrays(
        documents.astype(np.uint16).reshape(-1),
        vocab_size=LABELS.tokens + LABELS.symbols,
        document_ends=documents.shape[1] * np.arange(1, len(documents) + 1),
    )


def learn_labels(work: Path, budget: float) -> dict[str, Any]:
    """Losses of the label by strings and seed, and the exponent with its interval over seeds."""
    losses = string_losses(
        labelled_strings(), LABEL_STRINGS, LABEL_HELD_OUT, LABEL_TUNING, SEEDS, work, budget
    )
    done = [n for n in LABEL_STRINGS if all((n, seed) in losses for seed in range(SEEDS))]
    found: dict[str, Any] = {
        "world": {
            name: getattr(LABELS, name)
            for name in ("symbols", "rules", "bottom_rules", "depth", "zipf_a")
        },
        "model": f"gpt2-rotary, {SIZE}", "machine": machine(), "strings": done,
        "left_out": [n for n in LABEL_STRINGS if n not in done],
        "losses": [[losses[n, seed] for n in done] for seed in range(SEEDS)],
        "theory": 0.5,
    }  # fmt: skip
    if len(done) >= 3:
        found |= exponent_over_seeds(np.array(done, float), np.array(found["losses"]))
    return found


def learn_last_tokens(work: Path, budget: float) -> dict[str, Any]:
    """Losses of the last token of both learners, and the exponents through the same steps."""
    return {
        "model": f"gpt2-rotary, {SIZE}", "machine": machine(), "budget_seconds": budget,
        "hierarchies": [
            _last_tokens_of(skewed, work / skewed, budget) for skewed in LAST_TOKENS.skewed
        ],
    }  # fmt: skip


def _last_tokens_of(skewed: str, work: Path, budget: float) -> dict[str, Any]:
    worlds = [last_token_world(LAST_TOKENS, skewed, draw) for draw in range(DRAWS)]
    trained = [
        _transformer_losses(world, work / str(draw), budget / DRAWS)
        for draw, world in enumerate(worlds)
    ]
    done = [n for n in LAST_TOKEN_STRINGS if all((n, 0) in losses for losses in trained)]
    sizes = np.array(done, np.int64)
    counted = [
        last_token_losses(world, sizes, held_out=1 << 16, draw=draw)
        for draw, world in enumerate(worlds)
    ]
    found: dict[str, Any] = {
        "skewed": skewed, "left_out": [n for n in LAST_TOKEN_STRINGS if n not in done]
    }  # fmt: skip
    learners = {
        "transformer": np.array([[losses[n, 0] for losses in trained] for n in done]),
        "counting": np.stack(counted, axis=1),
    }
    entropies = np.stack([world.tree.staircase(world.levels) for world in worlds], axis=1)
    for name, losses in learners.items():
        found[name] = fit_last_tokens(worlds[0], skewed, sizes, losses, entropies).to_dict()
    return found


def _transformer_losses(
    world: RandomHierarchy, work: Path, budget: float
) -> dict[tuple[int, int], float]:
    n = LAST_TOKEN_STRINGS[-1] + 4 * LAST_TOKEN_HELD_OUT
    text = world.corpus(n * world.document_length, seed=1)
    return string_losses(
        text, LAST_TOKEN_STRINGS, LAST_TOKEN_HELD_OUT, LAST_TOKEN_TUNING, 1, work, budget
    )


TASKS: dict[str, Callable[[Path, float], dict[str, Any]]] = {
    "labels": learn_labels,
    "last-tokens": learn_last_tokens,
}


def main() -> None:
    from ngramstat.lm.train import set_threads  # imports torch

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--task", action="append", choices=TASKS, help="default: both")
    parser.add_argument("--budget", type=float, default=900.0, help="seconds of training")
    chosen = parser.parse_args()
    set_threads(2)
    found = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for task in chosen.task or TASKS:
        found[task] = TASKS[task](chosen.work / task, chosen.budget)
        RESULT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
