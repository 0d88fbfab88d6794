"""How fast this machine trains: measured once for a directory, or guessed without torch."""

from __future__ import annotations

import functools
import math
import time
from pathlib import Path

import numpy as np

from ngramstat.errors import InputError
from ngramstat.lm.run import Run
from ngramstat.lm.shape import shape_of
from ngramstat.runtime.files import read_json, write_json
from ngramstat.runtime.resources import multiplies_bfloat16, resolve_threads

__all__ = ["Paces", "guessed_seconds_per_token", "run_seconds"]

# A run takes longer than its steps: checkpoints, and scoring at the end.
_MARGIN = 1.15
# A forward pass takes about a third of a training step; 24 evaluations make 8 passes.
_PASSES = 8
# Side of the square matrices whose product is timed, products in a row, and how often. NumPy
# multiplies matrices this small in one thread.
_SIDE, _PRODUCTS, _REPEATS = 64, 64, 10
# Speed of a training relative to that product, in float32 and with instructions for bfloat16:
# measured with models of 0.3 M to 3 M parameters on an Intel Xeon with AMX.
_EFFICIENCY, _EFFICIENCY_BFLOAT16 = 0.5, 0.9
# Softmax, loss and their gradient take the time of this many operations for each logit.
_PER_LOGIT = 600


class Paces:
    """Precision and speed of each kind of run, kept in ``pace.json`` of a directory.

    Decisions under a budget are based on them, so that repeating a call repeats its decisions.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "pace.json"
        self._known: dict[str, tuple[str, float]] | None = None

    def of(self, run: Run, device: str) -> tuple[str, float]:
        """Precision of training and seconds per token.

        Raises
        ------
        InputError
            The file is not a table of speeds.
        """
        if self._known is None:
            self._known = _read(self._path)
        kind = f"{run.model} {run.size} T={run.context} on {device}"
        if kind not in self._known:
            from ngramstat.lm.train import measured_pace

            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._known[kind] = measured_pace(run, device=device)
            columns = ("precision", "seconds_per_token")
            content = {k: dict(zip(columns, v, strict=True)) for k, v in self._known.items()}
            write_json(self._path, content)
        return self._known[kind]


def _read(path: Path) -> dict[str, tuple[str, float]]:
    if not path.exists():
        return {}
    try:
        return {
            kind: (str(row["precision"]), float(row["seconds_per_token"]))
            for kind, row in read_json(path).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: not a table of speeds; remove it to measure them again"
        ) from error


def run_seconds(
    seconds_per_token: float, tokens: int, epochs: int, *, tuning: int, scored: int
) -> float:
    """Expected seconds of one run, evaluated on `tuning` tokens; `scored` are read at its end."""
    evaluated = _PASSES * tuning + scored / 3
    return _MARGIN * seconds_per_token * (tokens * epochs + evaluated)


@functools.cache
def _operations_per_second() -> float:
    """Of a product of small matrices in NumPy on one thread.

    The product's own CPU time counts, so that work beside it does not.
    """
    matrix = np.ones((_SIDE, _SIDE), np.float32)
    best = math.inf
    for _ in range(_REPEATS):
        started = time.thread_time()
        for _ in range(_PRODUCTS):
            matrix @ matrix
        best = min(best, time.thread_time() - started)
    return _PRODUCTS * 2 * _SIDE**3 / max(best, 1e-9)


def guessed_seconds_per_token(size: str, vocab_size: int, context: int) -> float:
    """Seconds per token of a training step, from the speed of a product of matrices in NumPy.

    Takes a hundredth of a second, once, and does not need torch; right within a factor of about
    two.
    """
    rate = resolve_threads(None) * _operations_per_second()
    efficiency = _EFFICIENCY_BFLOAT16 if multiplies_bfloat16() else _EFFICIENCY
    shape = shape_of(size, vocab_size, context)
    # Multiplications and additions of a forward and a backward pass.
    products = 12 * shape.layers * shape.width**2 + shape.layers * shape.width * context
    operations = 6 * (products + vocab_size * shape.width) + _PER_LOGIT * vocab_size
    return operations / (rate * efficiency)
