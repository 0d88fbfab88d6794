"""Signals, full disks, little memory, odd names: one sentence, never a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

from ngramstat.cli import main
from ngramstat.runtime.text import without_controls
from test_covariance_measurement import zipf

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals, files and limits")

# Every command that takes a path, with {0} where it stands.
COMMANDS = """
inspect {0}
measure {0} -o out
measure {1} -o {0} --lags 1 --max-context 1
tokenize {0} -o out
tokenize {1}.txt -o {0}
convert {0} --to npy -o out
convert {1} --to npy -o {0}
convert {1} --to corpus -o {0}
convert {1} --to megatron -o {0}
plan {0}
plan {1} -o {0}
correlations {1} --lags 1 -o {0}
entropies {1} --max-context 1 -o {0}
predict {0}
report {0}
compare {0} {0}
theories {0}
synthesize runs --mu 1 --tokens 1e3 -o {0}
synthesize ngram --from {0} --order 2 -o out
counts pairs {1} -o {0}.npz --window 2
counts pairs {1} -o {0} --to mapped --window 2
counts ngrams {1} -n 2 -o {0}
index build {1} -o {0}
index count {0} 1
index overlap {0} {0}
model train {1} -o {0}
model score {0} {1}
model import {0} -o out
--config {0} inspect {1}
quickstart -o {0}
""".strip().splitlines()


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    path = tmp_path_factory.mktemp("raw") / "tokens.npy"
    np.save(path, zipf(50, 5000, seed=2))
    return path


@pytest.mark.parametrize("kind", ["component", "path", "below a file"])
def test_names_that_no_file_can_have(raw, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    name = {"component": "x" * 300, "path": "a/" * 2100 + "b", "below a file": "file/x/y"}[kind]
    for line in COMMANDS:
        result = CliRunner().invoke(main, line.format(name, raw).split())
        assert isinstance(result.exception, SystemExit), (line, result.exception)
        assert result.exit_code in (1, 2), line
        assert result.stderr.strip().splitlines()[-1].startswith("Error: "), line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@posix
@pytest.mark.parametrize("line", ["--version", "inspect {0}", "inspect {0} --json"])
def test_a_full_standard_output_is_one_sentence(raw, line):
    if not os.path.exists("/dev/full"):
        pytest.skip("the system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ngramstat", *line.format(raw).split()],
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 1
    assert "standard output: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@posix
@pytest.mark.parametrize("megabytes", [40, 90, 150])
def test_too_little_memory_for_the_libraries_is_one_sentence(raw, megabytes):
    import resource

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    done = subprocess.run(
        [sys.executable, "-m", "ngramstat", "inspect", str(raw)],
        preexec_fn=limit, capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    if done.returncode == 0:
        pytest.skip("this system needs less")
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@posix
def test_control_c_during_imports_is_one_sentence():
    code = (
        "import sys, importlib.abc\n"
        "class Interrupt(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'ngramstat.cli.main': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from ngramstat.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "Interrupted. Nothing was written; run the same command again\n"


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signals_that_end_a_run_say_what_was_kept(tmp_path, name):
    number = getattr(signal, name)
    np.save(tmp_path / "tokens.npy", zipf(300, 300_000, seed=3))
    # Whatever these tests were started by may hand down that it ignores the signal.
    start = (
        "import signal\n"
        f"signal.signal(signal.{name}, signal.SIG_DFL)\n"
        "from ngramstat.__main__ import main\n"
        "main()\n"
    )
    command = [
        sys.executable, "-c", start, "--quiet", "measure",
        str(tmp_path / "tokens.npy"), "--vocab-size", "300", "-o", str(tmp_path / "run"),
        "--lags", "1:200", "--max-context", "1", "--replicates", "50",
        "--predictor", "kneser-ney", "--learning-sizes", "1",
    ]  # fmt: skip
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    parts = tmp_path / "run" / "parts"
    while child.poll() is None and not (parts.is_dir() and any(parts.glob("lag-*.npz"))):
        time.sleep(0.02)
    child.send_signal(number)
    _, errors = child.communicate()
    assert child.returncode == 128 + number, errors
    assert errors == (
        f"Ended by {name}. The output directory keeps what is finished; run the same command "
        "again to resume\n"
    )
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["parts"]
    assert list(parts.glob("lag-*.npz"))
    assert not list(parts.glob(".*"))


@posix
def test_a_file_that_is_truncated_while_it_is_mapped_ends_the_command_by_a_sentence(tmp_path):
    tokens = tmp_path / "tokens.bin"
    zipf(50, 500_000, seed=2).tofile(tokens)
    code = (
        "import os, sys\n"
        "from ngramstat.corpus import shards\n"
        "opened = shards.open_stores\n"
        "def truncating(*options):\n"
        "    store = opened(*options)\n"
        "    os.truncate(sys.argv[-1], 4096)\n"
        "    return store\n"
        "from ngramstat.corpus import store\n"
        "store.open_stores = truncating\n"
        "from ngramstat.cli import main\n"
        "main(['correlations', '--dtype', 'uint16', '--vocab-size', '50', sys.argv[-1]])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tokens)], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "Error: a file that is being read was truncated by another program" in done.stderr
    assert "Traceback" not in done.stderr


def test_control_characters_are_escaped():
    hostile = "a\x1b[31mb\x9b2Jc\u202etxt.\u2066d\x07\re"
    assert without_controls(hostile) == (
        "a\\u001b[31mb\\u009b2Jc\\u202etxt.\\u2066d\\u0007\\u000de"
    )
    assert without_controls("\r 50%|##  |\tgraph \u03b3\n") == "\r 50%|##  |\tgraph \u03b3\n"
    result = CliRunner().invoke(main, ["inspect", hostile.replace("\r", "")])
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: a\\u001b[31mb\\u009b2Jc\\u202etxt.\\u2066d\\u0007e: ")


@posix
def test_a_terminal_is_shown_no_control_characters(tmp_path):
    """Of a name that is shown in a result; a file gets it as it is."""
    import pty

    path = tmp_path / "a\x1b[31m\u202eb.npy"
    np.save(path, zipf(50, 500, seed=2))
    command = [sys.executable, "-m", "ngramstat", "inspect", str(path)]
    plain = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert "\u202eb.npy" in plain
    ours, theirs = pty.openpty()
    child = subprocess.Popen(command, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        shown += block
    os.close(ours)
    assert child.wait() == 0
    assert b"\x1b" not in shown
    assert "\u202e" not in shown.decode()
    assert b"a\\u001b[31m\\u202eb.npy" in shown
