"""Notes for the user: one line each, through the logger ``ngramstat``.

Nothing is shown unless the program configures logging, as in
``logging.basicConfig(level="INFO")``; the command line shows them on standard error.
"""

from __future__ import annotations

import logging

__all__ = ["LOGGER", "note", "warn"]

LOGGER = logging.getLogger("ngramstat")
LOGGER.addHandler(logging.NullHandler())


def note(message: str) -> None:
    """Say something that the user may want to know, and that is no error."""
    LOGGER.info("%s", message)


def warn(message: str) -> None:
    """Say something that may be a mistake, or that the user has to know to read the results."""
    LOGGER.warning("%s", message)
