"""One writer at a time, and nothing left of dead ones."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from click.testing import CliRunner

import ngramstat
from ngramstat.cli import main
from ngramstat.corpus import corpus_writer
from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.files import atomic_directory, atomic_write
from ngramstat.runtime.locks import LOCK_FILE, sole_writer
from ngramstat.synthetic import RunProcess, synthesize
from ngramstat.synthetic import write as world_writing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes by signals")

_HOLD = """
import sys, time
from ngramstat.runtime.files import atomic_write
from ngramstat.runtime.locks import sole_writer
kind, path = sys.argv[1:]
with atomic_write(path) if kind == "file" else sole_writer(path, directory=kind == "inside"):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def writer():
    """Starts processes that hold an output: what is in it, what is beside it, or a file."""
    started = []

    def start(kind, path):
        process = subprocess.Popen(
            [sys.executable, "-c", _HOLD, kind, str(path)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    directory = tmp_path_factory.mktemp("locks")
    tokens = np.random.default_rng(0).integers(0, 50, 3000)
    corpus = ngramstat.Corpus.from_arrays(tokens, vocab_size=50)
    from ngramstat.corpus.writers import convert

    convert(corpus, directory / "corpus", "corpus")
    (directory / "text.txt").write_text("one two three\n" * 200)
    return directory


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_a_second_writer_is_told_of_the_first(writer, tmp_path):
    first = writer("inside", tmp_path / "out")
    expected = f"is being written by process {first.pid} on {socket.gethostname()};"
    with pytest.raises(InputError, match=expected), sole_writer(tmp_path / "out"):
        pass
    os.symlink(tmp_path / "out", tmp_path / "link")
    with pytest.raises(InputError, match=expected), sole_writer(tmp_path / "link"):
        pass
    assert names(tmp_path / "out") == [LOCK_FILE]


def test_the_lock_of_a_killed_writer_is_none(writer, tmp_path):
    first = writer("inside", tmp_path / "out")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert names(tmp_path / "out") == [LOCK_FILE]
    with sole_writer(tmp_path / "out"):
        assert (tmp_path / "out" / LOCK_FILE).read_text().startswith(f"{os.getpid()} ")
    assert names(tmp_path / "out") == []


def test_locks_nest_in_a_thread_and_not_over_threads(tmp_path):
    refused = []

    def other():
        try:
            with sole_writer(tmp_path / "a" / "b"):
                pass
        except InputError as error:
            refused.append(str(error))

    with sole_writer(tmp_path / "a" / "b"):
        with sole_writer(tmp_path / "a" / "b"):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1
    assert f"process {os.getpid()} on" in refused[0]
    assert names(tmp_path) == []  # directories that were made for it, too


def test_shared_writers_exclude_only_others(writer, tmp_path):
    with sole_writer(tmp_path, shared=True):
        second = subprocess.run(
            [sys.executable, "-c", "import sys; from ngramstat.runtime.locks import sole_writer\n"
             "with sole_writer(sys.argv[1], shared=True): pass\n"
             "try:\n    with sole_writer(sys.argv[1]): pass\n"
             "except Exception as error: print(error)", str(tmp_path)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "is being written by" in second.stdout
        assert names(tmp_path) == [LOCK_FILE]
    assert names(tmp_path) == []


def test_temporary_files_of_the_dead_go_and_those_of_the_living_stay(writer, tmp_path):
    path = tmp_path / "run.json"
    living, dead = writer("file", path), writer("file", path)
    assert len(names(tmp_path)) == 2
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    (tmp_path / ".run.json.notes.tmp").touch()  # none of ours
    with atomic_write(path) as file:
        file.write(b"{}")
    left = names(tmp_path)
    assert len(left) == 3
    assert {"run.json", ".run.json.notes.tmp"} < set(left)
    assert living.poll() is None


def test_a_replaced_directory_comes_back_after_a_kill(tmp_path):
    """Killed between the two renames, the old contents lie beside the name."""
    old = tmp_path / f".matrix.{'0' * 16}.old"
    old.mkdir()
    (old / "data").touch()
    (tmp_path / f".matrix.{'1' * 16}.tmp").mkdir()
    with (
        pytest.raises(NgramstatError, match="writing failed"),
        atomic_directory(tmp_path / "matrix"),
    ):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == ["matrix"]
    assert names(tmp_path / "matrix") == ["data"]
    with atomic_directory(tmp_path / "matrix") as directory:
        (directory / "other").touch()
    assert names(tmp_path) == ["matrix"]
    assert names(tmp_path / "matrix") == ["other"]


COMMANDS = {
    "tokenize": "tokenize {0}/text.txt -o {1} --vocab-size 300 --overwrite",
    "convert": "convert {0}/corpus --to corpus -o {1} --overwrite",
    "synthesize": "synthesize runs --mu 1 --tokens 1e3 -o {1} --overwrite",
    "index": "index build {0}/corpus -o {1} --overwrite",
    "measure": "measure {0}/corpus -o {1} --lags 1 --max-context 1",
    "quickstart": "quickstart -o {1}",
}
BESIDE = {
    "megatron": "convert {0}/corpus --to megatron -o {1} --overwrite",
    "nanogpt": "convert {0}/corpus --to nanogpt -o {1}.bin --overwrite",
    "counts": "counts pairs {0}/corpus -o {1} --to mapped --window 2",
}


@pytest.mark.parametrize("command", [*COMMANDS, *BESIDE])
def test_every_command_that_writes_a_directory_refuses_a_second(writer, store, tmp_path, command):
    output = tmp_path / "out"
    line = COMMANDS.get(command) or BESIDE[command]
    held = tmp_path / "out.bin" if command == "nanogpt" else output
    first = writer("inside" if command in COMMANDS else "beside", held)
    before = names(tmp_path)
    result = CliRunner().invoke(main, line.format(store, output).split())
    assert result.exit_code == 2, result.output
    assert f"is being written by process {first.pid} on" in result.stderr
    assert "Traceback" not in result.output
    assert names(tmp_path) == before
    if command in COMMANDS:
        assert names(output) == [LOCK_FILE]


def test_two_tokenizers_leave_one_whole_corpus(store, tmp_path):
    """Started together, as a script does by mistake."""
    command = [
        sys.executable, "-m", "ngramstat", "--quiet", "tokenize", str(store / "text.txt"),
        "-o", str(tmp_path / "corpus"), "--vocab-size", "300",
    ]  # fmt: skip
    both = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [process.communicate()[1] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes == [0, 2], errors
    assert any("is being written by" in e or "holds a corpus" in e for e in errors), errors
    ngramstat.Corpus.open(tmp_path / "corpus").check(checksum=True)
    assert names(tmp_path / "corpus") == [
        "corpus.json", "documents.bin", "tokenizer.json", "tokens.bin",
    ]  # fmt: skip


def test_partial_files_of_a_killed_writer_go_with_the_next(tmp_path):
    target = tmp_path / "corpus"
    target.mkdir()
    for name in (f"tokens.bin.{'0' * 16}.partial", "documents.bin.partial", LOCK_FILE):
        (target / name).write_bytes(b"123")
    with pytest.raises(InputError, match="an unfinished corpus"):
        ngramstat.Corpus.open(target)
    with corpus_writer.CorpusWriter(target, 10) as file:
        file.append([1, 2, 3])
        file.finish()
    assert names(target) == ["corpus.json", "documents.bin", "tokens.bin"]


def test_a_world_without_its_truth_is_no_corpus(tmp_path, monkeypatch):
    """Killed at any step, what is there is whole or not there."""

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(world_writing, "write_json", die)
        with pytest.raises(KeyboardInterrupt):
            synthesize(RunProcess(mu=1.0), tmp_path / "a", tokens=1000)
    with pytest.raises(InputError, match=r"unfinished|cannot be opened|not a corpus|not exist"):
        ngramstat.Corpus.open(tmp_path / "a")
    with monkeypatch.context() as patch:
        patch.setattr(corpus_writer, "write_json", die)
        with pytest.raises(KeyboardInterrupt):
            synthesize(RunProcess(mu=1.0), tmp_path / "b", tokens=1000)
    assert (tmp_path / "b" / "truth.json").exists()
    with pytest.raises(InputError, match="unfinished"):
        ngramstat.Corpus.open(tmp_path / "b")
    corpus = synthesize(RunProcess(mu=1.0), tmp_path / "b", tokens=1000)
    truth = json.loads((tmp_path / "b" / "truth.json").read_text())
    assert truth["sha256"] == corpus.sha256
