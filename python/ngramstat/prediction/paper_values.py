"""Headline numbers of Cagnetta, Raventos, Ganguli and Wyart 2026 (arXiv:2602.07488), to compare.

From the paper and from the printed outputs of the authors' notebooks (the public repository
f-damico/small-language-modelling, commit 1206efa): figures only.
"""

from __future__ import annotations

from ngramstat.results import PaperValue

__all__ = ["PAPER_VALUES"]

_TINY, _WIKI = "TinyStories", "WikiText-103"
_PAPER = "arXiv:2602.07488"
_OUTPUTS = "outputs of the authors' notebooks"

PAPER_VALUES = (
    PaperValue(
        quantity="beta", corpus=_TINY, value=0.8843, error=0.0554, low=0.7646, high=1.0040,
        window=(1.0, 192.0), points=15, source=_OUTPUTS,
    ),
    PaperValue(quantity="beta", corpus=_WIKI, value=0.94, error=0.16, source=_PAPER),
    PaperValue(
        quantity="gamma", corpus=_TINY, value=0.3246, error=0.0031, low=0.3178, high=0.3314,
        window=(1.0, 15.0), tokens=529_203_200.0, points=15, source=_OUTPUTS,
    ),
    PaperValue(
        quantity="gamma", corpus=_TINY, value=0.3136, error=0.0025, low=0.3098, high=0.3195,
        window=(1.0, 15.0), tokens=268_435_456.0, points=15, source=_OUTPUTS,
    ),
    PaperValue(
        quantity="gamma", corpus=_WIKI, value=0.2501, error=0.0069, low=0.2129, high=0.2654,
        window=(1.0, 5.0), tokens=134_217_728.0, points=5, source=_OUTPUTS,
    ),
    PaperValue(
        quantity="alpha_predicted", corpus=_TINY, value=0.185, error=0.013, source=_PAPER
    ),
    PaperValue(
        quantity="alpha_predicted", corpus=_WIKI, value=0.141, error=0.025, source=_PAPER
    ),
    PaperValue(
        quantity="alpha", corpus=_TINY, value=0.1853, error=0.0027, low=0.1770, high=0.1946,
        window=(262_144.0, 4_194_304.0), points=5, source=_OUTPUTS,
    ),
    PaperValue(
        quantity="alpha", corpus=_TINY, value=0.1617, error=0.0045, low=0.1494, high=0.1751,
        window=(262_144.0, 529_203_200.0), points=12, source=_OUTPUTS,
    ),
    PaperValue(
        quantity="alpha", corpus=_WIKI, value=0.1437, error=0.0052, low=0.1324, high=0.1552,
        window=(1_048_576.0, 16_777_216.0), points=5, source=_OUTPUTS,
    ),
    PaperValue(
        quantity="alpha", corpus=_WIKI, value=0.1517, error=0.0034, low=0.1467, high=0.1605,
        window=(1_048_576.0, 134_217_728.0), points=8, source=_OUTPUTS,
    ),
)  # fmt: skip
