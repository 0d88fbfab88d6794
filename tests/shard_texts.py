"""Texts of very different documents, as shards and as one corpus, and plans to measure them."""

from __future__ import annotations

import numpy as np

import ngramstat
from ngramstat.covariance.options import CorrelationOptions
from ngramstat.sharding.plan import ShardPlan

LAGS = (1, 2, 7, 40)
SEPARATOR = 3


def documents(v: int, n_documents: int = 130, seed: int = 0) -> list[np.ndarray]:
    """Documents of very different lengths and subjects; a token depends on the one before."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_documents):
        length = int(rng.integers(1, 120)) if rng.random() < 0.8 else int(rng.integers(200, 900))
        subject = rng.integers(4, v, 40)
        tokens = np.where(
            rng.random(length) < 0.6,
            rng.choice(subject, length),
            4 + (rng.zipf(1.4, length) % (v - 4)),
        )
        repeats = np.flatnonzero(rng.random(length) < 0.4)
        repeats = repeats[repeats > 1]
        tokens[repeats] = (tokens[repeats - 1] * 7 + 1) % (v - 4) + 4
        found.append(np.append(tokens, SEPARATOR))
    return found


def shards_of(found: list[np.ndarray], v: int, cuts: list[int]) -> list[ngramstat.Corpus]:
    return [
        ngramstat.Corpus.from_arrays(
            np.concatenate(part).astype(np.uint16), vocab_size=v, separator=SEPARATOR
        )
        for part in np.split(np.array([*found, None], dtype=object)[:-1], cuts)
    ]


def whole_of(found: list[np.ndarray], v: int) -> ngramstat.Corpus:
    return shards_of(found, v, [])[0]


# Seven shards, of which one is a single document and one is shorter than the longest lag.
CUTS = [1, 30, 31, 33, 70, 100]


def short_in_the_middle(v: int) -> list[np.ndarray]:
    found = documents(v)
    found[30] = np.array([5, 9, SEPARATOR])
    return found


def plan_of(
    options: CorrelationOptions, shards: int = 7, max_context: int = 3, **others
) -> ShardPlan:
    return ShardPlan(shards, max_context, 5, options, **others)


def options_of(boundary: str = "stream", **others) -> CorrelationOptions:
    settings = {"lags": LAGS, "replicates": 50, "seed": 3} | others
    return CorrelationOptions(boundary=boundary, **settings)
