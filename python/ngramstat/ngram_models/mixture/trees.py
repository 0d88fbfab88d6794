"""The trees of binary decisions, and the classes of tokens that patterns use."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ngramstat.kernels import mostly_unused, token_counts
from ngramstat.kernels.mixing import TokenTree, Vocabulary
from ngramstat.ngram_models.mixture.context_patterns import CLASSES, has_classes
from ngramstat.ngram_models.mixture.token_tree import bisection_tree, embed_tokens, with_unseen
from ngramstat.ngram_models.mixture.tuning_slice import MixtureSplit
from ngramstat.runtime.workspace import Workspace

__all__ = ["N_TREES", "grow_trees"]

Floats = NDArray[np.float64]

# Trees differ by the power of a direction's variance that scales it, so their errors differ too.
POWERS = (0.0, 1.0, -0.5, 0.5)
_DIMENSIONS = 96
# Bytes for counting adjacent tokens at most.
_PAIR_MEMORY = 1 << 28
# Tokens from which embeddings are made: a limit of time.
_EMBEDDING_TOKENS = 30_000_000
# Depth of each tree whose branches are classes.
_CLASS_TREE_DEPTHS = [
    max(depth for tree, depth in CLASSES.values() if tree == k)
    for k in range(1 + max(tree for tree, _ in CLASSES.values()))
]
# Trees of decisions; their probabilities are averaged.
N_TREES = len(POWERS)


def grow_trees(
    split: MixtureSplit, workspace: Workspace
) -> tuple[list[TokenTree], NDArray[np.uint32]]:
    """The trees of decisions, and the class maps (maps, symbols).

    Decisions separate tokens by what comes before them, classes by what comes after: tokens of one
    class are alike as contexts.
    """
    size = split.vocab_size
    # Thousands of small decompositions: threads of the linear algebra would not help.
    with threadpool_limits(1):
        tokens = split.training[: min(split.first_tuning, _EMBEDDING_TOKENS)]
        tokens = tokens[tokens < size]
        seen = np.flatnonzero(token_counts(tokens, size))
        few = mostly_unused(len(seen), size)
        if few:
            numbers = np.zeros(size, np.int64)
            numbers[seen] = np.arange(len(seen))
            tokens = numbers.astype(np.uint32)[tokens]
        embeddings = embed_tokens(
            tokens,
            len(seen) if few else size,
            _DIMENSIONS,
            threads=workspace.threads,
            pair_memory=min(_PAIR_MEMORY, workspace.memory_budget() or _PAIR_MEMORY),
        )

        def tree_of(points: Floats, max_depth: int | None = None) -> TokenTree:
            if not few:
                return bisection_tree(points, embeddings.frequency, max_depth)
            # What does not occur has no neighbours to be told apart by: one leaf at the origin,
            # which then becomes a tree of its own.
            with_rest = bisection_tree(
                np.append(points, np.zeros((1, points.shape[1])), axis=0),
                np.append(embeddings.frequency, 0.0),
                max_depth,
            )
            return with_unseen(with_rest, seen, size)

        jobs: list[tuple[Floats, float, int | None]] = [
            (embeddings.before, power, None) for power in POWERS
        ]
        if has_classes(size):
            jobs += [
                (embeddings.after, POWERS[k], depth) for k, depth in enumerate(_CLASS_TREE_DEPTHS)
            ]
        with ThreadPoolExecutor(workspace.threads) as pool:
            grown = list(
                pool.map(lambda job: tree_of(_scaled(job[0], job[1]), max_depth=job[2]), jobs)
            )
    trees, class_trees = grown[:N_TREES], grown[N_TREES:]
    if not class_trees:
        return trees, np.zeros((0, split.vocabulary.n_symbols), np.uint32)
    return trees, _class_maps(class_trees, split.vocabulary)


def _scaled(embeddings: Floats, power: float) -> Floats:
    """The embeddings with their directions scaled by a power of their root mean square."""
    scaled: Floats = embeddings * np.maximum((embeddings**2).mean(axis=0), 1e-300) ** (power / 2)
    return scaled


def _class_maps(trees: Sequence[TokenTree], vocabulary: Vocabulary) -> NDArray[np.uint32]:
    """(maps, symbols); a stop token outside the vocabulary is a class of its own."""
    rows = []
    for tree, depth in CLASSES.values():
        classes = trees[tree].classes(depth)
        if vocabulary.n_symbols > vocabulary.size:
            classes = np.append(classes, classes.max() + 1).astype(np.uint32)
        rows.append(classes)
    return np.stack(rows)
