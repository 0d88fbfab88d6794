"""The files that rounds leave for each other: arrays of one dataclass with a checksum.

A file is there only as a whole (it is renamed into place), says what it is and which plan it
belongs to, and is refused where its bytes have changed.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.runtime.files import read_arrays, write_arrays
from ngramstat.stages.codec import from_arrays, to_arrays

__all__ = ["RoundFiles"]

Value = TypeVar("Value")

_FORMAT = "ngramstat.shards/1"
_HEADER = "header"


class RoundFiles:
    """The files of one measurement of shards.

    Parameters
    ----------
    directory : Path
    plan : str
        Checksum of what all files have to follow.
    """

    def __init__(self, directory: Path, plan: str) -> None:
        self.directory, self._plan = directory, plan

    def of_text(self, text: str) -> RoundFiles:
        """The files that depend on the text of the shards as well, by its checksum."""
        both = hashlib.sha256(f"{self._plan} {text}".encode()).hexdigest()
        return RoundFiles(self.directory, both)

    def path(self, kind: str, *numbers: int) -> Path:
        """The file of a kind, by its numbers: of a lag, a shard, a range."""
        return self.directory / "-".join([kind, *(f"{number:06d}" for number in numbers)])

    def has(self, kind: str, *numbers: int) -> bool:
        """Whether a file is there, of this plan; another one is to be written anew."""
        path = self._file(kind, numbers)
        if not path.is_file():
            return False
        try:
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
                found = json.loads(file[_HEADER].tobytes())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return False
        return isinstance(found, dict) and found.get("plan") == self._plan

    def save(self, value: Any, kind: str, *numbers: int) -> None:
        """Write a dataclass, atomically.

        Raises
        ------
        NgramstatError
            Writing failed.
        """
        arrays = {name: np.asarray(array) for name, array in to_arrays(value).items()}
        header = {
            "format": _FORMAT,
            "kind": type(value).__name__,
            "plan": self._plan,
            "sha256": _checksum(arrays),
        }
        text = np.frombuffer(json.dumps(header).encode(), np.uint8)
        write_arrays(self._file(kind, numbers), {**arrays, _HEADER: text})

    def load(self, value: type[Value], kind: str, *numbers: int) -> Value:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            The file is missing, damaged, of another version, or belongs to another plan.
        """
        path = self._file(kind, numbers)
        if not path.exists():
            raise InputError(f"{path}: is missing; an earlier round has not written it")
        arrays = read_arrays(path)
        try:
            header = json.loads(arrays.pop(_HEADER).tobytes())
            found = {name: str(header[name]) for name in ("format", "kind", "plan", "sha256")}
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: is no file of a round of shards") from error
        if found["format"] != _FORMAT or found["kind"] != value.__name__:
            raise InputError(
                f"{path}: holds {found['format'][:40]} {found['kind'][:40]}, where {_FORMAT} "
                f"{value.__name__} is needed"
            )
        if found["plan"] != self._plan:
            raise InputError(
                f"{path}: belongs to another plan or text of the shards; repeat its round"
            )
        if found["sha256"] != _checksum(arrays):
            raise InputError(f"{path}: is damaged (checksum); remove it and repeat its round")
        return from_arrays(value, arrays)

    def _file(self, kind: str, numbers: tuple[int, ...]) -> Path:
        return self.path(kind, *numbers).with_suffix(".npz")


def _checksum(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Of names, types, shapes and contents."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()
