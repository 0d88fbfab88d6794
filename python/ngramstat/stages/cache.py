"""Finished parts of a run on disk, so that an interrupted run goes on where it stopped.

A part is a set of arrays and numbers in one ``.npz`` file whose name is a hash of everything that
shapes it: corpus, options, the kind of part and this package's version. A part that is there is
whole (it was renamed into place after it reached the disk) and is the right one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ngramstat.errors import InputError
from ngramstat.runtime.files import read_arrays, write_arrays

__all__ = ["PartStore"]

Arrays = Mapping[str, NDArray[Any]]


class PartStore:
    """Parts of one run in a directory, or nowhere at all.

    Parameters
    ----------
    directory : Path or None
        Where parts are kept; None keeps none.
    base : dict
        JSON values that every part of this run depends on.
    """

    def __init__(self, directory: Path | None, base: Mapping[str, Any]) -> None:
        self._directory = directory
        self._base = dict(base)
        if directory is not None:
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(
                    f"{directory}: cannot be created: {error.strerror}; choose another --output"
                ) from error

    def path(self, kind: str, options: Mapping[str, Any]) -> Path | None:
        """The file of a part, whether or not it is there."""
        if self._directory is None:
            return None
        text = json.dumps([self._base, kind, dict(options)], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        return self._directory / f"{kind}-{digest}.npz"

    def load(self, kind: str, options: Mapping[str, Any]) -> dict[str, NDArray[Any]] | None:
        """The arrays of a part, or None if it is not there or its file is damaged."""
        path = self.path(kind, options)
        if path is None or not path.is_file():
            return None
        try:
            return read_arrays(path)
        except InputError:
            # A part is only a saving of time: a damaged one is computed again and replaced.
            return None

    def save(self, kind: str, options: Mapping[str, Any], arrays: Arrays) -> None:
        """Keep a part, atomically."""
        path = self.path(kind, options)
        if path is not None:
            write_arrays(path, arrays)
