"""The parts of a measurement as one writes them oneself: in NumPy and SciPy, and in plain Python.

They are yardsticks: each does the main job of a stage of `measure`, and less of it, without
intervals, noise floors, nulls or document composition. Times of stages are compared with theirs
(end_to_end.py, stage_ratios.py), so that a slow machine slows both.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.linalg import LinearOperator, svds

from ngramstat.ngram_models.discounts import discounts

__all__ = [
    "MIXED_CONTEXTS",
    "numpy_entropies",
    "numpy_kneser_ney",
    "numpy_learning",
    "numpy_mixture",
    "numpy_norms",
    "python_entropies",
    "python_kneser_ney",
    "python_mixture",
    "python_norms",
]

Tokens = NDArray[Any]
Floats = NDArray[np.float64]

# Contexts that the plain mixtures mix: how far back their tokens stand.
MIXED_CONTEXTS: tuple[tuple[int, ...], ...] = ((), (1,), (2,), (1, 2), (1, 3), (1, 2, 3))
_RATE = 0.02
_POWER_STEPS = 20


# --- C(t) -----------------------------------------------------------------------------------------


def numpy_norms(tokens: Tokens, size: int, lags: Sequence[int], values: int = 8) -> list[float]:
    """Largest singular value of C(t) at every lag, with `values` of them computed, by ARPACK."""
    norms = []
    for lag in lags:
        left, right = tokens[:-lag].astype(np.int32), tokens[lag:].astype(np.int32)
        ones = np.full(len(left), 1 / len(left))
        joint = coo_array((ones, (left, right)), shape=(size, size)).tocsr()
        p, q = joint.sum(axis=1), joint.sum(axis=0)
        operator = LinearOperator(
            (size, size),
            matvec=lambda x, joint=joint, p=p, q=q: joint @ x.ravel() - p * (q @ x.ravel()),
            rmatvec=lambda x, joint=joint, p=p, q=q: joint.T @ x.ravel() - q * (p @ x.ravel()),
            dtype=np.float64,
        )
        start = np.sin(np.arange(1, size + 1))
        norms.append(float(svds(operator, k=values, v0=start)[1].max()))
    return norms


def python_norms(tokens: Tokens, size: int, lags: Sequence[int]) -> list[float]:
    """The norm at every lag by steps of the power method, on a `Counter` of pairs."""
    listed, norms = tokens.tolist(), []
    for lag in lags:
        n = len(listed) - lag
        pairs = Counter(zip(listed, listed[lag:], strict=False)).items()
        p, q = Counter(listed[:n]), Counter(listed[lag:])
        x = [math.sin(k + 1) for k in range(size)]
        for _ in range(_POWER_STEPS):
            mean = sum(c * x[b] for b, c in q.items()) / n
            y = [0.0] * size
            for (a, b), c in pairs:
                y[a] += c * x[b] / n
            for a, c in p.items():
                y[a] -= c * mean / n
            mean = sum(c * y[a] for a, c in p.items()) / n
            x = [0.0] * size
            for (a, b), c in pairs:
                x[b] += c * y[a] / n
            for b, c in q.items():
                x[b] -= c * mean / n
            scale = math.sqrt(sum(v * v for v in x))
            x = [v / scale for v in x]
        norms.append(math.sqrt(scale))
    return norms


# --- H(n) by counts -------------------------------------------------------------------------------


def _gram_ids(tokens: Tokens, size: int, longest: int) -> list[NDArray[np.int64]]:
    """Ids of the k-gram that ends at each position, for k = 0 .. longest; -1 before position k."""
    ids = [np.zeros(len(tokens), dtype=np.int64)]
    for k in range(1, longest + 1):
        before = ids[-1][k - 2 : -1] if k > 1 else 0
        found = np.full(len(tokens), -1, dtype=np.int64)
        found[k - 1 :] = np.unique(before * size + tokens[k - 1 :], return_inverse=True)[1]
        ids.append(found)
    return ids


def numpy_entropies(tokens: Tokens, size: int, max_context: int) -> list[float]:
    """Plug-in H_n for n = 0 .. max_context by sorted n-grams."""
    ids = _gram_ids(tokens, size, max_context + 1)
    entropies = []
    for n in range(max_context + 1):
        grams = np.bincount(ids[n + 1][n:])
        contexts = np.bincount(ids[n][n - 1 : -1] if n else ids[0])
        contexts = contexts[contexts > 0]
        sums = [float(counts @ np.log(counts)) for counts in (contexts, grams)]
        entropies.append((sums[0] - sums[1]) / (len(tokens) - n))
    return entropies


def python_entropies(tokens: Tokens, max_context: int) -> list[float]:
    """The same by `Counter`s of tuples."""
    listed, entropies = tokens.tolist(), []
    for n in range(max_context + 1):
        total = len(listed) - n
        grams = Counter(zip(*(listed[k:] for k in range(n + 1)), strict=False))
        contexts = (
            Counter(zip(*(listed[k:-1] for k in range(n)), strict=False)) if n else {(): total}
        )
        entropies.append(
            (
                sum(c * math.log(c) for c in contexts.values())
                - sum(c * math.log(c) for c in grams.values())
            )
            / total
        )
    return entropies


# --- H(n) by Kneser-Ney ---------------------------------------------------------------------------


def numpy_kneser_ney(training: Tokens, held_out: Tokens, size: int, order: int) -> list[float]:
    """Mean held-out loss of interpolated modified Kneser-Ney of orders 1 .. order, in nats."""
    n = len(training)
    ids = _gram_ids(np.concatenate([training, held_out]).astype(np.int64), size, order)
    scored = np.arange(n + order, len(ids[0]))
    lower = np.full(len(scored), 1 / size)
    losses = []
    for k in range(1, order + 1):
        grams = ids[k][k - 1 :]
        prefix = np.zeros(int(grams.max()) + 1, dtype=np.int64)
        prefix[grams] = ids[k - 1][k - 2 : -1] if k > 1 else 0
        raw = np.bincount(ids[k][k - 1 : n], minlength=len(prefix))
        gram, context = ids[k][scored], ids[k - 1][scored - 1] if k > 1 else ids[0][scored]
        losses.append(float(-np.log(_smoothed(raw, prefix, gram, context, lower)).mean()))
        if k < order:
            # Distinct tokens before each k-gram: of the longer ones in the training text.
            longer, first = np.unique(ids[k + 1][k:n], return_index=True)
            assert len(longer) == len(first)
            continued = np.bincount(ids[k][k:n][first], minlength=len(prefix))
            lower = _smoothed(continued, prefix, gram, context, lower)
    return losses


def _smoothed(
    counts: NDArray[np.int64],
    prefix: NDArray[np.int64],
    gram: NDArray[np.int64],
    context: NDArray[np.int64],
    lower: Floats,
) -> Floats:
    """Probabilities of n-grams, from the counts of all and the lower order's probabilities."""
    of_counts = np.bincount(np.minimum(counts, 5), minlength=5)[1:5].astype(np.uint64)
    d = np.concatenate([[0.0], discounts(of_counts)[0]])[np.minimum(counts, 3)]
    contexts = int(max(prefix.max(), context.max())) + 1
    total = np.bincount(prefix, weights=counts, minlength=contexts)[context]
    freed = np.bincount(prefix, weights=d, minlength=contexts)[context]
    with np.errstate(divide="ignore", invalid="ignore"):
        mixed = (counts[gram] - d[gram] + freed * lower) / total
    return np.where(total > 0, mixed, lower)


def numpy_learning(
    training: Tokens, held_out: Tokens, size: int, order: int, sizes: int
) -> list[list[float]]:
    """Kneser-Ney losses of training sets of a half, a quarter and so on."""
    return [
        numpy_kneser_ney(training[: len(training) >> halvings], held_out, size, order)
        for halvings in range(1, sizes)
    ]


def python_kneser_ney(training: Tokens, held_out: Tokens, size: int, order: int) -> list[float]:
    """The same losses by dictionaries of tuples."""
    text, new = training.tolist(), held_out.tolist()
    raw: list[Counter[tuple[int, ...]]] = [
        Counter(zip(*(text[j:] for j in range(k)), strict=False)) for k in range(order + 1)
    ]
    continued = [Counter(gram[1:] for gram in raw[k + 1]) for k in range(order)]
    models = [(_by_context(raw[k]), _by_context(continued[k]) if k < order else None)
              for k in range(1, order + 1)]  # fmt: skip
    sums = [0.0] * order
    for i in range(order, len(new)):
        lower = 1 / size
        for k, (whole, lower_order) in enumerate(models, start=1):
            gram = tuple(new[i - k + 1 : i + 1])
            sums[k - 1] -= math.log(_probability(*whole, gram, lower))
            if lower_order is not None:
                lower = _probability(*lower_order, gram, lower)
    return [total / (len(new) - order) for total in sums]


def _by_context(counts: Counter[tuple[int, ...]]) -> tuple[Any, list[float], Any]:
    """Counts, discounts by count, and (total, freed) of every context."""
    of_counts = Counter(counts.values())
    d = [0.0, *discounts(np.array([of_counts[c] for c in (1, 2, 3, 4)], np.uint64))[0].tolist()]
    sums: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for gram, count in counts.items():
        one = sums[gram[:-1]]
        one[0] += count
        one[1] += d[min(count, 3)]
    return counts, d, sums


def _probability(
    counts: Any, d: list[float], sums: Any, gram: tuple[int, ...], lower: float
) -> float:
    if gram[:-1] not in sums:
        return lower
    total, freed = sums[gram[:-1]]
    count = counts[gram]
    return (count - d[min(count, 3)] + freed * lower) / total


# --- H(n) by mixing -------------------------------------------------------------------------------


def numpy_mixture(training: Tokens, held_out: Tokens, size: int) -> float:
    """Mean held-out loss of a logistic mixture of `MIXED_CONTEXTS`, in nats.

    A token is the binary digits of its id, one decision each. Counts are sorted keys, and the
    weights are learned online, one decision after the other.
    """
    bits, reach = max((size - 1).bit_length(), 1), max(map(max, filter(None, MIXED_CONTEXTS)))
    text = np.concatenate([training, held_out]).astype(np.int64)
    position = np.arange(reach, len(text))
    scored = position >= len(training) + reach
    digits = text[reach:, None] >> np.arange(bits - 1, -1, -1) & 1
    # Nodes of the tree: the digits before, with a one in front.
    nodes = (text[reach:, None] + (1 << bits)) >> np.arange(bits, 0, -1)
    logits = np.empty((len(MIXED_CONTEXTS), int(scored.sum()) * bits))
    for row, back in enumerate(MIXED_CONTEXTS):
        context = np.zeros(len(position), np.int64)
        for distance in back:
            context = np.unique(context * size + text[position - distance], return_inverse=True)[1]
        keys = (context[:, None] << bits) + nodes
        known, where = np.unique(keys[~scored], return_inverse=True)
        seen = np.bincount(where.ravel())
        ones = np.bincount(where.ravel(), weights=digits[~scored].ravel())
        at = np.minimum(np.searchsorted(known, keys[scored].ravel()), len(known) - 1)
        hit = known[at] == keys[scored].ravel()
        p = np.where(hit, (ones[at] + 0.4) / (seen[at] + 0.8), 0.5)
        logits[row] = np.log(p / (1 - p))
    weights = np.full(len(MIXED_CONTEXTS), 1 / len(MIXED_CONTEXTS))
    loss = 0.0
    for x, digit in zip(logits.T, digits[scored].ravel().tolist(), strict=True):
        p = 1 / (1 + math.exp(-float(weights @ x)))
        loss -= math.log(p if digit else 1 - p)
        weights += _RATE * (digit - p) * x
    return loss / int(scored.sum())


def python_mixture(training: Tokens, held_out: Tokens, size: int) -> float:
    """The same by dictionaries and loops."""
    bits, reach = max((size - 1).bit_length(), 1), max(map(max, filter(None, MIXED_CONTEXTS)))
    counts: dict[tuple[int, ...], list[int]] = defaultdict(lambda: [0, 0])

    def decisions(token: int) -> list[tuple[int, int]]:
        return [((token + (1 << bits)) >> (b + 1), token >> b & 1) for b in reversed(range(bits))]

    text = training.tolist()
    for i in range(reach, len(text)):
        for row, back in enumerate(MIXED_CONTEXTS):
            context = (row, *(text[i - distance] for distance in back))
            for node, digit in decisions(text[i]):
                counts[(*context, node)][digit] += 1
    weights = [1 / len(MIXED_CONTEXTS)] * len(MIXED_CONTEXTS)
    new, loss = held_out.tolist(), 0.0
    for i in range(reach, len(new)):
        contexts = [
            (row, *(new[i - distance] for distance in back))
            for row, back in enumerate(MIXED_CONTEXTS)
        ]
        for node, digit in decisions(new[i]):
            found = (counts.get((*context, node), (0, 0)) for context in contexts)
            x = [math.log((ones + 0.4) / (zeros + 0.4)) for zeros, ones in found]
            p = 1 / (1 + math.exp(-sum(w * v for w, v in zip(weights, x, strict=True))))
            loss -= math.log(p if digit else 1 - p)
            weights = [w + _RATE * (digit - p) * v for w, v in zip(weights, x, strict=True)]
    return loss / (len(new) - reach)
