"""The ``ngramstat`` command."""

from __future__ import annotations

from ngramstat.cli.main import main

__all__ = ["main"]
