"""Standard output and standard error of the commands: nothing that is shown can end the work.

A terminal or a pipe may lack a character, be full or be closed. Characters it lacks are escaped.
Messages on standard error are dropped where they cannot be written; for standard output, which
carries the result, that is one sentence and an exit code, after all files are written.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TextIO

import click

from ngramstat.cli.interruption import exit_code, what_stopped
from ngramstat.errors import NgramstatError
from ngramstat.runtime.text import ESCAPED, readable, without_controls

__all__ = [
    "EXIT_FAILED",
    "EXIT_INPUT",
    "echo_json",
    "fail",
    "fail_by_interruption",
    "fail_by_system",
    "fail_for_want_of_memory",
    "forgiving_streams",
    "shows_notes",
]

EXIT_FAILED, EXIT_INPUT = 1, 2

# What the system says of a path that cannot be used, as opposed to work that went wrong.
_INPUT_ERRORS = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENAMETOOLONG, errno.ELOOP),
}
# Of Python and of C++.
_NO_THREADS = re.compile("can't start new thread|Resource temporarily unavailable|bad_alloc")
# Longer messages are shortened in their middle.
_LONGEST_MESSAGE = 1500


def fail(message: str, code: int) -> NoReturn:
    """Print an error of one line on standard error and exit."""
    _end(f"Error: {message}", code)


def fail_by_interruption(error: BaseException | None, kept: str) -> NoReturn:
    """Print what stopped the command, and what it has kept, and exit."""
    _end(f"{what_stopped(error)}. {kept}", exit_code(error))


def _end(message: str, code: int) -> NoReturn:
    text = without_controls(" ".join(readable(message).split()))
    if len(text) > _LONGEST_MESSAGE:  # of a name that is too long for a file
        text = f"{text[: _LONGEST_MESSAGE // 2]}...{text[-_LONGEST_MESSAGE // 2 :]}"
    with contextlib.suppress(OSError, ValueError):  # a closed or full standard error
        click.echo(text, err=True)
    sys.exit(code)


def fail_by_system(error: OSError) -> NoReturn:
    """Print what the system refused, and of which file, and exit."""
    from ngramstat.runtime.files import reason

    where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    code = EXIT_INPUT if error.errno in _INPUT_ERRORS else EXIT_FAILED
    fail(f"{where}{reason(error)}; check the paths, or free some space", code)


def fail_for_want_of_memory(error: ImportError | MemoryError | RuntimeError) -> NoReturn:
    """Print that memory has run out, in whichever way libraries say so, and exit.

    A library that cannot be mapped is an ImportError, a thread without a stack a RuntimeError.
    """
    cause: BaseException = error
    while cause.__cause__ is not None:  # numpy puts an essay before it
        cause = cause.__cause__
    text = " ".join(str(cause).split())
    if isinstance(error, MemoryError):
        fail("out of memory; give a smaller --memory-limit or fewer --lags", EXIT_FAILED)
    if isinstance(error, ImportError):
        fail(f"a library cannot be loaded: {text}; install it again, or allow more memory (ulimit "
             "-v)", EXIT_FAILED)  # fmt: skip
    if _NO_THREADS.search(text):
        fail(f"{text}; give fewer --threads, or allow more memory and processes (ulimit -v, -u)",
             EXIT_FAILED)  # fmt: skip
    raise error


def echo_json(value: Any) -> None:
    """Print a value as JSON, whose own escapes stand for what standard output cannot write."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2, allow_nan=False)
    click.echo(text)


class _NoteHandler(logging.Handler):
    """Notes of the package on standard error, one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"Note: {' '.join(record.getMessage().split())}", err=True)


@contextlib.contextmanager
def shows_notes() -> Iterator[None]:
    """What the package has to say beside its results goes to standard error."""
    logger, handler = logging.getLogger("ngramstat"), _NoteHandler(logging.INFO)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(min(logging.INFO, level or logging.INFO))
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Stream:
    """A text stream that calls `failed` where writing or flushing fails.

    A terminal is shown no control characters of names and texts, which could move its cursor,
    change what stands there, or turn the direction of writing.
    """

    def __init__(self, stream: TextIO, failed: Callable[[OSError], None]) -> None:
        self._stream, self._failed = stream, failed
        self._terminal = stream.isatty()

    def write(self, text: str) -> int:
        try:
            self._stream.write(without_controls(text) if self._terminal else text)
        except OSError as error:
            self._failed(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _drop(error: OSError) -> None:
    pass


def _refuse(error: OSError) -> None:
    if error.errno == errno.EPIPE:  # a reader such as `head` has enough; click ends quietly
        raise error
    from ngramstat.runtime.files import reason

    raise NgramstatError(f"standard output: {reason(error)}; files that were named are written")


@contextlib.contextmanager
def forgiving_streams() -> Iterator[None]:
    """Standard output and error that escape what they cannot encode, while a command runs."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ESCAPED)
    # With a standard stream closed Python has None, and nothing is shown.
    if sys.stdout is not None:
        sys.stdout = _Stream(sys.stdout, _refuse)
    if sys.stderr is not None:
        sys.stderr = _Stream(sys.stderr, _drop)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        _empty(sys.stdout)


def _empty(stream: TextIO | None) -> None:
    """Leave nothing to flush at the interpreter's end, which would fail there once more."""
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            descriptor = os.open(os.devnull, os.O_WRONLY)
            os.dup2(descriptor, stream.fileno())  # type: ignore[union-attr]
            os.close(descriptor)
