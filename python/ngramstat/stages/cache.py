"""Finished parts of a run on disk, so that an interrupted run resumes where it stopped.

A part is one value in one ``.npz`` file whose name is a hash of everything that determines it: the
corpus, the stage and its version, the options it depends on, and this package's version. A part
that is there is complete: it was renamed into place after it reached the disk. Its checksum covers
that hash and all arrays, so that a file that was damaged or renamed since is noticed; the part is
then made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ngramstat.corpus import Corpus
from ngramstat.errors import InputError
from ngramstat.runtime.files import read_arrays, reason, write_arrays
from ngramstat.runtime.log import warn
from ngramstat.stages.codec import from_arrays, sealed, to_arrays, unsealed
from ngramstat.version import __version__

__all__ = ["PartCache", "corpus_identity"]

Value = TypeVar("Value")


def corpus_identity(corpus: Corpus) -> dict[str, Any]:
    """What results depend on of a corpus and of this package, as JSON values."""
    return {
        "version": __version__,
        "tokens": corpus.sha256,
        "vocab_size": corpus.vocab_size,
        "separator": corpus.separator,
        "documents": corpus.documents_sha256,
    }


class PartCache:
    """Parts of one run in a directory, or nowhere at all.

    Parameters
    ----------
    directory : Path or None
        Where parts are kept; None keeps none.
    identity : dict
        JSON values that every part of this run depends on, see `corpus_identity`.
    require_unchanged : callable
        Raises where the corpus is no longer that of `identity`. It is called before a part is kept:
        a part of another text must not get its name.
    """

    def __init__(
        self,
        directory: Path | None,
        identity: Mapping[str, Any],
        require_unchanged: Callable[[], None] = lambda: None,
    ) -> None:
        self._directory, self._require_unchanged = directory, require_unchanged
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
        return self._directory / f"{kind}-{self._digest(kind, version, key)[:32]}.npz"

    def has(self, kind: str, version: int, key: Mapping[str, Any]) -> bool:
        """Whether there is a file of a part, which is not read."""
        path = self.path(kind, version, key)
        return path is not None and path.is_file()

    def load(
        self, kind: str, version: int, key: Mapping[str, Any], value: type[Value]
    ) -> Value | None:
        """A part, which is a `value`; None, with a warning, if its file is not what was saved.

        None without a warning if there is no file.
        """
        path = self.path(kind, version, key)
        if path is None or not path.exists():
            return None
        try:
            arrays = unsealed(read_arrays(path), self._digest(kind, version, key))
            return from_arrays(value, arrays)
        # A part only saves time, and its file may hold anything: sizes that do not fit in memory,
        # too, where a bit of a shape has changed.
        except (InputError, MemoryError, KeyError, TypeError, ValueError) as error:
            why = reason(error).removeprefix(f"{path}: ")
            warn(f"{path}: is not the part that was saved ({why}); it is computed again")
            return None

    def save(self, kind: str, version: int, key: Mapping[str, Any], value: Any) -> None:
        """Keep a part, atomically.

        Raises
        ------
        InputError
            The corpus has changed since the run began.
        NgramstatError
            Writing failed.
        """
        path = self.path(kind, version, key)
        if path is not None:
            self._require_unchanged()
            write_arrays(path, sealed(to_arrays(value), self._digest(kind, version, key)))

    def remove(self, kind: str, version: int, key: Mapping[str, Any]) -> None:
        """Remove a part that is no longer needed, if it is there."""
        path = self.path(kind, version, key)
        if path is not None:
            path.unlink(missing_ok=True)

    def _digest(self, kind: str, version: int, key: Mapping[str, Any]) -> str:
        text = json.dumps([self._identity, kind, version, dict(key)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
