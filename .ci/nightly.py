"""Runs what is too slow for every change: sanitizers, other compilers, coverage, slow tests.

    python .ci/nightly.py [STEP ...] [--jobs N] [--update]

Without a STEP all of them run:

    asan      AddressSanitizer and UndefinedBehaviorSanitizer: the C++ tests, and the tests of the
              kernels and of damaged files with a sanitized extension
    tsan      ThreadSanitizer: the C++ tests
    clang     everything compiled by Clang with -Wconversion, where a warning is an error, then the
              C++ tests, those beyond 2^32 tokens too
    tidy      clang-tidy with the checks of .clang-tidy
    coverage  lines that the quick tests run, of Python and of C++
    slow      the tests marked nightly

The last lines are a table with the outcome of every step; the exit status is 1 if one failed. Logs
are in build/nightly; builds stay there too, so that a second call is faster. --update writes the
table of coverage into CONTRIBUTING.md. Tools: `apt install clang` and
`python -m pip install scikit-build-core '.[nightly]'`.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

REPOSITORY = Path(__file__).resolve().parent.parent
BUILD = REPOSITORY / "build"
# Tests in which the extension works on arrays of many kinds, and on files that were damaged.
SANITIZED_TESTS = (
    "tests/test_kernels_*.py", "tests/test_gpu*.py", "tests/test_index_*.py",
    "tests/test_ngram*.py", "tests/test_mixture_model.py", "tests/test_counts_cooccurrence.py",
    "tests/test_arpa.py", "tests/test_formats.py", "tests/test_row_stores.py",
)  # fmt: skip
# Tests that measure time or memory: both are larger where every line is counted.
UNCOUNTED_TESTS = (
    "tests/test_stage_ratios.py",
    "tests/test_interruption.py::test_too_little_memory_for_the_libraries_is_one_sentence",
)
# How many tests there were, in what ctest and pytest print last.
_CTEST, _PYTEST = r"out of (\d+)", r"(\d+ passed.*?) in "
_BEGIN, _END = "<!-- coverage: begin -->\n", "<!-- coverage: end -->\n"


class StepError(Exception):
    """What went wrong, in a few words for the table."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One row of the table."""

    step: str
    passed: bool
    seconds: float
    figures: str


@dataclasses.dataclass(frozen=True)
class Shell:
    """Runs the commands of one step; what they print goes to its log."""

    log: IO[str]
    jobs: int

    def run(self, *command: str | Path, **environment: str) -> str:
        """What a command prints.

        Raises
        ------
        StepError
            Its program is not installed, or it ended with an error.
        """
        output, code = self.attempt(*command, **environment)
        if code:
            print(output[-6000:])
            raise StepError(_cause(output))
        return output

    def attempt(self, *command: str | Path, **environment: str) -> tuple[str, int]:
        """What a command prints, and its exit status."""
        words = [str(word) for word in command]
        print("$", *words, flush=True)
        if shutil.which(words[0]) is None:
            raise StepError(f"{words[0]} is not installed")
        done = subprocess.run(
            words, cwd=REPOSITORY, env={**os.environ, **environment}, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        print("$", *words, f"\n{done.stdout}", file=self.log, flush=True)
        return done.stdout, done.returncode

    def build(self, preset: str) -> None:
        """The C++ core and its tests, by a preset of CMakePresets.json."""
        self.run("cmake", "--preset", preset)
        self.run("cmake", "--build", "--preset", preset, "--parallel", str(self.jobs))

    def build_extension(self, preset: str) -> Path:
        """The same with the extension; returns the folder from which Python imports the package."""
        site = BUILD / preset / "site"
        self.run(
            sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps",
            "--upgrade", "--target", site, f"-Cbuild-dir={BUILD / preset}",
            f"-Ccmake.args=--preset={preset}", "-Ccmake.build-type=Debug",
            "-Cbuild.tool-args=-k0",  # all files, so that all errors are seen at once
            REPOSITORY, CMAKE_BUILD_PARALLEL_LEVEL=str(self.jobs),
        )  # fmt: skip
        return site

    def ctest(self, preset: str) -> str:
        """The C++ tests of a preset that was built; returns how many passed."""
        output = self.run("ctest", "--preset", preset, "--parallel", str(self.jobs))
        return f"{_found(_CTEST, output)} C++ tests"

    def pytest(
        self, *arguments: str | Path, by: Iterable[str | Path] = ("pytest",), **environment: str
    ) -> str:
        """Python tests; returns how many passed."""
        parallel = ("-n", str(self.jobs), "--dist", "loadfile") if self.jobs > 1 else ()
        output = self.run(
            sys.executable, "-m", *by, "-q", "-p", "no:cacheprovider", *parallel, *arguments,
            **environment,
        )  # fmt: skip
        return f"{_found(_PYTEST, output)} of Python"


def _findings(output: str) -> list[str]:
    """What compilers and clang-tidy object to, each place once."""
    found = re.findall(r"^\s*(\S+:\d+:\d+: (?:error|warning): .*)$", output, re.MULTILINE)
    return sorted(set(found))


def _cause(output: str) -> str:
    """Why a command failed, from what it printed."""
    if findings := _findings(output):
        return f"{len(findings)} findings, such as {findings[0]}"
    return (output.strip().splitlines() or ["nothing printed"])[-1].strip("= ")


def _found(pattern: str, output: str) -> str:
    found = re.findall(pattern, output)
    if not found:
        raise StepError(f"no {pattern!r} in what was printed: {_cause(output)}")
    return str(found[-1])


# --- the steps ---------------------------------------------------------------------------------


def asan(shell: Shell) -> str:
    """AddressSanitizer and UndefinedBehaviorSanitizer over C++ and Python tests."""
    site = shell.build_extension("asan")
    in_cpp = shell.ctest("asan")
    # Python is not sanitized, so the library has to be there before it; libstdc++ as well, for the
    # library to see exceptions. Python itself leaks at exit.
    libraries = [
        shell.run("g++", f"-print-file-name={name}").strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    in_python = shell.pytest(
        *_files(SANITIZED_TESTS),
        PYTHONPATH=str(site),
        LD_PRELOAD=":".join(libraries),
        ASAN_OPTIONS="detect_leaks=0:detect_stack_use_after_return=1",
        UBSAN_OPTIONS="print_stacktrace=1",
    )
    return f"{in_cpp}, {in_python}"


def tsan(shell: Shell) -> str:
    """ThreadSanitizer over the C++ tests."""
    shell.build("tsan")
    return shell.ctest("tsan")


def clang(shell: Shell) -> str:
    """Clang with conversion warnings as errors, and the C++ tests of what it made."""
    shell.build_extension("clang")
    files = len(_compile_commands("clang"))
    return f"{files} files without a warning, {shell.ctest('clang')}"


def tidy(shell: Shell) -> str:
    """clang-tidy over all sources that Clang compiles."""
    if not (BUILD / "clang" / "compile_commands.json").exists():
        shell.build_extension("clang")
    files = [name for name in _compile_commands("clang") if "/csrc/" in name]
    output, code = shell.attempt(
        "run-clang-tidy.py", "-quiet", "-p", BUILD / "clang", "-j", str(shell.jobs), *files
    )
    if code or _findings(output):
        print(*_findings(output), sep="\n")
        raise StepError(_cause(output))
    return f"{len(files)} files without a finding"


def coverage(shell: Shell) -> str:
    """Lines of Python and C++ that the quick tests run; the table goes to build/coverage/."""
    site = shell.build_extension("coverage")
    for path in (BUILD / "coverage").rglob("*.gcda"):
        path.unlink()
    data = BUILD / "coverage" / "python"
    shutil.rmtree(data, ignore_errors=True)
    settings = {"PYTHONPATH": str(site), "COVERAGE_FILE": str(data / "data")}
    data.mkdir()
    in_cpp = shell.ctest("coverage")
    deselected = [f"--deselect={name}" for name in UNCOUNTED_TESTS]
    in_python = shell.pytest(*deselected, by=("coverage", "run", "-m", "pytest"), **settings)
    shell.run(sys.executable, "-m", "coverage", "combine", data, **settings)
    shell.run(sys.executable, "-m", "coverage", "json", "-q", "-o", data / "lines.json", **settings)
    shell.run(
        sys.executable, "-m", "gcovr", "--root", REPOSITORY, "--filter", "csrc/",
        # A line of a template counts once; and some lines do run more than 2^32 times.
        "--merge-lines", "--gcov-ignore-parse-errors=suspicious_hits.warn_once_per_file",
        "-j", str(shell.jobs), "--json-summary", BUILD / "coverage" / "cpp.json",
        "--object-directory", BUILD / "coverage", BUILD / "coverage",
    )  # fmt: skip
    lines = {
        **_python_lines(data / "lines.json", site),
        **_cpp_lines(BUILD / "coverage" / "cpp.json"),
    }
    (BUILD / "coverage" / "table.md").write_text(_coverage_table(lines), encoding="utf-8")
    shares = [f"{_share(lines, folder)} of {folder}" for folder in ("python", "csrc")]
    return f"{', '.join(shares)}, by {in_cpp}, {in_python}"


def slow(shell: Shell) -> str:
    """The tests marked nightly, with the extension that is installed."""
    return shell.pytest("-m", "nightly")


STEPS: dict[str, Callable[[Shell], str]] = {
    "asan": asan,
    "tsan": tsan,
    "clang": clang,
    "tidy": tidy,
    "coverage": coverage,
    "slow": slow,
}


def _files(patterns: Iterable[str]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(REPOSITORY.glob(pattern))]


def _compile_commands(preset: str) -> list[str]:
    path = BUILD / preset / "compile_commands.json"
    return [entry["file"] for entry in json.loads(path.read_text(encoding="utf-8"))]


# --- coverage ----------------------------------------------------------------------------------

# Lines that ran, and all, by folder.
Lines = dict[str, tuple[int, int]]


def _python_lines(report: Path, site: Path) -> Lines:
    lines: Lines = {}
    for name, file in json.loads(report.read_text(encoding="utf-8"))["files"].items():
        folder = (REPOSITORY / name).relative_to(site).parent
        _add(lines, f"python/{folder}".split("/")[:3], file["summary"]["covered_lines"],
             file["summary"]["num_statements"])  # fmt: skip
    return lines


def _cpp_lines(report: Path) -> Lines:
    lines: Lines = {}
    for file in json.loads(report.read_text(encoding="utf-8"))["files"]:
        *_, folder, _ = file["filename"].split("/")
        _add(lines, ["csrc", folder], file["line_covered"], file["line_total"])
    return lines


def _add(lines: Lines, folder: list[str], ran: int, total: int) -> None:
    """Of a folder, and of the language."""
    for name in (folder[0], "/".join(folder)):
        before = lines.get(name, (0, 0))
        lines[name] = before[0] + ran, before[1] + total


def _share(lines: Lines, folder: str) -> str:
    ran, total = lines[folder]
    return f"{100 * ran / total:.1f}%"


def _coverage_table(lines: Lines) -> str:
    today = datetime.date.today().isoformat()
    rows = [f"{today}, `python .ci/nightly.py coverage`:", "", "| folder | lines | run by tests |",
            "|---|---|---|"]  # fmt: skip
    rows += [f"| {name} | {lines[name][1]:,} | {_share(lines, name)} |" for name in sorted(lines)]
    return "\n".join(rows) + "\n"


def update_page() -> None:
    """Put the last table of coverage into CONTRIBUTING.md."""
    page = REPOSITORY / "CONTRIBUTING.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    table = (BUILD / "coverage" / "table.md").read_text(encoding="utf-8")
    page.write_text(f"{before}{_BEGIN}{table}{_END}{rest.partition(_END)[2]}", encoding="utf-8")


# --- the table ---------------------------------------------------------------------------------


def outcome_of(step: str, jobs: int) -> Outcome:
    """Run a step; what it raises is its outcome, and the next step follows."""
    print(f"--- {step}", flush=True)
    began = time.monotonic()
    with open(BUILD / "nightly" / f"{step}.log", "w", encoding="utf-8") as log:
        try:
            figures, passed = STEPS[step](Shell(log, jobs)), True
        except StepError as error:
            figures, passed = str(error), False
    return Outcome(step, passed, time.monotonic() - began, figures)


def table(outcomes: list[Outcome]) -> str:
    """A row for every step that ran."""
    width = max(len(outcome.step) for outcome in outcomes)
    rows = []
    for outcome in outcomes:
        said = "passed" if outcome.passed else "FAILED"
        minutes = f"{outcome.seconds / 60:5.1f} min"
        rows.append(f"{outcome.step:{width}}  {said}  {minutes}  {outcome.figures}")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", nargs="*", choices=[*STEPS, []], metavar="STEP")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N")
    parser.add_argument("--update", action="store_true")
    options = parser.parse_args()
    # Tools that lie beside this interpreter need not be on PATH.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    (BUILD / "nightly").mkdir(parents=True, exist_ok=True)
    outcomes = [outcome_of(step, options.jobs) for step in options.steps or STEPS]
    if options.update and any(o.step == "coverage" and o.passed for o in outcomes):
        update_page()
    print(f"\n{table(outcomes)}")
    sys.exit(not all(outcome.passed for outcome in outcomes))


if __name__ == "__main__":
    main()
