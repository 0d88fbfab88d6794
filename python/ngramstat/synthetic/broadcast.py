"""Potts broadcast tree: ||C(t)|| is an exact power law on the lags s^k (docs/theory.md 12.1)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ngramstat.boundary import Boundary
from ngramstat.errors import InputError
from ngramstat.synthetic.sampling import (
    PIECE,
    AliasTable,
    TreeLevel,
    TreeSource,
    random_generator,
    random_key,
)
from ngramstat.synthetic.tree import MAX_TREE_NGRAMS, Tree
from ngramstat.synthetic.world import (
    MAX_DENSE,
    Floats,
    KnownExponent,
    Tokens,
    World,
    check_whole,
    conditional_entropies,
    longest_ngram,
    powers,
)

__all__ = ["BroadcastTree"]

# A noise document is drawn in blocks of this many tokens, each from its own seed.
_NOISE_BLOCK = 1 << 20


@dataclass(frozen=True)
class BroadcastTree(World):
    """Every child keeps its parent's symbol with probability theta, otherwise it is uniform.

    C_ij = theta^(2l) (I/V - 11^T/V^2) with l the level of the lowest common ancestor. Marginals are
    uniform at every position, so C(t) has no periodic plateau. beta = 2 ln(1/theta) / ln s.

    Parameters
    ----------
    vocab_size : int
    s : int
        Children per node.
    levels : int
        L; a document is one string of s^L tokens.
    theta : float
        In (0, 1).
    noise_share : float
        Fraction of the documents that consist of independent uniform tokens instead. Documents
        then differ far more than by chance, while C(t) is only scaled by 1 - noise_share.

    Raises
    ------
    InputError
        A parameter is out of range.
    """

    kind: ClassVar[str] = "potts"

    vocab_size: int
    s: int
    levels: int
    theta: float
    noise_share: float = 0.0

    def __post_init__(self) -> None:
        check_whole("vocab_size", self.vocab_size, 2)
        check_whole("s", self.s, 2)
        check_whole("levels", self.levels, 1)
        if self.vocab_size > 1 << 16:
            raise InputError(f"vocab_size={self.vocab_size}: at most 65536 symbols")
        if self.s > 62 or self.levels > 62 or self.s**self.levels > 1 << 62:
            raise InputError(
                f"s={self.s}, levels={self.levels}: a string would have s^levels tokens, more than "
                "2^62; use fewer levels"
            )
        if not 0 < self.theta < 1:
            raise InputError(f"theta={self.theta}: must lie between 0 and 1")
        if not 0 <= self.noise_share < 1:
            raise InputError(f"noise_share={self.noise_share}: must be at least 0 and below 1")

    @classmethod
    def with_beta(
        cls,
        beta: float,
        vocab_size: int = 8,
        s: int = 2,
        levels: int = 10,
        noise_share: float = 0.0,
    ) -> BroadcastTree:
        """The tree whose norms fall as t^-beta."""
        if not (math.isfinite(beta) and beta > 0):
            raise InputError(f"beta={beta}: must be positive")
        check_whole("s", s, 2)
        theta = s ** (-beta / 2)
        if not 0 < theta < 1:
            raise InputError(
                f"beta={beta}: theta = s^(-beta/2) is {theta:g} in floating-point numbers; use a "
                f"{'larger' if theta else 'smaller'} beta"
            )
        return cls(vocab_size, s, levels, theta, noise_share)

    @property
    def document_length(self) -> int:  # type: ignore[override]
        """s^levels."""
        return int(self.s**self.levels)

    def ruler(self, longest: int) -> list[int]:
        return powers(self.s, longest)

    def parameters(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name in ("vocab_size", "s", "levels", "theta", "noise_share")
        }

    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        # Outcomes of a child: the parent's symbol, or one of all symbols.
        v, theta = self.vocab_size, self.theta
        p = np.concatenate([[theta], np.full(v, (1 - theta) / v)])
        symbols = np.tile(np.arange(v, dtype=np.uint32), (v, 1))
        level = TreeLevel(
            AliasTable.of(p), np.column_stack([np.arange(v, dtype=np.uint32), symbols])
        )
        source = TreeSource([level] * self.levels, self.s, v)
        key = random_key(seed, 1)
        d = self.document_length
        for first in range(0, n_tokens, PIECE):
            out = np.empty(min(PIECE, n_tokens - first), self.dtype)
            source.sample(key, first, out, threads)
            if self.noise_share > 0:
                self._add_noise(out, first, d, seed)
            yield out

    def _add_noise(self, out: Tokens, first: int, d: int, seed: int) -> None:
        """Replace the noise documents by uniform tokens, each block from its own seed."""
        last = first + len(out)
        for document in range(first // d, -(-last // d)):
            choice = random_generator(seed, 2, document)
            if choice.random() >= self.noise_share:
                continue
            start = document * d
            low, high = max(start, first), min(start + d, last)
            end = -((start - high) // _NOISE_BLOCK)
            for block in range((low - start) // _NOISE_BLOCK, end):
                rng = choice if block == 0 else random_generator(seed, 2, document, block)
                # Whole blocks are drawn, so that the tokens do not depend on where pieces are cut.
                at = start + block * _NOISE_BLOCK
                size = min(_NOISE_BLOCK, start + d - at)
                tokens = rng.integers(0, self.vocab_size, size, dtype=self.dtype)
                a, b = max(at, low), min(at + size, high)
                out[a - first : b - first] = tokens[a - at : b - at]

    def factor(self, lag: int, boundary: str) -> float:
        """Scalar factor of C(t) = factor * (I/V - 11^T/V^2); NaN where there are no pairs."""
        self.check_boundary(boundary)
        d = float(self.document_length)
        if lag >= d:
            return 0.0 if boundary == Boundary.STREAM else math.nan
        block_lengths = [float(self.s) ** level for level in range(self.levels + 1)]
        # Fraction of the pairs whose lowest common ancestor is at this level or below.
        inside = [max(1.0 - lag / length, 0.0) for length in block_lengths]
        total = sum(
            (inside[level] - inside[level - 1]) * self.theta ** (2 * level)
            for level in range(1, self.levels + 1)
        )
        return (
            (1 - self.noise_share) * total * (1.0 if boundary == Boundary.STREAM else d / (d - lag))
        )

    def norms(self, lags: Sequence[int], boundary: str) -> Floats:
        return np.array([self.factor(int(lag), boundary) for lag in lags]) / self.vocab_size

    def sequential_norms(self, lags: Sequence[int]) -> Floats:
        # d (s^l - s^(l-1)) of a string's ordered pairs have their common ancestor at level l.
        d, s = float(self.document_length), float(self.s)
        mean = (1 - self.noise_share) * sum(
            (s**level - s ** (level - 1)) / (d - 1) * self.theta ** (2 * level)
            for level in range(1, self.levels + 1)
        )
        factors = np.array([self.factor(int(lag), Boundary.DOCUMENT) for lag in lags])
        return np.abs(factors - mean) / self.vocab_size

    def covariance(self, lag: int, boundary: str) -> Floats:
        v = self.vocab_size
        if v > MAX_DENSE:
            raise InputError(f"vocab_size={v}: a covariance is a matrix of V^2 numbers")
        return self.factor(lag, boundary) * (np.eye(v) / v - 1.0 / v**2)

    @cached_property
    def tree(self) -> Tree:
        """The same strings as a tree with V^s rules per symbol; feasible for small V."""
        v, s = self.vocab_size, self.s
        tuples = np.indices((v,) * s).reshape(s, -1).T
        keep = self.theta * np.eye(v) + (1 - self.theta) / v
        q = np.ones((v, len(tuples)))
        for c in range(s):
            q *= keep[:, tuples[:, c]]
        children = np.broadcast_to(tuples, (v, *tuples.shape))
        return Tree([children] * self.levels, [q] * self.levels, v)

    def entropies(self, max_context: int, boundary: str) -> Floats:
        self.check_boundary(boundary)
        v = self.vocab_size
        entropies = np.full(max_context + 1, np.nan)
        longest, feasible = max_context + 1, longest_ngram(v, MAX_TREE_NGRAMS)
        if boundary == Boundary.STREAM:
            longest = min(longest, feasible)
        too_large = longest > feasible or v ** (self.s + 1) > 1 << 20
        too_long = boundary == Boundary.DOCUMENT and longest > self.document_length
        if self.noise_share > 0 or too_large or too_long:
            entropies[0] = math.log(v)
            return entropies
        window = (
            self.tree.stream_window(longest)
            if boundary == Boundary.STREAM
            else self.tree.document_window(longest)
        )
        entropies[:longest] = conditional_entropies(window)
        return entropies

    def exponents(self) -> dict[str, KnownExponent]:
        unknown = "the entropy of this tree has no known closed form"
        return {
            "beta": KnownExponent(
                2 * math.log(1 / self.theta) / math.log(self.s),
                "2 ln(1/theta) / ln s, exact on the lags s^k far below a string's length",
            ),
            "gamma": KnownExponent(None, unknown),
            "alpha": KnownExponent(None, unknown),
        }

    def warnings(self) -> list[str]:
        return [
            f"exact only on lags that are powers of s = {self.s}: between them the curve is "
            "piecewise linear; near a string's length the stream's falls faster",
        ]
