"""Ensembles of random graphs with given numbers of nodes and edges.

Graphs are (edges, 2) arrays of distinct pairs of nodes, in which no node is linked to itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ngramstat.synthetic.sampling import random_generator

__all__ = ["ENSEMBLES", "draw_edges"]

Pairs = NDArray[np.int64]

ENSEMBLES = ("erdos-renyi", "barabasi-albert")


def draw_edges(ensemble: str, nodes: int, edges: int, seed: int) -> Pairs:
    """Edges of a graph of one of the `ENSEMBLES`, (edges, 2).

    Parameters
    ----------
    ensemble : str
    nodes : int
        At least 2.
    edges : int
        At most nodes (nodes - 1) / 2.
    seed : int
    """
    if ensemble == "erdos-renyi":
        return _erdos_renyi(nodes, edges, random_generator(seed, 0x475248, name="rules_seed"))
    return _barabasi_albert(nodes, edges, random_generator(seed, 0x424147, name="rules_seed"))


def _erdos_renyi(nodes: int, edges: int, rng: np.random.Generator) -> Pairs:
    """Every set of so many pairs is equally likely; the smaller node of a pair comes first."""
    n = nodes
    possible = n * (n - 1) // 2
    if edges > possible // 2:
        # Rejection would be slow: most newly drawn pairs would have been drawn before.
        numbers = np.sort(rng.permutation(possible)[:edges])
        # Number of pairs in the rows above each row.
        before = np.concatenate([[0], np.cumsum(np.arange(n - 1, 0, -1))])
        row = np.searchsorted(before, numbers, side="right") - 1
        return np.stack([row, numbers - before[row] + row + 1], axis=1)
    codes: NDArray[np.int64] = np.zeros(0, np.int64)  # n * (smaller node) + larger node
    while len(codes) < edges:
        new_codes = rng.integers(0, n * n, 2 * (edges - len(codes)) + 16)
        new_codes = new_codes[new_codes // n < new_codes % n]
        candidates = np.concatenate([codes, new_codes])
        _, first = np.unique(candidates, return_index=True)
        codes = candidates[np.sort(first)][:edges]
    return np.stack([codes // n, codes % n], axis=1)


def _barabasi_albert(nodes: int, edges: int, rng: np.random.Generator) -> Pairs:
    """Preferential attachment: nodes come one by one, and link to earlier ones by their degree.

    Node i brings edges / (nodes - 1) edges, rounded such that the first i nodes together have their
    share of all edges; the first nodes, which have too few to link to, form a complete graph.
    """
    pairs = np.empty((edges, 2), np.int64)
    ends = np.empty(2 * edges, np.int64)  # every node as often as it has edges
    done = 0
    for node in range(1, nodes):
        count = min(node, edges * node // (nodes - 1) - done)
        if count == 0:
            continue
        if count == node or done == 0:
            chosen = np.arange(count)
        else:
            chosen = _distinct(ends[: 2 * done], count, rng)
        pairs[done : done + count, 0], pairs[done : done + count, 1] = chosen, node
        ends[2 * done : 2 * (done + count)] = pairs[done : done + count].reshape(-1)
        done += count
    return pairs


def _distinct(values: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Distinct values in the order in which they are first drawn from a list with repetitions."""
    drawn = np.zeros(0, np.int64)
    while True:
        more = values[rng.integers(0, len(values), count + 4 + count // 4)]
        drawn = np.concatenate([drawn, more])
        _, first = np.unique(drawn, return_index=True)
        if len(first) >= count:
            return drawn[np.sort(first)[:count]]
