"""Synthetic worlds: random sources of tokens whose C(t), H(n) and exponents are known exactly."""

from __future__ import annotations

from ngramstat.synthetic.broadcast import BroadcastTree
from ngramstat.synthetic.copying import CopyProcess
from ngramstat.synthetic.graph import GraphWalk
from ngramstat.synthetic.hierarchy import RandomHierarchy
from ngramstat.synthetic.independent import IndependentTokens
from ngramstat.synthetic.markov import MarkovChain
from ngramstat.synthetic.ngram import NgramLanguage
from ngramstat.synthetic.percolation import Percolation
from ngramstat.synthetic.quanta import Quanta
from ngramstat.synthetic.runs import RunProcess
from ngramstat.synthetic.santa_fe import SantaFe
from ngramstat.synthetic.tables import RareTables
from ngramstat.synthetic.world import KnownExponent, World
from ngramstat.synthetic.write import synthesize, truth

__all__ = [
    "BroadcastTree",
    "CopyProcess",
    "GraphWalk",
    "IndependentTokens",
    "KnownExponent",
    "MarkovChain",
    "NgramLanguage",
    "Percolation",
    "Quanta",
    "RandomHierarchy",
    "RareTables",
    "RunProcess",
    "SantaFe",
    "World",
    "synthesize",
    "truth",
]
