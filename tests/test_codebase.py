"""Rules of the house that a machine can check: layers, light imports, stubs, versions."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ngramstat
from ngramstat import _core

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCE = REPOSITORY / "python" / "ngramstat"

# From the bottom up. A module may import what stands in a lower layer or in its own.
LAYERS = [
    ["errors", "_core"],
    ["files", "resources", "progress"],
    ["gpus"],
    ["workspace"],
    ["results"],
    ["corpus", "curves"],
    ["kernels", "context_kernels"],
    ["exponents"],
    ["statistics"],
    ["theories"],
    ["report", "parts", "synthetic", "planning"],
    ["lm"],
    ["pipeline"],
    ["validation"],
    ["quickstart"],
    ["cli"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# Forbidden although the order would allow them: fits work on arrays alone.
FORBIDDEN = {
    "exponents": {"corpus", "kernels"},
    "kernels": {"corpus", "results"},
    "context_kernels": {"corpus", "results"},
}
# Results offer .plot() and reach up for it when it is called.
LAZY = {
    ("results", "report"),
}

MODULES = sorted(p for p in SOURCE.rglob("*.py") if p.name != "__init__.py" or p.parent != SOURCE)


def part_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path: Path) -> list[tuple[str, bool]]:
    """(part of the package, whether at module level) for every import of our own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set()
    for node in tree.body:
        top.update(id(child) for child in ast.walk(node)
                   if not isinstance(node, ast.FunctionDef | ast.ClassDef))  # fmt: skip
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            if node.module == "ngramstat":
                names = [alias.name for alias in node.names]
            elif node.module.startswith("ngramstat."):
                names = [node.module.split(".")[1]]
            else:
                continue
            found += [(name, id(node) in top) for name in names if name in LEVEL]
        elif isinstance(node, ast.Import):
            found += [
                (alias.name.split(".")[1], id(node) in top)
                for alias in node.names
                if alias.name.startswith("ngramstat.")
            ]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down(path):
    here = part_of(path)
    assert here in LEVEL, f"{here}: give it a layer"
    for name, at_top in imports(path):
        if name == here or (not at_top and (here, name) in LAZY):
            continue
        assert LEVEL[name] < LEVEL[here], f"{here} imports {name}"
        assert name not in FORBIDDEN.get(here, set()), f"{here} imports {name}"


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import ngramstat", "scipy torch matplotlib pandas click tokenizers tqdm pyarrow"),
        ("import ngramstat.cli", "numpy scipy torch matplotlib pandas tokenizers tqdm pyarrow"),
        ("import ngramstat; ngramstat.Corpus", "scipy torch matplotlib pandas click tokenizers"),
    ],
)
def test_imports_are_light(statement, heavy):
    code = f"{statement}\nimport sys\nprint(*[m for m in {heavy.split()!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""


def test_every_public_name_is_there():
    for name in ngramstat.__all__:
        assert getattr(ngramstat, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        ngramstat.nonsense  # noqa: B018


def test_one_version():
    with open(REPOSITORY / "pyproject.toml", "rb") as file:
        version = tomllib.load(file)["project"]["version"]
    assert version == ngramstat.__version__ == _core.build_info()["version"]
    assert f"## {version}" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


def test_pybind11_stays_in_the_bindings_and_the_core_does_not_print():
    for path in (REPOSITORY / "csrc").rglob("*.?pp"):
        text = path.read_text(encoding="ascii")  # sources are ASCII
        if "bindings" not in path.parts:
            assert "pybind11" not in text.replace("pybind11's", ""), path
            assert "Python.h" not in text, path
            for word in ("std::cout", "std::cerr", "printf(", "abort("):
                assert word not in text, f"{path}: {word}"
        elif path.name != "pybind.hpp":
            assert "<pybind11" not in text, path


def test_no_path_of_a_machine_is_committed():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    home = str(REPOSITORY.parent) + "/"
    for name in listed.stdout.split():
        path = REPOSITORY / name
        if path.is_file() and path.suffix not in {".png", ".npz"}:
            assert home not in path.read_text(encoding="utf-8", errors="replace"), name


def run_tool(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=REPOSITORY, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_the_stub_describes_the_extension():
    run_tool(
        "mypy.stubtest",
        "ngramstat._core",
        "--ignore-disjoint-bases",
        "--ignore-unused-allowlist",
        "--allowlist",
        "tests/stubtest_allowlist.txt",
    )


def test_the_table_of_speed_is_that_of_the_committed_results():
    code = "import sys; sys.path.insert(0, 'benchmarks'); import json, readme_table as t; " \
        "s = json.load(open('benchmarks/results/speed.json')); r = open('README.md').read(); " \
        "assert t.with_table(r, s) == r, 'run python benchmarks/readme_table.py'"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
