"""Time and memory that the parts of a program take, measured while they run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from ngramstat import _core
from ngramstat.runtime.resources import peak_rss_bytes

__all__ = ["Usage", "UsageLog"]

# Seconds between two looks at the resident memory; a look takes some 10 microseconds.
_INTERVAL = 0.02


@dataclass(frozen=True)
class Usage:
    """What one part took.

    Attributes
    ----------
    name : str
    seconds : float
        By the clock.
    cpu_seconds : float
        Of all threads of this process.
    peak_rss_bytes : int
        Peak resident memory of the process while the part ran: exact where it is the highest so
        far, otherwise the highest of samples 20 ms apart.
    """

    name: str
    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int


class UsageLog:
    """Collects the usage of parts, in the order they end.

    Attributes
    ----------
    parts : list of Usage
    """

    def __init__(self) -> None:
        self.parts: list[Usage] = []

    @contextmanager
    def record(self, name: str) -> Iterator[None]:
        """Measure what is done inside; nothing is recorded if it fails."""
        highest_before = peak_rss_bytes() or 0
        clock, cpu = time.perf_counter(), time.process_time()
        with _MemorySampler() as memory:
            yield
        seconds, cpu_seconds = time.perf_counter() - clock, time.process_time() - cpu
        highest = peak_rss_bytes() or 0
        peak = highest if highest > highest_before else memory.peak
        self.parts.append(Usage(name, round(seconds, 3), round(cpu_seconds, 3), peak))

    def to_dicts(self) -> list[dict[str, Any]]:
        """The parts as plain values."""
        return [asdict(part) for part in self.parts]


class _MemorySampler:
    """Looks at the resident memory from a thread of its own."""

    def __init__(self) -> None:
        self.peak = _core.rss_bytes()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)

    def __enter__(self) -> _MemorySampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._look()

    def _sample(self) -> None:
        while not self._done.wait(_INTERVAL):
            self._look()

    def _look(self) -> None:
        self.peak = max(self.peak, _core.rss_bytes())
