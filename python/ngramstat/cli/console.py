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
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TextIO

import click

from ngramstat.errors import NgramstatError
from ngramstat.runtime.text import ESCAPED, readable

__all__ = [
    "EXIT_FAILED",
    "EXIT_INPUT",
    "EXIT_INTERRUPTED",
    "echo_json",
    "fail",
    "fail_by_system",
    "forgiving_streams",
    "shows_notes",
]

EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED = 1, 2, 130

# What the system says of a path that cannot be used, as opposed to work that went wrong.
_INPUT_ERRORS = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENAMETOOLONG, errno.ELOOP),
}
# Longer messages are shortened in their middle.
_LONGEST_MESSAGE = 1500


def fail(message: str, code: int) -> NoReturn:
    """Print one line on standard error and exit."""
    text = readable(" ".join(message.split()))
    if len(text) > _LONGEST_MESSAGE:  # of a name that is too long for a file
        text = f"{text[: _LONGEST_MESSAGE // 2]}...{text[-_LONGEST_MESSAGE // 2 :]}"
    with contextlib.suppress(OSError, ValueError):  # a closed or full standard error
        click.echo(text if code == EXIT_INTERRUPTED else f"Error: {text}", err=True)
    sys.exit(code)


def fail_by_system(error: OSError) -> NoReturn:
    """Print what the system refused, and of which file, and exit."""
    from ngramstat.runtime.files import reason

    where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    code = EXIT_INPUT if error.errno in _INPUT_ERRORS else EXIT_FAILED
    fail(f"{where}{reason(error)}; check the paths, or free some space", code)


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
    """A text stream that calls `failed` where writing or flushing fails."""

    def __init__(self, stream: TextIO, failed: Callable[[OSError], None]) -> None:
        self._stream, self._failed = stream, failed

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
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
