"""What lies in a directory after a command, compared with what a clean run leaves there."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Reference", "is_temporary", "state_of", "stored_parts"]

# Random digits in names: of an index's build.
_DIGITS = re.compile(r"[0-9a-f]{16}")
# What differs between two runs of one command: in JSON, columns of CSV, and archives of arrays.
_PASSING = {"provenance", "next", "created_by", "seconds", "seconds_per_token"}
# How long models would train here, as a run has timed it.
_PACE = re.compile(rb"--train \d+\w|\d+ minutes")
# What a task of a batch job may take: timed here, and by the size of the process that plans it.
_TASK_LIMIT = re.compile(rb"--(time|mem|memory-limit)[= ]\S+")
# Finished work inside of an output, which the next call takes as it is. Descriptions of shards are
# made anew by every call, which tells whether the text is the same.
_PARTS = ("parts/*.npz", "rounds/*.npz", "runs/*/losses.npz")
_MADE_ANEW = "shard-"
_TEMPORARY = (".tmp", ".old", ".partial", ".part", ".being-written")


def is_temporary(name: str) -> bool:
    """Whether a file is there for the time of writing only."""
    return name.endswith(_TEMPORARY)


def state_of(directory: Path) -> dict[str, str]:
    """All files by name, with digests of their contents; directories with a slash."""
    state = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if not is_temporary(path.name):
            name = _DIGITS.sub("#", name)
        state[name + "/" * path.is_dir()] = "" if path.is_dir() else _digest(path, directory)
    return state


def _digest(path: Path, directory: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".npz":  # bits of the archive that no reader looks at may differ
        with contextlib.suppress(Exception):
            arrays = np.load(io.BytesIO(data), allow_pickle=False)
            held = [(name, arrays[name]) for name in sorted(set(arrays.files) - _PASSING)]
            data = repr([(name, a.dtype.str, a.shape, a.tobytes()) for name, a in held]).encode()
    if path.suffix in (".txt", ".html"):
        data = _PACE.sub(b"#", data)
    if path.suffix == ".sh":  # names the directory that it was written in
        data = _TASK_LIMIT.sub(b"#", data.replace(bytes(directory), b"#"))
    if path.suffix == ".csv":
        with contextlib.suppress(ValueError, KeyError):
            data = repr(_lasting(list(csv.DictReader(io.StringIO(data.decode()))))).encode()
    if path.suffix == ".json":
        with contextlib.suppress(ValueError):  # a damaged file is another one
            data = json.dumps(_lasting(json.loads(data)), sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(item) for key, item in value.items() if key not in _PASSING}
    return [_lasting(item) for item in value] if isinstance(value, list) else value


def stored_parts(directory: Path) -> dict[str, int]:
    """What an output holds of finished work, with the times at which it was written."""
    return {
        str(path.relative_to(directory)): path.stat().st_mtime_ns
        for pattern in _PARTS
        for path in directory.rglob(pattern)
        if not path.name.startswith(_MADE_ANEW)
    }


class Reference:
    """What a command leaves, from two clean runs: what differs between them cannot be compared."""

    def __init__(self, first: dict[str, str], second: dict[str, str]) -> None:
        self.names = set(first)
        self.same = {name: digest for name, digest in first.items() if second.get(name) == digest}
        if self.names != set(second):
            raise RuntimeError(f"two clean runs leave different files: {self.names ^ set(second)}")

    def wrong(self, state: dict[str, str]) -> list[str]:
        """Files that are there and hold something else."""
        return [n for n, digest in state.items() if n in self.same and self.same[n] != digest]

    def left_over(self, state: dict[str, str]) -> list[str]:
        """Files that a clean run does not leave."""
        return sorted(set(state) - self.names)

    def missing(self, state: dict[str, str]) -> list[str]:
        """Files that a clean run leaves."""
        return sorted(self.names - set(state))
