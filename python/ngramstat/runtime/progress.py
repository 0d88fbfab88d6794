"""Progress on standard error: a bar on a terminal, otherwise plain lines, with the time left."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any, Self

__all__ = ["Elapsed", "Progress"]

# Nothing is shown for work that ends within this many seconds.
_DELAY_SECONDS = 1.0
# Seconds between lines without a terminal (a log file, a batch job).
_LOG_SECONDS = 10.0


class Progress:
    """Shows the progress of some work; a context manager.

    Parameters
    ----------
    total
        Total units of work, or None if unknown (then no time left is shown).
    description
        Short name of the work.
    unit
        Name of the unit, such as "B"; shown with the prefixes k, M, G and T.
    enabled
        False shows nothing.
    """

    def __init__(
        self,
        total: float | None = None,
        description: str = "",
        *,
        unit: str = "it",
        enabled: bool = True,
    ) -> None:
        self._total = total
        self._description = description
        self._value = ""
        self._unit = unit
        self._enabled = enabled
        self._done = 0.0
        self._bar: Any = None
        self._logging = False
        self._started = self._logged = 0.0

    def __enter__(self) -> Self:
        self._started = self._logged = time.monotonic()
        if not self._enabled or sys.stderr is None:
            return self
        if sys.stderr.isatty():
            self._bar = _make_bar(self._total, self._description, self._unit)
        else:
            self._logging = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        elif self._logging and kind is None and self._logged > self._started:
            self._log(time.monotonic())
        self._logging = False

    def advance(self, amount: float = 1) -> None:
        """Count `amount` more units as done."""
        self._done += amount
        if self._bar is not None:
            self._bar.update(amount)
        elif self._logging:
            now = time.monotonic()
            if now - self._logged >= _LOG_SECONDS:
                self._log(now)

    def advance_to(self, done: float) -> None:
        """Set the total number of units done; a smaller number than before is ignored."""
        if done > self._done:
            self.advance(done - self._done)

    def show_value(self, text: str) -> None:
        """Show a value that changes during the work, such as a loss."""
        self._value = text
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)

    def _log(self, now: float) -> None:
        self._logged = now
        elapsed = now - self._started
        line = f"{self._description}: {_scaled(self._done)}"
        if self._total:
            fraction = min(1.0, self._done / self._total)
            line = f"{line.rstrip()} of {_scaled(self._total)}{self._unit} ({fraction:.0%})"
        else:
            line += self._unit
        line += f", {_clock(elapsed)} elapsed"
        if self._total and 0 < self._done < self._total:
            line += f", {_clock(elapsed * (self._total / self._done - 1))} left"
        if self._value:
            line += f", {self._value}"
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class Elapsed:
    """Shows how long work has been going on that does not report its progress.

    A context manager; nothing is shown before `start`. A thread of its own keeps the time, so the
    work has to let other threads run, as most compiled code does.

    Parameters
    ----------
    description
        Short name of the work.
    enabled
        False shows nothing.
    tick
        Seconds between updates.
    """

    def __init__(self, description: str, *, enabled: bool = True, tick: float = 1.0) -> None:
        self._progress = Progress(None, description, unit="s", enabled=enabled)
        self._tick = tick
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def start(self) -> None:
        """Begin to show the time."""
        self._thread = threading.Thread(target=self._keep_time, daemon=True)
        self._thread.start()

    def _keep_time(self) -> None:
        with self._progress as bar:
            while not self._ended.wait(self._tick):
                bar.advance(self._tick)


def _make_bar(total: float | None, description: str, unit: str) -> Any:
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]
        # tqdm's monitor thread would outlive the work and be inherited by forked children.
        monitor_interval = 0

    return Bar(
        total=total,
        desc=description,
        unit=unit,
        unit_scale=True,
        delay=_DELAY_SECONDS,
        dynamic_ncols=True,
        file=sys.stderr,
    )


def _scaled(value: float) -> str:
    for limit, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {prefix}"
    return f"{value:.3g} "


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
