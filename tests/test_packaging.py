"""The package index's page, the citation and the recipe agree with pyproject.toml and the files."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
ADDRESS = PROJECT["project"]["urls"]["Repository"]


def text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def files_linked_at(address: str, page: str) -> list[Path]:
    """The files of this repository that a page links to by absolute addresses."""
    links = re.findall(rf"{re.escape(address)}/(?:blob|tree)/main/([^\s)\"'#]+)", page)
    return [REPOSITORY / link for link in links]


def test_links_of_the_index_page_work_outside_of_the_repository():
    page = text(PROJECT["project"]["readme"])
    targets = re.findall(r"\]\(([^)]+)\)", page)
    assert targets
    assert [target for target in targets if not target.startswith(f"{ADDRESS}/blob/main/")] == []
    files = files_linked_at(ADDRESS, page + str(PROJECT["project"]["urls"]))
    assert len(files) == len(targets) + 2
    assert [file for file in files if not file.exists()] == []


def test_the_index_page_and_the_readme_begin_alike():
    opening = text("README.md").split("\n\n")[1]
    assert opening.startswith("Give it a corpus of tokens")
    assert opening in text(PROJECT["project"]["readme"])


def test_all_addresses_of_the_project_are_one():
    names = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if names.returncode:
        pytest.skip("not a git checkout")
    pages = [n for n in names.stdout.splitlines() if n.endswith((".md", ".cff", ".yaml", ".yml"))]
    addresses = {
        address
        for name in pages
        if (REPOSITORY / name).is_file()
        for address in re.findall(r"https://github\.com/[\w.-]+/ngramstat", text(name))
    }
    assert addresses == {ADDRESS}


def test_the_citation_names_this_version():
    citation = text("CITATION.cff")
    assert f"\nversion: {PROJECT['project']['version']}\n" in citation
    assert f"\nlicense: {PROJECT['project']['license']}\n" in citation
    assert f"\nrepository-code: {ADDRESS}\n" in citation
    assert PROJECT["project"]["urls"]["Paper"] in citation


def test_the_conda_recipe_asks_for_what_the_package_asks_for():
    recipe = text("packaging/conda/recipe/recipe.yaml")
    run = recipe.split("\n  run:\n")[1].split("\n\n")[0]
    asked = [line.strip().removeprefix("- ").replace(" ", "") for line in run.splitlines()]
    assert asked == ["python", *PROJECT["project"]["dependencies"]]
    assert f'\n  version: "{PROJECT["project"]["version"]}"\n' in recipe
    host = recipe.split("\n  host:\n")[1].split("\n  run:\n")[0].replace(" ", "")
    for package in PROJECT["build-system"]["requires"]:
        assert f"-{package}\n" in f"{host}\n"


def test_classifiers_name_the_pythons_that_wheels_are_built_for():
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    built = [
        f"3.{minor}"
        for minor in re.findall(r"cp3(\d+)", str(PROJECT["tool"]["cibuildwheel"]["build"]))
    ]
    assert named == built
    assert PROJECT["project"]["requires-python"] == f">={built[0]}"


@pytest.mark.parametrize(
    ("suffix", "accepted"),
    [
        (".cpython-314-x86_64-linux-gnu.so", True),
        (".cp314-win_amd64.pyd", True),
        (".cpython-314t-x86_64-linux-gnu.so", False),
        (".cp314t-win_amd64.pyd", False),
    ],
)
def test_free_threaded_python_is_refused(suffix, accepted):
    """By the condition of CMakeLists.txt, on suffixes of extensions as pybind11 gives them."""
    condition = re.search(r'PYTHON_MODULE_EXTENSION MATCHES "([^"]+)"', text("CMakeLists.txt"))
    assert condition
    assert bool(re.search(condition[1], suffix)) != accepted
    assert "free-threaded" in text("CMakeLists.txt")[condition.end() : condition.end() + 100]


def test_the_manual_page_is_that_of_the_commands(tmp_path):
    """Written anew by `python packaging/man_page.py` after a change of a command."""
    script = REPOSITORY / "packaging" / "man_page.py"
    subprocess.run([sys.executable, script, tmp_path / "page"], check=True)
    page = (tmp_path / "page").read_text(encoding="utf-8")
    assert page == text("docs/ngramstat.1")
    for words in ('.SS "ngramstat measure CORPUS', r"\fB\-\-max\-context\fR", ".SH EXIT STATUS"):
        assert words in page


@pytest.mark.nightly
def test_a_source_distribution_knows_its_commit(tmp_path):
    """Built in a clone, unpacked away from it."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if commit.returncode:
        pytest.skip("not a git checkout")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", REPOSITORY, clone], check=True)
    build = "from scikit_build_core.build import build_sdist; print(build_sdist('.'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=clone, capture_output=True, text=True, check=True
    )
    archive = clone / done.stdout.splitlines()[-1]
    subprocess.run(["tar", "xzf", archive, "-C", tmp_path, "--strip-components=1"], check=True)
    assert (tmp_path / "COMMIT").read_text(encoding="utf-8") == commit.stdout
