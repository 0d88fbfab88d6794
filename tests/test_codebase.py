"""Rules of the house that a machine can check: layers, light imports, stubs, versions."""

from __future__ import annotations

import ast
import csv
import functools
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ngramstat
from ngramstat import _core

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCE = REPOSITORY / "python" / "ngramstat"


def layers() -> dict[str, int]:
    """The layer of every folder and top module, from the list in docs/architecture.md."""
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = page.split("<!-- layers: begin -->")[1].split("<!-- layers: end -->")[0]
    order = [re.findall(r"`(\w+)`", line) for line in block.strip().splitlines()]
    return {name: level for level, names in enumerate(order) for name in names}


LEVEL = layers()
# Forbidden although the order would allow them.
FORBIDDEN = {
    "exponents": {"corpus", "kernels"},
    "kernels": {"corpus", "results"},
}

MODULES = sorted(p for p in SOURCE.rglob("*.py") if p.name != "__init__.py" or p.parent != SOURCE)


def module_name(path: Path) -> str:
    """Such as ``kernels.pairs``; a package's ``__init__`` has the package's name."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


NAMES = {module_name(path) for path in MODULES} | {"_core"}


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports(path: Path) -> set[str]:
    """Modules of this package that a module imports anywhere, but for type checking alone."""
    tree = tree_of(path)
    for_types = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    imported = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "ngramstat":
                imported |= {alias.name for alias in node.names}
            elif node.module and node.module.startswith("ngramstat."):
                base = node.module.removeprefix("ngramstat.")
                # `from package import name`: the module of that name, where it is one.
                imported |= {
                    f"{base}.{alias.name}" if f"{base}.{alias.name}" in NAMES else base
                    for alias in node.names
                }
        elif isinstance(node, ast.Import):
            imported |= {
                alias.name.removeprefix("ngramstat.")
                for alias in node.names
                if alias.name.startswith("ngramstat.")
            }
    return imported


def test_the_architecture_page_lists_every_folder():
    assert {module_name(path).split(".")[0] for path in MODULES} | {"_core"} == set(LEVEL)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down(path):
    """Also inside functions: only the public face, ngramstat/__init__.py, reaches up."""
    folder = module_name(path).split(".")[0]
    for name in imports(path):
        other = name.split(".")[0]
        assert other in LEVEL, f"{folder} imports {name}, which is no module"
        assert other == folder or LEVEL[other] < LEVEL[folder], f"{folder} imports {name}"
        assert other not in FORBIDDEN.get(folder, set()), f"{folder} imports {name}"


def test_no_modules_import_each_other_in_a_circle():
    graph = {module_name(path): imports(path) & NAMES for path in MODULES}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name in done:
            return
        for other in sorted(graph.get(name, ())):
            visit(other, (*trail, name))
        done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_modules_do_not_import_private_names_of_others():
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ngramstat"):
                names = {alias.name for alias in node.names} - {"_core", "__version__"}
                private = sorted(name for name in names if name.startswith("_"))
                assert not private, f"{path}: imports {private} of {node.module}"


def test_the_kernels_are_reached_through_their_wrappers():
    """`runtime` stands below the wrappers; everything else goes through `ngramstat.kernels`."""
    for path in MODULES:
        if module_name(path).split(".")[0] not in ("kernels", "runtime"):
            assert "_core" not in {name.split(".")[0] for name in imports(path)}, path


def test_sections_of_the_theory_that_code_cites_exist():
    headings = re.findall(
        r"^#+ ([\d.]+) ",
        (REPOSITORY / "docs" / "theory.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    sources = [
        path
        for folder in ("python", "csrc", "tests", "benchmarks")
        for path in (REPOSITORY / folder).rglob("*")
        if path.suffix in (".py", ".pyi", ".hpp", ".cpp", ".cuh", ".cu")
    ]
    cited = [
        (path, section)
        for path in sources
        for section in re.findall(
            r"docs/theory\.md (\d+(?:\.\d+)*)", path.read_text(encoding="utf-8")
        )
    ]
    assert len(cited) > 20
    assert not [(path, section) for path, section in cited if section not in headings]


def test_functions_are_short_enough_to_read():
    """At most 80 lines, complexity 15 and 8 parameters; exceptions are listed with reasons."""
    allowed = (REPOSITORY / "tests" / "long_functions.txt").read_text(encoding="utf-8")
    exceptions = {line.split()[0] for line in allowed.splitlines() if line and line[0] != "#"}
    done = subprocess.run(
        [sys.executable, "-m", "lizard", "-l", "python", "-l", "cpp", "--csv", "python", "csrc"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    too_long = set()
    for row in csv.reader(done.stdout.splitlines()):
        complexity, parameters, length = int(row[1]), int(row[3]), int(row[4])
        if complexity > 15 or length > 80 or parameters > 8:
            too_long.add(f"{row[6]}:{row[7]}")
    assert too_long - exceptions == set(), "split these by the steps of their method"
    assert exceptions - too_long == set(), "these are no longer too long: take them off the list"


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


def test_the_stub_describes_the_extension(tmp_path):
    """By themselves, away from the package, all of which mypy would read first."""
    for path in (SOURCE / "_core.pyi", Path(_core.__file__)):
        shutil.copy(path, tmp_path)
    allowed = (REPOSITORY / "tests" / "stubtest_allowlist.txt").read_text(encoding="utf-8")
    (tmp_path / "allowed.txt").write_text(allowed.replace(r"ngramstat\._core", "_core"))
    done = subprocess.run(
        [
            sys.executable, "-m", "mypy.stubtest", "_core", "--ignore-disjoint-bases",
            "--ignore-unused-allowlist", "--allowlist", "allowed.txt",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_the_table_of_speed_is_that_of_the_committed_results():
    code = "import sys; sys.path.insert(0, 'benchmarks'); import json, readme_table as t; " \
        "s = json.load(open('benchmarks/results/speed.json')); r = open('README.md').read(); " \
        "assert t.with_table(r, s) == r, 'run python benchmarks/readme_table.py'"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
