"""Readers and writers of other packages, found by their entry points.

A package adds a reader with an entry point of the group ``ngramstat.readers`` that names a
`ngramstat.corpus.formats.Format`, and a writer with one of ``ngramstat.writers`` that names a
`ngramstat.corpus.writers.Writer`. A plugin that cannot be loaded, or fails, is said in one line
and stops nothing else.
"""

from __future__ import annotations

import functools
import importlib.metadata
from typing import TypeVar

from ngramstat.runtime.files import reason
from ngramstat.runtime.log import warn

__all__ = ["READERS", "WRITERS", "load_plugins", "plugin_failure"]


READERS = "ngramstat.readers"
WRITERS = "ngramstat.writers"

T = TypeVar("T")


@functools.cache
def load_plugins(group: str, kind: type[T]) -> dict[str, T]:
    """What the entry points of a group name, by the names of the entry points.

    Parameters
    ----------
    group
        `READERS` or `WRITERS`.
    kind
        The type that they must be of. Its ``name`` must be that of the entry point.
    """
    found: dict[str, T] = {}
    for entry in importlib.metadata.entry_points(group=group):
        package = entry.dist.name if entry.dist is not None else "unknown package"
        try:
            value = entry.load()
        except (Exception, SystemExit) as error:  # whatever a foreign module does when imported
            _refuse(group, entry.name, package, reason(error))
            continue
        if not isinstance(value, kind):
            _refuse(group, entry.name, package, f"{entry.value} is not a {kind.__name__}")
        elif getattr(value, "name", None) != entry.name:
            _refuse(group, entry.name, package, f"{entry.value} has another name")
        elif entry.name in found:
            _refuse(group, entry.name, package, "another package has a plugin of that name")
        else:
            found[entry.name] = value
    return found


def plugin_failure(name: str, error: BaseException) -> str:
    """One line about a plugin that raised something else than the package's errors."""
    return f"the plugin {name!r} failed with {type(error).__name__}: {reason(error)}"


def _refuse(group: str, name: str, package: str, why: str) -> None:
    warn(f"the plugin {name!r} of {package} (entry point {group}) cannot be used: {why}")
