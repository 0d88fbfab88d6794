"""Checks an installed ngramstat as a user would meet it: what it was built from, and quickstart.

    python packaging/check_installed.py [OUTPUT]

OUTPUT is a directory for the quickstart's files; a temporary one if it is left out.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path


def check_build() -> dict[str, str | bool]:
    """What the extension was built from: a known commit, without CUDA and without assertions."""
    # Not from the directory that this lies in, where the sources may be.
    code = "import json, ngramstat._core as core; print(json.dumps(core.build_info()))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    info = json.loads(done.stdout)
    if not re.fullmatch(r"[0-9a-f]{40}", info["commit"]):
        raise SystemExit(f"the extension does not know its commit: {info}")
    if info["cuda"] or info["assertions"]:
        raise SystemExit(f"no extension for release: {info}")
    return info


def run_quickstart(directory: Path) -> None:
    # Relative, as results name the files that they are in.
    quickstart = [sys.executable, "-I", "-m", "ngramstat", "quickstart", "-o", "quickstart"]
    subprocess.run(quickstart, cwd=directory, check=True)
    run = json.loads((directory / "quickstart" / "run" / "run.json").read_text(encoding="utf-8"))
    if not run["answer"]:
        raise SystemExit("quickstart gave no answer")


def main() -> None:
    info = check_build()
    if len(sys.argv) > 1:
        run_quickstart(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as directory:
            run_quickstart(Path(directory))
    print(f"ngramstat {info['version']} of commit {info['commit']}, {info['compiler']}: works")


if __name__ == "__main__":
    main()
