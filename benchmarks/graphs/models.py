"""Learning curves of a small transformer on the same sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.graphs.cases import Case
from benchmarks.graphs.curves import power_law
from ngramstat.lm.sweep import TrainingPlan
from ngramstat.synthetic import GraphWalk
from ngramstat.validation.design import design_experiment

__all__ = ["model_curve"]

# From where pairs of a graph of 1,000 nodes recur, as far as minutes on two cores allow.
_SIZES = tuple(1 << k for k in range(14, 18))
_CONTEXT, _SIZE, _SEEDS = 16, "0.1M", 2
_HELD_OUT, _TUNING = 1 << 16, 1 << 14
# Tokens of the text that all of these are parts of: a tenth of it may be held out.
_DRAWN = 10 * _HELD_OUT


def model_curve(case: Case, text: Path | None, work: Path, budget: float) -> dict[str, Any]:
    """Losses above the entropy rate of GPT-2 with 0.1 M parameters beside its embeddings.

    One setting is tried for every size, that of the scaling rules, with two seeds of initial
    weights; sizes that do not fit the budget of seconds are left out and named. Losses are those
    of tokens with at least order - 1 tokens before them in their window.
    """
    from ngramstat.lm.train import set_threads  # imports torch

    set_threads(2)
    world = case.world(text, 0)
    corpus = world.corpus(_DRAWN, seed=10)
    design = design_experiment(corpus, "all", (_CONTEXT,), _SIZES, _HELD_OUT, _TUNING, 0)
    plan = TrainingPlan(("gpt2-rotary",), _SIZE, (_CONTEXT,), _SIZES, _SEEDS, 1, False)
    directory = work / "models" / case.name
    records = design.sweep(plan, directory, budget=budget, device="cpu", progress=False).run()
    if isinstance(world, GraphWalk):
        rate = world.entropy_rate
    else:
        rate = float(world.entropies(case.order - 1, "document")[-1])
    losses = {
        (r.run.tokens, r.run.seed): float(np.mean(r.result.by_context[case.order - 1 :])) - rate
        for r in records if r.result is not None
    }  # fmt: skip
    sizes = [p for p in _SIZES if all((p, seed) in losses for seed in range(_SEEDS))]
    excess = np.array([[losses[p, seed] for p in sizes] for seed in range(_SEEDS)])
    return {
        "case": case.name, "family": case.family, "order": case.order, "tokens": sizes,
        "learner": f"gpt2-rotary, {_SIZE}, {_CONTEXT} tokens of context",
        "left_out": [p for p in _SIZES if p not in sizes], "budget_seconds": budget,
        "entropy_rate": rate, "excess": excess.tolist(),
        **power_law(np.array(sizes, float), excess),
    }  # fmt: skip
