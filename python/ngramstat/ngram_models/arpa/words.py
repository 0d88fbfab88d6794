"""Words of ARPA files that have a meaning of their own."""

from __future__ import annotations

__all__ = ["BEGIN", "END", "LOG_ZERO", "UNKNOWN"]

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
# What the format writes for the logarithm of zero.
LOG_ZERO = -99.0
