"""Entropies of next tokens from counts of counts: plug-in, and two corrections of its bias.

All inputs are (k, 2) integer tables of (count c, number of distinct n-grams seen c times); all
results are nats per token. The conditional entropy given n tokens is the difference of the block
entropies of (n+1)-grams and of their contexts, counted over the same targets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels import NgramCounts

__all__ = ["chao_shen", "miller_madow", "plug_in"]

Floats = NDArray[np.float64]
Table = NDArray[np.uint64]


def _block_entropy(table: Table, total: int) -> float:
    counts = table[:, 0].astype(np.float64)
    numbers = table[:, 1].astype(np.float64)
    return float(np.log(total) - np.sum(numbers * counts * np.log(counts)) / total)


def _distinct(table: Table) -> int:
    return int(table[:, 1].sum())


def plug_in(counts: NgramCounts) -> Floats:
    """Entropy of the observed frequencies, (n_contexts,).

    Biased low, by about (distinct n-grams - distinct contexts) / (2 targets) while that is small,
    and down to nothing where most contexts were seen once.
    """
    return np.array(
        [
            _block_entropy(ngrams, counts.targets) - _block_entropy(contexts, counts.targets)
            for ngrams, contexts in zip(counts.ngrams, counts.contexts, strict=True)
        ]
    )


def miller_madow(counts: NgramCounts) -> Floats:
    """Plug-in entropy plus its first-order bias (Miller 1955), (n_contexts,)."""
    missing = [
        _distinct(ngrams) - _distinct(contexts)
        for ngrams, contexts in zip(counts.ngrams, counts.contexts, strict=True)
    ]
    return plug_in(counts) + np.array(missing, dtype=np.float64) / (2 * counts.targets)


def chao_shen(counts: NgramCounts) -> Floats:
    """Coverage-adjusted entropy (Chao and Shen 2003) of the blocks, as a difference, (n_contexts,).

    Each block entropy is corrected for the probability of unseen blocks, estimated from singletons
    (Good-Turing). Where nearly every block is a singleton the two corrections no longer cancel, and
    the difference means nothing; see the bracket in `EntropyResult` for what can be trusted.
    """
    return np.array(
        [
            _coverage_entropy(ngrams, counts.targets) - _coverage_entropy(contexts, counts.targets)
            for ngrams, contexts in zip(counts.ngrams, counts.contexts, strict=True)
        ]
    )


def _coverage_entropy(table: Table, total: int) -> float:
    counts = table[:, 0].astype(np.float64)
    numbers = table[:, 1].astype(np.float64)
    singletons = float(numbers[counts == 1].sum())
    if singletons >= total:  # all seen once: the usual guard keeps the coverage above zero
        singletons = total - 1.0
    p = (1.0 - singletons / total) * counts / total
    if np.any(p <= 0.0):  # a single observation
        return 0.0
    # 1 - (1 - p)^total, without losing small p.
    with np.errstate(divide="ignore"):  # p = 1: seen for certain
        seen = -np.expm1(total * np.log1p(-p))
    return float(-np.sum(numbers * p * np.log(p) / seen))
