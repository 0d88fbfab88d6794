"""The worlds of the calibration, the sizes of their corpora and how each is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ngramstat.synthetic import (
    BroadcastTree,
    CopyProcess,
    GraphWalk,
    IndependentTokens,
    MarkovChain,
    RandomHierarchy,
    RareTables,
    RunProcess,
    SantaFe,
    World,
)

__all__ = ["CASES", "Case"]


@dataclass(frozen=True)
class Case:
    """One world and how it is measured.

    Attributes
    ----------
    name : str
    world : callable
        Takes the number of the draw and returns the world.
    draws : dict
        Number of draws for each number of tokens.
    lags : tuple of int
        Empty: correlations are not measured.
    max_context : int
        Negative: entropies are not measured.
    boundary : str
    replicates : int
    beta_window : (low, high) or None
    unequal : float
        If positive, documents are cut from one stream with log-normal lengths of this sigma, about
        1000 tokens on average; if 0, documents are those of the world.
    last_token : bool
        For a random hierarchy: measure pairs of the last token of a string with earlier tokens,
        instead of all pairs.
    note : str
        What the case tests.
    """

    name: str
    world: Callable[[int], World]
    draws: dict[int, int]
    lags: tuple[int, ...] = tuple(2**k for k in range(10))
    max_context: int = -1
    boundary: str = "document"
    replicates: int = 299
    beta_window: tuple[int, int] | None = None
    unequal: float = 0.0
    last_token: bool = False
    note: str = ""


def _potts(beta: float, levels: int, noise: float = 0.0, v: int = 8) -> Callable[[int], World]:
    return lambda draw: BroadcastTree.with_beta(beta, v, 2, levels, noise)


_SMALL = {10**5: 200, 10**6: 200}
_FEW_LAGS = (1, 2, 3, 5, 8, 13, 20, 32)

CASES = [
    Case("potts 0.9", _potts(0.9, 12), {**_SMALL, 10**7: 20, 10**8: 3}, max_context=3,
         note="one tree of 4096 tokens a document: clustered, equal singular values"),
    Case("potts 0.6", _potts(0.6, 12), {**_SMALL, 10**7: 20, 10**8: 3}),
    Case("potts 1.4", _potts(1.4, 10), {**_SMALL, 10**7: 20, 10**8: 3}),
    Case("potts, 30% noise documents", _potts(0.9, 10, 0.3), {10**6: 200},
         note="documents differ far more than chance: heavily clustered"),
    Case("potts, 64 types", _potts(0.9, 10, 0.0, 64), {10**6: 200}),
    Case("potts, stream", _potts(0.9, 14), {10**6: 200}, boundary="stream",
         note="pairs run across documents"),
    Case("runs 0.7", lambda draw: RunProcess(0.7, 2, 2000), {10**6: 200, 10**7: 20, 10**8: 3},
         lags=(), max_context=12, note="runs without finite variance"),
    Case("runs 1", lambda draw: RunProcess(1.0, 2, 2000),
         {**_SMALL, 10**7: 20, 10**8: 3}, lags=(), max_context=12),
    Case("runs 2", lambda draw: RunProcess(2.0, 2, 2000), {10**6: 200, 10**7: 20, 10**8: 3},
         lags=(), max_context=12),
    Case("runs 1, 4 types", lambda draw: RunProcess(1.0, 4, 2000), {10**6: 200, 10**7: 20},
         lags=(1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128), max_context=6,
         note="beta and gamma of one world; three equal singular values"),
    Case("santa fe", lambda draw: SantaFe(0.43, 3.18, kinds=400, document_length=5000),
         {10**6: 200, 10**7: 20, 10**8: 2}, lags=(8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256, 362,
         512, 724, 1024), max_context=1, note="beta .9, gamma .3; lags where many facts compete"),
    Case("copy", lambda draw: CopyProcess(document_length=2000), {10**6: 200, 10**7: 10},
         max_context=1, note="short memory: many nearly independent pairs"),
    Case("markov", lambda draw: MarkovChain.random(30, 1, concentration=0.3, rules_seed=draw,
         document_length=500), {10**6: 200}, lags=_FEW_LAGS, max_context=2,
         note="another chain every draw; exponents must be refused"),
    Case("markov, order 2", lambda draw: MarkovChain.random(6, 2, rules_seed=draw,
         document_length=500), {10**6: 200}, lags=_FEW_LAGS, max_context=6,
         note="another chain every draw; exponents must be refused"),
    Case("markov, slow", lambda draw: MarkovChain(
         np.eye(4) * 0.95 + 0.05 * np.random.default_rng(draw).dirichlet(np.ones(4), 4),
         document_length=2000), {10**6: 200}, lags=(1, 2, 4, 8, 16, 32, 64, 128), max_context=6,
         note="correlation time about 20 tokens; exponents must be refused"),
    Case("markov, unequal documents", lambda draw: MarkovChain.random(6, 2, rules_seed=draw,
         document_length=10**6), {10**6: 200}, lags=_FEW_LAGS, max_context=4, unequal=1.5,
         note="a stationary stream cut at log-normal lengths: documents from tens to 10^4 tokens"),
    Case("graph walk", lambda draw: GraphWalk(1000, 5000, rules_seed=draw, document_length=1000),
         {10**7: 10}, lags=(1, 2, 3, 4, 6, 8, 12), max_context=2,
         note="exponents must be refused"),
    Case("topics", lambda draw: IndependentTokens(300, 1.0, topics=20, concentration=50.0,
         document_length=200), {10**6: 200}, lags=(1, 4, 16, 64), max_context=0,
         note="composition of documents, no sequence"),
    Case("topics, 20 types", lambda draw: IndependentTokens(20, 1.0, topics=10, concentration=20.0,
         document_length=200), {10**6: 200}, lags=(1, 2, 4, 8, 16, 32, 64), max_context=2,
         note="composition of documents, no sequence"),
    Case("tables", lambda draw: RareTables(), {10**6: 200, 10**7: 40},
         lags=(1, 2, 4, 8, 16, 32, 64, 128), max_context=1,
         note="a hundredth of the documents carry C(t): 20 tables at 10^6 tokens"),
    Case("independent, 2 types", lambda draw: IndependentTokens(2, 1.0), {10**6: 200},
         lags=_FEW_LAGS, max_context=4, note="null: no lag may be valid"),
    Case("independent, 20 types", lambda draw: IndependentTokens(20, 1.0),
         {10**6: 200, 10**7: 100},
         lags=_FEW_LAGS, max_context=2, note="null: no lag may be valid"),
    Case("independent, 1000 types", lambda draw: IndependentTokens(1000, 1.0),
         {10**6: 100, 10**7: 4}, lags=(1, 2, 5, 13, 32), max_context=0,
         note="null: no lag may be valid"),
    Case("independent, 8192 types", lambda draw: IndependentTokens(8192, 1.0),
         {10**5: 4, 10**6: 4, 4 * 10**6: 2}, lags=(1, 2, 5), max_context=0,
         note="null: the noise constant of theory"),
    Case("hierarchy 16, 4", lambda draw: RandomHierarchy(16, 4, 2, 6, rules_seed=draw),
         {10**7: 16}, last_token=True, lags=(1, 3, 7, 15),
         note="another set of rules every draw; last token of a string"),
    Case("hierarchy 32, 8", lambda draw: RandomHierarchy(32, 8, 2, 5, rules_seed=draw),
         {10**8: 4}, last_token=True, lags=(1, 3, 7),
         note="another set of rules every draw; last token of a string"),
    Case("hierarchy 8, 4", lambda draw: RandomHierarchy(8, 4, 2, 8), {10**6: 200}, lags=(1, 2, 3),
         max_context=3, note="entropies of a fixed grammar; position averaged"),
]  # fmt: skip
