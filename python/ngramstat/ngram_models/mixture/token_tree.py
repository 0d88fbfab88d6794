"""Binary trees over a vocabulary, in which tokens that occur in similar contexts are neighbours.

A singular value decomposition of the counts of adjacent tokens gives every token two embeddings:
by the tokens before it and by the tokens after it. Bisecting the tokens again and again along the
principal direction of their embeddings gives a tree. Its paths are the binary decisions of the
mixture (`ngramstat.ngram_models.mixture`), and its branches at one depth are word classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels import Documents
from ngramstat.kernels.mixing import TokenTree
from ngramstat.kernels.pairs import count_pairs

__all__ = ["TokenEmbeddings", "TokenTree", "bisection_tree", "embed_tokens", "with_unseen"]

Floats = NDArray[np.float64]

# Additional directions and power iterations of the randomized decomposition (Halko et al. 2011).
_OVERSAMPLING = 8
_ITERATIONS = 4
# Added to a frequency before dividing by its root: otherwise tokens seen once or twice would have
# the largest embeddings.
_SMOOTHING = 1e-6
# Each branch gets at least this fraction of a node's tokens, which bounds the depth.
_MIN_BRANCH = 1 / 16


@dataclass(frozen=True)
class TokenEmbeddings:
    """Embeddings of V tokens in k dimensions.

    Attributes
    ----------
    before : (V, k) float64
        By the tokens that come before: tokens with similar embeddings follow the same tokens.
    after : (V, k) float64
        By the tokens that come after: tokens with similar embeddings predict the same tokens.
    frequency : (V,) float64
        Relative frequency of each token; sums to one.
    """

    before: Floats
    after: Floats
    frequency: Floats


def embed_tokens(
    tokens: NDArray[Any],
    vocab_size: int,
    dimensions: int,
    *,
    threads: int = 1,
    pair_memory: int | None = None,
) -> TokenEmbeddings:
    """Embeddings of tokens by a correspondence analysis of adjacent pairs.

    Singular vectors of (J - p q^T) / sqrt(p q^T), where J are the frequencies of adjacent pairs,
    times their singular values and divided by the roots of the frequencies.

    Parameters
    ----------
    tokens : (n,) uint16 or uint32, below vocab_size
    vocab_size : int
    dimensions : int
        k; fewer where the vocabulary is small.
    threads : int
    pair_memory : int, optional
        Bytes for counting adjacent pairs; does not change the result.
    """
    from scipy.sparse import csr_matrix

    n_pairs = max(len(tokens) - 1, 1)
    stream = Documents.single(len(tokens))
    pairs = count_pairs(tokens, vocab_size, stream, [1], memory_limit=pair_memory, threads=threads)
    counts = next(pairs).within
    # Of both halves of the documents, in which pairs are counted separately.
    p, q = (sums.sum(axis=0) / n_pairs for sums in (counts.row_sums(), counts.column_sums()))
    scale_p, scale_q = 1 / np.sqrt(p + _SMOOTHING), 1 / np.sqrt(q + _SMOOTHING)
    left, right, number = counts.to_coo()
    values = number.sum(axis=0) / n_pairs * scale_p[left] * scale_q[right]
    matrix = csr_matrix((values.astype(np.float32), (left, right)), shape=(vocab_size, vocab_size))
    transposed = matrix.T.tocsr()
    root_p, root_q = (scale_p * p).astype(np.float32), (scale_q * q).astype(np.float32)

    def multiply(x: NDArray[np.float32]) -> NDArray[np.float32]:
        out: NDArray[np.float32] = matrix @ x - np.outer(root_p, root_q @ x)
        return out

    def multiply_transposed(x: NDArray[np.float32]) -> NDArray[np.float32]:
        out: NDArray[np.float32] = transposed @ x - np.outer(root_q, root_p @ x)
        return out

    k = max(1, min(dimensions, vocab_size - 1))
    rng = np.random.default_rng(0)
    shape = (vocab_size, min(k + _OVERSAMPLING, vocab_size))
    basis = rng.standard_normal(shape).astype(np.float32)
    for _ in range(_ITERATIONS):
        basis = np.linalg.qr(multiply_transposed(multiply(basis)))[0]
    u, s, w = np.linalg.svd(multiply(basis).astype(np.float64), full_matrices=False)
    return TokenEmbeddings(
        before=(basis @ w.T)[:, :k] * s[:k] * scale_q[:, None],
        after=u[:, :k] * s[:k] * scale_p[:, None],
        frequency=q,
    )


def bisection_tree(embeddings: Floats, weight: Floats, max_depth: int | None = None) -> TokenTree:
    """Tokens bisected along the principal direction of their embeddings, down to single ones.

    Parameters
    ----------
    embeddings : (V, k) float64
    weight : (V,) float64
        The two branches of a node get about half of its weight each, and at least a sixteenth of
        its tokens.
    max_depth : int, optional
        Nodes at this depth are divided without regard to their embeddings.
    """
    size = len(embeddings)
    leaf_of = np.empty(size, np.uint32)
    split: list[int] = []
    weight = weight + 1e-12
    balanced: dict[int, NDArray[np.int64]] = {}
    stack = [(np.arange(size), 0, 0)]
    while stack:
        members, first_leaf, depth = stack.pop()
        m = len(members)
        if m == 1 or depth == max_depth:
            leaf_of[members] = first_leaf + np.arange(m)
            split += (first_leaf + _balanced_splits(m, balanced)).tolist()
            continue
        weights = weight[members]
        mean = (weights @ embeddings[members]) / weights.sum()
        coordinate = _principal_coordinate(embeddings[members] - mean, weights)
        order = np.argsort(coordinate, kind="stable")
        running = np.cumsum(weights[order])
        half = running[-1] / 2
        cut = int(np.searchsorted(running, half))
        if cut == 0 or running[cut] - half < half - running[cut - 1]:  # the nearer of the two cuts
            cut += 1
        min_tokens = max(1, int(np.ceil(m * _MIN_BRANCH)))
        cut = int(np.clip(cut, min_tokens, m - min_tokens))
        split.append(first_leaf + cut)
        # Preorder: the left branch is next.
        stack.append((members[order[cut:]], first_leaf + cut, depth + 1))
        stack.append((members[order[:cut]], first_leaf, depth + 1))
    return TokenTree(leaf_of, np.array(split, np.uint32))


def with_unseen(tree: TokenTree, seen: NDArray[np.int64], vocab_size: int) -> TokenTree:
    """A tree over the tokens that occur and a rest, with the rest's leaf as a balanced tree.

    Takes time and memory of O(V), unlike bisecting tokens that nothing tells apart.

    Parameters
    ----------
    tree : TokenTree
        Over k + 1 items: the tokens of `seen`, and the rest.
    seen : (k,) int64
        Ids, increasing; fewer than vocab_size.
    vocab_size : int
    """
    rest = int(tree.leaf_of[-1])
    n_unseen = vocab_size - len(seen)
    leaf_of = np.empty(vocab_size, np.uint32)
    unseen = np.ones(vocab_size, bool)
    unseen[seen] = False
    leaf_of[unseen] = rest + np.arange(n_unseen)
    leaves = tree.leaf_of[:-1].astype(np.int64)
    leaf_of[seen] = leaves + np.where(leaves > rest, n_unseen - 1, 0)
    # Preorder: the nodes of the rest stand where the walk from the root reaches its leaf.
    first, end, node = 0, len(tree.leaf_of), 0
    while end - first > 1:
        at = int(tree.split[node])
        if rest >= at:
            node, first = node + at - first, at
        else:
            node, end = node + 1, at
    split = tree.split.astype(np.int64)
    split[split > rest] += n_unseen - 1
    parts = [split[:node], rest + _balanced_splits(n_unseen, {}), split[node:]]
    return TokenTree(leaf_of, np.concatenate(parts).astype(np.uint32))


def _balanced_splits(size: int, known: dict[int, NDArray[np.int64]]) -> NDArray[np.int64]:
    """`TokenTree.split` of a tree whose branches have equally many leaves, give or take one."""
    if size not in known:
        half = size // 2
        known[size] = (
            np.zeros(0, np.int64)
            if size < 2
            else np.concatenate(
                [
                    [half],
                    _balanced_splits(half, known),
                    half + _balanced_splits(size - half, known),
                ]
            )
        )
    return known[size]


def _principal_coordinate(centred: Floats, weights: Floats) -> Floats:
    """Projection of centred embeddings on their weighted principal direction, (m,)."""
    weighted = centred * np.sqrt(weights)[:, None]
    if len(centred) == 2:
        return np.array([0.0, 1.0])
    if len(centred) < centred.shape[1]:  # eigenvectors of the smaller of the two Gram matrices
        _, vectors = np.linalg.eigh(weighted @ weighted.T)
        direction = weighted.T @ vectors[:, -1]
    else:
        _, vectors = np.linalg.eigh(weighted.T @ weighted)
        direction = vectors[:, -1]
    coordinate: Floats = centred @ direction
    return coordinate
