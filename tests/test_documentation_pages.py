"""The pages of docs/ that show a task from start to end run as they are printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
# Pages whose blocks run one after the other in an empty directory.
PAGES = (
    "cooccurrence.md",
    "kernels.md",
    "language-models.md",
    "ngram-index.md",
    "ngrams.md",
    "overlap.md",
)
_BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_page(page, tmp_path, monkeypatch):
    """Blocks of Python share their names; blocks of the shell see the same files."""
    monkeypatch.chdir(tmp_path)
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": "__main__"}
    blocks = _BLOCK.findall(text)
    assert blocks, f"{page} shows nothing"
    for language, block in blocks:
        if language == "python":
            exec(compile(block, page, "exec"), names)
            continue
        command = block.replace("ngramstat ", f"{sys.executable} -m ngramstat ")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            capture_output=True, text=True, env=os.environ, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stderr}"
