"""Binary trees over a vocabulary, in which tokens that follow alike stand near each other.

A singular value decomposition of the counts of neighbouring tokens places every token twice: by
what comes before it and by what comes after it. Halving the tokens again and again along the main
direction of their places gives a tree: its paths are the binary decisions of the mixture
(`ngramstat.entropy.mixture`), and its branches at one depth are word classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Places", "TokenTree", "bisection_tree", "places"]

Floats = NDArray[np.float64]

# Left-over directions of a randomized decomposition, and its power iterations (Halko et al. 2011).
_OVERSAMPLING = 8
_ITERATIONS = 4
# Frequency added before dividing by its root, so that tokens seen once or twice have no far places.
_SMOOTHING = 1e-6
# No branch takes less than this share of a node's tokens, which bounds the depth.
_MIN_SHARE = 1 / 16


@dataclass(frozen=True)
class Places:
    """Coordinates of tokens; (V, k) each.

    Attributes
    ----------
    before : (V, k) float64
        By the tokens that come before: tokens near each other follow alike.
    after : (V, k) float64
        By the tokens that come after: as contexts they say about the same.
    frequency : (V,) float64
        Share of each token, sums to one.
    """

    before: Floats
    after: Floats
    frequency: Floats


@dataclass(frozen=True)
class TokenTree:
    """A binary tree over V tokens, as the kernels read it.

    Attributes
    ----------
    leaf_of : (V,) uint32
        Number of each token's leaf, from left to right.
    split : (V - 1,) uint32
        By inner node in preorder: the first leaf of its right branch.
    """

    leaf_of: NDArray[np.uint32]
    split: NDArray[np.uint32]

    def classes(self, depth: int) -> NDArray[np.uint32]:
        """The branch of every token at a depth, (V,), numbered from 0 from left to right."""
        size = len(self.leaf_of)
        if size == 1:
            return np.zeros(1, np.uint32)
        leaf = self.leaf_of.astype(np.int64)
        first, end = np.zeros(size, np.int64), np.full(size, size)
        node = np.zeros(size, np.int64)
        for _ in range(depth):
            inner = end - first > 1
            at = self.split[np.minimum(node, size - 2)].astype(np.int64)
            right, left = inner & (leaf >= at), inner & (leaf < at)
            node = np.where(right, node + at - first, np.where(left, node + 1, node))
            first, end = np.where(right, at, first), np.where(left, at, end)
        return np.unique(first, return_inverse=True)[1].astype(np.uint32)


def places(tokens: NDArray[Any], vocab_size: int, dimensions: int) -> Places:
    """Places of tokens by a correspondence analysis of the pairs of neighbours.

    Singular vectors of (J - p q^T) / sqrt(p q^T), with J the frequencies of neighbouring pairs,
    scaled by their singular values and back to tokens.

    Parameters
    ----------
    tokens : (n,) integers below vocab_size
    vocab_size : int
    dimensions : int
        k; fewer where the vocabulary is small.
    """
    from scipy.sparse import coo_matrix, diags

    n = max(len(tokens) - 1, 1)
    pairs = coo_matrix(
        (np.full(max(len(tokens) - 1, 0), 1 / n), (tokens[:-1], tokens[1:])),
        shape=(vocab_size, vocab_size),
    ).tocsr()
    p, q = np.asarray(pairs.sum(axis=1)).ravel(), np.asarray(pairs.sum(axis=0)).ravel()
    scale_p, scale_q = 1 / np.sqrt(p + _SMOOTHING), 1 / np.sqrt(q + _SMOOTHING)
    matrix = (diags(scale_p) @ pairs @ diags(scale_q)).tocsr()
    transposed = matrix.T.tocsr()
    root_p, root_q = scale_p * p, scale_q * q

    def multiply(x: Floats) -> Floats:
        out: Floats = matrix @ x - np.outer(root_p, root_q @ x)
        return out

    def multiply_transposed(x: Floats) -> Floats:
        out: Floats = transposed @ x - np.outer(root_q, root_p @ x)
        return out

    k = max(1, min(dimensions, vocab_size - 1))
    rng = np.random.default_rng(0)
    basis = rng.standard_normal((vocab_size, min(k + _OVERSAMPLING, vocab_size)))
    for _ in range(_ITERATIONS):
        basis = np.linalg.qr(multiply_transposed(np.linalg.qr(multiply(basis))[0]))[0]
    u, s, w = np.linalg.svd(multiply(basis), full_matrices=False)
    return Places(
        before=(basis @ w.T)[:, :k] * s[:k] * scale_q[:, None],
        after=u[:, :k] * s[:k] * scale_p[:, None],
        frequency=q,
    )


def bisection_tree(where: Floats, weight: Floats) -> TokenTree:
    """Tokens halved along the main direction of their places, down to single ones.

    Parameters
    ----------
    where : (V, k) float64
    weight : (V,) float64
        Branches get about half the weight each, and at least a sixteenth of the tokens.
    """
    size = len(where)
    leaf_of = np.empty(size, np.uint32)
    split: list[int] = []
    weight = weight + 1e-12
    stack = [(np.arange(size), 0)]
    while stack:
        members, base = stack.pop()
        m = len(members)
        if m == 1:
            leaf_of[members[0]] = base
            continue
        share = weight[members]
        centred = where[members] - (share @ where[members]) / share.sum()
        order = np.argsort(_along(centred, share), kind="stable")
        running = np.cumsum(share[order])
        least = max(1, int(np.ceil(m * _MIN_SHARE)))
        half = running[-1] / 2
        cut = int(np.searchsorted(running, half))
        if cut == 0 or running[cut] - half < half - running[cut - 1]:  # the nearer of the two
            cut += 1
        cut = int(np.clip(cut, least, m - least))
        split.append(base + cut)
        # Preorder: the left branch is next.
        stack.append((members[order[cut:]], base + cut))
        stack.append((members[order[:cut]], base))
    return TokenTree(leaf_of, np.array(split, np.uint32))


def _along(centred: Floats, share: Floats) -> Floats:
    """Projection of centred places on their weighted main direction, (m,)."""
    weighted = centred * np.sqrt(share)[:, None]
    if len(centred) == 2:
        return np.array([0.0, 1.0])
    if len(centred) < centred.shape[1]:  # the smaller of the two Gram matrices
        _, vectors = np.linalg.eigh(weighted @ weighted.T)
        direction = weighted.T @ vectors[:, -1]
    else:
        _, vectors = np.linalg.eigh(weighted.T @ weighted)
        direction = vectors[:, -1]
    along: Floats = centred @ direction
    return along
