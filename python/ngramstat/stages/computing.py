"""Computes parts that are not there yet and that no other process has claimed, and keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from ngramstat.runtime.workspace import Workspace
from ngramstat.stages.cache import PartCache
from ngramstat.stages.claims import Claims
from ngramstat.stages.stage import Part, Parts, ProgressBar

__all__ = ["PartComputer"]

Value = TypeVar("Value")


class PartComputer:
    """Loads and computes parts of any stage.

    Parameters
    ----------
    cache : PartCache
    claims : Claims
        In the directory of the cache.
    workspace : Workspace
    """

    def __init__(self, cache: PartCache, claims: Claims, workspace: Workspace) -> None:
        self._cache, self._claims, self.workspace = cache, claims, workspace
        self._damaged: set[str] = set()

    def load(self, source: Parts[Value], part: Part) -> Value | None:
        """The value of a part; None if it is not there, or its file is damaged."""
        name = self._name(source, part)
        if name in self._damaged or not self.is_there(source, part):
            return None
        value = self._cache.load(source.kind, source.version, part.key, source.value)
        if value is None:  # which is said once
            self._damaged.add(name)
        return value

    def is_there(self, source: Parts[Any], part: Part) -> bool:
        """Whether a part has been computed; it is not read."""
        return self._cache.has(source.kind, source.version, part.key)

    def is_taken(self, source: Parts[Any], part: Part) -> bool:
        """Whether another process is computing a part."""
        return self._claims.is_taken(self._name(source, part))

    def claim(self, source: Parts[Any], part: Part) -> bool:
        """Claim a part, which `release` gives up: whether it is ours."""
        return self._claims.take(self._name(source, part))

    def release(self, source: Parts[Any], part: Part) -> None:
        """Give the claim on a part up."""
        self._claims.release(self._name(source, part))

    def keep(self, source: Parts[Value], part: Part, value: Value) -> None:
        """Keep the value of a part."""
        self._damaged.discard(self._name(source, part))
        self._cache.save(source.kind, source.version, part.key, value)

    def remove(self, source: Parts[Any], part: Part) -> None:
        """Remove a part that is no longer needed."""
        self._cache.remove(source.kind, source.version, part.key)

    def compute(
        self, source: Parts[Value], parts: Sequence[Part], bar: ProgressBar
    ) -> Iterator[tuple[Part, Value]]:
        """Compute and keep those of some parts that no other process has claimed.

        All of them are claimed first, since they are computed together.
        """
        claimed = [part for part in parts if self.claim(source, part)]
        try:
            # Before it was ours, another process may have finished it.
            missing = [part for part in claimed if self.load(source, part) is None]
            computed = source.compute(missing, self.workspace, bar) if missing else iter(())
            for part, value in zip(missing, computed, strict=True):
                self.keep(source, part, value)
                self.release(source, part)
                yield part, value
        finally:
            for part in claimed:
                self.release(source, part)

    def _name(self, source: Parts[Any], part: Part) -> str:
        path = self._cache.path(source.kind, source.version, part.key)
        return "" if path is None else path.stem
