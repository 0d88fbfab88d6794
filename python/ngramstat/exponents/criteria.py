"""The thresholds that several fits share: what an exponent must satisfy to be reported."""

from __future__ import annotations

__all__ = [
    "DECISIVE_BIC",
    "MAX_BEND",
    "MAX_COPIES",
    "MAX_HALF_WIDTH",
    "MIN_CONTEXTS",
    "MIN_R2",
    "MIN_SPAN",
    "MIN_USABLE",
    "RESOLVED_FRACTION",
]

# Last over first lag or training-set size. A range shorter than a decade cannot tell a power law
# from any other decay, nor a limit from an exponent.
MIN_SPAN = 10.0

# Fraction of the variance of the logarithms that a power law must explain. It refuses curves that
# are mostly scatter; curvature is caught by MAX_BEND and by the comparison with other laws.
MIN_R2 = 0.7

# Difference in BIC from which one law is preferred to another: "very strong" evidence on the usual
# scale (Kass and Raftery 1995).
DECISIVE_BIC = 10.0

# Slopes of parts of one power law agree; where they differ by more than this ratio the curve bends.
MAX_BEND = 2.0

# Half width of an interval, as a fraction of the value, up to which an exponent is called measured:
# its ends then differ by no more than MAX_BEND. The paper's own interval of beta on WikiText-103,
# .94 +- .16 as a standard error, is as wide.
MAX_HALF_WIDTH = (MAX_BEND - 1) / (MAX_BEND + 1)

# Contexts that a slope of the entropies needs: two always lie on a line.
MIN_CONTEXTS = 3

# Fraction of the bootstrap replicates that must allow a fit. Below it the interval would describe
# only the replicates that happen to be positive.
MIN_USABLE = 0.9

# A context is resolved where the interval of H_n is at most this fraction of the drop to it: the
# logarithm of the drop then has an interval of about 1/4, small beside the differences between
# contexts that an exponent is fitted to.
RESOLVED_FRACTION = 0.25

# Fraction of held-out tokens inside copied passages above which no context is called resolved. A
# copy is predicted at almost no loss, so this fraction of H_n is the error that copies may cause;
# 88 M tokens of English Wikipedia have 1.1 %.
MAX_COPIES = 0.02
