"""The notebook of first steps, run by a kernel of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs nbformat: pip install 'ngramstat[test]'")
nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install 'ngramstat[test]'")

NOTEBOOK = Path(__file__).resolve().parent.parent / "examples" / "first_steps.ipynb"


def test_the_notebook_is_committed_without_output() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    first = [line for line in code[0]["source"] if line.strip()]
    assert len(first) == 6
    assert ".plot()" in first[-1]


# Packages of the kernel warn of each other.
@pytest.mark.filterwarnings("ignore")
def test_from_texts_in_memory_to_a_plot(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    outputs = [cell["outputs"] for cell in notebook.cells if cell.cell_type == "code"]
    kinds = [set().union(*(o.get("data", {}) for o in output)) for output in outputs]
    assert "image/png" in kinds[0]
    assert "text/html" in kinds[1]
    # A bar while the texts are tokenized and measured, as `progress` is on in notebooks.
    assert list(tmp_path.iterdir()) == []
