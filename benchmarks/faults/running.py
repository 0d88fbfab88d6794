"""One command in a process of its own, which may be killed or find its disk full."""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ngramstat.cli import main

__all__ = ["Outcome", "Started", "clean_up", "run", "start"]

# Longer than any command takes here; a process that goes on is stuck.
_DEADLINE = 300.0


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Attributes
    ----------
    code : int
        Exit code; minus the signal that ended it.
    errors : str
        What it wrote to standard error.
    seconds : float
    """

    code: int
    errors: str
    seconds: float

    @property
    def is_sentence(self) -> bool:
        """Done, or refused in a sentence."""
        if self.code == 0:
            return not self.has_traceback
        last = self.errors.strip().splitlines()[-1:] or [""]
        return self.code in (1, 2) and last[0].startswith("Error: ") and not self.has_traceback

    @property
    def has_traceback(self) -> bool:
        """Whether Python said more than a user wants to know, or the process crashed."""
        crashed = self.code < 0 and -self.code != signal.SIGKILL
        return "Traceback (most recent call last)" in self.errors or crashed


@dataclass(frozen=True)
class Started:
    """A process that runs a command."""

    process: int
    since: float
    errors: Path

    def kill(self) -> None:
        """End it at once; nothing of it runs any more."""
        os.kill(self.process, signal.SIGKILL)

    def wait(self) -> Outcome:
        """How it ended. One that does not end counts as killed by SIGABRT."""
        while True:
            process, status = os.waitpid(self.process, os.WNOHANG)
            seconds = time.monotonic() - self.since
            if process:
                break
            if seconds > _DEADLINE:
                os.kill(self.process, signal.SIGABRT)
            time.sleep(0.001)
        code = os.waitstatus_to_exitcode(status)
        return Outcome(code, self.errors.read_text(errors="replace"), seconds)


def start(command: list[str], directory: Path, *, largest_file: int | None = None) -> Started:
    """Run a command in a directory, in a copy of this process, which has imported what it needs.

    Parameters
    ----------
    command
        Arguments of ``ngramstat``.
    directory
        Its working directory. What it writes to standard error goes to a file beside it.
    largest_file
        Writing more bytes to a file fails, as on a full disk.
    """
    errors = directory.with_name(f"{directory.name}.{os.urandom(4).hex()}.errors")
    since = time.monotonic()
    process = os.fork()
    if process:
        errors.touch()
        return Started(process, since, errors)
    code = 70
    try:
        os.chdir(directory)
        for number, name in ((1, os.devnull), (2, str(errors))):
            descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(descriptor, number)
            os.close(descriptor)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
        main(command, prog_name="ngramstat")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def run(command: list[str], directory: Path, *, largest_file: int | None = None) -> Outcome:
    """Start a command and wait for its end."""
    return start(command, directory, largest_file=largest_file).wait()


def clean_up(directory: Path) -> None:
    """Remove the files of standard error of all that ran in a directory."""
    name = re.compile(re.escape(directory.name) + r"\.[0-9a-f]{8}\.errors")
    for path in directory.parent.iterdir():
        if name.fullmatch(path.name):
            path.unlink()
