"""The build: what the extension links to, its configuration errors, and what a wheel holds."""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from ngramstat import _core

LEVELS = ("avx2", "avx512")
REPOSITORY = Path(__file__).resolve().parent.parent
# ld-linux is the C library's own loader.
LIBRARIES = r"lib(stdc\+\+|m|gcc_s|c|pthread)\.so\.\d+|ld-linux-[\w-]+\.so\.\d+"
# Instructions that only processors with AVX have: VEX and EVEX mnemonics begin with v (the others
# that do so, verr and verw, are no user code), and nothing else names these registers.
AVX = re.compile(r"\t(v(?!err|erw)[a-z]\w*)\b|%[yz]mm")


def run(*command: str | Path, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )


def tool(name: str) -> str:
    # A virtual environment's tools need not be on PATH.
    beside = Path(sys.executable).with_name(name)
    path = str(beside) if beside.exists() else shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def needed(extension: Path) -> list[str]:
    listed = run(tool("readelf"), "-d", extension)
    assert listed.returncode == 0, listed.stderr
    assert "RPATH" not in listed.stdout
    assert "RUNPATH" not in listed.stdout
    return re.findall(r"\(NEEDED\).*\[(.+)\]", listed.stdout)


def avx_instructions(binary: Path) -> Counter[str]:
    """How many instructions of each function need AVX."""
    listing = run(tool("objdump"), "-d", "-C", "--no-show-raw-insn", binary)
    assert listing.returncode == 0, listing.stderr
    result: Counter[str] = Counter()
    function = ""
    for line in listing.stdout.splitlines():
        if line.endswith(">:"):
            function = line.split("<", 1)[1]
        elif AVX.search(line):
            result[function] += 1
    return result


def test_links_to_the_c_and_cxx_libraries_alone():
    libraries = needed(Path(_core.__file__))
    assert libraries
    for library in libraries:
        assert re.fullmatch(LIBRARIES, library), library


def test_says_what_it_was_built_from():
    info = _core.build_info()
    assert re.fullmatch(r"|[0-9a-f]{40}", info["commit"])
    assert info["compiler"]
    assert isinstance(info["cuda"], bool)


def test_finds_no_device_where_there_is_none():
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA driver")
    assert _core.cuda_devices() == []


def test_presets_are_valid():
    listed = run(tool("cmake"), "--list-presets=test")
    assert listed.returncode == 0, listed.stderr
    assert re.findall(r'^  "(\w+)"', listed.stdout, re.MULTILINE) == [
        "dev", "release", "asan", "tsan", "clang", "coverage", "cuda",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("OFF", ""),
        ("MAYBE", "NGRAMSTAT_CUDA=MAYBE: expected AUTO, ON or OFF"),
        ("on", "NGRAMSTAT_CUDA=on: expected AUTO, ON or OFF"),
    ],
)
def test_core_configures_without_python(tmp_path, value, message):
    done = run(tool("cmake"), "-S", REPOSITORY, "-B", tmp_path, f"-DNGRAMSTAT_CUDA={value}")
    assert (done.returncode == 0) == (message == ""), done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Python" not in done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel of the files that git knows, as they stand in this checkout; build/ beside it."""
    for module in ("pip", "scikit_build_core", "pybind11"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    listed = run("git", "ls-files")
    if listed.returncode:
        pytest.skip("not a git checkout")
    work = tmp_path_factory.mktemp("wheel")
    for name in listed.stdout.splitlines():
        if (REPOSITORY / name).is_file():  # it may be deleted and not yet committed
            (work / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, work / "source" / name)
    # What earlier builds leave behind must not travel.
    (work / "source/python/ngramstat/_core.cpython-30-other.so").write_bytes(b"stale")
    built = run(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", work,
        f"--config-settings=build-dir={work / 'build'}", work / "source",
    )  # fmt: skip
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    (path,) = work.glob("*.whl")
    return path


@pytest.mark.nightly
def test_wheel_holds_the_package_and_nothing_else(wheel):
    version = f"cp{sys.version_info.major}{sys.version_info.minor}"
    assert re.fullmatch(rf"ngramstat-[\d.]+-{version}-{version}-linux_\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        entry_points = archive.read(next(n for n in names if n.endswith("/entry_points.txt")))
    for reader in (b"levanter", b"litdata", b"mds"):
        module = b"ngramstat.corpus.formats.plugins." + reader
        assert re.search(rb"%s *= *%s:FORMAT" % (reader, module), entry_points)
    for name in ("ngramstat/py.typed", "ngramstat/_core.pyi", "ngramstat/cli/main.py"):
        assert name in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    (manual,) = (name for name in names if name.endswith(".data/data/share/man/man1/ngramstat.1"))
    for name in set(names) - {manual}:
        assert re.match(r"ngramstat(-[\d.]+\.dist-info)?/", name), name
        assert re.search(r"(\.pyi?|/py\.typed|\.dist-info/\S+|_core\.\S+\.so)$", name), name
    assert sum(name.endswith(".so") for name in names) == 1


@pytest.mark.nightly
def test_wheel_runs_on_any_processor_and_tells_no_paths(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (extension,) = tmp_path.glob("ngramstat/*.so")
    for library in needed(extension):
        assert re.fullmatch(LIBRARIES, library), library
    assert str(wheel.parent).encode() not in extension.read_bytes()
    assert str(REPOSITORY).encode() not in extension.read_bytes()

    if platform.machine() != "x86_64":
        return
    # The extension is stripped of the names of its functions. So: in the kernels' library no
    # function but the dispatched ones uses AVX, and the extension uses it no more often.
    kernels = avx_instructions(wheel.parent / "build" / "libngramstat_core.a")
    dispatched = {f"{verb}_{level}" for verb in ("multiply", "scatter") for level in LEVELS}
    assert {re.sub(r".*::(\w+)\(.*", r"\1", name) for name in kernels} == dispatched
    assert avx_instructions(extension).total() == kernels.total()
