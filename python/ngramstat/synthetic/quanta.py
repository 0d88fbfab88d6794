"""Quanta: independent tokens, each a piece of knowledge that is needed (docs/theory.md 8)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ngramstat.synthetic.independent import IndependentTokens
from ngramstat.synthetic.world import Floats, KnownExponent, StationaryWorld, Tokens
from ngramstat.theories.quanta import QuantaLaw

__all__ = ["Quanta"]

# Numbers of tokens at which losses are known, four a decade, and sampled learners at each.
_SIZES = tuple(round(10 ** (k / 4)) for k in range(29))
_SAMPLED_SIZES, _DRAWS = tuple(10**k for k in range(6)), 20


@dataclass(frozen=True)
class Quanta(StationaryWorld):
    """Tokens drawn independently with p_k ~ k^-(1+alpha): which quantum the next prediction needs.

    Quantum k is token k - 1. What a learner that remembers quanta loses is known exactly, with the
    sampled learners and the moments when single quanta are learned beside it.

    Parameters
    ----------
    alpha : float
        Exponent of the loss in the number of learned quanta.
    vocab_size : int
        Number of quanta.
    document_length : int

    Raises
    ------
    InputError
        A parameter is out of range.
    """

    kind: ClassVar[str] = "quanta"

    alpha: float = 0.5
    vocab_size: int = 1 << 16
    document_length: int = 1000

    def __post_init__(self) -> None:
        _ = self.law, self._tokens  # which check the parameters

    def parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("alpha", "vocab_size", "document_length")}

    @cached_property
    def law(self) -> QuantaLaw:
        """The frequencies of the quanta."""
        return QuantaLaw(self.alpha, self.vocab_size)

    @cached_property
    def _tokens(self) -> IndependentTokens:
        return IndependentTokens(
            self.vocab_size, 1 + self.alpha, document_length=self.document_length
        )

    def pieces(self, n_tokens: int, *, seed: int, threads: int = 1) -> Iterator[Tokens]:
        return self._tokens.pieces(n_tokens, seed=seed, threads=threads)

    @property
    def marginal(self) -> Floats:
        """Distribution of a token, (V,)."""
        return self._tokens.marginal

    def process_norms(self, lags: Sequence[int], *, sequential: bool = False) -> Floats:
        return self._tokens.process_norms(lags, sequential=sequential)

    def process_covariance(self, lag: int) -> Floats:
        return self._tokens.process_covariance(lag)

    def process_entropies(self, max_context: int) -> Floats:
        return self._tokens.process_entropies(max_context)

    def entropies(self, max_context: int, boundary: str) -> Floats:
        return self._tokens.entropies(max_context, boundary)

    def norms(self, lags: Sequence[int], boundary: str) -> Floats:
        return self._tokens.norms(lags, boundary)

    def extras(self) -> dict[str, Any]:
        """The loss of the learner that remembers quanta: exact, sampled, and quantum by quantum."""
        law = self.law
        sampled, errors = law.simulate(_SAMPLED_SIZES, draws=_DRAWS)
        single = [k for k in (1, 10, 100, 1000, 10_000) if k <= self.vocab_size]
        return {
            "memoriser": {
                "tokens": list(_SIZES),
                "loss": law.loss(_SIZES).tolist(),
                "quanta_seen": law.seen(_SIZES).tolist(),
                "sampled_tokens": list(_SAMPLED_SIZES),
                "sampled_loss": sampled.tolist(),
                "sampled_loss_error": errors.tolist(),
            },
            "single_quanta": {
                "quantum": single,
                # A learner of so many tokens has seen it with probability one half.
                "half_learned_at": (-math.log(2) / np.log1p(-law.probability(single))).tolist(),
                "learned": law.learned(single, _SIZES).tolist(),
            },
        }

    def exponents(self) -> dict[str, KnownExponent]:
        why = "no correlation between tokens"
        known = {name: KnownExponent(None, why) for name in ("beta", "gamma", "alpha")}
        known["memoriser"] = KnownExponent(
            self.law.exponent,
            "alpha / (1 + alpha): the loss of a learner that remembers quanta falls as "
            "P^-memoriser while it has not seen most of them",
        )
        return known
