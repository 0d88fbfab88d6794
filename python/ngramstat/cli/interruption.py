"""Ctrl-C, SIGTERM and SIGHUP: each ends a command by one sentence that says what was kept."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any, NoReturn

__all__ = ["exit_code", "signals_interrupt", "what_stopped"]

# As shells report a program that a signal has ended.
_EXIT_BY_SIGNAL = 128
# What schedulers send before they kill, and what a closed terminal sends.
_SIGNALS = ("SIGTERM", "SIGHUP")


class _Terminated(KeyboardInterrupt):
    """A signal has arrived that is to end the program; handled wherever Ctrl-C is."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def what_stopped(error: BaseException | None) -> str:
    """How the sentence about an interruption begins."""
    if isinstance(error, _Terminated):
        return f"Ended by {signal.Signals(error.number).name}"
    return "Interrupted"


def exit_code(error: BaseException | None) -> int:
    """The exit code of an interruption."""
    if isinstance(error, _Terminated):
        return _EXIT_BY_SIGNAL + error.number
    return _EXIT_BY_SIGNAL + signal.SIGINT


@contextlib.contextmanager
def signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP do what Ctrl-C does, except where they are ignored (by ``nohup``)."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name in _SIGNALS:
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminate(number: int, _: object) -> NoReturn:
    # A second one ends the program at once, whatever it is doing.
    signal.signal(number, signal.SIG_DFL)
    raise _Terminated(number)
