"""The files that rounds leave for each other: arrays of one dataclass with a checksum.

A file is there only as a whole (it is renamed into place), says what it is and which plan it
belongs to, and is refused where its bytes or its name have changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ngramstat.errors import InputError
from ngramstat.runtime.files import read_arrays, write_arrays
from ngramstat.stages.codec import from_arrays, sealed, to_arrays, unsealed

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
            found = json.loads(read_arrays(path, [_HEADER])[_HEADER].tobytes())
        except (InputError, ValueError):
            return False
        return isinstance(found, dict) and found.get("plan") == self._plan

    def save(self, value: Any, kind: str, *numbers: int) -> None:
        """Write a dataclass, atomically.

        Raises
        ------
        NgramstatError
            Writing failed.
        """
        header = {"format": _FORMAT, "kind": type(value).__name__, "plan": self._plan}
        text = np.frombuffer(json.dumps(header).encode(), np.uint8)
        arrays = {name: np.asarray(array) for name, array in to_arrays(value).items()}
        path = self._file(kind, numbers)
        write_arrays(path, sealed({**arrays, _HEADER: text}, path.name))

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
            header = json.loads(arrays[_HEADER].tobytes())
            found = {name: str(header[name]) for name in ("format", "kind", "plan")}
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
        try:
            return from_arrays(value, unsealed(arrays, path.name))
        except ValueError as error:
            raise InputError(
                f"{path}: is damaged (checksum); remove it and repeat its round"
            ) from error

    def load_of_range(
        self, value: type[Value], kind: str, number: int, parts: Sequence[int]
    ) -> list[Value]:
        """What all shards sent to a range of token ids, in the order of the shards.

        Parameters
        ----------
        value : type
        kind : str
        number : int
            Of the range.
        parts : sequence of int
            How many files each shard sent.
        """
        return [
            self.load(value, kind, number, shard, part)
            for shard, count in enumerate(parts) for part in range(count)
        ]  # fmt: skip

    def _file(self, kind: str, numbers: tuple[int, ...]) -> Path:
        return self.path(kind, *numbers).with_suffix(".npz")
