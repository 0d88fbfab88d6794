"""``python -m ngramstat`` is the command ``ngramstat``."""

from __future__ import annotations

from ngramstat.cli import main

if __name__ == "__main__":
    main(prog_name="ngramstat")
