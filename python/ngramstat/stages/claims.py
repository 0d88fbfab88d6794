"""Claims on the parts of a run, so that processes which share its directory do not repeat work.

A claim is a file beside the parts that names the process which computes one of them. It is created
only where there is none (``O_EXCL``, which is atomic on file systems of one and of many machines),
and removed when the part is there. A process that dies leaves its claims behind: another takes them
over when it sees, on the same machine, that the process is gone, or, on another one, that the file
has not been touched for two minutes.

Nothing depends on claims but time. Parts are written atomically, and whoever computes one gets the
same, so that two processes which hold the same claim by a fault of the file system do the same work
twice.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ngramstat.errors import NgramstatError
from ngramstat.runtime.files import reason

__all__ = ["Claims"]

# Seconds between two touches of a claim, and after which one that was not touched is of a dead
# process. Network file systems may show a touch a minute late.
_TOUCHED_EVERY, _DEAD_AFTER = 10.0, 120.0


class Claims:
    """The claims of this process on parts in a directory; a context manager that releases them.

    Parameters
    ----------
    directory : Path or None
        Which exists. With None there are no others, and every claim is granted.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._owner = _Owner.this()
        self._held: set[str] = set()
        # What an interrupt leaves between the creation of a file and its entry above.
        self._begun: set[str] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        for name in list(self._held):
            self.release(name)
        for name in self._begun:
            # Nothing in it: as far as the interrupted process came.
            self._unlink(name, owners=(self._owner, None))

    def take(self, name: str) -> bool:
        """Claim a part, unless a living process has: whether it is now ours.

        Raises
        ------
        NgramstatError
            The file system refuses.
        """
        if self._directory is None or name in self._held:
            return True
        path = self._path(name)
        self._begun.add(name)
        try:
            created = self._create(path) or (self._remove_if_dead(path) and self._create(path))
        except OSError as error:
            raise NgramstatError(f"{path}: cannot be claimed: {reason(error)}") from error
        if created:
            with self._lock:
                self._held.add(name)
        self._begun.discard(name)
        if not created:
            return False
        if self._thread is None:
            self._thread = threading.Thread(target=self._touch, name="claims", daemon=True)
            self._thread.start()
        return True

    def is_taken(self, name: str) -> bool:
        """Whether another process, which lives, has claimed a part."""
        if self._directory is None or name in self._held:
            return False
        path = self._path(name)
        return path.exists() and not self._is_dead(path, _Owner.of(path))

    def release(self, name: str) -> None:
        """Give a claim up, if it is ours."""
        with self._lock:
            if name not in self._held:
                return
            self._begun.add(name)
            self._held.discard(name)
        # Not if another process took it over, because this one was stopped for minutes.
        self._unlink(name, owners=(self._owner,))
        self._begun.discard(name)

    def _unlink(self, name: str, owners: Sequence[_Owner | None]) -> None:
        """Remove a claim that is held by one of these."""
        path = self._path(name)
        if _Owner.of(path) in owners:
            with contextlib.suppress(OSError):
                path.unlink()

    def remove_dead(self) -> None:
        """Remove what dead processes left behind."""
        if self._directory is None:
            return
        for path in self._directory.glob("*.claim"):
            with contextlib.suppress(OSError):
                self._remove_if_dead(path)

    def _path(self, name: str) -> Path:
        assert self._directory is not None
        return self._directory / f"{name}.claim"

    def _create(self, path: Path) -> bool:
        """Write a claim where there is none; whether there was none."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self._owner.to_json())
        return True

    def _is_dead(self, path: Path, owner: _Owner | None) -> bool:
        """Whether the owner of a claim is gone, or has not touched it for long.

        A process with its number may be another one, which does not touch it.
        """
        is_here = owner is not None and owner.place == self._owner.place and os.name == "posix"
        if owner is not None and is_here and not owner.is_running:
            return True
        try:
            return self._now() - path.stat().st_mtime > _DEAD_AFTER
        except FileNotFoundError:  # released meanwhile
            return False

    def _now(self) -> float:
        """The time of the file system, whose clock may differ from that of this machine."""
        assert self._directory is not None
        probe = self._directory / f".clock.{secrets.token_hex(8)}.tmp"
        with open(probe, "wb"):
            pass
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink()

    def _remove_if_dead(self, path: Path) -> bool:
        """Remove the claim of a dead process; whether it was one.

        But not a claim that another process has put in its place since.
        """
        owner = _Owner.of(path)
        if not self._is_dead(path, owner):
            return False
        aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        try:
            os.rename(path, aside)
        except FileNotFoundError:  # another was faster
            return True
        try:
            if _Owner.of(aside) != owner:
                with contextlib.suppress(FileExistsError):
                    os.link(aside, path)
        finally:
            aside.unlink()
        return True

    def _touch(self) -> None:
        while not self._ended.wait(_TOUCHED_EVERY):
            with self._lock:
                held = list(self._held)
            for name in held:
                # Taken over, or a file system that is away for a while: the work goes on.
                with contextlib.suppress(OSError):
                    os.utime(self._path(name))


@dataclass(frozen=True)
class _Owner:
    """Who holds a claim.

    Attributes
    ----------
    place : str
        The machine, and on Linux the container, in which the number of the process means something.
    process : int
    token : str
        Tells apart processes that have the same number one after the other.
    """

    place: str
    process: int
    token: str

    @classmethod
    def this(cls) -> _Owner:
        """Of this process."""
        place = socket.gethostname()
        with contextlib.suppress(OSError):
            place += " " + os.readlink("/proc/self/ns/pid")
        return cls(place, os.getpid(), secrets.token_hex(8))

    @classmethod
    def of(cls, path: Path) -> _Owner | None:
        """Of a claim; None where it is gone or not written yet."""
        try:
            content: Any = json.loads(path.read_text(encoding="utf-8"))
            return cls(str(content["place"]), int(content["process"]), str(content["token"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def to_json(self) -> str:
        """What a claim holds."""
        return json.dumps({"place": self.place, "process": self.process, "token": self.token})

    @property
    def is_running(self) -> bool:
        """Whether its process exists, on the machine where it is."""
        try:
            os.kill(self.process, 0)
        except OSError as error:
            return error.errno != errno.ESRCH
        return True
