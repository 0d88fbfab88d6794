"""Finished parts of a run on disk, so that an interrupted run resumes where it stopped.

A part is one value in one ``.npz`` file whose name is a hash of everything that determines it: the
corpus, the stage and its version, the options it depends on, and this package's version. A part
that is there is complete (it was renamed into place after it reached the disk) and is the right
one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.runtime.files import read_arrays, sha256_array, write_arrays
from ngramstat.stages.codec import from_arrays, to_arrays
from ngramstat.version import __version__

__all__ = ["PartCache", "corpus_identity"]

Value = TypeVar("Value")


def corpus_identity(corpus: Corpus) -> dict[str, Any]:
    """What results depend on of a corpus and of this package, as JSON values."""
    ends = corpus.document_ends
    return {
        "version": __version__,
        "tokens": corpus.sha256,
        "vocab_size": corpus.vocab_size,
        "separator": corpus.separator,
        "documents": None if ends is None else sha256_array(np.asarray(ends)),
    }


class PartCache:
    """Parts of one run in a directory, or nowhere at all.

    Parameters
    ----------
    directory : Path or None
        Where parts are kept; None keeps none.
    identity : dict
        JSON values that every part of this run depends on, see `corpus_identity`.
    """

    def __init__(self, directory: Path | None, identity: Mapping[str, Any]) -> None:
        self._directory = directory
        self._identity = dict(identity)
        if directory is not None:
            try:
                directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(
                    f"{directory}: cannot be created: {error.strerror}; choose another --output"
                ) from error

    @property
    def directory(self) -> Path | None:
        """Where parts are kept, if they are."""
        return self._directory

    def path(self, kind: str, version: int, key: Mapping[str, Any]) -> Path | None:
        """The file of a part, whether or not it is there.

        Parameters
        ----------
        kind : str
            Of the stage; begins the file's name.
        version : int
            Of the stage.
        key : dict
            JSON values: the part, and the options that determine it.
        """
        if self._directory is None:
            return None
        text = json.dumps([self._identity, kind, version, dict(key)], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        return self._directory / f"{kind}-{digest}.npz"

    def has(self, kind: str, version: int, key: Mapping[str, Any]) -> bool:
        """Whether there is a file of a part, which is not read."""
        path = self.path(kind, version, key)
        return path is not None and path.is_file()

    def load(
        self, kind: str, version: int, key: Mapping[str, Any], value: type[Value]
    ) -> Value | None:
        """A part, which is a `value`; None if it is not there or its file is damaged."""
        path = self.path(kind, version, key)
        if path is None or not path.is_file():
            return None
        try:
            return from_arrays(value, read_arrays(path))
        except (InputError, KeyError, TypeError, ValueError):
            # A part only saves time: a damaged one is computed again and replaced.
            return None

    def save(self, kind: str, version: int, key: Mapping[str, Any], value: Any) -> None:
        """Keep a part, atomically."""
        path = self.path(kind, version, key)
        if path is not None:
            write_arrays(path, to_arrays(value))

    def remove(self, kind: str, version: int, key: Mapping[str, Any]) -> None:
        """Remove a part that is no longer needed, if it is there."""
        path = self.path(kind, version, key)
        if path is not None:
            path.unlink(missing_ok=True)
