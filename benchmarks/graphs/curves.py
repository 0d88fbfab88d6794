"""Learning curves of the counted learner: its loss above the exact entropy rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ngramstat
from benchmarks.graphs.cases import Case
from benchmarks.seeds import exponent_over_seeds
from ngramstat.synthetic import GraphWalk, World

__all__ = ["learning_curve", "power_law"]

Floats = NDArray[np.float64]

_SEEDS = 5
_HELD_OUT = 100_000


def learning_curve(case: Case, text: Path | None) -> dict[str, Any]:
    """Losses above the entropy rate at growing numbers of tokens, of several seeds.

    A seed is another graph, another training text and another held-out text; n-gram languages have
    one source and other texts. The learner is the interpolated modified Kneser-Ney model of the
    source's own order, and targets are tokens with a full context inside their document.
    """
    sizes = [1 << k for k in range(case.sizes[0], case.sizes[1] + 1)]
    world, rows = case.world(text, 0), []
    for seed in range(_SEEDS):
        if case.graph and seed:
            world = case.world(text, seed)
        rows.append(_one_seed(world, case.order, sizes, seed))
    excess = np.array([row["excess"] for row in rows])
    return {
        "case": case.name, "family": case.family, "order": case.order, "tokens": sizes,
        "learner": f"Kneser-Ney, order {case.order}", "held_out": _HELD_OUT,
        "entropy_rate": [r["rate"] for r in rows],
        "excess": excess.tolist(), **power_law(np.array(sizes, float), excess),
    }  # fmt: skip


def _one_seed(world: World, order: int, sizes: list[int], seed: int) -> dict[str, Any]:
    training = world.corpus(sizes[-1], seed=10 + seed)
    held_out = world.corpus(_HELD_OUT, seed=1000 + seed)
    full = _has_full_context(held_out, order)
    if isinstance(world, GraphWalk):
        # What the source itself gives every token is subtracted token by token: less noise.
        tokens = np.asarray(held_out.tokens, np.int64)
        known = np.asarray(world.transitions[tokens[:-1], tokens[1:]]).reshape(-1)
        exact = -np.log(known[full[1:]])
        rate = world.entropy_rate
    else:
        rate = float(world.entropies(order - 1, "document")[-1])
        exact = np.full(int(full.sum()), rate)
    excess = []
    for size in sizes:
        part = _first_documents(training, size)
        model = ngramstat.KneserNeyModel.train(part, order, progress=False)
        losses = -model.log_probs(held_out)[-held_out.n_tokens :][full]
        excess.append(float(np.mean(losses - exact)))
    return {"rate": rate, "excess": excess}


def _has_full_context(corpus: ngramstat.Corpus, order: int) -> NDArray[np.bool_]:
    """Which tokens have order - 1 tokens before them in their document."""
    ends = np.asarray(corpus.document_ends)
    starts = np.concatenate([[0], ends[:-1]])
    place = np.arange(corpus.n_tokens) - np.repeat(starts, ends - starts)
    full: NDArray[np.bool_] = place >= order - 1
    return full


def _first_documents(corpus: ngramstat.Corpus, size: int) -> ngramstat.Corpus:
    """The first `size` tokens, with the ends of documents inside them."""
    ends = np.asarray(corpus.document_ends)
    inside = np.concatenate([ends[ends < size], [size]])
    return ngramstat.Corpus.from_arrays(
        np.asarray(corpus.tokens[:size]), vocab_size=corpus.vocab_size, document_ends=inside
    )


def power_law(tokens: Floats, excess: Floats) -> dict[str, Any]:
    """Exponent over the sizes at which something, and not all, has been learned.

    The window ends where the loss above the entropy rate is between 90 % and 5 % of its largest
    value.

    Parameters
    ----------
    tokens : (n,) float64
    excess : (seeds, n) float64
    """
    mean = excess.mean(axis=0)
    inside = np.flatnonzero((mean <= 0.9 * mean.max()) & (mean >= 0.05 * mean.max()))
    if len(inside) < 3:
        return {"window": None, "exponent": None, "low": None, "high": None, "local": None}
    window = slice(inside[0], inside[-1] + 1)
    return {
        "window": [float(tokens[inside[0]]), float(tokens[inside[-1]])],
        **exponent_over_seeds(tokens[window], excess[:, window]),
    }
