"""Sampling designs as tests need them."""

from __future__ import annotations

import ngramstat
from ngramstat.boundary import Boundary
from ngramstat.sampling.design import SamplingDesign
from ngramstat.sampling.options import SamplingOptions
from ngramstat.sampling.split import HeldOutSplit, random_split


def design_of(
    corpus: ngramstat.Corpus, *, boundary: str = "stream", seed: int = 0, replicates: int = 999
) -> SamplingDesign:
    options = SamplingOptions(boundary=Boundary(boundary), seed=seed, replicates=replicates)
    return SamplingDesign(corpus, options)


def split_of(design: SamplingDesign, fraction: float, seed: int = 0) -> HeldOutSplit:
    return random_split(design.corpus, design.documents, fraction=fraction, seed=seed)
