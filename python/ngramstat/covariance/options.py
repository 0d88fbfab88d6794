"""Options of the token covariance, and the lags it is measured at by default."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ngramstat.boundary import Boundary
from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.exponents.paper_protocol import PAPER_LAGS
from ngramstat.kernels import BLOCK_SIZE
from ngramstat.sampling.options import SamplingOptions

__all__ = ["DEFAULT_LAGS", "PROTOCOLS", "CorrelationOptions", "check_protocol", "default_lags"]

# About three lags an octave: enough to see a break or a local peak, few enough to be quick.
DEFAULT_LAGS = (
    *(1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64),
    *(80, 101, 128, 161, 203, 256, 362, 512),
)
# How beta is fitted, with the lags that are measured for it.
PROTOCOLS = {"default": DEFAULT_LAGS, "paper": PAPER_LAGS}
# A lag is measured by default if the stream is this many times as long, and (within documents) if
# one token in this many has a partner.
_MIN_STREAM_RATIO = 10


@dataclass(frozen=True, kw_only=True)
class CorrelationOptions(SamplingOptions):
    """Resolved options of the correlations; all of them shape the result.

    Attributes
    ----------
    lags : tuple of int
        Separations in tokens, increasing.
    singular_values : int
        How many leading singular values to return, 1 .. 8.
    window : (low, high) or None
        Lags to fit beta on, inclusive; None finds them.
    vocab_top : int or None
        Restrict C(t) to this many of the most frequent vocabulary items; None: all of them.
    sequential : bool
        Measure the sequential covariance and its nulls, too; they take most of the time.
    protocol : str
        How beta is fitted: ``default``, or ``paper`` (equal weights, lags 1..192).
    matrix_free : bool
        Count no pairs: every product is a pass over the tokens. Not with `sequential`; Frobenius
        norms are not measured.
    """

    lags: tuple[int, ...]
    singular_values: int = BLOCK_SIZE
    window: tuple[int, int] | None = None
    vocab_top: int | None = None
    sequential: bool = True
    matrix_free: bool = False
    protocol: str = "default"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.lags or any(b <= a for a, b in zip((0, *self.lags), self.lags, strict=False)):
            raise InputError(f"lags={list(self.lags)}: need increasing integers of at least 1")
        if not 1 <= self.singular_values <= BLOCK_SIZE:
            raise InputError(
                f"singular_values={self.singular_values}: must lie in 1 .. {BLOCK_SIZE}"
            )
        if self.vocab_top is not None and self.vocab_top < 1:
            raise InputError(f"vocab_top={self.vocab_top}: must be at least 1")
        check_protocol(self.protocol)
        if self.matrix_free and self.sequential:
            raise InputError("matrix_free=True: needs --no-sequential")


def check_protocol(name: str) -> str:
    """The name of a protocol.

    Raises
    ------
    InputError
        There is none of this name.
    """
    if name not in PROTOCOLS:
        raise InputError(f"protocol={name!r}: must be one of {', '.join(PROTOCOLS)}")
    return name


def default_lags(
    corpus: Corpus, boundary: Boundary = Boundary.STREAM, protocol: str = "default"
) -> tuple[int, ...]:
    """The lags of the protocol at which the corpus has enough pairs, at least lag 1.

    Enough: the stream is ten times as long; with boundary ``document``, also at least a tenth of
    the tokens have a partner at that lag in their document.
    """
    n = corpus.n_tokens
    lengths = np.array([n])
    if boundary is Boundary.DOCUMENT and corpus.document_ends is not None:
        # Separators take no part in pairs inside documents.
        lengths = np.diff(corpus.document_ends, prepend=0) - (corpus.separator is not None)

    def has_enough_pairs(lag: int) -> bool:
        pairs = int(np.maximum(lengths - lag, 0).sum())
        return lag * _MIN_STREAM_RATIO <= n and pairs * _MIN_STREAM_RATIO >= n

    return tuple(lag for lag in PROTOCOLS[protocol] if lag == 1 or has_enough_pairs(lag))
