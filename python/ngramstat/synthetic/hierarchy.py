"""Random hierarchy models with uniform rules or with power-law rule frequencies.

Cagnetta et al. 2024 (PRX 14, 031001; arXiv 2406.00048); power-law rules: arXiv 2505.07067. The
exponents are derived in docs/theory.md 5 and 6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

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
    block_entropy,
    check_whole,
    conditional_entropies,
    longest_ngram,
    powers,
    zipf_law,
)

__all__ = ["RandomHierarchy", "draw_rules"]

_MAX_TOKENS = 1 << 62
# Most entries of the rules of all levels together; 2 GB as int64.
_MAX_CHILDREN = 1 << 28
# Limits of the work on the extra entropies, each a matter of seconds: products of beliefs and rules
# on a level; positions of the exact mean over positions, and products for all of them; samples of
# the Monte Carlo mean, and products for all of them.
_MAX_BELIEFS = 1 << 20
_MAX_POSITIONS = 1 << 12
_MAX_WINDOWS = 1 << 31
_SAMPLES = 400
_MAX_SAMPLED = 1 << 29


def draw_rules(
    v: int, m: int, s: int, levels: int, classes: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Rules of every level, the root's first: distinct s-tuples, m per symbol.

    A tuple belongs to only one symbol of its level, so strings can be parsed unambiguously.
    """
    rules = []
    for level in range(levels):
        parents = classes if level == 0 else v
        count, possible = parents * m, v**s
        if possible <= max(4 * count, 1 << 20):
            codes = rng.permutation(possible)[:count]
        else:
            codes = _distinct_codes(count, possible, rng)
        tuples = np.empty((count, s), np.int64)
        for c in range(s - 1, -1, -1):
            codes, last = codes // v, codes % v
            tuples[:, c] = last
        rules.append(tuples.reshape(parents, m, s))
    return rules


def _distinct_codes(count: int, possible: int, rng: np.random.Generator) -> NDArray[Any]:
    """`count` distinct random numbers below `possible`, which may exceed the range of int64."""
    seen: dict[int, None] = {}
    bits = possible.bit_length()
    width, shift = (bits + 7) // 8, -bits % 8
    words = -(-width // 4)
    while len(seen) < count:
        # No more than are missing, so that the next level always resumes at the same random word.
        data = rng.bytes(4 * words * (count - len(seen)))
        for at in range(0, len(data), 4 * words):
            code = int.from_bytes(data[at : at + width], "little") >> shift
            if code < possible:
                seen.setdefault(code)
    return np.array(list(seen), dtype=object if possible > _MAX_TOKENS else np.int64)


@dataclass(frozen=True)
class RandomHierarchy(World):
    """Random hierarchy model; with `zipf_a` rule k has a probability ~ k^-(1+a).

    Parameters
    ----------
    v : int
        Symbols per level, and vocabulary size.
    m : int
        Rules per symbol. A level has v m distinct tuples, which requires v m <= v^s.
    s : int
        Children per node.
    levels : int
        L; a string (one document) has s^L tokens.
    classes : int, optional
        Symbols of the root (class labels); v by default.
    zipf_a : float, optional
        Exponent a > 0 of the rule frequencies; None for uniform rules.
    zipf_levels : str
        ``1``: power law on the bottom level only; ``all``: on every level.
    rules_seed : int
        Seed of the rules (the seed of a sample is another).
    concatenated : bool
        The corpus is one stream of strings without document ends.
    rules : sequence of (n, m, s) integers, optional
        Explicit rules, the root's level first, in place of drawn ones.

    Raises
    ------
    InputError
        The rules cannot be unambiguous (m > v^(s-1)), strings are longer than 2^62 tokens, or a
        parameter is out of range.
    """

    kind: ClassVar[str] = "rhm"

    v: int
    m: int
    s: int
    levels: int
    classes: int | None = None
    zipf_a: float | None = None
    zipf_levels: str = "all"
    rules_seed: int = 0
    concatenated: bool = False
    rules: tuple[tuple[Any, ...], ...] | None = None

    def __post_init__(self) -> None:
        if self.classes is None:
            object.__setattr__(self, "classes", self.v)
        for name, minimum in (("v", 2), ("m", 1), ("s", 2), ("levels", 1), ("classes", 1)):
            check_whole(name, getattr(self, name), minimum)
        if self.v > 1 << 32:
            raise InputError(f"v={self.v}: token ids have 32 bits")
        if self.s > 62 or self.levels > 62 or self.s**self.levels > _MAX_TOKENS:
            raise InputError(
                f"s={self.s}, levels={self.levels}: a string would have s^levels tokens, more than "
                "2^62; use fewer levels"
            )
        if self.m * max(self.v, self._classes) > self.v**self.s:
            worst = "classes" if self._classes > self.v else "v"
            raise InputError(
                f"m={self.m}: rules are unambiguous only while m {worst} <= v^s, that is m <= "
                f"{self.v**self.s // max(self.v, self._classes)} here"
                + (" (v^(s-1))" if worst == "v" else "")
            )
        if self.levels * max(self.v, self._classes) * self.m * self.s > _MAX_CHILDREN:
            raise InputError(f"v={self.v}, m={self.m}: more than {_MAX_CHILDREN} entries of rules")
        if self.zipf_a is not None and not (math.isfinite(self.zipf_a) and self.zipf_a > 0):
            raise InputError(f"zipf_a={self.zipf_a}: must be positive")
        if self.zipf_levels not in ("1", "all"):
            raise InputError(f"zipf_levels={self.zipf_levels!r}: expected 1 or all")

    @property
    def _classes(self) -> int:
        assert self.classes is not None
        return self.classes

    @property
    def vocab_size(self) -> int:  # type: ignore[override]
        """v."""
        return self.v

    @property
    def document_length(self) -> int:  # type: ignore[override]
        """s^levels, tokens of one string."""
        return int(self.s**self.levels)

    @property
    def one_stream(self) -> bool:
        """The same as `concatenated`."""
        return self.concatenated

    @property
    def longest_lag(self) -> int:
        return _MAX_TOKENS if self.concatenated else self.document_length - 1

    def ruler(self, longest: int) -> list[int]:
        return powers(self.s, longest)

    @cached_property
    def frequencies(self) -> list[Floats]:
        """Rule probabilities q of every level, (m,) each, the root's level first."""
        uniform = np.full(self.m, 1.0 / self.m)
        if self.zipf_a is None:
            return [uniform] * self.levels
        zipf = zipf_law(self.m, 1.0 + self.zipf_a)
        all_levels = self.zipf_levels == "all"
        return [zipf if all_levels or level == self.levels - 1 else uniform
                for level in range(self.levels)]  # fmt: skip

    @cached_property
    def tree(self) -> Tree:
        """The rules with their probabilities."""
        if self.rules is not None:
            try:
                children = [np.asarray(level) for level in self.rules]
            except ValueError as error:
                raise InputError(
                    "rules: the rows of a level differ in length; give m tuples of s per symbol"
                ) from error
            self._check_rules(children)
            children = [level.astype(np.int64) for level in children]
        else:
            rng = random_generator(self.rules_seed, 0x52484D, name="rules_seed")
            children = draw_rules(self.v, self.m, self.s, self.levels, self._classes, rng)
        q = [
            np.broadcast_to(f, c.shape[:2]) for f, c in zip(self.frequencies, children, strict=True)
        ]
        return Tree(children, q, self.v)

    def _check_rules(self, children: list[NDArray[Any]]) -> None:
        shapes = [(self._classes if level == 0 else self.v, self.m, self.s)
                  for level in range(self.levels)]  # fmt: skip
        if [c.shape for c in children] != shapes:
            raise InputError(f"rules: need shapes {shapes}, got {[c.shape for c in children]}")
        for level, c in enumerate(children):
            if c.dtype.kind not in "iu":
                raise InputError(f"rules: level {level} must hold whole numbers, got {c.dtype}")
            if c.min() < 0 or c.max() >= self.v:
                raise InputError(f"rules: level {level} makes a symbol outside 0 .. {self.v - 1}")
            if len(np.unique(c.reshape(-1, self.s), axis=0)) < c.shape[0] * c.shape[1]:
                raise InputError(f"rules: level {level} gives one tuple to two symbols or rules")

    def parameters(self) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("v", "m", "s", "levels", "classes", "rules_seed", "concatenated")
        }
        if self.zipf_a is not None:
            parameters |= {"zipf_a": self.zipf_a, "zipf_levels": self.zipf_levels}
        if self.rules is not None:
            parameters["rules"] = [np.asarray(level).tolist() for level in self.rules]
        return parameters

    @cached_property
    def _source(self) -> TreeSource:
        levels = [
            TreeLevel(AliasTable.of(np.asarray(f)), c.astype(np.uint32))
            for f, c in zip(self.frequencies, self.tree.children, strict=True)
        ]
        return TreeSource(levels, self.s, self.v)

    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        key = random_key(seed, 1)
        for first in range(0, n_tokens, PIECE):
            out = np.empty(min(PIECE, n_tokens - first), self.dtype)
            self._source.sample(key, first, out, threads)
            yield out

    def labels(self, n_documents: int, *, seed: int, first: int = 0) -> NDArray[np.uint32] | None:
        """Root symbols of the strings that `pieces` draws with the same seed."""
        if self.concatenated:
            return None
        strings = np.arange(first, first + n_documents, dtype=np.uint64)
        return self._source.roots(random_key(seed, 1), strings).astype(np.uint32)

    # --- exact curves ----------------------------------------------------------------------------

    def covariance(self, lag: int, boundary: str) -> Floats:
        self.check_boundary(boundary)
        if self.v > MAX_DENSE:
            raise InputError(f"v={self.v}: a covariance is a matrix of v^2 numbers")
        return self.tree.covariance(lag, boundary)

    def norms(self, lags: Sequence[int], boundary: str) -> Floats:
        self.check_boundary(boundary)
        return self._norms(lags, lambda lag: self.tree.covariance(lag, boundary), boundary)

    def sequential_norms(self, lags: Sequence[int]) -> Floats:
        return self._norms(lags, self.tree.sequential_covariance, Boundary.DOCUMENT)

    def _norms(self, lags: Sequence[int], matrix: Any, boundary: str) -> Floats:
        norms = np.full(len(lags), np.nan)
        if self.v > MAX_DENSE:
            return norms
        for i, lag in enumerate(lags):
            if boundary == Boundary.STREAM or lag < self.document_length:
                norms[i] = np.linalg.norm(matrix(int(lag)), 2)
        return norms

    def entropies(self, max_context: int, boundary: str) -> Floats:
        self.check_boundary(boundary)
        entropies = np.full(max_context + 1, np.nan)
        longest, feasible = max_context + 1, longest_ngram(self.v, MAX_TREE_NGRAMS)
        if boundary == Boundary.STREAM:  # the population does not depend on max_context
            longest = min(longest, feasible)
        too_long = boundary == Boundary.DOCUMENT and longest > self.document_length
        if longest > feasible or too_long:
            return entropies
        window = (
            self.tree.stream_window(longest)
            if boundary == Boundary.STREAM
            else self.tree.document_window(longest)
        )
        entropies[:longest] = conditional_entropies(window)
        return entropies

    # --- exponents -------------------------------------------------------------------------------

    @property
    def valid_fraction(self) -> float:
        """f = m / v^(s-1), the fraction of tuples that some symbol produces."""
        return float(self.m / self.v ** (self.s - 1))

    @property
    def effective_rules(self) -> float:
        """m_2 = 1 / sum q^2 of the levels above the bottom, which determine the decay of C(t)."""
        if self.zipf_a is None or self.zipf_levels == "1":
            return float(self.m)
        return float(1.0 / np.sum(self.frequencies[0] ** 2))

    @property
    def typical_fraction(self) -> float:
        """f_1/2 = (sum sqrt q)^2 / v^(s-1), the Chernoff bound in place of f for typical rules."""
        q = self.frequencies[0 if self.zipf_levels == "all" else self.levels - 1]
        return float(np.sum(np.sqrt(q)) ** 2 / self.v ** (self.s - 1))

    def exponents(self) -> dict[str, KnownExponent]:
        exponents = (
            self._exponents_of_full_rules() if self.valid_fraction >= 1 else self._exponents()
        )
        if self.zipf_a is not None:
            exponents["classification"] = KnownExponent(
                self.zipf_a / (1 + self.zipf_a),
                "error of a classifier of the labels falls as P^-a/(1+a)",
            )
        return exponents

    def _exponents_of_full_rules(self) -> dict[str, KnownExponent]:
        """Exponents for f = 1, where the theory's amplitudes 1 - f and gamma ~ ln(1/f) vanish."""
        why = "every tuple is valid (f = 1) and equally likely, so tokens carry no correlation"
        if self.zipf_a is not None:
            why = "not known: every tuple is valid (f = 1), and only unequal rules correlate tokens"
        elif self._classes < self.v:
            why = "not known: every tuple is valid (f = 1) below the root, which has fewer classes"
        return {name: KnownExponent(None, why) for name in ("beta", "gamma", "alpha")}

    def _exponents(self) -> dict[str, KnownExponent]:
        log_s, rules = math.log(self.s), self.effective_rules
        p2 = (self.v ** (self.s - 1) - 1) / (self.v**self.s - 1)
        shrink = math.log1p(-p2)
        name = "m" if rules == self.m else "m_2"
        beta, uniform = math.log(rules) / log_s, math.log(self.m) / log_s
        gamma = math.log(1 / self.valid_fraction) / log_s
        fastest = math.log(1 / self.typical_fraction) / log_s
        every_level = self.zipf_a is not None and self.zipf_levels == "all"
        last_token = (
            "ln(1/f) / ln s: entropy of the LAST token given the s^l - 1 before it, once "
            "v f^l < 1; averaged over positions it is another number"
        )
        exponents = {
            "beta": KnownExponent(
                (math.log(rules) - shrink) / log_s,
                f"[ln {name} - ln(1 - p2)] / ln s: decay of the root-mean-square C(t) over rule "
                "draws at this v",
            ),
            "beta_large_v": KnownExponent(beta, f"ln {name} / ln s, for v to infinity"),
            "gamma": KnownExponent(gamma, last_token),
        }
        if every_level:
            exponents["gamma"] = KnownExponent(
                None,
                "between ln(1/f) / ln s and ln(1/f_1/2) / ln s (last token, power-law rules on "
                "all levels)",
                gamma,
                fastest,
            )
            exponents["beta_uniform"] = KnownExponent(
                (math.log(self.m) - shrink) / log_s,
                "[ln m - ln(1 - p2)] / ln s, were all rules equally likely",
            )
            if self.m > 1:
                exponents["alpha_uniform"] = KnownExponent(
                    gamma / (2 * uniform), "ln(1/f) / (2 ln m), were all rules equally likely"
                )
        if beta > 0:
            meaning = "gamma / (2 beta), both for the last token and large v"
            exponents["alpha"] = (
                KnownExponent(None, meaning, gamma / (2 * beta), fastest / (2 * beta))
                if every_level
                else KnownExponent(gamma / (2 * beta), meaning)
            )
        return exponents

    @property
    def entropy_rate(self) -> float:
        """Entropy of a string per token; the rules are unambiguous, so a string determines them."""
        d = float(self.document_length)
        total = math.log(self._classes) / d
        for level, q in enumerate(self.frequencies):
            total += float(self.s) ** level / d * block_entropy(q)
        return total

    def thresholds(self, levels: int) -> Floats:
        """P*_l = v m^(2l-1) / (1 - f), tokens needed to resolve correlations of level l = 1 ..."""
        if self.valid_fraction >= 1:
            return np.full(levels, np.inf)
        powers = np.array([self.effective_rules ** (2.0 * k - 1) for k in range(1, levels + 1)])
        thresholds: Floats = self.v * powers / (1 - self.valid_fraction)
        return thresholds

    def extras(self) -> dict[str, Any]:
        tree = self.tree
        f, q = self.valid_fraction, self.frequencies[-1]
        levels = min(self.levels, 12)
        extras: dict[str, Any] = {
            "m": self.m,
            "m_2": float(1 / np.sum(q**2)),
            "m_half": float(np.sum(np.sqrt(q)) ** 2),
            "f": f,
            "f_half": self.typical_fraction,
            "entropy_rate": self.entropy_rate,
            "thresholds": {
                "meaning": "tokens that resolve correlations of level l = 1 ...",
                "tokens": [float(p) for p in self.thresholds(levels) if math.isfinite(p)],
            },
        }
        staircase = tree.staircase(min(levels, 8), _MAX_BELIEFS)
        known = staircase[np.isfinite(staircase)]
        extras["last_token_entropy"] = {
            "meaning": "H of a string's last token given the s^l - 1 before it, as far as the "
            "histories can be gone through",
            "context": [self.s**k - 1 for k in range(len(known))],
            "entropy": known.tolist(),
            "annealed": [math.log(1 / (1 - f) + self.v * f**k) if f < 1 else math.log(self.v)
                         for k in range(len(known))],
        }  # fmt: skip
        extras["position_averaged_entropy"] = self._position_averaged()
        if self.v <= MAX_DENSE:
            last = self.document_length - 1
            lags = [self.s**k - 1 for k in range(1, self.levels + 1)]
            extras["last_token_covariance"] = {
                "meaning": "norm of the covariance of a string's last token with the one `lag` "
                "before it; lag s^l - 1 reaches the first token of a block of level l",
                "lag": lags,
                "norm": [
                    float(np.linalg.norm(tree.pair_covariance(last - lag, last), 2)) for lag in lags
                ],
            }
        return extras

    def _position_averaged(self) -> dict[str, Any]:
        tree, d = self.tree, self.document_length
        exact = np.zeros(0)
        longest = longest_ngram(self.v, MAX_TREE_NGRAMS // min(d, MAX_TREE_NGRAMS))
        products = d * self.levels * self.v ** (longest + 2)
        if d <= _MAX_POSITIONS and products <= _MAX_WINDOWS:
            exact = tree.position_averaged_entropies(min(longest, d) - 1)
        rng = random_generator(self.rules_seed, 0x504F53, name="rules_seed")
        entropies: dict[int, tuple[float, float]] = {}  # context: (entropy, standard error)
        for n in (0, 1, 2, 3, 5, 7, 11, 15, 23, 31):
            # Nodes above a window times rules, once with and once without the last token.
            products = 2 * (2 * n + self.levels) * self.v * self.m * self.s
            if n < len(exact):
                entropies[n] = float(exact[n]), 0.0
            elif n < d and products * _SAMPLES <= _MAX_SAMPLED:
                entropies[n] = tree.sampled_entropy(n, _SAMPLES, rng)
        return {
            "meaning": "mean of H(x_i | n tokens before it, i known) over i >= n; exact where the "
            "standard error is 0, else Monte Carlo over positions and strings with exact "
            "probabilities; without contexts that would take too long",
            "context": list(entropies),
            "entropy": [value for value, _ in entropies.values()],
            "standard_error": [error for _, error in entropies.values()],
        }

    def warnings(self) -> list[str]:
        warnings = [
            "gamma and alpha hold for the entropy of a string's last token; averaged over "
            "positions, as any counting of a corpus is, the entropy falls with another exponent",
        ]
        if self.v < 8:
            warnings.append(
                f"v={self.v} is small: C(t) of single levels can vanish exactly, and the "
                "exponents hold on average over rules only"
            )
        if self.concatenated or self.document_length < 1 << 10:
            warnings.append(
                "the stream of concatenated strings is periodic in the string's length: "
                "its C(t) does not vanish at lags beyond it"
            )
        return warnings
