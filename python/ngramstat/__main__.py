"""``python -m ngramstat`` and the command ``ngramstat``."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command; Ctrl-C while its modules are imported ends it by a sentence, too."""
    try:
        from ngramstat.cli import main as command
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. Nothing was written; run the same command again\n")
        sys.exit(130)
    except MemoryError:
        sys.stderr.write("Error: out of memory; allow more (ulimit -v)\n")
        sys.exit(1)
    command(prog_name="ngramstat")


if __name__ == "__main__":
    main()
