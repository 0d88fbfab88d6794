"""Fits of the exponents, with windows, intervals and reasons not to report them.

Nothing here depends on corpora or kernels: every function takes arrays, the measured curve and,
for its interval, replicates of that curve.
"""

from __future__ import annotations

from ngramstat.exponents.decay import beta_exponent
from ngramstat.exponents.decay_curve import MeasuredDecay
from ngramstat.exponents.entropy_decay import (
    LossesBySize,
    gamma_exponent,
    gamma_finite_exponent,
)
from ngramstat.exponents.fit import broken_power_law, power_law, shifted_power_law
from ngramstat.exponents.intervals import percentile_interval
from ngramstat.exponents.learning_limit import LimitFit, learning_limit
from ngramstat.exponents.paper_protocol import PAPER_LAGS, PAPER_WINDOW, paper_beta
from ngramstat.exponents.point_errors import PointLaw, law_of_points
from ngramstat.exponents.raw_gamma import raw_gamma

__all__ = [
    "PAPER_LAGS",
    "PAPER_WINDOW",
    "LimitFit",
    "LossesBySize",
    "MeasuredDecay",
    "PointLaw",
    "beta_exponent",
    "broken_power_law",
    "gamma_exponent",
    "gamma_finite_exponent",
    "law_of_points",
    "learning_limit",
    "paper_beta",
    "percentile_interval",
    "power_law",
    "raw_gamma",
    "shifted_power_law",
]
