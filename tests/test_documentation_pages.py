"""The pages of docs/: tasks that they show run as printed, and their lists are complete."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ngramstat

REPOSITORY = Path(__file__).resolve().parent.parent
# Pages whose blocks run one after the other in an empty directory.
PAGES = (
    "cooccurrence.md",
    "index.md",
    "kernels.md",
    "language-models.md",
    "ngram-index.md",
    "ngrams.md",
    "overlap.md",
    "tutorials/counts.md",
    "tutorials/narrowing.md",
    "tutorials/ngram-models.md",
    "tutorials/own-text.md",
    "tutorials/worlds.md",
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
        command = command.replace("$(python ", f"$({sys.executable} ")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            capture_output=True, text=True, env=os.environ, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stderr}"


def test_the_reference_of_python_has_every_public_name_once():
    """By the place where it is defined, which mkdocstrings reads without importing it."""
    page = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    described = re.findall(r"^::: ([\w.]+)$", page, re.MULTILINE)
    named = sorted(name.rpartition(".")[2] for name in described)
    assert named == sorted(set(ngramstat.__all__) - {"__version__"})
    for place in described:
        module, _, name = place.rpartition(".")
        # `ngramstat.theories` is a module that can be called; the page shows the function.
        value = getattr(ngramstat, name)
        assert (value.__module__ == module) != (name == "theories"), place


def test_the_drawn_figure_is_that_of_its_source():
    """Every box and every arrow's words; drawing it takes Graphviz, which tests do not need."""
    source = (REPOSITORY / "docs" / "data-flow.dot").read_text(encoding="utf-8")
    drawn = (REPOSITORY / "docs" / "data-flow.svg").read_text(encoding="utf-8")
    words = [
        line for label in re.findall(r'label="([^"]+)"', source) for line in label.split(r"\n")
    ]
    texts = re.findall(r"<text[^>]*>([^<]+)</text>", drawn)
    assert sorted(words) == sorted(map(html.unescape, texts))
    assert drawn.count('class="edge"') == source.count("->")
