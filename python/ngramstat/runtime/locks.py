"""One writer at a time: locks of outputs, and the removal of what dead writers have left.

The locks are those of the operating system (``flock``), which go with the process that holds them,
however it ends: no lock is ever stale. A writer locks its output (`sole_writer`) and every
temporary file that it has open (`hold`); a temporary file that nobody holds has no writer any more,
and the next writer removes it (`remove_abandoned`). Where a file system has no such locks, which
network file systems may be set up without, a warning says so and nothing is removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path

from ngramstat.errors import InputError
from ngramstat.runtime.log import warn
from ngramstat.runtime.text import reason

__all__ = ["LOCK_FILE", "hold", "remove_abandoned", "same_file", "sole_writer"]

# In a directory that is being written.
LOCK_FILE = ".being-written"
# What names the holder of a lock is short.
_MOST_BYTES = 512
# Of a lock on Windows, which keeps others from reading the byte: beyond what names the holder.
_LOCKED_BYTE = 1 << 30

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int, *, shared: bool = False) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def hold(descriptor: int) -> None:
        """Nothing: an open file cannot be removed there."""
else:
    import fcntl

    def _try_lock(descriptor: int, *, shared: bool = False) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    def hold(descriptor: int) -> None:
        """Lock an open temporary file or directory until it is closed, so that it is kept."""
        with contextlib.suppress(OSError):  # without locks nobody removes it either
            fcntl.flock(descriptor, fcntl.LOCK_SH)


class _Held:
    """Outputs that this process writes, by the path of their lock; one thread may nest locks."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.depths: dict[str, tuple[int, int]] = {}  # thread, how often

    def enter(self, lock: Path) -> bool:
        """Whether the lock is new to this thread.

        Raises
        ------
        BlockingIOError
            Another thread of this process holds it.
        """
        with self.guard:
            thread, depth = self.depths.get(str(lock), (threading.get_ident(), 0))
            if thread != threading.get_ident():
                raise BlockingIOError(errno.EAGAIN, "held by another thread")
            self.depths[str(lock)] = thread, depth + 1
            return depth == 0

    def leave(self, lock: Path) -> None:
        with self.guard:
            thread, depth = self.depths[str(lock)]
            if depth == 1:
                del self.depths[str(lock)]
            else:
                self.depths[str(lock)] = thread, depth - 1


_HELD = _Held()


@contextlib.contextmanager
def sole_writer(
    output: str | PathLike[str], *, directory: bool = True, shared: bool = False
) -> Iterator[None]:
    """Refuse all other writers of an output while the block runs.

    Within one thread the block may be entered again for the same output.

    Parameters
    ----------
    output : path
        What is written.
    directory : bool
        The output is a directory that is written in place: it is made where it is missing, the lock
        is a file in it, and what was made is removed if it is empty at the end. Otherwise the lock
        is a hidden file beside the output.
    shared : bool
        Others who also say so may write at the same time.

    Raises
    ------
    InputError
        Another process or thread writes it, or its directory cannot be made.
    """
    # Not only of the last component: two names of one directory are one output.
    try:
        path = Path(os.path.realpath(output))
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise InputError(f"{output}: cannot be written: {reason(error)}") from error
    lock = path / LOCK_FILE if directory else path.with_name(f".{path.name[:100]}.being-written")
    try:
        is_new = _HELD.enter(lock)
    except BlockingIOError:
        raise _refusal(output, os.getpid(), socket.gethostname()) from None
    try:
        if not is_new:
            yield
            return
        made = _make_directories(path, output) if directory else []
        try:
            with _locked(lock, output, shared=shared):
                yield
        finally:
            for parent in made:
                with contextlib.suppress(OSError):
                    parent.rmdir()  # where it is empty
    finally:
        _HELD.leave(lock)


def remove_abandoned(directory: Path, name: Callable[[str], object] | re.Pattern[str]) -> None:
    """Remove temporary files and directories that no living process holds.

    Parameters
    ----------
    directory : Path
    name
        The pattern of their whole names, or a function of the name.
    """
    matches = name.fullmatch if isinstance(name, re.Pattern) else name
    with contextlib.suppress(OSError):
        with os.scandir(directory) as entries:
            found = [entry.path for entry in entries if matches(entry.name)]
        for path in found:
            with contextlib.suppress(OSError):
                _remove_unless_held(path)


def _remove_unless_held(path: str) -> None:
    is_directory = os.path.isdir(path) and not os.path.islink(path)
    if sys.platform == "win32":  # where removing what is open fails
        shutil.rmtree(path) if is_directory else os.unlink(path)
        return
    # A lock on a network file system may need a file that is open for writing.
    mode = os.O_RDONLY if is_directory else os.O_RDWR
    descriptor = os.open(path, mode | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        _try_lock(descriptor)
        if same_file(descriptor, path):
            shutil.rmtree(path) if is_directory else os.unlink(path)
    finally:
        os.close(descriptor)


def same_file(descriptor: int, path: str | PathLike[str]) -> bool:
    """Whether a path still names an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except OSError:
        return False


@contextlib.contextmanager
def _locked(lock: Path, output: str | PathLike[str], *, shared: bool) -> Iterator[None]:
    descriptor = _acquire(lock, output, shared=shared)
    if descriptor is None:
        yield
        return
    try:
        yield
    finally:
        # While it is still locked: whoever waits for the name makes a new file.
        if sys.platform != "win32" and not (shared and _is_shared(descriptor)):
            _unlink(lock)
        os.close(descriptor)
        if sys.platform == "win32":
            _unlink(lock)


def _is_shared(descriptor: int) -> bool:
    """Whether others hold a shared lock, too; if not, it has become one of this process alone."""
    try:
        _try_lock(descriptor)
    except OSError:
        return True
    return False


def _unlink(lock: Path) -> None:
    with contextlib.suppress(OSError):
        lock.unlink()


def _acquire(lock: Path, output: str | PathLike[str], *, shared: bool) -> int | None:
    """A descriptor that holds the lock; None where the file system has no locks."""
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise InputError(f"{output}: cannot be written: {reason(error)}") from error
        try:
            _try_lock(descriptor, shared=shared)
            if same_file(descriptor, lock):
                with contextlib.suppress(OSError):  # of a full disk: the lock holds all the same
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, f"{os.getpid()} {socket.gethostname()}".encode())
                return descriptor
        except OSError as error:
            holder = _holder(lock)
            os.close(descriptor)
            if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                raise _refusal(output, *holder) from None
            _unlink(lock)
            warn(
                f"{output}: cannot be locked ({reason(error)}); let no other process write to it "
                "at the same time"
            )
            return None
        os.close(descriptor)  # a writer that has ended has removed it meanwhile


def _holder(lock: Path) -> tuple[int | None, str]:
    """Process and host of whoever holds a lock, as far as they are written there."""
    try:
        with open(lock, "rb") as file:
            process, _, host = file.read(_MOST_BYTES).decode("utf-8", "replace").partition(" ")
        return int(process), host
    except (OSError, ValueError):
        return None, ""


def _refusal(output: str | PathLike[str], process: int | None, host: str) -> InputError:
    who = "another process" if process is None else f"process {process} on {host}"
    return InputError(
        f"{output}: is being written by {who}; wait until it has ended, or choose another output"
    )


def _make_directories(path: Path, output: str | PathLike[str]) -> list[Path]:
    """Make a directory and its parents; returns those made, the innermost first."""
    try:
        missing = []
        for parent in (path, *path.parents):
            if parent.exists():
                break
            missing.append(parent)
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {reason(error)}") from error
    return missing
