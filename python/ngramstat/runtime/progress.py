"""Progress, with the time left: a bar on a terminal and in a notebook, otherwise plain lines.

Bars of a notebook stand in its cell; everything else goes to standard error.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings
from types import TracebackType
from typing import Any, Self

from ngramstat.errors import InputTypeError
from ngramstat.runtime.numbers import count_text

__all__ = ["Elapsed", "Progress", "shows_progress"]

# Nothing is shown for work that ends within this many seconds.
_DELAY_SECONDS = 1.0
# Seconds between lines without a terminal (a log file, a batch job).
_LOG_SECONDS = 10.0


def shows_progress(chosen: bool | None) -> bool:
    """Whether to show progress: as chosen, or, if that is None, in notebooks only.

    Raises
    ------
    InputTypeError
        It is neither True nor False nor None.
    """
    if chosen is None:
        return _in_notebook()
    if not isinstance(chosen, bool):
        raise InputTypeError(f"progress={chosen!r}: must be True, False or None")
    return chosen


def _in_notebook() -> bool:
    """Whether this is the kernel of a notebook, which never starts without IPython."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class Pace:
    """How fast some work is going, and how long the rest of it will take.

    Where many steps are done, the rate is that of the second half of them, so that a change of
    speed is followed. Where few are done, whose costs may differ, all of them count but the first,
    before which there may have been a preparation.
    """

    # Steps in the second half from which on it is used alone.
    _MANY = 16
    # More points than this are thinned out evenly.
    _MAX_POINTS = 256

    def __init__(self) -> None:
        self._points: list[tuple[float, float]] = []
        self._last = (0.0, 0.0)
        # One of so many notes becomes a point.
        self._stride, self._notes = 1, 0

    def note(self, done: float, now: float) -> None:
        """`done` units are done at the time `now`; neither falls."""
        if self._notes and done <= self._last[0]:
            return
        self._last = (done, now)
        if self._notes % self._stride == 0:
            self._points.append(self._last)
            if len(self._points) > self._MAX_POINTS:
                del self._points[1::2]
                self._stride *= 2
        self._notes += 1

    def skip(self, amount: float) -> None:
        """`amount` more units are done, and took no time."""
        self._points = [(done + amount, now) for done, now in self._points]
        self._last = (self._last[0] + amount, self._last[1])

    def rate(self) -> float | None:
        """Units a second; None before the first unit is done."""
        points = [point for point in self._points if point[0] < self._last[0]]
        if not points:
            return None
        middle = (points[0][0] + self._last[0]) / 2
        first_half = sum(done <= middle for done, _ in points)
        if len(points) - first_half >= self._MANY - 1:
            since = points[first_half - 1]
        else:
            since = points[1] if len(points) > 2 else points[0]
        seconds = self._last[1] - since[1]
        return (self._last[0] - since[0]) / seconds if seconds > 0 else None

    def seconds_left(self, total: float) -> float | None:
        """Seconds until `total` units are done; None before it can be told."""
        rate = self.rate()
        if rate is None:
            return None
        return max(total - self._last[0], 0.0) / rate


class Progress:
    """Shows the progress of some work; a context manager.

    Parameters
    ----------
    total
        Total units of work, or None if unknown (then no time left is shown).
    description
        Short name of the work.
    unit
        Name of the unit, such as "B".
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
        self._pace = Pace()
        self._bar: Any = None
        self._logging = False
        self._started = self._logged = 0.0

    def __enter__(self) -> Self:
        self._started = self._logged = time.monotonic()
        self._pace.note(self._done, self._started)
        if not self._enabled or sys.stderr is None:
            return self
        if sys.stderr.isatty() or _in_notebook():
            self._bar = _make_bar(self._total, self._description, self._unit, self._pace)
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
        if self._bar is None and not self._logging:
            return
        now = time.monotonic()
        self._pace.note(self._done, now)
        if self._bar is not None:
            self._bar.update(amount)
        elif now - self._logged >= _LOG_SECONDS:
            self._log(now)

    def skip(self, amount: float) -> None:
        """Count `amount` more units as done that took no time: an earlier call has done them."""
        self._done += amount
        self._pace.skip(amount)
        if self._bar is not None:
            self._bar.update(amount)

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
        line = f"{self._description}: "
        if self._total:
            fraction = min(1.0, self._done / self._total)
            total = _quantity(self._total, self._unit)
            line += f"{count_text(self._done)} of {total} ({fraction:.0%})"
        else:
            line += _quantity(self._done, self._unit)
        line += f", {_clock(elapsed)} elapsed"
        left = self._pace.seconds_left(self._total) if self._total else None
        if left:
            line += f", {_clock(left)} left"
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


def _make_bar(total: float | None, description: str, unit: str, pace: Pace) -> Any:
    # In a notebook a bar of its own, if ipywidgets is installed, or else one of characters.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]
        # tqdm's monitor thread would outlive the work and be inherited by forked children.
        monitor_interval = 0

        @property
        def format_dict(self) -> dict[str, Any]:
            # The bar shows the time left at this rate.
            return {**super().format_dict, "rate": pace.rate()}

    return Bar(
        total=total,
        desc=description,
        unit=unit,
        unit_scale=True,
        delay=_DELAY_SECONDS,
        dynamic_ncols=True,
        file=sys.stderr,
    )


def _quantity(value: float, unit: str) -> str:
    """Such as 12.3 k tok, but 12.3 MB."""
    text = count_text(value)
    return text + unit if unit == "B" and text[-1].isalpha() else f"{text} {unit}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
