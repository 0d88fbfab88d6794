"""The two public exceptions.

A message is one line that names the file or argument, the cause and the mend, because the
command line prints it as it stands behind ``Error:``.
"""

from __future__ import annotations

__all__ = ["InputError", "NgramstatError"]


class NgramstatError(Exception):
    """A computation failed (exit code 1): disk full, out of memory, a missing extra."""


class InputError(NgramstatError, ValueError):
    """An argument or an input file cannot be used as given (exit code 2)."""
